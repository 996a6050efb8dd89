"""A Broker: its address, whether we are connected to it, and requests that are put to it directly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn, Optional, Union

from ._engine.bootstrap import metadata_request
from ._engine.waiting import Deadline
from ._machines.metadata import BrokerInfo
from ._version import __version__
from .config import require_names
from .exceptions import SocketDisconnectedError, error_for
from .protocol.messages import ApiVersionsRequest, CreateTopicsRequest, DeleteTopicsRequest, MetadataResponse
from .protocol.requests import CreateTopicRequest
from .topic_arguments import broker_timeout_ms, creatable_topics, whole_number

if TYPE_CHECKING:
    from .cluster import Cluster

__all__ = ["Broker", "CreateTopicRequest"]

MAX_ATTEMPTS = 1000


class Broker:
    """One broker of the cluster, as learned from metadata; connections to it come and go as needed.

    Get it from ``client.brokers``. Making one from an address, as PyKafka's signature says, is not in this version yet.
    """

    _cluster: Cluster
    _info: BrokerInfo

    def __init__(
        self,
        id_: int,
        host: Union[str, bytes],
        port: int,
        handler: Any,
        socket_timeout_ms: int,
        offsets_channel_socket_timeout_ms: int,
        buffer_size: int = 1048576,
        source_host: str = "",
        source_port: int = 0,
        ssl_config: Optional[Any] = None,
        broker_version: str = "0.9.0",
        api_versions: Optional[Mapping[int, Any]] = None,
    ) -> None:
        raise NotImplementedError("a Broker cannot be made from an address in this version: take it from client.brokers")

    @classmethod
    def from_metadata(
        cls,
        metadata: Any,
        handler: Any,
        socket_timeout_ms: int,
        offsets_channel_socket_timeout_ms: int,
        buffer_size: int = 65536,
        source_host: str = "",
        source_port: int = 0,
        ssl_config: Optional[Any] = None,
        broker_version: str = "0.9.0",
        api_versions: Optional[Mapping[int, Any]] = None,
    ) -> Broker:
        """Raise NotImplementedError: take brokers from ``client.brokers``."""
        raise NotImplementedError("a Broker cannot be made from metadata in this version: take it from client.brokers")

    @classmethod
    def of(cls, cluster: Cluster, info: BrokerInfo) -> Broker:
        """Return the broker that ``cluster`` learned of."""
        broker = cls.__new__(cls)
        broker._cluster = cluster
        broker._info = info
        return broker

    def __repr__(self) -> str:
        state = "connected" if self.connected else "not connected"
        return f"<Broker {self._info.id} {self._info.host}:{self._info.port} {state}>"

    @property
    def id(self) -> int:
        """Return the broker's number in the cluster."""
        return self._info.id

    @property
    def host(self) -> bytes:
        """Return the host that clients are told to connect to."""
        return self._info.host.encode()

    @property
    def port(self) -> int:
        """Return the port that clients are told to connect to."""
        return self._info.port

    # -- connections --------------------------------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """Return whether there is any ready connection to the broker."""
        return self._cluster.engine.is_connected(self._info.host, self._info.port)

    @property
    def offsets_channel_connected(self) -> bool:
        """Return the same: offsets need no connection that users would have to look after."""
        return self.connected

    def connect(self, attempts: int = 3) -> None:
        """Return once there is a working connection to the broker; whatever needs one opens it without being asked to.

        :param attempts: how many times to try; ``reconnect_backoff_ms`` sets the pauses
        :raises SocketDisconnectedError: when none of them succeeds
        """
        left = whole_number("attempts", attempts, 1, MAX_ATTEMPTS)
        while True:
            left -= 1
            try:
                self.fetch_api_versions()
                return
            except SocketDisconnectedError:
                if not left:
                    raise

    def connect_offsets_channel(self, attempts: int = 3) -> None:
        """Do the same as :meth:`connect`."""
        self.connect(attempts)

    @property
    def handler(self) -> Any:
        """Raise NotImplementedError: there is no RequestHandler behind a connection."""
        _not_yet("RequestHandlers of connections")

    @property
    def offsets_channel_handler(self) -> Any:
        """Raise NotImplementedError: there is no RequestHandler behind a connection."""
        _not_yet("RequestHandlers of connections")

    # -- requests -----------------------------------------------------------------------------------------------------

    def _call(self, request: Any) -> Any:
        return self._cluster.engine.call(self._info, request, Deadline(self._cluster.socket_timeout_s))

    def fetch_api_versions(self) -> dict[int, tuple[int, int]]:
        """Return API key -> (oldest, newest version) as the broker offers them."""
        reply = self._call(ApiVersionsRequest(client_software_name="pykafka", client_software_version=__version__))
        self._raise_for(reply.error_code, "ApiVersions")
        return {row.api_key: (row.min_version, row.max_version) for row in reply.api_keys}

    def request_metadata(self, topics: Optional[Iterable[Union[str, bytes]]] = None) -> MetadataResponse:
        """Return what the broker knows of the cluster and of ``topics`` (None: all); creates none."""
        names = None if topics is None else [name.decode() for name in require_names(topics, "topics")]
        reply: MetadataResponse = self._call(metadata_request(names))
        return reply

    def create_topics(self, topic_reqs: Iterable[CreateTopicRequest], timeout: int = 0) -> None:
        """Create topics; return when the controller has accepted them.

        Up to Kafka 3 with ZooKeeper this must be asked of the controller, ``cluster.controller_broker``.

        :param timeout: milliseconds to wait until brokers know the topics; 0 means socket_timeout_ms
        :raises ProtocolClientError: the first topic's error, with the broker's own words
        :raises TypeError: and ValueError, naming the argument that is not right and its value
        """
        rows = creatable_topics(topic_reqs)
        timeout_ms = broker_timeout_ms(timeout, self._cluster.socket_timeout_s)
        reply = self._call(CreateTopicsRequest(topics=rows, timeout_ms=timeout_ms))
        for row in reply.topics:
            self._raise_for(row.error_code, "CreateTopics", row.name, row.error_message)

    def delete_topics(self, topics: Iterable[Union[str, bytes]], timeout: int = 0) -> None:
        """Delete topics by name; the brokers remove them in the background.

        :param timeout: milliseconds to wait for it; 0 means socket_timeout_ms
        :raises ProtocolClientError: the first topic's error, with the broker's own words
        :raises TypeError: and ValueError, naming the argument that is not right and its value
        """
        names = [name.decode() for name in require_names(topics, "topics")]
        states = [DeleteTopicsRequest.DeleteTopicState(name=name) for name in names]
        timeout_ms = broker_timeout_ms(timeout, self._cluster.socket_timeout_s)
        reply = self._call(DeleteTopicsRequest(topics=states, topic_names=names, timeout_ms=timeout_ms))
        for row in reply.responses:
            self._raise_for(row.error_code, "DeleteTopics", row.name, row.error_message)

    def _raise_for(self, code: int, api: str, topic: Optional[str] = None, detail: Optional[str] = None) -> None:
        if code:
            who = f"{self._info.id} ({self._info.host}:{self._info.port})"
            raise error_for(code, broker=who, api=api, topic=topic, detail=detail)

    # -- PyKafka's raw requests, which are not in this version yet ----------------------------------------------------

    def fetch_messages(self, partition_requests: Any, timeout: int = 30000, min_bytes: int = 1) -> Any:
        """Raise NotImplementedError: use a SimpleConsumer."""
        _not_yet("raw fetches")

    def produce_messages(self, produce_request: Any) -> Any:
        """Raise NotImplementedError: use a Producer."""
        _not_yet("raw produce requests")

    def request_offset_limits(self, partition_requests: Any) -> Any:
        """Raise NotImplementedError: use Topic.fetch_offset_limits()."""
        _not_yet("raw offset look-ups")

    def commit_consumer_group_offsets(
        self, consumer_group: Any, consumer_group_generation_id: int, consumer_id: Any, preqs: Any
    ) -> Any:
        """Raise NotImplementedError: use SimpleConsumer.commit_offsets()."""
        _not_yet("raw offset commits")

    def fetch_consumer_group_offsets(self, consumer_group: Any, preqs: Any) -> Any:
        """Raise NotImplementedError: use SimpleConsumer.fetch_offsets()."""
        _not_yet("raw fetches of offsets")

    def join_group(
        self, connection_id: Any, consumer_group: Any, member_id: Any, topic_name: Any, membership_protocol: Any
    ) -> Any:
        """Raise NotImplementedError."""
        _not_yet("group requests")

    def leave_group(self, connection_id: Any, consumer_group: Any, member_id: Any) -> Any:
        """Raise NotImplementedError."""
        _not_yet("group requests")

    def sync_group(
        self, connection_id: Any, consumer_group: Any, generation_id: int, member_id: Any, group_assignment: Any
    ) -> Any:
        """Raise NotImplementedError."""
        _not_yet("group requests")

    def heartbeat(self, connection_id: Any, consumer_group: Any, generation_id: int, member_id: Any) -> Any:
        """Raise NotImplementedError."""
        _not_yet("group requests")

    def list_groups(self) -> Any:
        """Raise NotImplementedError."""
        _not_yet("group requests")

    def describe_groups(self, group_ids: Any) -> Any:
        """Raise NotImplementedError."""
        _not_yet("group requests")


def _not_yet(what: str) -> NoReturn:
    raise NotImplementedError(f"{what} are not in this version yet")
