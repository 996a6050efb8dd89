"""One connection under any interleaving of calls, pieces of bytes, cuts, timers and pauses (P12 of docs/hostile_bytes.rst).

Whatever happens, each call has one outcome: the very answer to its own question, or an error. Answers are given in the order of
the questions. A call that was never sent says so: a producer may send it again without asking. Nobody waits beyond a deadline.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import Any, Optional

import mock
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pykafka._engine import lane
from pykafka._engine.lane import Call, Lane
from pykafka.exceptions import KafkaException, OperationTimedOut, SocketDisconnectedError
from pykafka.protocol.api import decode_request, encode_response
from pykafka.protocol.messages import (
    ApiVersionsRequest,
    ApiVersionsResponse,
    DescribeGroupsRequest,
    DescribeGroupsResponse,
    ListGroupsRequest,
    ListGroupsResponse,
    ProduceRequest,
)

from .driven import SETTINGS, Decoder, DrivenChannel, DrivenLoop

VERSIONS = {
    request.KEY: (request.MIN_VERSION, request.MAX_VERSION)
    for request in (ApiVersionsRequest, DescribeGroupsRequest, ListGroupsRequest, ProduceRequest)
}


class Connection(RuleBasedStateMachine):
    """A lane, the broker at its other end, and what became of every call."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = DrivenLoop()
        self.decoder = Decoder()
        self.channels: list[DrivenChannel] = []
        self.patches = [
            mock.patch.object(lane, "Channel", self._channel),
            mock.patch.object(lane, "LARGE_ANSWER", 200),
            mock.patch.object(lane, "chance", lambda: 0.5),
        ]
        for patch in self.patches:
            patch.start()
        self.lane = Lane(self.loop, "broker", 9092, "test", SETTINGS, self.decoder)  # type: ignore[arg-type]
        self.calls: dict[int, Call] = {}
        self.outcomes: dict[int, list[tuple[Any, Optional[Exception]]]] = {}
        #: what the broker got of each call, and how often
        self.arrived: list[int] = []
        #: in which order calls were sent, by their connection
        self.sent: list[tuple[int, int]] = []
        self.answered: list[int] = []
        #: frames of answers that are to come by the present connection
        self.coming = bytearray()
        self.unanswered: deque[tuple[Any, int, int]] = deque()
        self.closed = False

    def _channel(self, *args: Any, **options: Any) -> DrivenChannel:
        self.channels.append(DrivenChannel(*args, **options))
        self.coming.clear()
        self.unanswered.clear()
        return self.channels[-1]

    def teardown(self) -> None:
        """Close it: nothing may be left without an outcome."""
        self.lane.close()
        self.loop.run(0.0)
        for patch in self.patches:
            patch.stop()
        assert all(len(outcomes) == 1 for outcomes in self.outcomes.values()), self.outcomes

    # -- the client ---------------------------------------------------------------------------------------------------

    @initialize()
    def one_call(self) -> None:
        """Have a call at hand: without any there is no connection."""
        self.ask("DescribeGroups", 20.0)

    @rule(api=st.sampled_from(["DescribeGroups"] * 2 + ["ListGroups", "Produce"]), patience_s=st.sampled_from([0.5, 5.0, 20.0]))
    def ask(self, api: str, patience_s: float) -> None:
        """Make a call; what it asks about is its number, so that each answer can be told from all others."""
        number = len(self.calls)

        def build(_abilities: Any) -> tuple[Any, None]:
            self.sent.append((len(self.channels), number))
            if api == "DescribeGroups":
                return DescribeGroupsRequest(groups=[str(number)]), None
            if api == "ListGroups":
                return ListGroupsRequest(states_filter=[str(number)]), None
            data = ProduceRequest.PartitionProduceData(index=number, records=b"x" * 300)
            return ProduceRequest(acks=0, topic_data=[ProduceRequest.TopicProduceData(name="t", partition_data=[data])]), None

        call = Call(build, partial(self._done, number), self.loop.now() + patience_s, expects_reply=api != "Produce")
        self.calls[number] = call
        self.outcomes[number] = []
        self.lane.request(call)

    def _done(self, number: int, reply: Any, error: Optional[Exception], call: Call) -> None:
        assert call is self.calls[number]
        self.outcomes[number].append((reply, error))
        assert self.loop.now() <= call.deadline + 0.01, "it has waited beyond its deadline"
        if error is not None:
            assert isinstance(error, KafkaException)
            assert call.sent or number not in self.arrived, "it says that it cannot have been sent, and was"
        elif call.expects_reply:
            assert reply.groups[0].group_id == str(number), "it got another one's answer"
            self.answered.append(number)
        else:
            assert reply is None and call.sent

    # -- the broker and the network -----------------------------------------------------------------------------------

    @property
    def channel(self) -> Optional[DrivenChannel]:
        """Return the connection there is."""
        return self.channels[-1] if self.channels and self.channels[-1].state in ("opening", "open") else None

    def is_at(self, state: str) -> bool:
        """Return whether there is a connection in that state."""
        return self.channel is not None and self.channel.state == state

    @precondition(lambda self: self.is_at("opening"))
    @rule()
    def connect(self) -> None:
        """Have the connection stand."""
        self.channels[-1].stand()

    @precondition(lambda self: self.is_at("open"))
    @rule(count=st.sampled_from([1, 30, 100, 100_000]))
    def take(self, count: int) -> None:
        """Have the socket take some bytes and the broker read what is complete."""
        for frame in self.channels[-1].take(count):
            request, version, correlation_id, _client = decode_request(memoryview(frame))
            if isinstance(request, ProduceRequest):
                self.arrived.append(request.topic_data[0].partition_data[0].index)
                continue
            if isinstance(request, DescribeGroupsRequest):
                self.arrived.append(int(request.groups[0]))
            elif isinstance(request, ListGroupsRequest):
                self.arrived.append(int(request.states_filter[0]))
            self.unanswered.append((request, version, correlation_id))

    @precondition(lambda self: self.unanswered)
    @rule(throttle_ms=st.sampled_from([0, 0, 0, 700]), is_large=st.booleans())
    def answer(self, throttle_ms: int, is_large: bool) -> None:
        """Answer the oldest question."""
        request, version, correlation_id = self.unanswered.popleft()
        if isinstance(request, ApiVersionsRequest):
            rows = [ApiVersionsResponse.ApiVersion(api_key=key, min_version=low, max_version=high)
                    for key, (low, high) in VERSIONS.items()]  # fmt: skip
            reply: Any = ApiVersionsResponse(api_keys=rows)
        elif isinstance(request, DescribeGroupsRequest):
            described = DescribeGroupsResponse.DescribedGroup(group_id=request.groups[0])
            reply = DescribeGroupsResponse(groups=[described], throttle_time_ms=throttle_ms)
        else:
            group = ListGroupsResponse.ListedGroup(group_id=request.states_filter[0])
            reply = ListGroupsResponse(groups=[group] * (60 if is_large else 1))
        frame = b"".join(encode_response(reply, version, correlation_id))
        self.coming += len(frame).to_bytes(4, "big") + frame

    @precondition(lambda self: self.coming and self.is_at("open"))
    @rule(count=st.sampled_from([1, 7, 100, 100_000]))
    def bring(self, count: int) -> None:
        """Have bytes of the answers arrive."""
        data = bytes(self.coming[:count])
        del self.coming[:count]
        self.channels[-1].bring(data)

    @precondition(lambda self: self.is_at("open"))
    @rule(number=st.sampled_from([-1, 0, 1, 99]))
    def lie(self, number: int) -> None:
        """Send an answer that nobody asked for, or one with a number that is not the next one's."""
        wire = self.lane._wire
        if self.coming or self.lane._behind is not None or (wire and wire._awaited and wire._awaited[0].correlation_id == number):
            return
        before = self.channels[-1]
        described = DescribeGroupsResponse.DescribedGroup(group_id="-1")
        frame = b"".join(encode_response(DescribeGroupsResponse(groups=[described]), 6, number))
        before.bring(len(frame).to_bytes(4, "big") + frame)
        assert before.state == "closed"

    @precondition(lambda self: self.channel is not None)
    @rule(times=st.integers(2, 4), decodes=st.booleans())
    def serve(self, times: int, decodes: bool) -> None:
        """Have everything go well for a while: without this, few runs would get far."""
        if self.is_at("opening"):
            self.connect()
        for _ in range(times):
            if self.is_at("open"):
                self.take(100_000)
            while self.unanswered:
                self.answer(0, is_large=decodes)
            if self.is_at("open") and self.coming:
                self.bring(100_000)
            if decodes:
                self.decode()

    @rule()
    def decode(self) -> None:
        """Have the thread for large answers do its next piece of work."""
        self.decoder.work()
        self.loop.run(0.0)

    @precondition(lambda self: self.channel is not None)
    @rule()
    def cut(self) -> None:
        """Have the connection end."""
        self.channels[-1].close(SocketDisconnectedError("cut"))

    @rule(seconds=st.sampled_from([0.001, 0.1, 1.0, 12.0]))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.loop.run(seconds)

    @precondition(lambda self: not self.closed and len(self.calls) > 5)
    @rule(luck=st.integers(0, 9))
    def close(self, luck: int) -> None:
        """Close the connection for good, in some runs."""
        if luck == 0:
            self.closed = True
            self.lane.close()
            assert all(len(outcomes) == 1 for outcomes in self.outcomes.values())

    # -- what always holds --------------------------------------------------------------------------------------------

    @invariant()
    def one_outcome_at_most_and_none_is_forgotten(self) -> None:
        """Look at all outcomes."""
        waiting = [number for number, outcomes in self.outcomes.items() if not outcomes]
        assert all(len(outcomes) <= 1 for outcomes in self.outcomes.values())
        assert self.lane.outstanding == len(waiting)
        late = [number for number in waiting if self.calls[number].deadline < self.loop.now() - 0.01]
        assert not late, f"{late} wait beyond their deadlines"
        assert not waiting or self.channel is not None or self.loop.next_timer < float("inf"), "nothing will ever happen"

    @invariant()
    def what_needs_no_answer_is_done_once_it_is_written(self) -> None:
        """Look at calls without an answer."""
        silent = [number for number, call in self.calls.items() if not call.expects_reply]
        done = {number for number in silent if self.outcomes[number] == [(None, None)]}
        decided = {number for number in silent if self.outcomes[number]}
        assert done <= set(self.arrived) and set(self.arrived) & set(silent) <= decided

    @invariant()
    def in_order_and_once(self) -> None:
        """Look at the order in which calls were sent, have arrived and were answered."""
        assert len(set(self.arrived)) == len(self.arrived), "a call was sent twice"
        order = {number: at for at, (_channel, number) in enumerate(self.sent)}
        assert len(order) == len(self.sent)
        assert [order[number] for number in self.arrived] == sorted(order[number] for number in self.arrived)
        assert [order[number] for number in self.answered] == sorted(order[number] for number in self.answered)


TestConnection = Connection.TestCase
TestConnection.settings = settings(max_examples=100, stateful_step_count=50, deadline=None, database=None)


def test_a_call_without_an_answer_ends_at_its_deadline() -> None:
    one = Connection()
    one.one_call()
    one.connect()
    one.take(100_000)
    one.answer(0, is_large=False)
    one.bring(100_000)
    one.take(100_000)
    assert one.arrived == [0]
    one.wait(20.0)
    ((reply, error),) = one.outcomes[0]
    assert reply is None and isinstance(error, OperationTimedOut)
    one.teardown()
