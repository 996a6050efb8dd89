"""The broker that answers at once, which the benchmark measures with: it takes everything, and gives back what it is to keep."""

from __future__ import annotations

import itertools
import socket
import struct
from collections.abc import Iterator

import pytest

from benchmarks.instant import ENDLESS, Log, instant_broker
from pykafka import KafkaClient
from pykafka.records.encode import encode_batch
from tests.support import create_topic, values


@pytest.fixture(scope="module")
def hosts() -> Iterator[str]:
    with instant_broker() as found:
        yield found


def batch_of(*some: bytes) -> memoryview:
    return memoryview(encode_batch(some, None, None, [0] * len(some)))


def bases(read: bytes) -> list[int]:
    found = []
    while read:
        base, size = struct.unpack_from(">qi", read)
        found.append(base)
        read = read[12 + size :]
    return found


def test_a_log_that_keeps_what_it_gets_has_it_over_and_over_again_at_rising_offsets() -> None:
    log = Log(keeps=True)
    assert [log.append(batch_of(b"a", b"b")), log.append(batch_of(b"c"))] == [0, 2]
    size = len(log.read(0, 1))
    assert bases(log.read(0, 4 * size)) == [0, 2, 3, 5]
    assert bases(log.read(4, 1)) == [3]  # the batch that offset 4 is in
    assert bases(log.read(3_000_002, 1)) == [3_000_002]


def test_a_log_that_keeps_nothing_counts_all_the_same() -> None:
    log = Log(keeps=False)
    assert [log.append(batch_of(b"a", b"b")), log.append(batch_of(b"c"))] == [0, 2]
    assert log.end == 3 and not log.batches


def test_it_is_a_broker_to_a_client(hosts: str) -> None:
    with KafkaClient(hosts) as client:
        topic = create_topic(client, "kept-7", partitions=7)
        with topic.get_producer() as producer:
            messages = [producer.produce(b"%d" % number) for number in range(70)]
        assert sorted(message.offset for message in messages) == sorted(list(range(10)) * 7)
        with topic.get_simple_consumer(consumer_timeout_ms=10000) as consumer:
            # every log has no end, so the partitions that answer first may fill more than one round of all of them
            got: set[bytes] = set()
            for batch in itertools.islice(consumer.batches(), 10_000):
                got.update(values(batch))
                if len(got) == 70:
                    break
        assert got == {b"%d" % number for number in range(70)}
        assert {row.offset[0] for row in topic.latest_available_offsets().values()} == {ENDLESS}
        assert {row.offset[0] for row in topic.earliest_available_offsets().values()} == {0}


def test_what_is_not_to_be_kept_is_gone(hosts: str) -> None:
    with KafkaClient(hosts) as client:
        topic = client.topics["gone"]
        with topic.get_sync_producer() as producer:
            producer.produce(b"x")
        assert sum(row.offset[0] for row in topic.latest_available_offsets().values()) == 1
        with topic.get_simple_consumer(consumer_timeout_ms=200) as consumer:
            assert consumer.consume() is None


def test_a_topic_that_is_deleted_begins_anew(hosts: str) -> None:
    with KafkaClient(hosts) as client:
        broker = client.cluster.controller_broker
        assert broker is not None
        create_topic(client, "kept-deleted", partitions=2)
        broker.delete_topics(["kept-deleted"])
        assert len(create_topic(client, "kept-deleted", partitions=3).partitions) == 3


def test_a_client_that_speaks_a_newer_ApiVersions_is_told_so_in_the_layout_of_v0(hosts: str) -> None:  # noqa: N802
    host, port = hosts.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as conn:
        request = struct.pack(">hhih", 18, 99, 5, -1)
        conn.sendall(struct.pack(">i", len(request)) + request)
        size, correlation_id, error_code = struct.unpack(">iih", conn.recv(10, socket.MSG_WAITALL))
        assert (correlation_id, error_code) == (5, 35)
        (count,) = struct.unpack(">i", conn.recv(4, socket.MSG_WAITALL))
        assert size == 4 + 2 + 4 + 6 * count


def test_three_nodes_share_the_partitions() -> None:
    with instant_broker(nodes=3) as hosts, KafkaClient(hosts) as client:
        topic = create_topic(client, "t", partitions=6)
        assert [topic.partitions[number].leader.id for number in range(6)] == [1, 2, 3, 1, 2, 3]
        with topic.get_producer() as producer:
            producer.produce_many([b"x"] * 600)
        assert sum(row.offset[0] for row in topic.latest_available_offsets().values()) == 600
