"""Decodes records that are all alike in shape, by slices with a stride: the fastest way, and the least readable one.

Records whose length fields agree lie at equal distances, so a field is a slice with a stride, and whether it is what it
must be everywhere is one comparison in C. What may differ is followed in *runs*: the offset delta grows a byte at record
64 and 8192, the timestamp delta after 64 ms and 8 s. Many short runs are not worth it: then the caller tries framed.py.
Every byte of every record is either checked here or returned.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import chain
from struct import Struct
from typing import NamedTuple, Optional

from .varints import MAX_OFFSETS, decode_varint, offset_varints, width_segments

#: (timestamp deltas or None for all zero, keys or None, values)
Found = tuple[Optional[list[int]], Optional[list[Optional[bytes]]], list[Optional[bytes]]]

#: A first run below this many records means that sizes are mixed.
_LEAST_RUN = 16
#: Three widths of offsets, three of timestamps, and some change.
_MOST_RUNS = 12
_UNZIGZAG = [byte >> 1 ^ -(byte & 1) for byte in range(128)]


class _Shape(NamedTuple):
    """How the records of a run look; sizes in bytes, ``key`` is -1 for none."""

    length: bytes
    stamp_width: int
    offset_width: int
    key: int
    key_byte: int
    value: int
    value_size: bytes

    @property
    def head(self) -> int:
        return len(self.length) + 1 + self.stamp_width + self.offset_width + 1


def uniform_columns(body: bytes, count: int) -> Optional[Found]:
    """Return the columns of ``count`` dense records without headers, or None where they are not alike enough."""
    stamps: list[int] = []
    values: list[Optional[bytes]] = []
    keys: list[Optional[bytes]] = []
    at = index = runs = 0
    for _low, high, width in width_segments(count):
        while index < high:
            shape = _shape_at(body, at, width)
            runs += 1
            if shape is None or runs > _MOST_RUNS:
                return None
            length, at = _read_run(body, at, shape, low=index, high=high, found=(stamps, keys, values))
            # the width of the offset delta cuts runs short as well: at the first ones there is nothing to conclude
            if length == 0 or (length < _LEAST_RUN and index + length < high):
                return None
            index += length
    if at != len(body):
        return None
    all_zero = stamps.count(0) == count
    return None if all_zero else stamps, keys or None, values


def _shape_at(body: bytes, at: int, offset_width: int) -> Optional[_Shape]:
    """Return the shape of the record at ``at``, or None when it is no plain one."""
    try:
        size, start = decode_varint(body, at)
        length = body[at:start]
        stamp_width = 1
        while body[start + stamp_width] > 127:
            stamp_width += 1
        place = start + 1 + stamp_width + offset_width
        key, after = decode_varint(body, place)
        if after != place + 1 or key < -1:
            return None
        value_at = after + max(key, 0)
        value, after = decode_varint(body, value_at)
    except (IndexError, ValueError):
        return None
    # and one byte for the count of headers, which is none
    if value < 0 or after + value + 1 != start + size or stamp_width > 3:
        return None
    return _Shape(length, stamp_width, offset_width, key, body[place], value, body[value_at:after])


def _read_run(
    body: bytes,
    at: int,
    shape: _Shape,
    *,
    low: int,
    high: int,
    found: tuple[list[int], list[Optional[bytes]], list[Optional[bytes]]],
) -> tuple[int, int]:
    """Add the run of records shaped like ``shape`` to ``found``; return how many and the place behind, 0 when none fits."""
    stride = shape.head + max(shape.key, 0) + len(shape.value_size) + shape.value + 1
    count = _run_length(body, at, shape.length, stride, min(high - low, (len(body) - at) // stride))
    end = at + count * stride
    place = at + len(shape.length)
    if body[place:end:stride].count(0) != count:  # attributes
        return 0, at
    place += 1
    stamp_columns = [body[place + byte : end : stride] for byte in range(shape.stamp_width)]
    for column in stamp_columns[:-1]:
        if column.translate(_TOP_BIT).count(1) != count:
            return 0, at
    if not stamp_columns[-1].isascii():
        return 0, at
    place += shape.stamp_width
    # hot: per record, in C
    for byte, column in enumerate(_offset_columns(low, low + count, shape.offset_width)):
        if body[place + byte : end : stride] != column:
            return 0, at
    place += shape.offset_width
    if body[place:end:stride].count(shape.key_byte) != count or body[at + stride - 1 : end : stride].count(0) != count:
        return 0, at
    place += 1 + max(shape.key, 0)
    for byte, wanted in enumerate(shape.value_size):
        if body[place + byte : end : stride].count(wanted) != count:
            return 0, at
    stamps, keys, values = found
    stamps += _stamps(stamp_columns)
    records = _unpacker(shape.head, shape.key, len(shape.value_size), shape.value).iter_unpack(memoryview(body)[at:end])
    if shape.key < 0:
        if keys:
            return 0, at  # some with and some without a key: not for us
        values += [value for (value,) in records]
    else:
        if len(keys) != low:
            return 0, at
        pairs = list(chain.from_iterable(records))
        keys += pairs[0::2]
        values += pairs[1::2]
    return count, end


#: byte -> 1 when its top bit is set, else 0
_TOP_BIT = bytes(128) + bytes([1]) * 128


def _run_length(body: bytes, at: int, length: bytes, stride: int, most: int) -> int:
    """Return how many records from ``at`` on, at most ``most``, have this length field."""
    for byte, wanted in enumerate(length):
        column = body[at + byte : at + most * stride : stride]
        if column.count(wanted) != most:
            most = most - len(column.lstrip(bytes((wanted,))))
    return most


def _offset_columns(low: int, high: int, width: int) -> list[bytes]:
    """Return what the offset deltas ``low`` to ``high - 1``, all ``width`` bytes wide, look like, byte by byte."""
    ready = 1 << (high - 1).bit_length()
    columns = _all_offset_columns(width, ready) if ready <= MAX_OFFSETS else _make_offset_columns(width, high)
    return [column[low:high] for column in columns]


@lru_cache(maxsize=16)
def _all_offset_columns(width: int, high: int) -> list[bytes]:
    return _make_offset_columns(width, high)


def _make_offset_columns(width: int, high: int) -> list[bytes]:
    # shorter ones are filled up: nobody looks at them
    varints = offset_varints(high)[:high]
    return [bytes(varint[byte] if len(varint) == width else 0 for varint in varints) for byte in range(width)]


@lru_cache(maxsize=256)
def _unpacker(head: int, key: int, value_size: int, value: int) -> Struct:
    if key < 0:
        return Struct(f"{head + value_size}x{value}sx")
    return Struct(f"{head}x{key}s{value_size}x{value}sx")


def _stamps(columns: list[bytes]) -> list[int]:
    """Return the timestamp deltas from their bytes, lowest first."""
    if len(columns) == 1:
        column = columns[0]
        if column.count(column[0]) == len(column):
            return [_UNZIGZAG[column[0]]] * len(column)
        return [_UNZIGZAG[byte] for byte in column]
    if len(columns) == 2:
        numbers = [low & 127 | high << 7 for low, high in zip(*columns)]
    else:
        numbers = [low & 127 | (middle & 127) << 7 | high << 14 for low, middle, high in zip(*columns)]
    return [number >> 1 ^ -(number & 1) for number in numbers]
