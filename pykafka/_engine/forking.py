"""What a forked child does with its parent's clients: it lets go of them without touching the parent's connections."""

from __future__ import annotations

import contextlib
import os
import socket
import weakref
from typing import Protocol


class Abandonable(Protocol):
    """Something that holds descriptors which a forked child must let go of."""

    def abandon(self) -> None:
        """Close the copies of the descriptors silently and refuse further use."""


_watched: weakref.WeakSet[Abandonable] = weakref.WeakSet()


def watch(item: Abandonable) -> None:
    """Have ``item.abandon()`` called in every process forked from this one, for as long as ``item`` lives."""
    _watched.add(item)


def close_descriptor(sock: socket.socket) -> None:
    """Close the descriptor under ``sock`` and nothing more: no shutdown, no TLS close message."""
    with contextlib.suppress(OSError):
        os.close(sock.detach())


def _after_fork_in_child() -> None:
    for item in list(_watched):
        item.abandon()
    _watched.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
