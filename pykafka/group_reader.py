"""A GroupReader: reads what its group gives it and takes away, tells the user, and commits from its member's seat."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Callable, Optional

from ._engine.fetching import FetchCore, weakly
from ._engine.group_session import GroupSession
from ._engine.waiting import Deadline
from ._engine.worker import Worker
from ._machines.consumer_member import ConsumerMember
from ._machines.member import NOTHING, Assign, Lost, Member, MemberStatus, Owned, Revoke
from ._machines.positions import held_offset
from .common import OffsetType, TopicPartition, spelled
from .consumer import Consumer
from .exceptions import ConsumerStoppedException, FencedInstanceId, KafkaException
from .group_commits import MOVED_ON, commit_while_ours, explained
from .group_protocols import member_settings, text_of
from .group_topics import GroupTopics
from .offsets import Committer, Seat, Start
from .placing import look_for_places

if TYPE_CHECKING:
    from .cluster import Cluster
    from .offset_arguments import PartitionOffsets
    from .topic import Topic

log = logging.getLogger(__name__)

#: How long it takes at most until a partition that could not be begun with is tried again (seconds).
BEGIN_AGAIN_S = 1.0


class GroupReader(Consumer):
    """Reads partitions for as long as its group has it do so. Who derives from it sees to the membership itself.

    What the group asks for is done on the worker, a thread of the consumer's own, where the user's callbacks run, too.
    """

    def __init__(
        self,
        cluster: Cluster,
        options: Mapping[str, Any],
        topics: Iterable[Topic],
        pattern: Optional[str] = None,
    ) -> None:
        super().__init__(cluster, options)
        self._topics = GroupTopics(cluster, topics, pattern)
        self._session: Optional[GroupSession] = None
        self._member: Optional[Member] = None
        self._worker: Optional[Worker] = None
        #: held offsets before the rebalance that is under way, for post_rebalance_callback
        self._held_before: dict[Any, int] = {}
        self._resets_on_start = False

    def _tell(self, step: Callable[[float], object]) -> None:
        """Have ``step(now)``, of the member's, called on the I/O thread."""
        session = self._session
        if session is not None:
            session.tell(step)

    # -- partitions come and go: on the worker ------------------------------------------------------------------------

    def _revoke(self, event: Revoke) -> None:
        """Commit if that is wanted, tell the user, and let the group go on."""
        self._held_before = self._held()
        positions = self._give_up(event.partitions, event)
        if self._options["auto_commit_enable"]:
            self._commit_before_giving_up(positions, event)
        self._commits.forget(event.partitions)
        try:
            self._call_back("on_revoke", event.partitions)
        finally:
            member = self._member
            if member is not None:
                self._tell(lambda now: member.gave_up(event.number, now))

    def _commit_before_giving_up(self, positions: Mapping[TopicPartition, int], event: Revoke) -> None:
        member = self._member

        def commit(by: Committer) -> None:
            self._commits.commit_moved(lambda: positions, lambda: by)

        def newest() -> Committer:
            if isinstance(member, ConsumerMember):
                self._tell(member.catch_up)
            return self._committer()

        try:
            commit_while_ours(
                commit, self._committer(event.generation), newest, lambda: member is not None and member.gives_up(event.number)
            )
        except KafkaException as error:
            log.warning("%r: what was delivered last is not committed, others will read it again: %s", self, error)
            if not isinstance(error, MOVED_ON):
                self._fail(error)

    def _lost(self, event: Lost) -> None:
        self._held_before = self._held()
        self._give_up(event.partitions, event)
        self._commits.forget(event.partitions)
        log.warning("%r: %s lost: %s", self, spelled(event.partitions), event.cause)
        self._call_back("on_lost", event.partitions)

    def _assign(self, event: Assign) -> None:
        before, resets = self._held_before, self._resets_on_start
        self._resets_on_start = resets and not event.partitions
        self._begin_with(event.partitions, resets)
        self._held_before = self._held()
        if event.partitions:
            self._call_back("on_assign", event.partitions)
        self._call_after_rebalance(before)

    def _begin_with(self, partitions: Owned, resets: bool) -> None:
        """Read partitions that the group has given us, from where the offset rules say; what has no leader yet follows later.

        :param resets: whether what the group has committed for them counts for nothing
        """
        left = self._begin_with_known(partitions, resets)
        if left:
            try:
                self._offsets.wait_for_leaders(sorted(left))
            except KafkaException as error:
                log.info("%r: whether %s have leaders cannot be asked: %s", self, spelled(left), error)
            self._begin_again(self._begin_with_known(left, resets), resets)

    def _begin_with_known(self, partitions: Owned, resets: bool) -> Owned:
        """Begin with the partitions whose positions are known or can be looked up; return those that have no leader for it."""
        member = self._member
        wanted = partitions & member.owned if member is not None else partitions
        known = {tp: partition for tp in wanted for partition in [self._topics.partition(tp)] if partition is not None}
        if not known:
            return NOTHING
        try:
            start = self._places(known, resets)
            self._commits.note(start.positions)
            if start.commit:
                self._commits.commit(lambda: start.commit, self._committer)
        except MOVED_ON as error:
            log.info("%r: the group has moved on before %s were begun with: %s", self, spelled(known), error)
            return NOTHING
        except Exception as error:
            log.warning("%r: %s cannot be begun with yet, tried again: %s", self, spelled(known), error)
            if not getattr(error, "retriable", False):
                self._fail(error)
            self._begin_again(frozenset(known), resets)
            return NOTHING
        with self._lock:
            core = self._core
            if core is None:
                return NOTHING
            for tp in start.positions:
                if tp not in self._fenced and tp not in self._owned and (member is None or tp in member.owned):
                    self._adopt(core, known[tp])
            self._seek({tp: position for tp, position in start.positions.items() if tp in self._owned})
        self._wake()
        return frozenset(known) - start.positions.keys()

    def _places(self, partitions: Iterable[TopicPartition], resets: bool) -> Start:
        """Return where partitions start by the offset rules; those that came while we read, at their beginning."""
        old, new = ([tp for tp in partitions if self._topics.was_there(tp) is wanted] for wanted in (True, False))
        there = self._offsets.start(old, reset_on_start=resets, led_only=True)
        came = self._offsets.start(new, OffsetType.EARLIEST, reset_on_start=False, led_only=True)
        return Start({**there.positions, **came.positions}, {**there.commit, **came.commit})

    def _begin_again(self, partitions: Owned, resets: bool) -> None:
        worker, loop = self._worker, self._cluster.engine.loop
        again = weakly(weakref.WeakMethod(self._begin_with))
        if worker is not None and partitions:
            loop.call_soon(lambda: loop.call_at(loop.now() + BEGIN_AGAIN_S, worker.submit, again, partitions, resets))

    # -- callbacks ----------------------------------------------------------------------------------------------------

    def _call_back(self, name: str, partitions: Iterable[TopicPartition]) -> None:
        callback = self._options[name]
        if callback is not None:
            found = (self._topics.partition(tp) for tp in sorted(partitions))
            callback(self, [partition for partition in found if partition is not None])

    def _call_after_rebalance(self, before: dict[Any, int]) -> None:
        """Call post_rebalance_callback if there is anything new; what it returns is where partitions go on."""
        callback, after = self._options["post_rebalance_callback"], self._held()
        if callback is None or before.keys() == after.keys():
            return
        wanted = callback(self, before, after)
        if wanted:
            owned = {self._key(tp): partition for tp, partition in self._owned.items()}
            self.reset_offsets([(owned[key], where) for key, where in wanted.items() if key in owned])

    # -- offsets ------------------------------------------------------------------------------------------------------

    def _key(self, tp: TopicPartition) -> Any:
        """Return what a partition is called in the dicts that users see: its number, with its topic where there are several."""
        return (tp.topic.encode(), tp.partition) if self._topics.are_several else tp.partition

    def _held(self) -> dict[Any, int]:
        positions = self._positions()
        return {self._key(tp): held_offset(positions.get(tp)) for tp in self._owned}

    def _committer(self, generation: Optional[int] = None) -> Committer:
        session, instance_id = self._session, self._options["group_instance_id"]
        if session is None:
            return Committer()
        status = session.status  # one look: what belongs together
        seat = Seat(status.generation if generation is None else generation, status.member_id, text_of(instance_id))
        return Committer(status.member_id.encode(), seat)

    def commit_offsets(self, partition_offsets: Optional[PartitionOffsets] = None) -> None:
        """Commit for every partition the next offset to deliver, or exactly the (partition, next offset) pairs given.

        :raises KafkaException: when they could not be committed; IllegalGeneration and its like when the group has moved
            on: the message says which generation this was, and why
        """
        if not self._running:
            self._check_running()
        deadline = Deadline(member_settings(self._options).rebalance_timeout_s)
        while True:
            generation = self._committer().seat.generation
            try:
                super().commit_offsets(partition_offsets)
                return
            except MOVED_ON as error:
                # what this member still reads is committed as soon as the rebalance is over
                if partition_offsets is not None or not self._waits_for_another(generation, deadline):
                    raise explained(error, generation, self.group_status()) from None

    def _waits_for_another(self, generation: int, deadline: Deadline) -> bool:
        """Return whether there is another generation before ``deadline``, and something to commit in it."""
        session = self._session
        while session is not None and self._running and self._owned and deadline.left() > 0:
            status = session.status
            if status.generation not in (generation, -1) and status.state == "stable":
                return True
            self._cluster.engine.pause(0.05)
        return False

    def _note_uncommitted(self, error: Exception) -> None:
        if isinstance(error, MOVED_ON):
            log.info("%r: offsets were not committed, the group moves on: %s", self, error)
        elif not isinstance(error, FencedInstanceId):  # which the session ends with, too
            super()._note_uncommitted(error)

    def reset_offsets(self, partition_offsets: Optional[PartitionOffsets] = None) -> None:
        """Move partitions, and commit that; everything to ``auto_offset_reset`` without arguments.

        See :meth:`SimpleConsumer.reset_offsets` for what may be given.

        :raises ConsumerStoppedException: when the consumer is not running
        """
        self._check_running()
        super().reset_offsets(partition_offsets)

    def group_status(self) -> MemberStatus:
        """Return where this member stands in its group, and what the last rebalance was about.

        :raises ConsumerStoppedException: before the first start
        """
        if self._session is None:
            raise ConsumerStoppedException(f"{self!r} is no member of a group: start() it first")
        return self._session.status

    # -- partitions that are made anew --------------------------------------------------------------------------------

    def _place(self, core: FetchCore, generations: dict[TopicPartition, int]) -> None:
        places = look_for_places(self._offsets, core, generations, dict.fromkeys(generations))
        for tp, position in places.made_anew.items() if places is not None else ():
            core.jump(tp, position, generations[tp])
