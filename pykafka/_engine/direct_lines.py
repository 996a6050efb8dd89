"""Connections that threads of the user's send by themselves, without the I/O thread: one request, one answer, and the next."""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Container
from typing import TYPE_CHECKING, Any, Callable, Optional, cast

from .._machines.backoff import throttled_s
from .._machines.handshake import BrokerAbilities, Handshake
from ..config import tls_context_maker
from ..exceptions import ProtocolError, SocketDisconnectedError
from ..protocol.wire import MAX_CORRELATION_ID, FrameReader, Wire
from . import forking
from .channel import prepare
from .clock import monotonic
from .resolver import spelled
from .roster import Roster
from .tls import close_quietly, wants_more
from .waiting import SLICE_S

if TYPE_CHECKING:
    from .._machines.metadata import BrokerInfo
    from ..protocol.lone_produce import LoneProduce
    from ..protocol.primitives import Buffer
    from .lane import ConnectionSettings, Lane

log = logging.getLogger(__name__)

#: A socket's family, and an address.
Reached = tuple[int, tuple[Any, ...]]
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

    def __init__(self, key: tuple[str, int], max_frame: int) -> None:
        self.key = key
        self.peer = spelled(*key)
        #: as this very connection was told
        self.abilities = BrokerAbilities({}, {})
        self.is_closed = False
        self._sock: Optional[socket.socket] = None
        self._next_id = 0
        self._timeout_s = -1.0
        self._reader = FrameReader(max_frame, peer=self.peer, read_size=READ_SIZE)
        self._used_at = monotonic()
        self._muted_until = 0.0
        forking.watch(self)

    def connect(
        self, reached: Reached, settings: ConnectionSettings, make_context: Optional[Callable[[], Any]], until: float
    ) -> None:
        """Connect, and ask the broker what it can do: one that takes no more connections lets us connect, and no more.

        :raises OSError: when it cannot be reached, or not by the monotonic second ``until``
        :raises KafkaException: when the answer is nonsense, or the connection ends instead
        """
        family, address = reached
        self._sock = socket.socket(family, socket.SOCK_STREAM)
        self._sock.settimeout(max(until - monotonic(), 0.001))
        prepare(self._sock, settings.source)
        self._sock.connect(address)
        if make_context is not None:
            self._sock = make_context().wrap_socket(self._sock, server_hostname=self.key[0].rstrip("."))
        wire, handshake = Wire(settings.client_id, peer=self.peer), Handshake(settings.software_version)
        while not self.abilities.versions:
            question = b"".join(wire.send(handshake.request(), handshake.version, None))
            frame = self._exchange(question, monotonic(), until)
            _tag, reply = wire.receive(frame)
            self.abilities = handshake.on_reply(reply, self.peer) or self.abilities

    def ask(self, requests: LoneProduce, records: Buffer, now: float, until: float) -> tuple[Optional[int], Any]:
        """Send a batch and return what :meth:`~pykafka.protocol.lone_produce.LoneProduce.read` makes of the answer.

        After any error, or when a signal handler raises in here, the connection is of no more use: close it.

        :param until: the monotonic second at which nobody waits any longer
        :raises OSError: when the connection breaks, or there is no answer in time
        :raises KafkaException: when the broker has closed it, or answers nonsense
        """
        number = self._next_id
        self._next_id = 0 if number == MAX_CORRELATION_ID else number + 1
        self._used_at = now
        frame = self._exchange(requests.frame(records, number), now, until)
        offset, reply = requests.read(frame, number, self.peer)
        if reply is not None and reply.throttle_time_ms > 0:
            self._muted_until = monotonic() + throttled_s(reply.throttle_time_ms)
        return offset, reply

    def _exchange(self, data: bytes, now: float, until: float) -> memoryview:
        """Send ``data`` and return the frame that is the answer."""
        sock, reader = self._sock, self._reader
        assert sock is not None
        self._limit(until - now)
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[sock.send(rest) :]
            except socket.timeout as error:
                self._go_on(error, until)
        frames: list[memoryview] = []
        while not frames:
            try:
                count = sock.recv_into(reader.get_buffer())
            except socket.timeout as error:
                self._go_on(error, until)
                continue
            if not count:
                raise SocketDisconnectedError(f"{self.peer} closed the connection")
            frames = reader.received(count)
        if len(frames) > 1:
            raise ProtocolError(f"{self.peer} sent {len(frames)} answers to one request")
        return frames[0]

    def _limit(self, left_s: float) -> None:
        """Have the socket wait for a slice at most: Ctrl-C does not wake it everywhere, nor what other threads raise here."""
        slice_s = SLICE_S if left_s > SLICE_S else max(left_s, 0.001)
        if self._timeout_s != slice_s:
            self._timeout_s = slice_s
            cast("socket.socket", self._sock).settimeout(slice_s)

    def _go_on(self, error: OSError, until: float) -> None:
        left_s = until - monotonic()
        if left_s <= 0.0:
            raise error
        self._limit(left_s)

    def is_muted(self, now: float) -> bool:
        """Return whether the broker has asked for a pause that is not over yet."""
        return now < self._muted_until

    def is_fit(self, now: float) -> bool:
        """Return whether the connection stands, as far as can be told without sending anything."""
        if now - self._used_at < LOOK_AFTER_S:
            return True
        try:
            self._timeout_s = 0.0
            sock = cast("socket.socket", self._sock)
            sock.settimeout(0.0)
            sock.recv(1)  # the end, or bytes that nobody asked for
        except OSError as error:
            return isinstance(error, BlockingIOError) or wants_more(error)
        return False

    def shut(self) -> None:
        """Have whoever waits for an answer get an error at once; from any thread. Who uses it closes it then."""
        with contextlib.suppress(OSError):
            # not shutdown() of TLS, which another thread may be in the middle of
            socket.socket.shutdown(cast("socket.socket", self._sock), socket.SHUT_RDWR)

    def close(self) -> None:
        """Close; only for who uses it, since the descriptor may be another connection's right after."""
        self.is_closed = True
        close_quietly(self._sock)

    def __del__(self) -> None:
        # who used it was interrupted before it could, maybe in the middle of making it
        close_quietly(getattr(self, "_sock", None))

    def abandon(self) -> None:
        """Let go of the parent's connection, in a forked child."""
        if self._sock is not None:
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
        #: where no connection could be made: when it is tried again
        self._not_before: dict[tuple[str, int], float] = {}
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
            self.tidy((), float("inf"))

    def close(self) -> None:
        """Close all connections, also those in use; there will be no others."""
        self._closed = True
        for line in self._all.present():
            if not line.is_closed:
                line.shut()
        self.tidy((), float("inf"))

    def tidy(self, known: Container[tuple[str, int]], now: float) -> None:
        """Close idle connections to where no broker is any more, and those that brokers have closed."""
        for key, idle in list(self._idle.items()):
            for _ in range(len(idle)):
                try:
                    line = idle.pop(0)  # one by one: what another thread has taken is not ours
                except IndexError:
                    break
                if key in known and line.is_fit(now):
                    idle.append(line)
                else:
                    line.close()

    def open(self, broker: BrokerInfo, lane: Optional[Lane], now: float, until: float) -> Optional[DirectLine]:
        """Return a new connection to ``broker``, as :meth:`take` does; None when there are enough, or none can be made now.

        :param lane: the I/O thread's connection to the same broker, which tells how it is reached
        :param until: the monotonic second at which nobody waits any longer
        """
        key = (broker.host, broker.port)
        reached = None if lane is None else lane.reached
        if self._closed or not self._allowed or reached is None or now < self._not_before.get(key, 0.0):
            return None
        line = DirectLine(key, self._settings.max_response_bytes)
        # before it is made: threads that begin at the same time are to see each other
        self._all.add(line)
        present = [each for each in self._all.present() if each.key == key and not each.is_closed]
        if len(present) > MAX_LINES or any(each.is_muted(now) for each in present):
            line.close()
            return None
        try:
            line.connect(reached, self._settings, self._make_context, min(until, now + CONNECT_S))
        except Exception as error:  # a context may be the user's own
            # whether the broker can be reached is the I/O thread's to find out, and to tell
            log.debug("no further connection to %s: %s", line.peer, error)
            line.close()
            self._not_before[key] = monotonic() + PAUSE_S
            return None
        if self._closed:
            line.close()
            return None
        return line
