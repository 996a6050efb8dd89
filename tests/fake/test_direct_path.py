"""A sync producer whose thread sends by itself: the same outcomes as by the I/O thread, whatever happens in between."""

from __future__ import annotations

import ssl
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any, Callable, Optional

import pytest

from pykafka import KafkaClient, Producer
from pykafka._engine import direct, direct_lines
from pykafka.common import CompressionType
from pykafka.exceptions import (
    KafkaException,
    ProduceFailureError,
)
from pykafka.partitioners import Murmur2Partitioner
from pykafka.protocol.messages import ProduceResponse
from pykafka.testing import FakeCluster

from ..support import until
from .direct import FAST, PARTITIONS, is_direct, warm, warmed, written
from .scripts import on_io_thread


class Posts:
    """Counts what is posted to the I/O thread of a client."""

    def __init__(self, client: KafkaClient, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steps: list[Any] = []
        loop = client.cluster.engine.loop
        real = loop.call_soon

        def call_soon(step: Callable[..., object], *args: Any) -> None:
            self.steps.append(step)
            real(step, *args)

        monkeypatch.setattr(loop, "call_soon", call_soon)


# -- what it is for ---------------------------------------------------------------------------------------------------


def test_who_waits_for_each_message_soon_wakes_no_other_thread(
    kafka: FakeCluster, client: KafkaClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with warmed(client) as producer:
        posts = Posts(client, monkeypatch)
        made = [producer.produce(b"%d" % number) for number in range(30)]
        assert not posts.steps
    for message in made:
        assert kafka.records("t", message.partition_id)[message.offset].value == message.value
        assert message.done and message.result(0) is message
    assert Counter(message.partition_id for message in made) == dict.fromkeys(range(PARTITIONS), 10), "dealt in turn"


def test_a_few_messages_make_no_further_connection(kafka: FakeCluster, client: KafkaClient) -> None:
    with client.topics["t"].get_sync_producer() as producer:
        for number in range(direct.LONE_MESSAGES - 1):
            producer.produce(b"%d" % number)
        assert not is_direct(producer) and not client.cluster.engine.direct_lines._all.present()


def test_keys_headers_times_and_empty_messages_arrive_as_they_were_given(kafka: FakeCluster, client: KafkaClient) -> None:
    topic = client.topics["t"]
    with topic.get_producer() as usual, warmed(client) as producer:
        for each in (usual, producer):
            each.produce(None, timestamp=5)
            each.produce(b"", headers=[("a", b"1"), ("b", None)])
            each.produce(b"v", partition_key=b"k", timestamp=1_600_000_000_123)
        usual.flush()
        for number in range(PARTITIONS):
            assert is_direct(producer), number
    times = Counter(
        (record.value, record.key, tuple(record.headers), record.timestamp if record.value != b"" else 0)
        for number in range(PARTITIONS)
        for record in kafka.records("t", number)
        if not (record.value or b"").startswith(b"warm")
    )
    assert set(times.values()) == {2} and len(times) == 3


def test_keyed_messages_go_where_they_go_by_the_usual_way(kafka: FakeCluster, client: KafkaClient) -> None:
    topic = client.topics["t"]
    keys = [b"key%d" % number for number in range(40)]
    with topic.get_producer(partitioner=Murmur2Partitioner()) as usual:
        expected = [usual.produce(b"", partition_key=key).result(10).partition_id for key in keys]
    with topic.get_sync_producer(partitioner=Murmur2Partitioner(), **FAST) as producer:
        found = []
        for _round in range(3):
            found = [producer.produce(b"", partition_key=key).partition_id for key in keys]
        assert is_direct(producer)
    assert found == expected


def test_a_partitioner_of_the_users_is_asked_once_for_each_message(kafka: FakeCluster, client: KafkaClient) -> None:
    asked: list[Optional[bytes]] = []

    def last(partitions: Any, key: Any) -> Any:
        asked.append(key)
        return partitions[-1]

    with client.topics["t"].get_sync_producer(partitioner=last, **FAST) as producer:
        for number in range(30):
            assert producer.produce(b"x", partition_key=b"%d" % number).partition_id == PARTITIONS - 1
        assert PARTITIONS - 1 in producer._core.direct._loans
    assert asked == [b"%d" % number for number in range(30)]


@pytest.mark.parametrize("codec", [CompressionType.NONE, CompressionType.GZIP, CompressionType.ZSTD])
@pytest.mark.parametrize("version", ["0.11", "2.8", "4.4"])
def test_old_and_new_brokers_get_what_they_understand(version: str, codec: int) -> None:
    if codec == CompressionType.ZSTD and version == "0.11":
        pytest.skip("too old for zstd, which tests of the usual way see to")
    with FakeCluster(topics={"t": PARTITIONS}, as_version=version) as kafka, KafkaClient(hosts=kafka.hosts) as client:
        with warmed(client, compression=codec) as producer:
            made = [producer.produce(b"m%d" % number * 50) for number in range(9)]
            assert is_direct(producer)
        assert written(kafka) == Counter(message.value for message in made)
        assert not kafka.complaints


@pytest.mark.parametrize("acks", [0, 1])
def test_without_numbers_there_is_no_short_way(client: KafkaClient, acks: int) -> None:
    # what is given up goes out again, and without numbers it would be written twice
    with client.topics["t"].get_sync_producer(required_acks=acks) as producer:
        for _ in range(30):
            producer.produce(b"x")
        assert not producer._core.direct._is_open


def test_a_callback_runs_on_its_own_thread_as_ever(kafka: FakeCluster, client: KafkaClient) -> None:
    called: list[Any] = []

    def note(message: Any, error: Any) -> None:
        called.append((threading.current_thread(), message.value, error))

    with warmed(client) as producer:
        producer.produce(b"x", on_delivery=note)
        producer.flush()
    ((thread, value, error),) = called
    assert thread is not threading.current_thread() and (value, error) == (b"x", None)


def test_messages_queued_at_once_take_the_usual_way_and_it_goes_on_directly_after_them(
    kafka: FakeCluster, client: KafkaClient
) -> None:
    with warmed(client) as producer:
        producer.produce_many([b"%d" % number for number in range(100)])
        until(lambda: is_direct(producer), what="the partitions to be lent again")
        producer.produce(b"last")
    assert written(kafka) == Counter([*(b"%d" % number for number in range(100)), b"last"])


def test_by_tls_as_well() -> None:
    files = Path(__file__).parent / "tls"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files / "broker.pem")
    with FakeCluster(topics={"t": PARTITIONS}, ssl_context=context) as kafka:
        config = ssl.create_default_context(cafile=str(files / "ca.pem"))
        config.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)  # Python 3.13 wants more of an authority's certificate
        with KafkaClient(hosts=kafka.hosts, ssl_config=config) as client, warmed(client) as producer:
            made = [producer.produce(b"%d" % number * 30000) for number in range(6)]
            assert is_direct(producer)
            (line,) = client.cluster.engine.direct_lines._all.present()
            assert isinstance(line._sock, ssl.SSLSocket) and line.is_fit(time.monotonic() + 10)
        assert written(kafka) == Counter(message.value for message in made)


def test_partitions_that_a_topic_gets_have_their_turn(kafka: FakeCluster, client: KafkaClient) -> None:
    with warmed(client) as producer:
        kafka.add_partitions("t", PARTITIONS + 2)
        client.update_cluster()
        made = [producer.produce(b"%d" % number).partition_id for number in range(10 * (PARTITIONS + 2))]
    assert Counter(made) == dict.fromkeys(range(PARTITIONS + 2), 10)


# -- what goes wrong --------------------------------------------------------------------------------------------------

#: Errors with what the usual way makes of them: sent again, a duplicate, refused for good.
CODES = [2, 3, 5, 6, 7, 9, 10, 13, 17, 18, 19, 20, 29, 45, 46, 47, 56, 59, 74, 87, 100, -1, 999]


def outcome_of(producer: Producer, value: bytes) -> tuple[str, bool]:
    """Return what became of a message."""
    try:
        producer.produce(value)
    except KafkaException as error:
        return type(error).__name__, bool(getattr(error, "possibly_written", False))
    return "written", False


@pytest.mark.parametrize("code", CODES)
def test_an_error_means_the_same_as_on_the_usual_way(kafka: FakeCluster, client: KafkaClient, code: int) -> None:
    with client.topics["t"].get_sync_producer(max_retries=2, **FAST) as usual:
        usual._core.direct._allowed = False
        for number in range(9):
            usual.produce(b"before%d" % number)
        kafka.fail_next("Produce", code)
        expected = outcome_of(usual, b"usual")
        assert outcome_of(usual, b"usual, after it") == ("written", False)
    with warmed(client, max_retries=2) as producer:
        kafka.fail_next("Produce", code)
        assert outcome_of(producer, b"short") == expected
        assert outcome_of(producer, b"short, after it") == ("written", False)
        warm(producer)
        assert producer.produce(b"end").offset >= 0
    log = written(kafka)
    assert log[b"short"] == log[b"usual"] and max(log.values()) == 1


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_connection_that_drops_loses_nothing_and_writes_nothing_twice(
    kafka: FakeCluster, client: KafkaClient, when: str
) -> None:
    with warmed(client) as producer:
        for number in range(4):
            if when == "before":
                kafka.drop_connection(before="Produce")
            else:
                kafka.drop_connection(after="Produce")
            producer.produce(b"%d" % number)
            warm(producer)
    assert written(kafka) == Counter(b"%d" % number for number in range(4))


def test_a_broker_that_closes_idle_connections_costs_no_attempt(
    kafka: FakeCluster, client: KafkaClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with warmed(client) as producer:
        kafka.drop_connection()
        monkeypatch.setattr(direct_lines, "LOOK_AFTER_S", 0.0)
        until(lambda: not any(line.is_fit(time.monotonic()) for line in client.cluster.engine.direct_lines._all.present()))
        kafka.requests.clear()
        made = [producer.produce(b"%d" % number) for number in range(PARTITIONS)]
        assert len(kafka.requests.seen("Produce")) == PARTITIONS, "none was sent by what is closed"
        assert all(message.offset >= 0 for message in made)


def test_a_leader_that_moves_is_followed(kafka: FakeCluster, client: KafkaClient) -> None:
    with warmed(client) as producer:
        for number in range(6):
            kafka.move_leader("t", number % PARTITIONS, 1 + (number + 1) % 3)
            producer.produce(b"%d" % number)
            warm(producer)
    assert written(kafka) == Counter(b"%d" % number for number in range(6))


def test_a_broker_that_stops_in_the_middle(kafka: FakeCluster, client: KafkaClient) -> None:
    with warmed(client) as producer:
        made = []
        for broker in (1, 2, 3):
            kafka.stop_broker(broker)
            made += [producer.produce(b"%d-%d" % (broker, number)).value for number in range(PARTITIONS)]
            kafka.start_broker(broker)
            warm(producer)
    assert written(kafka) == Counter(made)


def test_a_message_that_is_too_slow_is_still_being_sent_and_keeps_its_place(kafka: FakeCluster, client: KafkaClient) -> None:
    with client.topics["t"].get_sync_producer(partitioner=lambda partitions, key: partitions[0], retry_backoff_ms=1) as producer:
        for _ in range(30):
            producer.produce(b"warm")
        producer._options["pending_timeout_ms"] = 50
        kafka.hold("Produce")
        with pytest.raises(ProduceFailureError, match="pending_timeout_ms=50; the message is still being sent"):
            producer.produce(b"slow")
        with pytest.raises(ProduceFailureError):
            producer.produce(b"behind it")
        kafka.heal()
        producer._options["pending_timeout_ms"] = 20000
        producer.produce(b"last")
    assert [value for value in kafka.values("t", 0) if value != b"warm"] == [b"slow", b"behind it", b"last"]


def test_answers_that_are_garbage_end_the_connection_and_nothing_is_lost(kafka: FakeCluster, client: KafkaClient) -> None:
    garbage = [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x7f\xff\xff\xff\0\0",
        b"\0\0\0\x08\0\0\0\0\0\0\0\0",
        b"\0\0\0\x04\x7f\xff\xff\xff",
        b"\x15\x03\x03\0\2\2\x28",
    ]
    with warmed(client) as producer:
        for number, frame in enumerate(garbage):
            once = [frame]
            kafka.on("Produce", lambda request, version, once=once: once.pop() if once else None)  # type: ignore[misc]
            producer.produce(b"%d" % number)
            kafka.on("Produce", None)
            warm(producer)
    assert written(kafka) == Counter(b"%d" % number for number in range(len(garbage)))


def answering(kafka: FakeCluster, shift: int = 0, offset: int = 10**6, throttle_ms: int = 0) -> None:
    """Have the next Produce answered, and not acted on: about another partition, or with a pause."""
    left = [True]

    def answer(request: Any, version: int) -> Optional[ProduceResponse]:
        if not left:
            return None
        left.pop()
        (data,) = request.topic_data
        index = data.partition_data[0].index + shift
        part = ProduceResponse.PartitionProduceResponse(index=index, error_code=0, base_offset=offset)
        topic = ProduceResponse.TopicProduceResponse(name=data.name, topic_id=data.topic_id, partition_responses=[part])
        return ProduceResponse(responses=[topic], throttle_time_ms=throttle_ms)

    kafka.on("Produce", answer)


def test_an_answer_about_something_else_is_none(kafka: FakeCluster, client: KafkaClient) -> None:
    with warmed(client) as producer:
        answering(kafka, shift=1)
        message = producer.produce(b"x")
        assert kafka.records("t", message.partition_id)[message.offset].value == b"x"
    assert written(kafka) == Counter([b"x"])


def test_a_pause_that_the_broker_asks_for_is_kept(kafka: FakeCluster, client: KafkaClient) -> None:
    with FakeCluster(topics={"t": 1}) as one, KafkaClient(hosts=one.hosts) as other, warmed(other) as producer:
        answering(one, throttle_ms=60000)
        assert producer.produce(b"x").offset == 10**6
        lines = other.cluster.engine.direct_lines
        (line,) = lines._all.present()
        assert line.is_muted(time.monotonic())
        producer.produce(b"by the I/O thread, which has not been asked to pause")
        assert lines._all.present() == [line] and line in lines._idle[line.key]


def test_a_broker_that_takes_no_more_connections_costs_a_moment_once(kafka: FakeCluster, client: KafkaClient) -> None:
    with client.topics["t"].get_sync_producer(**FAST) as producer:
        producer.produce(b"warm")
        for number in range(PARTITIONS):  # so that every leader has been written to
            producer.produce(b"warm-%d" % number)
        kafka.hold("ApiVersions")  # as when it stands in line at a listener that accepts nobody
        for number in range(40):
            producer.produce(b"%d" % number)
        assert len(client.cluster.engine.direct_lines._not_before) == 3, "once for each broker"
    assert written(kafka) == Counter(b"%d" % number for number in range(40))


def test_a_context_of_the_users_that_raises_is_not_the_messages_business(
    kafka: FakeCluster, client: KafkaClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raises() -> Any:
        raise RuntimeError("the key store is locked")

    monkeypatch.setattr(client.cluster.engine.direct_lines, "_make_context", raises)
    with client.topics["t"].get_sync_producer(**FAST) as producer:
        for number in range(40):
            producer.produce(b"%d" % number)
    assert written(kafka) == Counter(b"%d" % number for number in range(40))


def test_connections_that_were_closed_make_room_for_others(kafka: FakeCluster, client: KafkaClient) -> None:
    with warmed(client) as producer:
        lines = client.cluster.engine.direct_lines
        for number in range(2 * direct_lines.MAX_LINES):
            for _ in range(PARTITIONS):
                producer.produce(b"%d" % number)
            assert any(not line.is_closed for line in lines._all.present()), number
            for idle in list(lines._idle.values()):
                while idle:
                    idle.pop().close()
            warm(producer)


def test_idle_connections_that_the_broker_has_closed_are_closed_with_the_next_picture_of_the_cluster(
    kafka: FakeCluster, client: KafkaClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(direct_lines, "LOOK_AFTER_S", -1.0)
    with warmed(client) as producer:
        for _ in range(PARTITIONS):
            producer.produce(b"x")
        lines = client.cluster.engine.direct_lines
        client.update_cluster()
        assert sum(map(len, lines._idle.values())) == 3
        kafka.drop_connection()
        until(lambda: client.update_cluster() or not sum(map(len, lines._idle.values())))


def test_a_producer_that_could_not_send_for_a_while_finds_the_short_way_again(kafka: FakeCluster, client: KafkaClient) -> None:
    with warmed(client) as producer:
        on_io_thread(client, lambda: producer._core.fail(KafkaException("for now")))
        producer._core.failed = None
        assert not is_direct(producer)
        warm(producer)
