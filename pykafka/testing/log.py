"""One partition's log: batches with their offsets, leader epochs and idempotent producers. What is in it is in every copy."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from typing import NamedTuple, Optional

from .batches import Batch, Record, read, stamp

#: A broker knows a producer's last five batches again.
REMEMBERED_BATCHES = 5
_SEQUENCES = 2**31

OUT_OF_ORDER, STALE_EPOCH = "out of order", "stale epoch"


class Appended(NamedTuple):
    """Where a batch is in the log; ``timestamp`` is that of its newest record."""

    base_offset: int
    timestamp: int
    is_duplicate: bool


class Found(NamedTuple):
    """A record found by its time, and the epoch it was written in; -1 where there is none."""

    timestamp: int = -1
    offset: int = -1
    leader_epoch: int = -1


class BadSequence(Exception):
    """A batch of an idempotent producer that does not follow on the one before it; ``reason`` is one of those above."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _Written(NamedTuple):
    first_sequence: int
    last_sequence: int
    base_offset: int
    timestamp: int


class _Producer:
    """What a log remembers of an idempotent producer."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.batches: deque[_Written] = deque(maxlen=REMEMBERED_BATCHES)


class Log:
    """A log that begins at ``start_offset`` and ends before ``end_offset``."""

    def __init__(self) -> None:
        self.start_offset = 0
        self.end_offset = 0
        self._batches: list[Batch] = []
        self._last_offsets: list[int] = []
        #: (epoch, offset at which it began), in order
        self._epochs: list[tuple[int, int]] = []
        self._producers: dict[int, _Producer] = {}

    @property
    def batches(self) -> list[Batch]:
        """Return what is in it."""
        return list(self._batches)

    @property
    def latest_epoch(self) -> int:
        """Return the epoch of its present leader, -1 before the first."""
        return self._epochs[-1][0] if self._epochs else -1

    def records(self) -> list[Record]:
        """Return the records that can be read."""
        return [record for batch in self._batches for record in read(batch) if record.offset >= self.start_offset]

    # -- writing ------------------------------------------------------------------------------------------------------

    def begin_epoch(self, epoch: int) -> None:
        """Note that a leader of ``epoch`` takes over here."""
        # an epoch in which nothing was written leaves no trace
        while self._epochs and self._epochs[-1][1] >= self.end_offset:
            self._epochs.pop()
        self._epochs.append((epoch, self.end_offset))

    def append(self, batch: Batch) -> Appended:
        """Append a checked batch, or find that it is there already.

        :raises BadSequence: when it is out of order; the log stays as it was
        """
        again = self._known(batch)
        if again is not None:
            return Appended(again.base_offset, again.timestamp, True)
        stored = stamp(batch, self.end_offset, self.latest_epoch)
        self._batches.append(stored)
        self._last_offsets.append(stored.last_offset)
        self.end_offset = stored.last_offset + 1
        if stored.producer_id >= 0:
            self._remember(stored)
        return Appended(stored.base_offset, stored.max_timestamp, False)

    def _known(self, batch: Batch) -> Optional[_Written]:
        """Return the same batch as it was written before, None for one that comes next."""
        producer = self._producers.get(batch.producer_id)
        if batch.producer_id < 0 or producer is None:
            # an unknown producer begins with any sequence: what it wrote before may have been deleted
            return None
        if batch.producer_epoch < producer.epoch:
            raise BadSequence(STALE_EPOCH)
        if batch.producer_epoch > producer.epoch:
            if batch.base_sequence != 0:
                raise BadSequence(OUT_OF_ORDER)
            return None
        last = _add(batch.base_sequence, batch.last_offset_delta)
        for written in producer.batches:
            if (written.first_sequence, written.last_sequence) == (batch.base_sequence, last):
                return written
        if producer.batches and batch.base_sequence != _add(producer.batches[-1].last_sequence, 1):
            raise BadSequence(OUT_OF_ORDER)
        return None

    def _remember(self, batch: Batch) -> None:
        producer = self._producers.get(batch.producer_id)
        if producer is None or producer.epoch != batch.producer_epoch:
            producer = self._producers[batch.producer_id] = _Producer(batch.producer_epoch)
        last = _add(batch.base_sequence, batch.last_offset_delta)
        producer.batches.append(_Written(batch.base_sequence, last, batch.base_offset, batch.max_timestamp))

    def truncate(self, offset: int) -> None:
        """Cut off everything from ``offset`` on, with the whole batch that it is in, as a leader that fell behind does."""
        if offset >= self.end_offset:
            return
        keep = bisect_left(self._last_offsets, offset)
        del self._batches[keep:], self._last_offsets[keep:]
        self.end_offset = offset
        self.start_offset = min(self.start_offset, offset)
        while len(self._epochs) > 1 and self._epochs[-1][1] > self.end_offset:
            self._epochs.pop()
        self._producers.clear()
        for batch in self._batches:
            if batch.producer_id >= 0:
                self._remember(batch)

    def delete_before(self, offset: int) -> None:
        """Let the log begin at ``offset``; batches that end before it are gone."""
        self.start_offset = min(max(self.start_offset, offset), self.end_offset)
        gone = bisect_left(self._last_offsets, self.start_offset)
        del self._batches[:gone], self._last_offsets[:gone]
        while len(self._epochs) > 1 and self._epochs[1][1] <= self.start_offset:
            self._epochs.pop(0)
        self._epochs = [(epoch, max(begun, self.start_offset)) for epoch, begun in self._epochs]

    # -- reading ------------------------------------------------------------------------------------------------------

    def batches_from(self, offset: int, max_bytes: int, at_least_one: bool) -> list[Batch]:
        """Return the batches from the one with ``offset`` on that begin within ``max_bytes``.

        The last one may go beyond it: the caller cuts it. ``at_least_one`` has the first one counted as if it fitted.
        """
        first = bisect_left(self._last_offsets, offset)
        if first == len(self._batches):
            return []
        room = max(max_bytes, len(self._batches[first].data) if at_least_one else 0)
        found = []
        for batch in self._batches[first:]:
            if room <= 0:
                break
            found.append(batch)
            room -= len(batch.data)
        return found

    def find_time(self, timestamp: int) -> Found:
        """Return the first record that is not older than ``timestamp``."""
        for batch in self._batches:
            if batch.max_timestamp < timestamp:
                continue
            for record in read(batch):
                if record.timestamp >= timestamp and record.offset >= self.start_offset:
                    return Found(record.timestamp, record.offset, batch.leader_epoch)
        return Found()

    def find_newest(self) -> Found:
        """Return the first of the records with the highest timestamp."""
        newest = max((batch.max_timestamp for batch in self._batches), default=None)
        return Found() if newest is None else self.find_time(newest)

    def epoch_at_start(self) -> int:
        """Return the epoch of the first record that can be read, or of the next one to be written."""
        return self._epochs[0][0] if self._epochs else -1

    def end_of_epoch(self, epoch: int) -> tuple[int, int]:
        """Return the largest known epoch up to ``epoch`` and where it ends; -1 and -1 for a newer or unknown one (KIP-320)."""
        if epoch < 0 or not self._epochs or epoch > self.latest_epoch:
            return -1, -1
        if epoch == self.latest_epoch:
            return epoch, self.end_offset
        later = next(begun for known, begun in self._epochs if known > epoch)
        earlier = [known for known, _begun in self._epochs if known <= epoch]
        # an epoch from before the log begins: the consumer has nothing in common with it
        return (earlier[-1], later) if earlier else (epoch, later)


def _add(sequence: int, count: int) -> int:
    """Return a sequence number so many records on: they begin at 0 again after the highest int32."""
    return (sequence + count) % _SEQUENCES
