"""A real topic that grows, or is deleted and created again, while it is read."""

from __future__ import annotations

from typing import Callable, Optional

import pytest

from pykafka import KafkaClient, Topic
from pykafka.common import OffsetType
from pykafka.exceptions import TopicAlreadyExists

from .. import needs
from ..brokers import KafkaCluster
from ..support import create_topic, read_all, until, values

admin = needs.package("confluent_kafka.admin")

pytestmark = pytest.mark.core

MakeTopic = Callable[..., Topic]


def grow(kafka: KafkaCluster, name: str, partitions: int) -> None:
    """Give a topic more partitions."""
    client = admin.AdminClient({"bootstrap.servers": kafka.hosts})
    for answer in client.create_partitions([admin.NewPartitions(name, partitions)]).values():
        answer.result(30)


def produce(topic: Topic, values: list[bytes], partition_id: int = 0) -> None:
    """Write ``values`` to one partition."""
    with topic.get_producer(partitioner=lambda partitions, key: partitions[partition_id]) as producer:
        producer.produce_many(values)


def recreate(client: KafkaClient, name: str, partitions: int = 1) -> Topic:
    """Delete a topic and create it again."""
    (broker,) = client.brokers.values()
    broker.delete_topics([name])

    def gone() -> bool:
        client.update_cluster()
        return name.encode() not in list(client.topics)

    def created() -> Optional[Topic]:
        try:
            return create_topic(client, name, partitions)
        except TopicAlreadyExists:  # with ZooKeeper it is gone from metadata a while before its name is free
            return None

    until(gone, what="the end of the topic")
    topic: Topic = until(created, what="the new topic")
    return topic


@pytest.mark.kafka(since="1.0")  # before it only a tool of Kafka's makes partitions
@pytest.mark.parametrize("reset", [OffsetType.EARLIEST, OffsetType.LATEST])
def test_partitions_that_a_topic_gets_while_it_is_read_are_read_too(
    kafka: KafkaCluster, make_topic: MakeTopic, reset: int
) -> None:
    name = make_topic(1).name.decode()
    with KafkaClient(kafka.hosts, metadata_max_age_ms=200) as reader, KafkaClient(kafka.hosts) as writer:
        options = {"auto_offset_reset": reset, "consumer_timeout_ms": 20000}
        with reader.topics[name].get_simple_consumer(f"{name}-group", **options) as consumer:
            grow(kafka, name, 3)
            until(lambda: writer.update_cluster() or len(writer.topics[name].partitions) == 3, what="three partitions")
            writer.topics[name].latest_available_offsets()
            for number in range(3):
                produce(writer.topics[name], [b"%d" % number] * 100, number)
            got = [message.value for message in (consumer.consume() for _ in range(300)) if message]
            assert sorted(got) == [b"0"] * 100 + [b"1"] * 100 + [b"2"] * 100
            consumer.commit_offsets()
        with writer.topics[name].get_simple_consumer(f"{name}-group", auto_start=False) as again:
            assert [(pid, row.offset) for pid, row in again.fetch_offsets()] == [(0, 100), (1, 100), (2, 100)]


@pytest.mark.kafka(since="3.1")  # before it fetches name topics, and nothing tells the new one's messages from the old one's
@pytest.mark.parametrize("fresh", [20, 80])
@pytest.mark.parametrize("reset", [OffsetType.EARLIEST, OffsetType.LATEST])
def test_a_topic_that_is_created_again_is_read_from_its_beginning(
    kafka: KafkaCluster, make_topic: MakeTopic, reset: int, fresh: int
) -> None:
    topic = make_topic(1)
    name = topic.name.decode()
    with KafkaClient(kafka.hosts) as other, KafkaClient(kafka.hosts) as reader:
        options = {"auto_offset_reset": reset, "consumer_timeout_ms": 20000}
        with reader.topics[name].get_simple_consumer(f"{name}-group", **options) as consumer:
            produce(topic, [b"old"] * 50)
            assert [consumer.consume() is not None for _ in range(50)] == [True] * 50
            consumer.commit_offsets()
            again = recreate(other, name)
            produce(again, [b"%d" % number for number in range(fresh)])
            got = [message.value for message in (consumer.consume() for _ in range(fresh)) if message]
            assert got == [b"%d" % number for number in range(fresh)]
            consumer.commit_offsets()
            assert [(pid, row.offset) for pid, row in consumer.fetch_offsets()] == [(0, fresh)]


def test_a_producer_goes_on_with_a_topic_that_is_created_again(kafka: KafkaCluster, make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    name = topic.name.decode()
    with KafkaClient(kafka.hosts) as other, topic.get_producer(linger_ms=0) as producer:
        producer.produce(b"old").result(20)
        again = recreate(other, name)
        new = [producer.produce(b"%d" % number) for number in range(100)]
        producer.flush(60)
        assert [message.error for message in new] == [None] * 100
        assert values(read_all(again, 100)) == [b"%d" % number for number in range(100)]
