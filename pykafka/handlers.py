"""PyKafka's concurrency handlers, which user code reaches through ``cluster.handler``, and requests that are handled by one.

The client itself needs none of this: its connections run on one thread of its own.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import socket
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional

from ._engine import forking
from ._engine.greenlets import require_patched
from .common import brief
from .exceptions import ForkedError, KafkaConfigError, KafkaException, OperationTimedOut

if TYPE_CHECKING:
    #: made when it is first asked for, since importing gevent is not for everybody
    GEventHandler: Any

log = logging.getLogger(__name__)


class Handler:
    """The base of handlers."""

    def spawn(self, target: Callable[..., object], *args: Any, **kwargs: Any) -> Any:
        """Run ``target`` concurrently."""
        raise NotImplementedError


class ThreadingHandler(Handler):
    """Threads and what belongs to them. Under gevent's monkey patching these are greenlets."""

    Queue = queue.Queue
    Event = threading.Event
    Lock = threading.Lock
    Semaphore = threading.Semaphore
    Socket = socket
    SockErr = socket.error
    GaiError = socket.gaierror
    QueueEmptyError = queue.Empty

    def RLock(self) -> Any:
        """Return a reentrant lock."""
        return threading.RLock()

    def sleep(self, seconds: float = 0) -> None:
        """Let other threads run for ``seconds``."""
        time.sleep(seconds)

    def spawn(self, target: Callable[..., object], *args: Any, name: Optional[str] = None, **kwargs: Any) -> threading.Thread:
        """Return a running daemon thread."""
        thread = threading.Thread(target=target, args=args, kwargs=kwargs, name=name, daemon=True)
        thread.start()
        return thread


def checked_handler(handler: Any) -> Any:
    """Return ``handler``, or a ThreadingHandler where it is None.

    :raises KafkaConfigError: when it lacks what users of a cluster call on its handler
    """
    if handler is None:
        return ThreadingHandler()
    lacking = [name for name in ("Event", "Lock", "sleep", "spawn") if not hasattr(handler, name)]
    if lacking:
        raise KafkaConfigError(
            f"handler: {brief(handler)} is no handler, it has no {', '.join(lacking)}; give None, or one of pykafka.handlers"
        )
    return handler


def _gevent_handler() -> type[Handler]:
    """Return the class GEventHandler.

    :raises ImportError: without gevent
    """
    import gevent
    import gevent.event
    import gevent.lock
    import gevent.queue
    import gevent.socket

    class GEventHandler(Handler):
        """Greenlets and what belongs to them.

        :raises ImportError: where gevent has not patched the standard library: waiting for an answer would stop all greenlets
        """

        Queue = gevent.queue.JoinableQueue
        Event = gevent.event.Event
        Lock = gevent.lock.RLock
        RLock = gevent.lock.RLock
        Semaphore = gevent.lock.Semaphore
        Socket = gevent.socket
        SockErr = gevent.socket.error
        GaiError = gevent.socket.gaierror
        QueueEmptyError = gevent.queue.Empty

        def __init__(self) -> None:
            require_patched("GEventHandler")

        def sleep(self, seconds: float = 0) -> None:
            """Let other greenlets run for ``seconds``."""
            gevent.sleep(seconds)

        def spawn(self, target: Callable[..., object], *args: Any, name: Optional[str] = None, **kwargs: Any) -> Any:
            """Return a running greenlet; ``name`` is for threads."""
            return gevent.spawn(target, *args, **kwargs)

    GEventHandler.__qualname__ = "GEventHandler"
    return GEventHandler


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name != "GEventHandler":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        try:
            globals()[name] = found = _gevent_handler()
        except ImportError as error:
            raise AttributeError(f"GEventHandler needs gevent, which cannot be imported: {error}") from error
        return found


class ResponseFuture:
    """An answer that will be there at some point. The first outcome counts.

    ``response`` and ``error`` are what was set; both are None before.
    """

    def __init__(self, handler: Any) -> None:
        self.handler = handler
        self.response: Any = None
        self.error: Optional[BaseException] = None
        self._lock = handler.Lock()
        self._ready = handler.Event()
        forking.watch(self)

    def abandon(self) -> None:
        """In a forked child: fail, if there is no answer yet. It would come to the parent."""
        answered = self._ready.is_set()
        # another thread may have held the lock, or been in the middle of setting the event
        self._lock = self.handler.Lock()
        self._ready = self.handler.Event()
        self._ready.set()
        if not answered:
            self.response, self.error = None, ForkedError("the answer to this request comes to the process that was forked")

    def set_response(self, response: Any) -> None:
        """Give the answer, and let everybody go who waits."""
        self._set(response, None)

    def set_error(self, error: BaseException) -> None:
        """Give the reason why there is no answer, and let everybody go who waits."""
        if not isinstance(error, BaseException):
            raise TypeError(f"error must be an exception, not {brief(error)}")
        self._set(None, error)

    def _set(self, response: Any, error: Optional[BaseException]) -> None:
        with self._lock:
            if not self._ready.is_set():
                self.response, self.error = response, error
                self._ready.set()

    def get(self, response_cls: Optional[Callable[..., Any]] = None, timeout: Optional[float] = None, **kwargs: Any) -> Any:
        """Return the answer when it is there: ``response_cls(answer, **kwargs)``, or as it is.

        :param timeout: seconds to wait at most; None waits for as long as it takes
        :raises OperationTimedOut: when it is not there in time; it may still come
        """
        self._ready.wait(timeout)
        if not self._ready.is_set():
            raise OperationTimedOut(f"there was no answer within {timeout} s")
        if self.error is not None:
            # it may be raised again and again: its traceback would grow each time
            raise self.error.with_traceback(None)
        return self.response if response_cls is None else response_cls(self.response, **kwargs)


class Task(NamedTuple):
    """A request that waits for its turn; ``future`` is None when no answer is expected."""

    request: Any
    future: Optional[ResponseFuture]


class Shared(NamedTuple):
    """What a RequestHandler and its worker have in common: the worker must not keep the handler alive."""

    connection: Any
    #: tasks, and None for the end; of this kind since a finalizer may put something in while the worker takes something out
    requests: queue.SimpleQueue[Optional[Task]]
    ended: Any


class RequestHandler:
    """Puts requests to a connection, one after the other: the next is sent when the answer to the one before is there.

    :param handler: a handler; its ``spawn`` runs the worker that :meth:`start` starts
    :param connection: a :class:`~pykafka.connection.BrokerConnection`, or what has ``request(request)`` and ``response()``
    """

    Task = Task
    Shared = Shared

    def __init__(self, handler: Any, connection: Any) -> None:
        self.handler = handler
        self.shared = Shared(connection, queue.SimpleQueue(), handler.Event())
        self._lock = handler.Lock()
        self._started = False
        self._stopped = False
        self._forked = False
        forking.watch(self)
        # a handler that nobody holds any more ends its worker, after what is queued
        self._finalizer = weakref.finalize(self, self.shared.requests.put, None)
        self._finalizer.atexit = False

    def request(self, request: Any, has_response: bool = True) -> Optional[ResponseFuture]:
        """Queue a request; return the future of its answer, or None when there will be no answer.

        Without an answer nobody hears of an error, except the log.

        :raises KafkaException: after :meth:`stop`, or when something has ended the worker
        :raises ForkedError: in a process forked after it was made
        """
        future = ResponseFuture(self.handler) if has_response else None
        with self._lock:
            self._require_usable()
            if self._started and self.shared.ended.is_set():
                raise KafkaException("the worker of this RequestHandler was ended: make a new one")
            self.shared.requests.put(Task(request, future))
            if self._started and self.shared.ended.is_set():  # just now
                _fail_queued(self.shared)
        return future

    def _require_usable(self) -> None:
        if self._forked:
            raise ForkedError("this RequestHandler was made before a fork and belongs to the parent: make a new one here")
        if self._stopped:
            raise KafkaException("this RequestHandler was stopped: make a new one")

    def abandon(self) -> None:
        """In a forked child: refuse everything. The worker is the parent's."""
        self._forked = True
        self._finalizer.detach()
        # another thread may have held it
        self._lock = self.handler.Lock()

    def start(self) -> None:
        """Start the worker; it is started once.

        :raises KafkaException: after :meth:`stop`
        :raises ForkedError: in a process forked after it was made
        """
        with self._lock:
            self._require_usable()
            if not self._started:
                self.handler.spawn(_work, self.shared, name="pykafka-requests")
                self._started = True

    def stop(self) -> None:
        """Return when what was queued is done and the worker has ended; twice is harmless.

        The waits of the connection bound how long that takes. Without a worker what was queued fails. In a forked child
        there is nothing to wait for.
        """
        if self._forked:
            return
        with self._lock:
            first, self._stopped = not self._stopped, True
            if first:
                self._finalizer.detach()
                self.shared.requests.put(None)
        if self._started:
            self.shared.ended.wait()
        elif first:
            _fail_queued(self.shared, "the RequestHandler was stopped before it was started")


def _work(shared: Shared) -> None:
    """Handle one task after the other, until there is a None."""
    try:
        while True:
            task = shared.requests.get()
            if task is None:
                return
            _handle(shared.connection, task)
            # nothing is kept of it while we wait for the next one
            del task
    finally:
        shared.ended.set()
        _fail_queued(shared)


def _handle(connection: Any, task: Task) -> None:
    try:
        if task.future is None:
            # an answer that comes all the same must not be taken for the next one's
            getattr(connection, "request_only", connection.request)(task.request)
            return
        connection.request(task.request)
        task.future.set_response(connection.response())
    except Exception as error:  # whatever it is, it belongs to this request, and the next one has its turn
        _fail(task, error)
    except BaseException as error:  # somebody ends the worker: who waits for the answer is not to end with it
        ended = KafkaException(f"the worker of the RequestHandler was ended in the middle of this request: {error!r}")
        ended.__cause__ = error
        _fail(task, ended)
        raise


def _fail(task: Task, error: Exception) -> None:
    if task.future is not None:
        task.future.set_error(error)
    else:
        log.warning("a request without an answer could not be sent: %s", error)


def _fail_queued(shared: Shared, reason: str = "the worker of the RequestHandler was ended") -> None:
    """Fail what nobody will take out of the queue any more."""
    with contextlib.suppress(queue.Empty):
        while True:
            task = shared.requests.get_nowait()
            if task is not None:
                _fail(task, KafkaException(f"{reason}: nothing was sent"))
