"""Users' callbacks that raise, block, or call back: nobody else suffers."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import mock
import pytest

from pykafka import KafkaClient
from pykafka.testing import FakeCluster

from ..support import until

#: With the classic protocol it is the member that says how often it shows life.
MEMBER: dict[str, Any] = {
    "managed": True,
    "group_protocol": "classic",
    "heartbeat_interval_ms": 20,
    "consumer_timeout_ms": 20_000,
}


@pytest.fixture
def cluster() -> Iterator[FakeCluster]:
    with FakeCluster(topics={"t": 1, "other": 1}) as cluster:
        yield cluster


@pytest.fixture
def client(cluster: FakeCluster) -> Iterator[KafkaClient]:
    with KafkaClient(cluster.hosts) as client:
        yield client


def heartbeats(cluster: FakeCluster) -> int:
    """Return how many heartbeats members of groups have sent."""
    return len(cluster.requests.seen("Heartbeat"))


def bad(_message: Any, _error: Any) -> None:
    raise ValueError("a bug")


def test_callbacks_that_raise_are_logged_once_a_batch_and_counted(client: KafkaClient, caplog: pytest.LogCaptureFixture) -> None:
    called = []

    def sometimes_bad(message: Any, _error: Any) -> None:
        called.append(message.value)
        if message.value != b"good":
            raise ValueError("a bug")

    with client.topics["t"].get_producer(linger_ms=60_000) as producer:
        for number in range(200):
            producer.produce(b"good" if number % 2 else b"bad", on_delivery=sometimes_bad)
        producer.flush(20)
        assert called == [b"bad", b"good"] * 100
        said = [record for record in caplog.records if record.name.startswith("pykafka") and record.levelno >= logging.ERROR]
        assert [bool(record.exc_info) for record in said] == [True, False]
        assert "100 of the 200 messages" in said[1].getMessage()
        producer.produce(b"good").result(20)


def test_a_log_handler_that_raises_as_well_takes_no_callback_and_no_room_from_the_others(client: KafkaClient) -> None:
    class Broken(logging.Handler):
        """A handler with a bug of its own."""

        def emit(self, record: logging.LogRecord) -> None:
            raise OSError("the disk is full")

    handler = Broken()
    logging.getLogger("pykafka").addHandler(handler)
    called: list[bytes] = []
    try:
        with client.topics["t"].get_producer(max_queued_messages=10, linger_ms=0) as producer:
            for _ in range(50):  # what is not given back after the callbacks would be missing after ten
                producer.produce(b"x", on_delivery=bad)
                producer.produce(b"y", on_delivery=lambda message, _error: called.append(message.value))
            producer.flush(20)
    finally:
        logging.getLogger("pykafka").removeHandler(handler)
    assert called == [b"y"] * 50


def test_a_delivery_callback_that_blocks_holds_up_no_sending_no_consumer_and_no_heartbeat(
    cluster: FakeCluster, client: KafkaClient
) -> None:
    gate, inside = threading.Event(), threading.Event()

    def block(_message: Any, _error: Any) -> None:
        inside.set()
        gate.wait(30)

    other = client.topics["other"]
    blocked = client.topics["t"].get_producer(linger_ms=0)
    member = other.get_balanced_consumer("g", **MEMBER)
    with blocked, member, other.get_producer(linger_ms=0) as producer:
        blocked.produce(b"x", on_delivery=block)
        assert inside.wait(20)
        before = heartbeats(cluster)
        for number in range(20):
            assert producer.produce(b"%d" % number).result(20).offset == number
            message = member.consume()
            assert message is not None and message.value == b"%d" % number
        assert blocked.produce(b"sent all the same").result(20).offset == 1
        until(lambda: heartbeats(cluster) > before + 3, what="heartbeats")
        assert len(cluster.members("g")) == 1
        gate.set()
        blocked.flush(20)


def test_callbacks_of_one_producer_wait_for_no_other_producers(client: KafkaClient) -> None:
    gate, inside, called = threading.Event(), threading.Event(), []

    def block(message: Any, _error: Any) -> None:
        inside.set()
        gate.wait(30)
        called.append(message.value)

    with client.topics["t"].get_producer(linger_ms=0) as blocked, client.topics["t"].get_producer(linger_ms=0) as free:
        blocked.produce(b"first", on_delivery=block)
        blocked.produce(b"second", on_delivery=lambda message, _error: called.append(message.value))
        assert inside.wait(20)
        free.produce(b"free", on_delivery=lambda message, _error: called.append(message.value))
        free.flush(20)
        assert called == [b"free"]
        gate.set()
        blocked.flush(20)
        assert called == [b"free", b"first", b"second"]


def test_callbacks_that_flush_each_others_producers_wait_for_no_callback(client: KafkaClient) -> None:
    done = []
    topic = client.topics["t"]
    with topic.get_producer(linger_ms=0) as one, topic.get_producer(linger_ms=0) as two:
        both = threading.Barrier(2)

        def flush(other: Any) -> Any:
            def on_delivery(_message: Any, _error: Any) -> None:
                both.wait(20)  # each is in a callback when it waits for the other
                done.append(other.flush(20))

            return on_delivery

        one.produce(b"1", on_delivery=flush(two))
        two.produce(b"2", on_delivery=flush(one))
        until(lambda: len(done) == 2, what="both callbacks")


def test_a_callback_that_feeds_another_producer_waits_for_what_that_ones_callbacks_give_back(client: KafkaClient) -> None:
    gate, called = threading.Event(), []
    options = {"linger_ms": 0, "pending_timeout_ms": 20_000}

    def slow(message: Any, _error: Any) -> None:
        gate.wait(20)
        called.append(message.value)

    topic = client.topics["t"]
    with topic.get_producer(**options) as source, topic.get_producer(**options, max_queued_messages=10) as fed:
        core = fed._core
        for number in range(100):
            source.produce(b"%d" % number, on_delivery=lambda message, _error: fed.produce(message.value, on_delivery=slow))
        until(lambda: core._called_rows >= 10 and not core.outstanding, what="a queue full of what is called back")
        with mock.patch.object(core, "_check_open") as asked_again:
            until(lambda: asked_again.call_count >= 3, what="a callback that waits, and looks around now and then")
        assert core._called_rows == 10, "the bound holds for callbacks as well"
        gate.set()
        until(lambda: len(called) == 100, what="all callbacks")
        assert called == [b"%d" % number for number in range(100)]


@pytest.mark.parametrize("producers", [1, 2, 3])
def test_callbacks_that_feed_each_others_producers_in_a_circle_wait_for_no_callback(client: KafkaClient, producers: int) -> None:
    ended = []
    topic = client.topics["t"]
    with ExitStack() as stack:
        options = {"linger_ms": 0, "max_queued_messages": 2, "pending_timeout_ms": -1}
        circle = [stack.enter_context(topic.get_producer(**options)) for _ in range(producers)]

        def feed(place: int, lives: int) -> Any:
            def on_delivery(_message: Any, _error: Any) -> None:
                if not lives:
                    ended.append(place)
                    return
                following = (place + 1) % producers
                for _ in range(2):
                    circle[following].produce(b"x", on_delivery=feed(following, lives - 1))

            return on_delivery

        for place, producer in enumerate(circle):
            for _ in range(2):
                producer.produce(b"x", on_delivery=feed(place, 5))
        until(lambda: len(ended) == producers * 2 * 2**5, what="the end of every chain")


def test_the_thread_for_callbacks_ends_with_its_producer_and_after_a_rest(
    client: KafkaClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pykafka._engine.callbacks.IDLE_S", 0.01)
    called: list[int] = []

    def threads() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread.name == "pykafka-callbacks-t"]

    with client.topics["t"].get_producer(linger_ms=0) as producer:
        for round_ in range(3):
            producer.produce(b"x", on_delivery=lambda message, _error: called.append(message.offset))
            producer.flush(20)
            assert len(called) == round_ + 1
            until(lambda: not threads(), what="the end of the thread")
    monkeypatch.setattr("pykafka._engine.callbacks.IDLE_S", 3600)
    with client.topics["t"].get_producer(linger_ms=0) as producer:
        producer.produce(b"x", on_delivery=lambda message, _error: called.append(message.offset))
    assert len(called) == 4
    until(lambda: not threads(), what="the end of the thread")


def test_on_assign_that_blocks_stops_no_heartbeat_and_no_other_member(cluster: FakeCluster, client: KafkaClient) -> None:
    gate, inside = threading.Event(), threading.Event()

    def block(_consumer: Any, _partitions: Any) -> None:
        inside.set()
        gate.wait(30)

    topic = client.topics["t"]
    blocked = topic.get_balanced_consumer("g", **MEMBER, on_assign=block, auto_start=False)
    starting = threading.Thread(target=blocked.start)
    starting.start()
    try:
        assert inside.wait(20)
        before = heartbeats(cluster)
        cluster.produce("other", [b"a"])
        with client.topics["other"].get_balanced_consumer("h", managed=True, consumer_timeout_ms=20_000) as free:
            assert free.consume() is not None
        until(lambda: heartbeats(cluster) > before + 3, what="heartbeats")
        assert len(cluster.members("g")) == 1
    finally:
        gate.set()
        starting.join(20)
        blocked.stop()


def test_a_serializer_that_raises_fails_its_own_message_and_sends_nothing(cluster: FakeCluster, client: KafkaClient) -> None:
    def serialize(value: Any, key: Any) -> Any:
        if value == "bad":
            raise ValueError("cannot be written")
        return value.encode(), key

    with client.topics["t"].get_producer(serializer=serialize, linger_ms=0) as producer:
        producer.produce("one").result(20)
        with pytest.raises(ValueError, match="cannot be written"):
            producer.produce("bad")
        producer.produce("two").result(20)
    assert cluster.values("t") == [b"one", b"two"]


def test_a_partitioner_that_raises_fails_its_own_message_and_sends_nothing(cluster: FakeCluster, client: KafkaClient) -> None:
    def choose(partitions: Any, key: Any) -> Any:
        if key == b"bad":
            raise KeyError("nowhere")
        return partitions[0]

    with client.topics["t"].get_producer(partitioner=choose, linger_ms=0) as producer:
        producer.produce(b"one", partition_key=b"good").result(20)
        with pytest.raises(KeyError):
            producer.produce(b"lost", partition_key=b"bad").result(20)
        producer.produce(b"two", partition_key=b"good").result(20)
    assert cluster.values("t") == [b"one", b"two"]


def test_a_deserializer_that_blocks_keeps_nobody_but_its_caller(cluster: FakeCluster, client: KafkaClient) -> None:
    gate, inside, got = threading.Event(), threading.Event(), []

    def deserialize(value: Any, key: Any) -> Any:
        inside.set()
        gate.wait(30)
        return value, key

    cluster.produce("t", [b"slow"])
    slow = client.topics["t"].get_simple_consumer(deserializer=deserialize, consumer_timeout_ms=20_000)
    caller = threading.Thread(target=lambda: got.append(slow.consume()))
    caller.start()
    assert inside.wait(20)
    with client.topics["t"].get_simple_consumer(consumer_timeout_ms=20_000) as quick:
        message = quick.consume()
        assert message is not None and message.value == b"slow"
    gate.set()
    caller.join(20)
    assert [message.value for message in got if message is not None] == [b"slow"]
    slow.stop()
