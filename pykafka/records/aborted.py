"""What of a fetched answer a consumer of committed messages may see (KIP-98)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..exceptions import CorruptBatchError
from .batch import RawBatch
from .decode import ABORT, NO_TYPE, control_type


def visible_batches(batches: Iterable[RawBatch], aborted: Iterable[tuple[int, int]]) -> Iterator[RawBatch]:
    """Yield the batches with messages, without those of aborted transactions and without control batches.

    :param aborted: (producer id, first offset) of every aborted transaction that the broker listed for the answer
    :raises CorruptBatchError: for a marker that cannot be read, after the batches before it
    """
    begun = sorted(aborted, key=lambda row: row[1], reverse=True)
    ongoing: set[int] = set()
    for batch in batches:
        while begun and begun[-1][1] <= batch.last_offset:
            ongoing.add(begun.pop()[0])
        if batch.is_control:
            kind = control_type(batch)
            # the log cleaner leaves markers behind whose record is gone: nothing is left that they could end
            if kind == NO_TYPE and batch.records_count:
                raise CorruptBatchError(
                    f"the transaction marker at offset {batch.base_offset} cannot be read, so it is not known whether what"
                    " comes before it counts; seek() to the error's next_offset to go on without it",
                    offset=batch.base_offset,
                    next_offset=batch.credible_next_offset,
                )
            if kind == ABORT:
                ongoing.discard(batch.producer_id)
            continue
        if not (batch.is_transactional and batch.producer_id in ongoing):
            yield batch
