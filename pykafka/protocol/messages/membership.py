"""Declarations for JoinGroup (11), SyncGroup (14), Heartbeat (12) and LeaveGroup (13): being a member of a classic group."""

from __future__ import annotations

from typing import Optional

from ..schema import Request, Response, Struct, array, boolean, bytes_, int16, int32, string


class JoinGroupRequest(Request, key=11, versions=(0, 9), flexible=6):
    """Ask a group's coordinator for a seat; it answers when everybody has asked, or ``rebalance_timeout_ms`` is over.

    ``protocols`` are the ways of sharing that this member knows, the best first; the coordinator chooses one that all know.

    * v1 ``rebalance_timeout_ms``; before, ``session_timeout_ms`` is both.
    * v4 a new member (empty ``member_id``) is told its id with MEMBER_ID_REQUIRED (79) and asks again with it (KIP-394).
    * v5 static members (KIP-345). v8 ``reason``, for the broker's log (KIP-800).
    """

    class JoinGroupRequestProtocol(Struct):
        """A way of sharing, and what this member tells the leader for it."""

        name: str = string()
        metadata: bytes = bytes_()

    group_id: str = string()
    session_timeout_ms: int = int32()
    rebalance_timeout_ms: int = int32(since=1, default=-1)
    member_id: str = string()
    group_instance_id: Optional[str] = string(since=5, nullable=5, default=None)
    protocol_type: str = string()
    protocols: list[JoinGroupRequestProtocol] = array(JoinGroupRequestProtocol)
    reason: Optional[str] = string(since=8, nullable=8, default=None)


class JoinGroupResponse(Response, key=11, versions=(0, 9), flexible=6):
    """A seat in a new generation; who is ``leader`` gets ``members`` too and has to share the partitions out.

    NOT_COORDINATOR (16) and COORDINATOR_NOT_AVAILABLE (15) want the coordinator looked up again,
    COORDINATOR_LOAD_IN_PROGRESS (14) wants patience, UNKNOWN_MEMBER_ID (25) wants a new member. MEMBER_ID_REQUIRED (79)
    wants the same again with the id in the answer. INCONSISTENT_GROUP_PROTOCOL (23), INVALID_SESSION_TIMEOUT (26),
    GROUP_AUTHORIZATION_FAILED (30), GROUP_MAX_SIZE_REACHED (81) and FENCED_INSTANCE_ID (82) are final.

    * v2 throttle time. v5 static members. v7 the group's ``protocol_type``; ``protocol_name`` may be null (KIP-559).
    * v9 ``skip_assignment``: the leader has come back as a static member, and what was shared out before still holds (KIP-814).
    """

    class JoinGroupResponseMember(Struct):
        """A member, and what it tells the leader."""

        member_id: str = string()
        group_instance_id: Optional[str] = string(since=5, nullable=5, default=None)
        metadata: bytes = bytes_()

    throttle_time_ms: int = int32(since=2)
    error_code: int = int16()
    generation_id: int = int32(default=-1)
    protocol_type: Optional[str] = string(since=7, nullable=7, default=None)
    protocol_name: Optional[str] = string(nullable=7)
    leader: str = string()
    skip_assignment: bool = boolean(since=9)
    member_id: str = string()
    members: list[JoinGroupResponseMember] = array(JoinGroupResponseMember)


class SyncGroupRequest(Request, key=14, versions=(0, 5), flexible=4):
    """Ask what one is to read; the leader sends what everybody is to read, the others send no ``assignments``.

    * v3 static members (KIP-345).
    * v5 the protocol's type and name, which must be there and be the group's (KIP-559).
    """

    class SyncGroupRequestAssignment(Struct):
        """What one member is to read, in the words of the protocol."""

        member_id: str = string()
        assignment: bytes = bytes_()

    group_id: str = string()
    generation_id: int = int32()
    member_id: str = string()
    group_instance_id: Optional[str] = string(since=3, nullable=3, default=None)
    protocol_type: Optional[str] = string(since=5, nullable=5, default=None)
    protocol_name: Optional[str] = string(since=5, nullable=5, default=None)
    assignments: list[SyncGroupRequestAssignment] = array(SyncGroupRequestAssignment)


class SyncGroupResponse(Response, key=14, versions=(0, 5), flexible=4):
    """What this member is to read; it comes when the leader has said so.

    REBALANCE_IN_PROGRESS (27), ILLEGAL_GENERATION (22) and UNKNOWN_MEMBER_ID (25, with a new id) want another JoinGroup;
    INCONSISTENT_GROUP_PROTOCOL (23, v5) and FENCED_INSTANCE_ID (82) are final. 14, 15 and 16 as for JoinGroup.

    * v1 throttle time. v5 the protocol's type and name.
    """

    throttle_time_ms: int = int32(since=1)
    error_code: int = int16()
    protocol_type: Optional[str] = string(since=5, nullable=5, default=None)
    protocol_name: Optional[str] = string(since=5, nullable=5, default=None)
    assignment: bytes = bytes_()


class HeartbeatRequest(Request, key=12, versions=(0, 4), flexible=4):
    """Keep a seat: without one of these within the session timeout the coordinator gives it to others.

    * v3 static members (KIP-345).
    """

    group_id: str = string()
    generation_id: int = int32()
    member_id: str = string()
    group_instance_id: Optional[str] = string(since=3, nullable=3, default=None)


class HeartbeatResponse(Response, key=12, versions=(0, 4), flexible=4):
    """Whether the seat is still there.

    REBALANCE_IN_PROGRESS (27): it is, but join again. ILLEGAL_GENERATION (22) and UNKNOWN_MEMBER_ID (25): it is lost.
    FENCED_INSTANCE_ID (82): another process has it.

    * v1 throttle time.
    """

    throttle_time_ms: int = int32(since=1)
    error_code: int = int16()


class LeaveGroupRequest(Request, key=13, versions=(0, 5), flexible=4):
    """Give up a seat at once, up to v2 one's own (``member_id``); from v3 on several (``members``), static ones too (KIP-345).

    * v5 ``reason``, for the broker's log (KIP-800).
    """

    class MemberIdentity(Struct):
        """A seat: by the member's id, or by the name of a static member."""

        member_id: str = string(since=3)
        group_instance_id: Optional[str] = string(since=3, nullable=3, default=None)
        reason: Optional[str] = string(since=5, nullable=5, default=None)

    group_id: str = string()
    member_id: str = string(until=2)
    members: list[MemberIdentity] = array(MemberIdentity, since=3)


class LeaveGroupResponse(Response, key=13, versions=(0, 5), flexible=4):
    """Whether the seats were given up; UNKNOWN_MEMBER_ID (25): there was none.

    * v1 throttle time. v3 one verdict for each member.
    """

    class MemberResponse(Struct):
        """The verdict on one seat."""

        member_id: str = string(since=3)
        group_instance_id: Optional[str] = string(since=3, nullable=3)
        error_code: int = int16(since=3)

    throttle_time_ms: int = int32(since=1)
    error_code: int = int16()
    members: list[MemberResponse] = array(MemberResponse, since=3)
