"""A consumer's fetches under any interleaving (property P12 of docs/hostile_bytes.rst).

The I/O thread's half, its plan, its sessions and the buffers on the user's side are the real ones; brokers, connections and
time are driven by hand. Whatever happens, each partition's position only goes forward until the user seeks, no message is
delivered twice or left out, and once the trouble is over everything there is gets delivered.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Optional

import mock
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pykafka._engine import fetching
from pykafka._engine.fetching import FetchCore
from pykafka._engine.lane import Call
from pykafka._machines.fetch_plan import FetchLimits
from pykafka._machines.fetch_requests import FetchSettings
from pykafka._machines.handshake import BrokerAbilities
from pykafka._machines.metadata import BrokerInfo, ClusterView, TopicInfo
from pykafka._machines.turns import PartitionBuffer, deal
from pykafka.common import TopicPartition
from pykafka.exceptions import SocketDisconnectedError
from pykafka.protocol.messages import FetchResponse
from pykafka.records.encode import encode_batch

from .driven import DrivenLoop

TOPIC_ID = b"the id of topic t"[:16]
PARTITIONS, BROKERS = 4, 2
NOT_LEADER, OUT_OF_RANGE, UNKNOWN_SERVER_ERROR, NO_SUCH_SESSION, WRONG_EPOCH = 6, 1, -1, 70, 71
SETTINGS = FetchSettings(
    max_wait_ms=100,
    min_bytes=1,
    max_bytes=1 << 20,
    partition_max_bytes=1 << 20,
    read_committed=True,
    error_backoff_s=0.5,
    limits=FetchLimits(queued_max_messages=20, fetch_memory_bytes=8000),
)


class Stored(NamedTuple):
    """A batch of a log: its offsets, those of its records, and its bytes."""

    first: int
    last: int
    offsets: tuple[int, ...]
    data: bytes


class Log:
    """One partition as its leader has it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.start = self.end = 0
        self.batches: list[Stored] = []

    def append(self, count: int, hole: int) -> None:
        """Write a batch, ``hole`` offsets behind the last one: what was in between has been compacted away."""
        self.end += hole
        offsets = tuple(range(self.end, self.end + count))
        data = encode_batch([b"%d/%d" % (self.number, offset) for offset in offsets], None, None, [1700000000000] * count)
        data[:8] = self.end.to_bytes(8, "big")
        self.batches.append(Stored(self.end, self.end + count - 1, offsets, bytes(data)))
        self.end += count

    def read(self, offset: int, most: int) -> bytes:
        """Return at most so many batches from that of ``offset`` on."""
        return b"".join([one.data for one in self.batches if one.last >= offset][:most])


class DrivenLane:
    """A connection to one broker: calls wait until it is ready, then they are under way until they are answered."""

    peer = "broker:9092"

    def __init__(self, broker: int) -> None:
        self.broker = broker
        self.is_ready = True
        self.waiting: list[Call] = []
        self.asked: list[tuple[Call, Any]] = []

    def request(self, call: Call) -> None:
        """Send a call, or have it wait."""
        self.waiting.append(call)
        if self.is_ready:
            self.send()

    def send(self) -> None:
        """Send what waits."""
        waiting, self.waiting = self.waiting, []
        for call in waiting:
            request, _cap = call.build(BrokerAbilities({}, {}))
            self.asked.append((call, request))

    def fail(self) -> None:
        """End, with everything that was under way."""
        calls, self.asked, self.waiting = [*(call for call, _request in self.asked), *self.waiting], [], []
        for call in calls:
            call.on_done(None, SocketDisconnectedError("cut"), call)


class DrivenEngine:
    """What a FetchCore needs of an engine."""

    request_timeout_s = 30.0

    def __init__(self) -> None:
        self.loop = DrivenLoop()
        self.lanes: dict[tuple[str, int, str], DrivenLane] = {}
        self.listener: Any = None
        self.refreshes = 0
        self.view = ClusterView("c", 1, {}, {})

    def lane(self, host: str, port: int, name: str) -> DrivenLane:
        """Return the connection of that name."""
        return self.lanes.setdefault((host, port, name), DrivenLane(port))

    def topic_id(self, topic: str) -> bytes:
        """Return the topic's id."""
        return TOPIC_ID

    def add_listener(self, listener: Any) -> None:
        """Note who wants to hear of other metadata."""
        self.listener = listener

    def refresh_soon(self) -> None:
        """Note that metadata is wanted."""
        self.refreshes += 1

    def nothing(self, *_args: Any) -> None:
        """Do nothing."""

    use_topics = release_topics = remove_listener = drop_lanes = nothing


class Consumer(RuleBasedStateMachine):
    """A consumer of four partitions of two brokers."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = mock.patch.object(fetching, "LEAST_FOR_A_SESSION", 2)
        self.patch.start()
        self.engine = DrivenEngine()
        self.core = FetchCore(self.engine, SETTINGS, self._out_of_range, self.engine.nothing)  # type: ignore[arg-type]
        self.tps = [TopicPartition("t", number) for number in range(PARTITIONS)]
        self.logs = [Log(number) for number in range(PARTITIONS)]
        self.leaders = [1 + number % BROKERS for number in range(PARTITIONS)]
        #: what the client has heard of that
        self.known = list(self.leaders)
        #: (broker, session) -> (next epoch, partition -> offset)
        self.sessions: dict[tuple[int, int], tuple[int, dict[int, int]]] = {}
        self.session_ids = 0
        self.buffers: dict[TopicPartition, PartitionBuffer] = {}
        self.paused: set[int] = set()
        #: what is to be delivered next, by the model
        self.due: list[int] = [0] * PARTITIONS
        self.delivered = 0
        #: whether the consumer was sent to where the log begins since its user looked: out of range
        self.resets = 0

    @initialize()
    def start(self) -> None:
        """Begin at the beginning."""
        self._tell_metadata()
        self.core.start(self.tps)
        self.buffers = {tp: PartitionBuffer(tp, None, self.core.parcels[tp], 1 << 27) for tp in self.tps}
        for number in range(PARTITIONS):
            self._seek(number, 0)
        self.engine.loop.run()

    def _tell_metadata(self) -> None:
        brokers = {number: BrokerInfo(number, f"b{number}", number, None) for number in range(1, BROKERS + 1)}
        rows = tuple((number, leader, 0, (1, 2), (1, 2), 0) for number, leader in enumerate(self.known))
        self.engine.view = ClusterView("c", 1, brokers, {"t": TopicInfo("t", TOPIC_ID, False, 0, rows)})

    def _out_of_range(self, core: FetchCore, tp: TopicPartition, _offset: int, generation: int) -> None:
        # what the offset rules do, with the answer of a broker, for auto_offset_reset=EARLIEST
        self.resets += 1
        core.jump(tp, self.logs[tp.partition].start, generation)

    # -- the user -----------------------------------------------------------------------------------------------------

    def _seek(self, number: int, offset: int) -> None:
        tp = self.tps[number]
        self.buffers[tp].seek(offset)
        self.due[number] = offset
        self.core.seek({tp: (offset, self.buffers[tp].generation)})

    @rule(number=st.integers(0, PARTITIONS - 1), share=st.floats(0, 1))
    def seek(self, number: int, share: float) -> None:
        """Go on somewhere in the log."""
        log = self.logs[number]
        self._seek(number, log.start + round(share * (log.end - log.start)))

    @rule(number=st.integers(0, PARTITIONS - 1))
    def pause_or_resume(self, number: int) -> None:
        """Have a partition paused, or not any more."""
        self.paused ^= {number}
        self.buffers[self.tps[number]].paused = number in self.paused
        self.core.pause([self.tps[number]], number in self.paused)

    @precondition(lambda self: self.paused)
    @rule(which=st.integers(0, 3))
    def put_away(self, which: int) -> None:
        """Forget what was fetched of a paused partition, as is done when it takes too much room."""
        number = sorted(self.paused)[which % len(self.paused)]
        buffer = self.buffers[self.tps[number]]
        taken = buffer.rewind()
        if taken is not None and buffer.position is not None:
            self.core.took(buffer.tp, taken.messages, taken.size)
            self.core.rewind({buffer.tp: (buffer.position, buffer.generation)})

    @rule(most=st.sampled_from([1, 3, 50]))
    def consume(self, most: int) -> None:
        """Take some messages; each has to be the next one of its partition."""
        for number, tp in enumerate(self.tps):
            buffer = self.buffers[tp]
            if buffer.paused:
                continue
            taken = buffer.refill()
            self.core.took(tp, taken.messages, taken.size)
            assert buffer.error is None, buffer.error
            if buffer.jumped_to is not None:
                assert self.resets and buffer.jumped_to >= self.due[number], "it was led back"
                buffer.jumped_to = None
        ready = [buffer for buffer in self.buffers.values() if buffer.available and not buffer.paused]
        if not ready:
            return
        turn = deal(ready)
        turn.begin()
        for _ in range(most):
            message = next(turn.ready, None)
            if message is None:
                break
            self._deliver(message.partition_id, message.offset, message.value)
        turn.end()

    def _deliver(self, number: int, offset: int, value: Optional[bytes]) -> None:
        assert value == b"%d/%d" % (number, offset)
        assert offset >= self.due[number], f"{number}/{offset} once more: {self.due[number]} was due"
        log = self.logs[number]
        left_out = [one for batch in log.batches for one in batch.offsets if max(self.due[number], log.start) <= one < offset]
        assert not left_out, f"{left_out} of {number} left out"
        self.due[number] = offset + 1
        self.delivered += 1

    # -- the cluster --------------------------------------------------------------------------------------------------

    @rule(number=st.integers(0, PARTITIONS - 1), count=st.integers(1, 6), hole=st.sampled_from([0, 0, 0, 3]))
    def produce(self, number: int, count: int, hole: int) -> None:
        """Have more in a log."""
        self.logs[number].append(count, hole)

    @rule(number=st.integers(0, PARTITIONS - 1))
    def delete_the_oldest(self, number: int) -> None:
        """Let the retention take the oldest batch of a log."""
        log = self.logs[number]
        if log.batches:
            log.start = log.batches.pop(0).last + 1

    @rule(number=st.integers(0, PARTITIONS - 1))
    def move_leader(self, number: int) -> None:
        """Have the other broker lead; the client does not know."""
        self.leaders[number] = 1 + self.leaders[number] % BROKERS

    @rule()
    def hear_of_leaders(self) -> None:
        """Let the client have new metadata."""
        self.known = list(self.leaders)
        self._tell_metadata()
        self.engine.loop.call_soon(self.engine.listener)

    @rule(broker=st.integers(1, BROKERS))
    def forget_sessions(self, broker: int) -> None:
        """Have a broker forget its fetch sessions."""
        self.sessions = {key: session for key, session in self.sessions.items() if key[0] != broker}

    # -- connections --------------------------------------------------------------------------------------------------

    def _lanes(self) -> list[DrivenLane]:
        return [lane for _key, lane in sorted(self.engine.lanes.items())]

    @precondition(lambda self: self.engine.lanes)
    @rule(which=st.integers(0, 3))
    def hold_or_let_go(self, which: int) -> None:
        """Have a connection wait before it sends, or send what waits."""
        chosen = self._lanes()[which % len(self.engine.lanes)]
        chosen.is_ready = not chosen.is_ready
        if chosen.is_ready:
            chosen.send()

    @precondition(lambda self: any(lane.asked for lane in self.engine.lanes.values()))
    @rule(which=st.integers(0, 3), was_read=st.booleans())
    def cut(self, which: int, was_read: bool) -> None:
        """End a connection, before or after the broker has read what was asked."""
        asked = [lane for lane in self._lanes() if lane.asked]
        lane = asked[which % len(asked)]
        if was_read:
            self._reply(lane.broker, lane.asked[0][1], 10, -1)
        lane.fail()

    @precondition(lambda self: any(lane.asked for lane in self.engine.lanes.values()))
    @rule(which=st.integers(0, 3), most=st.integers(0, 4), failing=st.integers(-4, PARTITIONS - 1))
    def answer(self, which: int, most: int, failing: int) -> None:
        """Answer one of the fetches under way, with so many batches at most; one partition may be in error."""
        asked = [lane for lane in self._lanes() if lane.asked]
        self._answer(asked[which % len(asked)], most, failing)

    def _answer(self, lane: DrivenLane, most: int, failing: int = -1) -> None:
        call, request = lane.asked.pop(0)
        call.on_done(self._reply(lane.broker, request, most, failing), None, call)

    def _reply(self, broker: int, request: Any, most: int, failing: int) -> Any:
        rows = {row.partition: row.fetch_offset for topic in request.topics for row in topic.partitions}
        session_id = request.session_id
        if request.session_epoch < 0:
            session_id, wanted = 0, rows
        elif request.session_epoch == 0:
            self.sessions.pop((broker, session_id), None)
            self.session_ids += 1
            session_id, wanted = self.session_ids, rows
            self.sessions[broker, session_id] = 1, wanted
        else:
            if (broker, session_id) not in self.sessions:
                return FetchResponse(error_code=NO_SUCH_SESSION)
            epoch, known = self.sessions[broker, session_id]
            if epoch != request.session_epoch:
                return FetchResponse(error_code=WRONG_EPOCH)
            gone = {number for topic in request.forgotten_topics_data for number in topic.partitions}
            wanted = {number: offset for number, offset in {**known, **rows}.items() if number not in gone}
            self.sessions[broker, session_id] = epoch + 1, wanted
        found = [self._row(broker, number, offset, most, number == failing) for number, offset in wanted.items()]
        is_full = request.session_epoch <= 0
        told = [row for row in found if is_full or row.records or row.error_code]
        topic = FetchResponse.FetchableTopicResponse(topic_id=TOPIC_ID, partitions=told)
        return FetchResponse(session_id=session_id, responses=[topic] if told else [])

    def _row(self, broker: int, number: int, offset: int, most: int, is_failing: bool) -> Any:
        log = self.logs[number]
        code = UNKNOWN_SERVER_ERROR if is_failing else 0
        if self.leaders[number] != broker:
            code = NOT_LEADER
        elif not code and not log.start <= offset <= log.end:
            code = OUT_OF_RANGE
        records = b"" if code else log.read(offset, most)
        return FetchResponse.PartitionData(partition_index=number, error_code=code, high_watermark=log.end, records=records)

    @rule(times=st.integers(1, 4))
    def go_well(self, times: int) -> None:
        """Have everything go well for a while: without this, few runs would get far."""
        for number in range(PARTITIONS):
            self.produce(number, 2, 0)
        for _ in range(times):
            self.wait(0.06)
            for lane in self._lanes():
                if lane.asked:
                    self._answer(lane, 2)
            self.wait(0.0)
            self.consume(5)

    @rule(seconds=st.sampled_from([0.0, 0.001, 0.06, 1.0]))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.engine.loop.run(seconds)

    # -- what always holds --------------------------------------------------------------------------------------------

    @invariant()
    def positions_are_where_the_model_is(self) -> None:
        """Look at the position of each partition: never behind what was delivered, and only ahead of it over a hole."""
        for number, tp in enumerate(self.tps):
            position = self.buffers[tp].position if self.buffers else None
            if position is not None:
                log = self.logs[number]
                assert position >= self.due[number]
                between = [one for batch in log.batches for one in batch.offsets if self.due[number] <= one < position]
                assert all(one < log.start for one in between), "it has gone on over messages"

    @invariant()
    def few_fetches_are_under_way(self) -> None:
        """Look at what every broker is asked at a time."""
        for broker in range(1, BROKERS + 1):
            lanes = [lane for lane in self.engine.lanes.values() if lane.broker == broker]
            assert all(len(lane.asked) + len(lane.waiting) <= 1 for lane in lanes) and len(lanes) <= fetching.LANES_PER_BROKER

    def teardown(self) -> None:
        """Let the trouble be over: everything is delivered."""
        if not self.buffers:
            self.patch.stop()
            return
        for number in list(self.paused):
            self.pause_or_resume(number)
        self.hear_of_leaders()
        for lane in self._lanes():
            if not lane.is_ready:
                lane.is_ready = True
                lane.send()
        for _ in range(400):
            self.engine.loop.run(0.6)
            for lane in self._lanes():
                if lane.asked:
                    self._answer(lane, 3)
            self.engine.loop.run()
            self.consume(50)
            if all(due >= log.end for due, log in zip(self.due, self.logs)):
                break
            if all(not log.read(max(due, log.start), 1) for due, log in zip(self.due, self.logs)):
                break
        self.patch.stop()
        left = [log.read(max(due, log.start), 1) for due, log in zip(self.due, self.logs)]
        assert left == [b""] * PARTITIONS, "not everything was delivered"


TestConsumer = Consumer.TestCase
TestConsumer.settings = settings(max_examples=60, stateful_step_count=60, deadline=None, database=None)
