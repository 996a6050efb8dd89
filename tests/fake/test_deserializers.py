"""A deserializer fails, or Ctrl-C comes in it: every message is delivered or its error raised, and none is committed before."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, Optional

import pytest

from pykafka import KafkaClient
from pykafka.common import OffsetType
from pykafka.testing import FakeCluster

READ: dict[str, Any] = {"auto_offset_reset": OffsetType.EARLIEST, "consumer_timeout_ms": 300}


class Picky:
    """A deserializer that refuses some values, and is interrupted once by Ctrl-C at a value."""

    def __init__(self, interrupted_at: Optional[bytes] = None) -> None:
        self.interrupted_at = interrupted_at

    def __call__(self, value: Optional[bytes], key: Optional[bytes]) -> tuple[Any, Any]:
        assert value is not None
        if value == self.interrupted_at:
            self.interrupted_at = None
            raise KeyboardInterrupt
        if value.startswith(b"bad"):
            raise ValueError(value.decode())
        return value.decode(), key


@pytest.fixture
def cluster() -> Iterator[FakeCluster]:
    with FakeCluster(brokers=1, topics={"t": 1}) as one:
        yield one


def heard(consumer: Any) -> list[str]:
    """Return all that comes: values, and the errors about others."""
    found: list[str] = []
    while True:
        try:
            batch = consumer.consume_batch(10)
        except ValueError as error:
            found.append(str(error))
            continue
        if not batch:
            return found
        found += [message.value for message in batch]


@pytest.mark.parametrize("how", ["commit", "auto-commit", "start again"])
def test_a_message_that_fails_in_the_middle_of_a_batch_is_heard_of_before_it_is_passed(cluster: FakeCluster, how: str) -> None:
    """The usual loop of batch, commit and stop passed over it in silence, for good."""
    cluster.produce("t", [b"a", b"bad", b"c"])
    group = None if how == "start again" else "g"
    with KafkaClient(cluster.hosts) as client:
        topic = client.topics["t"]
        consumer = topic.get_simple_consumer(group, auto_commit_enable=how == "auto-commit", deserializer=Picky(), **READ)
        assert [message.value for message in consumer.consume_batch(10)] == ["a"]
        assert consumer.position(topic.partitions[0]) == 1
        if how == "commit":
            consumer.commit_offsets()
        consumer.stop()
        if group is not None:
            assert cluster.committed("g")["t", 0].offset == 1
            consumer = topic.get_simple_consumer(group, deserializer=Picky(), reset_offset_on_start=False, **READ)
        else:
            consumer.start()
        assert heard(consumer) == ["bad", "c"]
        assert consumer.position(topic.partitions[0]) == 3
        consumer.stop()


@pytest.mark.parametrize("how", ["consume", "consume_batch", "iteration"])
def test_what_ctrl_c_in_a_deserializer_keeps_from_being_delivered_comes_again_and_is_not_committed(
    cluster: FakeCluster, how: str
) -> None:
    cluster.produce("t", [b"%d" % number for number in range(6)])
    with KafkaClient(cluster.hosts) as client:
        topic, got = client.topics["t"], []
        consumer = topic.get_simple_consumer("g", auto_commit_enable=True, deserializer=Picky(b"3"), **READ)
        with pytest.raises(KeyboardInterrupt):
            while True:
                if how == "consume":
                    got.append(consumer.consume().value)
                elif how == "consume_batch":
                    got += [message.value for message in consumer.consume_batch(10)]
                else:
                    for message in consumer:
                        got.append(message.value)
        assert got == ([] if how == "consume_batch" else ["0", "1", "2"])
        assert consumer.position(topic.partitions[0]) == len(got)
        if how == "iteration":  # it goes on ...
            assert got + heard(consumer) == ["0", "1", "2", "3", "4", "5"]
        consumer.stop()
        with topic.get_simple_consumer("g", deserializer=Picky(), reset_offset_on_start=False, **READ) as another:
            assert how == "iteration" or got + heard(another) == ["0", "1", "2", "3", "4", "5"]  # ... or another does


def test_two_threads_whose_batches_fail_hear_of_both_messages(cluster: FakeCluster) -> None:
    both, errors = threading.Barrier(2), []

    def refuse_in_time(value: Optional[bytes], key: Optional[bytes]) -> tuple[Any, Any]:
        if value in (b"0", b"1"):
            both.wait(20)
        return Picky()(value, key)

    with KafkaClient(cluster.hosts) as client:
        consumer = client.topics["t"].get_simple_consumer(deserializer=refuse_in_time, **READ)
        got: list[Any] = []
        threads = [threading.Thread(target=lambda: got.append(take(consumer))) for _ in range(2)]
        for thread in threads:
            thread.start()
        cluster.produce("t", [b"0", b"1", b"bad 1", b"bad 2"])
        for thread in threads:
            thread.join(30)
        errors += heard(consumer)
        consumer.stop()
    found = sorted([value for batch in got for value in batch] + errors)
    assert found == ["0", "1", "bad 1", "bad 2"]


def take(consumer: Any) -> list[Any]:
    """Take up to two messages; an error is taken, too."""
    try:
        return [message.value for message in consumer.consume_batch(2, timeout_ms=20_000)]
    except ValueError as error:
        return [str(error)]


def test_what_comes_again_waits_while_its_partition_is_paused_and_does_not_come_after_a_seek(cluster: FakeCluster) -> None:
    cluster.produce("t", [b"a", b"bad", b"c"])
    with KafkaClient(cluster.hosts) as client, client.topics["t"].get_simple_consumer(deserializer=Picky(), **READ) as consumer:
        (partition,) = consumer.partitions.values()
        assert len(consumer.consume_batch(10)) == 1
        consumer.pause([partition])
        assert consumer.consume_batch(10) == [] and consumer.consume(block=False) is None
        consumer.resume([partition])
        with pytest.raises(ValueError, match="bad"):
            consumer.consume()
        consumer.seek(partition, 0)
        assert consumer.consume_batch(10)[0].offset == 0
        consumer.seek(partition, 2)
        assert [message.value for message in consumer.consume_batch(10)] == ["c"]


def test_who_waits_in_another_thread_hears_of_the_message_that_comes_again(cluster: FakeCluster) -> None:
    go_on, waiting = threading.Event(), threading.Event()

    def slowly(value: Optional[bytes], key: Optional[bytes]) -> tuple[Any, Any]:
        if value == b"bad":
            waiting.set()
            go_on.wait(20)
        return Picky()(value, key)

    with KafkaClient(cluster.hosts) as client:
        consumer = client.topics["t"].get_simple_consumer(deserializer=slowly, auto_offset_reset=OffsetType.EARLIEST)
        got: list[Any] = []
        first = threading.Thread(target=lambda: got.append(take(consumer)))
        first.start()
        cluster.produce("t", [b"a", b"bad"])
        assert waiting.wait(20)
        other = threading.Thread(target=lambda: got.append(take(consumer)))  # there is nothing for it yet
        other.start()
        go_on.set()
        for thread in (first, other):
            thread.join(20)
        consumer.stop()
    assert sorted(got) == [["a"], ["bad"]]


@pytest.mark.parametrize("how", ["stop", "seek"])
def test_positions_follow_the_deserializer_message_by_message(cluster: FakeCluster, how: str) -> None:
    """Another thread commits, stops or goes elsewhere in the middle of a batch: what is not taken yet is not passed over."""
    cluster.produce("t", [b"%d" % number for number in range(6)])
    acts: list[Any] = []

    def act_at_1(value: Optional[bytes], key: Optional[bytes]) -> tuple[Any, Any]:
        if value == b"1" and acts:
            thread = threading.Thread(target=acts.pop())
            thread.start()
            thread.join(20)
        return Picky()(value, key)

    with KafkaClient(cluster.hosts) as client:
        topic = client.topics["t"]
        consumer = topic.get_simple_consumer("g", auto_commit_enable=True, deserializer=act_at_1, **READ)
        acts.append(consumer.stop if how == "stop" else lambda: consumer.seek(topic.partitions[0], 4))
        got = [message.value for message in consumer.consume_batch(10)]
        assert got == ["0", "1"]
        if how == "stop":
            assert cluster.committed("g")["t", 0].offset == 2
        else:
            assert [message.value for message in consumer.consume_batch(10)] == ["4", "5"]
        consumer.stop()
