"""More partitions for topics: each play runs on a fake cluster and a real broker, and every field of all answers is the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pykafka.testing import FakeCluster

from ..brokers import KafkaCluster
from .peer import (
    Comparer,
    Peer,
    Play,
    Plays,
    answers,
    batch,
    create_partitions,
    differences,
    list_offsets,
    metadata,
    new_topic,
    produce,
)

PLAYS = Plays()
play = PLAYS.add


def partitions_of(peer: Peer, topic: str, count: int) -> Any:
    """Return the metadata of a topic's partitions, once there are so many and all of them have a leader."""
    while True:
        rows = peer.ask(metadata(topic)).topics[0].partitions
        if len(rows) == count and all(row.leader_id >= 0 for row in rows):
            return sorted(rows, key=lambda row: int(row.partition_index))


@play
def topics_have_more_partitions(peer: Peer, topic: str) -> Iterator[Any]:
    topic_id = new_topic(peer, topic)
    yield peer.ask(create_partitions(topic, count=7, validate_only=True))
    yield partitions_of(peer, topic, 1)
    for version, count in enumerate((2, 3, 4, 7)):
        yield peer.ask(create_partitions(topic, count=count), version)
    yield partitions_of(peer, topic, 7)
    yield peer.ask(create_partitions(topic, count=9, assignments=[[1], [1]]))
    yield partitions_of(peer, topic, 9)
    while peer.ask(list_offsets(topic, -1, partition=8)).topics[0].partitions[0].error_code:
        pass
    yield peer.ask(produce(topic, batch(b"a"), partition=8, topic_id=topic_id))


@play
def topics_that_do_not_have_more_partitions(peer: Peer, topic: str) -> Iterator[Any]:
    new_topic(peer, topic, 3)
    for validate_only in (True, False):
        for request in (
            create_partitions(topic + "-no"),
            create_partitions(""),
            create_partitions("a b"),
            *(create_partitions(topic, count=count) for count in (-1, 0, 1, 2, 3)),
            create_partitions(topic, count=5, assignments=[]),
            create_partitions(topic, count=5, assignments=[[1]]),
            create_partitions(topic, count=4, assignments=[[1], [1]]),
            create_partitions(topic, count=4, assignments=[[]]),
            create_partitions(topic, count=4, assignments=[[9]]),
            create_partitions(topic, count=4, assignments=[[1, 1]]),
            create_partitions(topic, count=4, assignments=[[1, 9]]),
            create_partitions(topic, count=4, assignments=[[-1]]),
            create_partitions(topic, topic, count=4),
            create_partitions(topic + "-no", topic, count=2),
            create_partitions(topic, count=10_004),
            create_partitions(topic, count=2**31 - 1),
            create_partitions(),
        ):
            request.validate_only = validate_only
            answer = peer.ask(request)
            answer.results.sort(key=lambda row: row.name)
            yield answer
    new_topic(peer, topic + "-other", 3)
    for more in (0, 1):
        yield peer.ask(create_partitions(topic, count=10_003 + more, validate_only=True))
        for other in ("-other", "-no"):
            answer = peer.ask(create_partitions(topic, topic + other, count=5003 + more, validate_only=True))
            answer.results.sort(key=lambda row: row.name)
            yield answer
    yield partitions_of(peer, topic, 3)


@pytest.mark.kafka(since="4.4")
@pytest.mark.parametrize("act", PLAYS, ids=lambda act: act.__name__)
def test_a_fake_cluster_adds_partitions_as_a_real_one(act: Play, kafka: KafkaCluster, topic_name: str) -> None:
    expected = answers(act, kafka.hosts, topic_name, Comparer())
    with FakeCluster(racks=["r1"]) as fake:
        assert list(differences(answers(act, fake.hosts, topic_name, Comparer()), expected)) == []
        assert fake.complaints == []
