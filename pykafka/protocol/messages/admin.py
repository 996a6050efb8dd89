"""Declarations for CreateTopics (19), DeleteTopics (20), DeleteRecords (21) and CreatePartitions (37)."""

from __future__ import annotations

from typing import Optional

from ..schema import Request, Response, Struct, array, boolean, int8, int16, int32, int64, string, uuid


class CreateTopicsRequest(Request, key=19, versions=(0, 7), flexible=5):
    """Create topics; for the controller, to which newer brokers forward it.

    Either ``num_partitions`` and ``replication_factor``, or ``assignments`` with both of them -1. From v4 on, -1 in
    either without assignments takes the broker's default (KIP-464).

    * v1 ``validate_only``: check, but create nothing.
    """

    class CreatableTopic(Struct):
        """A topic to create."""

        class CreatableReplicaAssignment(Struct):
            """The brokers for one partition; the first one becomes its leader."""

            partition_index: int = int32()
            broker_ids: list[int] = array(int32())

        class CreatableTopicConfig(Struct):
            """A setting of the topic, ``retention.ms`` for one."""

            name: str = string()
            value: Optional[str] = string(nullable=0)

        name: str = string()
        num_partitions: int = int32()
        replication_factor: int = int16()
        assignments: list[CreatableReplicaAssignment] = array(CreatableReplicaAssignment)
        configs: list[CreatableTopicConfig] = array(CreatableTopicConfig)

    CreatableReplicaAssignment = CreatableTopic.CreatableReplicaAssignment
    CreatableTopicConfig = CreatableTopic.CreatableTopicConfig

    topics: list[CreatableTopic] = array(CreatableTopic)
    timeout_ms: int = int32(default=60000)
    validate_only: bool = boolean(since=1)


class CreateTopicsResponse(Response, key=19, versions=(0, 7), flexible=5):
    """What became of each topic. Other brokers may hear of a new one only after this reply.

    TOPIC_ALREADY_EXISTS (36), INVALID_TOPIC_EXCEPTION (17), INVALID_PARTITIONS (37), INVALID_REPLICATION_FACTOR (38),
    INVALID_CONFIG (40), POLICY_VIOLATION (44) are final. NOT_CONTROLLER (41) wants fresh metadata, REQUEST_TIMED_OUT (7)
    leaves the outcome open. THROTTLING_QUOTA_EXCEEDED (89, from v6) wants a pause.

    * v1 error message. v2 throttle time. v5 the settings that took effect (KIP-525). v7 the topic's id (KIP-516).
    """

    class CreatableTopicResult(Struct):
        """What became of one topic."""

        class CreatableTopicConfigs(Struct):
            """A setting of the new topic; the value is ``None`` where it is sensitive."""

            name: str = string(since=5)
            value: Optional[str] = string(since=5, nullable=5)
            read_only: bool = boolean(since=5)
            config_source: int = int8(since=5, default=-1)
            is_sensitive: bool = boolean(since=5)

        name: str = string()
        topic_id: bytes = uuid(since=7)
        error_code: int = int16()
        error_message: Optional[str] = string(since=1, nullable=1)
        topic_config_error_code: int = int16(since=5, tag=0)
        num_partitions: int = int32(since=5, default=-1)
        replication_factor: int = int16(since=5, default=-1)
        configs: Optional[list[CreatableTopicConfigs]] = array(CreatableTopicConfigs, since=5, nullable=5)

    CreatableTopicConfigs = CreatableTopicResult.CreatableTopicConfigs

    throttle_time_ms: int = int32(since=2)
    topics: list[CreatableTopicResult] = array(CreatableTopicResult)


class DeleteTopicsRequest(Request, key=20, versions=(0, 6), flexible=4):
    """Delete topics, by name in ``topic_names`` up to v5, by name or id in ``topics`` from v6 on (KIP-516)."""

    class DeleteTopicState(Struct):
        """A topic to delete: its name, or ``None`` and its id."""

        name: Optional[str] = string(since=6, nullable=6, default=None)
        topic_id: bytes = uuid(since=6)

    topics: list[DeleteTopicState] = array(DeleteTopicState, since=6)
    topic_names: list[str] = array(string(), until=5)
    timeout_ms: int = int32()


class DeleteTopicsResponse(Response, key=20, versions=(0, 6), flexible=4):
    """What became of each topic. Deletion goes on in the background after this reply.

    UNKNOWN_TOPIC_OR_PARTITION (3) and UNKNOWN_TOPIC_ID (100): no such topic. TOPIC_DELETION_DISABLED (73, from v3)
    is the broker's choice. NOT_CONTROLLER (41) wants fresh metadata, THROTTLING_QUOTA_EXCEEDED (89, from v5) a pause.

    * v1 throttle time. v5 error message. v6 ids; the name is ``None`` for an id that is not known or not to be seen.
    """

    class DeletableTopicResult(Struct):
        """What became of one topic."""

        name: Optional[str] = string(nullable=6)
        topic_id: bytes = uuid(since=6)
        error_code: int = int16()
        error_message: Optional[str] = string(since=5, nullable=5, default=None)

    throttle_time_ms: int = int32(since=1)
    responses: list[DeletableTopicResult] = array(DeletableTopicResult)


class CreatePartitionsRequest(Request, key=37, versions=(0, 3), flexible=2):
    """Have topics have more partitions (KIP-195); for the controller, to which newer brokers forward it.

    v1 and v3 change nothing here: when a broker that throttles answers, and that it may say THROTTLING_QUOTA_EXCEEDED.
    """

    class CreatePartitionsTopic(Struct):
        """A topic, and how many partitions it is to have in all."""

        class CreatePartitionsAssignment(Struct):
            """The brokers for one of the new partitions; the first one becomes its leader."""

            broker_ids: list[int] = array(int32())

        name: str = string()
        count: int = int32()
        assignments: Optional[list[CreatePartitionsAssignment]] = array(CreatePartitionsAssignment, nullable=0)

    CreatePartitionsAssignment = CreatePartitionsTopic.CreatePartitionsAssignment

    topics: list[CreatePartitionsTopic] = array(CreatePartitionsTopic)
    timeout_ms: int = int32()
    validate_only: bool = boolean()


class CreatePartitionsResponse(Response, key=37, versions=(0, 3), flexible=2):
    """What became of each topic.

    UNKNOWN_TOPIC_OR_PARTITION (3), INVALID_PARTITIONS (37), INVALID_REPLICA_ASSIGNMENT (39), POLICY_VIOLATION (44) and
    INVALID_REQUEST (42) are final. NOT_CONTROLLER (41) wants fresh metadata, REASSIGNMENT_IN_PROGRESS (60) and
    THROTTLING_QUOTA_EXCEEDED (89, from v3) a pause.
    """

    class CreatePartitionsTopicResult(Struct):
        """What became of one topic."""

        name: str = string()
        error_code: int = int16()
        error_message: Optional[str] = string(nullable=0, default=None)

    throttle_time_ms: int = int32()
    results: list[CreatePartitionsTopicResult] = array(CreatePartitionsTopicResult)


class DeleteRecordsRequest(Request, key=21, versions=(0, 2), flexible=2):
    """Have partitions begin later; for their leaders. v1 changes nothing here."""

    class DeleteRecordsTopic(Struct):
        """A topic's partitions."""

        class DeleteRecordsPartition(Struct):
            """A partition, and the offset that it is to begin with; -1 for its end."""

            partition_index: int = int32()
            offset: int = int64()

        name: str = string()
        partitions: list[DeleteRecordsPartition] = array(DeleteRecordsPartition)

    DeleteRecordsPartition = DeleteRecordsTopic.DeleteRecordsPartition

    topics: list[DeleteRecordsTopic] = array(DeleteRecordsTopic)
    timeout_ms: int = int32()


class DeleteRecordsResponse(Response, key=21, versions=(0, 2), flexible=2):
    """Where each partition begins now, in all of its copies.

    UNKNOWN_TOPIC_OR_PARTITION (3) and NOT_LEADER_OR_FOLLOWER (6) want fresh metadata; OFFSET_OUT_OF_RANGE (1) and
    POLICY_VIOLATION (44), for topics that are compacted, are final.
    """

    class DeleteRecordsTopicResult(Struct):
        """A topic's partitions."""

        class DeleteRecordsPartitionResult(Struct):
            """One partition."""

            partition_index: int = int32()
            low_watermark: int = int64()
            error_code: int = int16()

        name: str = string()
        partitions: list[DeleteRecordsPartitionResult] = array(DeleteRecordsPartitionResult)

    DeleteRecordsPartitionResult = DeleteRecordsTopicResult.DeleteRecordsPartitionResult

    throttle_time_ms: int = int32()
    topics: list[DeleteRecordsTopicResult] = array(DeleteRecordsTopicResult)
