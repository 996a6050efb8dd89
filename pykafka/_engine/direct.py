"""A sync producer's short way: the caller's own thread sends its message and reads the answer, and no other thread wakes up.

It begins when a producer has had a few messages one at a time. From then on the I/O thread lends the partitions that have nothing
under way (:mod:`pykafka._machines.loans`), and takes one back as soon as it has something to send there itself. All that can
go wrong on this way ends on the usual one: the message is handed over to the I/O thread, with its sequence number where
it may have been sent, and the caller waits as ever. So what is promised of a message does not depend on the way it takes.

A signal handler may raise anywhere in here. Whatever it interrupts is given up as a whole, partition and connection, and what may
have been sent goes on in the background, as it does when ``produce()`` is interrupted while it waits.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import sys
from collections.abc import Iterator
from os.path import dirname, join
from types import FrameType
from typing import TYPE_CHECKING, Any, Callable, Optional, cast

from .._machines.accumulator import Answer
from .._machines.batches import Batch, Columns, encoded_size
from .._machines.segments import Decision, Fates, Taken
from ..exceptions import DeliveryTimeout, KafkaException, SocketDisconnectedError, UnsupportedVersion
from ..protocol.lone_produce import LoneProduce, Place
from ..records.queued import EXTRA, KEY, TIMESTAMP, VALUE, QueuedMessage, Row, queued_message
from . import greenlets
from .clock import monotonic
from .sender import answer_in, produce_version, tell_answer
from .waiting import may_wait_here

if TYPE_CHECKING:
    from .._machines.handshake import BrokerAbilities
    from .._machines.loans import Loan
    from .._machines.metadata import ClusterView
    from .direct_lines import DirectLine
    from .loop import Timer
    from .producing import ProducerCore
    from .waiting import Deadline

log = logging.getLogger(__name__)

#: With so many messages in a row that came alone, a producer is taken to be one that always waits for each.
LONE_MESSAGES = 10
#: Where more than one message in so many finds that its partition is another thread's, for a while, all take the usual way.
MISS_WEIGHT = 5
#: That while: so many misses in a row, or a few more among hits.
MOST_MISSED = 10 * MISS_WEIGHT
#: How much longer than its request may take a partition is waited for that was not given back.
GRACE_S = 1.0
#: How often it is looked for who uses it.
LOOK_EVERY_S = 0.02
#: For so many partitions requests are kept ready but for the message.
MOST_KEPT = 1000

#: The places of a lone message.
ONE = range(1)


class DirectPath:
    """The short way of one producer. Its table of loans is shared by all threads; a loan is whose that took it out of there."""

    def __init__(self, core: ProducerCore) -> None:
        self._core = core
        self._engine = core.engine
        self._is_open = False
        #: messages in a row that came alone
        self._lone = 0
        #: how often a partition was another thread's of late; see MISS_WEIGHT
        self._missed = 0
        #: what is given up goes out again, which only numbers make harmless; and greenlets need no thread to be woken
        self._allowed = core.settings.idempotent and not greenlets.in_use()
        #: the partitions to choose from, and the picture of the cluster that they are of
        self._partition_ids: list[int] = []
        self._chosen_by: Optional[ClusterView] = None
        #: what a message may take anyway
        self._longest_s = min(core.engine.request_timeout_s, core.settings.delivery_timeout_s)
        self._requests: dict[int, tuple[BrokerAbilities, LoneProduce]] = {}
        self._loans: dict[int, Loan] = {}
        #: every loan that has not ended; the I/O thread's
        self._lent: dict[int, Loan] = {}
        #: looks for who uses a loan that is wanted back
        self._late: dict[int, Timer] = {}

    # -- the caller's thread ------------------------------------------------------------------------------------------

    def produce(self, row: Row, deadline: Deadline) -> Optional[QueuedMessage]:
        """Return the message of ``row``, as a rule :func:`acknowledged` already; None when it is to be queued.

        :raises KafkaException: when the client is closed meanwhile; nothing was sent then
        """
        core = self._core
        # in this order: what is queued no more is being placed, and what is placed has had its partition taken back
        if not self._is_open or core.queued or core.placing or not may_wait_here():
            self._count()
            return None
        fates = _undecided(core)
        taken = _taken(row, fates)
        message = queued_message(row, fates, 0)
        partition_id = self._choose(taken, fates)
        if partition_id is None:
            return None
        try:
            loan = self._loans.pop(partition_id, None)
            if loan is None or loan.ended:
                self._miss()
                self.give_up_here(own_frames=1)
                core.hand_over(taken, partition_id)
            else:
                self._missed = max(0, self._missed - 1)
                now = monotonic()
                self._use(loan, taken, message, now, min(deadline.at, now + self._longest_s))
        except BaseException:  # a signal handler has raised, wherever we were: what we had taken nobody else will bring back
            with contextlib.suppress(KafkaException):
                self._engine.loop.call_soon(self._take_by_force, partition_id)
            raise
        return message

    def _choose(self, taken: Taken, fates: Fates) -> Optional[int]:
        """Return the partition of a single row, which stays its own; None while none is known."""
        view = self._engine.view
        if view is not self._chosen_by:
            topic = self._core.settings.topic
            self._partition_ids, self._chosen_by = self._engine.partition_ids(topic) or self._partition_ids, view
        if not self._partition_ids:
            return None
        fates.deal = deal = self._core.deal_one(taken, self._partition_ids)
        return deal.partition_at(0)

    def _miss(self) -> None:
        self._missed += MISS_WEIGHT
        if self._missed > MOST_MISSED:
            # many threads share this producer: their messages go faster together
            self._is_open, self._lone, self._missed = False, 0, 0

    def _count(self) -> None:
        core = self._core
        self._lone = 0 if not self._allowed or core.outstanding else self._lone + 1
        if self._lone >= LONE_MESSAGES:
            self._lone = 0
            with contextlib.suppress(KafkaException):  # closed meanwhile: queueing the message tells
                self._engine.loop.call_soon(self._open)

    def _use(self, loan: Loan, taken: Taken, message: QueuedMessage, now: float, until: float) -> None:
        """Send ``message`` by ``loan``, if there is a connection for it; the I/O thread sees to what has no outcome then."""
        line: Optional[DirectLine] = None
        try:
            line = self._line_to(loan.partition_id, now, until)
            made = None if line is None else self._make(loan, line, taken, now)
            if line is None or made is None:
                # first, so that no later message finds the partition before it
                self._core.hand_over(taken, loan.partition_id)
                self._give_back(loan, line)
                return
            batch, requests = made
            if loan.begin(batch, line):
                self._exchange(loan, line, batch, requests, message, until)
            else:
                line.close()  # who ended the loan may have shut it
                self._engine.loop.call_soon(self._settle_unsent, loan, batch, taken)
        except BaseException:
            if line is not None:
                line.shut()  # not closed: it may have been given back, and be another thread's
            raise

    def _line_to(self, partition_id: int, now: float, until: float) -> Optional[DirectLine]:
        engine = self._engine
        broker = engine.view.leader(self._core.settings.topic, partition_id)
        if broker is None:
            return None
        lines = engine.direct_lines
        return lines.take(broker, now) or lines.open(broker, engine.find_lane(broker, "data"), now, until)

    def _make(self, loan: Loan, line: DirectLine, taken: Taken, now: float) -> Optional[tuple[Batch, LoneProduce]]:
        """Return a batch of one message and what makes requests of it; None where the I/O thread is to tell what is wrong."""
        settings = self._core.settings
        headers = taken.headers(ONE)
        try:
            size = encoded_size(taken.values, taken.keys, headers)
            columns = Columns([(taken, ONE)], taken.values, taken.keys, headers, taken.timestamps, size)
            batch = Batch(loan.partition_id, columns, now, 0)
            loan.number(batch)
            batch.encode(columns, settings.codec)
            return batch, self._requests_for(line, loan.partition_id)
        except UnsupportedVersion:
            return None
        except Exception as error:
            # out of memory, a codec's own error: on the usual way it is told as what it is
            log.debug("%s/%d: a message could not be encoded: %s", settings.topic, loan.partition_id, error)
            return None

    def _requests_for(self, line: DirectLine, partition_id: int) -> LoneProduce:
        core = self._core
        settings = core.settings
        topic_id = self._engine.topic_id(settings.topic)
        known = self._requests.get(partition_id)
        if known is not None and known[0] is line.abilities and known[1].place.topic_id == topic_id:
            return known[1]
        if len(self._requests) >= MOST_KEPT:
            self._requests.clear()
        place = Place(settings.topic, topic_id, partition_id, settings.acks, core.ack_timeout_ms)
        version = produce_version(line.abilities, settings, [topic_id])
        made = LoneProduce(place, version, self._engine.settings.client_id)
        self._requests[partition_id] = (line.abilities, made)
        return made

    def _exchange(
        self, loan: Loan, line: DirectLine, batch: Batch, requests: LoneProduce, message: QueuedMessage, until: float
    ) -> None:
        try:
            offset, reply = line.ask(requests, batch.data, batch.born_at, until)
        except (OSError, KafkaException) as error:
            line.close()
            self._fall_back(self._on_no_answer, loan, batch, _as_lost(error, line), message)
            return
        if offset is None:
            answer = answer_in(reply, requests.place.topic, requests.place.topic_id, batch.partition_id)
            if answer is None or answer.code:
                self._engine.direct_lines.give_back(line)
                self._fall_back(self._on_answer, loan, batch, answer, message)
                return
            offset = answer.base_offset
        loan.on_acked(batch, batch.born_at)
        # after that: who ends a loan shuts the connection of what is under way
        self._engine.direct_lines.give_back(line)
        fates: Fates = message._fates  # type: ignore[assignment]  # of ours
        if loan.ended:
            # the I/O thread may be about to ask again what became of the batch: what it is told then is nobody's business
            fates, deal = _undecided(self._core), fates.deal
            message._fates, fates.deal = fates, deal
        fates.decide(Decision(ONE, offset, None))
        self._give_back(loan)

    def _fall_back(
        self, step: Callable[[Loan, Batch, Any], None], loan: Loan, batch: Batch, what: Any, message: QueuedMessage
    ) -> None:
        """Have the I/O thread see to a batch that was sent, and the next messages take the usual way."""
        self._is_open, self._lone = False, 0
        try:
            self._engine.loop.call_soon(step, loan, batch, what)
        except KafkaException as closed:
            if message.done:
                return  # it was taken from us, and decided before the client was closed
            topic = self._core.settings.topic
            raise DeliveryTimeout(
                f"{closed}; the message was sent and may have been written",
                topic=topic,
                partition=batch.partition_id,
                possibly_written=True,
            ) from closed

    def _give_back(self, loan: Loan, line: Optional[DirectLine] = None) -> None:
        if line is not None:
            self._engine.direct_lines.give_back(line)
        if not loan.ended:
            # one that ends just now never replaces a later one, and is known by its end
            self._loans.setdefault(loan.partition_id, loan)
        # after that: who recalls a loan looks for it after saying so
        if loan.recalled:
            found = self._loans.pop(loan.partition_id, None)
            if found is not None:
                self._engine.loop.call_soon(self._reclaim, found)

    def give_up_here(self, own_frames: int = 0) -> None:
        """Have back what the calling thread is in the middle of using: a signal handler, which is about to wait for it.

        :param own_frames: how many calls of :meth:`produce` are to be found on the stack anyway
        """
        if len(self._loans) < len(self._lent) and len(list(_frames_of_produce(sys._getframe()))) > own_frames:
            self._engine.loop.call_soon(self._end_used)

    def abandon(self) -> None:
        """Forget everything, in a forked child: the loans are the parent's."""
        self._is_open = False
        self._loans.clear()
        self._lent.clear()

    @property
    def under_way(self) -> int:
        """Return about how many messages are on this way now."""
        return sum(loan.batch is not None for loan in list(self._lent.values())) if self._lent else 0

    # -- the I/O thread -----------------------------------------------------------------------------------------------

    def _open(self) -> None:
        if not self._core.closed:
            self._is_open = True
            for partition_id in self._core.partition_ids:
                self.lend(partition_id)

    def lend(self, partition_id: int) -> None:
        """Lend a partition if that is safe: everything of it has just had its outcome."""
        if self._is_open and not self._core.closed:
            loan = self._core.accumulator.lend(partition_id)
            if loan is not None:
                self._lent[partition_id] = self._loans[partition_id] = loan

    def recall(self, partition_id: int) -> None:
        """Have a partition back, at once or when the message that is under way has its answer: there is something to send."""
        loan = self._lent.get(partition_id)
        if loan is None or loan.recalled:
            return
        loan.recalled = True
        # who uses it looks at recalled after giving it back
        if self._loans.pop(partition_id, None) is loan:
            self._reclaim(loan)
        else:
            self._look_later(loan, self._engine.loop.now() + self._engine.request_timeout_s + GRACE_S)

    def _look_later(self, loan: Loan, until: float) -> None:
        loop = self._engine.loop
        self._late[loan.partition_id] = loop.call_at(loop.now() + LOOK_EVERY_S, self._look_for_user, loan, until)

    def _look_for_user(self, loan: Loan, until: float) -> None:
        """End a loan that nobody will give back: two signals, one after the other, may leave none who would tell us."""
        if self._engine.loop.now() < until and _is_used(loan):
            self._look_later(loan, until)
        else:
            self._end(loan)

    def recall_used(self) -> None:
        """Have back what is in use: the outcome of what is under way is waited for."""
        for loan in self._used():
            if loan.flush_mark is None:
                loan.flush_mark = self._core.flushes.add(1)
            self.recall(loan.partition_id)

    def _end_used(self) -> None:
        for loan in self._used():
            self._end(loan)

    def _used(self) -> list[Loan]:
        """Return what is lent and not in the table, where it would be nobody's."""
        return [loan for partition_id, loan in self._lent.items() if self._loans.get(partition_id) is not loan]

    def close(self) -> None:
        """Take everything back by force: the producer ends."""
        self._is_open = False
        for loan in list(self._lent.values()):
            self._end(loan)

    def _take_by_force(self, partition_id: int) -> None:
        loan = self._lent.get(partition_id)
        # in the table it is nobody's, so that nothing is lost with who was interrupted
        if loan is not None and (loan.recalled or self._loans.get(partition_id) is not loan):
            self._end(loan)

    def _end(self, loan: Loan) -> None:
        """End a loan that may be in use: whoever uses it finds that out, or what it has sent is asked about again."""
        if not loan.ended:
            self._loans.pop(loan.partition_id, None)
            batch = self._reclaim(loan)
            if batch is not None:
                cast("DirectLine", loan.place).shut()
                lost = SocketDisconnectedError("the thread that sent the message was interrupted, or had no answer in time")
                self._core.on_no_answer(batch, lost, True)
                self._engine.sender.dispatch_for(self._core)

    def _reclaim(self, loan: Loan) -> Optional[Batch]:
        """Go on with a partition where its loan ends; return what may have been sent."""
        if loan.ended:
            return None
        core = self._core
        self._lent.pop(loan.partition_id, None)
        timer = self._late.pop(loan.partition_id, None)
        if timer is not None:
            timer.cancel()
        batch = core.accumulator.reclaim(loan)
        if batch is not None:
            batch.flush_mark = core.adopt(batch, loan.flush_mark)
        elif loan.flush_mark is not None:
            core.flushes.settle(loan.flush_mark, 1)
            core.flushes.end()
        if not core.closed:
            self._engine.sender.dispatch_for(core)
        return batch

    def _on_no_answer(self, loan: Loan, batch: Batch, error: KafkaException) -> None:
        if self._reclaim(loan) is batch:
            self._core.on_no_answer(batch, error, True)
            self._engine.refresh_soon()
            self._engine.sender.dispatch_for(self._core)

    def _on_answer(self, loan: Loan, batch: Batch, answer: Optional[Answer]) -> None:
        """Act on an answer that is not simply an acknowledgement; one that came too late is asked for again already."""
        if self._reclaim(loan) is batch:
            is_stale = tell_answer(self._core, batch, answer)
            if is_stale or answer is None:
                self._engine.refresh_soon()
            self._engine.sender.dispatch_for(self._core)

    def _settle_unsent(self, loan: Loan, batch: Batch, taken: Taken) -> None:
        """See to a message that was not sent because its loan had ended; unless it was taken for one that was."""
        if loan.returned is not batch:
            self._core.hand_over(taken, loan.partition_id)


def acknowledged(message: QueuedMessage) -> bool:
    """Return whether a message that went this way is in the log, without a look at where."""
    fates: Fates = message._fates  # type: ignore[assignment]  # of ours
    return bool(fates.decided) and fates.decided[0].error is None


def _frames_of_produce(frame: Optional[FrameType]) -> Iterator[FrameType]:
    """Yield the calls of :meth:`DirectPath.produce` that a thread is in the middle of; there are several by signals only."""
    while frame is not None:
        if frame.f_code is _PRODUCE:
            yield frame
        frame = frame.f_back


def _is_used(loan: Loan) -> bool:
    """Return whether any thread is in the middle of a call that has taken ``loan``, and not in a signal handler there."""
    for top in sys._current_frames().values():
        for frame in _frames_of_produce(top):
            if frame.f_locals.get(_NAME_OF_LOAN) is loan:
                return _is_ours(top, frame)
    return False


def _is_ours(top: FrameType, bottom: FrameType) -> bool:
    """Return whether all that runs on top of a call of ours is what it calls itself: a signal handler is somebody else's."""
    frame: Optional[FrameType] = top
    while frame is not None and frame is not bottom:
        if not frame.f_code.co_filename.startswith(_OURS):
            return False
        frame = frame.f_back
    return True


#: Where code stands that a message runs through here: this package, and what Python's sockets are made of.
_OURS = (dirname(dirname(__file__)), socket.__file__, join(dirname(socket.__file__), "ssl.py"))


_PRODUCE = DirectPath.produce.__code__
#: What a loan is called there.
_NAME_OF_LOAN = "loan"
assert _NAME_OF_LOAN in _PRODUCE.co_varnames


def _undecided(core: ProducerCore) -> Fates:
    fates = Fates(core)
    fates.take(1, None)
    return fates


def _taken(row: Row, fates: Fates) -> Taken:
    extra = row[EXTRA]
    assert extra is not True  # that is a callback
    key = row[KEY]
    return Taken(fates, [row[VALUE]], None if key is None else [key], [row[TIMESTAMP]], None if extra is None else [extra])


def _as_lost(error: Exception, line: DirectLine) -> KafkaException:
    if isinstance(error, KafkaException):
        return error
    return SocketDisconnectedError(f"connection to {line.peer} broke, or there was no answer in time: {error}")
