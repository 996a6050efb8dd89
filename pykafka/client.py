"""The KafkaClient: where everything begins."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Optional, Union

from ._engine import greenlets
from .broker import Broker
from .cluster import Cluster, TopicDict
from .config import CLIENT, checked_pattern, require_names
from .exceptions import UnknownTopicOrPartition
from .handlers import Handler, ThreadingHandler

if TYPE_CHECKING:
    from .managedbalancedconsumer import ManagedBalancedConsumer
    from .topic import Topic

DEFAULT_HOSTS = "127.0.0.1:9092"


class KafkaClient:
    """A connection to a Kafka cluster. Threads may share it; close it, or use it as a context manager.

    >>> client = KafkaClient(hosts="127.0.0.1:9092")    # doctest: +SKIP
    >>> topic = client.topics["my.topic"]               # doctest: +SKIP

    Making it reaches out to the hosts. All options and their defaults are listed in the documentation
    (``pykafka.config.CLIENT``).

    :param hosts: ``host:port`` of some brokers, comma-separated; the others are found through them
    :param socket_timeout_ms: how long connecting, or one request, may take
    :param use_greenlets: make sure that gevent has patched the standard library, so that only the calling greenlet waits
    :param source_address: ``host[:port]`` that outgoing connections are made from
    :param ssl_config: an :class:`~pykafka.connection.SslConfig`, an ``ssl.SSLContext``, or anything with ``wrap_socket(sock)``
    :raises NoBrokersAvailableError: when no host can be reached, listing each with its own reason
    :raises KafkaConfigError: naming every option that is unknown, of the wrong type or out of range
    :raises ImportError: when gevent has not patched what it must, saying what is missing
    """

    def __init__(
        self,
        hosts: str = DEFAULT_HOSTS,
        zookeeper_hosts: Optional[str] = None,
        socket_timeout_ms: int = 30000,
        offsets_channel_socket_timeout_ms: int = 10000,
        use_greenlets: bool = False,
        exclude_internal_topics: bool = True,
        source_address: str = "",
        ssl_config: Optional[Any] = None,
        broker_version: str = "0.9.0",
        *,
        client_id: str = "pykafka",
        sasl_config: Optional[Any] = None,
        metadata_max_age_ms: int = 300000,
        reconnect_backoff_ms: int = 50,
        reconnect_backoff_max_ms: int = 1000,
        max_response_bytes: int = 104857600,
        **unknown: Any,
    ) -> None:
        given = {name: value for name, value in dict(locals()).items() if name in CLIENT}
        # the default object itself, not an equal string that the caller wrote: without hosts the table of options refuses it
        if zookeeper_hosts is not None and hosts is not DEFAULT_HOSTS:
            warnings.warn("zookeeper_hosts is ignored: brokers are found through hosts", DeprecationWarning, stacklevel=2)
            given["zookeeper_hosts"] = None
        self._hosts = given.pop("hosts")
        self.cluster = Cluster(self._hosts, _handler(use_greenlets), **given, **unknown)

    def __repr__(self) -> str:
        return f"<KafkaClient hosts={self._hosts!r} brokers={len(self.cluster.engine.view.brokers)}>"

    def __enter__(self) -> KafkaClient:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @property
    def brokers(self) -> dict[int, Broker]:
        """Return the brokers by id."""
        return self.cluster.brokers

    @property
    def topics(self) -> TopicDict:
        """Return the topics by name; asking for one that does not exist creates it if the brokers allow that."""
        return self.cluster.topics

    def get_balanced_consumer(
        self,
        consumer_group: Union[str, bytes],
        topics: Optional[Iterable[Union[str, bytes]]] = None,
        pattern: Optional[str] = None,
        **options: Any,
    ) -> ManagedBalancedConsumer:
        """Return a new member of a group that reads several topics, sharing their partitions with the other members.

        For one topic there is :meth:`Topic.get_balanced_consumer`, whose options these are. In ``partitions``, ``held_offsets``
        and what ``post_rebalance_callback`` is given and returns, partitions are called (topic's name as bytes, number) here,
        also when there is one topic only.

        :param topics: names of topics, which have to exist
        :param pattern: a regular expression that a topic's whole name has to match; topics that come later are read from their
            beginning, and a warning is logged while there is none. Given together with ``topics``, both are read. Brokers
            evaluate it by themselves in the newer group protocol: keep to what Python and RE2 have in common
        :raises TypeError: and ValueError, naming what is not right; KafkaException for a topic that does not exist
        """
        from .managedbalancedconsumer import ManagedBalancedConsumer  # most programs use one kind of consumer

        return ManagedBalancedConsumer.of(
            self.cluster, consumer_group, self._several(topics, pattern), checked_pattern(pattern), options
        )

    def _several(self, topics: Optional[Iterable[Union[str, bytes]]], pattern: Optional[str]) -> list[Topic]:
        names = [] if topics is None else require_names(topics, "topics")
        if not names and pattern is None:
            raise ValueError("topics or pattern is needed: what is the group to read?")
        missing = [name.decode() for name in names if name not in self.topics]
        if missing:
            raise UnknownTopicOrPartition(f"there are no topics {', '.join(missing)}: create them, or check the names")
        return [self.topics[name] for name in names]

    def update_cluster(self) -> None:
        """Ask for the present state of all brokers and topics."""
        self.cluster.update()

    def close(self) -> None:
        """Stop every producer (sending what is queued) and consumer, and close all connections. Twice is harmless."""
        self.cluster.close()


def _handler(use_greenlets: bool) -> Handler:
    if use_greenlets != 1:  # which is as good as True; what is neither is refused together with the other options
        return ThreadingHandler()
    greenlets.require_patched()
    from .handlers import GEventHandler  # it imports gevent

    made: Handler = GEventHandler()
    return made
