"""Reads records whose sizes take a byte or two without a call per field; any other goes the plain way."""

from __future__ import annotations

from operator import ge
from struct import Struct
from typing import Any, Callable, NamedTuple, Optional

from .plain import Headers, PlainColumns, plain_columns, read_headers, read_record
from .varints import NUMBERS, VARINTS


class _Layout(NamedTuple):
    """The headers of a record but for their values: unpack(body, at) -> (what stands before a value, value, ...)."""

    unpack: Callable[[bytes, int], tuple[Any, ...]]
    fixed: tuple[bytes, ...]
    names: list[str]
    without_value: list[int]


#: How many bytes the headers take -> how the first ones of that length looked, None for those that are read one by one:
#: programs write the same names again and again, and values of the same few lengths.
_layouts: dict[int, Optional[_Layout]] = {}
_MAX_LAYOUTS = 1000
_LONGEST = 1024


def _remember(raw: bytes, pairs: Headers) -> None:
    if len(_layouts) >= _MAX_LAYOUTS:
        _layouts.clear()
    _layouts[len(raw)] = _layout(raw, pairs) if len(raw) <= _LONGEST else None


def _layout(raw: bytes, pairs: Headers) -> Optional[_Layout]:
    fixed: list[bytes] = []
    fmt, place, before = "<", 0, VARINTS[len(pairs)]
    for name, value in pairs:
        encoded = name.encode()
        size = 0 if value is None else len(value)
        before += VARINTS[len(encoded)] + encoded + (b"\1" if value is None else VARINTS[size])
        if raw[place : place + len(before)] != before:
            return None  # a size written with more bytes than it needs
        fixed.append(before)
        fmt += f"{len(before)}s{size}s"
        place += len(before) + size
        before = b""
    without_value = [index for index, (_name, value) in enumerate(pairs) if value is None]
    return _Layout(Struct(fmt).unpack_from, tuple(fixed), [name for name, _value in pairs], without_value)


def quick_columns(body: bytes, count: int, last_offset_delta: int) -> PlainColumns:
    """Return what :func:`.plain.plain_columns` returns.

    :raises ValueError: or IndexError, as that does
    """
    rows = []
    at = 0
    for _ in range(count):  # hot: per record of a compacted batch
        row = read_quickly(body, at)
        at = row[5]
        rows.append(row)
    if not rows or at != len(body):
        return plain_columns(body, count, last_offset_delta)
    stamps, raw_offsets, keys, values, headers, _ = zip(*rows)
    offsets = list(map(NUMBERS.__getitem__, raw_offsets))
    if offsets[-1] > last_offset_delta or any(map(ge, [-1, *offsets], offsets)):
        return plain_columns(body, count, last_offset_delta)  # which says what is wrong
    return offsets, list(map(NUMBERS.__getitem__, stamps)), list(keys), list(values), list(headers)


def read_quickly(body: bytes, start: int) -> tuple[bytes, bytes, Optional[bytes], Optional[bytes], Headers, int]:
    """Return what :func:`.plain.read_record` returns.

    Every size is checked not to be negative, so places only grow: whatever leads beyond the record's end cannot come
    back to end exactly there, which is checked last. Who fails a check is read the plain way, which raises the error.

    :raises ValueError: or IndexError, when the record is not well-formed
    """
    try:
        return _read(body, start) or read_record(body, start)
    except (IndexError, ValueError):
        return read_record(body, start)


def _read(body: bytes, start: int) -> Optional[tuple[bytes, bytes, Optional[bytes], Optional[bytes], Headers, int]]:
    """Return the record, or None where a size takes three bytes and more, or anything is wrong."""
    # hot: per record with headers, a tombstone or a long key, and per record of a compacted batch
    size = body[start]
    at = start + 1
    if size > 127:
        size = size & 127 | body[at] << 7
        at += 1
    if size & 1 or size > 16383:
        return None
    end = at + (size >> 1)
    stamp_at = at + 1
    at = stamp_at + 1
    while body[at - 1] > 127:
        at += 1
    offset_at = at
    at += 1
    while body[at - 1] > 127:
        at += 1
    if at - offset_at > 5 or offset_at - stamp_at > 5:
        return None
    offset_end = at
    key: Optional[bytes] = None
    size = body[at]
    at += 1
    if size != 1:
        if size > 127:
            size = size & 127 | body[at] << 7
            at += 1
        if size & 1 or size > 16383:
            return None
        key = body[at : at + (size >> 1)]
        at += size >> 1
    value: Optional[bytes] = None
    size = body[at]
    at += 1
    if size != 1:
        if size > 127:
            size = size & 127 | body[at] << 7
            at += 1
        if size & 1 or size > 16383:
            return None
        value = body[at : at + (size >> 1)]
        at += size >> 1
    pairs: Headers = []
    if body[at]:
        pairs, at = _headers(body, at, end)
    else:
        at += 1
    if at != end or end > len(body):
        return None
    return body[stamp_at:offset_at], body[offset_at:offset_end], key, value, pairs, at


def _headers(body: bytes, at: int, end: int) -> tuple[Headers, int]:
    """Return the headers at ``at`` and the place behind.

    :raises ValueError: or IndexError, for what cannot be headers
    """
    length = end - at
    layout = _layouts.get(length)
    if layout is not None and end <= len(body):
        unpack, fixed, names, without_value = layout
        fields = unpack(body, at)
        if fields[0::2] == fixed:
            pairs: Headers = list(zip(names, fields[1::2]))
            for index in without_value:
                pairs[index] = (names[index], None)
            return pairs, end
    pairs, behind = read_headers(body, at, end)
    if behind == end and layout is None and length not in _layouts:
        _remember(body[at:end], pairs)
    return pairs, behind
