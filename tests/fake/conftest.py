"""What tests of the fake cluster are given that name no cluster of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pykafka import KafkaClient
from pykafka.testing import FakeCluster

from .direct import PARTITIONS


@pytest.fixture
def kafka() -> Iterator[FakeCluster]:
    """Run three brokers with a topic of three partitions."""
    with FakeCluster(brokers=3, topics={"t": PARTITIONS}) as cluster:
        yield cluster


@pytest.fixture
def client(kafka: FakeCluster) -> Iterator[KafkaClient]:
    """Make a client of it."""
    with KafkaClient(hosts=kafka.hosts) as made:
        yield made
