"""The first contact: asks the seeds one after the other, overlapping, until one answers or all have said why not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Optional

from .._machines.metadata import condenser
from ..exceptions import NoBrokersAvailableError
from ..protocol.messages import MetadataRequest
from .lane import Call, Lane
from .waiting import Result

if TYPE_CHECKING:
    from .engine import Engine

#: The next seed is asked when the one before has been silent for this long (seconds): a dead address costs no more.
#: Less when time is short, so that every seed is tried.
STAGGER_S = 1.0


class Bootstrap:
    """One attempt to reach the cluster; ``result`` gets the first Metadata answer, or an error naming every address."""

    def __init__(
        self, engine: Engine, seeds: list[tuple[str, int]], deadline: float, topics: Optional[list[str]], result: Result[Any]
    ) -> None:
        self._engine = engine
        self._waiting = list(dict.fromkeys(seeds))
        self._reasons: dict[str, str] = {}
        self._open: list[Lane] = []
        self._stagger_s = STAGGER_S
        self._deadline = deadline
        self._topics = topics
        self._result = result

    def start(self) -> None:
        """Ask the first seed; the I/O thread does the rest."""
        self._stagger_s = min(STAGGER_S, (self._deadline - self._engine.loop.now()) / (len(self._waiting) + 1))
        self._engine.loop.call_at(self._deadline, self._give_up)
        self._next()

    def _next(self) -> None:
        if self._result.done:
            return
        if not self._waiting:
            if not self._open:
                self._give_up()
            return
        host, port = self._waiting.pop(0)
        lane = self._engine.lane(host, port, "control")
        self._reasons[lane.peer] = "no answer in time"
        self._open.append(lane)
        request, condense = metadata_request(self._topics), condenser({})
        lane.request(Call(lambda _abilities: (request, None), self._on_done(lane), self._deadline, condense=condense))
        if self._waiting:
            self._engine.loop.call_at(self._engine.loop.now() + self._stagger_s, self._next)

    def _on_done(self, lane: Lane) -> Callable[[Any, Optional[Exception], Call], None]:
        def on_done(reply: Any, error: Optional[Exception], call: Call) -> None:
            self._open.remove(lane)
            if error is None:
                self._result.succeed(reply)
                return
            # each line of the list begins with the address
            self._reasons[lane.peer] = str(error).replace(f" to {lane.peer}", "", 1)
            self._next()

        return on_done

    def _give_up(self) -> None:
        if not self._result.done:
            for lane in self._open:
                self._reasons[lane.peer] = lane.silence
            listed = "\n  ".join(f"{peer}: {reason}" for peer, reason in self._reasons.items())
            self._result.fail(NoBrokersAvailableError(f"no broker could be reached:\n  {listed}"))


def metadata_request(topics: Optional[list[str]], auto_create: bool = False) -> MetadataRequest:
    """Return the request for metadata of ``topics``; None asks for all of them, an empty list for the brokers alone."""
    rows = None if topics is None else [MetadataRequest.MetadataRequestTopic(name=name) for name in topics]
    return MetadataRequest(topics=rows, allow_auto_topic_creation=auto_create)
