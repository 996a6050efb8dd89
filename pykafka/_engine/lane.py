"""One ordered conversation with one broker: connects when needed, negotiates versions, matches answers to questions."""

from __future__ import annotations

import logging
from collections import deque
from typing import Any, Callable, NamedTuple, Optional

from .._machines.backoff import Backoff
from .._machines.handshake import BrokerAbilities, Handshake
from ..exceptions import KafkaException, OperationTimedOut, ProtocolError, SocketDisconnectedError
from ..protocol.api import choose_version
from ..protocol.schema import Request, Response
from ..protocol.wire import Wire
from .channel import Channel
from .clock import chance
from .loop import Loop, Timer

log = logging.getLogger(__name__)

#: Bytes waiting for one socket above which a lane says it has no room: about what one large request holds.
BACKLOG_LIMIT = 4 * 1024 * 1024


class ConnectionSettings(NamedTuple):
    """How this client connects; times in seconds."""

    client_id: str
    software_version: str
    request_timeout_s: float
    setup_timeout_s: float
    backoff_s: float
    backoff_max_s: float
    max_response_bytes: int
    source: Optional[tuple[str, int]]
    tls: Optional[Any]


class Call:
    """One request on its way. ``sent`` tells a failed call that may have reached the broker from one that cannot have.

    ``build`` makes the request once the broker's abilities are known: it returns the request and a version cap (or None).
    """

    __slots__ = ("build", "deadline", "expects_reply", "on_done", "sent", "version")

    def __init__(
        self,
        build: Callable[[BrokerAbilities], tuple[Request, Optional[int]]],
        on_done: Callable[[Optional[Response], Optional[Exception], Call], None],
        deadline: float,
        expects_reply: bool = True,
    ) -> None:
        self.build = build
        self.on_done = on_done
        self.deadline = deadline
        self.expects_reply = expects_reply
        self.sent = False
        self.version = -1


class Lane:
    """A connection to ``host:port`` that comes and goes as needed; used from the I/O thread only.

    States: idle (no connection; the next call opens one), opening, handshaking, ready, waiting (in backoff).
    A call made in any state is sent when the lane is ready, or fails with the attempt it waited for, or at its deadline.
    """

    def __init__(self, loop: Loop, host: str, port: int, name: str, settings: ConnectionSettings) -> None:
        self.host = host
        self.port = port
        self.name = name
        self.state = "idle"
        self.abilities: Optional[BrokerAbilities] = None
        self.last_failure_at = float("-inf")
        self._loop = loop
        self._settings = settings
        self._channel: Optional[Channel] = None
        self._wire: Optional[Wire] = None
        self._handshake: Optional[Handshake] = None
        self._pending: deque[Call] = deque()
        self._in_flight: deque[Call] = deque()
        self._backoff = Backoff(settings.backoff_s, settings.backoff_max_s, chance)
        self._muted_until = 0.0
        self._timer: Optional[Timer] = None
        self._handshake_timer: Optional[Timer] = None
        self._closed = False

    def __repr__(self) -> str:
        return f"<Lane {self.name} {self.host}:{self.port} {self.state} in_flight={self.outstanding}>"

    @property
    def peer(self) -> str:
        """Return ``host:port``."""
        return f"{self.host}:{self.port}"

    @property
    def outstanding(self) -> int:
        """Return how many calls have no outcome yet."""
        return len(self._pending) + len(self._in_flight)

    @property
    def congested(self) -> bool:
        """Return whether the socket takes bytes more slowly than they are given."""
        return self._channel is not None and self._channel.backlog > BACKLOG_LIMIT

    # -- calls --------------------------------------------------------------------------------------------------------

    def request(self, call: Call) -> None:
        """Send ``call`` as soon as possible; its ``on_done`` is called exactly once."""
        if self._closed:
            call.on_done(None, SocketDisconnectedError(f"the connection to {self.peer} was closed by this client"), call)
            return
        if self.state == "ready" and self._loop.now() >= self._muted_until and not self._pending:
            self._send(call)
        else:
            self._pending.append(call)
            if self.state == "idle":
                self._open()
        self._arm(call.deadline)

    def _send(self, call: Call) -> None:
        assert self._wire is not None and self._channel is not None and self.abilities is not None
        try:
            request, cap = call.build(self.abilities)
            call.version = choose_version(type(request), self.abilities.versions, cap)
            chunks = self._wire.send(request, call.version, call)
        except Exception as error:  # whatever went wrong belongs to this call and to no other
            call.on_done(None, error, call)
            return
        call.sent = True
        if call.expects_reply:
            self._in_flight.append(call)
            self._channel.send(chunks)
        else:
            self._channel.send(chunks)
            call.on_done(None, None, call)

    def _send_pending(self) -> None:
        while self._pending and self.state == "ready":
            if self._loop.now() < self._muted_until:
                self._loop.call_at(self._muted_until, self._send_pending)
                return
            self._send(self._pending.popleft())

    # -- the connection -----------------------------------------------------------------------------------------------

    def _open(self) -> None:
        settings = self._settings
        self.state = "opening"
        self._wire = Wire(settings.client_id, peer=self.peer)
        self._handshake = Handshake(settings.software_version)
        self._channel = Channel(
            self._loop,
            self,
            self.host,
            self.port,
            setup_timeout_s=settings.setup_timeout_s,
            tls=settings.tls,
            source=settings.source,
            max_frame=settings.max_response_bytes,
        )
        self._channel.open()

    def on_open(self) -> None:
        """Ask for the broker's versions: the connection stands."""
        self.state = "handshaking"
        self._handshake_timer = self._loop.call_at(
            self._loop.now() + self._settings.setup_timeout_s, self._handshake_expired
        )
        self._ask_versions()

    def _handshake_expired(self) -> None:
        if self._channel is not None and self.state == "handshaking":
            silence = f"{self.peer} accepted the connection but did not answer ApiVersions in time; is it a Kafka broker?"
            self._channel.close(OperationTimedOut(silence))

    def _ask_versions(self) -> None:
        assert self._wire is not None and self._channel is not None and self._handshake is not None
        self._channel.send(self._wire.send(self._handshake.request(), self._handshake.version, None))

    def on_frame(self, frame: memoryview) -> None:
        """Give an answer to the call it belongs to."""
        assert self._wire is not None and self._channel is not None
        try:
            call, reply = self._wire.receive(frame)
            if call is None:
                self._on_versions(reply)
                return
        except KafkaException as error:
            self._channel.close(error)
            return
        self._in_flight.popleft()
        throttle_ms = getattr(reply, "throttle_time_ms", 0)
        if throttle_ms > 0:
            # KIP-219: the broker has answered already and reads nothing from us for that long
            self._muted_until = self._loop.now() + throttle_ms / 1000.0
        call.on_done(reply, None, call)

    def _on_versions(self, reply: Any) -> None:
        assert self._handshake is not None
        abilities = self._handshake.on_reply(reply, self.peer)
        if abilities is None:
            self._ask_versions()
            return
        self.abilities = abilities
        self.state = "ready"
        if self._handshake_timer is not None:
            self._handshake_timer.cancel()
        self._backoff.reset()
        log.debug("%s: connected (%s)", self.peer, self.name)
        self._send_pending()

    def on_closed(self, error: Exception) -> None:
        """Fail what was under way; the next call opens a new connection, after a delay if this one never worked."""
        was_ready = self.state == "ready"
        self._channel = self._wire = self._handshake = None
        if self._handshake_timer is not None:
            self._handshake_timer.cancel()
        self.state = "idle"
        if not was_ready or self.outstanding or isinstance(error, ProtocolError):
            self.last_failure_at = self._loop.now()
        calls = [*self._in_flight, *self._pending]
        self._in_flight.clear()
        self._pending.clear()
        if not self._closed:
            log.debug("%s: connection (%s) ended: %s", self.peer, self.name, error)
            if not was_ready:
                self.state = "waiting"
                self._loop.call_at(self._loop.now() + self._backoff.next_delay(), self._backoff_over)
        for call in calls:
            call.on_done(None, error, call)

    def _backoff_over(self) -> None:
        if self.state == "waiting":
            self.state = "idle"
            if self._pending:
                self._open()

    def close(self) -> None:
        """Close for good; outstanding calls fail."""
        self._closed = True
        error = SocketDisconnectedError(f"the connection to {self.peer} was closed by this client")
        if self._timer is not None:
            self._timer.cancel()
        if self._channel is not None:
            self._channel.close(error)
        elif self._pending:
            self.on_closed(error)

    # -- deadlines ----------------------------------------------------------------------------------------------------

    def _arm(self, when: float) -> None:
        if self._timer is not None and self._timer.fn is not None:
            if self._timer.when <= when:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._expire)

    def _expire(self) -> None:
        now = self._loop.now()
        late = [call for call in self._in_flight if call.deadline <= now]
        if late and self._channel is not None:
            # answers come in order: with this one missing the connection is of no more use
            self._channel.close(OperationTimedOut(f"{self.peer} did not answer within the request timeout; connection closed"))
        overdue = [call for call in self._pending if call.deadline <= now]
        for call in overdue:
            self._pending.remove(call)
        deadlines = [call.deadline for call in (*self._in_flight, *self._pending)]
        if deadlines:
            self._arm(max(min(deadlines), now + 0.001))
        for call in overdue:
            call.on_done(None, OperationTimedOut(f"{self.peer}: could not be asked in time (connection {self.state})"), call)
