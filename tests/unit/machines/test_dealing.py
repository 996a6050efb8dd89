"""Rows sorted by partition, a column at a time: exactly what asking the partitioner about each row would give."""

from __future__ import annotations

from typing import Optional

from hypothesis import given, settings
from hypothesis import strategies as st

from pykafka._machines.dealing import Groups, as_chosen, by_hash, in_turn
from pykafka.partitioners import HashingPartitioner, RandomPartitioner, murmur2_partitioner
from pykafka.records.message import Origin, QueuedMessage

partition_lists = st.lists(st.integers(0, 50), min_size=1, max_size=9, unique=True).map(sorted)


def rows(count: int, keys: Optional[list[bytes]] = None) -> list[QueuedMessage]:
    """Return rows whose values are their numbers."""
    return [QueuedMessage(b"%d" % number, keys[number] if keys else None, 0, None, None, Origin()) for number in range(count)]


def by_asking(queue: list[QueuedMessage], chosen: list[int]) -> dict[int, list[QueuedMessage]]:
    """Return the rows of each partition when each row was asked about."""
    groups: dict[int, list[QueuedMessage]] = {}
    for row, partition_id in zip(queue, chosen):
        groups.setdefault(partition_id, []).append(row)
    return groups


def as_dict(groups: Groups) -> dict[int, list[QueuedMessage]]:
    """Return groups by partition; none may be empty or come twice."""
    assert all(group for _partition_id, group in groups)
    assert len({partition_id for partition_id, _group in groups}) == len(groups)
    return dict(groups)


@given(partition_lists, st.lists(st.integers(0, 40), max_size=6))
@settings(max_examples=80, deadline=None, database=None)
def test_dealing_in_turn_is_what_asking_the_partitioner_per_row_gives(partition_ids: list[int], collections: list[int]) -> None:
    dealer, asked = in_turn(RandomPartitioner()), RandomPartitioner()
    for count in collections:
        queue = rows(count)
        assert as_dict(dealer(queue, partition_ids)) == by_asking(queue, [asked(partition_ids) for _ in queue])


def test_turns_go_on_when_partitions_are_added() -> None:
    partitioner, asked = RandomPartitioner(), RandomPartitioner()
    dealer = in_turn(partitioner)
    for partition_ids in ([0, 1], [0, 1, 2, 3, 4]):
        queue = rows(7)
        assert as_dict(dealer(queue, partition_ids)) == by_asking(queue, [asked(partition_ids) for _ in queue])


def test_a_dealer_and_the_partitioner_itself_share_their_turns() -> None:
    partitioner = RandomPartitioner()
    in_turn(partitioner)(rows(2), [0, 1, 2])
    assert partitioner([0, 1, 2]) == 0


@given(partition_lists, st.lists(st.binary(max_size=6), max_size=40))
@settings(max_examples=80, deadline=None, database=None)
def test_hashing_all_keys_at_once_is_what_asking_per_key_gives(partition_ids: list[int], keys: list[bytes]) -> None:
    for partitioner in (HashingPartitioner(), murmur2_partitioner):
        queue = rows(len(keys), keys)
        chosen = [partitioner(partition_ids, key) for key in keys]
        assert as_dict(by_hash(partitioner)(queue, partition_ids)) == by_asking(queue, chosen)


def test_rows_go_where_the_callers_own_partitioner_put_them_in_order() -> None:
    queue = rows(5)
    for row, partition_id in zip(queue, [2, 0, 2, 0, 2]):
        row._origin = Origin(b"t", partition_id)
    assert as_chosen(queue, [0, 1, 2]) == [(0, [queue[1], queue[3]]), (2, [queue[0], queue[2], queue[4]])]
