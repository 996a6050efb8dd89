"""``struct`` with the strings, byte arrays and arrays of Kafka's protocol."""

from __future__ import annotations

import struct
from typing import Any, Union

from ..exceptions import ProtocolError

Buffer = Union[bytes, bytearray, memoryview]
#: The letter in a format -> the struct format of the size that stands before the bytes.
_SIZED = {"S": "!h", "Y": "!i"}
_SCALARS = set("bBhHiIlLqQ?fd")
#: One item of a format: a letter, or the items of an array.
Item = Union[str, list[Any]]


def unpack_from(fmt: str, buff: Buffer, offset: int = 0) -> Any:
    """Return what is in ``buff`` from ``offset`` on, as a tuple.

    ``fmt`` has the letters of :mod:`struct`, one for each value and always big-endian, and beside them ``S`` for a string
    with 16 bits of size, ``Y`` for bytes with 32 bits of size (None where the size is -1), and ``[...]`` for an array with
    32 bits of count: a list of tuples, or of plain values when there is a single letter in the brackets. Spaces do not
    count. A format that is one array gives just its list.

    :raises ValueError: for a format that is none
    :raises ProtocolError: when the buffer ends too early, or holds an impossible size or count
    """
    letters = fmt.replace(" ", "").lstrip("!><")
    items, rest = _parse(letters, 0, nested=False)
    if not items or rest != len(letters):
        raise ValueError(f"{fmt!r} is no format: letters of struct, S, Y, and [] around what is repeated")
    if not 0 <= offset <= len(buff):
        raise ProtocolError(f"there is no byte {offset} in {len(buff)}")
    values, _end = _read(items, memoryview(buff), offset)
    return values[0] if len(items) == 1 and isinstance(items[0], list) else tuple(values)


def _parse(letters: str, at: int, nested: bool) -> tuple[list[Item], int]:
    items: list[Item] = []
    while at < len(letters) and letters[at] != "]":
        if letters[at] == "[":
            inner, at = _parse(letters, at + 1, nested=True)
            if not inner or at >= len(letters):
                raise ValueError(f"{letters!r} is no format: an array is empty or does not end")
            items.append(inner)
        elif letters[at] in _SCALARS or letters[at] in _SIZED:
            items.append(letters[at])
        else:
            raise ValueError(f"{letters!r} is no format: it has {letters[at]!r}")
        at += 1
    if at < len(letters) and not nested:
        raise ValueError(f"{letters!r} is no format: an array ends that did not begin")
    return items, at


def _read(items: list[Item], view: memoryview, at: int) -> tuple[list[Any], int]:
    values: list[Any] = []
    for item in items:
        if isinstance(item, list):
            value, at = _read_array(item, view, at)
        elif item in _SIZED:
            value, at = _read_sized(item, view, at)
        else:
            value, at = _scalar("!" + item, view, at)
        values.append(value)
    return values, at


def _read_array(items: list[Item], view: memoryview, at: int) -> tuple[list[Any], int]:
    count, at = _scalar("!i", view, at)
    # every element takes at least a byte: a count beyond that is a lie, and must not keep us busy
    if count > len(view) - at:
        raise ProtocolError(f"an array of {count} elements at byte {at} cannot be in {len(view)} bytes")
    found: list[Any] = []
    for _ in range(count):
        values, at = _read(items, view, at)
        found.append(values[0] if len(items) == 1 else tuple(values))
    return found, at


def _read_sized(letter: str, view: memoryview, at: int) -> tuple[Any, int]:
    size, at = _scalar(_SIZED[letter], view, at)
    if size == -1:
        return None, at
    if not 0 <= size <= len(view) - at:
        raise ProtocolError(f"{size} bytes at byte {at} cannot be in {len(view)} bytes")
    return bytes(view[at : at + size]), at + size


def _scalar(fmt: str, view: memoryview, at: int) -> tuple[Any, int]:
    try:
        return struct.unpack_from(fmt, view, at)[0], at + struct.calcsize(fmt)
    except struct.error as error:
        raise ProtocolError(f"the buffer of {len(view)} bytes ends at byte {at}, inside a value: {error}") from error
