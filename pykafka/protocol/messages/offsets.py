"""Declarations for OffsetCommit (8) and OffsetFetch (9): how far a consumer group has got."""

from __future__ import annotations

from typing import Optional

from ..schema import Request, Response, Struct, array, boolean, int16, int32, int64, string, uuid


class OffsetCommitRequest(Request, key=8, versions=(0, 10), flexible=8):
    """Write down the next offset to read of some partitions, at the group's coordinator.

    Who commits without being a member leaves ``generation_id_or_member_epoch`` at -1 and ``member_id`` empty.

    * v0 wrote to ZooKeeper. v1 writes to Kafka and names the member.
    * v2-4 say how long to keep the offset (-1: as the broker is set up); from v5 on only the broker decides.
    * v6 leader epochs (KIP-320). v7 static members (KIP-345).
    * v9 the epoch of a member of the new protocol in the generation's place (KIP-848). v10 topics by id.
    """

    class OffsetCommitRequestTopic(Struct):
        """A topic's partitions to commit."""

        class OffsetCommitRequestPartition(Struct):
            """A position: the next offset to read, with a note of the client's own."""

            partition_index: int = int32()
            committed_offset: int = int64()
            committed_leader_epoch: int = int32(since=6, default=-1)
            commit_timestamp: int = int64(since=1, until=1, default=-1)
            committed_metadata: Optional[str] = string(nullable=0)

        name: str = string(until=9)
        topic_id: bytes = uuid(since=10)
        partitions: list[OffsetCommitRequestPartition] = array(OffsetCommitRequestPartition)

    OffsetCommitRequestPartition = OffsetCommitRequestTopic.OffsetCommitRequestPartition

    group_id: str = string()
    generation_id_or_member_epoch: int = int32(since=1, default=-1)
    member_id: str = string(since=1)
    group_instance_id: Optional[str] = string(since=7, nullable=7, default=None)
    retention_time_ms: int = int64(since=2, until=4, default=-1)
    topics: list[OffsetCommitRequestTopic] = array(OffsetCommitRequestTopic)


class OffsetCommitResponse(Response, key=8, versions=(0, 10), flexible=8):
    """Whether each position was written down.

    NOT_COORDINATOR (16) and COORDINATOR_NOT_AVAILABLE (15) want the coordinator looked up again,
    COORDINATOR_LOAD_IN_PROGRESS (14) wants patience. ILLEGAL_GENERATION (22), UNKNOWN_MEMBER_ID (25),
    REBALANCE_IN_PROGRESS (27) and, for the new protocol, STALE_MEMBER_EPOCH (113) say that the member has lost its
    seat or must rejoin; FENCED_INSTANCE_ID (82) that another process has taken it. OFFSET_METADATA_TOO_LARGE (12)
    is about the note.

    * v3 throttle time. v9 may answer GROUP_ID_NOT_FOUND (69). v10 topics by id; UNKNOWN_TOPIC_ID (100).
    """

    class OffsetCommitResponseTopic(Struct):
        """A topic's partitions, each with its verdict."""

        class OffsetCommitResponsePartition(Struct):
            """The verdict on one position."""

            partition_index: int = int32()
            error_code: int = int16()

        name: str = string(until=9)
        topic_id: bytes = uuid(since=10)
        partitions: list[OffsetCommitResponsePartition] = array(OffsetCommitResponsePartition)

    OffsetCommitResponsePartition = OffsetCommitResponseTopic.OffsetCommitResponsePartition

    throttle_time_ms: int = int32(since=3)
    topics: list[OffsetCommitResponseTopic] = array(OffsetCommitResponseTopic)


class OffsetFetchRequest(Request, key=9, versions=(0, 10), flexible=6):
    """Read positions back from a group's coordinator.

    Up to v7 one group, at the top; from v8 on several, in ``groups`` (KIP-709). Topics ``None`` (from v2 on): all of
    the group's topics.

    * v0 read from ZooKeeper.
    * v7 ``require_stable`` holds back positions that an open transaction is about to change (KIP-447).
    * v9 names the member of the new protocol (KIP-848). v10 topics by id.
    """

    class OffsetFetchRequestTopic(Struct):
        """A topic's partitions, up to v7."""

        name: str = string(until=7)
        partition_indexes: list[int] = array(int32(), until=7)

    class OffsetFetchRequestGroup(Struct):
        """A group and the topics whose positions are wanted, from v8 on."""

        class OffsetFetchRequestTopics(Struct):
            """A topic's partitions, from v8 on."""

            name: str = string(since=8, until=9)
            topic_id: bytes = uuid(since=10)
            partition_indexes: list[int] = array(int32(), since=8)

        group_id: str = string(since=8)
        member_id: Optional[str] = string(since=9, nullable=9, default=None)
        member_epoch: int = int32(since=9, default=-1)
        topics: Optional[list[OffsetFetchRequestTopics]] = array(OffsetFetchRequestTopics, since=8, nullable=8)

    OffsetFetchRequestTopics = OffsetFetchRequestGroup.OffsetFetchRequestTopics

    group_id: str = string(until=7)
    topics: Optional[list[OffsetFetchRequestTopic]] = array(OffsetFetchRequestTopic, until=7, nullable=2)
    groups: list[OffsetFetchRequestGroup] = array(OffsetFetchRequestGroup, since=8)
    require_stable: bool = boolean(since=7)


class OffsetFetchResponse(Response, key=9, versions=(0, 10), flexible=6):
    """The positions asked for; offset -1 with no error where none was committed.

    UNSTABLE_OFFSET_COMMIT (88, from v7) passes when the transaction ends: ask again. NOT_COORDINATOR (16) and
    COORDINATOR_LOAD_IN_PROGRESS (14) as for OffsetCommit. UNKNOWN_MEMBER_ID (25) and STALE_MEMBER_EPOCH (113) from v9,
    UNKNOWN_TOPIC_ID (100) from v10.

    * v2 an error for the whole group. v3 throttle time. v5 leader epochs (KIP-320).
    * v8 one entry for each group (KIP-709). v10 topics by id.
    """

    class OffsetFetchResponseTopic(Struct):
        """A topic's positions, up to v7."""

        class OffsetFetchResponsePartition(Struct):
            """A partition's position, up to v7."""

            partition_index: int = int32(until=7)
            committed_offset: int = int64(until=7)
            committed_leader_epoch: int = int32(since=5, until=7, default=-1)
            metadata: Optional[str] = string(until=7, nullable=0)
            error_code: int = int16(until=7)

        name: str = string(until=7)
        partitions: list[OffsetFetchResponsePartition] = array(OffsetFetchResponsePartition, until=7)

    OffsetFetchResponsePartition = OffsetFetchResponseTopic.OffsetFetchResponsePartition

    class OffsetFetchResponseGroup(Struct):
        """A group's positions, from v8 on."""

        class OffsetFetchResponseTopics(Struct):
            """A topic's positions, from v8 on."""

            class OffsetFetchResponsePartitions(Struct):
                """A partition's position, from v8 on."""

                partition_index: int = int32(since=8)
                committed_offset: int = int64(since=8)
                committed_leader_epoch: int = int32(since=8, default=-1)
                metadata: Optional[str] = string(since=8, nullable=8)
                error_code: int = int16(since=8)

            name: str = string(since=8, until=9)
            topic_id: bytes = uuid(since=10)
            partitions: list[OffsetFetchResponsePartitions] = array(OffsetFetchResponsePartitions, since=8)

        group_id: str = string(since=8)
        topics: list[OffsetFetchResponseTopics] = array(OffsetFetchResponseTopics, since=8)
        error_code: int = int16(since=8)

    OffsetFetchResponseTopics = OffsetFetchResponseGroup.OffsetFetchResponseTopics
    OffsetFetchResponsePartitions = OffsetFetchResponseGroup.OffsetFetchResponseTopics.OffsetFetchResponsePartitions

    throttle_time_ms: int = int32(since=3)
    topics: list[OffsetFetchResponseTopic] = array(OffsetFetchResponseTopic, until=7)
    error_code: int = int16(since=2, until=7)
    groups: list[OffsetFetchResponseGroup] = array(OffsetFetchResponseGroup, since=8)
