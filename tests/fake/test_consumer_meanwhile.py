"""What becomes of consume(), seek() and pause() when signal handlers and rebalances come in the middle of them."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Any

import pytest

from pykafka import KafkaClient, reader
from pykafka._machines import turns
from pykafka.common import OffsetType, TopicPartition
from pykafka.exceptions import ConsumerStoppedException, KafkaException, OperationTimedOut
from pykafka.reader import STOP_TIMEOUT_S
from pykafka.testing import FakeCluster

from ..support import until
from .scripts import interrupting


@pytest.mark.parametrize("how", ["reset_offsets", "seek", "pause"])
def test_a_partition_that_is_given_up_while_it_is_to_be_moved_is_left_alone(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rebalance does so at any time, between the look whether the partition is ours and the move: it was a KeyError."""
    with FakeCluster(topics={"t": 2}) as cluster, KafkaClient(cluster.hosts) as client:
        for partition in range(2):
            cluster.produce("t", [b"v"] * 3, partition)
        given = list(client.topics["t"].partitions.values())  # without, it would take up again what it is found not to have
        with client.topics["t"].get_simple_consumer(partitions=given, consumer_timeout_ms=2000) as consumer:
            both = consumer.partitions
            assert len(list(islice(consumer, 6))) == 6
            place, step = {
                "reset_offsets": (consumer._offsets, "look_up"), "seek": (reader, "owned_tp"), "pause": (reader, "owned_tps"),
            }[how]  # fmt: skip
            interrupting(monkeypatch, place, step, lambda: consumer._give_up([TopicPartition("t", 0)], None))
            if how == "reset_offsets":
                consumer.reset_offsets()
            elif how == "seek":
                consumer.seek(both[0], 0)
                consumer.seek(both[1], 0)
            else:
                consumer.pause(both.values())
                consumer.seek(both[1], 0)
                consumer.resume([both[1]])
            got = [(message.partition_id, message.offset) for message in islice(consumer, 3)]
            assert got == [(1, 0), (1, 1), (1, 2)]


class Handler:
    """Runs once, at the call number ``number`` in consume(), and does what ``how`` names."""

    def __init__(self, consumer: Any, how: str, number: int) -> None:
        self.consumer, self.how, self.number = consumer, how, number
        self.calls = 0
        #: what was delivered, and how much of it before a seek
        self.got: list[tuple[int, int]] = []
        self.sought_at = 0
        self.expected = [(partition, offset) for partition in range(2) for offset in range(7)]

    def take(self) -> bool:
        """Consume one message, and return whether there was one."""
        message = self.consumer.consume()
        if message is not None:
            self.got.append((message.partition_id, message.offset))
        return message is not None

    def profile(self, frame: Any, event: str, arg: Any) -> None:
        """Count calls: at each a signal handler may run."""
        self.calls += event == "call" and frame.f_code.co_filename in (reader.__file__, turns.__file__)
        if self.calls != self.number:
            return
        sys.setprofile(None)
        if "stop" in self.how:
            self.consumer.stop()
            self.consumer.start()
        if "seek" in self.how:
            self.consumer.seek(self.consumer.partitions[0], 5)
            self.sought_at = len(self.got)
            self.expected = [(0, 5), (0, 6), *self.expected[7:]]
        if "consume" in self.how:
            self.take()

    def counted(self) -> list[tuple[int, int]]:
        """Return what was delivered but, after a seek, of partition 0 what came before it."""
        if len(self.expected) == 14:
            return sorted(self.got)
        late = [place for place in self.got[self.sought_at :] if place < (0, 5)]
        assert len(late) <= 1, "the consume() that was interrupted may have had its message already, and no other"
        others = [place for place in self.got if place[0]]
        return sorted(others + [place for place in self.got[self.sought_at :] if not place[0] and place not in late])


@pytest.mark.parametrize("how", ["consume", "seek", "seek and consume", "stop and consume"])
def test_a_signal_handler_in_the_middle_of_consume_may_take_messages_or_go_elsewhere(how: str) -> None:
    with FakeCluster(topics={"t": 2}) as cluster, KafkaClient(cluster.hosts) as client:
        for partition in range(2):
            cluster.produce("t", [b"v"] * 7, partition)
        number, was_run = 0, True
        while was_run:
            number += 1
            with client.topics["t"].get_simple_consumer(consumer_timeout_ms=2000) as consumer:
                parcels = consumer._core.parcels  # type: ignore[union-attr]
                until(lambda kept=parcels: all(kept[TopicPartition("t", partition)] for partition in range(2)), what="messages")
                handler = Handler(consumer, how, number)
                sys.setprofile(handler.profile)
                try:
                    while len(handler.got) < 6 and handler.take():
                        pass
                finally:
                    sys.setprofile(None)
                while not set(handler.expected) <= set(handler.counted()) and handler.take():
                    pass
                assert consumer.consume(block=False) is None
            assert handler.counted() == handler.expected, number
            was_run = handler.calls >= number
    assert number > 20


def test_a_commit_by_a_signal_handler_in_the_middle_of_a_commit_is_refused_and_does_not_wait_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with FakeCluster(topics={"t": 1}) as cluster, KafkaClient(cluster.hosts) as client:
        cluster.produce("t", [b"v"] * 3)
        options: Any = {"consumer_timeout_ms": 2000, "offsets_commit_max_retries": 0}
        with client.topics["t"].get_simple_consumer("g", **options) as consumer:
            consumer.consume()
            refused: list[str] = []

            def commit_again() -> None:
                with pytest.raises(OperationTimedOut) as caught:
                    consumer.commit_offsets()
                refused.append(str(caught.value))

            interrupting(monkeypatch, consumer, "_to_commit", commit_again)
            consumer.commit_offsets()
            assert "signal handler" in refused[0]
            assert cluster.committed("g")["t", 0].offset == 1
            consumer.consume()
            consumer.commit_offsets()
            assert cluster.committed("g")["t", 0].offset == 2


def consumer_of(kind: str, topic: Any) -> Any:
    """Return a consumer that commits by itself."""
    options = {"consumer_timeout_ms": 5000, "auto_commit_enable": True}
    if kind == "simple":
        return topic.get_simple_consumer("g", **options)
    return topic.get_balanced_consumer("g", managed=True, **options)


@contextmanager
def consuming(kind: str) -> Iterator[tuple[FakeCluster, Any]]:
    """Run a cluster with three messages, and a consumer that has had the first."""
    with FakeCluster(topics={"t": 1}) as cluster, KafkaClient(cluster.hosts) as client:
        cluster.produce("t", [b"v"] * 3)
        consumer = consumer_of(kind, client.topics["t"])
        assert consumer.consume().offset == 0
        yield cluster, consumer


@pytest.mark.parametrize("kind", ["simple", "balanced"])
def test_a_start_by_a_signal_handler_in_the_middle_of_a_stop_is_done_after_it(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with consuming(kind) as (cluster, consumer):
        running: list[bool] = []

        def start_again() -> None:
            consumer.start()
            running.append(consumer._running)

        interrupting(monkeypatch, consumer, "_end", start_again)
        consumer.stop()
        assert running == [False]
        assert cluster.committed("g")["t", 0].offset == 1
        assert consumer.consume().offset == 1
        consumer.stop()


@pytest.mark.parametrize("kind", ["simple", "balanced"])
def test_a_stop_by_a_signal_handler_in_the_middle_of_a_commit_is_not_held_up_by_it(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with consuming(kind) as (_cluster, consumer):
        took: list[float] = []

        def stop() -> None:
            began = time.monotonic()
            with pytest.raises(OperationTimedOut, match="signal handler"):
                consumer.stop()
            took.append(time.monotonic() - began)

        interrupting(monkeypatch, consumer, "_to_commit", stop)
        with suppress(KafkaException):
            consumer.commit_offsets()
        assert took[0] < STOP_TIMEOUT_S / 2
        consumer.start()
        assert consumer.consume() is not None
        consumer.stop()


@pytest.mark.parametrize("kind", ["simple", "balanced"])
@pytest.mark.parametrize("call", ["stop", "commit_offsets"])
def test_a_handler_in_the_middle_of_consume_does_not_wait_for_a_commit_that_waits_for_consume(
    kind: str, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeCluster(topics={"t": 1}) as cluster, KafkaClient(cluster.hosts) as client:
        consumer = consumer_of(kind, client.topics["t"])
        cluster.produce("t", [b"v"] * 3)
        in_turn, took = threading.Event(), []

        def commit() -> dict[TopicPartition, int]:
            in_turn.set()
            with consumer._lock:
                return {}

        def handle() -> None:
            # consume() has the lock here, and the other thread's commit its turn
            other = threading.Thread(target=consumer._commits.commit, args=(commit, consumer._committer))
            other.start()
            assert in_turn.wait(20)
            began = time.monotonic()
            getattr(consumer, call)()
            took.append(time.monotonic() - began)
            other.join(20)

        interrupting(monkeypatch, turns.PartitionBuffer, "refill", handle)
        with suppress(ConsumerStoppedException):
            consumer.consume()
        assert took[0] < STOP_TIMEOUT_S / 2
        consumer.stop()


STOP_STEPS = {
    "simple": ["_end", "_end_auto_commits", "_stop_cores"],
    "balanced": ["_stop_ticking", "_wake", "_wait_unlocked", "_end", "_stop_cores", "_finish"],
}


@pytest.mark.parametrize("then", ["stop", "start"])
@pytest.mark.parametrize(("kind", "step"), [(kind, step) for kind, steps in STOP_STEPS.items() for step in steps])
def test_what_is_left_of_a_stop_that_was_interrupted_is_done_by_the_next_call(
    kind: str, step: str, then: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with consuming(kind) as (_cluster, consumer):
        interrupting(monkeypatch, consumer, step, interrupt)
        with pytest.raises(KeyboardInterrupt):
            consumer.stop()
        getattr(consumer, then)()
        if then == "start":
            assert consumer.consume() is not None
            consumer.stop()
        assert not consumer._unfinished and not consumer._running
        assert kind == "simple" or consumer._worker is None
        until(lambda: not [each for each in threading.enumerate() if each.name.startswith("pykafka-group")], what="threads")


START_STEPS = {
    "simple": ["_make_core", "_begin", "_start_auto_commits"],
    "balanced": ["_make_member", "_make_core", "_begin", "_start_auto_commits"],
}


@pytest.mark.parametrize(("kind", "step"), [(kind, step) for kind, steps in START_STEPS.items() for step in steps])
def test_a_start_that_was_interrupted_leaves_nothing_and_can_be_done_again(
    kind: str, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeCluster(topics={"t": 1}) as cluster, KafkaClient(cluster.hosts) as client:
        cluster.produce("t", [b"v"] * 3)
        consumer = consumer_of(kind, client.topics["t"])
        consumer.stop()
        interrupting(monkeypatch, consumer, step, interrupt)
        with pytest.raises(KeyboardInterrupt):
            consumer.start()
        assert not consumer._unfinished and not consumer._running
        until(lambda: not [each for each in threading.enumerate() if each.name.startswith("pykafka-group")], what="threads")
        consumer.start()
        assert consumer.consume().offset == 0
        consumer.stop()
        assert cluster.committed("g")["t", 0].offset == 1


def interrupt() -> None:
    """Do as Ctrl-C."""
    raise KeyboardInterrupt


def test_a_member_that_a_callback_has_stopped_can_be_started_by_anybody_else_and_leaves_no_thread() -> None:
    with FakeCluster(topics={"t": 1}) as cluster, KafkaClient(cluster.hosts) as client:
        cluster.produce("t", [b"v"] * 3)
        refused: list[str] = []

        def on_assign(consumer: Any, _partitions: Any) -> None:
            if not refused:
                consumer.stop()
                with pytest.raises(ConsumerStoppedException) as caught:
                    consumer.start()
                refused.append(str(caught.value))

        consumer = client.topics["t"].get_balanced_consumer(
            "g", managed=True, consumer_timeout_ms=5000, on_assign=on_assign, auto_start=False
        )
        consumer.start()
        until(lambda: refused, what="the callback")
        for _ in range(3):
            consumer.start()
            assert consumer.consume() is not None
            consumer.stop()
        until(lambda: not [each for each in threading.enumerate() if each.name.startswith("pykafka-group")], what="threads")


@pytest.mark.parametrize("group_protocol", ["classic", "consumer"])
def test_a_member_that_a_signal_handler_starts_anew_in_the_middle_of_consume_reads_on(
    group_protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeCluster(topics={"t": 1}) as kafka, KafkaClient(kafka.hosts) as client:
        kafka.produce("t", [b"1", b"2"])
        options = {"group_protocol": group_protocol, "auto_offset_reset": OffsetType.EARLIEST, "consumer_timeout_ms": 20_000}
        with client.topics["t"].get_balanced_consumer("g", managed=True, **options) as consumer:
            until(lambda: any(consumer._core.parcels.values()), what="messages")  # type: ignore[union-attr]

            def start_anew() -> None:
                consumer.stop()
                consumer.start()

            began = time.monotonic()
            interrupting(monkeypatch, turns.PartitionBuffer, "refill", start_anew)
            assert [consumer.consume().value for _ in range(2)] == [b"1", b"2"]
            # it waited for its share, which its own thread kept from coming, for minutes
            assert time.monotonic() - began < 60


def test_a_seek_in_whose_middle_a_signal_handler_starts_the_consumer_anew_moves_what_is_read_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = {"auto_offset_reset": OffsetType.EARLIEST, "consumer_timeout_ms": 20_000}
    with FakeCluster(topics={"t": 1}) as kafka, KafkaClient(kafka.hosts) as client:
        consumer = client.topics["t"].get_simple_consumer(**options)

        def start_anew() -> None:
            consumer.stop()
            kafka.add_partitions("t", 2)
            kafka.produce("t", [b"1", b"2"], partition=1)
            client.update_cluster()
            consumer.start()

        interrupting(monkeypatch, consumer, "_put_back_turn", start_anew)
        consumer._seek({TopicPartition("t", 1): 1})
        assert consumer.consume().value == b"2"
        consumer.stop()


def test_a_stop_by_a_signal_handler_right_before_what_was_fetched_is_looked_at_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeCluster(topics={"t": 1}) as kafka, KafkaClient(kafka.hosts) as client:
        kafka.produce("t", [b"1"])
        consumer = client.topics["t"].get_simple_consumer(auto_offset_reset=OffsetType.EARLIEST, consumer_timeout_ms=20_000)
        interrupting(monkeypatch, consumer, "_put_back_turn", consumer.stop)
        with pytest.raises(ConsumerStoppedException):
            consumer.consume()
