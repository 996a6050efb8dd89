"""Members of a group under any interleaving (property P12 of docs/hostile_bytes.rst), so that a failure is made small.

:mod:`.test_group_simulation` plays thousands of random stories; here hypothesis chooses what happens next, and takes away from a
failing story what it does not need. The world looks after every event: a partition is never delivered by two members that both
count, and with every commit: none goes back.
"""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pykafka._machines.assignors import ASSIGNORS
from pykafka._machines.member import ENDED, JOINING, Decide, Lost

from .driven import HEARTBEAT_S, calm, classic, joined, tps
from .simulated_group import REBALANCE_S, SESSION_S, Classic, Kind, Member, Newer, World
from .test_group_simulation import TOPICS, assert_all_is_read, assert_one_owner_in_every_generation, settle, taking_part

KINDS: dict[str, Kind] = {
    "range": Classic(ASSIGNORS["range"]),
    "cooperative-sticky": Classic(ASSIGNORS["cooperative-sticky"]),
    "newer, uniform": Newer("uniform"),
    "newer, range": Newer("range"),
}


class Group(RuleBasedStateMachine):
    """A group, its coordinator, and a network that loses and delays."""

    def __init__(self) -> None:
        super().__init__()
        self.world: Any = None

    @initialize(kind=st.sampled_from(sorted(KINDS)), seed=st.integers(0, 2**16), lossy=st.booleans())
    def begin(self, kind: str, seed: int, lossy: bool) -> None:
        """Begin with one member."""
        self.world = World(seed, KINDS[kind], TOPICS, lossy=lossy)
        self.world.add()

    @property
    def members(self) -> list[Member]:
        """Return who takes part."""
        return [] if self.world is None else taking_part(self.world)

    @precondition(lambda self: len(self.members) < 5)
    @rule(slow_s=st.sampled_from([0.01, 0.2, 2.0, REBALANCE_S * 1.25]), max_poll_s=st.sampled_from([5.0, 300.0]))
    def add(self, slow_s: float, max_poll_s: float) -> None:
        """Have another member, whose user may be slower than a rebalance allows."""
        self.world.add(slow_s=slow_s, max_poll_interval_s=max_poll_s)

    @precondition(lambda self: self.members)
    @rule(what=st.sampled_from([Member.stop, Member.crash]), data=st.data())
    def lose(self, what: Any, data: st.DataObject) -> None:
        """Have a member leave, or be gone without a word."""
        what(self._one(data))

    def _one(self, data: st.DataObject) -> Member:
        return self.members[data.draw(st.integers(0, len(self.members) - 1))]

    @precondition(lambda self: self.members)
    @rule(data=st.data(), seconds=st.sampled_from([1.0, SESSION_S, 3 * SESSION_S]))
    def freeze(self, data: st.DataObject, seconds: float) -> None:
        """Have a member's process stand still."""
        member = self._one(data)
        if not member.frozen:
            member.freeze(seconds)

    @precondition(lambda self: self.members)
    @rule(data=st.data(), topics=st.sampled_from([["a"], ["b"], ["a", "b"]]))
    def subscribe(self, data: st.DataObject, topics: list[str]) -> None:
        """Have a member want other topics."""
        member = self._one(data)
        if not member.frozen:
            member.subscribe(topics)

    @precondition(lambda self: self.members)
    @rule(data=st.data(), reading=st.booleans())
    def take_messages(self, data: st.DataObject, reading: bool) -> None:
        """Have a user take messages, or none."""
        self._one(data).take_messages(reading)

    @rule()
    def move_coordinator(self) -> None:
        """Have another broker look after the group."""
        self.world.move_coordinator()

    @rule(seconds=st.sampled_from([0.01, 0.1, 0.5, 3.0, SESSION_S]))
    def run(self, seconds: float) -> None:
        """Let time pass."""
        self.world.run(seconds)

    @invariant()
    def one_owner(self) -> None:
        """Look at what the leaders have decided."""
        if self.world is not None:
            assert_one_owner_in_every_generation(self.world)

    def teardown(self) -> None:
        """Let the trouble be over: everything is read, in fair shares."""
        if self.world is None:
            return
        self.world.run(3 * SESSION_S)  # whoever stood still goes on
        for member in self.world.members:
            if member.alive and member.machine.state != ENDED:  # also who is away, and comes back now
                member.take_messages(True)
                member.subscribe(["a", "b"])
        assert_all_is_read(self.world, settle(self.world))
        assert_one_owner_in_every_generation(self.world)


TestGroup = Group.TestCase
TestGroup.settings = settings(max_examples=25, stateful_step_count=25, deadline=None, database=None)


# -- what was found so ------------------------------------------------------------------------------------------------


def test_a_leader_that_cannot_decide_before_the_others_stop_waiting_loses_what_it_has_kept() -> None:
    # its seat is gone by then, and the others have its partitions
    member = classic().get_ready()
    member.step(HEARTBEAT_S)
    member.answer("Heartbeat", calm(27))
    member.answer("JoinGroup", joined(leader="m1", generation=4))
    event, until = member.one(Decide), member.now + REBALANCE_S
    while member.machine.wake_at() < until:
        member.step(member.machine.wake_at() - member.now)
        member.answer("Heartbeat", calm())
        assert member.reading == tps("a0 a1")
    member.step(until - member.now)
    assert "not decided and spread within 20 s" in member.one(Lost).cause
    assert not member.reading and member.machine.state == JOINING
    member.machine.decided(event.number, [("m1", b"")])
    assert member.machine.state == JOINING, "it comes too late"
