"""When a topic is taken for another one of the same name, and when for the one that it was."""

from __future__ import annotations

import pytest

from pykafka._machines.metadata import UNKNOWN_TOPIC, ZERO_UUID, TopicInfo
from pykafka._machines.topic_ids import TopicIds, Verdict

OLD, NEW, THIRD = b"T" * 16, b"U" * 16, b"V" * 16


def seen(topic_id: bytes, error_code: int = 0) -> TopicInfo:
    """Return what an answer says of the topic; another object every time, as answers are."""
    return TopicInfo("t", topic_id, False, error_code, ())


@pytest.fixture()
def ids() -> TopicIds:
    """The ids of one topic that was begun with under OLD."""
    made = TopicIds()
    made.use("t", OLD)
    return made


def test_before_anything_is_fetched_any_answer_is_believed(ids: TopicIds) -> None:
    for topic_id in (NEW, OLD, NEW):
        assert ids.learn(seen(topic_id), is_fetched=False) is Verdict.OTHER
        assert ids.current == {"t": topic_id}


def test_while_fetches_succeed_under_an_id_no_answer_changes_it(ids: TopicIds) -> None:
    assert ids.is_answer("t", OLD)
    assert ids.learn(seen(NEW), is_fetched=True) is Verdict.SUSPECT
    assert ids.learn(seen(NEW), is_fetched=True) is Verdict.SAME  # it is suspected already
    assert ids.learn(seen(THIRD), is_fetched=True) is Verdict.SUSPECT
    assert ids.current == {"t": OLD}


def test_a_refused_fetch_and_an_answer_make_another_topic_in_either_order(ids: TopicIds) -> None:
    ids.doubt("t", seen(OLD))
    assert ids.in_doubt("t")
    assert ids.learn(seen(NEW), is_fetched=True) is Verdict.OTHER
    assert not ids.in_doubt("t")
    assert ids.learn(news := seen(THIRD), is_fetched=True) is Verdict.SUSPECT
    ids.doubt("t", news)
    assert ids.learn(news, is_fetched=True) is Verdict.OTHER
    assert ids.current == {"t": THIRD}


def test_a_doubt_ends_with_an_answer_that_came_after_it_and_shows_no_error(ids: TopicIds) -> None:
    before = seen(OLD)
    ids.doubt("t", before)
    ids.learn(before, is_fetched=True)
    assert ids.in_doubt("t")
    ids.learn(seen(OLD, UNKNOWN_TOPIC), is_fetched=True)
    assert ids.in_doubt("t")
    ids.learn(seen(OLD), is_fetched=True)
    assert not ids.in_doubt("t")


def test_where_fetches_name_the_topic_two_answers_are_enough(ids: TopicIds) -> None:
    assert ids.is_answer("t", ZERO_UUID)
    assert ids.is_named("t")
    first = seen(NEW)
    assert ids.learn(first, is_fetched=True) is Verdict.SUSPECT
    assert ids.learn(first, is_fetched=True) is Verdict.SAME  # the same one, looked at again
    assert ids.learn(seen(NEW), is_fetched=True) is Verdict.OTHER


def test_two_answers_with_the_old_id_in_between_are_not(ids: TopicIds) -> None:
    ids.is_answer("t", ZERO_UUID)
    for _ in range(2):
        assert ids.learn(seen(NEW), is_fetched=True) is Verdict.SUSPECT
        assert ids.learn(seen(OLD), is_fetched=True) is Verdict.SAME


def test_an_id_that_was_left_is_believed_again_only_while_nothing_is_fetched_under_the_next(ids: TopicIds) -> None:
    ids.doubt("t", None)
    assert ids.learn(seen(NEW), is_fetched=True) is Verdict.OTHER
    ids.doubt("t", None)
    assert ids.learn(seen(OLD), is_fetched=True) is Verdict.SUSPECT
    assert ids.learn(seen(OLD), is_fetched=False) is Verdict.OTHER


def test_an_answer_about_the_topic_that_was_left_is_none(ids: TopicIds) -> None:
    assert ids.learn(seen(NEW), is_fetched=False) is Verdict.OTHER
    assert not ids.is_answer("t", OLD)
    assert ids.is_answer("t", NEW)
    assert not ids.is_named("t")


def test_no_id_is_no_other_id(ids: TopicIds) -> None:
    assert ids.learn(seen(ZERO_UUID), is_fetched=True) is Verdict.SAME
    assert ids.current == {"t": OLD}


def test_nothing_is_left_of_a_topic_that_is_forgotten(ids: TopicIds) -> None:
    ids.is_answer("t", ZERO_UUID)
    ids.doubt("t", None)
    ids.forget("t")
    ids.use("t", OLD)
    assert not ids.in_doubt("t")
    assert not ids.is_named("t")
