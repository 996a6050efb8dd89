"""PyKafka's Metadata, GroupCoordinator and ApiVersions: who is there, who leads, who speaks what."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, Optional, Union

from ...common import brief
from ...utils.arguments import to_name
from .. import messages
from .base import Request, Response


class MetadataRequest(Request):
    """A request for brokers and topics; without ``topics`` (None, or none in it) for all topics.

    :param allow_topic_autocreation: whether asking for a topic that does not exist may create it
    """

    API_KEY = 3
    API_VERSION = 4

    def __init__(self, topics: Optional[Iterable[Union[str, bytes]]] = None, allow_topic_autocreation: bool = True) -> None:
        # a name by itself is iterable too: a request for topics of one letter
        if topics is not None and (isinstance(topics, (str, bytes)) or not isinstance(topics, Iterable)):
            raise TypeError(f"topics must be a list of names, not {brief(topics)}")
        self.topics = [to_name(name, f"topics[{number}]") for number, name in enumerate(topics or ())]
        self.allow_topic_autocreation = bool(allow_topic_autocreation)

    def declared(self) -> messages.MetadataRequest:
        """Return the request."""
        rows = [messages.MetadataRequest.MetadataRequestTopic(name=name.decode()) for name in self.topics]
        return messages.MetadataRequest(topics=rows or None, allow_auto_topic_creation=self.allow_topic_autocreation)


class BrokerMetadata(NamedTuple):
    """A broker, and the address it wants to be reached at."""

    id: int
    host: bytes
    port: int


class PartitionMetadata(NamedTuple):
    """A partition: who leads it (-1: nobody), who holds copies and whose are in sync, by broker id; and its error code."""

    id: int
    leader: int
    replicas: list[int]
    isr: list[int]
    err: int


class TopicMetadata(NamedTuple):
    """A topic, its partitions by number, and its error code."""

    name: bytes
    partitions: dict[int, PartitionMetadata]
    err: int


class MetadataResponse(Response):
    """Brokers by id and topics by name; ``controller_id`` is -1 and ``cluster_id`` None where the broker does not say."""

    API_KEY = 3
    API_VERSION = 4
    DECLARED = messages.MetadataResponse

    brokers: dict[int, BrokerMetadata]
    topics: dict[bytes, TopicMetadata]
    controller_id: int
    cluster_id: Optional[bytes]
    throttle_time_ms: int

    def _fill(self, reply: Any) -> None:
        self._raise_for(reply.error_code)
        self.brokers = {row.node_id: BrokerMetadata(row.node_id, row.host.encode(), row.port) for row in reply.brokers}
        topics = [_topic(row) for row in reply.topics]
        self.topics = {topic.name: topic for topic in topics}
        self.controller_id = reply.controller_id
        self.cluster_id = None if reply.cluster_id is None else reply.cluster_id.encode()
        self.throttle_time_ms = reply.throttle_time_ms


def _topic(row: Any) -> TopicMetadata:
    partitions = {
        part.partition_index: PartitionMetadata(
            part.partition_index, part.leader_id, list(part.replica_nodes), list(part.isr_nodes), part.error_code
        )
        for part in row.partitions
    }
    return TopicMetadata((row.name or "").encode(), partitions, row.error_code)


class GroupCoordinatorRequest(Request):
    """A request for the broker that coordinates a group."""

    API_KEY = 10
    API_VERSION = 0
    #: The last version that asks about one group.
    NEWEST_VERSION = 3

    def __init__(self, consumer_group: Union[str, bytes]) -> None:
        self.consumer_group = to_name(consumer_group, "consumer_group")

    def declared(self) -> messages.FindCoordinatorRequest:
        """Return the request."""
        return messages.FindCoordinatorRequest(key=self.consumer_group.decode(), key_type=0)


class GroupCoordinatorResponse(Response):
    """The broker that coordinates a group.

    :raises ProtocolClientError: when the broker knows none
    """

    API_KEY = 10
    API_VERSION = 0
    DECLARED = messages.FindCoordinatorResponse

    coordinator_id: int
    coordinator_host: bytes
    coordinator_port: int

    def _fill(self, reply: Any) -> None:
        self._raise_for(reply.error_code, reply.error_message)
        self.coordinator_id = reply.node_id
        self.coordinator_host = reply.host.encode()
        self.coordinator_port = reply.port


class ApiVersionsRequest(Request):
    """A request for the versions that a broker speaks."""

    API_KEY = 18
    API_VERSION = 0

    def declared(self) -> messages.ApiVersionsRequest:
        """Return the request, without a name of the software: that the client adds."""
        return messages.ApiVersionsRequest()


class ApiVersionsSpec(NamedTuple):
    """The versions of one API that a broker speaks, from ``min`` to ``max``; ``key`` is the number of the API."""

    key: int
    min: int
    max: int


class ApiVersionsResponse(Response):
    """The versions that a broker speaks, by the number of the API, in ``api_versions``.

    :raises ProtocolClientError: when the broker does not say
    """

    API_KEY = 18
    API_VERSION = 0
    DECLARED = messages.ApiVersionsResponse

    api_versions: dict[int, ApiVersionsSpec]

    def _fill(self, reply: Any) -> None:
        self._raise_for(reply.error_code)
        self.api_versions = {
            row.api_key: ApiVersionsSpec(row.api_key, row.min_version, row.max_version) for row in reply.api_keys
        }
