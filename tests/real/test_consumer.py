"""Consuming from a real broker: everything, in order, once."""

from __future__ import annotations

import datetime
import threading
import time
from typing import Any, Callable

import pytest

from pykafka import KafkaClient, Topic
from pykafka.exceptions import ConsumerStoppedException

from .. import needs
from ..brokers import version_tuple
from ..support import read_all, until, values

pytestmark = pytest.mark.core

MakeTopic = Callable[..., Topic]


def fill(topic: Topic, count: int) -> list[bytes]:
    """Produce ``count`` messages and return their values."""
    with topic.get_producer() as producer:
        made = [b"%d" % number for number in range(count)]
        producer.produce_many(list(made))
    return made


def test_every_way_of_consuming_gives_everything_once(make_topic: MakeTopic) -> None:
    topic = make_topic(3)
    made = sorted(fill(topic, 5000))
    with topic.get_simple_consumer(consumer_timeout_ms=1000) as consumer:
        assert sorted(message.value or b"" for message in consumer) == made
        assert list(consumer) == []  # iterating again goes on, and there is nothing more
    with topic.get_simple_consumer(consumer_timeout_ms=1000) as consumer:
        one_by_one = []
        while (message := consumer.consume()) is not None:
            one_by_one.append(message.value or b"")
        assert sorted(one_by_one) == made
    assert sorted(values(read_all(topic, 5000))) == made


def test_partitions_take_turns_message_by_message(make_topic: MakeTopic) -> None:
    topic = make_topic(3)
    fill(topic, 300)
    with topic.get_simple_consumer(consumer_timeout_ms=5000, fetch_wait_max_ms=10) as consumer:
        until(lambda: all(consumer._core.parcels.values()), what="something of every partition")  # type: ignore[union-attr]
        order = [message.partition_id for message in consumer.consume_batch(300)]
    assert [set(order[start : start + 3]) for start in range(0, 300, 3)] == [{0, 1, 2}] * 100


def test_waiting_ends_in_time_and_not_before(make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    with topic.get_simple_consumer(consumer_timeout_ms=300) as consumer:
        began = time.monotonic()
        assert consumer.consume() is None
        assert time.monotonic() - began >= 0.3
        assert consumer.consume(block=False) is None
        assert consumer.consume_batch(10, timeout_ms=0) == []


def test_a_waiting_consumer_gets_a_message_as_soon_as_there_is_one(make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    got: list[Any] = []
    with topic.get_simple_consumer() as consumer, topic.get_sync_producer() as producer:
        thread = threading.Thread(target=lambda: got.append(consumer.consume()), daemon=True)
        thread.start()
        producer.produce(b"here")
        thread.join(20)
    assert values(got) == [b"here"]


def test_an_event_lets_a_waiting_consumer_go(make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    event = threading.Event()
    with topic.get_simple_consumer() as consumer:
        threading.Timer(0.1, event.set).start()
        assert consumer.consume(unblock_event=event) is None


def test_stopping_wakes_a_waiting_consumer_with_an_error(make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    errors: list[BaseException] = []
    consumer = topic.get_simple_consumer()

    def work() -> None:
        try:
            consumer.consume()
        except ConsumerStoppedException as error:
            errors.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    consumer.stop()
    thread.join(20)
    assert len(errors) == 1
    with pytest.raises(ConsumerStoppedException):
        consumer.consume()
    with pytest.raises(ConsumerStoppedException):
        topic.get_simple_consumer(auto_start=False).consume()


def test_threads_may_share_a_consumer_and_each_message_goes_to_one_of_them(make_topic: MakeTopic) -> None:
    topic = make_topic(3)
    made = fill(topic, 20000)
    got: list[list[Any]] = [[], [], [], []]
    with topic.get_simple_consumer(consumer_timeout_ms=2000) as consumer:
        threads = [threading.Thread(target=lambda mine=mine: mine.extend(consumer)) for mine in got]  # type: ignore[misc]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(consumer.held_offsets.values()) == 20000 - 3
    assert sorted(values([message for mine in got for message in mine])) == sorted(made)


def test_seek_pause_and_resume(make_topic: MakeTopic) -> None:
    topic = make_topic(2)
    fill(topic, 200)
    zero, one = topic.partitions[0], topic.partitions[1]
    with topic.get_simple_consumer(consumer_timeout_ms=1000) as consumer:
        consumer.pause([one])
        assert {message.partition_id for message in consumer} == {0}
        assert (consumer.position(zero), consumer.position(one)) == (100, 0)
        consumer.resume([one])
        assert {message.partition_id for message in consumer} == {1}
        consumer.seek(zero, 90)
        assert [message.offset for message in consumer] == list(range(90, 100))
        with pytest.raises(ValueError, match="offset"):
            consumer.seek(zero, -5)
        with pytest.raises(TypeError, match="a Partition is needed"):
            consumer.seek(object(), 0)  # type: ignore[arg-type]


def test_some_partitions_only(make_topic: MakeTopic) -> None:
    topic = make_topic(3)
    fill(topic, 300)
    with topic.get_simple_consumer(partitions=[topic.partitions[2]], consumer_timeout_ms=1000) as consumer:
        assert {message.partition_id for message in consumer} == {2}
        assert list(consumer.partitions) == [2]


def test_offsets_of_a_topic_by_place_and_by_time(make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    with topic.get_producer() as producer:
        for number in range(10):
            producer.produce(b"x", timestamp=1700000000000 + 1000 * number)
    assert topic.earliest_available_offsets()[0].offset == [0]
    assert topic.latest_available_offsets()[0].offset == [10]
    assert topic.fetch_offset_limits(1700000000000 + 2500)[0].offset == [3]
    moment = datetime.datetime(2023, 11, 14, 22, 13, 20) + datetime.timedelta(seconds=4)
    assert topic.partitions[0].fetch_offset_limit(moment) == [4]
    # later than everything: the end of the log
    assert topic.fetch_offset_limits(1800000000000)[0].offset == [10]
    assert (topic.partitions[0].earliest_available_offset(), topic.partitions[0].latest_available_offset()) == (0, 10)


def test_consumed_messages_survive_records_deleted_by_retention(client: KafkaClient, make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    fill(topic, 100)
    group = topic.name + b"-group"
    with topic.get_simple_consumer(group, consumer_timeout_ms=1000) as consumer:
        consumer.commit_offsets([(topic.partitions[0], 5000)])  # far beyond the end
    with topic.get_simple_consumer(group, consumer_timeout_ms=3000) as consumer:
        # not in the log, so it goes to auto_offset_reset
        assert len(list(consumer)) == 100


def test_compressed_and_plain_batches_of_one_topic_are_read_alike(make_topic: MakeTopic, broker_version: str) -> None:
    topic = make_topic(1)
    codecs = range(5 if version_tuple(broker_version) >= (2, 1) else 4)  # zstd is the last
    for codec in codecs:
        with topic.get_producer(compression=codec, linger_ms=20) as producer:
            producer.produce_many([b"%d-%d" % (codec, number) for number in range(100)])
    got = read_all(topic, 100 * len(codecs))
    assert values(got) == [b"%d-%d" % (codec, number) for codec in codecs for number in range(100)]
    assert [message.compression_type for message in got[::100]] == list(codecs)


def test_reading_committed_messages_only_skips_aborted_ones_and_markers(kafka: Any, make_topic: MakeTopic) -> None:
    confluent_kafka = needs.package("confluent_kafka")
    topic = make_topic(1)
    name = topic.name.decode()
    producer = confluent_kafka.Producer({"bootstrap.servers": kafka.hosts, "transactional.id": name})
    producer.init_transactions(30)
    for number, commit in enumerate((True, False, True)):
        producer.begin_transaction()
        for _ in range(3):
            producer.produce(name, b"%d" % number)
        producer.flush(30)
        (producer.commit_transaction if commit else producer.abort_transaction)(30)
    assert values(read_all(topic, 6)) == [b"0"] * 3 + [b"2"] * 3
    everything = read_all(topic, 9, isolation_level="read_uncommitted")
    assert values(everything) == [b"0"] * 3 + [b"1"] * 3 + [b"2"] * 3
    with topic.get_simple_consumer(consumer_timeout_ms=1000) as consumer:
        assert [message.offset for message in consumer] == [0, 1, 2, 8, 9, 10]
        # behind the last marker, which is no message
        assert consumer.position(topic.partitions[0]) == 12
