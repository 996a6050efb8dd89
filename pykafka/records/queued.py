"""What a producer queues: rows, which are plain tuples, and the message that ``produce()`` returns for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Callable, Final, Literal, NamedTuple, Optional, Protocol, Union, overload

from ..common import checked_timeout
from .message import Headers, Message, OnDelivery, Origin
from .plain import read_headers

#: A row, and what only some rows have: (headers as they are written, on_delivery, delivery reports, partition id or -1).
#: These are exact tuples because the garbage collector stops looking at such when all they hold are atoms, as it never does
#: at objects with slots: with 100,000 messages queued, that was a third of what producing cost. A function is no atom, so True
#: stands for what most rows have that have a callback: see :attr:`Fates.usual`.
Row = tuple[Optional[bytes], Optional[bytes], int, Union["Extra", Literal[True], None]]
Extra = tuple[Optional[bytes], Optional[OnDelivery], Any, int]
VALUE: Final = 0
KEY: Final = 1
TIMESTAMP: Final = 2
EXTRA: Final = 3
HEADERS: Final = 0
ON_DELIVERY: Final = 1
REPORTS: Final = 2
PARTITION: Final = 3

#: The outcome of a message that the broker has but whose offset it did not tell (acks=0, or a recognised duplicate).
DELIVERED = object()


class Fates(Protocol):
    """What became of the rows that were queued together, and the way back to the producer."""

    #: they were queued by one call of ``produce_many()``: a message is known by its place alone
    of_block: bool

    @property
    def origin(self) -> Origin:
        """Return what all messages of the producer have in common."""

    @property
    def usual(self) -> Optional[Extra]:
        """Return what True stands for in a row."""

    def place_of(self, row: Row) -> Optional[int]:
        """Return where in the queue ``row`` stood; None until it was taken out of it."""

    def outcome_of(self, row: Row, place: Optional[int]) -> Any:
        """Return None while undecided, then the offset, DELIVERED or an exception; ``place`` is that of the row, if known."""

    def partition_of(self, row: Row, place: Optional[int]) -> int:
        """Return the partition of a row, having it chosen if need be."""

    def wait_for(self, message: QueuedMessage, timeout: Optional[float]) -> None:
        """Return when ``message`` has an outcome; raise OperationTimedOut after ``timeout`` seconds."""


class QueuedMessage(Message):
    """A message given to ``produce()``: what was queued, what became of it, and what the caller can wait for.

    It cannot be changed: it is on its way. Two of them are equal when they stand for the same call of ``produce()``.
    """

    if TYPE_CHECKING:
        __slots__ = ("_fates", "_place", "_row")
        _row: Row
        _fates: Fates
        _place: Optional[int]
    else:
        __slots__ = ()
        # What a message holds is worked out here, so its room is free for what that is worked out of; three slots
        # more would be a quarter of what a queued message costs.
        _row, _fates, _place = Message.value, Message._origin, Message.offset

        value = property(lambda self: self._row[VALUE])
        partition_key = property(lambda self: self._row[KEY])
        timestamp = property(lambda self: self._row[TIMESTAMP])
        produce_attempt = property(lambda self: 0)
        _origin = property(lambda self: self._fates.origin)

        @property
        def headers(self) -> Headers:
            """Return the headers, as a list of the caller's own."""
            extra = self._extra
            encoded = extra and extra[HEADERS]
            return read_headers(encoded, 0, len(encoded))[0] if encoded else []

        @property
        def delivery_report_q(self) -> Any:
            """Return the queue that the outcome is put into, None when nobody asked for reports."""
            extra = self._extra
            return extra and extra[REPORTS]

        @property
        def offset(self) -> int:
            """Return the offset in the partition, -1 until it is known."""
            outcome = self._outcome
            return outcome if type(outcome) is int else -1

        @property
        def partition_id(self) -> int:
            """Return the number of the partition, which is chosen at once instead of with the next batch if need be."""
            return self._fates.partition_of(self._row, self._place)

    @property
    def _extra(self) -> Optional[Extra]:
        extra = self._row[EXTRA]
        return self._fates.usual if extra is True else extra

    @property
    def _outcome(self) -> Any:
        return self._fates.outcome_of(self._row, self._place)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, QueuedMessage):
            return NotImplemented
        return self._row is other._row or (self._place == other._place is not None and self._fates is other._fates)

    def __hash__(self) -> int:
        # the rows of a block are made whenever somebody looks at one
        return hash((id(self._fates), self._place)) if self._fates.of_block else id(self._row)

    @property
    def on_delivery(self) -> Optional[OnDelivery]:
        """Return what is called once the outcome is known."""
        extra = self._extra
        return extra and extra[ON_DELIVERY]

    @property
    def done(self) -> bool:
        """Return whether the message was acknowledged or failed."""
        return self._outcome is not None

    @property
    def error(self) -> Optional[Exception]:
        """Return why the message could not be delivered; None while undecided or when it was."""
        outcome = self._outcome
        return outcome if isinstance(outcome, Exception) else None

    def result(self, timeout: Optional[float] = None) -> QueuedMessage:
        """Return this message once the broker has it, waiting at most ``timeout`` seconds (None: until it is decided).

        Every message is decided within the producer's ``delivery_timeout_ms``. Waiting makes the producer send at once.

        :raises OperationTimedOut: when ``timeout`` passed first; the message may still be delivered
        :raises KafkaException: the reason why the message was not delivered
        """
        outcome = self._fates.outcome_of(self._row, self._place)
        if type(outcome) is int and (timeout is None or (type(timeout) is int and timeout >= 0)):
            return self  # hot: per message that is waited for, when the others before it have been
        limit = checked_timeout(timeout)
        if outcome is None:
            self._fates.wait_for(self, limit)
            outcome = self._outcome
        if isinstance(outcome, Exception):
            raise outcome.with_traceback(None)  # raised again and again, its traceback would grow each time
        return self


#: Makes a message without calling a constructor, which would cost half as much again. Who calls it writes all of _row, _fates
#: and _place.
new_message: Callable[[type[QueuedMessage]], QueuedMessage] = object.__new__


def queued_message(row: Row, fates: Fates, place: Optional[int] = None) -> QueuedMessage:
    """Return the message for a row; ``place`` is where it stood in the queue, if that is known."""
    message = new_message(QueuedMessage)
    message._row = row
    message._fates = fates
    message._place = place
    return message


class Block(NamedTuple):
    """Messages queued by one call of ``produce_many()``, column by column."""

    values: list[Optional[bytes]]
    keys: Optional[list[Optional[bytes]]]
    timestamp: int
    extras: Optional[list[Union[Extra, Literal[True], None]]]
    fates: Fates

    def message(self, place: int) -> QueuedMessage:
        """Return the message at ``place``, as it would be had it been produced alone."""
        row = (self.values[place], self.keys and self.keys[place], self.timestamp, self.extras and self.extras[place])
        return queued_message(row, self.fates, place)  # type: ignore[arg-type]  # an empty column holds no message


class QueuedMessages(Sequence[QueuedMessage]):
    """The messages of one call of ``produce_many()``: made when they are asked for, since mostly nobody does."""

    __slots__ = ("_blocks", "_count")

    def __init__(self, blocks: list[Block]) -> None:
        self._blocks = blocks
        self._count = sum(len(block.values) for block in blocks)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[QueuedMessage]:
        return (block.message(place) for block in self._blocks for place in range(len(block.values)))

    @overload
    def __getitem__(self, index: int) -> QueuedMessage: ...
    @overload
    def __getitem__(self, index: slice) -> list[QueuedMessage]: ...
    def __getitem__(self, index: Union[int, slice]) -> Union[QueuedMessage, list[QueuedMessage]]:
        """Return one message, or a list of them for a slice."""
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(self._count))]
        place = range(self._count)[index]
        for block in self._blocks:
            if place < len(block.values):
                return block.message(place)
            place -= len(block.values)
        raise AssertionError("range() refuses what lies outside")

    def __repr__(self) -> str:
        return f"<{self._count} queued messages>"
