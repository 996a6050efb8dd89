"""Connections that threads of the user's send by themselves, without the I/O thread: one request, one answer, and the next."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Container
from typing import TYPE_CHECKING, Any, Optional

from .._machines.backoff import throttled_s
from ..config import tls_context_maker
from ..exceptions import ProtocolError, SocketDisconnectedError
from ..protocol.wire import MAX_CORRELATION_ID, FrameReader
from . import forking
from .channel import prepare
from .clock import monotonic
from .resolver import spelled
from .roster import Roster
from .tls import close_quietly, wants_more

if TYPE_CHECKING:
    from .._machines.handshake import BrokerAbilities
    from .._machines.metadata import BrokerInfo
    from ..protocol.lone_produce import LoneProduce
    from ..protocol.primitives import Buffer
    from .lane import ConnectionSettings, Lane

#: So many threads can use a broker at once by a connection of their own; the others go by the I/O thread, in batches.
MAX_LINES = 4
#: Connecting may take so long: the caller has the way by the I/O thread as well, which stands.
CONNECT_S = 1.0
#: After a connection could not be made none is tried for so long.
PAUSE_S = 30.0
#: A connection that was idle for so long is looked at before it is used: brokers close those that are idle.
LOOK_AFTER_S = 1.0
#: An answer to Produce is small; a larger one gets a buffer of its own.
READ_SIZE = 4096


class DirectLine:
    """A connection to one broker, used by one thread at a time, which waits for its answer."""

    def __init__(self, sock: socket.socket, key: tuple[str, int], abilities: BrokerAbilities, max_frame: int) -> None:
        self.key = key
        self.abilities = abilities
        self.peer = spelled(*key)
        self._sock = sock
        self._next_id = 0
        self._timeout_s = -1.0
        self._reader = FrameReader(max_frame, peer=self.peer, read_size=READ_SIZE)
        self._used_at = monotonic()
        self._muted_until = 0.0
        forking.watch(self)

    def ask(self, requests: LoneProduce, records: Buffer, now: float, until: float) -> tuple[Optional[int], Any]:
        """Send a batch and return what :meth:`~pykafka.protocol.lone_produce.LoneProduce.read` makes of the answer.

        After any error, or when a signal handler raises in here, the connection is of no more use: close it.

        :param until: the monotonic second at which nobody waits any longer
        :raises OSError: when the connection breaks, or there is no answer in time
        :raises KafkaException: when the broker has closed it, or answers nonsense
        """
        sock, reader = self._sock, self._reader
        number = self._next_id
        self._next_id = 0 if number == MAX_CORRELATION_ID else number + 1
        self._used_at = now
        self._limit(until - now)
        sock.sendall(requests.frame(records, number))
        frames: list[memoryview] = []
        while not frames:
            count = sock.recv_into(reader.get_buffer())
            if not count:
                raise SocketDisconnectedError(f"{self.peer} closed the connection")
            frames = reader.received(count)
            if not frames:
                self._limit(until - monotonic())
        if len(frames) > 1:
            raise ProtocolError(f"{self.peer} sent {len(frames)} answers to one request")
        offset, reply = requests.read(frames[0], number, self.peer)
        if reply is not None and reply.throttle_time_ms > 0:
            self._muted_until = monotonic() + throttled_s(reply.throttle_time_ms)
        return offset, reply

    def _limit(self, left_s: float) -> None:
        """Have the socket wait so long at most, or nearly so: a twentieth of a second is not worth a system call."""
        if abs(self._timeout_s - left_s) > 0.05 or left_s < 0.1:
            self._timeout_s = max(left_s, 0.001)
            self._sock.settimeout(self._timeout_s)

    def is_muted(self, now: float) -> bool:
        """Return whether the broker has asked for a pause that is not over yet."""
        return now < self._muted_until

    def is_fit(self, now: float) -> bool:
        """Return whether the connection stands, as far as can be told without sending anything."""
        if now - self._used_at < LOOK_AFTER_S:
            return True
        try:
            self._timeout_s = 0.0
            self._sock.settimeout(0.0)
            self._sock.recv(1)  # the end, or bytes that nobody asked for
        except OSError as error:
            return isinstance(error, BlockingIOError) or wants_more(error)
        return False

    def shut(self) -> None:
        """Have whoever waits for an answer get an error at once; from any thread. Who uses it closes it then."""
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)  # not TLS's, which another thread may be in the middle of

    def close(self) -> None:
        """Close; only for who uses it, since the descriptor may be another connection's right after."""
        close_quietly(self._sock)

    def __del__(self) -> None:
        # who used it was interrupted before it could, maybe in the middle of making it
        close_quietly(getattr(self, "_sock", None))

    def abandon(self) -> None:
        """Let go of the parent's connection, in a forked child."""
        forking.close_descriptor(self._sock)


class DirectLines:
    """All such connections of one client. Threads take them and give them back; whatever goes wrong, they are closed."""

    def __init__(self, settings: ConnectionSettings) -> None:
        self._settings = settings
        self._make_context = None if settings.tls is None else tls_context_maker(settings.tls)
        #: an object that only has wrap_socket(sock) may take its time, and return anything
        self._allowed = settings.tls is None or self._make_context is not None
        self._idle: dict[tuple[str, int], list[DirectLine]] = {}
        self._all: Roster[DirectLine] = Roster()
        self._not_before = 0.0
        self._closed = False

    def take(self, broker: BrokerInfo, now: float) -> Optional[DirectLine]:
        """Return an idle connection to ``broker``, the caller's until :meth:`give_back`; None when there is none to be used."""
        idle = self._idle.get((broker.host, broker.port))
        while idle:
            try:
                line = idle.pop()
            except IndexError:  # another thread was faster
                return None
            if line.is_muted(now):
                idle.append(line)
                return None
            if line.is_fit(now):
                return line
            line.close()
        return None

    def give_back(self, line: DirectLine) -> None:
        """Have ``line`` used again."""
        self._idle.setdefault(line.key, []).append(line)
        if self._closed:
            self.close_strays(())

    def close(self) -> None:
        """Close all connections, also those in use; there will be no others."""
        self._closed = True
        for line in self._all.present():
            line.shut()
        self.close_strays(())

    def close_strays(self, known: Container[tuple[str, int]]) -> None:
        """Close idle connections to where no broker is any more."""
        for key in [key for key in list(self._idle) if key not in known]:
            idle = self._idle.pop(key, [])
            with contextlib.suppress(IndexError):
                while True:
                    idle.pop().close()  # one by one: what another thread has taken is not ours to close

    def open(self, broker: BrokerInfo, lane: Optional[Lane], now: float) -> Optional[DirectLine]:
        """Return a new connection to ``broker``, as :meth:`take` does; None when there are enough, or none can be made now.

        :param lane: the I/O thread's connection to the same broker, which tells how it is reached and what it can do
        """
        key = (broker.host, broker.port)
        if self._closed or not self._allowed or lane is None or now < self._not_before:
            return None
        reached = lane.reached
        present = [line for line in self._all.present() if line.key == key]
        if reached is None or len(present) >= MAX_LINES or any(line.is_muted(now) for line in present):
            return None
        address, abilities = reached
        try:
            sock = self._connect(key[0], *address)
        except OSError:
            # whether the broker can be reached is the I/O thread's to find out, and to tell
            self._not_before = monotonic() + PAUSE_S
            return None
        line = DirectLine(sock, key, abilities, self._settings.max_response_bytes)
        self._all.add(line)
        return line

    def _connect(self, host: str, family: int, address: tuple[Any, ...]) -> socket.socket:
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(min(CONNECT_S, self._settings.setup_timeout_s))
            prepare(sock, self._settings.source)
            sock.connect(address)
            if self._make_context is not None:
                sock = self._make_context().wrap_socket(sock, server_hostname=host.rstrip("."))
        except BaseException:
            close_quietly(sock)
            raise
        return sock
