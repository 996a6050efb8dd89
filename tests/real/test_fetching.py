"""How consumers fetch from real brokers: in sessions, and from copies nearby."""

from __future__ import annotations

from typing import Any, Callable

from pykafka import KafkaClient, Topic

from ..brokers import KafkaCluster
from ..support import create_topic, read_all, until


def fill(topic: Topic, count: int, first: int = 0) -> None:
    """Write so many messages."""
    with topic.get_producer() as producer:
        producer.produce_many([b"%d" % number for number in range(first, first + count)])


def test_many_partitions_are_fetched_in_a_session_and_nothing_is_missed(make_topic: Callable[..., Topic]) -> None:
    topic = make_topic(20)
    with topic.get_simple_consumer(consumer_timeout_ms=5000) as consumer:
        for turn in range(5):
            fill(topic, 100, turn * 100)
            got = [consumer.consume() for _ in range(100)]
            assert sorted(int(one.value) for one in got if one is not None) == [*range(turn * 100, turn * 100 + 100)]
            if turn == 2:
                # a session that the broker has forgotten is opened anew
                for session in consumer._core._sessions.values():  # type: ignore[union-attr]
                    session.id = session.id and session.id + 1
        consumer.seek(topic.partitions[3], 0)
        assert consumer.consume().offset == 0  # type: ignore[union-attr]
        assert any(session.id for session in consumer._core._sessions.values())  # type: ignore[union-attr]


def test_a_consumer_reads_from_the_copy_in_its_rack_and_from_the_leader_when_that_is_gone(
    kafka3: KafkaCluster, topic_name: str
) -> None:
    with KafkaClient(kafka3.hosts) as client:
        topic = create_topic(client, topic_name, partitions=1, replicas=3)
        leader = topic.partitions[0].leader.id  # type: ignore[union-attr]
        near = leader % 3 + 1
        fill(topic, 10)
        with topic.get_simple_consumer(client_rack=f"r{near}", consumer_timeout_ms=500) as consumer:
            fetch = consumer._core._fetches[topic.partitions[0].tp]  # type: ignore[union-attr]
            got: list[Any] = []
            until(lambda: got.extend(consumer) or fetch.replica == near, what="a fetch from the copy nearby")
            until(lambda: got.extend(consumer) or len(got) == 10, what="all messages")
            kafka3.node(near).kill()
            try:
                fill(topic, 10, 10)
                until(lambda: got.extend(consumer) or len(got) == 20, timeout_s=60, what="the messages written since")
                assert fetch.replica != near
            finally:
                kafka3.node(near).restart()
        assert len(read_all(topic, 20)) == 20
