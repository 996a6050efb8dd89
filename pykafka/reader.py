"""A Reader: delivers messages of some partitions in fair order, and knows how far it is in each."""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, Optional

from ._engine import forking
from ._engine.waiting import Deadline, is_set
from ._machines.metadata import ZERO_UUID
from ._machines.positions import held_offset
from ._machines.turns import PartitionBuffer, Turn, deal
from .common import TopicPartition, checked_milliseconds
from .deserializing import Deserializing
from .exceptions import ConsumerStoppedException, ForkedError
from .offset_arguments import check_count, checked_offset, owned_tp, owned_tps
from .partition import OwnedPartition, Partition
from .records import crc32c
from .records.message import Message

if TYPE_CHECKING:
    from ._engine.fetching import FetchCore
    from .cluster import Cluster

log = logging.getLogger(__name__)

#: Seconds that stop() waits for the I/O thread.
STOP_TIMEOUT_S = 10.0
#: How often a waiting consume() looks at its unblock_event (seconds); an event cannot wake us.
UNBLOCK_POLL_S = 0.05
#: How often a waiting consume() looks around although nothing has woken it (seconds).
LOOK_AROUND_S = 0.2


class Reader:
    """What every consumer is built on. Threads may share it; each message goes to one of them.

    Who derives from it makes the FetchCore, hands over which partitions are read (:meth:`_begin`, :meth:`_adopt`,
    :meth:`_give_up`), and has the last word on whether reading goes on (:meth:`_check_running`).
    """

    def __init__(self, cluster: Cluster, options: Mapping[str, Any]) -> None:
        crc32c.load()
        self._cluster = cluster
        self._options = options
        deserializer = options["deserializer"]
        self._deserializing = None if deserializer is None else Deserializing(deserializer)
        self._running = False
        #: held by start() and stop() as long as they ask the cluster; _lock is never held that long. A signal handler may
        #: call stop() in the middle of either, so the thread that has them can take them again
        self._lifecycle, self._lock = threading.RLock(), threading.RLock()
        self._core: Optional[FetchCore] = None
        #: those made that are not known to have stopped: Ctrl-C may come between any two lines
        self._unfinished: list[FetchCore] = []
        #: the partitions that are read; replaced whenever there is another one, so that who looks through it needs no lock
        self._owned: dict[TopicPartition, Partition] = {}
        #: replaced in the same way
        self._buffers: dict[TopicPartition, PartitionBuffer] = {}
        #: the same in the order of whose turn it is
        self._order: list[PartitionBuffer] = []
        #: where the partitions are while the consumer is not running, and the ids of the topics that is about
        self._parked: dict[TopicPartition, int] = {}
        self._parked_ids: dict[TopicPartition, Optional[bytes]] = {}
        self._turn = Turn([])
        self._ready: Iterator[Message] = self._turn.ready
        #: partitions of which nothing is delivered any more, although they are read still, and what has them fenced last
        self._fenced: dict[TopicPartition, object] = {}
        #: held for a moment by whoever changes _fenced; it is looked into without
        self._fence_lock = threading.Lock()
        self._worker_error: Optional[BaseException] = None
        forking.watch_with(self, type(self)._let_go)

    def __del__(self) -> None:
        if getattr(self, "_running", False):
            self._abandon()
            warnings.warn(f"{self!r} was never stopped: use a with block, or stop()", ResourceWarning, source=self, stacklevel=2)
        elif getattr(self, "_unfinished", None):
            self._abandon()  # a stop() was interrupted

    def _abandon(self) -> None:
        """End what goes on in the background without waiting: nobody holds the consumer any more."""
        for core in self._unfinished:
            core.abandon()

    def _let_go(self) -> None:
        """In a forked child: forget what was fetched, which is the parent's, and any lock another thread held."""
        self._lifecycle, self._lock = threading.RLock(), threading.RLock()
        self._running = False
        self._turn.interrupt()
        self._core, self._buffers, self._order, self._unfinished = None, {}, [], []

    def _check_not_forked(self) -> None:
        if self._cluster.engine.loop.forked:
            raise ForkedError("this consumer was made before a fork and belongs to the parent: make a new KafkaClient here")

    def _check_running(self) -> None:
        self._check_not_forked()
        if not self._running:
            raise ConsumerStoppedException(f"{self!r} is stopped: start() it first")

    # -- what is read -------------------------------------------------------------------------------------------------

    def _begin(self, core: FetchCore, positions: Mapping[TopicPartition, int]) -> None:
        """Read what is owned from ``positions`` on."""
        buffers = {tp: self._make_buffer(core, tp, partition) for tp, partition in self._owned.items()}
        with self._lock:
            self._core, self._buffers, self._order = core, buffers, list(buffers.values())
            self._worker_error = None
            self._seek(positions)
            self._parked, self._parked_ids = {}, {}
            self._running = True

    def _end(self) -> bool:
        """Deliver nothing any more; return False when that was so already. :meth:`_stop_cores` follows."""
        with self._lock:
            self._running = False
            if self._core is None:
                return False
            self._put_back_turn()
            self._parked, self._parked_ids = self._positions(), self._log_ids()
            self._forget_error(self._owned)
            core, self._core = self._core, None
            self._buffers, self._order = {}, []
        core.notify()
        return True

    def _stop_cores(self) -> None:
        """Have nothing fetched any more, and wait for that."""
        for core in list(self._unfinished):
            core.stop(Deadline(STOP_TIMEOUT_S))
            with suppress(ValueError):  # another thread was faster
                self._unfinished.remove(core)

    def _make_buffer(self, core: FetchCore, tp: TopicPartition, partition: Partition) -> PartitionBuffer:
        return PartitionBuffer(tp, partition, core.parcels[tp], self._options["max_decompressed_bytes"])

    def _adopt(self, core: FetchCore, partitions: Iterable[Partition]) -> None:
        """Read other partitions, once they have a place; under the lock."""
        more = {partition.tp: partition for partition in partitions}
        core.add(more)
        buffers = {tp: self._make_buffer(core, tp, partition) for tp, partition in more.items()}
        self._owned = {**self._owned, **more}
        self._buffers = {**self._buffers, **buffers}
        self._order = [*self._order, *buffers.values()]

    def _fence(self, partitions: Iterable[TopicPartition], why: object) -> None:
        """Deliver nothing more of these partitions, from this moment on; from any thread, without waiting."""
        with self._fence_lock:
            self._fenced.update(dict.fromkeys(partitions, why))
        self._turn.interrupt()

    def _unfence(self, why: object) -> None:
        """Undo what ``why`` has fenced; what was fenced again since stays so."""
        with self._fence_lock:
            for tp in [tp for tp, reason in self._fenced.items() if reason is why]:
                del self._fenced[tp]

    def _give_up(self, partitions: Iterable[TopicPartition], why: object) -> None:
        """Read these partitions no more.

        What was fenced for ``why`` may be read again later; what was fenced again since has to be given up again before.
        """
        with self._lock:
            gone = frozenset(partitions)
            self._put_back_turn()
            self._owned = {tp: partition for tp, partition in self._owned.items() if tp not in gone}
            self._buffers = {tp: buffer for tp, buffer in self._buffers.items() if tp not in gone}
            self._order = [buffer for buffer in self._order if buffer.tp not in gone]
            self._forget_error(gone)
            self._unfence(why)
            if self._core is not None:
                self._core.drop(gone)

    # -- consuming ----------------------------------------------------------------------------------------------------

    # hot: per message
    def consume(self, block: bool = True, unblock_event: Any = None) -> Optional[Message]:
        """Return the next message, or None when there is none (in time).

        :param block: wait for a message, at most ``consumer_timeout_ms``, an option of the consumer, when that is above 0; False
            only looks. :meth:`consume_batch` takes a time to wait with each call
        :param unblock_event: an object with ``is_set()``; once it is set, consume() returns None instead of waiting
        :raises ConsumerStoppedException: when the consumer is not running, or is stopped meanwhile
        :raises CorruptBatchError: with topic, partition and offset; again on every call until seek() or reset_offsets()
        """
        if self._deserializing is not None:
            return self._consume_deserialized(block, unblock_event)
        try:
            message = next(self._ready, None)
        except BaseException:  # as in _next(), which a call of would cost
            self._turn.undeliver(1)
            raise
        return message if message is not None else self._wait_for_message(block, unblock_event)

    _consume = consume

    def _next(self) -> Optional[Message]:
        """Return the next message that is at hand, if any; what a signal handler keeps from being made comes again."""
        try:
            message = next(self._ready, None)
        except BaseException:
            self._turn.undeliver(1)
            raise
        return message

    def _consume_deserialized(self, block: bool, unblock_event: Any) -> Optional[Message]:
        deserializing = self._deserializing
        assert deserializing is not None
        if deserializing.unheard:
            deserializing.raise_error()
        message = self._next() or self._wait_for_message(block, unblock_event)
        try:
            return message if message is None else deserializing.one(message)
        except Exception:
            raise  # which tells of the message
        except BaseException:
            self._turn.undeliver(1)
            raise

    def _wait_for_message(self, block: bool, unblock_event: Any) -> Optional[Message]:
        deadline = self._deadline()
        while True:
            # not taken under the lock: Ctrl-C may come as that is let go, and whoever has a message then has it for nobody
            message = self._next() if self._look() else None
            if message is not None:
                return message
            if not block or is_set(unblock_event) or deadline.passed:
                return None
            self._wait_for_arrival(deadline, UNBLOCK_POLL_S if unblock_event is not None else LOOK_AROUND_S)

    def _wait_for_arrival(self, deadline: Deadline, slice_s: float) -> None:
        core = self._core
        if core is None:
            return  # stopped meanwhile: the caller finds out at its next look

        def has_come() -> bool:
            open_ = (tp for tp, buffer in self._buffers.items() if not buffer.paused and tp not in self._fenced)
            return not self._running or any(core.parcels.get(tp) for tp in open_)

        core.arrived.wait(has_come, min(slice_s, deadline.left()))

    def _look(self) -> bool:
        """Return whether there are messages at hand, those included that were fetched and wait for their turn."""
        self._check_running()
        with self._lock:
            self._check_running()
            if not self._turn.left:  # else another thread was here first
                self._raise_worker_exceptions()
                if self._deserializing is not None:
                    self._deserializing.raise_error()
                self._begin_turn()
        return self._turn.left > 0

    def _begin_turn(self) -> None:
        """Deal out what was fetched; under the lock."""
        while True:
            before = self._put_back_turn()
            ready = self._refill()
            turn = deal(ready)
            if self._turn is before:
                self._turn = turn
                self._ready = turn.ready
                turn.begin()
            if self._turn is not turn:
                # a signal handler has taken messages, gone elsewhere or stopped: what was dealt is taken, or comes again
                self._check_running()
                continue
            # who fences sets _fenced and then interrupts _turn: one of the two looks saw the other
            if not any(buffer.tp in self._fenced for buffer in ready):
                return

    def _put_back_turn(self) -> Turn:
        """End the turn; what was not delivered comes first in the next one. Return the empty turn that is in its place."""
        empty = Turn([])
        while True:
            turn = self._turn
            turn.end()
            if self._turn is turn:  # else a signal handler has begun another one meanwhile
                self._turn = empty
                self._ready = empty.ready
                return empty

    def _refill(self) -> list[PartitionBuffer]:
        """Decode what was fetched; return the partitions with messages, the one that came first last time now last."""
        core = self._core
        if core is None:
            return []  # a signal handler has stopped us meanwhile
        ready: list[PartitionBuffer] = []
        later: list[PartitionBuffer] = []
        failed: Optional[PartitionBuffer] = None
        room: Optional[int] = None
        for buffer in self._order:
            if buffer.paused or buffer.tp in self._fenced:
                continue
            if buffer.has_come:
                if room is None:
                    room = core.settings.limits.decoded_bytes - sum(one.held_bytes for one in self._order)
                if room > 0:
                    room -= self._refill_one(core, buffer)
                elif not buffer.available and buffer.error is None:
                    later.append(buffer)
            if buffer.available:
                ready.append(buffer)
            elif buffer.error is not None:
                failed = failed or buffer
        if later and not ready:
            self._refill_one(core, later[0])  # what is paused may take all of the room for ever
            ready = [buffer for buffer in later[:1] if buffer.available]
        if self._core is not core:
            return []  # stopped meanwhile, and perhaps started again: these buffers count no more
        if failed is not None and (not ready or self._turns_since_error >= 1):
            self._turns_since_error = 0
            self._order = [buffer for buffer in self._order if buffer is not failed] + [failed]
            assert failed.error is not None
            raise failed.error
        self._turns_since_error = self._turns_since_error + 1 if failed is not None else 0
        if later:  # these come first next time
            waiting = set(later)
            self._order = later + [buffer for buffer in self._order if buffer not in waiting]
        elif ready:
            self._order = self._order[1:] + self._order[:1]
        return ready

    def _refill_one(self, core: FetchCore, buffer: PartitionBuffer) -> int:
        """Decode what was fetched of a partition; return how much memory that takes."""
        held_bytes, error = buffer.held_bytes, buffer.error
        taken = buffer.refill()
        if taken.messages or taken.size:
            core.took(buffer.tp, taken.messages, taken.size)
        if buffer.error is not error:
            core.give_up(buffer.tp, buffer.generation)
        if buffer.jumped_to is not None:
            self._note_jump(buffer)
        return buffer.held_bytes - held_bytes

    #: A failed partition must not stop the others, nor be forgotten: its error is raised between their turns.
    _turns_since_error = 0

    def _note_jump(self, buffer: PartitionBuffer) -> None:
        """Called when a partition goes on somewhere else, since its offset was gone; under the lock."""
        buffer.jumped_to = None

    def consume_batch(self, max_messages: int = 500, timeout_ms: Optional[int] = None) -> list[Message]:
        """Return up to ``max_messages`` messages: those at hand, after waiting for the first one; empty when there is none.

        :param timeout_ms: how long to wait for the first; None means ``consumer_timeout_ms``, 0 only looks
        """
        check_count("max_messages", max_messages)
        most = min(max_messages, sys.maxsize)  # of which islice() refuses more
        if self._deserializing is not None:
            self._deserializing.raise_error()
        batch = self._take(most)
        if not batch:
            deadline = self._deadline(timeout_ms)
            while not batch and self._wait_for_some(deadline):
                batch = self._take(most)  # unless another thread was faster
        return batch

    def _take(self, most: int) -> list[Message]:
        """Return messages that are at hand, at most ``most``; what a signal handler keeps from being returned comes again.

        So does, for the next call, the first that the deserializer refuses; if it is the first of all its error is raised.
        """
        batch: list[Message] = []
        turn, left, failed = self._turn, 0, None
        try:
            left = turn.left
            at_hand = islice(turn.ready, most)
            if self._deserializing is None:
                batch.extend(at_hand)  # hot
            else:
                failed = self._deserializing.batch(at_hand, batch)
        except BaseException:
            turn.undeliver(left - turn.left)
            raise
        if failed is not None and self._deserializing is not None:
            if not batch:
                raise failed[1]
            with self._lock:
                if self._turn is not turn or not turn.take_back(left - len(batch) - 1):
                    self._deserializing.unheard.append(failed)
            self._wake()
        return batch

    def batches(self, max_messages: int = 500, timeout_ms: Optional[int] = None) -> Iterator[list[Message]]:
        """Return an iterator of what :meth:`consume_batch` returns; it ends with the first batch that would be empty.

        Calling it again goes on, as iterating over the consumer again does.

        :param timeout_ms: how long to wait for the first message of each batch; None means ``consumer_timeout_ms``
        """
        check_count("max_messages", max_messages)
        if timeout_ms is not None:
            checked_milliseconds(timeout_ms, "timeout_ms")
        return iter(lambda: self.consume_batch(max_messages, timeout_ms), [])

    def _deadline(self, given_ms: Optional[int] = None) -> Deadline:
        """Return until when a call waits: for ``given_ms``, or as long as ``consumer_timeout_ms`` says where that is None."""
        if given_ms is not None:
            return Deadline(checked_milliseconds(given_ms, "timeout_ms") / 1000.0)
        timeout_ms = self._options["consumer_timeout_ms"]
        return Deadline(timeout_ms / 1000.0 if timeout_ms > 0 else None)

    def _wait_for_some(self, deadline: Deadline) -> bool:
        """Return whether there are messages at hand before ``deadline``."""
        while not self._look():
            if deadline.passed:
                return False
            self._wait_for_arrival(deadline, LOOK_AROUND_S)
        return True

    def __iter__(self) -> Iterator[Message]:
        """Yield messages until none arrives for ``consumer_timeout_ms``; iterating again goes on."""
        while True:
            message = self.consume()
            if message is None:
                return
            yield message
            # another consume() in the place of ours, as subclasses and tracing tools have it, is to see every message
            ours = type(self).consume is Reader._consume and "consume" not in vars(self)
            if ours and self._deserializing is None:
                try:
                    yield from self._ready  # hot: emptied by stop() and seek(), so nothing stale is yielded
                except GeneratorExit:
                    raise  # the loop was left, with every message that was taken
                except BaseException:
                    self._turn.undeliver(1)
                    raise

    def fetch(self) -> None:
        """Do nothing: fetching never stops (kept for code that calls it)."""
        self._check_running()

    # -- positions ----------------------------------------------------------------------------------------------------

    def _positions(self) -> dict[TopicPartition, int]:
        """Return the next offset to deliver of every partition whose position is known."""
        with self._lock:
            positions = {tp: buffer.position for tp, buffer in self._buffers.items() if buffer.position is not None}
            positions.update(self._turn.positions())
            positions.update(self._parked)
            return positions

    def _log_ids(self) -> dict[TopicPartition, Optional[bytes]]:
        """Return the ids of the topics that the positions are about: see :meth:`FetchCore.log_id`."""
        core = self._core
        if core is None:
            return self._parked_ids
        return {tp: core.log_id(tp, buffer.incarnation) for tp, buffer in self._buffers.items()}

    def _may_commit(self, tp: TopicPartition) -> bool:
        """Return whether it is for us to commit a partition that is read; asked under the lock, with its position."""
        return True

    def _to_commit(self) -> dict[TopicPartition, int]:
        """Return the positions that are for us to commit.

        Those in a topic that was deleted are left out: in another one of its name they are just numbers.
        """
        with self._lock:
            positions = {tp: position for tp, position in self._positions().items() if self._may_commit(tp)}
            ids, core = self._log_ids(), self._core
        left_out = [tp for tp in positions if not self._is_there_still(tp, ids) or (core is not None and core.in_doubt(tp.topic))]
        if left_out:
            names = ", ".join(map(str, left_out))
            log.warning("%r: %s left out of a commit: the topic seems to be deleted, or made anew", self, names)
        return {tp: position for tp, position in positions.items() if tp not in left_out}

    def _is_there_still(self, tp: TopicPartition, log_ids: Mapping[TopicPartition, Optional[bytes]]) -> bool:
        log_id, known = log_ids.get(tp, ZERO_UUID), self._cluster.engine.topic_id(tp.topic)
        return log_id is not None and (log_id == known or ZERO_UUID in (log_id, known))

    def _progress(self) -> dict[Partition, OwnedPartition]:
        """Return how far each partition is, by Partition: what PyKafka's users looked at for want of :meth:`position`."""
        with self._lock:
            positions, core = self._positions(), self._core
            waiting = {tp: buffer.available for tp, buffer in self._buffers.items()}
            for tp in waiting:
                waiting[tp] += sum(parcel.messages for parcel in list(core.parcels.get(tp, ()))) if core is not None else 0
        return {
            partition: OwnedPartition(held_offset(positions.get(tp)), positions.get(tp, 0), waiting.get(tp, 0))
            for tp, partition in self._owned.items()
        }

    def position(self, partition: Partition) -> Optional[int]:
        """Return the next offset to deliver of a partition; None while it is not known."""
        return self._positions().get(owned_tp(partition, self._owned))

    def seek(self, partition: Partition, offset: int) -> None:
        """Go on at ``offset``, the next one to deliver; what was fetched for another position is dropped."""
        position = checked_offset(offset)
        self._check_running()
        tp = owned_tp(partition, self._owned)
        self._seek({tp: position})
        self._forget_error([tp])

    def _forget_error(self, partitions: Container[TopicPartition]) -> None:
        """Raise nothing any more about a message that the user has moved away from, or that others read."""
        if self._deserializing is not None:
            self._deserializing.forget_error(partitions)

    def _seek(self, positions: Mapping[TopicPartition, int]) -> None:
        with self._lock:
            while True:
                core = self._core
                if core is None:  # stopped since the caller looked
                    self._check_running()
                    return
                self._put_back_turn()
                # what was given up since the caller looked is not ours to move
                moved = {self._buffers[tp]: position for tp, position in positions.items() if tp in self._buffers}
                for buffer, position in moved.items():
                    buffer.seek(position)
                    buffer.incarnation = core.incarnation(buffer.tp)
                self._put_back_turn()  # a signal handler may have begun one with what was there before
                core.seek({buffer.tp: (buffer.position, buffer.generation) for buffer in moved})
                if self._core is core:
                    return
                # a signal handler has stopped and started us: these were the buffers of before

    def _move(self, positions: Mapping[TopicPartition, int]) -> None:
        with self._lock:
            if self._running:
                self._seek(positions)
            else:
                self._parked.update(positions)
                self._parked_ids.update(dict.fromkeys(positions, ZERO_UUID))
        self._forget_error(positions)

    def pause(self, partitions: Iterable[Partition]) -> None:
        """Deliver and fetch nothing of these partitions until :meth:`resume`."""
        self._set_paused(partitions, True)

    def resume(self, partitions: Iterable[Partition]) -> None:
        """Undo :meth:`pause`."""
        self._set_paused(partitions, False)

    def _set_paused(self, partitions: Iterable[Partition], paused: bool) -> None:
        tps = owned_tps(partitions, self._owned)
        with self._lock:
            while True:
                self._check_running()
                core = self._core
                if core is None:
                    continue  # a signal handler has stopped us since that look
                self._put_back_turn()
                # the others were given up since the caller looked
                buffers = [self._buffers[tp] for tp in tps if tp in self._buffers]
                for buffer in buffers:
                    buffer.paused = paused
                self._put_back_turn()  # as in _seek
                core.pause([buffer.tp for buffer in buffers], paused)
                if paused:
                    self._bound_paused(core, buffers)
                if self._core is core:
                    break  # else a signal handler has stopped us, and perhaps started: these were the buffers of before
        core.notify()

    def _bound_paused(self, core: FetchCore, just_paused: Iterable[PartitionBuffer]) -> None:
        """Forget what was fetched of partitions that were just paused, when those paused would keep too much from the others."""
        paused = [buffer for buffer in self._order if buffer.paused]
        held_bytes = sum(buffer.held_bytes + core.waiting_bytes(buffer.tp) for buffer in paused)
        if held_bytes <= core.settings.limits.paused_bytes:
            return
        positions: dict[TopicPartition, tuple[int, int]] = {}
        for buffer in just_paused:
            taken = buffer.rewind()
            if taken is not None and buffer.position is not None:
                core.took(buffer.tp, taken.messages, taken.size)
                positions[buffer.tp] = buffer.position, buffer.generation
        core.rewind(positions)

    # -- what went wrong in the background ----------------------------------------------------------------------------

    def _fail(self, error: BaseException) -> None:
        """Have the next consume() raise ``error``, unless there is another one that nobody has heard of yet; all are logged."""
        if self._worker_error is None or isinstance(error, SystemExit):  # the program is to end
            self._worker_error = error
        self._wake()

    def _wake(self) -> None:
        """Have every waiting consume() look around."""
        core = self._core
        if core is not None:
            core.notify()

    def _raise_worker_exceptions(self) -> None:
        """Raise, once, what went wrong in the background (a name that PyKafka code is known to call)."""
        error, self._worker_error = self._worker_error, None
        if error is not None:
            raise error
