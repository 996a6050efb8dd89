"""What is believed of the cluster after an answer, and when the next question is due."""

from __future__ import annotations

import gc
import itertools
from typing import Any, Optional

import pytest

from pykafka._machines.backoff import Backoff
from pykafka._machines.metadata import (
    DISPUTE_ANSWERS,
    DISPUTE_S,
    EMPTY_VIEW,
    MANY_TOPICS,
    UNKNOWN_TOPIC,
    ZERO_UUID,
    BrokerInfo,
    ClusterView,
    Findings,
    MetadataRefresh,
    PartitionInfo,
    TopicInfo,
    apply_reply,
    condenser,
)
from pykafka.protocol.api import decode_response, encode_response
from pykafka.protocol.messages import MetadataResponse

VERSION = 12
ONE, TWO = bytes([1]) * 16, bytes([2]) * 16
Topic = MetadataResponse.MetadataResponseTopic


def broker(
    node: int, host: str = "kafka", port: int = 9092, rack: Optional[str] = None
) -> MetadataResponse.MetadataResponseBroker:
    """Return a broker's row."""
    return MetadataResponse.MetadataResponseBroker(node_id=node, host=host, port=port, rack=rack)


def topic(name: str, leaders: dict[int, int], epoch: int = 0, topic_id: bytes = ONE, error: int = 0) -> Topic:
    """Return a topic's row; ``leaders`` maps partitions to leaders."""
    partitions = [
        MetadataResponse.MetadataResponsePartition(
            partition_index=partition, leader_id=leader, leader_epoch=epoch, replica_nodes=[leader, 9], isr_nodes=[leader]
        )
        for partition, leader in leaders.items()
    ]
    return Topic(name=name, topic_id=topic_id, error_code=error, partitions=partitions)


def reply(*topics: Topic, brokers: tuple[int, ...] = (1, 2), cluster_id: Optional[str] = "c") -> MetadataResponse:
    """Return an answer."""
    rows = [broker(node) for node in brokers]
    return MetadataResponse(brokers=rows, topics=list(topics), cluster_id=cluster_id, controller_id=2)


def learn(known: ClusterView, answer: MetadataResponse, about: Optional[list[str]], now: float = 0.0) -> ClusterView:
    """Return what is known after an answer, which is decoded as a client does it."""
    return findings(known, answer, about, now).view


def findings(known: ClusterView, answer: MetadataResponse, about: Optional[list[str]], now: float = 0.0) -> Findings:
    """Return what an answer brings."""
    return apply_reply(known, decoded(b"".join(encode_response(answer, VERSION, 7)), known), about, now)


def decoded(frame: bytes, known: ClusterView) -> Any:
    """Return an answer as a client decodes it."""
    return decode_response(MetadataResponse, VERSION, memoryview(frame), condenser(known.topics))[1]


def view(*topics: Topic) -> ClusterView:
    """Return what is known after one answer about everything."""
    return learn(EMPTY_VIEW, reply(*topics), None)


def leader_of(known: ClusterView, partition: int = 0) -> int:
    """Return the leader's id of a partition of topic t."""
    return known.topics["t"].partitions[partition].leader


# -- what is believed -------------------------------------------------------------------------------------------------


def test_an_answer_becomes_a_view() -> None:
    known = view(topic("t", {1: 2, 0: 1}, epoch=5))
    assert known.brokers == {1: BrokerInfo(1, "kafka", 9092, None), 2: BrokerInfo(2, "kafka", 9092, None)}
    assert (known.cluster_id, known.controller_id) == ("c", 2)
    assert list(known.topics["t"].partitions) == [0, 1], "in order, whatever order they came in"
    assert known.topics["t"].partitions[0] == (0, 1, 5, (1, 9), (1,), 0)
    assert known.leader("t", 1) == BrokerInfo(2, "kafka", 9092, None)


def test_no_leader_is_told_where_none_is_known() -> None:
    known = view(topic("t", {0: -1, 1: 77}))
    assert [known.leader("t", 0), known.leader("t", 1), known.leader("t", 5), known.leader("other", 0)] == [None] * 4


def test_the_view_before_is_not_changed() -> None:
    before = view(topic("t", {0: 1}))
    learn(before, reply(topic("t", {0: 2}, epoch=1), topic("u", {0: 1})), None)
    assert leader_of(before) == 1
    assert list(before.topics) == ["t"]


@pytest.mark.parametrize(
    "row", [broker(-1), broker(3, ""), broker(3, "a\nb"), broker(3, port=0), broker(3, port=65536), broker(3, port=-5)]
)
def test_a_broker_that_nobody_could_connect_to_is_ignored(row: MetadataResponse.MetadataResponseBroker) -> None:
    answer = reply()
    answer.brokers.append(row)
    assert set(learn(EMPTY_VIEW, answer, None).brokers) == {1, 2}


@pytest.mark.parametrize("name", ["", "\u00e9", "t\u2028"])
def test_a_topic_by_a_name_that_nobody_could_ask_for_is_ignored(name: str) -> None:
    assert set(learn(EMPTY_VIEW, reply(topic("t", {0: 1}), topic(name, {0: 1})), None).topics) == {"t"}


def test_an_answer_without_brokers_or_cluster_id_does_not_make_us_forget_them() -> None:
    known = learn(view(), reply(brokers=(), cluster_id=None), None)
    assert set(known.brokers) == {1, 2}
    assert known.cluster_id == "c"


def test_brokers_that_are_gone_are_forgotten() -> None:
    assert set(learn(view(), reply(brokers=(2, 3)), []).brokers) == {2, 3}


def test_an_answer_about_some_topics_leaves_the_others_as_they_were() -> None:
    known = learn(view(topic("t", {0: 1}), topic("u", {0: 1})), reply(topic("u", {0: 2}, epoch=1)), ["u"])
    assert leader_of(known) == 1
    assert known.topics["u"].partitions[0].leader == 2


def test_an_answer_about_all_topics_forgets_those_that_are_gone() -> None:
    assert list(learn(view(topic("t", {0: 1}), topic("u", {0: 1})), reply(topic("u", {0: 1})), None).topics) == ["u"]


def test_a_topic_in_error_keeps_its_last_known_partitions() -> None:
    known = learn(view(topic("t", {0: 1})), reply(topic("t", {}, error=3)), ["t"])
    assert known.topics["t"].error_code == 3
    assert leader_of(known) == 1


def test_a_topic_in_error_that_was_never_known_has_no_partitions() -> None:
    known = learn(EMPTY_VIEW, reply(topic("t", {}, error=3)), ["t"])
    assert (known.topics["t"].error_code, known.topics["t"].partitions) == (3, {})


def test_an_answer_that_lags_behind_does_not_bring_an_old_leader_back() -> None:
    known = learn(view(topic("t", {0: 1, 1: 1}, epoch=5)), reply(topic("t", {0: 2, 1: 2}, epoch=4)), ["t"])
    assert [leader_of(known, 0), leader_of(known, 1)] == [1, 1]


@pytest.mark.parametrize("epoch", [5, 6])
def test_an_answer_of_the_same_or_a_newer_epoch_counts(epoch: int) -> None:
    assert leader_of(learn(view(topic("t", {0: 1}, epoch=5)), reply(topic("t", {0: 2}, epoch=epoch)), ["t"])) == 2


def test_an_answer_without_epochs_counts_always() -> None:
    assert leader_of(learn(view(topic("t", {0: 1}, epoch=5)), reply(topic("t", {0: 2}, epoch=-1)), ["t"])) == 2


def test_a_topic_that_was_created_anew_starts_with_young_epochs() -> None:
    fresh = reply(topic("t", {0: 2}, epoch=0, topic_id=TWO))
    assert leader_of(learn(view(topic("t", {0: 1}, epoch=5)), fresh, ["t"])) == 2


def test_without_ids_a_topic_that_was_gone_and_is_back_may_start_with_young_epochs() -> None:
    gone = learn(view(topic("t", {0: 1}, epoch=5)), reply(topic("t", {}, error=3)), ["t"])
    assert leader_of(learn(gone, reply(topic("t", {0: 2}, epoch=0)), ["t"])) == 2


def test_a_topic_of_a_broker_without_ids_has_the_zero_id() -> None:
    assert view(Topic(name="t")).topics["t"].topic_id == ZERO_UUID


def test_partitions_are_found_by_number_whatever_numbers_there_are() -> None:
    partitions = view(topic("t", {7: 2, 3: 1, -1: 2})).topics["t"].partitions
    assert list(partitions) == [3, 7] and len(partitions) == 2
    assert partitions[7] == PartitionInfo(7, 2, 0, (2, 9), (2,), 0)
    assert [number in partitions for number in (3, 7, 0, -1, 8)] == [True, True, False, False, False]
    assert partitions.get(0) is None


def test_of_a_partition_that_comes_twice_the_last_counts() -> None:
    row = topic("t", {0: 1, 1: 1})
    row.partitions += topic("t", {0: 2}).partitions
    assert leader_of(view(row)) == 2 and len(view(row).topics["t"].partitions) == 2


def test_what_an_answer_says_again_is_not_kept_a_second_time() -> None:
    before = view(topic("t", {0: 1, 1: 2}))
    after = learn(before, reply(topic("t", {0: 1, 1: 2})), None)
    old, new = before.topics["t"], after.topics["t"]
    assert new is not old  # that another answer has said the same is news for some
    assert new.name is old.name and new.topic_id is old.topic_id and new.rows is old.rows


def test_partitions_with_copies_on_the_same_brokers_share_the_list_of_them() -> None:
    known = view(topic("t", {0: 1, 1: 1}), topic("u", {0: 1}))
    one, two, three = (known.topics[name].partitions[number].replicas for name, number in (("t", 0), ("t", 1), ("u", 0)))
    assert one is two is three


@pytest.mark.parametrize(
    ("answer", "is_news"),
    [
        (reply(topic("t", {0: 1})), False),
        (reply(topic("t", {0: 2}, epoch=1)), True),
        (reply(topic("t", {0: 1, 1: 1})), True),
        (reply(topic("t", {0: 1}, topic_id=TWO)), True),
        (reply(topic("t", {}, error=3)), True),
        (reply(topic("t", {0: 1}), brokers=(1,)), True),
        (reply(topic("t", {0: 1}), topic("u", {0: 1})), True),
        (reply(), True),
    ],
)
def test_an_answer_is_news_when_it_shows_what_was_not_known(answer: MetadataResponse, is_news: bool) -> None:
    assert findings(view(topic("t", {0: 1})), answer, None).is_news is is_news


@pytest.mark.parametrize(
    ("answer", "is_unsettled"),
    [
        (reply(topic("t", {0: 1})), False),
        (reply(topic("t", {0: 1, 1: -1}, epoch=1)), True),
        (reply(topic("t", {0: 7}, epoch=1)), True),
        (reply(topic("t", {}, error=3)), True),
    ],
)
def test_a_picture_with_an_error_or_without_a_leader_is_to_be_asked_for_again(
    answer: MetadataResponse, is_unsettled: bool
) -> None:
    assert findings(view(topic("t", {0: 1})), answer, ["t"]).is_unsettled is is_unsettled


def test_topics_that_an_answer_about_more_than_them_lacks_are_gone_as_far_as_it_knows() -> None:
    before = view(topic("t", {0: 1}), topic("u", {0: 1}), topic("v", {0: 1}))
    found = findings(before, reply(topic("v", {0: 2}, epoch=1)), ["u", "v"])
    assert [(info.name, info.error_code, info.partitions[0].leader) for info in found.view.topics.values()] == [
        ("t", 0, 1), ("u", UNKNOWN_TOPIC, 1), ("v", 0, 2)
    ]  # fmt: skip
    assert found.is_unsettled


def test_of_what_else_an_answer_tells_nothing_has_to_be_asked_for_again() -> None:
    assert not findings(view(topic("t", {0: 1})), reply(topic("t", {0: 1}), topic("u", {0: -1}, error=5)), ["t"]).is_unsettled


# -- a hundred thousand of them ---------------------------------------------------------------------------------------


def test_of_a_topic_that_is_known_the_garbage_collector_has_one_object_to_visit() -> None:
    frame = b"".join(encode_response(reply(*[topic(f"t{number}", {0: 1, 1: 2}) for number in range(1000)]), VERSION, 7))
    known = apply_reply(EMPTY_VIEW, decoded(frame, EMPTY_VIEW), None, 0.0).view
    for _ in range(3):  # it lets go of tuples of numbers, and the next time of tuples of those
        gc.collect()
    parts = [part for info in known.topics.values() for part in (info, *info, *info.rows, *itertools.chain(*info.rows))]
    assert [type(part) for part in parts if gc.is_tracked(part)] == [TopicInfo] * 1000


def test_of_an_answer_there_is_never_more_than_one_topic_as_it_came() -> None:
    frame = b"".join(encode_response(reply(*[topic(f"t{number}", {0: 1}) for number in range(10)]), VERSION, 7))
    alive: list[int] = []

    def count() -> int:
        return sum(type(one) is Topic for one in gc.get_objects())

    def condense(row: Topic) -> Optional[str]:
        alive.append(count() - before)
        return row.name

    gc.collect()
    before = count()
    _number, answer = decode_response(MetadataResponse, VERSION, memoryview(frame), condense)
    assert answer.topics == [f"t{number}" for number in range(10)]  # type: ignore[attr-defined]  # it is a Response
    assert alive == [1] * 10


# -- a leader epoch that brokers do not agree on ----------------------------------------------------------------------


def told(known: ClusterView, *answers: tuple[float, dict[int, int]], epoch: int = 4, topic_id: bytes = ONE) -> ClusterView:
    """Return ``known`` after answers about topic t: when each came, and its leaders."""
    for now, leaders in answers:
        known = learn(known, reply(topic("t", leaders, epoch, topic_id)), ["t"], now)
    return known


def in_a_row(count: int, lasting_s: float) -> list[tuple[float, dict[int, int]]]:
    """Return ``count`` answers that name broker 2 the leader of partition 0, from the first to the last in so many seconds."""
    return [(100.0 + lasting_s * number / (count - 1), {0: 2}) for number in range(count)]


def test_an_older_epoch_that_is_told_again_and_again_is_believed() -> None:
    known = told(view(topic("t", {0: 1}, epoch=1000)), *in_a_row(DISPUTE_ANSWERS, DISPUTE_S))
    assert known.topics["t"].partitions[0][1:3] == (2, 4)
    assert known.disputes == {}


@pytest.mark.parametrize(
    ("count", "lasting_s"), [(DISPUTE_ANSWERS - 1, 1000.0), (50, 0.9 * DISPUTE_S)], ids=["too few", "too soon"]
)
def test_an_older_epoch_is_not_believed(count: int, lasting_s: float) -> None:
    known = told(view(topic("t", {0: 1}, epoch=1000)), *in_a_row(count, lasting_s))
    assert leader_of(known) == 1
    assert list(known.disputes) == [("t", 0)]


@pytest.mark.parametrize("epoch", [1000, 1001, -1])
def test_one_broker_that_confirms_an_epoch_ends_the_dispute_about_it(epoch: int) -> None:
    before = view(topic("t", {0: 1}, epoch=1000))
    doubted = told(before, *in_a_row(DISPUTE_ANSWERS - 1, DISPUTE_S))
    confirmed = learn(doubted, reply(topic("t", {0: 3}, epoch=epoch)), ["t"], 200.0)
    assert confirmed.disputes == {}
    if epoch > 0:
        assert leader_of(told(confirmed, (201.0, {0: 2}), (210.0, {0: 2}))) == 3


def test_a_topic_made_anew_begins_without_the_disputes_about_the_one_before() -> None:
    doubted = told(view(topic("t", {0: 1}, epoch=1000)), *in_a_row(2, 0.0))
    anew = learn(doubted, reply(topic("t", {0: 3}, epoch=9, topic_id=TWO)), ["t"], 200.0)
    assert (leader_of(anew), anew.disputes) == (3, {})
    assert leader_of(told(anew, (300.0, {0: 2}), topic_id=TWO)) == 3


def test_disputes_about_other_topics_are_kept_until_those_are_gone() -> None:
    doubted = told(view(topic("t", {0: 1}, epoch=1000), topic("u", {0: 1})), *in_a_row(2, 0.0))
    kept = learn(doubted, reply(topic("u", {0: 2})), ["u"], 200.0)
    assert kept.disputes == doubted.disputes != {}
    assert learn(kept, reply(topic("u", {0: 2})), None, 201.0).disputes == {}


def test_partitions_are_disputed_one_by_one() -> None:
    known = view(Topic(name="t", topic_id=ONE, partitions=topic("t", {0: 1}, 9).partitions + topic("t", {1: 1}, 2).partitions))
    known = told(known, *[(now, {0: 2, 1: 2}) for now in (100.0, 101.0, 101.5)])
    assert ([leader_of(known, 0), leader_of(known, 1)], list(known.disputes)) == ([1, 2], [("t", 0)])


def test_a_dispute_is_nothing_to_see() -> None:
    before = view(topic("t", {0: 1}, epoch=1000))
    doubted = told(before, (100.0, {0: 2}))
    assert doubted != before
    assert doubted.shows_the_same_as(before)
    assert not told(before, *in_a_row(DISPUTE_ANSWERS, DISPUTE_S)).shows_the_same_as(before)


# -- when to ask again ------------------------------------------------------------------------------------------------


def fresh_refresh() -> MetadataRefresh:
    """Return a refresh (300 s, pause 0.1 s that doubles up to 2.5 s) that was never asked."""
    return MetadataRefresh(300.0, Backoff(0.1, 2.5, lambda: 0.5))


def asked(*topics: str, at: float = 0.0) -> MetadataRefresh:
    """Return a refresh (300 s, pause 0.1 s) that was answered at ``at``."""
    refresh = fresh_refresh()
    refresh.use(topics)
    refresh.mark_stale(at)
    assert refresh.poll(at)
    refresh.on_reply(at, changed=False)
    return refresh


def test_nothing_in_use_is_never_asked_about() -> None:
    refresh = fresh_refresh()
    assert not refresh.poll(10**6)
    assert refresh.wake_at() == float("inf")


def test_a_topic_in_use_is_asked_about_at_once_and_then_when_the_picture_is_old() -> None:
    refresh = fresh_refresh()
    refresh.use(["t"])
    assert refresh.poll(0.0)
    refresh.on_reply(1.0, changed=False)
    assert not refresh.poll(300.9)
    assert refresh.wake_at() == 301.0
    assert refresh.poll(301.0)


def test_only_one_question_is_under_way() -> None:
    refresh = asked("t")
    refresh.mark_stale(1.0)
    assert refresh.poll(1.0)
    refresh.mark_stale(1.0)
    assert not refresh.poll(500.0)
    assert refresh.wake_at() == float("inf")


def test_what_failed_on_the_picture_has_it_asked_for_again_at_once_or_after_the_pause() -> None:
    refresh = asked("t", at=10.0)
    refresh.mark_stale(10.05)
    assert not refresh.poll(10.09)
    assert refresh.poll(10.11)
    refresh.on_reply(10.12, changed=False)
    refresh.mark_stale(20.0)
    assert refresh.poll(20.0)


def test_many_failures_at_once_ask_once() -> None:
    refresh = asked("t")
    for _ in range(100):
        refresh.mark_stale(5.0)
    assert refresh.poll(5.0)
    refresh.on_reply(5.01, changed=False)
    assert not refresh.poll(200.0)


def test_after_a_failure_the_next_try_waits_for_the_pause() -> None:
    refresh = asked("t")
    refresh.mark_stale(5.0)
    assert refresh.poll(5.0)
    refresh.on_failure(6.0)
    assert not refresh.poll(6.09)
    assert refresh.poll(6.1)


@pytest.mark.parametrize("never_fresh", [True, False])
def test_after_a_failure_the_next_try_waits_for_the_pause_however_old_the_picture_is(never_fresh: bool) -> None:
    refresh = asked("t") if not never_fresh else fresh_refresh()
    refresh.use(["t"])
    assert refresh.poll(400.0)
    refresh.on_failure(401.0)
    assert not refresh.poll(401.05)


def test_a_failure_while_a_question_is_under_way_asks_again_only_after_the_pause() -> None:
    refresh = asked("t")
    refresh.mark_stale(5.0)
    assert refresh.poll(5.0)
    refresh.mark_stale(5.01)
    refresh.on_reply(5.02, changed=False)
    assert not refresh.poll(5.03)


def test_topics_are_released_as_often_as_they_were_used() -> None:
    refresh = asked("b", "a", "a")
    assert refresh.topics == ["a", "b"]
    refresh.release(["a"])
    refresh.release(["b"])
    assert refresh.topics == ["a"]
    refresh.release(["a"])
    refresh.release(["never used"])
    assert refresh.topics == []
    assert not refresh.poll(10**6)


@pytest.mark.parametrize(
    ("used", "known", "asks_for_all"),
    [
        (1, 1, False),
        (MANY_TOPICS, MANY_TOPICS, False),
        (MANY_TOPICS + 1, MANY_TOPICS + 1, True),
        (MANY_TOPICS + 1, 100 * MANY_TOPICS, False),
    ],
)
def test_very_many_topics_are_named_only_where_there_are_many_times_as_many(
    used: int, known: int, asks_for_all: bool
) -> None:
    refresh = fresh_refresh()
    refresh.use(map(str, range(used)))
    assert refresh.asks_for_all(known) is asks_for_all
    assert sorted(refresh.topics) == sorted(map(str, range(used)))


def pauses(refresh: MetadataRefresh, count: int, *, changed: bool = False, failing: bool = False) -> list[float]:
    """Return the pauses between ``count`` questions, each asked as early as allowed and answered at once."""
    now = 1000.0
    moments: list[float] = []
    for _ in range(count + 1):
        refresh.mark_unsettled(now)
        now = max(now, refresh.wake_at())
        assert refresh.poll(now)
        moments.append(now)
        if failing:
            refresh.on_failure(now)
        else:
            refresh.on_reply(now, changed=changed)
    return [round(later - earlier, 6) for earlier, later in zip(moments, moments[1:])]


def test_what_stays_wrong_is_asked_about_ever_more_rarely() -> None:
    assert pauses(asked("deleted"), 7) == [0.1, 0.2, 0.4, 0.8, 1.6, 2.5, 2.5]


def test_what_is_refused_for_want_of_metadata_does_not_wait_for_another_topics_lasting_error() -> None:
    refresh = asked("deleted", "t")
    pauses(refresh, 7)
    refresh.mark_unsettled(1000.0)
    answered = refresh.wake_at() - 2.5
    refresh.mark_stale(answered)
    assert refresh.wake_at() == pytest.approx(answered + 0.5)


def test_when_nobody_answers_the_pause_grows_as_well() -> None:
    assert pauses(asked("t"), 7, failing=True) == [0.1, 0.2, 0.4, 0.8, 1.6, 2.5, 2.5]


def test_while_the_picture_changes_it_is_asked_for_as_often_as_allowed() -> None:
    assert pauses(asked("t"), 5, changed=True) == [0.1] * 5


def test_a_change_ends_the_long_pauses() -> None:
    refresh = asked("t")
    pauses(refresh, 7)
    assert pauses(refresh, 3, changed=True)[1:] == [0.1, 0.1]


def test_a_new_trouble_after_a_calm_time_is_followed_closely_again() -> None:
    refresh = asked("t")
    pauses(refresh, 7)
    calm = refresh.wake_at() + 300.0
    refresh.mark_stale(calm)
    assert refresh.poll(calm)
    refresh.on_reply(calm, changed=False)
    refresh.mark_stale(calm)
    assert refresh.wake_at() == pytest.approx(calm + 0.1)


def test_clients_do_not_all_ask_at_the_same_moment() -> None:
    early, late = (MetadataRefresh(300.0, Backoff(0.1, 2.5, lambda chance=chance: chance)) for chance in (0.0, 0.999999))
    assert pauses(early, 1)[0] < 0.09 < 0.11 < pauses(late, 1)[0]
