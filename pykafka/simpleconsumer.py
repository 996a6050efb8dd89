"""The SimpleConsumer: reads partitions of one topic, from where the offset rules say."""

from __future__ import annotations

import logging
import threading
import warnings
import weakref
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, Callable, Optional, Union

from ._engine.fetching import FetchCore, FetchSettings
from ._engine.waiting import Deadline
from ._machines.fetch_plan import FetchLimits
from ._machines.positions import held_offset, position_after
from ._machines.turns import PartitionBuffer, Turn, deal
from .config import CONSUMER, check_options, to_name
from .exceptions import ConsumerStoppedException, KafkaException
from .offsets import CommittedOffset, OffsetManager, OffsetSettings
from .records.message import Message, to_epoch_ms

if TYPE_CHECKING:
    import datetime

    from ._engine.loop import Timer
    from .cluster import Cluster
    from .partition import Partition
    from .topic import Topic

log = logging.getLogger(__name__)

Deserializer = Callable[[Optional[bytes], Optional[bytes]], tuple[Any, Any]]
PartitionOffsets = Iterable[tuple["Partition", Union[int, "datetime.datetime"]]]

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
        auto_offset_reset: int = -2,
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
        self._group = None if consumer_group is None else to_name(consumer_group, "consumer_group")
        self._deserializer: Optional[Deserializer] = options["deserializer"]
        chosen = topic.partitions.values() if partitions is None else partitions
        self._owned: dict[int, Partition] = {partition.id: partition for partition in chosen}
        self.consumer_id = consumer_id
        self.generation_id = generation_id
        self._offsets = OffsetManager(cluster, topic.name, self._offset_settings())
        self._running = False
        self._lock = threading.RLock()
        self._core: Optional[FetchCore] = None
        self._buffers: dict[int, PartitionBuffer] = {}
        self._turn = Turn([])
        self._ready: Iterator[Message] = self._turn.ready
        self._worker_error: Optional[Exception] = None
        self._commit_timer: Optional[Timer] = None
        self._last_commit: dict[int, int] = {}
        if options["auto_start"]:
            self.start()

    def _offset_settings(self) -> OffsetSettings:
        options = self._options
        return OffsetSettings(
            consumer_group=self._group,
            auto_offset_reset=options["auto_offset_reset"],
            reset_offset_on_start=options["reset_offset_on_start"],
            read_committed=options["isolation_level"] == "read_committed",
            max_retries=options["offsets_commit_max_retries"],
            backoff_s=options["offsets_channel_backoff_ms"] / 1000.0,
            timeout_s=self._cluster.offsets_timeout_s,
        )

    def __repr__(self) -> str:
        state = "running" if self._running else "stopped"
        return f"<SimpleConsumer {self._topic.name.decode()} group={self._group!r} {state}>"

    def __del__(self) -> None:
        if getattr(self, "_running", False) and self._core is not None:
            warnings.warn(f"{self!r} was never stopped: use a with block, or stop()", ResourceWarning, source=self, stacklevel=2)
            self._core.abandon()

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
        with self._lock:
            if self._running:
                return
            start = self._offsets.start(self._owned)
            if start.commit:
                self._offsets.commit(start.commit, self.consumer_id)
            self._last_commit = dict(start.commit)
            core = self._make_core()
            core.start(list(self._owned))
            self._buffers = {pid: self._make_buffer(core, pid, partition) for pid, partition in self._owned.items()}
            self._core = core
            self._worker_error = None
            self._cluster.engine.use_topic(self._topic.name.decode())
            self._seek(start.positions)
            self._running = True
        if self._options["auto_commit_enable"] and self._group is not None:
            self._cluster.engine.loop.call_soon(_arm_auto_commit, weakref.ref(self), self._commit_interval_s)
        self._cluster.track(self)

    @property
    def _commit_interval_s(self) -> float:
        return float(self._options["auto_commit_interval_ms"]) / 1000.0

    def _make_core(self) -> FetchCore:
        options = self._options
        settings = FetchSettings(
            topic=self._topic.name.decode(),
            max_wait_ms=options["fetch_wait_max_ms"],
            min_bytes=options["fetch_min_bytes"],
            max_bytes=options["fetch_max_bytes"],
            partition_max_bytes=options["fetch_message_max_bytes"],
            read_committed=options["isolation_level"] == "read_committed",
            error_backoff_s=options["fetch_error_backoff_ms"] / 1000.0,
            limits=FetchLimits(options["queued_max_messages"], options["queued_max_bytes"]),
        )
        return FetchCore(self._cluster.engine, settings, _weakly(weakref.WeakMethod(self._on_out_of_range)))

    def _make_buffer(self, core: FetchCore, partition_id: int, partition: Partition) -> PartitionBuffer:
        most = self._options["max_decompressed_bytes"]
        return PartitionBuffer(self._topic.name, partition_id, partition, core.parcels[partition_id], most)

    def stop(self) -> None:
        """Stop fetching, commit what was delivered if auto-commit is on, and wake every waiting consume(). Twice is harmless.

        :raises KafkaException: when the last commit failed
        """
        with self._lock:
            if not self._running:
                return
            self._running = False
            self._put_back_turn()
            core = self._core
        assert core is not None
        with core.arrived:
            core.arrived.notify_all()
        try:
            if self._options["auto_commit_enable"] and self._group is not None:
                self._commit_if_moved()
        finally:
            core.stop(Deadline(STOP_TIMEOUT_S))
            self._cluster.engine.release_topic(self._topic.name.decode())

    cleanup = stop

    def _check_running(self) -> None:
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
        message = next(self._ready, None)
        if message is None:
            message = self._wait_for_message(block, unblock_event)
        if message is not None and self._deserializer is not None:
            self._deserialize(message)
        return message

    def _deserialize(self, message: Message) -> None:
        assert self._deserializer is not None
        message.value, message.partition_key = self._deserializer(message.value, message.partition_key)

    def _wait_for_message(self, block: bool, unblock_event: Any) -> Optional[Message]:
        timeout_ms = self._options["consumer_timeout_ms"]
        deadline = Deadline(timeout_ms / 1000.0 if timeout_ms > 0 else None)
        while True:
            message = self._next_turn()
            if message is not None:
                return message
            if not block or (unblock_event is not None and unblock_event.is_set()) or deadline.passed:
                return None
            self._wait_for_arrival(deadline, UNBLOCK_POLL_S if unblock_event is not None else 0.5)

    def _wait_for_arrival(self, deadline: Deadline, slice_s: float) -> None:
        core = self._core
        assert core is not None
        with core.arrived:
            if self._running and not any(core.parcels[pid] for pid, buffer in self._buffers.items() if not buffer.paused):
                core.arrived.wait(min(slice_s, deadline.left()))

    def _next_turn(self) -> Optional[Message]:
        """Return the first message of a new turn, or None when nothing has been fetched."""
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
        failed: Optional[KafkaException] = None
        for buffer in self._buffers.values():
            if buffer.paused:
                continue
            taken = buffer.refill()
            if taken.messages or taken.size:
                core.took(buffer.id, taken.messages, taken.size)
            if buffer.available:
                ready.append(buffer)
            elif buffer.error is not None:
                failed = buffer.error
        if failed is not None and not ready:
            raise failed
        if failed is not None and self._turns_since_error >= 1:
            self._turns_since_error = 0
            raise failed
        self._turns_since_error = self._turns_since_error + 1 if failed is not None else 0
        if ready:
            first = next(iter(self._buffers))
            self._buffers[first] = self._buffers.pop(first)
        return ready

    #: A failed partition must not stop the others, nor be forgotten: its error is raised between their turns.
    _turns_since_error = 0

    def consume_batch(self, max_messages: int = 500, timeout_ms: Optional[int] = None) -> list[Message]:
        """Return up to ``max_messages`` messages: those at hand, after waiting for the first one; empty when there is none.

        :param timeout_ms: how long to wait for the first; None means ``consumer_timeout_ms``, 0 only looks
        """
        if max_messages < 1:
            raise ValueError(f"max_messages={max_messages} must be at least 1")
        batch = list(islice(self._ready, max_messages))
        if not batch:
            first = self._first_of_batch(timeout_ms)
            if first is None:
                return batch
            batch = [first, *islice(self._ready, max_messages - 1)]
        if self._deserializer is not None:
            for message in batch:
                self._deserialize(message)
        return batch

    def _first_of_batch(self, timeout_ms: Optional[int]) -> Optional[Message]:
        if timeout_ms is None:
            return self._wait_for_message(True, None)
        deadline = Deadline(timeout_ms / 1000.0)
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
            if self._deserializer is None:
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
            return positions

    @property
    def held_offsets(self) -> dict[int, int]:
        """Return the offset of the last message delivered, by partition; -2 where nothing was."""
        positions = self._positions()
        return {pid: held_offset(positions.get(pid)) for pid in self._owned}

    def position(self, partition: Partition) -> Optional[int]:
        """Return the next offset to deliver of a partition; None while it is not known."""
        return self._positions().get(self._owned_id(partition))

    def _owned_id(self, partition: Any) -> int:
        partition_id = getattr(partition, "id", None)
        if partition_id not in self._owned:
            raise KafkaException(f"{partition!r} is not one of the partitions this consumer reads: {sorted(self._owned)}")
        return int(partition_id)

    def seek(self, partition: Partition, offset: int) -> None:
        """Go on at ``offset``, the next one to deliver; what was fetched for another position is dropped."""
        if isinstance(offset, bool) or not isinstance(offset, int) or offset < 0:
            raise ValueError(f"offset={offset!r} must be an integer from 0 on")
        self._check_running()
        self._seek({self._owned_id(partition): offset})

    def _seek(self, positions: dict[int, int]) -> None:
        with self._lock:
            self._put_back_turn()
            for partition_id, position in positions.items():
                self._buffers[partition_id].seek(position)
            assert self._core is not None
            self._core.seek({pid: (self._buffers[pid].position, self._buffers[pid].generation) for pid in positions})

    def pause(self, partitions: Iterable[Partition]) -> None:
        """Deliver and fetch nothing of these partitions until :meth:`resume`."""
        self._set_paused(partitions, True)

    def resume(self, partitions: Iterable[Partition]) -> None:
        """Undo :meth:`pause`."""
        self._set_paused(partitions, False)

    def _set_paused(self, partitions: Iterable[Partition], paused: bool) -> None:
        ids = [self._owned_id(partition) for partition in partitions]
        self._check_running()
        with self._lock:
            self._put_back_turn()
            for partition_id in ids:
                self._buffers[partition_id].paused = paused
            assert self._core is not None
            self._core.pause(ids, paused)
        with self._core.arrived:
            self._core.arrived.notify_all()

    # -- offsets ------------------------------------------------------------------------------------------------------

    def commit_offsets(self, partition_offsets: Optional[Iterable[tuple[Partition, int]]] = None) -> None:
        """Commit for every partition the next offset to deliver, or exactly the (partition, next offset) pairs given.

        :raises KafkaException: when they could not be committed, or there is no consumer_group
        """
        if self._group is None:
            raise KafkaException("commit_offsets() needs a consumer_group")
        if partition_offsets is None:
            offsets = self._positions()
        else:
            offsets = {self._owned_id(partition): int(offset) for partition, offset in partition_offsets}
        self._offsets.commit(offsets, self.consumer_id)
        self._last_commit.update(offsets)

    def _commit_if_moved(self) -> None:
        positions = self._positions()
        moved = {pid: position for pid, position in positions.items() if self._last_commit.get(pid) != position}
        if moved:
            self._offsets.commit(moved, self.consumer_id)
            self._last_commit.update(moved)

    def fetch_offsets(self) -> list[tuple[int, CommittedOffset]]:
        """Return (partition number, what the group committed for it); moves there unless ``reset_offset_on_fetch`` is off.

        :raises KafkaException: when they could not be had, or there is no consumer_group
        """
        if self._group is None:
            raise KafkaException("fetch_offsets() needs a consumer_group")
        committed = self._offsets.fetch_committed(self._owned)
        if self._options["reset_offset_on_fetch"] and self._running:
            self._seek({pid: row.offset for pid, row in committed.items() if row.offset >= 0})
        return sorted(committed.items())

    def reset_offsets(self, partition_offsets: Optional[PartitionOffsets] = None) -> None:
        """Move partitions, and commit that if there is a group; everything to ``auto_offset_reset`` without arguments.

        :param partition_offsets: pairs of a partition and where to: an integer is the offset *last consumed*, so the next
            message is the one after it; OffsetType.EARLIEST or LATEST; a datetime, for the first message at or after it
        :raises KafkaException: for a partition that is not read here
        :raises TypeError: for another type
        """
        self._check_running()
        if partition_offsets is None:
            wanted: list[tuple[int, Any]] = [(pid, self._options["auto_offset_reset"]) for pid in self._owned]
        else:
            wanted = [(self._owned_id(partition), where) for partition, where in partition_offsets]
        positions = {pid: position_after(where) for pid, where in wanted if _is_last_consumed(where)}
        times = {pid: _to_time(where) for pid, where in wanted if pid not in positions}
        positions.update(self._offsets.look_up(times))
        self._seek(positions)
        if self._group is not None:
            self._offsets.commit(positions, self.consumer_id)
            self._last_commit.update(positions)

    # -- in the background --------------------------------------------------------------------------------------------

    def _on_out_of_range(self, partition_id: int, position: int) -> None:
        """Called on the I/O thread: the offset to fetch is not in the log."""
        self._cluster.engine.offsets_worker.submit(self._reset_out_of_range, partition_id, position)

    def _reset_out_of_range(self, partition_id: int, position: int) -> None:
        reset = self._options["auto_offset_reset"]
        log.info("%s/%d: offset %d is not in the log; going to %s", self._topic.name.decode(), partition_id, position, reset)
        buffer = self._buffers[partition_id]
        generation = buffer.generation
        try:
            target = self._offsets.look_up({partition_id: reset})[partition_id]
            if self._core is not None and self._running:
                self._core.jump(partition_id, target, generation)
                if self._group is not None:
                    self._offsets.commit({partition_id: target}, self.consumer_id)
        except KafkaException as error:
            self._fail(error)

    def _auto_commit(self) -> None:
        try:
            if self._running:
                self._commit_if_moved()
        except KafkaException as error:
            if error.retriable:
                log.warning("auto-commit of %s failed, tried again at the next interval: %s", self._topic.name.decode(), error)
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


def _weakly(method: weakref.WeakMethod[Callable[[int, int], None]]) -> Callable[[int, int], None]:
    """Return a function that calls ``method`` as long as its object lives: the engine must not keep a consumer alive."""

    def call(partition_id: int, position: int) -> None:
        alive = method()
        if alive is not None:
            alive(partition_id, position)

    return call


def _is_last_consumed(where: Any) -> bool:
    return isinstance(where, int) and not isinstance(where, bool) and where not in (-1, -2)


def _to_time(where: Any) -> int:
    """Return what ListOffsets takes: -1, -2, or epoch milliseconds."""
    if isinstance(where, float):
        raise TypeError("an offset is an int, an OffsetType or a datetime, not float")
    return to_epoch_ms(where)


def _arm_auto_commit(reference: weakref.ref[SimpleConsumer], interval_s: float) -> None:
    """Run on the I/O thread: have the offsets worker commit every ``interval_s`` for as long as the consumer runs."""
    consumer = reference()
    if consumer is None or not consumer._running:
        return
    engine = consumer._cluster.engine
    core = consumer._core

    def due() -> None:
        alive = reference()
        # another core means that it was stopped and started again, which has armed a timer of its own
        if alive is not None and alive._running and alive._core is core:
            engine.offsets_worker.submit(alive._auto_commit)
            _arm_auto_commit(reference, interval_s)

    consumer._commit_timer = engine.loop.call_at(engine.loop.now() + interval_s, due)
