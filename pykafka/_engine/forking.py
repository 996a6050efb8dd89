"""What a forked child does with its parent's clients: it lets go of them without touching the parent's connections."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import weakref
from typing import Any, Callable, Protocol


class Abandonable(Protocol):
    """Something that holds what a forked child must let go of."""

    def abandon(self) -> None:
        """Close the copies of the descriptors silently and refuse further use."""


_watched: weakref.WeakKeyDictionary[Any, Callable[[Any], None]] = weakref.WeakKeyDictionary()


def watch(item: Abandonable) -> None:
    """Have ``item.abandon()`` called in every process forked from this one, for as long as ``item`` lives."""
    watch_with(item, _abandon)


def watch_with(item: Any, let_go: Callable[[Any], None]) -> None:
    """Have ``let_go(item)`` called in every process forked from this one, for as long as ``item`` lives."""
    _watched[item] = let_go


def _abandon(item: Abandonable) -> None:
    item.abandon()


def close_descriptor(sock: socket.socket) -> None:
    """Close the descriptor under ``sock`` and nothing more: no shutdown, no TLS close message."""
    with contextlib.suppress(OSError):
        os.close(sock.detach())


def rest() -> None:
    """Wait for ever: for a greenlet that gevent's fork has copied into the child, together with whatever it was doing.

    It cannot end: it is a thread to ``threading``, which in the child knows nothing of it and would complain.
    """
    threading.Event().wait()


def _after_fork_in_child() -> None:
    for item, let_go in list(_watched.items()):
        let_go(item)
    _watched.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
