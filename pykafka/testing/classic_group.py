"""One group of the classic protocol, as its coordinator has it: seats, generations, and rebalances. Pure.

Answers to JoinGroup and SyncGroup are held back until everybody is there, or the time is over; :meth:`ClassicGroup.tick`
has to be called by :meth:`ClassicGroup.next_tick` at the latest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from copy import copy
from typing import Any, Callable, NamedTuple, Optional

from ..exceptions import (
    FencedInstanceId,
    GroupMaxSizeReached,
    IllegalGeneration,
    InconsistentGroupProtocol,
    MemberIdRequired,
    NotCoordinatorForGroup,
    RebalanceInProgress,
    UnknownMemberId,
)
from ..protocol.messages import (
    DescribeGroupsResponse,
    HeartbeatRequest,
    JoinGroupRequest,
    JoinGroupResponse,
    LeaveGroupRequest,
    LeaveGroupResponse,
    SyncGroupRequest,
    SyncGroupResponse,
)
from .group_common import NEVER, Answer, Caller, GroupSettings, Place, Refused
from .offsets import GroupOffsets

EMPTY, PREPARING, COMPLETING, STABLE = "Empty", "PreparingRebalance", "CompletingRebalance", "Stable"
#: A new member has no way to say that it still waits for its first generation: it is taken for gone after this.
NEW_MEMBER_S = 300.0
#: From these versions of JoinGroup on: members join twice (KIP-394), the protocol may have no name (KIP-559), and leaders
#: that come back share nothing out (KIP-814).
JOIN_TWICE, NO_NAME, SKIP_ASSIGNMENT = 4, 7, 9

Member = JoinGroupResponse.JoinGroupResponseMember


class Seat:
    """One member as the coordinator sees it."""

    def __init__(self, member_id: str, instance_id: Optional[str], caller: Caller) -> None:
        self.member_id = member_id
        self.instance_id = instance_id
        self.caller = caller
        #: name -> metadata, the best first
        self.protocols: dict[str, bytes] = {}
        self.session_s = self.rebalance_s = 0.0
        self.assignment = b""
        #: when it is taken for gone, unless an answer is held back from it
        self.expires_at = NEVER
        #: whether it has not been in any generation
        self.is_new = True
        #: whether it has asked for its assignment in this generation
        self.has_synced = True
        self.waiting_join: Optional[Answer] = None
        #: the version of the JoinGroup that waits
        self.join_version = 0
        self.waiting_sync: Optional[Answer] = None

    def __repr__(self) -> str:
        waits = "joining" if self.waiting_join else "syncing" if self.waiting_sync else "quiet"
        return f"<Seat {self.member_id} {waits} expires_at={self.expires_at:g}>"

    def hear(self, now: float) -> None:
        """Note that it is there."""
        self.expires_at = now + self.session_s


class Written(NamedTuple):
    """What is in the log of the group: all that another coordinator knows of it."""

    generation: int
    protocol_type: str
    protocol: str
    leader: str
    seats: dict[str, Seat]


class ClassicGroup:
    """One group. Requests are acted on at once; answers may come later, from :meth:`tick` or another request.

    :param make_id: returns what makes a new member's id unlike all others
    """

    group_type = "classic"

    def __init__(self, group_id: str, settings: GroupSettings, make_id: Callable[[], str]) -> None:
        self.group_id = group_id
        self.offsets = GroupOffsets()
        self.state = EMPTY
        self.generation = 0
        self.protocol_type = ""
        self.protocol = ""
        self.leader = ""
        self.seats: dict[str, Seat] = {}
        #: member ids that were given out and not been used yet -> until when they can be
        self.pending: dict[str, float] = {}
        self._settings = settings
        self._make_id = make_id
        self._join_until = self._sync_until = NEVER
        #: how much longer a new group may wait for more members, and whether some came while it waited
        self._patience_s = 0.0
        self._more_came = False
        #: whether the rebalance is the first one of a group that was empty: it waits for its time to be over
        self._is_initial = False
        self._written: Optional[Written] = None

    def __repr__(self) -> str:
        return f"<ClassicGroup {self.group_id!r} {self.state} generation={self.generation} members={list(self.seats)}>"

    @property
    def is_empty(self) -> bool:
        """Return whether nobody is in it."""
        return not self.seats

    @property
    def is_in_log(self) -> bool:
        """Return whether another coordinator would know of it."""
        return self._written is not None or bool(self.offsets)

    # -- joining ------------------------------------------------------------------------------------------------------

    def join(self, request: JoinGroupRequest, version: int, caller: Caller, now: float, answer: Answer) -> None:
        """Give the sender a seat; ``answer`` comes with the next generation."""
        member_id, instance_id = request.member_id, request.group_instance_id
        self._check_size(member_id, instance_id)
        if not self._knows_a_protocol_of(request):
            raise Refused(InconsistentGroupProtocol)
        if not member_id:
            self._join_anew(request, version, caller, now, answer)
        elif member_id in self.pending:
            self._sit_down(member_id, request, version, caller, now, answer)
        else:
            self._check_member(member_id, instance_id)
            self._join_again(self.seats[member_id], request, version, now, answer)

    def _check_size(self, member_id: str, instance_id: Optional[str]) -> None:
        known = member_id in self.seats or member_id in self.pending or self._holder(instance_id) is not None
        if not known and len(self.seats) + len(self.pending) >= self._settings.max_size:
            raise Refused(GroupMaxSizeReached)

    def _knows_a_protocol_of(self, request: JoinGroupRequest) -> bool:
        names = [row.name for row in request.protocols]
        if self.state == EMPTY:
            return bool(request.protocol_type and names)
        if request.protocol_type != self.protocol_type:
            return False
        if not self.seats:  # all of whom it waited for were put out
            return bool(names)
        # the sender counts too, with what it offered before
        return any(name in self._common() for name in names)

    def _common(self) -> set[str]:
        """Return the ways of sharing that all members know."""
        return set.intersection(*(set(seat.protocols) for seat in self.seats.values()))

    def _holder(self, instance_id: Optional[str]) -> Optional[Seat]:
        """Return the seat of a static member."""
        if instance_id is None:
            return None
        return next((seat for seat in self.seats.values() if seat.instance_id == instance_id), None)

    def _join_anew(self, request: JoinGroupRequest, version: int, caller: Caller, now: float, answer: Answer) -> None:
        instance_id = request.group_instance_id
        member_id = f"{caller.client_id if instance_id is None else instance_id}-{self._make_id()}"
        holder = self._holder(instance_id)
        if holder is not None:
            self._take_over(holder, member_id, request, version, now, answer)
        elif instance_id is None and version >= JOIN_TWICE:
            self.pending[member_id] = now + request.session_timeout_ms / 1000.0
            answer(join_error(MemberIdRequired.ERROR_CODE, member_id, version))
        else:
            self._sit_down(member_id, request, version, caller, now, answer)

    def _sit_down(
        self, member_id: str, request: JoinGroupRequest, version: int, caller: Caller, now: float, answer: Answer
    ) -> None:
        self.pending.pop(member_id, None)
        if not self.seats:
            self.protocol_type = request.protocol_type
        seat = self.seats[member_id] = Seat(member_id, request.group_instance_id, caller)
        self.leader = self.leader or member_id
        self._more_came = self._is_initial
        _note_wishes(seat, request, version, answer)
        seat.expires_at = now + NEW_MEMBER_S
        self._rebalance(now)

    def _join_again(self, seat: Seat, request: JoinGroupRequest, version: int, now: float, answer: Answer) -> None:
        is_leader = seat.member_id == self.leader
        # who has not heard the answer asks again, and the leader asks again to have everything shared out anew
        is_repeated = seat.protocols == offered(request) and (
            self.state == COMPLETING or (self.state == STABLE and not is_leader)
        )
        if is_repeated:
            answer(self._joined(seat, with_members=is_leader))
            return
        _note_wishes(seat, request, version, answer)
        self._rebalance(now)

    def _take_over(
        self, seat: Seat, member_id: str, request: JoinGroupRequest, version: int, now: float, answer: Answer
    ) -> None:
        """Give a static member's seat to another process of the same instance id."""
        led = self.leader
        fenced = FencedInstanceId.ERROR_CODE
        if seat.waiting_join is not None:
            seat.waiting_join(join_error(fenced, seat.member_id, seat.join_version))
        if seat.waiting_sync is not None:
            seat.waiting_sync(SyncGroupResponse(error_code=fenced))
        if led == seat.member_id:
            self.leader = member_id
        # its place among the others stays
        self.seats = {member_id if one is seat else key: one for key, one in self.seats.items()}
        seat.member_id, seat.waiting_sync, seat.is_new = member_id, None, False
        _note_wishes(seat, request, version, answer)
        seat.hear(now)
        if self.state == STABLE and self._choice() == self.protocol:
            # what is chosen stays: nobody else is disturbed
            seat.waiting_join = None
            skips = version >= SKIP_ASSIGNMENT and self.leader == member_id
            reply = self._joined(seat, with_members=skips)
            reply.skip_assignment = skips
            # to older clients somebody else leads, so that they share nothing out
            reply.leader = self.leader if version >= SKIP_ASSIGNMENT else led
            self._write()
            answer(reply)
        else:
            self._rebalance(now)

    def _joined(self, seat: Seat, *, with_members: bool) -> JoinGroupResponse:
        return JoinGroupResponse(
            generation_id=self.generation,
            protocol_type=self.protocol_type,
            protocol_name=self.protocol,
            leader=self.leader,
            member_id=seat.member_id,
            members=self._members() if with_members else [],
        )

    def _members(self) -> list[Member]:
        return [
            Member(member_id=one.member_id, group_instance_id=one.instance_id, metadata=one.protocols[self.protocol])
            for one in self.seats.values()
        ]

    # -- going over from, and to, the newer protocol ------------------------------------------------------------------

    def begin_as(self, is_rebalancing: bool, now: float) -> None:
        """Go on as a stable group with the members that were put in, or have them join again."""
        self.leader = next(iter(self.seats))
        self.protocol = self._choice()
        self._write()
        if is_rebalancing:
            self._rebalance(now)

    def refuse_all(self, code: int) -> None:
        """Answer all who wait with an error: there is another group, or coordinator, in its place."""
        for seat in self.seats.values():
            if seat.waiting_join is not None:
                seat.waiting_join(join_error(code, seat.member_id, seat.join_version))
            if seat.waiting_sync is not None:
                seat.waiting_sync(SyncGroupResponse(error_code=code))

    # -- rebalances ---------------------------------------------------------------------------------------------------

    def _rebalance(self, now: float) -> None:
        """Begin a rebalance if there is none, and end it if everybody is there."""
        if self.state == PREPARING:
            self._complete_if_all_are_there(now)
            return
        if self.state == COMPLETING:
            for seat in self.seats.values():
                seat.assignment = b""
                self._release(seat, SyncGroupResponse(error_code=RebalanceInProgress.ERROR_CODE), now)
        self._sync_until = NEVER
        self._is_initial, self.state = self.state == EMPTY, PREPARING
        if not self._is_initial:
            self._join_until = now + self._rebalance_s()
            self._complete_if_all_are_there(now)
            return
        delay_s = self._settings.initial_rebalance_delay_ms / 1000.0
        self._more_came = False
        self._join_until = now + delay_s
        self._patience_s = max(0.0, self._rebalance_s() - delay_s)
        if not delay_s:
            self._complete(now)

    def _rebalance_s(self) -> float:
        return max((seat.rebalance_s for seat in self.seats.values()), default=0.0)

    def _complete_if_all_are_there(self, now: float) -> None:
        if self._is_initial or self.pending:
            return
        if all(seat.waiting_join is not None for seat in self.seats.values()):
            self._complete(now)

    def _time_is_over(self, now: float) -> None:
        if self._is_initial and self._more_came and self._patience_s > 0.0:
            # as long as more members come, it waits for yet more
            more_s = min(self._settings.initial_rebalance_delay_ms / 1000.0, self._patience_s)
            self._patience_s -= more_s
            self._more_came = False
            self._join_until = now + more_s
        else:
            self._complete(now)

    def _complete(self, now: float) -> None:
        """Begin a generation with those that have asked for it; static members keep their seats without."""
        for seat in list(self.seats.values()):
            if seat.waiting_join is None and seat.instance_id is None:
                self._drop(seat)
        joined = [seat for seat in self.seats.values() if seat.waiting_join is not None]
        if self.seats and not joined:
            self._join_until = now + self._rebalance_s()
            return
        self._join_until, self._is_initial = NEVER, False
        self.generation += 1
        if not joined:
            self.state, self.protocol, self.leader = EMPTY, "", ""
            self._write()
            return
        if self.seats[self.leader].waiting_join is None:
            self.leader = joined[0].member_id
        self.protocol = self._choice()
        self.state = COMPLETING
        self._sync_until = now + self._rebalance_s()
        for seat in self.seats.values():
            seat.is_new = seat.has_synced = False
            seat.hear(now)
            answer, seat.waiting_join = seat.waiting_join, None
            if answer is not None:
                answer(self._joined(seat, with_members=seat.member_id == self.leader))

    def _choice(self) -> str:
        """Return the way of sharing that most members like best, of those that all know."""
        common = self._common()
        votes = Counter(next(name for name in seat.protocols if name in common) for seat in self.seats.values())
        return votes.most_common(1)[0][0]

    def _drop(self, seat: Seat) -> None:
        del self.seats[seat.member_id]
        if self.leader == seat.member_id:
            self.leader = next(iter(self.seats), "")

    def _release(self, seat: Seat, reply: SyncGroupResponse, now: float) -> None:
        answer, seat.waiting_sync = seat.waiting_sync, None
        if answer is not None:
            seat.hear(now)
            answer(reply)

    # -- members ------------------------------------------------------------------------------------------------------

    def _check_member(self, member_id: str, instance_id: Optional[str]) -> Seat:
        """Return the seat of who has one, and is not displaced."""
        if instance_id is not None:
            holder = self._holder(instance_id)
            if holder is not None and holder.member_id != member_id:
                raise Refused(FencedInstanceId)
            if holder is None:
                raise Refused(UnknownMemberId)
        if member_id not in self.seats:
            raise Refused(UnknownMemberId)
        return self.seats[member_id]

    def _check_generation(self, member_id: str, instance_id: Optional[str], generation: int) -> Seat:
        seat = self._check_member(member_id, instance_id)
        if generation != self.generation:
            raise Refused(IllegalGeneration)
        return seat

    def sync(self, request: SyncGroupRequest, now: float, answer: Answer) -> None:
        """Take what the leader has decided, or tell what it has decided as soon as it has."""
        seat = self._check_generation(request.member_id, request.group_instance_id, request.generation_id)
        for given, has in ((request.protocol_type, self.protocol_type), (request.protocol_name, self.protocol)):
            if given is not None and given != has:
                raise Refused(InconsistentGroupProtocol)
        if self.state == PREPARING:
            raise Refused(RebalanceInProgress)
        seat.has_synced = True
        seat.waiting_sync = answer
        if self.state == STABLE:
            self._release(seat, self._synced(seat), now)
        elif seat.member_id == self.leader:
            self._spread({row.member_id: bytes(row.assignment) for row in request.assignments}, now)

    def _spread(self, assignments: Mapping[str, bytes], now: float) -> None:
        self.state = STABLE
        for seat in self.seats.values():
            seat.assignment = assignments.get(seat.member_id, b"")
        self._write()
        for seat in self.seats.values():
            self._release(seat, self._synced(seat), now)

    def _synced(self, seat: Seat) -> SyncGroupResponse:
        return SyncGroupResponse(protocol_type=self.protocol_type, protocol_name=self.protocol, assignment=seat.assignment)

    def heartbeat(self, request: HeartbeatRequest, now: float) -> int:
        """Note that a member is there; return the error that says to join again, or 0."""
        seat = self._check_generation(request.member_id, request.group_instance_id, request.generation_id)
        seat.hear(now)
        return RebalanceInProgress.ERROR_CODE if self.state == PREPARING else 0

    def leave(self, request: LeaveGroupRequest, version: int, now: float) -> LeaveGroupResponse:
        """Take seats away from who gives them up."""
        verdicts = [self._leave(row.member_id, row.group_instance_id) for row in leaving(request, version)]
        if 0 in verdicts:
            self._after_losses(now)
        return left(request, version, verdicts)

    def _leave(self, member_id: str, instance_id: Optional[str]) -> int:
        if not member_id:
            holder = self._holder(instance_id)
            if holder is None:
                return UnknownMemberId.ERROR_CODE
            self._remove(holder)
            return 0
        if self.pending.pop(member_id, None) is not None:
            return 0
        try:
            self._remove(self._check_member(member_id, instance_id))
        except Refused as refused:
            return refused.code
        return 0

    def _remove(self, seat: Seat) -> None:
        """Take a seat away; whoever waits for an answer gets one that says so."""
        self._drop(seat)
        if seat.waiting_join is not None:
            seat.waiting_join(join_error(UnknownMemberId.ERROR_CODE, "", seat.join_version))
        if seat.waiting_sync is not None:
            seat.waiting_sync(SyncGroupResponse(error_code=UnknownMemberId.ERROR_CODE))

    def _after_losses(self, now: float) -> None:
        if self.state == PREPARING:
            self._complete_if_all_are_there(now)
        elif self.state != EMPTY:
            self._rebalance(now)

    # -- offsets ------------------------------------------------------------------------------------------------------

    def check_commit(
        self, member_id: str, instance_id: Optional[str], generation: int, version: int, now: float
    ) -> Optional[set[Place]]:
        """Return None if a commit is to be taken, all of it; ``generation`` -1 is of who is no member.

        :raises Refused: when it is not
        """
        if generation < 0 and self.state == EMPTY:
            return None
        if generation < 0 and not member_id and instance_id is None:
            raise Refused(UnknownMemberId)
        seat = self._check_generation(member_id, instance_id, generation)
        if self.state == COMPLETING:
            raise Refused(RebalanceInProgress)
        seat.hear(now)
        return None

    def check_fetch(self, member_id: Optional[str], epoch: int) -> None:
        """Return: anybody may ask for the offsets of a classic group."""

    # -- time ---------------------------------------------------------------------------------------------------------

    def next_tick(self) -> float:
        """Return when something happens by itself."""
        return min(
            self._join_until,
            self._sync_until,
            min(self.pending.values(), default=NEVER),
            min((seat.expires_at for seat in self.seats.values()), default=NEVER),
        )

    def tick(self, now: float) -> None:
        """Put out whoever was not heard of for too long, and end a rebalance whose time is over."""
        late = [member_id for member_id, until in self.pending.items() if now >= until]
        for member_id in late:
            del self.pending[member_id]
        gone = [seat for seat in self.seats.values() if now >= seat.expires_at and not self._is_kept(seat)]
        if now >= self._sync_until:
            self._sync_until = NEVER
            gone += [seat for seat in self.seats.values() if not seat.has_synced and seat not in gone]
        for seat in gone:
            self._remove(seat)
        if late or gone:
            self._after_losses(now)
        if now >= self._join_until:
            self._time_is_over(now)

    def _is_kept(self, seat: Seat) -> bool:
        """Return whether a seat whose time is over is kept: its member waits, and cannot say that it is there."""
        waits = not seat.is_new and (seat.waiting_join is not None or seat.waiting_sync is not None)
        if waits and seat.expires_at > -NEVER:
            seat.expires_at = NEVER
            return True
        return False

    def expire(self, member_id: Optional[str]) -> int:
        """Have the next tick put out a member, or all of them; return how many these are."""
        gone = [seat for seat in self.seats.values() if member_id in (None, seat.member_id, seat.instance_id)]
        for seat in gone:
            seat.expires_at = -NEVER
        return len(gone)

    def _write(self) -> None:
        """Keep what goes into the log; this is what another coordinator begins with."""
        seats = {member_id: copy(seat) for member_id, seat in self.seats.items()}
        for seat in seats.values():
            seat.waiting_join = seat.waiting_sync = None
            seat.is_new, seat.has_synced = False, True
        self._written = Written(self.generation, self.protocol_type, self.protocol, self.leader, seats)

    def moved(self, now: float) -> None:
        """Begin anew as another broker that has read the log; the one before answers what it held back: it is not the one now."""
        self.refuse_all(NotCoordinatorForGroup.ERROR_CODE)
        written = self._written or Written(0, "", "", "", {})
        self.generation, self.protocol_type, self.protocol, self.leader = written[:4]
        self.seats = {member_id: copy(seat) for member_id, seat in written.seats.items()}
        self.pending.clear()
        self._join_until = self._sync_until = NEVER
        self._is_initial = False
        self.state = STABLE if self.seats else EMPTY
        for seat in self.seats.values():
            seat.hear(now)

    # -- looking at it ------------------------------------------------------------------------------------------------

    def describe(self) -> DescribeGroupsResponse.DescribedGroup:
        """Return what DescribeGroups tells."""
        is_stable = self.state == STABLE
        return DescribeGroupsResponse.DescribedGroup(
            group_id=self.group_id,
            group_state=self.state,
            protocol_type=self.protocol_type,
            protocol_data=self.protocol if is_stable else "",
            members=list(self._described(is_stable)),
        )

    def _described(self, is_stable: bool) -> Iterable[Any]:
        for seat in self.seats.values():
            yield DescribeGroupsResponse.DescribedGroupMember(
                member_id=seat.member_id,
                group_instance_id=seat.instance_id,
                client_id=seat.caller.client_id,
                client_host=seat.caller.client_host,
                member_metadata=seat.protocols[self.protocol] if is_stable else b"",
                member_assignment=seat.assignment,
            )


def join_error(code: int, member_id: str, version: int) -> JoinGroupResponse:
    """Return the answer to a JoinGroup that is refused."""
    name = None if version >= NO_NAME else ""
    return JoinGroupResponse(error_code=code, member_id=member_id, protocol_name=name, leader="")


def offered(request: JoinGroupRequest) -> dict[str, bytes]:
    """Return the ways of sharing that a member knows, with its metadata for each, the best first."""
    return {row.name: bytes(row.metadata) for row in request.protocols}


def times(request: JoinGroupRequest) -> tuple[float, float]:
    """Return in seconds how long a member may be silent, and how long rebalances wait for it."""
    # v0 has one time for both
    longest_ms = request.session_timeout_ms if request.rebalance_timeout_ms < 0 else request.rebalance_timeout_ms
    return request.session_timeout_ms / 1000.0, longest_ms / 1000.0


def _note_wishes(seat: Seat, request: JoinGroupRequest, version: int, answer: Answer) -> None:
    seat.protocols = offered(request)
    seat.session_s, seat.rebalance_s = times(request)
    seat.waiting_join, seat.join_version = answer, version


def leaving(request: LeaveGroupRequest, version: int) -> list[LeaveGroupRequest.MemberIdentity]:
    """Return who is to leave."""
    return request.members if version >= 3 else [LeaveGroupRequest.MemberIdentity(member_id=request.member_id)]


def left(request: LeaveGroupRequest, version: int, verdicts: list[int]) -> LeaveGroupResponse:
    """Return the answer with what became of each of those who were to leave."""
    if version < 3:
        return LeaveGroupResponse(error_code=verdicts[0])
    made = LeaveGroupResponse.MemberResponse
    rows = zip(request.members, verdicts)
    return LeaveGroupResponse(
        members=[made(member_id=row.member_id, group_instance_id=row.group_instance_id, error_code=code) for row, code in rows]
    )
