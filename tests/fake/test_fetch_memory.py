"""fetch_memory_bytes: what a consumer holds is bounded over all partitions, and none of them starves for it."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from operator import length_hint
from typing import Any, Callable

import pytest

from pykafka import KafkaClient, SimpleConsumer
from pykafka.common import CompressionType, TopicPartition
from pykafka.exceptions import CorruptBatchError
from pykafka.testing import FakeCluster

from ..support import until

PARTITIONS, BATCHES, EACH, SIZE = 40, 6, 5, 4000
BATCH_BYTES = EACH * (SIZE + 100) + 200
BUDGET = 16 * BATCH_BYTES


@pytest.fixture
def cluster() -> Iterator[FakeCluster]:
    with FakeCluster(brokers=2) as cluster:
        cluster.create_topic("t", PARTITIONS, 1)
        for number in range(PARTITIONS):
            for batch in range(BATCHES):
                cluster.produce("t", [b"%d" % (batch * EACH + one) + b"." * SIZE for one in range(EACH)], number)
        yield cluster


def by_number(partitions: Any, key: Any) -> Any:
    """Return the partition that has the key's number."""
    return next(partition for partition in partitions if partition.id == int(key))


def held(consumer: SimpleConsumer) -> tuple[int, int]:
    """Return how many bytes are decoded and not delivered, and how many wait to be decoded."""
    core = consumer._core
    assert core is not None
    decoded = sum(buffer.held_bytes for buffer in consumer._order) + length_hint(consumer._turn._values) * (SIZE + 100)
    return decoded, sum(core.waiting_bytes(tp) for tp in consumer._buffers)


def take_all(take: Callable[[], bool]) -> None:
    """Call ``take`` until it says that everything has come."""
    deadline = time.monotonic() + 30
    while not take():
        assert time.monotonic() < deadline, "something never came"


def wait_until_nothing_more_comes(consumer: SimpleConsumer) -> None:
    """Return once nothing is under way, for want of room or because all is here."""
    core = consumer._core
    assert core is not None
    fetches = core._fetches.values()
    until(lambda: any(one.received for one in fetches) and not any(one.in_flight and not one.paused for one in fetches))


def check_held(consumer: SimpleConsumer) -> None:
    decoded, waiting = held(consumer)
    assert decoded <= BUDGET // 2 + BATCH_BYTES
    # four connections, each with an answer that is one batch larger than it should be at most
    assert waiting <= BUDGET // 4 + 4 * (max(65536, BUDGET // 16) + BATCH_BYTES)


def test_every_message_comes_once_and_in_order_and_no_more_is_held_than_was_said(cluster: FakeCluster) -> None:
    with KafkaClient(cluster.hosts) as client:
        consumer = client.topics["t"].get_simple_consumer(fetch_memory_bytes=BUDGET, consumer_timeout_ms=5000)
        seen: dict[int, list[int]] = {number: [] for number in range(PARTITIONS)}
        wait_until_nothing_more_comes(consumer)
        for count in range(PARTITIONS * BATCHES * EACH):
            message = consumer.consume()
            assert message is not None, f"only {count} messages came"
            seen[message.partition_id].append(message.offset)
            check_held(consumer)
        assert seen == dict.fromkeys(range(PARTITIONS), list(range(BATCHES * EACH)))
        consumer.stop()


def test_what_is_small_on_the_wire_and_large_decoded_is_decoded_as_there_is_room(cluster: FakeCluster) -> None:
    cluster.create_topic("zipped", PARTITIONS, 1)
    with KafkaClient(cluster.hosts) as client:
        topic = client.topics["zipped"]
        with topic.get_producer(compression=CompressionType.GZIP, partitioner=by_number) as producer:
            for _ in range(3):
                for number in range(PARTITIONS):
                    for _ in range(EACH):
                        producer.produce(bytes(SIZE), partition_key=b"%d" % number)
                producer.flush(20)
        consumer = topic.get_simple_consumer(fetch_memory_bytes=BUDGET, consumer_timeout_ms=5000)
        core = consumer._core
        assert core is not None
        until(lambda: sum(fetch.received for fetch in core._fetches.values()) == 3 * PARTITIONS * EACH)
        seen: Counter[int] = Counter()
        for _ in range(3 * PARTITIONS * EACH):
            message = consumer.consume()
            assert message is not None
            seen[message.partition_id] += 1
            check_held(consumer)
        assert seen == Counter(dict.fromkeys(range(PARTITIONS), 3 * EACH))
        consumer.stop()


@pytest.mark.parametrize("seed", range(3))
def test_pausing_and_resuming_in_any_order_loses_and_repeats_nothing(cluster: FakeCluster, seed: int) -> None:
    dice = random.Random(seed)
    with KafkaClient(cluster.hosts) as client:
        topic = client.topics["t"]
        consumer = topic.get_simple_consumer(fetch_memory_bytes=BUDGET, consumer_timeout_ms=50)
        seen: dict[int, list[int]] = {number: [] for number in range(PARTITIONS)}

        def take() -> bool:
            message = consumer.consume()
            if message is not None:
                seen[message.partition_id].append(message.offset)
            return sum(map(len, seen.values())) == PARTITIONS * BATCHES * EACH

        paused: set[int] = set()
        for _ in range(150):
            some = set(dice.sample(range(PARTITIONS), 10))
            if dice.random() < 0.6:
                consumer.pause([topic.partitions[number] for number in some])
                paused |= some
            else:
                consumer.resume([topic.partitions[number] for number in some])
                paused -= some
            for _ in range(dice.randrange(6)):
                before = {number: len(offsets) for number, offsets in seen.items()}
                take()
                assert all(len(seen[number]) == before[number] for number in paused), "a paused partition delivered"
        consumer.resume(topic.partitions.values())
        take_all(take)
        assert seen == dict.fromkeys(range(PARTITIONS), list(range(BATCHES * EACH)))
        consumer.stop()


def test_paused_partitions_hold_up_none_of_the_others(cluster: FakeCluster) -> None:
    with KafkaClient(cluster.hosts) as client:
        topic = client.topics["t"]
        consumer = topic.get_simple_consumer(fetch_memory_bytes=BUDGET, consumer_timeout_ms=5000)
        first = consumer.consume()
        assert first is not None
        others = set(range(1, PARTITIONS))
        while others:  # pause those that have something, so that the room they leave is filled by others, which are paused then
            wait_until_nothing_more_comes(consumer)
            core = consumer._core
            assert core is not None
            full = {number for number in others if core.waiting_bytes(TopicPartition("t", number))} or others
            consumer.pause([topic.partitions[number] for number in full])
            others -= full
            until(lambda: sum(fetch.paused for fetch in core._fetches.values()) == PARTITIONS - 1 - len(others))  # noqa: B023
            assert sum(held(consumer)) <= BUDGET
        offsets = []
        while len(offsets) < BATCHES * EACH - (first.partition_id == 0):
            message = consumer.consume()
            assert message is not None and message.partition_id == 0
            offsets.append(message.offset)
        assert offsets[-1] == BATCHES * EACH - 1
        assert sum(held(consumer)) <= BUDGET
        consumer.stop()


def test_a_partition_that_cannot_be_decoded_holds_up_none_of_the_others(cluster: FakeCluster) -> None:
    for number in range(0, PARTITIONS, 2):
        cluster.corrupt("t", number, 0, times=1000)
    with KafkaClient(cluster.hosts) as client:
        consumer = client.topics["t"].get_simple_consumer(fetch_memory_bytes=BUDGET, consumer_timeout_ms=5000)
        seen: Counter[int] = Counter()
        refused: set[int] = set()

        def take() -> bool:
            try:
                message = consumer.consume()
            except CorruptBatchError as error:
                assert error.partition is not None
                refused.add(error.partition)
            else:
                assert message is not None
                seen[message.partition_id] += 1
            return sum(seen.values()) == PARTITIONS // 2 * BATCHES * EACH and len(refused) == PARTITIONS // 2

        take_all(take)
        assert seen == Counter(dict.fromkeys(range(1, PARTITIONS, 2), BATCHES * EACH))
        assert held(consumer) == (0, 0)
        consumer.stop()


def test_a_broker_that_has_left_the_cluster_makes_no_answer_of_the_others_smaller() -> None:
    def sizes() -> list[int]:
        return [asked.max_bytes for asked in cluster.requests.seen("Fetch")]

    budget = 2**22
    with FakeCluster(brokers=2) as cluster, KafkaClient(cluster.hosts) as client:
        cluster.create_topic("t", 2, 2)
        with client.topics["t"].get_simple_consumer(fetch_memory_bytes=budget, fetch_max_bytes=budget) as consumer:
            both = budget // 4 // 4
            until(lambda: both in sizes(), what="fetches from two brokers, two at a time each")
            cluster.stop_broker(2)
            cluster.produce("t", [b"x"], 0)
            until(lambda: sizes()[-1] == 2 * both, what="larger answers of the one that is left")
            assert consumer.consume().value == b"x"
