"""A batch that stays corrupt: it is told on every call, and seek() to the error's next_offset leaves it out, and only it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pykafka import KafkaClient
from pykafka.exceptions import CorruptBatchError, DecompressedSizeError
from pykafka.testing import FakeCluster

from .broker import fake_broker
from .test_consumer_troubles import script
from .test_produce_and_fetch import stored

EACH = 10


@pytest.fixture
def cluster() -> Iterator[FakeCluster]:
    with FakeCluster(topics={"t": 1}) as one:
        for start in (0, EACH, 2 * EACH):
            one.produce("t", [b"%d" % number for number in range(start, start + EACH)])
        yield one


def read_on(consumer: Any, partition: Any, most_errors: int = 1) -> tuple[list[int], list[CorruptBatchError]]:
    """Return the offsets that are delivered, and the errors, by the loop that the documentation says."""
    got: list[int] = []
    errors: list[CorruptBatchError] = []
    while len(errors) <= most_errors:
        try:
            messages = consumer.consume_batch(100)
        except CorruptBatchError as error:
            errors.append(error)
            consumer.seek(partition, error.next_offset)
            continue
        if not messages:
            break
        got += [message.offset for message in messages]
    return got, errors


@pytest.mark.parametrize("begin", [0, 3, 10, 14])
def test_the_loop_goes_on_behind_the_batch(cluster: FakeCluster, begin: int) -> None:
    cluster.corrupt("t", offset=EACH, times=1000)
    with KafkaClient(cluster.hosts) as client, client.topics["t"].get_simple_consumer(consumer_timeout_ms=300) as consumer:
        partition = client.topics["t"].partitions[0]
        consumer.seek(partition, begin)
        got, (error,) = read_on(consumer, partition)
        assert got == [*range(begin, EACH), *range(2 * EACH, 3 * EACH)]
        assert (error.offset, error.next_offset) == (EACH, 2 * EACH) and "next_offset" in str(error)


def test_a_batch_whose_end_cannot_be_believed_is_left_step_by_step_and_nothing_else_is() -> None:
    bad = bytearray(stored(0, [b"a", b"b", b"c"]))
    bad[26] ^= 0xFF  # the last offset's delta says that there are millions
    good = bytes(stored(3, [b"d"]))
    with fake_broker() as broker:
        script(broker, {0: bytes(bad) + good, 1: bytes(bad) + good, 2: bytes(bad) + good, 3: good})
        options = {"consumer_timeout_ms": 300, "auto_offset_reset": -2}
        with KafkaClient(broker.hosts) as client, client.topics["t"].get_simple_consumer(**options) as consumer:
            got, errors = read_on(consumer, client.topics["t"].partitions[0], most_errors=5)
    assert got == [3]
    assert [error.next_offset for error in errors] == [1, 2, 3]


@pytest.mark.parametrize("base_offset", [b"?" * 8, b"\x7f" + b"\xff" * 7])
def test_a_header_that_is_garbage_leads_nowhere_but_one_offset_further(base_offset: bytes) -> None:
    """Nothing that it says of offsets can be believed: seek() to them has the consumer begin elsewhere, or is refused."""
    bad = base_offset + b"\0\0\0\x40" + b"?" * 64
    good = bytes(stored(2, [b"c"]))
    with fake_broker() as broker:
        script(broker, {0: bad + good, 1: bad + good, 2: good})
        options = {"consumer_timeout_ms": 300, "auto_offset_reset": -2}
        with KafkaClient(broker.hosts) as client, client.topics["t"].get_simple_consumer(**options) as consumer:
            got, errors = read_on(consumer, client.topics["t"].partitions[0], most_errors=5)
    assert got == [2] and [error.next_offset for error in errors] == [1, 2]


def test_what_inflates_too_much_is_left_out_as_a_whole(cluster: FakeCluster) -> None:
    with KafkaClient(cluster.hosts) as client:
        with client.topics["t"].get_producer(compression=1) as producer:
            producer.produce_many([b"x" * 100_000] * 5)
        cluster.produce("t", [b"after"])
        small = {"consumer_timeout_ms": 300, "max_decompressed_bytes": 200_000}
        with client.topics["t"].get_simple_consumer(**small) as consumer:
            got, errors = read_on(consumer, client.topics["t"].partitions[0])
    assert got == [*range(30), 35] and [(type(error), error.next_offset) for error in errors] == [(DecompressedSizeError, 35)]
