"""One member of a group of the newer protocol (KIP-848): heartbeats only, and the coordinator shares out; pure.

An assignment that comes with a heartbeat is worked off step by step: what is not in it any more is given up, what is new is
begun with, and then the next heartbeat, sent at once, says what is read now. The coordinator gives to others only what it
was told to be free.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Optional

from ..common import TopicPartition
from ..exceptions import FencedInstanceId, KafkaException
from ..protocol.messages import ConsumerGroupHeartbeatRequest
from .member import (
    AWAY,
    COORDINATOR_LOAD_IN_PROGRESS,
    COORDINATOR_NOT_AVAILABLE,
    ENDED,
    GIVING_UP,
    JOINING,
    LEAVING,
    NEVER,
    NOT_COORDINATOR,
    NOTHING,
    STABLE,
    Ask,
    Assign,
    LookUp,
    Member,
    MemberSettings,
    Owned,
    Rebalanced,
)

JOIN_EPOCH, LEAVE_EPOCH, LEAVE_FOR_A_WHILE_EPOCH = 0, -1, -2
UNKNOWN_MEMBER_ID, GROUP_ID_NOT_FOUND, FENCED_MEMBER_EPOCH = 25, 69, 110

#: How often a member is heard of at least in the time after which it takes its seat for lost.
BEATS_PER_SESSION = 2

#: Error code -> what the member does about it. Others are tried again when they may pass, and end the membership else.
REACTIONS = {
    COORDINATOR_LOAD_IN_PROGRESS: "wait",
    COORDINATOR_NOT_AVAILABLE: "look for the coordinator",
    NOT_COORDINATOR: "look for the coordinator",
    UNKNOWN_MEMBER_ID: "lose everything",
    GROUP_ID_NOT_FOUND: "lose everything, unless it joins",
    FENCED_MEMBER_EPOCH: "lose everything",
}


class ConsumerMember(Member):
    """One member of a group of the newer protocol. ``pattern``, if given, is what topics are chosen by, at the broker.

    :param member_id: made by the member, and kept for as long as it lives
    :param assignor: the way of sharing of the coordinator's, None for the group's own
    """

    protocol = "consumer"

    def __init__(
        self,
        settings: MemberSettings,
        topics: Iterable[str],
        chance: Callable[[], float],
        member_id: str,
        *,
        pattern: Optional[str] = None,
        assignor: Optional[str] = None,
    ) -> None:
        super().__init__(settings, topics, chance)
        self.member_id = member_id
        self._pattern = pattern
        self._assignor = assignor
        self._beat_at = NEVER
        self._sent_at = 0.0
        self._interval_s = settings.heartbeat_interval_s
        #: whether the next heartbeat has to say everything: the first, and after one whose answer was lost
        self._say_all = True
        self._topics_changed = False
        #: how many joins were sent that nobody has answered: the coordinator may have us, whatever we know of it
        self._unanswered_joins = 0
        #: what the coordinator was told that is read; None when it waits to hear it, changed or not
        self._told: Optional[Owned] = NOTHING
        #: until when it has to have heard that partitions are given up: it has others read all that we have after that
        self._free_by = NEVER
        #: topic id -> name; of a topic that was made anew there are several
        self._names: dict[bytes, str] = {}
        #: what is owned, and under which topic id the coordinator gave it to us: it knows it by no other
        self._given_as: dict[TopicPartition, bytes] = {}
        #: the assignment that is being worked off: topic id -> partitions
        self._target: Optional[dict[bytes, list[int]]] = None
        self._looked_up: frozenset[bytes] = frozenset()

    # -- what its consumer says ---------------------------------------------------------------------------------------

    def subscribe(self, topics: Iterable[str], now: float) -> None:
        """Want other topics from now on."""
        wanted = tuple(topics)
        if set(wanted) != set(self._topics):
            self._topics = wanted
            self._topics_changed = True
            if self.state not in (AWAY, ENDED):
                self._beat_at = now

    def catch_up(self, now: float) -> None:
        """Ask at once which epoch the coordinator is at: a commit was told that ours is old."""
        if self.state in (STABLE, GIVING_UP):
            self._beat_at = min(self._beat_at, now)

    def learn(self, names: Mapping[bytes, str], now: float) -> None:
        """Note the names of topics by their ids; an assignment may have waited for them."""
        self._names.update(names)
        if self.state == STABLE:
            self._work_off(now)

    # -- what goes out ------------------------------------------------------------------------------------------------

    def _begin_to_join(self) -> None:
        self.state = JOINING
        self._main = None

    def _poll(self, now: float) -> list[Ask]:
        if self._main is not None or now < self._not_before:
            return []
        if self.state in (JOINING, LEAVING) or now >= self._beat_at:
            self._sent_at = now
            return [self._ask(self._heartbeat())]
        return []

    def _times(self) -> list[float]:
        if self._main is not None:
            return [self._free_by]
        beat_at = self._not_before if self.state in (JOINING, LEAVING) else max(self._not_before, self._beat_at)
        return [beat_at, self._free_by]

    def _heartbeat(self) -> ConsumerGroupHeartbeatRequest:
        settings, instance_id = self.settings, self.settings.instance_id
        request = ConsumerGroupHeartbeatRequest(group_id=settings.group, member_id=self.member_id, instance_id=instance_id)
        if self.state == LEAVING:
            static = instance_id is not None and self._error is None
            request.member_epoch = LEAVE_FOR_A_WHILE_EPOCH if static else LEAVE_EPOCH
            return request
        joining = self.state == JOINING
        self._unanswered_joins += joining
        request.member_epoch = JOIN_EPOCH if joining else self.generation
        if joining or self._say_all:
            request.rack_id = settings.rack
            request.rebalance_timeout_ms = int(settings.rebalance_timeout_s * 1000)
            request.server_assignor = self._assignor
        if joining or self._say_all or self._topics_changed:
            # a pattern and names may both be given; who uses a pattern has no names
            request.subscribed_topic_names = list(self._topics)
            request.subscribed_topic_regex = self._pattern
        if joining or self._say_all or self._told != self.owned:
            request.topic_partitions = self._owned_rows()
            self._told = self.owned
        self._say_all = self._topics_changed = False
        return request

    def _owned_rows(self) -> list[ConsumerGroupHeartbeatRequest.TopicPartitions]:
        by_id: dict[bytes, list[int]] = {}
        for tp in sorted(self.owned):
            by_id.setdefault(self._given_as[tp], []).append(tp.partition)
        row = ConsumerGroupHeartbeatRequest.TopicPartitions
        return [row(topic_id=topic_id, partitions=numbers) for topic_id, numbers in by_id.items()]

    # -- what comes back ----------------------------------------------------------------------------------------------

    def _on_success(self, ask: Ask, reply: Any, now: float) -> None:
        self._unanswered_joins = 0
        self._heard_at = self._sent_at
        self.generation = reply.member_epoch
        if reply.heartbeat_interval_ms > 0:
            # an answer has to come in time also where the session is given up sooner than the coordinator thinks
            self._interval_s = min(reply.heartbeat_interval_ms / 1000.0, self.settings.session_timeout_s / BEATS_PER_SESSION)
        up_to_date = self._told == self.owned and not self._topics_changed
        # what has changed while this was being answered is waited for
        self._beat_at = now + (self._interval_s if up_to_date or self.state == GIVING_UP else 0.0)
        if self.state != GIVING_UP and self._told == self.owned:
            self._free_by = NEVER
        if self.state == JOINING:
            self.state = STABLE
        self._looked_up = frozenset()  # once for each heartbeat
        if reply.assignment is not None:
            self._target = {row.topic_id: list(row.partitions) for row in reply.assignment.topic_partitions}
            # also of partitions that we never knew the names of, and that others are to have now
            self._told = None
        if self.state == STABLE:
            self._work_off(now)

    def _on_error(self, ask: Ask, reply: Any, error: KafkaException, now: float) -> None:
        self._unanswered_joins -= self.state == JOINING
        reaction = REACTIONS.get(reply.error_code, "wait" if error.retriable else "end")
        _REACT[reaction](self, error, now)

    def _wait(self, _error: KafkaException, now: float) -> None:
        self._say_all = True
        self._pause(now)
        self._beat_at = self._not_before

    def _find_anew(self, _error: KafkaException, now: float) -> None:
        self._look_for_coordinator(now)

    def _lose_seat(self, error: KafkaException, now: float) -> None:
        if self.state == JOINING:
            self._pause(now)  # it has no seat that it could lose: joining at once would have the same answer
        self._lose(str(error), now)

    def _lose_group(self, error: KafkaException, now: float) -> None:
        if self.state == JOINING:
            self._end_with(error, now)  # it is another type of group, with members, and is not taken over for ours
        else:
            # it was put out, and the members who were left made the group a classic one, which may take it in again
            self._pause(now)
            self._lose(str(error), now)

    def _end_with(self, error: KafkaException, now: float) -> None:
        # the seat of one that is fenced is another process's
        self._end(error, seated=not isinstance(error, FencedInstanceId))

    def _look_for_coordinator(self, now: float) -> None:
        self._say_all = True
        super()._look_for_coordinator(now)
        self._beat_at = now

    # -- moving on ----------------------------------------------------------------------------------------------------

    def _work_off(self, now: float) -> None:
        """Come closer to the assignment: give up what is not in it, or begin with what is new."""
        if self._target is None or self._leaving is not None:
            return
        unknown = frozenset(topic_id for topic_id in self._target if topic_id not in self._names)
        if unknown - self._looked_up:
            self._looked_up |= unknown
            self._events.append(LookUp(unknown))
        given_as = {
            TopicPartition(self._names[topic_id], number): topic_id
            for topic_id, numbers in self._target.items()
            if topic_id in self._names
            for number in numbers
        }
        target = frozenset(given_as)
        if not self._cause:
            self._note_cause(now, "the coordinator has shared out anew", self.owned)
        gone = self.owned - target
        if gone:
            self._free_by = min(self._free_by, self._sent_at + self.settings.rebalance_timeout_s)
            self._give_up(gone, "they are not ours to read any more")
            return
        if target - self.owned and (self._main is not None or self._say_all):
            return  # the coordinator is just told that it is not read, and may give it to others before it answers
        if not unknown:
            self._target = None
        self._given_as = given_as
        self._begin_with(target, now)

    def _after_giving_up(self, now: float) -> None:
        self.state = STABLE
        self._work_off(now)  # by now it may be another assignment

    def _begin_with(self, target: Owned, now: float) -> None:
        new = target - self.owned
        self.owned |= new
        if new or self.owned != self._told:
            self._beat_at = now  # the coordinator waits for this
        gained, lost = self.owned - self._before, self._before - self.owned
        # who has lost everything, and is given just that again, has to begin with it all the same
        if new or gained or lost or self._cause == "started":
            rebalanced = Rebalanced(self._cause, self.generation, now - self._began_at, gained, lost)
            self.last_rebalance = rebalanced
            self._events += [Assign(new, self.owned, self.generation), rebalanced]
        self._note_cause(0.0, "", self.owned)

    def _reset(self) -> None:
        super()._reset()
        self._unanswered_joins = 0
        self._say_all = True
        self._told = NOTHING
        self._target = None
        self._free_by = NEVER

    def _look_at_clock(self, now: float) -> None:
        if now >= self._free_by:
            self._lose(f"partitions were not given up within {self.settings.rebalance_timeout_s:g} s", now)
        super()._look_at_clock(now)

    @property
    def _is_unheard(self) -> bool:
        return bool(self.owned)

    @property
    def _can_say_goodbye(self) -> bool:
        return self.generation > 0 or self._unanswered_joins > 0


_REACT: dict[str, Callable[[ConsumerMember, KafkaException, float], None]] = {
    "wait": ConsumerMember._wait,
    "look for the coordinator": ConsumerMember._find_anew,
    "lose everything": ConsumerMember._lose_seat,
    "lose everything, unless it joins": ConsumerMember._lose_group,
    "end": ConsumerMember._end_with,
}
