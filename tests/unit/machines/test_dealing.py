"""Rows sorted by partition, a column at a time: exactly what asking the partitioner about each row would give."""

from __future__ import annotations

from typing import Optional

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pykafka import partitioners
from pykafka._machines.dealing import Deal, as_chosen, by_hash, in_turn
from pykafka._machines.segments import Taken
from pykafka.partitioners import (
    HashingPartitioner,
    Murmur2Partitioner,
    RandomPartitioner,
    murmur2,
    murmur2_partitioner,
    murmur2_together,
)
from pykafka.records.queued import Row

from .making import row, taken_of

partition_lists = st.lists(st.integers(0, 50), min_size=1, max_size=9, unique=True).map(sorted)


def rows(count: int, keys: Optional[list[bytes]] = None) -> Taken:
    """Return so many rows as they are taken out of the queue."""
    return taken_of([row(b"", keys and keys[number]) for number in range(count)])  # type: ignore[arg-type]  # no empty keys


def by_asking(chosen: list[int]) -> dict[int, list[int]]:
    """Return the places of each partition's rows when each row was asked about."""
    groups: dict[int, list[int]] = {}
    for place, partition_id in enumerate(chosen):
        groups.setdefault(partition_id, []).append(place)
    return groups


def as_dict(deal: Deal, count: int) -> dict[int, list[int]]:
    """Return shares by partition; none may be empty or come twice, and each row must be found where it is."""
    shares = deal.shares()
    assert all(places for _partition_id, places in shares)
    found = {partition_id: list(places) for partition_id, places in shares}
    assert len(found) == len(shares)
    assert by_asking([deal.partition_at(place) for place in range(count)]) == found
    return found


@given(partition_lists, st.lists(st.integers(0, 40), max_size=6))
@settings(max_examples=80, deadline=None, database=None)
def test_dealing_in_turn_is_what_asking_the_partitioner_per_row_gives(partition_ids: list[int], collections: list[int]) -> None:
    dealer, asked = in_turn(RandomPartitioner()), RandomPartitioner()
    for count in collections:
        assert as_dict(dealer(rows(count), partition_ids), count) == by_asking([asked(partition_ids) for _ in range(count)])


def test_turns_go_on_when_partitions_are_added() -> None:
    partitioner, asked = RandomPartitioner(), RandomPartitioner()
    dealer = in_turn(partitioner)
    for partition_ids in ([0, 1], [0, 1, 2, 3, 4]):
        assert as_dict(dealer(rows(7), partition_ids), 7) == by_asking([asked(partition_ids) for _ in range(7)])


def test_a_dealer_and_the_partitioner_itself_share_their_turns() -> None:
    partitioner = RandomPartitioner()
    in_turn(partitioner)(rows(2), [0, 1, 2])
    assert partitioner([0, 1, 2]) == 0


@given(partition_lists, st.lists(st.binary(max_size=6), max_size=40))
@settings(max_examples=80, deadline=None, database=None)
def test_hashing_all_keys_at_once_is_what_asking_per_key_gives(partition_ids: list[int], keys: list[bytes]) -> None:
    for partitioner in (HashingPartitioner(), murmur2_partitioner):
        chosen = [partitioner(partition_ids, key) for key in keys]
        assert as_dict(by_hash(partitioner)(rows(len(keys), keys), partition_ids), len(keys)) == by_asking(chosen)


def test_rows_go_where_the_callers_own_partitioner_put_them_in_order() -> None:
    queue: list[Row] = [(b"", None, 0, (None, None, None, partition_id)) for partition_id in [2, 0, 2, 0, 2]]
    deal = as_chosen(taken_of(queue), [0, 1, 2])
    assert as_dict(deal, 5) == {0: [1, 3], 2: [0, 2, 4]}
    assert [partition_id for partition_id, _places in deal.shares()] == [0, 2]


@given(st.integers(0, 40).flatmap(lambda size: st.lists(st.binary(min_size=size, max_size=size), min_size=1, max_size=40)))
@settings(max_examples=150, deadline=None, database=None)
def test_keys_hashed_together_have_the_hash_that_each_has_alone(keys: list[bytes]) -> None:
    assert murmur2_together(keys) == [murmur2(key) & 0x7FFFFFFF for key in keys]


@pytest.mark.parametrize("byte", [0x00, 0x7F, 0x80, 0xFF])
def test_no_key_spills_over_into_its_neighbour(byte: int) -> None:
    for length in range(1, 30):
        keys = [bytes([byte]) * length, bytes([255 - byte]) * length] * 20
        assert murmur2_together(keys) == [murmur2(key) & 0x7FFFFFFF for key in keys]


@pytest.mark.parametrize("bound", [1, 10, 100, 100_000])
def test_keys_of_many_lengths_are_assigned_as_one_by_one_however_few_hashes_are_kept(
    monkeypatch: pytest.MonkeyPatch, bound: int
) -> None:
    monkeypatch.setattr(partitioners, "MAX_REMEMBERED_KEYS", bound)
    partitioner = Murmur2Partitioner()
    for turn in range(4):
        keys = [b"key-%d" % (number * 7 + turn * 50) for number in range(3000 if turn == 2 else 30)] * 2
        keys += [b"k" * number for number in range(260)] + [b"%0300d" % number for number in range(20)]
        assert partitioner.assign(keys, [2, 5, 9]) == [partitioner([2, 5, 9], key) for key in keys]
        assert len(partitioner._hashes) <= bound


def test_keys_that_do_not_come_again_are_not_remembered_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partitioners, "MAX_REMEMBERED_KEYS", 100)
    monkeypatch.setattr(partitioners, "FORGETFUL_FOR_KEYS", 1000)
    partitioner = Murmur2Partitioner()
    sizes = []
    for start in range(0, 3000, 50):
        keys = [b"key-%d" % number for number in range(start, start + 50)]
        assert partitioner.assign(keys, [2, 5, 9]) == [partitioner([2, 5, 9], key) for key in keys]
        sizes.append(len(partitioner._hashes))
    assert sizes[:3] == [50, 100, 50] and sizes[3:23] == [50] * 20  # two fill it, the third is too many
    assert sizes[23:26] == [100, 50, 50]  # it is tried again, in vain again


def test_keys_that_come_again_stay_remembered_although_now_and_then_the_memory_fills_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partitioners, "MAX_REMEMBERED_KEYS", 100)
    partitioner = Murmur2Partitioner()
    usual = [b"key-%d" % number for number in range(40)]
    for turn in range(250):
        partitioner.assign([*usual, b"new-%d" % turn], [2, 5, 9])
        assert partitioner._forgetful_for == 0
    assert set(usual) <= set(partitioner._hashes)


@pytest.mark.parametrize("hot", [[b"few", b"are"], [b"long" * 100 + b"%d" % number for number in range(9)]], ids=["few", "long"])
def test_keys_that_are_hashed_alone_are_remembered_also_where_others_are_not(hot: list[bytes]) -> None:
    partitioner, hashed = Murmur2Partitioner(), list[bytes]()
    partitioner._forgetful_for = partitioners.FORGETFUL_FOR_KEYS
    partitioner._hashes._hash_func = lambda key: hashed.append(key) or murmur2(key) & 0x7FFFFFFF  # type: ignore[func-returns-value]
    for _ in range(10):
        assert partitioner.assign(hot * 3, [2, 5, 9]) == [partitioner([2, 5, 9], key) for key in hot * 3]
    assert hashed == hot
