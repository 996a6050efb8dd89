"""What others wrote is written the same by us, byte for byte; and what they may write one day is skipped, never guessed at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Optional

import pytest

from pykafka import KafkaClient, Topic
from pykafka.common import CompressionType
from pykafka.exceptions import ProtocolError, UnsupportedVersion
from pykafka.protocol import wire
from pykafka.protocol.api import (
    Condense,
    choose_version,
    decode_data,
    decode_request,
    decode_response,
    encode_request,
    encode_response,
)
from pykafka.protocol.messages import ApiVersionsResponse
from pykafka.protocol.primitives import encode_uvarint
from pykafka.protocol.schema import REQUESTS, Message, Request, Response, Struct
from pykafka.testing import FakeCluster, desk

from .. import needs
from ..brokers import KafkaCluster
from ..support import until
from ..unit.protocol.samples import CASES, CORRELATION_ID, decode, encode, lowest, present_fields

# kafka-python reads its schemas in a way that Python warns of
pytestmark = pytest.mark.filterwarnings("ignore:(read|open)_text is deprecated:DeprecationWarning")


# -- bytes of others --------------------------------------------------------------------------------------------------


@contextmanager
def requests_of_others(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """Yield the list of all frames that fake clusters receive."""
    frames: list[bytes] = []

    def noted(frame: memoryview, to_end: bool) -> Any:
        frames.append(bytes(frame))
        return decode_request(frame, to_end)

    with monkeypatch.context() as patch:
        patch.setattr(desk, "decode_request", noted)
        yield frames


def written_again(frame: bytes) -> tuple[str, bytes]:
    """Return what a request is, and how we would have written it."""
    request, version, correlation_id, client_id = decode_request(memoryview(frame))
    return f"{request.NAME} v{version}", b"".join(encode_request(request, version, correlation_id, client_id))


def _work_of_librdkafka(hosts: str) -> None:
    other = needs.package("confluent_kafka")
    quiet = {"bootstrap.servers": hosts, "log_level": 0, "client.id": "tést"}
    producer = other.Producer({**quiet, "enable.idempotence": True, "compression.type": "lz4"})
    for number in range(100):
        producer.produce("t", b"%d" % number, key=b"k", headers={"h": b"x"})
    assert producer.flush(10) == 0
    for protocol in ("classic", "consumer"):
        consumer = other.Consumer(
            {**quiet, "group.id": f"g-{protocol}", "group.protocol": protocol, "auto.offset.reset": "earliest"}
        )
        consumer.subscribe(["t"])
        got: list[Any] = []
        until(lambda: got.extend(consumer.consume(100, 0.2)) or len(got) >= 100, what="the messages")  # noqa: B023
        consumer.commit(asynchronous=False)
        consumer.close()


def _work_of_kafka_python(hosts: str) -> None:
    other = needs.package("kafka")
    producer = other.KafkaProducer(bootstrap_servers=hosts, compression_type="gzip")
    for number in range(100):
        producer.send("t", b"%d" % number, key=b"k", headers=[("h", b"x")])
    producer.close()
    consumer = other.KafkaConsumer(
        "t", bootstrap_servers=hosts, group_id="g", auto_offset_reset="earliest", consumer_timeout_ms=10000
    )
    assert len([next(consumer) for _ in range(100)]) == 100
    consumer.commit()
    consumer.close()


@pytest.mark.parametrize(("work", "least"), [(_work_of_librdkafka, 12), (_work_of_kafka_python, 9)])
def test_requests_of_other_clients_are_written_as_they_write_them(work: Any, least: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with requests_of_others(monkeypatch) as frames, FakeCluster(topics={"t": 2}) as cluster:
        work(cluster.hosts)
    kinds: Counter[str] = Counter()
    for frame in frames:
        kind, ours = written_again(frame)
        assert ours == frame, kind
        kinds[kind] += 1
    assert len({kind.split()[0] for kind in kinds}) >= least, kinds


@contextmanager
def answers_noted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[type[Response], int, bytes]]]:
    """Yield the list of all answers that clients of ours get: kind, version, frame."""
    found: list[tuple[type[Response], int, bytes]] = []

    def noted(cls: type[Response], version: int, frame: memoryview, condense: Optional[Condense] = None) -> Any:
        found.append((cls, version, bytes(frame)))
        return decode_response(cls, version, frame, condense)

    with monkeypatch.context() as patch:
        patch.setattr(wire, "decode_response", noted)
        yield found


def _work_of_ours(hosts: str, name: str) -> None:
    with KafkaClient(hosts) as client:
        topic: Topic = client.topics[name]
        for codec in (CompressionType.NONE, CompressionType.GZIP, CompressionType.SNAPPY):
            with topic.get_producer(compression=codec) as producer:
                for number in range(50):
                    producer.produce(b"%d" % number, b"k")
        for protocol in ("classic", "auto"):
            with topic.get_balanced_consumer(f"{name}-{protocol}", managed=True, group_protocol=protocol) as consumer:
                assert len([consumer.consume() for _ in range(150)]) == 150
                consumer.commit_offsets()
        client.cluster.get_managed_group_descriptions()
        topic.latest_available_offsets()


def test_answers_of_a_real_broker_are_written_as_it_writes_them(
    kafka: KafkaCluster, make_topic: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = make_topic(2).name.decode()
    with answers_noted(monkeypatch) as found:
        _work_of_ours(kafka.hosts, name)
    kinds: Counter[str] = Counter()
    for cls, version, frame in found:
        correlation_id, reply = decode_response(cls, version, memoryview(frame))
        assert b"".join(encode_response(reply, version, correlation_id)) == frame, f"{cls.__name__} v{version}"
        kinds[cls.__name__] += 1
    assert len(kinds) >= 10, kinds


# -- what is to come --------------------------------------------------------------------------------------------------


def _open_ends(message: Any, version: int) -> int:
    """Return how many structs of a message have no tags at all, apart from those within tags of others, whose size is told."""
    fields = present_fields(type(message), version)
    plain = [field for field in fields if not field.is_tagged(version)]
    count = int(len(plain) == len(fields))
    for field in plain:
        inner = getattr(message, field.name)
        for one in inner if isinstance(inner, list) else [inner]:
            count += _open_ends(one, version) if isinstance(one, Struct) else 0
    return count


FLEXIBLE = [(cls, version) for cls, version in CASES if version >= cls.FLEXIBLE]
UNKNOWN = encode_uvarint(1) + encode_uvarint(9999) + encode_uvarint(3) + b"new"


@pytest.mark.parametrize(("cls", "version"), FLEXIBLE, ids=[f"{cls.__name__}-v{version}" for cls, version in FLEXIBLE])
def test_an_unknown_field_in_any_struct_at_any_depth_is_skipped(cls: type[Message], version: int) -> None:
    message = lowest(cls, version)
    frame = encode(message, version)
    understood = 0
    for at in [at for at, byte in enumerate(frame) if byte == 0]:
        try:
            understood += decode(cls, version, frame[:at] + UNKNOWN + frame[at + 1 :]) == message
        except (ProtocolError, AssertionError):
            continue  # not where tags begin
    has_tags_in_header = cls is not ApiVersionsResponse and issubclass(cls, (Request, Response))
    assert understood == _open_ends(message, version) + has_tags_in_header


@pytest.mark.parametrize("cls", dict(CASES), ids=lambda cls: cls.__name__)
def test_a_version_that_we_do_not_know_is_refused_and_not_guessed_at(cls: Any) -> None:
    for version in (-32768, -1, cls.MIN_VERSION - 1, cls.MAX_VERSION + 1, 32767):
        newest = encode(cls(), cls.MAX_VERSION)
        if issubclass(cls, Response):
            with pytest.raises(ProtocolError):
                decode_response(cls, version, memoryview(newest))
            with pytest.raises(ProtocolError):
                encode_response(cls(), version, CORRELATION_ID)
        elif cls in REQUESTS.values():
            frame = newest[:2] + version.to_bytes(2, "big", signed=True) + newest[4:]
            with pytest.raises(ProtocolError):
                decode_request(memoryview(frame))
        elif version < cls.MIN_VERSION:
            with pytest.raises(ProtocolError):
                decode_data(cls, version.to_bytes(2, "big", signed=True) + newest[2:])
        else:
            # what members of a group tell each other is the one exception: newer versions only ever add to the end
            found = decode_data(cls, version.to_bytes(2, "big", signed=True) + newest[2:] + b"new")
            assert found == (decode(cls, cls.MAX_VERSION, newest), version, len(newest))


@pytest.mark.parametrize("cls", REQUESTS.values(), ids=lambda cls: cls.__name__)
def test_of_a_broker_from_the_future_no_version_is_used_that_we_do_not_know(cls: Any) -> None:
    assert choose_version(cls, {cls.KEY: (0, 32767)}) == cls.MAX_VERSION
    for ranges in ({cls.KEY: (cls.MAX_VERSION + 1, 32767)}, {cls.KEY: (32767, 32767)}, {}):
        with pytest.raises(UnsupportedVersion):
            choose_version(cls, ranges)
