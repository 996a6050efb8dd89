"""What can be concluded from the notes of a group's members; pure. See :mod:`benchmarks.group_member` for the notes."""

from __future__ import annotations

import collections
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Optional

#: One line of a member's notes.
Event = dict[str, Any]
#: member -> its notes, in order
Notes = Mapping[str, list[Event]]

NEVER = float("inf")


class Tenure(NamedTuple):
    """One member has one partition, from ``begin`` to ``end`` (seconds)."""

    partition: int
    begin: float
    end: float
    member: str


def tenures(notes: Notes, killed_at: Mapping[str, float]) -> list[Tenure]:
    """Return who had what and when, by what the members were told themselves.

    A partition is begun with after the coordinator has given it, and the end is noted before the coordinator hears of it: so
    two tenures of one partition never overlap unless something is wrong.
    """
    found = []
    for member, events in notes.items():
        begun: dict[int, float] = {}
        for event in events:
            if event["event"] == "assign":
                for partition in event["partitions"]:
                    begun.setdefault(partition, event["at"])
            elif event["event"] in ("revoke", "lost"):
                for partition in event["partitions"]:
                    if partition in begun:
                        found.append(Tenure(partition, begun.pop(partition), event["at"], member))
        end = killed_at.get(member, NEVER)
        found += [Tenure(partition, begin, end, member) for partition, begin in begun.items()]
    return sorted(found)


def overlaps(found: Iterable[Tenure]) -> list[tuple[Tenure, Tenure]]:
    """Return pairs of members that had a partition at the same time."""
    pairs = []
    latest: dict[int, Tenure] = {}
    for tenure in sorted(found):
        before = latest.get(tenure.partition)
        if before is not None and tenure.begin < before.end and tenure.member != before.member:
            pairs.append((before, tenure))
        if before is None or tenure.end > before.end:
            latest[tenure.partition] = tenure
    return pairs


def doubles(notes: Notes) -> list[tuple[int, int, list[str]]]:
    """Return (generation, partition, members) wherever more than one member has said that it has a partition."""
    owners: dict[tuple[int, int], set[str]] = collections.defaultdict(set)
    for member, events in notes.items():
        for event in events:
            if event["event"] == "status" and event["generation"] >= 0:
                for partition in event["owned"]:
                    owners[event["generation"], partition].add(member)
    return [(*key, sorted(members)) for key, members in sorted(owners.items()) if len(members) > 1]


def missing(notes: Notes, ends: Mapping[int, int]) -> dict[int, int]:
    """Return partition -> how many of the offsets before ``ends`` no member has read; only those with any."""
    spans: dict[int, list[tuple[int, int]]] = collections.defaultdict(list)
    for events in notes.values():
        for event in events:
            if event["event"] == "read":
                for partition, first, last in event["spans"]:
                    spans[partition].append((first, last + 1))
    lacking = {}
    for partition, end in ends.items():
        at = lost = 0
        for first, after in sorted(spans[partition]):
            lost += max(0, min(first, end) - at)
            at = max(at, after)
        lost += max(0, end - at)
        if lost:
            lacking[partition] = lost
    return lacking


def read_times(notes: Notes) -> dict[int, list[float]]:
    """Return partition -> when messages of it were delivered, ascending."""
    times: dict[int, list[float]] = collections.defaultdict(list)
    for events in notes.values():
        for event in events:
            if event["event"] == "read":
                for span in event["spans"]:
                    times[span[0]].append(event["at"])
    return {partition: sorted(found) for partition, found in times.items()}


def longest_gap(times: Iterable[float], begin: float, end: float) -> float:
    """Return the longest time between ``begin`` and ``end`` in which nothing happened."""
    inside = [begin, *sorted(at for at in times if begin <= at <= end), end]
    return max(after - before for before, after in zip(inside, inside[1:]))


def settled_at(notes: Notes, alive: Iterable[str], partitions: int) -> Optional[float]:
    """Return since when the members that are alive share everything fairly in one generation; None when they do not."""
    lasts = []
    for member in alive:
        statuses = [event for event in notes.get(member, ()) if event["event"] == "status"]
        if not statuses or statuses[-1]["state"] != "stable":
            return None
        lasts.append(statuses[-1])
    owned = sorted(partition for last in lasts for partition in last["owned"])
    sizes = [len(last["owned"]) for last in lasts]
    if owned != list(range(partitions)) or max(sizes) - min(sizes) > 1 or len({last["generation"] for last in lasts}) > 1:
        return None
    return float(max(last["at"] for last in lasts))


def owners(notes: Notes, alive: Iterable[str]) -> dict[int, str]:
    """Return partition -> the member that has it by its last status."""
    found = {}
    for member in alive:
        statuses = [event for event in notes[member] if event["event"] == "status"]
        found.update(dict.fromkeys(statuses[-1]["owned"], member))
    return found


def generations(notes: Notes, since: float, until: float = NEVER) -> list[int]:
    """Return the generations that members have come into between two moments, each once."""
    seen = [(event["at"], event["generation"]) for events in notes.values() for event in events if event["event"] == "status"]
    before = {generation for at, generation in seen if at < since}
    return sorted({generation for at, generation in seen if since <= at <= until and generation >= 0} - before)


def count(notes: Notes, *events: str) -> int:
    """Return how many of these events there are."""
    return sum(event["event"] in events for lines in notes.values() for event in lines)


def steps_back(commits: Iterable[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """Return (partition, offset before, offset after) wherever a commit, in the coordinator's order, is below the one before."""
    highest: dict[int, int] = {}
    found = []
    for partition, offset in commits:
        if offset < highest.get(partition, 0):
            found.append((partition, highest[partition], offset))
        highest[partition] = max(offset, highest.get(partition, 0))
    return found
