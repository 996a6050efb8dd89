"""What users give to a fake cluster, held against what it can do with it: a mistake is an error at the call that makes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Optional, Union

from .batches import Header, Record

Name = Union[str, bytes]
Payload = Union[bytes, str, None]


def as_name(what: str, given: Name) -> str:
    """Return the name of a topic or a group as a str; PyKafka has those of topics as bytes.

    :param what: what it is the name of
    :raises TypeError: for anything but a str or bytes
    """
    if isinstance(given, (bytes, bytearray)):
        return given.decode("utf-8", "replace")
    if not isinstance(given, str):
        raise TypeError(f"{what}={given!r}: give the name of the {what}, a str or bytes")
    return given


def as_payload(what: str, given: Payload) -> Optional[bytes]:
    """Return a key or a value as bytes.

    :raises TypeError: for anything but bytes, a str or None
    """
    if given is None or isinstance(given, (bytes, bytearray, memoryview)):
        return None if given is None else bytes(given)
    if not isinstance(given, str):
        raise TypeError(f"{given!r} is no {what} of a message: give bytes, a str (which is encoded as UTF-8) or None")
    return given.encode()


def as_sizes(topics: Optional[Mapping[Name, int]]) -> Mapping[Name, int]:
    """Return the names of topics and how many partitions they have.

    :raises TypeError: for anything but a mapping
    """
    if topics is not None and not isinstance(topics, Mapping):
        raise TypeError(f'topics={topics!r}: give a dict of names and numbers of partitions, {{"clicks": 4}}')
    return topics or {}


def whole_number(what: str, given: object) -> int:
    """Return a number of things.

    :raises TypeError: for what is no int
    """
    if not isinstance(given, int) or isinstance(given, bool):
        raise TypeError(f"{what}={given!r}: give a whole number")
    return given


def as_seconds(given: object) -> float:
    """Return how long something takes.

    :raises ValueError: for what is no time to wait
    """
    if not isinstance(given, (int, float)) or not given >= 0:
        raise ValueError(f"{given!r} is no time to wait: give seconds, 0 or more")
    return float(given)


def records(
    values: Iterable[Payload],
    keys: Optional[Iterable[Payload]],
    timestamps: Optional[Iterable[int]],
    headers: Optional[Iterable[Sequence[Header]]],
    now_ms: int,
) -> list[Record]:
    """Return the records that are made of the columns given, each as long as the values are many.

    :raises TypeError: for what cannot be written, naming it
    :raises ValueError: for columns of different lengths
    """
    contents = [as_payload("value", value) for value in values]
    many = len(contents)
    return [
        Record(0, _time_ms(time_ms), as_payload("key", key), value, _headers(own))
        for time_ms, key, value, own in zip(
            _each(timestamps, many, now_ms, "timestamps"),
            _each(keys, many, None, "keys"),
            contents,
            _each(headers, many, (), "headers"),
        )
    ]


def _time_ms(given: object) -> int:
    if not isinstance(given, int):
        raise TypeError(f"timestamps: {given!r} is no time; give milliseconds since 1970 as an int, int(time.time() * 1000)")
    return given


def _headers(given: Sequence[Header]) -> Sequence[Header]:
    for one in given:
        name, content = one if isinstance(one, (tuple, list)) and len(one) == 2 else (None, None)
        if not isinstance(name, str) or not isinstance(content, (bytes, type(None))):
            raise TypeError(f"headers: {one!r} is no header; give a list for each message, [[(name, value)]], of str and bytes")
    return given


def _each(given: Optional[Iterable[Any]], count: int, default: Any, name: str) -> list[Any]:
    if given is None:
        return [default] * count
    if isinstance(given, (str, bytes)):
        raise TypeError(f"{name}={given!r}: give a list, with one for each of the values")
    found = list(given)
    if len(found) != count:
        raise ValueError(f"{len(found)} {name} for {count} values")
    return found
