"""Puts batches of all producers of a client into Produce requests: one stream per broker, at most five under way."""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Optional

from .._machines.accumulator import MAX_IN_FLIGHT, Answer, SendSettings
from .._machines.batches import Batch
from .._machines.metadata import ZERO_UUID
from ..exceptions import OperationTimedOut, UnsupportedVersion, error_for
from ..protocol.api import choose_version
from ..protocol.messages import ProduceRequest
from ..protocol.schema import Request, Response
from .crashes import log_crash
from .lane import Call, Lane

if TYPE_CHECKING:
    from .._machines.handshake import BrokerAbilities
    from .engine import Engine
    from .producing import ProducerCore

log = logging.getLogger(__name__)

#: The first Produce version that carries zstd, and the last that needs no topic ids.
ZSTD_VERSION = 7
LAST_NAMED_VERSION = 12
ZSTD = 4
#: The first Produce version of brokers that remember MAX_IN_FLIGHT batches of a producer: Kafka 1.0 (KAFKA-5494).
MEMORY_VERSION = 5

Item = tuple["ProducerCore", Batch]
#: What a request asks for besides its batches: (acks, ack timeout, is a broker needed that knows zstd).
Terms = tuple[int, int, bool]


def _terms(core: ProducerCore) -> Terms:
    return core.settings.acks, core.ack_timeout_ms, core.settings.codec == ZSTD


def require_zstd(abilities: BrokerAbilities) -> None:
    """Raise UnsupportedVersion for a broker that is too old for zstd: it would answer that it failed, without a reason."""
    newest = abilities.versions.get(ProduceRequest.KEY, (0, 0))[1]
    if newest < ZSTD_VERSION:
        raise UnsupportedVersion(
            f"zstd needs Produce v{ZSTD_VERSION} (Kafka 2.1), and this broker has v{newest}: use another codec", api="Produce"
        )


def produce_version(abilities: BrokerAbilities, settings: SendSettings, topic_ids: Collection[bytes]) -> int:
    """Return the version of Produce that a broker is spoken to in.

    :raises UnsupportedVersion: when it cannot take what is sent
    """
    if settings.codec == ZSTD:
        require_zstd(abilities)
    # by the version that is spoken: without one nothing is sent, and what this broker says may be a mistake
    return choose_version(ProduceRequest, abilities.versions, LAST_NAMED_VERSION if ZERO_UUID in topic_ids else None)


def _request(items: list[Item], topic_ids: dict[str, bytes]) -> ProduceRequest:
    core = items[0][0]
    topics = {
        name: ProduceRequest.TopicProduceData(name=name, topic_id=topic_id, partition_data=[])
        for name, topic_id in topic_ids.items()
    }
    for one, batch in items:
        part = ProduceRequest.PartitionProduceData(index=batch.partition_id, records=batch.data)
        topics[one.settings.topic].partition_data.append(part)
    return ProduceRequest(
        transactional_id=None,
        acks=core.settings.acks,
        timeout_ms=core.ack_timeout_ms,
        topic_data=list(topics.values()),
    )


def answer_in(reply: Any, topic: str, topic_id: bytes, partition_id: int) -> Optional[Answer]:
    """Return what a reply says of one partition, None when it says nothing."""
    return _answer_to(_by_place(reply), topic, topic_id, partition_id)


def tell_answer(core: ProducerCore, batch: Batch, answer: Optional[Answer]) -> bool:
    """Have a producer act on what a reply says of a batch, None for nothing; return whether our metadata is stale."""
    if answer is None:
        missing = error_for(-1, api="Produce", topic=core.settings.topic, partition=batch.partition_id)
        core.on_no_answer(batch, missing, batch.is_out)
        return False
    core.on_answer(batch, answer)
    return bool(answer.code and error_for(answer.code).refresh)


def _by_place(reply: Any) -> dict[tuple[Any, int], Any]:
    return {
        (topic.topic_id if topic.topic_id != ZERO_UUID else topic.name, part.index): part
        for topic in reply.responses
        for part in topic.partition_responses
    }


def _answer_to(answers: dict[tuple[Any, int], Any], topic: str, topic_id: Optional[bytes], partition_id: int) -> Optional[Answer]:
    part = answers.get((topic_id, partition_id)) or answers.get((topic, partition_id))
    return None if part is None else Answer(part.error_code, part.base_offset, part.error_message)


class Sender:
    """Decides what is sent to which broker next. Batches of several producers share a request when their acks agree."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._cores: list[ProducerCore] = []
        #: those with anything to send or to wait for: idle producers cost nothing, however many there are
        self._active: dict[ProducerCore, None] = {}
        self._dispatching = False
        self._again = False

    @property
    def busy(self) -> bool:
        """Return whether any producer has messages without an outcome."""
        return any(core.outstanding for core in self._cores)

    @property
    def cores(self) -> list[ProducerCore]:
        """Return everything that is sent for, whether or not a Producer still stands before it."""
        return list(self._cores)

    def add(self, core: ProducerCore) -> None:
        """Send for ``core`` from now on."""
        self._cores.append(core)

    def remove(self, core: ProducerCore) -> None:
        """Send nothing more for ``core``."""
        if core in self._cores:
            self._cores.remove(core)
        self._active.pop(core, None)

    def dispatch_for(self, core: ProducerCore) -> None:
        """Send everything that can be sent now; ``core`` has something new."""
        self._active[core] = None
        self.dispatch()

    def dispatch(self) -> None:
        """Send everything that can be sent now."""
        self._again = True
        if self._dispatching:
            return  # an outcome applied below led here: the loop goes round once more
        self._dispatching = True
        try:
            while self._again:
                self._again = False
                self._dispatch()
        finally:
            self._dispatching = False

    def _dispatch(self) -> None:
        if not any(core.accumulator.active for core in self._active):
            # the answer to a message that came alone leads here: who waited for it is to go on, not to wait for us
            self._active.clear()
            return
        for core in list(self._active):
            core.before_dispatch()
        # one moment for the whole round: what falls due in the middle of it is found by after_dispatch
        now = self._engine.loop.now()
        for lane, wanted in self._by_lane(now).items():
            while wanted and lane.outstanding < MAX_IN_FLIGHT and not lane.congested:
                items = self._fill_request(lane, wanted, now)
                if items:
                    self._send(lane, items)
        for core in list(self._active):
            core.after_dispatch(now)
            # whose turn was first is last next time, if there is a next time
            self._active.pop(core, None)
            if core.accumulator.active:
                self._active[core] = None

    def _by_lane(self, now: float) -> dict[Lane, list[tuple[ProducerCore, int]]]:
        """Return, per broker connection, the (producer, partition) pairs that have something to send."""
        lanes: dict[Lane, list[tuple[ProducerCore, int]]] = {}
        for core in self._active:
            for partition_id in core.accumulator.sendable(now):
                broker = self._engine.view.leader(core.settings.topic, partition_id)
                if broker is None:
                    self._engine.refresh_soon()
                    continue
                lane = self._engine.lane(broker.host, broker.port, "data")
                if not core.accumulator.is_elsewhere(partition_id, lane):
                    lanes.setdefault(lane, []).append((core, partition_id))
        return lanes

    def _fill_request(self, lane: Lane, wanted: list[tuple[ProducerCore, int]], now: float) -> list[Item]:
        """Return the batches of one request, taking them off ``wanted`` where nothing more is to be had."""
        first = wanted[0][0]
        most = budget = first.settings.max_batch_bytes
        items: list[Item] = []
        filled: set[tuple[str, int]] = set()
        for entry in list(wanted):
            core, partition_id = entry
            place = (core.settings.topic, partition_id)
            # of two batches for one partition in one request a broker keeps one, and answers once
            if place in filled or _terms(core) != _terms(first):
                continue
            try:
                # the first batch may be of any size: one that must be sent again cannot be cut
                batch = core.next_batch(partition_id, budget if items else max(budget, 2**31), lane)
            except Exception:  # a bug of ours; what was taken before it is on its way all the same
                log_crash(log, "no batch could be made for %s/%d; it is tried again later", *place)
                wanted.remove(entry)
                continue
            more = core.accumulator.has_more(partition_id, now)
            if batch is None and items and more:
                break  # it needs a request with more room
            wanted.remove(entry)
            if batch is None:
                continue
            filled.add(place)
            items.append((core, batch))
            budget -= len(batch.data)
            if more:
                wanted.append(entry)
            if budget < most // 8:
                break
        return items

    def _send(self, lane: Lane, items: list[Item]) -> None:
        # not the delivery deadline of the batch: when a call is late the whole connection is closed, under all producers
        deadline = self._engine.loop.now() + self._engine.request_timeout_s
        #: as they are when it is sent: metadata that arrives before the answer may know the topic no more, or another one
        topic_ids: dict[str, bytes] = {}

        def build(abilities: BrokerAbilities) -> tuple[Request, Optional[int]]:
            # what expired while the connection was being made is known not to be written, and stays so
            live = [(core, batch) for core, batch in items if not batch.expired]
            if not live:
                raise OperationTimedOut("delivery_timeout_ms was over before there was a connection")
            topic_ids.update((core.settings.topic, self._engine.topic_id(core.settings.topic)) for core, _batch in live)
            version = produce_version(abilities, live[0][0].settings, topic_ids.values())
            remembered = MAX_IN_FLIGHT if version >= MEMORY_VERSION else 1
            for core, batch in live:
                # the first batch goes alone, and more than one under way is only allowed after its answer: this is in time
                core.accumulator.meet_broker(remembered)
                batch.is_out = True
            return _request(live, topic_ids), version

        def on_done(reply: Optional[Response], error: Optional[Exception], call: Call) -> None:
            self._on_done(items, topic_ids, reply, error, call)

        lane.request(Call(build, on_done, deadline, expects_reply=items[0][0].settings.acks != 0))

    def _on_done(
        self, items: list[Item], topic_ids: dict[str, bytes], reply: Any, error: Optional[Exception], call: Call
    ) -> None:
        if error is not None:
            self._engine.refresh_soon()
            for core, batch in items:
                core.on_no_answer(batch, error, call.sent and batch.is_out)
        elif reply is None:
            for core, batch in items:
                core.on_sent_without_ack(batch)
        else:
            self._on_reply(items, topic_ids, reply)
        self.dispatch()

    def _on_reply(self, items: list[Item], topic_ids: dict[str, bytes], reply: Any) -> None:
        answers = _by_place(reply)
        stale = False
        for core, batch in items:
            name = core.settings.topic
            answer = _answer_to(answers, name, topic_ids.get(name), batch.partition_id) if batch.is_out else None
            stale |= tell_answer(core, batch, answer)
        if stale:
            self._engine.refresh_soon()
