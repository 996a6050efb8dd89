"""Several members against the coordinator of the fake cluster, on a network that loses and delays: thousands of
interleavings, and what must hold in all of them. A partition is never delivered by two members that both count (the world
looks after every event), no commit goes back (looked at with every commit), and in the end all of it is read, in fair shares.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Callable

import pytest

from pykafka._machines.assignors import ASSIGNORS
from pykafka._machines.classic_member import AWAY, ENDED
from pykafka.protocol.consumer_group import MemberAssignment

from .simulated_group import REBALANCE_S, SESSION_S, Classic, Kind, Member, Newer, World

TOPICS = {"a": 7, "b": 5}
STORIES = 12
KINDS: dict[str, Kind] = {
    **{name: Classic(assignor) for name, assignor in ASSIGNORS.items()},
    "newer, uniform": Newer("uniform"),
    "newer, range": Newer("range"),
}
#: What members of one group may offer: there is always one that all of them know.
OFFERS = {
    "range and roundrobin": (["range", "roundrobin"], ["roundrobin", "range"], ["roundrobin"]),
    "from eager to cooperative": (["range"], ["cooperative-sticky", "range"]),
    "all that there is": (["sticky", "cooperative-sticky"], ["range", "cooperative-sticky"], ["cooperative-sticky"]),
}


def taking_part(world: World) -> list[Member]:
    """Return who is, or wants to be, a member."""
    return [member for member in world.members if member.alive and member.machine.state not in (AWAY, ENDED)]


def happen(world: World, steps: int, **options: Callable[[], Any]) -> None:
    """Let members come, leave and crash, the coordinator move, and consumers be slower than a rebalance allows."""
    chance = world.random
    for _ in range(steps):
        world.run(chance.uniform(0.0, 8.0))
        members = taking_part(world)
        what = chance.random()
        if what < 0.35 or not members:
            slow_s = chance.choice([0.01, 0.2, 2.0, REBALANCE_S * 1.25])
            world.add(slow_s=slow_s, **{name: choose() for name, choose in options.items()})
        elif what < 0.55:
            chance.choice(members).stop()
        elif what < 0.7:
            chance.choice(members).crash()
        elif what < 0.85:
            world.move_coordinator()


def disturb(world: World) -> None:
    """Have a process stand still, a clock jump, or a member want other topics."""
    chance = world.random
    for member in taking_part(world):
        what = chance.random()
        if what < 0.15 and not member.frozen:
            member.freeze(chance.choice([1.0, SESSION_S, 3 * SESSION_S, 2 * REBALANCE_S]))
        elif what < 0.3:
            member.jump(chance.choice([0.5, SESSION_S, 10 * REBALANCE_S]))
        elif what < 0.45 and not member.frozen:
            member.subscribe(chance.choice([["a"], ["b"], ["a", "b"]]))


def settle(world: World, **options: Any) -> list[Member]:
    """Let everything come to rest; return the members that are left."""
    for member in world.members:
        member.slow_s = 0.2
    world.run(REBALANCE_S * 2 + SESSION_S)
    if not taking_part(world):
        world.add(**options)
    world.lossy = False
    world.run(2 * (REBALANCE_S + SESSION_S))
    return taking_part(world)


def assert_all_is_read(world: World, members: list[Member]) -> None:
    read = [tp for member in members for tp in member.delivering]
    assert sorted(read) == sorted(world.partitions), f"{Counter(read)}\n{world}"
    sizes = [len(member.delivering) for member in members]
    # range is fair for each topic by itself
    assert max(sizes) - min(sizes) <= (len(TOPICS) if world.by_topic else 1), sizes


def assert_one_owner_in_every_generation(world: World) -> None:
    for generation, told in world.coordinator.told.items():
        owned = Counter(
            (topic, number)
            for assignment in told.values()
            for topic, numbers in MemberAssignment.from_bytestring(assignment).partition_assignment
            for number in numbers
        )
        assert not owned or max(owned.values()) == 1, (generation, told)


@pytest.mark.parametrize("name", KINDS)
def test_whatever_happens_every_partition_has_one_reader_and_everybody_a_fair_share(name: str) -> None:
    for seed in range(STORIES):
        world = World(seed, KINDS[name], TOPICS)
        world.add()
        happen(world, steps=12)
        assert_all_is_read(world, settle(world))
        assert_one_owner_in_every_generation(world)


@pytest.mark.parametrize("name", KINDS)
def test_processes_that_stand_still_clocks_that_jump_and_other_topics_do_no_harm(name: str) -> None:
    for seed in range(STORIES // 2):
        world = World(1000 + seed, KINDS[name], TOPICS)
        world.add()
        for _ in range(4):
            happen(world, steps=2)
            disturb(world)
        world.run(2 * REBALANCE_S)  # whoever stood still goes on
        for member in taking_part(world):
            member.subscribe(["a", "b"])
        assert_all_is_read(world, settle(world))
        assert_one_owner_in_every_generation(world)


@pytest.mark.parametrize("offers", OFFERS)
def test_members_that_offer_different_ways_of_sharing_agree(offers: str) -> None:
    for seed in range(STORIES // 2):
        world = World(2000 + seed, Classic(), TOPICS)
        world.add(offers=OFFERS[offers][0])
        happen(world, 10, offers=lambda world=world: world.random.choice(OFFERS[offers]))  # type: ignore[misc]
        assert_all_is_read(world, settle(world, offers=OFFERS[offers][0]))
        assert_one_owner_in_every_generation(world)


def come_back(world: World, holders: dict[str, Member]) -> None:
    """Start those again that could not have their seats: (KIP-848) who crashed keeps it until the session is over."""
    for instance_id in holders:
        while holders[instance_id].ended:
            assert type(holders[instance_id].ended[0].error).__name__ == "UnreleasedInstanceId"
            world.run(SESSION_S / 2)
            holders[instance_id] = world.add(instance_id=instance_id)
            world.run(1.0)


@pytest.mark.parametrize("name", KINDS)
def test_static_members_that_crash_and_come_back_within_the_session_or_after_it_do_no_harm(name: str) -> None:
    for seed in range(STORIES // 2):
        world = World(3000 + seed, KINDS[name], TOPICS)
        chance = world.random
        holders = {f"i-{number}": world.add(instance_id=f"i-{number}") for number in range(3)}
        for _ in range(8):
            world.run(chance.uniform(0.0, 1.5 * SESSION_S))
            instance_id = chance.choice(sorted(holders))
            chance.choice([Member.crash, Member.stop])(holders[instance_id])
            world.run(chance.choice([0.1, SESSION_S / 3, 2 * SESSION_S]))
            holders[instance_id] = world.add(instance_id=instance_id)
            come_back(world, holders)
        world.lossy = False
        world.run(SESSION_S)
        come_back(world, holders)
        members = settle(world)
        assert {member.machine.settings.instance_id for member in members} == set(holders)
        assert_all_is_read(world, members)
        assert_one_owner_in_every_generation(world)


@pytest.mark.parametrize("name", KINDS)
def test_users_that_take_no_messages_for_long_lose_their_share_and_get_it_back(name: str) -> None:
    for seed in range(STORIES // 2):
        world = World(4000 + seed, KINDS[name], TOPICS)
        for _ in range(3):
            world.add(max_poll_interval_s=5.0)
        for _ in range(8):
            world.run(world.random.uniform(0.0, 8.0))
            member = world.random.choice(world.members)
            member.take_messages(not member.reading)
        assert not any(member.ended for member in world.members)
        for member in world.members:
            member.take_messages(True)
        members = settle(world)
        assert len(members) == 3
        assert_all_is_read(world, members)
        assert_one_owner_in_every_generation(world)


@pytest.mark.parametrize("name", KINDS)
def test_stopping_members_leave_one_after_the_other_and_the_last_one_has_everything(name: str) -> None:
    world = World(1, KINDS[name], TOPICS, lossy=False)
    members = [world.add() for _ in range(4)]
    world.run(20)
    for member in members[:-1]:
        member.stop()
        world.run(10)
        assert [one.error for one in member.ended] == [None] and not member.delivering
    assert members[-1].delivering == world.partitions


def kept_through(kind: Kind) -> int:
    """Return how many partitions stay with their member, uninterrupted, while another one joins."""
    world = World(2, kind, TOPICS, lossy=False)
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
    for name in ("cooperative-sticky", "newer, uniform"):
        assert kept_through(KINDS[name]) == len(TOPICS) * 3
    assert kept_through(KINDS["sticky"]) == 0


@pytest.mark.parametrize("seed", range(20))
def test_sticky_members_get_back_what_they_had_when_another_one_leaves_and_when_nobody_comes_or_goes(seed: int) -> None:
    world = World(seed, KINDS["sticky"], TOPICS, lossy=False)
    leaving, *members = [world.add() for _ in range(4)]
    world.run(20)
    first = {member.name: set(member.delivering) for member in members}
    leaving.stop()
    world.run(20)
    before = {member.name: set(member.delivering) for member in members}
    assert all(len(first[name]) == 3 and first[name] < before[name] for name in before)
    generation = members[0].machine.generation
    (leads,) = (member for member in members if member.machine.is_leader)
    leads.machine.rebalance(leads.clock(), "nothing has changed")
    leads.drive()
    world.run(20)
    assert members[0].machine.generation == generation + 1
    assert {member.name: set(member.delivering) for member in members} == before


@pytest.mark.parametrize("name", ["cooperative-sticky", "newer, uniform"])
def test_a_member_whose_user_is_busy_for_too_long_leaves_and_comes_back_when_the_user_does(name: str) -> None:
    world = World(3, KINDS[name], TOPICS, lossy=False)
    busy, other = world.add(max_poll_interval_s=5.0), world.add()
    world.run(20)
    assert len(busy.delivering) == len(other.delivering) == 6
    busy.take_messages(False)
    world.run(10)
    assert busy.machine.state == AWAY and other.delivering == world.partitions
    busy.take_messages(True)
    world.run(20)
    assert len(busy.delivering) == len(other.delivering) == 6
    assert not busy.ended


@pytest.mark.parametrize("name", ["range", "newer, range"])
def test_static_members_come_back_to_what_they_had_without_a_rebalance(name: str) -> None:
    world = World(4, KINDS[name], TOPICS, lossy=False)
    first, second = world.add(instance_id="i-1"), world.add(instance_id="i-2")
    world.run(20)
    had, others, generation = set(first.delivering), set(second.delivering), second.machine.generation
    first.stop()
    world.run(3)
    assert second.delivering == others == world.partitions - had
    assert [one.error for one in first.ended] == [None]
    again = world.add(instance_id="i-1")
    world.run(20)
    assert again.delivering == had
    assert second.machine.generation == generation and second.rebalances[-1].generation == generation


def test_of_two_with_the_same_instance_id_the_older_ends_with_an_error_that_says_so() -> None:
    world = World(5, Classic(ASSIGNORS["range"]), TOPICS, lossy=False)
    older = world.add(instance_id="i-1")
    world.run(10)
    newer = world.add(instance_id="i-1")
    world.run(20)
    (ended,) = older.ended
    assert type(ended.error).__name__ == "FencedInstanceId" and older.machine.state == ENDED and not older.delivering
    assert newer.delivering == world.partitions


@pytest.mark.parametrize("name", ["cooperative-sticky", "range", "newer, uniform"])
def test_other_topics_are_read_after_everybody_was_told(name: str) -> None:
    world = World(6, KINDS[name], TOPICS, lossy=False)
    first, second = world.add(topics=["a"]), world.add()
    world.run(20)
    assert {tp.topic for tp in first.delivering} == {"a"}
    first.subscribe(["b"])
    world.run(20)
    assert {tp.topic for tp in first.delivering} == {"b"}
    assert first.delivering | second.delivering == world.partitions


def test_of_two_newer_ones_with_the_same_instance_id_the_later_is_told_that_it_is_taken() -> None:
    world = World(5, Newer("uniform"), TOPICS, lossy=False)
    older = world.add(instance_id="i-1")
    world.run(10)
    newer = world.add(instance_id="i-1")
    world.run(20)
    (ended,) = newer.ended
    assert type(ended.error).__name__ == "UnreleasedInstanceId" and not newer.delivering
    assert older.delivering == world.partitions and not older.ended


def test_a_member_that_offers_nothing_that_the_others_know_is_told_so_and_disturbs_nobody() -> None:
    world = World(7, Classic(ASSIGNORS["range"]), TOPICS, lossy=False)
    first = world.add()
    world.run(20)
    generation = first.machine.generation
    other = world.add(offers=["cooperative-sticky"])
    world.run(20)
    (ended,) = other.ended
    assert type(ended.error).__name__ == "InconsistentGroupProtocol"
    assert first.machine.generation == generation and first.delivering == world.partitions
