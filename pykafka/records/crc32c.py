"""CRC-32C (Castagnoli), which every record batch carries: by a wheel where there is one, else by lanes in pure Python.

The lanes treat the data as many rows side by side and step all their checksums at once: a table lookup for all rows is
one ``bytes.translate``, an exclusive-or of all rows one operation on a big integer. That is ten times as fast as a loop
over a table; the loop, :func:`crc32c_by_table`, is what it is tested against.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Callable, Optional

from .._errors.imports import warn_if_broken
from ..protocol.primitives import Buffer

_POLYNOMIAL = 0x82F63B78
#: Below this many bytes setting up lanes costs more than it saves.
_LANES_FROM = 2048


@lru_cache(maxsize=1)
def _table() -> list[int]:
    table = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
        table.append(value)
    return table


def crc32c_by_table(data: Buffer, value: int = 0) -> int:
    """Return the checksum, one byte after the other: slow and plain."""
    table = _table()
    state = value ^ 0xFFFFFFFF
    for byte in memoryview(data):
        state = table[(state ^ byte) & 255] ^ state >> 8
    return state ^ 0xFFFFFFFF


@lru_cache(maxsize=1)
def _byte_tables() -> tuple[bytes, bytes, bytes, bytes]:
    """Return the four bytes of all table entries, lowest first, as tables for bytes.translate."""
    table = _table()
    return tuple(bytes(value >> shift & 255 for value in table) for shift in (0, 8, 16, 24))  # type: ignore[return-value]


def _times(matrix: list[int], vector: int) -> int:
    """Return a vector of 32 bits multiplied by a matrix over GF(2), given as its columns."""
    product = 0
    for column in matrix:
        if vector & 1:
            product ^= column
        vector >>= 1
    return product


@lru_cache(maxsize=64)
def _shift_tables(count: int) -> list[list[int]]:
    """Return what ``count`` zero bytes do to a checksum state, as one table for each of its four bytes."""
    one_bit = [_POLYNOMIAL] + [1 << i for i in range(31)]
    power = one_bit
    for _ in range(3):
        power = [_times(power, column) for column in power]  # one zero byte is eight zero bits
    result: Optional[list[int]] = None
    left = count
    while left:
        if left & 1:
            result = power if result is None else [_times(power, column) for column in result]
        power = [_times(power, column) for column in power]
        left >>= 1
    assert result is not None
    return [[_times(result, byte << shift) for byte in range(256)] for shift in (0, 8, 16, 24)]


def crc32c_by_lanes(data: Buffer, value: int = 0) -> int:
    """Return the checksum, many bytes at a time."""
    raw = bytes(data)
    if len(raw) < _LANES_FROM:
        return crc32c_by_table(raw, value)
    # about as many lanes as steps; steps in powers of two, so that few shift tables are ever made
    steps = 1 << (len(raw).bit_length() // 2)
    lanes = len(raw) // steps
    used = steps * lanes
    # lane j is raw[j * steps : (j + 1) * steps]; c0..c3 hold the four bytes of all lanes' states, lowest byte first
    c0 = c1 = c2 = c3 = 0
    t0, t1, t2, t3 = _byte_tables()
    to_int = int.from_bytes
    for step in range(steps):  # hot: per byte of a lane
        index = (c0 ^ to_int(raw[step:used:steps], "little")).to_bytes(lanes, "little")
        c0 = c1 ^ to_int(index.translate(t0), "little")
        c1 = c2 ^ to_int(index.translate(t1), "little")
        c2 = c3 ^ to_int(index.translate(t2), "little")
        c3 = to_int(index.translate(t3), "little")
    s0, s1, s2, s3 = _shift_tables(steps)
    state = value ^ 0xFFFFFFFF
    columns = (column.to_bytes(lanes, "little") for column in (c0, c1, c2, c3))
    for b0, b1, b2, b3 in zip(*columns):  # hot: per lane
        state = s0[state & 255] ^ s1[state >> 8 & 255] ^ s2[state >> 16 & 255] ^ s3[state >> 24]
        state ^= b0 | b1 << 8 | b2 << 16 | b3 << 24
    return crc32c_by_table(raw[used:], state ^ 0xFFFFFFFF)


def _load() -> Callable[..., int]:
    """Return the fastest implementation at hand."""
    wheel: Any
    try:
        import crc32c as wheel
    except ImportError as error:
        warn_if_broken(error, "crc32c", "checksums may take longer")
    else:
        fastest: Callable[..., int] = wheel.crc32c
        return fastest
    try:
        import google_crc32c as google
    except ImportError as error:
        warn_if_broken(error, "google_crc32c", "checksums take longer")
        return crc32c_by_lanes

    def by_google(data: Buffer, value: int = 0) -> int:
        return int(google.extend(value, bytes(data)))  # it takes nothing but bytes

    # without its C part it is a table in Python: ours is faster
    return by_google if google.implementation == "c" else crc32c_by_lanes


_loaded: Optional[Callable[..., int]] = None


def load() -> None:
    """Return once the fastest implementation is loaded: importing it later may fail for want of a file descriptor.

    Producers and consumers call this when they are made: with the first batch it is too late for an error.

    :raises OSError: when it cannot be read just now; the next call tries again
    """
    crc32c(b"")


def crc32c(data: Buffer, value: int = 0) -> int:
    """Return the CRC-32C of ``data``, continuing from ``value``, the checksum of what came before."""
    global _loaded
    if _loaded is None:
        _loaded = _load()
    return _loaded(data, value)
