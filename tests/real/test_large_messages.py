"""Messages of ten million bytes with the settings that consumers have by default, on a real broker and on a fake one alike."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from pykafka import KafkaClient, Topic
from pykafka.common import CompressionType
from pykafka.exceptions import MessageSizeTooLarge
from pykafka.records.encode import encode_batch
from pykafka.testing import FakeCluster

from .. import needs
from ..support import create_topic, read_all, until

MB = 1_000_000
LARGE = random.Random(15).randbytes(10 * MB + 1)
#: A batch of one message of ten million bytes, and not a byte more.
LIMIT = len(encode_batch([LARGE[:-1]], None, None, [1_700_000_000_000]))


@pytest.fixture(params=["fake", "real"])
def hosts(request: pytest.FixtureRequest) -> Iterator[str]:
    """Where a cluster is, one of each kind."""
    if request.param == "real":
        yield request.getfixturevalue("kafka").hosts
        return
    with FakeCluster() as cluster:
        yield cluster.hosts
        assert cluster.complaints == []


@pytest.fixture
def large_topic(hosts: str, topic_name: str) -> Iterator[Topic]:
    """A topic of two partitions that takes ten million bytes."""
    with KafkaClient(hosts) as client:
        yield create_topic(client, topic_name, 2, max_message_bytes=str(LIMIT))


def mixed() -> list[tuple[bytes, Any]]:
    """Return (value, key) of messages: large ones between small ones, with keys and without."""
    rows = [(b"%d" % (number % 10), b"k%d" % number if number % 3 else None) for number in range(60)]
    for at, number in enumerate((0, 7, 8, 30, 59)):
        # a key, and what a codec adds to what it cannot compress, are within the limit, too
        rows[number] = LARGE[at : at + 10 * MB - 5000], rows[number][1]
    return rows


def read_by_confluent(hosts: str, topic: str, count: int) -> dict[tuple[int, int], tuple[bytes, Any]]:
    """Return what librdkafka reads: (partition, offset) -> (value, key)."""
    confluent = needs.package("confluent_kafka")
    consumer = confluent.Consumer({"bootstrap.servers": hosts, "group.id": "g", "log_level": 0})
    consumer.assign([confluent.TopicPartition(topic, number, 0) for number in (0, 1)])
    found: dict[tuple[int, int], tuple[bytes, Any]] = {}

    def look() -> bool:
        for one in consumer.consume(100, 0.2):
            assert not one.error(), one.error()
            found[one.partition(), one.offset()] = one.value(), one.key()
        return len(found) == count

    until(look, what="all messages")
    consumer.close()
    return found


@pytest.mark.parametrize("codec", [CompressionType.NONE, CompressionType.LZ4])
def test_large_messages_between_small_ones_reach_every_kind_of_consumer(large_topic: Topic, hosts: str, codec: int) -> None:
    rows = mixed()
    with large_topic.get_producer(max_request_size=11 * MB, compression=codec) as producer:
        messages = [producer.produce(value, key) for value, key in rows]
    sent = {(message.result(0).partition_id, message.offset): row for message, row in zip(messages, rows)}
    name = large_topic.name.decode()
    assert read_by_confluent(hosts, name, len(rows)) == sent
    # the first: fetch_message_max_bytes of 1 MiB, fetch_max_bytes of 50 MiB, fetch_memory_bytes of 64 MiB, all as by default
    for options in ({}, {"fetch_memory_bytes": 65536}, {"fetch_message_max_bytes": 1, "fetch_max_bytes": 1}):
        read = read_all(large_topic, len(rows), **options)
        assert {(one.partition_id, one.offset): (one.value, one.partition_key) for one in read} == sent, options
    for protocol in ("classic", "consumer"):
        with large_topic.get_balanced_consumer(f"{name}-{protocol}", managed=True, group_protocol=protocol) as consumer:
            taken = [consumer.consume() for _ in rows]
            assert {(one.partition_id, one.offset): (one.value, one.partition_key) for one in taken} == sent


def test_one_byte_more_than_the_broker_takes_fails_at_once_and_what_is_behind_it_goes_on(large_topic: Topic) -> None:
    with large_topic.get_producer(max_request_size=11 * MB, partitioner=lambda partitions, _key: partitions[0]) as producer:
        fits, too_large, behind = (producer.produce(value) for value in (LARGE[:-1], LARGE, b"behind"))
        assert fits.result(30) is fits and behind.result(30) is behind
        with pytest.raises(MessageSizeTooLarge) as raised:
            too_large.result(30)
    assert large_topic.name.decode() in str(raised.value)
    assert [one.value for one in read_all(large_topic, 2)] == [LARGE[:-1], b"behind"]


def test_one_byte_more_than_the_producer_takes_is_refused_with_both_sizes(large_topic: Topic) -> None:
    with large_topic.get_producer(max_request_size=10 * MB) as producer:
        with pytest.raises(MessageSizeTooLarge, match=r"10000001 bytes.*max_request_size=10000000"):
            producer.produce(LARGE)
        assert producer.produce(LARGE[:-1]).result(30).offset == 0
    assert [one.value for one in read_all(large_topic, 1)] == [LARGE[:-1]]
