"""What users of other clients do in their tests, on a fake cluster: topics listed and matched, and what there is not refused."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from pykafka.testing import FakeCluster

from .. import needs
from ..support import until

# kafka-python reads its schemas in a way that Python warns of
pytestmark = pytest.mark.filterwarnings("ignore:(read|open)_text is deprecated:DeprecationWarning")


@pytest.fixture(scope="module")
def kafka() -> Iterator[FakeCluster]:
    """A broker with two topics."""
    with FakeCluster(topics={"clicks-a": 1, "clicks-b": 2}) as cluster:
        yield cluster


def of_librdkafka(kafka: FakeCluster, **more: Any) -> dict[str, Any]:
    return {"bootstrap.servers": kafka.hosts, "log_level": 0, **{name.replace("_", "."): value for name, value in more.items()}}


def test_librdkafka_lists_all_topics(kafka: FakeCluster) -> None:
    admin = needs.package("confluent_kafka.admin").AdminClient(of_librdkafka(kafka))
    assert {"clicks-a", "clicks-b"} <= admin.list_topics(timeout=10).topics.keys()


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_librdkafka_consumes_what_a_pattern_matches(kafka: FakeCluster, protocol: str) -> None:
    for name in ("clicks-a", "clicks-b"):
        kafka.produce(name, [name])
    options = of_librdkafka(kafka, group_id=f"pattern-{protocol}", group_protocol=protocol, auto_offset_reset="earliest")
    consumer = needs.package("confluent_kafka").Consumer(options)
    consumer.subscribe(["^clicks-.*"])
    got: set[bytes] = set()
    try:
        until(lambda: got.update(one.value() for one in consumer.consume(10, 0.1)) or len(got) == 2, what="a message of each")
    finally:
        consumer.close()
    assert got == {b"clicks-a", b"clicks-b"}


def librdkafka_begins(kafka: FakeCluster) -> None:
    producer = needs.package("confluent_kafka").Producer(of_librdkafka(kafka, transactional_id="t"))
    producer.init_transactions(20)


def kafka_python_begins(kafka: FakeCluster) -> None:
    producer = needs.package("kafka").KafkaProducer(bootstrap_servers=kafka.hosts, transactional_id="t", max_block_ms=20000)
    try:
        producer.init_transactions()
    finally:
        producer.close(0)


@pytest.mark.parametrize("begin", [librdkafka_begins, kafka_python_begins])
def test_transactions_are_refused_at_once_and_not_put_off(kafka: FakeCluster, begin: Any) -> None:
    begun = time.monotonic()
    with pytest.raises(Exception, match="(?i)transactional.?id.?authorization.?failed"):
        begin(kafka)
    assert time.monotonic() - begun < 10
