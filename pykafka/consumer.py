"""A Consumer: a Reader that keeps its offsets in a group, by hand and by itself."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Callable, Optional

from ._engine.fetching import FetchCore, weakly
from ._engine.ticker import Ticker
from ._engine.waiting import Bell, Deadline, refuse_on_io_thread
from ._machines.fetch_requests import FetchSettings
from ._machines.turns import PartitionBuffer
from .commits import Commits
from .common import TopicPartition
from .exceptions import ConsumerStoppedException, KafkaException
from .offset_arguments import PartitionOffsets, checked_offset, destinations, owned_tp, pairs
from .offsets import Committer, OffsetManager, OffsetSettings, left_out_error
from .placing import go_on_after_out_of_range
from .reader import STOP_TIMEOUT_S, Reader

if TYPE_CHECKING:
    from .cluster import Cluster
    from .protocol import OffsetFetchPartitionResponse

log = logging.getLogger(__name__)

#: Pause between looks whether all is done that stop() waits for (seconds).
LOOK_S = 0.01


class Consumer(Reader):
    """What SimpleConsumer and BalancedConsumer have in common: committing, resetting, and going on when an offset is gone."""

    def __init__(self, cluster: Cluster, options: Mapping[str, Any]) -> None:
        super().__init__(cluster, options)
        self._group: Optional[bytes] = options["consumer_group"]
        settings = OffsetSettings.of(options, cluster.offsets_timeout_s)
        self._offsets = OffsetManager(cluster, settings)
        pause = weakly(weakref.WeakMethod(self._pause_unlocked))
        self._commits = Commits(self._offsets, settings, cluster.engine.loop.now, pause)
        self._auto_commits: Optional[Ticker] = None
        self._is_starting = self._is_stop_wanted = False
        self._is_stopping = self._is_start_wanted = False
        #: a stop() was interrupted, or is by a callback, which is in its way: another one, or the next start(), does the rest
        self._is_half_stopped = False

    def _start(self) -> None:
        """Begin to read, for who derives from us."""
        raise NotImplementedError

    def _stop(self) -> bool:
        """End what _start() has begun, for who derives from us; return False when somebody else sees to what is left."""
        raise NotImplementedError

    def _wants_to_start(self) -> bool:
        """Return whether start() has anything to do now; in the middle of a stop(), for a signal handler, it has after that."""
        self._is_start_wanted = self._is_stopping
        runs = self._running and not self._is_half_stopped
        return not (runs or self._is_starting or self._is_stopping)

    def _start_whole(self) -> None:
        """Start, and have a stop() that a signal handler calls meanwhile wait: what is half started cannot be stopped.

        The caller looks at ``_is_stop_wanted`` after that.
        """
        if self._is_half_stopped and not self._stop_whole():
            raise ConsumerStoppedException(f"{self!r} is stopped by this very callback: start() it after that")
        try:
            self._is_starting, self._is_stop_wanted = True, False
            if not self._running:  # else a signal handler has started us since the caller looked
                self._start()
        except BaseException:  # Ctrl-C, too: what has begun would go on, and nobody could stop it
            self._undo_start()
            raise
        finally:
            self._is_starting = False

    def _undo_start(self) -> None:
        """End what a start that failed has begun, without waiting."""
        self._stop_ticking()
        self._end()
        self._abandon()
        self._unfinished.clear()

    def _wants_to_stop(self) -> bool:
        """Return whether stop() has anything to do now; in the middle of a start(), for a signal handler, it has after that."""
        self._is_stop_wanted = self._is_starting
        return (self._running or self._is_half_stopped) and not (self._is_starting or self._is_stopping)

    def _stop_whole(self) -> bool:
        """Stop, or do the rest of a stop() that was interrupted, and have a start() by a signal handler wait until it is done.

        The caller looks at ``_is_start_wanted`` after that.
        """
        self._is_stopping, self._is_half_stopped, self._is_start_wanted = True, True, False
        try:
            self._commits.suspend()
            ended = self._stop()
            self._is_half_stopped = not ended
            return ended
        finally:
            self._is_stopping = False

    def _wait_unlocked(self, is_done: Callable[[], bool]) -> None:
        """Wait until ``is_done()``, STOP_TIMEOUT_S at most, letting go of the lock meanwhile even if the caller has it.

        A signal handler that calls stop() may have interrupted a consume() of its own thread, which has the lock. The worker
        needs it to give partitions up, and would get it only when nobody waits any more, too late to commit anything.
        """
        try:
            refuse_on_io_thread("stop()")
        except KafkaException:
            return  # whatever is waited for cannot come about here
        deadline = Deadline(STOP_TIMEOUT_S)
        with self._lock:
            while not is_done() and not deadline.passed:
                self._pause_unlocked()

    def _pause_unlocked(self) -> None:
        """Wait a moment without the lock, even if the caller has it."""
        lock: Any = self._lock
        with lock:
            saved: list[Any] = []
            try:
                # in one call of C, so that Ctrl-C cannot come in between, and we always know whether we have it
                saved.extend(map(type(lock)._release_save, (lock,)))
                Bell().wait(LOOK_S)
            finally:
                if saved:
                    lock._acquire_restore(saved[0])

    def _make_core(self) -> FetchCore:
        out_of_range, unplaced = (weakly(weakref.WeakMethod(hook)) for hook in (self._on_out_of_range, self._on_unplaced))
        core = FetchCore(self._cluster.engine, FetchSettings.of(self._options), out_of_range, unplaced)
        self._unfinished.append(core)
        return core

    def _committer(self) -> Committer:
        """Return who commits."""
        return Committer()

    # -- committing ---------------------------------------------------------------------------------------------------

    def commit_offsets(self, partition_offsets: Optional[PartitionOffsets] = None) -> None:
        """Commit for every partition the next offset to deliver, or exactly the (partition, next offset) pairs given.

        :raises KafkaException: when they could not be committed, or there is no consumer_group
        """
        if self._group is None:
            raise KafkaException("commit_offsets() needs a consumer_group")
        if partition_offsets is None and not self._positions():
            self._check_running()
        self._commit_as(self._committer, partition_offsets)

    def _commit_as(self, who: Callable[[], Committer], partition_offsets: Optional[PartitionOffsets]) -> None:
        if partition_offsets is None:
            self._commits.commit(self._to_commit, who)
        else:
            given = {self._tp_to_commit(partition): checked_offset(offset) for partition, offset in pairs(partition_offsets)}
            left_out = self._commits.commit(lambda: self._ours(given), who)
            if left_out:
                raise left_out_error(left_out, "the topic was deleted, or made anew, while this was committed")

    def _tp_to_commit(self, partition: Any) -> TopicPartition:
        return owned_tp(partition, self._owned)

    def _ours(self, offsets: dict[TopicPartition, int]) -> dict[TopicPartition, int]:
        """Return ``offsets`` if all of them are for us to commit.

        :raises KafkaException: when they are not, since the group has moved on
        """
        return offsets

    def _fetch_committed(self) -> dict[TopicPartition, OffsetFetchPartitionResponse]:
        """Return what the group has committed for every partition, and move there unless ``reset_offset_on_fetch`` is off."""
        if self._group is None:
            raise KafkaException("fetch_offsets() needs a consumer_group")
        committed = self._offsets.fetch_committed(self._owned)
        if self._options["reset_offset_on_fetch"]:
            with self._lock:  # a rebalance may have taken some away meanwhile
                self._move({tp: row.offset for tp, row in committed.items() if row.offset >= 0 and tp in self._owned})
        return committed

    def _start_auto_commits(self) -> None:
        if self._options["auto_commit_enable"] and self._group is not None:
            engine = self._cluster.engine
            interval_s = self._options["auto_commit_interval_ms"] / 1000.0
            self._auto_commits = Ticker(engine.loop, engine.offsets_worker, interval_s, self._auto_commit)
            self._auto_commits.start()

    def _auto_commit(self) -> None:
        self._commit_quietly(self._commits.commit_in_background, self._to_commit)

    def _end_auto_commits(self) -> None:
        """Commit by itself no more, but for what was delivered since the last time.

        :raises KafkaException: when that could not be committed
        """
        if self._stop_ticking():
            self._commits.commit_moved(self._to_commit, self._committer)

    def _stop_ticking(self) -> bool:
        """Commit by itself no more; return whether it did until now."""
        ticker, self._auto_commits = self._auto_commits, None
        if ticker is not None:
            ticker.stop()
        return ticker is not None

    def _commit_quietly(self, commit: Callable[..., object], *args: Any) -> bool:
        """Commit on the offsets worker, and return whether that was done.

        What cannot be put right by another try is raised by the next consume().
        """
        if not self._running:
            return False  # stop() has committed, or its user did not want that
        try:
            commit(*args, self._committer)
            return True
        except Exception as error:
            self._note_uncommitted(error)
        return False

    def _note_uncommitted(self, error: Exception) -> None:
        """Say what has kept offsets from being committed, where that is not done with yet."""
        if getattr(error, "retriable", False):
            log.warning("%r: offsets were not committed, tried again later: %s", self, error)
        else:
            self._fail(error)

    # -- moving -------------------------------------------------------------------------------------------------------

    def reset_offsets(self, partition_offsets: Optional[PartitionOffsets] = None) -> None:
        """Move partitions, and commit that if there is a group; everything to ``auto_offset_reset`` without arguments.

        A consumer that is not running starts from there later, unless it is to reset its offsets on start.

        :param partition_offsets: pairs of a partition and where to: an integer is the offset *last consumed*, so the next
            message is the one after it; OffsetType.EARLIEST or LATEST; a datetime (naive means UTC), for the first message at
            or after it
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
            self._commits.commit(lambda: self._ours(positions), self._committer)

    def _on_out_of_range(self, core: FetchCore, tp: TopicPartition, position: int, generation: int) -> None:
        """Called on the I/O thread: the offset to fetch is not in the log."""
        place = (core, tp, position, generation, self._options["auto_offset_reset"])
        self._cluster.engine.offsets_worker.submit(go_on_after_out_of_range, self._offsets, *place)

    def _on_unplaced(self, core: FetchCore, generations: dict[TopicPartition, int]) -> None:
        """Called on the I/O thread: partitions have appeared, or a topic was deleted and created again."""
        self._cluster.engine.offsets_worker.submit(self._place, core, generations)

    def _place(self, core: FetchCore, generations: dict[TopicPartition, int]) -> None:
        """Find places for partitions that need one, on the offsets worker."""
        raise NotImplementedError

    def _note_jump(self, buffer: PartitionBuffer) -> None:
        """Have a jump committed that the consumer has just come to: everything before it is delivered."""
        target, buffer.jumped_to = buffer.jumped_to, None
        if self._group is not None:
            tp, before = buffer.tp, self._commits.committed(buffer.tp)
            jump = (tp, target, before, lambda: self._is_read(tp))
            self._cluster.engine.offsets_worker.submit(self._commit_quietly, self._commits.commit_jump, *jump)

    def _is_read(self, tp: TopicPartition) -> bool:
        with self._lock:
            return tp in self._owned and self._may_commit(tp)
