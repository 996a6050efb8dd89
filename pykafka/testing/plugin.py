"""pytest fixtures for who tests an application: a cluster, a client of it, and a topic. pytest finds them by itself.

They are loaded with every run of pytest where PyKafka is installed, so nothing of ours is imported before a test asks for it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ..client import KafkaClient
    from ..topic import Topic
    from .cluster import FakeCluster

#: How many brokers and partitions there are: enough for one to fail, and for keys to be spread.
BROKERS, PARTITIONS = 3, 4
#: How often members of the newer protocol ask for their share: it is what they wait for when one comes or goes. 5 s in Kafka.
HEARTBEAT_INTERVAL_MS = 100

_numbers = itertools.count(1)


@pytest.fixture
def kafka_cluster() -> Iterator[FakeCluster]:
    """Return a :class:`pykafka.testing.FakeCluster` of three brokers, for this test alone."""
    from .cluster import FakeCluster
    from .group_common import GroupSettings

    with FakeCluster(BROKERS, group_settings=GroupSettings(consumer_heartbeat_interval_ms=HEARTBEAT_INTERVAL_MS)) as cluster:
        yield cluster


@pytest.fixture
def kafka_client(kafka_cluster: FakeCluster) -> Iterator[KafkaClient]:
    """Return a client of ``kafka_cluster``, which is closed after the test."""
    from ..client import KafkaClient

    with KafkaClient(kafka_cluster.hosts) as client:
        yield client


@pytest.fixture
def kafka_topic(kafka_cluster: FakeCluster, kafka_client: KafkaClient) -> Topic:
    """Return a new topic with four partitions, replicated to all brokers."""
    name = f"topic-{next(_numbers)}"
    kafka_cluster.create_topic(name, PARTITIONS)
    return kafka_client.topics[name]
