"""Members of a group, their slow consumers, and a network that loses and delays; all on one simulated clock."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Mapping, Sequence
from functools import partial
from random import Random
from typing import Any, Callable, Optional, Union

from pykafka._machines.assignors import ASSIGNORS, Assignor
from pykafka._machines.classic_member import ClassicMember
from pykafka._machines.consumer_member import ConsumerMember
from pykafka._machines.member import (
    ENDED,
    NEVER,
    STABLE,
    Ask,
    Assign,
    Decide,
    Ended,
    Keep,
    LookUp,
    Lost,
    MemberSettings,
    Rebalanced,
    Revoke,
)
from pykafka._machines.sharing import decide, protocol_of, readable, wanted_topics
from pykafka.common import TopicPartition
from pykafka.exceptions import KafkaException, SocketDisconnectedError
from pykafka.protocol.messages import (
    ConsumerGroupHeartbeatResponse,
    FindCoordinatorResponse,
    HeartbeatResponse,
    JoinGroupResponse,
    SyncGroupResponse,
)
from pykafka.testing.group_common import GroupSettings

from .simulated_coordinator import Coordinator

NOT_COORDINATOR = 16
SESSION_S, REBALANCE_S, HEARTBEAT_S, LATENCY_S = 10.0, 20.0, 2.0, 0.05


class Classic:
    """Groups of the classic protocol, whose members offer these ways of sharing unless they say otherwise."""

    def __init__(self, *assignors: Assignor) -> None:
        self.assignors = assignors

    def coordinator(self, topics: dict[str, int]) -> Coordinator:
        return Coordinator(topics, GroupSettings())

    def machine(self, world: World, name: str, settings: MemberSettings, topics: list[str], offers: Sequence[str]) -> Any:
        assignors = [ASSIGNORS[offer] for offer in offers] or self.assignors
        return ClassicMember(settings, [protocol_of(one) for one in assignors], topics, world.random.random)


class Newer:
    """Groups of the newer protocol (KIP-848), whose coordinator shares out by ``assignor``."""

    def __init__(self, assignor: str) -> None:
        self.assignor = assignor

    def coordinator(self, topics: dict[str, int]) -> Coordinator:
        settings = GroupSettings(
            consumer_session_timeout_ms=int(SESSION_S * 1000), consumer_heartbeat_interval_ms=int(HEARTBEAT_S * 1000)
        )
        return Coordinator(topics, settings)

    def machine(self, world: World, name: str, settings: MemberSettings, topics: list[str], offers: Sequence[str]) -> Any:
        return ConsumerMember(settings, topics, world.random.random, f"id-{name}", assignor=self.assignor)


Kind = Union[Classic, Newer]


class World:
    """The clock, what happens next on it, the coordinator, and everybody who was ever a member."""

    def __init__(self, seed: int, kind: Kind, topics: dict[str, int], *, lossy: bool = True) -> None:
        self.random = Random(seed)
        self.now = 100.0
        self.kind = kind
        self.topics = topics
        self.coordinator = kind.coordinator(topics)
        self.coordinator_broker = 1
        self.down_until = 0.0
        self.lossy = lossy
        self.members: list[Member] = []
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._tie = itertools.count()
        self._rounds = itertools.count()
        self.history: list[str] = []

    def at(self, delay: float, step: Callable[[], None]) -> None:
        """Have ``step`` happen so much later."""
        heapq.heappush(self._queue, (self.now + delay, next(self._tie), step))

    def latency(self) -> float:
        return self.random.uniform(0.0, LATENCY_S)

    def add(self, **options: Any) -> Member:
        """Have another member start."""
        member = Member(self, f"c{len(self.members)}", **options)
        self.members.append(member)
        member.start()
        return member

    def run(self, seconds: float) -> None:
        """Let so much time pass."""
        end = self.now + seconds
        while True:
            self._tick()
            # members look at their own clocks as well; a hundredth of a second is as exact as anything here
            due = min([self._queue[0][0] if self._queue else end, *(one.wakes_at for one in self.members)])
            due = min(due, max(self.down_until, self.coordinator.next_tick()))
            if due >= end:
                self.now = end
                return
            self.now = max(self.now, due, self.now + (0.0 if self._queue and self._queue[0][0] <= self.now else 0.001))
            while self._queue and self._queue[0][0] <= self.now:
                heapq.heappop(self._queue)[2]()
                self.check()
            # now and then all of them, as the engine does: that must change nothing
            everybody = next(self._rounds) % 16 == 0
            for member in self.members:
                if everybody or member.wakes_at <= self.now:
                    member.drive()
            self.check()

    def _tick(self) -> None:
        if self.now >= self.down_until:
            self.coordinator.tick(self.now)

    def move_coordinator(self) -> None:
        """Have another broker be the coordinator, after a while without any."""
        self.coordinator_broker += 1
        self.down_until = self.now + self.random.uniform(0.0, 2.0)
        self.at(self.down_until - self.now, lambda: self.coordinator.moved(self.now))

    # -- requests -----------------------------------------------------------------------------------------------------

    def send(self, member: Member, ask: Ask) -> None:
        """Carry a request to where the member thinks that the coordinator is."""
        target = member.machine.coordinator.id if member.machine.coordinator is not None else 0
        if self.lossy and self.random.random() < 0.01:
            self._lose(member, ask, before=self.random.random() < 0.5, target=target)
        else:
            self.at(self.latency(), lambda: self._arrive(member, ask, target, lambda reply: self._reply(member, ask, reply)))
        if ask.api not in ("FindCoordinator",):
            deadline = ask.held_s + 5.0
            timed_out = SocketDisconnectedError("no answer in time")
            self.at(deadline, lambda: member.on_failure(ask, timed_out))

    def _lose(self, member: Member, ask: Ask, *, before: bool, target: int) -> None:
        """Have a connection break before the request is there, or after it was handled."""
        if not before:
            self.at(self.latency(), lambda: self._arrive(member, ask, target, lambda _reply: None))
        self.at(2 * LATENCY_S, lambda: member.on_failure(ask, SocketDisconnectedError("the connection broke")))

    def _arrive(self, member: Member, ask: Ask, target: int, answer: Callable[[Any], None]) -> None:
        if ask.api == "FindCoordinator":
            if self.now < self.down_until:
                answer(FindCoordinatorResponse(error_code=15, node_id=-1, host="", port=0))
            else:
                answer(FindCoordinatorResponse(node_id=self.coordinator_broker, host="h", port=1))
        elif target != self.coordinator_broker or self.now < self.down_until:
            answer(_REFUSED[ask.api]())
        else:
            self.coordinator.handle(ask.request, self.now, answer)

    def _reply(self, member: Member, ask: Ask, reply: Any) -> None:
        self.at(self.latency(), lambda: member.on_reply(ask, reply))

    # -- what must hold -----------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Look whether any partition is delivered by two members that the coordinator both counts on."""
        readers: dict[TopicPartition, Member] = {}
        seats = self.coordinator.seats
        for member in self.members:
            if member.frozen or not member.delivering:
                continue
            if not self.counts_on(member, seats):
                # who is displaced by another process of the same instance id hears of it with the next heartbeat
                grace = 2 * LATENCY_S + 0.01 + (HEARTBEAT_S if member.machine.settings.instance_id else 0.0)
                lost_s = self.now - member.counted_on_at
                assert lost_s <= grace or member.machine._main is not None, (
                    f"{member} delivers {member.delivering} although its seat was lost {lost_s:.3f} s ago\n{self}"
                )
                continue
            for tp in member.delivering:
                assert tp not in readers, f"{tp} is delivered by {member} and {readers[tp]}\n{self}"
                readers[tp] = member

    def counts_on(self, member: Member, seats: Mapping[str, Any]) -> bool:
        """Return whether one of the coordinator's seats is the member's; noting when that was so last."""
        if member.machine.member_id in seats:
            member.counted_on_at = self.now
            return True
        return False

    def __str__(self) -> str:
        return "\n".join(self.history[-40:])

    def note(self, text: str) -> None:
        self.history.append(f"{self.now:9.3f} {text}")

    @property
    def by_topic(self) -> bool:
        """Return whether some way of sharing in use is fair for each topic by itself only."""
        return "range" in (self.kind.assignor if isinstance(self.kind, Newer) else self.coordinator.protocol)

    @property
    def partitions(self) -> set[TopicPartition]:
        """Return every partition there is."""
        return {TopicPartition(topic, number) for topic, count in self.topics.items() for number in range(count)}


_REFUSED: dict[str, Callable[[], Any]] = {
    "JoinGroup": lambda: JoinGroupResponse(error_code=NOT_COORDINATOR, protocol_name="", leader=""),
    "SyncGroup": lambda: SyncGroupResponse(error_code=NOT_COORDINATOR),
    "Heartbeat": lambda: HeartbeatResponse(error_code=NOT_COORDINATOR),
    "LeaveGroup": lambda: HeartbeatResponse(error_code=NOT_COORDINATOR),
    "ConsumerGroupHeartbeat": lambda: ConsumerGroupHeartbeatResponse(error_code=NOT_COORDINATOR),
}


class Member:
    """A member with a consumer that takes its time over events, reads, and commits now and then."""

    def __init__(
        self,
        world: World,
        name: str,
        *,
        topics: Optional[list[str]] = None,
        offers: Sequence[str] = (),
        slow_s: float = 0.2,
        **settings: Any,
    ) -> None:
        self.world = world
        self.name = name
        self.slow_s = slow_s
        options = {"session_timeout_s": SESSION_S, "rebalance_timeout_s": REBALANCE_S, "heartbeat_interval_s": HEARTBEAT_S}
        wanted = topics or sorted(world.topics)
        self.machine = world.kind.machine(world, name, MemberSettings("g", **{**options, **settings}), wanted, offers)
        #: what its clock is ahead of the world's
        self.ahead_s = 0.0
        #: a process that is stopped, as by Ctrl-Z: what arrives meanwhile waits
        self.frozen = False
        #: when it does something by itself, as the world counts
        self.wakes_at = NEVER
        self._waiting: list[Callable[[], None]] = []
        self._commit_arrives_at = 0.0
        self._reads = 0
        self.alive = True
        self.delivering: set[TopicPartition] = set()
        self.positions: dict[TopicPartition, int] = {}
        self.events: list[Any] = []
        self.busy = False
        #: whether its user takes messages
        self.reading = True
        self.ended: list[Ended] = []
        self.rebalances: list[Rebalanced] = []
        self.counted_on_at = world.now

    def __repr__(self) -> str:
        return f"{self.name}/{self.machine.member_id}"

    def start(self) -> None:
        self.machine.join(self.clock())
        self.read()
        self.drive()

    def crash(self) -> None:
        """Be gone without a word."""
        self.alive = False
        self.wakes_at = NEVER
        self.delivering = set()
        self.world.note(f"{self} crashes")

    def stop(self) -> None:
        self.machine.leave(self.clock(), "stopped")
        self.drive()

    def clock(self) -> float:
        """Return what the member takes for the time."""
        return self.world.now + self.ahead_s

    def drive(self) -> None:
        """Have the machine send what it has to send, and its events acted on: as often as anything happens to it."""
        if not self.alive or self.frozen:
            return
        for ask in self.machine.poll(self.clock()):
            if self.machine.state != STABLE:
                self.world.note(f"{self} asks {ask.api} ({self.machine.state}, generation {self.machine.generation})")
            self.world.send(self, ask)
        wakes_at = self.machine.wake_at()
        assert wakes_at > self.clock(), f"{self} wakes up for nothing, {self.machine.state}\n{self.world}"
        self.wakes_at = wakes_at - self.ahead_s
        for event in self.machine.take_events():
            self.world.note(f"{self}: {event}")
            if isinstance(event, (Revoke, Lost)):
                self.delivering -= event.partitions  # before anything goes out, as the engine does it
            self.events.append(event)
        if self.events and not self.busy:
            self.busy = True
            self.world.at(self.world.random.uniform(0.0, self.slow_s), self._work)

    def _work(self) -> None:
        if self.frozen:
            self._waiting.append(self._work)
            return
        self.busy = False
        if self.alive and self.events:
            event = self.events.pop(0)
            _WORK[type(event)](self, event)
            self.drive()

    def _revoke(self, event: Revoke) -> None:
        def answered() -> None:
            self.when_awake(lambda: self.machine.gave_up(event.number, self.clock()))

        self._commit(set(event.partitions), event.generation)
        self._lost(event)
        self.world.at(2 * LATENCY_S, answered)

    def _assign(self, event: Assign) -> None:
        # what was revoked or lost since is not begun with
        for tp in event.partitions & self.machine.owned:
            if any(isinstance(one, (Revoke, Lost)) and tp in one.partitions for one in self.events):
                continue
            self.positions[tp] = self.world.coordinator.committed.get(tp, 0)
            self.delivering.add(tp)

    def _decide(self, event: Decide) -> None:
        members, bad = readable(event.members, event.protocol)
        assert not bad
        counts = {topic: range(self.world.topics[topic]) for topic in wanted_topics(members) if topic in self.world.topics}
        self.machine.decided(event.number, decide(ASSIGNORS[event.protocol], members, counts))

    def _look_up(self, event: LookUp) -> None:
        # metadata may be older than the assignment: one of them is not found this time
        names = {topic_id: self.world.coordinator.names[topic_id] for topic_id in sorted(event.topic_ids)}
        if self.world.random.random() < 0.2:
            names.popitem()
        self.machine.learn(names, self.clock())

    def _nothing(self, event: Any) -> None:
        (self.ended if isinstance(event, Ended) else self.rebalances).append(event)

    def _lost(self, event: Any) -> None:
        for tp in event.partitions:
            self.positions.pop(tp, None)

    def jump(self, seconds: float) -> None:
        """Have its clock run ahead, as that of a machine that was put to sleep."""
        self.ahead_s += seconds
        self.world.note(f"{self}: its clock jumps by {seconds} s")
        self.drive()

    def subscribe(self, topics: list[str]) -> None:
        self.machine.subscribe(topics, self.clock())
        self.drive()

    def take_messages(self, reading: bool) -> None:
        """Have its user take messages, or none."""
        begins, self.reading = reading and not self.reading, reading
        if begins:
            self.read()
            self.drive()

    def read(self) -> None:
        """Take some messages every now and then, for as long as the member lives."""
        if not self.alive or not self.reading or self.machine.state == ENDED:
            return
        self._reads += 1
        self.world.at(0.5, partial(self._read_again, self._reads))
        if self.frozen:
            return
        self.machine.active(self.clock())
        self.drive()
        for tp in self.delivering:
            self.positions[tp] += self.world.random.randrange(3)
        if self.world.random.random() < 0.3:
            self._commit(set(self.delivering), self.machine.generation)

    def _read_again(self, number: int) -> None:
        if number == self._reads:
            self.read()

    def _commit(self, partitions: set[TopicPartition], generation: int) -> None:
        """Send a commit that takes its time, and may be too late."""
        offsets = {tp: self.positions[tp] for tp in partitions if tp in self.positions}
        member_id = self.machine.member_id

        def arrive() -> None:
            coordinator = self.world.coordinator
            before = coordinator.committed
            coordinator.commit(member_id, generation, offsets, self.world.now)
            after = coordinator.committed
            back = [tp for tp in before if after[tp] < before[tp]]
            assert not back, f"{self} took the commit of {back} back"

        if offsets:
            # on one connection, nothing overtakes
            self._commit_arrives_at = max(self._commit_arrives_at, self.world.now + self.world.latency())
            self.world.at(self._commit_arrives_at - self.world.now, arrive)

    def on_reply(self, ask: Ask, reply: Any) -> None:
        self.when_awake(lambda: self.machine.on_reply(ask, reply, self.clock()))

    def on_failure(self, ask: Ask, error: KafkaException) -> None:
        self.when_awake(lambda: self.machine.on_failure(ask, error, self.clock()))

    def when_awake(self, step: Callable[[], None]) -> None:
        """Take a step, now or as soon as the process goes on, and what follows from it."""
        if self.frozen:
            self._waiting.append(step)
        elif self.alive:
            step()
            self.drive()

    def freeze(self, seconds: float) -> None:
        """Have the process stand still for so long, while all others go on."""
        self.frozen = True
        self.wakes_at = NEVER
        self.world.note(f"{self} stands still")
        self.world.at(seconds, self._thaw)

    def _thaw(self) -> None:
        self.frozen = False
        self.world.note(f"{self} goes on")
        waiting, self._waiting = self._waiting, []
        if self.alive and not waiting:
            self.drive()
        for step in waiting:
            # what has arrived comes before anything that is due
            self.when_awake(step)


_WORK: dict[type, Callable[[Member, Any], None]] = {
    Revoke: Member._revoke,
    Assign: Member._assign,
    Lost: Member._lost,
    Decide: Member._decide,
    LookUp: Member._look_up,
    Keep: Member._nothing,
    Ended: Member._nothing,
    Rebalanced: Member._nothing,
}
