"""How many calls the hot paths make for a thousand messages: more work for each shows here, on any machine, without a clock.

Python functions and those in C are counted in all threads of the client; the broker is in a process of its own. What is done
once for a batch or a request hardly counts, what is done for each message does. A bound is about half a call a message above what
was counted, so one call more for each breaks it: whoever makes a hot path dearer has to raise it, and to say why.
"""

from __future__ import annotations

import collections
import itertools
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any, Callable, NamedTuple

import pytest

from benchmarks.instant import instant_broker
from pykafka import KafkaClient, Topic
from pykafka.partitioners import murmur2_partitioner
from pykafka.records import crc32c

from ..support import until

COUNT = 20000
VALUE = b"v" * 100
HEADERS = [("trace-id", b"0123456789abcdef"), ("type", b"order"), ("source", b"web")]


class Counter:
    """Notes the calls in the threads that begin after :meth:`install`, and in this one, while it is ``on``."""

    def __init__(self) -> None:
        self.on = False
        # appended to by several threads at once, which loses nothing; a sum could
        self.python: list[str] = []
        self.c: list[str] = []

    def install(self) -> None:
        """Be told of every call from now on."""
        threading.setprofile(self._profile)
        sys.setprofile(self._profile)

    @staticmethod
    def uninstall() -> None:
        """Let threads run as they do without."""
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]  # what it is when nobody has set it

    def _profile(self, frame: FrameType, event: str, arg: Any) -> None:
        # the checksum without its wheel is a matter of bytes, and many calls
        if self.on and frame.f_code.co_filename != crc32c.__file__:
            if event == "call":
                self.python.append(f"{frame.f_code.co_name} in {frame.f_code.co_filename}")
            elif event == "c_call":
                self.c.append(arg.__qualname__)

    def count(self, steps: Iterator[None]) -> None:
        """Note the calls that the second of two steps makes."""
        next(steps)
        self.python.clear()
        self.c.clear()
        self.on = True
        try:
            next(steps, None)
        finally:
            self.on = False


def per_thousand(calls: list[str]) -> float:
    """Return how many calls there were for a thousand of ``COUNT`` messages."""
    return len(calls) * 1000 / COUNT


def most_frequent(calls: list[str]) -> str:
    """Return what was called most often, which is what a higher number comes from."""
    return "".join(f"\n  {number * 1000 // COUNT:6} {name}" for name, number in collections.Counter(calls).most_common(12))


@pytest.fixture
def counter(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter]:
    # each millisecond is a little work of its own, and a slow machine takes more of them
    monkeypatch.setattr("pykafka.producer.wall_ns", itertools.repeat(1_700_000_000_000_000_000).__next__)
    one = Counter()
    one.install()
    yield one
    one.uninstall()


@pytest.fixture(scope="module")
def hosts() -> Iterator[str]:
    """A broker in another process with a topic of messages alike, and one with all sorts of keys, sizes and timestamps."""
    with instant_broker() as found, KafkaClient(found) as client:
        with client.topics["kept-equal"].get_producer() as producer:
            producer.produce_many([VALUE] * COUNT)
        with client.topics["kept-mixed"].get_producer(linger_ms=10_000) as producer:
            for number in range(COUNT):
                producer.produce(b"v" * (50 + number * 37 % 100), b"key-%d" % (number * 7919), 1_700_000_000_000 + number)
        yield found


# -- what is done with COUNT messages; the loop itself is a part of it ------------------------------------------------


def produce(topic: Topic) -> Iterator[None]:
    with topic.get_producer(**ONE_BATCH) as producer:
        yield
        for _ in range(COUNT):
            producer.produce(VALUE)
        producer.flush()


def produce_keyed(topic: Topic) -> Iterator[None]:
    keys = [b"key-%08d" % number for number in range(4096)]
    with topic.get_producer(partitioner=murmur2_partitioner, **ONE_BATCH) as producer:
        yield
        for number in range(COUNT):
            producer.produce(VALUE, keys[number % 4096])
        producer.flush()


def produce_with_callback(topic: Topic) -> Iterator[None]:
    def on_delivery(message: Any, error: Any) -> None:
        """Be told."""

    with topic.get_producer(**ONE_BATCH) as producer:
        yield
        for _ in range(COUNT):
            producer.produce(VALUE, on_delivery=on_delivery)
        producer.flush()


def produce_and_wait(topic: Topic) -> Iterator[None]:
    with topic.get_producer(**ONE_BATCH) as producer:
        yield
        made = [producer.produce(VALUE) for _ in range(COUNT)]
        producer.flush()
        for message in made:
            message.result(30)


def produce_with_headers(topic: Topic) -> Iterator[None]:
    with topic.get_producer(**ONE_BATCH) as producer:
        yield
        for _ in range(COUNT):
            producer.produce(VALUE, headers=HEADERS)
        producer.flush()


def produce_many(topic: Topic) -> Iterator[None]:
    values = [VALUE] * COUNT
    with topic.get_producer(**ONE_BATCH) as producer:
        yield
        producer.produce_many(values)
        producer.flush()


def consume(topic: Topic) -> Iterator[None]:
    with topic.get_simple_consumer(consumer_timeout_ms=10000) as consumer:
        consumer.consume()
        yield
        for _ in range(COUNT):
            consumer.consume()


def iterate(topic: Topic) -> Iterator[None]:
    with topic.get_simple_consumer(consumer_timeout_ms=10000) as consumer:
        consumer.consume()
        yield
        for _number, _message in zip(range(COUNT), consumer):
            pass


def consume_batch(topic: Topic) -> Iterator[None]:
    with topic.get_simple_consumer(consumer_timeout_ms=10000) as consumer:
        consumer.consume()
        yield
        left = COUNT
        while left:
            left -= len(consumer.consume_batch(min(left, 2000)))


#: So that the number of batches does not depend on how fast the machine is.
ONE_BATCH: dict[str, Any] = {"linger_ms": 60000}


class Bound(NamedTuple):
    """The most calls for a thousand messages: of Python functions, and of functions in C."""

    run: Callable[[Topic], Iterator[None]]
    topic: str
    python: int
    c: int


BOUNDS = [
    Bound(produce, "plain", 1500, 5600),
    Bound(produce_keyed, "plain", 1500, 9500),
    Bound(produce_with_callback, "plain", 3500, 6500),
    Bound(produce_and_wait, "plain", 4500, 11500),
    Bound(produce_with_headers, "plain", 8500, 24500),
    Bound(produce_many, "plain", 500, 500),
    Bound(consume, "kept-equal", 2500, 1500),
    Bound(iterate, "kept-equal", 2500, 500),
    Bound(consume_batch, "kept-equal", 1500, 500),
    Bound(consume_batch, "kept-mixed", 1500, 2500),
]


@pytest.mark.parametrize("bound", BOUNDS, ids=lambda bound: f"{bound.run.__name__}-{bound.topic}")
def test_a_hot_path_makes_no_more_calls_than_it_did(bound: Bound, hosts: str, counter: Counter) -> None:
    with KafkaClient(hosts) as client:
        # what is made once, caches and codecs for two, has been made by the second time
        for _ in range(2):
            counter.count(bound.run(client.topics[bound.topic]))
    for calls, most in ((counter.python, bound.python), (counter.c, bound.c)):
        number = per_thousand(calls)
        assert number <= most, f"{number:.0f} calls for 1,000 messages:{most_frequent(calls)}"


#: A message that is waited for makes its calls alone: so many for each, in all threads.
LONE_PYTHON, LONE_C = 66, 59


def test_a_message_that_is_waited_for_makes_no_more_calls_than_it_did(hosts: str, counter: Counter) -> None:
    def produce_alone(topic: Topic) -> Iterator[None]:
        with topic.get_sync_producer() as producer:
            until(lambda: producer.produce(VALUE) and len(producer._core.direct._loans) == len(topic.partitions))
            for _ in range(100):
                producer.produce(VALUE)
            yield
            for _ in range(LONE):
                producer.produce(VALUE)

    with KafkaClient(hosts) as client:
        counter.count(produce_alone(client.topics["plain"]))
    for calls, most in ((counter.python, LONE_PYTHON), (counter.c, LONE_C)):
        number = len(calls) / LONE
        assert number <= most, f"{number:.1f} calls for each message:{most_frequent(calls)}"


LONE = 500
