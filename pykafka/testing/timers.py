"""What is to be done later, in the order of time."""

from __future__ import annotations

import heapq
import itertools
import math
from typing import Callable, Optional

_SWEEP_AT_LEAST = 256


class Timer:
    """One thing to do; :meth:`cancel` has it not done."""

    __slots__ = ("_act",)

    def __init__(self, act: Callable[[], None]) -> None:
        self._act: Optional[Callable[[], None]] = act

    @property
    def is_waiting(self) -> bool:
        """Return whether it is still to be done."""
        return self._act is not None

    def cancel(self) -> None:
        """Forget it."""
        self._act = None

    def run(self) -> None:
        """Do it, once."""
        act, self._act = self._act, None
        if act is not None:
            act()


class Timers:
    """A heap of timers."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._numbers = itertools.count()
        self._sweep_at = _SWEEP_AT_LEAST

    def __len__(self) -> int:
        return len(self._heap)

    def call_at(self, deadline: float, act: Callable[[], None]) -> Timer:
        """Return a timer for ``act``."""
        timer = Timer(act)
        if len(self._heap) > self._sweep_at:
            # long polls that end early leave theirs behind
            self._heap = [entry for entry in self._heap if entry[2].is_waiting]
            heapq.heapify(self._heap)
            self._sweep_at = 2 * len(self._heap) + _SWEEP_AT_LEAST
        heapq.heappush(self._heap, (deadline, next(self._numbers), timer))
        return timer

    def next_deadline(self) -> float:
        """Return when the next one is due, infinity when nothing waits."""
        while self._heap and not self._heap[0][2].is_waiting:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else math.inf

    def run(self, now: float) -> None:
        """Do what is due."""
        while self.next_deadline() <= now:
            heapq.heappop(self._heap)[2].run()
