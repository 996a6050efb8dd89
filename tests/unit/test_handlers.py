"""The names that user code reaches through ``cluster.handler``."""

from __future__ import annotations

import queue
import threading

import pytest

from pykafka.handlers import Handler, ThreadingHandler


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
