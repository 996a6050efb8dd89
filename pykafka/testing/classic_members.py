"""Members of the classic protocol in a group of the newer one: how its coordinator serves them. Pure.

Nothing is held back from them either: each is told by a heartbeat to join again, and then what it is to read.
"""

from __future__ import annotations

from typing import Any, Optional

from ..exceptions import (
    FencedInstanceId,
    IllegalGeneration,
    InconsistentGroupProtocol,
    MemberIdRequired,
    ProtocolError,
    RebalanceInProgress,
    UnknownMemberId,
)
from ..protocol.api import decode_data, encode_data
from ..protocol.messages import (
    ConsumerProtocolAssignment,
    ConsumerProtocolSubscription,
    HeartbeatRequest,
    JoinGroupRequest,
    JoinGroupResponse,
    LeaveGroupRequest,
    LeaveGroupResponse,
    SyncGroupRequest,
    SyncGroupResponse,
)
from .classic_group import JOIN_TWICE, join_error, leaving, left, offered, times
from .consumer_group import REVOKING, WAITING, ClassicPart, ConsumerGroup, Seat, by_topic
from .group_common import NEVER, Answer, Caller, Place, Refused, Topics

PROTOCOL_TYPE = "consumer"


class ClassicMembers:
    """Answers members of the classic protocol for a group of the newer one, as a classic group would."""

    def __init__(self, group: ConsumerGroup, topics: Topics) -> None:
        self._group = group
        self._topics = topics

    # -- joining ------------------------------------------------------------------------------------------------------

    def join(self, request: JoinGroupRequest, version: int, caller: Caller, now: float, answer: Answer) -> None:
        """Take a member in, or one step closer to what it is to read."""
        group, instance_id = self._group, request.group_instance_id
        member_id = request.member_id or group.new_id()
        group.check_size(member_id, instance_id)
        if not self._knows_a_protocol_of(request):
            raise Refused(InconsistentGroupProtocol)
        if version >= JOIN_TWICE and not request.member_id and instance_id is None:
            answer(join_error(MemberIdRequired.ERROR_CODE, member_id, version))
            return
        wishes = subscription_of(request.protocols[0].metadata)
        holder = None if instance_id is None else group.holder(instance_id)
        is_replaced = holder is not None and holder.classic is None
        seat = self._find(holder, member_id, instance_id, is_new=not request.member_id)
        session_s, seat.rebalance_s = times(request)
        seat.caller, seat.classic = caller, ClassicPart(offered(request), session_s)
        seat.classic.sync_by, seat.expires_at = now + seat.rebalance_s, now + session_s
        seat.rack_id = wishes.rack_id or seat.rack_id
        group.subscribe(seat, frozenset(wishes.topics), "", self._topics, seat.assignor)
        # who takes over from the last newer member goes on with what that one had, unless its wishes are others
        goes_back = is_replaced and group.leave_to_classic()
        if goes_back:
            group.has_to_share_anew = group.epoch > group.target_epoch
        else:
            group.share_out(self._topics, now)
        if not (goes_back and group.has_to_share_anew):
            owned = {(row.topic, number) for row in wishes.owned_partitions for number in row.partitions}
            group.reconcile(seat, owned, now, self._topics)
        answer(
            JoinGroupResponse(
                generation_id=seat.epoch,
                protocol_type=PROTOCOL_TYPE,
                protocol_name=seat.classic.protocol,
                leader="",
                member_id=seat.member_id,
            )
        )

    def _knows_a_protocol_of(self, request: JoinGroupRequest) -> bool:
        if request.protocol_type != PROTOCOL_TYPE or not request.protocols:
            return False
        known = [set(seat.classic.protocols) for seat in self._group.seats.values() if seat.classic is not None]
        return not known or any(row.name in set.intersection(*known) for row in request.protocols)

    def _find(self, holder: Optional[Seat], member_id: str, instance_id: Optional[str], *, is_new: bool) -> Seat:
        """Return the seat of who joins; ``holder`` has that of its instance id."""
        group = self._group
        if holder is None:
            return group.seats.get(member_id) or group.sit_down(member_id, instance_id)
        if holder.member_id == member_id:
            return holder
        if not is_new:
            raise Refused(FencedInstanceId)
        return group.take_over(holder, member_id)

    # -- members ------------------------------------------------------------------------------------------------------

    def sync(self, request: SyncGroupRequest, now: float, answer: Answer) -> None:
        """Tell a member what it is to read."""
        seat, part = self._check(request.member_id, request.group_instance_id, request.generation_id)
        for given, has in ((request.protocol_type, PROTOCOL_TYPE), (request.protocol_name, part.protocol)):
            if given is not None and given != has:
                raise Refused(InconsistentGroupProtocol)
        # who has to let go of something has joined again, and joins once more when it has
        if self._group.target_epoch > seat.epoch and seat.state != REVOKING:
            self._ask_to_join(seat, part, now)
            raise Refused(RebalanceInProgress)
        part.sync_by = NEVER
        answer(
            SyncGroupResponse(
                protocol_type=request.protocol_type,
                protocol_name=request.protocol_name,
                assignment=encoded(seat.assigned, part, self._topics),
            )
        )

    def heartbeat(self, request: HeartbeatRequest, now: float) -> int:
        """Note that a member is there; return the error that says to join again, or 0."""
        seat, part = self._check(request.member_id, request.group_instance_id, request.generation_id)
        seat.expires_at = now + part.session_s
        may_have_more = seat.state == WAITING and not self._group.waits_for_others(seat)
        if seat.epoch == self._group.target_epoch and seat.state != REVOKING and not may_have_more:
            return 0
        self._ask_to_join(seat, part, now)
        return RebalanceInProgress.ERROR_CODE

    def _ask_to_join(self, seat: Seat, part: ClassicPart, now: float) -> None:
        if part.join_by == NEVER:
            part.join_by = now + seat.rebalance_s

    def _check(self, member_id: str, instance_id: Optional[str], generation: int) -> tuple[Seat, ClassicPart]:
        seat = self._seat(member_id, instance_id)
        if seat.classic is None:
            raise Refused(UnknownMemberId)
        if generation != seat.epoch:
            raise Refused(IllegalGeneration)
        return seat, seat.classic

    def _seat(self, member_id: str, instance_id: Optional[str]) -> Seat:
        """Return the seat of who has one, by either protocol, and is not displaced."""
        if instance_id is None:
            seat = self._group.seats.get(member_id)
        else:
            seat = self._group.holder(instance_id)
            if seat is not None and seat.member_id != member_id:
                raise Refused(FencedInstanceId)
        if seat is None:
            raise Refused(UnknownMemberId)
        return seat

    def leave(self, request: LeaveGroupRequest, version: int, now: float) -> LeaveGroupResponse:
        """Take seats away from who gives them up, or whom somebody else takes out: members of both protocols."""
        gone: dict[str, Seat] = {}
        verdicts = []
        for row in leaving(request, version):
            try:
                holder = self._group.holder(row.group_instance_id) if not row.member_id and row.group_instance_id else None
                seat = holder or self._seat(row.member_id, row.group_instance_id)
            except Refused as refused:
                verdicts.append(refused.code)
            else:
                gone[seat.member_id] = seat
                verdicts.append(0)
        self._group.remove(*gone.values())
        return left(request, version, verdicts)


# -- what members say to each other in a classic group ---------------------------------------------------------------------


def subscription_of(metadata: Any) -> Any:
    """Return what a member wants.

    :raises Refused: when that is not what consumers say
    """
    try:
        return decode_data(ConsumerProtocolSubscription, metadata)[0]
    except ProtocolError as error:
        raise Refused(InconsistentGroupProtocol) from error


def encoded(places: set[Place], part: ClassicPart, topics: Topics) -> bytes:
    """Return what a member is to read, in the version in which it has said what it wants."""
    row = ConsumerProtocolAssignment.TopicPartition
    rows = [row(topic=name, partitions=numbers) for name, numbers in by_topic(places, topics)]
    version = decode_data(ConsumerProtocolSubscription, next(iter(part.protocols.values())))[1]
    return encode_data(ConsumerProtocolAssignment(assigned_partitions=rows), min(version, ConsumerProtocolAssignment.MAX_VERSION))
