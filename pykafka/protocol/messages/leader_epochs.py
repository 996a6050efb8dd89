"""Declarations for OffsetForLeaderEpoch (23): where the log of an earlier leader ends, to notice that a log was cut (KIP-320)."""

from __future__ import annotations

from ..schema import Request, Response, Struct, array, int16, int32, int64, string


class OffsetForLeaderEpochRequest(Request, key=23, versions=(0, 4), flexible=4):
    """Ask the leaders of some partitions where the records of a leader epoch end in their logs.

    * v2 ``current_leader_epoch`` fences a stale leader.
    * v3 ``replica_id``: -1 is a consumer.
    """

    class OffsetForLeaderTopic(Struct):
        """A topic's partitions to look at."""

        class OffsetForLeaderPartition(Struct):
            """The epoch of the last record read, and the epoch that the leader is thought to have now."""

            partition: int = int32()
            current_leader_epoch: int = int32(since=2, default=-1)
            leader_epoch: int = int32()

        topic: str = string()
        partitions: list[OffsetForLeaderPartition] = array(OffsetForLeaderPartition)

    OffsetForLeaderPartition = OffsetForLeaderTopic.OffsetForLeaderPartition

    replica_id: int = int32(since=3, default=-2)
    topics: list[OffsetForLeaderTopic] = array(OffsetForLeaderTopic)


class OffsetForLeaderEpochResponse(Response, key=23, versions=(0, 4), flexible=4):
    """The largest epoch up to the one asked for that the leader has, and where it ends; -1 and -1 when there is none.

    * v1 says which epoch it is. v2 throttle time.

    FENCED_LEADER_EPOCH (74) wants fresh metadata, UNKNOWN_LEADER_EPOCH (75) only patience: the broker is behind us.
    """

    class OffsetForLeaderTopicResult(Struct):
        """A topic's partitions."""

        class EpochEndOffset(Struct):
            """Where an epoch ends."""

            error_code: int = int16()
            partition: int = int32()
            leader_epoch: int = int32(since=1, default=-1)
            end_offset: int = int64(default=-1)

        topic: str = string()
        partitions: list[EpochEndOffset] = array(EpochEndOffset)

    EpochEndOffset = OffsetForLeaderTopicResult.EpochEndOffset

    throttle_time_ms: int = int32(since=2)
    topics: list[OffsetForLeaderTopicResult] = array(OffsetForLeaderTopicResult)
