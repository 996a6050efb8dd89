"""Delivery reports: what became of messages, for the thread that produced them to read."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from typing import Optional

from .records.message import Message

log = logging.getLogger(__name__)


class DeliveryReports:
    """Every thread's own queue of delivery reports: a thread sees the reports of what it produced."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # made here and not a base class, which would be the one of threads if gevent patches after the import
        self._local = threading.local()

    @property
    def queue(self) -> ReportQueue:
        """Return the calling thread's."""
        try:
            found: ReportQueue = self._local.queue
        except AttributeError:
            found = self._local.queue = ReportQueue(self._limit)
        return found


class ReportQueue:
    """Delivery reports of one thread, at most ``limit``; when nobody reads them the oldest go, with one warning."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._items: queue.SimpleQueue[tuple[Message, Optional[Exception]]] = queue.SimpleQueue()
        self._warned = False

    def put(self, report: tuple[Message, Optional[Exception]]) -> None:
        """Add a report."""
        self._items.put(report)
        if self._items.qsize() > self._limit:
            with contextlib.suppress(queue.Empty):  # its reader was faster
                self._items.get_nowait()
            if not self._warned:
                self._warned = True
                log.warning("more than %d delivery reports are unread: the oldest are dropped; read or disable them", self._limit)

    def get(self, block: bool, timeout: Optional[float]) -> tuple[Message, Optional[Exception]]:
        """Return the oldest report; raise queue.Empty when there is none (in time)."""
        return self._items.get(block, timeout)
