"""Reads what a coordinator has written about a group's commits: every one of them, in its order."""

from __future__ import annotations

import struct
from typing import Any, Optional

from pykafka import KafkaClient

INTERNAL = "__consumer_offsets"
#: Versions of a key that belong to a commit; others belong to groups themselves.
OFFSET_KEYS = (0, 1)


def commits_of(client: KafkaClient, group: str) -> list[tuple[int, int]]:
    """Return (partition, offset) of every commit of a group that reads one topic; the client must show internal topics."""
    topic = client.topics[INTERNAL]
    found = []
    ends = {number: row.offset[0] for number, row in topic.latest_available_offsets().items()}
    left = {number for number, end in ends.items() if end}
    with topic.get_simple_consumer(consumer_timeout_ms=10000, isolation_level="read_uncommitted") as consumer:
        while left:
            batch = consumer.consume_batch(2000)
            if not batch:
                raise RuntimeError(f"{INTERNAL} could not be read to its end: {left} are left")
            for message in batch:
                commit = parsed(message.partition_key, message.value)
                if commit is not None and commit[0] == group:
                    found.append(commit[2:])
                if message.offset >= ends[message.partition_id] - 1:
                    left.discard(message.partition_id)
    return found


def parsed(key: Any, value: Any) -> Optional[tuple[str, str, int, int]]:
    """Return (group, topic, partition, offset) of a record; None for one that is no commit, or takes one away."""
    if not key or not value or struct.unpack_from(">h", key)[0] not in OFFSET_KEYS:
        return None
    group, at = _string(key, 2)
    topic, at = _string(key, at)
    (partition,) = struct.unpack_from(">i", key, at)
    _version, offset = struct.unpack_from(">hq", value)
    return group, topic, partition, offset


def _string(data: bytes, at: int) -> tuple[str, int]:
    (length,) = struct.unpack_from(">h", data, at)
    return data[at + 2 : at + 2 + length].decode(), at + 2 + length
