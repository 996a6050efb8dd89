"""A sync producer that sends by its caller's thread, on real Kafka: what it was told is in the log, once and in order."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Any, Callable

import pytest

from pykafka import KafkaClient, Producer, Topic
from pykafka.exceptions import KafkaException

from ..brokers import KafkaCluster
from ..support import create_topic, read_all, until
from .test_faults import IMPATIENT
from .test_interop import CODECS as CODEC_BY_NAME
from .test_interop import NAMES, Row, read_by_confluent, rows

MakeTopic = Callable[..., Topic]


def go_direct(producer: Producer) -> list[bytes]:
    """Produce one message at a time until they go by this thread; return them."""
    made: list[bytes] = []

    def more() -> bool:
        made.append(b"%d" % len(made))
        producer.produce(made[-1])
        return producer._core.direct._is_open and bool(producer._core.direct._loans)

    until(more, what="the short way")
    return made


@pytest.mark.core
@pytest.mark.parametrize("codec", NAMES)
def test_what_goes_directly_is_read_byte_for_byte_by_another_client(
    kafka: KafkaCluster, make_topic: MakeTopic, codec: str
) -> None:
    topic = make_topic()
    sent: list[Row] = rows("mixed")[:200]
    with topic.get_sync_producer(compression=CODEC_BY_NAME[codec]) as producer:
        before = go_direct(producer)
        for value, key, headers, stamp in sent:
            producer.produce(value, key, stamp, headers=headers)
        assert producer._core.direct._is_open, "none of them had to take the usual way"
    got = read_by_confluent(kafka, topic.name.decode(), len(before) + len(sent))
    assert got[len(before) :] == sent


class Waiting(threading.Thread):
    """Produces numbered messages one after the other, each waited for, until it is told to stop."""

    def __init__(self, topic: Topic, name: str) -> None:
        super().__init__(daemon=True)
        self.producer = topic.get_sync_producer(pending_timeout_ms=90000)
        self.acknowledged: list[bytes] = []
        self.failed: list[KafkaException] = []
        #: how often the short way was open when a message was acknowledged
        self.direct = 0
        self.stopping = False
        self._name_of_values = name
        self.start()

    def run(self) -> None:
        """Produce."""
        for number in range(10**6):
            if self.stopping:
                break
            value = b"%s-%06d" % (self._name_of_values.encode(), number)
            try:
                self.producer.produce(value, partition_key=self._name_of_values.encode())
                self.acknowledged.append(value)
            except KafkaException as error:
                self.failed.append(error)
            self.direct += self.producer._core.direct._is_open
            time.sleep(0.001)  # brokers that start need the processor more
        self.producer.stop()

    def wait_for(self, more: int) -> None:
        """Return when ``more`` messages than now are acknowledged."""
        wanted = len(self.acknowledged) + more
        until(lambda: len(self.acknowledged) >= wanted, timeout_s=90, what=f"{more} more acknowledgements")


def _kill(node: Any) -> None:
    node.kill()
    time.sleep(0.5)
    node.restart()


def _freeze(node: Any) -> None:
    node.pause()
    time.sleep(6)  # longer than a request may take
    node.resume()


@pytest.mark.parametrize("trouble", [_kill, _freeze])
def test_brokers_in_trouble_lose_nothing_of_it_and_write_nothing_twice(
    cluster: KafkaCluster, topic_name: str, trouble: Callable[[Any], None]
) -> None:
    with KafkaClient(cluster.hosts, **IMPATIENT) as client:
        topic = create_topic(client, topic_name, partitions=3, replicas=3, min_insync_replicas="1")
        loads = [Waiting(topic, name) for name in ("a", "b", "c")]
        # each message costs three brokers ten milliseconds of processor time
        for load in loads:
            load.wait_for(80)
        for broker in (1, 2):
            trouble(cluster.node(broker))
            for load in loads:
                load.wait_for(80)
        for load in loads:
            load.stopping = True
        for load in loads:
            load.join(60)
            assert not load.is_alive() and load.failed == [] and load.direct > 100
        ends = sum(response.offset[0] for response in topic.latest_available_offsets().values())
        got = read_all(topic, ends, timeout_ms=20000)
        assert Counter(message.value for message in got) == Counter(value for load in loads for value in load.acknowledged)
        for first in (b"a", b"b", b"c"):
            for number in range(3):
                mine = [each.value for each in got if each.partition_id == number and (each.value or b"")[:1] == first]
                assert mine == sorted(mine), "in order"
