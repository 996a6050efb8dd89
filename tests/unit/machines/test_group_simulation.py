"""Several members against a model coordinator, on a network that loses and delays: thousands of interleavings, and what must
hold in all of them. A partition is never delivered by two members that both count (the world looks after every event), no
commit goes back (looked at with every commit), and in the end all of it is read, in fair shares.
"""

from __future__ import annotations

from collections import Counter

import pytest

from pykafka._machines.assignors import ASSIGNORS, Assignor
from pykafka._machines.classic_member import AWAY, ENDED
from pykafka.protocol.consumer_group import MemberAssignment

from .simulated_group import REBALANCE_S, SESSION_S, Classic, Member, World

TOPICS = {"a": 7, "b": 5}
STORIES = 40


def taking_part(world: World) -> list[Member]:
    """Return who is, or wants to be, a member."""
    return [member for member in world.members if member.alive and member.machine.state not in (AWAY, ENDED)]


def happen(world: World, steps: int) -> None:
    """Let members come, leave and crash, the coordinator move, and consumers be slower than a rebalance allows."""
    chance = world.random
    for _ in range(steps):
        world.run(chance.uniform(0.0, 8.0))
        members = taking_part(world)
        what = chance.random()
        if what < 0.35 or not members:
            world.add(slow_s=chance.choice([0.01, 0.2, 2.0, REBALANCE_S * 1.25]))
        elif what < 0.55:
            chance.choice(members).stop()
        elif what < 0.7:
            chance.choice(members).crash()
        elif what < 0.85:
            world.move_coordinator()


def settle(world: World) -> list[Member]:
    """Let everything come to rest; return the members that are left."""
    for member in world.members:
        member.slow_s = 0.2
    world.run(REBALANCE_S * 2 + SESSION_S)
    if not taking_part(world):
        world.add()
    world.lossy = False
    world.run(2 * (REBALANCE_S + SESSION_S))
    return taking_part(world)


@pytest.mark.parametrize("name", ASSIGNORS)
def test_whatever_happens_every_partition_has_one_reader_and_everybody_a_fair_share(name: str) -> None:
    for seed in range(STORIES):
        world = World(seed, Classic(ASSIGNORS[name]), TOPICS)
        world.add()
        happen(world, steps=12)
        members = settle(world)
        read = [tp for member in members for tp in member.delivering]
        assert sorted(read) == sorted(world.partitions), (seed, Counter(read), world.history[-40:])
        sizes = [len(member.delivering) for member in members]
        # range is fair for each topic by itself
        assert max(sizes) - min(sizes) <= (len(TOPICS) if name == "range" else 1), (seed, sizes)
        assert_one_owner_in_every_generation(world)


def assert_one_owner_in_every_generation(world: World) -> None:
    for generation, told in world.coordinator.told.items():
        owned = Counter(
            (topic, number)
            for assignment in told.values()
            for topic, numbers in MemberAssignment.from_bytestring(assignment).partition_assignment
            for number in numbers
        )
        assert not owned or max(owned.values()) == 1, (generation, told)


@pytest.mark.parametrize("name", ASSIGNORS)
def test_stopping_members_leave_one_after_the_other_and_the_last_one_has_everything(name: str) -> None:
    world = World(1, Classic(ASSIGNORS[name]), TOPICS, lossy=False)
    members = [world.add() for _ in range(4)]
    world.run(20)
    for member in members[:-1]:
        member.stop()
        world.run(10)
        assert [one.error for one in member.ended] == [None] and not member.delivering
    assert members[-1].delivering == world.partitions


def kept_through(assignor: Assignor) -> int:
    """Return how many partitions stay with their member, uninterrupted, while another one joins."""
    world = World(2, Classic(assignor), TOPICS, lossy=False)
    first = world.add()
    world.run(20)
    assert first.delivering == world.partitions
    interrupted: set[object] = set()
    world.add()
    for _ in range(2000):
        world.run(0.01)
        interrupted |= world.partitions - first.delivering
    return len(world.partitions) - len(interrupted)


def test_a_cooperative_group_interrupts_only_what_moves() -> None:
    assert kept_through(ASSIGNORS["cooperative-sticky"]) == len(TOPICS.values()) * 3
    assert kept_through(ASSIGNORS["sticky"]) == 0


def test_a_member_whose_user_is_busy_for_too_long_leaves_and_comes_back_when_the_user_does() -> None:
    world = World(3, Classic(ASSIGNORS["cooperative-sticky"]), TOPICS, lossy=False)
    busy, other = world.add(max_poll_interval_s=5.0), world.add()
    world.run(20)
    assert len(busy.delivering) == len(other.delivering) == 6
    busy.reading = False
    world.run(10)
    assert busy.machine.state == AWAY and other.delivering == world.partitions
    busy.reading = True
    busy.read()
    world.run(20)
    assert len(busy.delivering) == len(other.delivering) == 6
    assert not busy.ended


def test_static_members_come_back_to_what_they_had_without_a_rebalance() -> None:
    world = World(4, Classic(ASSIGNORS["range"]), TOPICS, lossy=False)
    first, second = world.add(instance_id="i-1"), world.add(instance_id="i-2")
    world.run(20)
    had, generation = set(first.delivering), world.coordinator.generation
    first.stop()
    world.run(3)
    assert world.coordinator.generation == generation and len(second.delivering) < len(world.partitions)
    assert [one.error for one in first.ended] == [None]
    again = world.add(instance_id="i-1")
    world.run(20)
    assert again.delivering == had


def test_of_two_with_the_same_instance_id_the_older_ends_with_an_error_that_says_so() -> None:
    world = World(5, Classic(ASSIGNORS["range"]), TOPICS, lossy=False)
    older = world.add(instance_id="i-1")
    world.run(10)
    newer = world.add(instance_id="i-1")
    world.run(20)
    (ended,) = older.ended
    assert type(ended.error).__name__ == "FencedInstanceId" and older.machine.state == ENDED and not older.delivering
    assert newer.delivering == world.partitions


def test_other_topics_are_read_after_everybody_was_told() -> None:
    world = World(6, Classic(ASSIGNORS["cooperative-sticky"]), TOPICS, lossy=False)
    first, second = world.add(topics=["a"]), world.add()
    world.run(20)
    assert {tp.topic for tp in first.delivering} == {"a"}
    first.machine.subscribe(["b"], world.now)
    world.run(20)
    assert {tp.topic for tp in first.delivering} == {"b"}
    assert first.delivering | second.delivering == world.partitions
