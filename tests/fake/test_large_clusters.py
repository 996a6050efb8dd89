"""Metadata of 100,000 partitions: the I/O thread goes on while it is decoded and compared, and memory is bounded."""

from __future__ import annotations

import json
import struct
import sys
import threading
from collections.abc import Iterator
from typing import Any, Callable, Optional

import pytest

from pykafka import KafkaClient
from pykafka._engine import lane, learning
from pykafka._engine.lane import Call
from pykafka._machines.metadata import condenser
from pykafka.exceptions import KafkaException, ProtocolError, SocketDisconnectedError
from pykafka.group_topics import GroupTopics
from pykafka.protocol.api import encode_response, response_of
from pykafka.protocol.messages import ListGroupsRequest, MetadataRequest, MetadataResponse
from pykafka.protocol.wire import Wire
from pykafka.testing import FakeCluster

from ..support import run_python, until
from .broker import FakeBroker, fake_broker
from .scripts import on_io_thread

VERSION = 12

CLIENT = """
import gc, json, sys, time
from tests.fake.probe import Pulse, rss_mib
from pykafka import KafkaClient
base, begun = rss_mib(), time.monotonic()
client = KafkaClient({hosts!r})
first_s = time.monotonic() - begun
times, late, busy = [], [], []
for _ in range(3):
    pulse, begun = Pulse(client.cluster.engine.loop), time.monotonic()
    client.update_cluster()
    times.append(time.monotonic() - begun)
    late.append(pulse.stop())
    busy.append(pulse.busy_s)
view = client.cluster.engine.view
print(json.dumps({{
    "partitions": sum(len(topic.partitions) for topic in view.topics.values()), "first_s": first_s, "again_s": min(times),
    "late_s": late, "busy_s": busy, "peak_mib": rss_mib("VmHWM"), "base_mib": base,
}}))
client.close()
"""


def large_metadata(broker: FakeBroker, topics: int, partitions: int) -> None:
    """Have every answer about metadata be about that many topics of that many partitions each."""
    cls: Any = MetadataResponse
    broker.caps["Metadata"] = VERSION
    whole = cls(
        brokers=[cls.MetadataResponseBroker(node_id=1, host="127.0.0.1", port=broker.port)],
        cluster_id="large",
        controller_id=1,
        topics=[
            cls.MetadataResponseTopic(
                name=f"topic-{topic:06}",
                topic_id=(topic + 1).to_bytes(16, "big"),
                partitions=[
                    cls.MetadataResponsePartition(
                        partition_index=number, leader_id=1, leader_epoch=0, replica_nodes=[1, 2, 3], isr_nodes=[1, 2, 3]
                    )
                    for number in range(partitions)
                ],
            )
            for topic in range(topics)
        ],
    )
    frame = b"".join(encode_response(whole, VERSION, 0))
    numbers = iter(range(1, 1000))  # the first request of a connection, ApiVersions, was number 0

    def answer(request: Any, version: int) -> bytes:
        body = struct.pack(">i", next(numbers)) + frame[4:]
        return struct.pack(">i", len(body)) + body

    broker.scripts["Metadata"] = answer


@pytest.mark.parametrize(("topics", "partitions"), [(1, 100_000), (1000, 100), (100_000, 1)])
def test_metadata_of_100_000_partitions_is_read_in_200_mib_and_never_holds_up_the_io_thread(
    topics: int, partitions: int
) -> None:
    with fake_broker() as broker:
        large_metadata(broker, topics, partitions)
        done = run_python(CLIENT.format(hosts=broker.hosts))
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    print(figures)
    assert figures["partitions"] == topics * partitions
    assert figures["peak_mib"] < 200
    # processor time of that thread alone: how late it is by the clock is up to the machine, too
    assert min(figures["busy_s"]) < 0.25


# -- what is left for the I/O thread, counted: no clock and no machine has a say in it --------------------------------


def calls_on_io_thread(client: KafkaClient, step: Callable[[], object]) -> int:
    """Return how many calls of functions, in Python and in C, the I/O thread makes during ``step``."""
    calls: list[str] = []
    on_io_thread(client, lambda: sys.setprofile(lambda frame, event, arg: calls.append(event)))
    try:
        step()
    finally:
        on_io_thread(client, lambda: sys.setprofile(None))
    return calls.count("call") + calls.count("c_call")


def refresh_in_background(client: KafkaClient) -> None:
    """Have metadata of the topics in use asked for, and wait until it has come."""
    engine, done = client.cluster.engine, threading.Event()

    def ask() -> None:
        on_learnt = engine._on_learnt
        engine._on_learnt = lambda *what: (on_learnt(*what), done.set())  # type: ignore[assignment, func-returns-value]
        engine.refresh_soon()

    client.cluster.engine.loop.call_soon(ask)
    assert done.wait(30)
    del engine._on_learnt


@pytest.mark.parametrize("step", [KafkaClient.update_cluster, refresh_in_background])
def test_the_io_thread_has_no_more_to_do_for_metadata_of_more_topics(step: Callable[[KafkaClient], object]) -> None:
    with fake_broker() as broker:
        large_metadata(broker, 12_000, 1)
        with KafkaClient(broker.hosts) as client:
            view = client.cluster.engine.view
            client.cluster.engine.use_topics(view.topics)
            assert calls_on_io_thread(client, lambda: step(client)) < 1000
            assert client.cluster.engine.view is not view and client.cluster.engine.view == view


@pytest.fixture
def many_topics(monkeypatch: pytest.MonkeyPatch) -> Iterator[KafkaClient]:
    """Return a client of a cluster with a thousand topics, which it takes for very many."""
    monkeypatch.setattr(lane, "LARGE_ANSWER", 10_000)
    monkeypatch.setattr(learning, "FEW_ROWS", 100)
    with FakeCluster(topics={f"topic-{number:04}": 1 for number in range(1000)}) as kafka, KafkaClient(kafka.hosts) as client:
        yield client


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_the_io_thread_matches_no_topics_with_the_pattern_of_a_group(
    protocol: str, many_topics: KafkaClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    matches, matching = GroupTopics.matches, list[str]()

    def noted(topics: GroupTopics, name: str) -> bool:
        matching.append(threading.current_thread().name)
        return matches(topics, name)

    monkeypatch.setattr(GroupTopics, "matches", noted)
    with many_topics.get_balanced_consumer("g", pattern="topic-000.", group_protocol=protocol) as consumer:
        many_topics.update_cluster()
        assert len(consumer.partitions) == 10
    assert len(matching) >= 1000 and "pykafka-io" not in matching


class Rounds(list[Any]):
    """A list that counts how often it was gone through."""

    count = 0

    def __iter__(self) -> Iterator[Any]:
        self.count += 1
        return super().__iter__()


def test_what_is_fetched_is_not_gone_through_for_every_topic(many_topics: KafkaClient) -> None:
    with many_topics.get_balanced_consumer("g", pattern="topic-00..") as consumer:
        core = consumer._core
        assert core is not None and len(consumer.partitions) == 100

        def look() -> int:
            core._order = rounds = Rounds(core._order)
            core._look_for_unplaced(many_topics.cluster.engine.loop.now())
            return rounds.count

        assert on_io_thread(many_topics, look) < 10


# -- answers that are decoded on another thread -----------------------------------------------------------------------


class SlowDecoder:
    """Every answer counts as large here, and is decoded on the decoder's thread only once ``gate`` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.gate = threading.Event()
        self.failure: Optional[Exception] = None
        self.begun = 0
        receive = Wire.receive

        def slowly(wire: Wire, frame: memoryview) -> Any:
            if threading.current_thread().name == "pykafka-decoder":
                self.begun += 1
                assert self.gate.wait(20)
                if self.failure is not None:
                    raise self.failure
            return receive(wire, frame)

        monkeypatch.setattr(Wire, "receive", slowly)
        monkeypatch.setattr(lane, "LARGE_ANSWER", 10)


@pytest.fixture
def broker() -> Iterator[FakeBroker]:
    with fake_broker() as broker:
        broker.scripts["ListGroups"] = lambda request, version: response_of(type(request))(groups=[])
        yield broker


@pytest.fixture
def client(broker: FakeBroker) -> Iterator[KafkaClient]:
    with KafkaClient(broker.hosts) as client:
        yield client


@pytest.fixture
def decoder(client: KafkaClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowDecoder]:
    decoder = SlowDecoder(monkeypatch)
    yield decoder
    decoder.gate.set()


def ask(client: KafkaClient, *requests: Any, patience_s: float = 20.0) -> list[Any]:
    """Put requests to the broker on one connection; return a list of the kind of each answer, or its error, as they come."""
    outcomes: list[Any] = []
    (broker,) = client.brokers.values()

    def send() -> None:
        connection = client.cluster.engine.lane(broker.host.decode(), broker.port, "control")
        for request in requests:
            deadline = client.cluster.engine.loop.now() + patience_s
            connection.request(Call(lambda _abilities, request=request: (request, None), note, deadline))  # type: ignore[misc]

    def note(reply: Any, error: Optional[Exception], _call: Call) -> None:
        outcomes.append(reply.NAME if error is None else error)

    on_io_thread(client, send)
    return outcomes


def test_answers_behind_a_large_one_keep_their_order_while_the_io_thread_goes_on(
    client: KafkaClient, broker: FakeBroker, decoder: SlowDecoder
) -> None:
    outcomes = ask(client, MetadataRequest(topics=None), ListGroupsRequest(), MetadataRequest(topics=[]))
    until(lambda: decoder.begun and len(broker.seen("Metadata")) == 3)
    assert on_io_thread(client, lambda: "goes on") == "goes on"
    assert outcomes == []
    decoder.gate.set()
    until(lambda: len(outcomes) == 3)
    assert outcomes == ["Metadata", "ListGroups", "Metadata"] and decoder.begun == 3


@pytest.mark.parametrize("failure", [ProtocolError("malformed"), ValueError("a bug")])
def test_a_large_answer_that_cannot_be_decoded_closes_the_connection_and_everybody_hears_of_it(
    client: KafkaClient, broker: FakeBroker, decoder: SlowDecoder, failure: Exception
) -> None:
    decoder.failure = failure
    outcomes = ask(client, MetadataRequest(topics=None), ListGroupsRequest())
    decoder.gate.set()
    until(lambda: len(outcomes) == 2)
    assert outcomes == [failure, failure]
    decoder.failure = None
    client.update_cluster()  # by another connection


def test_a_large_answer_of_a_connection_that_was_closed_meanwhile_is_dropped(
    client: KafkaClient, broker: FakeBroker, decoder: SlowDecoder
) -> None:
    outcomes = ask(client, MetadataRequest(topics=None))
    until(lambda: decoder.begun)
    broker.hang_up()
    until(lambda: outcomes)
    assert isinstance(outcomes[0], SocketDisconnectedError)
    decoder.gate.set()
    client.update_cluster()
    assert len(outcomes) == 1


def test_a_client_can_be_closed_while_an_answer_is_decoded(client: KafkaClient, decoder: SlowDecoder) -> None:
    outcomes = ask(client, MetadataRequest(topics=None))
    until(lambda: decoder.begun)
    threading.Timer(0.2, decoder.gate.set).start()
    client.close()
    assert len(outcomes) == 1 and isinstance(outcomes[0], KafkaException)


def test_pictures_are_brought_up_to_date_in_the_order_of_the_answers_wherever_that_is_done(
    client: KafkaClient, broker: FakeBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, learn = threading.Event(), learning._learn

    def slowly(view: Any, answer: Any) -> Any:
        if threading.current_thread().name == "pykafka-decoder":
            assert gate.wait(20)
        return learn(view, answer)

    monkeypatch.setattr(learning, "_learn", slowly)
    monkeypatch.setattr(learning, "FEW_ROWS", 1)
    learner, seen = client.cluster.engine._learner, list[int]()

    def show(epoch: int, partitions: int) -> None:
        answer = broker.metadata(MetadataRequest(topics=None), VERSION)
        row = answer.topics[0].partitions[0]
        answer.topics[0].partitions = [
            MetadataResponse.MetadataResponsePartition(partition_index=number, leader_id=row.leader_id)
            for number in range(partitions)
        ]
        answer.controller_id = epoch
        answer.topics = list(map(condenser({}), answer.topics))
        learner.learn(answer, ["t"], lambda found, error: seen.append(learner.view.controller_id))

    on_io_thread(client, lambda: [show(5, 3), show(6, 1), show(7, 1)])
    assert seen == []
    gate.set()
    until(lambda: len(seen) == 3)
    assert seen == [5, 6, 7]


def test_an_answer_that_cannot_be_gone_through_is_raised_to_who_asked_and_holds_up_no_other(
    client: KafkaClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(learning, "apply_reply", lambda view, reply, asked, now: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            client.update_cluster()
    client.update_cluster()
