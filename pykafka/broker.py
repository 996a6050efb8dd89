"""A Broker: its address, whether we are connected to it, and requests that are put to it directly."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Callable, Optional, Union

from ._engine.sender import require_zstd
from ._engine.waiting import Deadline
from ._machines.metadata import BrokerInfo
from ._version import __version__
from .broker_home import BrokerHome, HandmadeHome, NamePool, RequestHandlers
from .common import CompressionType, brief
from .config import BROKER, check_options, require_names
from .exceptions import KafkaException, OperationTimedOut, SocketDisconnectedError, error_for
from .group_requests import GroupRequests
from .protocol.messages import ApiVersionsRequest, CreateTopicsRequest, DeleteTopicsRequest
from .protocol.requests import CreateTopicRequest
from .topic_arguments import broker_timeout_ms, creatable_topics
from .utils.arguments import whole_number

if TYPE_CHECKING:
    from ._engine.engine import Check
    from .cluster import Cluster
    from .handlers import RequestHandler
    from .protocol import (
        ApiVersionsResponse,
        FetchResponse,
        ListOffsetResponse,
        MetadataResponse,
        OffsetCommitResponse,
        OffsetFetchResponse,
        PartitionFetchRequest,
        PartitionOffsetCommitRequest,
        PartitionOffsetFetchRequest,
        PartitionOffsetRequest,
        ProduceRequest,
        ProduceResponse,
    )
    from .protocol.legacy import Request

__all__ = ["Broker", "CreateTopicRequest"]

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 1000
#: The connections that raw requests use. Offsets of groups go where the consumers' go.
PRODUCE_LANE = "raw-produce"
OFFSETS_LANE = "group"


class Broker(GroupRequests):
    """One broker; connections to it come and go as needed.

    Get it from ``client.brokers``, or make one from an address. One that is made has an I/O thread and connections of its own,
    until :meth:`close` or until nobody holds it any more; it connects at once, and when that fails, which is only
    logged, with the first request.

    :param id_: the broker's number, for people to see
    :param handler: a handler of :mod:`pykafka.handlers`, None for a ThreadingHandler; only :attr:`handler` uses it
    :param socket_timeout_ms: how long connecting, or one request, may take
    :param offsets_channel_socket_timeout_ms: the same for committing and fetching offsets
    :param buffer_size: without effect, as are ``broker_version`` and ``api_versions``: versions are negotiated
    :param source_host: and ``source_port``: what connections are made from
    :param ssl_config: an :class:`~pykafka.connection.SslConfig`, an ``ssl.SSLContext``, or anything with ``wrap_socket(sock)``
    :raises KafkaConfigError: naming everything that is not right
    """

    _cluster: BrokerHome
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
        given = {name: value for name, value in locals().items() if name in BROKER}
        options = check_options("Broker", BROKER, given)
        self._settle(HandmadeHome(self, options, handler), BrokerInfo(options["id_"], options["host"], options["port"], None))
        try:
            self.connect(attempts=1)
        except KafkaException as error:
            log.warning("%r: connecting failed, the first request tries again: %s", self, error)

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
        """Return a Broker made from ``metadata``, which has ``id``, ``host`` and ``port``; the rest is as for the constructor."""
        try:
            id_, host, port = metadata.id, metadata.host, metadata.port
        except AttributeError:
            raise TypeError(f"metadata must have id, host and port, as BrokerMetadata, not {brief(metadata)}") from None
        return cls(
            id_,
            host,
            port,
            handler,
            socket_timeout_ms,
            offsets_channel_socket_timeout_ms,
            buffer_size=buffer_size,
            source_host=source_host,
            source_port=source_port,
            ssl_config=ssl_config,
            broker_version=broker_version,
            api_versions=api_versions,
        )

    @classmethod
    def of(cls, cluster: Cluster, info: BrokerInfo) -> Broker:
        """Return the broker that ``cluster`` learned of."""
        broker = cls.__new__(cls)
        broker._settle(cluster, info)
        return broker

    def _settle(self, home: BrokerHome, info: BrokerInfo) -> None:
        self._cluster = home
        self._info = info
        self._fetch_lanes = NamePool("raw-fetch")
        self._group_lanes = NamePool("raw-group")
        self._handlers = RequestHandlers()

    def __repr__(self) -> str:
        state = "connected" if self.connected else "not connected"
        return f"<Broker {self._info.id} {self._info.host}:{self._info.port} {state}>"

    def __enter__(self) -> Broker:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

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
                self._ask_versions()
                return
            except OperationTimedOut as error:
                if not left:
                    raise SocketDisconnectedError(str(error), broker=self._who) from error
            except SocketDisconnectedError:
                if not left:
                    raise

    def connect_offsets_channel(self, attempts: int = 3) -> None:
        """Do the same as :meth:`connect`."""
        self.connect(attempts)

    @property
    def handler(self) -> RequestHandler:
        """Return what puts requests as bytes to the broker, over a connection of its own, made when this is first asked for.

        Its requests are those of :mod:`pykafka.protocol`, or anything else with ``get_bytes()``:
        ``broker.handler.request(MetadataRequest()).get(MetadataResponse)``. A connection that has ended is made anew.

        :raises SocketDisconnectedError: when the broker cannot be connected to
        """
        return self._handlers.get("main", self._cluster, self._info, self._cluster.socket_timeout_s)

    @property
    def offsets_channel_handler(self) -> RequestHandler:
        """Return another one, with a connection of its own too, for the requests about a group's offsets."""
        return self._handlers.get("offsets", self._cluster, self._info, self._cluster.offsets_timeout_s)

    def close(self) -> None:
        """Close the connections of a broker that was made by hand, and end its threads; twice is harmless.

        One of a client's only has those of its :attr:`handler` closed: the others are the client's.
        """
        self._handlers.stop()
        if isinstance(self._cluster, HandmadeHome):
            self._cluster.close()

    # -- requests -----------------------------------------------------------------------------------------------------

    def _call(self, request: Any, **how: Any) -> Any:
        """Return the answer to ``request``."""
        return self._send(request, **how)()

    def _send(
        self,
        request: Any,
        *,
        lane: str = "control",
        cap: Optional[int] = None,
        timeout_s: Optional[float] = None,
        held_s: float = 0.0,
        check: Optional[Check] = None,
    ) -> Callable[[], Any]:
        """Return what waits for the answer; see ``Engine.begin``. ``timeout_s`` is socket_timeout_ms unless given."""
        self._cluster.require_open()
        deadline = Deadline((self._cluster.socket_timeout_s if timeout_s is None else timeout_s) + held_s)
        return self._cluster.engine.begin(self._info, request, deadline, lane=lane, cap=cap, held_s=held_s, check=check)

    def _begin(self, request: Any, **how: Any) -> Callable[[], Any]:
        """Put one of PyKafka's requests, in a version that names topics; return what waits for the answer."""
        return self._send(request.declared(), cap=request.NEWEST_VERSION, **how)

    def _ask(self, request: Request, **how: Any) -> Any:
        """Return the answer to one of PyKafka's requests."""
        return self._begin(request, **how)()

    def _drop_lane(self, name: str) -> None:
        """Close the connection of that name, whose answer nobody waits for any more."""
        with contextlib.suppress(KafkaException):  # closed, or forked: there is none
            self._cluster.engine.loop.call_soon(self._cluster.engine.drop_lane, self._info.host, self._info.port, name)

    def _ask_versions(self) -> Any:
        return self._call(ApiVersionsRequest(client_software_name="pykafka", client_software_version=__version__))

    def fetch_api_versions(self) -> ApiVersionsResponse:
        """Return which versions the broker speaks: API key -> (key, min, max) in ``api_versions``."""
        from .protocol.legacy import ApiVersionsResponse  # only those who ask for it pay

        versions: ApiVersionsResponse = ApiVersionsResponse.of(self._ask_versions())
        return versions

    def request_metadata(self, topics: Optional[Iterable[Union[str, bytes]]] = None) -> MetadataResponse:
        """Return what the broker knows of the cluster and of ``topics`` (None, or none given: all); creates none."""
        from .protocol.legacy import MetadataRequest, MetadataResponse

        request = MetadataRequest(topics, allow_topic_autocreation=False)
        metadata: MetadataResponse = MetadataResponse.of(self._ask(request))
        return metadata

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
            raise error_for(code, broker=self._who, api=api, topic=topic, detail=detail)

    @property
    def _who(self) -> str:
        return f"{self._info.id} ({self._info.host}:{self._info.port})"

    # -- PyKafka's raw requests ---------------------------------------------------------------------------------------
    #
    # Each is put to this broker once, whether or not it leads the partitions or coordinates the group. What a broker has to say
    # about a partition is its ``err`` in the answer, an error code of pykafka.exceptions.ERROR_CODES; nothing is tried again.

    def fetch_messages(
        self, partition_requests: Iterable[PartitionFetchRequest], timeout: int = 30000, min_bytes: int = 1
    ) -> FetchResponse:
        """Return messages of some partitions that this broker leads, in ``topics[topic][partition].messages``.

        :param timeout: milliseconds that the broker may wait until there are ``min_bytes``
        :raises CorruptBatchError: for a batch that cannot be read, naming topic, partition and offset
        :raises TypeError: and ValueError, naming what is not right
        """
        from .protocol.legacy import FetchRequest, FetchResponse

        request = FetchRequest(partition_requests, timeout, min_bytes)
        # its answer may be held back for long, which must not hold up anything else: not even another fetch
        with self._fetch_lanes.lend(self._drop_lane) as lane:
            reply = self._ask(request, lane=lane, held_s=request.timeout / 1000.0)
        fetched: FetchResponse = FetchResponse.of(reply, request)
        return fetched

    def produce_messages(self, produce_request: ProduceRequest) -> Optional[ProduceResponse]:
        """Write messages to partitions that this broker leads; return where they are, None with ``required_acks=0``.

        :raises OperationTimedOut: or SocketDisconnectedError, when there was no answer: they may have been written
        :raises UnsupportedVersion: for zstd, when the broker is older than Kafka 2.1
        :raises TypeError: when it is no ProduceRequest
        """
        from .protocol.legacy import ProduceRequest, ProduceResponse

        if not isinstance(produce_request, ProduceRequest):
            raise TypeError(f"produce_request must be a pykafka.protocol.ProduceRequest, not {brief(produce_request)}")
        check = require_zstd if produce_request.compression_type == CompressionType.ZSTD else None
        reply = self._ask(produce_request, lane=PRODUCE_LANE, held_s=produce_request.timeout / 1000.0, check=check)
        return None if reply is None else ProduceResponse.of(reply, produce_request)

    def request_offset_limits(self, partition_requests: Iterable[PartitionOffsetRequest]) -> ListOffsetResponse:
        """Return offsets of some partitions that this broker leads, in ``topics[topic][partition].offset``, a list.

        :raises TypeError: and ValueError, naming what is not right
        """
        from .protocol.legacy import ListOffsetRequest, ListOffsetResponse

        request = ListOffsetRequest(partition_requests)
        found: ListOffsetResponse = ListOffsetResponse.of(self._ask(request), request)
        return found

    def commit_consumer_group_offsets(
        self,
        consumer_group: Union[str, bytes],
        consumer_group_generation_id: int,
        consumer_id: Union[str, bytes],
        preqs: Iterable[PartitionOffsetCommitRequest],
    ) -> OffsetCommitResponse:
        """Commit offsets of a group that this broker coordinates; return the outcome of each, ``topics[topic][partition].err``.

        :param consumer_group_generation_id: -1, with ``consumer_id`` ``b""``, for who is no member of the group
        :raises TypeError: and ValueError or UnicodeException, naming what is not right
        """
        from .protocol.legacy import OffsetCommitRequest, OffsetCommitResponse

        request = OffsetCommitRequest(consumer_group, consumer_group_generation_id, consumer_id, preqs)
        reply = self._ask(request, lane=OFFSETS_LANE, timeout_s=self._cluster.offsets_timeout_s)
        committed: OffsetCommitResponse = OffsetCommitResponse.of(reply, request)
        return committed

    def fetch_consumer_group_offsets(
        self, consumer_group: Union[str, bytes], preqs: Iterable[PartitionOffsetFetchRequest]
    ) -> OffsetFetchResponse:
        """Return what a group that this broker coordinates has committed: ``topics[topic][partition].offset``, -1 for nothing.

        :raises TypeError: and ValueError or UnicodeException, naming what is not right
        """
        from .protocol.legacy import OffsetFetchRequest, OffsetFetchResponse

        request = OffsetFetchRequest(consumer_group, preqs)
        reply = self._ask(request, lane=OFFSETS_LANE, timeout_s=self._cluster.offsets_timeout_s)
        found: OffsetFetchResponse = OffsetFetchResponse.of(reply, request)
        return found
