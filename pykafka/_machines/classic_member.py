"""One member of a classic group: what it asks and when, and what every answer means; pure.

The member is in one of the states below. What an error does to it stands in :data:`REACTIONS`; whatever is not in there is
tried again when it may pass, and ends the membership when it cannot.

==========  =======================================================================================================
AWAY        no seat, and none wanted
JOINING     JoinGroup is to be sent, or is being answered
DECIDING    all have joined, and this member, the leader, decides who reads what
SYNCING     SyncGroup is to be sent, or is being answered
STABLE      the seat is kept with heartbeats
GIVING_UP   its consumer gives partitions up; then it joins again, or leaves
LEAVING     LeaveGroup is to be sent, or is being answered
ENDED       an error that cannot pass, or another process with the same instance id
==========  =======================================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Optional

from ..common import TopicPartition
from ..exceptions import InconsistentGroupProtocol, KafkaException, ProtocolError, error_for
from ..protocol.consumer_group import CONSUMER, MemberAssignment
from ..protocol.messages import (
    FindCoordinatorRequest,
    HeartbeatRequest,
    JoinGroupRequest,
    LeaveGroupRequest,
    SyncGroupRequest,
)
from ..protocol.schema import Request
from .backoff import Backoff
from .member import (
    FIND_COORDINATOR,
    NOTHING,
    Ask,
    Assign,
    Decide,
    Ended,
    Event,
    Lost,
    MemberMetadata,
    MemberSettings,
    MemberStatus,
    Owned,
    Rebalanced,
    Revoke,
)
from .metadata import BrokerInfo

AWAY, JOINING, DECIDING, SYNCING = "away", "joining", "deciding", "syncing"
STABLE, GIVING_UP, LEAVING, ENDED = "stable", "giving up", "leaving", "ended"
#: States in which a seat is kept with heartbeats. The coordinator waits for us by itself while it answers a JoinGroup.
SEATED = (STABLE, GIVING_UP, DECIDING)

NO_GENERATION = -1
#: Brokers put what we say of a reason into their logs.
MAX_REASON = 255
NEVER = float("inf")
COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR = 14, 15, 16
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


class ClassicMember:
    """One member of a classic group. Every method that takes ``now`` may leave asks (:meth:`poll`) and events behind."""

    def __init__(
        self, settings: MemberSettings, protocols: list[Protocol], topics: Iterable[str], chance: Callable[[], float]
    ) -> None:
        self.settings = settings
        self.state = AWAY
        self.owned: Owned = NOTHING
        self.member_id = ""
        self.generation = NO_GENERATION
        self.protocol: Optional[str] = None
        self.is_leader = False
        self.coordinator: Optional[BrokerInfo] = None
        self.last_rebalance: Optional[Rebalanced] = None
        self._protocols = protocols
        #: partitions are kept while all join again only if every way of sharing that may be chosen counts on it
        self._cooperative = all(protocol.cooperative for protocol in protocols)
        self._topics = tuple(topics)
        self._events: list[Event] = []
        self._number = 0
        #: the numbers of the request that the state is about and of the heartbeat, as long as they are being answered
        self._main: Optional[int] = None
        self._beat: Optional[int] = None
        self._backoff = Backoff(settings.retry_backoff_s, settings.retry_backoff_max_s, chance)
        self._not_before = 0.0
        self._beat_at = NEVER
        self._beat_sent_at = 0.0
        self._heard_at = 0.0
        #: when the group was known not to be rebalancing, and until when we have to have joined since it is
        self._calm_at = 0.0
        self._join_by = NEVER
        self._active_at = 0.0
        #: the numbers of the Revoke and Decide events that are being acted on
        self._revoking: Optional[int] = None
        self._deciding: Optional[int] = None
        self._given_up: Owned = NOTHING
        #: why it is to leave, and the error that this is about
        self._leaving: Optional[str] = None
        self._error: Optional[KafkaException] = None
        #: left because its user was not active: since when
        self._idle_since: Optional[float] = None
        self._assignments: list[tuple[str, bytes]] = []
        #: what it had last, as of which generation
        self._previous: tuple[Owned, int] = (NOTHING, NO_GENERATION)
        #: of the rebalance that is under way: why, since when, and what was owned before
        self._cause = ""
        self._began_at = 0.0
        self._before: Owned = NOTHING

    # -- what its consumer says ---------------------------------------------------------------------------------------

    def join(self, now: float, cause: str = "started") -> None:
        """Want a seat."""
        if self.state in (AWAY, ENDED):
            self._leaving = self._error = self._idle_since = None
            self._active_at = self._heard_at = now
            self._not_before = now
            self._rejoin(now, cause)

    def leave(self, now: float, reason: str) -> None:
        """Give up everything, and the seat; the event at the end is :class:`Ended` without an error."""
        if self.state in (AWAY, ENDED):
            self._idle_since = None
            self._events.append(Ended(None))
        elif self._leaving is None:
            self._leaving = reason
            if self.owned:
                self._give_up(self.owned, reason)
            else:
                self._vacate()
        self._idle_since = None

    def active(self, now: float) -> None:
        """Note that the user takes messages, or waits for some: a member whose user does not is none for long."""
        self._active_at = now

    def subscribe(self, topics: Iterable[str], now: float) -> None:
        """Want other topics from now on."""
        wanted = tuple(topics)
        if set(wanted) != set(self._topics):
            self._topics = wanted
            if self.state not in (AWAY, ENDED):
                self._rejoin(now, "the topics to read are others now")

    def rebalance(self, now: float, cause: str) -> None:
        """Have everything shared out anew; the leader wants that when topics have changed."""
        if self.state == STABLE:
            self._rejoin(now, cause)

    def gave_up(self, number: int, now: float) -> None:
        """Note that the partitions of the :class:`Revoke` event of that number are given up."""
        if number != self._revoking:
            return
        self._revoking = None
        self.owned -= self._given_up
        if self._leaving is not None:
            self._vacate()
        else:
            self._go_and_join()

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
        self._look_at_clock(now)
        if self.state in (AWAY, ENDED):
            return []
        if self.coordinator is None:
            if self._main is not None or now < self._not_before:
                return []
            return [self._ask(self._find())]
        asks: list[Ask] = []
        if self.state in SEATED and self._beat is None and now >= self._beat_at:
            self._beat = self._next_number()
            self._beat_sent_at = now
            asks.append(Ask(self._beat, self._heartbeat()))
        if self.state in _REQUESTS and self._main is None and now >= self._not_before:
            self._join_by = NEVER
            asks.append(self._ask(_REQUESTS[self.state](self)))
        return asks

    def wake_at(self) -> float:
        """Return when :meth:`poll` has something to do although nothing has happened; infinity for never."""
        if self.state in (AWAY, ENDED):
            return self._active_at if self._comes_back else NEVER
        times = [NEVER]
        if self._main is None and (self.coordinator is None or self.state in _REQUESTS):
            times.append(self._not_before)
        if self.state in SEATED and self._beat is None and self.coordinator is not None:
            times.append(self._beat_at)
        if self.owned:
            times.append(self._join_by)
        if self._is_unheard:
            times.append(self._heard_at + self.settings.session_timeout_s)
        if self._leaving is None and self.settings.max_poll_interval_s:
            times.append(self._active_at + self.settings.max_poll_interval_s)
        return min(times)

    def take_events(self) -> list[Event]:
        """Return what its consumer has to be told, in order, once."""
        events, self._events = self._events, []
        return events

    def status(self) -> MemberStatus:
        """Return where the member stands."""
        broker = self.coordinator
        where = None if broker is None else f"{broker.id} ({broker.host}:{broker.port})"
        return MemberStatus(
            self.state, self.member_id, self.generation, self.protocol, self.is_leader, where, self.owned, self.last_rebalance
        )

    def _next_number(self) -> int:
        self._number += 1
        return self._number

    def _ask(self, request: Request) -> Ask:
        self._main = self._next_number()
        # all members have to join before the first of them gets an answer, and the leader to decide before the others do
        waits = isinstance(request, (JoinGroupRequest, SyncGroupRequest))
        return Ask(self._main, request, self.settings.rebalance_timeout_s if waits else 0.0)

    def _find(self) -> FindCoordinatorRequest:
        return FindCoordinatorRequest(key=self.settings.group, key_type=0, coordinator_keys=[self.settings.group])

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

    def on_reply(self, ask: Ask, reply: Any, now: float) -> None:
        """Act on an answer, unless the member has moved on since it asked."""
        if not self._is_awaited(ask):
            return
        if ask.api == FIND_COORDINATOR:
            self._on_coordinator(reply.coordinators[0] if reply.coordinators else reply, now)
        elif ask.api == "LeaveGroup":
            self._gone()
        elif reply.error_code:
            self._react(ask, reply, now)
        else:
            self._backoff.reset()
            # the coordinator's clock starts when it has our heartbeat, but when it answers a JoinGroup or SyncGroup
            self._heard_at = self._calm_at = self._beat_sent_at if ask.api == "Heartbeat" else now
            _ON_SUCCESS[ask.api](self, reply, now)

    def on_failure(self, ask: Ask, error: Exception, now: float) -> None:
        """Act on a request without an answer: the connection broke, or it took too long."""
        if not self._is_awaited(ask):
            return
        failure = error if isinstance(error, KafkaException) else KafkaException(f"{ask.api} failed: {error!r}")
        if ask.api == "LeaveGroup":
            self._gone()  # the seat is lost when the session is over
        elif failure.retriable:
            self._look_for_coordinator(now)
        else:
            self._end(failure, seated=False)

    def _is_awaited(self, ask: Ask) -> bool:
        """Return whether the answer to ``ask`` is still waited for; from now on it is not."""
        if ask.number == self._beat:
            self._beat = None
            return self.state in SEATED
        if ask.number == self._main:
            self._main = None
            return True
        return False

    def _on_coordinator(self, found: Any, now: float) -> None:
        if not found.error_code:
            self.coordinator = BrokerInfo(found.node_id, found.host, found.port, None)
            self._beat_at = min(self._beat_at, now)
            return
        about = found.error_message or f"group {self.settings.group}"
        error = error_for(found.error_code, api=FIND_COORDINATOR, detail=about)
        if error.retriable:
            self._pause(now)
        else:
            self._end(error, seated=False)

    def _on_joined(self, reply: Any, now: float) -> None:
        if reply.protocol_name not in {protocol.name for protocol in self._protocols}:
            chosen = f"the coordinator of group {self.settings.group} chose to share by {reply.protocol_name!r}"
            self._end(InconsistentGroupProtocol(f"{chosen}, which was not offered"))
            return
        self.member_id, self.generation, self.protocol = reply.member_id, reply.generation_id, reply.protocol_name
        self.is_leader = reply.leader == reply.member_id
        self._beat_at = now + self.settings.heartbeat_interval_s
        self._assignments = []
        # a static leader that has come back is told that nothing changes (KIP-814)
        self.state = DECIDING if self.is_leader and not reply.skip_assignment else SYNCING
        if self.state == DECIDING:
            self._deciding = self._next_number()
            members = [MemberMetadata(row.member_id, row.group_instance_id, bytes(row.metadata)) for row in reply.members]
            self._events.append(Decide(self._deciding, reply.protocol_name, tuple(members)))

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
        self._take_over(frozenset(tp for tp in rows if tp.topic in self._topics), now)

    def _on_beat(self, _reply: Any, now: float) -> None:
        self._beat_at = now + self.settings.heartbeat_interval_s

    def _react(self, ask: Ask, reply: Any, now: float) -> None:
        """Do what the table says about an error."""
        error = error_for(reply.error_code, api=ask.api, detail=f"group {self.settings.group}")
        reaction = REACTIONS.get((ask.api, reply.error_code))
        if reaction is not None:
            _REACT[reaction](self, reply, str(error), now)
        elif error.retriable:
            self._wait(reply, str(error), now)
        else:
            self._end(error, seated=False)

    def _wait(self, _reply: Any, _error: str, now: float) -> None:
        self._pause(now)
        self._beat_at = self._not_before

    def _find_anew(self, _reply: Any, _error: str, now: float) -> None:
        self._look_for_coordinator(now)

    def _join_with_id(self, reply: Any, _error: str, _now: float) -> None:
        self.member_id = reply.member_id

    def _join_as_new(self, _reply: Any, error: str, now: float) -> None:
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
            self._go_and_join()

    def _note_cause(self, now: float, cause: str, before: Owned) -> None:
        self._cause, self._began_at, self._before = cause, now, before

    def _go_and_join(self) -> None:
        """Join, once everything is given up that cannot be kept meanwhile."""
        must_go = frozenset(tp for tp in self.owned if tp.topic not in self._topics) if self._cooperative else self.owned
        if must_go:
            self._give_up(must_go, self._cause)
        else:
            self.state = JOINING
            self._main = None

    def _give_up(self, partitions: Owned, cause: str) -> None:
        self.state = GIVING_UP
        self._main = None
        self._given_up = partitions
        self._revoking = self._next_number()
        self._events.append(Revoke(self._revoking, partitions, self.generation, cause))

    def _lose(self, cause: str, now: float) -> None:
        """Everything is somebody else's already; join again."""
        lost, generation = self.owned, self.generation
        self.owned, self.generation, self._revoking, self._join_by = NOTHING, NO_GENERATION, None, NEVER
        if lost:
            self._events.append(Lost(lost, generation, cause))
        if self._leaving is not None:
            self._vacate()
            return
        self._note_cause(now, cause, lost)
        self._go_and_join()

    def _vacate(self) -> None:
        """Leave the seat: at once if it is of no use to tell anybody (nobody knows of us, or we are to come back)."""
        self.state = LEAVING
        self._main = None
        if not self.member_id or self.coordinator is None or self.settings.instance_id is not None:
            self._gone()

    def _gone(self) -> None:
        self.generation = NO_GENERATION
        self.is_leader = False
        self._main = self._beat = None
        if self.settings.instance_id is None:
            self.member_id = ""
        self.state = AWAY if self._error is None else ENDED
        if self._idle_since is None:
            self._events.append(Ended(self._error))

    def _end(self, error: KafkaException, *, seated: bool = True) -> None:
        """Be no member any more. ``seated``: there is a seat to leave, for another member to lead in our place."""
        self._error = error
        self._leaving = str(error)
        lost, self.owned = self.owned, NOTHING
        if lost:
            self._events.append(Lost(lost, self.generation, str(error)))
        if not seated:
            self.member_id = ""
        self._vacate()

    def _look_at_clock(self, now: float) -> None:
        if self._comes_back:
            self.join(now, "its user takes messages again")
        if self._is_unheard and now >= self._heard_at + self.settings.session_timeout_s:
            self._lose(f"the coordinator was not heard of for {self.settings.session_timeout_s:g} s", now)
        if self.owned and now >= self._join_by:
            self._lose(f"partitions were not given up within {self.settings.rebalance_timeout_s:g} s", now)
        limit = self.settings.max_poll_interval_s
        if limit and self._leaving is None and self.state not in (AWAY, ENDED) and now >= self._active_at + limit:
            lost, self.owned = self.owned, NOTHING
            self._leaving = f"its user took no message for {limit:g} s (max_poll_interval_ms)"
            if lost:
                self._events.append(Lost(lost, self.generation, self._leaving))
            self._idle_since = now
            self._vacate()

    @property
    def _comes_back(self) -> bool:
        return self._idle_since is not None and self.state == AWAY and self._active_at > self._idle_since

    @property
    def _is_unheard(self) -> bool:
        """Return whether nothing under way could show that the coordinator still counts on us."""
        return bool(self.owned) and (self._main is None or self.coordinator is None)

    def _pause(self, now: float) -> None:
        self._not_before = now + self._backoff.next_delay()

    def _look_for_coordinator(self, now: float) -> None:
        self.coordinator = None
        self._main = self._beat = None
        if self.state == LEAVING:
            self._gone()
        self._pause(now)


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
