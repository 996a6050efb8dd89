"""Declarations for ConsumerGroupHeartbeat (68) and ConsumerGroupDescribe (69): groups of the newer protocol (KIP-848)."""

from __future__ import annotations

from typing import Optional

from ..schema import Request, Response, Struct, array, boolean, int8, int16, int32, string, struct, uuid

#: ``authorized_operations`` where they were not asked for.
NOT_ASKED = -2147483648


class ConsumerGroupHeartbeatRequest(Request, key=68, versions=(0, 1), flexible=0):
    """Join, stay, tell what is read by now, and leave: the one request that a member of such a group has.

    ``member_epoch`` 0 joins, -1 leaves, -2 has a static member leave for a while. What is None has not changed.

    * v1 members make their ids themselves; topics may be given as a pattern, which the broker looks at (RE2).
    """

    class TopicPartitions(Struct):
        """A topic's partitions that the member reads at present."""

        topic_id: bytes = uuid()
        partitions: list[int] = array(int32())

    group_id: str = string()
    member_id: str = string()
    member_epoch: int = int32()
    instance_id: Optional[str] = string(nullable=0, default=None)
    rack_id: Optional[str] = string(nullable=0, default=None)
    rebalance_timeout_ms: int = int32(default=-1)
    subscribed_topic_names: Optional[list[str]] = array(string(), nullable=0, default=None)
    subscribed_topic_regex: Optional[str] = string(since=1, nullable=1, default=None)
    server_assignor: Optional[str] = string(nullable=0, default=None)
    topic_partitions: Optional[list[TopicPartitions]] = array(TopicPartitions, nullable=0, default=None)


class ConsumerGroupHeartbeatResponse(Response, key=68, versions=(0, 1), flexible=0):
    """What the member is to read, None where that has not changed, and when it is to be heard of again.

    NOT_COORDINATOR (16) and COORDINATOR_NOT_AVAILABLE (15) want the coordinator looked up again,
    COORDINATOR_LOAD_IN_PROGRESS (14) wants patience. UNKNOWN_MEMBER_ID (25) and FENCED_MEMBER_EPOCH (110): the seat is lost.
    UNRELEASED_INSTANCE_ID (111), UNSUPPORTED_ASSIGNOR (112), UNSUPPORTED_VERSION (35), INVALID_REQUEST (42),
    GROUP_MAX_SIZE_REACHED (81), GROUP_AUTHORIZATION_FAILED (30) and INVALID_REGULAR_EXPRESSION (128) are final.
    """

    class Assignment(Struct):
        """All that the member is to read."""

        class TopicPartitions(Struct):
            """A topic's partitions."""

            topic_id: bytes = uuid()
            partitions: list[int] = array(int32())

        topic_partitions: list[TopicPartitions] = array(TopicPartitions)

    TopicPartitions = Assignment.TopicPartitions

    throttle_time_ms: int = int32()
    error_code: int = int16()
    error_message: Optional[str] = string(nullable=0, default=None)
    member_id: Optional[str] = string(nullable=0, default=None)
    member_epoch: int = int32()
    heartbeat_interval_ms: int = int32()
    assignment: Optional[Assignment] = struct(Assignment, nullable=0, default=None)


class ConsumerGroupDescribeRequest(Request, key=69, versions=(0, 1), flexible=0):
    """Ask the coordinator about some groups of the newer protocol.

    * v1 the answer says of which protocol each member is.
    """

    group_ids: list[str] = array(string())
    include_authorized_operations: bool = boolean()


class ConsumerGroupDescribeResponse(Response, key=69, versions=(0, 1), flexible=0):
    """Groups with their members, what each reads, and what it is to read.

    GROUP_ID_NOT_FOUND (69) is said of a classic group, too.
    """

    class DescribedGroup(Struct):
        """A group. It is Stable when ``assignment_epoch`` has caught up with ``group_epoch`` and so has every member."""

        class Member(Struct):
            """A member. ``member_type`` 0 is of the classic protocol, 1 of the newer one, -1 is not said."""

            class Assignment(Struct):
                """What a member reads, or is to read."""

                class TopicPartitions(Struct):
                    """A topic's partitions."""

                    topic_id: bytes = uuid()
                    topic_name: str = string()
                    partitions: list[int] = array(int32())

                topic_partitions: list[TopicPartitions] = array(TopicPartitions)

            member_id: str = string()
            instance_id: Optional[str] = string(nullable=0, default=None)
            rack_id: Optional[str] = string(nullable=0, default=None)
            member_epoch: int = int32()
            client_id: str = string()
            client_host: str = string()
            subscribed_topic_names: list[str] = array(string())
            subscribed_topic_regex: Optional[str] = string(nullable=0, default=None)
            assignment: Assignment = struct(Assignment)
            target_assignment: Assignment = struct(Assignment)
            member_type: int = int8(since=1, default=-1)

        error_code: int = int16()
        error_message: Optional[str] = string(nullable=0, default=None)
        group_id: str = string()
        group_state: str = string()
        group_epoch: int = int32()
        assignment_epoch: int = int32()
        assignor_name: str = string()
        members: list[Member] = array(Member)
        authorized_operations: int = int32(default=NOT_ASKED)

    Member = DescribedGroup.Member
    Assignment = DescribedGroup.Member.Assignment
    TopicPartitions = DescribedGroup.Member.Assignment.TopicPartitions

    throttle_time_ms: int = int32()
    groups: list[DescribedGroup] = array(DescribedGroup)
