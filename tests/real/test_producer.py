"""Producing to a real broker: what is acknowledged is in the log, once, in order."""

from __future__ import annotations

import datetime
import queue
import threading
from typing import Any, Callable

import pytest

from pykafka import KafkaClient, Topic
from pykafka.exceptions import (
    KafkaException,
    MessageSizeTooLarge,
    ProducerStoppedException,
    UnknownTopicOrPartition,
)
from pykafka.partitioners import hashing_partitioner, murmur2_partitioner
from pykafka.records.message import Message
from pykafka.utils import deserialize_utf8, serialize_utf8

from ..support import read_all, until, values

pytestmark = pytest.mark.core

MakeTopic = Callable[..., Topic]


def test_messages_come_back_as_they_were_produced(make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    moment = datetime.datetime(2026, 1, 2, 3, 4, 5, 678000)
    with topic.get_producer() as producer:
        producer.produce(b"plain")
        producer.produce(None, partition_key=b"tombstone")
        producer.produce(b"", partition_key=b"")
        producer.produce(b"dated", timestamp=moment)
        producer.produce(b"with headers", b"key", headers=[("a", b"1"), ("b", None), ("\N{SNOWMAN}", b"")])
    plain, tombstone, empty, dated, headed = got = read_all(topic, 5)
    assert [(message.value, message.partition_key) for message in got] == [
        (b"plain", None),
        (None, b"tombstone"),
        (b"", b""),
        (b"dated", None),
        (b"with headers", b"key"),
    ]
    assert [message.offset for message in got] == [0, 1, 2, 3, 4]
    assert dated.timestamp_dt == moment
    assert headed.headers == [("a", b"1"), ("b", None), ("\N{SNOWMAN}", b"")] and plain.headers == []
    assert all(message.topic == topic.name and message.partition is topic.partitions[0] for message in got)
    assert all(got) and len(empty) >= 14 and tombstone.protocol_version == 2


def test_round_robin_is_exact_and_order_within_a_partition_is_kept(make_topic: MakeTopic) -> None:
    topic = make_topic(3)
    with topic.get_producer() as producer:
        for number in range(3000):
            producer.produce(b"%d" % number)
    got = read_all(topic, 3000)
    for partition in range(3):
        # the first message goes to partition 1, as it always did
        expected = [b"%d" % number for number in range(3000) if (number + 1) % 3 == partition]
        assert values([message for message in got if message.partition_id == partition]) == expected


@pytest.mark.parametrize("partitioner", [hashing_partitioner, murmur2_partitioner], ids=["PyKafka's hash", "Java's hash"])
def test_messages_of_one_key_stay_in_one_partition_in_order(make_topic: MakeTopic, partitioner: Any) -> None:
    topic = make_topic(4)
    with topic.get_producer(partitioner=partitioner) as producer:
        made = [producer.produce(b"%d" % number, b"key-%d" % (number % 20)) for number in range(2000)]
        producer.flush()
    got = read_all(topic, 2000)
    partitions = sorted(topic.partitions.values())
    for key in {message.partition_key for message in made}:
        mine = [message for message in got if message.partition_key == key]
        assert {message.partition_id for message in mine} == {partitioner(partitions, key).id}
        assert values(mine) == [message.value for message in made if message.partition_key == key]


def test_a_partitioner_of_ones_own_is_asked_for_every_message(make_topic: MakeTopic) -> None:
    topic = make_topic(3)
    asked: list[Any] = []

    def always_the_last(partitions: list[Any], key: Any) -> Any:
        asked.append((threading.current_thread().name, key))
        return partitions[-1]

    with topic.get_producer(partitioner=always_the_last) as producer:
        messages = [producer.produce(b"x", b"%d" % number) for number in range(10)]
        assert {message.partition_id for message in messages} == {2}
    assert asked == [(threading.current_thread().name, b"%d" % number) for number in range(10)]
    assert {message.partition_id for message in read_all(topic, 10)} == {2}


def test_offsets_and_partitions_are_filled_in(make_topic: MakeTopic) -> None:
    topic = make_topic(2)
    with topic.get_producer() as producer:
        messages = [producer.produce(b"x") for _ in range(10)]
        assert [message.partition_id for message in messages] == [1, 0] * 5
        producer.flush()
        assert [message.offset for message in messages] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
        assert all(message.done and message.error is None for message in messages)


def test_a_sync_producer_has_written_when_produce_returns(make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    with topic.get_sync_producer() as producer:
        assert [producer.produce(b"x").offset for _ in range(5)] == [0, 1, 2, 3, 4]
    assert topic.latest_available_offsets()[0].offset == [5]
    with pytest.raises(TypeError, match="sync"):
        topic.get_sync_producer(sync=False)


@pytest.mark.parametrize("acks", [0, 1, -1])
def test_every_kind_of_acknowledgement_delivers(make_topic: MakeTopic, acks: int) -> None:
    topic = make_topic(2)
    with topic.get_producer(required_acks=acks) as producer:
        messages = producer.produce_many([b"%d" % number for number in range(500)])
    assert all(message.done for message in messages)
    assert sorted(values(read_all(topic, 500))) == sorted(b"%d" % number for number in range(500))


def test_delivery_reports_go_to_the_thread_that_produced(make_topic: MakeTopic) -> None:
    topic = make_topic(2)
    mistakes: list[Any] = []
    with topic.get_producer(delivery_reports=True) as producer:

        def work(name: str) -> None:
            mine = {producer.produce(f"{name}-{number}".encode()) for number in range(200)}
            reported = [producer.get_delivery_report(timeout=20) for _ in range(200)]
            if {message for message, error in reported if error is None} != mine:
                mistakes.append(reported)

        threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with pytest.raises(queue.Empty):
            producer.get_delivery_report(block=False)
    assert mistakes == []
    with topic.get_producer() as producer, pytest.raises(KafkaException, match="delivery_reports=True"):
        producer.get_delivery_report()


def test_callbacks_get_every_message_in_order_and_a_broken_one_stops_nothing(make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    seen: list[Any] = []

    def on_delivery(message: Message, error: Any) -> None:
        seen.append((message.offset, error))
        if message.offset == 3:
            raise ValueError("a mistake of the user's")

    with topic.get_producer() as producer:
        for _ in range(100):
            producer.produce(b"x", on_delivery=on_delivery)
    until(lambda: len(seen) == 100, what="all callbacks")
    assert seen == [(offset, None) for offset in range(100)]


def test_a_dict_of_producers_is_used_by_several_threads_at_once(client: KafkaClient, make_topic: MakeTopic) -> None:
    topics = [make_topic(2, suffix=f"-{number}") for number in range(5)]
    producers = {topic.name: topic.get_producer() for topic in topics}
    threads = [
        threading.Thread(target=lambda topic=topic: [producers[topic.name].produce(b"%d" % n) for n in range(1000)])  # type: ignore[misc]
        for topic in topics
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for producer in producers.values():
        producer.stop()
    for topic in topics:
        assert sorted(values(read_all(topic, 2000))) == sorted([b"%d" % number for number in range(1000)] * 2)
    # however many producers there are, there is one connection for data to a broker
    assert sum(name == "data" for _host, _port, name in client.cluster.engine._lanes) == 1


def test_serializers_run_before_partitioning(make_topic: MakeTopic) -> None:
    topic = make_topic(2)
    with topic.get_producer(serializer=serialize_utf8, partitioner=murmur2_partitioner) as producer:
        message = producer.produce("grüße", "schlüssel")
        assert (message.value, message.partition_key) == ("grüße".encode(), "schlüssel".encode())
    (got,) = read_all(topic, 1, deserializer=deserialize_utf8)
    assert (got.value, got.partition_key) == ("grüße", "schlüssel")


def test_a_batch_may_fill_the_brokers_limit_and_a_message_too_large_for_the_topic_is_an_error(make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    with topic.get_producer(linger_ms=20) as producer:
        # 9,000 messages of 1 KB in one batch would be refused: what goes into a batch is bounded with all its overhead
        producer.produce_many([b"x" * 1000] * 9000)
        producer.produce(b"y" * 999000)
    assert len(read_all(topic, 9001)) == 9001
    small = make_topic(1, suffix="-small", max_message_bytes="2000")
    with small.get_producer(linger_ms=20) as producer:
        fits = producer.produce_many([b"z" * 500] * 10)
        too_large = producer.produce(b"z" * 3000)
        with pytest.raises(MessageSizeTooLarge, match="max.message.bytes"):
            too_large.result(20)
        producer.flush()
        assert all(message.error is None for message in fits)
    assert len(read_all(small, 10)) == 10


@pytest.mark.parametrize(
    ("wrong", "said"), [("text", "not str"), (5, "not int"), (bytearray(b"x"), "not bytearray"), ([b"x"], "not list")]
)
def test_a_wrong_type_is_named(make_topic: MakeTopic, wrong: Any, said: str) -> None:
    topic = make_topic(1)
    with topic.get_producer() as producer:
        with pytest.raises(TypeError, match=said):
            producer.produce(wrong)
        with pytest.raises(TypeError, match=said):
            producer.produce_many([b"good", wrong])
        with pytest.raises(TypeError, match="partition_key"):
            producer.produce(b"x", wrong)
        producer.flush()
    assert topic.latest_available_offsets()[0].offset == [0]


def test_bad_options_are_all_named_at_once(make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    with pytest.raises((TypeError, ValueError)) as caught:
        topic.get_producer(linger=5, required_acks=2, max_queued_messages="many", compression=9)
    text = str(caught.value)
    for part in ("did you mean linger_ms", "required_acks=2", "max_queued_messages='many'", "compression=9"):
        assert part in text


def test_a_stopped_producer_says_so_and_can_be_started_again(make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    producer = topic.get_producer()
    producer.produce(b"first")
    producer.stop()
    producer.stop()
    with pytest.raises(ProducerStoppedException):
        producer.produce(b"lost?")
    producer.start()
    producer.produce(b"second")
    producer.stop()
    assert values(read_all(topic, 2)) == [b"first", b"second"]


def test_closing_the_client_sends_what_is_queued(kafka: Any, make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    other = KafkaClient(kafka.hosts)
    producer = other.topics[topic.name].get_producer(linger_ms=60000)
    producer.produce_many([b"x"] * 100)
    other.close()
    assert topic.latest_available_offsets()[0].offset == [100]


def test_a_topic_is_created_by_asking_for_it_but_not_by_looking(client: KafkaClient, topic_name: str) -> None:
    assert topic_name not in client.topics
    assert client.topics.get(topic_name) is None
    topic = client.topics[topic_name]
    assert len(topic.partitions) == 3
    assert topic_name in client.topics and topic_name.encode() in client.topics
    assert client.topics[topic_name.encode()] is topic


def test_topics_are_created_and_deleted_through_a_broker(client: KafkaClient, make_topic: MakeTopic) -> None:
    topic = make_topic(2, retention_ms="1000000")
    assert sorted(topic.partitions) == [0, 1]
    broker = client.cluster.controller_broker
    assert broker is not None and broker.connected
    broker.delete_topics([topic.name])
    with pytest.raises(UnknownTopicOrPartition):
        until(lambda: broker.delete_topics([topic.name]), what="the deletion")
