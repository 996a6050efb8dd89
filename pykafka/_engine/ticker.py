"""Calls something again and again at an interval, on a worker's thread, for as long as its owner lives."""

from __future__ import annotations

import weakref
from typing import Callable, Optional

from .loop import Loop, Timer
from .worker import Worker


class Ticker:
    """Has ``worker`` call ``job`` every ``interval_s`` seconds from :meth:`start` to :meth:`stop`.

    ``job`` is a bound method and held weakly: the timer keeps nobody alive. A call that takes longer than the interval
    is not queued up behind itself.
    """

    def __init__(self, loop: Loop, worker: Worker, interval_s: float, job: Callable[[], None]) -> None:
        self._loop = loop
        self._worker = worker
        self._interval_s = interval_s
        self._job = weakref.WeakMethod(job)
        self._timer: Optional[Timer] = None
        self._stopped = False
        self._busy = False

    def start(self) -> None:
        """Make the first call one interval from now."""
        self._loop.call_soon(self._arm)

    def stop(self) -> None:
        """Make no more calls; one that has begun goes on."""
        self._stopped = True
        if not self._loop.stopped and not self._loop.forked:
            self._loop.call_soon(self._cancel)

    def _arm(self) -> None:
        if not self._stopped and self._job() is not None:
            self._timer = self._loop.call_at(self._loop.now() + self._interval_s, self._due)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _due(self) -> None:
        if not self._busy:
            self._busy = True
            self._worker.submit(self._run)
        self._arm()

    def _run(self) -> None:
        try:
            job = self._job()
            if job is not None and not self._stopped:
                job()
        finally:
            self._busy = False
