"""A worker that is stopped at a bad moment ends all the same, and what it was given to do is done."""

from __future__ import annotations

import sys
import threading
from typing import Any

import mock
import pytest

from pykafka._engine import waiting
from pykafka._engine.worker import Worker

from ...support import Interrupting, until


def test_a_worker_may_be_stopped_while_its_thread_is_being_started(monkeypatch: pytest.MonkeyPatch) -> None:
    start, starting, go_on = threading.Thread.start, threading.Event(), threading.Event()

    def slow_start(thread: threading.Thread) -> None:
        if thread.name == "slow":
            starting.set()
            assert go_on.wait(20)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", slow_start)
    worker, done, stopped = Worker("slow"), [], []
    submitting = threading.Thread(target=worker.submit, args=(done.append, "the job"))
    submitting.start()
    assert starting.wait(20)
    stopping = threading.Thread(target=lambda: stopped.append(worker.stop(20)))
    stopping.start()
    go_on.set()
    for thread in (submitting, stopping):
        thread.join(20)
    assert stopped == [None], "stop() raised"
    assert done == ["the job"] and worker.ended


def test_a_worker_that_was_stopped_before_its_first_job_ends_after_it() -> None:
    worker, done = Worker("early"), []
    worker.stop(20)
    worker.submit(done.append, "late")
    until(lambda: done == ["late"] and worker.ended, what="the job and the end of the thread")


def test_a_finalizer_may_stop_a_worker_in_the_very_thread_that_is_starting_it(monkeypatch: pytest.MonkeyPatch) -> None:
    start, worker, done = threading.Thread.start, Worker("slow"), []

    def interrupted_start(thread: threading.Thread) -> None:
        worker.stop(20)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", interrupted_start)
    worker.submit(done.append, "the job")
    until(lambda: done == ["the job"] and worker.ended, what="the job and the end of the thread")


@pytest.mark.parametrize("is_at_exit", [True, False])
def test_that_no_thread_can_be_started_is_an_error_except_while_the_interpreter_ends(
    is_at_exit: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    refused = mock.Mock(side_effect=RuntimeError("can't create new thread at interpreter shutdown"))
    worker, done = Worker("late"), []
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refused)
        if is_at_exit:
            ended = threading.Thread()  # what the main thread is by then: not alive
            patch.setattr(threading, "main_thread", lambda: ended)
        worker.submit(done.append, "the job")
        worker.submit(done.append, "another")
    assert refused.call_count == 2
    assert [record.levelname for record in caplog.records] == ([] if is_at_exit else ["ERROR"])
    worker.run_here()
    assert done == ["the job", "another"]


def test_no_job_is_lost_between_the_end_of_an_idle_thread_and_the_next_one() -> None:
    worker, done = Worker("idle", idle_s=0.0), []
    switched = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for number in range(3000):
            worker.submit(done.append, number)
            if number % 3 == 0:
                worker.retire()
    finally:
        sys.setswitchinterval(switched)
    until(lambda: len(done) == 3000, what="all jobs")
    assert done == sorted(done)
    until(lambda: worker.ended, what="the end of the thread")
    worker.stop(20)


@pytest.mark.parametrize("lives", [False, True], ids=["before it lives", "when it lives"])
def test_a_ctrl_c_while_the_thread_is_being_started_leaves_the_job_to_the_next_one(
    monkeypatch: pytest.MonkeyPatch, lives: bool
) -> None:
    start, worker, done, ran_by = threading.Thread.start, Worker("interrupted"), [], set()

    def job(number: int) -> None:
        done.append(number)
        ran_by.add(threading.get_ident())

    def interrupted_start(thread: threading.Thread) -> None:
        if lives:
            start(thread)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", interrupted_start)
        with pytest.raises(KeyboardInterrupt):
            worker.submit(job, 0)
    for number in range(1, 500):
        worker.submit(job, number)
    until(lambda: len(done) == 500, what="all jobs")
    assert done == sorted(done) and len(ran_by) == 1
    worker.stop(20)
    assert worker.ended


def test_a_signal_handler_may_submit_while_the_thread_is_being_made(monkeypatch: pytest.MonkeyPatch) -> None:
    worker, done = Worker("interrupted"), []

    class Interrupted(threading.Thread):
        def __init__(self, **options: Any) -> None:
            worker.submit(done.append, "by the handler")
            super().__init__(**options)

    monkeypatch.setattr(threading, "Thread", Interrupted)
    worker.submit(done.append, "first")
    monkeypatch.undo()
    until(lambda: done == ["first", "by the handler"], what="both")
    worker.stop(20)


@pytest.mark.parametrize("is_early", [True, False], ids=["before it looks", "right after it has looked"])
def test_a_finalizer_may_submit_while_an_idle_thread_ends(is_early: bool) -> None:
    worker, done = Worker("idle", idle_s=3600), [] if is_early else ["earlier"]

    class Finalized:
        """The queue, in which the collector happens to run."""

        def __init__(self, jobs: Any) -> None:
            self._jobs = jobs

        def __getattr__(self, name: str) -> Any:
            return getattr(self._jobs, name)

        def empty(self) -> bool:
            is_empty: bool = self._jobs.empty()
            if done == ([] if is_early else ["earlier"]):
                done.append("being finalized")
                worker.submit(done.append, "finalized")
            return self._jobs.empty() if is_early else is_empty  # type: ignore[no-any-return]

    worker._jobs = Finalized(worker._jobs)  # type: ignore[assignment]
    worker.submit(lambda: None)
    worker.retire()
    until(lambda: done[-2:] == ["being finalized", "finalized"], what="the finalizer's job")
    worker.submit(done.append, "later")
    until(lambda: done[-1] == "later", what="a later one")
    worker.stop(20)


def test_what_is_submitted_after_stop_while_an_earlier_job_runs_is_run_by_the_thread() -> None:
    worker, busy, go_on, done = Worker("busy"), threading.Event(), threading.Event(), []

    def slow() -> None:
        busy.set()
        go_on.wait(20)

    worker.submit(slow)
    assert busy.wait(20)
    worker.stop(0.0)
    worker.stop(0.0)
    worker.submit(done.append, "late")
    worker.submit(done.append, "later")
    worker.run_here()  # the thread lives: it is not for us to run them
    assert not done
    go_on.set()
    until(lambda: worker.ended, what="the end of the thread")
    assert done == ["late", "later"]
    worker.submit(done.append, "too late for the thread")
    worker.run_here()
    assert done[-1] == "too late for the thread"


def test_who_submits_while_another_thread_is_held_up_in_the_start_goes_on_and_the_job_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    worker, done, real = Worker("w"), [], threading.Thread

    def make(*args: Any, **kwargs: Any) -> threading.Thread:
        # a signal handler in the middle of the start, which waits for a thread that submits as well
        monkeypatch.setattr(threading, "Thread", real)
        assert worker.is_interrupted_here()
        other = real(target=worker.submit, args=(done.append, 2))
        other.start()
        other.join(20)
        assert not other.is_alive()
        return real(*args, **kwargs)

    monkeypatch.setattr(threading, "Thread", make)
    worker.submit(done.append, 1)
    until(lambda: done == [1, 2], what="both jobs")
    assert not worker.is_interrupted_here()
    worker.stop(20)
    assert worker.ended


def test_ctrl_c_anywhere_in_a_start_leaves_nothing_locked_and_a_worker_that_works() -> None:
    ended = left = 0
    for number in range(1, 400):
        worker, done = Worker("w"), []
        before = sys.gettrace()
        sys.settrace(Interrupting(number, {Worker.submit.__code__.co_filename, waiting.__file__}))
        try:
            worker.submit(done.append, 1)
            is_whole = True
        except KeyboardInterrupt:
            is_whole = False
            ended += 1
        finally:
            sys.settrace(before)
        if worker.is_interrupted_here():
            left += 1  # in the few opcodes of the release itself, where CPython looks for no signals
            continue
        worker.submit(done.append, 2)
        until(lambda done=done: 2 in done, what=f"a job after an interruption at step {number}")
        worker.stop(20)
        assert worker.ended
        if is_whole:
            break
    assert is_whole and ended > 20 and left < 20


@pytest.mark.parametrize("how", ["run_here", "stop"])
def test_nobody_waits_for_a_start_that_a_signal_handler_keeps_from_going_on(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """flush(timeout=1) of another thread took as long as the handler, which may wait for that very thread."""
    worker, done, real = Worker("w"), [], threading.Thread
    calls = {"run_here": worker.run_here, "stop": lambda: worker.stop(20)}

    class Interrupted(real):  # type: ignore[valid-type, misc]
        def start(self) -> None:
            other = real(target=calls[how])
            other.start()
            other.join(20)
            assert not other.is_alive()
            super().start()

    with monkeypatch.context() as patch:
        patch.setattr(threading, "Thread", Interrupted)
        worker.submit(done.append, "the job")
    until(lambda: done == ["the job"], what="the job")
    worker.stop(20)
    assert worker.ended
