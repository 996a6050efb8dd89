"""The one source of monotonic time and of chance; machines are handed the values."""

from __future__ import annotations

import os
import time
from typing import Callable

#: Seconds that only ever go forward: deadlines, backoff, linger. A wall clock set back by an hour changes none of them.
monotonic: Callable[[], float] = time.monotonic


def chance() -> float:
    """Return a float in [0, 1) for jitter; nothing secret is ever drawn from it."""
    # by the system: the random module costs more to import than all else here, and importing it when the first connection
    # fails needs a file descriptor, whose lack may be what has made it fail
    return int.from_bytes(os.urandom(4), "big") / 2**32


#: The wall clock in nanoseconds since 1970: record timestamps and nothing else.
wall_ns: Callable[[], int] = time.time_ns


def let_others_run() -> None:
    """Let a thread that was just woken go on at once: it waits for the interpreter's lock, which we hold until we block."""
    time.sleep(0)
