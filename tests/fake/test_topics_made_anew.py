"""A topic is made anew in the middle of a commit, or of a look for its beginning: nobody else waits, nothing is lost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

import pykafka.offsets
from pykafka import KafkaClient
from pykafka.common import OffsetType
from pykafka.exceptions import KafkaException, NotCoordinatorForGroup, NotLeaderForPartition, UnknownTopicOrPartition
from pykafka.protocol.messages import OffsetCommitResponse
from pykafka.testing import FakeCluster

from ..support import until

EARLIEST = {"auto_offset_reset": OffsetType.EARLIEST}


@pytest.fixture
def kafka() -> Iterator[FakeCluster]:
    """Two topics, the one to be made anew with five messages in each of its three partitions."""
    with FakeCluster(topics={"x": 3, "y": 1}, auto_create_topics=False) as cluster:
        for partition in range(3):
            cluster.produce("x", [b"old"] * 5, partition=partition)
        cluster.produce("y", [b"old"])
        yield cluster


@pytest.fixture
def client(kafka: FakeCluster) -> Iterator[KafkaClient]:
    """A client that hears soon of what has changed."""
    with KafkaClient(kafka.hosts, metadata_max_age_ms=300) as client:
        yield client


def made_anew_during_commits(kafka: FakeCluster, partitions: int) -> None:
    """Have the next commit meet a coordinator that does not know x, which is there again before the commit after that."""

    def answer(request: Any, _version: int) -> Any:
        kafka.on("OffsetCommit", None)
        kafka.delete_topic("x")
        kafka.create_topic("x", partitions)
        response = OffsetCommitResponse
        rows = [
            response.OffsetCommitResponseTopic(
                name=topic.name,
                topic_id=topic.topic_id,
                partitions=[
                    response.OffsetCommitResponsePartition(
                        partition_index=part.partition_index, error_code=UnknownTopicOrPartition.ERROR_CODE
                    )
                    for part in topic.partitions
                ],
            )
            for topic in request.topics
        ]
        return response(topics=rows)

    kafka.on("OffsetCommit", answer)


@pytest.mark.parametrize("partitions", [3, 1])
def test_a_commit_is_not_sent_again_into_a_topic_of_the_same_name(
    kafka: FakeCluster, client: KafkaClient, partitions: int, caplog: pytest.LogCaptureFixture
) -> None:
    with client.topics["x"].get_simple_consumer("g", **EARLIEST) as consumer:
        for _ in range(15):
            assert consumer.consume().value == b"old"
        made_anew_during_commits(kafka, partitions)
        consumer.commit_offsets()
        assert "x/0, x/1, x/2 left out of a commit" in caplog.text
    assert kafka.committed("g") == {}
    kafka.produce("x", [b"new"] * 8)
    with client.topics["x"].get_simple_consumer("g", consumer_timeout_ms=10_000, **EARLIEST) as consumer:
        assert [consumer.consume().value for _ in range(8)] == [b"new"] * 8


def test_offsets_that_were_given_are_refused_when_their_topic_is_made_anew_meanwhile(
    kafka: FakeCluster, client: KafkaClient
) -> None:
    with client.topics["x"].get_simple_consumer("g", **EARLIEST) as consumer:
        made_anew_during_commits(kafka, 3)
        with pytest.raises(UnknownTopicOrPartition, match="x/1.*made anew"):
            consumer.commit_offsets([(consumer.partitions[1], 3)])
    assert kafka.committed("g") == {}


def test_what_a_broker_that_has_just_started_does_not_know_is_not_taken_for_committed_and_the_next_commit_is_made() -> None:
    """Before Kafka 2.8 topics have no ids: whether one that was away is another cannot be told, and commit_offsets() says so."""
    with FakeCluster(brokers=2, topics={"t": 1}, as_version="2.7") as kafka, KafkaClient(kafka.hosts) as client:
        kafka.produce("t", [b"v"] * 10)
        with client.topics["t"].get_simple_consumer("g", reset_offset_on_start=False, **EARLIEST) as consumer:
            assert len(consumer.consume_batch(10)) == 10
            kafka.fail_next("OffsetCommit", NotCoordinatorForGroup)
            kafka.fail_next("Metadata", UnknownTopicOrPartition, topic="t")
            with pytest.raises(UnknownTopicOrPartition, match="t/0 not committed.*away for a moment"):
                consumer.commit_offsets()
            assert kafka.committed("g")["t", 0].offset == 0
            consumer.commit_offsets()
            assert kafka.committed("g")["t", 0].offset == 10


def test_nothing_is_sent_again_by_name_while_nobody_says_whether_the_topic_is_the_same() -> None:
    options: dict[str, Any] = {"offsets_channel_backoff_ms": 10, "offsets_commit_max_retries": 5, **EARLIEST}
    with FakeCluster(topics={"t": 1}, as_version="2.8") as kafka:
        kafka.produce("t", [b"old"] * 10)
        with KafkaClient(kafka.hosts, offsets_channel_socket_timeout_ms=500) as client:
            consumer = client.topics["t"].get_simple_consumer("g", reset_offset_on_start=False, **options)
            assert len(consumer.consume_batch(10)) == 10
            before = len(kafka.requests.seen("OffsetCommit"))

            def answer(request: Any, _version: int) -> Any:
                kafka.on("OffsetCommit", None)
                kafka.hold("Metadata")
                return not_the_coordinator(request)

            kafka.on("OffsetCommit", answer)
            with pytest.raises(KafkaException):
                consumer.commit_offsets()
            assert len(kafka.requests.seen("OffsetCommit")) == before + 1
            kafka.heal()
            consumer.commit_offsets()
            assert kafka.committed("g")["t", 0].offset == 10
            consumer.stop()


def not_the_coordinator(request: Any) -> OffsetCommitResponse:
    """Return the answer of a broker that has just given the group away."""
    response = OffsetCommitResponse
    row = response.OffsetCommitResponsePartition(partition_index=0, error_code=NotCoordinatorForGroup.ERROR_CODE)
    return response(topics=[response.OffsetCommitResponseTopic(name=topic.name, partitions=[row]) for topic in request.topics])


def test_a_leader_that_is_slow_to_say_where_a_partition_begins_is_heard_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pykafka.offsets, "LEADER_ANSWERS_S", 0.2)
    with FakeCluster(topics={"t": 1}) as kafka, KafkaClient(kafka.hosts) as client:
        kafka.produce("t", [b"v"] * 10)
        with client.topics["t"].get_simple_consumer(consumer_timeout_ms=20_000, **EARLIEST) as consumer:
            assert consumer.consume().offset == 0
            kafka.delay("ListOffsets", 1.0, times=100)
            kafka.delete_records("t", 0, before=8)
            consumer.seek(consumer.partitions[0], 3)
            assert consumer.consume().offset == 8


def test_a_coordinator_that_says_nothing_holds_up_consumers_of_other_groups_as_long_as_one_answer_may_take() -> None:
    with FakeCluster(topics={"x": 1, "y": 1}) as kafka:
        kafka.produce("x", [b"v"])
        kafka.produce("y", [b"v"] * 10)
        with KafkaClient(kafka.hosts, offsets_channel_socket_timeout_ms=1000, metadata_max_age_ms=100) as client:
            topics = client.topics
            with topics["x"].get_simple_consumer("g", **EARLIEST) as of_x, topics["y"].get_simple_consumer(**EARLIEST) as of_y:
                assert of_x.consume() and of_y.consume()
                asked = len(kafka.requests.seen("OffsetFetch"))
                kafka.hold("OffsetFetch")
                kafka.add_partitions("x", 2)
                until(lambda: len(kafka.requests.seen("OffsetFetch")) > asked, what="a look for the new partition")
                kafka.delete_records("y", 0, before=8)
                of_y.seek(of_y.partitions[0], 3)
                began = time.monotonic()
                assert of_y.consume().offset == 8
                assert time.monotonic() - began < 12, "the coordinator was waited for as long as a user's own question is"
                kafka.heal()


def test_a_look_for_what_is_there_no_more_holds_up_no_other_consumer(kafka: FakeCluster, client: KafkaClient) -> None:
    topics = client.topics
    with topics["x"].get_simple_consumer(**EARLIEST) as of_x, topics["y"].get_simple_consumer(**EARLIEST) as of_y:
        for _ in range(15):
            of_x.consume()
        of_y.consume()

        def answer(_request: Any, _version: int) -> None:
            kafka.on("ListOffsets", None)
            kafka.fail_next("ListOffsets", NotLeaderForPartition, topic="x")
            for name, partitions in (("x", 1), ("y", 2)):
                kafka.delete_topic(name)
                kafka.create_topic(name, partitions)
            kafka.produce("x", [b"new"])
            for partition in range(2):
                kafka.produce("y", [b"new"], partition=partition)

        kafka.on("ListOffsets", answer)
        kafka.delete_topic("x")
        kafka.create_topic("x", 3)
        read: list[Any] = []

        def all_are_read() -> bool:
            for name, consumer in (("x", of_x), ("y", of_y)):
                read.extend((name, message.partition_id) for message in consumer.consume_batch(10, timeout_ms=50))
            return len(read) >= 3

        # the partitions of x that are gone were looked for on the thread of both for 24 seconds
        until(all_are_read, timeout_s=15, what="x/0, y/0 and y/1")
    assert sorted(read) == [("x", 0), ("y", 0), ("y", 1)]
