"""The I/O thread's half of a producer: collects queued rows, hands batches to the sender, resolves what was decided."""

from __future__ import annotations

import contextlib
import itertools
import logging
from typing import TYPE_CHECKING, Callable, Optional, Union

from .._machines.accumulator import NO_PARTITION, Accumulator, Answer, Outcome, SendSettings
from .._machines.batches import Batch, Chunk, columns_of
from .._machines.dealing import Dealer, Share, as_chosen
from .._machines.segments import Fates, Segment, Taken, taken_block
from ..exceptions import KafkaException, OperationTimedOut, ProduceFailureError, ProducerStoppedException
from ..records.message import Origin
from ..records.queued import Block, QueuedMessage, Row
from . import forking
from .callbacks import Callbacks
from .crashes import log_crash
from .direct import DirectPath
from .flushes import Flushes
from .id_quest import IdQuest
from .line import WaitingLine
from .loop import Timer
from .queueing import ROW_BYTES, Queued, RowQueue
from .telling import let_go, report, tell_holders, wake_waiting
from .waiting import Deadline, Result, Signal, refuse_on_io_thread

if TYPE_CHECKING:
    from .engine import Engine

log = logging.getLogger(__name__)

#: The record format ("magic") that everything is written in.
RECORD_FORMAT = 2
#: How many full batches' worth of rows are collected at once when a producer is fast.
BATCHES_AT_ONCE = 4


class ProducerCore(RowQueue):
    """Rows in, outcomes out. What it has of a :class:`RowQueue` is shared with produce(); all else is the I/O thread's."""

    def __init__(
        self,
        engine: Engine,
        settings: SendSettings,
        dealer: Dealer,
        *,
        linger_s: float,
        max_queued_messages: int,
        max_queued_bytes: int,
        ack_timeout_ms: int,
    ) -> None:
        self.engine = engine
        self.settings = settings
        self.accumulator = Accumulator(settings)
        self.ack_timeout_ms = ack_timeout_ms
        self.origin = Origin(settings.topic.encode(), -1, None, settings.codec, RECORD_FORMAT)
        super().__init__(max_queued_messages, max_queued_bytes)
        self.failed: Optional[Exception] = None
        self._deal = dealer
        #: the same for a single row, by any thread
        self.deal_one = dealer
        self._linger_s = linger_s
        self._max_rows = max_queued_messages
        self._max_bytes = max_queued_bytes
        self._held_rows = 0
        self._held_bytes = 0
        #: rows whose outcome is known but whose callbacks have not run yet: they count until then
        self._called_rows = 0
        self._called_bytes = 0
        self.partition_ids: list[int] = []
        #: rows are on their way from the queue to their partitions
        self.placing = False
        self.flushes = Flushes()
        self._linger_timer: Optional[Timer] = None
        self._wake_timer: Optional[Timer] = None
        self._id_quest = IdQuest(self)
        self.closed = False
        self._leaving = False
        #: the number of a collection that was asked for, and of the last one that has begun
        self._coming = self._begun = 0
        self._numbers = itertools.count(1)
        self._line = WaitingLine(self._has_room)
        self.callbacks = Callbacks(engine, settings.topic)
        #: the caller's own thread sends by this, where it waits for each message
        self.direct = DirectPath(self)
        forking.watch(self)

    # -- user threads -------------------------------------------------------------------------------------------------

    def act(self) -> None:
        """Tell the I/O thread that there are rows, or enough of them for full batches; for produce(), by ``act_at``."""
        try:
            if self.idle:
                self._post(self._on_rows)
            else:
                self.hurry()
        except KafkaException as error:
            self._refuse_rest(error)  # another thread has closed the client just now

    def hand_over(self, taken: Taken, partition_id: int) -> None:
        """Have a single row sent whose partition is chosen, before whatever is queued from now on."""
        item = (taken, partition_id)
        self._handed.append(item)
        try:
            self.hurry()
        except KafkaException:
            with contextlib.suppress(ValueError):  # who has closed the client has seen to it
                self._handed.remove(item)
            raise

    def hurry(self) -> None:
        """Have what is queued sent at once: somebody waits for it, or there is enough for full batches."""
        self.full_at = self._max_rows + 1  # asked for once; the collection sets it again
        if not self.idle:
            self.act_at = self.full_at
        if self._coming > self._begun and not self.engine.loop.stopped:
            return  # what is queued by now is seen by the collection that is to come
        number = next(self._numbers)
        self._post(self._collect, number)
        # after it is posted: a signal handler that waits in the middle of this must not rely on what is not there yet
        self._coming = number

    def _refuse_rest(self, refusal: KafkaException) -> None:
        """Give what is queued its outcome, also what others left to this thread to tell of: the I/O thread hears of nothing now.

        :raises KafkaException: ``refusal``, where that thread has not ended but is the parent's, or takes too long for it
        """
        if self.engine.loop.forked or not self.engine.loop.wait_for_end(5.0):
            raise refusal
        with self._end_lock:  # of two threads that come here, one after the other
            self.closed = True
            self._refuse_late()
        self.callbacks.run_here()
        self.callbacks.retire()

    def _post(self, step: Callable[..., None], *args: int) -> None:
        try:
            self.idle = False
            self.engine.loop.call_soon(step, *args)
        except BaseException:
            # closed, forked or Ctrl-C: the next produce() is to hear of it, or to try again
            self.idle = True
            raise

    def abandon(self) -> None:
        """Let go, in a forked child, of what belongs to the parent; every produce() there raises."""
        self.forget_queued()
        self.idle = True
        self.direct.abandon()
        self._line = WaitingLine(self._has_room)  # a thread that is not in the child may have held its lock

    def wait_for(self, message: QueuedMessage, timeout: Optional[float]) -> None:
        """Return when ``message`` has an outcome; raise OperationTimedOut after ``timeout`` seconds."""
        refuse_on_io_thread("waiting for the outcome of a message")
        self.refuse_to_wait_for_ourselves("waiting for a message")
        waiting = message._fates.waiting  # type: ignore[attr-defined]  # Fates of ours
        entry = (message, Signal())
        waiting.append(entry)
        try:
            # a look after the entry: what is decided from here on sets the signal
            if not message.done:
                try:
                    self.direct.give_up_here()
                    self.hurry()
                except KafkaException as error:
                    self._refuse_rest(error)
                    if not message.done:
                        raise
                if not entry[1].wait(Deadline(timeout)):
                    raise OperationTimedOut(
                        f"{self.settings.topic}: no outcome within {timeout} s; the message is still being sent",
                        topic=self.settings.topic,
                    )
        finally:
            with contextlib.suppress(ValueError):
                waiting.remove(entry)

    # -- queueing -----------------------------------------------------------------------------------------------------

    def queue_if_room(self, item: Union[Row, Block], count: int, size: int) -> Optional[Fates]:
        """Queue a row or a block of ``count`` rows and ``size`` bytes; return its fates, or None when there is no room."""
        self._check_open()
        queued: list[Fates] = []
        self._line.try_to_pass(count, size, lambda: queued.append(self.queue(item, size)))
        return queued[0] if queued else None

    def is_interrupted_here(self) -> bool:
        """Return whether a signal handler has come in the middle of what lets messages go on, on this very thread."""
        return super().is_interrupted_here() or self._line.is_interrupted_here() or self.callbacks.is_interrupted_here()

    def queue_when_room(self, item: Union[Row, Block], count: int, size: int, deadline: Deadline) -> Optional[Fates]:
        """Queue a row or a block as soon as there is room for all of it; return None when there was none in time.

        :raises KafkaException: when the producer was stopped, or can never send
        """
        self._check_open()
        if self.is_interrupted_here():
            return self.queue(item, size)
        self.direct.give_up_here()
        self.hurry()
        try:
            refuse_on_io_thread("a full queue")
        except KafkaException:
            return self.queue_if_room(item, count, size)
        queued: list[Fates] = []
        try:
            enter = lambda: queued.append(self.queue(item, size))  # noqa: E731  # what the line calls, and nothing else
            with self.callbacks.waited_for() as in_vain:
                self._line.wait(count, size, enter, lambda: self._may_wait(in_vain), self.hurry, deadline)
        finally:
            self._set_row_limit()
        return queued[0] if queued else None

    def _may_wait(self, in_vain: Callable[[], bool]) -> bool:
        self._set_row_limit()
        self._check_open()
        # a callback does not wait for what callbacks give back that wait for this very one
        return not (self._called_rows and in_vain())

    def _check_open(self) -> None:
        if self.failed is not None:
            raise self.failed.with_traceback(None)  # raised again and again, its traceback would grow each time
        if self.closed:
            raise self._stopped()

    def _has_room(self, count: int, size: int) -> bool:
        if count == 1 and not self.outstanding and not self._called_rows:
            return True  # a message larger than the whole bound goes alone
        return self.outstanding + self._called_rows + count <= self._max_rows and self.room >= size

    def flush(self, deadline: Deadline) -> None:
        """Return when everything queued before the call has an outcome.

        :raises OperationTimedOut: naming how many messages were still undecided
        """
        refuse_on_io_thread("flush()")
        self.refuse_to_wait_for_ourselves("flush()")
        self.direct.give_up_here()
        result: Result[None] = Result()
        self.engine.loop.call_soon(self._begin_flush, result)
        try:
            result.wait(deadline, f"flush of {self.settings.topic}")
            if self.wants_callbacks:
                self.callbacks.wait(deadline)
        except OperationTimedOut as error:
            left = self.outstanding
            if not left:
                raise
            raise OperationTimedOut(
                f"flush of {self.settings.topic}: {left} messages were not acknowledged in time; they are still being sent",
                topic=self.settings.topic,
            ) from error

    @property
    def trouble(self) -> str:
        """Return what keeps messages from being delivered, as the end of a sentence; empty when nothing is known."""
        error = self.accumulator.trouble
        return "" if error is None else f"; the last error was: {error}"

    @property
    def outstanding(self) -> int:
        """Return how many messages have no outcome yet."""
        return self.queued + self._held_rows + self.direct.under_way

    def finish_at_exit(self, deadline: Deadline) -> int:
        """Send what is queued; return how many messages had no outcome by ``deadline``."""
        loop = self.engine.loop
        if self.closed or loop.forked:
            return 0
        if not loop.stopped:
            try:
                self.flush(deadline)
            except OperationTimedOut as error:
                log.debug("the flush at exit ran out of time: %s", error)
        return self.outstanding

    def settle_partitions(self) -> None:
        """Return when everything queued so far has its partition."""
        if self.engine.loop.in_loop():
            return
        self.refuse_to_wait_for_ourselves("choosing partitions")
        result: Result[None] = Result()
        self.hurry()
        self.engine.loop.call_soon(result.succeed, None)
        result.wait(Deadline(5.0), f"choosing partitions of {self.settings.topic}")

    def close(self, deadline: Deadline) -> int:
        """Fail what is still queued and return how many messages that were; produce() must not be called any more."""
        if self.engine.loop.stopped:
            return self.outstanding
        refuse_on_io_thread("stopping a producer")
        self.refuse_to_wait_for_ourselves("stop()")
        result: Result[int] = Result()
        self.engine.loop.call_soon(self._close, result)
        return result.wait(deadline, f"closing the producer of {self.settings.topic}")

    def leave(self) -> None:
        """Have what is queued finished and this core removed after that, without waiting: its producer is gone."""
        with contextlib.suppress(KafkaException):  # the client is gone as well
            self.engine.loop.call_soon(self._leave)

    # -- the I/O thread -----------------------------------------------------------------------------------------------

    def _on_rows(self) -> None:
        if self._linger_s <= 0 or self.flushes or self.closed:
            self.collect()
        elif self._linger_timer is None:
            self._linger_timer = self.engine.loop.call_at(self.engine.loop.now() + self._linger_s, self.collect)

    def _collect(self, number: int) -> None:
        self._begun = max(self._begun, number)
        self.collect()

    def collect(self) -> None:
        """Take the queued rows, choose their partitions and send what can be sent."""
        if self.closed:
            self._refuse_late()
            return
        if self._linger_timer is not None:
            self._linger_timer.cancel()
            self._linger_timer = None
        try:
            self.placing = True
            if self.queued:
                self._take_queued()
        finally:
            self.placing = False
            # produce() looks at idle after its append, and we look for rows after setting it: one of the two sees the other
            self.idle = True
            if self.queued:
                # not at once: a fast producer would keep us here, and the sockets would wait
                with contextlib.suppress(KafkaException):  # the client is being closed
                    self._post(self._on_rows)
            self._count_room()
        self.engine.sender.dispatch_for(self)

    def _take_queued(self) -> None:
        """Move queued rows into the accumulator, by partition."""
        while self._handed:
            self._take_one(*self._handed.popleft())
        segments, count = self.take_all()
        # counted before anything can fail, so that every row has exactly one outcome
        self._held_rows += count
        self._held_bytes += ROW_BYTES * count
        mark = self.flushes.add(count)
        self._place_waiting()
        size = 0
        while segments:
            # out of the list: where nobody holds a message of it, a segment is gone once its columns are there
            taken = self._columns_of(segments.pop(0))
            size += self._place(taken, 0, self.engine.loop.now(), mark)
        self.full_at = max(1, BATCHES_AT_ONCE * self.settings.max_batch_bytes * count // max(1, size))

    def _columns_of(self, queued: Queued) -> Taken:
        with_messages = self.wants_callbacks or self.wants_reports
        if isinstance(queued, Segment):
            return queued.take(with_keys=self.has_keys, with_extras=self.has_extras, with_messages=with_messages)
        return taken_block(queued, with_messages=with_messages)

    def _place_waiting(self) -> None:
        """Choose partitions for the rows that have had to wait for that, if any partition is known by now."""
        # the last known ones when the topic is missing from the picture: it may only be a broker that has just started
        self.partition_ids = self.engine.partition_ids(self.settings.topic) or self.partition_ids
        if self.partition_ids:
            for chunk in self.accumulator.take_unplaced():
                ((taken, _places),) = chunk.columns.parts  # as it was put there: nothing cuts or joins what has no partition
                self._place(taken, chunk.columns.size, chunk.born_at, chunk.flush_mark)

    def _place(self, taken: Taken, counted: int, born_at: float, mark: int) -> int:
        """Give rows to the accumulator and return their size, of which ``counted`` is in ``_held_bytes`` already."""
        try:
            chunks = {
                partition_id: Chunk(columns_of(taken, places), born_at, mark) for partition_id, places in self._shares(taken)
            }
        except Exception as error:  # a partitioner that raises, or headers that were changed after they were queued
            log_crash(log, "choosing partitions for %s failed", self.settings.topic)
            failure = ProduceFailureError(f"no partition could be chosen: {error}", topic=self.settings.topic)
            failure.__cause__ = error
            self.apply([Outcome([(taken, range(len(taken)))], -1, failure, mark, counted)])
            return 0
        size = sum(chunk.columns.size for chunk in chunks.values())
        self._held_bytes += size - counted
        for partition_id, chunk in chunks.items():
            self.accumulator.append(partition_id, chunk.columns, born_at, mark)
            self.direct.recall(partition_id)
        return size

    def _take_one(self, taken: Taken, partition_id: int) -> None:
        columns = columns_of(taken, range(1))
        self._count_in(columns.size)
        self.accumulator.append(partition_id, columns, self.engine.loop.now(), self.flushes.add(1))
        self.direct.recall(partition_id)

    def adopt(self, batch: Batch, flush_mark: Optional[int]) -> int:
        """Count the row of a batch that another thread has sent; return which flush waits for it."""
        self._count_in(batch.size)
        return self.flushes.add(1) if flush_mark is None else flush_mark

    def _count_in(self, size: int) -> None:
        self._held_rows += 1
        self._held_bytes += size + ROW_BYTES
        self.room -= size + ROW_BYTES

    def _shares(self, taken: Taken) -> list[Share]:
        # a partitioner of the user's has chosen in produce() already; ours need to know what there is to choose from
        if not self.partition_ids and self._deal is not as_chosen:
            return [(NO_PARTITION, range(len(taken)))]
        deal = self._deal(taken, self.partition_ids)
        fates = taken.fates
        if fates is not None:
            fates.deal = deal
        shares = deal.shares()
        assert sum(len(places) for _partition_id, places in shares) == len(taken)
        return shares

    def _count_room(self) -> None:
        """Tell produce() exactly how much more may be queued, and let in who waits for that; nothing is queued now."""
        self.room = self._max_bytes - self._held_bytes - self._called_bytes
        self._let_in()

    def _set_row_limit(self) -> None:
        # none while somebody waits: who comes later has to go to the end of the line; nor when nobody takes them any more
        free = self._max_rows - self._held_rows - self._called_rows - self._ready_rows
        self.row_limit = 0 if self._line or self.closed else free

    def _let_in(self) -> None:
        self._set_row_limit()
        if not self._line:
            return
        free = self._max_rows - self._held_rows - self._called_rows
        # not for every few rows: who has waited goes on with a fair stretch of room
        if free * 2 >= self._max_rows or not self._held_rows:
            self._line.let_in()
            self._set_row_limit()

    # -- outcomes -----------------------------------------------------------------------------------------------------

    def next_batch(self, partition_id: int, limit: int, place: object) -> Optional[Batch]:
        """Return the next batch for ``place``, at most about ``limit`` bytes; None when there is none that fits."""
        batch = self.accumulator.next_batch(partition_id, limit, place)
        self.apply(self.accumulator.take_unencodable())
        return batch

    def on_answer(self, batch: Batch, answer: Answer) -> None:
        """Act on the broker's answer to one batch."""
        if self.closed:
            return  # decided when the producer was closed
        outcomes = self.accumulator.on_answer(batch, answer, self.engine.loop.now())
        self.direct.lend(batch.partition_id)  # first: who waits for the outcome is about to produce again
        self.apply(outcomes)

    def on_no_answer(self, batch: Batch, error: Exception, sent: bool) -> None:
        """Act on a failed connection."""
        if self.closed:
            return
        self.apply(self.accumulator.on_no_answer(batch, error, sent, self.engine.loop.now()))

    def on_sent_without_ack(self, batch: Batch) -> None:
        """Count a batch sent with acks=0 as delivered."""
        if self.closed:
            return
        self.apply(self.accumulator.on_sent_without_ack(batch))

    def apply(self, outcomes: list[Outcome]) -> None:
        """Write outcomes into their rows and tell everybody who asked."""
        if not outcomes:
            return
        waited_for: list[Fates] = []
        for outcome in outcomes:
            tell_holders(outcome, waited_for)
            count = outcome.row_count
            size = outcome.size + ROW_BYTES * count
            self._held_rows -= count
            self._held_bytes -= size
            self.flushes.settle(outcome.flush_mark, count)
            if self.wants_reports:
                report(outcome)
            if not self.wants_callbacks:
                self.room += size
                let_go(outcome)
            else:
                self._called_rows += count
                self._called_bytes += size
                self.callbacks.submit(outcome, self._on_called, count, size)
        self.flushes.end()
        self._let_in()
        if waited_for:
            wake_waiting(waited_for)
        if self._leaving:
            self._close_when_done()

    def _on_called(self, outcome: Outcome, count: int, size: int) -> None:
        """Count the room of what has been called back: only now, so that slow callbacks slow the producer down."""
        let_go(outcome)
        self._called_rows -= count
        self._called_bytes -= size
        self.room += size
        self._let_in()

    # -- flush and close ----------------------------------------------------------------------------------------------

    def _begin_flush(self, result: Result[None]) -> None:
        try:
            self.collect()
        except Exception as error:
            result.fail(error)
            raise
        self.direct.recall_used()
        self.flushes.begin(result)

    def _close(self, result: Result[int]) -> None:
        if self.closed:
            result.succeed(0)
            return
        # in this order: a produce() that comes too late for _take_queued sees that we are idle, and posts _refuse_late
        self.closed = True
        self.idle = True
        if self.queued:
            self._take_queued()
        self.direct.close()
        self.engine.sender.remove(self)
        left = self._held_rows
        self.apply(self.accumulator.abandon(self._stopped()))
        for timer in (self._linger_timer, self._wake_timer):
            if timer is not None:
                timer.cancel()
        self.engine.release_topics([self.settings.topic])
        self._set_row_limit()
        self._line.wake_all()
        self.callbacks.retire()
        result.succeed(left)

    def _leave(self) -> None:
        self._leaving = True
        self.direct.close()
        self.collect()
        self._close_when_done()

    def _close_when_done(self) -> None:
        if not self.outstanding and not self.closed:
            self._close(Result())

    def _stopped(self) -> ProducerStoppedException:
        topic = self.settings.topic
        return ProducerStoppedException(f"the producer of {topic} was stopped before the message was acknowledged", topic=topic)

    def _refuse_late(self) -> None:
        """Give rows that another thread queued while the producer was being stopped their outcome: not written."""
        self.idle = True
        if self.queued:
            self._take_queued()
            self.apply(self.accumulator.abandon(self._stopped()))
        self._set_row_limit()

    # -- producer id and time -----------------------------------------------------------------------------------------

    def before_dispatch(self) -> None:
        """Ask for a producer id where one is missing, and let what is too old fail."""
        if self.accumulator.has_unplaced:
            self._place_waiting()
            if self.accumulator.has_unplaced:
                self.engine.refresh_soon()
        if self.accumulator.needs_producer_id:
            self._id_quest.begin()
        self.apply(self.accumulator.expire(self.engine.loop.now()))

    def after_dispatch(self, now: float) -> None:
        """See to it that we wake up when a retry is due or something expires; ``now`` is when the dispatch began."""
        wake_at = self.accumulator.wake_at(now)
        timer = self._wake_timer
        if timer is not None and timer.fn is not None:
            if timer.when <= wake_at:
                return  # it comes early, and then looks again
            timer.cancel()
        self._wake_timer = None
        if wake_at != float("inf"):
            self._wake_timer = self.engine.loop.call_at(wake_at, self.engine.sender.dispatch_for, self)

    def on_producer_id(self, producer_id: int, epoch: int) -> None:
        """Number what is to be sent under a new producer id."""
        self.failed = None
        self.accumulator.set_producer_id(producer_id, epoch)
        self.engine.sender.dispatch_for(self)

    def give_up(self, error: KafkaException) -> None:
        """Fail everything now and later: the I/O thread ends."""
        self.fail(error)
        self._close(Result())

    def fail(self, error: Exception) -> None:
        """Fail everything now and later: the producer can never send."""
        self.failed = error
        self.direct.close()
        failure = error if isinstance(error, KafkaException) else ProduceFailureError(str(error))
        self.apply(self.accumulator.fail_all(failure))
