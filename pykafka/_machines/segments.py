"""Rows on their way through a producer: queued in segments, taken out of the queue as columns, decided part by part; pure.

``produce()`` appends to the open :class:`Segment` without a lock. When rows are collected the segment is closed, and its rows are
read into the columns of a :class:`Taken`. What became of its rows is written into its :class:`Fates`, which the messages that
``produce()`` returned lead to. Nobody else keeps the Fates: where every message was dropped they are gone as well, and
whatever would be written into them is not even worked out.
"""

from __future__ import annotations

import weakref
from array import array
from collections.abc import Iterator, Sequence
from itertools import count as count_up
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Optional, Protocol, Union, cast

from ..records.message import Origin
from ..records.queued import DELIVERED, EXTRA, HEADERS, KEY, TIMESTAMP, VALUE, Block, Extra, QueuedMessage, Row, new_message

if TYPE_CHECKING:
    from .dealing import Deal


class Delivery(Protocol):
    """The producer behind a message."""

    @property
    def origin(self) -> Origin:
        """Return what all messages of the producer have in common."""

    @property
    def usual(self) -> Optional[Extra]:
        """Return what True stands for in a row."""

    def settle_partitions(self) -> None:
        """Return when everything queued so far has its partition."""

    def wait_for(self, message: QueuedMessage, timeout: Optional[float]) -> None:
        """Return when ``message`` has an outcome; raise OperationTimedOut after ``timeout`` seconds."""


class Decision(NamedTuple):
    """What became of some rows: the first has ``base_offset`` (-1: not told), unless there is an error."""

    places: Sequence[int]
    base_offset: int
    error: Optional[Exception]

    def write(self, table: list[Any]) -> None:
        """Write the outcome of each row to its place in ``table``."""
        places, base_offset, error = self
        if error is None and base_offset >= 0:
            outcomes: Sequence[Any] = range(base_offset, base_offset + len(places))
        else:
            outcomes = [DELIVERED if error is None else error] * len(places)
        if isinstance(places, range):
            table[places.start : places.stop : places.step] = outcomes
            return
        for place, outcome in zip(places, outcomes):
            table[place] = outcome


class Fates:
    """What became of the rows of one segment. Written by the I/O thread, read by whoever holds a message."""

    __slots__ = (
        *("__weakref__", "_addresses", "_expected", "_index", "_rows", "_table"),
        *("deal", "decided", "delivery", "of_block", "undecided", "waiting"),
    )

    def __init__(self, delivery: Delivery, of_block: bool = False) -> None:
        self.delivery = delivery
        self.of_block = of_block
        self.deal: Optional[Deal] = None
        self.decided: list[Decision] = []
        self.undecided = -1
        #: (message, whatever its waiter waits at)
        self.waiting: list[tuple[QueuedMessage, Any]] = []
        self._rows: Optional[list[Row]] = None
        self._index: Optional[dict[int, int]] = None
        #: the place of the row behind the one that was asked for last: programs wait for messages in the order they made them
        self._expected = 0
        self._addresses: Optional[array[int]] = None
        #: outcome by place, and how many decisions are in it: one attribute, so that no reader sees one without the other
        self._table: tuple[list[Any], int] = ([], 0)

    @property
    def origin(self) -> Origin:
        """Return what all messages of the producer have in common."""
        return self.delivery.origin

    @property
    def usual(self) -> Optional[Extra]:
        """Return what True stands for in a row."""
        return self.delivery.usual

    # -- the I/O thread -----------------------------------------------------------------------------------------------

    def take(self, count: int, rows: Optional[list[Row]]) -> None:
        """Note that the rows were taken out of the queue; ``rows`` is None for those of a block."""
        self.undecided = count
        self._rows = rows

    def decide(self, decision: Decision) -> None:
        """Write down what became of some rows."""
        self.decided.append(decision)
        self.undecided -= len(decision.places)

    def let_go(self) -> None:
        """Forget the rows once all are decided: a message that somebody keeps is not to keep all the others' values."""
        if not self.undecided and self._rows is not None:
            if self._index is None:
                # eight bytes a row instead of a hundred: the index is made when somebody asks
                self._addresses = array("Q", map(id, self._rows))
            self._rows = None

    # -- any thread ---------------------------------------------------------------------------------------------------

    def place_of(self, row: Row) -> Optional[int]:
        """Return where in the segment ``row`` stood; None until it was taken out of the queue."""
        index = self._index
        if index is None:
            rows, expected = self._rows, self._expected  # the rows before the addresses, which let_go() makes out of them
            addresses = self._addresses if rows is None else None
            if rows is not None and expected < len(rows) and rows[expected] is row:
                self._expected = expected + 1
                return expected
            if addresses is not None and expected < len(addresses) and addresses[expected] == id(row):
                self._expected = expected + 1
                return expected
            known = addresses if rows is None else map(id, rows)
            if known is not None:
                index = self._index = dict(zip(known, count_up()))
                self._addresses = None
            else:
                index = self._index  # another thread was faster, or nothing has been taken yet
        # rows of one segment live side by side, and who asks holds this one: its address is nobody else's
        return None if index is None else index.get(id(row))

    # hot: per message that is waited for
    def outcome_of(self, row: Row, place: Optional[int]) -> Any:
        """Return None while undecided, then the offset, DELIVERED or an exception; ``place`` is that of the row, if known."""
        if place is None:
            index = self._index
            place = self.place_of(row) if index is None else index.get(id(row))
            if place is None:
                return None
        table, filled = self._table
        if filled < len(self.decided):
            table = self._fill()
        return table[place] if table else None

    def _fill(self) -> list[Any]:
        table, filled = self._table
        if not table:
            table = [None] * (self.undecided + sum(len(decision.places) for decision in self.decided))
        news = self.decided[filled:]
        for decision in news:
            decision.write(table)
        self._table = (table, filled + len(news))
        return table

    def partition_of(self, row: Row, place: Optional[int]) -> int:
        """Return the partition of a row, -1 when none can be chosen; waits for the I/O thread where it is not chosen yet."""
        if self.deal is None:
            self.delivery.settle_partitions()
        place = self.place_of(row) if place is None else place
        return -1 if self.deal is None or place is None else self.deal.partition_at(place)

    def wait_for(self, message: QueuedMessage, timeout: Optional[float]) -> None:
        """Return when ``message`` has an outcome; raise OperationTimedOut after ``timeout`` seconds."""
        self.delivery.wait_for(message, timeout)


def refused(delivery: Delivery, error: Exception) -> Fates:
    """Return the fates of one row that was never queued, because of ``error``."""
    fates = Fates(delivery)
    fates.take(1, None)
    fates.decide(Decision(range(1), -1, error))
    return fates


class Segment:
    """The rows that ``produce()`` queues until they are collected."""

    __slots__ = ("_frozen", "closed", "fates", "rows")

    def __init__(self, delivery: Delivery) -> None:
        self.rows: list[Row] = []
        self.fates = Fates(delivery)
        self.closed = False
        #: what was taken; None while that is not done
        self._frozen: Optional[list[Row]] = None

    def close(self) -> list[Row]:
        """Take what is queued, once, and return it.

        A row that is appended later is not taken, and whoever appended it sees that we are closed. Where Ctrl-C comes in
        between, the next call does the rest.
        """
        # in this order: who appends looks at `closed` after it
        self.closed = True
        if self._frozen is None:
            self._frozen = self.rows.copy()
        return self._frozen

    def holds(self, row: Row) -> bool:
        """Return whether ``row``, which was appended last or nearly so, was taken."""
        return any(each is row for each in reversed(self.close()))

    def take(self, *, with_keys: bool, with_extras: bool, with_messages: bool) -> Taken:
        """Return the rows that were taken, as columns; who knows that no row has a key or extras saves looking for them.

        :param with_messages: for callbacks or reports, so that :meth:`Taken.messages` has any
        """
        rows = self.close()
        self.fates.take(len(rows), rows)
        # hot: per message
        values = [row[VALUE] for row in rows]
        timestamps = [row[TIMESTAMP] for row in rows]
        keys = [row[KEY] for row in rows] if with_keys else None
        extras = _plain_extras([row[EXTRA] for row in rows], self.fates.usual) if with_extras else None
        return Taken(self.fates, values, keys, timestamps, extras, rows if with_messages else None)


class Taken:
    """Rows that were taken out of the queue, column by column; ``keys`` or ``extras`` is None when no row has any."""

    __slots__ = ("_fates", "_kept", "_rows", "_untold", "extras", "keys", "timestamps", "values")

    def __init__(
        self,
        fates: Fates,
        values: list[Optional[bytes]],
        keys: Optional[list[Optional[bytes]]],
        timestamps: list[int],
        extras: Optional[list[Optional[Extra]]],
        rows: Optional[list[Row]] = None,
    ) -> None:
        self.values = values
        self.keys = keys
        self.timestamps = timestamps
        self.extras = None if extras is None or extras.count(None) == len(extras) else extras
        self._fates = weakref.ref(fates)
        self._untold = len(values)
        #: messages will be made of some rows: until then the fates are kept whoever dropped theirs
        self._rows = rows
        self._kept = None if rows is None else fates

    def __len__(self) -> int:
        return len(self.values)

    @property
    def fates(self) -> Optional[Fates]:
        """Return what is to be told to the holders of messages, None when there is nobody to tell."""
        return self._fates()

    def headers(self, places: Sequence[int]) -> Optional[list[Optional[bytes]]]:
        """Return the column of headers of the rows at ``places``; None when none has any."""
        if self.extras is None:
            return None
        extras = self.extras
        headers = [extra and extra[HEADERS] for extra in map(extras.__getitem__, places)]
        return headers if any(headers) else None

    def messages(self, places: Sequence[int]) -> Iterator[tuple[Extra, QueuedMessage]]:
        """Yield what is special about each row at ``places`` that has anything, and its message.

        The message is equal to the one that was returned when the row was queued. Once :meth:`told` of all there are none.
        """
        rows, extras, fates = self._rows, self.extras, self._kept
        if rows is None or extras is None or fates is None:
            return
        for place in places:  # hot: per message
            extra = extras[place]
            if extra is not None:
                message = new_message(QueuedMessage)
                message._row = rows[place]
                message._fates = fates
                message._place = place
                yield extra, message

    def told(self, count: int) -> None:
        """Note that everybody was told what became of ``count`` rows; after the last of them nothing is kept for messages."""
        self._untold -= count
        if not self._untold:
            fates = self.fates
            if fates is not None:
                fates.let_go()
            self._kept = self._rows = None


def _plain_extras(extras: Sequence[Union[Extra, Literal[True], None]], usual: Optional[Extra]) -> list[Optional[Extra]]:
    """Return ``extras`` with what True stands for."""
    if extras.count(True) == len(extras):
        return [usual] * len(extras)
    return [usual if extra is True else extra for extra in extras]


def fates_of(block: Block) -> Fates:
    """Return the fates that ``produce_many()`` gave a block."""
    return cast(Fates, block.fates)


def taken_block(block: Block, *, with_messages: bool) -> Taken:
    """Return a block of ``produce_many()`` as what is taken out of the queue."""
    count = len(block.values)
    fates = fates_of(block)
    fates.take(count, None)
    timestamps = [block.timestamp] * count
    extras = None if block.extras is None else _plain_extras(block.extras, fates.usual)
    rows: Optional[list[Row]] = None
    if with_messages:
        rows = list(zip(block.values, block.keys or [None] * count, timestamps, extras or [None] * count))
    return Taken(fates, block.values, block.keys, timestamps, extras, rows)
