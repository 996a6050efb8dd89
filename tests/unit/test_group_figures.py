"""What is concluded from the notes of a group's members: two owners at a time, losses, gaps, and when it has settled."""

from __future__ import annotations

import struct
from typing import Any

from benchmarks import group_figures as figures
from benchmarks.group_offsets import parsed


def moved(event: str, at: float, *partitions: int) -> figures.Event:
    return {"at": at, "event": event, "partitions": list(partitions)}


def stands(at: float, generation: int, *owned: int, state: str = "stable") -> figures.Event:
    return {"at": at, "event": "status", "state": state, "generation": generation, "owned": list(owned)}


def read(at: float, *spans: tuple[int, int, int]) -> figures.Event:
    return {"at": at, "event": "read", "spans": [list(span) for span in spans]}


def overlapping(notes: figures.Notes, **killed_at: float) -> list[tuple[str, str]]:
    return [(one.member, other.member) for one, other in figures.overlaps(figures.tenures(notes, killed_at))]


def test_a_partition_that_is_handed_over_has_one_owner_at_a_time() -> None:
    assert overlapping({"a": [moved("assign", 1, 0, 1), moved("revoke", 2, 0)], "b": [moved("assign", 2.5, 0)]}) == []


def test_who_begins_before_the_other_has_given_up_is_found() -> None:
    assert overlapping({"a": [moved("assign", 1, 0), moved("revoke", 3, 0)], "b": [moved("assign", 2.5, 0)]}) == [("a", "b")]


def test_who_begins_with_what_another_has_never_given_up_is_found_behind_a_third_one_too() -> None:
    notes = {
        "a": [moved("assign", 1, 0)],
        "b": [moved("assign", 2, 0), moved("revoke", 3, 0)],
        "c": [moved("assign", 4, 0)],
    }
    assert overlapping(notes) == [("a", "b"), ("a", "c")]


def test_who_was_killed_has_nothing_any_more() -> None:
    notes = {"a": [moved("assign", 1, 0)], "b": [moved("assign", 5, 0)]}
    assert overlapping(notes, a=2.0) == []
    assert overlapping(notes, a=6.0) == [("a", "b")]


def test_who_gets_a_partition_back_does_not_share_it_with_itself() -> None:
    assert overlapping({"a": [moved("assign", 1, 0), moved("lost", 2, 0), moved("assign", 3, 0), moved("revoke", 4, 0)]}) == []


def test_two_owners_in_one_generation_are_found_and_in_two_generations_are_none() -> None:
    notes = {"a": [stands(1, 4, 0, 1), stands(2, -1, 2)], "b": [stands(9, 4, 1), stands(9.5, 5, 0), stands(9, -1, 2)]}
    assert figures.doubles(notes) == [(4, 1, ["a", "b"])]


def test_offsets_that_nobody_has_read_are_counted_wherever_they_are() -> None:
    notes = {"a": [read(1, (0, 0, 4), (1, 3, 9))], "b": [read(2, (0, 4, 6), (1, 12, 13))]}
    assert figures.missing(notes, {0: 7}) == {}
    assert figures.missing(notes, {0: 9, 1: 20, 2: 5}) == {0: 2, 1: 3 + 2 + 6, 2: 5}


def test_the_longest_gap_counts_from_the_beginning_and_to_the_end() -> None:
    assert figures.longest_gap([3, 1, 2], 0, 4) == 1
    assert figures.longest_gap([3, 1, 2], 0, 9) == 6
    assert figures.longest_gap([7], 0, 9) == 7
    assert figures.longest_gap([], 0, 9) == 9
    assert figures.longest_gap([-5, 20], 0, 9) == 9


def test_a_group_has_settled_when_all_share_everything_fairly_in_one_generation() -> None:
    a, b = stands(4, 7, 0, 2), stands(6, 7, 1)
    assert figures.settled_at({"a": [stands(1, 6, 0, 1, 2), a], "b": [b], "gone": [stands(2, 6)]}, ["a", "b"], 3) == 6
    wrong: list[Any] = [
        {"a": [a]},
        {"a": [a], "b": []},
        {"a": [a], "b": [stands(6, 7)]},
        {"a": [a], "b": [stands(6, 8, 1)]},
        {"a": [a], "b": [stands(6, 7, 1, state="joining")]},
        {"a": [stands(4, 7, 0, 1, 2)], "b": [stands(6, 7)]},
        {"a": [a], "b": [stands(6, 7, 1, 2)]},
    ]
    assert [figures.settled_at(notes, ["a", "b"], 3) for notes in wrong] == [None] * len(wrong)


def test_generations_are_those_that_members_come_into_meanwhile() -> None:
    notes = {"a": [stands(1, 3), stands(5, 4), stands(9, 6)], "b": [stands(2, 3), stands(6, 3), stands(7, -1)]}
    assert figures.generations(notes, 4, 8) == [4]
    assert figures.generations(notes, 0) == [3, 4, 6]


def test_a_commit_below_an_earlier_one_is_a_step_back() -> None:
    assert figures.steps_back([(0, 5), (1, 3), (0, 5), (0, 9), (1, 4)]) == []
    assert figures.steps_back([(0, 5), (1, 3), (0, 4), (0, 4), (0, 6)]) == [(0, 5, 4), (0, 5, 4)]


def test_commits_are_told_from_everything_else_that_a_coordinator_writes() -> None:
    def string(text: str) -> bytes:
        return struct.pack(">h", len(text)) + text.encode()

    key = struct.pack(">h", 1) + string("readers") + string("clicks") + struct.pack(">i", 7)
    value = struct.pack(">hqih", 3, 2**40, -1, 0) + struct.pack(">q", 5)
    assert parsed(key, value) == ("readers", "clicks", 7, 2**40)
    assert parsed(key, None) is None
    assert parsed(struct.pack(">h", 2) + string("readers"), b"\0\0") is None
    assert parsed(None, value) is None
