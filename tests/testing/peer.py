"""A client that is nothing but a socket: sends a request in any version, returns the answer. And answers made comparable."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Callable, Optional

from pykafka.compression import compress
from pykafka.protocol import messages as m
from pykafka.protocol.api import choose_version, decode_response, encode_request, response_of
from pykafka.protocol.schema import Request, Struct
from pykafka.records.crc32c import crc32c
from pykafka.testing import FakeCluster
from pykafka.testing.batches import Batch, Record, build


class Peer:
    """One connection to a broker; without a version a request goes out in the newest one that both know."""

    def __init__(self, address: str, timeout_s: float = 20) -> None:
        host, _colon, port = address.split(",")[0].rpartition(":")
        self.socket = socket.create_connection((host, int(port)), timeout_s)
        self._correlation_id = 0
        answer = self.ask(m.ApiVersionsRequest(), 0)
        self.ranges = {row.api_key: (row.min_version, row.max_version) for row in answer.api_keys}

    def send(self, request: Request, version: int) -> None:
        """Send a request and leave its answer for :meth:`receive`."""
        self._correlation_id += 1
        self.send_frame(b"".join(encode_request(request, version, self._correlation_id, "peer")))

    def send_frame(self, frame: bytes) -> None:
        """Send bytes as one frame."""
        self.socket.sendall(struct.pack(">i", len(frame)) + frame)

    def receive(self, request: Request, version: int) -> Any:
        """Return the answer to the request that was sent first of those without one."""
        return decode_response(response_of(type(request)), version, memoryview(self.receive_frame()))[1]

    def receive_frame(self) -> bytes:
        """Return the next frame.

        :raises EOFError: when the broker closes the connection
        """
        (size,) = struct.unpack(">i", self._exactly(4))
        return self._exactly(size)

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            piece = self.socket.recv(count - len(data))
            if not piece:
                raise EOFError("the broker closed the connection")
            data += piece
        return data

    def ask(self, request: Request, version: Optional[int] = None) -> Any:
        """Return the answer to a request."""
        chosen = choose_version(type(request), self.ranges) if version is None else version
        self.send(request, chosen)
        return self.receive(request, chosen)

    def is_closed(self) -> bool:
        """Return whether the broker closes the connection without another byte."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def close(self) -> None:
        """Close the connection."""
        self.socket.close()


@contextmanager
def peer_of(address: str) -> Iterator[Peer]:
    """Yield a connection to the first broker of ``address``."""
    peer = Peer(address)
    try:
        yield peer
    finally:
        peer.close()


def address(kafka: FakeCluster, broker: int) -> str:
    """Return where a broker is."""
    return kafka.hosts.split(",")[broker - 1]


def write(peer: Peer, *values: bytes, topic: str = "t", **options: Any) -> Any:
    """Return the row of a partition that was written to."""
    return peer.ask(produce(topic, batch(*values), **options), 12).responses[0].partition_responses[0]


def read(peer: Peer, offset: int = 0, topic: str = "t", **options: Any) -> Any:
    """Return the row of a partition that was read from."""
    return peer.ask(fetch(topic, part(offset=offset), session_epoch=-1, **options), 12).responses[0].partitions[0]


# -- requests ---------------------------------------------------------------------------------------------------------

#: A time in 2023, so that no broker minds it.
TIME_MS = 1_700_000_000_000


def batch(
    *values: Optional[bytes], producer: tuple[int, int, int] = (-1, -1, -1), time_ms: int = TIME_MS, key: Any = b"k"
) -> bytes:
    """Return a batch; ``producer`` is the producer's id, its epoch and the first sequence, and times are 10 ms apart."""
    built = build([Record(0, time_ms + 10 * number, key, value, [("h", b"v")]) for number, value in enumerate(values)])
    return with_fields(built, producer_id=producer[0], producer_epoch=producer[1], base_sequence=producer[2])


def compressed(codec: str, *values: bytes) -> bytes:
    """Return a batch that is compressed."""
    number = ["none", "gzip", "snappy", "lz4", "zstd"].index(codec)
    plain = batch(*values)
    data = bytearray(plain[:61] + compress(number, plain[61:]))
    struct.pack_into(">i", data, 8, len(data) - 12)
    return with_fields(bytes(data), attributes=number)


def with_body(body: bytes) -> bytes:
    """Return a batch of one record that has something else in the record's place, and the checksum to match."""
    data = bytearray(batch(b"a")[:61] + body)
    struct.pack_into(">i", data, 8, len(data) - 12)
    return with_fields(bytes(data))


_FIELDS = {
    "base_offset": (">q", 0), "magic": (">b", 16), "attributes": (">h", 21), "last_offset_delta": (">i", 23),
    "max_timestamp": (">q", 35), "producer_id": (">q", 43), "producer_epoch": (">h", 51), "base_sequence": (">i", 53),
    "records_count": (">i", 57),
}  # fmt: skip


def with_fields(batch: Batch | bytes, **fields: int) -> bytes:
    """Return a batch with other fields in its header, and the checksum to match."""
    data = bytearray(batch if isinstance(batch, bytes) else batch.data)
    for name, value in fields.items():
        kind, at = _FIELDS[name]
        struct.pack_into(kind, data, at, value)
    struct.pack_into(">I", data, 17, crc32c(memoryview(data)[21:]))
    return bytes(data)


def produce(topic: str, *batches: Optional[bytes], partition: int = 0, acks: int = -1, topic_id: bytes = bytes(16)) -> Any:
    """Return a request to write batches, each to the same partition."""
    rows = [m.ProduceRequest.PartitionProduceData(index=partition, records=data) for data in batches]
    data = m.ProduceRequest.TopicProduceData(name=topic, topic_id=topic_id, partition_data=rows)
    return m.ProduceRequest(acks=acks, timeout_ms=10000, topic_data=[data])


def part(number: int = 0, offset: int = 0, max_bytes: int = 1_000_000, **fields: Any) -> Any:
    """Return what is asked of one partition in a fetch."""
    return m.FetchRequest.FetchPartition(partition=number, fetch_offset=offset, partition_max_bytes=max_bytes, **fields)


def fetch(topic: str, *parts: Any, topic_id: bytes = bytes(16), wait_ms: int = 0, **fields: Any) -> Any:
    """Return a request to read partitions of one topic."""
    topics = [m.FetchRequest.FetchTopic(topic=topic, topic_id=topic_id, partitions=list(parts))] if parts else []
    return m.FetchRequest(**{"max_wait_ms": wait_ms, "min_bytes": 1, "topics": topics, **fields})


def list_offsets(topic: str, *timestamps: int, partition: int = 0, epoch: int = -1) -> Any:
    """Return a request to turn timestamps into offsets."""
    kind = m.ListOffsetsRequest
    rows = [
        kind.ListOffsetsPartition(partition_index=partition, timestamp=time_ms, current_leader_epoch=epoch)
        for time_ms in timestamps
    ]
    return kind(replica_id=-1, topics=[kind.ListOffsetsTopic(name=topic, partitions=rows)])


def metadata(*names: Optional[str], ids: tuple[bytes, ...] = (), create: bool = False, **fields: Any) -> Any:
    """Return a request for the metadata of topics, by name or id."""
    kind = m.MetadataRequest.MetadataRequestTopic
    topics = [kind(name=name) for name in names] + [kind(name=None, topic_id=one) for one in ids]
    return m.MetadataRequest(topics=topics, allow_auto_topic_creation=create, **fields)


def create_topic(
    name: str, partitions: int = 1, copies: int = 1, assignments: Any = (), validate_only: bool = False, **configs: Any
) -> Any:
    """Return a request to create a topic; ``assignments`` are the brokers of each partition."""
    kind = m.CreateTopicsRequest
    settings = [kind.CreatableTopicConfig(name=key.replace("_", "."), value=value) for key, value in configs.items()]
    rows = [kind.CreatableReplicaAssignment(partition_index=at, broker_ids=ids) for at, ids in enumerate(assignments)]
    topic = kind.CreatableTopic(
        name=name, num_partitions=partitions, replication_factor=copies, configs=settings, assignments=rows
    )
    return kind(topics=[topic], timeout_ms=10000, validate_only=validate_only)


def create_partitions(*names: str, count: int = 2, assignments: Any = None, validate_only: bool = False) -> Any:
    """Return a request to have topics have ``count`` partitions; ``assignments`` are the brokers of each new one."""
    kind = m.CreatePartitionsRequest
    rows = None if assignments is None else [kind.CreatePartitionsAssignment(broker_ids=ids) for ids in assignments]
    topics = [kind.CreatePartitionsTopic(name=name, count=count, assignments=rows) for name in names]
    return kind(topics=topics, timeout_ms=10000, validate_only=validate_only)


def delete_topics(*names: str, ids: tuple[bytes, ...] = ()) -> Any:
    """Return a request to delete topics, by name or id."""
    kind = m.DeleteTopicsRequest
    states = [kind.DeleteTopicState(name=name) for name in names] + [kind.DeleteTopicState(topic_id=one) for one in ids]
    return kind(topics=states, topic_names=list(names), timeout_ms=10000)


def new_topic(peer: Peer, name: str, partitions: int = 1, **configs: Any) -> bytes:
    """Create a topic, wait until its partitions take requests, and return its id."""
    (made,) = peer.ask(create_topic(name, partitions, **configs)).topics
    assert made.error_code == 0, made.error_message
    deadline = time.monotonic() + 20
    for number in range(partitions):
        while peer.ask(list_offsets(name, -1, partition=number)).topics[0].partitions[0].error_code:
            assert time.monotonic() < deadline, f"{name}/{number} has no leader"
    topic_id: bytes = made.topic_id
    return topic_id


# -- answers ----------------------------------------------------------------------------------------------------------

#: Words for what is another value in every cluster; what is equal in one answer is equal in the other.
_KEPT_ZERO = bytes(16)


class Comparer:
    """Turns the answers of one broker into plain values in which ids, ports and present times are the same for all brokers."""

    def __init__(self) -> None:
        self._ids: dict[Any, str] = {}

    def plain(self, value: Any, name: str = "") -> Any:
        """Return a message, or what is in one, as dicts and lists."""
        if isinstance(value, Struct):
            if isinstance(value, m.MetadataResponse):
                # their order is nowhere promised
                value.topics.sort(key=lambda topic: (topic.name or "", topic.topic_id))
            return {"": type(value).__name__, **{key: self.plain(getattr(value, key), key) for key in type(value).FIELDS}}
        if isinstance(value, (list, tuple)):
            return [self.plain(one, name) for one in value]
        if isinstance(value, (bytes, bytearray, memoryview)):
            data = bytes(value)
            return self._id("uuid", data) if name == "topic_id" and data != _KEPT_ZERO else data
        if name in ("cluster_id", "port", "host") and value:
            return name
        if name == "session_id" and value or name == "producer_id" and value >= 0:
            return self._id(name, value)
        return value

    def _id(self, kind: str, value: Any) -> str:
        return self._ids.setdefault((kind, value), f"{kind} {len(self._ids)}")


def differences(fake: Any, real: Any, at: str = "answer") -> Iterator[str]:
    """Yield what differs, with its place."""
    if isinstance(fake, dict) and isinstance(real, dict) and fake.keys() == real.keys():
        for key, value in fake.items():
            yield from differences(value, real[key], f"{at}.{key}")
    elif isinstance(fake, list) and isinstance(real, list) and len(fake) == len(real):
        for number, value in enumerate(fake):
            yield from differences(value, real[number], f"{at}[{number}]")
    elif fake != real:
        yield f"{at}: the fake says {fake!r}, the real one {real!r}"


# -- plays ------------------------------------------------------------------------------------------------------------

#: Is given a connection and a name of its own, and yields the answers that are compared.
Play = Callable[[Peer, str], Iterator[Any]]


class Plays(list[Play]):
    """What is played at a fake cluster and at a real one."""

    def add(self, act: Play) -> Play:
        """Add a play; for decorating it."""
        self.append(act)
        return act


def answers(
    act: Play, hosts: str, name: str, compare: Comparer, prepare: Optional[Callable[[Peer], object]] = None
) -> list[Any]:
    """Return what a play yields at a cluster, made comparable.

    :param prepare: is given the connection first
    """
    with peer_of(hosts) as peer:
        if prepare is not None:
            prepare(peer)
        return [compare.plain(answer) for answer in act(peer, name)]
