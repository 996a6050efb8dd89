"""One request on its way through a broker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Callable, Optional

from ..protocol.schema import Request, Response

if TYPE_CHECKING:
    from .state import Broker, ClusterState
    from .timers import Timers

#: Topic (None for the whole request) and partition (None for all) -> the error that a test wants there.
Failures = Mapping[tuple[Optional[str], Optional[int]], int]


class Call:
    """A request, who sent it, what a handler works with, and where the answer goes: :meth:`answer`, now or later, once."""

    def __init__(
        self,
        request: Any,
        version: int,
        *,
        broker: Broker,
        state: ClusterState,
        timers: Timers,
        now: float,
        time_ms: int,
        send: Callable[[Optional[Response]], None],
        client_id: str = "",
        client_host: str = "",
    ) -> None:
        self.request = request
        self.version = version
        self.broker = broker
        self.state = state
        self.timers = timers
        self.now = now
        self.time_ms = time_ms
        self.client_id = client_id
        self.client_host = client_host
        self.failures: Failures = {}
        #: whether the connection it came by is gone
        self.is_abandoned = False
        self._send: Optional[Callable[[Optional[Response]], None]] = send
        self._on_abandoned: Optional[Callable[[], None]] = None

    @property
    def name(self) -> str:
        """Return the name of the API, ``Produce`` for one."""
        request: Request = self.request
        return request.NAME

    @property
    def is_answered(self) -> bool:
        """Return whether it has its answer."""
        return self._send is None

    def answer(self, response: Optional[Response]) -> None:
        """Send the answer; ``None`` for a request that has none."""
        send, self._send = self._send, None
        if send is None:
            raise RuntimeError(f"{self.name} was answered twice")
        send(response)

    def failure(self, topic: Optional[str] = None, partition: Optional[int] = None) -> int:
        """Return the error that a test wants for a partition, a topic or (with neither) the whole request; 0 for none."""
        for place in ((topic, partition), (topic, None), (None, partition), (None, None)):
            if place in self.failures:
                return self.failures[place]
        return 0

    def on_abandoned(self, act: Callable[[], None]) -> None:
        """Have ``act`` called when the connection goes before the answer."""
        self._on_abandoned = act

    def abandon(self) -> None:
        """Note that nobody waits for the answer any more."""
        self.is_abandoned = True
        act, self._on_abandoned = self._on_abandoned, None
        if act is not None and not self.is_answered:
            act()
