"""Sharing out: like Java where members of other clients rely on it, fair and calm everywhere."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pykafka._machines.assignors import (
    ASSIGNORS,
    COOPERATIVE_STICKY,
    RANGE,
    ROUNDROBIN,
    STICKY,
    Assignor,
    MemberSubscription,
    Shares,
    claims,
    in_order,
)
from pykafka.common import TopicPartition

TOPICS = ("a", "b", "c")


def members(**topics: str) -> dict[str, MemberSubscription]:
    """Return members that want topics of one letter each."""
    return {member: MemberSubscription(tuple(wanted)) for member, wanted in topics.items()}


def numbers(**counts: int) -> dict[str, list[int]]:
    """Return topics with so many partitions."""
    return {topic: list(range(count)) for topic, count in counts.items()}


def names(shares: Shares) -> dict[str, str]:
    """Return member -> its partitions as "a0 a1"."""
    return {member: " ".join(f"{topic}{number}" for topic, number in share) for member, share in shares.items()}


# -- as Java's: the examples of its own documentation, and their like ---------------------------------------------------


def test_range_gives_each_topic_in_runs_and_the_first_members_one_more() -> None:
    shares = RANGE.assign(members(m1="ab", m2="ab"), numbers(a=3, b=3))
    assert names(shares) == {"m1": "a0 a1 b0 b1", "m2": "a2 b2"}


def test_range_shares_a_topic_among_those_only_that_want_it() -> None:
    shares = RANGE.assign(members(m1="a", m2="ab", m3="b"), numbers(a=5, b=2))
    assert names(shares) == {"m1": "a0 a1 a2", "m2": "a3 a4 b0", "m3": "b1"}


def test_range_leaves_members_idle_when_there_are_more_than_partitions() -> None:
    assert names(RANGE.assign(members(m1="a", m2="a", m3="a"), numbers(a=2))) == {"m1": "a0", "m2": "a1", "m3": ""}


def test_partitions_are_ordered_as_numbers_not_as_text() -> None:
    shares = RANGE.assign(members(m1="a", m2="a"), numbers(a=12))
    assert names(shares)["m1"] == "a0 a1 a2 a3 a4 a5"


def test_roundrobin_deals_out_all_topics_in_one_go() -> None:
    shares = ROUNDROBIN.assign(members(m1="ab", m2="ab"), numbers(a=3, b=3))
    assert names(shares) == {"m1": "a0 a2 b1", "m2": "a1 b0 b2"}


def test_roundrobin_passes_over_members_that_do_not_want_a_topic() -> None:
    shares = ROUNDROBIN.assign(members(m1="a", m2="ab", m3="abc"), numbers(a=1, b=2, c=3))
    assert names(shares) == {"m1": "a0", "m2": "b0", "m3": "b1 c0 c1 c2"}


def test_static_members_come_first_in_the_order_of_their_instance_ids() -> None:
    wanted = {
        "x-1": MemberSubscription(("a",)),
        "a-2": MemberSubscription(("a",), instance_id="z"),
        "q-3": MemberSubscription(("a",), instance_id="b"),
    }
    assert in_order(wanted) == ["q-3", "a-2", "x-1"]
    assert names(RANGE.assign(wanted, numbers(a=3))) == {"q-3": "a0", "a-2": "a1", "x-1": "a2"}


# -- what holds for every one of them -----------------------------------------------------------------------------------

subscriptions = st.lists(st.sets(st.sampled_from(TOPICS), min_size=1), min_size=1, max_size=7)
counts = st.fixed_dictionaries({topic: st.integers(0, 13) for topic in TOPICS})


def wanting(topics: list[set[str]]) -> dict[str, MemberSubscription]:
    return {f"m{number:02d}": MemberSubscription(tuple(sorted(wanted))) for number, wanted in enumerate(topics)}


@pytest.mark.parametrize("assignor", ASSIGNORS.values(), ids=ASSIGNORS)
@settings(deadline=None)  # machines that test are busy
@given(topics=subscriptions, sizes=counts, seed=st.randoms(use_true_random=False))
def test_everything_wanted_has_exactly_one_reader_who_wants_it(
    assignor: Assignor, topics: list[set[str]], sizes: dict[str, int], seed: Random
) -> None:
    group, there = wanting(topics), numbers(**sizes)
    shares = assignor.assign(group, there)
    wanted = {topic for one in group.values() for topic in one.topics}
    assert Counter(tp for share in shares.values() for tp in share) == Counter(
        TopicPartition(topic, number) for topic in wanted for number in there[topic]
    )
    assert all(tp.topic in group[member].topics for member, share in shares.items() for tp in share)
    shuffled = list(group.items())
    seed.shuffle(shuffled)
    mixed = {topic: seed.sample(ids, len(ids)) for topic, ids in there.items()}
    assert assignor.assign(dict(shuffled), mixed) == shares


@settings(deadline=None)
@given(topics=subscriptions, sizes=counts)
def test_a_sticky_share_cannot_be_made_more_even_by_moving_one_partition(topics: list[set[str]], sizes: dict[str, int]) -> None:
    group = wanting(topics)
    shares = STICKY.assign(group, numbers(**sizes))
    for member, share in shares.items():
        for tp in share:
            for other in group:
                if tp.topic in group[other].topics:
                    assert len(share) <= len(shares[other]) + 1, (member, other, tp)


def owning(shares: Shares, generation: int = 1, topics: tuple[str, ...] = TOPICS) -> dict[str, MemberSubscription]:
    """Return the members as they join the next time, with what they were given."""
    return {member: MemberSubscription(topics, tuple(share), generation) for member, share in shares.items()}


@settings(deadline=None)
@given(size=st.integers(1, 9), sizes=counts, leave=st.integers(0, 8), join=st.integers(0, 4))
def test_as_little_as_possible_moves_when_members_come_and_go(size: int, sizes: dict[str, int], leave: int, join: int) -> None:
    there = numbers(**sizes)
    total = sum(sizes.values())
    before = STICKY.assign({f"m{n}": MemberSubscription(TOPICS) for n in range(size)}, there)
    group = owning(before)
    for number in range(min(leave, size - 1)):
        del group[f"m{number}"]
    group.update({f"n{number}": MemberSubscription(TOPICS) for number in range(join)})
    after = STICKY.assign(group, there)
    kept = sum(len(set(after[member]) & set(before.get(member, ()))) for member in group)
    # whoever stays keeps what a fair share allows: more is impossible
    each, extra = divmod(total, len(group))
    sizes_before = sorted((len(before.get(member, ())) for member in group), reverse=True)
    assert kept == sum(min(had, each + (place < extra)) for place, had in enumerate(sizes_before))
    assert max(map(len, after.values())) - min(map(len, after.values())) <= 1


@settings(deadline=None)
@given(topics=subscriptions, sizes=counts)
def test_nothing_moves_in_a_group_that_stays_as_it_is(topics: list[set[str]], sizes: dict[str, int]) -> None:
    group, there = wanting(topics), numbers(**sizes)
    shares = STICKY.assign(group, there)
    same = {member: one._replace(owned=tuple(shares[member]), generation=1) for member, one in group.items()}
    assert {member: set(share) for member, share in STICKY.assign(same, there).items()} == {
        member: set(share) for member, share in shares.items()
    }


@settings(deadline=None)
@given(size=st.integers(1, 6), sizes=counts, join=st.integers(0, 4))
def test_a_cooperative_group_settles_in_two_rounds_and_nothing_has_two_readers_meanwhile(
    size: int, sizes: dict[str, int], join: int
) -> None:
    there = numbers(**sizes)
    first = COOPERATIVE_STICKY.assign({f"m{n}": MemberSubscription(TOPICS) for n in range(size)}, there)
    group = {**owning(first), **{f"n{number}": MemberSubscription(TOPICS) for number in range(join)}}
    second = COOPERATIVE_STICKY.assign(group, there)
    for member, share in second.items():
        for tp in set(share) - set(group[member].owned):
            assert all(tp not in group[other].owned for other in group if other != member)
    # who had to give something up joins again without it
    third = COOPERATIVE_STICKY.assign(owning(second, 2), there)
    assert sum(map(len, third.values())) == sum(sizes.values())
    assert max(map(len, third.values())) - min(map(len, third.values())) <= 1
    for member, share in second.items():
        assert set(share) <= set(third[member])


def test_of_two_who_say_to_own_a_partition_the_one_with_the_newer_generation_is_believed() -> None:
    tp = TopicPartition("a", 0)
    zombie = MemberSubscription(("a",), (tp,), generation=3)
    alive = MemberSubscription(("a",), (tp,), generation=4)
    assert claims({"m1": zombie, "m2": alive}) == {tp: {"m2"}}
    assert names(STICKY.assign({"m1": zombie, "m2": alive}, numbers(a=1))) == {"m1": "", "m2": "a0"}


def test_a_partition_that_two_claim_in_the_same_generation_is_given_to_nobody_before_they_let_go() -> None:
    tp = TopicPartition("a", 0)
    both = MemberSubscription(("a",), (tp,), generation=3)
    assert names(COOPERATIVE_STICKY.assign({"m1": both, "m2": both, "m3": both._replace(owned=())}, numbers(a=1))) == {
        "m1": "",
        "m2": "",
        "m3": "",
    }


def test_what_members_say_of_topics_that_are_gone_counts_for_nothing() -> None:
    owned = (TopicPartition("a", 7), TopicPartition("z", 0))
    assert names(STICKY.assign({"m1": MemberSubscription(("a",), owned, 1)}, numbers(a=1))) == {"m1": "a0"}
