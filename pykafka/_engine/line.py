"""Threads that wait for room in a producer's queue: first come, first served, so that who needs much room gets it too."""

from __future__ import annotations

import threading
from typing import Callable

from .waiting import SLICE_S, Deadline


class WaitingLine:
    """A line in front of something bounded.

    :param has_room: (rows, bytes) -> is there room for so much; also called with the line's lock held
    """

    def __init__(self, has_room: Callable[[int, int], bool]) -> None:
        self._has_room = has_room
        self._changed = threading.Condition()
        #: who waits, oldest first, and for how many rows and bytes
        self._waiting: dict[object, tuple[int, int]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def try_to_pass(self, count: int, size: int, enter: Callable[[], None]) -> bool:
        """Call ``enter()`` and return True, or return False when there is no room for so much."""
        with self._changed:
            if not self._has_room(count, size):
                return False
            enter()
            return True

    def wait(
        self,
        count: int,
        size: int,
        enter: Callable[[], None],
        may_wait: Callable[[], bool],
        recount: Callable[[], None],
        deadline: Deadline,
    ) -> bool:
        """Call ``enter()`` as soon as we are first and there is room, or waiting is of no use; False when that took too long.

        :param may_wait: asked again and again; False lets the thread in at once, and what it raises ends the waiting
        :param recount: called when nothing has changed for a while
        """
        ticket = object()
        with self._changed:
            self._waiting[ticket] = (count, size)
            try:
                while may_wait() and not (next(iter(self._waiting)) is ticket and self._has_room(count, size)):
                    left = deadline.left()
                    if left <= 0:
                        return False
                    if not self._changed.wait(min(left, SLICE_S)):
                        recount()
                enter()
            finally:
                del self._waiting[ticket]
                self._changed.notify_all()
        return True

    def look_again(self) -> None:
        """Have the first in the line go on if there is room for it."""
        with self._changed:
            first = next(iter(self._waiting.values()), None)
            if first is not None and self._has_room(*first):
                self._changed.notify_all()

    def wake_all(self) -> None:
        """Have everybody in the line ask whether waiting is still of use."""
        with self._changed:
            self._changed.notify_all()
