"""Sockets and the one thread: brokers that listen, connections, frames in and out. All else is done in that thread, too."""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import socket
import struct
import threading
import time
import traceback
from collections import deque
from typing import TYPE_CHECKING, Any, Callable, Optional, TypeVar

from .clock import ManualClock, SystemClock
from .desk import Desk
from .state import Broker

if TYPE_CHECKING:
    import ssl

#: As a broker's socket.request.max.bytes.
MAX_REQUEST_BYTES = 100 * 1024 * 1024
_SIZE = struct.Struct(">i")
_READ_BYTES = 256 * 1024
#: What is read ahead while a request waits for its answer; the client's next ones can wait in its own socket.
_AHEAD_BYTES = 1024 * 1024
_RUN_TIMEOUT_S = 60
#: How long it waits before it tries again to take a connection for which there is no descriptor.
_DESCRIPTORS_PAUSE_S = 0.02
T = TypeVar("T")


class Server:
    """The thread that serves all brokers of a cluster. What belongs to it is looked at and changed in it alone: :meth:`run`."""

    def __init__(self, desk: Desk, clock: SystemClock | ManualClock, tls: Optional[ssl.SSLContext]) -> None:
        self.tls = tls
        self.desk = desk
        self._clock = clock
        self._selector = selectors.DefaultSelector()
        self._jobs: deque[Callable[[], None]] = deque()
        self._listeners: dict[int, _Listener] = {}
        self._connections: set[Connection] = set()
        self._stopping = False
        self._pid = os.getpid()
        self._waker, self._woken = socket.socketpair()
        self._waker.setblocking(False)
        self._woken.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ, self._drain_waker)
        self._thread = threading.Thread(target=self._serve, name="pykafka-testing", daemon=True)

    # -- from any thread ----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def run(self, act: Callable[[], T]) -> T:
        """Return what ``act`` returns, or raise what it raises; it runs in the server's thread while that serves.

        :raises RuntimeError: when the server does not get to it within a minute
        """
        if threading.current_thread() is self._thread or not self._thread.is_alive():
            return act()
        # a bare lock: who is interrupted in the middle of an Event's wait() may leave that locked, and us to hang in its set()
        done = threading.Lock()
        done.acquire()
        result: list[T] = []
        raised: list[BaseException] = []

        def job() -> None:
            try:
                result.append(act())
            except BaseException as error:
                raised.append(error)
            done.release()

        self._jobs.append(job)
        self._wake()
        while not done.acquire(timeout=0.5 if self._stopping else _RUN_TIMEOUT_S):
            if self._thread.is_alive():
                raise RuntimeError("the fake cluster's thread is stuck: does a function given to on() block?")
            with contextlib.suppress(ValueError):  # the thread's last act may have been to take it
                self._jobs.remove(job)
                return act()
        if raised:
            raise raised[0]
        return result[0]

    def stop(self) -> None:
        """Close every socket and end the thread; in a forked child do nothing, for all of it is the parent's."""
        if os.getpid() != self._pid:
            return
        self._stopping = True
        self._wake()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(_RUN_TIMEOUT_S)
        for connection in list(self._connections):
            connection.close()
        for listener in self._listeners.values():
            listener.close()
        self._listeners.clear()
        self._selector.close()
        self._waker.close()
        self._woken.close()

    def _wake(self) -> None:
        # a full pipe wakes it as well, and one that is closed needs no waking
        with contextlib.suppress(OSError):
            self._waker.send(b"\0")

    # -- in the server's thread ---------------------------------------------------------------------------------------

    def listen(self, broker: Broker) -> None:
        """Open a broker's port; a port of 0 becomes a free one.

        :raises OSError: when the port is taken
        """
        if broker.id not in self._listeners:
            self._listeners[broker.id] = _Listener(self, broker)
        self._listeners[broker.id].open()

    def close_broker(self, broker: Broker) -> None:
        """Refuse connections to a broker, and end those it has; its port stays its own."""
        self._listeners[broker.id].shut()
        self.drop_connections(broker.id)

    def drop_connections(self, broker_id: Optional[int] = None) -> int:
        """Close the connections to a broker (None: to all of them); return how many there were."""
        doomed = [one for one in self._connections if broker_id in (None, one.broker.id)]
        for connection in doomed:
            connection.hang_up()
        return len(doomed)

    def accept(self, plain: socket.socket, broker: Broker, host: str) -> None:
        """Serve a new connection."""
        self._connections.add(Connection(self, plain, broker, host))

    def forget(self, connection: Connection) -> None:
        """Note that a connection is closed."""
        self._connections.discard(connection)
        self.desk.closed(connection)

    def watch(self, sock: socket.socket, events: int, before: int, act: Callable[[int], None]) -> None:
        """Have ``act`` called when a socket is ready for ``events``; ``before`` is what it was watched for so far."""
        if events == before:
            return
        if not before:
            self._selector.register(sock, events, act)
        elif not events:
            self._selector.unregister(sock)
        else:
            self._selector.modify(sock, events, act)

    def _serve(self) -> None:
        while not self._stopping:
            try:
                for key, events in self._selector.select(self._clock.seconds_until(self.desk.next_deadline())):
                    key.data(events)
                while self._jobs:
                    self._jobs.popleft()()
                self.desk.tick()
            except Exception:
                # the other connections are served on; the test fails in the end
                self.desk.complain(traceback.format_exc())

    def _drain_waker(self, _events: int) -> None:
        with contextlib.suppress(BlockingIOError):
            self._woken.recv(4096)


class _Listener:
    """A broker's port. While the broker is down the port is kept, but nobody listens at it."""

    def __init__(self, server: Server, broker: Broker) -> None:
        self._server = server
        self._broker = broker
        self._is_open = False
        self._lacks_descriptors = False
        self._socket = self._bind()

    def _bind(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._broker.host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((self._broker.host, self._broker.port))
        except OSError as error:
            sock.close()
            error.filename = f"{self._broker.host}:{self._broker.port}"
            raise
        sock.setblocking(False)
        self._broker.port = sock.getsockname()[1]
        return sock

    def open(self) -> None:
        if not self._is_open:
            self._socket.listen(128)
            self._server.watch(self._socket, selectors.EVENT_READ, 0, self._accept)
            self._is_open = True

    def shut(self) -> None:
        if self._is_open:
            self.close()
            self._socket = self._bind()

    def close(self) -> None:
        if self._is_open:
            self._server.watch(self._socket, 0, selectors.EVENT_READ, self._accept)
            self._is_open = False
        self._socket.close()

    def _accept(self, _events: int) -> None:
        if not self._is_open:
            return
        try:
            sock, address = self._socket.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                if not self._lacks_descriptors:
                    self._server.desk.complain(f"broker {self._broker.id} has no descriptor for another connection: {error}")
                self._lacks_descriptors = True
                # whoever wants to connect stays there, and would be looked at again without end
                time.sleep(_DESCRIPTORS_PAUSE_S)
            return
        self._lacks_descriptors = False
        try:
            self._server.accept(sock, self._broker, str(address[0]))
        except OSError:
            # gone before it was greeted
            sock.close()


class Connection:
    """One client's connection. A request is acted on when the one before it is answered, so answers are in order."""

    def __init__(self, server: Server, plain: socket.socket, broker: Broker, client_host: str) -> None:
        self.broker = broker
        self.client_host = client_host
        self._server = server
        self._socket = plain
        self._in = bytearray()
        self._out: deque[memoryview] = deque()
        self._is_busy = False
        self._is_closed = False
        self._is_handling = False
        self._watched = 0
        self._handshake: Optional[Any] = None
        plain.setblocking(False)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if server.tls is not None:
            self._socket = self._handshake = server.tls.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
        self._want(selectors.EVENT_READ)

    # -- for the desk -------------------------------------------------------------------------------------------------

    def reply(self, frame: bytes) -> None:
        """Send a frame, its size in front; then the next request may come."""
        if not self._is_closed:
            self._out.append(memoryview(frame))
            self._write()
            self.no_reply()

    def no_reply(self) -> None:
        """Go on with the next request."""
        self._is_busy = False
        self._handle_frames()

    def hang_up(self) -> None:
        """Close the connection."""
        self.close()

    def close(self) -> None:
        """Close the connection; again does nothing."""
        if self._is_closed:
            return
        self._want(0)
        self._is_closed = True
        self._socket.close()
        self._server.forget(self)

    # -- the socket ---------------------------------------------------------------------------------------------------

    def _ready(self, events: int) -> None:
        if self._is_closed:
            # by what was ready before it in this round
            return
        try:
            if self._handshake is not None:
                self._shake_hands()
            elif events & selectors.EVENT_WRITE and self._out:
                self._write()
                self._handle_frames()
            elif not self._is_closed:
                self._read()
        except OSError:
            # the client is gone, or speaks no TLS
            self.close()

    def _shake_hands(self) -> None:
        try:
            self._handshake.do_handshake()  # type: ignore[union-attr]
        except OSError as error:
            self._want(_wanted_by_tls(error))
            return
        self._handshake = None
        self._want(selectors.EVENT_READ)
        # what came with the end of the handshake is in the TLS layer, where no selector sees it
        self._read()

    def _read(self) -> None:
        while not self._is_closed:
            try:
                data = self._socket.recv(_READ_BYTES)
            except OSError as error:
                self._wait_or_raise(error)
                return
            if not data:
                self.close()
                return
            self._in += data
            self._handle_frames()
            if not getattr(self._socket, "pending", int)():
                return

    def _write(self) -> None:
        try:
            while self._out:
                sent = self._socket.send(self._out[0])
                if sent == len(self._out[0]):
                    self._out.popleft()
                else:
                    self._out[0] = self._out[0][sent:]
        except OSError as error:
            try:
                self._wait_or_raise(error)
            except OSError:
                self.close()
            return
        self._choose_events()

    def _wait_or_raise(self, error: OSError) -> None:
        if not isinstance(error, BlockingIOError):
            _wanted_by_tls(error)
        self._choose_events()

    def _choose_events(self) -> None:
        if self._is_closed or self._handshake is not None:
            return
        events = selectors.EVENT_WRITE if self._out else 0
        if len(self._in) < _AHEAD_BYTES or not (self._is_busy or self._out):
            events |= selectors.EVENT_READ
        self._want(events)

    def _want(self, events: int) -> None:
        self._server.watch(self._socket, events, self._watched, self._ready)
        self._watched = events

    # -- frames -------------------------------------------------------------------------------------------------------

    def _handle_frames(self) -> None:
        """Act on the requests that are there, one after the other, until one has to wait."""
        if self._is_handling:
            return
        self._is_handling = True
        try:
            while not (self._is_busy or self._out or self._is_closed):
                frame = self._next_frame()
                if frame is None:
                    break
                self._is_busy = True
                self._server.desk.receive(self, frame)
        finally:
            self._is_handling = False
        self._choose_events()

    def _next_frame(self) -> Optional[bytes]:
        if len(self._in) < _SIZE.size:
            return None
        (size,) = _SIZE.unpack_from(self._in)
        if not 0 <= size <= MAX_REQUEST_BYTES:
            self._server.desk.complain(f"{self.client_host} announced a request of {size} bytes to broker {self.broker.id}")
            self.close()
            return None
        end = _SIZE.size + size
        if len(self._in) < end:
            return None
        frame = bytes(memoryview(self._in)[_SIZE.size : end])
        del self._in[:end]
        return frame


def _wanted_by_tls(error: OSError) -> int:
    """Return what TLS waits for.

    :raises OSError: when it waits for nothing, but failed
    """
    # known by name: importing ssl takes longer than all else here
    name = type(error).__name__
    if name == "SSLWantReadError":
        return selectors.EVENT_READ
    if name == "SSLWantWriteError":
        return selectors.EVENT_WRITE
    raise error
