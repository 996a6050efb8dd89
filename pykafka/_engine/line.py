"""Threads that wait for room in a producer's queue: first come, first served, so that who needs much room gets it too."""

from __future__ import annotations

import threading
from collections import deque
from contextlib import suppress
from typing import Callable

from .waiting import SLICE_S, Bell, Deadline, is_owned


class _Ticket:
    """A thread's place in the line; ``enter`` is called, by whichever thread finds that there is room, exactly once."""

    __slots__ = ("changed", "count", "enter", "entered", "size", "thread")

    def __init__(self, count: int, size: int, enter: Callable[[], None]) -> None:
        self.count = count
        self.size = size
        self.enter = enter
        self.entered = False
        self.changed = Bell()
        self.thread = threading.get_ident()


class WaitingLine:
    """A line in front of something bounded. Its lock is held only by code that does not wait, so the I/O thread may take it.

    Whoever makes room lets in everybody who fits, in order: the line is empty then, and nobody has to stand in it again
    before the bound is reached again. (Letting in one at a time would have each thread that is let in queue up behind the
    others for its next row, and the line would never end.)

    :param has_room: (rows, bytes) -> is there room for so much; also called with the line's lock held
    """

    def __init__(self, has_room: Callable[[int, int], bool]) -> None:
        self._has_room = has_room
        self._lock = threading.RLock()  # a signal handler may produce in the middle of produce()
        self._waiting: deque[_Ticket] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def is_interrupted_here(self) -> bool:
        """Return whether a signal handler has come in the middle of letting somebody in, on this very thread."""
        return is_owned(self._lock)

    def try_to_pass(self, count: int, size: int, enter: Callable[[], None]) -> bool:
        """Call ``enter()`` and return True, or return False when there is no room for so much."""
        with self._lock:
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
        """Have ``enter()`` called as soon as there is room and nobody before us, or waiting is of no use; False if too late.

        :param may_wait: asked again and again; False lets the thread in at once, and what it raises ends the waiting
        :param recount: called when nothing has changed for a while
        """
        ticket = _Ticket(count, size, enter)
        # a signal handler that interrupts a waiting thread: it would wait for the very frame that it interrupted
        is_inside = self.is_interrupted_here()
        with self._lock:
            stands_already = is_inside or any(other.thread == ticket.thread for other in self._waiting)
            self._waiting.append(ticket)
        try:
            while not ticket.entered:
                if stands_already or not may_wait():
                    self._let_in_anyway(ticket)
                    break
                self.let_in()
                if ticket.entered or deadline.passed:
                    break
                # what has changed since we looked has rung the bell
                if not ticket.changed.wait(min(deadline.left(), SLICE_S)):
                    recount()
        finally:
            self._leave(ticket)
        return ticket.entered

    def let_in(self) -> None:
        """Let everybody in who fits, in order, up to the first who does not."""
        let_in: list[_Ticket] = []
        with self._lock:
            while self._waiting:
                ticket = self._waiting[0]
                if not self._has_room(ticket.count, ticket.size):
                    break
                if self._enter(ticket):
                    let_in.append(ticket)
        for ticket in let_in:
            ticket.changed.ring()

    def _enter(self, ticket: _Ticket) -> bool:
        """Let a thread in, under the lock; return False when a signal handler in the middle of this has done so already."""
        try:
            self._waiting.remove(ticket)
        except ValueError:
            return False
        ticket.enter()
        ticket.entered = True
        return True

    def _let_in_anyway(self, ticket: _Ticket) -> None:
        with self._lock:
            self._enter(ticket)

    def _leave(self, ticket: _Ticket) -> None:
        with self._lock, suppress(ValueError):
            if not ticket.entered:
                self._waiting.remove(ticket)
        self.let_in()  # whoever stood behind us may fit where we did not

    def wake_all(self) -> None:
        """Have everybody in the line ask whether waiting is still of use."""
        with self._lock:
            waiting = list(self._waiting)
        for ticket in waiting:
            ticket.changed.ring()
