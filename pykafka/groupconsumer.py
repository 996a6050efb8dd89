"""A GroupConsumer: a GroupReader that is a member of its group; what the balanced consumers are."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Callable, Optional, Union

from ._engine.fetching import weakly
from ._engine.group_session import GroupSession
from ._engine.ticker import Ticker
from ._engine.waiting import Deadline, Result, is_owned
from ._machines.backoff import Spacing
from ._machines.classic_member import ClassicMember
from ._machines.consumer_member import ConsumerMember
from ._machines.member import AWAY, Assign, Decide, Ended, Event, Keep, LookUp, Lost, Member, Rebalanced, Revoke
from .common import TopicPartition, spelled
from .exceptions import ConsumerStoppedException, KafkaConfigError, KafkaException
from .group_commits import TakenAway
from .group_protocols import AUTO, CONSUMER, OTHER_PROTOCOL, make_member, member_settings
from .group_reader import GroupReader
from .group_sharing import Sharing

if TYPE_CHECKING:
    from ._machines.metadata import ClusterView, Partitions
    from .cluster import Cluster
    from .topic import Topic

log = logging.getLogger(__name__)

#: A rebalance that waits for others is given this much more than they have (seconds).
SPARE_S = 10.0
#: How often the protocol of a group is chosen anew before what ended the membership is an error.
CHOICES = 3
#: How long Ctrl-C in start() waits for the coordinator to hear that this member leaves (seconds).
LEAVE_AT_CTRL_C_S = 0.1
#: Seconds between looks whether the client was closed, while start() waits for the group.
LOOK_FOR_END_S = 0.2
#: How many topics the reason of a rebalance names.
SPELLED_TOPICS = 20
#: Seconds between looks for topics that a pattern is true of.
PATTERN_LOOK_S = 5.0
#: With 100,000 topics a look keeps this process and a broker busy for a second: then there are fewer, but never none for so long.
PATTERN_LOOK_SHARE = 0.05
PATTERN_LOOK_MAX_S = 60.0


class GroupConsumer(GroupReader):
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
        super().__init__(cluster, options, topics, pattern)
        if options["heartbeat_interval_ms"] >= options["session_timeout_ms"]:
            raise KafkaConfigError(
                f"heartbeat_interval_ms={options['heartbeat_interval_ms']} must be below"
                f" session_timeout_ms={options['session_timeout_ms']}, best a third of it: one too late costs all partitions"
            )
        assert self._group is not None
        self._group_name = self._group.decode()
        self._topic_looks: Optional[Ticker] = None
        self._topic_look_spacing = Spacing(PATTERN_LOOK_SHARE, PATTERN_LOOK_MAX_S)
        self._sharing = Sharing(options["membership_protocol"], options["client_rack"] or None)
        if options["group_protocol"] == CONSUMER and self._sharing.server_assignor is None:
            raise KafkaConfigError(
                "membership_protocol: a way of sharing of your own needs group_protocol='classic' or 'auto', not 'consumer',"
                " where the coordinator shares out"
            )
        #: how many looks were taken for a message: with what is left of the turn it shows whether anybody takes any
        self._looks = 0
        self._waiting = 0
        self._seen: tuple[int, int, int] = (-1, 0, 0)
        #: ended for good: every consume() says why
        self._fatal: Optional[KafkaException] = None
        self._first: Result[None] = Result()
        self._stopped_by_callback = False
        #: how often the protocol was chosen since there was a share; see :meth:`_joins_otherwise`
        self._choices = 0
        #: topic -> partitions, as of this leader's last decision
        self._decided_on: Optional[dict[str, Partitions]] = None

    # -- starting and stopping ----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Join the group, and return when it has given this member its partitions (perhaps none); does nothing when running.

        :raises KafkaException: when it could not be joined: nothing was started then
        """
        with self._lifecycle:
            if not self._wants_to_start():
                return
            self._start_whole()
            if self._is_stop_wanted:
                self.stop()
        self._wait_for_the_first_share()

    def _start(self) -> None:
        self._fatal, self._first, self._stopped_by_callback = None, Result(), False
        if self._options["group_instance_id"] is None:
            self._decided_on = None  # a static leader that comes back is told to leave it so, see _keep
        self._owned, self._fenced, self._parked, self._held_before = {}, {}, {}, {}
        self._taken_away, self._revoked = TakenAway(), None
        self._choices, self._resets_on_start = 0, self._options["reset_offset_on_start"]
        self._topics.find()  # what came before our start is what the brokers know now, not what we knew last
        self._member = self._make_member()  # what can go wrong so far starts nothing
        self._worker = self._cluster.engine.make_worker(f"pykafka-group-{self._group_name}")
        core = self._make_core()
        self._cluster.track(self)
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
            deadline, engine = Deadline(patience_s), self._cluster.engine
            # a signal handler in the middle of consume() has a lock that whoever brings the share waits for
            is_in_the_way = is_owned(self._lock)
            slice_s = 0.0 if is_in_the_way else LOOK_FOR_END_S
            while not self._first.is_done_by(deadline.within(slice_s)) and not deadline.passed:
                if engine.closed:  # with the client its threads have ended, and nobody is left to bring an outcome
                    raise ConsumerStoppedException(f"{self!r} was stopped: its client was closed")
                if is_in_the_way:
                    self._pause_unlocked()
            self._first.wait(deadline, f"joining group {self._group_name}")
        except BaseException as error:  # Ctrl-C, too: whoever has no consumer cannot stop it
            if isinstance(error, ConsumerStoppedException) and not self._cluster.engine.closed:
                return  # by another thread, or a signal handler
            session = self._session
            if session is not None and not isinstance(error, Exception) and not self._first.done:
                # nothing was given to it that would have to be given up; whoever pressed Ctrl-C does not wait for a broker
                session.abandon(LEAVE_AT_CTRL_C_S)
            try:
                self.stop()
            except Exception as failure:
                log.info("%r: stopping what could not be started: %s", self, failure)
            raise

    def stop(self) -> None:
        """Leave the group: commit what was delivered if auto-commit is on, and wake every waiting consume(). Twice is harmless.

        :raises KafkaException: when the last commit failed
        :raises Exception: what else went wrong in the background, as in a callback, and was raised by no consume() yet
        """
        if (self._in_worker() and not self._running) or self._is_outlived():
            return  # a callback that another thread's stop() waits for, or has given up waiting for
        with self._lifecycle:
            if not self._wants_to_stop():
                return
            ended, wants_start = self._stop_whole(), self._is_start_wanted
        try:
            if ended:
                self._raise_worker_exceptions()
        finally:
            if wants_start:
                self.start()

    def _stop(self) -> bool:
        session, worker = self._session, self._worker
        if session is None or worker is None:
            return True  # what was interrupted had ended everything
        self._stop_ticking()
        with self._lock:  # from here on nobody joins again
            self._running = False
        self._wake()
        worker.submit(self._first.fail, ConsumerStoppedException(f"{self!r} was stopped"))
        with suppress(KafkaException):  # the client was closed, and with it all connections
            session.leave("the consumer was stopped")
        if worker.in_worker():
            self._stopped_by_callback = True
            return False  # a callback stops us: it is in the way of what is left to do, which _note_end will see to
        self._wait_unlocked(lambda: session.has_left or self._cluster.engine.closed)
        session.wait_until_left(Deadline(0.0))
        self._finish()
        return True

    def _finish(self) -> None:
        """End everything that goes on in the background; twice is harmless."""
        session, worker = self._session, self._worker
        if session is None or worker is None:
            return
        if self._topic_looks is not None:
            self._topic_looks.stop()
        session.close()
        worker.stop(0.0)
        self._wait_unlocked(lambda: worker.ended or worker.in_worker() or session.leaves_alone)
        self._topics.end()
        self._end()
        self._stop_cores()
        self._owned = {}
        self._is_half_stopped, self._worker = False, None  # last: who was interrupted before begins again

    def _abandon(self) -> None:
        super()._abandon()
        if self._session is not None:
            self._session.abandon()
        if self._worker is not None:
            self._worker.stop(0.0)

    def _undo_start(self) -> None:
        super()._undo_start()
        if self._topic_looks is not None:
            self._topic_looks.stop()
        with suppress(KafkaException):  # the client was closed, and with it all of that
            self._topics.end()
        self._worker = None

    def _let_go(self) -> None:
        super()._let_go()
        self._session = self._member = self._worker = None

    def _make_member(self) -> Member:
        return make_member(self._cluster, self._options, self._sharing, sorted(self._topics.by_name), self._topics.pattern)

    def _look_for_topics(self) -> None:
        """Look for topics that match by now; the coordinator is told of them by a member that has to do so itself."""
        began = self._cluster.engine.loop.now()
        if not self._topic_look_spacing.is_due(began):
            return
        try:
            found = self._topics.find()
        except KafkaException as error:
            log.info("%r: no look for new topics this time: %s", self, error)
            return
        self._topic_look_spacing.done(began, self._cluster.engine.loop.now())
        member = self._member
        if found and isinstance(member, ClassicMember):
            names = sorted(self._topics.by_name)
            self._tell(lambda now: member.subscribe(names, now))

    # -- taking messages ----------------------------------------------------------------------------------------------

    def _check_running(self) -> None:
        self._check_not_forked()
        if self._is_outlived():
            raise ConsumerStoppedException(f"{self!r} was stopped while this callback ran, and is another start's by now")
        if self._fatal is not None:
            raise self._fatal.with_traceback(None)
        super()._check_running()

    def _look(self) -> bool:
        self._looks += 1
        session = self._session
        if session is not None and session.status.state == AWAY and self._running:
            session.tell(lambda now: None)  # it has left because nobody took messages: now somebody does
        return super()._look()

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
        return self._looks, id(self._turn), self._turn.left

    def _fence(self, partitions: Iterable[TopicPartition], why: object) -> None:
        super()._fence(partitions, why)
        self._seen = self._look_at_user()  # what is left of the turn was not taken by the user

    # -- what the group asks for: on the I/O thread -------------------------------------------------------------------

    def _on_event(self, event: Event) -> None:
        worker = self._worker
        if worker is not None:
            worker.submit(weakly(weakref.WeakMethod(self._act_on)), event, worker)

    def _on_view(self, view: ClusterView) -> None:
        member = self._member
        if isinstance(member, ConsumerMember):
            ids = self._topics.ids(view)
            self._tell(lambda now: member.learn(ids, now))
        elif isinstance(member, ClassicMember) and self._decided_on is not None and member.is_leader:
            changed = [name for name, known in self._decided_on.items() if not known.has_numbers_of(view.partitions(name))]
            if changed:
                self._decided_on = None
                named = ", ".join(sorted(changed)[:SPELLED_TOPICS])
                self._tell(lambda now: member.rebalance(now, f"topics have other partitions now: {named}"))

    # -- what the group asks for: on the worker -----------------------------------------------------------------------

    def _act(self, event: Any) -> None:
        act = _ACTIONS.get(type(event))
        if act is None:
            super()._act(event)
        else:
            act(self, event)

    def _take_share(self, event: Assign) -> None:
        self._choices, first = 0, self._first
        try:
            self._assign(event)
        finally:
            first.succeed(None)

    def _decide(self, event: Decide) -> None:
        member = self._member
        assert isinstance(member, ClassicMember)
        try:
            partitions = self._wanted_partitions(event)
            shares, remarks = self._sharing.decide(event, {name: list(there) for name, there in partitions.items()})
        except Exception as error:
            failure = error if isinstance(error, KafkaException) else KafkaException(f"deciding who reads what failed: {error!r}")
            self._tell(lambda now: member.undecided(event.number, failure, now))
            if not failure.retriable:
                raise
            return
        for remark in remarks:
            log.warning("group %s: %s", self._group_name, remark)
        if self._is_outlived():
            return
        self._decided_on = partitions
        self._tell(lambda now: member.decided(event.number, shares))
        self._tell(lambda now: self._on_view(self._cluster.engine.view))  # what has changed while it was decided

    def _keep(self, event: Keep) -> None:
        """Watch the partitions that the group shares out as this leader did before: what they were then, or are now."""
        member = self._member
        assert isinstance(member, ClassicMember)
        try:
            partitions = self._wanted_partitions(event)
            if self._is_outlived():
                return
            self._decided_on = {**partitions, **(self._decided_on or {})}
        except KafkaException as error:
            log.info("%r: which partitions to watch cannot be asked, so they are shared out anew: %s", self, error)
            self._tell(lambda now: member.rebalance(now, "its leader cannot see what is shared out"))
        self._tell(lambda now: self._on_view(self._cluster.engine.view))

    def _wanted_partitions(self, event: Union[Decide, Keep]) -> dict[str, Partitions]:
        """Return topic -> partitions, of all topics that the members want."""
        engine, wanted = self._cluster.engine, self._sharing.wanted(event)
        unknown = [name for name in wanted if name not in engine.view.topics]
        view = engine.update(unknown, Deadline(self._cluster.socket_timeout_s)) if unknown else engine.view
        return {name: view.partitions(name) for name in wanted}

    def _look_up(self, event: LookUp) -> None:
        member = self._member
        if not isinstance(member, ConsumerMember):  # it was asked by one that has ended
            return
        try:
            names = self._topics.look_up(event.topic_ids)
        except KafkaException as error:
            log.info("%r: topics of the assignment are not known yet: %s", self, error)
            return
        self._tell(lambda now: member.learn(names, now))

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
            if not self._running or self._is_outlived():
                return False
            self._member, self._decided_on = member, None
            session.replace(member)
        log.info("%r: joins again, as %s after %s: %s", self, type(member).__name__, type(old).__name__, error)
        return True

    def _note_end(self, event: Ended) -> None:
        if event.error is not None and (self._joins_otherwise(event.error) or self._is_outlived()):
            return
        if event.error is not None:
            self._fatal = event.error
            self._stop_ticking()
            if self._topic_looks is not None:
                self._topic_looks.stop()
            self._first.fail(event.error)
            self._wake()
        elif self._worker is not None and self._worker.in_worker() and not self._running and self._stopped_by_callback:
            self._finish()


_ACTIONS: dict[type, Callable[[GroupConsumer, Any], None]] = {
    Revoke: GroupConsumer._revoke,
    Lost: GroupConsumer._lost,
    Assign: GroupConsumer._take_share,
    Decide: GroupConsumer._decide,
    Keep: GroupConsumer._keep,
    LookUp: GroupConsumer._look_up,
    Rebalanced: GroupConsumer._note_rebalance,
    Ended: GroupConsumer._note_end,
}
