"""The offset rules, row by row, against the offsets committed on the group coordinator of a real broker."""

from __future__ import annotations

from typing import Any, Callable

import pytest

from pykafka import Topic
from pykafka.common import OffsetType
from pykafka.exceptions import KafkaException

from .. import needs
from ..support import until

pytestmark = pytest.mark.core

MakeTopic = Callable[..., Topic]
COUNT = 10
#: The next message to read, as committed by an earlier run.
COMMITTED = 4

EARLIEST, LATEST = OffsetType.EARLIEST, OffsetType.LATEST

#: (has a group, reset_offset_on_start, was something committed, auto_offset_reset, first offset, committed at once)
ROWS = [
    (True, False, False, EARLIEST, 0, 0),
    (True, False, False, LATEST, COUNT, COUNT),
    (True, False, True, EARLIEST, COMMITTED, COMMITTED),
    (True, False, True, LATEST, COMMITTED, COMMITTED),
    (True, True, False, EARLIEST, 0, 0),
    (True, True, False, LATEST, COUNT, COUNT),
    (True, True, True, EARLIEST, 0, 0),
    (True, True, True, LATEST, COUNT, COUNT),
    (False, False, False, EARLIEST, 0, None),
    (False, False, False, LATEST, COUNT, None),
    (False, True, False, EARLIEST, 0, None),
    (False, True, False, LATEST, COUNT, None),
]


@pytest.fixture
def topic(make_topic: MakeTopic) -> Topic:
    """A topic with ten messages in its one partition."""
    topic = make_topic(1)
    with topic.get_producer() as producer:
        producer.produce_many([b"%d" % number for number in range(COUNT)])
    return topic


def committed(topic: Topic, group: str) -> int:
    """Return what is committed for the group of ``topic``'s one partition, -1 for nothing; nothing is started for it."""
    ((_partition, row),) = topic.get_simple_consumer(group, auto_start=False).fetch_offsets()
    return row.offset


@pytest.mark.parametrize(("has_group", "reset", "has_committed", "auto_offset_reset", "first", "at_once"), ROWS)
def test_where_a_consumer_starts_and_what_is_committed_at_once(
    topic: Topic,
    topic_name: str,
    has_group: bool,
    reset: bool,
    has_committed: bool,
    auto_offset_reset: int,
    first: int,
    at_once: Any,
) -> None:
    group = f"{topic_name}-group"
    if has_committed:
        with topic.get_simple_consumer(group) as earlier:
            earlier.commit_offsets([(topic.partitions[0], COMMITTED)])
    options = {"auto_offset_reset": auto_offset_reset, "reset_offset_on_start": reset, "consumer_timeout_ms": 15000}
    with topic.get_simple_consumer(group if has_group else None, **options) as consumer:
        assert consumer.position(topic.partitions[0]) == first
        if at_once is not None:
            assert committed(topic, group) == at_once
        else:
            assert committed(topic, group) == -1
        with topic.get_sync_producer() as producer:
            producer.produce(b"10")
        got: list[Any] = []
        while b"10" not in got:  # behind which there is nothing
            message = consumer.consume()
            assert message is not None, got
            got.append(message.value)
        assert got == [b"%d" % number for number in range(first, COUNT + 1)]


def test_commit_and_resume_go_on_right_after_the_last_message(topic: Topic, topic_name: str) -> None:
    with topic.get_simple_consumer(topic_name, consumer_timeout_ms=5000) as consumer:
        for _ in range(3):
            consumer.consume()
        assert consumer.held_offsets == {0: 2}
        consumer.commit_offsets()
    assert committed(topic, topic_name) == 3
    with topic.get_simple_consumer(topic_name, consumer_timeout_ms=1000) as consumer:
        assert consumer.held_offsets == {0: 2}
        assert [message.offset for message in consumer] == list(range(3, COUNT))


def test_what_was_fetched_but_not_delivered_is_not_committed(topic: Topic, topic_name: str) -> None:
    with topic.get_simple_consumer(topic_name, consumer_timeout_ms=5000) as consumer:
        assert len(consumer.consume_batch(1)) == 1
        consumer.commit_offsets()
    assert committed(topic, topic_name) == 1


def test_commit_offsets_sends_given_offsets_as_they_are(topic: Topic, topic_name: str) -> None:
    with topic.get_simple_consumer(topic_name) as consumer:
        consumer.commit_offsets([(topic.partitions[0], 7)])
    assert committed(topic, topic_name) == 7


def test_nothing_held_reads_as_minus_two(topic: Topic, topic_name: str) -> None:
    with topic.get_simple_consumer(topic_name) as consumer:
        assert consumer.held_offsets == {0: -2}


@pytest.mark.parametrize(
    ("where", "first"),
    [(4, 5), (EARLIEST, 0), (LATEST, COUNT), (0, 1)],
    ids=["last consumed 4", "earliest", "latest", "last consumed 0"],
)
def test_reset_offsets_moves_and_commits(topic: Topic, topic_name: str, where: int, first: int) -> None:
    with topic.get_simple_consumer(topic_name, consumer_timeout_ms=800) as consumer:
        consumer.consume()
        consumer.reset_offsets([(topic.partitions[0], where)])
        assert committed(topic, topic_name) == first
        assert [message.offset for message in consumer] == list(range(first, COUNT))


def test_reset_offsets_without_arguments_goes_to_auto_offset_reset(topic: Topic, topic_name: str) -> None:
    with topic.get_simple_consumer(topic_name, consumer_timeout_ms=800) as consumer:
        assert len(list(consumer)) == COUNT
        consumer.reset_offsets()
        assert len(list(consumer)) == COUNT


def test_reset_offsets_refuses_a_foreign_partition_and_a_wrong_type(topic: Topic, make_topic: MakeTopic, topic_name: str) -> None:
    other = make_topic(2, suffix="-other")
    with topic.get_simple_consumer(topic_name) as consumer:
        with pytest.raises(KafkaException, match="partitions"):
            consumer.reset_offsets([(other.partitions[0], 0)])
        with pytest.raises(ValueError, match="not str"):
            consumer.reset_offsets([(topic.partitions[0], "earliest")])  # type: ignore[list-item]


def test_fetch_offsets_moves_to_what_is_committed_unless_told_not_to(topic: Topic, topic_name: str) -> None:
    with topic.get_simple_consumer(topic_name, consumer_timeout_ms=800) as consumer:
        consumer.commit_offsets([(topic.partitions[0], 6)])
        ((partition, row),) = consumer.fetch_offsets()
        assert (partition, row.offset, row.err) == (0, 6, 0)
        assert consumer.position(topic.partitions[0]) == 6
    with topic.get_simple_consumer(topic_name, reset_offset_on_fetch=False, consumer_timeout_ms=800) as consumer:
        consumer.consume()
        assert consumer.fetch_offsets()[0][1].offset == 6
        assert consumer.position(topic.partitions[0]) == 7


def test_auto_commit_commits_what_was_delivered_in_the_background_and_at_the_end(topic: Topic, topic_name: str) -> None:
    options: dict[str, Any] = {"auto_commit_enable": True, "auto_commit_interval_ms": 100, "consumer_timeout_ms": 5000}
    with topic.get_simple_consumer(topic_name, **options) as consumer:
        for _ in range(4):
            consumer.consume()
        until(lambda: committed(topic, topic_name) == 4, what="the commit in the background")
        consumer.consume()
    assert committed(topic, topic_name) == 5


def test_without_auto_commit_nothing_is_committed_behind_ones_back(topic: Topic, topic_name: str) -> None:
    with topic.get_simple_consumer(topic_name, consumer_timeout_ms=800) as consumer:
        assert len(list(consumer)) == COUNT
    assert committed(topic, topic_name) == 0  # what the start of a new group committed


def test_without_a_group_there_is_nothing_to_commit_to(topic: Topic) -> None:
    with topic.get_simple_consumer() as consumer:
        for call in (consumer.commit_offsets, consumer.fetch_offsets):
            with pytest.raises(KafkaException, match="consumer_group"):
                call()


def test_another_client_sees_what_we_committed_and_we_see_what_it_did(kafka: Any, topic: Topic, topic_name: str) -> None:
    confluent_kafka = needs.package("confluent_kafka")
    settings = {"bootstrap.servers": kafka.hosts, "group.id": topic_name, "enable.auto.commit": False}
    place = confluent_kafka.TopicPartition(topic_name, 0)
    with topic.get_simple_consumer(topic_name) as consumer:
        consumer.commit_offsets([(topic.partitions[0], 3)])
    theirs = confluent_kafka.Consumer(settings)
    try:
        assert theirs.committed([place], timeout=20)[0].offset == 3
        place.offset = 8
        theirs.commit(offsets=[place], asynchronous=False)
    finally:
        theirs.close()
    assert committed(topic, topic_name) == 8
