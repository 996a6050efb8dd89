"""PyKafka's JoinGroup, SyncGroup, Heartbeat and LeaveGroup: being a member of a group by hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Union

from ...common import brief
from ...utils.arguments import MAX_INT32, to_name, to_text_name, whole_number
from .. import messages
from ..consumer_group import (
    Assignment,
    Metadata,
    as_field,
    check_membership_protocol,
    decode_assignment,
    decode_metadata,
    metadata_for,
)
from .base import Request, Response

Name = Union[str, bytes]


class JoinGroupRequest(Request):
    """A request for a seat in a group.

    :param member_id: empty for a new member; the coordinator gives it an id
    :param topic_name: what the member wants to read, unless the protocol's own metadata says more
    :param membership_protocol: a :class:`pykafka.membershipprotocol.GroupMembershipProtocol`
    :param session_timeout: milliseconds after which a member that says nothing has lost its seat, and which the others have
        to join again when the members change
    :raises TypeError: and ValueError or UnicodeException, naming what is not right
    """

    API_KEY = 11
    API_VERSION = 2
    SESSION_TIMEOUT_MS = 30000

    def __init__(
        self,
        group_id: Name,
        member_id: Name,
        topic_name: Name,
        membership_protocol: Any,
        session_timeout: int = SESSION_TIMEOUT_MS,
    ) -> None:
        check_membership_protocol(membership_protocol)
        self.protocol = membership_protocol
        self.group_id = to_name(group_id, "consumer_group")
        self.member_id = to_text_name(member_id, "member_id")
        self.session_timeout = whole_number("session_timeout", session_timeout, 1, MAX_INT32)
        self.protocol_type = to_name(membership_protocol.protocol_type, "protocol_type")
        metadata = metadata_for(membership_protocol, to_name(topic_name, "topic_name"))
        self.group_protocols = [(to_name(membership_protocol.protocol_name, "protocol_name"), metadata)]

    def declared(self) -> messages.JoinGroupRequest:
        """Return the request; who rejoins has as long as a member may be silent."""
        cls = messages.JoinGroupRequest
        return cls(
            group_id=self.group_id.decode(),
            session_timeout_ms=self.session_timeout,
            rebalance_timeout_ms=self.session_timeout,
            member_id=self.member_id.decode(),
            protocol_type=self.protocol_type.decode(),
            protocols=[
                cls.JoinGroupRequestProtocol(name=name.decode(), metadata=metadata) for name, metadata in self.group_protocols
            ],
        )


class JoinGroupResponse(Response):
    """A seat, or an ``error_code``; the leader, whose ``leader_id`` is its ``member_id``, gets ``members`` too: id -> metadata.

    What members said that nobody can decode is kept as bytes.
    """

    API_KEY = 11
    API_VERSION = 2
    DECLARED = messages.JoinGroupResponse

    error_code: int
    generation_id: int
    group_protocol: bytes
    leader_id: bytes
    member_id: bytes
    members: dict[bytes, Metadata]

    @classmethod
    def of(cls, reply: Any, request: Any = None) -> Any:
        """Return what ``reply`` says; before v7 only ``request`` tells what kind of protocol it is about."""
        if reply.protocol_type is None and request is not None:
            reply.protocol_type = request.protocol_type.decode()
        return super().of(reply, request)

    def _fill(self, reply: Any) -> None:
        self.error_code = reply.error_code
        self.generation_id = reply.generation_id
        self.group_protocol = (reply.protocol_name or "").encode()
        self.leader_id = reply.leader.encode()
        self.member_id = reply.member_id.encode()
        self.members = {row.member_id.encode(): decode_metadata(row.metadata, reply.protocol_type) for row in reply.members}


class SyncGroupRequest(Request):
    """A request for one's partitions; the leader's says what everybody gets.

    :param group_assignment: pairs of a member's id and its :class:`MemberAssignment`; of any other than the leader, none
    :raises TypeError: and ValueError or UnicodeException, naming what is not right
    """

    API_KEY = 14
    API_VERSION = 0
    #: The last version in which the protocol's name need not be told again.
    NEWEST_VERSION = 4

    def __init__(self, group_id: Name, generation_id: int, member_id: Name, group_assignment: Any = ()) -> None:
        self.group_id = to_name(group_id, "consumer_group")
        self.generation_id = whole_number("generation_id", generation_id, -1, MAX_INT32)
        self.member_id = to_text_name(member_id, "member_id")
        self.group_assignment = _shares(group_assignment)

    def declared(self) -> messages.SyncGroupRequest:
        """Return the request."""
        cls = messages.SyncGroupRequest
        rows = [
            cls.SyncGroupRequestAssignment(member_id=member.decode(), assignment=as_field(share, "group_assignment"))
            for member, share in self.group_assignment
        ]
        return cls(
            group_id=self.group_id.decode(),
            generation_id=self.generation_id,
            member_id=self.member_id.decode(),
            assignments=rows,
        )


def _shares(given: Any) -> list[tuple[bytes, Any]]:
    if isinstance(given, (str, bytes, Mapping)) or not isinstance(given, Iterable):
        raise TypeError(f"group_assignment must be pairs of a member's id and a MemberAssignment, not {brief(given)}")
    found = []
    for number, pair in enumerate(given):
        what = f"group_assignment[{number}]"
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise TypeError(f"{what} must be a pair of a member's id and a MemberAssignment, not {brief(pair)}")
        as_field(pair[1], f"the assignment in {what}")
        found.append((to_text_name(pair[0], f"the member's id in {what}"), pair[1]))
    return found


class SyncGroupResponse(Response):
    """One's partitions, in ``member_assignment.partition_assignment``, or an ``error_code``.

    An assignment that is none of a consumer's is kept as bytes.
    """

    API_KEY = 14
    API_VERSION = 0
    DECLARED = messages.SyncGroupResponse

    error_code: int
    member_assignment: Assignment

    def _fill(self, reply: Any) -> None:
        self.error_code = reply.error_code
        self.member_assignment = decode_assignment(reply.assignment, reply.protocol_type)


class HeartbeatRequest(Request):
    """A request to keep a seat.

    :raises TypeError: and ValueError or UnicodeException, naming what is not right
    """

    API_KEY = 12
    API_VERSION = 0

    def __init__(self, group_id: Name, generation_id: int, member_id: Name) -> None:
        self.group_id = to_name(group_id, "consumer_group")
        self.generation_id = whole_number("generation_id", generation_id, -1, MAX_INT32)
        self.member_id = to_text_name(member_id, "member_id")

    def declared(self) -> messages.HeartbeatRequest:
        """Return the request."""
        return messages.HeartbeatRequest(
            group_id=self.group_id.decode(), generation_id=self.generation_id, member_id=self.member_id.decode()
        )


class HeartbeatResponse(Response):
    """``error_code`` 0: the seat is kept; 27: join again; 22 or 25: it is lost."""

    API_KEY = 12
    API_VERSION = 0
    DECLARED = messages.HeartbeatResponse

    error_code: int

    def _fill(self, reply: Any) -> None:
        self.error_code = reply.error_code


class LeaveGroupRequest(Request):
    """A request to give up a seat.

    :raises TypeError: and UnicodeException, naming what is not right
    """

    API_KEY = 13
    API_VERSION = 0
    #: The last version that is about one member: its answer is one error code.
    NEWEST_VERSION = 2

    def __init__(self, group_id: Name, member_id: Name) -> None:
        self.group_id = to_name(group_id, "consumer_group")
        self.member_id = to_text_name(member_id, "member_id")

    def declared(self) -> messages.LeaveGroupRequest:
        """Return the request."""
        return messages.LeaveGroupRequest(group_id=self.group_id.decode(), member_id=self.member_id.decode())


class LeaveGroupResponse(Response):
    """``error_code`` 0: the seat was given up; 25: there was none."""

    API_KEY = 13
    API_VERSION = 0
    DECLARED = messages.LeaveGroupResponse

    error_code: int

    def _fill(self, reply: Any) -> None:
        self.error_code = reply.error_code
