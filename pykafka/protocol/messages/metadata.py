"""Declarations for Metadata (3): which brokers there are, and which of them leads which partition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

from ..schema import Request, Response, Struct, array, boolean, int16, int32, numbers, rows, string, uuid


class MetadataRequest(Request, key=3, versions=(0, 13), flexible=9):
    """Ask any broker about the cluster and about some topics.

    "All topics" is an empty list in v0 and ``None`` from v1 on, where the empty list means no topic at all.

    * v4 can keep the broker from creating a topic that is asked for; before, it followed its own setting.
    * v8 authorized operations (KIP-430), those of the cluster only up to v10.
    * v10 has room for topic ids, but brokers act on them from v12 on only (KIP-516).
    """

    class MetadataRequestTopic(Struct):
        """A topic to describe: by name, or (v12 and later) by id with the name ``None``."""

        topic_id: bytes = uuid(since=10)
        name: Optional[str] = string(nullable=10)

    topics: Optional[list[MetadataRequestTopic]] = array(MetadataRequestTopic, nullable=1)
    allow_auto_topic_creation: bool = boolean(since=4, default=True)
    include_cluster_authorized_operations: bool = boolean(since=8, until=10)
    include_topic_authorized_operations: bool = boolean(since=8)


class MetadataResponse(Response, key=3, versions=(0, 13), flexible=9):
    """Brokers, topics, partitions and their leaders, as the answering broker sees them; it may lag behind.

    Topic errors worth a retry: LEADER_NOT_AVAILABLE (5), UNKNOWN_TOPIC_OR_PARTITION (3) while a topic is being
    created, UNKNOWN_TOPIC_ID (100). A partition with error 9 (REPLICA_NOT_AVAILABLE) still has a usable leader.

    * v1 racks, controller, internal topics. v2 cluster id (KIP-78). v3 throttle time. v5 offline replicas (KIP-112).
    * v7 leader epochs (KIP-320), by which a newer answer is told from an older one.
    * v10 topic ids (KIP-516). v12 a null name for an id nobody knows.
    * v13 an error for the whole answer; REBOOTSTRAP_REQUIRED (129) sends us back to the bootstrap hosts (KIP-1102).
    """

    class MetadataResponseBroker(Struct):
        """A broker's id and the address it wants to be reached at."""

        node_id: int = int32()
        host: str = string()
        port: int = int32()
        rack: Optional[str] = string(since=1, nullable=1, default=None)

    class MetadataResponseTopic(Struct):
        """A topic and its partitions, in no particular order."""

        class MetadataResponsePartition(Struct):
            """A partition: its leader (-1 for none) and the brokers that hold copies."""

            error_code: int = int16()
            partition_index: int = int32()
            leader_id: int = int32()
            leader_epoch: int = int32(since=7, default=-1)
            replica_nodes: Sequence[int] = numbers(int32())
            isr_nodes: Sequence[int] = numbers(int32())
            offline_replicas: Sequence[int] = numbers(int32(), since=5)

        error_code: int = int16()
        name: Optional[str] = string(nullable=12)
        topic_id: bytes = uuid(since=10)
        is_internal: bool = boolean(since=1)
        partitions: list[MetadataResponsePartition] = array(MetadataResponsePartition)
        topic_authorized_operations: int = int32(since=8, default=-0x80000000)  # the lowest int32: not asked for

    MetadataResponsePartition = MetadataResponseTopic.MetadataResponsePartition

    throttle_time_ms: int = int32(since=3)
    brokers: list[MetadataResponseBroker] = array(MetadataResponseBroker)
    cluster_id: Optional[str] = string(since=2, nullable=2, default=None)
    controller_id: int = int32(since=1, default=-1)
    topics: list[MetadataResponseTopic] = rows(MetadataResponseTopic)
    cluster_authorized_operations: int = int32(since=8, until=10, default=-0x80000000)
    error_code: int = int16(since=13)
