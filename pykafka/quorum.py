"""What the controllers of a cluster without ZooKeeper say of themselves: for one, what time it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Optional

from ._engine.waiting import Deadline
from .exceptions import error_for
from .protocol.messages import DescribeQuorumRequest

if TYPE_CHECKING:
    from .cluster import Cluster

#: The log in which the controllers write down what the cluster is.
METADATA_LOG = "__cluster_metadata"


class ControllerTime(NamedTuple):
    """Which controller is in charge, and what its clock says in milliseconds since 1970."""

    controller_id: int
    time_ms: int


def controller_time(cluster: Cluster) -> Optional[ControllerTime]:
    """Return the time that the active controller has; None when it does not say (before Kafka 3.3).

    :raises KafkaException: when no broker can ask it: with ZooKeeper there is no such request, and who asks needs the
        right to describe the cluster
    """
    topic = DescribeQuorumRequest.TopicData(
        topic_name=METADATA_LOG, partitions=[DescribeQuorumRequest.PartitionData(partition_index=0)]
    )
    reply = cluster.engine.call_any(DescribeQuorumRequest(topics=[topic]), Deadline(cluster.socket_timeout_s))
    partitions = [partition for one in reply.topics for partition in one.partitions]
    for code in (reply.error_code, *(partition.error_code for partition in partitions)):
        if code:
            raise error_for(code, api="DescribeQuorum")
    for partition in partitions:
        for voter in partition.current_voters:
            if voter.replica_id == partition.leader_id and voter.last_caught_up_timestamp > 0:
                return ControllerTime(voter.replica_id, voter.last_caught_up_timestamp)
    return None
