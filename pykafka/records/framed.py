"""Decodes records of any sizes: one cached ``struct`` per shape takes a record apart and shows whether the guess was right.

The shape is guessed from the record's length, the first byte of its key's size, and how many bytes the timestamp delta
before took; what the struct then returns is compared with what such a record must contain, the last things by columns.
A record that is not as guessed (a tombstone, one with headers, a long key) is read by :mod:`.quick`, and a batch whose
columns show a wrong guess is read again with a look at each timestamp delta: so any mix is decoded right.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Any, Callable, NamedTuple, Optional, Union

from .plain import Headers
from .quick import read_quickly
from .varints import decode_varint, encode_varint, offset_varints, width_segments

#: (timestamp deltas, keys or None, values, headers or None)
FoundWithHeaders = tuple[list[int], Optional[list[Optional[bytes]]], list[Optional[bytes]], Optional[list[Headers]]]


#: The bytes of a varint as they stand there. One or two are taken for a number, which is cheaper to make and to hold.
Field = Union[int, bytes]
_CODES = {1: "B", 2: "H"}


def _field(raw: bytes) -> Field:
    return int.from_bytes(raw, "little") if len(raw) in _CODES else raw


def _code(width: int) -> str:
    """Return what unpacks a field of so many bytes."""
    return _CODES.get(width) or f"{width}s"


@lru_cache(maxsize=1)
def _short_deltas() -> dict[Field, int]:
    """Return every field of one or two bytes -> the timestamp delta that it stands for.

    A second byte of 0, which nobody writes, would make the same number as a single byte that others should follow.
    """
    raws = [bytes([low]) for low in range(128)] + [bytes([low, high]) for low in range(128, 256) for high in range(1, 128)]
    return {_field(raw): decode_varint(raw, 0)[0] for raw in raws}


#: What each byte of a number of three adds to a delta that is not negative.
_FIRST, _SECOND, _THIRD = ([(byte & 127) << shift >> 1 for byte in range(256)] for shift in (0, 7, 14))
#: The bytes that others follow, and those of them that begin numbers that are not negative.
_FOLLOWED, _POSITIVE = bytes(range(128, 256)), bytes(range(128, 256, 2))


def _deltas(fields: list[Field]) -> Optional[list[int]]:
    """Return the timestamp deltas that ``fields`` stand for, None when one of them is no varint: its width was guessed wrong.

    Those of a batch that was written within eight seconds have one or two bytes, which a table knows; the longer ones differ
    all, so nothing is remembered of them.
    """
    # hot: per record, in C
    deltas = list(map(_short_deltas().get, fields))
    if None not in deltas:
        return deltas  # type: ignore[return-value]
    # in a log they are the last ones, as time goes on; what is mixed takes longer
    first = deltas.index(None)
    in_order = deltas.count(None) == len(deltas) - first
    long_fields = fields[first:] if in_order else [field for field, delta in zip(fields, deltas) if delta is None]
    found = None if int in set(map(type, long_fields)) else _long_deltas(long_fields)  # type: ignore[arg-type]
    if found is None:
        return None
    if in_order:
        return deltas[:first] + found  # type: ignore[return-value]
    long = iter(found)
    return [next(long) if delta is None else delta for delta in deltas]


def _long_deltas(fields: list[bytes]) -> Optional[list[int]]:
    """Return the deltas of fields of three bytes or more, None when one of them is no varint."""
    joined = b"".join(fields)
    lows, middles, highs = joined[0::3], joined[1::3], joined[2::3]
    # hot: per record with such a delta, in C but for the sum
    if len(joined) > 3 * len(fields) or lows.translate(None, _POSITIVE):
        if any(field[:-1].translate(None, _FOLLOWED) or field[-1] > 127 for field in fields):
            return None
        return [decode_varint(field, 0)[0] for field in fields]
    if middles.translate(None, _FOLLOWED) or not highs.isascii():
        return None
    first, second, third = _FIRST, _SECOND, _THIRD
    return [first[a] + second[b] + third[c] for a, b, c in zip(lows, middles, highs)]


class _Frame(NamedTuple):
    """How to take a record of one shape apart: unpack(body, at) -> a row of ``_FIELDS`` fields."""

    unpack: Callable[[bytes, int], tuple[Any, ...]]
    value_size: Field
    length: int


#: A row: timestamp delta, offset delta, first byte of the key's size, key, size of the value, value, number of headers, and the
#: two bytes behind; the numbers as they are written. Rows lie one behind the other in a flat list: a column is a slice.
_FIELDS = 8
#: How the size of no key is written.
_NO_KEY = 1
#: A frame takes most of a kilobyte, and there are some thousand tables of them: the bound is for all together.
MAX_FRAMES = 20_000


class _Frames(dict[int, Optional[_Frame]]):
    """The first two bytes of a record, as a number -> its frame, or None when no plain record looks like that.

    Of a record shorter than 64 bytes the second byte is the attributes, and so 0.
    """

    made = 0

    def __init__(self, stamp_width: int, offset_width: int, key_byte: int) -> None:
        super().__init__()
        self._shape = stamp_width, offset_width, key_byte

    def __missing__(self, start: int) -> Optional[_Frame]:
        if _Frames.made >= MAX_FRAMES:
            _forget()
        _Frames.made += 1
        frame = self[start] = self._make(start)
        return frame

    def _make(self, start: int) -> Optional[_Frame]:
        stamp_width, offset_width, key_byte = self._shape
        size, place = decode_varint(start.to_bytes(3, "little"), 0)
        # odd numbers are negative: 1 stands for -1, no key; from 128 on the size has a second byte
        if place > 2 or start >> 8 * place or key_byte > 127 or (key_byte & 1 and key_byte != _NO_KEY):
            return None
        key = 0 if key_byte == _NO_KEY else key_byte >> 1
        for size_width in (1, 2):
            value = size - 1 - stamp_width - offset_width - 1 - key - size_width - 1
            if value >= 0 and len(encode_varint(value)) == size_width:
                fmt = f"<{place + 1}x{_code(stamp_width)}{_code(offset_width)}B{key}s{_code(size_width)}{value}sBH"
                return _Frame(struct.Struct(fmt).unpack_from, _field(encode_varint(value)), place + size)
        return None


class _Tables(dict[tuple[int, int], list[_Frames]]):
    """Width of timestamp delta and offset delta -> a table of frames for every first byte of a key's size."""

    def __missing__(self, widths: tuple[int, int]) -> list[_Frames]:
        tables = self[widths] = [_Frames(*widths, key_byte) for key_byte in range(256)]
        return tables


_frames = _Tables()


def _forget() -> None:
    for tables in list(_frames.values()):  # other threads may add some meanwhile
        for table in tables:
            table.clear()
    _Frames.made = 0


#: So many runs shorter than that, and a batch is read record by record: its widths change too often to be guessed.
_MOST_SHORT_RUNS, _SHORT_RUN = 8, 8


def framed_columns(body: bytes, count: int) -> Optional[FoundWithHeaders]:
    """Return the columns of ``count`` dense records, or None where the offset deltas are not written the usual way.

    :raises ValueError: or IndexError, or struct.error, when they are not well-formed
    """
    padded = body + b"\0\0"  # what a row says of the record behind it, for the last one
    for read in (_read_guessing, _read_rows):
        flat: list[Any] = []
        headers: dict[int, Headers] = {}
        at = 0
        for low, high, width in width_segments(count):
            at = read(padded, at, range(low, high), width, flat, headers)
        deltas = _deltas(flat[0::_FIELDS])
        # a wrong guess shows here, if not while reading
        if deltas is not None and at == len(body) and flat[1::_FIELDS] == _offset_fields(count) and not any(flat[6::_FIELDS]):
            found_headers = [headers.get(index) or [] for index in range(count)] if headers else None
            return deltas, _keys(flat), flat[5::_FIELDS], found_headers
    return None


def _keys(flat: list[Any]) -> Optional[list[Optional[bytes]]]:
    """Return the keys in the rows, None when no record has one."""
    sizes, keys = flat[2::_FIELDS], flat[3::_FIELDS]
    without = sizes.count(_NO_KEY)
    if without == len(sizes):
        return None
    if without:
        return [None if size == _NO_KEY else key for size, key in zip(sizes, keys)]
    return keys


def _read_guessing(body: bytes, at: int, indexes: range, width: int, flat: list[Any], headers: dict[int, Headers]) -> int:
    """Do what :func:`_read_rows` does, and quicker where most timestamp deltas are as wide as the one before."""
    index, short_runs = indexes.start, 0
    while index < indexes.stop and short_runs < _MOST_SHORT_RUNS:
        stamp_at = at + 3 if body[at] & 128 else at + 2
        stamp_width = 1 if body[stamp_at] < 128 else 2 if body[stamp_at + 1] < 128 else 3
        found, at = _read_run(body, at, indexes.stop - index, stamp_width, width, flat)
        index += found
        if not found:
            at = _read_rows(body, at, range(index, index + 1), width, flat, headers)
            index += 1
        short_runs += found < _SHORT_RUN
    return _read_rows(body, at, range(index, indexes.stop), width, flat, headers)


def _read_run(body: bytes, at: int, most: int, stamp_width: int, width: int, flat: list[Any]) -> tuple[int, int]:
    """Add rows for as long as records look as if their timestamp deltas had ``stamp_width`` bytes; return (how many, behind).

    Whether they had, and really no headers, only the columns show: a guess is often noticed here when it is wrong, not always.
    """
    extend = flat.extend
    tables = _frames[(stamp_width, width)]
    short, long = 2 + stamp_width + width, 3 + stamp_width + width
    start = body[at] | body[at + 1] << 8
    for number in range(most):  # hot: per record
        frame = tables[body[at + (long if start & 128 else short)]][start]
        if frame is None:
            return number, at
        unpack, value_size, length = frame
        row = unpack(body, at)
        if row[4] != value_size:
            return number, at
        extend(row)
        at += length
        start = row[7]
    return most, at


def _read_rows(body: bytes, at: int, indexes: range, width: int, flat: list[Any], headers: dict[int, Headers]) -> int:
    """Add the rows of records whose offset deltas take ``width`` bytes to ``flat``, return the place behind."""
    extend = flat.extend
    one, two, three = _frames[(1, width)], _frames[(2, width)], _frames[(3, width)]
    behind_one, behind_two, behind_three = width + 1, width + 2, width + 3
    odd = 0  # so many records in a row were not as guessed: after two, guessing is not worth it
    for index in indexes:  # hot: per record
        if odd < 2:
            start = body[at] | body[at + 1] << 8
            stamp_at = at + 3 if start & 128 else at + 2
            if body[stamp_at] < 128:
                frame = one[body[stamp_at + behind_one]][start]
            elif body[stamp_at + 1] < 128:
                frame = two[body[stamp_at + behind_two]][start]
            else:
                frame = three[body[stamp_at + behind_three]][start] if body[stamp_at + 2] < 128 else None
            if frame is not None:
                unpack, value_size, length = frame
                row = unpack(body, at)
                if row[4] == value_size and not row[6]:
                    extend(row)
                    at += length
                    continue
        stamp, offset, key, value, pairs, at = read_quickly(body, at)
        extend((_field(stamp), _field(offset), _NO_KEY if key is None else 0, key, b"", value, 0, 0))
        odd = odd + 1 if pairs or value is None else 0
        if pairs:
            headers[index] = pairs
    return at


#: From this offset delta on the field has more than two bytes.
_LONG_OFFSETS = 1 << 13


def _offset_fields(count: int) -> list[Field]:
    """Return the fields of the offset deltas 0 to ``count - 1``."""
    return [*_short_offset_fields()[:count], *offset_varints(count)[_LONG_OFFSETS:count]]


@lru_cache(maxsize=1)
def _short_offset_fields() -> list[Field]:
    return [_field(varint) for varint in offset_varints(_LONG_OFFSETS)[:_LONG_OFFSETS]]
