"""A Partition: who leads it, who holds copies, and which offsets it has."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from functools import total_ordering
from typing import TYPE_CHECKING, Any, NamedTuple, Optional, Union

from ._machines.metadata import PartitionInfo
from .common import OffsetType

if TYPE_CHECKING:
    import datetime

    from .broker import Broker
    from .topic import Topic


@total_ordering
class Partition:
    """One partition of a topic; the topic keeps it up to date."""

    def __init__(self, topic: Topic, id_: int, leader: Optional[Broker], replicas: list[Broker], isr: list[Broker]) -> None:
        self._topic = weakref.ref(topic)
        self._topic_name = topic.name
        self._id = id_
        self._leader = leader
        self._replicas = replicas
        self._isr = isr
        self._replica_ids = [broker.id for broker in replicas]
        self._isr_ids = [broker.id for broker in isr]

    def __repr__(self) -> str:
        leader = None if self._leader is None else self._leader.id
        return f"<Partition {self._topic_name.decode()}/{self._id} leader={leader}>"

    @property
    def id(self) -> int:
        """Return the number of the partition."""
        return self._id

    @property
    def leader(self) -> Optional[Broker]:
        """Return the broker that leads the partition, None while there is none."""
        return self._leader

    @property
    def replicas(self) -> list[Broker]:
        """Return the brokers that hold copies, without those that are down."""
        return self._replicas

    @property
    def replica_ids(self) -> list[int]:
        """Return the ids of all brokers that hold copies, also of those that are down; the preferred leader is first."""
        return self._replica_ids

    @property
    def isr(self) -> list[Broker]:
        """Return the brokers whose copies are in sync."""
        return self._isr

    @property
    def isr_ids(self) -> list[int]:
        """Return the ids of the brokers whose copies are in sync; without a leader, of those that were in the end."""
        return self._isr_ids

    @property
    def topic(self) -> Optional[Topic]:
        """Return the topic; None when nobody holds it any more."""
        return self._topic()

    def __hash__(self) -> int:
        return hash((self._topic_name, self._id))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Partition):
            return NotImplemented
        return self._topic_name == other._topic_name and self._id == other._id

    def __lt__(self, other: Any) -> bool:
        if not isinstance(other, Partition):
            return NotImplemented
        return self._id < other._id

    def _require_topic(self) -> Topic:
        topic = self._topic()
        if topic is None:
            raise ReferenceError(f"the Topic object of {self!r} is gone: keep a reference to it")
        return topic

    def fetch_offset_limit(self, offsets_before: Union[int, datetime.datetime], max_offsets: int = 1) -> list[int]:
        """Return the first offset at or after a time (datetime, naive means UTC; or epoch ms; or an OffsetType), in a list.

        The end of the log when every message is older. ``max_offsets`` has no effect: Kafka gives one offset since 0.10.
        """
        return self._require_topic()._limits([self._id], offsets_before, max_offsets)[self._id].offset

    def latest_available_offset(self) -> int:
        """Return the offset that the next message written will have."""
        return self.fetch_offset_limit(OffsetType.LATEST)[0]

    def earliest_available_offset(self) -> int:
        """Return the first offset still in the log."""
        return self.fetch_offset_limit(OffsetType.EARLIEST)[0]

    def update(self, brokers: Mapping[int, Broker], metadata: PartitionInfo) -> None:
        """Take over newer metadata; a broker that is not known is left out."""
        if not isinstance(metadata, PartitionInfo):
            raise TypeError(f"metadata must be what the cluster was told of a partition, not {type(metadata).__name__}")
        self._leader = brokers.get(metadata.leader)
        self._replicas = [brokers[node] for node in metadata.replicas if node in brokers]
        self._isr = [brokers[node] for node in metadata.isr if node in brokers]
        self._replica_ids = list(metadata.replicas)
        self._isr_ids = list(metadata.isr)


class OwnedPartition(NamedTuple):
    """How far the consumer is in a partition, by the names PyKafka used; ``message_count`` is what is fetched and waits."""

    last_offset_consumed: int
    next_offset: int
    message_count: int
