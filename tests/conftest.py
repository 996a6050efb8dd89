"""Fixtures that all tests share: real brokers, clients of ours, and topics of one's own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Callable

import pytest

from pykafka import KafkaClient, Topic

from .brokers import KafkaCluster, what_is_missing
from .needs import missing
from .support import create_topic

_numbers = itertools.count(1)


def _need_java() -> None:
    lacking = what_is_missing()
    if lacking:
        missing(f"real brokers need {' and '.join(lacking)}")


@pytest.fixture(scope="session")
def kafka() -> Iterator[KafkaCluster]:
    """One real broker, shared by all tests: each uses topics and groups of its own."""
    _need_java()
    with KafkaCluster() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def kafka3() -> Iterator[KafkaCluster]:
    """Three real brokers, which tests may kill and restart: they leave all of them running."""
    _need_java()
    with KafkaCluster(3) as cluster:
        yield cluster


@pytest.fixture
def client(kafka: KafkaCluster) -> Iterator[KafkaClient]:
    """A client of the shared broker."""
    with KafkaClient(kafka.hosts) as client:
        yield client


@pytest.fixture
def topic_name(request: pytest.FixtureRequest) -> str:
    """The name of a topic (or group) that no other test uses."""
    return f"{request.node.originalname[:80]}-{next(_numbers)}"


@pytest.fixture
def make_topic(client: KafkaClient, topic_name: str) -> Callable[..., Topic]:
    """A function that creates a topic with so many partitions and settings, and returns it."""

    def make(partitions: int = 1, suffix: str = "", **settings: str) -> Topic:
        return create_topic(client, topic_name + suffix, partitions, **settings)

    return make
