"""The I/O thread: one selector, one mailbox, one timer heap. Everything else about sockets is in channel.py."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging
import selectors
import socket
import threading
from collections import deque
from typing import Any, Callable, Optional, Protocol

from ..exceptions import ForkedError, KafkaException
from . import forking, greenlets, waiting
from .clock import monotonic
from .crashes import log_crash

log = logging.getLogger(__name__)

READ = selectors.EVENT_READ
WRITE = selectors.EVENT_WRITE

#: A cancelled timer stays in the heap until its time; past this many the heap is rebuilt, so it cannot grow for ever.
MAX_CANCELLED = 1000


class SocketHandler(Protocol):
    """What the loop calls when a registered socket can be read from or written to."""

    def on_events(self, mask: int) -> None:
        """Act on READ and/or WRITE; an exception is given to :meth:`on_crash`."""

    def on_crash(self, error: Exception) -> None:
        """Close down after an exception that on_events let through: a bug of ours must not stop the loop."""


class Timer:
    """A call that will be made at ``when``; :meth:`cancel` makes it not happen."""

    __slots__ = ("_loop", "args", "fn", "when")

    def __init__(self, loop: Loop, when: float, fn: Callable[..., object], args: tuple[Any, ...]) -> None:
        self._loop = loop
        self.when = when
        self.fn: Optional[Callable[..., object]] = fn
        self.args = args

    def cancel(self) -> None:
        """Make the call not happen; harmless when it already has."""
        if self.fn is not None:
            self.fn = None
            self.args = ()
            self._loop._note_cancelled()


class Loop:
    """One daemon thread that runs callbacks; ``call_soon`` may be called from any thread, all else from the loop's own.

    Tests drive :meth:`run_once` by hand and never start the thread.

    :param on_death: called on the loop's thread with the reason when something that cannot be ends it: fail what waits
    """

    def __init__(self, name: str = "pykafka-io", on_death: Optional[Callable[[KafkaException], None]] = None) -> None:
        self._name = name
        self._on_death = on_death
        self._died_of: Optional[KafkaException] = None
        greenlets.require_all_or_none()
        # looked up when the loop is made, not at import, so that gevent's monkey patching is honoured
        self._selector = selectors.DefaultSelector()
        self._mailbox: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._timers: list[tuple[float, int, Timer]] = []
        self._cancelled = 0
        self._order = itertools.count()
        self._wake_recv, self._wake_send = socket.socketpair()
        self._wake_recv.setblocking(False)
        self._wake_send.setblocking(False)
        self._selector.register(self._wake_recv, READ, None)
        self._sleeping = False
        self._stopping = False
        self._ended = False
        #: whether its thread has done its last act, and the bell for who waits for that; who hears it rings it for the next one
        self._is_over = False
        self._over = waiting.Bell()
        self._thread: Optional[threading.Thread] = None
        self._start_lock = threading.RLock()
        self.forked = False
        forking.watch(self)

    # -- any thread ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the thread unless it runs already."""
        with self._start_lock:
            if self._thread is None and not self._stopping:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                try:
                    self._thread.start()
                except RuntimeError as error:
                    self._thread = None
                    raise KafkaException(f"the I/O thread could not be started: {error}; raise the limit of threads") from error

    def call_soon(self, fn: Callable[..., object], *args: Any) -> None:
        """Have ``fn(*args)`` run on the loop's thread soon; the only door for other threads.

        :raises ForkedError: in a process forked after the loop was made: its thread and sockets belong to the parent
        :raises KafkaException: after the loop has ended; ``fn`` does not run then
        """
        if self.forked:
            raise ForkedError("this client was made before a fork and belongs to the parent: make a new KafkaClient here")
        if self._ended:
            raise self._refusal()
        item = (fn, args)
        self._mailbox.append(item)
        if self._sleeping:
            self._wake()
        # the loop may have ended and emptied its mailbox just before the append
        if self._ended and self._take_back(item):
            raise self._refusal()

    def _refusal(self) -> KafkaException:
        if self._died_of is not None:
            return KafkaException(str(self._died_of))
        return KafkaException("this client was closed: make a new KafkaClient")

    def _take_back(self, item: tuple[Callable[..., object], tuple[Any, ...]]) -> bool:
        """Return whether ``item`` was still in the mailbox; False means that the ending loop has run it."""
        try:
            self._mailbox.remove(item)
        except (ValueError, IndexError):  # not there, or changed meanwhile: the loop is emptying it
            return False
        return True

    def _wake(self) -> None:
        # the loop itself notes that it is awake: what a signal handler posts in the middle of this must wake it as well
        try:
            self._wake_send.send(b"\0")
        except (BlockingIOError, OSError) as error:
            # a full pair means a wake-up is already on its way; a closed one means the loop has ended
            log.debug("wake-up not written: %s", error)

    def in_loop(self) -> bool:
        """Return whether the caller is the loop's own thread."""
        return threading.current_thread() is self._thread

    @property
    def stopped(self) -> bool:
        """Return whether the loop has ended or is about to."""
        return self._stopping or self._ended

    def stop(self, timeout_s: float) -> bool:
        """End the thread; return whether it ended within ``timeout_s``."""
        self._stopping = True
        if self._thread is None or self.forked:
            self._end()
            return True
        with contextlib.suppress(KafkaException):  # it has ended already
            self.call_soon(lambda: None)
        if self.in_loop():
            return False
        return self._has_stopped_by(timeout_s)

    def wait_for_end(self, timeout_s: float) -> bool:
        """Return whether the loop has ended, or does within ``timeout_s``; at once on its own thread, which ends it."""
        return self._thread is None or self.in_loop() or self._has_stopped_by(timeout_s)

    def _has_stopped_by(self, timeout_s: float) -> bool:
        if not self._is_over and self._over.wait(timeout_s):
            self._over.ring()
        return self._is_over

    # -- the loop's own thread ----------------------------------------------------------------------------------------

    def now(self) -> float:
        """Return monotonic seconds."""
        return monotonic()

    def call_at(self, when: float, fn: Callable[..., object], *args: Any) -> Timer:
        """Have ``fn(*args)`` run at monotonic second ``when``, or soon after; return the timer to cancel."""
        timer = Timer(self, when, fn, args)
        heapq.heappush(self._timers, (when, next(self._order), timer))
        return timer

    def _note_cancelled(self) -> None:
        self._cancelled += 1
        if self._cancelled > MAX_CANCELLED:
            self._timers = [entry for entry in self._timers if entry[2].fn is not None]
            heapq.heapify(self._timers)
            self._cancelled = 0

    def register(self, sock: socket.socket, events: int, handler: SocketHandler) -> None:
        """Call ``handler.on_events`` whenever ``sock`` is ready for ``events``."""
        self._selector.register(sock, events, handler)

    def modify(self, sock: socket.socket, events: int, handler: SocketHandler) -> None:
        """Change what ``sock`` is watched for."""
        self._selector.modify(sock, events, handler)

    def unregister(self, sock: socket.socket) -> None:
        """Stop watching ``sock``; call it before closing the socket."""
        self._selector.unregister(sock)

    def run_once(self, longest_s: float = 60.0) -> None:
        """Wait for the next event, at most ``longest_s`` seconds, and handle everything that is due."""
        self._sleeping = True
        # the mailbox is looked at after _sleeping is set: a call_soon in between either is seen here or wakes us
        wait_s = 0.0 if self._mailbox else self._until_timer(longest_s)
        ready = self._selector.select(wait_s)
        self._sleeping = False
        for key, mask in ready:
            if key.data is None:
                self._drain_wakeups()
            else:
                self._dispatch(key.data, key.fileobj, mask)
        self._run_timers()
        self._run_mailbox()

    def _until_timer(self, longest_s: float) -> float:
        while self._timers and self._timers[0][2].fn is None:
            heapq.heappop(self._timers)
            self._cancelled = max(0, self._cancelled - 1)
        if not self._timers:
            return longest_s
        return min(longest_s, max(0.0, self._timers[0][0] - monotonic()))

    def _drain_wakeups(self) -> None:
        # once is enough: what is left makes the selector report it again
        with contextlib.suppress(BlockingIOError):
            self._wake_recv.recv(4096)

    def _dispatch(self, handler: SocketHandler, sock: Any, mask: int) -> None:
        try:
            handler.on_events(mask)
        except Exception as error:
            log_crash(log, "unexpected error while handling a socket; the connection is closed")
            try:
                handler.on_crash(error)
            except Exception:
                log_crash(log, "unexpected error while closing a connection")
                # a socket that nobody handles would be reported again and again
                with contextlib.suppress(KeyError, ValueError, OSError):
                    self._selector.unregister(sock)

    def _run_timers(self) -> None:
        now = monotonic()
        while self._timers and self._timers[0][0] <= now:
            timer = heapq.heappop(self._timers)[2]
            if timer.fn is not None:
                fn, timer.fn = timer.fn, None
                self._call(fn, timer.args)
            else:
                self._cancelled = max(0, self._cancelled - 1)

    def _run_mailbox(self) -> None:
        # only what is there now: a callback that posts again waits for the next turn, so sockets are never starved
        for _ in range(len(self._mailbox)):
            fn, args = self._mailbox.popleft()
            self._call(fn, args)

    @staticmethod
    def _call(fn: Callable[..., object], args: tuple[Any, ...]) -> None:
        try:
            fn(*args)
        except KafkaException:
            log_crash(log, "an error reached the I/O thread that a caller should have been given")
        except Exception:
            log_crash(log, "unexpected error on the I/O thread")

    def _run(self) -> None:
        waiting.never_wait_here(True)
        try:
            while not self._stopping:
                self.run_once()
        except BaseException as error:
            if self.forked:  # a greenlet, copied into the child, where its selector is closed
                forking.rest()
            self._die(error)
        finally:
            try:
                self._end()
            finally:
                waiting.never_wait_here(False)
                self._is_over = True
                self._over.ring()

    def _die(self, error: BaseException) -> None:
        log_crash(log, "the I/O thread ends: this client can do no more")
        self._died_of = KafkaException(f"the I/O thread of this client has ended by {error!r}: make a new KafkaClient")
        if self._on_death is not None:
            self._call(self._on_death, (self._died_of,))

    def _end(self) -> None:
        """Refuse what comes from now on, run what came before, and let go of the descriptors."""
        # in this order: whoever posts later sees _ended after the append, and takes it back if it was not run here
        self._ended = True
        while self._mailbox:
            self._run_mailbox()
        self._close()

    def _close(self) -> None:
        self._ended = True
        self._selector.close()
        self._wake_recv.close()
        self._wake_send.close()

    def abandon(self) -> None:
        """Give up every descriptor in a forked child without a word to the broker: the parent still uses them."""
        self.forked = self._stopping = True
        waiting.forget_threads()
        self._mailbox.clear()
        handlers = [key for key in self._selector.get_map().values() if key.data is not None] if self._selector.get_map() else []
        for key in handlers:
            sock = key.fileobj
            if isinstance(sock, socket.socket):
                # detach and close the copy of the descriptor: no shutdown(), no TLS goodbye on the parent's connection
                forking.close_descriptor(sock)
        self._close()
