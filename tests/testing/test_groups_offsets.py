"""What groups have committed: who may, and what becomes of it."""

from __future__ import annotations

import pytest

from pykafka.testing.offsets import Committed

from .group_play import Play


@pytest.mark.parametrize("version", range(2, 11))
def test_who_is_no_member_commits_to_a_group_that_nobody_is_in(version: int) -> None:
    play = Play()
    assert play.commit(7, version=version, metadata="note") == 0
    assert play.coordinator.committed("g") == {("a", 0): Committed(7, -1, "note")}
    assert play.committed() == 7 and play.committed("b") == -1 and play.state == "Empty"


def test_a_commit_keeps_the_session_of_a_member_of_a_classic_group() -> None:
    play = Play()
    (member,) = play.group(1)
    for offset in range(5):
        play.wait(6.0)
        assert play.commit(offset, member_id=member, generation_id_or_member_epoch=1) == 0
    play.wait(10.5)
    assert play.commit(9, member_id=member, generation_id_or_member_epoch=1) == 25
    assert play.committed() == 4


def test_offsets_go_with_their_topic_whatever_there_is_later_of_its_name() -> None:
    play = Play()
    play.commit(7)
    play.commit(8, topic="b")
    play.topics["a"] = (b"another id of a.", 4)
    assert play.committed() == -1 and play.committed("b") == 8
    del play.topics["b"]
    assert play.coordinator.committed("g") == {}


def test_another_coordinator_knows_what_was_committed_though_nobody_ever_joined() -> None:
    play = Play()
    play.commit(7)
    play.coordinator.coordinator_moved("g", play.now)
    assert play.committed() == 7


def test_a_member_may_commit_in_an_older_epoch_what_it_has_had_since() -> None:
    play = Play()
    play.consumer("m", 0, subscribed_topic_names=["a"])
    play.consumer("m", 2, subscribed_topic_names=["a", "b"])
    verdicts = [play.commit(5, topic=topic, member_id="m", generation_id_or_member_epoch=2) for topic in ("a", "b")]
    assert verdicts == [0, 113]
