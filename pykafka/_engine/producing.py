"""The I/O thread's half of a producer: collects queued rows, hands batches to the sender, resolves what was decided."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Callable, Optional

from .._machines.accumulator import Accumulator, Answer, Outcome, SendSettings
from .._machines.batches import Batch, columns_of
from ..exceptions import KafkaException, OperationTimedOut, ProduceFailureError, ProducerStoppedException, error_for
from ..protocol.messages import InitProducerIdRequest
from ..records.message import DELIVERED, Origin, QueuedMessage
from . import forking
from .loop import Timer
from .waiting import Deadline, Result, Signal

if TYPE_CHECKING:
    from .engine import Engine

log = logging.getLogger(__name__)

#: Chooses partitions for rows in queue order: (rows, partition ids) -> [(partition id, its rows in order), ...]
Assign = Callable[[list[QueuedMessage], Sequence[int]], list[tuple[int, list[QueuedMessage]]]]

#: The record format ("magic") that everything is written in.
RECORD_FORMAT = 2
#: What a queued row costs beside its value and key: the object, its timestamp, its place in lists.
ROW_BYTES = 200
#: How many queued rows make a send worth while before their sizes are known.
FIRST_FULL_AT = 1000
#: How many full batches' worth of rows are collected at once when a producer is fast.
BATCHES_AT_ONCE = 4


class QueueOrigin(Origin):
    """The origin of rows whose partition is not chosen yet; leads back to the producer they were queued in."""

    __slots__ = ("delivery",)

    assigned = False

    def __init__(self, topic: bytes, delivery: ProducerCore) -> None:
        super().__init__(topic)
        self.delivery = delivery

    def settle(self, message: Any) -> None:
        """Have the I/O thread choose partitions for everything queued, and wait for that."""
        self.delivery.settle_partitions()


class AssignedOrigin(Origin):
    """The origin of queued rows of one partition; also leads back to the producer, for ``message.result()``."""

    __slots__ = ("delivery",)

    def __init__(self, topic: bytes, partition_id: int, codec: int, delivery: ProducerCore) -> None:
        super().__init__(topic, partition_id, None, codec, RECORD_FORMAT)
        self.delivery = delivery


class ProducerCore:
    """Rows in, outcomes out. ``rows``, ``room`` and ``row_limit`` are shared with produce(); all else is the I/O thread's.

    ``rows`` is appended to by user threads and cut from the front here; each of the two is one atomic list operation.
    ``room`` (bytes) is counted down by produce() without a lock, so that two threads may lose a few bytes of count
    between them; it is set exactly at every collection, so the error never adds up.
    """

    def __init__(
        self,
        engine: Engine,
        settings: SendSettings,
        assign: Assign,
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
        self.queue_origin = QueueOrigin(settings.topic.encode(), self)
        self.rows: list[QueuedMessage] = []
        self.room = max_queued_bytes
        self.row_limit = max_queued_messages
        #: with this many rows queued there is enough for full batches, and produce() need not wait for the linger timer
        self.full_at = FIRST_FULL_AT
        self.idle = True
        #: set by produce() before it queues the first such row; what no row has is not looked for
        self.has_keys = False
        self.has_headers = False
        self.wants_callbacks = False
        self.wants_reports = False
        self.failed: Optional[Exception] = None
        self._assign = assign
        self._linger_s = linger_s
        self._max_rows = max_queued_messages
        self._max_bytes = max_queued_bytes
        self._held_rows = 0
        self._held_bytes = 0
        #: rows whose outcome is known but whose callbacks have not run yet: they count until then
        self._called_rows = 0
        self._called_bytes = 0
        self._partition_ids: list[int] = []
        self._origins: dict[int, AssignedOrigin] = {}
        self._waiting: dict[QueuedMessage, Signal] = {}
        self._flush_mark = 0
        self._unresolved: dict[int, int] = {}
        self._flushes: list[tuple[int, Result[None]]] = []
        self._linger_timer: Optional[Timer] = None
        self._wake_timer: Optional[Timer] = None
        self._asking_id = False
        self._closed = False
        self._space = threading.Condition()
        self._space_waiters = 0
        forking.watch(self)

    def origin(self, partition_id: int) -> AssignedOrigin:
        """Return the origin that all rows of one partition share; any thread may ask."""
        origin = self._origins.get(partition_id)
        if origin is None:
            fresh = AssignedOrigin(self.queue_origin.topic or b"", partition_id, self.settings.codec, self)
            origin = self._origins.setdefault(partition_id, fresh)
        return origin

    # -- user threads -------------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Tell the I/O thread that there are rows; called by produce() when the queue was idle."""
        self._post(self._on_rows)

    def hurry(self) -> None:
        """Have what is queued sent at once: somebody waits for it, or there is enough for full batches."""
        self.full_at = self._max_rows + 1  # asked for once; the collection sets it again
        self._post(self.collect)

    def _post(self, step: Callable[[], None]) -> None:
        self.idle = False
        try:
            self.engine.loop.call_soon(step)
        except KafkaException:
            # closed, or forked: the next produce() is to hear of it as well
            self.idle = True
            raise

    def abandon(self) -> None:
        """Let go, in a forked child, of what belongs to the parent; every produce() there raises."""
        self.rows.clear()
        self.idle = True

    def wait_for(self, message: QueuedMessage, timeout: Optional[float]) -> None:
        """Return when ``message`` has an outcome; raise OperationTimedOut after ``timeout`` seconds."""
        signal = self._waiting.setdefault(message, Signal())
        if message.done:  # decided between the caller's look and ours
            self._waiting.pop(message, None)
            return
        self.hurry()
        if not signal.wait(Deadline(timeout)):
            raise OperationTimedOut(
                f"{self.settings.topic}: no outcome within {timeout} s; the message is still being sent",
                topic=self.settings.topic,
            )

    def wait_for_room(self, count: int, size: int, deadline: Deadline) -> bool:
        """Return True as soon as ``count`` rows of ``size`` bytes may be queued, False when ``deadline`` passed first."""
        if self.engine.callbacks.in_worker():
            return True  # room may only come when this very callback returns
        self.hurry()
        with self._space:
            self._space_waiters += 1
            try:
                while not self.has_room(count, size) and not self._closed and self.failed is None:
                    left = deadline.left()
                    if left <= 0:
                        return False
                    self._space.wait(min(left, 0.5))
            finally:
                self._space_waiters -= 1
        return True

    def has_room(self, count: int, size: int) -> bool:
        """Return whether ``count`` rows of ``size`` bytes may be queued now."""
        if not self.rows and not self._held_rows and not self._called_rows:
            return True  # a message larger than the whole bound goes alone
        return len(self.rows) + count <= self.row_limit and self.room >= size

    def flush(self, deadline: Deadline) -> None:
        """Return when everything queued before the call has an outcome.

        :raises OperationTimedOut: naming how many messages were still undecided
        """
        result: Result[None] = Result()
        self.engine.loop.call_soon(self._begin_flush, result)
        try:
            result.wait(deadline, f"flush of {self.settings.topic}")
            self.wait_for_callbacks(deadline)
        except OperationTimedOut as error:
            left = self.outstanding
            if not left:
                raise
            raise OperationTimedOut(
                f"flush of {self.settings.topic}: {left} messages were not acknowledged in time; they are still being sent",
                topic=self.settings.topic,
            ) from error

    @property
    def outstanding(self) -> int:
        """Return how many messages have no outcome yet."""
        return len(self.rows) + self._held_rows

    def finish_at_exit(self, deadline: Deadline) -> int:
        """Send what is queued; return how many messages had no outcome by ``deadline``."""
        loop = self.engine.loop
        if self._closed or loop.forked:
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
        result: Result[None] = Result()
        self.hurry()
        self.engine.loop.call_soon(result.succeed, None)
        result.wait(Deadline(5.0), f"choosing partitions of {self.settings.topic}")

    def close(self, deadline: Deadline) -> int:
        """Fail what is still queued and return how many messages that were; produce() must not be called any more."""
        if self.engine.loop.stopped:
            return self.outstanding
        result: Result[int] = Result()
        self.engine.loop.call_soon(self._close, result)
        return result.wait(deadline, f"closing the producer of {self.settings.topic}")

    # -- the I/O thread -----------------------------------------------------------------------------------------------

    def _on_rows(self) -> None:
        if self._linger_s <= 0 or self._flushes or self._closed:
            self.collect()
        elif self._linger_timer is None:
            self._linger_timer = self.engine.loop.call_at(self.engine.loop.now() + self._linger_s, self.collect)

    def collect(self) -> None:
        """Take the queued rows, choose their partitions and send what can be sent."""
        if self._closed:
            self._refuse_late()
            return
        if self._linger_timer is not None:
            self._linger_timer.cancel()
            self._linger_timer = None
        if self.rows:
            self._take_rows()
        # produce() looks at idle after its append, and we look at rows after setting it: one of the two sees the other
        self.idle = True
        if self.rows:
            self.idle = False
            self._on_rows()
        self.update_room()
        self.engine.sender.dispatch_for(self)

    def _take_rows(self) -> None:
        """Move queued rows into the accumulator, by partition."""
        # the last known ones when the topic is missing from the picture: it may only be a broker that has just started
        self._partition_ids = self.engine.partition_ids(self.settings.topic) or self._partition_ids
        count = len(self.rows)
        rows = self.rows[:count]
        del self.rows[:count]
        now = self.engine.loop.now()
        mark = self._flush_mark
        # counted before anything can fail, so that every row has exactly one outcome
        self._held_rows += count
        self._unresolved[mark] = self._unresolved.get(mark, 0) + count
        try:
            groups = self._assign(rows, self._partition_ids)
        except Exception as error:  # a partitioner of the user's that was given to the I/O thread by mistake, or ours
            log.exception("choosing partitions for %s failed", self.settings.topic)
            size = columns_of(rows).size
            self._held_bytes += size + ROW_BYTES * count
            self.apply([Outcome(rows, -1, ProduceFailureError(f"no partition could be chosen: {error}"), mark, size)])
            return
        taken = 0
        for partition_id, group in groups:
            columns = columns_of(group, with_keys=self.has_keys, with_headers=self.has_headers)
            taken += columns.size
            self._held_bytes += columns.size + ROW_BYTES * len(group)
            origin = self.origin(partition_id)
            for row in group:  # hot: per message
                row._origin = origin
            self.accumulator.append(partition_id, columns, now, mark)
        self.full_at = max(1, BATCHES_AT_ONCE * self.settings.max_batch_bytes * count // max(1, taken))

    def update_room(self) -> None:
        """Tell produce() exactly how much more may be queued, and wake who waits for that."""
        self.row_limit = self._max_rows - self._held_rows - self._called_rows
        self.room = self._max_bytes - self._held_bytes - self._called_bytes
        if self._space_waiters and (self.row_limit * 2 >= self._max_rows or not self._held_rows) and self.room > 0:
            with self._space:
                self._space.notify_all()

    # -- outcomes -----------------------------------------------------------------------------------------------------

    def on_answer(self, batch: Batch, answer: Answer) -> None:
        """Act on the broker's answer to one batch."""
        if self._closed:
            return  # decided when the producer was closed
        self.apply(self.accumulator.on_answer(batch, answer, self.engine.loop.now()))

    def on_no_answer(self, batch: Batch, error: Exception, sent: bool) -> None:
        """Act on a failed connection."""
        if self._closed:
            return
        self.apply(self.accumulator.on_no_answer(batch, error, sent, self.engine.loop.now()))

    def on_sent_without_ack(self, batch: Batch) -> None:
        """Count a batch sent with acks=0 as delivered."""
        if self._closed:
            return
        self.apply(self.accumulator.on_sent_without_ack(batch))

    def apply(self, outcomes: list[Outcome]) -> None:
        """Write outcomes into their rows and tell everybody who asked."""
        if not outcomes:
            return
        for outcome in outcomes:
            rows = outcome.rows
            if outcome.error is not None:
                for row in rows:
                    row._outcome = outcome.error
            elif outcome.base_offset >= 0:
                offset = outcome.base_offset
                for row in rows:  # hot: per message
                    row.offset = offset
                    offset += 1
            else:
                for row in rows:
                    row._outcome = DELIVERED
            size = outcome.size + ROW_BYTES * len(rows)
            self._held_rows -= len(rows)
            self._held_bytes -= size
            self._unresolved[outcome.flush_mark] -= len(rows)
            if self.wants_reports:
                self._report(rows, outcome.error)
            if self.wants_callbacks:
                self._called_rows += len(rows)
                self._called_bytes += size
                self.engine.callbacks.submit(self._call_back, rows, size, outcome.error)
            if self._waiting:
                self._release(rows)
        self._end_flushes()
        self.update_room()

    @staticmethod
    def _report(rows: list[QueuedMessage], error: Optional[Exception]) -> None:
        for row in rows:
            if row.delivery_report_q is not None:
                row.delivery_report_q.put((row, error))

    def _call_back(self, rows: list[QueuedMessage], size: int, error: Optional[Exception]) -> None:
        """Run the users' callbacks of one batch, in order; one that raises is logged and the next one runs.

        On the callbacks' own thread. Only now may as much be queued again: slow callbacks slow the producer down.
        """
        for row in rows:
            if row.on_delivery is not None:
                try:
                    row.on_delivery(row, error)
                except Exception:
                    log.exception("an on_delivery callback raised; the others go on")
        with contextlib.suppress(KafkaException):  # closed meanwhile: nobody queues anything any more
            self.engine.loop.call_soon(self._on_called, len(rows), size)

    def _on_called(self, count: int, size: int) -> None:
        self._called_rows -= count
        self._called_bytes -= size
        self.update_room()

    def wait_for_callbacks(self, deadline: Deadline) -> None:
        """Return when the callbacks of everything decided so far have run; at once when called from one of them."""
        callbacks = self.engine.callbacks
        if self.wants_callbacks and not callbacks.in_worker():
            ran: Result[None] = Result()
            callbacks.submit(ran.succeed, None)
            ran.wait(deadline, f"callbacks of {self.settings.topic}")

    def _release(self, rows: list[QueuedMessage]) -> None:
        waiting = self._waiting
        # whichever is shorter is gone through: one waiter behind a full batch is the usual case
        for row in rows if len(rows) < len(waiting) else list(waiting):
            if row.done:
                signal = waiting.pop(row, None)
                if signal is not None:
                    signal.set()

    # -- flush and close ----------------------------------------------------------------------------------------------

    def _begin_flush(self, result: Result[None]) -> None:
        self.collect()
        self._flushes.append((self._flush_mark, result))
        self._flush_mark += 1
        self._end_flushes()

    def _end_flushes(self) -> None:
        for mark in [mark for mark, count in self._unresolved.items() if not count]:
            del self._unresolved[mark]
        oldest = min(self._unresolved, default=self._flush_mark)
        done = [entry for entry in self._flushes if entry[0] < oldest]
        if done:
            self._flushes = [entry for entry in self._flushes if entry[0] >= oldest]
        for _mark, result in done:
            result.succeed(None)

    def _close(self, result: Result[int]) -> None:
        # in this order: a produce() that comes too late for _take_rows sees that we are idle, and posts _refuse_late
        self._closed = True
        self.idle = True
        if self.rows:
            self._take_rows()
        self.engine.sender.remove(self)
        left = self._held_rows
        self.apply(self.accumulator.abandon(self._stopped()))
        for timer in (self._linger_timer, self._wake_timer):
            if timer is not None:
                timer.cancel()
        result.succeed(left)

    def _stopped(self) -> ProducerStoppedException:
        topic = self.settings.topic
        return ProducerStoppedException(f"the producer of {topic} was stopped before the message was acknowledged", topic=topic)

    def _refuse_late(self) -> None:
        """Give rows that another thread queued while the producer was being stopped their outcome: not written."""
        self.idle = True
        if self.rows:
            self._take_rows()
            self.apply(self.accumulator.abandon(self._stopped()))

    # -- producer id and time -----------------------------------------------------------------------------------------

    def before_dispatch(self) -> None:
        """Ask for a producer id where one is missing, and let what is too old fail."""
        if self.accumulator.needs_producer_id and not self._asking_id:
            self._ask_producer_id()
        self.apply(self.accumulator.expire(self.engine.loop.now()))

    def after_dispatch(self) -> None:
        """See to it that we wake up when a retry is due or something expires."""
        wake_at = self.accumulator.wake_at(self.engine.loop.now())
        timer = self._wake_timer
        if timer is not None and timer.fn is not None:
            if timer.when <= wake_at:
                return  # it comes early, and then looks again
            timer.cancel()
        self._wake_timer = None
        if wake_at != float("inf"):
            self._wake_timer = self.engine.loop.call_at(wake_at, self.engine.sender.dispatch_for, self)

    def _ask_producer_id(self) -> None:
        self._asking_id = True
        request = InitProducerIdRequest(transactional_id=None, transaction_timeout_ms=2147483647)
        self.engine.ask_any(request, self._on_producer_id)

    def _on_producer_id(self, reply: Any, error: Optional[Exception]) -> None:
        if reply is not None and reply.error_code:
            error = error_for(reply.error_code, api="InitProducerId", topic=self.settings.topic)
        if error is None:
            self._asking_id = False
            self.accumulator.set_producer_id(reply.producer_id, reply.producer_epoch)
            self.engine.sender.dispatch_for(self)
        elif getattr(error, "retriable", True):
            log.info("no producer id for %s yet, asking again: %s", self.settings.topic, error)
            self.engine.loop.call_at(self.engine.loop.now() + self.settings.retry_backoff_s, self._ask_id_again)
        else:
            self._asking_id = False
            self._fail(error)

    def _ask_id_again(self) -> None:
        self._asking_id = False
        if not self._closed:
            self.engine.sender.dispatch_for(self)

    def give_up(self, error: KafkaException) -> None:
        """Fail everything now and later: the I/O thread ends."""
        self._fail(error)
        self._close(Result())

    def _fail(self, error: Exception) -> None:
        """Fail everything now and later: the producer can never send."""
        self.failed = error
        failure = error if isinstance(error, KafkaException) else ProduceFailureError(str(error))
        self.apply(self.accumulator.fail_all(failure))
