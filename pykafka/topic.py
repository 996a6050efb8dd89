"""A Topic hands out producers and consumers, and knows its partitions and their offsets."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Optional, Union

from ._machines.metadata import TopicInfo
from .common import OffsetType, TopicPartition, brief
from .config import MAX_INT32, to_name
from .offset_arguments import lookup_time
from .offsets import OffsetManager, OffsetSettings
from .partition import Partition
from .producer import Producer
from .protocol.requests import OffsetPartitionResponse
from .simpleconsumer import SimpleConsumer
from .utils.arguments import whole_number

if TYPE_CHECKING:
    import datetime

    from .balancedconsumer import BalancedConsumer
    from .cluster import Cluster


class Topic:
    """One topic of the cluster. Get it from ``client.topics`` and keep it."""

    def __init__(self, cluster: Cluster, name: Union[str, bytes]) -> None:
        self._cluster = cluster
        self._name = to_name(name, "topic")
        self._text = self._name.decode()
        self._known: Optional[TopicInfo] = None
        self._partitions: dict[int, Partition] = {}
        #: every partition there has been: whoever asks for one gets the same object
        self._made: dict[int, Partition] = {}

    def __repr__(self) -> str:
        return f"<Topic {self._text} partitions={len(self.partitions)}>"

    @property
    def name(self) -> bytes:
        """Return the name."""
        return self._name

    @property
    def partitions(self) -> dict[int, Partition]:
        """Return the partitions by number, as last seen; the same objects for as long as they exist."""
        info = self._cluster.engine.view.topics.get(self._text)
        if info is not None and info is not self._known:
            self.update(info)
        return self._partitions

    def update(self, metadata: TopicInfo) -> None:
        """Take over newer metadata: partitions are added, changed or dropped."""
        if not isinstance(metadata, TopicInfo):
            raise TypeError(f"metadata must be what the cluster was told of a topic, not {type(metadata).__name__}")
        # no lock: a signal handler in the middle of this may wait for another thread, which looks as well. Of two who update at
        # once one may put back what is older, until the next time that metadata comes
        brokers, made = self._cluster.brokers, self._made
        fresh: dict[int, Partition] = {}
        for partition_id, info in metadata.partitions.items():
            partition = made.get(partition_id) or made.setdefault(partition_id, Partition(self, partition_id, None, [], []))
            partition.update(brokers, info)
            fresh[partition_id] = partition
        self._partitions = fresh
        self._known = metadata

    # -- handing out --------------------------------------------------------------------------------------------------

    def get_producer(self, use_rdkafka: bool = False, **kwargs: Any) -> Producer:
        """Return a new, running Producer; the options are those of :class:`~pykafka.producer.Producer`."""
        _refuse_rdkafka(use_rdkafka)
        return Producer(self._cluster, self, **kwargs)

    def get_sync_producer(self, **kwargs: Any) -> Producer:
        """Return a new, running Producer whose ``produce()`` waits for the acknowledgement.

        :raises TypeError: when ``sync`` is among the options
        """
        if "sync" in kwargs:
            raise TypeError("get_sync_producer() sets sync itself: use get_producer(sync=...) to choose")
        return Producer(self._cluster, self, sync=True, **kwargs)

    def get_simple_consumer(
        self, consumer_group: Union[str, bytes, None] = None, use_rdkafka: bool = False, **kwargs: Any
    ) -> SimpleConsumer:
        """Return a new, running SimpleConsumer; the options are those of :class:`~pykafka.simpleconsumer.SimpleConsumer`."""
        _refuse_rdkafka(use_rdkafka)
        return SimpleConsumer(self, self._cluster, consumer_group=consumer_group, **kwargs)

    def get_balanced_consumer(
        self, consumer_group: Union[str, bytes], managed: bool = False, **kwargs: Any
    ) -> BalancedConsumer:
        """Return a new consumer that shares the partitions with the other members of its group.

        :param managed: True for a :class:`~pykafka.managedbalancedconsumer.ManagedBalancedConsumer`; with False, which was
            PyKafka's way of asking for ZooKeeper, it does the same, after a DeprecationWarning
        :raises KafkaException: when the group cannot be joined
        """
        if managed not in (True, False):
            raise TypeError(f"managed must be True or False, not {brief(managed)}")
        if managed:
            from .managedbalancedconsumer import ManagedBalancedConsumer  # most programs use one kind of consumer

            return ManagedBalancedConsumer(self, self._cluster, consumer_group, **kwargs)
        from .balancedconsumer import BalancedConsumer

        return BalancedConsumer(self, self._cluster, consumer_group, **kwargs)

    # -- offsets ------------------------------------------------------------------------------------------------------

    def fetch_offset_limits(
        self, offsets_before: Union[int, datetime.datetime], max_offsets: int = 1
    ) -> dict[int, OffsetPartitionResponse]:
        """Return per partition the first offset at or after a time, or the end of the log when every message is older.

        :param offsets_before: a datetime (naive means UTC), epoch milliseconds (not seconds), or an OffsetType
        :param max_offsets: without effect: Kafka gives one offset since 0.10
        """
        return self._limits(self.partitions, offsets_before, max_offsets)

    def _limits(
        self, partition_ids: Iterable[int], offsets_before: Union[int, datetime.datetime], max_offsets: int = 1
    ) -> dict[int, OffsetPartitionResponse]:
        """Return the same of some partitions: another that has no leader is not in the way of theirs."""
        if whole_number("max_offsets", max_offsets, 1, MAX_INT32) > 1:
            warnings.warn("max_offsets has no effect: Kafka gives one offset since 0.10", DeprecationWarning, stacklevel=3)
        time = lookup_time(offsets_before)
        tps = [TopicPartition(self._name.decode(), partition_id) for partition_id in partition_ids]
        found = self._offsets().look_up(dict.fromkeys(tps, time))
        return {tp.partition: OffsetPartitionResponse([offset], 0) for tp, offset in sorted(found.items())}

    def earliest_available_offsets(self) -> dict[int, OffsetPartitionResponse]:
        """Return per partition the first offset still in the log."""
        return self.fetch_offset_limits(OffsetType.EARLIEST)

    def latest_available_offsets(self) -> dict[int, OffsetPartitionResponse]:
        """Return per partition the offset that the next message written will have."""
        return self.fetch_offset_limits(OffsetType.LATEST)

    def _offsets(self) -> OffsetManager:
        settings = OffsetSettings(
            consumer_group=None,
            auto_offset_reset=OffsetType.EARLIEST,
            reset_offset_on_start=False,
            read_committed=False,
            max_retries=1,
            backoff_s=0.0,
            timeout_s=self._cluster.socket_timeout_s,
        )
        return OffsetManager(self._cluster, settings)


def _refuse_rdkafka(use_rdkafka: Any) -> None:
    if use_rdkafka:
        raise ImportError("use_rdkafka=True: this client needs no C library and has none; leave the option out")
