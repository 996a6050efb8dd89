"""Topics to measure with: made, filled by librdkafka in the ways that topics are filled, and deleted."""

from __future__ import annotations

import random
from typing import Any, Optional

from benchmarks.instant import KEPT
from benchmarks.plan import CODECS
from benchmarks.workloads.job import DIFFERENT, json_value, random_value
from pykafka import KafkaClient
from tests.support import create_topic

PARTITIONS = 4
#: The first message of a topic that was filled over time, and how far apart its messages are: a message every millisecond.
FIRST_MS, STEP_MS = 1_700_000_000_000, 1


def name_of(filled: str) -> str:
    """Return the topic that is filled in a certain way."""
    return f"{KEPT}-{filled}"


def make_topic(client: KafkaClient, name: str, partitions: int = PARTITIONS, replicas: int = 1) -> None:
    """Create a topic and return when it can be used."""
    create_topic(client, name, partitions, replicas)


def delete_topic(client: KafkaClient, name: str) -> None:
    """Delete a topic."""
    broker = client.cluster.controller_broker
    assert broker is not None
    broker.delete_topics([name])


def fill(
    client: KafkaClient, hosts: str, filled: str, count: int, partitions: int = PARTITIONS, topic: Optional[str] = None
) -> str:
    """Return a new topic with ``count`` messages; on the instant broker its name has to begin with "kept".

    :param filled: ``equal`` sizes; ``mixed`` sizes and keys, with the timestamps of a service that writes all the time, so that
        inside a batch they vary in length, too; or the name of a codec, with JSON
    """
    from confluent_kafka import Producer  # here: what does not fill anything can do without it

    topic = topic or name_of(filled)
    make_topic(client, topic, partitions)
    codec = filled if filled in CODECS else "none"
    producer = Producer(
        {
            "bootstrap.servers": hosts,
            "compression.type": codec,
            "acks": "all",
            "linger.ms": 50,
            "batch.num.messages": 100000,
            # else all of them go to one partition for as long as one batch lingers
            "sticky.partitioning.linger.ms": 0,
            "queue.buffering.max.messages": 10000000,
        }
    )
    for message in messages(filled, count):
        while True:
            try:
                producer.produce(topic, **message)
                break
            except BufferError:
                producer.poll(0.01)
    producer.flush()
    return topic


def messages(filled: str, count: int) -> list[dict[str, Any]]:
    """Return what producing each message takes."""
    chance = random.Random(2)
    if filled == "mixed":
        sizes, keys = [chance.randint(50, 150) for _ in range(DIFFERENT)], [chance.randrange(10**6) for _ in range(DIFFERENT)]
        return [
            {
                "value": random_value(chance, sizes[number % DIFFERENT]),
                "key": b"key-%d" % keys[number % DIFFERENT],
                "timestamp": FIRST_MS + number * STEP_MS,
            }
            for number in range(count)
        ]
    if filled == "equal":
        return [{"value": random_value(chance, 100)} for _ in range(count)]
    return [{"value": json_value(chance, 100)} for _ in range(count)]
