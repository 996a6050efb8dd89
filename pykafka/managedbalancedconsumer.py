"""The ManagedBalancedConsumer: PyKafka's name of the balanced consumer that Kafka itself looks after."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Callable, Optional, Union

from .balancedconsumer import BalancedConsumer
from .common import OffsetType
from .config import MANAGED
from .deserializing import Deserializer
from .membershipprotocol import GroupMembershipProtocol, RangeProtocol

if TYPE_CHECKING:
    from .cluster import Cluster
    from .topic import Topic


class ManagedBalancedConsumer(BalancedConsumer):
    """A member of a group, which reads those partitions of a topic that no other member reads.

    Options and their defaults are listed in the documentation (``pykafka.config.MANAGED``).

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
        heartbeat_interval_ms: int = 3000,
        auto_start: bool = True,
        reset_offset_on_start: bool = False,
        post_rebalance_callback: Optional[Callable[..., Any]] = None,
        use_rdkafka: bool = False,
        compacted_topic: bool = True,
        membership_protocol: GroupMembershipProtocol = RangeProtocol,
        deserializer: Optional[Deserializer] = None,
        reset_offset_on_fetch: bool = True,
        *,
        isolation_level: str = "read_committed",
        fetch_max_bytes: int = 52428800,
        fetch_memory_bytes: int = 67108864,
        max_decompressed_bytes: int = 134217728,
        client_rack: str = "",
        session_timeout_ms: int = 30000,
        max_poll_interval_ms: int = 300000,
        group_instance_id: Union[str, bytes, None] = None,
        group_protocol: str = "auto",
        on_assign: Optional[Callable[..., Any]] = None,
        on_revoke: Optional[Callable[..., Any]] = None,
        on_lost: Optional[Callable[..., Any]] = None,
        **unknown: Any,
    ) -> None:
        given = {name: value for name, value in dict(locals()).items() if name in MANAGED}
        self._settle([topic], None, cluster, MANAGED, {**given, **unknown})
        self._start_if_wanted()

    @classmethod
    def of(
        cls, cluster: Cluster, consumer_group: Union[str, bytes], topics: Iterable[Topic], pattern: Optional[str], options: Any
    ) -> ManagedBalancedConsumer:
        """Return a consumer of several topics: those given, and those whose whole names match ``pattern``.

        What it calls a partition does not depend on how many there are by now.
        """
        consumer = cls.__new__(cls)
        consumer._settle(list(topics), pattern, cluster, MANAGED, {"consumer_group": consumer_group, **options})
        consumer._topics.keys_have_topics = True
        consumer._start_if_wanted()
        return consumer
