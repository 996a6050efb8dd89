"""The requests that users put together by hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Optional, Union


class CreateTopicRequest(NamedTuple):
    """A topic to create. ``replica_assignment`` maps a partition to its brokers' ids, and then replaces the two numbers."""

    topic_name: Union[str, bytes]
    num_partitions: int = -1
    replication_factor: int = -1
    replica_assignment: Union[Mapping[int, Iterable[int]], Iterable[tuple[int, Iterable[int]]]] = ()
    config_entries: Union[Mapping[str, Optional[str]], Iterable[tuple[str, Optional[str]]]] = ()
