"""How the coordinator shares partitions out among the members of a group of the newer protocol. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Callable, NamedTuple, Optional

from .group_common import Place

#: Member id -> what it is to read.
Target = dict[str, set[Place]]


class Wish(NamedTuple):
    """What a member wants to read, and what it was to read before."""

    topics: frozenset[str]
    before: frozenset[Place] = frozenset()
    instance_id: Optional[str] = None


Wishes = Mapping[str, Wish]
#: Topic -> number of its partitions.
Counts = Mapping[str, int]


def share_by_range(wishes: Wishes, counts: Counts) -> Target:
    """Return runs of each topic's partitions, the members in the order of their instance ids, then of their ids."""
    target: Target = {member: set() for member in wishes}
    order = sorted(wishes, key=lambda member: (wishes[member].instance_id is None, wishes[member].instance_id or member))
    for topic, count in counts.items():
        readers = [member for member in order if topic in wishes[member].topics]
        start = 0
        for place, member in enumerate(readers):
            end = start + count // len(readers) + (1 if place < count % len(readers) else 0)
            target[member].update((topic, number) for number in range(start, end))
            start = end
    return target


def share_uniformly(wishes: Wishes, counts: Counts) -> Target:
    """Return shares that differ by as little as the wishes allow, and in which as little as possible moves."""
    readers = {topic: [member for member in sorted(wishes) if topic in wishes[member].topics] for topic in counts}
    places = [(topic, number) for topic in sorted(counts) if readers[topic] for number in range(counts[topic])]
    had = {place: member for member in sorted(wishes) for place in wishes[member].before}
    target: Target = {member: set() for member in wishes}
    owners: dict[Place, str] = {}

    def give(place: Place, member: str) -> None:
        if place in owners:
            target[owners[place]].discard(place)
        owners[place] = member
        target[member].add(place)

    for place in places:
        if had.get(place) in readers[place[0]]:
            give(place, had[place])
    for place in places:
        if place not in owners:
            give(place, min(readers[place[0]], key=lambda member: len(target[member])))
    _even_out(places, readers, owners, target, give)
    return target


def _even_out(
    places: list[Place],
    readers: Mapping[str, list[str]],
    owners: Mapping[Place, str],
    target: Target,
    give: Callable[[Place, str], None],
) -> None:
    """Move partitions from who has more to who has less, until no single move helps."""
    moved = True
    while moved:
        moved = False
        for place in places:
            least = min(readers[place[0]], key=lambda member: len(target[member]))
            if len(target[owners[place]]) > len(target[least]) + 1:
                give(place, least)
                moved = True


ASSIGNORS: Mapping[str, Callable[[Wishes, Counts], Target]] = {"uniform": share_uniformly, "range": share_by_range}
