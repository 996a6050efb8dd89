"""The BalancedConsumer: shares the partitions of topics with the other members of its group."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Callable, Optional, Union

from .common import OffsetType
from .config import BALANCED, Option, check_options
from .deserializing import Deserializer
from .groupconsumer import GroupConsumer
from .membershipprotocol import GroupMembershipProtocol, RangeProtocol
from .partition import Partition

if TYPE_CHECKING:
    from .cluster import Cluster
    from .protocol import OffsetFetchPartitionResponse
    from .topic import Topic

__all__ = ["BalancedConsumer", "OffsetType"]

_ZOOKEEPER = (
    "there is no ZooKeeper any more: a BalancedConsumer is a ManagedBalancedConsumer now, and what it is given for ZooKeeper is"
    " ignored. Write topic.get_balanced_consumer(group, managed=True). Old members, which use ZooKeeper, do not share with new"
    " ones: stop all of them, then start the new ones"
)


class BalancedConsumer(GroupConsumer):
    """A member of a group, which reads those partitions of a topic that no other member reads.

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
        fetch_memory_bytes: int = 67108864,
        max_decompressed_bytes: int = 134217728,
        client_rack: str = "",
        heartbeat_interval_ms: int = 3000,
        session_timeout_ms: int = 30000,
        max_poll_interval_ms: int = 300000,
        group_instance_id: Union[str, bytes, None] = None,
        group_protocol: str = "auto",
        on_assign: Optional[Callable[..., Any]] = None,
        on_revoke: Optional[Callable[..., Any]] = None,
        on_lost: Optional[Callable[..., Any]] = None,
        **unknown: Any,
    ) -> None:
        given = {name: value for name, value in dict(locals()).items() if name in BALANCED}
        self._settle([topic], None, cluster, BALANCED, {**given, **unknown})
        warnings.warn(_ZOOKEEPER, DeprecationWarning, stacklevel=_level_outside())
        self._start_if_wanted()

    def _settle(
        self,
        topics: list[Topic],
        pattern: Optional[str],
        cluster: Cluster,
        table: Mapping[str, Option],
        given: Mapping[str, Any],
    ) -> None:
        """Take over what both kinds of this consumer are made of, after looking at all of it."""
        options = check_options(type(self).__name__, table, given)
        if options["use_rdkafka"]:
            raise ImportError("use_rdkafka=True: this client needs no C library and has none; leave the option out")
        GroupConsumer.__init__(self, cluster, options, topics, pattern)

    def _start_if_wanted(self) -> None:
        if self._options["auto_start"]:
            self.start()

    def __repr__(self) -> str:
        state = "running" if self._running else "stopped"
        what = ", ".join(self._topics.by_name) or repr(self._topics.pattern)
        return f"<{type(self).__name__} {what} group={self._group!r} {state}>"

    def __enter__(self) -> BalancedConsumer:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    @property
    def topic(self) -> Optional[Topic]:
        """Return the topic; of several the first, None as long as no topic matches the pattern."""
        return next(iter(self._topics.by_name.values()), None)

    @property
    def topics(self) -> dict[bytes, Topic]:
        """Return the topics by name; with a pattern those that match it at present."""
        return {topic.name: topic for topic in self._topics.by_name.values()}

    @property
    def partitions(self) -> dict[Any, Partition]:
        """Return the partitions that this member reads, none while it is not running.

        By number; by (topic's name as bytes, number) in one that :meth:`KafkaClient.get_balanced_consumer` has made, however
        many topics it reads. So is :attr:`held_offsets`.
        """
        return {self._key(tp): partition for tp, partition in self._owned.items()}

    @property
    def _partitions(self) -> set[Partition]:
        """Return the same as a set: what PyKafka's users looked at, who had a dict in SimpleConsumer."""
        return set(self._owned.values())

    def fetch_offsets(self) -> list[tuple[Any, OffsetFetchPartitionResponse]]:
        """Return (partition, what the group committed for it) of those that this member reads, called as in :attr:`partitions`.

        Moves there unless ``reset_offset_on_fetch`` is off: what was delivered since the last commit is delivered again.

        :raises ConsumerStoppedException: when the consumer is not running
        :raises KafkaException: when they could not be had
        """
        self._check_running()
        return sorted((self._key(tp), row) for tp, row in self._fetch_committed().items())

    @property
    def held_offsets(self) -> Optional[dict[Any, int]]:
        """Return the offset of the last message delivered, by partition; None before the consumer was started."""
        return None if self._session is None else self._held()


def _level_outside() -> int:
    """Return the stacklevel, for the caller's warning, of the first caller that is not ours."""
    level = 1
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] == __package__:
        frame = frame.f_back
        level += 1
    return level
