"""A Broker: its address, whether we are connected to it, and requests that are put to it directly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Optional, Union

from ._engine.bootstrap import metadata_request
from ._engine.waiting import Deadline
from ._machines.metadata import BrokerInfo
from .config import require_names, to_name
from .exceptions import error_for
from .protocol.messages import ApiVersionsRequest, CreateTopicsRequest, DeleteTopicsRequest, MetadataResponse

if TYPE_CHECKING:
    from .cluster import Cluster


class CreateTopicRequest(NamedTuple):
    """A topic to create. ``replica_assignment`` maps a partition to its brokers' ids, and then replaces the two numbers."""

    topic_name: Union[str, bytes]
    num_partitions: int = -1
    replication_factor: int = -1
    replica_assignment: Union[Mapping[int, Iterable[int]], Iterable[tuple[int, Iterable[int]]]] = ()
    config_entries: Union[Mapping[str, Optional[str]], Iterable[tuple[str, Optional[str]]]] = ()


class Broker:
    """One broker of the cluster, as learned from metadata; connections to it come and go as needed."""

    def __init__(self, cluster: Cluster, info: BrokerInfo) -> None:
        self._cluster = cluster
        self._info = info

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

    @property
    def connected(self) -> bool:
        """Return whether there is any ready connection to the broker."""
        return self._cluster.engine.is_connected(self._info.host, self._info.port)

    # -- requests -----------------------------------------------------------------------------------------------------

    def _call(self, request: Any, timeout_s: Optional[float] = None) -> Any:
        seconds = self._cluster.socket_timeout_s if timeout_s is None else timeout_s
        return self._cluster.engine.call(self._info, request, Deadline(seconds))

    def fetch_api_versions(self) -> dict[int, tuple[int, int]]:
        """Return API key -> (oldest, newest version) as the broker offers them."""
        from ._version import __version__

        reply = self._call(ApiVersionsRequest(client_software_name="pykafka", client_software_version=__version__))
        self._raise_for(reply.error_code, "ApiVersions")
        return {row.api_key: (row.min_version, row.max_version) for row in reply.api_keys}

    def request_metadata(self, topics: Optional[Iterable[Union[str, bytes]]] = None) -> MetadataResponse:
        """Return what the broker knows of the cluster and of ``topics`` (None: all); creates none."""
        names = None if topics is None else [name.decode() for name in require_names(topics, "topic")]
        reply: MetadataResponse = self._call(metadata_request(names))
        return reply

    def create_topics(self, topic_reqs: Iterable[CreateTopicRequest], timeout: int = 0) -> None:
        """Create topics; return when the controller has accepted them.

        Up to Kafka 3 with ZooKeeper this must be asked of the controller, ``cluster.controller_broker``.

        :param timeout: milliseconds to wait until brokers know the topics; 0 means socket_timeout_ms
        :raises ProtocolClientError: the first topic's error, with the broker's own words
        """
        rows = [_creatable(one) for one in topic_reqs]
        reply = self._call(CreateTopicsRequest(topics=rows, timeout_ms=timeout or int(self._cluster.socket_timeout_s * 1000)))
        for row in reply.topics:
            self._raise_for(row.error_code, "CreateTopics", row.name, row.error_message)

    def delete_topics(self, topics: Iterable[Union[str, bytes]], timeout: int = 0) -> None:
        """Delete topics by name; the brokers remove them in the background.

        :param timeout: milliseconds to wait for it; 0 means socket_timeout_ms
        :raises ProtocolClientError: the first topic's error, with the broker's own words
        """
        names = [name.decode() for name in require_names(topics, "topic")]
        states = [DeleteTopicsRequest.DeleteTopicState(name=name) for name in names]
        timeout_ms = timeout or int(self._cluster.socket_timeout_s * 1000)
        reply = self._call(DeleteTopicsRequest(topics=states, topic_names=names, timeout_ms=timeout_ms))
        for row in reply.responses:
            self._raise_for(row.error_code, "DeleteTopics", row.name, row.error_message)

    def _raise_for(self, code: int, api: str, topic: Optional[str] = None, detail: Optional[str] = None) -> None:
        if code:
            who = f"{self._info.id} ({self._info.host}:{self._info.port})"
            raise error_for(code, broker=who, api=api, topic=topic, detail=detail)

    def _not_yet(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise NotImplementedError: this raw request of PyKafka's is not in this version yet."""
        raise NotImplementedError("raw requests of this kind are not in this version yet")

    fetch_messages = produce_messages = request_offset_limits = _not_yet
    commit_consumer_group_offsets = fetch_consumer_group_offsets = _not_yet
    join_group = leave_group = sync_group = heartbeat = list_groups = describe_groups = _not_yet


def _creatable(one: CreateTopicRequest) -> CreateTopicsRequest.CreatableTopic:
    assignment = dict(one.replica_assignment)
    replicas = [
        CreateTopicsRequest.CreatableReplicaAssignment(partition_index=partition, broker_ids=list(brokers))
        for partition, brokers in assignment.items()
    ]
    entries = dict(one.config_entries).items()
    configs = [CreateTopicsRequest.CreatableTopicConfig(name=name, value=value) for name, value in entries]
    return CreateTopicsRequest.CreatableTopic(
        name=to_name(one.topic_name, "topic").decode(),
        num_partitions=-1 if assignment else one.num_partitions,
        replication_factor=-1 if assignment else one.replication_factor,
        assignments=replicas,
        configs=configs,
    )
