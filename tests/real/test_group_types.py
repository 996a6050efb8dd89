"""Groups that are of the other protocol than a member's, on a broker that takes none of them over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pykafka import KafkaClient, Topic
from pykafka.balancedconsumer import BalancedConsumer
from pykafka.exceptions import GroupIdNotFound, InconsistentGroupProtocol

from ..brokers import KafkaCluster
from ..support import create_topic

QUICK = {"heartbeat_interval_ms": 200, "consumer_timeout_ms": 300}


@pytest.fixture(scope="module")
def strict(kafka: KafkaCluster) -> Iterator[KafkaCluster]:
    """A broker that converts no group with members, and puts out members that show no life sooner than others do."""
    settings = {
        "group.consumer.migration.policy": "disabled",
        "group.consumer.session.timeout.ms": 8000,
        "group.consumer.min.session.timeout.ms": 8000,
    }
    with KafkaCluster(settings=settings) as cluster:
        yield cluster


@pytest.fixture
def topic(strict: KafkaCluster, topic_name: str) -> Iterator[Topic]:
    with KafkaClient(strict.hosts) as client:
        yield create_topic(client, topic_name, partitions=2)


def member(topic: Topic, way: str, **options: Any) -> BalancedConsumer:
    return topic.get_balanced_consumer(topic.name, managed=True, group_protocol=way, **{**QUICK, **options})


@pytest.mark.kafka(since="4.0")
def test_who_is_refused_because_of_the_groups_type_is_told_so_and_what_helps(topic: Topic) -> None:
    with member(topic, "classic"):
        with pytest.raises(GroupIdNotFound, match=r"(?s)upgrade is disabled.*of another type and has live members.*policy"):
            member(topic, "consumer")
        with member(topic, "auto") as second:
            assert second.group_status().protocol == "range"
    with member(topic, "consumer"):
        with pytest.raises(InconsistentGroupProtocol, match=r"(?s)of another type and has live members.*'consumer'"):
            member(topic, "classic")
        with member(topic, "auto") as second:
            assert second.group_status().protocol == "consumer"


@pytest.mark.kafka(since="4.0")
def test_a_member_gives_its_seat_up_no_later_than_the_broker_takes_it_away(topic: Topic) -> None:
    with member(topic, "consumer", session_timeout_ms=60000) as consumer:
        assert consumer._member is not None and consumer._member.settings.session_timeout_s == 8.0
        assert sorted(consumer.partitions) == [0, 1]
