"""What users write on the command line, made into values; each function is a ``type=`` of argparse."""

from __future__ import annotations

import datetime
import json
from argparse import ArgumentTypeError
from collections.abc import Iterable
from typing import Any, Callable, Optional, Union

from ..common import CompressionType, OffsetType, brief
from ..config import to_name
from ..exceptions import UnicodeException

MAX_INT32 = 2**31 - 1
MAX_OFFSET = 2**63 - 1
#: Names, and settings of topics, have an int16 for their length.
MAX_TEXT_BYTES = 2**15 - 1

COMPRESSION = {
    "none": CompressionType.NONE,
    "gzip": CompressionType.GZIP,
    "snappy": CompressionType.SNAPPY,
    "lz4": CompressionType.LZ4,
    "zstd": CompressionType.ZSTD,
}


class Word(int):
    """EARLIEST or LATEST: an OffsetType that cannot be taken for an offset."""


_WORDS = {"EARLIEST": Word(OffsetType.EARLIEST), "LATEST": Word(OffsetType.LATEST)}
#: Where in a topic: one of its ends, a moment (naive, in UTC), or an offset.
Place = Union[Word, datetime.datetime, int]


def whole(low: int, high: int = MAX_INT32) -> Callable[[str], int]:
    """Return what reads a whole number from ``low`` to ``high``."""

    def read(text: str) -> int:
        # int() would take "1_000" and digits of any script, and a million digits take it a while
        digits = text[1:] if text[:1] in "+-" else text
        value = int(text) if digits.isascii() and digits.isdecimal() and len(digits) <= 20 else None
        if value is None or not low <= value <= high:
            raise ArgumentTypeError(f"{text!r} is not a whole number from {low} to {high}")
        return value

    return read


def name(text: str) -> str:
    """Return the name of a topic or group."""
    try:
        to_name(text, "a name")
    except UnicodeException:
        raise ArgumentTypeError(f"{text!r} is not ASCII, which names of topics and groups are here") from None
    if not text:
        raise ArgumentTypeError("a name must have at least one character")
    if len(text) > MAX_TEXT_BYTES:
        raise ArgumentTypeError(f"{brief(text)} has more than {MAX_TEXT_BYTES} characters")
    return text


def moment_or_end(text: str) -> Place:
    """Return EARLIEST, LATEST or a moment in UTC."""
    word = _WORDS.get(text.upper())
    if word is not None:
        return word
    try:
        return _moment(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is neither EARLIEST nor LATEST nor a time like 2026-01-31T12:00:00 (UTC)") from None


def place(text: str) -> Place:
    """Return EARLIEST, LATEST, a moment in UTC, or an offset."""
    if text.isascii() and text.isdecimal():
        return whole(0, MAX_OFFSET)(text)
    try:
        return moment_or_end(text)
    except ArgumentTypeError:
        raise ArgumentTypeError(
            f"{text!r} is neither EARLIEST nor LATEST nor an offset (0 or more) nor a time like 2026-01-31T12:00:00 (UTC)"
        ) from None


def _moment(text: str) -> datetime.datetime:
    # Python 3.9 does not know the Z that everybody writes
    plain = text[:-1] + "+00:00" if text[-1:] in "zZ" else text
    found = datetime.datetime.fromisoformat(plain)
    if found.tzinfo is None:
        return found
    try:
        return found.astimezone(datetime.timezone.utc).replace(tzinfo=None)
    except OverflowError as error:  # in UTC it is before the year 1 or after 9999
        raise ValueError(str(error)) from None


def partition_numbers(text: str) -> list[int]:
    """Return the numbers in ``0,2,5``."""
    return list(dict.fromkeys(whole(0)(part.strip()) for part in text.split(",")))


def separator(text: str) -> bytes:
    """Return what stands between key and value; a backslash and t is a tab."""
    if not text:
        raise ArgumentTypeError("a separator must have at least one character")
    try:
        return text.replace("\\t", "\t").encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half of a character: nothing that a command line of bytes can have
        raise ArgumentTypeError(f"{text!r} is not text that UTF-8 can hold") from None


def replica_assignment(text: str) -> dict[int, list[int]]:
    """Return partition -> broker ids, from JSON."""
    shape = 'a JSON object of partition and list of broker ids, like {"0": [1, 2], "1": [2, 3]}'
    given = _json_object(text, shape)
    if not given:
        raise ArgumentTypeError(f"{text!r} has no partition: write {shape}")
    found: dict[int, list[int]] = {}
    for key, nodes in given:
        partition = whole(0)(key)
        if partition in found:
            raise ArgumentTypeError(f"partition {partition} is there twice")
        if not isinstance(nodes, list) or not nodes or not all(_is_id(node) for node in nodes):
            raise ArgumentTypeError(f"{nodes!r} is not a list of broker ids: write {shape}")
        found[partition] = nodes
    return found


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_INT32


def config_entries(text: str) -> dict[str, str]:
    """Return the settings of a topic, from JSON; numbers and booleans are written as Kafka does."""
    shape = 'a JSON object of setting and value, like {"retention.ms": "3600000"}'
    entries: dict[str, str] = {}
    for key, value in _json_object(text, shape):
        if not isinstance(value, (str, int, float)):
            raise ArgumentTypeError(f"the value of {key!r} is not a text, number or boolean: write {shape}")
        entries[key] = value if isinstance(value, str) else json.dumps(value)
        if max(len(_utf8(key)), len(_utf8(entries[key]))) > MAX_TEXT_BYTES:
            raise ArgumentTypeError(f"setting {brief(key)} has more than {MAX_TEXT_BYTES} bytes")
    return entries


def headers(text: str) -> list[tuple[str, Optional[bytes]]]:
    """Return the headers of a message, from JSON."""
    shape = 'a JSON object of name and text (or null), like {"source": "backup"}'
    found: list[tuple[str, Optional[bytes]]] = []
    for key, value in _json_object(text, shape):
        if value is not None and not isinstance(value, str):
            raise ArgumentTypeError(f"the value of {key!r} is neither text nor null: write {shape}")
        _utf8(key)
        found.append((key, None if value is None else _utf8(value)))
    return found


def _utf8(text: str) -> bytes:
    """Return text as UTF-8, which cannot hold half of a character that JSON has written as two."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise ArgumentTypeError(f"{brief(text)} is not text that UTF-8 can hold") from None


def _json_object(text: str, shape: str) -> list[tuple[str, Any]]:
    """Return the members of a JSON object in order: unlike in a dict, none is lost when a name is there twice."""
    try:
        given = json.loads(text, object_pairs_hook=_Members)
    except (ValueError, RecursionError) as error:
        raise ArgumentTypeError(f"{text!r} is not JSON ({error}): write {shape}") from None
    if not isinstance(given, _Members):
        raise ArgumentTypeError(f"{text!r} is not {shape}")
    return given.pairs


class _Members:
    """The members of one JSON object; no list, which a JSON array would be."""

    def __init__(self, pairs: Iterable[tuple[str, Any]]) -> None:
        self.pairs = list(pairs)

    def __repr__(self) -> str:
        return repr(dict(self.pairs))
