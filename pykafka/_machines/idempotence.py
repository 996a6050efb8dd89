"""What a produce answer means for a batch: one table, and the sequence numbers of one partition.

Sequences belong to the partition: they survive a leader's move, and are given anew only together with a new epoch. The
broker keeps (producer id, epoch, sequence) per partition, so the epoch is raised per partition as well, locally and
without a request (KIP-360), and partitions that had no trouble go on undisturbed.
"""

from __future__ import annotations

import enum

MAX_EPOCH = 32767
MAX_SEQUENCE = 2**31


class Verdict(enum.Enum):
    """What to do with a batch after an answer."""

    DELIVERED = "delivered"
    DELIVERED_BEFORE = "delivered by an earlier attempt, at an offset the broker did not tell"
    RETRY = "send it again as it is"
    RENUMBER = "send it again under a new epoch"
    SPLIT = "send it again in two halves"
    FAIL = "it will not be written"
    FAIL_AND_RENUMBER = "it will not be written; what follows needs a new epoch"


#: Verdicts after which the partition goes on under another epoch.
NEW_NUMBERS = frozenset({Verdict.RENUMBER, Verdict.FAIL_AND_RENUMBER})

#: Verdicts after which the batch, or its halves, are sent again, unless it is too late.
SENT_AGAIN = frozenset({Verdict.RETRY, Verdict.RENUMBER, Verdict.SPLIT})

NONE = 0
MESSAGE_TOO_LARGE = 10
OUT_OF_ORDER_SEQUENCE_NUMBER = 45
DUPLICATE_SEQUENCE_NUMBER = 46
INVALID_PRODUCER_EPOCH = 47
UNKNOWN_PRODUCER_ID = 59

#: (error code, is the batch the oldest of its partition without an outcome) -> verdict. A missing sequence before the
#: oldest batch will never be filled; before any other it is filled when the oldest is sent again.
_SEQUENCE_VERDICTS: dict[tuple[int, bool], Verdict] = {
    (OUT_OF_ORDER_SEQUENCE_NUMBER, True): Verdict.RENUMBER,
    (OUT_OF_ORDER_SEQUENCE_NUMBER, False): Verdict.RETRY,
    (UNKNOWN_PRODUCER_ID, True): Verdict.RENUMBER,
    (UNKNOWN_PRODUCER_ID, False): Verdict.RETRY,
    (DUPLICATE_SEQUENCE_NUMBER, True): Verdict.DELIVERED_BEFORE,
    (DUPLICATE_SEQUENCE_NUMBER, False): Verdict.DELIVERED_BEFORE,
    (INVALID_PRODUCER_EPOCH, True): Verdict.FAIL_AND_RENUMBER,
    (INVALID_PRODUCER_EPOCH, False): Verdict.FAIL_AND_RENUMBER,
}


def judge(code: int, *, retriable: bool, oldest: bool, idempotent: bool, count: int) -> Verdict:
    """Return the verdict on a batch of ``count`` records that was answered with error ``code``.

    :param retriable: what the error table says of ``code``
    :param oldest: no older batch of the partition is without an outcome
    """
    if code == NONE:
        return Verdict.DELIVERED
    if idempotent and (code, oldest) in _SEQUENCE_VERDICTS:
        return _SEQUENCE_VERDICTS[(code, oldest)]
    if code == MESSAGE_TOO_LARGE and count > 1:
        return Verdict.SPLIT
    if retriable:
        return Verdict.RETRY
    # a hole in the sequence: what follows was refused or will be, so it needs numbers of its own
    return Verdict.FAIL_AND_RENUMBER if idempotent else Verdict.FAIL


class PartitionSequence:
    """The producer id, the epoch and the next sequence number of one partition."""

    __slots__ = ("acked_at", "epoch", "next_sequence", "producer_id")

    def __init__(self, producer_id: int, epoch: int) -> None:
        self.producer_id = producer_id
        self.epoch = epoch
        self.next_sequence = 0
        #: when a batch under this producer id was last acknowledged, in any epoch: since then the broker demands the next
        self.acked_at = float("-inf")

    def take(self, count: int) -> int:
        """Return the first of ``count`` sequence numbers; they wrap from 2**31 - 1 to 0."""
        first = self.next_sequence
        self.next_sequence = (first + count) % MAX_SEQUENCE
        return first

    def raise_epoch(self) -> bool:
        """Start again from 0 under the next epoch; return False when there is none and a new producer id is needed."""
        if self.epoch >= MAX_EPOCH:
            return False
        self.epoch += 1
        self.next_sequence = 0
        return True
