"""Decodes records of any sizes: one cached ``struct`` per shape takes a record apart and shows whether the guess was right.

The shape is guessed from the record's length and two bytes inside it; what the struct then returns is compared with
what such a record must contain. A record that is not as guessed (a tombstone, one with headers, a long key) is read
field by field, so any mix is decoded right.
"""

from __future__ import annotations

import struct
from typing import Callable, NamedTuple, Optional

from .plain import Headers, read_record
from .varints import MAX_ENTRIES, decode_varint, encode_varint, offset_varints, width_segments

#: (timestamp deltas, keys or None, values, headers or None)
FoundWithHeaders = tuple[list[int], Optional[list[Optional[bytes]]], list[Optional[bytes]], Optional[list[Headers]]]


class _Frame(NamedTuple):
    """How to take a record of one shape apart: unpack(body, at) -> (stamp, offset, key, value size, value, headers)."""

    unpack: Callable[[bytes, int], tuple[bytes, bytes, bytes, bytes, bytes, int]]
    value_size: bytes
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
                fmt = f"<x{stamp_width}s{offset_width}sx{key}s{size_width}s{value}sB"
                return _Frame(struct.Struct(fmt).unpack_from, encode_varint(value), key_byte != 1)
        return None


#: Longer records are read field by field: copying them costs more than taking them apart, and few have the same length.
_LONGEST = 8192
_frames = {(stamp, offset): _Frames(stamp, offset) for stamp in (1, 2, 3) for offset in (1, 2, 3, 4, 5)}


class _Stamps(dict[bytes, int]):
    """The bytes of a timestamp delta -> the delta."""

    def __missing__(self, raw: bytes) -> int:
        if len(self) >= MAX_ENTRIES:
            self.clear()
        value, end = decode_varint(raw, 0)
        if end != len(raw):
            raise ValueError("a timestamp delta shorter than its bytes")
        self[raw] = value
        return value


_stamps = _Stamps()


def framed_columns(body: bytes, count: int) -> Optional[FoundWithHeaders]:
    """Return the columns of ``count`` dense records, or None where the offset deltas are not written the usual way.

    :raises ValueError: or IndexError, or struct.error, when they are not well-formed
    """
    stamps: list[bytes] = []
    offsets: list[bytes] = []
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
            stamp, offset, key_or_none, value_or_none, pairs, at = read_record(body, start)
            add_stamp(stamp)
            add_offset(offset)
            add_key(key_or_none)
            add_value(value_or_none)
            if pairs:
                headers[index] = pairs
    if at != len(body) or offsets != offset_varints(count)[:count]:
        return None
    found_keys = keys if keys.count(None) != count else None
    found_headers = [headers.get(index) or [] for index in range(count)] if headers else None
    return list(map(_stamps.__getitem__, stamps)), found_keys, values, found_headers
