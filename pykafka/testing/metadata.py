"""Handlers of Metadata, ApiVersions and FindCoordinator."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Optional

from ..protocol.messages import ApiVersionsResponse, FindCoordinatorResponse, MetadataResponse
from .call import Call
from .state import CLUSTER_ID, NO_LEADER, Partition, Topic, problem_with_name
from .versions import Range

UNKNOWN_TOPIC_OR_PARTITION, LEADER_NOT_AVAILABLE, COORDINATOR_NOT_AVAILABLE = 3, 5, 15
INVALID_TOPIC, INVALID_REQUEST, UNKNOWN_TOPIC_ID, REBOOTSTRAP_REQUIRED = 17, 42, 100, 129
TRANSACTIONAL_ID_AUTHORIZATION_FAILED = 53
NO_ID = bytes(16)
_BY_ID_SINCE = 12
_KEYS_SINCE = 4
#: Read, write, create, delete, alter, describe, and describe and alter settings: what anyone may do where nobody is kept out.
_ALL_TOPIC_OPERATIONS = 0b1101_1111_1000
_ALL_CLUSTER_OPERATIONS = 0b1_1111_1010_0000
_NOT_ASKED = -(2**31)
_SOFTWARE_NAME = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?")

Row = MetadataResponse.MetadataResponseTopic


# -- Metadata ---------------------------------------------------------------------------------------------------------


def metadata(call: Call) -> None:
    """Tell which brokers and topics there are; topics that are asked for may be created by it."""
    state, request = call.state, call.request
    if request.topics is None or (call.version == 0 and not request.topics):
        rows = [_describe(call, topic) for topic in state.topics.values()]
    elif any(topic.name is None or topic.topic_id != NO_ID for topic in request.topics) and call.version < _BY_ID_SINCE:
        rows = [Row(name=topic.name or "", topic_id=topic.topic_id, error_code=INVALID_REQUEST) for topic in request.topics]
    else:
        rows = [_one(call, topic) for topic in _once(request.topics)]
    kind = MetadataResponse.MetadataResponseBroker
    asked = request.include_cluster_authorized_operations and 8 <= call.version <= 10
    call.answer(
        MetadataResponse(
            brokers=[kind(node_id=one.id, host=one.host, port=one.port, rack=one.rack) for one in state.running],
            cluster_id=CLUSTER_ID,
            controller_id=state.controller_id,
            topics=rows,
            cluster_authorized_operations=_ALL_CLUSTER_OPERATIONS if asked else _NOT_ASKED,
        )
    )


def _once(topics: list[Any]) -> list[Any]:
    """Return what is asked for without what is asked for again."""
    return list({(topic.name, topic.topic_id): topic for topic in topics}.values())


def _one(call: Call, asked: Any) -> Any:
    state = call.state
    name: Optional[str] = asked.name
    if name is None:
        name = state.names.get(asked.topic_id)
        if name is None:
            return Row(name=None, topic_id=asked.topic_id, error_code=UNKNOWN_TOPIC_ID)
    failure = call.failure(name)
    if failure:
        return _missing(call, name, failure)
    topic = state.topics.get(name)
    if topic is not None:
        return _describe(call, topic)
    if problem_with_name(name):
        return _missing(call, name, INVALID_TOPIC)
    may_create = call.request.allow_auto_topic_creation if call.version >= 4 else True
    if not (may_create and state.auto_create and state.running):
        return _missing(call, name, UNKNOWN_TOPIC_OR_PARTITION)
    state.create(name, state.default_partitions, min(state.default_replication, len(state.running)))
    # it is there, but who asked hears of it the next time
    return _missing(call, name, UNKNOWN_TOPIC_OR_PARTITION if state.version >= "3.3" else LEADER_NOT_AVAILABLE)


def _missing(call: Call, name: str, error: int) -> Any:
    return Row(name=name, error_code=error, topic_authorized_operations=_operations(call))


def _describe(call: Call, topic: Topic) -> Any:
    failure = call.failure(topic.name)
    if failure:
        return Row(name=topic.name, topic_id=topic.id, error_code=failure)
    return Row(
        name=topic.name,
        topic_id=topic.id if call.state.version >= "2.8" else NO_ID,
        partitions=[_describe_partition(call, partition) for partition in topic.partitions],
        topic_authorized_operations=_operations(call),
    )


def _operations(call: Call) -> int:
    """Return what the client may do with a topic, if it asks."""
    return _ALL_TOPIC_OPERATIONS if call.request.include_topic_authorized_operations and call.version >= 8 else _NOT_ASKED


def _describe_partition(call: Call, partition: Partition) -> Any:
    has_leader = partition.leader != NO_LEADER
    return MetadataResponse.MetadataResponsePartition(
        error_code=0 if has_leader else LEADER_NOT_AVAILABLE,
        partition_index=partition.number,
        leader_id=partition.leader,
        leader_epoch=partition.leader_epoch,
        replica_nodes=list(partition.replicas),
        isr_nodes=list(partition.isr),
        offline_replicas=[one for one in partition.replicas if not call.state.brokers[one].is_up],
    )


# -- ApiVersions ------------------------------------------------------------------------------------------------------


def api_versions(call: Call, ranges: Mapping[int, Range]) -> None:
    """Tell what is understood, and which features are on."""
    error = call.failure() or _problem_with_client(call)
    if error:
        call.answer(ApiVersionsResponse(error_code=error))
        return
    kind = ApiVersionsResponse
    features = call.state.version.features() if call.version >= 3 else []
    call.answer(
        kind(
            api_keys=[kind.ApiVersion(api_key=key, min_version=low, max_version=high) for key, (low, high) in ranges.items()],
            supported_features=[kind.SupportedFeatureKey(name=name, min_version=1, max_version=on) for name, on in features],
            finalized_features_epoch=1 if features else -1,
            finalized_features=[
                kind.FinalizedFeatureKey(name=name, max_version_level=on, min_version_level=on) for name, on in features
            ],
        )
    )


def _problem_with_client(call: Call) -> int:
    request = call.request
    if call.version >= 3:
        words = (request.client_software_name, request.client_software_version)
        if not all(_SOFTWARE_NAME.fullmatch(word) for word in words):
            return INVALID_REQUEST
    if call.version >= 5:
        if (request.cluster_id is None) != (request.node_id == -1):
            return INVALID_REQUEST
        if request.cluster_id is not None and (request.cluster_id, request.node_id) != (CLUSTER_ID, call.broker.id):
            return REBOOTSTRAP_REQUIRED
    return 0


def unsupported_api_versions(ranges: Mapping[int, Range], key: int, tells_range: bool) -> ApiVersionsResponse:
    """Return the answer, of version 0, to an ApiVersions request of a version that is not there (KIP-511)."""
    low, high = ranges[key]
    row = ApiVersionsResponse.ApiVersion(api_key=key, min_version=low, max_version=high)
    return ApiVersionsResponse(error_code=35, api_keys=[row] if tells_range else [])


# -- FindCoordinator --------------------------------------------------------------------------------------------------


#: What Kafka says in words with an error.
_WORDS = {
    0: "NONE",
    INVALID_REQUEST: "This most likely occurs because of a request being malformed by the client library or the message was"
    " sent to an incompatible broker. See the broker logs for more details.",
    COORDINATOR_NOT_AVAILABLE: "The coordinator is not available.",
    TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "This fake cluster has no transactions.",
}
#: What is said of coordinators by their type, transactions (1) and share groups (2). An error that passes would be asked about
#: again for ever.
_NO_OTHERS = {1: TRANSACTIONAL_ID_AUTHORIZATION_FAILED, 2: COORDINATOR_NOT_AVAILABLE}


def find_coordinator(call: Call) -> None:
    """Tell who looks after groups; nobody looks after anything else, and transactions are not allowed."""
    if call.version < _KEYS_SINCE:
        broker, error = _coordinator(call, call.request.key)
        where = {} if broker is None else {"node_id": broker.id, "host": broker.host, "port": broker.port}
        response = FindCoordinatorResponse(error_code=error, error_message=_WORDS.get(error), **where)
        if broker is None:
            response.node_id = response.port = -1
        call.answer(response)
        return
    kind = FindCoordinatorResponse.Coordinator
    rows = []
    for key in call.request.coordinator_keys:
        broker, error = _coordinator(call, key)
        if broker is None:
            rows.append(kind(key=key, node_id=-1, port=-1, error_code=error, error_message=_WORDS.get(error)))
        else:
            rows.append(kind(key=key, node_id=broker.id, host=broker.host, port=broker.port))
    call.answer(FindCoordinatorResponse(coordinators=rows))


def _coordinator(call: Call, key: str) -> tuple[Any, int]:
    failure = call.failure()
    if failure:
        return None, failure
    if call.version >= 1 and call.request.key_type != 0:
        return None, _NO_OTHERS.get(call.request.key_type, INVALID_REQUEST)
    broker = call.state.coordinator_of(key)
    return broker, 0 if broker is not None else COORDINATOR_NOT_AVAILABLE
