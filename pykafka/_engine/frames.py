"""One connection that carries frames as they are, for threads that wait: what stands behind a BrokerConnection."""

from __future__ import annotations

import contextlib
import struct
from collections import deque
from typing import Any, Callable, Optional, Protocol

from ..exceptions import KafkaException, OperationTimedOut, ProtocolError, SocketDisconnectedError
from ..protocol.primitives import Buffer
from .channel import Channel
from .loop import Loop
from .resolver import spelled
from .waiting import SLICE_S, Deadline, News, refuse_on_io_thread

_NUMBER = struct.Struct(">i")
#: Seconds that closing waits for the I/O thread to end.
CLOSE_TIMEOUT_S = 5.0


class Closeable(Protocol):
    """What an engine closes together with its own connections."""

    def close_on_loop(self, error: Exception) -> None:
        """Close; called on the I/O thread."""


class Host(Protocol):
    """An engine, as far as a connection on its I/O thread needs one."""

    @property
    def loop(self) -> Loop:
        """Return the I/O thread."""

    def adopt(self, connection: Closeable) -> None:
        """Close ``connection`` when the engine is closed; called on the I/O thread."""

    def disown(self, connection: Closeable) -> None:
        """Forget ``connection``; called on the I/O thread."""


class FrameConnection:
    """A connection to ``host:port``, to open once; any thread may use it. Answers are matched to requests by number.

    :param engine: whose I/O thread it is to run on; None gives it one of its own, which ends with the connection
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        tls: Optional[Any],
        source: Optional[tuple[str, int]],
        max_frame: int,
        engine: Optional[Host] = None,
    ) -> None:
        refuse_on_io_thread("connecting to a broker")
        self.peer = spelled(host, port)
        self._address = host, port
        self._tls = tls
        self._source = source
        self._max_frame = max_frame
        self._engine = engine
        self._loop = Loop("pykafka-connection", on_death=self.close_on_loop) if engine is None else engine.loop
        self._channel: Optional[Channel] = None
        self._changed = News()
        self._opened = False
        self._closed_by: Optional[Exception] = None
        self._frames: deque[memoryview] = deque()
        #: (number, whether the answer is wanted) of requests that no answer has come for; those without one are among them
        self._unanswered: deque[tuple[int, bool]] = deque()

    # -- user threads -------------------------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Return whether the connection stands, as far as we know."""
        return self._opened and self._closed_by is None and not self._loop.forked

    @property
    def expects_frame(self) -> bool:
        """Return whether there is a frame, or a request that one may come for."""
        return bool(self._frames) or any(wanted for _number, wanted in list(self._unanswered))

    def open(self, timeout_s: float) -> None:
        """Return once the connection stands, TLS included.

        :raises SocketDisconnectedError: when it does not within ``timeout_s``, saying why
        """
        self._loop.start()
        self._loop.call_soon(self._open, timeout_s)
        # a second more than it has, so that its own reason is what the caller sees
        if not self._wait(lambda: self._opened, Deadline(timeout_s + 1.0)):
            self.close()
            raise SocketDisconnectedError(f"could not connect to {self.peer} within {timeout_s} s")

    def send(self, frame: Buffer, number: int, deadline: Deadline, wants_answer: bool = True) -> None:
        """Return when the operating system has taken all of ``frame``, whose answer begins with ``number``.

        :param wants_answer: False for a request without an answer; one that comes all the same is dropped
        :raises SocketDisconnectedError: when the connection breaks before that
        :raises OperationTimedOut: when ``deadline`` passes before that; the connection is closed, half a frame being of no use
        """
        ends_at: list[int] = []

        def write() -> None:
            if self._channel is not None and self._closed_by is None:
                self._unanswered.append((number, wants_answer))
                self._channel.send([frame])
                ends_at.append(self._channel.given)
                self._changed.tell()

        self._loop.call_soon(write)
        if not self._wait(lambda: bool(ends_at) and self._is_written(ends_at[0]), deadline):
            raise self._give_up(f"{self.peer} did not take a request of {len(frame)} bytes in time")

    def _is_written(self, ends_at: int) -> bool:
        return self._channel is not None and self._channel.written >= ends_at

    def receive(self, deadline: Deadline) -> memoryview:
        """Return the next answer, without its size and number.

        :raises SocketDisconnectedError: when the connection breaks before that
        :raises OperationTimedOut: when ``deadline`` passes before that; the connection is closed, since a late answer would be
            taken for the next one
        """
        if not self._wait(lambda: bool(self._frames), deadline):
            raise self._give_up(f"{self.peer} did not answer in time")
        try:
            return self._frames.popleft()
        except IndexError:  # another thread has taken it
            return self.receive(deadline)

    def close(self) -> None:
        """Close for good; twice is harmless."""
        error = SocketDisconnectedError(f"the connection to {self.peer} was closed by this client")
        if not self._loop.forked:
            with contextlib.suppress(KafkaException):  # the loop has ended already, and the connection with it
                self._loop.call_soon(self.close_on_loop, error)
        if self._engine is None:
            self._loop.stop(0.0 if self._loop.in_loop() else CLOSE_TIMEOUT_S)
        self._note_closed(error)

    def abandon(self) -> None:
        """Close without waiting: nobody is there to wait."""
        if not self._loop.forked:
            with contextlib.suppress(KafkaException):
                self._loop.call_soon(self.close_on_loop, SocketDisconnectedError(f"the connection to {self.peer} was dropped"))
        if self._engine is None:
            self._loop.stop(0.0)

    def _give_up(self, words: str) -> OperationTimedOut:
        self.close()
        return OperationTimedOut(f"{words}; the connection is closed")

    def _wait(self, ready: Callable[[], bool], deadline: Deadline) -> bool:
        """Return True once ``ready()``, False when ``deadline`` passed first; raise why the connection has ended."""
        refuse_on_io_thread("talking to a broker")
        while not ready():
            if self._closed_by is not None:
                # it may be raised again and again: its traceback would grow each time
                raise self._closed_by.with_traceback(None)
            if deadline.passed:
                return False
            self._changed.wait(lambda: ready() or self._closed_by is not None, min(deadline.left(), SLICE_S))
        return True

    # -- the I/O thread -----------------------------------------------------------------------------------------------

    def _open(self, timeout_s: float) -> None:
        if self._closed_by is not None:
            return
        host, port = self._address
        self._channel = Channel(
            self._loop,
            self,
            host,
            port,
            setup_timeout_s=timeout_s,
            tls=self._tls,
            source=self._source,
            max_frame=self._max_frame,
        )
        if self._engine is not None:
            self._engine.adopt(self)
        self._channel.open()

    def on_open(self) -> None:
        """Let the opener go on."""
        self._opened = True
        self._changed.tell()

    def on_frame(self, frame: memoryview) -> None:
        """Keep an answer for who waits for it; one to what nobody has asked ends the connection."""
        number = _NUMBER.unpack_from(frame)[0] if len(frame) >= _NUMBER.size else None
        if not any(number == asked for asked, _wanted in self._unanswered):
            assert self._channel is not None
            if number is None:
                words = f"{len(frame)} bytes, too few for an answer"
            else:
                words = f"an answer with correlation id {number} that nobody asked for"
            self._channel.close(ProtocolError(f"{self.peer} sent {words}; the connection is closed"))
            return
        # brokers answer in order: what was asked before has no answer
        while True:
            asked, wanted = self._unanswered.popleft()
            if asked == number:
                break
        if wanted:
            self._frames.append(frame[_NUMBER.size :])
        self._changed.tell()

    def on_written(self, waited: int) -> None:
        """Let the senders look whether their bytes are written."""
        self._changed.tell()

    def on_closed(self, error: Exception) -> None:
        """Tell everybody who waits."""
        if self._engine is not None:
            self._engine.disown(self)
        self._note_closed(error)

    def _note_closed(self, error: Exception) -> None:
        self._closed_by = self._closed_by or error
        self._changed.tell()

    def close_on_loop(self, error: Exception) -> None:
        """Close, with ``error`` for everybody who waits."""
        if self._channel is not None:
            self._channel.close(error)
        self._note_closed(error)
