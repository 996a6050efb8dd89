"""One partition of a producer: what waits to be sealed, what is in flight, what is to be sent again; pure."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable
from typing import Optional

from .batches import Batch, Chunk
from .idempotence import PartitionSequence
from .loans import Loan

#: So long after an acknowledgement a broker is taken to know our sequence: it forgets a producer that was idle for long.
PROOF_LASTS_S = 600.0


class PartitionQueue:
    """One partition: rows to seal, batches in flight and batches to send again, each oldest first."""

    __slots__ = (
        "chunks",
        "in_doubt",
        "in_flight",
        "last_error",
        "loan",
        "must_renumber",
        "not_before",
        "orders",
        "partition_id",
        "resend",
        "sequence",
    )

    def __init__(self, partition_id: int) -> None:
        self.partition_id = partition_id
        self.chunks: deque[Chunk] = deque()
        self.in_flight: deque[Batch] = deque()
        self.resend: deque[Batch] = deque()
        self.sequence: Optional[PartitionSequence] = None
        self.not_before = 0.0
        #: there is a hole in the sequence: what is sent next needs a new epoch, or a new producer id
        self.must_renumber = False
        self.orders = itertools.count()
        #: a batch was given up that a broker may yet find in a connection that has ended, and write
        self.in_doubt = False
        #: threads of the user's send to it by themselves meanwhile, one batch at a time, and nothing leaves here
        self.loan: Optional[Loan] = None
        #: why the last attempt failed, until one succeeds: what too late a row is told
        self.last_error: Optional[Exception] = None

    @property
    def empty(self) -> bool:
        """Return whether nothing of this partition is without an outcome."""
        return not (self.chunks or self.in_flight or self.resend)

    def wants_to_send(self, now: float, idempotent: bool, most_in_flight: int) -> bool:
        """Return whether a batch may leave now, when at most so many of the partition may be under way."""
        if self.loan is not None or now < self.not_before:
            return False
        if self._remembered >= self._most_in_flight(now, idempotent, most_in_flight):
            return False
        if self.resend:
            first = self.next_resend()
            # in order or not at all: what is in flight must come before what is sent again
            return first is not None and (not self.in_flight or self.in_flight[-1].order < first.order)
        return bool(self.chunks) and not self.must_renumber

    @property
    def _remembered(self) -> int:
        """Return how many batches a broker has to remember so that it knows the oldest one again that is under way.

        Those behind it that have left already count: the broker cannot tell them from those whose answers are missing.
        """
        return len(self.in_flight) + self.in_flight[0].followers if self.in_flight else 0

    def on_left(self, batch: Batch) -> None:
        """Note that ``batch`` has its outcome, and may be in the log behind older ones that have none."""
        if self.resend or (self.in_flight and self.in_flight[0].order < batch.order):
            for other in (*self.in_flight, *self.resend):
                other.followers += other.order < batch.order

    def _most_in_flight(self, now: float, idempotent: bool, most: int) -> int:
        # a broker that knows nothing of a producer takes any sequence as its first: of two batches under way it could
        # refuse the first (not the leader yet) and write the second
        proven = self.sequence is not None and now - self.sequence.acked_at < PROOF_LASTS_S
        return most if proven or not idempotent else 1

    def next_resend(self) -> Optional[Batch]:
        """Return the batch to send again first, None when all have to wait for new numbers.

        Before numbers change, batches that may be in the log are sent once more under those the broker may know them by.
        """
        if not self.must_renumber:
            return self.resend[0] if self.resend else None
        return next((batch for batch in self.resend if batch.maybe_written), None)

    @property
    def can_renumber(self) -> bool:
        """Return whether nothing may be in the log under the old numbers that we have not heard of."""
        return self.loan is None and not self.in_flight and not any(batch.maybe_written for batch in self.resend)

    def lend(self, idempotent: bool) -> Optional[Loan]:
        """Return what a thread of the user's needs to send to this partition by itself; None while that is not safe.

        Nothing may be without an outcome, or in doubt, and the broker is to know our numbers.
        """
        proven = not idempotent or (self.sequence is not None and self.sequence.acked_at >= 0.0)
        if self.loan is not None or not (self.empty and proven) or self.in_doubt or self.must_renumber:
            return None
        self.loan = Loan(self.partition_id, self.sequence if idempotent else None)
        return self.loan

    def reclaim(self, loan: Loan) -> Optional[Batch]:
        """Take the partition back; return the batch that may have been sent meanwhile, which counts as in flight now."""
        self.loan = None
        batch = loan.end(self.sequence)
        if batch is not None:
            batch.order = (next(self.orders),)
            batch.attempts = 1
            batch.is_out = True
            batch.place = loan.place
            self.in_flight.append(batch)
        return batch

    def is_oldest(self, batch: Batch) -> bool:
        """Return whether no batch before ``batch`` may still be written under the numbers that it has.

        What waits for new numbers may not: it is certain that it is not in the log, and it is not sent again as it is.
        """
        waiting = [other for other in self.resend if other.maybe_written or not self.must_renumber]
        return all(other is batch or batch.order < other.order for other in (*self.in_flight, *waiting))

    def put_back(self, batches: Iterable[Batch]) -> None:
        """Have ``batches`` sent again, each in its place: answers may come in any order."""
        self.resend = deque(sorted([*self.resend, *batches], key=_order))


def _order(batch: Batch) -> tuple[int, ...]:
    return batch.order
