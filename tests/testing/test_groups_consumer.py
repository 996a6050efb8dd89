"""The coordinator of groups of the newer protocol by itself (KIP-848), with a clock that is moved: epochs, targets, and time."""

from __future__ import annotations

import pytest

from pykafka.testing.consumer_group import ConsumerGroup

from .group_play import Play


def only_group(play: Play) -> ConsumerGroup:
    """Return the group."""
    group = play.coordinator.groups["g"]
    assert isinstance(group, ConsumerGroup)
    return group


def test_the_first_member_has_everything_at_once() -> None:
    play = Play()
    answer = play.consumer("m", 0)
    assert (answer.member_id, answer.member_epoch, answer.heartbeat_interval_ms) == ("m", 2, 5000)
    assert play.share(answer) == "a0 a1 a2 a3 b0 b1" and play.state == "Stable"
    assert play.share(play.consumer("m", 2)) is None


def test_a_partition_moves_when_the_one_before_has_let_go_of_it() -> None:
    play = Play()
    play.consumer("m", 0)
    assert play.share(play.consumer("n", 0)) == "" and play.state == "Reconciling"
    kept = play.share(play.consumer("m", 2, "a0 a1 a2 a3 b0 b1"))
    assert kept is not None and len(kept.split()) == 3
    assert play.share(play.consumer("n", 3)) is None, "nothing is free before the member says so"
    answer = play.consumer("m", 2, kept)
    assert answer.member_epoch == 3
    moved = play.share(play.consumer("n", 3))
    assert moved is not None and sorted(kept.split() + moved.split()) == ["a0", "a1", "a2", "a3", "b0", "b1"]
    assert play.state == "Stable"


def test_who_lets_go_too_slowly_is_put_out() -> None:
    play = Play()
    play.consumer("m", 0, rebalance_timeout_ms=7000)
    play.consumer("n", 0)
    play.consumer("m", 2)
    play.wait(6.9)
    assert play.consumer("m", 2).error_code == 0
    play.wait(0.2)
    assert play.consumer("m", 2).error_code == 25
    assert play.share(play.consumer("n", 3)) == "a0 a1 a2 a3 b0 b1"


def test_who_is_not_heard_of_is_put_out_when_its_session_is_over() -> None:
    play = Play(consumer_session_timeout_ms=9000)
    play.consumer("m", 0)
    play.wait(8.9)
    assert play.consumer("m", 2).error_code == 0
    play.wait(9.1)
    assert play.consumer("m", 2).error_code == 25 and play.state == "Empty"


def test_an_answer_that_was_lost_is_made_up_for_and_any_other_epoch_is_fenced() -> None:
    play = Play()
    play.consumer("m", 0)
    play.consumer("m", 2, subscribed_topic_names=["a"], owned="")
    assert only_group(play).seats["m"].epoch == 3
    for owned, error in (("a0", 0), (None, 110), ("b0", 110)):
        assert play.consumer("m", 2, owned).error_code == error
    assert play.consumer("m", 4).error_code == play.consumer("m", 1).error_code == 110
    answer = play.consumer("m", 0, subscribed_topic_names=["a"])
    assert answer.member_epoch == 3 and play.share(answer) == "a0 a1 a2 a3"


def test_topics_that_come_grow_and_go_are_shared_out_anew() -> None:
    play = Play()
    play.topics = {"a": play.topics["a"]}
    play.consumer("m", 0, subscribed_topic_names=["a", "b"])
    assert play.share(play.consumer("m", 2)) is None
    play.topics["b"] = (b"other id of b...", 1)
    assert play.share(play.consumer("m", 2)) == "a0 a1 a2 a3 b0"
    play.topics["b"] = (b"other id of b...", 2)
    assert play.share(play.consumer("m", 3)) == "a0 a1 a2 a3 b0 b1"
    del play.topics["b"]
    assert play.share(play.consumer("m", 4, "a0 a1 a2 a3")) == "a0 a1 a2 a3"


def test_topics_by_a_pattern_are_those_whose_whole_name_fits_and_new_ones_come_in() -> None:
    play = Play()
    answer = play.consumer("m", 0, subscribed_topic_names=None, subscribed_topic_regex="a|bb+")
    assert play.share(answer) == "a0 a1 a2 a3"
    play.topics["bb"] = (b"id of bb........", 1)
    play.topics["xbb"] = (b"id of xbb.......", 1)
    assert only_group(play).wanted_by(only_group(play).seats["m"], play.topics) == {"a", "bb"}
    answer = play.consumer("m", 2)
    assert answer.member_epoch == 3 and len(answer.assignment.topic_partitions) == 2


@pytest.mark.parametrize("pattern", ["(", "a(?=b)", "a(?!b)", "(?<=a)b", "(?<!a)b", r"(a)\1", "(?P<x>a)(?P=x)"])
def test_patterns_that_re2_does_not_know_are_refused(pattern: str) -> None:
    play = Play()
    assert play.consumer("m", 0, subscribed_topic_regex=pattern).error_code == 128
    assert not play.coordinator.groups


@pytest.mark.parametrize("pattern", [r"a\\1", r"(?i)A", r"(?:a)", r"[\d]*.b?", "(?P<x>a)"])
def test_patterns_that_re2_knows_are_taken(pattern: str) -> None:
    assert Play().consumer("m", 0, subscribed_topic_regex=pattern).error_code == 0


def test_members_choose_how_it_is_shared_out() -> None:
    play = Play(consumer_assignors=("uniform", "range"))
    play.consumer("m", 0, server_assignor="range")
    assert only_group(play).assignor == "range"
    play.consumer("n", 0, server_assignor="uniform")
    play.consumer("o", 0, server_assignor="uniform")
    assert only_group(play).assignor == "uniform"
    assert Play(consumer_assignors=("uniform",)).consumer("m", 0, server_assignor="range").error_code == 112


def test_a_group_has_room_for_so_many() -> None:
    play = Play(max_size=1)
    play.consumer("m", 0)
    assert play.consumer("n", 0).error_code == 81
    assert play.consumer("m", 2).error_code == 0


def test_it_is_shared_out_anew_after_some_time_only_if_that_is_wanted() -> None:
    play = Play(consumer_assignment_interval_ms=1000)
    play.consumer("m", 0)
    play.consumer("n", 0)
    assert play.state == "Assigning" and play.share(play.consumer("m", 2)) is None
    play.wait(1.0)
    kept = play.share(play.consumer("m", 2))
    assert kept is not None and len(kept.split()) == 3


def test_a_static_member_that_is_away_for_a_while_keeps_what_it_has_until_its_session_is_over() -> None:
    play = Play(consumer_session_timeout_ms=9000)
    play.consumer("m", 0, instance_id="i")
    play.consumer("n", 0)
    kept = play.share(play.consumer("m", 2, "a0", instance_id="i"))
    assert play.consumer("m", -2, instance_id="i").member_epoch == -2
    play.wait(8.0)
    assert play.consumer("n", 3).member_epoch == 3
    again = play.consumer("o", 0, instance_id="i")
    assert (again.error_code, again.member_epoch, play.share(again)) == (0, 3, kept)
    play.consumer("o", -2, instance_id="i")
    play.wait(8.0)
    assert play.consumer("n", 3).error_code == 0
    play.wait(1.5)
    assert len(play.consumer("n", 3).assignment.topic_partitions) == 2


def test_sessions_can_be_made_to_end_and_another_coordinator_begins_them_anew() -> None:
    play = Play(consumer_session_timeout_ms=9000)
    play.consumer("m", 0)
    play.wait(8.0)
    play.coordinator.coordinator_moved("g", play.now)
    play.wait(8.0)
    assert play.consumer("m", 2).error_code == 0
    play.coordinator.expire("g", "m")
    play.wait(0.0)
    assert play.consumer("m", 2).error_code == 25


def test_a_group_that_nobody_is_in_may_change_its_kind_and_keeps_its_offsets() -> None:
    play = Play(consumer_migration_policy="disabled")
    play.consumer("m", 0)
    assert play.commit(5, member_id="m", generation_id_or_member_epoch=2) == 0
    assert play.join().error == 23
    play.consumer("m", -1)
    member = play.new_id()
    assert play.join(member).answer.generation_id == 1 and play.committed() == 5
    assert play.consumer("m", 0).error_code == 69
    play.leave(member)
    assert play.consumer("m", 0).error_code == 0 and play.committed() == 5
