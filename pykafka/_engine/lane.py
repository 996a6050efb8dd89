"""One ordered conversation with one broker: connects when needed, negotiates versions, matches answers to questions."""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from typing import Any, Callable, NamedTuple, Optional

from .._machines.backoff import Backoff, throttled_s
from .._machines.handshake import BrokerAbilities, Handshake
from ..exceptions import KafkaException, OperationTimedOut, ProtocolError, SocketDisconnectedError, UnsupportedVersion
from ..protocol.api import Condense, choose_version
from ..protocol.messages import FetchResponse
from ..protocol.schema import Request, Response
from ..protocol.wire import Wire
from .channel import Channel
from .clock import chance
from .crashes import log_crash
from .loop import Loop, Timer
from .resolver import spelled
from .worker import Worker

log = logging.getLogger(__name__)

#: Bytes waiting for one socket above which a lane says it has no room: about what one large request holds.
BACKLOG_LIMIT = 4 * 1024 * 1024

#: Answers of more bytes are decoded on another thread, which takes 20 ms and more; but not records, which stay as they came.
LARGE_ANSWER = 256 * 1024


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

    :param condense: what becomes of each row of the answer as soon as it is decoded; see :func:`~pykafka.protocol.schema.rows`
    """

    __slots__ = ("build", "condense", "deadline", "ends_at", "expects_reply", "on_done", "sent", "version")

    def __init__(
        self,
        build: Callable[[BrokerAbilities], tuple[Request, Optional[int]]],
        on_done: Callable[[Optional[Response], Optional[Exception], Call], None],
        deadline: float,
        expects_reply: bool = True,
        condense: Optional[Condense] = None,
    ) -> None:
        self.build = build
        self.condense = condense
        self.on_done = on_done
        self.deadline = deadline
        self.expects_reply = expects_reply
        self.sent = False
        self.version = -1
        #: where its last byte is in all that its connection was given to send; kept for calls without a reply
        self.ends_at = 0


class Lane:
    """A connection to ``host:port`` that comes and goes as needed; used from the I/O thread only.

    States: idle (no connection; the next call opens one), opening, handshaking, ready, waiting (in backoff).
    A call made in any state is sent when the lane is ready, or fails with the attempt it waited for, or at its deadline.

    :param decoder: decodes what is too large to hold up the I/O thread for
    :param on_room: called when the socket, after having been :attr:`congested`, takes bytes again
    """

    def __init__(
        self,
        loop: Loop,
        host: str,
        port: int,
        name: str,
        settings: ConnectionSettings,
        decoder: Worker,
        on_room: Optional[Callable[[], None]] = None,
    ) -> None:
        self.host = host
        self.port = port
        self.name = name
        self.state = "idle"
        self.abilities: Optional[BrokerAbilities] = None
        #: whether the broker has been asked a second time on this connection what it can do
        self._abilities_are_sure = False
        self.last_failure_at = float("-inf")
        #: when it was last chosen from among all brokers, to be asked what any of them knows
        self.asked_at = float("-inf")
        self._loop = loop
        self._settings = settings
        self._decoder = decoder
        self._on_room = on_room
        self._channel: Optional[Channel] = None
        self._wire: Optional[Wire] = None
        self._handshake: Optional[Handshake] = None
        self._pending: deque[Call] = deque()
        self._in_flight: deque[Call] = deque()
        #: calls without a reply, until the socket has taken their last byte
        self._writing: deque[Call] = deque()
        #: answers that came after one that is being decoded elsewhere; None while there is no such one
        self._behind: Optional[deque[memoryview]] = None
        self._backoff = Backoff(settings.backoff_s, settings.backoff_max_s, chance)
        self._muted_until = 0.0
        self._unmute_timer: Optional[Timer] = None
        self._timer: Optional[Timer] = None
        self._handshake_timer: Optional[Timer] = None
        self._closed_by: Optional[Exception] = None
        #: why there is no connection, while there is none
        self._trouble: Optional[Exception] = None

    def __repr__(self) -> str:
        return f"<Lane {self.name} {self.peer} {self.state} in_flight={self.outstanding}>"

    @property
    def silence(self) -> str:
        """Return what has been waited for in vain so far, for people."""
        if self._channel is not None and self.state == "opening":
            return self._channel.silence
        if self.state == "handshaking":
            return "it accepted the connection but did not answer ApiVersions in time; is it a Kafka broker?"
        if self.state == "ready" and self._loop.now() < self._muted_until:
            return "it has asked for a pause that is not over yet (throttle_time_ms: a quota is exceeded)"
        return "it did not answer in time"

    @property
    def peer(self) -> str:
        """Return ``host:port``, as people write it."""
        return spelled(self.host, self.port)

    @property
    def reached(self) -> Optional[tuple[int, tuple[Any, ...]]]:
        """Return the family and address by which the broker is reached, None while there is no connection; from any thread."""
        channel = self._channel
        return None if channel is None or self.state != "ready" else channel.reached

    @property
    def outstanding(self) -> int:
        """Return how many calls have no outcome yet."""
        return len(self._pending) + len(self._in_flight) + len(self._writing)

    @property
    def congested(self) -> bool:
        """Return whether the socket takes bytes more slowly than they are given."""
        return self._channel is not None and self._channel.backlog > BACKLOG_LIMIT

    # -- calls --------------------------------------------------------------------------------------------------------

    def request(self, call: Call) -> None:
        """Send ``call`` as soon as possible; its ``on_done`` is called exactly once."""
        if self._closed_by is not None:
            self._finish(call, None, self._closed_by)
            return
        if self.state == "ready" and self._loop.now() >= self._muted_until and not self._pending:
            self._send(call)
        else:
            self._pending.append(call)
            if self.state == "idle":
                self._open()
            elif self.state == "ready":
                self._wait_until_unmuted()
        self._arm(call.deadline)

    def _send(self, call: Call) -> None:
        assert self._wire is not None and self._channel is not None and self.abilities is not None
        try:
            request, cap = call.build(self.abilities)
            call.version = choose_version(type(request), self.abilities.versions, cap)
            chunks = self._wire.send(request, call.version, call, call.condense)
        except UnsupportedVersion as error:
            if self._abilities_are_sure:
                self._finish(call, None, error)
            else:
                self._doubt_abilities(call)
            return
        except Exception as error:  # whatever went wrong belongs to this call and to no other
            self._finish(call, None, error)
            return
        call.sent = True
        if call.expects_reply:
            self._in_flight.append(call)
            self._channel.send(chunks)
        else:
            call.ends_at = self._channel.given + sum(memoryview(chunk).nbytes for chunk in chunks)
            self._writing.append(call)
            self._channel.send(chunks)
            self._finish_written()

    def _doubt_abilities(self, call: Call) -> None:
        """Ask the broker once more what it can do, and send ``call`` after that: one wrong answer is to fail nothing."""
        self._abilities_are_sure = True
        self._pending.appendleft(call)
        self.on_open()

    def on_written(self, waited: int) -> None:
        """Finish what the socket has taken meanwhile, and say so when there is room again; ``waited`` bytes waited before."""
        self._finish_written()
        if waited > BACKLOG_LIMIT and not self.congested and self._on_room is not None:
            self._on_room()

    def _finish_written(self) -> None:
        """Give calls without a reply their outcome once the socket has their last byte: more will never be known of them."""
        while self._channel is not None and self._writing and self._writing[0].ends_at <= self._channel.written:
            self._finish(self._writing.popleft(), None, None)

    def _finish(self, call: Call, reply: Optional[Response], error: Optional[Exception]) -> None:
        try:
            call.on_done(reply, error, call)
        except Exception:  # the outcomes of the other calls must not be lost with it
            log_crash(log, "%s: the outcome of a request could not be handled", self.peer)

    def _send_pending(self) -> None:
        while self._pending and self.state == "ready":
            if self._loop.now() < self._muted_until:
                self._wait_until_unmuted()
                return
            self._send(self._pending.popleft())

    def _wait_until_unmuted(self) -> None:
        if self._unmute_timer is None or self._unmute_timer.fn is None:
            self._unmute_timer = self._loop.call_at(self._muted_until, self._send_pending)

    # -- the connection -----------------------------------------------------------------------------------------------

    def _open(self) -> None:
        settings = self._settings
        self.state = "opening"
        self._abilities_are_sure = False
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
        """Ask for the broker's versions: the connection stands. Calls wait for the answer."""
        self.state = "handshaking"
        self._handshake_timer = self._loop.call_at(
            self._loop.now() + self._settings.setup_timeout_s, self._handshake_expired
        )
        self._ask_versions()

    def _handshake_expired(self) -> None:
        if self._channel is not None and self.state == "handshaking":
            self._channel.close(OperationTimedOut(f"{self.peer}: {self.silence}"))

    def _ask_versions(self) -> None:
        assert self._wire is not None and self._channel is not None and self._handshake is not None
        self._channel.send(self._wire.send(self._handshake.request(), self._handshake.version, None))

    def on_frame(self, frame: memoryview) -> None:
        """Give an answer to the call it belongs to, at once or, one that takes long to decode, when that is done."""
        wire = self._wire
        assert wire is not None and self._channel is not None
        if self._behind is not None:
            self._behind.append(frame)
        elif len(frame) > LARGE_ANSWER and wire.next_answer is not FetchResponse and self._decoder.ensure_started():
            self._behind = deque()
            self._decoder.submit(self._decode_elsewhere, wire, frame)
        else:
            try:
                self._on_answer(*wire.receive(frame))
            except KafkaException as error:
                self._channel.close(error)

    def _decode_elsewhere(self, wire: Wire, frame: memoryview) -> None:
        """Decode an answer on the decoder's thread; the I/O thread only sends by this wire meanwhile."""
        answer: Optional[tuple[Any, Any]] = None
        failure: Optional[Exception] = None
        try:
            answer = wire.receive(frame)
        except Exception as error:  # a bug of ours, too, must end the connection: whoever waits has to hear of it
            failure = error
        with contextlib.suppress(KafkaException):  # the client was closed meanwhile
            self._loop.call_soon(self._on_decoded, wire, answer, failure)

    def _on_decoded(self, wire: Wire, answer: Optional[tuple[Any, Any]], failure: Optional[Exception]) -> None:
        if self._wire is not wire:
            return  # that connection is closed, and what it was to bring has failed
        assert self._channel is not None and self._behind is not None
        behind, self._behind = self._behind, None
        try:
            if answer is None:
                raise failure or ProtocolError("an answer was lost")
            self._on_answer(*answer)
        except Exception as error:
            self._channel.close(error)
        for frame in behind:
            if self._wire is wire:
                self.on_frame(frame)

    def _on_answer(self, call: Optional[Call], reply: Any) -> None:
        if call is None:
            self._on_versions(reply)
            return
        self._in_flight.popleft()
        throttle_ms = getattr(reply, "throttle_time_ms", 0)
        if throttle_ms > 0:
            # KIP-219: the broker has answered already and reads nothing from us for that long
            self._muted_until = max(self._muted_until, self._loop.now() + throttled_s(throttle_ms))
        self._finish(call, reply, None)

    def _on_versions(self, reply: Any) -> None:
        assert self._handshake is not None
        abilities = self._handshake.on_reply(reply, self.peer)
        if abilities is None:
            self._ask_versions()
            return
        self.abilities = abilities
        self.state = "ready"
        self._trouble = None
        if self._handshake_timer is not None:
            self._handshake_timer.cancel()
        self._backoff.reset()
        self._send_pending()
        log.debug("%s: connected (%s)", self.peer, self.name)

    def on_closed(self, error: Exception) -> None:
        """Fail what was under way; the next call opens a new connection, after a delay if this one never worked."""
        was_ready = self.state == "ready"
        self._channel = self._wire = self._handshake = self._behind = None
        for timer in (self._handshake_timer, self._unmute_timer):
            if timer is not None:
                timer.cancel()
        # the broker's quota mutes a connection, not its successor
        self._muted_until = 0.0
        self.state = "idle"
        self._trouble = error
        if not was_ready or self.outstanding or isinstance(error, ProtocolError):
            self.last_failure_at = self._loop.now()
        calls = [*self._in_flight, *self._writing, *self._pending]
        for waiting in (self._in_flight, self._writing, self._pending):
            waiting.clear()
        if self._closed_by is None and not was_ready:
            self.state = "waiting"
            self._loop.call_at(self._loop.now() + self._backoff.next_delay(), self._backoff_over)
        for call in calls:
            self._finish(call, None, error)
        log.debug("%s: connection (%s) ended: %s", self.peer, self.name, error)

    def _backoff_over(self) -> None:
        if self.state == "waiting":
            self.state = "idle"
            if self._pending:
                self._open()

    def close(self, error: Optional[Exception] = None) -> None:
        """Close for good; outstanding and later calls fail with ``error``."""
        error = error or SocketDisconnectedError(f"the connection to {self.peer} was closed by this client")
        self._closed_by = error
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
        late = [call for call in (*self._in_flight, *self._writing) if call.deadline <= now]
        if late and self._channel is not None:
            # answers come in order: with this one missing the connection is of no more use
            self._channel.close(OperationTimedOut(f"{self.peer} did not answer within the request timeout; connection closed"))
        overdue = [call for call in self._pending if call.deadline <= now]
        for call in overdue:
            self._pending.remove(call)
        deadlines = [call.deadline for call in (*self._in_flight, *self._writing, *self._pending)]
        if deadlines:
            self._arm(max(min(deadlines), now + 0.001))
        for call in overdue:
            missing = "nothing could be sent" if self.state == "ready" else "no connection"
            self._finish(call, None, OperationTimedOut(f"{missing} to {self.peer} in time: {self._trouble or self.silence}"))
