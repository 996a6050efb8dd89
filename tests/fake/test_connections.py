"""Connections that are throttled, full, idle, or lead to where no broker is any more."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from pykafka import KafkaClient
from pykafka._engine.lane import BACKLOG_LIMIT, Call, Lane
from pykafka._machines import backoff
from pykafka.exceptions import ProduceFailureError
from pykafka.protocol.messages import MetadataRequest

from ..support import until
from .broker import NODE, FakeBroker, fake_broker
from .test_connecting import closed_port
from .test_produce_and_fetch import produced

#: More than the socket buffers of both ends hold, and what may wait for them.
MUCH = [b"x" * 100_000] * 300
#: Few requests are then more than BACKLOG_LIMIT.
LARGE_REQUESTS = {"max_request_size": 4_000_000}
UNKNOWN_TOPIC = 3


def lanes(client: KafkaClient, name: str = "data") -> list[Lane]:
    """Return the connections of one name."""
    return [lane for key, lane in list(client.cluster.engine._lanes.items()) if key[2] == name]


def received(broker: FakeBroker) -> int:
    """Return how many bytes of records the broker has read."""
    return sum(len(request.topic_data[0].partition_data[0].records) for request in broker.seen("Produce"))


@contextmanager
def broker_that_reads_nothing() -> Iterator[tuple[FakeBroker, threading.Event]]:
    """Yield a broker that stops reading at the first Produce, and the event that lets it go on."""
    go_on = threading.Event()
    with fake_broker() as broker:
        broker.scripts["Produce"] = lambda request, version: go_on.wait(60) and None
        try:
            yield broker, go_on
        finally:
            go_on.set()


@pytest.mark.parametrize(
    ("throttle_ms", "longest_s"),
    [(50, backoff.LONGEST_THROTTLE_S), (2**31 - 1, 0.05)],
    ids=["for as long as it asks", "24 days, for no longer than the bound"],
)
def test_a_throttled_connection_goes_on_when_the_pause_is_over(
    throttle_ms: int, longest_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backoff, "LONGEST_THROTTLE_S", longest_s)
    throttled, plain = produced(0), produced(1)
    throttled.throttle_time_ms = throttle_ms
    answers: list[Any] = [throttled, plain]
    with fake_broker() as broker, KafkaClient(broker.hosts, socket_timeout_ms=60000) as client:
        broker.scripts["Produce"] = lambda request, version: answers.pop(0)
        with client.topics["t"].get_producer() as producer:
            producer.produce(b"throttled").result(10)
            # nothing but the end of the pause sends it: the request timeout is a minute away
            assert producer.produce(b"next").result(10).offset == 1


def test_what_cannot_be_sent_because_of_a_pause_says_so() -> None:
    throttled = produced(0)
    throttled.throttle_time_ms = 2**31 - 1
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        broker.scripts["Produce"] = lambda request, version: throttled
        with client.topics["t"].get_producer(delivery_timeout_ms=200, linger_ms=0) as producer:
            producer.produce(b"throttled").result(10)
            lane = lanes(client)[0]
            failures: list[Any] = []

            def ask() -> None:
                deadline = client.cluster.engine.loop.now() + 0.05
                failed = lambda reply, error, call: failures.append(error)  # noqa: E731  # of this call only
                lane.request(Call(lambda abilities: (MetadataRequest(), None), failed, deadline))

            client.cluster.engine.loop.call_soon(ask)
            until(lambda: failures)
    assert "nothing could be sent to 127.0.0.1" in str(failures[0]) and "throttle_time_ms" in str(failures[0])


def test_throttled_requests_leave_in_the_order_they_were_made() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        lane = client.cluster.engine.lane("127.0.0.1", broker.port, "test")
        plain = broker.metadata(MetadataRequest(), 12)
        plain.throttle_time_ms = 50
        broker.scripts["Metadata"] = lambda request, version: plain
        order: list[str] = []

        def ask(name: str) -> None:
            request = MetadataRequest(topics=[MetadataRequest.MetadataRequestTopic(name=name)])
            deadline = client.cluster.engine.loop.now() + 30
            lane.request(Call(lambda abilities: (request, None), lambda reply, error, call: order.append(name), deadline))

        client.cluster.engine.loop.call_soon(ask, "first")
        until(lambda: order)
        for name in ("second", "third", "fourth"):
            client.cluster.engine.loop.call_soon(ask, name)
        until(lambda: len(order) == 4)
        assert [request.topics[0].name for request in broker.seen("Metadata")[-4:]] == ["first", "second", "third", "fourth"]


def test_with_acks_0_sending_goes_on_when_a_full_socket_drains() -> None:
    with broker_that_reads_nothing() as (broker, go_on), KafkaClient(broker.hosts) as client:
        producer = client.topics["t"].get_producer(required_acks=0, **LARGE_REQUESTS)
        messages = producer.produce_many(MUCH)
        until(lambda: any(lane.congested for lane in lanes(client)), what="a full socket")
        go_on.set()
        producer.flush(30)
        assert all(message.done and message.error is None for message in messages)
        producer.stop()
        until(lambda: received(broker) > 30_000_000, what="all of it at the broker")


def test_with_acks_0_only_what_the_socket_took_counts_as_delivered() -> None:
    with broker_that_reads_nothing() as (broker, _go_on), KafkaClient(broker.hosts) as client:
        producer = client.topics["t"].get_producer(required_acks=0, pending_timeout_ms=300, **LARGE_REQUESTS)
        messages = producer.produce_many(MUCH)
        until(lambda: any(lane.congested for lane in lanes(client)), what="a full socket")
        with pytest.raises(ProduceFailureError, match="not acknowledged"):
            producer.stop()
        lost = [message for message in messages if message.error is not None]
        assert all(message.done for message in messages)
        assert len(lost) * 100_000 > BACKLOG_LIMIT


def test_with_acks_0_what_a_closed_connection_had_not_taken_is_sent_again() -> None:
    with broker_that_reads_nothing() as (broker, go_on), KafkaClient(broker.hosts) as client:
        producer = client.topics["t"].get_producer(required_acks=0, **LARGE_REQUESTS)
        messages = producer.produce_many(MUCH)
        until(lambda: any(lane.congested for lane in lanes(client)), what="a full socket")
        before = len(broker.seen("Produce"))
        broker.hang_up()
        go_on.set()
        producer.flush(30)
        assert all(message.error is None for message in messages)
        assert len(broker.seen("Produce")) > before
        producer.stop()


def test_a_connection_that_the_broker_closed_for_idleness_is_opened_again_unnoticed() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        broker.scripts["Produce"] = lambda request, version: produced(5)
        with client.topics["t"].get_producer(max_retries=0) as producer:
            producer.produce(b"before").result(10)
            broker.hang_up()
            until(lambda: not client.cluster.engine.is_connected("127.0.0.1", broker.port))
            assert producer.produce(b"after").result(10).offset == 5
            client.update_cluster()
            client.brokers[NODE].fetch_api_versions()
        assert len(broker.seen("Produce")) == 2


def test_a_broker_that_cannot_be_reached_is_tried_again_after_a_pause_and_not_at_once() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts, reconnect_backoff_ms=200) as client:
        loop = client.cluster.engine.loop
        lane = client.cluster.engine.lane("127.0.0.1", closed_port(), "test")
        failures: list[float] = []

        def ask() -> None:
            made = Call(lambda abilities: (MetadataRequest(), None), lambda reply, error, call: failed(), loop.now() + 30)
            lane.request(made)

        def failed() -> None:
            failures.append(loop.now())
            if len(failures) < 3:
                ask()

        loop.call_soon(ask)
        until(lambda: len(failures) == 3)
        pauses = [later - earlier for earlier, later in zip(failures, failures[1:])]
        # 200 ms and then 400 ms, less a fifth of chance
        assert pauses[0] > 0.15 and pauses[1] > 0.3


def test_connections_to_where_no_broker_is_any_more_are_closed() -> None:
    with fake_broker() as seed, fake_broker() as old, fake_broker() as new:
        for broker in (seed, old, new):
            broker.scripts["Metadata"] = lambda request, version: leader.metadata(request, version)
        for broker in (old, new):
            broker.scripts["Produce"] = lambda request, version: produced(0)
        leader = old
        with KafkaClient(seed.hosts) as client, client.topics["t"].get_producer() as producer:
            producer.produce(b"x").result(10)
            assert {lane.port for lane in lanes(client)} == {old.port}
            leader = new
            client.update_cluster()
            producer.produce(b"x").result(10)
            assert {lane.port for lane in lanes(client)} == {new.port}
            assert {lane.port for lane in lanes(client, "control")} <= {seed.port, new.port}


def test_metadata_of_a_topic_that_is_gone_is_asked_for_ever_more_rarely() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client, client.topics["t"].get_producer():
        engine = client.cluster.engine
        until(lambda: not engine._refresh._asking and len(broker.seen("Metadata")) > 1)
        gone = broker.metadata(MetadataRequest(), 12)
        gone.topics = [type(gone).MetadataResponseTopic(name="t", error_code=UNKNOWN_TOPIC, partitions=[])]
        broker.scripts["Metadata"] = lambda request, version: gone
        began, before = engine.loop.now(), len(broker.seen("Metadata"))
        engine.loop.call_soon(engine.refresh_soon)
        until(lambda: len(broker.seen("Metadata")) >= before + 5)
        # the second question comes at once, since the picture has changed; then 0.1, 0.2 and 0.4 s, less a fifth
        assert engine.loop.now() - began > 0.5


def test_without_topic_ids_nothing_is_asked_in_a_version_that_needs_them() -> None:
    # brokers before 2.8 have none, whatever versions they or a proxy before them list
    with fake_broker(caps={"Metadata": 9}) as broker, KafkaClient(broker.hosts) as client:
        broker.scripts["Produce"] = lambda request, version: None
        broker.scripts["Fetch"] = lambda request, version: None
        topic = client.topics["t"]
        producer = topic.get_producer(pending_timeout_ms=100)
        producer.produce(b"x")
        consumer = topic.get_simple_consumer()
        until(lambda: broker.seen("Produce") and broker.seen("Fetch"), what="a Produce and a Fetch")
        assert {version for name, version, _request in broker.requests if name in ("Produce", "Fetch")} == {12}
        consumer.stop()
        with pytest.raises(ProduceFailureError):
            producer.stop()


def test_at_most_five_produce_requests_are_under_way_to_a_broker_however_many_partitions_it_leads() -> None:
    with fake_broker(partitions=12) as broker, KafkaClient(broker.hosts) as client:
        broker.scripts["Produce"] = lambda request, version: None
        # a request is full with one message, so each partition needs one of its own
        producer = client.topics["t"].get_producer(pending_timeout_ms=100, linger_ms=0, max_request_size=1024)
        producer.produce_many([bytes(800)] * 24)
        until(lambda: len(broker.seen("Produce")) == 5, what="five requests")
        with pytest.raises(ProduceFailureError, match="24 messages"):
            producer.stop()
        assert len(broker.seen("Produce")) == 5


def test_a_client_has_one_io_thread_however_much_is_made_from_it() -> None:
    def io_threads() -> int:
        return sum(thread.name == "pykafka-io" for thread in threading.enumerate())

    with fake_broker() as broker:
        broker.scripts["Fetch"] = lambda request, version: None
        before = io_threads()
        with KafkaClient(broker.hosts) as client:
            topic = client.topics["t"]
            users = [topic.get_producer(), topic.get_producer(), topic.get_simple_consumer(), topic.get_simple_consumer()]
            until(lambda: len(broker.seen("Fetch")) >= 2, what="both consumers at work")
            assert io_threads() == before + 1
            for user in users:
                user.stop()  # type: ignore[attr-defined]
        until(lambda: io_threads() == before, what="the end of the thread")
