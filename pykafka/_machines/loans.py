"""What the I/O thread lends of a partition, so that a thread which waits for one message at a time can send it by itself.

Whoever took the loan out of the producer's table is its only user, and writes to it; the I/O thread may end it at any moment
nevertheless, because a signal handler may have raised in the middle of its use, and nobody would bring it back. No lock could
help: it would stay locked. What makes that safe is the order in which both look and write:

- The user notes the batch, then looks whether the loan has ended, then sends. Who ends the loan marks it as ended, then looks for
  a batch. So whatever is sent is known to who ends the loan, with its numbers, and can be sent again under them.
- When it is acknowledged, the user writes the next number, then removes the batch; who ends the loan reads the batch, then
  the number. So no number is given twice.
"""

from __future__ import annotations

from typing import Optional

from .batches import Batch
from .idempotence import MAX_SEQUENCE, PartitionSequence


class Loan:
    """The numbers of one partition, and the one batch that is under way with them."""

    __slots__ = (
        *("acked_at", "batch", "ended", "epoch", "flush_mark", "next_sequence", "partition_id", "place", "producer_id"),
        *("recalled", "returned"),
    )

    def __init__(self, partition_id: int, sequence: Optional[PartitionSequence]) -> None:
        self.partition_id = partition_id
        self.producer_id = -1 if sequence is None else sequence.producer_id
        self.epoch = -1 if sequence is None else sequence.epoch
        self.next_sequence = -1 if sequence is None else sequence.next_sequence
        self.acked_at = float("-inf") if sequence is None else sequence.acked_at
        #: what may have been sent and has no answer yet
        self.batch: Optional[Batch] = None
        #: what it is sent by
        self.place: object = None
        #: wanted back: who uses it gives it back after the answer
        self.recalled = False
        #: of no more use to anybody
        self.ended = False
        #: what was under way when it ended
        self.returned: Optional[Batch] = None
        #: which flush() waits for its return
        self.flush_mark: Optional[int] = None

    def number(self, batch: Batch) -> None:
        """Give ``batch``, which is of one message, the number that is next; it is taken by :meth:`on_acked`."""
        batch.producer_id = self.producer_id
        batch.producer_epoch = self.epoch
        batch.base_sequence = self.next_sequence

    def begin(self, batch: Batch, place: object) -> bool:
        """Note ``batch`` as sent; return whether it may be: not when the loan has ended meanwhile."""
        self.place = place
        self.batch = batch
        return not self.ended

    def on_acked(self, batch: Batch, now: float) -> None:
        """Note that ``batch`` is in the log."""
        self.acked_at = now
        self.next_sequence = _after(batch)
        self.batch = None

    def end(self, sequence: Optional[PartitionSequence]) -> Optional[Batch]:
        """End the loan and have ``sequence`` go on behind it; return the batch that may have been sent."""
        self.ended = True
        batch = self.returned = self.batch
        if sequence is not None and self.next_sequence >= 0:
            sequence.next_sequence = self.next_sequence if batch is None else _after(batch)
            sequence.acked_at = self.acked_at
        return batch


def _after(batch: Batch) -> int:
    return -1 if batch.base_sequence < 0 else (batch.base_sequence + batch.row_count) % MAX_SEQUENCE
