"""How fetched batches become messages in fair order, and how far the caller has got: pure, used under the consumer's lock.

A *turn* deals one message of each partition in turn. It is built by slices of columns (see :mod:`..records.rows`), and makes
each message when the caller takes it from its iterator, without a lock. How many were taken is what the first column's
iterator has left, so no bookkeeping is paid for per message.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import repeat
from operator import length_hint
from typing import Any, NamedTuple, Optional, Protocol

from ..common import TopicPartition
from ..exceptions import CorruptBatchError, KafkaException
from ..records.batch import RawBatch
from ..records.decode import decode_batch
from ..records.message import Message, Origin
from ..records.rows import NO_ROWS, OFFSETS, VALUES, Rows, cut_rows, dealt, joined, messages_of, rows_of

#: A partition is refilled below this many decoded messages, so that many small batches make no tiny turns.
MIN_READY = 500
#: Nor above this many decoded bytes, as long as there is a message: what was compressed well is large once decoded.
MAX_READY_BYTES = 4 * 1024 * 1024
#: What a message takes in columns beside its bytes: the head of its value, its timestamp, and a place in each column.
ROW_BYTES = 100
#: The most messages of one partition in a turn: bounds how long a newly arrived partition waits.
MAX_PER_TURN = 2000


class Parcel(Protocol):
    """What one fetch brought of one partition."""

    @property
    def generation(self) -> int:
        """Return the generation of the fetch."""

    @property
    def batches(self) -> list[RawBatch]:
        """Return the batches to decode."""

    @property
    def next_position(self) -> int:
        """Return where the partition goes on behind the parcel."""

    @property
    def error(self) -> Optional[KafkaException]:
        """Return the error to show in place of messages."""

    @property
    def incarnation(self) -> int:
        """Return how often the topic had been made anew when this was fetched."""

    @property
    def is_jump(self) -> bool:
        """Return whether the log goes on somewhere else here, perhaps at a lower offset: what to fetch was gone."""


class Taken(NamedTuple):
    """How much a refill took out of the fetched data."""

    messages: int
    size: int


NOWHERE = (None, 0)


class PartitionBuffer:
    """One partition on the consumer's side. ``position`` is the next offset to deliver, None until it is known."""

    __slots__ = (
        "_max_decompressed",
        "_origins",
        "_parcels",
        "_pieces",
        "_pieces_count",
        "_place",
        "_row_bytes",
        "_rows",
        "_start",
        "_taken_bytes",
        "_taken_messages",
        "_topic_name",
        "after",
        "delivered",
        "error",
        "generation",
        "incarnation",
        "jumped_to",
        "partition",
        "paused",
        "position",
        "tp",
    )

    def __init__(self, tp: TopicPartition, partition: Any, parcels: deque[Any], max_decompressed: int) -> None:
        self.tp = tp
        self.partition = partition
        self.position: Optional[int] = None
        #: the offset behind the message that was delivered last, as of the end of its turn; None since a seek
        self.delivered: Optional[int] = None
        #: where the partition goes on behind what is available
        self.after = 0
        self.generation = 0
        #: which of the topics of this name, one after the other, the position is about
        self.incarnation = 0
        self.error: Optional[KafkaException] = None
        self.paused = False
        #: where a jump has led, until the consumer has dealt with it
        self.jumped_to: Optional[int] = None
        #: what is decoded; what is before number ``_start`` is in a turn by now
        self._rows = NO_ROWS
        #: what was decoded since, batch by batch, and how many messages that is: joined once, for the next turn
        self._pieces: tuple[Rows, ...] = ()
        self._pieces_count = 0
        #: how much memory one of them takes, on average
        self._row_bytes = 0
        #: by codec and format: the messages of many batches share one
        self._origins: dict[tuple[int, int], Origin] = {}
        self._topic_name = tp.topic.encode()
        self._parcels = parcels
        #: the parcel that batches were taken out of, and how many
        self._place: tuple[Optional[Parcel], int] = NOWHERE
        #: taken out of the parcels and not told yet
        self._taken_messages = 0
        self._taken_bytes = 0
        self._start = 0
        self._max_decompressed = max_decompressed

    @property
    def available(self) -> int:
        """Return how many decoded messages are not in a turn yet."""
        # looked at once: a signal handler may go elsewhere meanwhile, and what belongs together must be of one moment
        rows, start, pieces_count = self._rows, self._start, self._pieces_count
        return len(rows[VALUES]) - start + pieces_count

    @property
    def held_bytes(self) -> int:
        """Return how much memory the decoded messages take that are not in a turn yet, about."""
        return self.available * self._row_bytes

    @property
    def has_come(self) -> bool:
        """Return whether anything waits for :meth:`refill`, which does nothing otherwise."""
        return bool(self._parcels)

    def seek(self, position: Optional[int]) -> None:
        """Go on at ``position`` (None: unknown for now) and forget everything fetched for another one."""
        self.delivered = None
        self._begin_at(position)

    def _begin_at(self, position: Optional[int]) -> None:
        self.position = position
        self.after = position or 0
        self.generation += 1
        self._rows = NO_ROWS
        self._start = 0
        self._pieces = ()
        self._pieces_count = 0
        self.error = None
        self.jumped_to = None

    @property
    def _wants_more(self) -> bool:
        if self.error is not None:
            return False
        return not self.available or (self.available < MIN_READY and self.held_bytes < MAX_READY_BYTES)

    def rewind(self) -> Optional[Taken]:
        """Forget what was fetched and not delivered, to be fetched once more; None, and nothing done, when that is not possible.

        That is so before the position is known, behind an error, and ahead of a jump: asked again, a broker may not tell of it.
        """
        parcels = list(self._parcels)
        if self.position is None or self.error is not None or self.jumped_to is not None or any(p.is_jump for p in parcels):
            return None
        self._begin_at(self.position)
        self._drop_parcels()
        return self._tell()

    def _drop_parcels(self) -> None:
        """Take everything that waits to be decoded, for nothing."""
        while True:
            parcel = self._first_parcel()
            if parcel is None:
                return
            self._go_on(parcel, self._index(parcel))

    def _first_parcel(self) -> Optional[Any]:
        try:
            return self._parcels[0]
        except IndexError:  # there was one a moment ago, perhaps, which a signal handler has dropped
            return None

    def _index(self, parcel: Parcel) -> int:
        """Return how many batches were taken out of ``parcel``."""
        begun, index = self._place
        return index if begun is parcel else 0

    def _go_on(self, parcel: Parcel, index: int) -> None:
        """Take batch number ``index`` out of ``parcel``, or the parcel itself behind its last one; once, if asked twice."""
        if index >= len(parcel.batches):
            if self._parcels and self._parcels[0] is parcel:
                self._parcels.popleft()
                self._place = NOWHERE
            return
        batch = parcel.batches[index]
        messages, size, place = batch.records_count, len(batch.data), (parcel, index + 1)
        if self._index(parcel) == index and self._parcels and self._parcels[0] is parcel:
            # nothing but assignments, see _decode
            self._place = place
            self._taken_messages += messages
            self._taken_bytes += size

    def _tell(self) -> Taken:
        """Return what was taken since this was told last."""
        taken = Taken(self._taken_messages, self._taken_bytes)
        # not to 0: a signal handler may have come here before us
        self._taken_messages -= taken.messages
        self._taken_bytes -= taken.size
        return taken

    def refill(self) -> Taken:
        """Decode until enough messages are ready or nothing more was fetched; errors are kept for the caller to raise.

        What a signal handler raises comes out at once, and what was taken until then is told next time. One that rewinds or seeks
        in the middle has what is decoded just then dropped.
        """
        while self._wants_more:
            parcel = self._first_parcel()
            if parcel is None:
                break
            if parcel.is_jump and self.available and parcel.generation == self.generation:
                break  # everything before it is delivered first: a turn's offsets ascend, and a jump can be committed
            place = self._place
            index = place[1] if place[0] is parcel else 0
            if index >= len(parcel.batches):
                self._finish(parcel)
            elif parcel.generation == self.generation:
                self._decode(parcel.batches[index], parcel, place)
            # only now: whoever presses Ctrl-C meanwhile finds the batch here next time
            self._go_on(parcel, index)
        if not self.available and self.position is not None:
            self.position = self.after  # nothing to deliver up to here: control records, aborted or compacted ones
        if self.error is not None:  # what is behind it is not delivered before a seek, which drops it
            self._drop_parcels()
        return self._tell()

    def _decode(self, batch: RawBatch, parcel: Parcel, place: tuple[Optional[Parcel], int]) -> None:
        """Have the messages of ``batch`` ready, the one of ``parcel`` that is next at ``place``, if it is so still at the end."""
        generation = parcel.generation
        try:
            columns = decode_batch(batch, *self.tp, self._max_decompressed)
        except KafkaException as error:
            if isinstance(error, CorruptBatchError):
                error.was_met_at(self.after)
            if self.generation == generation and self._place is place and self._parcels and self._parcels[0] is parcel:
                self.error = error
            return
        fresh = rows_of(columns, self._origin(batch.codec, batch.magic), self.after)
        held_bytes = self.held_bytes + columns.size + ROW_BYTES * len(columns.values)
        count = len(fresh[VALUES])
        row_bytes, after = held_bytes // max(1, self.available + count), batch.next_offset
        if self.generation != generation or self._place is not place or not self._parcels or self._parcels[0] is not parcel:
            return  # a signal handler has gone elsewhere meanwhile, or taken the messages
        # nothing but assignments, between which no signal handler runs (from Python 3.10 on)
        if count:  # the cleaner leaves batches without messages, perhaps thousands of them
            self._pieces += (fresh,)
            self._pieces_count += count
            self._row_bytes = row_bytes
        self.after = after

    def _origin(self, codec: int, magic: int) -> Origin:
        origin = self._origins.get((codec, magic))
        if origin is None:
            origin = Origin(self._topic_name, self.tp.partition, self.partition, codec, magic)
            self._origins[codec, magic] = origin
        return origin

    def _join(self) -> None:
        """Have everything that is decoded in one place."""
        source, start, pieces = self._rows, self._start, self._pieces
        if not pieces:
            return
        left = (cut_rows(source, start, len(source[VALUES])),) if start < len(source[VALUES]) else ()
        rows = joined(left + pieces)
        if self._rows is not source or self._start != start or self._pieces is not pieces:
            return  # a signal handler has gone elsewhere meanwhile, or taken messages
        # nothing but assignments, see _decode
        self._rows = rows
        self._start = 0
        self._pieces = ()
        self._pieces_count = 0

    def _finish(self, parcel: Parcel) -> None:
        """Note what is behind the batches of ``parcel``, unless a signal handler has done so, or gone elsewhere, meanwhile."""
        if parcel.generation != self.generation or not self._parcels or self._parcels[0] is not parcel:
            return
        # nothing but assignments, see _decode
        if parcel.error is not None:
            self.error = parcel.error
            return
        self.after = parcel.next_position
        self.incarnation = parcel.incarnation
        if parcel.is_jump:
            self.jumped_to = parcel.next_position

    def share(self, most: int) -> Part:
        """Return the next messages, at most ``most``, with the position behind them; they stay here until :meth:`advance`."""
        self._join()
        # looked at once: a signal handler may go elsewhere meanwhile, and what is dealt then does not count (see deal)
        source, start, after = self._rows, self._start, self.after
        whole = len(source[VALUES])
        stop = min(start + most, whole)
        rows = cut_rows(source, start, stop)
        return Part(self, rows, rows[OFFSETS][-1] + 1 if stop < whole else after, source, start)

    def advance(self, part: Part, count: int, turn: Turn, position: Optional[int] = None) -> None:
        """Go on behind the first ``count`` messages of ``part``, also again and with another count, until ``turn`` is over.

        :param position: the position that is reached by that, None where it is not known yet
        """
        delivered = part.rows[OFFSETS][count - 1] + 1 if count else None
        # nothing but assignments, see _decode: a signal handler may have moved the consumer meanwhile, or begun the next turn
        if self._rows is part.source and not turn.is_over:
            self._start = part.start + count
            if position is not None:
                self.position = position
                self.delivered = delivered


class Part(NamedTuple):
    """One partition's share of a turn; ``behind`` is the position once all of it is delivered.

    ``start`` is where it begins in ``source``, the rows of the buffer.
    """

    buffer: PartitionBuffer
    rows: Rows
    behind: int
    source: Rows
    start: int

    @property
    def size(self) -> int:
        """Return how many messages it has."""
        return len(self.rows[VALUES])

    def position_after(self, count: int) -> int:
        """Return the position once the first ``count`` messages, at least one, are delivered."""
        return self.behind if count >= self.size else self.rows[OFFSETS][count - 1] + 1


class Turn:
    """Messages of several partitions dealt out one by one; ``ready`` is what the caller takes them from."""

    __slots__ = ("_parts", "_taken_back", "_total", "_values", "is_over", "ready")

    def __init__(self, parts: list[Part]) -> None:
        self._parts = parts
        #: whether it was ended, by whoever was first: the buffers are another turn's from then on
        self.is_over = False
        rows = dealt([part.rows for part in parts]) if parts else NO_ROWS
        self._total = len(rows[VALUES])
        #: what shows how far the caller is, and ends :attr:`ready` when it is exhausted
        self._values = iter(rows[VALUES])
        #: the values of the messages that were taken back before the end
        self._taken_back: list[Any] = []
        self.ready: Iterator[Message] = messages_of(self._values, rows)

    @property
    def left(self) -> int:
        """Return how many messages are at hand."""
        return length_hint(self._values)

    def positions(self) -> dict[TopicPartition, int]:
        """Return the position of every partition of the turn of which something was delivered."""
        while True:
            taken_back = len(self._taken_back)
            left = taken_back + length_hint(self._values)
            if len(self._taken_back) == taken_back:  # else interrupt() came in between, and left is counted twice
                break
        counts = self._delivered(self._total - left)
        return {part.buffer.tp: part.position_after(count) for part, count in zip(self._parts, counts) if count}

    def _delivered(self, total: int) -> list[int]:
        """Return how many messages of each part are among the first ``total`` dealt: part k gets every width-th from k on."""
        width = len(self._parts)
        return [min(part.size, max(0, total - k + width - 1) // width) for k, part in enumerate(self._parts)]

    def interrupt(self) -> None:
        """Have nothing more delivered; from any thread, without the lock. :meth:`end` takes care of what is left."""
        self._taken_back.extend(self._values)

    def undeliver(self, count: int) -> None:
        """Have nothing more delivered, and the last ``count`` messages that were taken come again: nobody has got them.

        That is so when a signal handler raises while a message is made. Exact as long as no other thread takes any meanwhile;
        when the turn is over this changes nothing.
        """
        self.interrupt()
        self._taken_back.extend(repeat(None, count))

    def take_back(self, left: int) -> bool:
        """Have the message come again that was taken last, if so many were left after it; return False when it was not.

        Then another thread has taken some since, or the turn is over. Whatever there is, nothing more is delivered of the turn.
        """
        self.interrupt()
        if self.is_over or len(self._taken_back) != left:
            return False
        self._taken_back.append(None)
        return True

    def begin(self) -> None:
        """Have the buffers go on behind the turn. Until then, and in the middle of it, :meth:`end` undoes it all the same."""
        for part in self._parts:
            part.buffer.advance(part, part.size, self)

    def end(self) -> None:
        """Have what was not delivered come again from the buffers, and write the positions reached into them.

        Emptying the iterator is one step to other threads: each message is either theirs or comes again. Ending a turn twice
        changes nothing: a signal handler may stop the consumer that is just ending its turn, or raise in the middle of it.
        """
        self.interrupt()
        for part, count in zip(self._parts, self._delivered(self._total - len(self._taken_back))):
            part.buffer.advance(part, count, self, part.position_after(count) if count else None)
        self.is_over = True


def deal(buffers: list[PartitionBuffer]) -> Turn:
    """Return a turn with as many messages of each buffer as all of them have, at most MAX_PER_TURN; none may be empty.

    The buffers stay as they are until the turn begins: what is dealt and then lost, to a Ctrl-C, is dealt again. Where a signal
    handler takes messages or goes on elsewhere meanwhile, the turn is not to begin.
    """
    most = min([MAX_PER_TURN, *(buffer.available for buffer in buffers)])
    parts = [buffer.share(most) for buffer in buffers] if most else []
    return Turn(parts if all(part.size == most for part in parts) else [])
