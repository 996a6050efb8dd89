"""The SimpleConsumer: reads partitions of one topic, from where the offset rules say."""

from __future__ import annotations

import logging
import threading
import warnings
import weakref
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Callable, Optional, Union

from ._engine import forking
from ._engine.fetching import FetchCore, FetchSettings, weakly
from ._engine.ticker import Ticker
from ._engine.waiting import Deadline, is_set
from ._machines.positions import held_offset
from ._machines.turns import PartitionBuffer, Turn, deal
from .common import OffsetType, checked_milliseconds
from .config import CONSUMER, check_options, to_name
from .deserializing import Deserializer, Deserializing
from .exceptions import ConsumerStoppedException, ForkedError, KafkaException
from .offset_arguments import (
    PartitionOffsets,
    check_count,
    checked_offset,
    chosen_partitions,
    destinations,
    owned_id,
    owned_ids,
    pairs,
)
from .offsets import Commits, OffsetManager, OffsetSettings
from .partition import OwnedPartition, Partition
from .placing import go_on_after_out_of_range, look_for_places
from .records.message import Message

if TYPE_CHECKING:
    from .cluster import Cluster
    from .protocol import OffsetFetchPartitionResponse
    from .topic import Topic

log = logging.getLogger(__name__)


#: How often a waiting consume() looks at its unblock_event (seconds); an event cannot wake us.
UNBLOCK_POLL_S = 0.05
#: Seconds that stop() waits for the I/O thread.
STOP_TIMEOUT_S = 10.0


class SimpleConsumer:
    """Reads partitions of one topic in order. Threads may share it; each message goes to one of them.

    Options and their defaults are listed in the documentation (``pykafka.config.CONSUMER``).

    :param consumer_group: where offsets are committed; it shares nothing out, every such consumer reads all partitions
    :raises KafkaConfigError: naming every option that is unknown, of the wrong type or out of range
    """

    def __init__(
        self,
        topic: Topic,
        cluster: Cluster,
        consumer_group: Union[str, bytes, None] = None,
        partitions: Optional[Iterable[Partition]] = None,
        fetch_message_max_bytes: int = 1048576,
        num_consumer_fetchers: int = 1,
        auto_commit_enable: bool = False,
        auto_commit_interval_ms: int = 60000,
        queued_max_messages: int = 2000,
        fetch_min_bytes: int = 1,
        fetch_error_backoff_ms: int = 500,
        fetch_wait_max_ms: int = 100,
        offsets_channel_backoff_ms: int = 1000,
        offsets_commit_max_retries: int = 5,
        auto_offset_reset: int = OffsetType.EARLIEST,
        consumer_timeout_ms: int = -1,
        auto_start: bool = True,
        reset_offset_on_start: bool = False,
        compacted_topic: bool = False,
        generation_id: int = -1,
        consumer_id: bytes = b"",
        deserializer: Optional[Deserializer] = None,
        reset_offset_on_fetch: bool = True,
        *,
        isolation_level: str = "read_committed",
        fetch_max_bytes: int = 52428800,
        queued_max_bytes: int = 67108864,
        max_decompressed_bytes: int = 134217728,
        **unknown: Any,
    ) -> None:
        given = {name: value for name, value in dict(locals()).items() if name in CONSUMER}
        options = check_options("SimpleConsumer", CONSUMER, {**given, **unknown})
        self._topic = topic
        self._cluster = cluster
        self._options = options
        self._group: Optional[bytes] = options["consumer_group"]
        deserializer = options["deserializer"]
        self._deserializing = None if deserializer is None else Deserializing(deserializer)
        #: whether partitions are read as well that the topic is given later; who chose some reads those
        self._follows = partitions is None
        #: replaced whenever a partition is added, so that who looks through it needs no lock; _buffers as well
        self._owned = {partition.id: partition for partition in chosen_partitions(topic, partitions)}
        self.consumer_id: Union[bytes, str] = options["consumer_id"]
        self.generation_id = generation_id
        settings = OffsetSettings.of(options, cluster.offsets_timeout_s)
        self._offsets = OffsetManager(cluster, topic.name, settings)
        self._commits = Commits(self._offsets, settings, cluster.engine.loop.now)
        self._running = False
        #: held by start() and stop() as long as they ask the cluster; _lock is never held that long. A signal handler may
        #: call stop() in the middle of either, so the thread that has them can take them again
        self._lifecycle, self._lock = threading.RLock(), threading.RLock()
        self._core: Optional[FetchCore] = None
        self._buffers: dict[int, PartitionBuffer] = {}
        #: the same in the order of whose turn it is
        self._order: list[PartitionBuffer] = []
        #: where the partitions are while the consumer is not running
        self._parked: dict[int, int] = {}
        self._turn = Turn([])
        self._ready: Iterator[Message] = self._turn.ready
        self._worker_error: Optional[Exception] = None
        self._auto_commits: Optional[Ticker] = None
        forking.watch_with(self, SimpleConsumer._let_go)
        if options["auto_start"]:
            self.start()

    def __repr__(self) -> str:
        state = "running" if self._running else "stopped"
        return f"<SimpleConsumer {self._topic.name.decode()} group={self._group!r} {state}>"

    def __del__(self) -> None:
        if getattr(self, "_running", False) and self._core is not None:
            self._core.abandon()
            warnings.warn(f"{self!r} was never stopped: use a with block, or stop()", ResourceWarning, source=self, stacklevel=2)

    def __enter__(self) -> SimpleConsumer:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    # -- starting and stopping ----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Find out where to start, and begin to fetch; does nothing when running.

        :raises KafkaException: when the offsets could not be had: nothing was started then
        """
        with self._lifecycle:
            if self._running:
                return
            if self._follows:
                self._owned = {**self._owned, **self._topic.partitions}
            start = self._offsets.start(self._owned, kept=self._parked)
            self._commits.note(start.positions)
            if start.commit:
                self._commits.commit(lambda: start.commit, self._member)
            core = self._make_core()
            core.start(list(self._owned))
            buffers = {pid: self._make_buffer(core, pid, partition) for pid, partition in self._owned.items()}
            with self._lock:
                self._core, self._buffers, self._order = core, buffers, list(buffers.values())
                self._worker_error = None
                self._seek(start.positions)
                self._parked = {}
                self._running = True
            if self._options["auto_commit_enable"] and self._group is not None:
                engine = self._cluster.engine
                interval_s = self._options["auto_commit_interval_ms"] / 1000.0
                self._auto_commits = Ticker(engine.loop, engine.offsets_worker, interval_s, self._auto_commit)
                self._auto_commits.start()
        self._cluster.track(self)

    def _make_core(self) -> FetchCore:
        settings = FetchSettings.of(self._options, self._topic.name.decode(), follow=self._follows)
        unplaced = weakly(weakref.WeakMethod(self._on_unplaced))
        return FetchCore(self._cluster.engine, settings, weakly(weakref.WeakMethod(self._on_out_of_range)), unplaced)

    def _let_go(self) -> None:
        """In a forked child: forget what was fetched, which is the parent's, and any lock another thread held."""
        self._lifecycle, self._lock = threading.RLock(), threading.RLock()
        self._running = False
        deque(self._ready, maxlen=0)
        self._core, self._buffers, self._order = None, {}, []

    def _make_buffer(self, core: FetchCore, partition_id: int, partition: Partition) -> PartitionBuffer:
        most = self._options["max_decompressed_bytes"]
        return PartitionBuffer(self._topic.name, partition_id, partition, core.parcels[partition_id], most)

    def stop(self) -> None:
        """Stop fetching, commit what was delivered if auto-commit is on, and wake every waiting consume(). Twice is harmless.

        :raises KafkaException: when the last commit failed
        """
        with self._lifecycle:
            with self._lock:
                if not self._running:
                    return
                self._running = False
                self._put_back_turn()
                self._parked = self._positions()
                core, self._core = self._core, None
                self._buffers, self._order = {}, []
            if core is None:
                return  # a signal handler's stop() came in between
            with core.arrived:
                core.arrived.notify_all()
            try:
                if self._auto_commits is not None:
                    self._auto_commits.stop()
                    self._auto_commits = None
                    self._commits.commit_moved(self._positions, self._member)
            finally:
                core.stop(Deadline(STOP_TIMEOUT_S))

    cleanup = stop

    def _check_not_forked(self) -> None:
        if self._cluster.engine.loop.forked:
            raise ForkedError("this consumer was made before a fork and belongs to the parent: make a new KafkaClient here")

    def _check_running(self) -> None:
        self._check_not_forked()
        if not self._running:
            raise ConsumerStoppedException(f"the consumer of {self._topic.name.decode()} is stopped: start() it first")

    # -- consuming ----------------------------------------------------------------------------------------------------

    # hot: per message
    def consume(self, block: bool = True, unblock_event: Any = None) -> Optional[Message]:
        """Return the next message, or None when there is none (in time).

        :param block: wait for a message, at most ``consumer_timeout_ms`` when that is above 0; False only looks
        :param unblock_event: an object with ``is_set()``; once it is set, consume() returns None instead of waiting
        :raises ConsumerStoppedException: when the consumer is not running, or is stopped meanwhile
        :raises CorruptBatchError: with topic, partition and offset; again on every call until seek() or reset_offsets()
        """
        if self._deserializing is not None:
            return self._consume_deserialized(block, unblock_event)
        message = next(self._ready, None)
        return message if message is not None else self._wait_for_message(block, unblock_event)

    _consume = consume

    def _consume_deserialized(self, block: bool, unblock_event: Any) -> Optional[Message]:
        assert self._deserializing is not None
        self._deserializing.raise_error()
        message = next(self._ready, None) or self._wait_for_message(block, unblock_event)
        return message if message is None else self._deserializing.one(message)

    def _wait_for_message(self, block: bool, unblock_event: Any) -> Optional[Message]:
        timeout_ms = self._options["consumer_timeout_ms"]
        deadline = Deadline(timeout_ms / 1000.0 if timeout_ms > 0 else None)
        while True:
            message = self._next_turn()
            if message is not None:
                return message
            if not block or is_set(unblock_event) or deadline.passed:
                return None
            self._wait_for_arrival(deadline, UNBLOCK_POLL_S if unblock_event is not None else 0.5)

    def _wait_for_arrival(self, deadline: Deadline, slice_s: float) -> None:
        core = self._core
        if core is None:
            return  # stopped meanwhile: the caller finds out at its next look
        with core.arrived:
            if self._running and not any(core.parcels[pid] for pid, buffer in self._buffers.items() if not buffer.paused):
                core.arrived.wait(min(slice_s, deadline.left()))

    def _next_turn(self) -> Optional[Message]:
        """Return the first message of a new turn, or None when nothing has been fetched."""
        self._check_running()
        with self._lock:
            self._check_running()
            message = next(self._ready, None)
            if message is not None:  # another thread was here first
                return message
            self._raise_worker_exceptions()
            self._put_back_turn()
            ready = self._refill()
            self._turn = deal(ready)
            self._ready = self._turn.ready
            return next(self._ready, None)

    def _put_back_turn(self) -> None:
        """End the turn; what was not delivered comes first in the next one."""
        for partition_id, messages in self._turn.end().items():
            if messages:
                self._buffers[partition_id].put_back(messages)
        self._turn = Turn([])
        self._ready = self._turn.ready

    def _refill(self) -> list[PartitionBuffer]:
        """Decode what was fetched; return the partitions with messages, the one that came first last time now last."""
        core = self._core
        assert core is not None
        ready: list[PartitionBuffer] = []
        failed: Optional[PartitionBuffer] = None
        for buffer in self._order:
            if buffer.paused:
                continue
            taken = buffer.refill()
            if taken.messages or taken.size:
                core.took(buffer.id, taken.messages, taken.size)
            if buffer.jumped_to is not None:
                self._commit_jump(buffer)
            if buffer.available:
                ready.append(buffer)
            elif buffer.error is not None:
                failed = failed or buffer
        if failed is not None and (not ready or self._turns_since_error >= 1):
            self._turns_since_error = 0
            self._order = [buffer for buffer in self._order if buffer is not failed] + [failed]
            assert failed.error is not None
            raise failed.error
        self._turns_since_error = self._turns_since_error + 1 if failed is not None else 0
        if ready:
            self._order = self._order[1:] + self._order[:1]
        return ready

    #: A failed partition must not stop the others, nor be forgotten: its error is raised between their turns.
    _turns_since_error = 0

    def consume_batch(self, max_messages: int = 500, timeout_ms: Optional[int] = None) -> list[Message]:
        """Return up to ``max_messages`` messages: those at hand, after waiting for the first one; empty when there is none.

        :param timeout_ms: how long to wait for the first; None means ``consumer_timeout_ms``, 0 only looks
        """
        check_count("max_messages", max_messages)
        if self._deserializing is not None:
            self._deserializing.raise_error()
            first = self._first_of_batch(timeout_ms)
            return [] if first is None else self._deserializing.batch(chain([first], islice(self._ready, max_messages - 1)))
        batch = list(islice(self._ready, max_messages))
        if not batch:
            first = self._first_of_batch(timeout_ms)
            batch = [] if first is None else [first, *islice(self._ready, max_messages - 1)]
        return batch

    def _first_of_batch(self, timeout_ms: Optional[int]) -> Optional[Message]:
        if timeout_ms is None:
            return next(self._ready, None) or self._wait_for_message(True, None)
        deadline = Deadline(checked_milliseconds(timeout_ms, "timeout_ms") / 1000.0)
        message = self._next_turn()
        while message is None and not deadline.passed:
            self._wait_for_arrival(deadline, 0.5)
            message = self._next_turn()
        return message

    def __iter__(self) -> Iterator[Message]:
        """Yield messages until none arrives for ``consumer_timeout_ms``; iterating again goes on."""
        while True:
            message = self.consume()
            if message is None:
                return
            yield message
            # another consume() in the place of ours, as subclasses and tracing tools have it, is to see every message
            ours = type(self).consume is SimpleConsumer._consume and "consume" not in vars(self)
            if ours and self._deserializing is None:
                yield from self._ready  # hot: emptied by stop() and seek(), so nothing stale is yielded

    def fetch(self) -> None:
        """Do nothing: fetching never stops (kept for code that calls it)."""
        self._check_running()

    # -- positions ----------------------------------------------------------------------------------------------------

    @property
    def topic(self) -> Topic:
        """Return the topic."""
        return self._topic

    @property
    def partitions(self) -> dict[int, Partition]:
        """Return the partitions that are read, by number."""
        return dict(self._owned)

    def _positions(self) -> dict[int, int]:
        """Return the next offset to deliver of every partition whose position is known."""
        with self._lock:
            positions = {pid: buffer.position for pid, buffer in self._buffers.items() if buffer.position is not None}
            positions.update(self._turn.positions())
            positions.update(self._parked)
            return positions

    @property
    def _partitions(self) -> dict[Partition, OwnedPartition]:
        """Return how far each partition is, by Partition: what PyKafka's users looked at for want of :meth:`position`."""
        with self._lock:
            positions, core = self._positions(), self._core
            waiting = {pid: buffer.available for pid, buffer in self._buffers.items()}
            for pid in waiting:
                waiting[pid] += sum(parcel.messages for parcel in list(core.parcels[pid])) if core is not None else 0
        return {
            partition: OwnedPartition(held_offset(positions.get(pid)), positions.get(pid, 0), waiting.get(pid, 0))
            for pid, partition in self._owned.items()
        }

    @property
    def held_offsets(self) -> dict[int, int]:
        """Return the offset of the last message delivered, by partition; -2 where nothing was."""
        positions = self._positions()
        return {pid: held_offset(positions.get(pid)) for pid in self._owned}

    def position(self, partition: Partition) -> Optional[int]:
        """Return the next offset to deliver of a partition; None while it is not known."""
        return self._positions().get(owned_id(partition, self._owned))

    def seek(self, partition: Partition, offset: int) -> None:
        """Go on at ``offset``, the next one to deliver; what was fetched for another position is dropped."""
        position = checked_offset(offset)
        self._check_running()
        self._seek({owned_id(partition, self._owned): position})

    def _seek(self, positions: dict[int, int]) -> None:
        with self._lock:
            core = self._core
            if core is None:  # stopped since the caller looked
                self._check_running()
                return
            self._put_back_turn()
            for partition_id, position in positions.items():
                self._buffers[partition_id].seek(position)
            core.seek({pid: (self._buffers[pid].position, self._buffers[pid].generation) for pid in positions})

    def _move(self, positions: dict[int, int]) -> None:
        with self._lock:
            (self._seek if self._running else self._parked.update)(positions)

    def pause(self, partitions: Iterable[Partition]) -> None:
        """Deliver and fetch nothing of these partitions until :meth:`resume`."""
        self._set_paused(partitions, True)

    def resume(self, partitions: Iterable[Partition]) -> None:
        """Undo :meth:`pause`."""
        self._set_paused(partitions, False)

    def _set_paused(self, partitions: Iterable[Partition], paused: bool) -> None:
        ids = owned_ids(partitions, self._owned)
        with self._lock:
            self._check_running()
            core = self._core
            assert core is not None
            self._put_back_turn()
            for partition_id in ids:
                self._buffers[partition_id].paused = paused
            core.pause(ids, paused)
        with core.arrived:
            core.arrived.notify_all()

    # -- offsets ------------------------------------------------------------------------------------------------------

    def commit_offsets(self, partition_offsets: Optional[PartitionOffsets] = None) -> None:
        """Commit for every partition the next offset to deliver, or exactly the (partition, next offset) pairs given.

        :raises KafkaException: when they could not be committed, or there is no consumer_group
        """
        if self._group is None:
            raise KafkaException("commit_offsets() needs a consumer_group")
        if partition_offsets is not None:
            given = {owned_id(partition, self._owned): checked_offset(offset) for partition, offset in pairs(partition_offsets)}
            self._commits.commit(lambda: given, self._member)
            return
        if not self._positions():
            self._check_running()
        self._commits.commit(self._positions, self._member)

    @property
    def _member(self) -> bytes:
        """Return ``consumer_id`` as bytes; it is stored with every commit."""
        return to_name(self.consumer_id, "consumer_id") if self.consumer_id else b""

    def fetch_offsets(self) -> list[tuple[int, OffsetFetchPartitionResponse]]:
        """Return (partition number, what the group committed for it); moves there unless ``reset_offset_on_fetch`` is off.

        :raises KafkaException: when they could not be had, or there is no consumer_group
        """
        if self._group is None:
            raise KafkaException("fetch_offsets() needs a consumer_group")
        committed = self._offsets.fetch_committed(self._owned)
        if self._options["reset_offset_on_fetch"]:
            self._move({pid: row.offset for pid, row in committed.items() if row.offset >= 0})
        return sorted(committed.items())

    def reset_offsets(self, partition_offsets: Optional[PartitionOffsets] = None) -> None:
        """Move partitions, and commit that if there is a group; everything to ``auto_offset_reset`` without arguments.

        A consumer that is not running starts from there later, unless it is to reset its offsets on start.

        :param partition_offsets: pairs of a partition and where to: an integer is the offset *last consumed*, so the next
            message is the one after it; OffsetType.EARLIEST or LATEST; a datetime, for the first message at or after it
        :raises KafkaException: for a partition that is not read here
        :raises ValueError: for anything else as the place to go to
        """
        self._check_not_forked()
        if partition_offsets is None:
            partition_offsets = dict.fromkeys(self._owned.values(), self._options["auto_offset_reset"])
        positions, times = destinations(partition_offsets, self._owned)
        positions.update(self._offsets.look_up(times))
        self._move(positions)
        if self._group is not None:
            self._commits.commit(lambda: positions, self._member)

    # -- in the background --------------------------------------------------------------------------------------------

    def _on_out_of_range(self, core: FetchCore, partition_id: int, position: int, generation: int) -> None:
        """Called on the I/O thread: the offset to fetch is not in the log."""
        reset = self._options["auto_offset_reset"]
        place = (core, partition_id, position, generation, reset)
        self._cluster.engine.offsets_worker.submit(go_on_after_out_of_range, self._offsets, *place)

    def _on_unplaced(self, core: FetchCore, generations: dict[int, int]) -> None:
        """Called on the I/O thread: partitions have appeared, or the topic was deleted and created again."""
        self._cluster.engine.offsets_worker.submit(self._place, core, generations)

    def _place(self, core: FetchCore, generations: dict[int, int]) -> None:
        """Begin with partitions that appeared, and with all those of a topic that was made anew."""
        places = look_for_places(self._offsets, core, generations, self._owned)
        if places is None:
            return
        start, known = places.appeared, self._topic.partitions
        with self._lock:
            if self._core is not core or core.stopped:
                return
            for pid in start.positions:
                self._adopt(core, known.get(pid) or Partition(self._topic, pid, None, [], []))
            self._seek(start.positions)
        for pid, position in places.made_anew.items():
            core.jump(pid, position, generations[pid])
        if start.commit:
            self._commit_quietly(self._commits.commit, lambda: start.commit)

    def _adopt(self, core: FetchCore, partition: Partition) -> None:
        """Read another partition; under the lock."""
        core.add(partition.id)
        buffer = self._make_buffer(core, partition.id, partition)
        self._owned = {**self._owned, partition.id: partition}
        self._buffers = {**self._buffers, partition.id: buffer}
        self._order = [*self._order, buffer]

    def _commit_jump(self, buffer: PartitionBuffer) -> None:
        """Have a jump committed that the consumer has just come to: everything before it is delivered."""
        target, buffer.jumped_to = buffer.jumped_to, None
        if self._group is not None:
            before = self._commits.committed(buffer.id)
            self._cluster.engine.offsets_worker.submit(self._commit_quietly, self._commits.commit_jump, buffer.id, target, before)

    def _auto_commit(self) -> None:
        self._commit_quietly(self._commits.commit_in_background, self._positions)

    def _commit_quietly(self, commit: Callable[..., None], *args: Any) -> None:
        """Commit on the offsets worker; what cannot be put right by another try is raised by the next consume()."""
        if not self._running:
            return  # stop() has committed, or its user did not want that
        try:
            commit(*args, self._member)
        except Exception as error:
            if getattr(error, "retriable", False):
                log.warning("offsets of %s were not committed, tried again later: %s", self._topic.name.decode(), error)
            else:
                self._fail(error)

    def _fail(self, error: Exception) -> None:
        self._worker_error = error
        core = self._core
        if core is not None:
            with core.arrived:
                core.arrived.notify_all()

    def _raise_worker_exceptions(self) -> None:
        """Raise, once, what went wrong in the background (a name that PyKafka code is known to call)."""
        error, self._worker_error = self._worker_error, None
        if error is not None:
            raise error
