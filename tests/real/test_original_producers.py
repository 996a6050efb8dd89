"""Producing programs written for PyKafka 2.8, as its users wrote them, run unchanged against a real broker."""

from __future__ import annotations

import datetime
import hashlib
import json
import queue
import threading
import time
from itertools import islice
from queue import Empty
from typing import Any

import pytest

from pykafka import KafkaClient
from pykafka.common import CompressionType
from pykafka.exceptions import (
    KafkaException,
    LeaderNotAvailable,
    MessageSizeTooLarge,
    ProducerQueueFullError,
    ProducerStoppedException,
    SocketDisconnectedError,
)
from pykafka.partitioners import (
    BasePartitioner,
    GroupHashingPartitioner,
    HashingPartitioner,
    RandomPartitioner,
    hashing_partitioner,
)
from pykafka.producer import CompressionType as SameCompressionType
from pykafka.producer import Producer
from pykafka.utils.compat import get_bytes

from .. import needs
from ..brokers import KafkaCluster
from ..support import read_all, values
from .original import MakeTopic, script

PACKAGES = {CompressionType.SNAPPY: "cramjam", CompressionType.LZ4: "lz4.frame"}


# -- the usage guide --------------------------------------------------------------------------------------------------


def test_the_readmes_sync_producer(make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    with topic.get_sync_producer() as producer:
        for i in range(4):
            message = producer.produce(("test message " + str(i**2)).encode())
            assert message.offset == i and message.partition_id == 0
    assert values(read_all(topic, 4)) == [b"test message 0", b"test message 1", b"test message 4", b"test message 9"]


def test_the_readmes_loop_over_delivery_reports(make_topic: MakeTopic) -> None:
    topic = make_topic(3)
    delivered, failed = [], []
    with topic.get_producer(delivery_reports=True) as producer:
        count = 0
        while count < 5000:
            count += 1
            producer.produce(b"test msg", partition_key=f"{count}".encode())
            if count % 1000 == 0:
                while True:
                    try:
                        msg, exc = producer.get_delivery_report(block=False)
                        (delivered if exc is None else failed).append(msg.partition_key)
                    except queue.Empty:
                        break
        while len(delivered) + len(failed) < 5000:
            msg, exc = producer.get_delivery_report(timeout=20)
            (delivered if exc is None else failed).append(msg.partition_key)
        with pytest.raises(Empty):
            producer.get_delivery_report(block=False)
    assert failed == [] and sorted(delivered) == sorted(b"%d" % number for number in range(1, 5001))


def test_the_usage_guides_recovery(make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    producer = topic.get_producer()
    for number in range(6):
        try:
            if number % 2:
                raise SocketDisconnectedError("as the old client raised it") if number == 1 else LeaderNotAvailable()
            producer.produce(b"%d" % number)
        except (SocketDisconnectedError, LeaderNotAvailable):
            producer.stop()
            producer.start()
            producer.produce(b"%d" % number)
    producer.stop()
    assert values(read_all(topic, 6)) == [b"%d" % number for number in range(6)]


def test_one_producer_for_each_topic_made_when_it_is_first_needed(client: KafkaClient, make_topic: MakeTopic) -> None:
    names = [make_topic(1, suffix=suffix).name.decode() for suffix in ("-orders", "-payments", "-clicks")]
    producers: dict[str, Producer] = {}

    def send(name: str, value: str) -> None:
        if name not in producers:
            producers[name] = client.topics[name].get_producer(min_queued_messages=1)
        producers[name].produce(value.encode())

    for number in range(300):
        send(names[number % 3], f"{number}")
    for producer in producers.values():
        producer.stop()
    for number, name in enumerate(names):
        assert values(read_all(client.topics[name], 100)) == [b"%d" % value for value in range(number, 300, 3)]


def test_a_producer_for_every_single_message_is_slow_no_more(make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    began = time.monotonic()
    for number in range(20):
        with topic.get_producer() as producer:
            producer.produce(b"%d" % number)
    # 2.8 took five seconds for each: linger_ms
    assert time.monotonic() - began < 20
    assert values(read_all(topic, 20)) == [b"%d" % number for number in range(20)]


def test_settings_that_made_the_old_producer_fast_or_slow_lose_nothing(make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    for settings in (
        {"min_queued_messages": 1, "linger_ms": 0},
        {"linger_ms": 5000, "min_queued_messages": 70000},
        {"linger_ms": 1, "max_queued_messages": 10, "queue_empty_timeout_ms": -1},
        {"sync": True, "linger_ms": 5000, "pending_timeout_ms": -1},
        {"required_acks": 1, "max_retries": 3, "retry_backoff_ms": 100, "ack_timeout_ms": 1000, "max_request_size": 1000012},
        {"required_acks": 0},
    ):
        began = time.monotonic()
        with topic.get_producer(**settings) as producer:
            for number in range(20):
                producer.produce(b"%d" % number)
        assert time.monotonic() - began < 4, settings
    assert values(read_all(topic, 120)) == [b"%d" % number for number in range(20)] * 6


def test_every_old_argument_in_its_old_place(make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    producer = Producer(
        topic._cluster, topic, None, CompressionType.NONE, 3, 100, 1, 10 * 1000, 100000, 70000, 5 * 1000, 0, True, 1000012,
        False, False, 5 * 1000, True, None,
    )  # fmt: skip
    producer.produce(b"value", b"key", 1500000000000)
    producer.stop()
    (message,) = read_all(topic, 1)
    assert (message.value, message.partition_key, message.timestamp) == (b"value", b"key", 1500000000000)


def test_a_script_that_never_stops_its_producer_loses_nothing_and_ends_at_once(
    kafka: KafkaCluster, make_topic: MakeTopic
) -> None:
    topic = make_topic(1)
    began = time.monotonic()
    script(f"""
from pykafka import KafkaClient
client = KafkaClient(hosts={kafka.hosts!r})
producer = client.topics[{topic.name!r}].get_producer()
for i in range(100):
    producer.produce(b"%d" % i)
""")
    # 2.8 hung for half a minute here
    assert time.monotonic() - began < 15
    assert values(read_all(topic, 100)) == [b"%d" % number for number in range(100)]


# -- what is sent -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", [CompressionType.NONE, CompressionType.GZIP, CompressionType.SNAPPY, CompressionType.LZ4])
def test_every_old_kind_of_compression(make_topic: MakeTopic, codec: int) -> None:
    if codec in PACKAGES:
        needs.package(PACKAGES[codec])
    topic = make_topic(1)
    with topic.get_producer(compression=codec) as producer:
        for number in range(100):
            producer.produce(b"%d" % number * 100)
    got = read_all(topic, 100)
    assert values(got) == [b"%d" % number * 100 for number in range(100)]
    assert {message.compression_type for message in got} == {codec}
    assert SameCompressionType is CompressionType


def test_keys_tombstones_and_empty_messages(make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    pairs = [(b"v", b"k"), (None, b"k"), (b"", b""), (b"v", None), (None, None)]
    with topic.get_producer() as producer:
        for value, key in pairs:
            producer.produce(value, key)
    assert [(message.value, message.partition_key) for message in read_all(topic, 5)] == pairs


def test_text_needs_encoding_or_a_serializer_as_ever(make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    producer = topic.get_producer()
    for arguments in (("text",), (b"bytes", "key"), (5,), (bytearray(b"x"),)):
        with pytest.raises(TypeError):
            producer.produce(*arguments)
    producer.produce(get_bytes("text"))
    producer.stop()
    with topic.get_producer(serializer=lambda value, key: (json.dumps(value).encode(), key)) as producer:
        producer.produce({"n": [1, 2]}, partition_key=b"k")
    assert values(read_all(topic, 2)) == [b"text", b'{"n": [1, 2]}']


def test_timestamps_as_datetime_as_number_and_by_default(make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    moment = datetime.datetime(2018, 9, 21, 12, 30, 15, 250000)
    with topic.get_sync_producer() as producer:
        sent = producer.produce(b"a", timestamp=moment)
        producer.produce(b"b", timestamp=1537533015250)
        producer.produce(b"c", timestamp=1537533015250.9)
        now = producer.produce(b"d")
        with pytest.raises(TypeError, match="datetime or milliseconds"):
            producer.produce(b"e", timestamp="2018-09-21")
    assert sent.timestamp_dt == moment
    got = read_all(topic, 4)
    assert [message.timestamp for message in got] == [1537533015250] * 3 + [now.timestamp]
    assert abs(now.timestamp / 1000 - time.time()) < 30  # type: ignore[operator]
    assert got[0].timestamp_dt == moment


def test_timestamps_before_1970_and_none_at_all_come_back_as_they_were_given(make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    moment = datetime.datetime(1969, 7, 20, 20, 17, 40)
    with topic.get_sync_producer() as producer:
        producer.produce(b"a", timestamp=moment)
        producer.produce(b"b", timestamp=-1000)
        producer.produce(b"c", timestamp=-1)  # as a copying program hands on what had no timestamp
    got = read_all(topic, 3)
    assert [message.timestamp for message in got] == [-14182940000, -1000, -1]
    assert [message.timestamp_dt for message in got] == [moment, datetime.datetime(1969, 12, 31, 23, 59, 59), None]


# -- where it goes ----------------------------------------------------------------------------------------------------


def test_keys_stay_in_the_partitions_they_were_in(make_topic: MakeTopic) -> None:
    topic = make_topic(7)
    for partitioner in (HashingPartitioner(), hashing_partitioner):
        with topic.get_producer(partitioner=partitioner) as producer:
            for number in range(100):
                producer.produce(b"x", partition_key=b"user-%d" % number)
        with pytest.raises(ValueError), topic.get_sync_producer(partitioner=partitioner) as producer:
            producer.produce(b"without a key")
    for message in read_all(topic, 200):
        # 2.8's place for a key: SHA-1 as one large number
        assert message.partition_id == int(hashlib.sha1(message.partition_key).hexdigest(), 16) % 7  # type: ignore[arg-type]


def test_without_a_partitioner_messages_go_round(make_topic: MakeTopic) -> None:
    topic = make_topic(4)
    for partitioner in (None, RandomPartitioner()):
        with topic.get_sync_producer(partitioner=partitioner) as producer:
            went = [producer.produce(b"x").partition_id for _ in range(8)]
        assert went == [1, 2, 3, 0] * 2


def test_partitioners_of_ones_own(make_topic: MakeTopic) -> None:
    topic = make_topic(4)
    seen: list[Any] = []

    class Last(BasePartitioner):  # type: ignore[misc]
        def __call__(self, partitions: Any, key: Any = None) -> Any:
            seen.append((len(partitions), partitions[-1].id, key))
            return sorted(partitions)[-1]

    def by_length(partitions: Any, key: Any) -> Any:
        return partitions[len(key) % len(partitions)]

    with topic.get_producer(partitioner=Last()) as producer:
        assert producer.produce(b"1").partition_id == 3
        producer.produce(b"2", partition_key=b"k")
    assert seen == [(4, 3, None), (4, 3, b"k")]
    with topic.get_producer(partitioner=by_length) as producer:
        assert [producer.produce(b"x", partition_key=b"k" * size).partition_id for size in range(5)] == [0, 1, 2, 3, 0]
    with topic.get_producer(partitioner=GroupHashingPartitioner(lambda key: 2, group_size=2)) as producer:
        assert {producer.produce(b"x", partition_key=b"k").partition_id for _ in range(6)} == {2, 3}
    with topic.get_producer(partitioner=HashingPartitioner(hash_func=len)) as producer:
        assert producer.produce(b"x", partition_key=b"kk").partition_id == 2
    assert len(read_all(topic, 14)) == 14


def test_a_serializer_runs_before_the_partitioner(make_topic: MakeTopic) -> None:
    topic = make_topic(3)
    keys: list[Any] = []

    def first(partitions: Any, key: Any) -> Any:
        keys.append(key)
        return partitions[0]

    with topic.get_sync_producer(serializer=lambda value, key: (value.encode(), key.encode()), partitioner=first) as producer:
        producer.produce("value", "key")
    assert keys == [b"key"]


# -- when it does not go ----------------------------------------------------------------------------------------------


def test_a_message_that_is_too_large_is_the_old_exception_in_every_way_of_hearing_of_it(make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    big = b"x" * 2000000
    with topic.get_sync_producer() as producer, pytest.raises(MessageSizeTooLarge):
        producer.produce(big)
    with topic.get_producer(delivery_reports=True) as producer:
        producer.produce(big, partition_key=b"big")
        producer.produce(b"small", partition_key=b"small")
        reports = {msg.partition_key: exc for msg, exc in (producer.get_delivery_report(timeout=20) for _ in range(2))}
    assert isinstance(reports[b"big"], MessageSizeTooLarge) and reports[b"small"] is None
    # 2.8 said nothing when there were no reports
    with topic.get_producer() as producer, pytest.raises(MessageSizeTooLarge):
        producer.produce(big)


def test_a_full_queue_is_waited_for_by_hand(make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    full = 0
    with topic.get_producer(block_on_queue_full=False, max_queued_messages=100, linger_ms=50) as producer:
        for number in range(1000):
            while True:
                try:
                    producer.produce(b"%d" % number)
                    break
                except ProducerQueueFullError:
                    full += 1
                    producer._cluster.handler.sleep(0.01)
    assert full and values(read_all(topic, 1000)) == [b"%d" % number for number in range(1000)]


def test_a_stopped_producer_refuses_and_may_be_started_again(make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    producer = topic.get_producer(auto_start=False)
    with pytest.raises(ProducerStoppedException):
        producer.produce(b"x")
    producer.start()
    producer.produce(b"x")
    producer._raise_worker_exceptions()
    producer.stop()
    producer.stop()
    with pytest.raises(ProducerStoppedException):
        producer.produce(b"x")
    assert values(read_all(topic, 1)) == [b"x"]


def test_reports_that_were_not_asked_for_are_an_error(make_topic: MakeTopic) -> None:
    with make_topic(1).get_producer() as producer, pytest.raises(KafkaException, match="delivery_reports=True"):
        producer.get_delivery_report(block=False)


# -- threads ----------------------------------------------------------------------------------------------------------


def test_threads_share_a_producer_and_each_gets_its_own_reports(make_topic: MakeTopic) -> None:
    topic = make_topic(3)
    reported: dict[int, list[Any]] = {}

    def work(number: int) -> None:
        for count in range(500):
            producer.produce(b"%d-%d" % (number, count), partition_key=b"%d" % number)
        reported[number] = [producer.get_delivery_report(timeout=20) for _ in range(500)]

    with topic.get_producer(delivery_reports=True) as producer:
        threads = [producer._cluster.handler.spawn(work, number) for number in range(4)]
        for thread in threads:
            thread.join(60)
    for number, reports in reported.items():
        assert {exc for _msg, exc in reports} == {None}
        assert {msg.partition_key for msg, _exc in reports} == {b"%d" % number}
    assert len(reported) == 4 and len(read_all(topic, 2000)) == 2000


def test_threads_share_a_sync_producer(make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    offsets: queue.Queue[int] = queue.Queue()
    with topic.get_sync_producer() as producer:
        threads = [
            threading.Thread(target=lambda: [offsets.put(producer.produce(b"x").offset) for _ in range(50)]) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert sorted(offsets.get() for _ in range(200)) == list(range(200))


def test_consuming_from_one_topic_and_producing_to_another(client: KafkaClient, make_topic: MakeTopic) -> None:
    source, target = make_topic(2, suffix="-source"), make_topic(1, suffix="-target")
    with source.get_producer() as producer:
        for number in range(100):
            producer.produce(b"%d" % number)
    consumer = source.get_simple_consumer(b"copier-" + source.name, consumer_timeout_ms=20000)
    with target.get_producer() as producer:
        for message in islice(consumer, 100):
            producer.produce(message.value, partition_key=message.partition_key, timestamp=message.timestamp)
    consumer.commit_offsets()
    consumer.stop()
    assert sorted(values(read_all(target, 100)), key=int) == [b"%d" % number for number in range(100)]
