"""Consuming by batches: what they hold, and when there are no more."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, islice
from typing import Any, Callable

import pytest

from pykafka import KafkaClient, SimpleConsumer
from pykafka.exceptions import ConsumerStoppedException
from pykafka.records.message import ConsumedMessage

from ..support import until
from .broker import fake_broker
from .test_consumer_troubles import numbers, script


def test_batches_follow_each_other_until_none_arrives_in_time_and_then_go_on() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        script(broker, {0: numbers(0, 7)})
        with client.topics["t"].get_simple_consumer(consumer_timeout_ms=5000) as consumer:
            batches = consumer.batches(3)
            assert [[one.offset for one in next(batches)] for _ in range(2)] == [[0, 1, 2], [3, 4, 5]]
            assert [[one.offset for one in batch] for batch in consumer.batches(3, timeout_ms=0)] == [[6]]
            assert list(consumer.batches(timeout_ms=0)) == []  # it only looks
            consumer.seek(client.topics["t"].partitions[0], 0)
            assert [one.offset for batch in islice(consumer.batches(2**70), 1) for one in batch] == list(range(7))
            consumer.stop()
            with pytest.raises(ConsumerStoppedException):
                next(batches)


def test_batches_wait_as_long_as_the_consumer_does() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        script(broker, {0: numbers(0, 2)})
        with client.topics["t"].get_simple_consumer(consumer_timeout_ms=300) as consumer:
            assert [len(batch) for batch in consumer.batches()] == [2]
            began = time.monotonic()
            assert list(consumer.batches()) == list(consumer) == []
            assert 0.6 <= time.monotonic() - began < 5


def test_batches_end_with_an_error_when_the_consumer_is_stopped_while_they_wait() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        script(broker, {0: numbers(0, 2)})
        consumer = client.topics["t"].get_simple_consumer()
        got: list[Any] = []

        def read() -> None:
            try:
                for batch in consumer.batches():
                    got.extend(batch)
            except ConsumerStoppedException as error:
                got.append(error)

        thread = threading.Thread(target=read)
        thread.start()
        until(lambda: len(got) == 2, what="the batch")
        consumer.stop()
        thread.join(20)
        assert [message.offset for message in got[:2]] == [0, 1]
        assert isinstance(got[2], ConsumerStoppedException)


def test_what_a_deserializer_refuses_is_raised_between_the_batches_around_it() -> None:
    def refuse(value: Any, key: Any) -> Any:
        if value == b"4":
            raise ValueError("four")
        return int(value), key

    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        script(broker, {0: numbers(0, 7)})
        with client.topics["t"].get_simple_consumer(consumer_timeout_ms=500, deserializer=refuse) as consumer:
            batches, got = consumer.batches(3), []
            with pytest.raises(ValueError, match="four"):
                for batch in batches:
                    got.append([message.offset for message in batch])
            # an error is no end: who handles it goes on with the same iterator
            got += [[message.offset for message in batch] for batch in batches]
            assert got == [[0, 1, 2], [3], [5, 6]]


@contextmanager
def interrupted_making(number: int) -> Iterator[None]:
    """Have Ctrl-C hit while the message of this number is made."""
    made = 0

    def interrupt(frame: Any, event: str, arg: Any) -> None:
        nonlocal made
        if event == "call" and frame.f_code is ConsumedMessage.__init__.__code__:
            made += 1
            if made == number:
                sys.setprofile(None)
                raise KeyboardInterrupt

    sys.setprofile(interrupt)
    try:
        yield
    finally:
        sys.setprofile(None)


WAYS: dict[str, Callable[[SimpleConsumer], Iterator[Any]]] = {
    "consume": lambda consumer: iter(consumer.consume, None),
    "for": iter,
    "batches": lambda consumer: chain.from_iterable(consumer.batches(4)),
}


@pytest.mark.parametrize("number", [1, 2, 5, 6, 9, 10])
@pytest.mark.parametrize("way", WAYS)
def test_what_the_user_has_not_got_because_of_an_interrupt_comes_again_and_is_not_committed(way: str, number: int) -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        script(broker, {0: numbers(0, 10)})
        with client.topics["t"].get_simple_consumer(consumer_timeout_ms=500) as consumer:
            got: list[int] = []
            with interrupted_making(number), pytest.raises(KeyboardInterrupt):
                for message in WAYS[way](consumer):
                    got.append(message.offset)
            assert got == list(range((number - 1) // 4 * 4 if way == "batches" else number - 1))
            assert consumer.position(client.topics["t"].partitions[0]) == len(got)
            got += [message.offset for message in WAYS[way](consumer)]
            assert got == list(range(10))


def test_leaving_a_loop_takes_nothing_back() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        script(broker, {0: numbers(0, 10)})
        with client.topics["t"].get_simple_consumer(consumer_timeout_ms=500) as consumer:
            for wanted in ([0, 1, 2], [3, 4, 5], [6, 7, 8]):
                messages = iter(consumer)
                assert [message.offset for message in islice(messages, 3)] == wanted
                messages.close()  # type: ignore[attr-defined]
