"""Bounded, interruptible waiting: a deadline made once at the API's edge, and a one-shot result to wait for."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from typing import Any, Callable, Generic, Optional, TypeVar

from ..exceptions import KafkaException, OperationTimedOut
from .clock import monotonic

T = TypeVar("T")

#: A waiting thread wakes this often (seconds) so that Ctrl-C is seen on every platform, also where it does not wake anybody.
SLICE_S = 0.2


#: The threads that bring what others wait for: if they waited, they would wait for themselves.
_never_waiting: set[int] = set()


def never_wait_here(never: bool) -> None:
    """Have waiting refused on the calling thread from now on (or allowed again)."""
    if never:
        _never_waiting.add(threading.get_ident())
    else:
        _never_waiting.discard(threading.get_ident())


def forget_threads() -> None:
    """Allow waiting everywhere, in a forked child: its threads may get the numbers that the parent's had."""
    _never_waiting.clear()


def may_wait_here() -> bool:
    """Return whether the calling thread may wait: see :func:`refuse_on_io_thread`."""
    return threading.get_ident() not in _never_waiting


def refuse_on_io_thread(what: str) -> None:
    """Return if the calling thread may wait.

    :raises KafkaException: on an I/O thread, where a log handler that uses the client runs
    """
    if not may_wait_here():
        raise KafkaException(
            f"{what} would wait on pykafka's own I/O thread, which has to bring what it waits for: call it from another"
            " thread (a log handler that uses Kafka needs a queue, see logging.handlers.QueueHandler)"
        )


def is_owned(lock: Any) -> bool:
    """Return whether the calling thread has an RLock already: that of Python and of gevent know, and tell threading.Condition."""
    return bool(lock._is_owned())


def call_locked(lock: Any, timeout_s: float, act: Callable[[], object]) -> bool:
    """Call ``act()`` with ``lock`` held; return False, and do nothing, when the lock is not to be had within ``timeout_s``.

    It is taken by one call of C, so that Ctrl-C cannot come between that and the note that we have it, which would leave it held.
    """
    has_lock = [False]
    try:
        has_lock.extend(map(lock.acquire, (True,), (timeout_s,)))
        if has_lock[-1]:
            act()
        return has_lock[-1]
    finally:
        if has_lock[-1]:
            lock.release()


class Deadline:
    """A point in monotonic time; ``None`` seconds means never. It is made once and passed down, never started again."""

    __slots__ = ("at",)

    def __init__(self, seconds: Optional[float]) -> None:
        self.at = float("inf") if seconds is None else monotonic() + seconds

    def left(self) -> float:
        """Return the seconds left, never below zero (``inf`` for a deadline that never comes)."""
        return max(0.0, self.at - monotonic())

    @property
    def passed(self) -> bool:
        """Return whether the time is up."""
        return monotonic() >= self.at

    def within(self, seconds: float) -> Deadline:
        """Return the earlier of this deadline and one ``seconds`` from now."""
        nearer = Deadline(seconds)
        return self if self.at <= nearer.at else nearer


class Bell:
    """Wakes one thread, again and again; rung before that waits, it does not wait.

    Not ``threading.Event`` or ``Condition``, here and wherever the I/O thread wakes a user's: these are written in Python, and a
    signal handler that raises as their ``__enter__`` returns leaves their lock held. Who wakes others would hang for ever.
    """

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def ring(self) -> None:
        """Wake the thread that waits, or the next one that does; from any thread."""
        with contextlib.suppress(RuntimeError):  # it has been rung, and nobody has heard it yet
            self._lock.release()

    def wait(self, timeout_s: float) -> bool:
        """Return True once it is rung, False when it is not within ``timeout_s``."""
        return self._lock.acquire(timeout=min(timeout_s, threading.TIMEOUT_MAX))


class News:
    """Wakes all threads that wait for something to change."""

    __slots__ = ("_bells",)

    def __init__(self) -> None:
        self._bells: deque[Bell] = deque()

    def __len__(self) -> int:
        """Return how many threads wait."""
        return len(self._bells)

    def tell(self) -> None:
        """Wake whoever waits; from any thread."""
        for _ in range(len(self._bells)):
            with contextlib.suppress(IndexError):  # another thread tells as well, or somebody waits no more
                self._bells.popleft().ring()

    def wait(self, has_come: Callable[[], bool], timeout_s: float) -> None:
        """Return when there may be news, after ``timeout_s`` at the latest; at once if ``has_come()``.

        That is asked once this thread would be woken, so that nothing is missed in between.
        """
        bell = Bell()
        self._bells.append(bell)
        try:
            if not has_come():
                bell.wait(timeout_s)
        finally:
            with contextlib.suppress(ValueError):
                self._bells.remove(bell)


class Signal:
    """A latch another thread can wait for: once set it stays set.

    A bare lock instead of ``threading.Event``: see :class:`Bell`, and a third of the cost, which every waited-for message pays.
    """

    __slots__ = ("_lock", "_set")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()
        self._set = False

    def set(self) -> None:
        """Let every waiter go, now and later. Only the first call counts; one thread sets."""
        if not self._set:
            self._set = True
            self._lock.release()

    def is_set(self) -> bool:
        """Return whether it was set."""
        return self._set

    def wait(self, deadline: Deadline) -> bool:
        """Return True once set, False when ``deadline`` passed first; Ctrl-C interrupts within SLICE_S.

        :raises KafkaException: on an I/O thread, unless it is set already
        """
        if not self._set:
            refuse_on_io_thread("this call")
        while not self._set:
            left = deadline.left()
            if left <= 0.0:
                return self._set
            if self._lock.acquire(timeout=min(left, SLICE_S)):
                self._lock.release()
        return True


class Result(Generic[T]):
    """The answer to one question put to the I/O thread: a value or an error, exactly once."""

    __slots__ = ("_error", "_signal", "_value")

    def __init__(self) -> None:
        self._signal = Signal()
        self._value: Optional[T] = None
        self._error: Optional[BaseException] = None

    def succeed(self, value: T) -> None:
        """Give the value; later calls change nothing, since the first outcome is the one somebody may have seen."""
        if not self._signal.is_set():
            self._value = value
            self._signal.set()

    def fail(self, error: BaseException) -> None:
        """Give the error that the waiter is to see."""
        if not self._signal.is_set():
            self._error = error
            self._signal.set()

    @property
    def done(self) -> bool:
        """Return whether there is an outcome."""
        return self._signal.is_set()

    def is_done_by(self, deadline: Deadline) -> bool:
        """Return True once there is an outcome, False when ``deadline`` passed first."""
        return self._signal.wait(deadline)

    def wait(self, deadline: Deadline, what: str) -> T:
        """Return the value, raise the error, or raise OperationTimedOut naming ``what`` was waited for."""
        if not self._signal.wait(deadline):
            raise OperationTimedOut(f"{what}: no answer in time; the broker may be slow, paused or out of reach")
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[return-value]  # succeed() stored a T


def is_set(unblock_event: Any) -> bool:
    """Return whether an event, which any object with ``is_set()`` is, has been set; None never is."""
    if unblock_event is None:
        return False
    try:
        return bool(unblock_event.is_set())
    except AttributeError:
        raise TypeError(f"unblock_event must have is_set(), like threading.Event, not {type(unblock_event).__name__}") from None
