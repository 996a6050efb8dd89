"""What becomes of a producer that signal handlers start, stop and use in the middle of its own steps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pykafka import KafkaClient, Producer
from pykafka._engine import line
from pykafka._engine.line import WaitingLine
from pykafka._engine.waiting import Deadline
from pykafka.exceptions import ProducerStoppedException
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
