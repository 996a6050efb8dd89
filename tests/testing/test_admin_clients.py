"""Admin clients of others make topics, and have them have more partitions, on a fake cluster."""

from __future__ import annotations

from typing import Any

import pytest

from pykafka import KafkaClient
from pykafka.exceptions import NotController
from pykafka.testing import FakeCluster

from .. import needs
from ..support import until

# kafka-python reads its schemas in a way that Python warns of
pytestmark = pytest.mark.filterwarnings("ignore:(read|open)_text is deprecated:DeprecationWarning")


@pytest.fixture(params=["4.4", "2.8", "1.0"])
def cluster(request: pytest.FixtureRequest) -> Any:
    """Three brokers of a version, and a topic of two partitions."""
    with FakeCluster(brokers=3, topics={"t": 2}, as_version=request.param) as cluster:
        yield cluster
        assert cluster.complaints == []


def sizes(cluster: FakeCluster) -> dict[str, int]:
    """Return how many partitions every topic has, as a client of ours sees it."""
    with KafkaClient(cluster.hosts) as client:
        return {name.decode(): len(client.topics[name].partitions) for name in client.topics}


def test_librdkafkas_admin_client_adds_partitions(cluster: FakeCluster) -> None:
    admin = needs.package("confluent_kafka.admin")
    client = admin.AdminClient({"bootstrap.servers": cluster.hosts, "log_level": 0})
    client.create_topics([admin.NewTopic("new", 1, 3)])["new"].result(10)
    client.create_partitions([admin.NewPartitions("t", 5)], validate_only=True)["t"].result(10)
    assert sizes(cluster) == {"t": 2, "new": 1}
    client.create_partitions([admin.NewPartitions("t", 5), admin.NewPartitions("new", 2, [[3, 1, 2]])])["t"].result(10)
    assert sizes(cluster) == {"t": 5, "new": 2}
    assert cluster.leader("new", 1) == 3
    with pytest.raises(Exception, match=r"currently has 5 partition\(s\); 4 would not be an increase"):
        client.create_partitions([admin.NewPartitions("t", 4)])["t"].result(10)
    with pytest.raises(Exception, match="UNKNOWN_TOPIC_OR_PART"):
        client.create_partitions([admin.NewPartitions("no", 4)])["no"].result(10)
    with pytest.raises(Exception, match="broker 9, but no such broker"):
        client.create_partitions([admin.NewPartitions("new", 3, [[9, 1, 2]])])["new"].result(10)


def test_kafka_pythons_admin_client_adds_partitions(cluster: FakeCluster) -> None:
    kafka = needs.package("kafka.admin")
    errors = needs.package("kafka.errors")
    client = kafka.KafkaAdminClient(bootstrap_servers=cluster.hosts)
    try:
        client.create_partitions({"t": kafka.NewPartitions(4)}, validate_only=True)
        assert sizes(cluster) == {"t": 2}
        client.create_partitions({"t": kafka.NewPartitions(4, [[2, 1, 3], [3, 1, 2]])})
        assert sizes(cluster) == {"t": 4} and cluster.leader("t", 3) == 3
        with pytest.raises(errors.InvalidPartitionsError):
            client.create_partitions({"t": kafka.NewPartitions(4)})
    finally:
        client.close()


def test_new_partitions_are_produced_to_and_failures_can_be_asked_for() -> None:
    admin = needs.package("confluent_kafka.admin")
    with FakeCluster(topics={"t": 1}) as cluster, KafkaClient(cluster.hosts, metadata_max_age_ms=200) as ours:
        cluster.fail_next("CreatePartitions", NotController, topic="t")
        client = admin.AdminClient({"bootstrap.servers": cluster.hosts, "log_level": 0})
        with pytest.raises(Exception, match="NOT_CONTROLLER"):
            client.create_partitions([admin.NewPartitions("t", 3)])["t"].result(10)
        topic = ours.topics["t"]
        with topic.get_producer() as producer:
            client.create_partitions([admin.NewPartitions("t", 3)])["t"].result(10)
            until(lambda: {producer.produce(b"v").result(10).partition_id for _ in range(6)} == {0, 1, 2})
        assert cluster.leader("t", 2) == 1
