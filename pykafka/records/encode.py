"""Messages to record batches (magic 2), whole columns at a time, with the plain way beside it for comparison.

A record is: length, attributes, timestamp delta, offset delta, key, value, header count. Without keys and headers only
length and value differ between records of the same millisecond, so they are put together by slice assignment from
tables of ready-made pieces; so are records whose keys have one size. Otherwise one ``%`` per record is fastest, with keys and
with headers; what lacks something on some records takes the plain way.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Optional

from .. import compression
from .batch import CRC_START, HEADER, HEADER_SIZE, LENGTH_END, MAGIC, TRANSACTIONAL
from .crc32c import crc32c
from .varints import MAX_OFFSETS, VARINTS, Cache, encode_varint, offset_varints, width_segments

Headers = Sequence[tuple[str, Optional[bytes]]]

#: The most a record costs besides key, value and headers: length 4, attributes 1, timestamp 10, offset 3, sizes 4 + 4 + 1.
RECORD_OVERHEAD = 27
#: With fewer records than this per millisecond, pieces made for a whole millisecond are not worth making.
_LEAST_RUN = 8
#: ... and fewer than this where there are keys.
_LEAST_KEYED_RUN = 25
#: For fewer records than this, slices cost more than they save.
_LEAST_COLUMNS = 4
#: So many (timestamp delta, offset width, key width) have their tables of heads kept, each for so many sizes: 20 MB at the worst.
_MAX_HEADS, _MAX_SIZES = 64, 2000


#: What ends a record without headers: a count of none.
NO_HEADERS = b"\0"


class _Names(dict[str, bytes]):
    """Header names to how they are written: programs use the same few again and again."""

    def __missing__(self, name: str) -> bytes:
        encoded = name.encode()
        made = VARINTS[len(encoded)] + encoded
        if len(name) <= _LONGEST_NAME:
            if len(self) >= _MAX_NAMES:
                self.clear()
            self[name] = made
        return made


_MAX_NAMES = 1000
_LONGEST_NAME = 256
_names = _Names()


def encode_headers(pairs: Headers) -> bytes:
    """Return the headers of a record as they are written: how many there are, and each name and value.

    :raises TypeError: when a pair is not a str and bytes or None
    :raises ValueError: for a name that is no Unicode
    """
    pieces = [VARINTS[len(pairs)]]
    for name, value in pairs:  # hot: per header
        if type(name) is not str:
            raise TypeError("the name of a header must be a str")
        if type(value) is bytes:
            pieces.append(_names[name] + VARINTS[len(value)] + value)
        elif value is None:
            pieces.append(_names[name] + b"\1")
        else:
            raise TypeError("the value of a header must be bytes or None")
    return b"".join(pieces)


def encode_batch(
    values: Sequence[Optional[bytes]],
    keys: Optional[Sequence[Optional[bytes]]],
    headers: Optional[Sequence[Optional[bytes]]],
    timestamps: Sequence[int],
    *,
    codec: int = 0,
    producer_id: int = -1,
    producer_epoch: int = -1,
    base_sequence: int = -1,
    transactional: bool = False,
) -> bytearray:
    """Return a whole batch, checksum included.

    :param keys: None when no message has a key
    :param headers: of each message, by :func:`encode_headers`, None for none; None when no message has any
    :param timestamps: epoch milliseconds
    :raises MissingCodecError: naming the extra to install
    """
    pieces = _record_pieces(values, keys, headers, timestamps)
    data = bytearray().join(pieces)
    if codec:
        data = data[:HEADER_SIZE] + compression.compress(codec, memoryview(data)[HEADER_SIZE:])
    attributes = codec | (TRANSACTIONAL if transactional else 0)
    count = len(values)
    HEADER.pack_into(
        data,
        0,
        0,
        len(data) - LENGTH_END,
        -1,
        MAGIC,
        0,
        attributes,
        count - 1,
        timestamps[0],
        max(timestamps),
        producer_id,
        producer_epoch,
        base_sequence,
        count,
    )
    _write_checksum(data)
    return data


def _write_checksum(data: bytearray) -> None:
    data[CRC_START - 4 : CRC_START] = crc32c(memoryview(data)[CRC_START:]).to_bytes(4, "big")


def restamp(data: bytearray, producer_id: int, producer_epoch: int, base_sequence: int) -> None:
    """Give an encoded batch another producer id, epoch and sequence, in place."""
    head = list(HEADER.unpack_from(data))
    head[9:12] = producer_id, producer_epoch, base_sequence
    HEADER.pack_into(data, 0, *head)
    _write_checksum(data)


# -- the records ------------------------------------------------------------------------------------------------------


def _record_pieces(
    values: Sequence[Optional[bytes]],
    keys: Optional[Sequence[Optional[bytes]]],
    headers: Optional[Sequence[Optional[bytes]]],
    timestamps: Sequence[int],
) -> list[bytes]:
    """Return pieces that, joined, are 61 bytes of room for the header and then the records."""
    if len(values) >= _LEAST_COLUMNS:
        try:
            runs = _millisecond_runs(timestamps) if headers is None else None
            if runs is not None and keys is None:
                return _columns(values, runs)  # type: ignore[arg-type]  # None raises TypeError
            # tables of heads for short runs cost more than they save
            long_runs = runs is not None and len(runs) * _LEAST_KEYED_RUN <= len(values)
            if long_runs and len(set(map(len, keys))) == 1:  # type: ignore[arg-type]  # likewise
                return _keyed_columns(values, keys, runs)  # type: ignore[arg-type]  # likewise
            return _one_by_one(values, keys, headers, timestamps)  # type: ignore[arg-type]  # likewise
        except TypeError:
            pass  # a tombstone, or keys on some messages only: not for the fast ways
    return [bytes(HEADER_SIZE), *_any_records(values, keys, headers, timestamps)]


def _millisecond_runs(timestamps: Sequence[int]) -> Optional[list[tuple[int, int, int]]]:
    """Return (from, to, delta) for stretches of one timestamp; None where they are short or not in order."""
    first, count = timestamps[0], len(timestamps)
    runs: list[tuple[int, int, int]] = []
    start = 0
    while start < count:
        stamp = timestamps[start]
        stop = bisect_right(timestamps, stamp, start)
        # bisect trusts that they are in order; whether they are is seen here
        if timestamps[start:stop].count(stamp) != stop - start or len(runs) > count // _LEAST_RUN:
            return None
        runs.append((start, stop, stamp - first))
        start = stop
    return runs


#: How the size of no key is written.
NO_KEY = b"\1"
#: Number of value bytes -> what stands between offset delta and value: no key, size of the value.
_TAILS = Cache(lambda size: NO_KEY + encode_varint(size))
_heads: dict[tuple[int, int, int], Cache] = {}


def _head_table(delta: int, width: int, key_width: int) -> Cache:
    """Return the table from value size to what stands before the offset delta, the end of the record before included.

    :param key_width: how many bytes the key takes with its size
    """
    table = _heads.get((delta, width, key_width))
    if table is None:
        stamp = encode_varint(delta)

        def make(size: int) -> bytes:
            body = 1 + len(stamp) + width + key_width + len(VARINTS[size]) + size + 1
            return b"\0" + encode_varint(body) + b"\0" + stamp

        if len(_heads) >= _MAX_HEADS:
            _heads.clear()
        table = _heads[(delta, width, key_width)] = Cache(make, _MAX_SIZES)
    return table


_offsets_before: dict[bytes, list[bytes]] = {}


def _offsets_and(behind: bytes, count: int) -> list[bytes]:
    """Return at least ``count`` offset deltas, each with the same bytes behind it."""
    offsets = _offsets_before.get(behind, [])
    if len(offsets) < count:
        offsets = [offset + behind for offset in offset_varints(count)]
        if len(_offsets_before) >= 8 or sum(map(len, _offsets_before.values())) + len(offsets) > MAX_OFFSETS:
            _offsets_before.clear()
        if len(offsets) <= MAX_OFFSETS:
            _offsets_before[behind] = offsets
    return offsets


def _columns(values: Sequence[bytes], runs: list[tuple[int, int, int]]) -> list[bytes]:
    """Return the pieces for records without keys and headers: no Python code runs per record."""
    # hot: per record, in C
    count = len(values)
    sizes = list(map(len, values))
    uniform = sizes.count(sizes[0]) == count
    step = 3 if uniform else 4
    pieces = _room_for(step * count)
    pieces[step:-1:step] = values
    if uniform:
        pieces[2:-1:step] = _offsets_and(_TAILS[sizes[0]], count)[:count]
    else:
        pieces[2:-1:step] = offset_varints(count)[:count]
        pieces[3:-1:step] = map(_TAILS.__getitem__, sizes)
    _put_heads(pieces, step, sizes, runs, len(NO_KEY))
    return pieces


def _keyed_columns(values: Sequence[bytes], keys: Sequence[bytes], runs: list[tuple[int, int, int]]) -> list[bytes]:
    """Return the pieces for records without headers whose keys have one size: likewise."""
    # hot: per record, in C
    count = len(values)
    sizes = list(map(len, values))
    key_size = VARINTS[len(keys[0])]
    pieces = _room_for(5 * count)
    pieces[2:-1:5] = _offsets_and(key_size, count)[:count]
    pieces[3:-1:5] = keys
    pieces[4:-1:5] = map(VARINTS.__getitem__, sizes)
    pieces[5:-1:5] = values
    _put_heads(pieces, 5, sizes, runs, len(key_size) + len(keys[0]))
    return pieces


def _room_for(count: int) -> list[bytes]:
    """Return the pieces around those of all records, of which there are ``count``."""
    # 60 bytes of room and not 61: the first head begins with the end of a record before it that does not exist
    return [bytes(HEADER_SIZE - 1), *[b""] * count, NO_HEADERS]


def _put_heads(pieces: list[bytes], step: int, sizes: list[int], runs: list[tuple[int, int, int]], key_width: int) -> None:
    """Put the first of the ``step`` pieces of every record in its place."""
    segments = width_segments(len(sizes))
    uniform = sizes.count(sizes[0]) == len(sizes)
    for start, stop, delta in runs:
        for low, high, width in segments:
            first, last = max(start, low), min(stop, high)
            if first < last:
                table = _head_table(delta, width, key_width)
                heads = [table[sizes[0]]] * (last - first) if uniform else map(table.__getitem__, sizes[first:last])
                pieces[1 + step * first : 1 + step * last : step] = heads


def _one_by_one(
    values: Sequence[bytes],
    keys: Optional[Sequence[bytes]],
    headers: Optional[Sequence[Optional[bytes]]],
    timestamps: Sequence[int],
) -> list[bytes]:
    """Return the pieces for records that all have a value, and that all have a key or all have none."""
    first = timestamps[0]
    size = VARINTS
    offsets = offset_varints(len(values))
    # hot: per record
    if keys is None and headers is None:
        bodies = [
            b"\0%b%b\1%b%b\0" % (size[stamp - first], offset, size[len(value)], value)
            for stamp, offset, value in zip(timestamps, offsets, values)
        ]
    elif keys is None:
        assert headers is not None
        bodies = [
            b"\0%b%b\1%b%b%b" % (size[stamp - first], offset, size[len(value)], value, tail or NO_HEADERS)
            for stamp, offset, value, tail in zip(timestamps, offsets, values, headers)
        ]
    elif headers is None:
        bodies = [
            b"\0%b%b%b%b%b%b\0" % (size[stamp - first], offset, size[len(key)], key, size[len(value)], value)
            for stamp, offset, key, value in zip(timestamps, offsets, keys, values)
        ]
    else:
        bodies = [
            b"\0%b%b%b%b%b%b%b"
            % (size[stamp - first], offset, size[len(key)], key, size[len(value)], value, tail or NO_HEADERS)
            for stamp, offset, key, value, tail in zip(timestamps, offsets, keys, values, headers)
        ]
    pieces: list[bytes] = [b""] * (2 * len(bodies) + 1)
    pieces[0] = bytes(HEADER_SIZE)
    pieces[1::2] = map(size.__getitem__, map(len, bodies))
    pieces[2::2] = bodies
    return pieces


def _any_records(
    values: Sequence[Optional[bytes]],
    keys: Optional[Sequence[Optional[bytes]]],
    headers: Optional[Sequence[Optional[bytes]]],
    timestamps: Sequence[int],
) -> list[bytes]:
    """Return every record encoded, whatever it has and has not."""
    encoded = []
    for index, value in enumerate(values):
        key = None if keys is None else keys[index]
        tail = (None if headers is None else headers[index]) or NO_HEADERS
        body = b"\0%b%b%b%b%b" % (VARINTS[timestamps[index] - timestamps[0]], VARINTS[index], _sized(key), _sized(value), tail)
        encoded.append(VARINTS[len(body)] + body)
    return encoded


def plain_records(
    values: Sequence[Optional[bytes]],
    keys: Optional[Sequence[Optional[bytes]]],
    headers: Optional[Sequence[Optional[Headers]]],
    timestamps: Sequence[int],
) -> list[bytes]:
    """Return every record encoded, field by field: what the fast ways are tested against.

    :param headers: as pairs, unlike those of :func:`encode_batch`
    """
    encoded = []
    for index, value in enumerate(values):
        fields = [
            b"\0",
            VARINTS[timestamps[index] - timestamps[0]],
            VARINTS[index],
            _sized(None if keys is None else keys[index]),
            _sized(value),
        ]
        pairs = (headers[index] if headers is not None else None) or ()
        fields.append(VARINTS[len(pairs)])
        for name, content in pairs:
            fields += (_sized(name.encode()), _sized(content))
        body = b"".join(fields)
        encoded.append(VARINTS[len(body)] + body)
    return encoded


def _sized(content: Optional[bytes]) -> bytes:
    return b"\1" if content is None else VARINTS[len(content)] + content
