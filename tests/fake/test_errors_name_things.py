"""Errors of a broker that is dead know nothing but an address: what was being done, and for whom, has to be added."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any, Callable, NamedTuple

import pytest

from pykafka import KafkaClient
from pykafka.exceptions import KafkaException, OperationTimedOut, SocketDisconnectedError
from pykafka.offsets import committed_by_group
from pykafka.simpleconsumer import SimpleConsumer
from pykafka.topic import Topic

from .broker import fake_broker


class Orphans(NamedTuple):
    """What was made while there was a broker."""

    client: KafkaClient
    topic: Topic
    consumer: SimpleConsumer


@pytest.fixture(scope="module")
def orphans() -> Iterator[Orphans]:
    """A client, a topic and a consumer whose only broker is gone."""
    with fake_broker() as broker:
        client = KafkaClient(broker.hosts, socket_timeout_ms=300, offsets_channel_socket_timeout_ms=300)
        topic = client.topics["t"]
        consumer = topic.get_simple_consumer("billing", auto_start=False, offsets_commit_max_retries=0)
    with client:
        yield Orphans(client, topic, consumer)


#: Call -> what its error has to name, and the topic that it carries.
CALLS: dict[str, tuple[Callable[[Orphans], Any], str, Any]] = {
    "commit": (
        lambda o: o.consumer.commit_offsets([(o.topic.partitions[0], 1)]), "committing offsets of t/0 for group billing", "t",
    ),
    "fetch": (lambda o: o.consumer.fetch_offsets(), "fetching committed offsets of t/0 for group billing", "t"),
    "reset": (lambda o: o.consumer.reset_offsets(), "looking up offsets of t/0", "t"),
    "start": (lambda o: o.consumer.start(), "asking the brokers about topic t", "t"),
    "latest": (lambda o: o.topic.latest_available_offsets(), "looking up offsets of t/0", "t"),
    "by time": (lambda o: o.topic.partitions[0].fetch_offset_limit(1000), "looking up offsets of t/0", "t"),
    "member": (lambda o: o.topic.get_balanced_consumer("billing", managed=True), "asking the brokers about topic t", "t"),
    "coordinator": (
        lambda o: o.client.cluster.get_group_coordinator("billing"), "looking for the coordinator of group billing", None,
    ),
    "topic": (lambda o: o.client.topics["other"], "asking the brokers about topic other", "other"),
    "topic in": (lambda o: "other" in o.client.topics, "asking the brokers about topic other", "other"),
    "all of a group": (
        lambda o: committed_by_group(o.client.cluster, "billing"), "fetching what group billing has committed", None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("call", CALLS)
def test_an_error_of_a_dead_broker_names_the_topic_or_group_that_it_was_about(call: str, orphans: Orphans) -> None:
    step, words, topic = CALLS[call]
    with pytest.raises((OperationTimedOut, SocketDisconnectedError), match=f"^{words} failed: .*127.0.0.1:") as caught:
        step(orphans)
    error = caught.value
    assert isinstance(error, KafkaException) and (error.topic, error.code, error.retriable) == (topic, None, True)
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.topic) == (type(error), str(error), topic)
