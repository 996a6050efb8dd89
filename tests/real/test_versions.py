"""What depends on the broker's version: what old ones cannot do is refused in words, and their own tools agree with us."""

from __future__ import annotations

from typing import Callable

import pytest

from pykafka import KafkaClient, Topic
from pykafka.common import CompressionType
from pykafka.exceptions import CorruptBatchError, UnsupportedForMessageFormat, UnsupportedVersion
from pykafka.protocol import Message, ProduceRequest

from ..brokers import KafkaCluster, version_tuple
from ..support import read_all
from .test_interop import read_by_confluent

pytestmark = pytest.mark.core

MakeTopic = Callable[..., Topic]

#: The format that such topics keep their messages in; from Kafka 3.0 on brokers pass over the setting.
OLD_FORMAT = {"message_format_version": "0.10.2"}


# -- the tools that come with a broker, as long as they are in the broker's own jars ------------------------------------


@pytest.mark.kafka(before="3.0")
def test_the_brokers_own_consumer_reads_what_we_write_with_every_codec(
    kafka: KafkaCluster, make_topic: MakeTopic, broker_version: str
) -> None:
    topic = make_topic(1)
    expected = []
    for codec in range(5 if version_tuple(broker_version) >= (2, 1) else 4):  # zstd is the last
        with topic.get_producer(compression=codec, linger_ms=20) as producer:
            for number in range(50):
                timestamp = 1_700_000_000_000 + number
                producer.produce(b"value-%d-%d" % (codec, number), b"key-%d" % number, timestamp)
                expected.append(b"CreateTime:%d\tkey-%d\tvalue-%d-%d" % (timestamp, number, codec, number))
    options = ["--topic", topic.name.decode(), "--from-beginning", "--max-messages", len(expected)]
    shown = [word for name in ("key", "timestamp") for word in ("--property", f"print.{name}=true")]
    seen = kafka.run_tool("kafka.tools.ConsoleConsumer", "--bootstrap-server", kafka.hosts, *options, *shown)
    assert seen.splitlines() == expected


@pytest.mark.kafka(before="4.0")
def test_we_read_what_the_brokers_own_producer_writes(kafka: KafkaCluster, make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    lines = b"".join(b"key-%d:value-%d\n" % (number, number) for number in range(100))
    options = ["--topic", topic.name.decode(), "--compression-codec", "lz4"]
    keyed = ["--property", "parse.key=true", "--property", "key.separator=:"]
    kafka.run_tool("kafka.tools.ConsoleProducer", "--broker-list", kafka.hosts, *options, *keyed, stdin=lines)
    got = read_all(topic, 100)
    assert [(message.partition_key, message.value) for message in got] == [(b"key-%d" % n, b"value-%d" % n) for n in range(100)]


# -- what brokers are too old for ---------------------------------------------------------------------------------------


@pytest.mark.kafka(before="2.1")
def test_zstd_is_refused_before_it_is_sent(client: KafkaClient, make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    raw = ProduceRequest(CompressionType.ZSTD)
    raw.add_message(Message(b"raw"), topic.name, 0)
    with pytest.raises(UnsupportedVersion, match="use another codec"):
        client.brokers[1].produce_messages(raw)
    with topic.get_producer(compression=CompressionType.ZSTD) as producer:
        message = producer.produce(b"x")
        with pytest.raises(UnsupportedVersion, match="use another codec"):
            message.result(20)
    assert topic.latest_available_offsets()[0].offset == [0]


@pytest.mark.kafka(before="3.0")
def test_a_topic_in_an_old_format_refuses_idempotent_producers_and_says_what_to_do(make_topic: MakeTopic) -> None:
    topic = make_topic(1, **OLD_FORMAT)
    with topic.get_producer() as producer:
        message = producer.produce(b"x")
        with pytest.raises(UnsupportedForMessageFormat, match=r"raise message\.format\.version, or give required_acks=1"):
            message.result(20)
    assert topic.latest_available_offsets()[0].offset == [0]


@pytest.mark.kafka(before="3.0")
@pytest.mark.parametrize("acks", [0, 1])
def test_a_topic_in_an_old_format_is_written_to_without_idempotence(
    kafka: KafkaCluster, make_topic: MakeTopic, acks: int
) -> None:
    topic = make_topic(1, **OLD_FORMAT)
    rows = [(b"value-%d" % number, b"key-%d" % number, [], 1_700_000_000_000 + number) for number in range(100)]
    with topic.get_producer(required_acks=acks) as producer:
        for value, key, _headers, timestamp in rows:
            producer.produce(value, key, timestamp)
    assert read_by_confluent(kafka, topic.name.decode(), 100) == rows


@pytest.mark.kafka(before="3.0")
def test_messages_in_an_old_format_are_an_error_until_one_seeks_behind_them(make_topic: MakeTopic) -> None:
    topic = make_topic(1, **OLD_FORMAT)
    with topic.get_producer(required_acks=1) as producer:
        producer.produce_many([b"old"] * 10)
    with topic.get_simple_consumer(consumer_timeout_ms=20000) as consumer:
        for _ in range(2):
            with pytest.raises(CorruptBatchError, match=r"message format of Kafka 0\.10 \(magic 1\), which is not supported"):
                consumer.consume()
        assert consumer.position(topic.partitions[0]) == 0
        consumer.seek(topic.partitions[0], 10)
        assert consumer.consume(block=False) is None
