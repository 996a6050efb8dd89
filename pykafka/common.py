"""Constants and the base class that every layer shares."""

from __future__ import annotations

from collections.abc import Iterable
from reprlib import Repr
from typing import Any, NamedTuple, Optional

#: What users gave is shown in errors, however large it is.
_shortened = Repr()
_shortened.maxstring = _shortened.maxother = 200
brief = _shortened.repr


class TopicPartition(NamedTuple):
    """A partition by its names: what everything inside is keyed by."""

    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}"


def by_topic(partitions: Iterable[TopicPartition]) -> dict[str, list[int]]:
    """Return topic -> partition numbers, both ascending."""
    topics: dict[str, list[int]] = {}
    for topic, number in sorted(partitions):
        topics.setdefault(topic, []).append(number)
    return topics


def spelled(partitions: Iterable[TopicPartition]) -> str:
    """Return partitions for people: "clicks/0, 1 and orders/7"; the first few of very many."""
    topics = by_topic(partitions)
    texts = [f"{topic}/{', '.join(map(str, numbers[:20]))}" for topic, numbers in list(topics.items())[:20]]
    return " and ".join(texts) or "nothing"


class Message:
    """The base of what users hold; the real one is :class:`pykafka.protocol.Message`."""

    __slots__ = ()


class CompressionType:
    """How a producer compresses batches. SNAPPY, LZ4 and ZSTD need a package: ``pip install 'pykafka[zstd]'``."""

    NONE = 0
    GZIP = 1
    SNAPPY = 2
    LZ4 = 3
    #: Kafka 2.1 and later.
    ZSTD = 4


class OffsetType:
    """Where a partition may be started at, besides a number."""

    #: The first offset still in the log.
    EARLIEST = -2
    #: The end of the log: the next message to be written.
    LATEST = -1


def checked_timeout(timeout: Any, what: str = "timeout") -> Optional[float]:
    """Return ``timeout``, a number of seconds from 0 on, or None for no limit.

    :raises TypeError: for anything but a number and None
    :raises ValueError: for less than 0, or what is no number
    """
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        raise TypeError(f"{what} must be a number of seconds or None, not {brief(timeout)}")
    if not timeout >= 0:
        raise ValueError(f"{what}={timeout} must be a number of seconds from 0 on, or None")
    return timeout


def checked_milliseconds(duration: Any, what: str) -> float:
    """Return ``duration``, a number of milliseconds from 0 on.

    :raises TypeError: for anything but a number
    :raises ValueError: for less than 0, or what is no number
    """
    if isinstance(duration, bool) or not isinstance(duration, (int, float)):
        raise TypeError(f"{what} must be a number of milliseconds, not {brief(duration)}")
    if not duration >= 0:
        raise ValueError(f"{what}={duration} must be a number of milliseconds from 0 on")
    return duration
