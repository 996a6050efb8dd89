"""What members of a group live through: restarts of a static leader, users that take their time, commits that are refused."""

from __future__ import annotations

import time
from typing import Any

import pytest

from pykafka import KafkaClient
from pykafka.common import OffsetType
from pykafka.exceptions import IllegalGeneration, KafkaException, StaleMemberEpoch
from pykafka.testing import FakeCluster, GroupSettings

from ..support import until

QUICK: dict[str, Any] = {
    "managed": True,
    "auto_offset_reset": OffsetType.EARLIEST,
    "heartbeat_interval_ms": 100,
    "consumer_timeout_ms": 5000,
}


# another process takes what is there for what was shared out, as with the Java client: nobody tells it otherwise
@pytest.mark.parametrize(
    ("is_new", "when"), [(False, "after its return"), (False, "while it is away"), (True, "after its return")]
)
def test_a_static_leader_that_comes_back_sees_that_its_topic_gets_partitions(when: str, is_new: bool) -> None:
    """It is told to leave the shares as they are (KIP-814), and watched nothing: the new partitions were read by nobody."""
    options = {**QUICK, "group_protocol": "classic"}
    with FakeCluster(topics={"t": 2}) as kafka, KafkaClient(kafka.hosts, metadata_max_age_ms=200) as client:
        topic = client.topics["t"]
        members = {name: topic.get_balanced_consumer("g", group_instance_id=name, **options) for name in ("a", "b")}
        until(lambda: [len(one.partitions) for one in members.values()] == [1, 1], what="a partition for each")
        leader = next(name for name, one in members.items() if one.group_status().is_leader)
        generation = members[leader].group_status().generation
        members[leader].stop()
        if when == "while it is away":
            kafka.add_partitions("t", 4)
        if is_new:
            members[leader] = topic.get_balanced_consumer("g", group_instance_id=leader, **options)
        else:
            members[leader].start()
        if when == "after its return":
            assert members[leader].group_status().generation == generation, "it has come back without a rebalance"
            kafka.add_partitions("t", 4)
        until(lambda: [len(one.partitions) for one in members.values()] == [2, 2], what="all partitions read")
        for one in members.values():
            one.stop()


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_user_who_takes_one_message_after_the_other_is_active_however_many_were_fetched_at_once(protocol: str) -> None:
    with FakeCluster(topics={"t": 1}) as kafka, KafkaClient(kafka.hosts) as client:
        kafka.produce("t", [b"v"] * 10_000)
        patience: dict[str, Any] = {"max_poll_interval_ms": 1000, "session_timeout_ms": 6000}
        with client.topics["t"].get_balanced_consumer("g", group_protocol=protocol, **patience, **QUICK) as member:
            member.consume()
            generation = member.group_status().generation
            ends = time.monotonic() + 3.0
            while time.monotonic() < ends:
                assert member.consume().offset < 10_000
                time.sleep(0.02)  # what it does with the message
            assert member.group_status().generation == generation


@pytest.mark.parametrize("refusal", [IllegalGeneration, StaleMemberEpoch])
@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_commit_that_is_refused_although_the_group_is_calm_is_not_waited_for_as_long_as_a_rebalance_may_take(
    protocol: str, refusal: type[KafkaException]
) -> None:
    settings = GroupSettings(consumer_heartbeat_interval_ms=100)
    with FakeCluster(topics={"t": 1}, group_settings=settings) as kafka, KafkaClient(kafka.hosts) as client:
        kafka.produce("t", [b"v"])
        with client.topics["t"].get_balanced_consumer("g", group_protocol=protocol, **QUICK) as member:
            member.consume()
            kafka.fail_next("OffsetCommit", refusal)
            began = time.monotonic()
            with pytest.raises(refusal):
                member.commit_offsets()
            assert time.monotonic() - began < 60, "max_poll_interval_ms is 300 s"
            member.commit_offsets()
            assert kafka.committed("g")["t", 0].offset == 1
