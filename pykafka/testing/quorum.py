"""Handler of DescribeQuorum: every broker is a controller, too, and there is no log of what they decide."""

from __future__ import annotations

from typing import Any

from ..protocol.messages import DescribeQuorumResponse
from ..protocol.messages.quorum import ReplicaState
from .call import Call
from .state import Broker

METADATA_LOG = "__cluster_metadata"
UNKNOWN_TOPIC_OR_PARTITION = 3
_NOT_HERE = "This server does not host this topic-partition."
_UNKNOWN_TIME_MS = -1


def describe_quorum(call: Call) -> None:
    """Tell who of the brokers is the controller, and since when the others are not heard of."""
    made = DescribeQuorumResponse.TopicData
    asked = [(topic.topic_name, part.partition_index) for topic in call.request.topics for part in topic.partitions]
    # all is refused that asks for anything else besides, as Kafka does
    describe = _described if asked == [(METADATA_LOG, 0)] and len(call.request.topics) == 1 else _unknown
    topics = [
        made(topic_name=topic.topic_name, partitions=[describe(call, part.partition_index) for part in topic.partitions])
        for topic in call.request.topics
    ]
    listens = describe is _described and call.version >= 2
    call.answer(
        DescribeQuorumResponse(
            error_code=call.failure(),
            error_message="",
            topics=topics,
            nodes=[_node(broker) for broker in call.state.brokers.values()] if listens else [],
        )
    )


def _unknown(call: Call, number: int) -> Any:
    made = DescribeQuorumResponse.PartitionData
    return made(partition_index=number, error_code=UNKNOWN_TOPIC_OR_PARTITION, error_message=_NOT_HERE)


def _described(call: Call, number: int) -> Any:
    made = DescribeQuorumResponse.PartitionData
    return made(
        partition_index=number,
        error_code=call.failure(METADATA_LOG, number),
        error_message="",
        leader_id=call.state.controller_id,
        leader_epoch=call.state.controller_epoch,
        current_voters=[_voter(call, broker) for broker in call.state.brokers.values()],
    )


def _voter(call: Call, broker: Broker) -> ReplicaState:
    time_ms = call.time_ms if broker.is_up else _UNKNOWN_TIME_MS
    return ReplicaState(replica_id=broker.id, last_fetch_timestamp=time_ms, last_caught_up_timestamp=time_ms)


def _node(broker: Broker) -> Any:
    listener = DescribeQuorumResponse.Listener(name="CONTROLLER", host=broker.host, port=broker.port)
    return DescribeQuorumResponse.Node(node_id=broker.id, listeners=[listener])
