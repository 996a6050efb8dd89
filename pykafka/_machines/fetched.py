"""What a fetch brought of one partition: which of it a consumer may see, and where it goes on; pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Optional

from ..common import TopicPartition
from ..exceptions import CorruptBatchError
from ..records.aborted import visible_batches
from ..records.batch import RawBatch, split_batches

#: Frames up to this size (bytes) may stay for the sake of any part of them.
LARGE_FRAME = 64 * 1024


class Fetched(NamedTuple):
    """The batches with messages to deliver, the next offset to fetch, and what is wrong there, if anything is.

    ``came`` says whether there was anything at all at or behind the offset asked for; ``epoch`` is the leader epoch of the last
    of it.
    """

    visible: list[RawBatch]
    next_position: int
    corrupt: Optional[CorruptBatchError]
    came: bool
    epoch: int = -1


def read_records(tp: TopicPartition, position: int, records: Any, aborted: Optional[Iterable[tuple[int, int]]]) -> Fetched:
    """Return what the ``records`` of an answer mean for a consumer that asked for ``position``.

    :param aborted: (producer id, first offset) of aborted transactions; None for a consumer that reads uncommitted ones too
    """
    corrupt: Optional[CorruptBatchError] = None
    try:
        batches = split_batches(_let_go_of_frame(records), *tp)
    except CorruptBatchError as error:
        batches, corrupt = error.good_batches, error
    batches = [batch for batch in batches if batch.next_offset > position]
    next_position = batches[-1].next_offset if batches else position
    visible: list[RawBatch] = []
    try:
        for batch in _visible(batches, aborted):
            visible.append(batch)
    except CorruptBatchError as error:
        # a marker; it comes before whatever else is wrong
        next_position, corrupt = error.offset or 0, error
    if corrupt is not None:
        corrupt.was_met_at(next_position)
    return Fetched(visible, next_position, corrupt, bool(batches), batches[-1].leader_epoch if batches else -1)


def _let_go_of_frame(records: Any) -> Any:
    """Return ``records`` so that they keep no frame in memory of which they are a small part: the rest of it is others' data."""
    if isinstance(records, memoryview) and LARGE_FRAME < memoryview(records.obj).nbytes > 2 * len(records):
        return bytes(records)
    return records


def _visible(batches: list[RawBatch], aborted: Optional[Iterable[tuple[int, int]]]) -> Iterator[RawBatch]:
    if aborted is None:
        return (batch for batch in batches if not batch.is_control)
    return visible_batches(batches, aborted)
