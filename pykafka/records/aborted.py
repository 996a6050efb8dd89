"""What of a fetched answer a consumer of committed messages may see (KIP-98)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .batch import RawBatch
from .decode import ABORT, control_type


def visible_batches(batches: Iterable[RawBatch], aborted: Iterable[tuple[int, int]]) -> Iterator[RawBatch]:
    """Yield the batches with messages, without those of aborted transactions and without control batches.

    :param aborted: (producer id, first offset) of every aborted transaction that the broker listed for the answer
    """
    begun = sorted(aborted, key=lambda row: row[1], reverse=True)
    ongoing: set[int] = set()
    for batch in batches:
        while begun and begun[-1][1] <= batch.last_offset:
            ongoing.add(begun.pop()[0])
        if batch.is_control:
            if control_type(batch) == ABORT:
                ongoing.discard(batch.producer_id)
            continue
        if not (batch.is_transactional and batch.producer_id in ongoing):
            yield batch
