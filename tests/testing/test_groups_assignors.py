"""How the coordinator shares out: everything, once, to who wants it, evenly, and with little that moves."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykafka.testing.assignors import ASSIGNORS, Wish, share_by_range, share_uniformly


def test_ranges_are_in_the_order_of_instance_ids_and_then_of_member_ids() -> None:
    wishes = {
        "z": Wish(frozenset("ab"), instance_id="1"),
        "c": Wish(frozenset("a")),
        "b": Wish(frozenset("ab")),
    }
    assert share_by_range(wishes, {"a": 5, "b": 3}) == {
        "z": {("a", 0), ("a", 1), ("b", 0), ("b", 1)},
        "b": {("a", 2), ("a", 3), ("b", 2)},
        "c": {("a", 4)},
    }


@pytest.mark.parametrize("name", ASSIGNORS)
@given(seed=st.integers(0, 2**32))
def test_everything_that_somebody_wants_has_one_reader_who_wants_it(name: str, seed: int) -> None:
    chance = Random(seed)
    counts = {topic: chance.randrange(7) for topic in "abc"}
    wishes = {f"m{number}": Wish(frozenset(chance.choices("abcd", k=3))) for number in range(chance.randrange(5))}
    target = ASSIGNORS[name](wishes, counts)
    topics = [topic for topic in "abc" if any(topic in wish.topics for wish in wishes.values())]
    wanted = [(topic, number) for topic in topics for number in range(counts[topic])]
    assert sorted(place for places in target.values() for place in places) == wanted
    assert all(place[0] in wishes[member].topics for member, places in target.items() for place in places)


@given(seed=st.integers(0, 2**32))
def test_uniform_shares_are_even_and_only_what_must_moves(seed: int) -> None:
    chance = Random(seed)
    counts = {topic: chance.randrange(1, 9) for topic in "ab"}
    wishes = {f"m{number}": Wish(frozenset("ab")) for number in range(chance.randrange(1, 6))}
    before = share_uniformly(wishes, counts)
    assert max(map(len, before.values())) - min(map(len, before.values())) <= 1
    again = {member: Wish(wish.topics, frozenset(before[member])) for member, wish in wishes.items()}
    assert share_uniformly(again, counts) == before
    again["new"] = Wish(frozenset("ab"))
    after = share_uniformly(again, counts)
    assert max(map(len, after.values())) - min(map(len, after.values())) <= 1
    assert all(after[member] <= before[member] for member in before), "only the new member is given anything"
