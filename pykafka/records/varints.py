"""Zig-zag varints as they stand in records: tables from number to bytes, and the plain readers that need no table."""

from __future__ import annotations

from typing import Callable

#: No cache here holds more entries than this; one that is full is emptied and fills again.
MAX_ENTRIES = 20000
#: The most offset deltas that are kept ready; a longer batch has them made for it alone.
MAX_OFFSETS = 1 << 17


def encode_varint(value: int) -> bytes:
    """Return ``value`` (64 bits, signed) as a zig-zag varint.

    :raises ValueError: for a larger one, which would be read back as another number
    """
    if not -(2**63) <= value < 2**63:
        raise ValueError(f"{value} does not fit into 64 bits: timestamps in one batch must not lie that far apart")
    value = value << 1 ^ value >> 63
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def decode_varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the zig-zag varint at ``at`` and the place behind it.

    :raises ValueError: for one of more than ten bytes
    :raises IndexError: when the data ends inside it
    """
    byte = data[at]
    at += 1
    value = byte & 127
    shift = 7
    while byte > 127:
        if shift > 63:
            raise ValueError(f"a varint at byte {at - 10} has more than ten bytes")
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
    return value >> 1 ^ -(value & 1), at


class Cache(dict[int, bytes]):
    """A dict that makes missing entries by a function: its ``__getitem__`` maps whole columns at the speed of C.

    :param most: how many entries it has at most; with one more it begins anew
    """

    def __init__(self, make: Callable[[int], bytes], most: int = MAX_ENTRIES) -> None:
        super().__init__()
        self._make = make
        self._most = most

    def __missing__(self, key: int) -> bytes:
        if len(self) >= self._most:
            self.clear()
        made = self[key] = self._make(key)
        return made


#: number -> its varint
VARINTS = Cache(encode_varint)



class _Numbers(dict[bytes, int]):
    """The bytes of one varint -> the number."""

    def __missing__(self, raw: bytes) -> int:
        if len(self) >= MAX_ENTRIES:
            self.clear()
        value, end = decode_varint(raw, 0)
        if end != len(raw):
            raise ValueError("a varint shorter than its bytes")
        self[raw] = value
        return value


#: varint -> its number
NUMBERS = _Numbers()

_offsets: list[bytes] = []


def offset_varints(count: int) -> list[bytes]:
    """Return the varints of 0 to at least ``count - 1``: what the offset deltas of a dense batch look like.

    The list is shared, and as long as the longest batch so far asked for, up to MAX_OFFSETS.
    """
    global _offsets
    if count > MAX_OFFSETS:
        return [encode_varint(delta) for delta in range(count)]
    if len(_offsets) < count:
        # replaced, never appended to: two threads may find it short at once
        _offsets = [encode_varint(delta) for delta in range(max(1024, 1 << (count - 1).bit_length()))]
    return _offsets


def width_segments(count: int) -> list[tuple[int, int, int]]:
    """Return (from, to, bytes) for the ranges of 0 to ``count - 1`` whose varints have the same number of bytes."""
    return [(low, min(high, count), width) for low, high, width in _WIDTHS if low < count]


#: Zig-zag doubles a number, so one byte holds 64 of them, two hold 8192, and so on.
_WIDTHS = ((0, 1 << 6, 1), (1 << 6, 1 << 13, 2), (1 << 13, 1 << 20, 3), (1 << 20, 1 << 27, 4), (1 << 27, 1 << 31, 5))
