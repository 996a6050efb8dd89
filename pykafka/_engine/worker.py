"""A lazily started thread for what must not run on the I/O thread: user callbacks, and calls of ours that wait."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from typing import Any, Callable, Optional

from . import forking
from .crashes import log_crash
from .waiting import call_locked, is_owned

log = logging.getLogger(__name__)


#: A function and its arguments.
Job = tuple[Callable[..., object], tuple[Any, ...]]
#: How long others wait for who is starting the thread (seconds): what they submit is done once it has started.
MOST_START_S = 0.2
#: Has the thread end if there is nothing else to do.
_RETIRE: Job = (lambda: None, ())


class Worker:
    """Runs jobs one after the other on a daemon thread that starts with the first job and ends on :meth:`stop`.

    With ``idle_s`` the thread ends as well when there was nothing to do for so many seconds, and a later job starts another one.
    """

    def __init__(self, name: str, idle_s: Optional[float] = None) -> None:
        self._name = name
        self._idle_s = idle_s
        self._jobs: queue.SimpleQueue[Optional[Job]] = queue.SimpleQueue()
        self._thread: Optional[threading.Thread] = None
        #: whoever has it may be interrupted, by a finalizer or a signal handler, and come here again
        self._lock = threading.RLock()
        #: the thread that runs jobs for want of one of our own
        self._running_here: Optional[int] = None
        #: the worker that the present job of this one waits for
        self.waits_for: Optional[Worker] = None
        #: stopped, and nothing is run any more
        self._is_over = False
        self._complained = False
        self._forked = False
        forking.watch(self)

    def submit(self, fn: Callable[..., object], *args: Any) -> None:
        """Have ``fn(*args)`` run on the worker's thread after everything submitted before it; never raises.

        Who submits bounds what is outstanding: one job per sealed batch, or one per consumer and kind.
        """
        self._jobs.put((fn, args))
        if self._thread is None:
            self.ensure_started()

    def ensure_started(self) -> bool:
        """Return whether the thread runs, starting it if need be: while the interpreter exits, none can be started."""
        if self._thread is not None or is_owned(self._lock):
            return True  # or it is just being started, by who was interrupted for this
        # or by another thread that was interrupted by a signal handler, which may wait for the I/O thread: for us
        return not call_locked(self._lock, MOST_START_S, self._start_if_needed) or self._thread is not None

    def is_interrupted_here(self) -> bool:
        """Return whether a signal handler has come in the middle of starting the thread: it runs no job before that goes on."""
        return is_owned(self._lock)

    def _is_being_started(self) -> bool:
        """Return whether another thread starts ours, and is not done with it in a moment: a signal handler may keep it so."""
        return not call_locked(self._lock, MOST_START_S, lambda: None)

    def _start_if_needed(self) -> None:
        if self._thread is None and not self._forked:
            self._start()

    def _start(self) -> None:
        # whoever takes it out, which is one call of C, decides whether the thread runs jobs; no lock, since a signal handler may
        # wait for a job in the middle of this
        ticket = [self]
        try:
            self._thread = threading.Thread(target=self._run, args=(ticket,), name=self._name, daemon=True)
            self._thread.start()
        except BaseException as error:
            with contextlib.suppress(IndexError):  # the thread has it, and lives
                ticket.pop()
                # the jobs stay: the next one tries again, and run_here() is for when there is no next one
                self._thread = None
            if not isinstance(error, RuntimeError):
                raise  # Ctrl-C, perhaps when the thread lives already
            if not threading.main_thread().is_alive():
                # the interpreter ends, and starts no thread any more: whoever ends it runs what is left, see run_here()
                log.debug("%s: no thread could be started: %s", self._name, error)
            elif not self._complained:
                self._complained = True
                log.error("%s: no thread could be started, its jobs have to wait: %s", self._name, error)

    def _run(self, ticket: list[Worker]) -> None:
        try:
            ticket.pop()
        except IndexError:
            return  # who started us was interrupted, and has given it up
        going_on = True
        while going_on:
            try:
                job: Optional[Job] = self._jobs.get(timeout=self._idle_s)
            except queue.Empty:
                job = _RETIRE
            if self._forked:
                forking.rest()
            going_on = self._run_one(job)
            # nothing is kept of it while we wait for the next one
            del job

    def _run_one(self, job: Optional[Job]) -> bool:
        """Run a job; return whether there may be another. Nothing of it is kept: it may hold a batch of messages."""
        if job is None:
            return self._goes_on_though_stopped()
        if job is _RETIRE:
            return not self._retires()
        fn, args = job
        try:
            fn(*args)
        except BaseException:  # SystemExit too: a callback must not end the thread that others rely on
            log_crash(log, "%s: a job raised; the next one goes on", self._name)
        return True

    def retire(self) -> None:
        """Have the thread end once it has nothing to do; a later job starts another one."""
        if self._thread is not None:
            self._jobs.put(_RETIRE)

    def _retires(self) -> bool:
        """Return whether the thread is to end; from then on whoever submits a job sees that there is none."""
        if not self._lock.acquire(blocking=False):
            return False  # another time: a signal handler, in the middle of what has it, may wait for a job
        try:
            thread, self._thread = self._thread, None
            retires = self._jobs.empty()
            if not retires:
                self._thread = thread
        finally:
            self._lock.release()
        if retires and not self._jobs.empty():
            self.ensure_started()  # for a finalizer's, run in the middle of this, or for who has waited for the lock in vain
        return retires

    def _goes_on_though_stopped(self) -> bool:
        """Return whether there was another job, submitted after :meth:`stop`, and run it; from False on run_here() runs those."""
        later: Optional[Job] = None
        with self._lock:
            with contextlib.suppress(queue.Empty):
                while later is None or later is _RETIRE:
                    later = self._jobs.get_nowait()
            self._is_over = later is None or later is _RETIRE
        if self._is_over:
            return False
        self._jobs.put(None)
        return self._run_one(later)

    def run_here(self) -> None:
        """Run what was submitted on the calling thread, if no thread could be started for it or ours has ended."""
        if self._forked or self._is_being_started() or not self.ended:
            return
        self._running_here = threading.get_ident()
        try:
            # not empty() and then get(): a thread started meanwhile may take the job in between, and we would wait for ever
            with contextlib.suppress(queue.Empty):
                while True:
                    self._run_one(self._jobs.get_nowait())
        finally:
            self._running_here = None

    def abandon(self) -> None:
        """Run nothing any more, in a forked child: the parent does."""
        self._forked = True
        self._lock = threading.RLock()  # a thread that is not in the child may have held it

    def in_worker(self) -> bool:
        """Return whether the caller is a job of this worker."""
        return threading.current_thread() is self._thread or threading.get_ident() == self._running_here

    def goes_on_without(self, other: Worker) -> bool:
        """Return whether jobs of this one are done while ``other`` waits: it has a thread, which does not wait for ``other``."""
        step: Optional[Worker] = self
        passed: set[Worker] = set()
        while step is not None and step not in passed:
            if step is other or step.ended:
                return False
            passed.add(step)
            step = step.waits_for
        return step is None

    @property
    def ended(self) -> bool:
        """Return whether no thread runs any jobs (any more)."""
        thread = self._thread
        return thread is None or self._is_over or not thread.is_alive()

    def stop(self, timeout_s: float) -> None:
        """End the thread after the jobs already submitted, waiting at most ``timeout_s`` for it.

        Where there is none, one that a later job starts ends after that.
        """
        self._jobs.put(None)
        # a finalizer may call this in the middle of _start, on the very same thread, which has the lock then
        thread = self._thread
        # where it does not live yet it is just being started, by another thread or by the one that a finalizer calls this in the
        # middle of: nobody can wait for its end before, and it ends with its jobs
        lives = thread is not None and not self._is_being_started() and thread.is_alive()
        if thread is not None and lives and threading.current_thread() is not thread:
            thread.join(timeout_s)
