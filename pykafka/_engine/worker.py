"""A lazily started thread for what must not run on the I/O thread: user callbacks, and calls of ours that wait."""

from __future__ import annotations

import logging
import queue
import threading
from typing import Any, Callable, Optional

log = logging.getLogger(__name__)


class Worker:
    """Runs jobs one after the other on a daemon thread that starts with the first job and ends on :meth:`stop`."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: queue.SimpleQueue[Optional[tuple[Callable[..., object], tuple[Any, ...]]]] = queue.SimpleQueue()
        self._thread: Optional[threading.Thread] = None
        self._lock = threading.Lock()

    def submit(self, fn: Callable[..., object], *args: Any) -> None:
        """Have ``fn(*args)`` run on the worker's thread after everything submitted before it.

        Who submits bounds what is outstanding: one job per sealed batch, or one per consumer and kind.
        """
        self._jobs.put((fn, args))
        if self._thread is None:
            self._start()

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            job = self._jobs.get()
            if job is None:
                return
            fn, args = job
            try:
                fn(*args)
            except Exception:
                log.exception("%s: a job raised; the next one goes on", self._name)
            # a job may hold a batch of messages: not until the next one arrives
            del job, fn, args

    def in_worker(self) -> bool:
        """Return whether the caller is this worker's own thread."""
        return threading.current_thread() is self._thread

    def stop(self, timeout_s: float) -> None:
        """End the thread after the jobs already submitted, waiting at most ``timeout_s`` for it."""
        with self._lock:
            thread = self._thread
        if thread is not None:
            self._jobs.put(None)
            if threading.current_thread() is not thread:
                thread.join(timeout_s)
