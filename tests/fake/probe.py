"""Measures, from inside a client's process, what its I/O thread and its memory go through; for scripts that tests run."""

from __future__ import annotations

import threading
import time
from typing import Any, Optional

#: How often the I/O thread is looked at (seconds).
PERIOD_S = 0.005


def rss_mib(field: str = "VmRSS") -> float:
    """Return how much memory this process has (VmRSS), or has ever had (VmHWM)."""
    with open("/proc/self/status") as status:
        return int(next(line for line in status if line.startswith(field)).split()[1]) / 1024


class Pulse:
    """Posts to a client's I/O thread again and again, and notes the longest time that it took to get there.

    ``busy_s`` is the most processor time of its own that the I/O thread took in between, whatever else the machine does.
    """

    def __init__(self, loop: Any) -> None:
        self.longest_s = self.busy_s = 0.0
        self._loop = loop
        self._ended = threading.Event()
        self._last = time.monotonic()
        self._last_cpu: Optional[float] = None
        loop.call_soon(self._beat)

    def _beat(self) -> None:
        now, cpu = time.monotonic(), time.thread_time()
        self.longest_s = max(self.longest_s, now - self._last - PERIOD_S)
        self.busy_s = max(self.busy_s, cpu - (cpu if self._last_cpu is None else self._last_cpu))
        self._last, self._last_cpu = now, cpu
        if not self._ended.is_set():
            self._loop.call_at(now + PERIOD_S, self._beat)

    def stop(self) -> float:
        """Return the longest time, in seconds, that the I/O thread was late by."""
        self._ended.set()
        return self.longest_s
