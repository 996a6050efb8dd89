"""What becomes of a producer that signal handlers start, stop and use in the middle of its own steps."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from pykafka import KafkaClient, Producer
from pykafka._engine import line
from pykafka._engine.line import WaitingLine
from pykafka._engine.waiting import Deadline
from pykafka.exceptions import KafkaException, OperationTimedOut, ProducerStoppedException
from pykafka.testing import FakeCluster

from .scripts import interrupting


@pytest.fixture
def cluster() -> Iterator[FakeCluster]:
    with FakeCluster(topics={"t": 1}) as fake:
        yield fake


@pytest.fixture
def producer(cluster: FakeCluster) -> Iterator[Producer]:
    """Make one that is stopped."""
    with KafkaClient(cluster.hosts) as client:
        made = client.topics["t"].get_producer()
        made.stop()
        yield made


def test_a_stop_by_a_signal_handler_in_the_middle_of_a_start_is_done_after_it(
    cluster: FakeCluster, producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in ("_make_core", "_dealer"):
        interrupting(monkeypatch, producer, step, producer.stop)
        producer.start()
        with pytest.raises(ProducerStoppedException):
            producer.produce(b"refused")
    producer.start()
    producer.produce(b"1").result(20)
    producer.stop()
    assert cluster.values("t") == [b"1"]


def test_a_start_by_a_signal_handler_in_the_middle_of_a_start_makes_no_second_queue(
    producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    cores: list[Any] = []

    def start_again() -> None:
        producer.start()
        cores.append(producer._core)

    before = producer._core
    interrupting(monkeypatch, producer, "_make_core", start_again)
    producer.start()
    assert cores == [before] and producer._core is not before
    producer.produce(b"1").result(20)
    producer.stop()


def test_a_start_that_fails_can_be_tried_again(producer: Producer, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    interrupting(monkeypatch, producer, "_make_core", interrupt)
    with pytest.raises(KeyboardInterrupt):
        producer.start()
    producer.start()
    producer.produce(b"1").result(20)
    producer.stop()


def test_a_signal_handler_may_look_at_partitions_in_the_middle_of_another_look(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    with KafkaClient(cluster.hosts) as client:
        topic = client.topics["t"]
        partition = topic.partitions[0]
        seen: list[int] = []
        topic._known = None
        interrupting(monkeypatch, type(partition), "update", lambda: seen.append(len(topic.partitions)))
        assert list(topic.partitions) == [0] and seen == [1]


def test_a_signal_handler_that_lets_in_whom_it_has_interrupted_lets_each_in_once() -> None:
    room, entered = [0], []

    def has_room(_count: int, _size: int) -> bool:
        allowed = room[0] > 0
        if allowed and handlers:
            handlers.pop()()
        return allowed

    queue = WaitingLine(has_room)
    handlers: list[Any] = []
    tickets = [line._Ticket(1, 1, lambda number=number: entered.append(number)) for number in range(3)]  # type: ignore[misc]
    queue._waiting.extend(tickets)
    room[0] = 9
    handlers.append(queue.let_in)
    queue.let_in()
    assert entered == [0, 1, 2] and not queue
    assert queue.try_to_pass(1, 1, lambda: entered.append(3))
    assert queue.wait(1, 1, lambda: entered.append(4), lambda: False, lambda: None, Deadline(1.0))
    assert entered == [0, 1, 2, 3, 4]


def test_a_signal_handler_in_the_middle_of_queueing_waits_for_nothing_that_could_not_come(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[OperationTimedOut] = []
    with KafkaClient(cluster.hosts) as client:
        producer = client.topics["t"].get_producer(max_queued_messages=4, linger_ms=10_000)
        first = producer.produce(b"1")

        def use_it() -> None:
            # more than there is room for: it is queued all the same, or this thread would wait for itself
            producer.produce_many([b"2", b"3", b"4", b"5"])
            for wait in (producer.flush, first.result, producer.stop):
                try:
                    wait()
                except OperationTimedOut as error:
                    refused.append(error)

        interrupting(monkeypatch, producer._core, "_close_segment", use_it)
        producer.produce_many([b"6"])
        assert len(refused) == 3 and all("signal handler" in str(error) for error in refused)
        # what the handler has not come to is done now
        producer.stop()
        assert first.done and sorted(cluster.values("t")) == [b"1", b"2", b"3", b"4", b"5", b"6"]


def test_another_threads_stop_in_the_middle_of_a_start_comes_after_it(
    cluster: FakeCluster, producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopping = threading.Thread(target=producer.stop)

    def stop_elsewhere() -> None:
        stopping.start()
        stopping.join(0.2)

    interrupting(monkeypatch, producer._cluster, "track", stop_elsewhere)
    producer.start()
    stopping.join(20)
    producer.start()
    producer.produce(b"1").result(20)
    assert cluster.values("t") == [b"1"]


def test_a_start_that_ctrl_c_ends_is_undone_by_the_next_stop(producer: Producer, monkeypatch: pytest.MonkeyPatch) -> None:
    def press() -> None:
        raise KeyboardInterrupt

    interrupting(monkeypatch, producer._cluster, "track", press)
    with pytest.raises(KeyboardInterrupt):
        producer.start()
    (begun,) = producer._half_started
    producer.stop()
    assert begun.closed and not producer._half_started and not producer._unfinished
    producer.start()
    producer.produce(b"1").result(20)


def test_a_start_that_fails_again_and_again_leaves_nothing(producer: Producer, cluster: FakeCluster) -> None:
    producer._cluster.close()
    for _ in range(3):
        with pytest.raises(KafkaException):
            producer.start()
    assert not producer._half_started and not producer._unfinished


def test_a_signal_handler_in_the_middle_of_starting_the_callback_thread_waits_for_nothing_that_could_not_come(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[OperationTimedOut] = []
    told: list[Any] = []
    with KafkaClient(cluster.hosts) as client, client.topics["t"].get_producer(max_queued_messages=2) as producer:
        worker = producer._core.callbacks._worker

        def use_it() -> None:
            producer.produce_many([b"1", b"2", b"3", b"4"])
            try:
                producer.flush()
            except OperationTimedOut as error:
                refused.append(error)

        real = worker._start

        def interrupted() -> None:
            monkeypatch.setattr(worker, "_start", real)
            use_it()
            real()

        monkeypatch.setattr(worker, "_start", interrupted)
        producer.produce(b"5", on_delivery=lambda message, error: told.append((message.value, error)))
        assert len(refused) == 1
        producer.flush(20)
    assert told == [(b"5", None)] and sorted(cluster.values("t")) == [b"1", b"2", b"3", b"4", b"5"]
