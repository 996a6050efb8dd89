"""The names that user code reaches through ``cluster.handler``, futures, and requests handled one after the other."""

from __future__ import annotations

import contextlib
import queue
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Callable, Optional

import pytest

from pykafka import handlers
from pykafka.exceptions import KafkaException, OperationTimedOut, SocketDisconnectedError
from pykafka.handlers import Handler, RequestHandler, ResponseFuture, ThreadingHandler

from ..support import until


def test_what_is_spawned_runs_in_a_daemon_thread_with_its_arguments() -> None:
    seen: queue.SimpleQueue[tuple[object, ...]] = queue.SimpleQueue()

    def target(*args: object, **kwargs: object) -> None:
        seen.put((args, kwargs, threading.current_thread().name))

    thread = ThreadingHandler().spawn(target, 1, two=2, name="mine")
    thread.join(10)
    assert seen.get(timeout=10) == ((1,), {"two": 2}, "mine")
    assert thread.daemon


def test_the_classes_are_those_of_the_standard_library() -> None:
    handler = ThreadingHandler()
    event = handler.Event()
    event.set()
    assert event.is_set() and handler.Semaphore(1).acquire(blocking=False)
    lock = handler.RLock()
    with handler.Lock(), lock, lock:
        pass
    with pytest.raises(handler.QueueEmptyError):
        handler.Queue().get(block=False)
    assert issubclass(handler.GaiError, handler.SockErr)


def test_sleeping_for_no_time_returns() -> None:
    ThreadingHandler().sleep()


def test_the_base_spawns_nothing() -> None:
    with pytest.raises(NotImplementedError):
        Handler().spawn(print)


# -- futures ----------------------------------------------------------------------------------------------------------


def test_a_future_gives_what_was_set_as_it_is_or_made_into_something() -> None:
    future = ResponseFuture(ThreadingHandler())
    future.set_response("5")
    assert future.get() == "5" and future.get(int) == 5 and future.get(int, base=8, timeout=1) == 5
    assert future.response == "5" and future.error is None


def test_the_first_outcome_of_a_future_counts() -> None:
    future = ResponseFuture(ThreadingHandler())
    future.set_error(KafkaException("first"))
    future.set_response("second")
    future.set_error(KafkaException("third"))
    for _ in range(2):
        with pytest.raises(KafkaException, match="first"):
            future.get(int)


def test_a_future_that_has_no_outcome_in_time_says_so_and_may_have_one_later() -> None:
    future = ResponseFuture(ThreadingHandler())
    with pytest.raises(OperationTimedOut, match="no answer within 0.01 s"):
        future.get(timeout=0.01)
    future.set_response(None)
    assert future.get() is None
    with pytest.raises(TypeError, match="error must be an exception, not 'words'"):
        future.set_error("words")  # type: ignore[arg-type]


# -- request handlers -------------------------------------------------------------------------------------------------


class Connection:
    """Answers each request with itself, when ``gate`` is open; raises a request that is an exception."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.gate = threading.Event()
        self.gate.set()

    def request(self, request: Any) -> None:
        assert self.gate.wait(20)
        if isinstance(request, BaseException):
            raise request
        self.sent.append(request)

    def response(self) -> Any:
        return self.sent[-1]


class QuietHandler(ThreadingHandler):
    """One whose threads may end with SystemExit."""

    def spawn(self, target: Callable[..., object], *args: Any, **kwargs: Any) -> threading.Thread:
        def quiet(*given: Any) -> None:
            with contextlib.suppress(SystemExit):
                target(*given)

        return super().spawn(quiet, *args, **kwargs)


@contextmanager
def handling(threads: Optional[ThreadingHandler] = None) -> Iterator[tuple[RequestHandler, Connection]]:
    """Yield a started RequestHandler and its connection."""
    connection = Connection()
    handler = RequestHandler(threads or ThreadingHandler(), connection)
    handler.start()
    try:
        yield handler, connection
    finally:
        connection.gate.set()
        handler.stop()


def asked(handler: RequestHandler, request: Any) -> ResponseFuture:
    """Return the future of a request that has an answer."""
    future = handler.request(request)
    assert future is not None
    return future


def test_requests_are_sent_one_after_the_other() -> None:
    with handling() as (handler, connection):
        futures = [asked(handler, number) for number in range(50)]
        assert handler.request("no answer", has_response=False) is None
        assert [future.get(timeout=10) for future in futures] == list(range(50))
    assert connection.sent == [*range(50), "no answer"]


def test_an_error_belongs_to_its_request_and_the_next_one_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    with handling() as (handler, _connection):
        for error in (SocketDisconnectedError("gone"), ValueError("a bug")):
            with pytest.raises(type(error)):
                asked(handler, error).get(timeout=10)
        handler.request(SocketDisconnectedError("unheard"), has_response=False)
        assert asked(handler, "next").get(timeout=10) == "next"
    assert "could not be sent: unheard" in caplog.text


def test_what_ends_the_worker_fails_everything_and_ends_nobody_who_waits() -> None:
    with handling(QuietHandler()) as (handler, connection):
        connection.gate.clear()
        fatal, queued = asked(handler, SystemExit(7)), asked(handler, "queued")
        connection.gate.set()
        with pytest.raises(KafkaException, match=r"was ended in the middle of this request: SystemExit\(7\)"):
            fatal.get(timeout=10)
        with pytest.raises(KafkaException, match="was ended: nothing was sent"):
            queued.get(timeout=10)
        with pytest.raises(KafkaException, match="was ended: make a new one"):
            handler.request("late")


def test_stopping_waits_for_what_is_queued() -> None:
    with handling() as (handler, connection):
        connection.gate.clear()
        futures = [asked(handler, number) for number in range(5)]
        stopping = threading.Thread(target=handler.stop)
        stopping.start()
        connection.gate.set()
        stopping.join(10)
        assert [future.get(timeout=0) for future in futures] == list(range(5))
        handler.stop()
        for late in (handler.start, lambda: handler.request("late")):
            with pytest.raises(KafkaException, match="was stopped"):
                late()


def test_a_handler_that_was_never_started_fails_what_was_queued() -> None:
    handler = RequestHandler(ThreadingHandler(), Connection())
    future = asked(handler, "never sent")
    handler.stop()
    with pytest.raises(KafkaException, match="nothing was sent"):
        future.get(timeout=0)


def test_starting_twice_makes_one_worker_and_forgetting_the_handler_ends_it() -> None:
    before = set(threading.enumerate())
    handler = RequestHandler(ThreadingHandler(), Connection())
    handler.start()
    handler.start()
    assert len(set(threading.enumerate()) - before) == 1
    future = asked(handler, "queued")
    del handler
    assert future.get(timeout=10) == "queued"
    until(lambda: not set(threading.enumerate()) - before, what="the end of the worker")


# -- gevent -----------------------------------------------------------------------------------------------------------


def test_the_handler_for_greenlets_is_there_when_gevent_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gevent", None)
    monkeypatch.delitem(vars(handlers), "GEventHandler", raising=False)
    with pytest.raises(ImportError, match="GEventHandler"):
        from pykafka.handlers import GEventHandler  # noqa: F401
    with pytest.raises(AttributeError, match="GEventHandler needs gevent, which cannot be imported"):
        handlers.GEventHandler  # noqa: B018
    with pytest.raises(AttributeError, match="has no attribute 'Nonsense'"):
        handlers.Nonsense  # type: ignore[attr-defined]  # noqa: B018
