"""Declarations for DescribeQuorum (55): how the controllers of a cluster without ZooKeeper are doing."""

from __future__ import annotations

from typing import Optional

from ..schema import Request, Response, Struct, array, int16, int32, int64, string, uint16, uuid


class DescribeQuorumRequest(Request, key=55, versions=(0, 2), flexible=0):
    """Describe the quorum of a Raft log, of which there is one: partition 0 of ``__cluster_metadata``. Kafka 3.0 and later.

    Any broker takes it and asks the active controller, whose answer it is.
    """

    class TopicData(Struct):
        """A topic, and the partitions to describe."""

        class PartitionData(Struct):
            """A partition to describe."""

            partition_index: int = int32()

        topic_name: str = string()
        partitions: list[PartitionData] = array(PartitionData)

    PartitionData = TopicData.PartitionData

    topics: list[TopicData] = array(TopicData)


class ReplicaState(Struct):
    """How far one copy is; times are of the leader's clock, in milliseconds since 1970.

    For the leader itself ``last_caught_up_timestamp`` is the present time.
    """

    replica_id: int = int32()
    replica_directory_id: bytes = uuid(since=2)
    log_end_offset: int = int64()
    last_fetch_timestamp: int = int64(since=1, default=-1)
    last_caught_up_timestamp: int = int64(since=1, default=-1)


class DescribeQuorumResponse(Response, key=55, versions=(0, 2), flexible=0):
    """Who leads, and how far the others are.

    * v1 tells times (KIP-836). v2 tells errors in words, directories and where the controllers listen (KIP-853).
    """

    class TopicData(Struct):
        """A topic's partitions."""

        class PartitionData(Struct):
            """One partition: its leader (-1 when unknown) and the copies that vote and that only follow."""

            partition_index: int = int32()
            error_code: int = int16()
            error_message: Optional[str] = string(since=2, nullable=2)
            leader_id: int = int32()
            leader_epoch: int = int32()
            high_watermark: int = int64()
            current_voters: list[ReplicaState] = array(ReplicaState)
            observers: list[ReplicaState] = array(ReplicaState)

        topic_name: str = string()
        partitions: list[PartitionData] = array(PartitionData)

    PartitionData = TopicData.PartitionData

    class Node(Struct):
        """A controller, and where it listens."""

        class Listener(Struct):
            """One address."""

            name: str = string(since=2)
            host: str = string(since=2)
            port: int = uint16(since=2)

        node_id: int = int32(since=2)
        listeners: list[Listener] = array(Listener, since=2)

    Listener = Node.Listener

    error_code: int = int16()
    error_message: Optional[str] = string(since=2, nullable=2)
    topics: list[TopicData] = array(TopicData)
    nodes: list[Node] = array(Node, since=2)
