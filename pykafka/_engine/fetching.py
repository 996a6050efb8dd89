"""The I/O thread's half of a consumer: keeps fetches under way and hands raw batches over, undecoded."""

from __future__ import annotations

import itertools
import logging
import weakref
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional

from .._machines.fetch_plan import PartitionFetch, of_other_logs, plan_fetches
from .._machines.fetch_requests import Asked, FetchSettings, fetch_request, has_news, request_of
from .._machines.fetch_sessions import FetchSession
from .._machines.fetched import read_records
from .._machines.metadata import ZERO_UUID, TopicInfo
from .._machines.topic_ids import TopicIds, Verdict
from ..common import TopicPartition
from ..exceptions import KafkaException, OffsetOutOfRangeError, error_for
from ..protocol.schema import Request
from ..records.batch import RawBatch
from .clock import let_others_run
from .lane import Call
from .loop import Timer
from .waiting import Deadline, News, Result

if TYPE_CHECKING:
    from .._machines.handshake import BrokerAbilities
    from .engine import Engine
    from .lane import Lane

    Build = Callable[[BrokerAbilities], tuple[Request, Optional[int]]]
    OnDone = Callable[[Any, Optional[Exception], Call], None]

log = logging.getLogger(__name__)

#: Fetches to one broker at a time, each on its own connection: one may wait for new data while the other brings old.
LANES_PER_BROKER = 2
OFFSET_OUT_OF_RANGE = 1
CORRUPT_MESSAGE = 2
#: Said of a topic that is not the one asked for: UNKNOWN_TOPIC_OR_PARTITION, UNKNOWN_TOPIC_ID, INCONSISTENT_TOPIC_ID.
OTHER_TOPIC = (3, 100, 103)
UNKNOWN_SERVER_ERROR = -1
#: With fewer partitions a session (KIP-227) saves nothing, and takes the place of another's at the broker.
LEAST_FOR_A_SESSION = 10
#: Seconds that a copy nearby is fetched from before the leader is asked again which one that is.
REPLICA_S = 300.0
#: Seconds that the same is asked of a broker again and again, as long as it has no news, before we look at everything anew.
REPEAT_S = 30.0
#: Bytes that are decoded and delivered in less time than the next request takes to make.
LITTLE_BYTES = 16 * 1024
#: The first pause after a failed fetch (seconds); it doubles up to fetch_error_backoff_ms.
FIRST_PAUSE_S = 0.05
#: The pause before a place is looked up again (seconds), however short fetch_error_backoff_ms is: all consumers share the thread.
LEAST_LOOK_S = 0.1
_numbers = itertools.count(1)


class Parcel(NamedTuple):
    """What one answer brought of one partition: batches to decode, or the error the consumer is to see.

    ``is_jump`` says that it brought nothing but a new place to go on from: what was asked for is not in the log.
    """

    generation: int
    batches: list[RawBatch]
    next_position: int
    messages: int
    size: int
    error: Optional[KafkaException] = None
    is_jump: bool = False
    incarnation: int = 0


#: Called on the I/O thread with (core, partition, offset asked for, generation) when that offset is not in the log.
OnOutOfRange = Callable[["FetchCore", TopicPartition, int, int], None]
#: Called on the I/O thread with (core, partition -> generation) when these need a place to start at: they are new, or the
#: topic is another one of the same name. The answer is FetchCore.add() and seek(), or jump(), or place_failed().
OnUnplaced = Callable[["FetchCore", dict[TopicPartition, int]], None]


class FetchCore:
    """Keeps the partitions of one consumer fetched ahead, within the bounds of ``settings.limits``."""

    def __init__(
        self, engine: Engine, settings: FetchSettings, on_out_of_range: OnOutOfRange, on_unplaced: OnUnplaced
    ) -> None:
        self.engine = engine
        self.settings = settings
        #: replaced whenever a partition is added or dropped, so that who looks through it needs no lock; _fetches as well
        self.parcels: dict[TopicPartition, deque[Parcel]] = {}
        self.arrived = News()
        self.starved = False
        self._on_out_of_range = on_out_of_range
        self._on_unplaced = on_unplaced
        self._topic_ids = TopicIds()
        #: topics of which partitions are read as well that they are given later
        self._followed: set[str] = set()
        #: partitions whose place is being looked for
        self._unplaced: set[TopicPartition] = set()
        self._place_not_before = 0.0
        self._fetches: dict[TopicPartition, PartitionFetch] = {}
        #: the same in the order of whose turn it is; a list of its own, since took() looks partitions up meanwhile
        self._order: list[PartitionFetch] = []
        self._lane_prefix = f"fetch-{next(_numbers)}"
        self._busy: dict[int, set[int]] = {}
        #: (broker id, number of the connection) -> what the broker knows of the fetches there
        self._sessions: dict[tuple[int, int], FetchSession] = {}
        self._timer: Optional[Timer] = None
        #: raised whenever something else is wanted than before, or may be
        self._changes = 0
        self._stopped = False

    # -- user threads -------------------------------------------------------------------------------------------------

    def start(self, partitions: Iterable[TopicPartition], followed: Iterable[str] = ()) -> None:
        """Get ready to fetch these partitions; nothing is fetched before :meth:`seek`.

        :param followed: topics of which partitions that they are given later are read as well
        """
        fetches = {tp: PartitionFetch(tp) for tp in partitions}
        self.parcels = {tp: deque() for tp in fetches}
        self._fetches = fetches
        self._order = list(fetches.values())
        self._followed = set(followed)
        self._use([*(tp.topic for tp in fetches), *self._followed])
        self.engine.add_listener(self._plan_anew)

    def _use(self, topics: Iterable[str]) -> None:
        new = [topic for topic in dict.fromkeys(topics) if topic not in self._topic_ids.current]
        for topic in new:
            self._topic_ids.use(topic, self.engine.topic_id(topic))
        self.engine.use_topics(new)

    def add(self, partitions: Iterable[TopicPartition]) -> None:
        """Get ready to fetch other partitions."""
        fetches = {tp: PartitionFetch(tp) for tp in partitions}
        self.parcels = {**self.parcels, **{tp: deque() for tp in fetches}}
        self._fetches = {**self._fetches, **fetches}
        self.engine.loop.call_soon(self._add, list(fetches.values()))

    def drop(self, partitions: Iterable[TopicPartition]) -> None:
        """Fetch these partitions no more and forget what was fetched of them."""
        gone = set(partitions)
        dropped = {fetch for tp, fetch in self._fetches.items() if tp in gone}
        self.parcels = {tp: parcels for tp, parcels in self.parcels.items() if tp not in gone}
        self._fetches = {tp: fetch for tp, fetch in self._fetches.items() if tp not in gone}
        self.engine.loop.call_soon(self._drop, dropped)

    def seek(self, positions: dict[TopicPartition, tuple[Optional[int], int]]) -> None:
        """Fetch from new positions: partition -> (position or None, generation)."""
        self.engine.loop.call_soon(self._seek, positions)

    def jump(self, tp: TopicPartition, position: int, generation: int) -> None:
        """Go on at ``position`` after what was fetched already: the log holds nothing in between."""
        self.engine.loop.call_soon(self._jump, tp, position, generation)

    def reset_failed(self, tp: TopicPartition, position: int, generation: int, error: KafkaException) -> None:
        """Note that no new place was found for a partition whose ``position`` is not in the log.

        A passing error: the fetch is tried again later and runs into the same. Any other is shown to the consumer.
        """
        self.engine.loop.call_soon(self._reset_failed, tp, position, generation, error)

    def place_failed(self, partitions: Iterable[TopicPartition]) -> None:
        """Note that no place was found for partitions that need one: they are asked about again later."""
        self.engine.loop.call_soon(self._place_failed, list(partitions))

    def pause(self, partitions: Iterable[TopicPartition], paused: bool) -> None:
        """Stop or go on fetching these partitions."""
        self.engine.loop.call_soon(self._pause, list(partitions), paused)

    def rewind(self, positions: dict[TopicPartition, tuple[int, int]]) -> None:
        """Fetch once more what the consumer has put away undelivered: partition -> (position, generation)."""
        self.engine.loop.call_soon(self._rewind, positions)

    def give_up(self, tp: TopicPartition, generation: int) -> None:
        """Fetch no more of a partition before the next :meth:`seek`: what came of it cannot be decoded."""
        self.engine.loop.call_soon(self._give_up, tp, generation)

    def waiting_bytes(self, tp: TopicPartition) -> int:
        """Return how much was fetched of a partition and not taken yet."""
        fetch = self._fetches.get(tp)
        return 0 if fetch is None else fetch.waiting_bytes

    def took(self, tp: TopicPartition, count: int, size: int) -> None:
        """Note that the consumer took this much; fetching goes on if it had stopped for want of room."""
        fetch = self._fetches.get(tp)
        if fetch is None:  # given up meanwhile, for a signal handler that has stopped the consumer in the middle of this
            return
        fetch.taken += count
        fetch.taken_bytes += size
        if self.starved:
            self.starved = False
            self.engine.loop.call_soon(self._plan)

    def incarnation(self, tp: TopicPartition) -> int:
        """Return how often the topic of a partition has been made anew while it was read here."""
        fetch = self._fetches.get(tp)
        return 0 if fetch is None else fetch.incarnation

    def log_id(self, tp: TopicPartition, incarnation: int) -> Optional[bytes]:
        """Return the id of the topic that a position of that incarnation is about.

        That is 16 zero bytes as long as nothing was fetched there, and None when it was made anew since, or is not read here.
        """
        fetch = self._fetches.get(tp)
        return fetch.topic_id if fetch is not None and fetch.incarnation == incarnation else None

    def in_doubt(self, topic: str) -> bool:
        """Return whether a broker has said that the topic is not the one it was, and nothing else is known yet."""
        return self._topic_ids.in_doubt(topic)

    @property
    def stopped(self) -> bool:
        """Return whether nothing is fetched any more."""
        return self._stopped

    def stop(self, deadline: Deadline) -> None:
        """Fetch no more and close the connections."""
        self._stopped = True
        if self.engine.loop.stopped or self.engine.loop.forked:
            return
        result: Result[None] = Result()
        self.engine.loop.call_soon(self._stop, result)
        result.wait(deadline, f"stopping to fetch {', '.join(list(self._topic_ids.current))}")

    def abandon(self) -> None:
        """Fetch no more and close the connections, without waiting: nobody is there to wait."""
        self._stopped = True
        if not self.engine.loop.stopped and not self.engine.loop.forked:
            self.engine.loop.call_soon(self._stop, None)

    # -- the I/O thread -----------------------------------------------------------------------------------------------

    def _stop(self, result: Optional[Result[None]]) -> None:
        self.engine.remove_listener(self._plan_anew)
        self._release(list(self._topic_ids.current))
        if self._timer is not None:
            self._timer.cancel()
        for number in range(LANES_PER_BROKER):
            self.engine.drop_lanes(f"{self._lane_prefix}.{number}")
        if result is not None:
            result.succeed(None)

    def _seek(self, positions: dict[TopicPartition, tuple[Optional[int], int]]) -> None:
        for tp, (position, generation) in positions.items():
            if tp in self._fetches:
                self._fetches[tp].seek(position, generation)
        self._plan_anew()

    def _rewind(self, positions: dict[TopicPartition, tuple[int, int]]) -> None:
        for tp, (position, generation) in positions.items():
            if tp in self._fetches:
                self._fetches[tp].rewind(position, generation)
        self._plan_anew()

    def _give_up(self, tp: TopicPartition, generation: int) -> None:
        fetch = self._fetches.get(tp)
        if fetch is not None and fetch.generation == generation:
            fetch.failed = True
            self._plan_anew()

    def _add(self, added: list[PartitionFetch]) -> None:
        self._unplaced.difference_update(fetch.tp for fetch in added)
        there = [fetch for fetch in added if self._fetches.get(fetch.tp) is fetch]
        self._order += there
        self._use(fetch.tp.topic for fetch in there)

    def _drop(self, dropped: set[PartitionFetch]) -> None:
        for fetch in dropped:
            fetch.seek(None, fetch.generation)  # what is under way is dropped when it comes
        self._order = [fetch for fetch in self._order if fetch not in dropped]
        left = {fetch.tp.topic for fetch in self._order} | self._followed
        self._release([topic for topic in self._topic_ids.current if topic not in left])
        self._plan_anew()

    def _release(self, topics: list[str]) -> None:
        for topic in topics:
            self._topic_ids.forget(topic)
        self.engine.release_topics(topics)

    def _place_failed(self, partitions: list[TopicPartition]) -> None:
        self._unplaced.difference_update(partitions)
        self._place_not_before = self.engine.loop.now() + max(LEAST_LOOK_S, self.settings.error_backoff_s)
        self._plan()

    def _look_for_unplaced(self, now: float) -> None:
        """Have places looked up for partitions that topics have got since, and for all of a topic that was made anew."""
        known = map(self.engine.view.topics.get, self._topic_ids.current)
        infos = {info.name: info for info in known if info is not None and info.rows}
        others = of_other_logs(self._order, infos)
        for info in infos.values():
            self._note_topic_id(info, others.get(info.name, []))
        if now < self._place_not_before:
            return
        displaced = [fetch for fetch in self._order if fetch.displaced and fetch.tp.topic in infos]
        wanted = {one.tp: one.generation for one in displaced if one.tp.partition in infos[one.tp.topic].partitions}
        followed = ((name, number) for name in self._followed & infos.keys() for number in infos[name].partitions)
        wanted.update((TopicPartition(*place), 0) for place in sorted(set(followed) - self._fetches.keys()))
        led = {tp: generation for tp, generation in wanted.items() if self.engine.view.leader(*tp) is not None}
        if len(led) < len(wanted):
            self.engine.refresh_soon()  # nobody could say where they begin
        wanted = {tp: generation for tp, generation in led.items() if tp not in self._unplaced}
        if wanted:
            self._unplaced.update(wanted)
            self._on_unplaced(self, wanted)

    def _note_topic_id(self, info: TopicInfo, others: list[PartitionFetch]) -> None:
        verdict = self._topic_ids.learn(info, is_fetched=bool(others))
        if verdict is Verdict.SUSPECT:
            self.engine.refresh_soon()
        elif verdict is Verdict.OTHER and others:
            log.info("topic %s was deleted and created again: it is read from its beginning", info.name)
            for fetch in others:
                fetch.displace()

    def _jump(self, tp: TopicPartition, position: int, generation: int) -> None:
        self._unplaced.discard(tp)
        fetch = self._fetches.get(tp)
        if fetch is not None and fetch.generation == generation:  # else a seek came in between: the user knows better
            fetch.jump(position)
            self._deliver(fetch, Parcel(generation, [], position, 0, 0, is_jump=True, incarnation=fetch.incarnation))
            self.notify()
        self._plan_anew()

    def _reset_failed(self, tp: TopicPartition, position: int, generation: int, error: KafkaException) -> None:
        fetch = self._fetches.get(tp)
        if fetch is None or fetch.generation != generation:
            return
        fetch.position = position
        if error.retriable:
            self._pause_after(fetch, error)
            fetch.not_before = max(fetch.not_before, self.engine.loop.now() + LEAST_LOOK_S)
        else:
            self._fail(fetch, error)
            self.notify()
        self._plan_anew()

    def _deliver(self, fetch: PartitionFetch, parcel: Parcel) -> None:
        parcels = self.parcels.get(fetch.tp)
        if parcels is not None:  # dropped meanwhile
            parcels.append(parcel)

    def notify(self) -> None:
        """Wake whoever waits for something to arrive; from any thread."""
        self.arrived.tell()

    def _pause(self, partitions: list[TopicPartition], paused: bool) -> None:
        for tp in partitions:
            if tp in self._fetches:
                self._fetches[tp].paused = paused
        self._plan_anew()

    def _source(self, fetch: PartitionFetch) -> Optional[int]:
        """Return the broker to fetch a partition from."""
        if fetch.replica is not None:
            if fetch.replica in self.engine.view.brokers and self.engine.loop.now() < fetch.replica_until:
                return fetch.replica
            fetch.replica = None
        leader = self.engine.view.leader(*fetch.tp)
        return None if leader is None else leader.id

    def _plan_anew(self) -> None:
        """Send every fetch that can be sent now; what is under way may be out of date."""
        self._changes += 1
        self._plan()

    def _plan(self) -> None:
        """Send every fetch that can be sent now."""
        if self._stopped:
            return
        now = self.engine.loop.now()
        self._look_for_unplaced(now)
        plan = plan_fetches(self._order, self._source, self.settings.limits, now)
        if plan.starved:
            self.starved = True
            # the consumer may have taken something between our look and this note
            plan = plan_fetches(self._order, self._source, self.settings.limits, now)
        for broker_id in plan.by_broker:
            self._busy.setdefault(broker_id, set())
        for broker_id, fetches in plan.by_broker.items():
            self._fetch_from(broker_id, fetches)
        if plan.leaderless:
            self.engine.refresh_soon()
        again_at = min(plan.wake_at, self._place_not_before if self._place_not_before > now else float("inf"))
        self._wake_at(now + 0.1 if plan.leaderless else again_at)

    def _wake_at(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if when != float("inf"):
            self._timer = self.engine.loop.call_at(when, self._plan)

    def _fetch_from(self, broker_id: int, fetches: list[PartitionFetch]) -> None:
        busy = self._busy[broker_id]
        number = next((one for one in range(LANES_PER_BROKER) if one not in busy), None)
        if number is None:
            self._changes += 1  # both ask the same again and again: from now on the next answer plans anew
            return
        busy.add(number)
        brokers = self.engine.view.brokers
        lane = self.engine.lane(brokers[broker_id].host, brokers[broker_id].port, f"{self._lane_prefix}.{number}")
        asked = Asked.of(fetches)
        asked.changes, asked.good_until = self._changes, self.engine.loop.now() + REPEAT_S
        answers = LANES_PER_BROKER * len(self._busy.keys() & brokers.keys())  # those that have left the cluster send none
        asked.max_bytes = min(self.settings.max_bytes, self.settings.limits.answer_bytes(answers))
        session = self._sessions.setdefault((broker_id, number), FetchSession())
        for fetch in fetches:
            fetch.in_flight = True
        # whoever was first in line goes to the end, so that a large answer to one starves no other
        self._order = [fetch for fetch in self._order if fetch.tp not in asked.partitions] + fetches

        def build(abilities: BrokerAbilities) -> tuple[Request, Optional[int]]:
            request, cap, asked.names = fetch_request(
                fetches, self.engine.view, self._topic_ids.current, self.settings, asked.max_bytes
            )
            if session.id or len(fetches) >= LEAST_FOR_A_SESSION:
                session.apply(request, cap)
            return request, cap

        def on_done(reply: Any, error: Optional[Exception], call: Call) -> None:
            if error is not None or reply.error_code:
                session.on_failure()
            else:
                session.on_reply(reply.session_id)
                if self._still_wanted(asked) and not has_news(reply):
                    self._on_reply(asked, reply, lane.peer)
                    self._request(lane, (lambda abilities: self._repeated(session, asked)) if session.id else build, on_done)
                    return
            busy.discard(number)
            for fetch, _position in asked.current():
                fetch.in_flight = False
            self._on_done(asked, reply, error, lane.peer)

        self._request(lane, build, on_done)

    def _request(self, lane: Lane, build: Build, on_done: OnDone) -> None:
        wait_s = self.settings.max_wait_ms / 1000.0
        lane.request(Call(build, on_done, self.engine.loop.now() + wait_s + self.engine.request_timeout_s))

    def _still_wanted(self, asked: Asked) -> bool:
        """Return whether the same may be asked again as it is: of 10,000 partitions without news none is looked at then."""
        return not self._stopped and asked.changes == self._changes and self.engine.loop.now() < asked.good_until

    def _repeated(self, session: FetchSession, asked: Asked) -> tuple[Request, Optional[int]]:
        request = request_of([], self.settings, asked.max_bytes)
        return request, session.repeat(request)

    def _on_done(self, asked: Asked, reply: Any, error: Optional[Exception], peer: str) -> None:
        if self._stopped:
            return
        if error is None and reply.error_code:
            error = error_for(reply.error_code, broker=peer, api="Fetch", topic=asked.topics)
        if error is not None:
            self._on_failure(asked, error, peer)
        else:
            self._on_reply(asked, reply, peer)
        self._plan()

    def _on_failure(self, asked: Asked, error: Exception, peer: str) -> None:
        """Act on a fetch that failed as a whole: it is tried again, unless that cannot help."""
        log.debug("fetch of %s from %s failed: %s", asked.topics, peer, error)
        failure = error if isinstance(error, KafkaException) else KafkaException(f"fetching from {peer} failed: {error!r}")
        passes = failure.retriable or failure.code == UNKNOWN_SERVER_ERROR
        if passes:
            self.engine.refresh_soon()
        for fetch, _position in asked.current():
            fetch.replica = None
            if passes:
                self._pause_after(fetch, failure)
            else:
                self._fail(fetch, failure)
        if not passes:
            self.notify()

    def _pause_after(self, fetch: PartitionFetch, error: KafkaException) -> None:
        """Fetch the partition again after a pause that doubles while it keeps failing."""
        pause_s = min(self.settings.error_backoff_s, FIRST_PAUSE_S * 2**fetch.failures)
        if fetch.failures == 0:
            # once, not at every try: whoever waits for messages is told what keeps them
            log.info("%s cannot be fetched, trying again: %s", fetch.tp, error)
        fetch.failures = min(fetch.failures + 1, 10)
        fetch.not_before = self.engine.loop.now() + pause_s

    def _on_reply(self, asked: Asked, reply: Any, peer: str) -> None:
        arrived, size = False, 0
        for topic in reply.responses:
            for part in topic.partitions:
                fetch, position = asked.answered(topic, part.partition_index)
                if fetch is None or not self._topic_ids.is_answer(fetch.tp.topic, topic.topic_id):
                    continue
                if fetch.position != position:
                    continue  # a second row about the same: what the first one told has been handed over
                if part.error_code:
                    arrived |= self._on_error(fetch, position, part.error_code, peer)
                    continue
                fetch.failures = 0
                self._note_log(fetch)
                self._note_replica(fetch, part.preferred_read_replica)
                if 0 <= part.diverging_epoch.end_offset < position:
                    self._on_cut_log(fetch, position, part.diverging_epoch)
                    arrived = True
                    continue
                if part.records:
                    size += len(part.records)
                    arrived |= self._on_records(fetch, position, part)
        if arrived:
            waited_for = len(self.arrived)
            self.notify()
            if waited_for and size <= LITTLE_BYTES:
                let_others_run()  # a few messages are with the user before we ask for more, which takes as long

    def _note_log(self, fetch: PartitionFetch) -> None:
        """Note that a broker has answered a fetch of the topic as we know it."""
        fetch.topic_id = self._topic_ids.current[fetch.tp.topic]
        if self.engine.topic_id(fetch.tp.topic) not in (fetch.topic_id, ZERO_UUID):
            self.engine.refresh_soon()  # one of the two is behind; as long as that is so, nothing is committed

    def _note_replica(self, fetch: PartitionFetch, replica: int) -> None:
        """Fetch from a copy that the leader says is nearer, for a while."""
        if replica >= 0 and replica != fetch.replica:
            log.debug("%s is fetched from broker %d, which is nearer than the leader", fetch.tp, replica)
            fetch.replica = replica
            fetch.replica_until = self.engine.loop.now() + REPLICA_S

    def _on_cut_log(self, fetch: PartitionFetch, position: int, agreed: Any) -> None:
        """Go on where our idea of the log and the leader's part ways: what we have read behind it is there no more."""
        log.warning(
            "%s was cut: what was read from offset %d to %d is not in the log any more (a leader without it was elected);"
            " going on at %d",
            fetch.tp,
            agreed.end_offset,
            position - 1,
            agreed.end_offset,
        )
        incarnation = fetch.incarnation
        fetch.jump(agreed.end_offset)
        self._deliver(fetch, Parcel(fetch.generation, [], agreed.end_offset, 0, 0, is_jump=True, incarnation=incarnation))

    def _on_records(self, fetch: PartitionFetch, position: int, part: Any) -> bool:
        aborted = None
        if self.settings.read_committed:
            aborted = [(row.producer_id, row.first_offset) for row in part.aborted_transactions or ()]
        visible, next_position, corrupt, came, epoch = read_records(fetch.tp, position, part.records, aborted)
        if next_position > position:
            self._hand_over(fetch, visible, next_position)
            fetch.last_epoch = epoch
        if corrupt is not None:
            self._fail(fetch, corrupt)
        elif next_position == position:
            # records, yet none to go on from: asked again at once the broker would say the same
            fetch.not_before = self.engine.loop.now() + FIRST_PAUSE_S
        return came or corrupt is not None

    def _hand_over(self, fetch: PartitionFetch, visible: list[RawBatch], next_position: int) -> None:
        count = sum(batch.records_count for batch in visible)
        size = sum(len(batch.data) for batch in visible)
        fetch.received += count
        fetch.received_bytes += size
        fetch.position = next_position
        self._deliver(fetch, Parcel(fetch.generation, visible, next_position, count, size, incarnation=fetch.incarnation))

    def _on_error(self, fetch: PartitionFetch, position: int, code: int, peer: str) -> bool:
        """Act on a partition's error; return whether the consumer must be told."""
        error = error_for(code, broker=peer, api="Fetch", topic=fetch.tp.topic, partition=fetch.tp.partition)
        topic = fetch.tp.topic
        if code in OTHER_TOPIC or (code == OFFSET_OUT_OF_RANGE and self._topic_ids.is_named(topic)):
            self._topic_ids.doubt(topic, self.engine.view.topics.get(topic))
        replica, fetch.replica = fetch.replica, None
        if isinstance(error, OffsetOutOfRangeError) and replica is not None:
            return False  # a copy may be behind: the leader is to say so
        if isinstance(error, OffsetOutOfRangeError):
            fetch.position = None
            self._on_out_of_range(self, fetch.tp, position, fetch.generation)
            return False
        if error.refresh:
            self.engine.refresh_soon()
        # CORRUPT_MESSAGE may be retried by producers; here the broker's own copy is bad and stays so
        if code == UNKNOWN_SERVER_ERROR or (error.retriable and code != CORRUPT_MESSAGE):
            self._pause_after(fetch, error)
            return False
        self._fail(fetch, error)
        return True

    def _fail(self, fetch: PartitionFetch, error: KafkaException) -> None:
        fetch.failed = True
        self._deliver(fetch, Parcel(fetch.generation, [], fetch.position or 0, 0, 0, error))


def weakly(method: weakref.WeakMethod[Callable[..., Any]]) -> Callable[..., Any]:
    """Return a function that calls ``method`` as long as its object lives, and returns None after: we keep no consumer alive."""

    def call(*args: Any) -> Any:
        alive = method()
        return None if alive is None else alive(*args)

    return call
