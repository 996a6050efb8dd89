"""A member by itself, driven by hand: what it asks is answered by the test, and what it tells its consumer is kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Optional, TypeVar

from pykafka._machines.assignors import ASSIGNORS
from pykafka._machines.classic_member import ClassicMember
from pykafka._machines.consumer_member import ConsumerMember
from pykafka._machines.member import (
    FIND_COORDINATOR,
    GIVING_UP,
    Ask,
    Assign,
    Ended,
    Event,
    Lost,
    MemberSettings,
    Owned,
    Rebalanced,
    Revoke,
)
from pykafka._machines.sharing import encode_assignment, protocol_of
from pykafka.common import TopicPartition
from pykafka.protocol.messages import (
    ConsumerGroupHeartbeatResponse,
    FindCoordinatorResponse,
    HeartbeatResponse,
    JoinGroupResponse,
    LeaveGroupResponse,
    SyncGroupResponse,
)

SESSION_S, REBALANCE_S, HEARTBEAT_S = 10.0, 20.0, 2.0
E = TypeVar("E")

IDS = {name.ljust(16).encode(): name for name in ("a", "b", "c")}


def tps(spelled: str) -> Owned:
    """Return partitions of "a0 a1 b0"."""
    return frozenset(TopicPartition(one[0], int(one[1:])) for one in spelled.split())


class Driven:
    """A machine and its clock. What its consumer believes to read has to be what the machine takes it to read, always."""

    def __init__(self, machine: Any) -> None:
        self.machine = machine
        self.now = 100.0
        self.asks: list[Ask] = []
        self.events: list[Event] = []
        #: what a consumer reads that does what it is told
        self.reading: set[TopicPartition] = set()

    def step(self, seconds: float = 0.0) -> None:
        """Let time pass, and the machine do what there is to do."""
        self.now += seconds
        self.asks += self.machine.poll(self.now)
        for event in self.machine.take_events():
            self.events.append(event)
            if isinstance(event, (Revoke, Lost)):
                self.reading -= event.partitions
            elif isinstance(event, Assign):
                assert not event.partitions & self.reading, "it was told to begin with what it reads"
                self.reading |= event.partitions
        machine = self.machine
        assert machine.wake_at() > self.now, f"{machine.state}: it would be polled again at once, for nothing"
        going = machine._given_up if machine.state == GIVING_UP else frozenset()
        assert self.reading == machine.owned - going, (machine.state, self.reading, machine.owned)

    def waiting(self) -> list[str]:
        """Return what has been asked and not been answered."""
        return [ask.api for ask in self.asks]

    def take(self, api: str) -> Ask:
        """Return the only request of that name that waits for an answer; after this, it does not."""
        (ask,) = (one for one in self.asks if one.api == api)
        self.asks.remove(ask)
        return ask

    def answer(self, api: str, reply: Any) -> Ask:
        ask = self.take(api)
        self.machine.on_reply(ask, reply, self.now)
        self.step()
        return ask

    def fail(self, api: str, error: Exception) -> None:
        self.machine.on_failure(self.take(api), error, self.now)
        self.step()

    def told(self, kind: type[E]) -> list[E]:
        """Return the events of that kind that there were since the last look."""
        found = [event for event in self.events if isinstance(event, kind)]
        self.events = [event for event in self.events if not isinstance(event, kind)]
        return found

    def one(self, kind: type[E]) -> E:
        (event,) = self.told(kind)
        return event

    def give_up(self) -> Revoke:
        """Do what the last Revoke asks for."""
        event = self.told(Revoke)[-1]
        self.machine.gave_up(event.number, self.now)
        self.step()
        return event

    # -- how members usually get on -----------------------------------------------------------------------------------

    def start(self) -> Driven:
        self.machine.join(self.now)
        self.step()
        return self

    def find(self, node_id: int = 1) -> Driven:
        """Answer where the coordinator is."""
        self.answer(FIND_COORDINATOR, FindCoordinatorResponse(node_id=node_id, host="h", port=9092))
        return self

    def get_ready(self, share: str = "a0 a1") -> Driven:
        """Bring it to where it reads ``share``."""
        self.start()
        if FIND_COORDINATOR in self.waiting():
            self.find()
        if isinstance(self.machine, ClassicMember):
            if self.machine.settings.instance_id is None:
                self.answer("JoinGroup", join_error(79, "m1"))
            self.answer("JoinGroup", joined())
            self.answer("SyncGroup", synced(share))
        else:
            self.machine.learn(IDS, self.now)
            self.answer("ConsumerGroupHeartbeat", beat(share, epoch=3))
            self.answer("ConsumerGroupHeartbeat", beat(epoch=3))
        assert self.machine.owned == tps(share)
        self.told(Assign), self.told(Rebalanced)
        return self

    def leave(self) -> None:
        """Have it leave, give everything up, and be answered whatever it asks; it has to say that it is gone, once."""
        self.machine.leave(self.now, "stopped")
        self.step()
        while self.machine._revoking is not None:
            self.give_up()
        self.asks = self.asks[-1:]  # whatever else was asked, nobody waits for it any more
        if self.waiting() == ["JoinGroup"] and self.machine.state == "leaving":
            self.answer("JoinGroup", join_error(79, "m1"))  # ... but for its id
        if "LeaveGroup" in self.waiting():
            self.answer("LeaveGroup", LeaveGroupResponse())
        elif self.machine.state == "leaving":
            self.answer("ConsumerGroupHeartbeat", ConsumerGroupHeartbeatResponse(member_epoch=-1))
        assert self.one(Ended).error is None
        assert self.machine.wake_at() == float("inf") and not self.machine.owned
        self.asks.clear()
        self.step(1000.0)
        assert not self.asks


def _settings(**changed: Any) -> MemberSettings:
    times = {"session_timeout_s": SESSION_S, "rebalance_timeout_s": REBALANCE_S, "heartbeat_interval_s": HEARTBEAT_S}
    return MemberSettings("g", **{**times, **changed})


def classic(*offers: str, topics: Sequence[str] = ("a", "b"), **settings: Any) -> Driven:
    """Return a member of the classic protocol, a cooperative one unless it offers something else."""
    protocols = [protocol_of(ASSIGNORS[name]) for name in offers or ("cooperative-sticky",)]
    return Driven(ClassicMember(_settings(**settings), protocols, topics, lambda: 0.5))


def newer(topics: Sequence[str] = ("a", "b"), *, pattern: Optional[str] = None, **settings: Any) -> Driven:
    """Return a member of the newer protocol (KIP-848)."""
    return Driven(ConsumerMember(_settings(**settings), topics, lambda: 0.5, "me", pattern=pattern, assignor="uniform"))


def join_error(code: int, member_id: str = "") -> JoinGroupResponse:
    return JoinGroupResponse(error_code=code, member_id=member_id, protocol_name="", leader="")


def joined(
    member_id: str = "m1", leader: str = "another", generation: int = 3, protocol: str = "cooperative-sticky", **fields: Any
) -> JoinGroupResponse:
    return JoinGroupResponse(generation_id=generation, protocol_name=protocol, leader=leader, member_id=member_id, **fields)


def synced(share: str, code: int = 0) -> SyncGroupResponse:
    return SyncGroupResponse(error_code=code, assignment=encode_assignment(tps(share)))


def calm(code: int = 0) -> HeartbeatResponse:
    return HeartbeatResponse(error_code=code)


def beat(
    share: Optional[str] = None,
    *,
    epoch: int = 3,
    code: int = 0,
    unknown: Iterable[bytes] = (),
    error_message: Optional[str] = None,
) -> Any:
    """Return the answer to a heartbeat of the newer protocol; ``unknown``: ids of topics of which it has partition 0, too."""
    reply = ConsumerGroupHeartbeatResponse(error_code=code, member_id="me", member_epoch=epoch, heartbeat_interval_ms=5000)
    reply.error_message = error_message
    if share is not None:
        row = ConsumerGroupHeartbeatResponse.TopicPartitions
        topics: dict[str, list[int]] = {}
        for topic, number in sorted(tps(share)):
            topics.setdefault(topic, []).append(number)
        rows = [row(topic_id=topic.ljust(16).encode(), partitions=numbers) for topic, numbers in topics.items()]
        rows += [row(topic_id=topic_id, partitions=[0]) for topic_id in unknown]
        reply.assignment = ConsumerGroupHeartbeatResponse.Assignment(topic_partitions=rows)
    return reply
