"""The time that a cluster goes by: the system's, or one that a test moves by hand."""

from __future__ import annotations

import math
import time
from typing import Callable, Optional


class SystemClock:
    """The system's time."""

    def now(self) -> float:
        """Return seconds that only go forward, from some moment on."""
        return time.monotonic()

    def time_ms(self) -> int:
        """Return milliseconds since 1970."""
        return int(time.time() * 1000)

    def seconds_until(self, deadline: float) -> Optional[float]:
        """Return how long to sleep until ``deadline``; None to sleep until something happens."""
        return None if math.isinf(deadline) else max(0.0, deadline - time.monotonic())

    def on_move(self, moved: Callable[[], None]) -> None:
        """Do nothing: this clock moves all the time."""

    def off_move(self, moved: Callable[[], None]) -> None:
        """Do nothing."""


class ManualClock:
    """A clock that stands still until :meth:`advance`: a long poll, a session or a delay ends when the test says so.

    :param time_ms: what the brokers' calendar says at the start, in milliseconds since 1970
    """

    def __init__(self, time_ms: int = 1_800_000_000_000) -> None:
        self._elapsed_s = 0.0
        self._began_ms = time_ms
        self._on_move: list[Callable[[], None]] = []

    def now(self) -> float:
        """Return how many seconds it has been moved."""
        return self._elapsed_s

    def time_ms(self) -> int:
        """Return the calendar's milliseconds since 1970."""
        return self._began_ms + round(self._elapsed_s * 1000)

    def seconds_until(self, deadline: float) -> Optional[float]:
        """Return None: no sleep makes it later."""
        return 0.0 if deadline <= self._elapsed_s else None

    def on_move(self, moved: Callable[[], None]) -> None:
        """Have ``moved`` called after each move."""
        self._on_move.append(moved)

    def off_move(self, moved: Callable[[], None]) -> None:
        """Have it called no more."""
        self._on_move.remove(moved)

    def advance(self, seconds: float) -> None:
        """Move it; when this returns, the brokers have done all that was due by then.

        :raises ValueError: for less than nothing
        """
        if not seconds >= 0:
            raise ValueError(f"a clock cannot go back: {seconds} seconds")
        self._elapsed_s += seconds
        for moved in list(self._on_move):
            moved()
