"""What users put together by hand, and the answers about a partition that they get from consumers and topics too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Union


class CreateTopicRequest(NamedTuple):
    """A topic to create. ``replica_assignment`` maps a partition to its brokers' ids, and then replaces the two numbers."""

    topic_name: Union[str, bytes]
    num_partitions: int = -1
    replication_factor: int = -1
    replica_assignment: Union[Mapping[int, Iterable[int]], Iterable[tuple[int, Iterable[int]]]] = ()
    config_entries: Union[Mapping[Any, Any], Iterable[tuple[Union[str, bytes], Union[str, bytes, float, None]]]] = ()


class OffsetPartitionResponse(NamedTuple):
    """Offsets of one partition, in a list for PyKafka's sake: one, or none where there is no such offset; and the error code."""

    offset: list[int]
    err: int


class OffsetFetchPartitionResponse(NamedTuple):
    """What a group has committed for a partition: ``offset`` is the next one to read, -1 when nothing is stored."""

    offset: int
    metadata: bytes
    err: int
