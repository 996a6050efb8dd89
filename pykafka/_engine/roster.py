"""A weak set that threads, finalizers and forked children share without a lock."""

from __future__ import annotations

import weakref
from typing import Generic, TypeVar

T = TypeVar("T")


class Roster(Generic[T]):
    """Who is there, for as long as somebody else holds them.

    No lock: a finalizer may come in between in the very thread that holds it, and a forked child would find it held for ever.
    """

    def __init__(self) -> None:
        self._members: weakref.WeakSet[T] = weakref.WeakSet()

    def add(self, member: T) -> None:
        """Note ``member``; whoever asks from now on is told of it."""
        self._members.add(member)

    def present(self) -> list[T]:
        """Return all that are there now."""
        while True:
            try:
                return list(self._members)
            except RuntimeError:  # another thread has added one while we went through them
                continue
