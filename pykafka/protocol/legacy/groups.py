"""PyKafka's ListGroups and DescribeGroups: what groups there are, and who is in them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, Union

from .. import messages
from ..consumer_group import (
    Assignment,
    ConsumerGroupProtocolMetadata,
    MemberAssignment,
    Metadata,
    decode_assignment,
    decode_metadata,
    group_names,
)
from .base import UNKNOWN_SERVER_ERROR, Request, Response


class ListGroupsRequest(Request):
    """A request for the groups that a broker coordinates."""

    API_KEY = 16
    API_VERSION = 0

    def declared(self) -> messages.ListGroupsRequest:
        """Return the request: groups in all states and of all types."""
        return messages.ListGroupsRequest()


class GroupListing(NamedTuple):
    """A group; its protocol type is ``b"consumer"`` for consumers, and empty where there are only committed offsets."""

    group_id: bytes
    protocol_type: bytes


class ListGroupsResponse(Response):
    """The groups by name, in ``groups``; ``error_code``, or ``error``, is what kept the broker from listing all of them.

    ``states`` and ``types`` (``b"classic"``, ``b"consumer"``, ``b"share"``, ``b"streams"``) are by name too, and empty
    where the broker is too old to say (before Kafka 2.6, and 3.8).
    """

    API_KEY = 16
    API_VERSION = 0
    DECLARED = messages.ListGroupsResponse

    error_code: int
    error: int
    groups: dict[bytes, GroupListing]
    states: dict[bytes, bytes]
    types: dict[bytes, bytes]

    def _fill(self, reply: Any) -> None:
        self.error_code = self.error = reply.error_code
        rows = {row.group_id.encode(): row for row in reply.groups}
        self.groups = {name: GroupListing(name, row.protocol_type.encode()) for name, row in rows.items()}
        self.states = {name: row.group_state.encode() for name, row in rows.items() if row.group_state}
        self.types = {name: row.group_type.encode() for name, row in rows.items() if row.group_type}


class DescribeGroupsRequest(Request):
    """A request for the members of some groups that one broker coordinates.

    :raises TypeError: and UnicodeException, naming what is not right
    """

    API_KEY = 15
    API_VERSION = 0
    #: The last version in which a group that is not there is Dead, as PyKafka had it, and no error.
    NEWEST_VERSION = 5

    def __init__(self, group_ids: Iterable[Union[str, bytes]]) -> None:
        self.group_ids = group_names(group_ids)

    def declared(self) -> messages.DescribeGroupsRequest:
        """Return the request."""
        return messages.DescribeGroupsRequest(groups=[name.decode() for name in dict.fromkeys(self.group_ids)])


class GroupMember(NamedTuple):
    """A member, what it wants (``member_metadata.topic_names``) and has (``member_assignment.partition_assignment``).

    While the group is not ``b"Stable"`` the former is empty, and the latter too, or what was shared out before, by the broker's
    version. Where members are no consumers both are bytes.
    """

    member_id: bytes
    client_id: bytes
    client_host: bytes
    member_metadata: Metadata
    member_assignment: Assignment


class DescribeGroupResponse(NamedTuple):
    """A group: its state, how it shares, and its members by id; or an ``error_code``.

    States are ``b"Stable"``, ``b"PreparingRebalance"``, ``b"CompletingRebalance"``, ``b"Empty"`` (no members), and
    ``b"Dead"`` (there is no such group).
    """

    error_code: int
    group_id: bytes
    state: bytes
    protocol_type: bytes
    protocol: bytes
    members: dict[bytes, GroupMember]


class DescribeGroupsResponse(Response):
    """The groups by name, in ``groups``. One that the broker left out has ``error_code`` -1."""

    API_KEY = 15
    API_VERSION = 0
    DECLARED = messages.DescribeGroupsResponse

    groups: dict[bytes, DescribeGroupResponse]

    def _fill(self, reply: Any) -> None:
        described = (_description(row) for row in reply.groups)
        self.groups = {group.group_id: group for group in described}

    def _complete(self, request: DescribeGroupsRequest) -> None:
        for name in request.group_ids:
            self.groups.setdefault(name, DescribeGroupResponse(UNKNOWN_SERVER_ERROR, name, b"", b"", b"", {}))


class NewerGroupsRequest:
    """Asks for groups of the newer protocol (KIP-848), which PyKafka did not know; goes out like its requests."""

    NEWEST_VERSION = 1

    def __init__(self, group_ids: Iterable[bytes]) -> None:
        self.group_ids = list(group_ids)

    def declared(self) -> messages.ConsumerGroupDescribeRequest:
        """Return what goes out."""
        return messages.ConsumerGroupDescribeRequest(group_ids=[name.decode() for name in self.group_ids])

    @staticmethod
    def read(reply: Any) -> dict[bytes, DescribeGroupResponse]:
        """Return the groups of the newer protocol by name; those are left out that are of another one, or do not exist."""
        return {row.group_id.encode(): _newer_description(row) for row in reply.groups if not row.error_code}


def _newer_description(row: Any) -> DescribeGroupResponse:
    members = {}
    for one in row.members:
        reads = [(topics.topic_name, topics.partitions) for topics in one.assignment.topic_partitions]
        wanted = [*one.subscribed_topic_names, *(topic for topic, _numbers in reads)]
        members[one.member_id.encode()] = GroupMember(
            one.member_id.encode(),
            one.client_id.encode(),
            one.client_host.encode(),
            ConsumerGroupProtocolMetadata(topic_names=list(dict.fromkeys(wanted))),
            MemberAssignment(reads),
        )
    return DescribeGroupResponse(
        0, row.group_id.encode(), row.group_state.encode(), b"consumer", row.assignor_name.encode(), members
    )


def _description(row: Any) -> DescribeGroupResponse:
    members = [
        GroupMember(
            one.member_id.encode(),
            one.client_id.encode(),
            one.client_host.encode(),
            decode_metadata(one.member_metadata, row.protocol_type),
            decode_assignment(one.member_assignment, row.protocol_type),
        )
        for one in row.members
    ]
    return DescribeGroupResponse(
        row.error_code,
        row.group_id.encode(),
        row.group_state.encode(),
        row.protocol_type.encode(),
        row.protocol_data.encode(),
        {member.member_id: member for member in members},
    )
