"""Raw requests, brokers and connections made by hand, against a scripted broker: old versions, errors, silence, garbage."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import socket
import struct
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Callable, Optional

import pytest

from pykafka import Broker, KafkaClient
from pykafka._engine.engine import Engine
from pykafka.common import CompressionType
from pykafka.connection import BrokerConnection, SslConfig
from pykafka.exceptions import (
    CorruptBatchError,
    DecompressedSizeError,
    EncodeError,
    ForkedError,
    KafkaConfigError,
    KafkaException,
    OperationTimedOut,
    ProtocolError,
    SocketDisconnectedError,
    UnsupportedVersion,
)
from pykafka.protocol import (
    Message,
    MetadataRequest,
    MetadataResponse,
    PartitionFetchRequest,
    PartitionOffsetCommitRequest,
    PartitionOffsetFetchRequest,
    ProduceRequest,
    messages,
)
from pykafka.records.encode import encode_batch

from ..support import until
from .broker import DROP, FakeBroker, fake_broker, rude_peer
from .test_connecting import closed_port
from .test_tls import CA, serving

#: What Kafka 0.11 speaks.
OLD = {"Produce": 3, "Fetch": 5, "ListOffsets": 2, "Metadata": 4, "OffsetCommit": 3, "OffsetFetch": 3, "FindCoordinator": 1}


@contextmanager
def broker_of(fake: FakeBroker, timeout_ms: int = 10000, **options: Any) -> Iterator[Broker]:
    """Yield a Broker made by hand for ``fake``."""
    with Broker(1, "127.0.0.1", fake.port, None, timeout_ms, timeout_ms, **options) as broker:
        yield broker


@contextmanager
def connection_to(port: int, timeout_ms: int = 10000, **options: Any) -> Iterator[BrokerConnection]:
    """Yield a connection that stands."""
    connection = BrokerConnection("127.0.0.1", port, None, **options)
    connection.connect(timeout_ms)
    try:
        yield connection
    finally:
        connection.disconnect()


def port_of(hosts: str) -> int:
    """Return the port in ``host:port``."""
    return int(hosts.split(":")[1])


def fetch_answer(records: Optional[bytes] = None, **fields: Any) -> Callable[[Any, int], Any]:
    """Return a script that answers about partition 0 of ``t``."""
    part = messages.FetchResponse.PartitionData(partition_index=0, high_watermark=3, records=records)
    topic = messages.FetchResponse.FetchableTopicResponse(topic="t", partitions=[part])
    return lambda request, version: messages.FetchResponse(responses=[topic], **fields)


def produce_request(**options: Any) -> ProduceRequest:
    """Return a request to write one message."""
    request = ProduceRequest(**options)
    request.add_message(Message(b"x"), "t", 0)
    return request


@pytest.mark.parametrize("caps", [OLD, {}], ids=["0.11", "newest"])
def test_raw_requests_name_topics_whatever_the_broker_speaks(caps: dict[str, int]) -> None:
    with fake_broker(caps=caps) as fake, broker_of(fake) as broker:
        fake.scripts["Fetch"] = fetch_answer()
        row = messages.ProduceResponse.PartitionProduceResponse(index=0, base_offset=4)
        topic = messages.ProduceResponse.TopicProduceResponse(name="t", partition_responses=[row])
        fake.scripts["Produce"] = lambda request, version: messages.ProduceResponse(responses=[topic])
        fake.scripts["OffsetCommit"] = lambda request, version: messages.OffsetCommitResponse()
        fake.scripts["OffsetFetch"] = group_error(16)
        assert broker.fetch_messages([PartitionFetchRequest("t", 0, 0)]).topics[b"t"][0] == (3, [], 0)
        written = broker.produce_messages(produce_request())
        assert written is not None and written.topics[b"t"][0] == (0, 4)
        commit = [PartitionOffsetCommitRequest("t", 0, 5, -1, b"")]
        assert broker.commit_consumer_group_offsets("g", -1, b"", commit).topics[b"t"][0] == (-1,)
        found = broker.fetch_consumer_group_offsets("g", [PartitionOffsetFetchRequest("t", 0)])
        assert found.topics[b"t"][0] == (-1, b"", 16) and found.err == 16
        versions = {name: version for name, version, _request in fake.requests}
    for name in ("Fetch", "Produce", "OffsetCommit", "OffsetFetch"):
        assert versions[name] == caps.get(name, 12 if name in ("Fetch", "Produce") else 9)


def group_error(code: int) -> Callable[[Any, int], Any]:
    """Return a script that answers OffsetFetch with an error of the group."""
    group = messages.OffsetFetchResponse.OffsetFetchResponseGroup(group_id="g", error_code=code)
    return lambda request, version: messages.OffsetFetchResponse(error_code=code, groups=[group] if version >= 8 else [])


@pytest.mark.parametrize("acks", [0, 1])
def test_zstd_is_refused_before_it_is_sent_to_a_broker_that_does_not_know_it(acks: int) -> None:
    request = ProduceRequest(CompressionType.ZSTD, required_acks=acks)
    request.add_message(Message(b"x"), "t", 0)
    with fake_broker(caps={"Produce": 6}) as fake, broker_of(fake) as broker:
        with pytest.raises(UnsupportedVersion, match=r"zstd needs Produce v7 \(Kafka 2.1\), and this broker has v6"):
            broker.produce_messages(request)
        assert fake.seen("Produce") == []


def test_a_corrupt_batch_and_an_error_of_the_whole_fetch_are_raised() -> None:
    with fake_broker() as fake, broker_of(fake) as broker:
        asked = [PartitionFetchRequest("t", 0, 0)]
        fake.scripts["Fetch"] = fetch_answer(b"\0" * 16 + b"\2" + b"\0" * 80)
        with pytest.raises(CorruptBatchError, match="t/0 at offset 0"):
            broker.fetch_messages(asked)
        fake.scripts["Fetch"] = fetch_answer(error_code=58)
        with pytest.raises(KafkaException, match="refused Fetch"):
            broker.fetch_messages(asked)


def test_a_fetch_may_be_held_back_for_longer_than_a_request_may_take() -> None:
    hold = threading.Event()

    def held(request: Any, version: int) -> Any:
        hold.wait(0.6)
        return fetch_answer()(request, version)

    with fake_broker() as fake, broker_of(fake, timeout_ms=400) as broker:
        fake.scripts["Fetch"] = held
        asked = [PartitionFetchRequest("t", 0, 0)]
        assert broker.fetch_messages(asked, timeout=600).topics[b"t"][0].err == 0
        with pytest.raises(OperationTimedOut):
            broker.fetch_messages(asked, timeout=0)
        hold.set()


def test_a_produce_without_an_answer_is_raised_in_time() -> None:
    with fake_broker() as fake, broker_of(fake, timeout_ms=300) as broker:
        fake.scripts["Produce"] = lambda request, version: None
        with pytest.raises(OperationTimedOut, match="did not answer within the request timeout"):
            broker.produce_messages(produce_request(timeout=0))
        fake.scripts["Produce"] = lambda request, version: DROP
        with pytest.raises(SocketDisconnectedError):
            broker.produce_messages(produce_request(timeout=0))
        for wrong in (None, b"x", Message(b"x")):
            with pytest.raises(TypeError, match=r"must be a pykafka.protocol.ProduceRequest, not"):
                broker.produce_messages(wrong)  # type: ignore[arg-type]


# -- brokers made by hand ---------------------------------------------------------------------------------------------


def test_a_broker_that_cannot_be_reached_when_it_is_made_connects_when_it_can(caplog: pytest.LogCaptureFixture) -> None:
    with fake_broker() as fake:
        port, versions = fake.port, fake.scripts["ApiVersions"]
        fake.scripts["ApiVersions"] = lambda request, version: DROP
        with caplog.at_level(logging.WARNING, "pykafka.broker"), broker_of(fake) as broker:
            assert "connecting failed, the first request tries again" in caplog.text and str(port) in caplog.text
            assert not broker.connected
            with pytest.raises(SocketDisconnectedError):
                broker.connect(attempts=2)
            fake.scripts["ApiVersions"] = versions
            assert broker.request_metadata().brokers[1].port == port
            assert broker.connected and repr(broker) == f"<Broker 1 127.0.0.1:{port} connected>"


def test_a_host_that_says_nothing_is_a_socket_disconnected_error_in_time() -> None:
    with rude_peer(b"") as hosts:
        began = time.monotonic()
        with Broker(1, b"127.0.0.1", port_of(hosts), None, 200, 200) as broker:
            assert not broker.connected and broker.host == b"127.0.0.1"
            with pytest.raises(SocketDisconnectedError):
                broker.connect(attempts=2)
            with pytest.raises(SocketDisconnectedError, match="could not connect|did not answer|no connection"):
                broker.connect(attempts=1)
        assert time.monotonic() - began < 10


def test_everything_wrong_with_a_broker_or_a_connection_is_named_at_once() -> None:
    with pytest.raises(KafkaConfigError) as caught:
        Broker("x", "", 0, None, -1, None, buffer_size=0, source_host=5, source_port=-1, ssl_config=5)  # type: ignore[arg-type]
    text = str(caught.value)
    assert text.startswith("Broker got 9 bad options")
    for name in (
        "id_='x'",
        "host=''",
        "port=0",
        "socket_timeout_ms=-1",
        "offsets_channel_socket_timeout_ms=None",
        "source_port=-1",
    ):
        assert name in text
    for host, port in ((None, 9092), ("a b", 9092), ("kafka", 70000), ("kafka", "9092"), ("kafka:9092", True)):
        with pytest.raises(KafkaConfigError, match="BrokerConnection got"):
            BrokerConnection(host, port, None)  # type: ignore[arg-type]
    for metadata in (None, object(), {"id": 1}):
        with pytest.raises(TypeError, match="metadata must have id, host and port"):
            Broker.from_metadata(metadata, None, 1000, 1000)


def test_the_broker_of_a_client_is_not_closed_by_its_own_close() -> None:
    with fake_broker() as fake, KafkaClient(fake.hosts) as client:
        broker = client.brokers[1]
        broker.close()
        assert broker.request_metadata().brokers


def test_a_broker_is_unusable_in_a_forked_child_and_says_so() -> None:
    with fake_broker() as fake, broker_of(fake) as broker:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # from 3.12 on: the process has threads, which is the point
            child = os.fork()
        if child == 0:
            try:
                broker.request_metadata()
            except ForkedError:
                broker.close()
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
        assert broker.request_metadata().brokers


# -- connections ------------------------------------------------------------------------------------------------------


def test_a_connection_has_round_trips_through_tls_too() -> None:
    with fake_broker(tls=serving()) as fake, connection_to(fake.port, ssl_config=SslConfig(CA)) as connection:
        for _ in range(3):
            connection.request(MetadataRequest())
            assert MetadataResponse(connection.response()).brokers[1].port == fake.port


def test_a_large_request_and_a_large_answer_pass() -> None:
    names = [f"topic.{number}" + "x" * 200 for number in range(20000)]
    with fake_broker() as fake, connection_to(fake.port) as connection:
        cls = messages.MetadataResponse
        rows = [cls.MetadataResponseTopic(name=name) for name in names]
        fake.scripts["Metadata"] = lambda request, version: cls(topics=rows)
        request = MetadataRequest(names)
        assert len(request) > 4_000_000
        connection.request(request)
        assert len(MetadataResponse(connection.response()).topics) == len(names)


def test_a_connection_that_is_not_there_says_so_at_once() -> None:
    connection = BrokerConnection("127.0.0.1", closed_port(), None)
    for call in (connection.response, lambda: connection.request(MetadataRequest())):
        with pytest.raises(SocketDisconnectedError, match=r"connect\(\) first"):
            call()
    began = time.monotonic()
    with pytest.raises(SocketDisconnectedError, match="could not connect to 127.0.0.1:.*ECONNREFUSED|refused"):
        connection.connect(5000, attempts=2)
    assert 0.3 <= time.monotonic() - began < 4
    assert not connection.connected and "not connected" in repr(connection)
    connection.disconnect()
    for timeout_ms, attempts, error in ((0, 1, ValueError), (None, 1, TypeError), (-5, 1, ValueError), (1, 0, ValueError)):
        with pytest.raises(error):
            connection.connect(timeout_ms, attempts)  # type: ignore[arg-type]


class Raw:
    """A request of any bytes."""

    def __init__(self, data: Any) -> None:
        self.get_bytes = lambda: data


def test_what_is_no_frame_is_refused_and_the_connection_stays() -> None:
    with fake_broker() as fake, connection_to(fake.port) as connection:
        for wrong in (None, b"bytes", "text", 5):
            with pytest.raises(TypeError, match=r"must have get_bytes\(\)"):
                connection.request(wrong)
        with pytest.raises(TypeError, match="must return bytes, not str"):
            connection.request(Raw("text"))
        for data in (b"", b"\0\0\0", b"\0\0\0\5abc", struct.pack(">i", -4)):
            with pytest.raises(EncodeError, match="are no frame"):
                connection.request(Raw(data))
        with pytest.raises(EncodeError, match="the 8 bytes of a request are too few for the header"):
            connection.request(Raw(struct.pack(">i", 4) + b"abcd"))
        with pytest.raises(EncodeError, match="larger than the 104857600 that a frame may have"):
            connection.request(Raw(memoryview(bytearray(100 * 1024 * 1024 + 5))))
        with pytest.raises(KafkaException, match="no request was sent that an answer could come to"):
            connection.response()
        connection.request(MetadataRequest())
        assert connection.connected and MetadataResponse(connection.response()).brokers


@pytest.mark.parametrize(
    ("reply", "error", "words"),
    [
        (struct.pack(">i", 100 * 1024 * 1024 + 1), ProtocolError, "announced a frame of 104857601 bytes"),
        (struct.pack(">i", -1), ProtocolError, "announced a frame of -1 bytes"),
        (b"HTTP/1.1 400 Bad Request", ProtocolError, "web server"),
        (struct.pack(">i", 2) + b"xx", ProtocolError, "too few for an answer"),
        (struct.pack(">i", 4) + b"none" + struct.pack(">i", 4) + b"more", ProtocolError, "nobody asked for"),
    ],
    ids=["too large", "negative", "http", "too short", "two answers"],
)
def test_garbage_ends_the_connection_with_an_error_that_names_it(reply: bytes, error: type[Exception], words: str) -> None:
    with rude_peer(reply) as hosts, connection_to(port_of(hosts)) as connection:
        connection.request(MetadataRequest())
        with pytest.raises(error, match=words):
            while True:
                connection.response()
                connection.request(MetadataRequest())
        assert not connection.connected


def test_silence_is_an_error_in_time_and_ends_the_connection() -> None:
    with rude_peer(b"") as hosts, connection_to(port_of(hosts), timeout_ms=200) as connection:
        connection.request(MetadataRequest())
        with pytest.raises(OperationTimedOut, match="did not answer in time; the connection is closed"):
            connection.response()
        assert not connection.connected
        with pytest.raises(SocketDisconnectedError):
            connection.response()


def test_a_broker_that_reads_nothing_is_an_error_in_time() -> None:
    with rude_peer(b"") as hosts, connection_to(port_of(hosts), timeout_ms=300) as connection:
        large = struct.pack(">i", 50_000_000) + bytes(50_000_000)
        with pytest.raises(OperationTimedOut, match="did not take a request of 50000004 bytes in time"):
            connection.request(Raw(large))
        assert not connection.connected


def test_a_connection_that_breaks_says_so_to_who_waits() -> None:
    with fake_broker() as fake, connection_to(fake.port) as connection:
        fake.scripts["Metadata"] = lambda request, version: DROP
        connection.request(MetadataRequest())
        with pytest.raises(SocketDisconnectedError, match="closed the connection"):
            connection.response()
        assert not connection.connected


def test_connecting_twice_closes_the_first_connection_and_disconnecting_twice_is_harmless() -> None:
    before = set(threading.enumerate())
    with fake_broker() as fake:
        connection = BrokerConnection("127.0.0.1", fake.port, None)
        for _ in range(2):
            connection.connect(5000)
        connection.disconnect()
        connection.disconnect()
        ours = [thread for thread in set(threading.enumerate()) - before if thread.name == "pykafka-connection"]
        assert ours == []


def test_a_connection_that_nobody_holds_is_closed() -> None:
    with fake_broker() as fake:
        connection = BrokerConnection("127.0.0.1", fake.port, None)
        connection.connect(5000)
        assert any(thread.name == "pykafka-connection" for thread in threading.enumerate())
        del connection
        gc.collect()
        until(lambda: not any(thread.name == "pykafka-connection" for thread in threading.enumerate()), what="its thread's end")


def test_a_handler_of_a_broker_gives_the_error_of_its_connection() -> None:
    with fake_broker() as fake, broker_of(fake) as broker:
        fake.scripts["Metadata"] = lambda request, version: DROP
        future = broker.handler.request(MetadataRequest())
        assert future is not None
        with pytest.raises(SocketDisconnectedError, match="closed the connection"):
            future.get(MetadataResponse, timeout=10)
    with rude_peer(b"") as hosts, Broker(1, "127.0.0.1", port_of(hosts), None, 200, 200) as broker:
        future = broker.offsets_channel_handler.request(MetadataRequest())
        assert future is not None
        with pytest.raises(OperationTimedOut):
            future.get(timeout=10)
    with Broker(1, "127.0.0.1", closed_port(), None, 1000, 1000) as broker, pytest.raises(SocketDisconnectedError):
        broker.handler  # noqa: B018


def test_an_answer_that_nobody_wants_is_not_taken_for_the_next_ones() -> None:
    with fake_broker() as fake, broker_of(fake) as broker:
        fake.scripts["Produce"] = lambda request, version: messages.ProduceResponse()
        # it asks for an answer all the same
        assert broker.handler.request(produce_request(required_acks=1), has_response=False) is None
        asked = broker.handler.request(MetadataRequest())
        assert asked is not None and list(asked.get(MetadataResponse, timeout=10).brokers) == [1]
        assert [name for name, _version, _request in fake.requests if name == "Produce"] == ["Produce"]


def test_requests_without_an_answer_may_lie_between_those_that_have_one() -> None:
    with fake_broker() as fake, connection_to(fake.port) as connection:
        fake.scripts["Produce"] = lambda request, version: None
        for _ in range(2):
            connection.request(MetadataRequest())
            connection.request(produce_request(required_acks=0))
        connection.request(MetadataRequest())
        assert [len(MetadataResponse(connection.response()).brokers) for _ in range(3)] == [1, 1, 1]


def test_an_answer_to_another_request_is_an_error_and_ends_the_connection() -> None:
    with rude_peer(struct.pack(">ii", 8, 77) + b"more") as hosts, connection_to(port_of(hosts)) as connection:
        connection.request(MetadataRequest())
        with pytest.raises(ProtocolError, match="correlation id 77 that nobody asked for"):
            connection.response()
        assert not connection.connected


class Interrupted(BaseException):
    """Stands for Ctrl-C."""


def test_after_an_interrupted_fetch_the_next_one_does_not_wait_for_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_broker() as fake, broker_of(fake) as broker:
        fake.scripts["Fetch"] = lambda request, version: None  # held back for as long as the connection stands
        begin = Engine.begin

        def interrupted(*args: Any, **how: Any) -> Callable[[], Any]:
            begin(*args, **how)

            def wait() -> Any:
                until(lambda: fake.seen("Fetch"), what="the fetch at the broker")
                raise Interrupted

            return wait

        monkeypatch.setattr(Engine, "begin", interrupted)
        asked = [PartitionFetchRequest("t", 0, 0)]
        with pytest.raises(Interrupted):
            broker.fetch_messages(asked, timeout=60000)
        monkeypatch.setattr(Engine, "begin", begin)
        lanes = broker._cluster.engine._lanes
        until(lambda: not any(key[2].startswith("raw-fetch") for key in lanes), what="the end of its connection")
        fake.scripts["Fetch"] = fetch_answer()
        assert broker.fetch_messages(asked, timeout=100).topics[b"t"][0] == (3, [], 0)


def test_fetches_at_the_same_time_have_connections_of_their_own_and_later_ones_use_them_again() -> None:
    with fake_broker() as fake, broker_of(fake) as broker:
        held, asked = threading.Event(), [PartitionFetchRequest("t", 0, 0)]
        answer = fetch_answer()

        def first_is_held(request: Any, version: int) -> Any:
            if len(fake.seen("Fetch")) == 1:
                held.wait(20)
            return answer(request, version)

        fake.scripts["Fetch"] = first_is_held
        first = threading.Thread(target=broker.fetch_messages, args=(asked, 60000))
        first.start()
        until(lambda: fake.seen("Fetch"), what="the first fetch")
        assert broker.fetch_messages(asked).topics[b"t"][0].max_offset == 3
        assert first.is_alive()
        held.set()
        first.join(20)
        broker.fetch_messages(asked)
        names = sorted(key[2] for key in broker._cluster.engine._lanes if key[2].startswith("raw-fetch"))
        assert names == ["raw-fetch-1", "raw-fetch-2"]


def test_connections_of_handlers_that_have_ended_are_forgotten() -> None:
    with fake_broker() as fake, broker_of(fake) as broker:
        for _ in range(3):
            broker.handler.shared.connection.disconnect()
        adopted = broker._cluster.engine._adopted
        until(lambda: not adopted, what="an engine that holds no closed connection")


def test_closing_a_broker_does_not_wait_for_a_connection_that_is_being_made() -> None:
    with fake_broker() as fake, broker_of(fake) as broker, socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        with contextlib.ExitStack() as crowd:
            # a queue that is full answers nobody
            for _ in range(3):
                one = crowd.enter_context(socket.socket())
                one.setblocking(False)
                one.connect_ex(silent.getsockname())
            broker._info = broker._info._replace(port=silent.getsockname()[1])
            errors: list[Exception] = []

            def ask() -> None:
                try:
                    broker.handler  # noqa: B018
                except SocketDisconnectedError as error:
                    errors.append(error)

            asking = threading.Thread(target=ask)
            asking.start()
            until(lambda: broker._cluster.engine._adopted, what="a connection under way")
            began = time.monotonic()
            broker.close()
            asking.join(8)
            assert time.monotonic() - began < 8 and len(errors) == 1


def test_what_a_whole_answer_inflates_to_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    from pykafka.protocol.legacy import fetch

    batch = encode_batch([bytes(100_000)], None, None, [0], codec=1)
    records = b"".join(struct.pack(">q", number) + batch[8:] for number in range(10))
    with fake_broker() as fake, broker_of(fake) as broker:
        fake.scripts["Fetch"] = fetch_answer(records)
        monkeypatch.setattr(fetch, "MAX_DECOMPRESSED_BYTES", 350_000)
        found = []
        while len(found) < 10:
            new = broker.fetch_messages([PartitionFetchRequest("t", 0, len(found))]).topics[b"t"][0].messages
            assert 1 <= len(new) <= 3
            found += [message.offset for message in new]
        assert found == list(range(10))
        monkeypatch.setattr(fetch, "MAX_DECOMPRESSED_BYTES", 50_000)
        with pytest.raises(DecompressedSizeError, match="inflates to more than"):
            broker.fetch_messages([PartitionFetchRequest("t", 0, 0)])
