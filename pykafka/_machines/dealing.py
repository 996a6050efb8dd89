"""Deals queued rows to partitions, whole columns at a time; order within a partition is the order of the queue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Callable, NamedTuple, Protocol

from ..partitioners import HashingPartitioner, RandomPartitioner
from ..records.queued import PARTITION
from .segments import Taken

#: (partition id, places of its rows in the queue, in order)
Share = tuple[int, Sequence[int]]


class Deal(Protocol):
    """Which row went to which partition."""

    def shares(self) -> list[Share]:
        """Return the rows of every partition that got any."""

    def partition_at(self, place: int) -> int:
        """Return the partition of the row at ``place``."""


#: (rows, the ids of the partitions in order) -> Deal
Dealer = Callable[[Taken, Sequence[int]], Deal]


class InTurn(NamedTuple):
    """Every partition gets each n-th row."""

    length: int
    first: int
    partition_ids: Sequence[int]

    def shares(self) -> list[Share]:
        """Return the rows of every partition that got any."""
        step = len(self.partition_ids)
        # row j has turn first + j, so partition k gets the rows whose j is k - first, modulo the number of partitions
        all_shares = [(pid, range((k - self.first) % step, self.length, step)) for k, pid in enumerate(self.partition_ids)]
        return [(partition_id, places) for partition_id, places in all_shares if places]

    def partition_at(self, place: int) -> int:
        """Return the partition of the row at ``place``."""
        return self.partition_ids[(self.first + place) % len(self.partition_ids)]


class OneByOne(NamedTuple):
    """A partition was chosen for each row."""

    chosen: list[int]

    def shares(self) -> list[Share]:
        """Return the rows of every partition that got any."""
        places: dict[int, list[int]] = {partition_id: [] for partition_id in set(self.chosen)}
        add = {partition_id: some.append for partition_id, some in places.items()}
        for place, partition_id in enumerate(self.chosen):  # hot: per message
            add[partition_id](place)
        return sorted(places.items())

    def partition_at(self, place: int) -> int:
        """Return the partition of the row at ``place``."""
        return self.chosen[place]


def in_turn(partitioner: RandomPartitioner) -> Dealer:
    """Return a dealer that gives each partition every n-th row: exactly what asking the partitioner per row gives."""
    return lambda taken, partition_ids: InTurn(len(taken), partitioner.advance(len(taken)), partition_ids)


def one_in_turn(partitioner: RandomPartitioner) -> Dealer:
    """Return a dealer for one row at a time, which takes no lock; they have their turns among themselves."""
    return lambda taken, partition_ids: InTurn(1, next(partitioner.lone_turns), partition_ids)


def by_hash(partitioner: HashingPartitioner) -> Dealer:
    """Return a dealer that hashes the keys of all rows at once; only for hashes of our own."""

    def deal(taken: Taken, partition_ids: Sequence[int]) -> Deal:
        # produce() refused messages without a key
        return OneByOne(partitioner.assign(taken.keys, partition_ids))  # type: ignore[arg-type]

    return deal


def as_chosen(taken: Taken, partition_ids: Sequence[int]) -> Deal:
    """Return rows by the partition that the caller's own partitioner chose in ``produce()``."""
    assert taken.extras is not None
    return OneByOne([extra[PARTITION] for extra in taken.extras if extra is not None])
