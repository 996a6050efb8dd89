"""What waits to be sent, what is in flight and what must be sent again, for one producer; pure.

The engine collects rows into it, asks it for batches, tells it what became of them and applies the outcomes it returns.
Order within a partition: a batch that must be sent again waits until everything of its partition that is in flight has
come back, then all of it goes out again in order; nothing new is sealed before that is done. A batch that may be in
the log keeps its numbers, by which the broker knows it, until it is certain that it is not.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Optional

from ..exceptions import DeliveryTimeout, KafkaException, ProduceFailureError, error_for
from ..records.encode import restamp
from .batches import BATCH_OVERHEAD, Batch, Chunk, Columns, Part, columns_of_parts, take_rows
from .idempotence import NEW_NUMBERS, OUT_OF_ORDER_SEQUENCE_NUMBER, SENT_AGAIN, PartitionSequence, Verdict, judge
from .loans import Loan
from .partition_queue import PartitionQueue

#: A broker remembers this many batches per producer and partition; with more in flight it could not tell a duplicate.
#: Before Kafka 1.0 it is only the last one: see :meth:`Accumulator.meet_broker`.
MAX_IN_FLIGHT = 5

#: Errors after which the batch may be in the log: REQUEST_TIMED_OUT, NOT_ENOUGH_REPLICAS_AFTER_APPEND.
MAYBE_WRITTEN = frozenset({7, 20})

#: Where rows wait whose partition cannot be chosen, because no partition of the topic is known.
NO_PARTITION = -1


class Outcome(NamedTuple):
    """What became of some rows: ``error`` is None when they are in the log, from ``base_offset`` on (-1: not told).

    ``size`` is the one they were appended with: sizes of all outcomes add up to those of all that was appended.
    """

    parts: list[Part]
    base_offset: int
    error: Optional[Exception]
    flush_mark: int
    size: int

    @property
    def row_count(self) -> int:
        """Return how many rows that are."""
        return sum(len(places) for _taken, places in self.parts)


def _unsent(chunk: Chunk, error: Exception) -> Outcome:
    return Outcome(chunk.columns.parts, -1, error, chunk.flush_mark, chunk.columns.size)


class SendSettings(NamedTuple):
    """How a producer sends; times in seconds."""

    topic: str
    codec: int
    acks: int
    max_batch_bytes: int
    delivery_timeout_s: float
    retry_backoff_s: float
    max_retries: Optional[int]

    @property
    def idempotent(self) -> bool:
        """Return whether batches carry sequence numbers, so that a retry can never write twice."""
        return self.acks == -1

    @property
    def max_in_flight(self) -> int:
        """Return how many batches of one partition may be under way: without sequence numbers only one keeps order."""
        return MAX_IN_FLIGHT if self.idempotent or self.acks == 0 else 1


class Answer(NamedTuple):
    """What the broker said of one batch."""

    code: int
    base_offset: int = -1
    detail: Optional[str] = None


class Accumulator:
    """All partitions of one producer."""

    def __init__(self, settings: SendSettings) -> None:
        self.settings = settings
        self.producer_id = -1
        #: why no producer id is to be had, as far as the engine knows
        self.obstacle: Optional[Exception] = None
        self._first_epoch = -1
        #: how many batches of a partition may be under way
        self._most_in_flight = settings.max_in_flight
        #: outcomes of rows that could not be encoded, until :meth:`take_unencodable`
        self._unencodable: list[Outcome] = []
        self._queues: dict[int, PartitionQueue] = {}
        self._active: dict[int, PartitionQueue] = {}

    # -- in -----------------------------------------------------------------------------------------------------------

    def _queue(self, partition_id: int) -> PartitionQueue:
        queue = self._queues.get(partition_id)
        if queue is None:
            queue = self._queues[partition_id] = PartitionQueue(partition_id)
        return queue

    def append(self, partition_id: int, columns: Columns, born_at: float, flush_mark: int) -> None:
        """Add rows; with NO_PARTITION they wait, and expire, until :meth:`take_unplaced`."""
        queue = self._queue(partition_id)
        queue.chunks.append(Chunk(columns, born_at, flush_mark))
        self._active[partition_id] = queue

    @property
    def has_unplaced(self) -> bool:
        """Return whether rows wait for a partition to be chosen."""
        return NO_PARTITION in self._active

    def take_unplaced(self) -> list[Chunk]:
        """Return the rows that wait for a partition, oldest first; they are the caller's to append again."""
        queue = self._active.pop(NO_PARTITION, None)
        if queue is None:
            return []
        chunks = list(queue.chunks)
        queue.chunks.clear()
        return chunks

    def meet_broker(self, remembered: int) -> None:
        """Have no more batches of a partition under way than this broker remembers: of others it knows no duplicate.

        That holds from now on, whichever broker comes next: those of one cluster are upgraded one after the other.
        """
        if self.settings.idempotent:
            self._most_in_flight = min(self._most_in_flight, remembered)

    def set_producer_id(self, producer_id: int, epoch: int) -> None:
        """Number batches under a new producer id from now on, in each partition as soon as that is safe."""
        self.producer_id = producer_id
        self.obstacle = None
        self._first_epoch = epoch
        for queue in self._queues.values():
            queue.must_renumber = queue.sequence is not None
            self._settle(queue)

    # -- out ----------------------------------------------------------------------------------------------------------

    @property
    def active(self) -> Iterable[int]:
        """Return the partitions with anything that has no outcome."""
        return self._active.keys()

    @property
    def needs_producer_id(self) -> bool:
        """Return whether nothing can be sent before InitProducerId was answered."""
        return self.settings.idempotent and self.producer_id < 0 and bool(self._active)

    def sendable(self, now: float) -> list[int]:
        """Return the partitions that have a batch to send now."""
        if self.needs_producer_id:
            return []
        return [pid for pid, queue in self._active.items() if pid != NO_PARTITION and self._may_leave(queue, now)]

    def has_more(self, partition_id: int, now: float) -> bool:
        """Return whether the partition has another batch to send now."""
        queue = self._active.get(partition_id)
        return queue is not None and self._may_leave(queue, now)

    def _may_leave(self, queue: PartitionQueue, now: float) -> bool:
        return queue.wants_to_send(now, self.settings.idempotent, self._most_in_flight)

    def is_elsewhere(self, partition_id: int, place: object) -> bool:
        """Return whether batches of the partition are in flight to anywhere but ``place``: the next one waits for them.

        What the old leader has not answered yet may still be sent again, and must come first at the new one too.
        """
        return any(batch.place is not place for batch in self._queues[partition_id].in_flight)

    def next_batch(self, partition_id: int, limit: int, place: object = None) -> Optional[Batch]:
        """Return the next batch of a sendable partition, at most about ``limit`` bytes, and count it as in flight.

        None when a batch to be sent again is larger than ``limit`` (a fresh one is cut to fit, down to one message), or
        when nothing could be encoded: see :meth:`take_unencodable`.

        :param place: where it is sent to, for :meth:`is_elsewhere`
        """
        queue = self._queues[partition_id]
        if queue.resend:
            again = queue.next_resend()
            if again is None or len(again.data) > limit:
                return None
            queue.resend.remove(again)
            batch = again
        else:
            sealed = self._seal(queue, min(limit, self.settings.max_batch_bytes) - BATCH_OVERHEAD)
            if sealed is None:
                self._settle(queue)
                return None
            batch = sealed
        batch.attempts += 1
        batch.is_out = False
        batch.place = place
        queue.in_flight.append(batch)
        # the partition goes to the end of the round, so that every one has its turn
        self._active[partition_id] = self._active.pop(partition_id)
        return batch

    def _seal(self, queue: PartitionQueue, limit: int) -> Optional[Batch]:
        """Return the next rows as a batch; rows that cannot be encoded fail, and those after them are tried."""
        while True:
            chunk = take_rows(queue.chunks, limit)
            if chunk is None:
                return None
            batch = Batch(queue.partition_id, chunk.columns, chunk.born_at, chunk.flush_mark)
            batch.order = (next(queue.orders),)
            sequence = self._number(queue, batch)
            try:
                batch.encode(chunk.columns, self.settings.codec)
            except Exception as error:  # out of memory, a codec's own error, a message changed after it was queued
                self._unencodable.append(self._failure(batch, self._not_encoded(batch, error)))
                continue
            if sequence is not None:
                # only now: a batch that could not be encoded leaves no hole in the sequence
                sequence.take(batch.row_count)
            return batch

    def take_unencodable(self) -> list[Outcome]:
        """Return the outcomes of rows that could not be encoded since the last call."""
        outcomes, self._unencodable = self._unencodable, []
        return outcomes

    def _not_encoded(self, batch: Batch, cause: Exception) -> ProduceFailureError:
        topic = self.settings.topic
        error = ProduceFailureError(
            f"{topic}/{batch.partition_id}: a batch of {batch.row_count} messages could not be encoded and was not sent:"
            f" {type(cause).__name__}: {cause}",
            topic=topic,
            partition=batch.partition_id,
        )
        error.__cause__ = cause
        return error

    def _number(self, queue: PartitionQueue, batch: Batch) -> Optional[PartitionSequence]:
        """Give ``batch`` the next sequence numbers; they are its own when it takes them from the sequence returned."""
        if not self.settings.idempotent:
            return None
        if queue.sequence is None:
            queue.sequence = PartitionSequence(self.producer_id, self._first_epoch)
        batch.producer_id = queue.sequence.producer_id
        batch.producer_epoch = queue.sequence.epoch
        batch.base_sequence = queue.sequence.next_sequence
        return queue.sequence

    # -- lending ------------------------------------------------------------------------------------------------------

    def lend(self, partition_id: int) -> Optional[Loan]:
        """Return what a thread of the user's needs to send to a partition by itself; None while that is not safe.

        Until :meth:`reclaim` nothing is sent there by us; what is appended waits.
        """
        queue = self._queues.get(partition_id)
        return None if queue is None else queue.lend(self.settings.idempotent)

    def reclaim(self, loan: Loan) -> Optional[Batch]:
        """Take a partition back; return the batch that may have been sent, for :meth:`on_answer` or :meth:`on_no_answer`."""
        queue = self._queues[loan.partition_id]
        if queue.loan is not loan:
            return None
        batch = queue.reclaim(loan)
        if batch is not None:
            self._active[loan.partition_id] = queue
        self._settle(queue)
        return batch

    # -- outcomes -----------------------------------------------------------------------------------------------------

    def on_answer(self, batch: Batch, answer: Answer, now: float) -> list[Outcome]:
        """Return what is decided by the broker's answer to ``batch``; the rest is sent again."""
        queue = self._queues[batch.partition_id]
        if answer.code == 0:
            queue.in_flight.remove(batch)
            return self._carry_out(queue, batch, Verdict.DELIVERED, answer.base_offset, None, now)
        topic = self.settings.topic
        error = error_for(answer.code, topic=topic, partition=batch.partition_id, api="Produce", detail=answer.detail)
        oldest = queue.is_oldest(batch)
        queue.in_flight.remove(batch)
        verdict = judge(
            answer.code,
            retriable=bool(error.retriable),
            oldest=oldest,
            idempotent=self.settings.idempotent,
            count=batch.row_count,
        )
        if answer.code in MAYBE_WRITTEN:
            batch.maybe_written = True
        elif answer.code == OUT_OF_ORDER_SEQUENCE_NUMBER and not batch.is_half and not queue.in_doubt:
            # had an earlier attempt been written, the broker would have recognised this one. Nor will it be, unless one
            # before it is written first: so it is asked about again when there is none
            batch.maybe_written &= not oldest
        elif batch.maybe_written and (verdict is Verdict.RENUMBER or self._will_renumber(queue, answer)):
            verdict = Verdict.FAIL_AND_RENUMBER  # under new numbers nobody could tell a duplicate
        return self._carry_out(queue, batch, verdict, answer.base_offset, error, now)

    @staticmethod
    def _will_renumber(queue: PartitionQueue, answer: Answer) -> bool:
        return queue.must_renumber and answer.code == OUT_OF_ORDER_SEQUENCE_NUMBER

    def on_no_answer(self, batch: Batch, error: Exception, sent: bool, now: float) -> list[Outcome]:
        """Return what is decided when the connection failed; ``sent`` tells whether the broker may have the batch."""
        queue = self._queues[batch.partition_id]
        queue.in_flight.remove(batch)
        batch.maybe_written |= sent
        verdict = Verdict.RETRY
        if not sent and isinstance(error, KafkaException) and not error.retriable:
            # it was refused before it left, and will be every time: this broker cannot take it
            verdict = Verdict.FAIL_AND_RENUMBER if self.settings.idempotent else Verdict.FAIL
        return self._carry_out(queue, batch, verdict, -1, error, now)

    def on_sent_without_ack(self, batch: Batch) -> list[Outcome]:
        """Return the outcome of a batch sent with acks=0: whatever becomes of it, nobody will tell."""
        queue = self._queues[batch.partition_id]
        queue.in_flight.remove(batch)
        return self._carry_out(queue, batch, Verdict.DELIVERED_BEFORE, -1, None, 0.0)

    def _carry_out(
        self,
        queue: PartitionQueue,
        batch: Batch,
        verdict: Verdict,
        base_offset: int,
        error: Optional[Exception],
        now: float,
    ) -> list[Outcome]:
        outcomes: list[Outcome] = []
        if verdict is Verdict.RETRY and not self._may_retry(batch):
            verdict = Verdict.FAIL
        if verdict in (Verdict.DELIVERED, Verdict.DELIVERED_BEFORE):
            queue.last_error = None
            queue.in_doubt = False
            if queue.sequence is not None:
                queue.sequence.acked_at = now
            known = base_offset if verdict is Verdict.DELIVERED else -1
            outcomes.append(Outcome(batch.parts, known, None, batch.flush_mark, batch.size))
        elif batch.expired:
            queue.in_doubt |= batch.maybe_written
            queue.must_renumber |= self.settings.idempotent and (not batch.maybe_written or verdict in NEW_NUMBERS)
        elif verdict in (Verdict.FAIL, Verdict.FAIL_AND_RENUMBER):
            queue.in_doubt |= batch.maybe_written
            queue.must_renumber |= verdict is Verdict.FAIL_AND_RENUMBER
            assert error is not None
            outcomes.append(self._failure(batch, error))
        elif verdict is Verdict.SPLIT:
            outcomes += self._split(queue, batch)
        else:
            queue.must_renumber |= verdict is Verdict.RENUMBER
            queue.not_before = now + self.settings.retry_backoff_s
            queue.last_error = error
            queue.put_back([batch])
        if batch.expired or verdict not in SENT_AGAIN:
            queue.on_left(batch)
        self._settle(queue)
        # rows that were too late have had their outcome; what the broker says of them now only matters to the sequence
        return [] if batch.expired else outcomes

    def _may_retry(self, batch: Batch) -> bool:
        most = self.settings.max_retries
        return most is None or batch.attempts <= most

    def _split(self, queue: PartitionQueue, batch: Batch) -> list[Outcome]:
        """Have ``batch`` sent again in two halves; return its outcome when they cannot be encoded."""
        try:
            queue.put_back(self._halves(batch))
        except Exception as error:
            queue.must_renumber |= self.settings.idempotent
            return [self._failure(batch, self._not_encoded(batch, error))]
        return []

    def _halves(self, batch: Batch) -> tuple[Batch, Batch]:
        middle = batch.row_count // 2
        halves = []
        for columns, shift in zip(columns_of_parts(batch.parts).cut(middle), (0, middle)):
            half = Batch(batch.partition_id, columns, batch.born_at, batch.flush_mark)
            half.order = (*batch.order, shift)
            half.attempts = batch.attempts
            half.is_half = True
            half.maybe_written = batch.maybe_written
            half.followers = batch.followers
            half.producer_id = batch.producer_id
            half.producer_epoch = batch.producer_epoch
            if batch.base_sequence >= 0:
                half.base_sequence = (batch.base_sequence + shift) % 2**31
            half.encode(columns, self.settings.codec)
            halves.append(half)
        return halves[0], halves[1]

    def _settle(self, queue: PartitionQueue) -> None:
        if queue.must_renumber and queue.can_renumber:
            self._renumber(queue)
        if queue.empty:
            self._active.pop(queue.partition_id, None)

    def _renumber(self, queue: PartitionQueue) -> None:
        """Begin a new epoch, or go over to the new producer id, and number what waits to be sent again."""
        sequence = queue.sequence
        if sequence is not None and sequence.producer_id == self.producer_id and not sequence.raise_epoch():
            self.producer_id = -1  # the engine asks for a new one, and set_producer_id leads here again
        if self.producer_id < 0:
            return
        if sequence is not None and sequence.producer_id != self.producer_id:
            queue.sequence = PartitionSequence(self.producer_id, self._first_epoch)
        queue.must_renumber = False
        for batch in queue.resend:
            numbered_by = self._number(queue, batch)
            if numbered_by is not None:
                numbered_by.take(batch.row_count)
            batch.is_half = False
            batch.followers = 0
            restamp(batch.data, batch.producer_id, batch.producer_epoch, batch.base_sequence)

    # -- time ---------------------------------------------------------------------------------------------------------

    def expire(self, now: float) -> list[Outcome]:
        """Return the outcomes of everything older than the delivery timeout.

        A batch in flight stays there until it has come back, only its rows are decided: it may still be written, and its
        place in the sequence is taken.
        """
        born_before = now - self.settings.delivery_timeout_s
        outcomes: list[Outcome] = []
        for queue in list(self._active.values()):
            for batch in queue.in_flight:
                if batch.born_at <= born_before and not batch.expired:
                    batch.expired = True
                    late = self._too_late(batch.maybe_written or batch.is_out, queue)
                    outcomes.append(Outcome(batch.parts, -1, late, batch.flush_mark, batch.size))
            while queue.resend and queue.resend[0].born_at <= born_before:
                batch = queue.resend.popleft()
                queue.on_left(batch)
                queue.in_doubt |= batch.maybe_written
                if not batch.maybe_written:
                    queue.must_renumber |= self.settings.idempotent
                late = self._too_late(batch.maybe_written, queue)
                outcomes.append(Outcome(batch.parts, -1, late, batch.flush_mark, batch.size))
            while queue.chunks and queue.chunks[0].born_at <= born_before:
                chunk = queue.chunks.popleft()
                outcomes.append(_unsent(chunk, self._too_late(False, queue)))
            self._settle(queue)
        return outcomes

    @property
    def trouble(self) -> Optional[Exception]:
        """Return what keeps messages from being delivered, as far as known; any thread may ask."""
        return next((queue.last_error for queue in list(self._active.values()) if queue.last_error), self.obstacle)

    def _too_late(self, maybe_written: bool, queue: PartitionQueue) -> DeliveryTimeout:
        fate = "it may have been written all the same" if maybe_written else "it was not written"
        cause = queue.last_error or self.obstacle
        if cause is not None:
            why = f"the last error was: {cause}"
        elif queue.partition_id == NO_PARTITION:
            why = "no partition of the topic is known: check that the topic still exists"
        else:
            why = "check that the partition has a leader and that it can be reached"
        error = DeliveryTimeout(
            f"not acknowledged within delivery_timeout_ms={self.settings.delivery_timeout_s * 1000:.0f}: {fate}; {why}",
            topic=self.settings.topic,
            partition=queue.partition_id,
            possibly_written=maybe_written,
        )
        error.__cause__ = cause
        return error

    def fail_all(self, error: KafkaException) -> list[Outcome]:
        """Return outcomes that fail everything not in flight: the producer cannot go on, or is being closed."""
        outcomes: list[Outcome] = []
        for queue in list(self._active.values()):
            outcomes.extend(self._failure(batch, error) for batch in queue.resend)
            outcomes.extend(_unsent(chunk, error) for chunk in queue.chunks)
            queue.in_doubt |= any(batch.maybe_written for batch in queue.resend)
            queue.must_renumber |= bool(queue.resend) and self.settings.idempotent
            queue.resend.clear()
            queue.chunks.clear()
            self._settle(queue)
        return outcomes

    def abandon(self, error: KafkaException) -> list[Outcome]:
        """Return outcomes for everything, also what is in flight: nobody will wait for its answer any more.

        What still waits for a connection is marked as expired, so that it stays as unwritten as its outcome says.
        """
        outcomes = self.fail_all(error)
        for queue in list(self._active.values()):
            for batch in queue.in_flight:
                batch.maybe_written |= batch.is_out
                if not batch.expired:
                    outcomes.append(self._failure(batch, error))
                batch.expired = True
            queue.in_flight.clear()
            self._settle(queue)
        return outcomes

    def _failure(self, batch: Batch, error: Exception) -> Outcome:
        """Return the outcome of a batch that failed; one that may be in the log all the same says so."""
        if batch.maybe_written:
            doubt = DeliveryTimeout(
                f"{error}; it was sent and may have been written",
                topic=self.settings.topic,
                partition=batch.partition_id,
                possibly_written=True,
            )
            doubt.__cause__ = error
            error = doubt
        return Outcome(batch.parts, -1, error, batch.flush_mark, batch.size)

    def wake_at(self, now: float) -> float:
        """Return when something here needs attention without any answer: a retry is due, or something expires.

        :param now: the time that :meth:`sendable` was asked with, so that what fell due in between is not missed
        """
        wake = float("inf")
        timeout_s = self.settings.delivery_timeout_s
        for queue in self._active.values():
            if (queue.resend or queue.chunks) and queue.not_before > now:
                wake = min(wake, queue.not_before)
            births = [batch.born_at for batch in queue.in_flight if not batch.expired]
            births += [waiting[0].born_at for waiting in (queue.resend, queue.chunks) if waiting]
            wake = min(wake, min(births, default=wake) + timeout_s)
        return wake
