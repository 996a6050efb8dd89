"""Commits before partitions are given up: as whom they are made when the group moves on meanwhile."""

from __future__ import annotations

import pytest

from pykafka._machines.member import Lost
from pykafka.common import TopicPartition
from pykafka.exceptions import StaleMemberEpoch
from pykafka.group_commits import TakenAway, commit_while_ours
from pykafka.offsets import Committer, Seat


def at(epoch: int) -> Committer:
    return Committer(b"me", Seat(epoch, "me"))


class Group:
    """A coordinator at an epoch, and what it was told."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.tried: list[int] = []

    def commit(self, by: Committer) -> None:
        self.tried.append(by.seat.generation)
        if by.seat.generation != self.epoch:
            raise StaleMemberEpoch("old")


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pykafka.group_commits.LOOK_S", 0.0)


def test_a_commit_is_made_again_with_the_epoch_that_is_heard_of_later() -> None:
    group, heard = Group(5), [3, 3, 4, 4, 5]
    commit_while_ours(group.commit, at(3), lambda: at(heard.pop(0)), lambda: True)
    assert group.tried == [3, 4, 5]


def test_the_epoch_of_a_later_life_is_not_used_for_what_was_lost_in_between() -> None:
    group, ours = Group(9), [True]

    def newest() -> Committer:
        ours[0] = False  # it was put out, and has joined again
        return at(9)

    with pytest.raises(StaleMemberEpoch):
        commit_while_ours(group.commit, at(3), newest, lambda: ours[0])
    assert group.tried == [3]


def test_an_epoch_that_is_never_heard_of_is_waited_for_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pykafka.group_commits.CATCH_UP_S", 0.0)
    group = Group(5)
    with pytest.raises(StaleMemberEpoch):
        commit_while_ours(group.commit, at(3), lambda: at(3), lambda: True)
    assert group.tried == [3]


T0, T1 = TopicPartition("t", 0), TopicPartition("t", 1)
GONE = Lost(frozenset([T0, T1]), 3, "the session ended")


def test_what_was_taken_away_uncommitted_is_told_once() -> None:
    taken = TakenAway()
    taken.note({T0: 5, T1: 7}, GONE)
    assert taken.take(lambda tp: None) == {T0: GONE, T1: GONE}
    assert taken.take(lambda tp: None) == {}


def test_what_is_here_again_and_committed_as_far_is_not_told() -> None:
    taken = TakenAway()
    taken.note({T0: 5, T1: 7}, GONE)
    assert taken.take({T0: 5, T1: 6}.get) == {T1: GONE}


def test_who_was_told_while_it_was_taken_away_is_not_told_again_but_of_what_came_after_that() -> None:
    taken = TakenAway()
    taken.tell({T0: 5, T1: 7})
    taken.note({T0: 5, T1: 8}, GONE)
    assert taken.take(lambda tp: None) == {T1: GONE}
    taken.note({T0: 5}, GONE)
    assert taken.take(lambda tp: None) == {T0: GONE}
