"""Declarations for ListOffsets (2): where a partition begins, where it ends, and what lies at a given time."""

from __future__ import annotations

from ..schema import Request, Response, Struct, array, int8, int16, int32, int64, string


class ListOffsetsRequest(Request, key=2, versions=(0, 11), flexible=6):
    """Turn timestamps into offsets, for some partitions that one broker leads.

    ``timestamp`` is in milliseconds, or one of: -1 the end of the log (with ``isolation_level`` 1 the last stable
    offset), -2 the beginning, -3 the record with the highest timestamp (v7, KIP-734), -4 the beginning of what the
    broker holds on its own disks (v8, KIP-405), -5 the last offset in remote storage (v9, KIP-1005),
    -6 the first one not there yet (v11, KIP-1023).

    * v0 asks for a list of segment starts. v1 asks for one offset. v2 isolation level (KIP-98).
    * v4 fences a stale leader by epoch (KIP-320). v10 how long to wait for remote storage (KIP-1075).
    """

    class ListOffsetsTopic(Struct):
        """A topic's partitions to look into."""

        class ListOffsetsPartition(Struct):
            """The timestamp to look for in a partition."""

            partition_index: int = int32()
            current_leader_epoch: int = int32(since=4, default=-1)
            timestamp: int = int64()
            max_num_offsets: int = int32(until=0, default=1)

        name: str = string()
        partitions: list[ListOffsetsPartition] = array(ListOffsetsPartition)

    ListOffsetsPartition = ListOffsetsTopic.ListOffsetsPartition

    replica_id: int = int32()  # consumers must set -1: the default, 0, is a broker's id
    isolation_level: int = int8(since=2)
    topics: list[ListOffsetsTopic] = array(ListOffsetsTopic)
    timeout_ms: int = int32(since=10)


class ListOffsetsResponse(Response, key=2, versions=(0, 11), flexible=6):
    """The first offset at or after each timestamp; -1 when there is none.

    NOT_LEADER_OR_FOLLOWER (6) and FENCED_LEADER_EPOCH (74) want fresh metadata. UNKNOWN_LEADER_EPOCH (75: the broker
    is behind us) and OFFSET_NOT_AVAILABLE (78, from v5: a new leader is not sure yet) want another try.
    UNSUPPORTED_FOR_MESSAGE_FORMAT (43) means that the partition's log has no timestamps.

    * v0 a list of offsets, the highest first. v1 one offset and the timestamp of its record. v2 throttle time.
    * v4 the epoch in which the record was written (KIP-320).
    """

    class ListOffsetsTopicResponse(Struct):
        """A topic's partitions and what was found."""

        class ListOffsetsPartitionResponse(Struct):
            """What was found in a partition."""

            partition_index: int = int32()
            error_code: int = int16()
            old_style_offsets: list[int] = array(int64(), until=0)
            timestamp: int = int64(since=1, default=-1)
            offset: int = int64(since=1, default=-1)
            leader_epoch: int = int32(since=4, default=-1)

        name: str = string()
        partitions: list[ListOffsetsPartitionResponse] = array(ListOffsetsPartitionResponse)

    ListOffsetsPartitionResponse = ListOffsetsTopicResponse.ListOffsetsPartitionResponse

    throttle_time_ms: int = int32(since=2)
    topics: list[ListOffsetsTopicResponse] = array(ListOffsetsTopicResponse)
