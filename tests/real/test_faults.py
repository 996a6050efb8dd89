"""Brokers die, freeze and come back: nothing acknowledged is lost, nothing is written twice, order is kept."""

from __future__ import annotations

import threading
import time
from collections import Counter

import pytest

from pykafka import KafkaClient, Topic

from ..brokers import KafkaCluster
from ..support import create_topic, read_all, until

#: A client that notices a frozen broker within seconds.
IMPATIENT = {"socket_timeout_ms": 4000}


class Load:
    """A thread that produces numbered messages until it is told to stop; what was acknowledged is kept."""

    def __init__(self, topic: Topic, **options: int) -> None:
        self.producer = topic.get_producer(pending_timeout_ms=90000, **options)
        self.acknowledged: list[bytes] = []
        self.failed: list[Exception] = []
        self.count = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while not self._stop.is_set():
            self.producer.produce(b"%d" % self.count, on_delivery=self._note)
            self.count += 1
            if not self.count % 50:
                # a load and not a race: the queue never fills, and brokers that start have a processor. They are busy with how
                # many batches there are rather than with how many messages
                time.sleep(0.025)

    def _note(self, message: object, error: object) -> None:
        if error is None:
            self.acknowledged.append(message.value)  # type: ignore[attr-defined]
        else:
            self.failed.append(error)  # type: ignore[arg-type]

    def wait_for(self, more: int) -> None:
        """Return when ``more`` messages than now are acknowledged."""
        wanted = len(self.acknowledged) + more
        until(lambda: len(self.acknowledged) >= wanted, timeout_s=60, what=f"{more} more acknowledgements")

    def finish(self) -> None:
        """Stop producing and wait for every outcome."""
        self._stop.set()
        self._thread.join(60)
        self.producer.stop()
        until(lambda: len(self.acknowledged) + len(self.failed) == self.count, what="an outcome for every message")


def check(topic: Topic, load: Load) -> None:
    """Everything acknowledged is in the log exactly once, and each partition is in the order of production."""
    ends = sum(response.offset[0] for response in topic.latest_available_offsets().values())
    got = read_all(topic, ends, timeout_ms=20000)
    found = Counter(message.value for message in got)
    assert load.failed == []
    assert len(load.acknowledged) == load.count
    assert sorted(found) == sorted(load.acknowledged)
    assert set(found.values()) == {1}
    for partition in topic.partitions:
        numbers = [int(message.value or b"") for message in got if message.partition_id == partition]
        assert numbers == sorted(numbers)


def test_killing_a_leader_under_load_loses_nothing_and_repeats_nothing(cluster: KafkaCluster, topic_name: str) -> None:
    with KafkaClient(cluster.hosts, **IMPATIENT) as client:
        topic = create_topic(client, topic_name, partitions=3, replicas=3)
        load = Load(topic)
        load.wait_for(2000)
        leader = topic.partitions[0].leader
        assert leader is not None
        cluster.node(leader.id).kill()
        load.wait_for(3000)
        cluster.node(leader.id).restart()
        load.wait_for(2000)
        load.finish()
        check(topic, load)


def test_freezing_a_leader_longer_than_a_request_may_take_repeats_nothing(cluster: KafkaCluster, topic_name: str) -> None:
    with KafkaClient(cluster.hosts, **IMPATIENT) as client:
        topic = create_topic(client, topic_name, partitions=3, replicas=3)
        load = Load(topic)
        load.wait_for(1000)
        leader = topic.partitions[0].leader
        assert leader is not None
        cluster.node(leader.id).pause()
        load.wait_for(2000)
        cluster.node(leader.id).resume()
        load.wait_for(1000)
        load.finish()
        check(topic, load)


def test_a_consumer_goes_on_when_the_leader_it_reads_from_dies(cluster: KafkaCluster, topic_name: str) -> None:
    with KafkaClient(cluster.hosts, **IMPATIENT) as client:
        topic = create_topic(client, topic_name, partitions=3, replicas=3)
        with topic.get_producer() as producer:
            producer.produce_many([b"%d" % number for number in range(1000)])
        with topic.get_simple_consumer(topic_name, consumer_timeout_ms=60000) as consumer:
            first = consumer.consume_batch(100)
            leader = topic.partitions[0].leader
            assert leader is not None
            cluster.node(leader.id).kill()
            with topic.get_producer(pending_timeout_ms=60000) as producer:
                producer.produce_many([b"%d" % number for number in range(1000, 3000)])
            got = list(first)
            while len(got) < 3000:
                got += consumer.consume_batch(3000 - len(got))
            assert sorted(int(message.value or b"") for message in got) == list(range(3000))
            # the coordinator of the group may have been the one that died
            consumer.commit_offsets()
            assert sum(row.offset for _partition, row in consumer.fetch_offsets()) == 3000


@pytest.mark.core
def test_a_single_broker_that_restarts_takes_what_was_produced_meanwhile(topic_name: str, alone: KafkaCluster) -> None:
    with KafkaClient(alone.hosts, **IMPATIENT) as client:
        topic = create_topic(client, topic_name, partitions=2)
        load = Load(topic)
        load.wait_for(500)
        alone.nodes[0].kill()
        before = load.count
        until(lambda: load.count > before + 500, what="messages produced while there is no broker")
        alone.nodes[0].restart()
        load.wait_for(1000)
        load.finish()
        check(topic, load)


@pytest.mark.core
def test_a_single_broker_that_freezes_with_batches_under_way_writes_none_of_them_twice(
    topic_name: str, alone: KafkaCluster
) -> None:
    """It finds them in the connection that the client has given up, and gets them once more in the next one."""
    with KafkaClient(alone.hosts) as patient:  # a busy machine takes its time to make a topic
        create_topic(patient, topic_name, partitions=2)
    with KafkaClient(alone.hosts, socket_timeout_ms=1000) as client:
        topic = client.topics[topic_name]
        load = Load(topic, linger_ms=0)
        load.wait_for(500)
        alone.nodes[0].pause()
        until(lambda: load.producer._core.accumulator.trouble, what="the end of the client's patience")
        alone.nodes[0].resume()
        load.wait_for(1000)
        load.finish()
        check(topic, load)
