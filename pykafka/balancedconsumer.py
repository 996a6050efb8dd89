"""PyKafka's BalancedConsumer: its name and signature, until groups are there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Optional, Union

from .common import OffsetType
from .membershipprotocol import GroupMembershipProtocol, RangeProtocol

if TYPE_CHECKING:
    from .cluster import Cluster
    from .topic import Topic

__all__ = ["BalancedConsumer", "OffsetType"]


class BalancedConsumer:
    """Not in this version yet: a consumer that shares the partitions of a topic with the others of its group."""

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
        deserializer: Optional[Callable[..., Any]] = None,
        reset_offset_on_fetch: bool = True,
    ) -> None:
        raise NotImplementedError("balanced consumers are not in this version yet: use topic.get_simple_consumer()")
