"""A loop without a selector and channels without sockets: what runs on the I/O thread, driven by hand on a clock of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Callable, Optional

from pykafka._engine.lane import ConnectionSettings
from pykafka._engine.loop import Timer
from pykafka.protocol.wire import FrameReader

SETTINGS = ConnectionSettings(
    client_id="driven",
    software_version="3",
    request_timeout_s=30.0,
    setup_timeout_s=10.0,
    backoff_s=0.05,
    backoff_max_s=1.0,
    max_response_bytes=1 << 20,
    source=None,
    tls=None,
)


class DrivenLoop:
    """Timers and posted calls, run by :meth:`run` at the time that :attr:`time` says."""

    stopped = forked = False

    def __init__(self) -> None:
        self.time = 1000.0
        self._timers: list[Timer] = []
        self._posted: list[tuple[Callable[..., object], tuple[Any, ...]]] = []

    def now(self) -> float:
        """Return the time."""
        return self.time

    def call_at(self, when: float, fn: Callable[..., object], *args: Any) -> Timer:
        """Have ``fn(*args)`` run at ``when``."""
        timer = Timer(self, when, fn, args)  # type: ignore[arg-type]  # all that a timer does is to note that it was cancelled
        self._timers.append(timer)
        return timer

    def call_soon(self, fn: Callable[..., object], *args: Any) -> None:
        """Have ``fn(*args)`` run in the next turn."""
        self._posted.append((fn, args))

    def _note_cancelled(self) -> None:
        self._timers = [timer for timer in self._timers if timer.fn is not None]

    @property
    def next_timer(self) -> float:
        """Return when a timer is due, infinity when there is none."""
        return min((timer.when for timer in self._timers if timer.fn is not None), default=float("inf"))

    def run(self, seconds: float = 0.0) -> None:
        """Let time pass: everything that is due runs at its time, and what follows from it."""
        until = self.time + seconds
        turns = 0
        while True:
            turns += 1
            assert turns < 5000, "it would never come to rest"
            if self._posted:
                posted, self._posted = self._posted, []
                for fn, args in posted:
                    fn(*args)
                continue
            due = [timer for timer in self._timers if timer.fn is not None and timer.when <= until]
            if not due:
                break
            first = min(due, key=lambda timer: timer.when)
            self._timers.remove(first)
            self.time = max(self.time, first.when)
            fn, first.fn = first.fn, None
            assert fn is not None
            fn(*first.args)
        self.time = until


class DrivenChannel:
    """A connection that stands when :meth:`stand` is called, and takes and brings bytes as the test says."""

    silence = "nobody has answered"

    def __init__(self, loop: DrivenLoop, owner: Any, host: str, port: int, **_settings: Any) -> None:
        self._owner = owner
        self._reader = FrameReader(1 << 20, "the client")
        self._incoming = FrameReader(1 << 20, f"{host}:{port}")
        self.state = "new"
        self.given = self.written = 0
        self._out = bytearray()

    @property
    def backlog(self) -> int:
        """Return how many bytes wait for the socket to take them."""
        return self.given - self.written

    def open(self) -> None:
        """Begin to connect."""
        self.state = "opening"

    def send(self, chunks: list[Any]) -> None:
        """Take what is to be sent; the socket has it only once :meth:`take` says so."""
        assert self.state == "open", "sent before the connection stands, or after it has ended"
        for chunk in chunks:
            self._out += chunk
            self.given += len(chunk)

    def close(self, error: Exception) -> None:
        """End, and tell the owner once."""
        if self.state != "closed":
            self.state = "closed"
            self._owner.on_closed(error)

    # -- the other side -----------------------------------------------------------------------------------------------

    def stand(self) -> None:
        """Have the connection stand."""
        self.state = "open"
        self._owner.on_open()

    def take(self, count: int) -> Iterator[bytes]:
        """Have the socket take so many bytes; yield the requests that are complete with them."""
        waited = self.backlog
        data = bytes(self._out[:count])
        del self._out[:count]
        self.written += len(data)
        frames = list(fed(self._reader, data))
        if data:
            self._owner.on_written(waited)
        yield from frames

    def bring(self, data: bytes) -> None:
        """Have bytes arrive, as the real channel hands them on."""
        for frame in fed(self._incoming, data):
            if self.state == "open":
                self._owner.on_frame(memoryview(frame))


def fed(reader: FrameReader, data: bytes) -> Iterator[bytes]:
    """Yield the frames that ``data`` completes."""
    at = 0
    while at < len(data):
        room = reader.get_buffer()
        count = min(len(room), len(data) - at)
        room[:count] = data[at : at + count]
        at += count
        yield from map(bytes, reader.received(count))


class Decoder:
    """The thread for large answers, which does its work when the test says: see :meth:`work`."""

    def __init__(self) -> None:
        self._jobs: list[tuple[Callable[..., object], tuple[Any, ...]]] = []

    def ensure_started(self) -> bool:
        """Return that it is there."""
        return True

    def submit(self, fn: Callable[..., object], *args: Any) -> None:
        """Note a job."""
        self._jobs.append((fn, args))

    def work(self) -> Optional[bool]:
        """Do the next job."""
        if not self._jobs:
            return None
        fn, args = self._jobs.pop(0)
        fn(*args)
        return True
