"""One TCP (or TLS) connection: addresses tried in turn, bytes in, frames out. What the frames mean is lane.py's business."""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections import deque
from typing import TYPE_CHECKING, Any, Callable, Optional, Protocol, cast

from ..config import tls_context_maker
from ..exceptions import ProtocolError, SocketDisconnectedError
from ..protocol.wire import FrameReader
from . import resolver
from .loop import READ, WRITE, Loop, Timer
from .tls import Wrapping, close_quietly, wants_more

if TYPE_CHECKING:
    import ssl

    from ..protocol.primitives import Buffer

log = logging.getLogger(__name__)

#: sendmsg takes at most IOV_MAX pieces, 1024 on Linux and macOS.
MAX_PIECES = 1024
_IN_PROGRESS = {errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EAGAIN, 10035}  # 10035: WSAEWOULDBLOCK


def prepare(sock: socket.socket, source: Optional[tuple[str, int]]) -> None:
    """Make ``sock``, which is not connected yet, what a connection to a broker is to be.

    :raises OSError: when ``source``, the address to connect from, cannot be had
    """
    # every request is written whole; waiting to fill a packet would only add latency
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if source:
        sock.bind(source)


class ChannelOwner(Protocol):
    """Who a channel reports to; every method is called on the I/O thread."""

    def on_open(self) -> None:
        """The connection stands (TLS included): send away."""

    def on_frame(self, frame: memoryview) -> None:
        """A whole frame arrived, without its size."""

    def on_written(self, waited: int) -> None:
        """The socket, which was full, has taken some of the ``waited`` bytes that waited for it."""

    def on_closed(self, error: Exception) -> None:
        """The connection is gone, for the reason given; called once."""


class Channel:
    """Bytes to and from ``host:port``. Single use: once closed it stays closed."""

    def __init__(
        self,
        loop: Loop,
        owner: ChannelOwner,
        host: str,
        port: int,
        *,
        setup_timeout_s: float,
        tls: Optional[Any] = None,
        source: Optional[tuple[str, int]] = None,
        max_frame: int = 100 * 1024 * 1024,
    ) -> None:
        self.peer = resolver.spelled(host, port)
        self._loop = loop
        self._owner = owner
        self._host = host
        self._port = port
        self._setup_timeout_s = setup_timeout_s
        self._tls = tls
        self._make_context = None if tls is None else tls_context_maker(tls)
        self._wrapping: Optional[Wrapping] = None
        #: how many bytes TLS has decrypted that no selector will report
        self._pending: Optional[Callable[[], int]] = None
        self._source = source or None
        self._reader = FrameReader(max_frame, peer=self.peer)
        self._sock: Optional[socket.socket] = None
        self._addresses: deque[resolver.Address] = deque()
        self._address: tuple[Any, ...] = (host, port)
        self._family = 0
        self._failures: list[str] = []
        self._out: deque[memoryview] = deque()
        #: all bytes ever given to send, and how many of them the socket has taken
        self.given = 0
        self.written = 0
        self._state = "new"  # new -> resolving -> connecting -> (handshaking or wrapping) -> open -> closed
        self._watching = 0
        self._timer: Optional[Timer] = None
        self._heard_anything = False

    # -- setting up ---------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Start connecting; on_open or on_closed follows within ``setup_timeout_s``."""
        self._state = "resolving"
        self._timer = self._loop.call_at(self._loop.now() + self._setup_timeout_s, self._setup_expired)
        resolver.resolve(self._host, self._port, self._loop.call_soon, self._on_resolved)

    @property
    def silence(self) -> str:
        """Return what has been waited for in vain so far, for people."""
        waits = {
            "resolving": "the name server did not answer in time",
            "connecting": f"{self._address[0]}: nobody answered in time; is the host down, or a firewall in between?",
            "handshaking": "the TLS handshake did not end in time; is this a TLS listener?",
            "wrapping": "wrap_socket(sock) of ssl_config did not return in time; is this a TLS listener?",
        }
        return "; ".join([*self._failures, waits.get(self._state, "no answer in time")])

    @property
    def reached(self) -> tuple[int, tuple[Any, ...]]:
        """Return the family and the address that is connected to, of all that the host has."""
        return self._family, self._address

    def _setup_expired(self) -> None:
        self._failures = [self.silence]
        self.close(SocketDisconnectedError(f"could not connect to {self.peer}: " + "; ".join(self._failures)))

    def _on_resolved(self, addresses: list[resolver.Address], error: Optional[OSError]) -> None:
        if self._state != "resolving":
            return
        if error is not None or not addresses:
            reason = error or "no address"
            self.close(SocketDisconnectedError(f"could not resolve {self._host!r}: {reason}; check the name and DNS"))
            return
        self._addresses.extend(addresses)
        self._try_next_address()

    def _try_next_address(self) -> None:
        while self._addresses:
            family, address = self._addresses.popleft()
            self._state, self._family, self._address = "connecting", family, address
            try:
                if self._start_connect(family, address):
                    return
            except OSError as error:
                self._connect_failed(error)
        reasons = "; ".join(self._failures)
        self.close(SocketDisconnectedError(f"could not connect to {self.peer}: {reasons}"))

    def _connect_failed(self, error: OSError) -> None:
        self._drop_socket()
        self._failures.append(f"{self._address[0]}: {error.strerror or error}")

    def _start_connect(self, family: int, address: tuple[Any, ...]) -> bool:
        sock = socket.socket(family, socket.SOCK_STREAM)
        self._sock = sock
        sock.setblocking(False)
        prepare(sock, self._source)
        code = sock.connect_ex(address)
        if code == 0 or code in _IN_PROGRESS:
            self._watch(WRITE)
            return True
        raise OSError(code, errno.errorcode.get(code, str(code)))

    def _on_connected(self) -> None:
        assert self._sock is not None
        code = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._connect_failed(OSError(code, os.strerror(code)))
            self._try_next_address()
        elif self._make_context is not None:
            self._start_tls(self._make_context)
        elif self._tls is not None:
            self._start_wrapping()
        else:
            self._opened()

    def _start_tls(self, make_context: Callable[[], Any]) -> None:
        assert self._sock is not None
        self._state = "handshaking"
        self._unwatch()
        # a trailing dot is DNS notation, not part of the name in a certificate
        name = self._host.rstrip(".")
        try:
            self._sock = make_context().wrap_socket(self._sock, server_hostname=name, do_handshake_on_connect=False)
        except Exception as error:  # a context may be the user's own
            self.close(SocketDisconnectedError(f"TLS with {self.peer} could not start: {error}; check ssl_config"))
            return
        self._continue_handshake()

    def _start_wrapping(self) -> None:
        """Have the user's object wrap the socket, which is no longer ours until it comes back."""
        assert self._sock is not None and self._timer is not None
        self._state = "wrapping"
        self._unwatch()
        plain, self._sock = self._sock, None
        self._wrapping = Wrapping(self._tls, plain, self.peer, self._timer.when - self._loop.now())
        try:
            self._wrapping.start(self._loop.call_soon, self._on_wrapped)
        except OSError as error:
            self.close(SocketDisconnectedError(f"TLS with {self.peer} could not start: {error}"))

    def _on_wrapped(self, sock: Optional[socket.socket], error: Optional[SocketDisconnectedError]) -> None:
        if self._state != "wrapping":
            if sock is not None:
                close_quietly(sock)
            return
        assert self._wrapping is not None
        self._wrapping.done()
        self._wrapping = None
        if error is not None:
            self.close(error)
        else:
            self._sock = sock
            self._opened()

    def _continue_handshake(self) -> None:
        try:
            cast("ssl.SSLSocket", self._sock).do_handshake()
        except OSError as error:
            if self._must_wait(error):
                self._watch(WRITE if type(error).__name__ == "SSLWantWriteError" else READ)
                return
            self.close(
                SocketDisconnectedError(
                    f"TLS with {self.peer} failed: {error}; check that this is a TLS listener, that cafile signed its"
                    f" certificate and that the certificate names {self._host!r}"
                )
            )
        else:
            self._opened()

    def _opened(self) -> None:
        self._state = "open"
        if self._timer is not None:
            self._timer.cancel()
        self._pending = getattr(self._sock, "pending", None)
        self._watch(READ)
        self._owner.on_open()

    # -- events -------------------------------------------------------------------------------------------------------

    def on_events(self, mask: int) -> None:
        """Move on with whatever the selector says is possible."""
        if self._state == "connecting":
            self._on_connected()
        elif self._state == "handshaking":
            self._continue_handshake()
        else:
            if mask & WRITE and self._state == "open":
                waited = self.backlog
                self._flush()
                self._owner.on_written(waited)
            if mask & READ and self._state == "open":
                self._read()

    def on_crash(self, error: Exception) -> None:
        """Close after a bug of ours."""
        self.close(error)

    def _read(self) -> None:
        assert self._sock is not None
        room = self._reader.get_buffer()
        try:
            count = self._sock.recv_into(room)
        except OSError as error:
            if not self._must_wait(error):
                # a listener that cannot make sense of what we say may also reset the connection
                broke = SocketDisconnectedError(f"connection to {self.peer} broke while reading: {error}")
                self.close(broke if self._heard_anything else self._ended_by_peer())
            return
        if count == 0:
            self.close(self._ended_by_peer())
            return
        self._heard_anything = True
        try:
            frames = self._reader.received(count)
        except ProtocolError as error:
            self.close(error)
            return
        for frame in frames:
            if self._state != "open":
                return
            self._owner.on_frame(frame)
        if self._pending is not None and self._state == "open" and self._pending():
            self._loop.call_soon(self._read_pending)

    def _read_pending(self) -> None:
        if self._state == "open":
            self._read()

    def _must_wait(self, error: OSError) -> bool:
        """Return whether ``error`` only means: not now."""
        return isinstance(error, BlockingIOError) or (self._tls is not None and wants_more(error))

    def _ended_by_peer(self) -> SocketDisconnectedError:
        if self._heard_anything:
            return SocketDisconnectedError(f"{self.peer} closed the connection")
        return SocketDisconnectedError(
            f"{self.peer} closed the connection before answering anything; usual causes: a TLS or SASL listener"
            " spoken to in plaintext (give ssl_config), or not a Kafka broker"
        )

    # -- sending ------------------------------------------------------------------------------------------------------

    @property
    def backlog(self) -> int:
        """Return how many bytes wait for the socket to take them."""
        return self.given - self.written

    def send(self, chunks: list[Buffer]) -> None:
        """Send ``chunks`` in order, now as far as the socket takes them and the rest when it can."""
        for chunk in chunks:
            view = memoryview(chunk)
            self.given += view.nbytes
            self._out.append(view)
        if not self._watching & WRITE:
            self._flush()

    def _flush(self) -> None:
        try:
            while self._out:
                self._write_some()
        except OSError as error:
            if self._must_wait(error):
                self._watch(READ | WRITE)
            else:
                self.close(SocketDisconnectedError(f"connection to {self.peer} broke while writing: {error}"))
            return
        if self._watching & WRITE:
            self._watch(READ)

    def _write_some(self) -> None:
        sock = self._sock
        assert sock is not None
        if self._tls is not None or not hasattr(sock, "sendmsg"):
            sent = sock.send(self._out[0])  # TLS has no scatter-gather
        else:
            pieces = list(self._out) if len(self._out) <= MAX_PIECES else [self._out[i] for i in range(MAX_PIECES)]
            sent = sock.sendmsg(pieces)
        self.written += sent
        while sent:
            first = self._out[0]
            if sent < first.nbytes:
                self._out[0] = first[sent:]
                return
            sent -= first.nbytes
            self._out.popleft()

    # -- closing ------------------------------------------------------------------------------------------------------

    def close(self, error: Exception) -> None:
        """Close for good and tell the owner why; only the first call does anything."""
        if self._state == "closed":
            return
        self._state = "closed"
        if self._timer is not None:
            self._timer.cancel()
        self._drop_socket()
        self._out.clear()
        self._owner.on_closed(error)

    def _watch(self, events: int) -> None:
        assert self._sock is not None
        if not self._watching:
            self._loop.register(self._sock, events, self)
        elif events != self._watching:
            self._loop.modify(self._sock, events, self)
        self._watching = events

    def _unwatch(self) -> None:
        if self._watching and self._sock is not None:
            self._loop.unregister(self._sock)
        self._watching = 0

    def _drop_socket(self) -> None:
        self._unwatch()
        self._pending = None
        if self._wrapping is not None:
            self._wrapping.give_up()
            self._wrapping = None
        if self._sock is not None:
            self._sock.close()
            self._sock = None
