"""One group of the newer protocol (KIP-848), as its coordinator has it: epochs, targets, and members on their way to them.

Pure; nothing is ever held back. A partition is given to a member only after the one before it has let go of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Callable, Optional

from ..exceptions import (
    FencedInstanceId,
    FencedMemberEpoch,
    GroupMaxSizeReached,
    IllegalGeneration,
    InvalidRegularExpression,
    InvalidRequest,
    ProtocolClientError,
    StaleMemberEpoch,
    UnknownMemberId,
    UnreleasedInstanceId,
    UnsupportedAssignor,
    UnsupportedVersion,
)
from ..protocol.messages import (
    ConsumerGroupDescribeResponse,
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
)
from .assignors import ASSIGNORS, Target, Wish
from .group_common import DOWNGRADES, NEVER, Caller, GroupSettings, Place, Refused, Topics
from .offsets import GroupOffsets
from .patterns import PatternError, compiled

#: How far a member is with its target: there; asked to let go of something; waiting for what others have to let go of.
ARRIVED, REVOKING, WAITING = "arrived", "revoking", "waiting"
LEAVES, LEAVES_FOR_A_WHILE = -1, -2
#: From these versions on: members make their ids, and may want topics by a pattern; commits know of epochs.
OWN_IDS, COMMIT_WITH_EPOCH = 1, 9


class ClassicPart:
    """What is to know besides of a member of the classic protocol."""

    def __init__(self, protocols: dict[str, bytes], session_s: float) -> None:
        #: name -> metadata, the best first
        self.protocols = protocols
        self.session_s = session_s
        #: until when it has to join again, or to ask for what it is to read
        self.join_by = self.sync_by = NEVER

    @property
    def protocol(self) -> str:
        """Return the way of sharing that it is told of: its own favourite, which nothing is shared by."""
        return next(iter(self.protocols))


class Seat:
    """One member as the coordinator sees it."""

    def __init__(self, member_id: str, instance_id: Optional[str]) -> None:
        self.member_id = member_id
        self.instance_id = instance_id
        self.rack_id: Optional[str] = None
        self.caller = Caller()
        self.topics: frozenset[str] = frozenset()
        self.pattern = ""
        self.assignor: Optional[str] = None
        self.epoch = self.previous_epoch = 0
        self.state = ARRIVED
        self.assigned: set[Place] = set()
        #: the epoch in which it was given what it holds
        self.since: dict[Place, int] = {}
        #: what it has to let go of before anything else
        self.revoking: set[Place] = set()
        self.rebalance_s = 0.0
        self.expires_at = self.revoked_by = NEVER
        #: None of a member of the newer protocol
        self.classic: Optional[ClassicPart] = None

    def __repr__(self) -> str:
        return f"<Seat {self.member_id} epoch={self.epoch} {self.state} assigned={sorted(self.assigned)}>"

    @property
    def stale(self) -> type[ProtocolClientError]:
        """Return the error that tells it that it is in another epoch than it says."""
        return StaleMemberEpoch if self.classic is None else IllegalGeneration

    @property
    def gone_at(self) -> float:
        """Return when it is put out."""
        timers = (NEVER, NEVER) if self.classic is None else (self.classic.join_by, self.classic.sync_by)
        return min(self.expires_at, self.revoked_by, *timers)

    @property
    def holds(self) -> set[Place]:
        """Return what nobody else can have."""
        return self.assigned | self.revoking


#: The subscribed topics that are there: name, id, number of partitions.
Seen = tuple[tuple[str, bytes, int], ...]


class ConsumerGroup:
    """One group of members that are told by heartbeats what to read."""

    group_type = "consumer"
    protocol_type = "consumer"

    def __init__(self, group_id: str, settings: GroupSettings, make_id: Callable[[], str]) -> None:
        self.group_id = group_id
        self.offsets = GroupOffsets()
        #: of a group that nobody has joined yet, as Kafka counts
        self.epoch = self.target_epoch = 1
        self.target: Target = {}
        self.seats: dict[str, Seat] = {}
        self._settings = settings
        self._make_id = make_id
        #: when all was shared out last
        self._shared_at = -NEVER
        #: as of when it looked last: everything is shared out anew when that changes
        self._seen: Seen = ()
        #: whether the last member of the newer protocol has gone, and all who are left could be a classic group
        #: (noted, not worked out: of a newer member that joins as a classic one by its own id Kafka takes no notice)
        self.is_left_to_classic = False
        #: whether these have not all been told what they are to read, as a classic group
        self.has_to_share_anew = True

    def __repr__(self) -> str:
        return f"<ConsumerGroup {self.group_id!r} {self.state} epoch={self.epoch} members={list(self.seats)}>"

    @property
    def is_empty(self) -> bool:
        """Return whether nobody is in it."""
        return not self.seats

    @property
    def is_in_log(self) -> bool:
        """Return whether another coordinator would know of it: all that happens is written down at once."""
        return True

    @property
    def state(self) -> str:
        """Return how far the group is, in Kafka's words."""
        if not self.seats:
            return "Empty"
        if self.epoch > self.target_epoch:
            return "Assigning"
        there = all(seat.state == ARRIVED and seat.epoch == self.target_epoch for seat in self.seats.values())
        return "Stable" if there else "Reconciling"

    # -- heartbeats ---------------------------------------------------------------------------------------------------

    def heartbeat(
        self, request: ConsumerGroupHeartbeatRequest, version: int, caller: Caller, now: float, topics: Topics
    ) -> ConsumerGroupHeartbeatResponse:
        """Take a member in, note what it says, and tell it what to read if that has changed.

        :raises Refused: when the member is not, or cannot be, what it says
        """
        if request.member_epoch < 0:
            return self._leave(request)
        owned = _owned(request, topics)
        seat = self._find(request, version, owned)
        before = set(seat.assigned)
        seat.caller, seat.classic = caller, None
        seat.expires_at = now + self._settings.consumer_session_timeout_ms / 1000.0
        self._note_wishes(seat, request, topics)
        self.share_out(topics, now)
        self.reconcile(seat, owned, now, topics)
        asks_all = request.subscribed_topic_names is not None or request.subscribed_topic_regex is not None
        is_full = asks_all and request.rebalance_timeout_ms != -1 and owned is not None
        response = ConsumerGroupHeartbeatResponse(
            member_id=seat.member_id,
            member_epoch=seat.epoch,
            heartbeat_interval_ms=self._settings.consumer_heartbeat_interval_ms,
        )
        if request.member_epoch == 0 or is_full or before != seat.assigned:
            row = ConsumerGroupHeartbeatResponse.TopicPartitions
            rows = [row(topic_id=topics[name][0], partitions=numbers) for name, numbers in by_topic(seat.assigned, topics)]
            response.assignment = ConsumerGroupHeartbeatResponse.Assignment(topic_partitions=rows)
        return response

    def _find(self, request: ConsumerGroupHeartbeatRequest, version: int, owned: Optional[set[Place]]) -> Seat:
        """Return the seat of a member that stays or joins."""
        member_id = request.member_id or self.new_id()
        seat, joins = self.seats.get(member_id), request.member_epoch == 0
        if joins:
            self.check_size(member_id, request.instance_id)
        if request.instance_id is not None:
            holder = self.holder(request.instance_id)
            if holder is None or holder is not seat:
                return self._find_static(holder, member_id, request)
        if seat is None:
            if not joins:
                raise Refused(UnknownMemberId, f"Member {member_id} is not a member of group {self.group_id}.")
            return self.sit_down(member_id, request.instance_id)
        self._check_epoch(seat, request.member_epoch, owned)
        return seat

    def _find_static(self, holder: Optional[Seat], member_id: str, request: ConsumerGroupHeartbeatRequest) -> Seat:
        if request.member_epoch != 0:
            self._check_holder(holder, member_id, request.instance_id)
        if holder is None:
            return self.sit_down(member_id, request.instance_id)
        if holder.epoch != LEAVES_FOR_A_WHILE and holder.classic is None:
            raise Refused(
                UnreleasedInstanceId,
                f"Static member {member_id} with instance id {request.instance_id} cannot join the group because the instance "
                f"id is owned by {holder.member_id} member.",
            )
        return self.take_over(holder, member_id)

    def take_over(self, holder: Seat, member_id: str) -> Seat:
        """Give a static member's seat to another process of the same instance id."""
        del self.seats[holder.member_id]
        self.target[member_id] = self.target.pop(holder.member_id, set())
        holder.member_id, holder.epoch, holder.previous_epoch, holder.state = member_id, 0, 0, ARRIVED
        # what it was to let go of went with the process before
        holder.revoking, holder.revoked_by = set(), NEVER
        self.seats[member_id] = holder
        return holder

    def holder(self, instance_id: Optional[str]) -> Optional[Seat]:
        """Return the seat of a static member."""
        return next((seat for seat in self.seats.values() if seat.instance_id == instance_id), None)

    def _check_holder(self, holder: Optional[Seat], member_id: str, instance_id: Optional[str]) -> Seat:
        if holder is None:
            raise Refused(UnknownMemberId, f"Instance id {instance_id} is unknown.")
        if holder.member_id != member_id:
            raise Refused(
                FencedInstanceId,
                f"Static member {member_id} with instance id {instance_id} was fenced by member {holder.member_id}.",
            )
        return holder

    def _check_epoch(self, seat: Seat, epoch: int, owned: Optional[set[Place]]) -> None:
        # who joins anew is given what it had, whatever it knows of it
        if epoch in (0, seat.epoch):
            return
        if epoch > seat.epoch:
            raise Refused(FencedMemberEpoch, _FENCED.format("greater", epoch, seat.epoch))
        # the answer that told it of a newer epoch may have been lost
        if epoch != seat.previous_epoch or owned is None or not owned <= seat.assigned:
            raise Refused(FencedMemberEpoch, _FENCED.format("smaller", epoch, seat.epoch))

    def new_id(self) -> str:
        """Return an id that no member has."""
        return self._make_id()

    def check_size(self, member_id: str, instance_id: Optional[str]) -> None:
        """Return if there is a seat for a member.

        :raises Refused: when the group is full
        """
        has_seat = member_id in self.seats or (instance_id is not None and self.holder(instance_id) is not None)
        if not has_seat and len(self.seats) >= self._settings.max_size:
            raise Refused(GroupMaxSizeReached, _FULL.format(self=self, size=self._settings.max_size))

    def sit_down(self, member_id: str, instance_id: Optional[str]) -> Seat:
        """Return a new seat."""
        seat = self.seats[member_id] = Seat(member_id, instance_id)
        return seat

    def _leave(self, request: ConsumerGroupHeartbeatRequest) -> ConsumerGroupHeartbeatResponse:
        seat = self.seats.get(request.member_id)
        if request.instance_id is not None:
            seat = self._check_holder(self.holder(request.instance_id), request.member_id, request.instance_id)
        if seat is None:
            raise Refused(UnknownMemberId, f"Member {request.member_id} is not a member of group {self.group_id}.")
        if request.member_epoch == LEAVES_FOR_A_WHILE:
            # its partitions are kept for it until its session is over
            seat.epoch, seat.revoking, seat.revoked_by = LEAVES_FOR_A_WHILE, set(), NEVER
        else:
            self.remove(seat)
        return ConsumerGroupHeartbeatResponse(member_id=request.member_id, member_epoch=request.member_epoch)

    def _note_wishes(self, seat: Seat, request: ConsumerGroupHeartbeatRequest, topics: Topics) -> None:
        if request.rebalance_timeout_ms != -1:
            seat.rebalance_s = request.rebalance_timeout_ms / 1000.0
        if request.rack_id is not None:
            seat.rack_id = request.rack_id
        wanted, pattern = request.subscribed_topic_names, request.subscribed_topic_regex
        self.subscribe(
            seat,
            seat.topics if wanted is None else frozenset(wanted),
            seat.pattern if pattern is None else pattern,
            topics,
            seat.assignor if request.server_assignor is None else request.server_assignor,
        )

    def subscribe(
        self, seat: Seat, wanted: frozenset[str], pattern: str, topics: Topics, assignor: Optional[str] = None
    ) -> None:
        """Note what a member wants; all is to be shared out anew if that, or what there is of it, has changed."""
        had = (seat.topics, seat.pattern, self.assignor)
        seat.topics, seat.pattern, seat.assignor = wanted, pattern, assignor
        seen = self._look(topics)
        is_new = seat.epoch == 0 and seat.member_id not in self.target
        if is_new or had != (wanted, pattern, self.assignor) or seen != self._seen:
            self.epoch += 1
        self._seen = seen

    # -- who is to read what --------------------------------------------------------------------------------------------

    def wanted_by(self, seat: Seat, topics: Topics) -> frozenset[str]:
        """Return the topics that a member is for, of those that are there."""
        by_pattern = (name for name in topics if seat.pattern and compiled(seat.pattern).fullmatch(name))
        return frozenset(name for name in seat.topics if name in topics) | frozenset(by_pattern)

    def _look(self, topics: Topics) -> Seen:
        wanted = frozenset[str]().union(*(self.wanted_by(seat, topics) for seat in self.seats.values()))
        return tuple((name, *topics[name]) for name in sorted(wanted))

    @property
    def assignor(self) -> str:
        """Return the way of sharing that most members want, or the coordinator's own."""
        wanted = [seat.assignor for seat in self.seats.values() if seat.assignor is not None]
        return max(sorted(set(wanted)), key=wanted.count) if wanted else self._settings.consumer_assignors[0]

    def share_out(self, topics: Topics, now: float) -> None:
        """Decide anew who is to read what if there is a reason to, and the last time was long enough ago."""
        waits_until = self._shared_at + self._settings.consumer_assignment_interval_ms / 1000.0
        if self.target_epoch == self.epoch or now < waits_until:
            return
        self.target_epoch, self._shared_at = self.epoch, now
        counts = {name: count for name, _topic_id, count in self._seen}
        wishes = {
            seat.member_id: Wish(
                self.wanted_by(seat, topics), frozenset(self.target.get(seat.member_id, ())), seat.instance_id
            )
            for seat in self.seats.values()
        }
        self.target = ASSIGNORS[self.assignor](wishes, counts)

    def reconcile(self, seat: Seat, owned: Optional[set[Place]], now: float, topics: Topics) -> None:
        """Bring a member one step closer to its target: what goes first, then what others have let go of."""
        if seat.state == REVOKING:
            if owned is None or owned & seat.revoking:
                return
            seat.revoking, seat.revoked_by = set(), NEVER
        # what it does not want any more goes at once, the rest when it is shared out anew
        wanted = self.wanted_by(seat, topics)
        if seat.state == ARRIVED and seat.epoch == self.target_epoch and all(topic in wanted for topic, _number in seat.assigned):
            return
        target = {place for place in self.target.get(seat.member_id, ()) if place[0] in wanted}
        kept, gone = seat.assigned & target, seat.assigned - target
        if gone and (owned is None or owned & gone):
            seat.state, seat.assigned, seat.revoking = REVOKING, kept, gone
            seat.previous_epoch = seat.epoch
            # a classic member is asked to join again, and has time for that
            seat.revoked_by = now + seat.rebalance_s if seat.classic is None else NEVER
            return
        seat.assigned = kept | (target - self._taken_by_others(seat))
        seat.since = {place: seat.since.get(place, self.target_epoch) for place in seat.assigned}
        seat.state = ARRIVED if seat.assigned == target else WAITING
        seat.previous_epoch, seat.epoch = seat.epoch, self.target_epoch

    def _taken_by_others(self, seat: Seat) -> set[Place]:
        return set[Place]().union(*(other.holds for other in self.seats.values() if other is not seat))

    def waits_for_others(self, seat: Seat) -> bool:
        """Return whether others have not let go of all yet that a member is to have."""
        return bool((self.target.get(seat.member_id, set()) - seat.assigned) & self._taken_by_others(seat))

    # -- offsets ------------------------------------------------------------------------------------------------------

    def check_commit(
        self, member_id: str, instance_id: Optional[str], generation: int, version: int, now: float
    ) -> Optional[set[Place]]:
        """Return of what a commit is to be taken, None for everything; ``generation`` is the epoch, below 0 of no member.

        :raises Refused: when nothing of it is
        """
        if generation < 0 and not self.seats:
            return None
        seat = self.seats.get(member_id)
        if seat is None:
            raise Refused(UnknownMemberId)
        if version < COMMIT_WITH_EPOCH and seat.classic is None:
            raise Refused(UnsupportedVersion)
        if generation == seat.epoch:
            return None
        if generation > seat.epoch or seat.classic is not None:
            raise Refused(seat.stale)
        # what it has had all the time since may still be on its way (KIP-1251)
        return {place for place, since in seat.since.items() if since <= generation}

    def check_fetch(self, member_id: Optional[str], epoch: int) -> None:
        """Return if the sender may see the offsets: a member in its epoch, or who is no member.

        :raises Refused: when it may not
        """
        if member_id is None and epoch < 0:
            return
        seat = self.seats.get(member_id or "")
        if seat is None:
            raise Refused(UnknownMemberId)
        if epoch != seat.epoch:
            raise Refused(seat.stale)

    # -- time ---------------------------------------------------------------------------------------------------------

    def next_tick(self) -> float:
        """Return when something happens by itself."""
        return min((seat.gone_at for seat in self.seats.values()), default=NEVER)

    def tick(self, now: float) -> None:
        """Put out whoever was not heard of for too long, or lets go too slowly."""
        for seat in list(self.seats.values()):
            if now >= seat.gone_at:
                self.remove(seat)

    def remove(self, *gone: Seat) -> None:
        """Take the seats of members away."""
        for seat in gone:
            del self.seats[seat.member_id]
            self.target.pop(seat.member_id, None)
        if not gone or self.leave_to_classic():
            return
        self.epoch += 1
        if not self.seats:
            self.target_epoch, self._shared_at = self.epoch, -NEVER

    def leave_to_classic(self) -> bool:
        """Return, and note, whether what is left could be a classic group, and is to be one."""
        may = self._settings.consumer_migration_policy in DOWNGRADES and bool(self.seats)
        self.is_left_to_classic = may and all(seat.classic is not None for seat in self.seats.values())
        return self.is_left_to_classic

    def expire(self, member_id: Optional[str]) -> int:
        """Have the next tick put out a member, or all of them; return how many these are."""
        gone = [seat for seat in self.seats.values() if member_id in (None, seat.member_id, seat.instance_id)]
        for seat in gone:
            seat.expires_at = -NEVER
        return len(gone)

    def moved(self, now: float) -> None:
        """Begin anew as another broker that has read the log: all time is counted anew."""
        for seat in self.seats.values():
            newer_s = self._settings.consumer_session_timeout_ms / 1000.0
            seat.expires_at = now + (newer_s if seat.classic is None else seat.classic.session_s)
            if seat.classic is not None:
                # these are not in the log: who is to join again is told so by its next heartbeat
                seat.classic.join_by = seat.classic.sync_by = NEVER
            elif seat.revoking:
                seat.revoked_by = now + seat.rebalance_s

    # -- looking at it ------------------------------------------------------------------------------------------------

    def describe(self, topics: Topics) -> ConsumerGroupDescribeResponse.DescribedGroup:
        """Return what ConsumerGroupDescribe tells."""
        return ConsumerGroupDescribeResponse.DescribedGroup(
            group_id=self.group_id,
            group_state=self.state,
            group_epoch=self.epoch,
            assignment_epoch=self.target_epoch,
            assignor_name=self.assignor,
            members=[self._described(seat, topics) for seat in self.seats.values()],
        )

    def _described(self, seat: Seat, topics: Topics) -> ConsumerGroupDescribeResponse.DescribedGroup.Member:
        return ConsumerGroupDescribeResponse.Member(
            member_id=seat.member_id,
            instance_id=seat.instance_id,
            rack_id=seat.rack_id,
            member_epoch=seat.epoch,
            client_id=seat.caller.client_id,
            client_host=seat.caller.client_host,
            subscribed_topic_names=sorted(seat.topics),
            subscribed_topic_regex=seat.pattern,
            assignment=_described_places(seat.holds, topics),
            target_assignment=_described_places(self.target.get(seat.member_id, set()), topics),
            member_type=0 if seat.classic is not None else 1,
        )


_FULL = "The consumer group has reached its maximum capacity of {size} members."
_FENCED = (
    "The consumer group member has a {} member epoch ({}) than the one known by the group coordinator ({}). The member must "
    "abandon all its partitions and rejoin."
)


def check_heartbeat(request: ConsumerGroupHeartbeatRequest, version: int, settings: GroupSettings) -> None:
    """Return if a request makes sense by itself, whatever the group is.

    :raises Refused: when it does not
    """
    for given, what in (
        (request.group_id, "GroupId"),
        (request.member_id if version >= OWN_IDS or request.member_epoch != 0 else None, "MemberId"),
        (request.instance_id, "InstanceId"),
        (request.rack_id, "RackId"),
    ):
        if given is not None and not given.strip():
            raise Refused(InvalidRequest, f"{what} can't be empty.")
    if request.member_epoch == 0:
        _check_join(request, version)
    elif request.member_epoch == LEAVES_FOR_A_WHILE and request.instance_id is None:
        raise Refused(InvalidRequest, "InstanceId can't be null.")
    elif request.member_epoch < LEAVES_FOR_A_WHILE:
        raise Refused(InvalidRequest, "MemberEpoch is invalid.")
    if request.server_assignor is not None and request.server_assignor not in settings.consumer_assignors:
        known = ", ".join(settings.consumer_assignors)
        raise Refused(
            UnsupportedAssignor, f"ServerAssignor {request.server_assignor} is not supported. Supported assignors: {known}."
        )
    if request.subscribed_topic_regex:
        _check_pattern(request.subscribed_topic_regex)


def _check_join(request: ConsumerGroupHeartbeatRequest, version: int) -> None:
    if request.rebalance_timeout_ms == -1:
        raise Refused(InvalidRequest, "RebalanceTimeoutMs must be provided in first request.")
    if request.topic_partitions is None or request.topic_partitions:
        raise Refused(InvalidRequest, "TopicPartitions must be empty when (re-)joining.")
    if request.subscribed_topic_names is None and request.subscribed_topic_regex is None:
        raise Refused(InvalidRequest, "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.")


def _check_pattern(pattern: str) -> None:
    try:
        compiled(pattern)
    except PatternError as error:
        said = f"SubscribedTopicRegex `{pattern}` is not a valid regular expression: {error}."
        raise Refused(InvalidRegularExpression, said) from error


def _owned(request: ConsumerGroupHeartbeatRequest, topics: Topics) -> Optional[set[Place]]:
    """Return what a member says that it reads; what is of topics that are gone does not count."""
    if request.topic_partitions is None:
        return None
    names = {topic_id: name for name, (topic_id, _count) in topics.items()}
    known = (row for row in request.topic_partitions if row.topic_id in names)
    return {(names[row.topic_id], number) for row in known for number in row.partitions}


def by_topic(places: Iterable[Place], topics: Topics) -> list[tuple[str, list[int]]]:
    """Return names with partitions, in order, of the topics that are still there."""
    found: dict[str, list[int]] = {}
    for name, number in sorted(places):
        if name in topics:
            found.setdefault(name, []).append(number)
    return list(found.items())


def _described_places(places: set[Place], topics: Topics) -> Any:
    made = ConsumerGroupDescribeResponse.TopicPartitions
    rows = [made(topic_id=topics[name][0], topic_name=name, partitions=numbers) for name, numbers in by_topic(places, topics)]
    return ConsumerGroupDescribeResponse.Assignment(topic_partitions=rows)
