"""Which partitions are fetched next, from whom, and what keeps them from it."""

from __future__ import annotations

from typing import Optional

import pytest

from pykafka._machines.fetch_plan import FetchLimits, PartitionFetch, Plan, plan_fetches
from pykafka.common import TopicPartition

#: 1000 bytes may wait to be decoded
LIMITS = FetchLimits(queued_max_messages=100, fetch_memory_bytes=4000)
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


def test_enough_bytes_waiting_in_all_partitions_together_stop_every_fetch() -> None:
    result = plan(fetch(0, messages=3, size=600), fetch(1, messages=1, size=400), fetch(2))
    assert (planned(result), result.starved) == ({}, True)


def test_the_last_half_of_the_room_is_for_partitions_with_nothing_waiting() -> None:
    result = plan(fetch(0, messages=3, size=600), fetch(1, messages=1, size=399), fetch(2))
    assert (planned(result), result.starved) == ({1: [2]}, True)
    assert planned(plan(fetch(0, messages=3, size=300), fetch(1, messages=1, size=200), fetch(2))) == {1: [0, 1, 2]}


@pytest.mark.parametrize("state", ["paused", "failed"])
def test_bytes_that_nobody_takes_count_but_leave_the_others_half_of_the_room(state: str) -> None:
    stuck = fetch(0, messages=1, size=400)
    setattr(stuck, state, True)
    assert planned(plan(stuck, fetch(1, messages=1, size=599), fetch(2))) == {1: [2]}
    assert plan(stuck, fetch(1, messages=1, size=600), fetch(2))[:2] == ({}, True)
    stuck.received_bytes += 1_000_000
    assert planned(plan(stuck, fetch(1, messages=1, size=250))) == {1: [1]}
    assert plan(stuck, fetch(1, messages=1, size=500), fetch(2))[:2] == ({}, True)


def test_however_little_memory_there_is_something_is_fetched() -> None:
    least, one = FetchLimits(queued_max_messages=1, fetch_memory_bytes=1), fetch(0)
    assert planned(plan_fetches([one], lambda _one: 1, least, 0.0)) == {1: [0]}
    one.received, one.received_bytes = one.taken + 1, one.taken_bytes + 1
    assert planned(plan_fetches([one, fetch(1)], lambda _one: 1, least, 0.0)) == {}


def test_all_that_may_be_held_decoded_waiting_and_under_way_is_the_memory_there_is() -> None:
    limits = FetchLimits(queued_max_messages=2000, fetch_memory_bytes=64 << 20)
    for connections in (1, 2, 6, 100):
        under_way = connections * limits.answer_bytes(connections)
        assert limits.decoded_bytes + limits.waiting_bytes + under_way <= limits.fetch_memory_bytes
    assert limits.answer_bytes(100_000) == 65536, "less than that is not worth a request"


def test_a_rewound_partition_is_fetched_once_more_unless_its_log_is_another_one() -> None:
    one = fetch(0, position=50)
    one.in_flight, one.topic_id, question = True, bytes(range(16)), one.question
    one.rewind(20, 2)
    assert (one.position, one.generation, one.in_flight) == (20, 2, False)
    assert one.question > question, "what is under way is dropped"
    assert one.topic_id == bytes(range(16)), "the position is about the same log"
    one.displace()
    one.rewind(10, 3)
    assert (one.position, one.displaced) == (None, True)


def test_taking_makes_room() -> None:
    full = fetch(0, messages=100, size=2000)
    assert plan(full).starved
    full.taken += 1
    full.taken_bytes += 1600
    assert (full.waiting_messages, full.waiting_bytes) == (99, 400)
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
