"""One wrong answer of a broker: it costs seconds, not the client."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Optional

import pytest

from pykafka import KafkaClient
from pykafka._machines import metadata
from pykafka._machines.accumulator import MAX_IN_FLIGHT
from pykafka.exceptions import UnsupportedVersion
from pykafka.protocol.messages import (
    ApiVersionsResponse,
    FetchRequest,
    ListOffsetsRequest,
    MetadataRequest,
    MetadataResponse,
    ProduceRequest,
)
from pykafka.protocol.schema import REQUESTS, Request
from pykafka.testing import FakeCluster

from ..support import until

#: Longer than it takes for a wrong answer to be found out, by far.
PATIENCE_MS = 20_000


@pytest.fixture(autouse=True)
def disputes_are_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a wrong leader epoch doubted no longer than the tests need."""
    monkeypatch.setattr(metadata, "DISPUTE_S", 0.3, raising=False)


def lie_once(cluster: FakeCluster, epoch: int, leader: int) -> list[int]:
    """Have one answer to Metadata name another leader epoch and leader of topic t; return what the list of lies will be."""
    told: list[int] = []
    topic_id = cluster._state.topics["t"].id
    ports = [int(address.rpartition(":")[2]) for address in cluster.hosts.split(",")]

    def lie(request: Any, version: int) -> Optional[MetadataResponse]:
        if told or not request.topics:
            return None
        told.append(version)
        broker, topic, partition = (
            MetadataResponse.MetadataResponseBroker,
            MetadataResponse.MetadataResponseTopic,
            MetadataResponse.MetadataResponsePartition,
        )
        row = partition(partition_index=0, leader_id=leader, leader_epoch=epoch, replica_nodes=[1, 2, 3], isr_nodes=[1, 2, 3])
        return MetadataResponse(
            brokers=[broker(node_id=node, host="127.0.0.1", port=port) for node, port in enumerate(ports, 1)],
            cluster_id="c",
            controller_id=1,
            topics=[topic(name="t", topic_id=topic_id, partitions=[row])],
        )

    cluster.on("Metadata", lie)
    return told


# -- a leader epoch that there never was ------------------------------------------------------------------------------


@pytest.mark.parametrize("brokers", [1, 3])
def test_a_producer_survives_one_answer_with_a_leader_epoch_that_there_never_was(brokers: int) -> None:
    with FakeCluster(brokers=brokers) as cluster:
        cluster.create_topic("t")
        right = cluster.leader("t")
        told = lie_once(cluster, 1000, leader=4 if brokers == 1 else 1 + (right or 0) % 3)
        options = {"linger_ms": 0, "delivery_timeout_ms": PATIENCE_MS}
        with KafkaClient(cluster.hosts) as client, client.topics["t"].get_producer(**options) as producer:
            assert producer.produce(b"a").result(PATIENCE_MS / 1000.0)
        assert told
        assert cluster.values("t") == [b"a"]
        asked = {seen.broker_id for seen in cluster.requests if seen.name == "Metadata"}
        assert asked == set(range(1, brokers + 1)), "no single broker is believed"


@pytest.mark.parametrize("is_right", [True, False])
def test_a_consumer_survives_one_answer_with_a_leader_epoch_that_there_never_was(is_right: bool) -> None:
    with FakeCluster(brokers=3) as cluster:
        cluster.create_topic("t")
        cluster.produce("t", [b"a"])
        right = cluster.leader("t") or 0
        told = lie_once(cluster, 1000, leader=right if is_right else 1 + right % 3)
        options = {"consumer_timeout_ms": PATIENCE_MS}
        with KafkaClient(cluster.hosts) as client, client.topics["t"].get_simple_consumer(**options) as consumer:
            assert [message.value for message in consumer.consume_batch(1)] == [b"a"]
        assert told


# -- versions that a broker does speak --------------------------------------------------------------------------------


def without(cluster: FakeCluster, request: type[Request], times: int) -> list[int]:
    """Have so many answers to ApiVersions say that only version 0 of ``request`` is spoken; return the list they will be in."""
    told: list[int] = []

    def lie(_request: Any, version: int) -> Optional[ApiVersionsResponse]:
        if len(told) >= times:
            return None
        told.append(version)
        ranges = {key: (kind.MIN_VERSION, kind.MAX_VERSION) for key, kind in REQUESTS.items() if key >= 0}
        ranges[request.KEY] = (0, 0)
        row = ApiVersionsResponse.ApiVersion
        rows = [row(api_key=key, min_version=low, max_version=high) for key, (low, high) in ranges.items()]
        return ApiVersionsResponse(api_keys=rows)

    cluster.on("ApiVersions", lie)
    return told


def test_a_producer_survives_one_answer_that_says_that_the_broker_is_too_old() -> None:
    with FakeCluster(topics={"t": 1}) as cluster, KafkaClient(cluster.hosts) as client:
        told = without(cluster, ProduceRequest, 1)
        with client.topics["t"].get_producer(linger_ms=0) as producer:
            for value in (b"a", b"b"):
                producer.produce(value).result(PATIENCE_MS / 1000.0)
            assert producer._core.accumulator._most_in_flight == MAX_IN_FLIGHT, "nor is it slowed down for good"
        assert (len(told), cluster.values("t")) == (1, [b"a", b"b"])


@pytest.mark.parametrize("request_type", [MetadataRequest, ListOffsetsRequest])
def test_a_client_survives_one_answer_that_says_that_the_broker_is_too_old(request_type: type[Request]) -> None:
    with FakeCluster(topics={"t": 1}) as cluster:
        told = without(cluster, request_type, 1)
        with KafkaClient(cluster.hosts) as client:
            assert client.topics["t"].latest_available_offsets()[0].offset == [0]
        assert told


def test_a_consumer_survives_one_answer_that_says_that_the_broker_is_too_old() -> None:
    options = {"consumer_timeout_ms": PATIENCE_MS, "auto_start": False}
    with FakeCluster(topics={"t": 1}) as cluster, KafkaClient(cluster.hosts) as client:
        cluster.produce("t", [b"a"])
        consumer = client.topics["t"].get_simple_consumer(**options)
        client.topics["t"].latest_available_offsets()  # the connection for this is there
        told = without(cluster, FetchRequest, 1)
        with consumer:
            assert [message.value for message in consumer.consume_batch(1)] == [b"a"]
        assert told


def test_a_broker_that_says_twice_that_it_is_too_old_is_believed_as_long_as_the_connection_lasts() -> None:
    with FakeCluster(topics={"t": 1}) as cluster, KafkaClient(cluster.hosts) as client:
        told = without(cluster, ProduceRequest, 2)
        with client.topics["t"].get_producer(linger_ms=0) as producer:
            for _ in range(3):
                with pytest.raises(UnsupportedVersion):
                    producer.produce(b"lost").result(PATIENCE_MS / 1000.0)
            assert len(told) == 2
            cluster.stop_broker(1)
            cluster.start_broker(1)

            def is_taken() -> bool:
                with suppress(UnsupportedVersion):  # until the end of the connection is heard of
                    producer.produce(b"a").result(PATIENCE_MS / 1000.0)
                    return True
                return False

            until(is_taken, what="another connection")
        assert cluster.values("t") == [b"a"]
