"""Decodes records field by field: slow, readable, and right for every record there can be."""

from __future__ import annotations

from typing import Optional

from .varints import decode_varint

Headers = list[tuple[str, Optional[bytes]]]
#: (offset deltas, timestamp deltas, keys, values, headers)
PlainColumns = tuple[list[int], list[int], list[Optional[bytes]], list[Optional[bytes]], list[Headers]]


def plain_columns(body: bytes, count: int, last_offset_delta: int) -> PlainColumns:
    """Return the columns of the ``count`` records in ``body``.

    :raises ValueError: or IndexError, when they are not exactly ``count`` well-formed records in ascending order
    """
    offsets: list[int] = []
    stamps: list[int] = []
    keys: list[Optional[bytes]] = []
    values: list[Optional[bytes]] = []
    headers: list[Headers] = []
    at = 0
    for _ in range(count):
        raw_stamp, raw_offset, key, value, pairs, at = read_record(body, at)
        offset = decode_varint(raw_offset, 0)[0]
        if not (offsets[-1] if offsets else -1) < offset <= last_offset_delta:
            raise ValueError(f"offset delta {offset} is out of order; the last one is {last_offset_delta}")
        offsets.append(offset)
        stamps.append(decode_varint(raw_stamp, 0)[0])
        keys.append(key)
        values.append(value)
        headers.append(pairs)
    if at != len(body):
        raise ValueError(f"{len(body) - at} bytes are left behind the last record")
    return offsets, stamps, keys, values, headers


def read_record(body: bytes, at: int) -> tuple[bytes, bytes, Optional[bytes], Optional[bytes], Headers, int]:
    """Return (timestamp delta, offset delta, key, value, headers, place behind) of one record; the deltas still encoded.

    :raises ValueError: or IndexError, when it is not well-formed
    """
    size, at = decode_varint(body, at)
    end = at + size
    if size < 0 or end > len(body):
        raise ValueError(f"a record of {size} bytes at byte {at} of {len(body)}")
    stamp_at = at + 1  # attributes: without meaning so far
    offset_at = decode_varint(body, stamp_at)[1]
    at = decode_varint(body, offset_at)[1]
    stamp, offset = body[stamp_at:offset_at], body[offset_at:at]
    key, at = _sized(body, at, end)
    value, at = _sized(body, at, end)
    pairs, at = read_headers(body, at, end)
    if at != end:
        raise ValueError(f"a record ends at byte {at} instead of {end}")
    return stamp, offset, key, value, pairs, at


def _sized(body: bytes, at: int, end: int) -> tuple[Optional[bytes], int]:
    size, at = decode_varint(body, at)
    if size == -1:
        return None, at
    if size < 0 or at + size > end:
        raise ValueError(f"a field of {size} bytes at byte {at} of a record that ends at {end}")
    return body[at : at + size], at + size


def read_headers(body: bytes, at: int, end: int) -> tuple[Headers, int]:
    """Return the headers that begin at ``at``, as pairs, and the place behind them.

    :raises ValueError: for what cannot be headers
    """
    count, at = decode_varint(body, at)
    if count < 0 or count > end - at:
        raise ValueError(f"{count} headers at byte {at} of a record that ends at {end}")
    pairs: Headers = []
    for _ in range(count):
        name, at = _sized(body, at, end)
        if name is None:
            raise ValueError(f"a header without a name at byte {at}")
        value, at = _sized(body, at, end)
        pairs.append((name.decode(), value))
    return pairs, at
