"""Consuming programs written for PyKafka 2.8, as its users wrote them, run unchanged against a real broker."""

from __future__ import annotations

import asyncio
import json
import pickle
import queue
import threading
import time
from itertools import islice
from typing import Any

import pytest

from pykafka import KafkaClient, Topic
from pykafka.common import OffsetType
from pykafka.exceptions import ConsumerStoppedException, KafkaException
from pykafka.simpleconsumer import OffsetType as SameOffsetType
from pykafka.utils import deserialize_utf8, serialize_utf8

from ..brokers import KafkaCluster
from ..support import until
from .original import MakeTopic, all_of, by_number, fill, places, script

EARLIEST, LATEST = OffsetType.EARLIEST, OffsetType.LATEST


# -- loops that end and go on -----------------------------------------------------------------------------------------


def test_pages_of_an_iterator_follow_each_other(make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    fill(topic, 10)
    consumer = topic.get_simple_consumer(consumer_timeout_ms=800)
    pages = [[message.offset for message in islice(consumer, 4)] for _ in range(4)]
    assert pages == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9], []]
    consumer.stop()


def test_a_loop_that_ended_goes_on_when_there_is_more(make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    consumer = topic.get_simple_consumer(consumer_timeout_ms=500)
    for expected in ([], all_of(3), [(0, 3), (0, 4)]):
        # what is asserted is what came, so the loop may end early only when nothing is there
        got = []
        for message in consumer:
            if message is not None:
                got.append(message)
        assert places(got) == expected
        fill(topic, 3 if not expected else 2)
    consumer.stop()


def test_polling_without_blocking_beside_an_event_loop(make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    fill(topic, 5)
    consumer = topic.get_simple_consumer()

    async def poll() -> list[int]:
        got: list[int] = []
        while len(got) < 5:
            message = consumer.consume(False)
            if message is not None:
                got.append(message.offset)
            else:
                await asyncio.sleep(0.01)
        return got

    assert asyncio.run(asyncio.wait_for(poll(), 20)) == [0, 1, 2, 3, 4]
    consumer.stop()


def test_an_event_of_the_clusters_handler_unblocks_a_consumer(client: KafkaClient, make_topic: MakeTopic) -> None:
    consumer = make_topic(1).get_simple_consumer()
    event = client.cluster.handler.Event()
    got: list[Any] = []
    worker = consumer._cluster.handler.spawn(lambda: got.append(consumer.consume(block=True, unblock_event=event)))
    client.cluster.handler.sleep(0)
    event.set()
    worker.join(20)
    assert got == [None]
    consumer.stop()


def test_stopping_from_another_thread_ends_the_loop_with_its_exception(make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    fill(topic, 3)
    consumer = topic.get_simple_consumer()
    got: list[int] = []
    ended: list[BaseException] = []

    def listen() -> None:
        try:
            for message in consumer:
                got.append(message.offset)
        except ConsumerStoppedException as error:
            ended.append(error)

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    until(lambda: len(got) == 3, what="the messages")
    consumer.stop()
    listener.join(20)
    assert len(ended) == 1 and got == [0, 1, 2]


def test_a_signal_handler_that_stops_the_consumer_ends_the_program(kafka: KafkaCluster, make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    fill(topic, 3)
    shown = script(f"""
import os, signal
from pykafka import KafkaClient
from pykafka.exceptions import ConsumerStoppedException
client = KafkaClient(hosts={kafka.hosts!r})
consumer = client.topics[{topic.name!r}].get_simple_consumer({topic.name!r}, auto_commit_enable=True)
signal.signal(signal.SIGTERM, lambda *_: consumer.stop())
try:
    for message in consumer:
        print(message.offset)
        if message.offset == 2:
            os.kill(os.getpid(), signal.SIGTERM)
except ConsumerStoppedException:
    print("stopped")
""")
    assert shown.split() == ["0", "1", "2", "stopped"]
    again = topic.get_simple_consumer(topic.name, auto_start=False)
    assert again.fetch_offsets()[0][1].offset == 3


# -- sharing ----------------------------------------------------------------------------------------------------------


def test_a_pool_of_workers_behind_one_consumer(make_topic: MakeTopic) -> None:
    topic = make_topic(3)
    fill(topic, 400, 300, 300)
    consumer = topic.get_simple_consumer(consumer_timeout_ms=1500)
    done: queue.Queue[Any] = queue.Queue()

    def work() -> None:
        while True:
            message = consumer.consume()
            if message is None:
                break
            done.put(message)

    workers = [consumer._cluster.handler.spawn(work) for _ in range(4)]
    for worker in workers:
        worker.join(60)
    assert places(done.get() for _ in range(done.qsize())) == all_of(400, 300, 300)
    consumer.stop()


def test_one_consumer_for_each_partition(make_topic: MakeTopic, topic_name: str) -> None:
    topic = make_topic(3)
    fill(topic, 20, 30, 10)
    got: dict[int, Any] = {}

    def read(number: int, count: int) -> None:
        consumer = topic.get_simple_consumer(
            consumer_group=topic_name, partitions=[topic.partitions[number]], consumer_timeout_ms=20000
        )
        got[number] = places(islice(consumer, count))
        assert list(consumer.held_offsets) == [number]
        consumer.commit_offsets()
        consumer.stop()

    threads = [threading.Thread(target=read, args=one) for one in ((0, 20), (1, 30), (2, 10))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [place for number in range(3) for place in got[number]] == all_of(20, 30, 10)
    # each committed its own partition, and only that
    whole = topic.get_simple_consumer(topic_name, auto_start=False)
    assert [(number, row.offset) for number, row in whole.fetch_offsets()] == [(0, 20), (1, 30), (2, 10)]


# -- messages ---------------------------------------------------------------------------------------------------------


def test_what_programs_read_of_a_message(make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    before = int(time.time() * 1000)
    with topic.get_sync_producer() as producer:
        producer.produce(b"value", partition_key=b"key")
    consumer = topic.get_simple_consumer(consumer_timeout_ms=20000)
    message = consumer.consume()
    assert message
    assert (message.value, message.partition_key, message.offset, message.partition_id) == (b"value", b"key", 0, 0)
    assert message.partition.id == 0 and message.partition.topic is topic
    assert message.partition.leader.id == topic.partitions[0].leader.id  # type: ignore[union-attr]
    assert before <= message.timestamp <= int(time.time() * 1000)  # type: ignore[operator]
    assert message.timestamp_dt.tzinfo is None  # type: ignore[union-attr]
    assert (message.compression_type, message.produce_attempt, message.delivery_report_q) == (0, 0, None)
    assert len(message) == 14 + len(b"value") + len(b"key")
    assert "value" not in str(message).replace("value=5 bytes", "") and "offset=0" in str(message)
    twin = pickle.loads(pickle.dumps(message))
    assert (twin.value, twin.offset, twin.timestamp, twin.topic) == (b"value", 0, message.timestamp, topic.name)
    message.value = message.value.decode()  # type: ignore[union-attr,assignment]
    assert message.value == "value"  # type: ignore[comparison-overlap]
    consumer.stop()


def test_json_in_json_out_with_tombstones(make_topic: MakeTopic) -> None:
    def dump(value: Any, key: Any) -> Any:
        return None if value is None else json.dumps(value).encode(), None if key is None else key.encode()

    def load(value: Any, key: Any) -> Any:
        return None if value is None else json.loads(value), None if key is None else key.decode()

    topic = make_topic(1)
    with topic.get_sync_producer(serializer=dump) as producer:
        producer.produce({"n": 1}, partition_key="a")
        producer.produce(None, partition_key="a")
        producer.produce([])
    consumer = topic.get_simple_consumer(deserializer=load, consumer_timeout_ms=800)
    # an empty list and None are as much a message as any other
    assert [(message.value, message.partition_key) for message in consumer] == [({"n": 1}, "a"), (None, "a"), ([], None)]
    consumer.stop()


def test_text_in_text_out(make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    with topic.get_sync_producer(serializer=serialize_utf8) as producer:
        producer.produce("grüße", partition_key="schlüssel")
        producer.produce(b"bytes stay")
    consumer = topic.get_simple_consumer(deserializer=deserialize_utf8, consumer_timeout_ms=20000)
    assert [(one.value, one.partition_key) for one in islice(consumer, 2)] == [("grüße", "schlüssel"), ("bytes stay", None)]
    consumer.stop()


# -- arguments of old -------------------------------------------------------------------------------------------------


def test_every_old_argument_in_its_old_place(make_topic: MakeTopic, topic_name: str) -> None:
    topic = make_topic(1)
    fill(topic, 3)
    from pykafka.simpleconsumer import SimpleConsumer

    partitions = list(topic.partitions.values())
    consumer = SimpleConsumer(
        topic, topic._cluster, topic_name.encode(), partitions, 1024 * 1024, 1, True, 60 * 1000, 2000, 1, 500, 100, 1000, 5,
        SameOffsetType.EARLIEST, 20000, True, False, False, -1, b"", None, True,
    )  # fmt: skip
    assert places(islice(consumer, 3)) == all_of(3)
    consumer.stop()
    again = topic.get_simple_consumer(topic_name, False, auto_start=False)
    assert again.fetch_offsets()[0][1].offset == 3


def test_arguments_without_effect_are_still_taken(make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    fill(topic, 3)
    consumer = topic.get_simple_consumer(
        num_consumer_fetchers=4, compacted_topic=True, fetch_error_backoff_ms=500, generation_id=3, consumer_timeout_ms=20000
    )
    assert places(islice(consumer, 3)) == all_of(3)
    consumer.stop()


def test_a_consumer_made_in_a_loop_after_errors_does_not_pile_up(kafka: KafkaCluster, make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    fill(topic, 1)
    shown = script(f"""
import threading
from pykafka import KafkaClient
topic = KafkaClient({kafka.hosts!r}).topics[{topic.name!r}]
for _ in range(30):
    consumer = topic.get_simple_consumer()  # the one before is only dropped
    consumer.consume()
print(threading.active_count())
""")
    assert int(shown) <= 4


def test_a_foreign_partition_and_a_float_are_refused_with_the_old_exceptions(client: KafkaClient, make_topic: MakeTopic) -> None:
    topic, other = make_topic(1), make_topic(1, suffix="-other")
    consumer = topic.get_simple_consumer()
    with pytest.raises(KafkaException):
        consumer.reset_offsets([(other.partitions[0], 1)])
    for wrong in ("1", 1.5, None):
        with pytest.raises(ValueError):
            consumer.reset_offsets([(topic.partitions[0], wrong)])  # type: ignore[list-item]
    consumer.stop()


def test_messages_written_to_a_chosen_partition_are_read_from_it(make_topic: MakeTopic) -> None:
    topic: Topic = make_topic(3)
    with topic.get_sync_producer(partitioner=by_number) as producer:
        producer.produce(b"there", partition_key=b"2")
    consumer = topic.get_simple_consumer(partitions=(topic.partitions[2],), consumer_timeout_ms=20000)
    assert places([consumer.consume()]) == [(2, 0)]
    consumer.stop()
