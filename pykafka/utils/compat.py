"""What PyKafka code imports from here to run on Python 2 and 3; the only place that uses six."""

from __future__ import annotations

import platform
from queue import Empty, Queue
from threading import Semaphore
from typing import Any

from six import PY3, ensure_binary, ensure_str, iteritems, iterkeys, itervalues, reraise
from six.moves import range  # noqa: UP029  # it is to be found here

__all__ = [
    "IS_PYPY",
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

IS_PYPY = platform.python_implementation() == "PyPy"
buffer = memoryview


def get_bytes(value: Any) -> Any:
    """Return text as UTF-8, and anything else as it is."""
    return ensure_binary(value) if isinstance(value, str) else value


def get_string(value: Any) -> str:
    """Return bytes of UTF-8 as text, and anything else as ``str()`` shows it; bytes that are not UTF-8 stay as they are."""
    if not isinstance(value, (bytes, bytearray)):
        return str(value)
    try:
        return ensure_str(bytes(value))
    except UnicodeDecodeError:
        return value  # type: ignore[return-value]  # as ever in PyKafka
