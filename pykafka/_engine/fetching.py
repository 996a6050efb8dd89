"""The I/O thread's half of a consumer: keeps fetches under way and hands raw batches over, undecoded."""

from __future__ import annotations

import itertools
import logging
import threading
import weakref
from collections import deque
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional

from .._machines.fetch_plan import FetchLimits, PartitionFetch, plan_fetches
from .._machines.metadata import ZERO_UUID, TopicInfo
from ..exceptions import CorruptBatchError, KafkaException, OffsetOutOfRangeError, error_for
from ..protocol.messages import FetchRequest
from ..protocol.schema import Request
from ..records.aborted import visible_batches
from ..records.batch import RawBatch, split_batches
from .lane import Call
from .loop import Timer
from .waiting import Deadline, Result

if TYPE_CHECKING:
    from .._machines.handshake import BrokerAbilities
    from .engine import Engine

log = logging.getLogger(__name__)

#: The last Fetch version that names topics; 17 is the last that a consumer gains anything from (18 is for replicas).
LAST_NAMED_VERSION = 12
NEWEST_USEFUL_VERSION = 17
#: Fetches to one broker at a time, each on its own connection: one may wait for new data while the other brings old.
LANES_PER_BROKER = 2
CORRUPT_MESSAGE = 2
UNKNOWN_SERVER_ERROR = -1
#: The first pause after a failed fetch (seconds); it doubles up to fetch_error_backoff_ms.
FIRST_PAUSE_S = 0.05
_numbers = itertools.count(1)


class FetchSettings(NamedTuple):
    """How a consumer fetches; ``follow`` has partitions read as well that the topic is given later."""

    topic: str
    max_wait_ms: int
    min_bytes: int
    max_bytes: int
    partition_max_bytes: int
    read_committed: bool
    error_backoff_s: float
    limits: FetchLimits
    follow: bool = False

    @classmethod
    def of(cls, options: Mapping[str, Any], topic: str, *, follow: bool) -> FetchSettings:
        """Return what a consumer's ``options`` say."""
        return cls(
            topic=topic,
            max_wait_ms=options["fetch_wait_max_ms"],
            min_bytes=options["fetch_min_bytes"],
            max_bytes=options["fetch_max_bytes"],
            partition_max_bytes=options["fetch_message_max_bytes"],
            read_committed=options["isolation_level"] == "read_committed",
            error_backoff_s=options["fetch_error_backoff_ms"] / 1000.0,
            limits=FetchLimits(options["queued_max_messages"], options["queued_max_bytes"]),
            follow=follow,
        )


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


#: Called on the I/O thread with (core, partition id, offset asked for, generation) when that offset is not in the log.
OnOutOfRange = Callable[["FetchCore", int, int, int], None]
#: Called on the I/O thread with (core, partition id -> generation) when these need a place to start at: they are new, or the
#: topic is another one of the same name. The answer is FetchCore.add() and seek(), or jump(), or place_failed().
OnUnplaced = Callable[["FetchCore", dict[int, int]], None]
#: What one fetch asked for: (partition, the question's number, offset).
Asked = dict[int, tuple[PartitionFetch, int, int]]


class FetchCore:
    """Keeps the partitions of one consumer fetched ahead, within the bounds of ``settings.limits``."""

    def __init__(
        self, engine: Engine, settings: FetchSettings, on_out_of_range: OnOutOfRange, on_unplaced: OnUnplaced
    ) -> None:
        self.engine = engine
        self.settings = settings
        self.parcels: dict[int, deque[Parcel]] = {}
        self.arrived = threading.Condition()
        self.starved = False
        self._on_out_of_range = on_out_of_range
        self._on_unplaced = on_unplaced
        self._topic_id = ZERO_UUID
        #: partitions whose place is being looked for
        self._unplaced: set[int] = set()
        self._place_not_before = 0.0
        self._fetches: dict[int, PartitionFetch] = {}
        #: the same in the order of whose turn it is; a list of its own, since took() looks partitions up meanwhile
        self._order: list[PartitionFetch] = []
        self._lane_prefix = f"fetch-{next(_numbers)}"
        self._busy: dict[int, set[int]] = {}
        self._timer: Optional[Timer] = None
        self._stopped = False

    # -- user threads -------------------------------------------------------------------------------------------------

    def start(self, partition_ids: list[int]) -> None:
        """Get ready to fetch these partitions; nothing is fetched before :meth:`seek`."""
        for partition_id in partition_ids:
            self.parcels[partition_id] = deque()
            self._fetches[partition_id] = PartitionFetch(partition_id)
        self._order = list(self._fetches.values())
        self._topic_id = self.engine.topic_id(self.settings.topic)
        self.engine.use_topic(self.settings.topic)
        self.engine.add_listener(self._plan)

    def add(self, partition_id: int) -> None:
        """Get ready to fetch another partition."""
        self.parcels[partition_id] = deque()
        self._fetches[partition_id] = fetch = PartitionFetch(partition_id)
        self.engine.loop.call_soon(self._add, fetch)

    def seek(self, positions: dict[int, tuple[Optional[int], int]]) -> None:
        """Fetch from new positions: partition -> (position or None, generation)."""
        self.engine.loop.call_soon(self._seek, positions)

    def jump(self, partition_id: int, position: int, generation: int) -> None:
        """Go on at ``position`` after what was fetched already: the log holds nothing in between."""
        self.engine.loop.call_soon(self._jump, partition_id, position, generation)

    def reset_failed(self, partition_id: int, position: int, generation: int, error: KafkaException) -> None:
        """Note that no new place was found for a partition whose ``position`` is not in the log.

        A passing error: the fetch is tried again later and runs into the same. Any other is shown to the consumer.
        """
        self.engine.loop.call_soon(self._reset_failed, partition_id, position, generation, error)

    def place_failed(self, partition_ids: list[int]) -> None:
        """Note that no place was found for partitions that need one: they are asked about again later."""
        self.engine.loop.call_soon(self._place_failed, partition_ids)

    def pause(self, partition_ids: list[int], paused: bool) -> None:
        """Stop or go on fetching these partitions."""
        self.engine.loop.call_soon(self._pause, partition_ids, paused)

    def took(self, partition_id: int, count: int, size: int) -> None:
        """Note that the consumer took this much; fetching goes on if it had stopped for want of room."""
        fetch = self._fetches[partition_id]
        fetch.taken += count
        fetch.taken_bytes += size
        if self.starved:
            self.starved = False
            self.engine.loop.call_soon(self._plan)

    @property
    def stopped(self) -> bool:
        """Return whether nothing is fetched any more."""
        return self._stopped

    def stop(self, deadline: Deadline) -> None:
        """Fetch no more and close the connections."""
        self._stopped = True
        if self.engine.loop.stopped or self.engine.loop.forked:
            return
        self.engine.release_topic(self.settings.topic)
        result: Result[None] = Result()
        self.engine.loop.call_soon(self._stop, result)
        result.wait(deadline, f"stopping the consumer of {self.settings.topic}")

    def abandon(self) -> None:
        """Fetch no more and close the connections, without waiting: nobody is there to wait."""
        self._stopped = True
        if not self.engine.loop.stopped and not self.engine.loop.forked:
            self.engine.release_topic(self.settings.topic)
            self.engine.loop.call_soon(self._stop, None)

    # -- the I/O thread -----------------------------------------------------------------------------------------------

    def _stop(self, result: Optional[Result[None]]) -> None:
        self.engine.remove_listener(self._plan)
        if self._timer is not None:
            self._timer.cancel()
        for number in range(LANES_PER_BROKER):
            self.engine.drop_lanes(f"{self._lane_prefix}.{number}")
        if result is not None:
            result.succeed(None)

    def _seek(self, positions: dict[int, tuple[Optional[int], int]]) -> None:
        for partition_id, (position, generation) in positions.items():
            self._fetches[partition_id].seek(position, generation)
        self._plan()

    def _add(self, fetch: PartitionFetch) -> None:
        self._unplaced.discard(fetch.id)
        self._order.append(fetch)

    def _place_failed(self, partition_ids: list[int]) -> None:
        self._unplaced.difference_update(partition_ids)
        self._place_not_before = self.engine.loop.now() + self.settings.error_backoff_s
        self._plan()

    def _look_for_unplaced(self, topic: Optional[TopicInfo], now: float) -> None:
        """Have places looked up for partitions that the topic has got since, and for all of a topic that was made anew."""
        if topic is None or not topic.partitions:
            return
        if topic.topic_id != self._topic_id and ZERO_UUID not in (topic.topic_id, self._topic_id):
            log.info("topic %s was deleted and created again: it is read from its beginning", topic.name)
            for fetch in self._order:
                fetch.displace()
            self._unplaced.clear()
        self._topic_id = topic.topic_id
        if now < self._place_not_before:
            return
        wanted = {fetch.id: fetch.generation for fetch in self._order if fetch.displaced and fetch.id in topic.partitions}
        if self.settings.follow:
            wanted.update((pid, 0) for pid in topic.partitions if pid not in self._fetches)
        wanted = {pid: generation for pid, generation in wanted.items() if pid not in self._unplaced}
        if wanted:
            self._unplaced.update(wanted)
            self._on_unplaced(self, wanted)

    def _jump(self, partition_id: int, position: int, generation: int) -> None:
        fetch = self._fetches[partition_id]
        self._unplaced.discard(partition_id)
        if fetch.generation != generation:
            return  # a seek came in between: the user knows better
        fetch.position = position
        fetch.displaced = False
        self.parcels[partition_id].append(Parcel(generation, [], position, 0, 0, is_jump=True))
        self._notify()
        self._plan()

    def _reset_failed(self, partition_id: int, position: int, generation: int, error: KafkaException) -> None:
        fetch = self._fetches[partition_id]
        if fetch.generation != generation:
            return
        fetch.position = position
        if error.retriable:
            self._pause_after(fetch, error)
        else:
            self._fail(fetch, error)
            self._notify()
        self._plan()

    def _notify(self) -> None:
        with self.arrived:
            self.arrived.notify_all()

    def _pause(self, partition_ids: list[int], paused: bool) -> None:
        for partition_id in partition_ids:
            self._fetches[partition_id].paused = paused
        self._plan()

    def _plan(self) -> None:
        """Send every fetch that can be sent now."""
        if self._stopped:
            return
        view = self.engine.view
        topic = view.topics.get(self.settings.topic)
        now = self.engine.loop.now()
        self._look_for_unplaced(topic, now)
        partitions = topic.partitions if topic else {}
        plan = plan_fetches(self._order, partitions, self.settings.limits, now)
        if plan.starved:
            self.starved = True
            # the consumer may have taken something between our look and this note
            plan = plan_fetches(self._order, partitions, self.settings.limits, now)
        leaderless = plan.leaderless
        for leader, fetches in plan.by_leader.items():
            if leader not in view.brokers:
                leaderless = True
                continue
            self._fetch_from(leader, fetches)
        if leaderless:
            self.engine.refresh_soon()
        again_at = min(plan.wake_at, self._place_not_before if self._place_not_before > now else float("inf"))
        self._wake_at(now + 0.1 if leaderless else again_at)

    def _wake_at(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if when != float("inf"):
            self._timer = self.engine.loop.call_at(when, self._plan)

    def _fetch_from(self, leader: int, fetches: list[PartitionFetch]) -> None:
        busy = self._busy.setdefault(leader, set())
        free = [number for number in range(LANES_PER_BROKER) if number not in busy]
        if not free:
            return  # the next answer plans again
        number = free[0]
        busy.add(number)
        broker = self.engine.view.brokers[leader]
        lane = self.engine.lane(broker.host, broker.port, f"{self._lane_prefix}.{number}")
        asked = {fetch.id: (fetch, fetch.question, fetch.position or 0) for fetch in fetches}
        for fetch in fetches:
            fetch.in_flight = True
        # whoever was first in line goes to the end, so that a large answer to one starves no other
        self._order = [fetch for fetch in self._order if fetch.id not in asked] + fetches

        def build(abilities: BrokerAbilities) -> tuple[Request, Optional[int]]:
            return self._request(fetches)

        def on_done(reply: Any, error: Optional[Exception], call: Call) -> None:
            busy.discard(number)
            for fetch, question, _position in asked.values():
                if fetch.question == question:
                    fetch.in_flight = False
            self._on_done(asked, reply, error, lane.peer)

        wait_s = self.settings.max_wait_ms / 1000.0
        lane.request(Call(build, on_done, self.engine.loop.now() + wait_s + self.engine.request_timeout_s))

    def _request(self, fetches: list[PartitionFetch]) -> tuple[Request, Optional[int]]:
        settings = self.settings
        info = self.engine.view.topics.get(settings.topic)
        topic_id = info.topic_id if info else ZERO_UUID
        partitions = info.partitions if info else {}
        rows = [
            FetchRequest.FetchPartition(
                partition=fetch.id,
                current_leader_epoch=partitions[fetch.id].leader_epoch if fetch.id in partitions else -1,
                fetch_offset=fetch.position or 0,
                partition_max_bytes=settings.partition_max_bytes,
            )
            for fetch in fetches
        ]
        request = FetchRequest(
            max_wait_ms=settings.max_wait_ms,
            min_bytes=settings.min_bytes,
            max_bytes=settings.max_bytes,
            isolation_level=1 if settings.read_committed else 0,
            session_id=0,
            session_epoch=-1,
            topics=[FetchRequest.FetchTopic(topic=settings.topic, topic_id=topic_id, partitions=rows)],
        )
        return request, LAST_NAMED_VERSION if topic_id == ZERO_UUID else NEWEST_USEFUL_VERSION

    def _on_done(self, asked: Asked, reply: Any, error: Optional[Exception], peer: str) -> None:
        if self._stopped:
            return
        if error is None and reply.error_code:
            error = error_for(reply.error_code, broker=peer, api="Fetch", topic=self.settings.topic)
        if error is not None:
            self._on_failure(asked, error, peer)
        else:
            self._on_reply(asked, reply, peer)
        self._plan()

    def _on_failure(self, asked: Asked, error: Exception, peer: str) -> None:
        """Act on a fetch that failed as a whole: it is tried again, unless that cannot help."""
        log.debug("fetch of %s from %s failed: %s", self.settings.topic, peer, error)
        failure = error if isinstance(error, KafkaException) else KafkaException(f"fetching from {peer} failed: {error!r}")
        passes = failure.retriable or failure.code == UNKNOWN_SERVER_ERROR
        if passes:
            self.engine.refresh_soon()
        for fetch, question, _position in asked.values():
            if fetch.question == question and passes:
                self._pause_after(fetch, failure)
            elif fetch.question == question:
                self._fail(fetch, failure)
        if not passes:
            self._notify()

    def _pause_after(self, fetch: PartitionFetch, error: KafkaException) -> None:
        """Fetch the partition again after a pause that doubles while it keeps failing."""
        pause_s = min(self.settings.error_backoff_s, FIRST_PAUSE_S * 2**fetch.failures)
        if fetch.failures == 0:
            # once, not at every try: whoever waits for messages is told what keeps them
            log.info("%s/%d cannot be fetched, trying again: %s", self.settings.topic, fetch.id, error)
        fetch.failures = min(fetch.failures + 1, 10)
        fetch.not_before = self.engine.loop.now() + pause_s

    def _on_reply(self, asked: Asked, reply: Any, peer: str) -> None:
        arrived = False
        for topic in reply.responses:
            for part in topic.partitions:
                known = asked.get(part.partition_index)
                if known is None or known[1] != known[0].question:
                    continue  # not asked for, or asked for before a seek
                fetch, _question, position = known
                if part.error_code:
                    arrived |= self._on_error(fetch, position, part.error_code, peer)
                    continue
                fetch.failures = 0
                if part.records:
                    arrived |= self._on_records(fetch, position, part)
        if arrived:
            self._notify()

    def _on_records(self, fetch: PartitionFetch, position: int, part: Any) -> bool:
        topic = self.settings.topic
        corrupt: Optional[CorruptBatchError] = None
        try:
            batches = split_batches(part.records, topic, fetch.id)
        except CorruptBatchError as error:
            batches, corrupt = error.good_batches, error
        batches = [batch for batch in batches if batch.next_offset > position]
        visible: list[RawBatch] = []
        try:
            for batch in self._visible(batches, part):
                visible.append(batch)
            next_position = batches[-1].next_offset if batches else position
        except CorruptBatchError as error:
            # a marker; it comes before whatever else is wrong
            next_position, corrupt = error.offset or 0, error
        if next_position > position:
            self._hand_over(fetch, visible, next_position)
        if corrupt is not None:
            self._fail(fetch, corrupt)
        elif next_position == position:
            # records, yet none to go on from: asked again at once the broker would say the same
            fetch.not_before = self.engine.loop.now() + FIRST_PAUSE_S
        return bool(batches) or corrupt is not None

    def _visible(self, batches: list[RawBatch], part: Any) -> Iterator[RawBatch]:
        if not self.settings.read_committed:
            return (batch for batch in batches if not batch.is_control)
        aborted = [(row.producer_id, row.first_offset) for row in part.aborted_transactions or ()]
        return visible_batches(batches, aborted)

    def _hand_over(self, fetch: PartitionFetch, visible: list[RawBatch], next_position: int) -> None:
        count = sum(batch.records_count for batch in visible)
        size = sum(len(batch.data) for batch in visible)
        fetch.received += count
        fetch.received_bytes += size
        fetch.position = next_position
        self.parcels[fetch.id].append(Parcel(fetch.generation, visible, next_position, count, size))

    def _on_error(self, fetch: PartitionFetch, position: int, code: int, peer: str) -> bool:
        """Act on a partition's error; return whether the consumer must be told."""
        error = error_for(code, broker=peer, api="Fetch", topic=self.settings.topic, partition=fetch.id)
        if isinstance(error, OffsetOutOfRangeError):
            fetch.position = None
            self._on_out_of_range(self, fetch.id, position, fetch.generation)
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
        self.parcels[fetch.id].append(Parcel(fetch.generation, [], fetch.position or 0, 0, 0, error))


def weakly(method: weakref.WeakMethod[Callable[..., None]]) -> Callable[..., None]:
    """Return a function that calls ``method`` as long as its object lives: the engine must not keep a consumer alive."""

    def call(*args: Any) -> None:
        alive = method()
        if alive is not None:
            alive(*args)

    return call
