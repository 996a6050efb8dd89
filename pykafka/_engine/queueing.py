"""The queue between ``produce()`` and the I/O thread: rows go in without a lock, and come out in order."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Optional, Union, cast

from .._machines.segments import Fates, Segment, fates_of
from ..exceptions import OperationTimedOut
from ..records.queued import Block, Extra, Row
from .waiting import is_owned

if TYPE_CHECKING:
    from .._machines.segments import Delivery, Taken

#: What a queued row costs beside its value and key: the row, its message, its timestamp, its place in lists.
ROW_BYTES = 200

#: How many queued rows make a send worth while before their sizes are known.
FIRST_FULL_AT = 1000

Queued = Union[Segment, Block]


class RowQueue:
    """Rows and blocks that wait to be collected, and how many more may be queued.

    ``room`` (bytes) is counted down by produce() and up by the I/O thread, without a lock, so that two threads may lose a few
    bytes of count between them; it is set exactly at every collection, so the error never adds up. ``row_limit`` is how
    many rows the open segment may hold.
    """

    def __init__(self, max_queued_messages: int, max_queued_bytes: int) -> None:
        self.room = max_queued_bytes
        self.row_limit = max_queued_messages
        #: the timestamp of the message that was queued last, for the next one to share
        self.now_ms = 0
        #: set by produce() before it queues the first such row; what no row has is not looked for
        self.has_keys = False
        self.has_extras = False
        self.wants_callbacks = False
        self.wants_reports = False
        #: what rows have that have nothing but a callback, the one that the first such row had
        self.usual: Optional[Extra] = None
        #: with this many rows queued there is enough for full batches, and produce() need not wait for the linger timer
        self.full_at = FIRST_FULL_AT
        #: with this many rows in the open segment produce() has to tell the I/O thread: 0 when that knows of none
        self.act_at = 0
        self.forget_queued()

    @property
    def idle(self) -> bool:
        """Return whether the I/O thread was not told of anything queued."""
        return self.act_at == 0

    @idle.setter
    def idle(self, idle: bool) -> None:
        self.act_at = 0 if idle else self.full_at

    def forget_queued(self) -> None:
        """Begin with nothing queued; in a forked child, what is there belongs to the parent, and so may the lock."""
        #: guards which segment is open; reentrant, since a signal handler may produce as well
        self._lock = threading.RLock()
        #: held by who sees to what is left when the I/O thread is gone; not the one above, which is taken with the lock of
        #: the line of those who wait for room held, whereas what is done here lets them in
        self._end_lock = threading.RLock()
        #: what waits besides the open segment, by its id(), in order
        self._ready: dict[int, Queued] = {}
        self._ready_rows = 0
        #: single rows that have their partition; they go before what was queued after them
        self._handed: deque[tuple[Taken, int]] = deque()
        self.segment = self._open_segment()

    def _open_segment(self) -> Segment:
        return Segment(cast("Delivery", self))  # which every ProducerCore is

    def note_usual(self, extra: Extra) -> None:
        """Have True stand for ``extra`` from now on, if it stands for nothing yet: there are rows that say so ever after."""
        with self._lock:  # of two threads with a callback each the second one must not change what the first one's rows mean
            if self.usual is None:
                self.usual = extra

    def place_late(self, segment: Segment, row: Row) -> Fates:
        """Return the fates of a row that was appended to ``segment`` while that was closed: taken with it, or queued now."""
        with self._lock:  # whoever closes a segment holds it until that is done
            while not segment.holds(row):
                segment = self.segment
                segment.rows.append(row)
                if not segment.closed:
                    break  # else a signal handler has closed it just now
            return segment.fates

    def queue(self, item: Union[Row, Block], size: int) -> Fates:
        """Queue a row or a block, whether there is room or not; return its fates."""
        self.room -= size
        with self._lock:
            if isinstance(item, Block):
                self._close_segment()
                self._ready_rows += len(item.values)  # first: Ctrl-C may come in between, and too few would not be looked for
                self._ready[id(item)] = item
                self.row_limit -= len(item.values)
                fates = fates_of(item)
            else:
                segment = self.segment
                segment.rows.append(item)
                fates = self.place_late(segment, item) if segment.closed else segment.fates
        return fates

    def _close_segment(self) -> None:
        """Close the open segment and open another one; with the lock held.

        Where Ctrl-C comes in between, the next one that does this, or takes everything, does the rest: a segment is ready
        before another one takes its place, and being so twice is being so once.
        """
        segment = self.segment
        if not segment.rows:
            return
        count, another = len(segment.rows), self._open_segment()
        self._ready_rows += count
        self._ready[id(segment)] = segment
        if self.segment is segment:  # else a signal handler has done all of this
            self.segment = another
        segment.close()

    @property
    def queued(self) -> int:
        """Return how many rows wait to be collected."""
        return self._ready_rows + len(self.segment.rows) + len(self._handed)

    def is_interrupted_here(self) -> bool:
        """Return whether a signal handler has come in the middle of queueing, on this very thread.

        Nothing is collected before that goes on: the handler must not wait for what is queued.
        """
        return is_owned(self._lock)

    def refuse_to_wait_for_ourselves(self, what: str) -> None:
        """Return unless :meth:`is_interrupted_here`.

        :raises OperationTimedOut: at once, since nothing that is waited for could come
        """
        if self.is_interrupted_here():
            raise OperationTimedOut(
                f"{what} by a signal handler in the middle of a produce() of the same thread would wait for what it has"
                " interrupted: call it again after that"
            )

    def take_all(self) -> tuple[list[Queued], int]:
        """Return everything queued, in order, and how many rows that is; but for what was handed over."""
        with self._lock:
            self._close_segment()
            segments = list(self._ready.values())
            self._ready, self._ready_rows = {}, 0
            count = sum(len(one.close()) if isinstance(one, Segment) else len(one.values) for one in segments)
        return segments, count
