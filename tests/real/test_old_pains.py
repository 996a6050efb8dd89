"""Old troubles that only a real broker can show to be gone; ``tests/test_known_pains.py`` has the whole list."""

from __future__ import annotations

import threading
import time
from typing import Any, Callable

import pytest

from pykafka import KafkaClient, Topic

from ..brokers import KafkaCluster
from ..support import until, values

MakeTopic = Callable[..., Topic]


@pytest.mark.core
def test_a_message_larger_than_fetch_message_max_bytes_is_read_like_any_other(make_topic: MakeTopic) -> None:
    topic = make_topic(2)
    made = [b"small", b"x" * 500_000, b"small again", b"y" * 900_000, b"the end"]
    with topic.get_sync_producer() as producer:  # each in a batch of its own
        for value in made * 2:
            producer.produce(value)
    with topic.get_simple_consumer(fetch_message_max_bytes=1000, consumer_timeout_ms=20000) as consumer:
        got: list[Any] = [consumer.consume() for _ in range(10)]
    assert sorted(values(got)) == sorted(made * 2)


def test_fifty_consumers_of_one_client_start_in_no_time_and_all_get_what_is_new(
    kafka: KafkaCluster, make_topic: MakeTopic
) -> None:
    topic = make_topic(3)
    before = set(threading.enumerate())
    began = time.monotonic()
    with KafkaClient(kafka.hosts) as client:
        mine = client.topics[topic.name]
        consumers = [mine.get_simple_consumer(topic.name + b"-%d" % number) for number in range(50)]
        # 2.8 made threads and connections for each, and the last ones waited for minutes
        assert time.monotonic() - began < 40
        assert len(set(threading.enumerate()) - before) <= 2
        with topic.get_producer() as producer:
            producer.produce_many([b"%d" % number for number in range(30)])
        for consumer in consumers:
            got: list[bytes] = []
            until(lambda got=got, consumer=consumer: got.extend(values(consumer.consume_batch())) or len(got) == 30)  # type: ignore[misc]
            assert sorted(map(int, got)) == list(range(30))
