"""Sealed batches and the rows waiting to be sealed, for one partition of one producer: whole columns, cut and joined."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from functools import reduce
from typing import NamedTuple, Optional, TypeVar

from ..records.encode import RECORD_OVERHEAD, encode_batch
from .segments import Taken

T = TypeVar("T")

#: An upper bound of what a batch costs above its records: the 61-byte header and some slack for a request's framing.
BATCH_OVERHEAD = 128


#: Some rows of one segment: where they come from, and their places there.
Part = tuple[Taken, Sequence[int]]


class Columns(NamedTuple):
    """What is encoded of some rows; ``keys`` or ``headers`` is None when no row has any. ``size`` bounds the encoding."""

    parts: list[Part]
    values: list[Optional[bytes]]
    keys: Optional[list[Optional[bytes]]]
    headers: Optional[list[Optional[bytes]]]
    timestamps: list[int]
    size: int

    def cut(self, count: int) -> tuple[Columns, Columns]:
        """Return the first ``count`` rows and the rest; their sizes add up to ours."""
        parts, values, keys, headers, timestamps, size = self
        first_parts, rest_parts = _cut_parts(parts, count)
        first_keys = keys and keys[:count]
        first_headers = headers and headers[:count]
        first_values = values[:count]
        first_size = encoded_size(first_values, first_keys, first_headers)
        first = Columns(first_parts, first_values, first_keys, first_headers, timestamps[:count], first_size)
        rest_keys = keys and keys[count:]
        rest_headers = headers and headers[count:]
        return first, Columns(rest_parts, values[count:], rest_keys, rest_headers, timestamps[count:], size - first_size)

    def join(self, other: Columns) -> Columns:
        """Return our rows and then those of ``other``."""
        keys: Optional[list[Optional[bytes]]] = None
        headers: Optional[list[Optional[bytes]]] = None
        if self.keys is not None or other.keys is not None:
            keys = (self.keys or [None] * len(self.values)) + (other.keys or [None] * len(other.values))
        if self.headers is not None or other.headers is not None:
            headers = (self.headers or [None] * len(self.values)) + (other.headers or [None] * len(other.values))
        timestamps = self.timestamps + other.timestamps
        return Columns(self.parts + other.parts, self.values + other.values, keys, headers, timestamps, self.size + other.size)


def _cut_parts(parts: list[Part], count: int) -> tuple[list[Part], list[Part]]:
    first: list[Part] = []
    for number, (taken, places) in enumerate(parts):
        if len(places) > count:
            head = [(taken, places[:count])] if count > 0 else []
            return first + head, [(taken, places[max(count, 0) :]), *parts[number + 1 :]]
        first.append((taken, places))
        count -= len(places)
    return first, []


def columns_of(taken: Taken, places: Sequence[int]) -> Columns:
    """Return the columns of the rows at ``places``."""
    values = _pick(taken.values, places)
    timestamps = _pick(taken.timestamps, places)
    keys = None if taken.keys is None else _pick(taken.keys, places)
    if keys is not None and keys.count(None) == len(keys):
        keys = None
    headers = taken.headers(places)
    return Columns([(taken, places)], values, keys, headers, timestamps, encoded_size(values, keys, headers))


def columns_of_parts(parts: list[Part]) -> Columns:
    """Return the columns of all rows in ``parts``, which are at least one."""
    return reduce(Columns.join, (columns_of(taken, places) for taken, places in parts))


def _pick(column: list[T], places: Sequence[int]) -> list[T]:
    # hot: per message, in C
    if isinstance(places, range):
        return column[places.start : places.stop : places.step]
    return list(map(column.__getitem__, places))


def encoded_size(
    values: Sequence[Optional[bytes]],
    keys: Optional[Sequence[Optional[bytes]]],
    headers: Optional[Sequence[Optional[bytes]]],
) -> int:
    """Return an upper bound of the encoded size of records, in bytes."""
    size = RECORD_OVERHEAD * len(values) + _length(values)
    if keys is not None:
        size += _length(keys)
    if headers is not None:
        size += _length(headers)
    return size


def _length(column: Sequence[Optional[bytes]]) -> int:
    try:
        # hot: per message, in C. A None in the column raises TypeError and takes the slow way
        return sum(map(len, column))  # type: ignore[arg-type]
    except TypeError:
        return sum(len(item) for item in column if item is not None)


class Chunk(NamedTuple):
    """Rows collected together; ``flush_mark`` tells which flush() waits for them."""

    columns: Columns
    born_at: float
    flush_mark: int


class Batch:
    """A sealed batch: encoded once, resent as it is until it has an outcome."""

    __slots__ = (
        "attempts",
        "base_sequence",
        "born_at",
        "data",
        "expired",
        "flush_mark",
        "followers",
        "is_half",
        "is_out",
        "maybe_written",
        "order",
        "partition_id",
        "parts",
        "place",
        "producer_epoch",
        "producer_id",
        "row_count",
        "size",
    )

    def __init__(self, partition_id: int, columns: Columns, born_at: float, flush_mark: int) -> None:
        self.partition_id = partition_id
        self.parts = columns.parts
        self.row_count = len(columns.values)
        self.size = columns.size
        self.born_at = born_at
        self.flush_mark = flush_mark
        self.data = bytearray()
        #: its place among the batches of its partition: (1,) comes before (2,), and the halves of (1,) are (1, 0) and (1, 500)
        self.order: tuple[int, ...] = ()
        self.producer_id = -1
        self.producer_epoch = -1
        self.base_sequence = -1
        self.attempts = 0
        #: how many batches behind it have left while it had no outcome: a broker remembers no more than a few
        self.followers = 0
        #: a broker that has the whole batch does not recognise the half of it
        self.is_half = False
        #: an earlier attempt may have reached the log although nobody told us
        self.maybe_written = False
        #: its rows were too late and have had their outcome; only its place in the sequence is still of interest
        self.expired = False
        #: given to a connection, not only in line for one: from then on nobody can say that it was not written
        self.is_out = False
        #: where the last attempt was sent to
        self.place: object = None

    def encode(self, columns: Columns, codec: int) -> None:
        """Encode ``columns`` into :attr:`data`, with the producer id, epoch and sequence set before."""
        self.data = encode_batch(
            columns.values,
            columns.keys,
            columns.headers,
            columns.timestamps,
            codec=codec,
            producer_id=self.producer_id,
            producer_epoch=self.producer_epoch,
            base_sequence=self.base_sequence,
        )


def take_rows(chunks: deque[Chunk], limit: int) -> Optional[Chunk]:
    """Return the oldest rows that fit into ``limit`` encoded bytes (at least one) and take them out of ``chunks``.

    Rows of different flush marks are never put together, so that a flush waits for nothing that came after it.
    """
    if not chunks:
        return None
    first = chunks[0]
    taken: Optional[Columns] = None
    while chunks and chunks[0].flush_mark == first.flush_mark:
        columns = chunks[0].columns
        room = limit - (taken.size if taken is not None else 0)
        if columns.size <= room:
            chunks.popleft()
            taken = columns if taken is None else taken.join(columns)
            continue
        head, rest = _cut_to_fit(columns, room)
        if head.size > room and taken is not None:
            break
        # a row that is larger than any batch goes alone; the broker judges it
        taken = head if taken is None else taken.join(head)
        if rest.values:
            chunks[0] = chunks[0]._replace(columns=rest)
        else:
            chunks.popleft()
        break
    assert taken is not None  # the first chunk has rows
    return Chunk(taken, first.born_at, first.flush_mark)


def _cut_to_fit(columns: Columns, room: int) -> tuple[Columns, Columns]:
    """Return about as many rows as fit into ``room`` bytes, never more but at least one, and the rest."""
    count = max(1, len(columns.values) * room // columns.size)
    head, rest = columns.cut(count)
    while head.size > room and count > 1:
        # rows of uneven size: a guess by the average took too many
        count = max(1, min(count - 1, count * room // head.size))
        head, rest = columns.cut(count)
    return head, rest
