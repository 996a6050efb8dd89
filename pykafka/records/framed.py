"""Decodes records of any sizes: one cached ``struct`` per shape takes a record apart and shows whether the guess was right.

The shape is guessed from the record's length and two bytes inside it; what the struct then returns is compared with
what such a record must contain. A record that is not as guessed (a tombstone, one with headers, a long key) is read
field by field, so any mix is decoded right.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Callable, NamedTuple, Optional, Union

from .plain import Headers, read_record
from .varints import MAX_ENTRIES, decode_varint, encode_varint, offset_varints, width_segments

#: (timestamp deltas, keys or None, values, headers or None)
FoundWithHeaders = tuple[list[int], Optional[list[Optional[bytes]]], list[Optional[bytes]], Optional[list[Headers]]]


#: The bytes of a varint as they stand there. One or two are taken for a number, which is cheaper to make and to hold.
Field = Union[int, bytes]
_NUMBERS = {1: "B", 2: "H"}


def _field(raw: bytes) -> Field:
    return int.from_bytes(raw, "little") if len(raw) in _NUMBERS else raw


def _code(width: int) -> str:
    """Return what unpacks a field of so many bytes."""
    return _NUMBERS.get(width) or f"{width}s"


class _Frame(NamedTuple):
    """How to take a record of one shape apart: unpack(body, at) -> (stamp, offset, key, value size, value, headers)."""

    unpack: Callable[[bytes, int], tuple[Field, Field, bytes, Field, bytes, int]]
    value_size: Field
    has_key: bool


#: A frame takes most of a kilobyte, and there are fifteen tables of them.
MAX_FRAMES = 4000


class _Frames(dict[int, Optional[_Frame]]):
    """(record length << 8 | first byte of the key size) -> its frame, or None when no plain record looks like that."""

    def __init__(self, stamp_width: int, offset_width: int) -> None:
        super().__init__()
        self._widths = stamp_width, offset_width

    def __missing__(self, shape: int) -> Optional[_Frame]:
        if shape >> 8 > _LONGEST:
            return None
        if len(self) >= MAX_FRAMES:
            self.clear()
        frame = self[shape] = self._make(shape >> 8, shape & 255)
        return frame

    def _make(self, length: int, key_byte: int) -> Optional[_Frame]:
        # odd numbers are negative: 1 stands for -1, no key; from 128 on the size has a second byte
        if key_byte > 127 or (key_byte & 1 and key_byte != 1):
            return None
        key = 0 if key_byte == 1 else key_byte >> 1
        stamp_width, offset_width = self._widths
        for size_width in range(1, 6):
            value = length - 1 - stamp_width - offset_width - 1 - key - size_width - 1
            if value >= 0 and len(encode_varint(value)) == size_width:
                fmt = f"<x{_code(stamp_width)}{_code(offset_width)}x{key}s{_code(size_width)}{value}sB"
                return _Frame(struct.Struct(fmt).unpack_from, _field(encode_varint(value)), key_byte != 1)
        return None


#: Longer records are read field by field: copying them costs more than taking them apart, and few have the same length.
_LONGEST = 8192
_frames = {(stamp, offset): _Frames(stamp, offset) for stamp in (1, 2, 3) for offset in (1, 2, 3, 4, 5)}


class _Stamps(dict[Field, int]):
    """The field of a timestamp delta -> the delta."""

    def __missing__(self, field: Field) -> int:
        if len(self) >= MAX_ENTRIES:
            self.clear()
        # the first of two bytes has its top bit set
        raw = field if isinstance(field, bytes) else field.to_bytes(1 if field < 128 else 2, "little")
        value, end = decode_varint(raw, 0)
        if end != len(raw):
            raise ValueError("a timestamp delta shorter than its bytes")
        self[field] = value
        return value


_stamps = _Stamps()


def framed_columns(body: bytes, count: int) -> Optional[FoundWithHeaders]:
    """Return the columns of ``count`` dense records, or None where the offset deltas are not written the usual way.

    :raises ValueError: or IndexError, or struct.error, when they are not well-formed
    """
    stamps: list[Field] = []
    offsets: list[Field] = []
    keys: list[Optional[bytes]] = []
    values: list[Optional[bytes]] = []
    headers: dict[int, Headers] = {}
    at = 0
    add_stamp, add_offset, add_key, add_value = stamps.append, offsets.append, keys.append, values.append
    for low, high, width in width_segments(count):
        one, two, three = (_frames[(stamp, width)] for stamp in (1, 2, 3))
        for index in range(low, high):  # hot: per record
            start = at
            size = body[at]
            at += 1
            if size > 127:
                byte = body[at]
                at += 1
                size = size & 127 | (byte & 127) << 7
                if byte > 127:
                    byte = body[at]
                    size = size | byte << 14 if byte < 128 else 1  # four bytes and more: as odd as a negative length
                    at += 1
            # size is twice the length, and odd when negative: that sets the bit no plain key size has
            if body[at + 1] < 128:
                frame = one[size << 7 | body[at + 2 + width]]
            elif body[at + 2] < 128:
                frame = two[size << 7 | body[at + 3 + width]]
            else:
                frame = three[size << 7 | body[at + 4 + width]] if body[at + 3] < 128 else None
            if frame is not None:
                stamp, offset, key, value_size, value, headers_byte = frame[0](body, at)
                if value_size == frame[1] and not headers_byte:
                    add_stamp(stamp)
                    add_offset(offset)
                    add_key(key if frame[2] else None)
                    add_value(value)
                    at += size >> 1
                    continue
            raw_stamp, raw_offset, key_or_none, value_or_none, pairs, at = read_record(body, start)
            add_stamp(_field(raw_stamp))
            add_offset(_field(raw_offset))
            add_key(key_or_none)
            add_value(value_or_none)
            if pairs:
                headers[index] = pairs
    if at != len(body) or offsets != _offset_fields(count):
        return None
    found_keys = keys if keys.count(None) != count else None
    found_headers = [headers.get(index) or [] for index in range(count)] if headers else None
    return list(map(_stamps.__getitem__, stamps)), found_keys, values, found_headers


#: From this offset delta on the field has more than two bytes.
_LONG_OFFSETS = 1 << 13


def _offset_fields(count: int) -> list[Field]:
    """Return the fields of the offset deltas 0 to ``count - 1``."""
    return [*_short_offset_fields()[:count], *offset_varints(count)[_LONG_OFFSETS:count]]


@lru_cache(maxsize=1)
def _short_offset_fields() -> list[Field]:
    return [_field(varint) for varint in offset_varints(_LONG_OFFSETS)[:_LONG_OFFSETS]]
