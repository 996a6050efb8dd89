"""The one source of monotonic time and of chance; machines are handed the values."""

from __future__ import annotations

import time
from typing import Callable

#: Seconds that only ever go forward: deadlines, backoff, linger. A wall clock set back by an hour changes none of them.
monotonic: Callable[[], float] = time.monotonic


def chance() -> float:
    """Return a float in [0, 1) for jitter; nothing secret is ever drawn from it."""
    import random  # costs more than all else here, and only a failed connection needs it

    return random.random()


#: The wall clock in nanoseconds since 1970: record timestamps and nothing else.
wall_ns: Callable[[], int] = time.time_ns


def let_others_run() -> None:
    """Let a thread that was just woken go on at once: it waits for the interpreter's lock, which we hold until we block."""
    time.sleep(0)
