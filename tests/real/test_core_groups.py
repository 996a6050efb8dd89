"""The core of groups of the classic protocol, on every version of Kafka: sharing, taking over, commits, static members."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Callable

import pytest

from pykafka import KafkaClient, Topic
from pykafka.balancedconsumer import BalancedConsumer
from pykafka.exceptions import UnsupportedVersion

from ..brokers import KafkaCluster
from ..support import until
from .test_mixed_groups import PROTOCOLS, Confluent, Ours, Play, Player

# kafka-python reads its schemas in a way that Python warns of
pytestmark = [
    pytest.mark.core,
    pytest.mark.filterwarnings("ignore:(read|open)_text is deprecated:DeprecationWarning"),
]

MakeTopic = Callable[..., Topic]


@pytest.fixture
def play(kafka: KafkaCluster, client: KafkaClient, topic_name: str) -> Iterator[Play]:
    """A topic and its group, which nobody is in any more in the end."""
    with Play(kafka, client, topic_name) as play:
        yield play


def take_over_from_each_other(play: Play, sharing: str, kind: type[Player], other_kind: type[Player]) -> None:
    """Have two members share, each of them leave once, and fail unless all was read once and is committed."""

    def check_description() -> None:
        description = play.description()
        assert description[:5] == (0, play.name.encode(), b"Stable", b"consumer", sharing.encode())
        assert len(description.members) == 2

    play.take_over_from_each_other(kind, other_kind, sharing, check_description)


@pytest.mark.parametrize("sharing", PROTOCOLS)
def test_members_take_over_from_each_other_without_loss_or_repetition(play: Play, sharing: str) -> None:
    take_over_from_each_other(play, sharing, Ours, Ours)


@pytest.mark.parametrize(
    ("sharing", "leader"),
    [("range", Ours), ("range", Confluent), ("cooperative-sticky", Ours), ("cooperative-sticky", Confluent)],
)
def test_members_take_over_from_those_of_confluent_kafka_and_they_from_ours(
    play: Play, sharing: str, leader: type[Player]
) -> None:
    take_over_from_each_other(play, sharing, leader, Confluent if leader is Ours else Ours)


def member(topic: Topic, **options: Any) -> BalancedConsumer:
    """Return a member of the group of the topic's name, by the classic protocol and not started."""
    settings: dict[str, Any] = {
        "managed": True, "group_protocol": "classic", "heartbeat_interval_ms": 200, "consumer_timeout_ms": 20000,
        "auto_start": False, **options,
    }  # fmt: skip
    return topic.get_balanced_consumer(topic.name.decode(), **settings)


def write(topic: Topic, *values: bytes) -> None:
    """Write values to a topic."""
    with topic.get_producer(linger_ms=0) as producer:
        producer.produce_many(list(values))


def read(consumer: BalancedConsumer, count: int) -> list[bytes]:
    """Return the values of the next messages in order."""
    found = []
    for _ in range(count):
        message = consumer.consume()
        assert message is not None
        found.append(message.value)
    return sorted(found)


def test_a_member_goes_on_where_the_last_one_committed_and_not_where_it_had_read(make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    write(topic, b"a", b"b", b"c", b"d")
    with member(topic) as consumer:
        assert read(consumer, 2) == [b"a", b"b"]
        consumer.commit_offsets()
        assert read(consumer, 1) == [b"c"]
    with member(topic) as consumer:
        assert read(consumer, 2) == [b"c", b"d"]
    with member(topic) as consumer:
        assert read(consumer, 2) == [b"c", b"d"]
        consumer.commit_offsets()
    write(topic, b"e")
    with member(topic) as consumer:
        assert read(consumer, 1) == [b"e"]


@pytest.mark.kafka(since="2.3")
def test_a_static_member_comes_back_to_what_it_had_in_the_same_generation(make_topic: MakeTopic) -> None:
    topic = make_topic(4)
    with member(topic, group_instance_id="b") as other:
        first = member(topic, group_instance_id="a")
        first.start()
        until(lambda: len(first.partitions) == len(other.partitions) == 2, what="shares for two static members")
        had, generation = set(first.partitions), other.group_status().generation
        first.stop()
        with member(topic, group_instance_id="a") as again:
            until(lambda: set(again.partitions) == had, what="the share that the static member had")
            assert other.group_status().generation == generation


@pytest.mark.kafka(before="2.3")
def test_a_broker_without_static_members_has_the_option_refused_in_words(make_topic: MakeTopic) -> None:
    consumer = member(make_topic(1), group_instance_id="a")
    with pytest.raises(UnsupportedVersion, match="group_instance_id"):
        consumer.start()


@pytest.mark.kafka(before="4.0")
def test_a_broker_without_the_newer_protocol_has_it_refused_and_auto_takes_the_classic_one(
    make_topic: MakeTopic,
) -> None:
    topic = make_topic(1)
    with pytest.raises(UnsupportedVersion, match="group_protocol"):
        member(topic, group_protocol="consumer").start()
    with member(topic, group_protocol="auto") as consumer:
        until(lambda: consumer.partitions, what="the partition")
        assert consumer.group_status().protocol == "range"
