"""One member of a classic group: what it asks and when, and what every answer means; pure.

What an error does to it stands in :data:`REACTIONS`; whatever is not in there is tried again when it may pass, and ends the
membership when it cannot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Optional

from ..common import TopicPartition
from ..exceptions import InconsistentGroupProtocol, KafkaException, ProtocolError
from ..protocol.consumer_group import CONSUMER, MemberAssignment
from ..protocol.messages import HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, SyncGroupRequest
from ..protocol.schema import Request
from .member import (
    AWAY,
    COORDINATOR_LOAD_IN_PROGRESS,
    COORDINATOR_NOT_AVAILABLE,
    DECIDING,
    ENDED,
    GIVING_UP,
    JOINING,
    LEAVING,
    NEVER,
    NO_GENERATION,
    NOT_COORDINATOR,
    NOTHING,
    STABLE,
    SYNCING,
    Ask,
    Assign,
    Decide,
    Keep,
    Member,
    MemberMetadata,
    MemberSettings,
    Owned,
    Rebalanced,
)

#: States in which a seat is kept with heartbeats. The coordinator waits for us by itself while it answers a JoinGroup.
SEATED = (STABLE, GIVING_UP, DECIDING)

#: Brokers put what we say of a reason into their logs.
MAX_REASON = 255
ILLEGAL_GENERATION, UNKNOWN_MEMBER_ID, REBALANCE_IN_PROGRESS, MEMBER_ID_REQUIRED = 22, 25, 27, 79

#: (request, error code) -> what the member does about it.
REACTIONS: dict[tuple[str, int], str] = {
    ("JoinGroup", COORDINATOR_LOAD_IN_PROGRESS): "wait",
    ("JoinGroup", COORDINATOR_NOT_AVAILABLE): "look for the coordinator",
    ("JoinGroup", NOT_COORDINATOR): "look for the coordinator",
    ("JoinGroup", UNKNOWN_MEMBER_ID): "join as a new member",
    ("JoinGroup", ILLEGAL_GENERATION): "join as a new member",
    ("JoinGroup", REBALANCE_IN_PROGRESS): "wait",
    ("JoinGroup", MEMBER_ID_REQUIRED): "join with the id given",
    ("SyncGroup", COORDINATOR_LOAD_IN_PROGRESS): "join again",
    ("SyncGroup", COORDINATOR_NOT_AVAILABLE): "look for the coordinator",
    ("SyncGroup", NOT_COORDINATOR): "look for the coordinator",
    ("SyncGroup", REBALANCE_IN_PROGRESS): "join again",
    ("SyncGroup", ILLEGAL_GENERATION): "lose the generation",
    ("SyncGroup", UNKNOWN_MEMBER_ID): "lose the seat",
    ("Heartbeat", COORDINATOR_LOAD_IN_PROGRESS): "wait",
    ("Heartbeat", COORDINATOR_NOT_AVAILABLE): "look for the coordinator",
    ("Heartbeat", NOT_COORDINATOR): "look for the coordinator",
    ("Heartbeat", REBALANCE_IN_PROGRESS): "rebalance",
    ("Heartbeat", ILLEGAL_GENERATION): "lose the generation",
    ("Heartbeat", UNKNOWN_MEMBER_ID): "lose the seat",
}


class Protocol(NamedTuple):
    """A way of sharing that the member knows, and what it tells the leader for it.

    ``metadata`` makes that of (topics wanted, partitions held now, partitions held last, generation of the latter).
    """

    name: str
    metadata: Callable[[tuple[str, ...], Owned, Owned, int], bytes]
    cooperative: bool = False


class ClassicMember(Member):
    """One member of a classic group, which decides who reads what when it leads."""

    def __init__(
        self, settings: MemberSettings, protocols: list[Protocol], topics: Iterable[str], chance: Callable[[], float]
    ) -> None:
        super().__init__(settings, topics, chance)
        self._protocols = protocols
        self._offers = ", ".join(protocol.name for protocol in protocols)
        #: partitions are kept while all join again only if every way of sharing that may be chosen counts on it
        self._cooperative = all(protocol.cooperative for protocol in protocols)
        #: the number of the heartbeat that is being answered, and when it was sent
        self._beat: Optional[int] = None
        self._beat_sent_at = 0.0
        self._beat_at = NEVER
        #: when it was awake last: an answer that is there now, and was not then, is not older than that
        self._polled_at = 0.0
        #: when the group was known not to be rebalancing, and until when we have to have joined, or synced, since it is
        self._calm_at = 0.0
        self._join_by = NEVER
        #: the number of the Decide event that is being acted on, and the decision
        self._deciding: Optional[int] = None
        self._assignments: list[tuple[str, bytes]] = []
        #: why the share that is to come has to be followed by another
        self._outdated: Optional[str] = None
        #: what it had last, as of which generation
        self._previous: tuple[Owned, int] = (NOTHING, NO_GENERATION)

    # -- what its consumer says ---------------------------------------------------------------------------------------

    def subscribe(self, topics: Iterable[str], now: float) -> None:
        """Want other topics from now on."""
        wanted = tuple(topics)
        if set(wanted) != set(self._topics):
            self._topics = wanted
            if self.state not in (AWAY, ENDED):
                self._rejoin(now, "the topics to read are others now")

    def rebalance(self, now: float, cause: str) -> None:
        """Have everything shared out anew; the leader wants that when topics have changed.

        While it is being shared out, this is done once everybody knows the outcome: what that was decided on may be old by now.
        """
        if self.state == STABLE:
            self._rejoin(now, cause)
        elif self.state in (DECIDING, SYNCING):
            self._outdated = cause

    def decided(self, number: int, assignments: list[tuple[str, bytes]]) -> None:
        """Take the leader's decision: (member id, what it is to read) of every member."""
        if number == self._deciding and self.state == DECIDING:
            self._assignments = assignments
            self.state = SYNCING

    def undecided(self, number: int, error: KafkaException, now: float) -> None:
        """Note that it could not be decided: tried again after what passes, else another member has to lead."""
        if number != self._deciding or self.state != DECIDING:
            return
        if error.retriable:
            self._pause(now)
            self._rejoin(now, f"the leader could not decide: {error}")
        else:
            self._end(error)

    # -- what goes out ------------------------------------------------------------------------------------------------

    def poll(self, now: float) -> list[Ask]:
        """Return what is to be sent now, after a look at the clock."""
        asks = super().poll(now)
        self._polled_at = now
        return asks

    def _poll(self, now: float) -> list[Ask]:
        asks: list[Ask] = []
        if self.state in SEATED and self._beat is None and now >= self._beat_at:
            self._beat = self._next_number()
            self._beat_sent_at = now
            asks.append(Ask(self._beat, self._heartbeat()))
        if self.state in _REQUESTS and self._main is None and now >= self._not_before:
            self._join_by = NEVER
            # all have to join before the first of them gets an answer, and the leader to decide before the others do
            held_s = 0.0 if self.state == LEAVING else self.settings.rebalance_timeout_s
            asks.append(self._ask(_REQUESTS[self.state](self), held_s))
        return asks

    def _times(self) -> list[float]:
        times = [self._join_by] if self.owned else [NEVER]
        if self._main is None and self.state in _REQUESTS:
            times.append(self._not_before)
        if self.state in SEATED and self._beat is None:
            times.append(self._beat_at)
        if self._is_held_back:
            times.append(self._polled_at + self.settings.heartbeat_interval_s)
        return times

    @property
    def _is_held_back(self) -> bool:
        """Return whether partitions are read while the coordinator takes its time over a JoinGroup or SyncGroup."""
        return bool(self.owned) and self._main is not None and self.state in (JOINING, SYNCING)

    def _join_group(self) -> JoinGroupRequest:
        settings = self.settings
        rows = [
            JoinGroupRequest.JoinGroupRequestProtocol(
                name=protocol.name, metadata=protocol.metadata(self._topics, self.owned, *self._previous)
            )
            for protocol in self._protocols
        ]
        return JoinGroupRequest(
            group_id=settings.group,
            session_timeout_ms=int(settings.session_timeout_s * 1000),
            rebalance_timeout_ms=int(settings.rebalance_timeout_s * 1000),
            member_id=self.member_id,
            group_instance_id=settings.instance_id,
            protocol_type=CONSUMER,
            protocols=rows,
            reason=self._cause[:MAX_REASON],
        )

    def _sync_group(self) -> SyncGroupRequest:
        row = SyncGroupRequest.SyncGroupRequestAssignment
        return SyncGroupRequest(
            group_id=self.settings.group,
            generation_id=self.generation,
            member_id=self.member_id,
            group_instance_id=self.settings.instance_id,
            protocol_type=CONSUMER,
            protocol_name=self.protocol,
            assignments=[row(member_id=member, assignment=assignment) for member, assignment in self._assignments],
        )

    def _leave_group(self) -> LeaveGroupRequest:
        row = LeaveGroupRequest.MemberIdentity(member_id=self.member_id, reason=(self._leaving or "")[:MAX_REASON])
        return LeaveGroupRequest(group_id=self.settings.group, member_id=self.member_id, members=[row])

    def _heartbeat(self) -> HeartbeatRequest:
        return HeartbeatRequest(
            group_id=self.settings.group,
            generation_id=self.generation,
            member_id=self.member_id,
            group_instance_id=self.settings.instance_id,
        )

    # -- what comes back ----------------------------------------------------------------------------------------------

    def _is_awaited(self, ask: Ask) -> bool:
        if ask.number == self._beat:
            self._beat = None
            return self.state in SEATED
        return super()._is_awaited(ask)

    def _on_found(self, now: float) -> None:
        self._beat_at = min(self._beat_at, now)

    def _on_left(self, ask: Ask, reply: Any, now: float) -> None:
        if ask.api != JoinGroupRequest.NAME:
            super()._on_left(ask, reply, now)
        elif reply.member_id and reply.error_code in (0, MEMBER_ID_REQUIRED):
            self.member_id = reply.member_id  # that it has a seat after all, which it is to leave
        else:
            self._gone()

    def _on_success(self, ask: Ask, reply: Any, now: float) -> None:
        # the coordinator's clock starts when it has our heartbeat, but when it answers a JoinGroup or SyncGroup
        self._heard_at = self._calm_at = self._beat_sent_at if ask.api == "Heartbeat" else self._polled_at
        _ON_SUCCESS[ask.api](self, reply, now)

    def _on_joined(self, reply: Any, now: float) -> None:
        if reply.protocol_name not in {protocol.name for protocol in self._protocols}:
            chosen = f"the coordinator of group {self.settings.group} chose to share by {reply.protocol_name!r}"
            self._end(InconsistentGroupProtocol(f"{chosen}, which was not offered"))
            return
        self.member_id, self.generation, self.protocol = reply.member_id, reply.generation_id, reply.protocol_name
        self.is_leader = reply.leader == reply.member_id
        self._beat_at = now + self.settings.heartbeat_interval_s
        self._assignments, self._outdated = [], None
        # who has not asked for its share by then has no seat any more; the coordinator's time begins with its answer
        self._join_by = self._polled_at + self.settings.rebalance_timeout_s
        # a static leader that has come back is told that nothing changes (KIP-814)
        self.state = DECIDING if self.is_leader and not reply.skip_assignment else SYNCING
        members = tuple(MemberMetadata(row.member_id, row.group_instance_id, bytes(row.metadata)) for row in reply.members)
        if self.state == DECIDING:
            self._deciding = self._next_number()
            self._events.append(Decide(self._deciding, reply.protocol_name, members))
        elif self.is_leader:
            self._events.append(Keep(reply.protocol_name, members))

    def _on_synced(self, reply: Any, now: float) -> None:
        try:
            told = MemberAssignment.from_bytestring(reply.assignment).partition_assignment
        except ProtocolError as error:
            self._end(KafkaException(f"what the leader of group {self.settings.group} has us read cannot be read: {error}"))
            return
        rows = [TopicPartition(topic.decode(), partition) for topic, ids in told for partition in ids]
        self._beat_at = now + self.settings.heartbeat_interval_s
        self.state = STABLE
        # what we did not ask for is the leader's mistake, and another member's to read
        asked_for = frozenset(self._topics)
        self._take_over(frozenset(tp for tp in rows if tp.topic in asked_for), now)
        if self._outdated is not None and self.state == STABLE:
            self._rejoin(now, self._outdated)

    def _on_beat(self, _reply: Any, now: float) -> None:
        self._beat_at = now + self.settings.heartbeat_interval_s

    def _on_error(self, ask: Ask, reply: Any, error: KafkaException, now: float) -> None:
        reaction = REACTIONS.get((ask.api, reply.error_code))
        if reaction is not None:
            _REACT[reaction](self, reply, str(error), now)
        elif error.retriable:
            self._wait(reply, str(error), now)
        else:
            self._end(error)

    def _wait(self, _reply: Any, _error: str, now: float) -> None:
        self._pause(now)
        self._beat_at = self._not_before

    def _find_anew(self, _reply: Any, _error: str, now: float) -> None:
        self._look_for_coordinator(now)

    def _join_with_id(self, reply: Any, _error: str, now: float) -> None:
        if self.member_id:
            self._pause(now)  # it was given one, and is asked for one again
        self.member_id = reply.member_id

    def _join_as_new(self, _reply: Any, error: str, now: float) -> None:
        if self.state == JOINING:
            self._pause(now)  # a coordinator that forgets whom it has just met is not asked without end
        self.member_id = ""
        self._lose(error, now)

    def _join_again(self, _reply: Any, error: str, now: float) -> None:
        self._rejoin(now, error)

    def _lose_generation(self, _reply: Any, error: str, now: float) -> None:
        self._lose(error, now)

    def _rebalance(self, _reply: Any, _error: str, now: float) -> None:
        self._heard_at = self._beat_sent_at
        self._beat_at = now + self.settings.heartbeat_interval_s
        # it may have begun right after we were last told that all is calm
        self._join_by = min(self._join_by, self._calm_at + self.settings.rebalance_timeout_s)
        self._rejoin(now, "members came, went, or want other topics")

    # -- moving on ----------------------------------------------------------------------------------------------------

    def _take_over(self, target: Owned, now: float) -> None:
        """Begin with what is new; what somebody else is to have is given up, and then all join again (KIP-429)."""
        gone, new = self.owned - target, target - self.owned
        rebalanced = Rebalanced(self._cause, self.generation, now - self._began_at, target - self._before, self._before - target)
        self.last_rebalance = rebalanced
        self._previous = (target, self.generation)
        self.owned |= new
        if gone:
            self._note_cause(now, "partitions were given up for other members", self.owned - gone)
            self._give_up(gone, "other members are to read them")
        self._events.append(Assign(new, self.owned - gone, self.generation))
        self._events.append(rebalanced)

    def _rejoin(self, now: float, cause: str) -> None:
        """Join again, unless that happens anyway."""
        if self._leaving is None and self.state != GIVING_UP:
            self._note_cause(now, cause, self.owned)
            self._begin_to_join()

    def _begin_to_join(self) -> None:
        """Join, once everything is given up that cannot be kept meanwhile."""
        kept = frozenset(self._topics) if self._cooperative else frozenset[str]()
        must_go = frozenset(tp for tp in self.owned if tp.topic not in kept)
        if must_go:
            self._give_up(must_go, self._cause)
        else:
            self.state = JOINING
            self._main = None

    def _give_up(self, partitions: Owned, cause: str) -> None:
        self._main = None  # what a JoinGroup or SyncGroup would have given us, we do not want any more
        super()._give_up(partitions, cause)

    def _after_giving_up(self, now: float) -> None:
        self._begin_to_join()

    def _reset(self) -> None:
        super()._reset()
        self._join_by = NEVER
        self._beat = None
        if self._error is not None or (self.state == LEAVING and self.settings.instance_id is None):
            self.member_id = ""

    @property
    def _can_say_goodbye(self) -> bool:
        # a static member's seat waits for it to come back
        return bool(self.member_id) and self.settings.instance_id is None

    def _look_at_clock(self, now: float) -> None:
        if self.owned and now >= self._join_by:
            late = "its share was not decided and spread" if self.state in (DECIDING, SYNCING) else "partitions were not given up"
            self._lose(f"{late} within {self.settings.rebalance_timeout_s:g} s", now)
        if self._is_held_back and now >= self._polled_at + self.settings.session_timeout_s:
            # the answer may have come long ago, and the session that began with it may be over
            self._lose(f"this process stood still for {now - self._polled_at:.1f} s, longer than a session", now)
        super()._look_at_clock(now)

    def _look_for_coordinator(self, now: float) -> None:
        self._beat = None
        super()._look_for_coordinator(now)
        if self.state == LEAVING and not self.member_id:
            self._gone()  # it was not told what its seat is called, if it has one

    def _vacate(self) -> None:
        # the coordinator may be giving it a seat, for which the others would wait as long as a session lasts
        if self._is_being_seated:
            self.state = LEAVING
        else:
            super()._vacate()

    @property
    def _is_being_seated(self) -> bool:
        """Return whether a JoinGroup is under way that is to tell the member its id: without it nothing can be left (KIP-394)."""
        is_asked = self.state == JOINING and self._main is not None and self.coordinator is not None
        return is_asked and not self.member_id and self.settings.instance_id is None


_REQUESTS: dict[str, Callable[[ClassicMember], Request]] = {
    JOINING: ClassicMember._join_group,
    SYNCING: ClassicMember._sync_group,
    LEAVING: ClassicMember._leave_group,
}
_ON_SUCCESS: dict[str, Callable[[ClassicMember, Any, float], None]] = {
    "JoinGroup": ClassicMember._on_joined,
    "SyncGroup": ClassicMember._on_synced,
    "Heartbeat": ClassicMember._on_beat,
}
_REACT: dict[str, Callable[[ClassicMember, Any, str, float], None]] = {
    "wait": ClassicMember._wait,
    "look for the coordinator": ClassicMember._find_anew,
    "join with the id given": ClassicMember._join_with_id,
    "join as a new member": ClassicMember._join_as_new,
    "join again": ClassicMember._join_again,
    "lose the generation": ClassicMember._lose_generation,
    "lose the seat": ClassicMember._join_as_new,
    "rebalance": ClassicMember._rebalance,
}
