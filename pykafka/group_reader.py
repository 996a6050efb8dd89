"""A GroupReader: reads what its group gives it and takes away, tells the user, and commits from its member's seat."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional, Union

from ._engine.fetching import FetchCore, weakly
from ._engine.group_session import GroupSession
from ._engine.waiting import Deadline
from ._engine.worker import Worker
from ._machines.consumer_member import ConsumerMember
from ._machines.member import NO_GENERATION, NOTHING, STABLE, Assign, Lost, Member, MemberStatus, Owned, Revoke
from ._machines.positions import held_offset
from .common import OffsetType, TopicPartition, spelled
from .consumer import Consumer
from .exceptions import ConsumerStoppedException, FencedInstanceId, IllegalGeneration, KafkaException
from .group_commits import MOVED_ON, TakenAway, commit_while_ours, explained
from .group_protocols import member_settings, text_of
from .group_topics import GroupTopics
from .offset_arguments import answered_moves
from .offsets import Committer, Seat, Start
from .partition import Partition
from .placing import look_for_places

if TYPE_CHECKING:
    from .cluster import Cluster
    from .offset_arguments import PartitionOffsets
    from .topic import Topic

log = logging.getLogger(__name__)

#: Who was refused a commit hears within so many heartbeats that the group moves on, if it does.
CALM_HEARTBEATS = 3
#: How long it takes until a partition that could not be begun with is tried again (seconds); twice as long after every failure.
BEGIN_AGAIN_S, BEGIN_AGAIN_MAX_S = 1.0, 30.0


class _Share(NamedTuple):
    """Partitions to begin with. ``resets``: whether what the group has committed for them counts for nothing."""

    partitions: Owned
    resets: bool
    #: how often it went wrong; it is the user's to know of once
    failures: int = 0


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
        #: ``worker``: whose job the calling thread does; see :meth:`_is_outlived`
        self._acting = threading.local()
        #: held offsets of what was given up since the last rebalance, for post_rebalance_callback
        self._held_before: dict[Any, int] = {}
        self._resets_on_start = False
        #: what is given up just now
        self._revoked: Optional[Revoke] = None
        self._taken_away = TakenAway()

    def _tell(self, step: Callable[[float], object]) -> None:
        """Have ``step(now)``, of the member's, called on the I/O thread."""
        session = self._session
        if session is not None and not self._is_outlived():
            session.tell(step)

    # -- what the group asks for: on the worker -----------------------------------------------------------------------

    def _act_on(self, event: Any, worker: Worker) -> None:
        """Do what an event asks for; what goes wrong is for the next consume() to raise, and must not end the worker.

        :param worker: the one that was given it, which may be that of a start that Ctrl-C has ended since
        """
        before = getattr(self._acting, "worker", None)
        self._acting.worker = worker
        try:
            if not self._is_outlived():
                self._act(event)
        except Exception as error:
            self._note_failure(f"acting on {type(event).__name__}", error)
        finally:
            self._acting.worker = before

    def _act(self, event: Any) -> None:
        """Do what an event asks for."""
        self._begin_with(event)

    def _is_outlived(self) -> bool:
        """Return whether the calling thread does a job of a start that is over; what it finds out is nobody's any more.

        Ctrl-C ends a start, not what its worker waits for just then, and by the end of that there may be another start, with
        another worker, whose state looks like that of its own. So this is asked after everything that may take time.
        """
        worker = getattr(self._acting, "worker", None)
        return worker is not None and worker is not self._worker

    def _fail(self, error: BaseException) -> None:
        if not self._is_outlived():
            super()._fail(error)
        elif isinstance(error, SystemExit):
            log.warning("%r: a callback of before it was stopped wanted to end the program: %r", self, error)

    # -- partitions come and go: on the worker ------------------------------------------------------------------------

    def _revoke(self, event: Revoke) -> None:
        """Tell the user, who may commit meanwhile, commit if that is wanted, give the partitions up, and let the group go on."""
        self._held_before.update(self._held())
        self._revoked = event
        try:
            self._call_back("on_revoke", self._fenced_for(event))
        finally:
            try:
                if self._options["auto_commit_enable"]:
                    self._commit_before_giving_up(event)
            finally:
                if self._revoked is event:
                    self._revoked = None
                if not self._is_outlived():
                    self._forgo(self._fenced_for(event), event)
                    member = self._member
                    if member is not None:
                        self._tell(lambda now: member.gave_up(event.number, now))

    def _fenced_for(self, event: object) -> list[TopicPartition]:
        """Return the partitions that are read, and of which nothing is delivered because of ``event``."""
        return [tp for tp in self._owned if self._fenced.get(tp) is event]

    def _forgo(self, partitions: Iterable[TopicPartition], event: Union[Lost, Revoke]) -> None:
        tps = list(partitions)
        with self._lock:
            self._taken_away.note(self._uncommitted(tps), event)
            self._give_up(tps, event)
        self._commits.forget(tps)  # others commit them from now on

    def _commit_before_giving_up(self, event: Revoke) -> None:
        if self._is_outlived():
            return
        going = self._fenced_for(event)

        def positions() -> dict[TopicPartition, int]:
            return {tp: position for tp, position in self._to_commit().items() if tp in going}

        try:
            self._commit_revoked(event, lambda by: self._commits.commit_moved(positions, lambda: by))
        except KafkaException as error:
            log.warning("%r: what was delivered last is not committed, others will read it again: %s", self, error)
            if not isinstance(error, MOVED_ON):
                self._fail(error)

    def _commit_revoked(self, event: Revoke, commit: Callable[[Committer], None]) -> None:
        """Commit by the seat from which partitions are given up just now."""
        member = self._member

        def newest() -> Committer:
            if isinstance(member, ConsumerMember):
                self._tell(member.catch_up)
            return self._committer()

        commit_while_ours(
            commit,
            self._committer(event.generation),
            newest,
            lambda: member is not None and member.gives_up(event.number) and not self._is_outlived(),
        )

    def _lost(self, event: Lost) -> None:
        self._held_before.update(self._held())
        had = [tp for tp in self._owned if tp in event.partitions]
        self._forgo(event.partitions, event)
        log.warning("%r: %s lost: %s", self, spelled(event.partitions), event.cause)
        self._call_back("on_lost", had)

    def _assign(self, event: Assign) -> None:
        share = _Share(event.partitions, self._resets_on_start)
        self._resets_on_start = self._resets_on_start and not event.partitions
        before, self._held_before = {**self._held_before, **self._held()}, {}
        self._begin_with(share, before)

    def _begin_with(self, share: _Share, before: Optional[dict[Any, int]] = None) -> None:
        """Read partitions that the group has given us, from where the offset rules say; what has no leader yet follows later.

        :param before: what was held before the rebalance; None for those that follow later
        """
        left = self._begin_with_known(share, before)
        if left.partitions:
            try:
                self._offsets.wait_for_leaders(sorted(left.partitions))
            except KafkaException as error:
                log.info("%r: whether %s have leaders cannot be asked: %s", self, spelled(left.partitions), error)
            self._begin_again(self._begin_with_known(left))

    def _begin_with_known(self, share: _Share, before: Optional[dict[Any, int]] = None) -> _Share:
        """Begin with the partitions whose positions are known or can be looked up; return those that have no leader for it.

        Nothing of them is delivered before the user was told of them, and has said where to begin instead.
        """
        before, opening = self._held() if before is None else before, object()
        left = share._replace(partitions=NOTHING)
        try:
            left = self._place_known(share, opening)
            self._call_back("on_assign", self._fenced_for(opening))
            self._call_after_rebalance(before)
        except Exception as error:
            self._note_failure("beginning with new partitions", error)
        finally:
            self._unfence(opening)
            self._wake()
        return left

    def _place_known(self, share: _Share, opening: object) -> _Share:
        """Begin with them, fenced for ``opening``; return those that have no leader yet."""
        none = share._replace(partitions=NOTHING)
        wanted = self._given(dict.fromkeys(share.partitions, 0))
        known = {tp: partition for tp in wanted for partition in [self._topics.partition(tp)] if partition is not None}
        if not known:
            return none
        try:
            start = self._places(known, share.resets)
            self._commits.note(self._given(start.positions))
            if start.commit:
                self._commits.commit(lambda: self._given(start.commit), self._committer)
        except MOVED_ON as error:
            # those that are ours still when it has come to rest are not given to us anew, if the group moves on step by step
            log.info("%r: the group has moved on before %s were begun with, tried again: %s", self, spelled(known), error)
            self._begin_again(share._replace(partitions=frozenset(known)))
            return none
        except Exception as error:
            log.warning("%r: %s cannot be begun with yet, tried again: %s", self, spelled(known), error)
            if not getattr(error, "retriable", False) and not share.failures:
                self._fail(error)
            self._begin_again(share._replace(partitions=frozenset(known), failures=share.failures + 1))
            return none
        with self._lock:
            core = self._core
            if core is None:
                return none
            with self._fence_lock:
                begun = list(self._given(start.positions))
                self._fenced.update(dict.fromkeys(begun, opening))
            self._adopt(core, [known[tp] for tp in begun])
            self._seek({tp: start.positions[tp] for tp in begun})
        return share._replace(partitions=frozenset(known) - start.positions.keys())

    def _given(self, offsets: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        """Return those of ``offsets`` whose partitions the group has us begin with still, and that we have not begun with."""
        if self._is_outlived():
            return {}
        member, begun = self._member, self._owned
        given = offsets.keys() if member is None else member.owned
        return {tp: offset for tp, offset in offsets.items() if tp in given and tp not in begun and tp not in self._fenced}

    def _places(self, partitions: Iterable[TopicPartition], resets: bool) -> Start:
        """Return where partitions start by the offset rules; those that came while we read, at their beginning."""
        old, new = ([tp for tp in partitions if self._topics.was_there(tp) is wanted] for wanted in (True, False))
        there = self._offsets.start(old, reset_on_start=resets, led_only=True)
        came = self._offsets.start(new, OffsetType.EARLIEST, reset_on_start=False, led_only=True)
        return Start({**there.positions, **came.positions}, {**there.commit, **came.commit})

    def _begin_again(self, share: _Share) -> None:
        worker, loop = self._worker, self._cluster.engine.loop
        again = weakly(weakref.WeakMethod(self._act_on))
        if worker is not None and share.partitions and not self._is_outlived():
            pause_s = min(BEGIN_AGAIN_S * 2 ** max(0, share.failures - 1), BEGIN_AGAIN_MAX_S)
            loop.call_soon(lambda: loop.call_at(loop.now() + pause_s, worker.submit, again, share, worker))

    # -- callbacks ----------------------------------------------------------------------------------------------------

    def _note_failure(self, what: str, error: Exception) -> None:
        """Have the user hear of what went wrong on the worker: from the next consume(), or stop()."""
        is_over = isinstance(error, ConsumerStoppedException) or self._cluster.engine.closed
        if is_over and not self._running:
            log.info("%r: stopped in the middle of %s: %s", self, what, error)
            return
        log.error("%r: %s failed", self, what, exc_info=error)
        self._fail(error)

    def _call_back(self, name: str, partitions: Iterable[TopicPartition]) -> None:
        """Call the user's function of that name if it is about any partitions."""
        callback = None if self._is_outlived() else self._options[name]
        found = [partition for tp in sorted(partitions) for partition in [self._topics.partition(tp)] if partition is not None]
        if callback is not None and found:
            self._run(callback, found)

    def _run(self, callback: Callable[..., Any], *args: Any) -> Any:
        """Return what the user's function returns, None when it calls sys.exit(): that is for the thread that consumes."""
        try:
            return callback(self, *args)
        except SystemExit as end:
            self._fail(end)
            return None

    def _call_after_rebalance(self, before: dict[Any, int]) -> None:
        """Call post_rebalance_callback if there is anything new; what it returns is where partitions go on."""
        callback, after = self._options["post_rebalance_callback"], self._held()
        if callback is None or self._is_outlived() or before.keys() == after.keys():
            return
        moves = answered_moves(self._run(callback, before, after), {self._key(tp): own for tp, own in self._owned.items()})
        if moves and not self._is_outlived():
            self.reset_offsets(moves)

    # -- offsets ------------------------------------------------------------------------------------------------------

    def _key(self, tp: TopicPartition) -> Any:
        """Return what a partition is called in the dicts that users see: its number, or (topic, number)."""
        return (tp.topic.encode(), tp.partition) if self._topics.keys_have_topics else tp.partition

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

        In ``on_revoke``, also while the consumer stops, this is from the seat that the partitions are given up from.

        :raises KafkaException: when they could not be committed; IllegalGeneration and its like when the group has moved
            on: the message says which generation this was, and why. What is ours still is committed nevertheless
        """
        event = self._revoked if self._in_worker() else None
        if event is None and (not self._running or self._is_outlived()):
            self._check_running()
        deadline = Deadline(member_settings(self._options).rebalance_timeout_s)
        while True:
            generation = self._committer().seat.generation if event is None else event.generation
            settled = event is not None or self._is_settled()
            try:
                if event is None:
                    super().commit_offsets(partition_offsets)
                else:
                    self._commit_revoked(event, lambda by: self._commit_as(lambda: by, partition_offsets))
                break
            except MOVED_ON as error:
                # what this member still reads is committed as soon as the rebalance is over
                if error.api is None:
                    raise  # nobody was asked: see _not_ours
                # one that is still being shared out refuses what it takes as soon as that is done
                old = generation if settled else NO_GENERATION
                if partition_offsets is not None or not self._waits_for_another(old, deadline):
                    with self._lock:  # this error tells of all of it
                        self._taken_away.tell(self._uncommitted(self._owned))
                        self._taken_away.take(self._commits.committed)
                    raise explained(error, generation, self.group_status()) from None
        late = self._taken_away_uncommitted(in_callback=self._in_worker()) if partition_offsets is None else {}
        if late:
            raise self._not_ours(late)

    def _may_commit(self, tp: TopicPartition) -> bool:
        """Return whether a partition is ours; asked after the seat was looked up.

        Lost ones are somebody else's although they are read until the worker comes to it, and although there may be another
        seat by then: what was delivered from the one before would take back what others have committed since. Whoever sees the
        other seat sees the fence, too, which was there before.
        """
        return not isinstance(self._fenced.get(tp), Lost)

    def _tp_to_commit(self, partition: Any) -> TopicPartition:
        if isinstance(partition, Partition) and partition.tp.topic in self._topics.by_name:
            return partition.tp  # whether it is ours, and what the group has done if it is not, is said with the seat
        return super()._tp_to_commit(partition)

    def _ours(self, offsets: dict[TopicPartition, int]) -> dict[TopicPartition, int]:
        with self._lock:
            others = {tp: self._fenced.get(tp) for tp in offsets if not self._is_read(tp)}
            if others:
                raise self._not_ours(others)
        return offsets

    def _not_ours(self, partitions: Mapping[TopicPartition, object]) -> KafkaException:
        """Return the error of a commit of ``partitions``, each with what has taken it away, or has it fenced."""
        taken = next((why for why in partitions.values() if isinstance(why, (Lost, Revoke))), None)
        generation = self._committer().seat.generation if taken is None else taken.generation
        why = "the group has them read by others"
        if isinstance(taken, Lost):
            why = f"they were lost: {taken.cause}"
        elif taken is not None:
            why = f"they were given up before what was delivered last was committed, because {taken.cause}"
        return explained(IllegalGeneration(f"{spelled(partitions)} cannot be committed: {why}."), generation, self.group_status())

    def _uncommitted(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Return where the user has got to in those of ``partitions`` of which something was delivered and not committed."""
        buffers = [self._buffers[tp] for tp in partitions if tp in self._buffers]
        if buffers:
            self._put_back_turn()  # which writes down how far the user has got
        # not how far the position is: that moves by seek() and by control records, too, and nothing of these is read twice
        delivered = {buffer.tp: buffer.delivered for buffer in buffers}
        return {tp: end for tp, end in delivered.items() if end is not None and end > (self._commits.committed(tp) or 0)}

    def _taken_away_uncommitted(self, *, in_callback: bool) -> dict[TopicPartition, object]:
        """Return what has taken those partitions away of which something was delivered that cannot be committed any more.

        :param in_callback: only of those that are being taken away just now: what was before is for the user's own thread to hear
        """
        with self._lock:
            going = self._uncommitted(tp for tp in list(self._fenced) if not self._may_commit(tp))
            self._taken_away.tell(going)
            gone = {} if in_callback else self._taken_away.take(self._commits.committed)
            return {**gone, **{tp: self._fenced.get(tp) for tp in going}}

    def _in_worker(self) -> bool:
        worker = self._worker
        return worker is not None and worker.in_worker()

    def _is_settled(self) -> bool:
        return self._session is not None and self._session.status.state == STABLE

    def _waits_for_another(self, generation: int, deadline: Deadline) -> bool:
        """Return whether any generation but ``generation`` is settled before ``deadline``, with something to commit in it."""
        session = None if self._in_worker() else self._session  # the worker itself is what a rebalance waits for
        calm_s = CALM_HEARTBEATS * self._options["heartbeat_interval_ms"] / 1000.0
        calm = Deadline(calm_s)
        while session is not None and self._running and self._owned and deadline.left() > 0:
            status = session.status
            if status.generation not in (generation, NO_GENERATION) and status.state == STABLE:
                return True
            if status.state != STABLE:
                calm = Deadline(calm_s)
            elif calm.passed:
                return False  # nobody says that the group moves on: no other generation comes
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
