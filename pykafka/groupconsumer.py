"""A GroupConsumer: a Consumer whose partitions are those that its group gives it; what the balanced consumers are."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Iterable, Mapping
from operator import length_hint
from typing import TYPE_CHECKING, Any, Callable, Optional

from ._engine.fetching import FetchCore, weakly
from ._engine.group_session import GroupSession
from ._engine.ticker import Ticker
from ._engine.waiting import Deadline, Result
from ._engine.worker import Worker
from ._machines.classic_member import ClassicMember
from ._machines.consumer_member import ConsumerMember
from ._machines.member import (
    AWAY,
    NOTHING,
    Assign,
    Decide,
    Ended,
    Event,
    LookUp,
    Lost,
    Member,
    MemberStatus,
    Owned,
    Rebalanced,
    Revoke,
)
from ._machines.positions import held_offset
from .common import OffsetType, TopicPartition, spelled
from .consumer import STOP_TIMEOUT_S, Consumer
from .exceptions import (
    ConsumerStoppedException,
    FencedInstanceId,
    KafkaConfigError,
    KafkaException,
)
from .group_commits import MOVED_ON, commit_while_ours, explained
from .group_protocols import AUTO, CONSUMER, OTHER_PROTOCOL, make_member, member_settings, text_of
from .group_sharing import Sharing
from .group_topics import GroupTopics, numbers_of
from .offset_arguments import answered_moves
from .offsets import Committer, Seat, Start
from .placing import look_for_places

if TYPE_CHECKING:
    from ._machines.metadata import ClusterView
    from .cluster import Cluster
    from .offset_arguments import PartitionOffsets
    from .topic import Topic

log = logging.getLogger(__name__)

#: How long it takes at most until a partition that could not be begun with is tried again (seconds).
BEGIN_AGAIN_S = 1.0
#: A rebalance that waits for others is given this much more than they have (seconds).
SPARE_S = 10.0
#: How often the protocol of a group is chosen anew before what ended the membership is an error.
CHOICES = 3
#: Seconds between looks for topics that a pattern is true of.
PATTERN_LOOK_S = 5.0


class GroupConsumer(Consumer):
    """Reads what its group gives it. The group's business runs on the I/O thread, what that asks for on a thread of its own.

    So heartbeats never depend on what the user does, and neither do the user's callbacks hold up the I/O thread. What a
    rebalance takes away is fenced on the I/O thread before anybody else hears of it: not a message of it is delivered after.
    """

    def __init__(
        self,
        cluster: Cluster,
        options: Mapping[str, Any],
        topics: Iterable[Topic],
        pattern: Optional[str] = None,
    ) -> None:
        super().__init__(cluster, options)
        if options["heartbeat_interval_ms"] >= options["session_timeout_ms"]:
            raise KafkaConfigError(
                f"heartbeat_interval_ms={options['heartbeat_interval_ms']} must be below"
                f" session_timeout_ms={options['session_timeout_ms']}, best a third of it: one too late costs all partitions"
            )
        assert self._group is not None
        self._group_name = self._group.decode()
        self._topics = GroupTopics(cluster, topics, pattern)
        self._topic_looks: Optional[Ticker] = None
        self._sharing = Sharing(options["membership_protocol"], options["client_rack"] or None)
        if options["group_protocol"] == CONSUMER and self._sharing.server_assignor is None:
            raise KafkaConfigError(
                "membership_protocol: a way of sharing of your own needs group_protocol='classic' or 'auto', not 'consumer',"
                " where the coordinator shares out"
            )
        self._session: Optional[GroupSession] = None
        self._member: Optional[Member] = None
        self._worker: Optional[Worker] = None
        #: how many looks were taken for a message: with what is left of the turn it shows whether anybody takes any
        self._looks = 0
        self._waiting = 0
        self._seen: tuple[int, int, int] = (-1, 0, 0)
        #: ended for good: every consume() says why
        self._fatal: Optional[KafkaException] = None
        self._first: Result[None] = Result()
        #: held offsets of what was given up since the last rebalance, for post_rebalance_callback
        self._held_before: dict[Any, int] = {}
        self._resets_on_start = False
        self._stopped_by_callback = False
        #: how often the protocol was chosen since there was a share; see :meth:`_joins_otherwise`
        self._choices = 0
        #: topic -> partition numbers, as of this leader's last decision
        self._decided_on: Optional[dict[str, list[int]]] = None

    # -- starting and stopping ----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Join the group, and return when it has given this member its partitions (perhaps none); does nothing when running.

        :raises KafkaException: when it could not be joined: nothing was started then
        """
        with self._lifecycle:
            if self._running or self._is_starting:
                return
            with self._starting():
                self._start()
            if self._is_stop_wanted:
                self.stop()
        self._cluster.track(self)
        self._wait_for_the_first_share()

    def _start(self) -> None:
        self._fatal, self._first, self._decided_on, self._stopped_by_callback = None, Result(), None, False
        self._owned, self._fenced, self._parked, self._held_before = {}, {}, {}, {}
        self._choices, self._resets_on_start = 0, self._options["reset_offset_on_start"]
        self._topics.find()  # what came before our start is what the brokers know now, not what we knew last
        self._member = self._make_member()  # what can go wrong so far starts nothing
        self._worker = Worker(f"pykafka-group-{self._group_name}")
        core = self._make_core()
        core.start([])
        self._begin(core, {})
        hooks = (self._fence, self._on_event, self._is_active)
        fence, event, active = (weakly(weakref.WeakMethod(hook)) for hook in hooks)
        session = self._session = GroupSession(self._cluster.engine, self._member, fence, event, active)
        self._topics.begin()
        session.watch(weakly(weakref.WeakMethod(self._on_view)))
        session.start()
        self._start_auto_commits()
        if self._topics.pattern is not None:
            self._topic_looks = Ticker(self._cluster.engine.loop, self._worker, PATTERN_LOOK_S, self._look_for_topics)
            self._topic_looks.start()

    def _wait_for_the_first_share(self) -> None:
        try:
            patience_s = member_settings(self._options).rebalance_timeout_s + SPARE_S
            self._first.wait(Deadline(patience_s), f"joining group {self._group_name}")
        except ConsumerStoppedException:
            return  # by another thread, or a signal handler
        except BaseException:  # Ctrl-C, too: whoever has no consumer cannot stop it
            try:
                self.stop()
            except KafkaException as error:
                log.info("%r: stopping what could not be started: %s", self, error)
            raise

    def stop(self) -> None:
        """Leave the group: commit what was delivered if auto-commit is on, and wake every waiting consume(). Twice is harmless.

        :raises KafkaException: when the last commit failed
        """
        with self._lifecycle:
            self._is_stop_wanted = self._is_starting
            if self._is_starting or not self._running:
                return
            session, worker = self._session, self._worker
            assert session is not None and worker is not None
            self._stop_ticking()
            with self._lock:  # from here on nobody joins again
                self._running = False
            self._wake()
            worker.submit(self._first.fail, ConsumerStoppedException(f"{self!r} was stopped"))
            session.leave("the consumer was stopped")
            if worker.in_worker():
                self._stopped_by_callback = True
                return  # a callback stops us: it is in the way of what is left to do, which _note_end will see to
            self._wait_unlocked(lambda: session.has_left)
            session.wait_until_left(Deadline(0.0))
            self._finish()
        error, self._worker_error = self._worker_error, None
        if isinstance(error, KafkaException):
            raise error

    def _finish(self) -> None:
        """End everything that goes on in the background; twice is harmless."""
        session, worker = self._session, self._worker
        if session is None or worker is None:
            return
        self._worker = None
        if self._topic_looks is not None:
            self._topic_looks.stop()
        session.close()
        worker.stop(0.0)
        self._wait_unlocked(lambda: worker.ended or worker.in_worker())
        self._topics.end()
        core = self._end()
        if core is not None:
            core.stop(Deadline(STOP_TIMEOUT_S))
        self._owned = {}

    def _abandon(self) -> None:
        super()._abandon()
        if self._session is not None:
            self._session.abandon()
        if self._worker is not None:
            self._worker.stop(0.0)

    def _let_go(self) -> None:
        super()._let_go()
        self._session = self._member = self._worker = None

    def _make_member(self) -> Member:
        return make_member(self._cluster, self._options, self._sharing, sorted(self._topics.by_name), self._topics.pattern)

    def _look_for_topics(self) -> None:
        """Look for topics that match by now; the coordinator is told of them by a member that has to do so itself."""
        try:
            found = self._topics.find()
        except KafkaException as error:
            log.info("%r: no look for new topics this time: %s", self, error)
            return
        member = self._member
        if found and isinstance(member, ClassicMember):
            names = sorted(self._topics.by_name)
            self._tell(lambda now: member.subscribe(names, now))

    # -- taking messages ----------------------------------------------------------------------------------------------

    def _check_running(self) -> None:
        self._check_not_forked()
        if self._fatal is not None:
            raise self._fatal.with_traceback(None)
        super()._check_running()

    def _next_turn(self) -> Any:
        self._looks += 1
        session = self._session
        if session is not None and session.status.state == AWAY and self._running:
            session.tell(lambda now: None)  # it has left because nobody took messages: now somebody does
        return super()._next_turn()

    def _wait_for_arrival(self, deadline: Deadline, slice_s: float) -> None:
        self._waiting += 1
        try:
            super()._wait_for_arrival(deadline, slice_s)
        finally:
            self._waiting -= 1

    def _is_active(self) -> bool:
        """Return whether somebody takes messages, or waits for some; called on the I/O thread."""
        before, self._seen = self._seen, self._look_at_user()
        looks, turn, left = self._seen
        # a turn that was replaced shows nothing: rebalances do that, too
        return looks != before[0] or (turn == before[1] and left < before[2]) or self._waiting > 0

    def _look_at_user(self) -> tuple[int, int, int]:
        return self._looks, id(self._turn), length_hint(self._ready)

    def _fence(self, partitions: Iterable[TopicPartition], why: object) -> None:
        super()._fence(partitions, why)
        self._seen = self._look_at_user()  # what is left of the turn was not taken by the user

    # -- what the group asks for: on the I/O thread -------------------------------------------------------------------

    def _on_event(self, event: Event) -> None:
        worker = self._worker
        if worker is not None:
            worker.submit(weakly(weakref.WeakMethod(self._act_on)), event)

    def _on_view(self, view: ClusterView) -> None:
        member = self._member
        if isinstance(member, ConsumerMember):
            ids = self._topics.ids(view)
            self._tell(lambda now: member.learn(ids, now))
        elif isinstance(member, ClassicMember) and self._decided_on is not None and member.is_leader:
            now_there = {name: numbers_of(view, name) for name in self._decided_on}
            changed = sorted(name for name, numbers in now_there.items() if numbers != self._decided_on[name])
            if changed:
                self._decided_on = None
                self._tell(lambda now: member.rebalance(now, f"topics have other partitions now: {', '.join(changed)}"))

    def _tell(self, step: Callable[[float], object]) -> None:
        session = self._session
        if session is not None:
            session.tell(step)

    # -- what the group asks for: on the worker -----------------------------------------------------------------------

    def _act_on(self, event: Event) -> None:
        """Do what an event asks for; what goes wrong is for the next consume() to raise, and must not end the worker."""
        try:
            _ACTIONS[type(event)](self, event)
        except Exception as error:
            log.exception("%r: acting on %s failed", self, type(event).__name__)
            self._fail(error)

    def _revoke(self, event: Revoke) -> None:
        """Commit if that is wanted, tell the user, and let the group go on."""
        self._held_before.update(self._held())
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
        self._held_before.update(self._held())
        self._give_up(event.partitions, event)
        self._commits.forget(event.partitions)
        log.warning("%r: %s lost: %s", self, spelled(event.partitions), event.cause)
        self._call_back("on_lost", event.partitions)

    def _assign(self, event: Assign) -> None:
        before, self._choices = {**self._held_before, **self._held()}, 0
        self._held_before, resets = {}, self._resets_on_start
        self._resets_on_start = resets and not event.partitions
        self._begin_with(event.partitions, resets)
        try:
            if event.partitions:
                self._call_back("on_assign", event.partitions)
            self._call_after_rebalance(before)
        finally:
            self._first.succeed(None)

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

    def _decide(self, event: Decide) -> None:
        member = self._member
        assert isinstance(member, ClassicMember)
        engine = self._cluster.engine
        try:
            wanted = self._sharing.wanted(event)
            unknown = [name for name in wanted if name not in engine.view.topics]
            view = engine.update(unknown, Deadline(self._cluster.socket_timeout_s)) if unknown else engine.view
            partitions = {name: numbers_of(view, name) for name in wanted}
            shares, remarks = self._sharing.decide(event, partitions)
        except Exception as error:
            failure = error if isinstance(error, KafkaException) else KafkaException(f"deciding who reads what failed: {error!r}")
            self._tell(lambda now: member.undecided(event.number, failure, now))
            if not failure.retriable:
                raise
            return
        for remark in remarks:
            log.warning("group %s: %s", self._group_name, remark)
        self._decided_on = partitions
        self._tell(lambda now: member.decided(event.number, shares))

    def _look_up(self, event: LookUp) -> None:
        try:
            self._topics.refresh()
        except KafkaException as error:
            log.info("%r: topics of the assignment are not known yet: %s", self, error)

    def _note_rebalance(self, event: Rebalanced) -> None:
        log.info(
            "group %s: rebalanced because %s; generation %d after %.3f s; gained %s, lost %s",
            self._group_name,
            event.cause,
            event.generation,
            event.duration_s,
            spelled(event.gained),
            spelled(event.lost),
        )

    def _joins_otherwise(self, error: KafkaException) -> bool:
        """Return whether this member joins its group again, by the protocol that it has now.

        That was chosen at the start, and may be another one since: brokers were replaced by older or newer ones, or all members
        were away and others came first. Tried only as often as CHOICES says without a share in between.
        """
        session, old = self._session, self._member
        if session is None or self._options["group_protocol"] != AUTO or not isinstance(error, OTHER_PROTOCOL):
            return False
        self._choices += 1
        if self._choices > CHOICES:
            return False
        try:
            member = self._make_member()
        except KafkaException as failure:
            log.warning("%r: which protocol the group has now cannot be asked: %s", self, failure)
            return False
        if isinstance(old, ClassicMember) and isinstance(member, ClassicMember):
            return False  # it is about something else
        with self._lock:
            if not self._running:
                return False
            self._member, self._decided_on = member, None
            session.replace(member)
        log.info("%r: joins again, as %s after %s: %s", self, type(member).__name__, type(old).__name__, error)
        return True

    def _note_end(self, event: Ended) -> None:
        if event.error is not None and self._joins_otherwise(event.error):
            return
        if event.error is not None:
            self._fatal = event.error
            self._first.fail(event.error)
            self._wake()
        elif self._worker is not None and self._worker.in_worker() and not self._running and self._stopped_by_callback:
            self._finish()

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
        moves = answered_moves(callback(self, before, after), {self._key(tp): own for tp, own in self._owned.items()})
        if moves:
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


_ACTIONS: dict[type, Callable[[GroupConsumer, Any], None]] = {
    Revoke: GroupConsumer._revoke,
    Lost: GroupConsumer._lost,
    Assign: GroupConsumer._assign,
    Decide: GroupConsumer._decide,
    LookUp: GroupConsumer._look_up,
    Rebalanced: GroupConsumer._note_rebalance,
    Ended: GroupConsumer._note_end,
}
