"""Groups on three real brokers, of which some die: nothing is lost, and nobody loses a seat for it."""

from __future__ import annotations

from typing import Any

import pytest

from pykafka import KafkaClient

from ..brokers import KafkaCluster
from ..support import create_topic, until

OPTIONS = {"heartbeat_interval_ms": 300, "consumer_timeout_ms": 300, "auto_commit_enable": True}


@pytest.mark.parametrize("way", ["classic", "consumer"])
def test_a_group_goes_on_when_its_coordinator_dies(way: str, kafka3: KafkaCluster, topic_name: str) -> None:
    with KafkaClient(kafka3.hosts) as client:
        topic = create_topic(client, topic_name, partitions=6, replicas=3)
        producer = topic.get_producer()
        options: dict[str, Any] = {**OPTIONS, "group_protocol": way}
        with topic.get_balanced_consumer(topic_name, managed=True, **options) as first, topic.get_balanced_consumer(
            topic_name, managed=True, **options
        ) as second:
            until(lambda: sorted([*first.partitions, *second.partitions]) == [*range(6)], what="a share for both")
            before = first.group_status(), second.group_status()
            got: list[Any] = []
            producer.produce_many([b"%d" % number for number in range(60)])
            until(lambda: got.extend([*first, *second]) or len(got) == 60, what="what was written before")
            dead = kafka3.node(client.cluster.get_group_coordinator(topic_name).id)
            dead.kill()
            try:
                producer.produce_many([b"%d" % number for number in range(60, 120)])
                until(lambda: got.extend([*first, *second]) or len(got) == 120, timeout_s=60, what="what was written after")
                first.commit_offsets()
                second.commit_offsets()
            finally:
                dead.restart()
            assert sorted(int(message.value) for message in got) == [*range(120)]
            after = first.group_status(), second.group_status()
            assert [one.member_id for one in after] == [one.member_id for one in before]
            assert {tp for one in after for tp in one.owned} == {tp for one in before for tp in one.owned}
        producer.stop()
