"""What PyKafka code imports from here; the only place that uses six."""

from __future__ import annotations

from queue import Empty, Queue
from threading import Semaphore

from six import PY3, ensure_binary, ensure_str, iteritems, iterkeys, itervalues, reraise
from six.moves import range  # noqa: UP029  # it is imported from here

__all__ = [
    "PY3",
    "Empty",
    "Queue",
    "Semaphore",
    "buffer",
    "ensure_binary",
    "ensure_str",
    "get_bytes",
    "get_string",
    "iteritems",
    "iterkeys",
    "itervalues",
    "range",
    "reraise",
]

buffer = memoryview
get_bytes = ensure_binary
get_string = ensure_str
