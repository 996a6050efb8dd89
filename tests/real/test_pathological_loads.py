"""Loads that nobody would tune for: everything arrives once and in order, and nothing grows without bound."""

from __future__ import annotations

import random
from typing import Any, Callable

import pytest

from pykafka import Topic, partitioners
from pykafka.common import CompressionType
from pykafka.partitioners import Murmur2Partitioner, murmur2, murmur2_partitioner
from pykafka.producer import Producer
from pykafka.records import encode, framed, varints
from pykafka.records.decode import decode_batch

from ..support import read_all, values
from ..unit.records.making import ROOMY, raw

MakeTopic = Callable[..., Topic]

MIB = 1 << 20


def in_order(topic: Topic, count: int, **options: Any) -> dict[int, list[bytes]]:
    """Return the values of every partition, having read so many messages of a topic."""
    got: dict[int, list[bytes]] = {}
    for message in read_all(topic, count, **options):
        got.setdefault(message.partition_id, []).append(message.value)
    return got


def test_messages_of_one_byte_and_of_ten_million_come_mixed(make_topic: MakeTopic) -> None:
    topic = make_topic(2, max_message_bytes=str(12 * MIB))
    large = random.Random(1).randbytes(10_000_000)
    sent = [large[number:] if number % 50 == 7 else b"%d" % (number % 10) for number in range(300)]
    with topic.get_producer(max_request_size=11 * MIB) as producer:
        messages = [producer.produce(value) for value in sent]
    # with fetch_message_max_bytes of 1 MiB, as by default: what is larger comes all the same (KIP-74)
    got = {(message.partition_id, message.offset): message.value for message in read_all(topic, len(sent), timeout_ms=60000)}
    assert [got[message.partition_id, message.offset] for message in messages] == sent


def test_every_message_goes_to_another_partition_than_the_one_before(make_topic: MakeTopic) -> None:
    topic = make_topic(150)
    turns = iter(range(10**9))

    def scattered(partitions: list[Any], key: Any) -> Any:
        return partitions[next(turns) * 7 % 150]

    with topic.get_producer(partitioner=scattered) as producer:
        for number in range(6000):
            producer.produce(b"%d" % number)
    got = in_order(topic, 6000)
    expected: dict[int, list[bytes]] = {}
    for number in range(6000):
        expected.setdefault(number * 7 % 150, []).append(b"%d" % number)
    assert got == expected


def test_keys_of_every_length_are_read_back_and_go_where_their_hash_says(make_topic: MakeTopic) -> None:
    topic = make_topic(3)
    keys = [bytes([length % 251]) * length for length in range(3000)]
    with topic.get_producer(partitioner=murmur2_partitioner) as producer:
        for key in keys:
            producer.produce(b"v", key)
    got = read_all(topic, len(keys))
    assert sorted(message.partition_key for message in got) == sorted(keys)
    assert all(message.partition_id == (murmur2(message.partition_key) & 0x7FFFFFFF) % 3 for message in got)


def test_a_million_keys_and_sizes_leave_every_memory_within_its_bound() -> None:
    partitioner, chance = Murmur2Partitioner(), random.Random(3)
    for start in range(0, 1_000_000, 10_000):
        numbers = range(start, start + 10_000)
        keys = [b"%x" % (number * 7919) for number in numbers]
        partitioner.assign(keys, [0, 1, 2])
        # so many different sizes, names of headers and stretches of time, that each of them is new nearly every time
        some = [bytes(chance.randrange(60_000)) for _ in range(20)]
        headers = [encode.encode_headers([(f"header-{number}", b"")]) for number in numbers[:20]]
        stamps = [start + chance.randrange(1 << 30) for _ in some]
        data = encode.encode_batch(some, keys[:20], headers if start % 20_000 else None, stamps)
        assert len(decode_batch(raw(data), "t", 0, ROOMY).offsets) == 20
    assert len(partitioner._hashes) <= partitioners.MAX_REMEMBERED_KEYS
    assert len(encode._names) <= encode._MAX_NAMES and len(encode._heads) <= encode._MAX_HEADS
    assert max(map(len, (varints.VARINTS, varints.NUMBERS, encode._TAILS))) <= varints.MAX_ENTRIES
    assert framed._Frames.made <= framed.MAX_FRAMES


def test_timestamps_that_go_backwards_are_kept(make_topic: MakeTopic) -> None:
    topic = make_topic()
    stamps = [1_700_000_000_000 - number * (1 if number % 3 else 86_400_000) for number in range(2000)]
    with topic.get_producer() as producer:
        for stamp in stamps:
            producer.produce(b"v" * (stamp % 50), timestamp=stamp)
    got = read_all(topic, len(stamps))
    assert [message.timestamp for message in got] == stamps
    assert [len(message.value) for message in got] == [stamp % 50 for stamp in stamps]


@pytest.mark.parametrize("options", [{"linger_ms": 0}, {"max_queued_messages": 1}, {"max_queued_bytes": 1024}], ids=str)
def test_without_any_time_or_room_for_batches_everything_arrives_in_order(make_topic: MakeTopic, options: dict[str, int]) -> None:
    topic = make_topic()
    with topic.get_producer(**{"min_queued_messages": 1, **options}) as producer:
        for number in range(1500):
            producer.produce(b"%d" % number)
            if "max_queued_messages" in options:
                assert outstanding(producer) <= 1
    assert values(read_all(topic, 1500)) == [b"%d" % number for number in range(1500)]


def outstanding(producer: Producer) -> int:
    """Return how many messages have no outcome yet."""
    return producer._core.outstanding


@pytest.mark.parametrize("codec", ["GZIP", "SNAPPY", "LZ4", "ZSTD"])
def test_what_cannot_be_compressed_is_sent_all_the_same(make_topic: MakeTopic, codec: str) -> None:
    topic = make_topic()
    sent = [random.Random(number).randbytes(size) for number, size in enumerate((999_000, 1, 100, 500_000, 499_000, 10))]
    with topic.get_producer(compression=getattr(CompressionType, codec)) as producer:
        producer.produce_many(sent)
    assert values(read_all(topic, len(sent))) == sent
