"""Declarations for ListGroups (16), DescribeGroups (15) and DeleteGroups (42): what groups there are."""

from __future__ import annotations

from typing import Optional

from ..schema import Request, Response, Struct, array, boolean, bytes_, int16, int32, string

#: ``authorized_operations`` where they were not asked for.
NOT_ASKED = -2147483648


class ListGroupsRequest(Request, key=16, versions=(0, 5), flexible=3):
    """Ask a broker for the groups that it coordinates; no filter means all of them.

    * v4 only those in some states (KIP-518). v5 only those of some types: classic, consumer, share, streams (KIP-848).
    """

    states_filter: list[str] = array(string(), since=4)
    types_filter: list[str] = array(string(), since=5)


class ListGroupsResponse(Response, key=16, versions=(0, 5), flexible=3):
    """Groups, with the type of protocol that their members speak; empty for one that only has offsets.

    COORDINATOR_LOAD_IN_PROGRESS (14) and COORDINATOR_NOT_AVAILABLE (15) pass.

    * v1 throttle time. v4 states. v5 types.
    """

    class ListedGroup(Struct):
        """A group."""

        group_id: str = string()
        protocol_type: str = string()
        group_state: str = string(since=4)
        group_type: str = string(since=5)

    throttle_time_ms: int = int32(since=1)
    error_code: int = int16()
    groups: list[ListedGroup] = array(ListedGroup)


class DescribeGroupsRequest(Request, key=15, versions=(0, 6), flexible=5):
    """Ask groups' coordinator for their members.

    * v3 ``include_authorized_operations`` (KIP-430).
    """

    groups: list[str] = array(string())
    include_authorized_operations: bool = boolean(since=3)


class DescribeGroupsResponse(Response, key=15, versions=(0, 6), flexible=5):
    """Classic groups and their members. Up to v5 a group that is not there, or not classic, is Dead.

    NOT_COORDINATOR (16) and COORDINATOR_NOT_AVAILABLE (15) want the coordinator looked up again,
    COORDINATOR_LOAD_IN_PROGRESS (14) wants patience. GROUP_AUTHORIZATION_FAILED (30) is final.

    * v1 throttle time. v3 authorized operations. v4 static members (KIP-345).
    * v6 GROUP_ID_NOT_FOUND (69) with a message, for a group that is not there or not classic (KIP-1043).
    """

    class DescribedGroup(Struct):
        """A group. ``protocol_data`` is the way of sharing that was chosen, while the group is Stable."""

        class DescribedGroupMember(Struct):
            """A member; while the group is not Stable, what it said is empty and what it is to read is of the last generation."""

            member_id: str = string()
            group_instance_id: Optional[str] = string(since=4, nullable=4, default=None)
            client_id: str = string()
            client_host: str = string()
            member_metadata: bytes = bytes_()
            member_assignment: bytes = bytes_()

        error_code: int = int16()
        error_message: Optional[str] = string(since=6, nullable=6, default=None)
        group_id: str = string()
        group_state: str = string()
        protocol_type: str = string()
        protocol_data: str = string()
        members: list[DescribedGroupMember] = array(DescribedGroupMember)
        authorized_operations: int = int32(since=3, default=NOT_ASKED)

    DescribedGroupMember = DescribedGroup.DescribedGroupMember

    throttle_time_ms: int = int32(since=1)
    groups: list[DescribedGroup] = array(DescribedGroup)


class DeleteGroupsRequest(Request, key=42, versions=(0, 3), flexible=2):
    """Delete groups that have no members, with all their offsets; for the groups' coordinator."""

    groups_names: list[str] = array(string())


class DeleteGroupsResponse(Response, key=42, versions=(0, 3), flexible=2):
    """Whether each group was deleted. NON_EMPTY_GROUP (68): it has members. GROUP_ID_NOT_FOUND (69): there is none.

    * v3 an error message.
    """

    class DeletableGroupResult(Struct):
        """The verdict on one group."""

        group_id: str = string()
        error_code: int = int16()
        error_message: Optional[str] = string(since=3, nullable=3, default=None)

    throttle_time_ms: int = int32()
    results: list[DeletableGroupResult] = array(DeletableGroupResult)
