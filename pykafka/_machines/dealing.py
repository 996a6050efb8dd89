"""Sorts queued rows by partition, whole columns at a time; order within a partition is the order of the queue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Callable

from ..partitioners import HashingPartitioner, RandomPartitioner
from ..records.message import QueuedMessage

Groups = list[tuple[int, list[QueuedMessage]]]
Deal = Callable[[list[QueuedMessage], Sequence[int]], Groups]


def in_turn(partitioner: RandomPartitioner) -> Deal:
    """Return a dealer that gives each partition every n-th row: exactly what asking the partitioner per row gives."""

    def deal(rows: list[QueuedMessage], partition_ids: Sequence[int]) -> Groups:
        count = len(partition_ids)
        first = partitioner.advance(len(rows))
        # hot: row j has turn first + j, so partition k gets the rows whose j is k - first, modulo the count
        groups = [(partition_id, rows[(k - first) % count :: count]) for k, partition_id in enumerate(partition_ids)]
        return [group for group in groups if group[1]]

    return deal


def by_hash(partitioner: HashingPartitioner) -> Deal:
    """Return a dealer that hashes the keys of all rows at once; only for hashes of our own."""

    def deal(rows: list[QueuedMessage], partition_ids: Sequence[int]) -> Groups:
        keys = [row.partition_key for row in rows]
        return _group(rows, partitioner.assign(keys, partition_ids))  # type: ignore[arg-type]  # produce() refused None

    return deal


def as_chosen(rows: list[QueuedMessage], partition_ids: Sequence[int]) -> Groups:
    """Return rows by the partition that the caller's own partitioner chose in ``produce()``."""
    return _group(rows, [row._origin.partition_id for row in rows])


def _group(rows: list[QueuedMessage], chosen: list[int]) -> Groups:
    groups: dict[int, list[QueuedMessage]] = {partition_id: [] for partition_id in set(chosen)}
    add = {partition_id: group.append for partition_id, group in groups.items()}
    for row, partition_id in zip(rows, chosen):  # hot: per message
        add[partition_id](row)
    return sorted(groups.items())
