"""What of a commit is sent again, while its topics are deleted and made anew under the same names."""

from __future__ import annotations

import pytest

from pykafka._machines.metadata import TopicInfo
from pykafka._machines.uncommitted import Uncommitted
from pykafka.common import TopicPartition

A0, A1, B0 = TopicPartition("a", 0), TopicPartition("a", 1), TopicPartition("b", 0)
OLD, NEW, NO_ID = b"O" * 16, b"N" * 16, bytes(16)
UNKNOWN, NOT_COORDINATOR = 3, 16


class Topics:
    """What is known of topics; :meth:`look` is what a commit asks."""

    def __init__(self, topic_id: bytes = OLD, **sizes: int) -> None:
        self._infos: dict[str, TopicInfo] = {}
        for name, size in sizes.items():
            self.make(name, size, topic_id)

    def make(self, name: str, size: int, topic_id: bytes, error_code: int = 0) -> None:
        """Have a topic there, or another one in its place."""
        rows = tuple((number, 1, 0, (1,), (1,), 0) for number in range(size))
        self._infos[name] = TopicInfo(name, topic_id, False, error_code, rows)

    def delete(self, name: str, *, all_of_it: bool = False) -> None:
        """Have it there no more; what is known of it stays for a while."""
        if all_of_it:
            del self._infos[name]
        else:
            self._infos[name] = self._infos[name]._replace(error_code=UNKNOWN)

    def look(self) -> dict[str, TopicInfo]:
        """Return what is known of them."""
        return dict(self._infos)


def after_one_try(offsets: dict[TopicPartition, int], topics: Topics, **codes: int) -> Uncommitted:
    """Return what is left of a commit, all of which was refused; ``a=3`` is with which error that was."""
    left = Uncommitted(offsets, topics.look, topics.look())
    assert left.to_send() == offsets
    for tp in offsets:
        assert left.note(tp, codes.get(tp.topic, UNKNOWN))
    return left


def test_everything_is_sent_once_whatever_is_known_of_the_topics() -> None:
    topics = Topics(a=1)
    left = Uncommitted({A0: 5, A1: 6, B0: 7}, topics.look, topics.look())
    topics.delete("a")
    assert left.to_send() == {A0: 5, A1: 6, B0: 7}
    assert not any([left.note(A0, 0), left.note(A1, 0), left.note(B0, 0)])
    assert left.to_send() == {} and not left.remaining and not left.gone


def test_what_has_failed_is_sent_again_and_what_is_confirmed_is_not() -> None:
    left = after_one_try({A0: 5, B0: 7}, Topics(a=1, b=1), a=NOT_COORDINATOR)
    assert not left.note(B0, 0)
    assert left.to_send() == {A0: 5}


def test_a_topic_that_nothing_is_known_of_is_sent_again() -> None:
    left = after_one_try({A0: 5}, Topics(b=1))
    assert left.to_send() == {A0: 5}


@pytest.mark.parametrize("topic_id", [OLD, NO_ID])
def test_a_topic_that_only_the_coordinator_did_not_know_yet_is_sent_again(topic_id: bytes) -> None:
    left = after_one_try({A0: 5}, Topics(topic_id, a=1))
    assert left.to_send() == {A0: 5} and not left.waiting
    assert not left.note(A0, 0)


@pytest.mark.parametrize("code", [UNKNOWN, NOT_COORDINATOR])
def test_a_topic_that_was_made_anew_is_left_out_whatever_the_error_was_and_the_others_are_sent(code: int) -> None:
    topics = Topics(a=2, b=1)
    left = after_one_try({A0: 5, A1: 6, B0: 7}, topics, a=code, b=NOT_COORDINATOR)
    topics.make("a", 2, NEW)
    assert left.to_send() == {B0: 7}
    assert left.gone == {A0, A1} and left.remaining == {B0: 7} and not left.waiting


@pytest.mark.parametrize("all_of_it", [False, True])
@pytest.mark.parametrize(("before", "after"), [(OLD, NEW), (NO_ID, NO_ID)])
def test_a_topic_that_is_not_there_is_waited_for_and_left_out_when_it_comes_back_as_another_one(
    all_of_it: bool, before: bytes, after: bytes
) -> None:
    topics = Topics(before, a=1)
    left = after_one_try({A0: 5}, topics, a=NOT_COORDINATOR)
    topics.delete("a", all_of_it=all_of_it)
    assert left.to_send() == {} and left.waiting == {A0} and left.remaining == {A0: 5}, "it may be there again"
    topics.make("a", 1, after)
    assert left.to_send() == {} and not left.remaining and not left.waiting
    # without ids it may be the same one, which a broker that has just started did not know
    assert (left.gone, left.doubtful) == (({A0}, set()) if before == OLD else (set(), {A0}))


def test_a_topic_that_a_broker_did_not_know_for_a_moment_is_sent_again() -> None:
    topics = Topics(a=1)
    left = after_one_try({A0: 5}, topics)
    topics.delete("a")
    assert left.to_send() == {}
    topics.make("a", 1, OLD)
    assert left.to_send() == {A0: 5}


def test_a_partition_that_a_broker_does_not_know_yet_is_waited_for() -> None:
    topics = Topics(a=1)
    left = after_one_try({A0: 5, A1: 6}, topics)
    assert left.to_send() == {A0: 5} and left.waiting == {A1} and not left.gone
    topics.make("a", 2, OLD)
    assert left.to_send() == {A0: 5, A1: 6} and not left.waiting


def test_what_nobody_asked_about_is_not_noted() -> None:
    topics = Topics(a=1)
    left = Uncommitted({A0: 5}, topics.look, topics.look())
    assert not left.note(B0, UNKNOWN) and left.remaining == {A0: 5}


def test_the_topics_that_the_offsets_are_about_count_and_not_those_that_are_known_once_it_is_sent() -> None:
    topics = Topics(a=1)
    before = topics.look()
    topics.make("a", 1, NEW)
    left = Uncommitted({A0: 5}, topics.look, before)
    assert left.ids == {"a": OLD} and left.to_send() == {A0: 5}
    left.note(A0, UNKNOWN)
    assert left.to_send() == {} and left.gone == {A0}
