"""Groups that are of the other protocol than a member's, on a broker that takes none of them over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from pykafka import KafkaClient, Topic
from pykafka._engine.waiting import Deadline
from pykafka.balancedconsumer import BalancedConsumer
from pykafka.exceptions import GroupIdNotFound, InconsistentGroupProtocol
from pykafka.protocol.messages import ConsumerGroupHeartbeatRequest, LeaveGroupRequest

from ..brokers import KafkaCluster
from ..support import create_topic, until

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


def put_out(topic: Topic, consumer: BalancedConsumer) -> None:
    """Take a member's seat away; it hears of that with its next heartbeat."""
    status, group = consumer.group_status(), topic.name.decode()
    if status.protocol == "consumer":
        request: Any = ConsumerGroupHeartbeatRequest(group_id=group, member_id=status.member_id, member_epoch=-1)
    else:
        row = LeaveGroupRequest.MemberIdentity(member_id=status.member_id)
        request = LeaveGroupRequest(group_id=group, member_id=status.member_id, members=[row])
    engine, deadline = consumer._cluster.engine, Deadline(10)
    assert engine.call(engine.coordinator(group, deadline), request, deadline).error_code == 0


@pytest.mark.kafka(since="4.0")
@pytest.mark.parametrize("way", ["classic", "consumer"])
def test_a_member_that_may_choose_goes_on_in_the_protocol_that_its_group_has_by_now(way: str, topic: Topic) -> None:
    other = "consumer" if way == "classic" else "classic"
    with ExitStack() as stack:
        first = stack.enter_context(member(topic, way))
        slow = stack.enter_context(member(topic, "auto", heartbeat_interval_ms=3000, auto_commit_enable=True))
        assert slow.group_status().protocol == ("range" if way == "classic" else "consumer")
        first.stop()
        until(lambda: sorted(slow.partitions) == [0, 1], what="all partitions")
        put_out(topic, slow)
        second = stack.enter_context(member(topic, other))
        until(lambda: len(slow.partitions) == len(second.partitions) == 1, what="a fair share for both")
        assert slow.group_status().protocol == second.group_status().protocol
        assert slow.partitions.keys() != second.partitions.keys()
        slow.commit_offsets()
        assert slow.consume() is None


@pytest.mark.kafka(since="4.0")
@pytest.mark.parametrize("way", ["classic", "consumer"])
def test_a_member_that_may_not_choose_ends_with_an_error_that_says_so(way: str, topic: Topic) -> None:
    with member(topic, way, heartbeat_interval_ms=3000) as slow:
        put_out(topic, slow)
        with member(topic, "consumer" if way == "classic" else "classic"):

            def ended() -> bool:
                try:
                    slow.consume()
                except (GroupIdNotFound, InconsistentGroupProtocol) as error:
                    return "of another type and has live members" in str(error)
                return False

            until(ended, what="the error")
