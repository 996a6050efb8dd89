"""What one consumer has committed, and whose turn it is to commit."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Callable, Optional

from ._engine.waiting import call_locked, is_owned
from .common import TopicPartition
from .exceptions import OperationTimedOut

if TYPE_CHECKING:
    from .offsets import Committer, OffsetManager, OffsetSettings

log = logging.getLogger(__name__)

#: With auto-commit, offsets that have not moved are committed again after this many seconds.
RECOMMIT_S = 6 * 3600.0
#: A commit that waits for another thread's looks so often for who waits for whom (seconds).
TURN_LOOK_S = 0.01


class Commits:
    """What one consumer has committed. One commit at a time, so that the retry of an old one never undoes a newer one."""

    def __init__(
        self, offsets: OffsetManager, settings: OffsetSettings, now: Callable[[], float], pause: Callable[[], None]
    ) -> None:
        """Make one; ``pause()`` waits a moment, letting go of what another thread's commit may need to go on."""
        self._offsets = offsets
        self._pause = pause
        self._settings = settings
        self._now = now
        #: it knows who has it from the moment on at which it is taken, as no note of ours could: a signal handler may come before
        #: the note is made
        self._lock = threading.RLock()
        self._is_suspended = False
        self._committed: dict[TopicPartition, int] = {}
        self._committed_at = now()

    def note(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Take ``offsets`` for what the group has: where partitions started."""
        self._committed = {**self._committed, **offsets}
        self._committed_at = self._now()

    def commit(
        self,
        read: Callable[[], Mapping[TopicPartition, int]],
        who: Callable[[], Committer],
        within_s: Optional[float] = None,
    ) -> set[TopicPartition]:
        """Commit what ``read()`` returns once it is our turn; return what was left out, since it is there no more.

        :param within_s: how long passing errors are put up with; None is as long as the settings say
        :param who: is asked first, so that whatever is read belongs to that seat or to a later one, never to an earlier one
        :raises KafkaException: when it could not be committed
        """
        left_out: set[TopicPartition] = set()
        self._in_turn(lambda: left_out.update(self._read_and_commit(read, who, within_s)))
        return left_out

    def commit_moved(self, read: Callable[[], Mapping[TopicPartition, int]], who: Callable[[], Committer]) -> None:
        """Commit those offsets of what ``read()`` returns that have changed since the last commit."""
        self._in_turn(lambda: self._read_and_commit(lambda: self._moved(read()), who, None))

    def commit_in_background(self, read: Callable[[], Mapping[TopicPartition, int]], who: Callable[[], Committer]) -> None:
        """Do as :meth:`commit_moved` with less patience: there is another time soon.

        Everything is committed once in a while although nothing moved: brokers forget the offsets of a group without
        members some time (a day, before Kafka 2.1) after the last commit.
        """
        self._in_turn(lambda: self._read_and_commit(lambda: self._due(read()), who, self._settings.timeout_s))

    def forget(self, partitions: Iterable[TopicPartition]) -> None:
        """Know nothing of these partitions any more: others commit them from now on."""
        gone = set(partitions)
        self._committed = {tp: offset for tp, offset in self._committed.items() if tp not in gone}

    def committed(self, tp: TopicPartition) -> Optional[int]:
        """Return what was last committed for a partition, as far as this consumer knows."""
        return self._committed.get(tp)

    def commit_jump(
        self, tp: TopicPartition, target: int, before: Optional[int], is_read: Callable[[], bool], who: Callable[[], Committer]
    ) -> None:
        """Commit the offset a partition went on from because its own was not in the log, unless ``before`` is out of date.

        :param before: what :meth:`committed` was when the partition went there: whatever was committed since is newer
        :param is_read: whether the partition is (still) read here; asked after ``who``
        """

        def read() -> dict[TopicPartition, int]:
            return {tp: target} if self.committed(tp) == before and is_read() else {}

        self._in_turn(lambda: self._read_and_commit(read, who, self._settings.timeout_s))

    def _moved(self, positions: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        return {tp: position for tp, position in positions.items() if self._committed.get(tp) != position}

    def _due(self, positions: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, int]:
        return positions if self._now() - self._committed_at > RECOMMIT_S else self._moved(positions)

    def _read_and_commit(
        self, read: Callable[[], Mapping[TopicPartition, int]], who: Callable[[], Committer], within_s: Optional[float]
    ) -> frozenset[TopicPartition]:
        by = who()
        # before the look at what is read, which leaves out what is not in the topics as they are known: these are the topics
        topics = self._offsets.known_topics
        offsets = read()
        left_out = self._offsets.commit(offsets, by, within_s, topics)
        if left_out:
            log.warning("%s left out of a commit: the topic was deleted, or made anew", ", ".join(map(str, sorted(left_out))))
        self._committed.update({tp: offset for tp, offset in offsets.items() if tp not in left_out})
        if offsets:
            self._committed_at = self._now()
        return left_out

    def _in_turn(self, act: Callable[[], object]) -> None:
        """Call ``act()`` when no other commit is under way, and none begins before it has ended."""
        if is_owned(self._lock):  # it would wait for what it has interrupted
            raise OperationTimedOut("it interrupts a commit of its own thread, which a signal handler cannot wait for; try later")
        deadline = self._settings.patience()
        while not call_locked(self._lock, TURN_LOOK_S, lambda: self._act_as_holder(act)):
            if self._is_suspended:
                raise OperationTimedOut("another thread's commit was interrupted by a signal handler that stops the consumer")
            if deadline.passed:
                raise OperationTimedOut("another thread's commit did not end in time; is the group's coordinator in reach?")
            self._pause()

    def _act_as_holder(self, act: Callable[[], object]) -> None:
        self._is_suspended = False  # a handler may have come when the commit before was over, and the lock not yet let go
        try:
            act()
        finally:
            self._is_suspended = False

    def suspend(self) -> None:
        """Have nobody wait for the commit that the calling thread is in the middle of, if it is: it waits for others itself."""
        if is_owned(self._lock):
            self._is_suspended = True
