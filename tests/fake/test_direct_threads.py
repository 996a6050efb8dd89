"""A sync producer that sends by its caller's thread, with other threads, signal handlers and forks in between."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from typing import Any, Callable

import pytest

from pykafka import KafkaClient, Producer, partitioners
from pykafka import producer as producer_module
from pykafka._engine import direct, direct_lines, queueing
from pykafka._machines import dealing, loans
from pykafka.exceptions import (
    DeliveryTimeout,
    KafkaException,
    ProduceFailureError,
    ProducerStoppedException,
)
from pykafka.protocol import lone_produce
from pykafka.testing import FakeCluster

from ..support import Interrupting, run_python, until
from .direct import FAST, PARTITIONS, warm, warmed, written
from .scripts import on_io_thread

# -- other threads ----------------------------------------------------------------------------------------------------


def test_threads_that_share_a_producer_lose_nothing(kafka: FakeCluster, client: KafkaClient) -> None:
    with warmed(client) as producer:
        made: list[Any] = []

        def produce(thread: int) -> None:
            made.extend(producer.produce(b"%d-%04d" % (thread, number)) for number in range(150))

        threads = [threading.Thread(target=produce, args=(number,)) for number in range(8)]
        for each in threads:
            each.start()
        for each in threads:
            each.join(60)
        assert len(made) == 8 * 150
        for message in made:
            assert kafka.records("t", message.partition_id)[message.offset].value == message.value
        assert len(client.cluster.engine.direct_lines._all.present()) <= 3 * direct_lines.MAX_LINES
        warm(producer)
    assert set(written(kafka).values()) == {1}


def test_flush_and_stop_wait_for_what_another_thread_has_sent(kafka: FakeCluster, client: KafkaClient) -> None:
    producer = warmed(client)
    for end in (producer.flush, producer.stop):
        kafka.hold("Produce")
        sender = threading.Thread(target=producer.produce, args=(b"x",))
        sender.start()
        until(lambda: kafka.held("Produce"), what="the message to be under way")
        ender = threading.Thread(target=end)
        ender.start()
        until(lambda: producer._core.flushes, what="the flush to have begun")
        ender.join(0.05)
        assert ender.is_alive()
        kafka.heal()
        for thread in (sender, ender):
            thread.join(20)
            assert not thread.is_alive()
    assert written(kafka) == Counter([b"x"] * 2)


def test_a_message_for_the_same_partition_waits_until_it_is_given_back(kafka: FakeCluster, client: KafkaClient) -> None:
    with warmed(client) as producer:
        kafka.hold("Produce")
        sender = threading.Thread(target=producer.produce, args=(b"first",))
        sender.start()
        until(lambda: kafka.held("Produce"), what="the message to be under way")
        many = threading.Thread(target=producer.produce_many, args=([b"%d" % number for number in range(PARTITIONS)],))
        many.start()
        until(lambda: kafka.held("Produce") == PARTITIONS, what="the other partitions' messages")
        kafka.heal()
        sender.join(20)
        many.join(20)
        assert not many.is_alive()
    assert written(kafka) == Counter([b"first", *(b"%d" % number for number in range(PARTITIONS))])


@pytest.mark.parametrize("how", ["client", "producer"])
def test_closed_by_another_thread_a_message_has_its_outcome_at_once(kafka: FakeCluster, client: KafkaClient, how: str) -> None:
    producer = warmed(client)
    producer._options["pending_timeout_ms"] = 100
    outcomes: list[Any] = []
    kafka.hold("Produce")

    def produce() -> None:
        try:
            outcomes.append(producer.produce(b"x"))
        except KafkaException as error:
            outcomes.append(error)

    producer._options["pending_timeout_ms"] = 20000
    sender = threading.Thread(target=produce)
    sender.start()
    until(lambda: kafka.held("Produce"), what="the message to be under way")
    producer._options["pending_timeout_ms"] = 50
    with suppress(ProduceFailureError):
        client.close() if how == "client" else producer.stop()
    sender.join(10)
    assert not sender.is_alive()
    (outcome,) = outcomes
    assert isinstance(outcome, DeliveryTimeout) and outcome.possibly_written
    kafka.heal()
    with pytest.raises(ProducerStoppedException):
        producer.produce(b"y")


def test_two_clients_share_nothing(kafka: FakeCluster, client: KafkaClient) -> None:
    with KafkaClient(hosts=kafka.hosts) as other, warmed(client) as mine, warmed(other) as theirs:
        for number in range(20):
            mine.produce(b"m%d" % number)
            theirs.produce(b"t%d" % number)
    assert set(written(kafka).values()) == {1} and len(written(kafka)) == 40


def test_connections_that_cannot_be_made_leave_the_usual_way(
    kafka: FakeCluster, client: KafkaClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[Any] = []

    def refused(*_args: Any) -> Any:
        tried.append(1)
        raise ConnectionRefusedError("too many connections")

    monkeypatch.setattr(direct_lines.DirectLine, "connect", refused)
    with client.topics["t"].get_sync_producer(**FAST) as producer:
        for number in range(60):
            producer.produce(b"%d" % number)
    assert len(tried) == 3, "once for each broker, and not for every message"
    assert written(kafka) == Counter(b"%d" % number for number in range(60))


def test_on_the_io_thread_nothing_is_waited_for(kafka: FakeCluster, client: KafkaClient) -> None:
    with warmed(client) as producer:
        refusal = on_io_thread(client, lambda: producer.produce(b"from a log handler"))
        assert isinstance(refusal, KafkaException) and "would wait on pykafka's own I/O thread" in str(refusal)
        producer.flush()
    assert written(kafka)[b"from a log handler"] == 1


def test_no_more_connections_than_promised_are_made_at_once(kafka: FakeCluster, client: KafkaClient) -> None:
    producers = [warmed(client) for _ in range(3 * direct_lines.MAX_LINES)]
    lines = client.cluster.engine.direct_lines
    lines.tidy((), float("inf"))
    begin = threading.Barrier(len(producers))

    def produce(producer: Producer) -> None:
        begin.wait(20)
        for _ in range(20):
            producer.produce(b"x")

    threads = [threading.Thread(target=produce, args=(producer,)) for producer in producers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    opened = Counter(line.key for line in lines._all.present() if not line.is_closed)
    assert opened and max(opened.values()) <= direct_lines.MAX_LINES
    for producer in producers:
        producer.stop()


def test_what_is_being_placed_goes_before_what_is_produced_after_it(
    kafka: FakeCluster, client: KafkaClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with client.topics["t"].get_sync_producer(partitioner=lambda partitions, key: partitions[0], **FAST) as producer:
        until(lambda: producer.produce(b"warm") and 0 in producer._core.direct._loans)
        core, real = producer._core, producer._core._columns_of
        placing, go_on = threading.Event(), threading.Event()

        def slowly(queued: Any) -> Any:
            placing.set()
            go_on.wait(20)
            return real(queued)

        monkeypatch.setattr(core, "_columns_of", slowly)
        # the thread that has queued these was interrupted while they were worked out, and produces again
        first = threading.Thread(target=producer.produce_many, args=([b"first", b"second"],))
        first.start()
        placing.wait(20)
        then = threading.Thread(target=producer.produce, args=(b"then",))
        then.start()
        until(lambda: core.queued, what="the message to be queued behind the others")
        go_on.set()
        first.join(20)
        then.join(20)
    assert [value for value in kafka.values("t", 0) if value != b"warm"] == [b"first", b"second", b"then"]


# -- signals ----------------------------------------------------------------------------------------------------------


def test_a_signal_handler_that_produces_in_the_middle_of_a_send(
    kafka: FakeCluster, client: KafkaClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside: list[bytes] = []
    with warmed(client) as producer:
        real = direct_lines.DirectLine._limit

        def interrupted(line: Any, left_s: float) -> None:
            if len(inside) < 5:  # each in the middle of the one before
                inside.append(b"inside%d" % len(inside))
                producer.produce(inside[-1])
            real(line, left_s)

        monkeypatch.setattr(direct_lines.DirectLine, "_limit", interrupted)
        for number in range(12):
            producer.produce(b"%d" % number)
    assert written(kafka) == Counter([*inside, *(b"%d" % number for number in range(12))])
    assert len(inside) == 5


@pytest.mark.parametrize("door", ["flush", "result", "stop", "close"])
def test_a_signal_handler_that_waits_for_what_it_has_interrupted(
    kafka: FakeCluster, client: KafkaClient, monkeypatch: pytest.MonkeyPatch, door: str
) -> None:
    producer = warmed(client)
    for _ in range(PARTITIONS):
        producer.produce(b"x, before")  # there are connections
    waits: list[Callable[[], Any]] = [
        {
            "flush": producer.flush,
            "result": lambda: producer.produce_many([b"%d" % number for number in range(PARTITIONS)])[0].result(20),
            "stop": producer.stop,
            "close": client.close,
        }[door]
    ]
    real = direct_lines.DirectLine._limit

    def interrupted(line: Any, left_s: float) -> None:
        if waits:
            waits.pop()()
        real(line, left_s)

    monkeypatch.setattr(direct_lines.DirectLine, "_limit", interrupted)
    producer.produce(b"x")
    producer.stop()
    assert not waits and written(kafka)[b"x"] == 1


#: Whose every opcode is interrupted; what they call runs through.
INTERRUPTED = {
    module.__file__ for module in (dealing, direct, direct_lines, loans, lone_produce, partitioners, producer_module, queueing)
}


@pytest.mark.skipif(sys.gettrace() is not None, reason="something else traces")
def test_interrupted_anywhere_a_message_is_written_once_at_most_and_the_next_ones_go_on(
    kafka: FakeCluster, client: KafkaClient
) -> None:
    with warmed(client) as producer:
        number, interrupted = 1, 0
        while True:
            tracer = Interrupting(number, INTERRUPTED)
            sys.settrace(tracer)
            try:
                producer.produce(b"i%d" % number)
            except KeyboardInterrupt:
                interrupted += 1
            finally:
                sys.settrace(None)
            if tracer.seen < number:
                break  # it has come to its end
            # each partition once: none is stuck
            for each in range(PARTITIONS):
                producer.produce(b"n%d-%d" % (number, each))
            warm(producer)
            number += 1
        assert interrupted > 100
        producer.flush()
    log = written(kafka)
    assert max(log.values()) == 1
    assert {b"n%d-%d" % (which, each) for which in range(1, number) for each in range(PARTITIONS)} <= set(log)


def interrupt_once(monkeypatch: pytest.MonkeyPatch, step: Callable[..., Any]) -> None:
    """Have a signal handler raise when a method of a loan or a connection has done its work, the next time only."""
    owner = loans.Loan if step.__module__ == loans.__name__ else direct_lines.DirectLine
    left = [KeyboardInterrupt]

    def interrupted(*args: Any) -> Any:
        result = step(*args)
        if left:
            raise left.pop()
        return result

    monkeypatch.setattr(owner, step.__name__, interrupted)


def test_a_partition_that_nobody_is_left_to_give_back_is_taken_back_as_soon_as_it_is_needed(
    kafka: FakeCluster, client: KafkaClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with warmed(client) as producer:
        # as after two signals, the second in the middle of what the first has led to
        monkeypatch.setattr(producer._core.direct, "_take_by_force", lambda partition_id: None)
        for step in (loans.Loan.number, loans.Loan.begin, direct_lines.DirectLine._limit, loans.Loan.on_acked):
            interrupt_once(monkeypatch, step)
            with pytest.raises(KeyboardInterrupt):
                producer.produce(step.__name__.encode())
            waited = time.monotonic()
            for number in range(PARTITIONS):
                producer.produce(b"%s-%d" % (step.__name__.encode(), number))
            # far less than the 30 s that a request may take, whatever else the machine does
            assert time.monotonic() - waited < 15
            warm(producer)
    assert max(written(kafka).values()) == 1


def test_a_connection_that_was_given_back_is_not_closed_by_who_is_interrupted_then(
    kafka: FakeCluster, client: KafkaClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with warmed(client) as producer:
        real, given = direct_lines.DirectLines.give_back, []

        def interrupted(lines: Any, line: Any) -> None:
            real(lines, line)
            if not given:
                given.append(line)
                raise KeyboardInterrupt

        monkeypatch.setattr(direct_lines.DirectLines, "give_back", interrupted)
        with pytest.raises(KeyboardInterrupt):
            producer.produce(b"x")
        assert not given[0].is_closed, "its descriptor may be another connection's right after"
        for number in range(6):
            producer.produce(b"%d" % number)
    assert set(written(kafka).values()) == {1}


def test_what_another_thread_raises_in_a_wait_ends_it_soon(kafka: FakeCluster, client: KafkaClient) -> None:
    with warmed(client) as producer:
        kafka.hold("Produce")
        ended: list[BaseException] = []

        def produce() -> None:
            try:
                producer.produce(b"x")
            except BaseException as error:
                ended.append(error)

        thread = threading.Thread(target=produce)
        thread.start()
        until(lambda: kafka.held("Produce"), what="the message to be under way")
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(KeyboardInterrupt))
        thread.join(10)  # a request may take 30 s, and this message 20
        assert not thread.is_alive() and isinstance(ended[0], KeyboardInterrupt)
        kafka.heal()
        producer.flush()
    assert written(kafka) == Counter([b"x"])


def test_a_signal_handler_that_waits_for_another_thread_that_flushes(
    kafka: FakeCluster, client: KafkaClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with warmed(client) as producer:
        for _ in range(PARTITIONS):
            producer.produce(b"warm, with connections")
        handlers: list[int] = [1]
        took: list[float] = []
        real = direct_lines.DirectLine._limit

        def interrupted(line: Any, left_s: float) -> None:
            if handlers:
                handlers.pop()
                began = time.monotonic()
                thread = threading.Thread(target=producer.flush)
                thread.start()
                thread.join(60)
                took.append(time.monotonic() - began)
            real(line, left_s)

        monkeypatch.setattr(direct_lines.DirectLine, "_limit", interrupted)
        producer.produce(b"x")
    assert took[0] < 15, "not until a request may take no longer"
    assert written(kafka) == Counter([b"x"])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_leaves_the_connection_and_the_numbers_to_its_parent(kafka: FakeCluster) -> None:
    script = f"""
import os, sys
from pykafka import KafkaClient, Producer
from pykafka.exceptions import ForkedError
client = KafkaClient(hosts={kafka.hosts!r})
with client.topics["t"].get_sync_producer() as producer:
    for number in range(60):
        producer.produce(b"%d" % number)
        if number > 20:
            child = os.fork()
            if not child:
                try:
                    producer.produce(b"from the child")
                except ForkedError:
                    os._exit(7)
                os._exit(1)
            assert os.waitpid(child, 0)[1] >> 8 == 7
    assert producer._core.direct._is_open
client.close()
"""
    done = run_python(script)
    assert done.returncode == 0, done.stderr
    assert written(kafka) == Counter(b"%d" % number for number in range(60))
