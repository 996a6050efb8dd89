"""The BalancedConsumer: shares the partitions of a topic with the other members of its group."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Callable, Optional, Union

from .common import OffsetType
from .config import BALANCED, Option, check_options
from .deserializing import Deserializer
from .exceptions import ConsumerStoppedException
from .membershipprotocol import GroupMembershipProtocol, RangeProtocol

if TYPE_CHECKING:
    from .cluster import Cluster
    from .offset_arguments import PartitionOffsets
    from .partition import Partition
    from .records.message import Message
    from .topic import Topic

__all__ = ["BalancedConsumer", "OffsetType"]

_ZOOKEEPER = (
    "there is no ZooKeeper any more: a BalancedConsumer is a ManagedBalancedConsumer now, and what it is given for ZooKeeper is"
    " ignored. Write topic.get_balanced_consumer(group, managed=True). Old members, which use ZooKeeper, do not share with new"
    " ones: stop all of them, then start the new ones"
)


class BalancedConsumer:
    """A member of a group, which reads those partitions of a topic that no other member reads.

    *Groups cannot be joined in this version yet*: ``start()`` raises NotImplementedError. Everything else is as it will be.

    PyKafka's BalancedConsumer used ZooKeeper; this one does what a ManagedBalancedConsumer does, after a DeprecationWarning.
    Options and their defaults are listed in the documentation (``pykafka.config.BALANCED``).

    :raises KafkaConfigError: naming every option that is unknown, of the wrong type or out of range
    :raises ImportError: for ``use_rdkafka=True``
    """

    def __init__(
        self,
        topic: Topic,
        cluster: Cluster,
        consumer_group: Union[str, bytes],
        fetch_message_max_bytes: int = 1048576,
        num_consumer_fetchers: int = 1,
        auto_commit_enable: bool = False,
        auto_commit_interval_ms: int = 60000,
        queued_max_messages: int = 2000,
        fetch_min_bytes: int = 1,
        fetch_error_backoff_ms: int = 500,
        fetch_wait_max_ms: int = 100,
        offsets_channel_backoff_ms: int = 1000,
        offsets_commit_max_retries: int = 5,
        auto_offset_reset: int = OffsetType.EARLIEST,
        consumer_timeout_ms: int = -1,
        rebalance_max_retries: int = 5,
        rebalance_backoff_ms: int = 2000,
        zookeeper_connection_timeout_ms: int = 6000,
        zookeeper_connect: Optional[str] = None,
        zookeeper_hosts: str = "127.0.0.1:2181",
        zookeeper: Any = None,
        auto_start: bool = True,
        reset_offset_on_start: bool = False,
        post_rebalance_callback: Optional[Callable[..., Any]] = None,
        use_rdkafka: bool = False,
        compacted_topic: bool = False,
        membership_protocol: GroupMembershipProtocol = RangeProtocol,
        deserializer: Optional[Deserializer] = None,
        reset_offset_on_fetch: bool = True,
        *,
        isolation_level: str = "read_committed",
        fetch_max_bytes: int = 52428800,
        queued_max_bytes: int = 67108864,
        max_decompressed_bytes: int = 134217728,
        **unknown: Any,
    ) -> None:
        given = {name: value for name, value in dict(locals()).items() if name in BALANCED}
        self._settle(topic, cluster, BALANCED, {**given, **unknown})
        warnings.warn(_ZOOKEEPER, DeprecationWarning, stacklevel=_level_outside())
        self._start_if_wanted()

    def _settle(self, topic: Topic, cluster: Cluster, table: Mapping[str, Option], given: Mapping[str, Any]) -> None:
        """Take over what both kinds of this consumer are made of, after looking at all of it."""
        options = check_options(type(self).__name__, table, given)
        if options["use_rdkafka"]:
            raise ImportError("use_rdkafka=True: this client needs no C library and has none; leave the option out")
        self._topic = topic
        self._cluster = cluster
        self._options = options
        self._group: bytes = options["consumer_group"]

    def _start_if_wanted(self) -> None:
        if self._options["auto_start"]:
            self.start()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._topic.name.decode()} group={self._group!r} stopped>"

    def __enter__(self) -> BalancedConsumer:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def start(self) -> None:
        """Raise NotImplementedError: groups cannot be joined in this version yet."""
        raise NotImplementedError(
            f"{self!r}: joining a group is not in this version yet. Until it is, give each process partitions of its own,"
            " with topic.get_simple_consumer(group, partitions=[...])"
        )

    def stop(self) -> None:
        """Leave the group; does nothing when not running."""

    def consume(self, block: bool = True) -> Optional[Message]:
        """Return the next message, or None when there is none (in time).

        :param block: wait for a message, at most ``consumer_timeout_ms`` when that is above 0; False only looks
        :raises ConsumerStoppedException: when the consumer is not running
        """
        raise self._not_running()

    def __iter__(self) -> Iterator[Message]:
        """Yield messages until none arrives for ``consumer_timeout_ms``; iterating again goes on."""
        while True:
            message = self.consume()
            if message is None:
                return
            yield message

    @property
    def topic(self) -> Topic:
        """Return the topic."""
        return self._topic

    @property
    def partitions(self) -> dict[int, Partition]:
        """Return the partitions that this member reads, by number; none while it is not running."""
        return {}

    @property
    def _partitions(self) -> set[Partition]:
        """Return the same as a set: what PyKafka's users looked at, who had a dict in SimpleConsumer."""
        return set(self.partitions.values())

    @property
    def held_offsets(self) -> Optional[dict[int, int]]:
        """Return the offset of the last message delivered, by partition; None before the consumer was started."""
        return None

    def commit_offsets(self, partition_offsets: Optional[PartitionOffsets] = None) -> None:
        """Commit for every partition the next offset to deliver, or exactly the (partition, next offset) pairs given.

        :raises KafkaException: when they could not be committed, or the consumer is not running
        """
        raise self._not_running()

    def reset_offsets(self, partition_offsets: Optional[PartitionOffsets] = None) -> None:
        """Move partitions, and commit that; everything to ``auto_offset_reset`` without arguments.

        :raises ConsumerStoppedException: when the consumer is not running
        """
        raise self._not_running()

    def _not_running(self) -> ConsumerStoppedException:
        return ConsumerStoppedException(f"{self!r}: start() it first")

    def _raise_worker_exceptions(self) -> None:
        """Raise, once, what went wrong in the background (a name that PyKafka code is known to call): nothing can yet."""


def _level_outside() -> int:
    """Return the stacklevel, for the caller's warning, of the first caller that is not ours."""
    level = 1
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] == __package__:
        frame = frame.f_back
        level += 1
    return level
