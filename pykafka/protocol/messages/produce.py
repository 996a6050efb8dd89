"""Declarations for Produce (0): record batches on their way to the leaders of their partitions."""

from __future__ import annotations

from typing import Optional

from ..schema import Request, Response, Struct, array, int16, int32, int64, records, string, struct, uuid


class ProduceRequest(Request, key=0, versions=(0, 13), flexible=9):
    """Append at most one record batch to each of some partitions that one broker leads.

    With ``acks`` 0 the broker sends no reply at all, not even an error; 1 waits for the leader, -1 for every
    replica in sync, at most ``timeout_ms``.

    * v0-2 carry message sets (magic 0 and 1). Brokers from 4.0 on advertise these versions but refuse them.
    * v3 record batches (magic 2) and transactions (KIP-98). v7 zstd (KIP-110). v8 errors per record (KIP-467).
    * v10 hints at the new leader (KIP-951). v11 and v12 transactions of KIP-890.
    * v13 topics by id, the name is gone (KIP-516).
    """

    class TopicProduceData(Struct):
        """A topic's share of the request."""

        class PartitionProduceData(Struct):
            """A partition's batch: one buffer, sent as it is."""

            index: int = int32()
            records: Optional[bytes] = records(nullable=0)

        name: str = string(until=12)
        topic_id: bytes = uuid(since=13)
        partition_data: list[PartitionProduceData] = array(PartitionProduceData)

    PartitionProduceData = TopicProduceData.PartitionProduceData

    transactional_id: Optional[str] = string(since=3, nullable=3, default=None)
    acks: int = int16()
    timeout_ms: int = int32()
    topic_data: list[TopicProduceData] = array(TopicProduceData)


class ProduceResponse(Response, key=0, versions=(0, 13), flexible=9):
    """Where each batch was written, or why it was not.

    NOT_LEADER_OR_FOLLOWER (6) and UNKNOWN_TOPIC_OR_PARTITION (3) call for fresh metadata and another try,
    NOT_ENOUGH_REPLICAS (19) for another try alone. After NOT_ENOUGH_REPLICAS_AFTER_APPEND (20) and
    REQUEST_TIMED_OUT (7) the batch may be in the log. DUPLICATE_SEQUENCE_NUMBER (46) is a success: it was already.
    OUT_OF_ORDER_SEQUENCE_NUMBER (45) and UNKNOWN_PRODUCER_ID (59) concern the idempotent producer.

    * v1 throttle time. v2 the broker's time of appending (KIP-32). v5 the log's first offset.
    * v8 which records of a refused batch are to blame (KIP-467).
    * v10 the new leader, and where it is to be found (KIP-951).
    """

    class TopicProduceResponse(Struct):
        """A topic's partitions, each with its verdict."""

        class PartitionProduceResponse(Struct):
            """The verdict on one batch; ``base_offset`` is that of its first record, -1 with an error."""

            class BatchIndexAndErrorMessage(Struct):
                """A record that made the broker refuse its batch, by place in the batch."""

                batch_index: int = int32(since=8)
                batch_index_error_message: Optional[str] = string(since=8, nullable=8, default=None)

            class LeaderIdAndEpoch(Struct):
                """Who leads the partition now; -1 when the broker does not know."""

                leader_id: int = int32(since=10, default=-1)
                leader_epoch: int = int32(since=10, default=-1)

            index: int = int32()
            error_code: int = int16()
            base_offset: int = int64()
            log_append_time_ms: int = int64(since=2, default=-1)  # -1: the topic keeps the time of creation
            log_start_offset: int = int64(since=5, default=-1)
            record_errors: list[BatchIndexAndErrorMessage] = array(BatchIndexAndErrorMessage, since=8)
            error_message: Optional[str] = string(since=8, nullable=8, default=None)
            current_leader: LeaderIdAndEpoch = struct(LeaderIdAndEpoch, since=10, tag=0)

        name: str = string(until=12)
        topic_id: bytes = uuid(since=13)
        partition_responses: list[PartitionProduceResponse] = array(PartitionProduceResponse)

    PartitionProduceResponse = TopicProduceResponse.PartitionProduceResponse
    BatchIndexAndErrorMessage = TopicProduceResponse.PartitionProduceResponse.BatchIndexAndErrorMessage
    LeaderIdAndEpoch = TopicProduceResponse.PartitionProduceResponse.LeaderIdAndEpoch

    class NodeEndpoint(Struct):
        """The address of a broker that some ``current_leader`` of this reply names."""

        node_id: int = int32(since=10)
        host: str = string(since=10)
        port: int = int32(since=10)
        rack: Optional[str] = string(since=10, nullable=10, default=None)

    responses: list[TopicProduceResponse] = array(TopicProduceResponse)
    throttle_time_ms: int = int32(since=1)
    node_endpoints: list[NodeEndpoint] = array(NodeEndpoint, since=10, tag=0)
