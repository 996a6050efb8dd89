"""Peers that lie: about sizes, numbers, errors, brokers and records. Each is named, bounded, and costs nobody else anything."""

from __future__ import annotations

import random
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from pykafka import KafkaClient
from pykafka.common import OffsetType
from pykafka.exceptions import KafkaException, NoBrokersAvailableError, ProtocolError
from pykafka.protocol.api import encode_response, response_of
from pykafka.protocol.messages import ApiVersionsRequest, ConsumerGroupDescribeResponse, MetadataRequest
from pykafka.protocol.wire import Wire

from ..fake.broker import FakeBroker, fake_broker, rude_peer
from ..fake.scripts import Log, stored_batch
from ..fake.test_group_troubles import Coordinator, member, with_newer_protocol
from ..fake.test_produce_and_fetch import fetched
from ..support import run_python, until
from ..unit.protocol.samples import SAMPLES, encode
from .targets import mutated

ALL_CODES = range(-(2**15), 2**15)
QUICK = {"reconnect_backoff_ms": 1, "reconnect_backoff_max_ms": 2}


# -- sizes ------------------------------------------------------------------------------------------------------------

CLAIM = """
import socket, sys, threading, time
from pykafka import KafkaClient
from pykafka.exceptions import NoBrokersAvailableError
listener = socket.create_server(("127.0.0.1", 0))
def serve():
    while True:
        conn = listener.accept()[0]
        conn.recv(4096)
        conn.sendall({claim!r})
        kept.append(conn)
kept = []
threading.Thread(target=serve, daemon=True).start()
hosts = "127.0.0.1:%d" % listener.getsockname()[1]
def try_once():
    try:
        KafkaClient(hosts)
    except NoBrokersAvailableError as error:
        return str(error)
def status(name):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name))
try_once()
open("/proc/self/clear_refs", "w").write("5")
before, began = status("VmRSS"), time.monotonic()
text = try_once()
print(status("VmHWM") - before, time.monotonic() - began, text.replace(chr(10), " "))
"""


@pytest.mark.parametrize("size", [2_000_000_000, 2**31 - 1, 0x7FFFFFF0, 100 * 1024 * 1024 + 1, -1, -(2**31)])
def test_a_frame_that_claims_to_be_huge_is_refused_at_once_without_memory(size: int) -> None:
    done = run_python(CLAIM.format(claim=struct.pack(">i", size)))
    assert done.returncode == 0, done.stderr
    kibibytes, seconds, text = done.stdout.split(" ", 2)
    assert int(kibibytes) < 1024
    assert float(seconds) < 5  # milliseconds, on a machine with nothing else to do
    assert f"frame of {size} bytes" in text and "max_response_bytes" in text and "127.0.0.1:" in text


@pytest.mark.parametrize(
    ("reply", "words"),
    [(b"HTTP/1.1 400 Bad Request\r\n\r\n", "web server.*port"), (b"\x15\x03\x03\x00\x02\x02\x46", "TLS listener.*ssl_config")],
    ids=["http", "tls"],
)
def test_another_protocol_is_named_with_what_to_change(reply: bytes, words: str) -> None:
    with rude_peer(reply) as hosts, pytest.raises(NoBrokersAvailableError, match=words):
        KafkaClient(hosts)


# -- correlation ids --------------------------------------------------------------------------------------------------


def answers(count: int) -> tuple[Wire, list[memoryview]]:
    """Return a connection's state with ``count`` requests under way, and the right answer to each."""
    wire = Wire("c", "a peer")
    frames = []
    for number in range(count):
        wire.send(MetadataRequest(), 9, f"tag {number}")
        reply = response_of(MetadataRequest)(cluster_id=f"answer {number}")
        frames.append(memoryview(b"".join(encode_response(reply, 9, number))))
    return wire, frames


@pytest.mark.parametrize("order", [(1, 0), (0, 0), (0, 2), (2,), (0, 1, 2, 2), (0, 1, 2, 0)])
def test_an_answer_never_goes_to_another_request(order: tuple[int, ...]) -> None:
    wire, frames = answers(3)
    with pytest.raises(ProtocolError, match="a peer"):
        for at in order:
            tag, reply = wire.receive(frames[at])
            assert (tag, reply.cluster_id) == (f"tag {at}", f"answer {at}")


def test_any_other_correlation_id_is_refused() -> None:
    chance = random.Random(1)
    for number in [-1, 1, 2**31 - 1, -(2**31), *(chance.randrange(-(2**31), 2**31) for _ in range(2000))]:
        wire, frames = answers(1)
        if number:
            with pytest.raises(ProtocolError, match=f"answered request {number} where"):
                wire.receive(memoryview(struct.pack(">i", number) + bytes(frames[0][4:])))


# -- slow answers -----------------------------------------------------------------------------------------------------


def test_an_answer_that_comes_byte_by_byte_does_not_outlive_its_request() -> None:
    with trickling() as hosts:
        began = time.monotonic()
        with pytest.raises(KafkaException):
            KafkaClient(hosts, socket_timeout_ms=1000)
        assert time.monotonic() - began < 5  # each byte comes in time for a timeout of reading


TIMEOUT_S = 1.0


@contextmanager
def slowly(broker: FakeBroker, api: str) -> Iterator[None]:
    """Have the next answer to ``api`` come a byte each tenth of a second, and see to it that it is not waited for too long."""
    asked = len(broker.seen(api))
    began = time.monotonic()
    broker.trickle = (api, 0.1)
    yield
    until(lambda: len(broker.seen(api)) > asked + 1, what="another try")
    took = time.monotonic() - began
    # each byte comes in time for a timeout of reading; whole, the answer would take longer than all that follows
    assert TIMEOUT_S - 0.1 < took < TIMEOUT_S + 2
    assert 5 < broker.trickled < 30


def test_a_slow_answer_to_a_produce_is_given_up_in_time_and_holds_up_no_other_connection() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts, socket_timeout_ms=1000, **QUICK) as client:
        log, topic = Log(broker), client.topics["t"]
        stock = [b"%d" % at for at in range(50)]
        broker.scripts["Fetch"] = lambda request, version: _stock_of(request, stock)
        with topic.get_producer(linger_ms=0, retry_backoff_ms=1) as producer, topic.get_simple_consumer() as consumer:
            producer.produce(b"before").result(10)
            with slowly(broker, "Produce"):
                late = producer.produce(b"late")
                until(lambda: broker.trickled, what="the first byte")
                began = time.monotonic()
                assert [consumer.consume().value for _ in stock] == stock
                assert time.monotonic() - began < TIMEOUT_S
                assert not late.done
            # a broker that does not look at sequence numbers has it twice
            assert late.result(10).offset == 2
    assert log.written == {0: [b"before", b"late", b"late"]}


def test_a_slow_answer_to_a_fetch_is_given_up_in_time_and_holds_up_no_other_connection() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts, socket_timeout_ms=1000, **QUICK) as client:
        log, topic = Log(broker), client.topics["t"]
        stock = [b"%d" % at for at in range(5)]
        broker.scripts["Fetch"] = lambda request, version: _stock_of(request, stock)
        with topic.get_producer(linger_ms=0) as producer, slowly(broker, "Fetch"):
            options = {"fetch_wait_max_ms": 0, "fetch_error_backoff_ms": 1, "consumer_timeout_ms": 10_000}
            with topic.get_simple_consumer(**options) as consumer:
                until(lambda: broker.trickled, what="the first byte")
                began = time.monotonic()
                for number in range(20):
                    assert producer.produce(b"%d" % number).result(10).offset == number
                assert time.monotonic() - began < TIMEOUT_S
                assert [consumer.consume().value for _ in stock] == stock
    assert len(log.written[0]) == 20


def _stock_of(request: Any, stock: list[bytes]) -> Any:
    """Return what a log of ``stock`` has from the offset on that is asked for, None at its end."""
    partitions = [part for topic in request.topics for part in topic.partitions]
    if not partitions or partitions[0].fetch_offset >= len(stock):
        return None
    return fetched(stored_batch(partitions[0].fetch_offset, stock[partitions[0].fetch_offset :]))


@contextmanager
def trickling() -> Iterator[str]:
    """Yield the address of a broker that answers a byte every tenth of a second."""
    listener = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def serve(conn: socket.socket) -> None:
        with conn, suppress(OSError):
            conn.recv(4096)
            frame = encode(SAMPLES["maximal"](response_of(ApiVersionsRequest), 4), 4, 0)
            for byte in struct.pack(">i", len(frame)) + frame:
                if ended.wait(0.1):
                    return
                conn.sendall(bytes([byte]))

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        ended.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


# -- brokers and partitions that cannot be ------------------------------------------------------------------------------


def _rows(answer: Any) -> Any:
    return answer.topics[0].partitions


def _more_brokers(*given: tuple[int, str, int]) -> Any:
    def add(answer: Any) -> None:
        kind = type(answer.brokers[0])
        answer.brokers += [kind(node_id=node, host=host, port=port) for node, host, port in given]

    return add


NONSENSE: dict[str, Any] = {
    "negative node": _more_brokers((-7, "127.0.0.1", 9092)),
    "hosts that are none": _more_brokers((2, "", 9092), (3, "a\0b", 9092), (4, "x" * 10_000, 9092), (5, "a\nb", 9092)),
    "ports that are none": _more_brokers((2, "127.0.0.1", 0), (3, "127.0.0.1", -1), (4, "127.0.0.1", 70_000)),
    "a partition twice": lambda answer: _rows(answer).append(_rows(answer)[0]),
    "a negative partition": lambda answer: setattr(_rows(answer)[1], "partition_index", -3),
    "a leader that is no broker": lambda answer: setattr(_rows(answer)[1], "leader_id", 99),
    "no controller": lambda answer: setattr(answer, "controller_id", -2),
    "a topic twice": lambda answer: answer.topics.append(answer.topics[0]),
    "a topic nobody asked for": lambda answer: answer.topics.append(type(answer.topics[0])(name="other", topic_id=b"O" * 16)),
}


@pytest.mark.parametrize("what", NONSENSE)
def test_nonsense_in_metadata_hurts_nothing_but_what_it_is_about(what: str) -> None:
    with fake_broker(partitions=2) as broker:
        log = Log(broker)
        plain = broker.scripts["Metadata"]

        def answer(request: Any, version: int) -> Any:
            reply = plain(request, version)
            if reply.topics:
                NONSENSE[what](reply)
            return reply

        broker.scripts["Metadata"] = answer
        with KafkaClient(broker.hosts, **QUICK) as client:
            options = {"partitioner": lambda partitions, key: partitions[0], "linger_ms": 0}
            with client.topics["t"].get_producer(**options) as producer:
                assert producer.produce(b"x").result(10).partition_id == 0
    assert log.written == {0: [b"x"]}


@pytest.mark.parametrize(
    "rows",
    [[], [(0, 0, 0)], [(0, 9, 3)], [(0, 90, 99), (1, 90, 99), (3, 90, 99)], [(0, -5, -1), (1, -5, -1), (3, -5, -1)]],
    ids=["nothing", "one old version", "oldest newer than newest", "only versions to come", "negative"],
)
def test_a_broker_that_offers_nothing_we_speak_is_told_in_words(rows: list[tuple[int, int, int]]) -> None:
    with fake_broker() as broker:
        kind = response_of(ApiVersionsRequest)
        offered = [kind.ApiVersion(api_key=key, min_version=low, max_version=high) for key, low, high in rows]  # type: ignore[attr-defined]
        broker.scripts["ApiVersions"] = lambda request, version: kind(api_keys=offered)
        with pytest.raises(KafkaException, match="Metadata"):
            KafkaClient(broker.hosts, **QUICK)


def test_a_fetch_that_tells_of_what_nobody_asked_for_delivers_each_message_once_and_in_order() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts, **QUICK) as client:

        def answer(request: Any, version: int) -> Any:
            partitions = [part for topic in request.topics for part in topic.partitions]
            offset = partitions[0].fetch_offset if partitions else 12
            if offset >= 12:
                return None
            # from below the position on, with an end of the log before it, twice, and with a partition nobody has
            reply = fetched(stored_batch(max(0, offset - 2), [b"%d" % at for at in range(max(0, offset - 2), offset + 3)]))
            rows = reply.responses[0].partitions
            rows[0].high_watermark = -1
            kind = type(rows[0])
            rows.append(kind(partition_index=77, high_watermark=9, records=stored_batch(0, [b"wrong"])))
            rows.append(kind(partition_index=-1, high_watermark=9, records=stored_batch(0, [b"wrong"])))
            rows.append(kind(partition_index=0, high_watermark=9, records=stored_batch(0, [b"0"])))
            reply.responses.append(type(reply.responses[0])(topic_id=b"X" * 16, partitions=rows[:1]))
            return reply

        broker.scripts["Fetch"] = answer
        with client.topics["t"].get_simple_consumer(consumer_timeout_ms=5000, fetch_error_backoff_ms=1) as consumer:
            found = [consumer.consume() for _ in range(12)]
        assert [(message.offset, message.value) for message in found] == [(at, b"%d" % at) for at in range(12)]


@pytest.mark.parametrize("groups", [[], ["other"], ["other", "another"]], ids=len)
def test_a_coordinator_that_describes_other_groups_is_an_error_that_says_so(groups: list[str]) -> None:
    row = ConsumerGroupDescribeResponse.DescribedGroup
    with fake_broker() as broker:
        Coordinator(broker)
        with_newer_protocol(broker)
        answer = ConsumerGroupDescribeResponse(groups=[row(group_id=name, members=[]) for name in groups])
        broker.scripts["ConsumerGroupDescribe"] = lambda request, version: answer
        words = "ConsumerGroupDescribe says nothing of group g"
        with KafkaClient(broker.hosts, socket_timeout_ms=300, **QUICK) as client, pytest.raises(KafkaException, match=words):
            member(client, group_protocol="auto")
        assert len(broker.seen("ConsumerGroupDescribe")) > 1


# -- damaged answers, to a client that works --------------------------------------------------------------------------


APIS = ("ApiVersions", "Metadata", "InitProducerId", "Produce", "ListOffsets", "Fetch", "FindCoordinator")


@pytest.mark.parametrize("api", APIS)
def test_damaged_answers_of_every_kind_are_errors_of_ours_and_the_io_thread_goes_on(
    api: str, caplog: pytest.LogCaptureFixture
) -> None:
    chance = random.Random(api)
    damaged = [0]
    with fake_broker() as broker:
        Log(broker)
        whole = dict(broker.scripts)
        stock = stored_batch(0, [b"a", b"b", b"c"])
        whole["Fetch"] = lambda request, version: fetched(stock if damaged[0] % 2 else bytes(stock[:70]))
        broker.scripts.update(whole)

        def damage(request: Any, version: int) -> Any:
            answer = whole[api](request, version)
            body = b"".join(encode_response(answer, version, 0))
            number = _last_number(broker)
            damaged[0] += 1
            frame = number + mutated(body[4:], chance)
            return struct.pack(">i", len(frame)) + frame

        broker.scripts[api] = damage
        for _ in range(12):
            with suppress(KafkaException):
                _use(broker.hosts, api)
    assert damaged[0] >= 10
    assert [record.getMessage() for record in caplog.records if "unexpected error" in record.getMessage()] == []


def _use(hosts: str, api: str) -> None:
    """Do what asks for one kind of answer; whatever is raised must be an error of ours."""
    with KafkaClient(hosts, socket_timeout_ms=200, **QUICK) as client:
        topic = client.topics["t"]
        if api in ("Produce", "InitProducerId"):
            with topic.get_producer(linger_ms=0, retry_backoff_ms=1, delivery_timeout_ms=400) as producer:
                producer.produce(b"x").result(2)
        elif api == "FindCoordinator":
            client.cluster.get_group_coordinator(b"g")
        else:
            options: dict[str, Any] = {"consumer_timeout_ms": 200, "fetch_error_backoff_ms": 1, "offsets_channel_backoff_ms": 1}
            with topic.get_simple_consumer(auto_offset_reset=OffsetType.EARLIEST, **options) as consumer:
                consumer.consume()


def _last_number(broker: FakeBroker) -> bytes:
    return struct.pack(">i", broker.correlation_ids.get(threading.get_ident(), 0))
