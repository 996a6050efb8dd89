"""What the two kinds of group members have in common: finding the coordinator, keeping and losing a seat, leaving; pure.

A member is in one of these states:

==========  =======================================================================================================
AWAY        no seat, and none wanted
JOINING     it is to ask for a seat, or is being answered
DECIDING    (classic) all have joined, and this member, the leader, decides who reads what
SYNCING     (classic) it is to ask what to read, or is being answered
STABLE      the seat is kept with heartbeats
GIVING_UP   its consumer gives partitions up; what comes then depends on why
LEAVING     it is to say that it leaves, or is being answered
ENDED       an error that cannot pass, or another process with the same instance id
==========  =======================================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Optional, Union

from ..common import TopicPartition
from ..exceptions import KafkaException, error_for
from ..protocol.messages import FindCoordinatorRequest
from ..protocol.schema import Request
from .backoff import Backoff
from .coordinators import about_group
from .group_types import meaning
from .metadata import BrokerInfo

AWAY, JOINING, DECIDING, SYNCING = "away", "joining", "deciding", "syncing"
STABLE, GIVING_UP, LEAVING, ENDED = "stable", "giving up", "leaving", "ended"

#: How long a leave is repeated that nobody has taken (seconds): stop() waits for it, and has more to do in its time.
LEAVE_S = 5.0

NO_GENERATION = -1
NEVER = float("inf")

FIND_COORDINATOR = "FindCoordinator"
COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR = 14, 15, 16

#: Partitions, in the order in which people expect them.
Owned = frozenset[TopicPartition]
NOTHING: Owned = frozenset()


class MemberSettings(NamedTuple):
    """How a member takes part in its group; times in seconds, ``max_poll_interval_s`` 0 for no limit."""

    group: str
    session_timeout_s: float
    rebalance_timeout_s: float
    heartbeat_interval_s: float
    max_poll_interval_s: float = 0.0
    instance_id: Optional[str] = None
    rack: Optional[str] = None
    retry_backoff_s: float = 0.1
    retry_backoff_max_s: float = 1.0


class Ask(NamedTuple):
    """A request to send. ``held_s`` is how long the coordinator may hold its answer back."""

    number: int
    request: Request
    held_s: float = 0.0

    @property
    def api(self) -> str:
        """Return the request's name."""
        return type(self.request).NAME


class Revoke(NamedTuple):
    """Partitions to give up: deliver nothing of them any more, commit, then say so with ``gave_up(number)``."""

    number: int
    partitions: Owned
    generation: int
    cause: str


class Lost(NamedTuple):
    """Partitions that are somebody else's already: nothing of them can be committed any more."""

    partitions: Owned
    generation: int
    cause: str


class Assign(NamedTuple):
    """Partitions to begin with; ``owned`` are all that the member has now."""

    partitions: Owned
    owned: Owned
    generation: int


class MemberMetadata(NamedTuple):
    """A member as the leader is told of it; ``metadata`` is for the way of sharing, and not to be trusted."""

    member_id: str
    instance_id: Optional[str]
    metadata: bytes


class Decide(NamedTuple):
    """To be decided by this member, the leader: who reads what. The answer is ``decided(number, assignments)``."""

    number: int
    protocol: str
    members: tuple[MemberMetadata, ...]


class Keep(NamedTuple):
    """This member, a static leader that has come back, is told that who reads what stays as it is (KIP-814)."""

    protocol: str
    members: tuple[MemberMetadata, ...]


class LookUp(NamedTuple):
    """Topics of an assignment that are known by their ids only: their names are waited for, with ``learn()``."""

    topic_ids: frozenset[bytes]


class Rebalanced(NamedTuple):
    """A rebalance is over: why it was, how long it took (seconds), and what it changed."""

    cause: str
    generation: int
    duration_s: float
    gained: Owned
    lost: Owned


class Ended(NamedTuple):
    """The member is no member any more, and will not be again by itself: ``error`` says why, None when it was asked to leave."""

    error: Optional[KafkaException]


Event = Union[Revoke, Lost, Assign, Decide, Keep, LookUp, Rebalanced, Ended]


class MemberStatus(NamedTuple):
    """Where a member stands; for people."""

    state: str
    member_id: str
    generation: int
    protocol: Optional[str]
    is_leader: bool
    coordinator: Optional[str]
    owned: Owned
    last_rebalance: Optional[Rebalanced]


class Member:
    """One member of a group. Every method that takes ``now`` may leave asks (:meth:`poll`) and events behind."""

    #: How the group shares out, for :meth:`status`.
    protocol: Optional[str] = None
    is_leader = False
    #: the ways of sharing that it knows, for people
    _offers = ""

    def __init__(self, settings: MemberSettings, topics: Iterable[str], chance: Callable[[], float]) -> None:
        self.settings = settings
        self.state = AWAY
        self.owned: Owned = NOTHING
        self.member_id = ""
        #: the generation of a classic group, the member's epoch in one of the newer protocol
        self.generation = NO_GENERATION
        self.coordinator: Optional[BrokerInfo] = None
        self.last_rebalance: Optional[Rebalanced] = None
        self._topics = tuple(topics)
        self._events: list[Event] = []
        self._number = 0
        #: the number of the request that the state is about, as long as it is being answered
        self._main: Optional[int] = None
        self._backoff = Backoff(settings.retry_backoff_s, settings.retry_backoff_max_s, chance)
        self._not_before = 0.0
        self._heard_at = 0.0
        self._active_at = 0.0
        #: the number of the Revoke event that is being acted on, and its partitions
        self._revoking: Optional[int] = None
        self._given_up: Owned = NOTHING
        #: why it is to leave, and the error that this is about
        self._leaving: Optional[str] = None
        self._error: Optional[KafkaException] = None
        #: until when the leave is repeated; the first look at the clock sets it
        self._leave_by = NEVER
        #: left because its user was not active: since when
        self._idle_since: Optional[float] = None
        #: of the rebalance that is under way: why, since when, and what was owned before
        self._cause = ""
        self._began_at = 0.0
        self._before: Owned = NOTHING

    # -- what its consumer says ---------------------------------------------------------------------------------------

    def join(self, now: float, cause: str = "started") -> None:
        """Want a seat."""
        if self.state in (AWAY, ENDED):
            self._leaving = self._error = self._idle_since = None
            self._active_at = self._heard_at = self._not_before = now
            self._note_cause(now, cause, NOTHING)
            self._begin_to_join()

    def leave(self, now: float, reason: str) -> None:
        """Give up everything, and the seat; the event at the end is :class:`Ended` without an error."""
        self._idle_since = None
        if self.state in (AWAY, ENDED):
            self._events.append(Ended(None))
        elif self._leaving is None:
            self._leaving = reason
            if self._revoking is None:  # else the rest follows when that is given up
                self._give_up_and_vacate()

    def drop_out(self, now: float, reason: str) -> None:
        """Leave the seat at once, also in the middle of giving something up: nobody is there any more who could."""
        self._let_all_go(reason)
        if self._leaving is not None and self.state == GIVING_UP:
            self._vacate()
        else:
            self.leave(now, reason)

    def active(self, now: float) -> None:
        """Note that the user takes messages, or waits for some: a member whose user does not is none for long."""
        self._active_at = now

    def gave_up(self, number: int, now: float) -> None:
        """Note that the partitions of the :class:`Revoke` event of that number are given up."""
        if number != self._revoking:
            return
        self._revoking = None
        self.owned -= self._given_up
        if self._leaving is not None:
            self._give_up_and_vacate()
        else:
            self._after_giving_up(now)

    def gives_up(self, number: int) -> bool:
        """Return whether the :class:`Revoke` event of that number is still acted on, so that its partitions are nobody else's.

        May be asked from any thread.
        """
        return number == self._revoking

    def subscribe(self, topics: Iterable[str], now: float) -> None:
        """Want other topics from now on."""
        raise NotImplementedError

    # -- what goes out ------------------------------------------------------------------------------------------------

    def poll(self, now: float) -> list[Ask]:
        """Return what is to be sent now, after a look at the clock."""
        self._look_at_clock(now)
        if self.state in (AWAY, ENDED):
            return []
        if self.coordinator is None:
            if self._main is not None or now < self._not_before:
                return []
            group = self.settings.group
            return [self._ask(FindCoordinatorRequest(key=group, key_type=0, coordinator_keys=[group]))]
        return self._poll(now)

    def wake_at(self) -> float:
        """Return when :meth:`poll` has something to do although nothing has happened; infinity for never."""
        if self.state in (AWAY, ENDED):
            return self._active_at if self._comes_back else NEVER
        times = self._times() if self.coordinator is not None else [NEVER if self._main is not None else self._not_before]
        times.append(self._leave_by)
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

    def _ask(self, request: Request, held_s: float = 0.0) -> Ask:
        self._main = self._next_number()
        return Ask(self._main, request, held_s)

    # -- what comes back ----------------------------------------------------------------------------------------------

    def on_reply(self, ask: Ask, reply: Any, now: float) -> None:
        """Act on an answer, unless the member has moved on since it asked.

        :raises ProtocolError: for an answer that says nothing: that is a failure like no answer, see :meth:`on_failure`
        """
        found = about_group(reply, self.settings.group) if ask.api == FIND_COORDINATOR else None
        self._look_at_clock(now)  # a process that stood still may have answers before it has seen how late it is
        if not self._is_awaited(ask):
            return
        if found is not None:
            self._on_coordinator(found, now)
        elif self.state == LEAVING:
            self._on_left(ask, reply, now)
        elif reply.error_code:
            said = getattr(reply, "error_message", None) or f"group {self.settings.group}"
            explained = meaning(ask.api, reply.error_code, self.settings.group, self._offers)
            detail = f"{said.rstrip('.')}; {explained}" if explained else said
            self._on_error(ask, reply, error_for(reply.error_code, api=ask.api, detail=detail), now)
        else:
            self._backoff.reset()
            self._on_success(ask, reply, now)

    def on_failure(self, ask: Ask, error: Exception, now: float) -> None:
        """Act on a request without an answer: the connection broke, or it took too long."""
        if not self._is_awaited(ask):
            return
        failure = error if isinstance(error, KafkaException) else KafkaException(f"{ask.api} failed: {error!r}")
        if failure.retriable:
            self._look_for_coordinator(now)
        elif self.state == LEAVING:
            self._gone()
        else:
            self._end(failure, seated=False)

    def _on_left(self, _ask: Ask, reply: Any, now: float) -> None:
        """Be gone, unless the leave has not come to the coordinator: who is there yet keeps others from what it had."""
        code = reply.error_code
        if code in (COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR):
            self._look_for_coordinator(now)
        elif code == COORDINATOR_LOAD_IN_PROGRESS:
            self._pause(now)
        else:
            self._gone()

    def _is_awaited(self, ask: Ask) -> bool:
        """Return whether the answer to ``ask`` is still waited for; from now on it is not."""
        awaited = ask.number == self._main
        if awaited:
            self._main = None
        return awaited

    def _on_coordinator(self, found: Any, now: float) -> None:
        if not found.error_code:
            self.coordinator = BrokerInfo(found.node_id, found.host, found.port, None)
            self._on_found(now)
            return
        about = found.error_message or f"group {self.settings.group}"
        error = error_for(found.error_code, api=FIND_COORDINATOR, detail=about)
        if error.retriable:
            self._pause(now)
        elif self.state == LEAVING:
            self._gone()
        else:
            self._end(error, seated=False)

    # -- what the kinds of members do in their own ways ---------------------------------------------------------------

    def _begin_to_join(self) -> None:
        raise NotImplementedError

    def _after_giving_up(self, now: float) -> None:
        raise NotImplementedError

    def _poll(self, now: float) -> list[Ask]:
        raise NotImplementedError

    def _times(self) -> list[float]:
        """Return when :meth:`_poll` has something to do."""
        raise NotImplementedError

    def _on_success(self, ask: Ask, reply: Any, now: float) -> None:
        raise NotImplementedError

    def _on_error(self, ask: Ask, reply: Any, error: KafkaException, now: float) -> None:
        raise NotImplementedError

    def _on_found(self, now: float) -> None:
        """Do what has waited for the coordinator."""

    def _reset(self) -> None:
        """Forget what belongs to the seat: it is no more."""
        self.generation = NO_GENERATION

    @property
    def _can_say_goodbye(self) -> bool:
        """Return whether it is of use to tell the coordinator that the member leaves."""
        raise NotImplementedError

    # -- moving on ----------------------------------------------------------------------------------------------------

    def _note_cause(self, now: float, cause: str, before: Owned) -> None:
        self._cause, self._began_at, self._before = cause, now, before

    def _give_up(self, partitions: Owned, cause: str) -> None:
        self.state = GIVING_UP
        self._given_up = partitions
        self._revoking = self._next_number()
        self._events.append(Revoke(self._revoking, partitions, self.generation, cause))

    def _give_up_and_vacate(self) -> None:
        if self.owned:
            self._give_up(self.owned, self._leaving or "")
        else:
            self._vacate()

    def _let_all_go(self, cause: str) -> None:
        """Everything is somebody else's already, or is to be at once."""
        lost, self.owned, self._revoking = self.owned, NOTHING, None
        if lost:
            self._events.append(Lost(lost, self.generation, cause))

    def _lose(self, cause: str, now: float) -> None:
        """Everything is somebody else's already; join again."""
        before = self.owned
        self._let_all_go(cause)
        self._reset()
        if self._leaving is not None:
            self._vacate()
            return
        self._note_cause(now, cause, before)
        self._begin_to_join()

    def _vacate(self) -> None:
        """Leave the seat; without a word where that is of no use."""
        self.state = LEAVING
        self._main = None
        if not self._can_say_goodbye:
            self._gone()

    def _gone(self) -> None:
        self._main = None
        self._leave_by = NEVER
        self.is_leader = False
        self._reset()
        self.state = AWAY if self._error is None else ENDED
        if self._idle_since is None:
            self._events.append(Ended(self._error))

    def _end(self, error: KafkaException, *, seated: bool = True) -> None:
        """Be no member any more. ``seated``: there is a seat to leave, for the others to go on without us."""
        self._error = error
        self._leaving = str(error)
        self._let_all_go(str(error))
        if seated:
            self._vacate()
        else:
            self._gone()

    def _look_at_clock(self, now: float) -> None:
        if self.state == LEAVING and now >= self._leave_by:
            self._gone()  # the seat is free when the session is over
        if self._comes_back:
            self.join(now, "its user takes messages again")
        if self._is_unheard and now >= self._heard_at + self.settings.session_timeout_s:
            self._lose(f"the coordinator was not heard of for {self.settings.session_timeout_s:g} s", now)
        limit = self.settings.max_poll_interval_s
        if limit and self._leaving is None and self.state not in (AWAY, ENDED) and now >= self._active_at + limit:
            self._leaving = f"its user took no message for {limit:g} s (max_poll_interval_ms)"
            self._let_all_go(self._leaving)
            self._idle_since = now
            self._vacate()
        if self.state == LEAVING:
            self._leave_by = min(self._leave_by, now + LEAVE_S)

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
        self._main = None
        self._pause(now)
