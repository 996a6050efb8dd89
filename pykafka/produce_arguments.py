"""What callers of ``produce()`` and ``produce_many()`` give, checked and measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Optional

from .common import brief
from .records.encode import encode_headers
from .records.plain import read_headers
from .records.queued import HEADERS, Row


def listed(values: Any) -> list[Any]:
    """Return the caller's messages as a list of our own; raise TypeError for what can be none."""
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise TypeError(f"values must be a list of messages, not {brief(values)}")
    return list(values)


def not_bytes(what: str, kind: type) -> TypeError:
    """Return the error for a message or key of another type, with what to write instead."""
    instead = _INSTEAD.get(kind, "give a serializer for other types")
    return TypeError(f"{what} must be bytes or None, not {kind.__name__}; {instead}")


#: Buffers may be changed while they wait to be sent, so that a copy has to be made, and the user is to know of it.
_INSTEAD: dict[type, str] = {
    str: "write text.encode(), or give a serializer",
    bytearray: "write bytes(buffer), a copy that nobody changes",
    memoryview: "write bytes(buffer), a copy that nobody changes",
}


def size_of(row: Row) -> int:
    """Return how many bytes of the user's a message holds."""
    value, key, _timestamp, extra = row
    encoded = extra[HEADERS] if extra and extra is not True else None
    headers = read_headers(encoded, 0, len(encoded))[0] if encoded else []
    return len(value or b"") + len(key or b"") + sum(len(name.encode()) + len(content or b"") for name, content in headers)


def lengths(column: list[Optional[bytes]]) -> list[int]:
    """Return the number of bytes of each, 0 for None."""
    try:
        # hot: per message, in C. A None in the column raises TypeError and takes the slow way
        return list(map(len, column))  # type: ignore[arg-type]
    except TypeError:
        return [len(item or b"") for item in column]


def cut(sizes: list[int], overhead: int, most_rows: int, most_bytes: int) -> Iterator[tuple[int, int]]:
    """Yield (from, to) for stretches of at most ``most_rows`` rows and, but for a single row, ``most_bytes`` bytes."""
    start = 0
    while start < len(sizes):
        count = min(most_rows, len(sizes) - start)
        while count > 1 and sum(sizes[start : start + count]) + overhead * count > most_bytes:
            count //= 2
        yield start, start + count
        start += count


# hot: per message with headers
def quick_headers(headers: Any) -> Optional[bytes]:
    """Return headers as they are written, or None for those that :func:`encoded_headers` has to look at."""
    if type(headers) is not list or not headers:
        return None
    try:
        return encode_headers(headers)
    except (TypeError, ValueError):
        return None


def encoded_headers(headers: Any) -> Optional[bytes]:
    """Return the headers that a caller gave as they are written, None for none.

    :raises TypeError: when they are no pairs of a str and bytes or None
    :raises ValueError: for a name that cannot be written
    """
    if type(headers) is not list:
        try:
            headers = list(headers.items() if isinstance(headers, dict) else headers)
        except TypeError:
            raise TypeError(f"headers must be pairs of a str and bytes or None, not {brief(headers)}") from None
    if not headers:
        return None
    try:
        return encode_headers(headers)
    except (TypeError, ValueError):
        # mostly a mistake, which is to be named, and sometimes a str or bytes of the user's own kind
        return encode_headers([_checked_header(pair) for pair in headers])


def _checked_header(pair: Any) -> tuple[str, Optional[bytes]]:
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise TypeError(f"headers must be pairs of a str and bytes or None; one of them is {brief(pair)}")
    name, value = pair
    if not isinstance(name, str) or not (value is None or isinstance(value, bytes)):
        raise TypeError(f"a header is a str and bytes or None, not {type(name).__name__} and {type(value).__name__}")
    try:
        return name.encode().decode(), None if value is None else bytes(value)
    except UnicodeEncodeError as error:
        raise ValueError(f"the name of header {name!r} cannot be written as UTF-8: {error}") from error
