"""Which partitions are fetched next, from whom, and what keeps them from it."""

from __future__ import annotations

from typing import Optional

import pytest

from pykafka._machines.fetch_plan import FetchLimits, PartitionFetch, Plan, plan_fetches
from pykafka.common import TopicPartition

LIMITS = FetchLimits(queued_max_messages=100, fetch_memory_bytes=1000)
NEVER = float("inf")


def fetch(partition_id: int, position: Optional[int] = 0, messages: int = 0, size: int = 0) -> PartitionFetch:
    """Return a partition with so much fetched and not yet taken."""
    made = PartitionFetch(TopicPartition("t", partition_id))
    made.seek(position, 1)
    made.received, made.received_bytes = messages + 7, size + 70
    made.taken, made.taken_bytes = 7, 70
    return made


def plan(*fetches: PartitionFetch, leaders: Optional[dict[int, int]] = None, now: float = 0.0) -> Plan:
    """Return the plan; every partition is led by broker 1 unless ``leaders`` says otherwise."""
    ids = {one.tp.partition: 1 for one in fetches} if leaders is None else leaders
    return plan_fetches(fetches, lambda one: ids.get(one.tp.partition), LIMITS, now)


def planned(result: Plan) -> dict[int, list[int]]:
    """Return leader -> partition numbers."""
    return {leader: [one.tp.partition for one in fetches] for leader, fetches in result.by_broker.items()}


def test_each_partition_is_fetched_from_its_leader_in_the_order_given() -> None:
    result = plan(fetch(2), fetch(0), fetch(1), leaders={0: 1, 1: 5, 2: 1})
    assert planned(result) == {1: [2, 0], 5: [1]}
    assert result[1:] == (False, False, NEVER)


@pytest.mark.parametrize("state", ["in_flight", "paused", "failed"])
def test_a_partition_that_is_busy_paused_or_failed_is_left_alone(state: str) -> None:
    idle = fetch(0)
    setattr(idle, state, True)
    result = plan(idle, fetch(1))
    assert planned(result) == {1: [1]}
    assert result[1:] == (False, False, NEVER)


def test_nothing_is_fetched_before_it_is_known_where_to_start() -> None:
    assert planned(plan(PartitionFetch(TopicPartition("t", 0)), fetch(1, position=None), fetch(2, position=0))) == {1: [2]}


def test_a_partition_that_has_to_wait_is_planned_when_its_time_has_come() -> None:
    late, later = fetch(0), fetch(1)
    late.not_before, later.not_before = 5.0, 9.0
    assert plan(late, later, now=4.9)[:1] + plan(late, later, now=4.9)[3:] == ({}, 5.0)
    due = plan(late, later, now=5.0)
    assert (planned(due), due.wake_at) == ({1: [0]}, 9.0)


def test_who_may_not_be_fetched_anyway_wakes_nobody() -> None:
    paused = fetch(0)
    paused.paused, paused.not_before = True, 5.0
    assert plan(paused).wake_at == NEVER


def test_a_partition_without_a_leader_asks_for_fresh_metadata() -> None:
    result = plan(fetch(0), leaders={})
    assert (planned(result), result.leaderless) == ({}, True)


@pytest.mark.parametrize(("waiting", "starved"), [(99, False), (100, True)])
def test_a_partition_with_enough_messages_waiting_is_not_fetched(waiting: int, starved: bool) -> None:
    result = plan(fetch(0, messages=waiting))
    assert (planned(result), result.starved) == ({} if starved else {1: [0]}, starved)


def test_enough_bytes_waiting_in_all_partitions_together_stop_those_that_have_some() -> None:
    result = plan(fetch(0, messages=3, size=600), fetch(1, messages=1, size=400), fetch(2))
    assert planned(result) == {1: [2]}, "one with nothing waiting may always be fetched"
    assert result.starved
    assert planned(plan(fetch(0, messages=3, size=600), fetch(1, messages=1, size=399))) == {1: [0, 1]}


def test_bytes_of_paused_partitions_count_too() -> None:
    paused = fetch(0, messages=1, size=1000)
    paused.paused = True
    assert plan(paused, fetch(1, messages=1)).starved


def test_taking_makes_room() -> None:
    full = fetch(0, messages=100, size=2000)
    assert plan(full).starved
    full.taken += 1
    full.taken_bytes += 1500
    assert (full.waiting_messages, full.waiting_bytes) == (99, 500)
    assert planned(plan(full)) == {1: [0]}


def test_a_seek_frees_a_partition_from_everything_that_held_it() -> None:
    stuck = fetch(0)
    stuck.in_flight = stuck.failed = True
    stuck.not_before = 100.0
    stuck.seek(42, 2)
    assert planned(plan(stuck)) == {1: [0]}
    assert (stuck.position, stuck.generation) == (42, 2)


def test_a_seek_does_not_resume_what_is_paused() -> None:
    paused = fetch(0)
    paused.paused = True
    paused.seek(42, 2)
    assert planned(plan(paused)) == {}
