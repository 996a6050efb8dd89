"""The half of a Broker that is about groups: being a member by hand, and looking at the groups there are."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Callable, Optional, Union

from .broker_home import BrokerHome, NamePool
from .exceptions import KafkaException, UnsupportedVersion, error_for

if TYPE_CHECKING:
    from .membershipprotocol import GroupMembershipProtocol
    from .protocol import (
        DescribeGroupResponse,
        DescribeGroupsResponse,
        HeartbeatResponse,
        JoinGroupResponse,
        LeaveGroupResponse,
        ListGroupsResponse,
        MemberAssignment,
        SyncGroupResponse,
    )
    from .protocol.legacy import Request

    Name = Union[str, bytes]

#: A new member gets its id with this error and has to ask again with it (KIP-394).
MEMBER_ID_REQUIRED = 79
#: Types of groups that DescribeGroups knows; brokers before Kafka 3.8 have no others and do not say so.
DESCRIBABLE = (b"", b"classic")
#: The type of groups of the newer protocol, and what DescribeGroups says of every group that it does not know.
CONSUMER, DEAD = b"consumer", b"Dead"


class GroupRequests:
    """PyKafka's requests about groups. What the broker has to say is an ``error_code`` in the answer; nothing is tried again.

    In PyKafka ``connection_id`` named the connection to use. Here every call has one for itself as long as it lasts, whatever
    the id, so that an answer that is held back never holds up another call; there are as many as there were calls at a time.
    """

    _cluster: BrokerHome
    _group_lanes: NamePool

    @property
    def _who(self) -> str:
        raise NotImplementedError

    def _begin(self, request: Any, *, lane: str = "control", held_s: float = 0.0) -> Callable[[], Any]:
        raise NotImplementedError

    def _drop_lane(self, name: str) -> None:
        raise NotImplementedError

    def _ask_as_member(self, request: Request, held_s: float = 0.0) -> Any:
        with self._group_lanes.lend(self._drop_lane) as lane:
            return self._begin(request, lane=lane, held_s=held_s)()

    def join_group(
        self,
        connection_id: Any,
        consumer_group: Name,
        member_id: Name,
        topic_name: Name,
        membership_protocol: GroupMembershipProtocol,
    ) -> JoinGroupResponse:
        """Return a seat in a group that this broker coordinates, once all members have asked for theirs.

        A seat is lost 30 seconds after the last sign of life, and who has not joined again 30 seconds after others came or
        went has lost it, too. The answer is waited for that long, and ``socket_timeout_ms`` on top.

        :param connection_id: of no effect: each call has a connection for itself
        :param member_id: ``b""`` for a new member; its id is in the answer
        :param topic_name: what the member wants to read, unless the protocol's ``metadata`` names it among others
        :raises TypeError: and ValueError or UnicodeException, naming what is not right
        """
        from .protocol.legacy import JoinGroupRequest, JoinGroupResponse  # only those who ask for it pay

        request = JoinGroupRequest(consumer_group, member_id, topic_name, membership_protocol)
        held_s = request.session_timeout / 1000.0
        seat: JoinGroupResponse = JoinGroupResponse.of(self._ask_as_member(request, held_s), request)
        if seat.error_code == MEMBER_ID_REQUIRED and seat.member_id != request.member_id:
            request.member_id = seat.member_id
            seat = JoinGroupResponse.of(self._ask_as_member(request, held_s), request)
        return seat

    def sync_group(
        self,
        connection_id: Any,
        consumer_group: Name,
        generation_id: int,
        member_id: Name,
        group_assignment: Iterable[tuple[Name, MemberAssignment]],
    ) -> SyncGroupResponse:
        """Return what a member is to read, in ``member_assignment.partition_assignment``, once the leader has said so.

        :param connection_id: of no effect, as for :meth:`join_group`
        :param group_assignment: from the leader (id, MemberAssignment) of every member; from any other an empty list
        :raises TypeError: and ValueError or UnicodeException, naming what is not right
        """
        from .protocol.legacy import JoinGroupRequest, SyncGroupRequest, SyncGroupResponse

        request = SyncGroupRequest(consumer_group, generation_id, member_id, group_assignment)
        # the leader has as long as for joining
        reply = self._ask_as_member(request, held_s=JoinGroupRequest.SESSION_TIMEOUT_MS / 1000.0)
        share: SyncGroupResponse = SyncGroupResponse.of(reply, request)
        return share

    def heartbeat(self, connection_id: Any, consumer_group: Name, generation_id: int, member_id: Name) -> HeartbeatResponse:
        """Keep a seat; return whether it is still there: with ``error_code`` 0, or 27 when all have to join again.

        :param connection_id: of no effect, as for :meth:`join_group`
        :raises TypeError: and ValueError or UnicodeException, naming what is not right
        """
        from .protocol.legacy import HeartbeatRequest, HeartbeatResponse

        request = HeartbeatRequest(consumer_group, generation_id, member_id)
        kept: HeartbeatResponse = HeartbeatResponse.of(self._ask_as_member(request), request)
        return kept

    def leave_group(self, connection_id: Any, consumer_group: Name, member_id: Name) -> LeaveGroupResponse:
        """Give up a seat, so that the others can share its partitions out at once; ``error_code`` 25 when there was none.

        :param connection_id: of no effect, as for :meth:`join_group`
        :raises TypeError: and UnicodeException, naming what is not right
        """
        from .protocol.legacy import LeaveGroupRequest, LeaveGroupResponse

        request = LeaveGroupRequest(consumer_group, member_id)
        left: LeaveGroupResponse = LeaveGroupResponse.of(self._ask_as_member(request), request)
        return left

    def list_groups(self) -> ListGroupsResponse:
        """Return the groups that this broker coordinates, by name in ``groups``; of all types."""
        from .protocol.legacy import ListGroupsRequest, ListGroupsResponse

        listed: ListGroupsResponse = ListGroupsResponse.of(self._begin(ListGroupsRequest())())
        return listed

    def describe_groups(self, group_ids: Iterable[Name]) -> DescribeGroupsResponse:
        """Return groups that this broker coordinates with their members, by name in ``groups``.

        One that does not exist, or is neither of the classic protocol nor of the newer one (KIP-848), is ``b"Dead"``.

        :raises TypeError: and UnicodeException, naming what is not right
        """
        from .protocol.legacy import DescribeGroupsRequest, DescribeGroupsResponse

        request = DescribeGroupsRequest(group_ids)
        described: DescribeGroupsResponse = DescribeGroupsResponse.of(self._begin(request)(), request)
        unknown = [name for name, group in described.groups.items() if group.state == DEAD]
        if unknown:
            described.groups.update(self._newer_groups(unknown))
        return described

    def _newer_groups(self, names: Iterable[bytes]) -> dict[bytes, DescribeGroupResponse]:
        """Return those of some groups that are of the newer protocol; none where the broker has no such groups."""
        from .protocol.legacy.groups import NewerGroupsRequest

        try:
            return NewerGroupsRequest.read(self._begin(NewerGroupsRequest(names))())
        except UnsupportedVersion:
            return {}


def describe_all_groups(brokers: Iterable[GroupRequests]) -> dict[bytes, DescribeGroupResponse]:
    """Return name -> description of every group that any of ``brokers`` coordinates, asking all of them at once.

    :raises KafkaException: what one of the brokers answered or did not answer, naming it
    """
    from .protocol.legacy import DescribeGroupsRequest, DescribeGroupsResponse, ListGroupsRequest, ListGroupsResponse
    from .protocol.legacy.groups import NewerGroupsRequest

    listings = _ask_all({broker: ListGroupsRequest() for broker in brokers})
    described: dict[bytes, DescribeGroupResponse] = {}
    wanted: dict[GroupRequests, Any] = {}
    newer: dict[GroupRequests, Any] = {}
    for broker, reply in listings.items():
        listing: ListGroupsResponse = ListGroupsResponse.of(reply)
        if listing.error_code:
            raise error_for(listing.error_code, broker=broker._who, api="ListGroups")
        consumers = [name for name in listing.groups if listing.types.get(name, b"").lower() == CONSUMER]
        if consumers:
            newer[broker] = NewerGroupsRequest(consumers)
        names = [name for name in listing.groups if listing.types.get(name, b"") in DESCRIBABLE]
        if names:
            wanted[broker] = DescribeGroupsRequest(names)
        _add(described, [_only_listed(listing, name) for name in listing.groups if name not in names])
    for broker, reply in _ask_all(wanted).items():
        _add(described, DescribeGroupsResponse.of(reply, wanted[broker]).groups.values())
    for reply in _ask_all(newer).values():
        described.update(NewerGroupsRequest.read(reply))
    return described


def _ask_all(requests: dict[GroupRequests, Any]) -> dict[GroupRequests, Any]:
    """Return every broker's reply; all of them have their request before the first answer is waited for."""
    begun = {broker: _naming(broker, partial(broker._begin, request)) for broker, request in requests.items()}
    return {broker: _naming(broker, wait) for broker, wait in begun.items()}


def _naming(broker: GroupRequests, step: Callable[[], Any]) -> Any:
    """Return what ``step`` returns; have its error name the broker."""
    try:
        return step()
    except KafkaException as error:
        if error.broker is None:
            error.broker = broker._who
        raise


def _only_listed(listing: ListGroupsResponse, name: bytes) -> DescribeGroupResponse:
    """Return what is known of a group whose members DescribeGroups cannot show."""
    from .protocol.legacy import DescribeGroupResponse

    return DescribeGroupResponse(0, name, listing.states.get(name, b""), listing.groups[name].protocol_type, b"", {})


def _add(described: dict[bytes, DescribeGroupResponse], more: Iterable[DescribeGroupResponse]) -> None:
    """Add descriptions; a group that moves is listed by two brokers, and one of them can describe it."""
    for group in more:
        known: Optional[DescribeGroupResponse] = described.get(group.group_id)
        if known is None or known.error_code:
            described[group.group_id] = group
