"""Sealed batches and the rows waiting to be sealed, for one partition of one producer."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple, Optional

from ..records.encode import RECORD_OVERHEAD, encode_batch, headers_size
from ..records.message import QueuedMessage

#: An upper bound of what a batch costs above its records: the 61-byte header and some slack for a request's framing.
BATCH_OVERHEAD = 128


class Chunk(NamedTuple):
    """Rows collected together: ``size`` bounds their encoded bytes, ``flush_mark`` tells which flush() waits for them."""

    rows: list[QueuedMessage]
    size: int
    born_at: float
    flush_mark: int


class Batch:
    """A sealed batch: encoded once, resent as it is until it has an outcome."""

    __slots__ = (
        "attempts",
        "base_sequence",
        "born_at",
        "data",
        "flush_mark",
        "maybe_written",
        "partition_id",
        "producer_epoch",
        "rows",
    )

    def __init__(self, partition_id: int, rows: list[QueuedMessage], born_at: float, flush_mark: int) -> None:
        self.partition_id = partition_id
        self.rows = rows
        self.born_at = born_at
        self.flush_mark = flush_mark
        self.data = bytearray()
        self.base_sequence = -1
        self.producer_epoch = -1
        self.attempts = 0
        #: an earlier attempt may have reached the log although nobody told us
        self.maybe_written = False

    def encode(self, codec: int, producer_id: int) -> None:
        """Encode the rows by columns into :attr:`data`, with the sequence and epoch set before."""
        rows = self.rows
        keys = [row.partition_key for row in rows]
        headers = [row.headers for row in rows]
        self.data = encode_batch(
            [row.value for row in rows],
            keys if keys.count(None) != len(rows) else None,
            headers if any(headers) else None,
            [row.timestamp for row in rows],  # type: ignore[misc]  # a queued row always has one
            codec=codec,
            producer_id=producer_id,
            producer_epoch=self.producer_epoch,
            base_sequence=self.base_sequence,
        )


def row_sizes(rows: Sequence[QueuedMessage]) -> list[int]:
    """Return an upper bound of every row's encoded size in bytes."""
    return [
        RECORD_OVERHEAD
        + len(row.value or b"")
        + len(row.partition_key or b"")
        + (headers_size(row.headers) if row.headers else 0)
        for row in rows
    ]


def total_size(rows: Sequence[QueuedMessage]) -> int:
    """Return an upper bound of the rows' encoded size in bytes, by columns where every row is of the plain kind."""
    try:
        # hot: per message. None in a column raises TypeError and takes the general way
        size = sum(map(len, [row.value for row in rows])) + RECORD_OVERHEAD * len(rows)  # type: ignore[arg-type]
    except TypeError:
        return sum(row_sizes(rows))
    keys = [row.partition_key for row in rows]
    if keys.count(None) != len(rows):
        size += sum(len(key) for key in keys if key)
    headers = [row.headers for row in rows]
    if any(headers):
        size += sum(headers_size(some) for some in headers if some)
    return size


def take_rows(chunks: deque[Chunk], limit: int) -> Optional[Chunk]:
    """Return the oldest rows that fit into ``limit`` encoded bytes (at least one) and take them out of ``chunks``.

    Rows of different flush marks are never put together, so that a flush waits for nothing that came after it.
    """
    if not chunks:
        return None
    first = chunks[0]
    rows: list[QueuedMessage] = []
    size = 0  # of the chunks taken whole
    while chunks and chunks[0].flush_mark == first.flush_mark:
        chunk = chunks[0]
        if size + chunk.size <= limit:
            rows = rows + chunk.rows if rows else chunk.rows
            size += chunk.size
            chunks.popleft()
            continue
        ends = list(accumulate(row_sizes(chunk.rows)))
        fit = bisect_right(ends, limit - size)
        if not rows:
            fit = max(fit, 1)  # a row that is larger than any batch goes alone; the broker judges it
        rows = rows + chunk.rows[:fit]
        if fit == len(chunk.rows):
            chunks.popleft()
        elif fit:
            chunks[0] = chunk._replace(rows=chunk.rows[fit:], size=ends[-1] - ends[fit - 1])
        break
    return Chunk(rows, size, first.born_at, first.flush_mark)
