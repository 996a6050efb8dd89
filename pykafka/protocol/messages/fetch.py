"""Declarations for Fetch (1): record batches on their way from the leaders (or nearer replicas) of partitions."""

from __future__ import annotations

from typing import Optional

from ..schema import Request, Response, Struct, array, int8, int16, int32, int64, records, string, struct, uuid


class FetchRequest(Request, key=1, versions=(0, 18), flexible=12):
    """Read from some partitions that one broker leads; it answers when ``min_bytes`` are there or after ``max_wait_ms``.

    The byte limits are soft: the first batch of the first partition with data comes whole, however big (KIP-74).
    In a session (v7, KIP-227) only what changed is listed, and ``forgotten_topics_data`` takes partitions out of it.

    * v3 ``max_bytes``. v4 ``isolation_level`` 0 reads everything, 1 committed records only (KIP-98).
    * v9 ``current_leader_epoch`` fences a stale leader, v12 ``last_fetched_epoch`` shows a truncated log (KIP-320).
    * v10 zstd (KIP-110). v11 ``rack_id`` for reading from a near replica (KIP-392).
    * v13 topics by id, the name is gone (KIP-516).
    * v15 (KIP-903), v17 (KIP-853) and v18 (KIP-1166) concern brokers that fetch from each other: left at the defaults
      by consumers, as ``cluster_id`` and ``log_start_offset`` are.
    """

    class ReplicaState(Struct):
        """Which broker fetches, when it is one."""

        replica_id: int = int32(since=15, default=-1)
        replica_epoch: int = int64(since=15, default=-1)

    class FetchTopic(Struct):
        """A topic's partitions to read."""

        class FetchPartition(Struct):
            """From which offset to read a partition, and roughly how many bytes."""

            partition: int = int32()
            current_leader_epoch: int = int32(since=9, default=-1)
            fetch_offset: int = int64()
            last_fetched_epoch: int = int32(since=12, default=-1)
            log_start_offset: int = int64(since=5, default=-1)
            partition_max_bytes: int = int32()
            replica_directory_id: bytes = uuid(since=17, tag=0)
            high_watermark: int = int64(since=18, tag=1, default=0x7FFFFFFFFFFFFFFF)

        topic: str = string(until=12)
        topic_id: bytes = uuid(since=13)
        partitions: list[FetchPartition] = array(FetchPartition)

    FetchPartition = FetchTopic.FetchPartition

    class ForgottenTopic(Struct):
        """Partitions that leave the session."""

        topic: str = string(since=7, until=12)
        topic_id: bytes = uuid(since=13)
        partitions: list[int] = array(int32(), since=7)

    cluster_id: Optional[str] = string(since=12, nullable=12, tag=0, default=None)
    replica_id: int = int32(until=14, default=-1)
    replica_state: ReplicaState = struct(ReplicaState, since=15, tag=1)
    max_wait_ms: int = int32()
    min_bytes: int = int32()
    max_bytes: int = int32(since=3, default=0x7FFFFFFF)
    isolation_level: int = int8(since=4)
    session_id: int = int32(since=7)
    session_epoch: int = int32(since=7, default=-1)  # -1: a full request outside of any session
    topics: list[FetchTopic] = array(FetchTopic)
    forgotten_topics_data: list[ForgottenTopic] = array(ForgottenTopic, since=7)
    rack_id: str = string(since=11)


class FetchResponse(Response, key=1, versions=(0, 18), flexible=12):
    """Batches of each partition that has any; in a session also those with news other than records.

    ``records`` is a slice of the frame: whole batches, the last one perhaps cut off. They may begin before the offset
    asked for, since batches are sent whole.

    OFFSET_OUT_OF_RANGE (1) wants another offset; NOT_LEADER_OR_FOLLOWER (6) and FENCED_LEADER_EPOCH (74) want fresh
    metadata, UNKNOWN_LEADER_EPOCH (75) only patience: the broker is behind us. FETCH_SESSION_ID_NOT_FOUND (70),
    INVALID_FETCH_SESSION_EPOCH (71) and FETCH_SESSION_TOPIC_ID_ERROR (106), at the top, end the session.

    * v1 throttle time. v4 aborted transactions, to be left out by who reads committed records (KIP-98).
    * v7 sessions (KIP-227). v11 a nearer replica to read from (KIP-392).
    * v12 where our log and the leader's part ways (KIP-595), and who leads now. v13 topics by id (KIP-516).
    * v16 where the new leaders are to be found (KIP-951).
    """

    class FetchableTopicResponse(Struct):
        """A topic's partitions with news."""

        class PartitionData(Struct):
            """What one partition has to offer."""

            class EpochEndOffset(Struct):
                """The last epoch both logs share and where it ends; -1 when they do not diverge."""

                epoch: int = int32(since=12, default=-1)
                end_offset: int = int64(since=12, default=-1)

            class LeaderIdAndEpoch(Struct):
                """Who leads the partition now; -1 when the broker does not know."""

                leader_id: int = int32(since=12, default=-1)
                leader_epoch: int = int32(since=12, default=-1)

            class SnapshotId(Struct):
                """The snapshot to load instead; for the metadata log of controllers only (KIP-630)."""

                end_offset: int = int64(default=-1)
                epoch: int = int32(default=-1)

            class AbortedTransaction(Struct):
                """From ``first_offset`` on, up to its abort marker, what this producer wrote counts for nothing."""

                producer_id: int = int64(since=4)
                first_offset: int = int64(since=4)

            partition_index: int = int32()
            error_code: int = int16()
            high_watermark: int = int64()
            last_stable_offset: int = int64(since=4, default=-1)
            log_start_offset: int = int64(since=5, default=-1)
            diverging_epoch: EpochEndOffset = struct(EpochEndOffset, since=12, tag=0)
            current_leader: LeaderIdAndEpoch = struct(LeaderIdAndEpoch, since=12, tag=1)
            snapshot_id: SnapshotId = struct(SnapshotId, since=12, tag=2)
            aborted_transactions: Optional[list[AbortedTransaction]] = array(AbortedTransaction, since=4, nullable=4)
            preferred_read_replica: int = int32(since=11, default=-1)
            records: Optional[memoryview] = records(nullable=0)

        topic: str = string(until=12)
        topic_id: bytes = uuid(since=13)
        partitions: list[PartitionData] = array(PartitionData)

    PartitionData = FetchableTopicResponse.PartitionData
    EpochEndOffset = FetchableTopicResponse.PartitionData.EpochEndOffset
    LeaderIdAndEpoch = FetchableTopicResponse.PartitionData.LeaderIdAndEpoch
    SnapshotId = FetchableTopicResponse.PartitionData.SnapshotId
    AbortedTransaction = FetchableTopicResponse.PartitionData.AbortedTransaction

    class NodeEndpoint(Struct):
        """The address of a broker that some ``current_leader`` of this reply names."""

        node_id: int = int32(since=16)
        host: str = string(since=16)
        port: int = int32(since=16)
        rack: Optional[str] = string(since=16, nullable=16, default=None)

    throttle_time_ms: int = int32(since=1)
    error_code: int = int16(since=7)
    session_id: int = int32(since=7)
    responses: list[FetchableTopicResponse] = array(FetchableTopicResponse)
    node_endpoints: list[NodeEndpoint] = array(NodeEndpoint, since=16, tag=0)
