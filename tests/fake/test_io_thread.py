"""What happens to the I/O thread, and to those who wait for it, when something fails on it, ends it, or outlives it."""

from __future__ import annotations

import gc
import logging
import re
import socket
import subprocess
import sys
import threading
import warnings
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable

import pytest

from pykafka import KafkaClient, Producer
from pykafka._engine import waiting
from pykafka._engine.lane import Call
from pykafka._engine.loop import READ, Loop
from pykafka._engine.worker import Worker
from pykafka.exceptions import KafkaException, NoBrokersAvailableError, ProduceFailureError
from pykafka.protocol.messages import MetadataRequest

from ..support import until
from .broker import DROP, FakeBroker, fake_broker
from .test_produce_and_fetch import produced

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def no_new_threads(monkeypatch: pytest.MonkeyPatch, name: str = "") -> Iterator[None]:
    """Have starting a thread fail as it does while the interpreter exits; with ``name``, only threads of that name."""
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if name and thread.name != name:
            return start(thread)
        raise RuntimeError("can't create new thread at interpreter shutdown")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        yield


def abandon_producer(client: KafkaClient, **options: Any) -> Any:
    """Queue a message in a producer that nobody holds afterwards; return the message."""
    producer = client.topics["t"].get_producer(**options)
    message = producer.produce(b"left behind")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # that it was never stopped is what this is about
        del producer
        gc.collect()
    return message


# -- what fails on it -------------------------------------------------------------------------------------------------


def test_an_outcome_that_cannot_be_handled_takes_no_other_with_it() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        engine = client.cluster.engine
        broker.scripts["Metadata"] = lambda request, version: None if len(broker.seen("Metadata")) < 3 else DROP
        outcomes: list[Any] = []

        def crash(reply: Any, error: Any, call: Call) -> None:
            raise ValueError("a bug")

        def ask() -> None:
            lane = engine.lane("127.0.0.1", broker.port, "test")
            for on_done in (crash, lambda reply, error, call: outcomes.append(error)):
                lane.request(Call(lambda abilities: (MetadataRequest(), None), on_done, engine.loop.now() + 30))

        engine.loop.call_soon(ask)
        until(lambda: outcomes, what="the outcome of the second request")
        assert isinstance(outcomes[0], KafkaException)
        broker.scripts["Metadata"] = broker.metadata
        client.update_cluster()


def test_a_handler_that_fails_even_at_closing_is_called_no_more() -> None:
    class Broken:
        calls = 0

        def on_events(self, mask: int) -> None:
            self.calls += 1
            raise ValueError("a bug")

        def on_crash(self, error: Exception) -> None:
            raise ValueError("another bug")

    loop, handler = Loop(), Broken()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        loop.register(ours, READ, handler)
        theirs.send(b"x")
        for _ in range(3):
            loop.run_once(0.0)
    assert handler.calls == 1
    loop.stop(0.0)


def test_a_log_handler_that_raises_does_not_end_the_loop() -> None:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise KafkaException("a log handler that cannot log")

    loop, ran, handler = Loop(), [], Broken()
    logging.getLogger("pykafka").addHandler(handler)
    try:
        loop.call_soon(lambda: 1 / 0)
        loop.call_soon(ran.append, True)
        loop.run_once(0.0)
    finally:
        logging.getLogger("pykafka").removeHandler(handler)
    assert ran
    loop.stop(0.0)


# -- its end ----------------------------------------------------------------------------------------------------------


def test_when_the_thread_dies_everything_that_waits_fails_and_later_calls_say_why() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        topic = client.topics["t"]
        broker.scripts["Produce"] = broker.scripts["Fetch"] = lambda request, version: None
        producer, consumer = topic.get_producer(linger_ms=0), topic.get_simple_consumer()
        asked = len(broker.seen("Metadata"))
        broker.scripts["Metadata"] = lambda request, version: None
        message = producer.produce(b"under way")
        errors: list[Exception] = []

        def wait_for(call: Callable[[], Any]) -> None:
            try:
                call()
            except KafkaException as error:
                errors.append(error)

        calls = (client.update_cluster, lambda: producer.flush(30), consumer.consume)
        threads = [threading.Thread(target=wait_for, args=(call,)) for call in calls]
        for thread in threads:
            thread.start()
        until(lambda: broker.seen("Produce") and broker.seen("Fetch") and len(broker.seen("Metadata")) > asked)
        queued = producer.produce(b"queued")
        client.cluster.engine.loop.call_soon(sys.exit)
        for thread in threads:
            thread.join(10)
            assert not thread.is_alive()
        assert message.error is not None and queued.error is not None
        assert any("I/O thread" in str(error) for error in errors)
        with pytest.raises(KafkaException, match=re.escape("ended by SystemExit")):
            client.update_cluster()
        with pytest.raises(KafkaException, match="make a new KafkaClient"):
            producer.flush()
        consumer.stop()
        producer.stop()


def test_what_was_posted_before_the_end_runs() -> None:
    loop, ran = Loop(), []
    loop.call_soon(ran.append, 1)
    loop.call_soon(lambda: loop.call_soon(ran.append, 2))
    with pytest.raises(KafkaException, match="closed"):
        loop.stop(0.0)
        loop.call_soon(ran.append, 3)
    assert ran[0] == 1


def test_what_is_posted_while_the_loop_ends_is_either_run_or_refused() -> None:
    loop, ran = Loop(), []

    class EndsMeanwhile(deque):  # type: ignore[type-arg]
        def append(self, item: Any) -> None:
            loop._end()
            super().append(item)

    loop._mailbox = EndsMeanwhile()
    with pytest.raises(KafkaException, match="closed"):
        loop.call_soon(ran.append, 1)
    assert not loop._mailbox and not ran


def test_a_client_dropped_while_messages_are_under_way_ends_its_thread_once_they_are_done() -> None:
    answer = threading.Event()
    with fake_broker() as broker:
        broker.scripts["Produce"] = lambda request, version: answer.wait(30) and produced(3)
        client = KafkaClient(broker.hosts)
        thread = client.cluster.engine.loop._thread
        assert thread is not None
        message = abandon_producer(client, linger_ms=0)
        until(lambda: broker.seen("Produce"))
        with pytest.warns(ResourceWarning, match="never closed"):
            del client
            gc.collect()
        assert thread.is_alive() and not message.done
        answer.set()
        thread.join(10)
        assert not thread.is_alive()
        assert message.result(1).offset == 3


def test_closing_the_client_sends_what_a_producer_nobody_holds_has_queued() -> None:
    with fake_broker() as broker:
        broker.scripts["Produce"] = lambda request, version: produced(3)
        client = KafkaClient(broker.hosts)
        message = abandon_producer(client, linger_ms=60000)
        client.close()
        assert message.result(1).offset == 3


def test_closing_the_client_raises_what_a_producer_nobody_holds_has_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pykafka.cluster.LEFT_BEHIND_TIMEOUT_S", 0.3)
    with fake_broker() as broker:
        broker.scripts["Produce"] = lambda request, version: None
        client = KafkaClient(broker.hosts)
        message = abandon_producer(client, linger_ms=60000)
        with pytest.raises(ProduceFailureError, match="1 messages of producers that nobody held"):
            client.close()
        assert message.error is not None
        client.close()


# -- waiting on it ----------------------------------------------------------------------------------------------------


def doors(broker: FakeBroker, client: KafkaClient, producer: Producer, message: Any) -> dict[str, Callable[[], Any]]:
    """Return calls that wait for the I/O thread, by name."""
    return {
        "update": client.update_cluster,
        "versions": next(iter(client.brokers.values())).fetch_api_versions,
        "coordinator": lambda: client.cluster.get_group_coordinator("g"),
        "new client": lambda: KafkaClient(broker.hosts),
        "flush": producer.flush,
        "result": message.result,
        "close": client.close,
    }


def test_whoever_would_make_the_io_thread_wait_for_itself_is_told_at_once() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client, client.topics["t"].get_producer() as producer:
        broker.scripts["Produce"] = lambda request, version: None if len(broker.seen("Produce")) < 2 else produced()
        message = producer.produce(b"x")
        outcomes: dict[str, str] = {}

        def knock() -> None:
            for name, door in doors(broker, client, producer, message).items():
                try:
                    door()
                except KafkaException as error:
                    outcomes[name] = str(error)
                else:
                    outcomes[name] = "waited"

        client.cluster.engine.loop.call_soon(knock)
        until(lambda: len(outcomes) == 7, timeout_s=5, what="an answer at every door")
        assert {name for name, text in outcomes.items() if "I/O thread" not in text} == set()
        # else the connection may end before the message is on it, and the only time it is sent is the one without an answer
        until(lambda: broker.seen("Produce"), what="the first try")
        broker.hang_up()  # the message is sent again
        assert message.result(10).offset == 0


def test_a_forked_child_takes_no_thread_of_its_own_for_the_parents_io_thread() -> None:
    loop = Loop()
    waiting.never_wait_here(True)
    try:
        loop.abandon()  # what a fork calls in the child
        waiting.refuse_on_io_thread("waiting")
    finally:
        waiting.never_wait_here(False)


# -- threads that cannot be started, and jobs that end them -----------------------------------------------------------


def test_a_job_that_calls_sys_exit_does_not_end_the_worker(caplog: pytest.LogCaptureFixture) -> None:
    worker, ran = Worker("test"), threading.Event()
    worker.submit(sys.exit, 1)
    worker.submit(ran.set)
    assert ran.wait(10)
    worker.stop(10)
    assert "SystemExit" in caplog.text


def test_a_worker_whose_thread_cannot_be_started_complains_once_and_keeps_the_jobs(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    worker, ran = Worker("test"), []
    with no_new_threads(monkeypatch):
        worker.submit(ran.append, 1)
        worker.submit(ran.append, 2)
        assert not worker.ensure_started()
    assert caplog.text.count("no thread could be started") == 1 and not ran
    worker.submit(ran.append, 3)
    worker.stop(10)
    assert ran == [1, 2, 3]


def test_the_jobs_of_a_worker_without_a_thread_can_be_run_by_who_waits_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    worker, ran = Worker("test"), []
    with no_new_threads(monkeypatch):
        worker.submit(sys.exit)
        worker.submit(ran.append, 2)
        worker.run_here()
    assert ran == [2]


def test_callbacks_that_get_no_thread_run_in_flush(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[Any] = []
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        broker.scripts["Produce"] = lambda request, version: produced(7)
        with no_new_threads(monkeypatch, "pykafka-callbacks-t"), client.topics["t"].get_producer() as producer:
            producer.produce(b"x", on_delivery=lambda message, error: called.append((message.offset, error)))
            producer.flush(10)
            assert called == [(7, None)]


def test_a_host_name_that_gets_no_thread_to_be_looked_up_is_an_error_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    with no_new_threads(monkeypatch, "pykafka-dns"), pytest.raises(NoBrokersAvailableError, match="no thread could be started"):
        KafkaClient("no-such-host.invalid:9092", socket_timeout_ms=3000)


def test_an_io_thread_that_cannot_be_started_is_an_error_and_can_be_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_broker() as broker:
        with no_new_threads(monkeypatch, "pykafka-io"), pytest.raises(KafkaException, match="limit of threads"):
            KafkaClient(broker.hosts)
        KafkaClient(broker.hosts).close()


def test_callbacks_of_messages_that_are_only_sent_at_exit_run() -> None:
    script = """
import sys
from pykafka import KafkaClient
producer = KafkaClient(sys.argv[1]).topics["t"].get_producer(linger_ms=60000)
producer.produce(b"x", on_delivery=lambda message, error: print("offset", message.offset, error))
"""
    with fake_broker() as broker:
        broker.scripts["Produce"] = lambda request, version: produced(7)
        command = [sys.executable, "-c", script, broker.hosts]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert "offset 7 None" in done.stdout, done.stderr
