"""Records written here are read byte for byte by another client, and the other way round, for every codec."""

from __future__ import annotations

import os
import random
from typing import Any, Callable

import pytest

from pykafka import Topic
from pykafka.common import CompressionType

from .. import needs
from ..brokers import KafkaCluster
from ..support import read_all

confluent_kafka = needs.package("confluent_kafka")

MakeTopic = Callable[..., Topic]
CODECS = {
    "none": CompressionType.NONE,
    "gzip": CompressionType.GZIP,
    "snappy": CompressionType.SNAPPY,
    "lz4": CompressionType.LZ4,
    "zstd": CompressionType.ZSTD,
}
NAMES = [pytest.param(name, marks=pytest.mark.kafka(since="2.1") if name == "zstd" else ()) for name in CODECS]
KINDS = ["alike", "keyed", "sizes", pytest.param("mixed", marks=pytest.mark.core)]
Row = tuple[Any, Any, list[tuple[str, Any]], int]


def rows(kind: str) -> list[Row]:
    """Return (value, key, headers, timestamp) of messages that reach every way of encoding and decoding."""
    chance = random.Random(kind)
    start = 1700000000000
    if kind == "alike":
        return [(os.urandom(50) + b"x" * 50, None, [], start + number // 50) for number in range(2000)]
    if kind == "keyed":
        return [(os.urandom(30) + b"y" * 30, b"key-%06d" % number, [], start + number) for number in range(2000)]
    if kind == "sizes":
        return [((b"%05d," % number * 70)[: chance.randrange(400)], None, [], start + 7 * number) for number in range(2000)]
    made: list[Row] = []
    for _ in range(1000):
        value = chance.choice([None, b"", os.urandom(chance.randrange(200)), b"repeat " * 50])
        key = chance.choice([None, b"", os.urandom(chance.randrange(100))])
        headers = chance.choice([[], [("a", b"1")], [("x", None), ("x", b""), ("\N{SNOWMAN}", b"\0\xff")]])
        made.append((value, key, headers, start + chance.randrange(10**8)))
    return made


def read_by_confluent(kafka: KafkaCluster, topic: str, count: int) -> list[Row]:
    """Return what confluent-kafka reads from partition 0, checking checksums."""
    settings = {"bootstrap.servers": kafka.hosts, "group.id": "reader", "enable.auto.commit": False, "check.crcs": True}
    consumer = confluent_kafka.Consumer(settings)
    consumer.assign([confluent_kafka.TopicPartition(topic, 0, confluent_kafka.OFFSET_BEGINNING)])
    got: list[Row] = []
    try:
        while len(got) < count:
            found = consumer.consume(count - len(got), 20)
            assert found, f"{len(got)} of {count} messages after 20 s"
            for message in found:
                assert message.error() is None
                got.append((message.value(), message.key(), message.headers() or [], message.timestamp()[1]))
    finally:
        consumer.close()
    return got


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("codec", NAMES)
def test_what_we_write_another_client_reads(kafka: KafkaCluster, make_topic: MakeTopic, codec: str, kind: str) -> None:
    topic = make_topic(1)
    made = rows(kind)
    with topic.get_producer(compression=CODECS[codec], linger_ms=20) as producer:
        for value, key, headers, timestamp in made:
            producer.produce(value, key, timestamp, headers=headers)
    assert read_by_confluent(kafka, topic.name.decode(), len(made)) == made


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("codec", NAMES)
def test_what_another_client_writes_we_read(kafka: KafkaCluster, make_topic: MakeTopic, codec: str, kind: str) -> None:
    topic = make_topic(1)
    made = rows(kind)
    settings = {"bootstrap.servers": kafka.hosts, "compression.type": codec, "linger.ms": 20, "enable.idempotence": True}
    producer = confluent_kafka.Producer(settings)
    for value, key, headers, timestamp in made:
        producer.produce(topic.name.decode(), value, key, partition=0, headers=headers, timestamp=timestamp)
    assert producer.flush(30) == 0
    got = read_all(topic, len(made))
    assert [(one.value, one.partition_key, one.headers, one.timestamp) for one in got] == made
    # tiny batches may stay as they are where compressing makes them larger; the first is not tiny
    assert got[0].compression_type == CODECS[codec]
