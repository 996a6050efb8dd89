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


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--brokers``."""
    parser.addoption("--brokers", metavar="V,V,...", help="x")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for name, scope in (("kafka", "session"), ("kafka3", "module")):
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, (metafunc.config.getoption("--brokers") or "4.4.0").split(","), indirect=True, scope=scope)


@pytest.fixture(scope="session")
def kafka(request) -> Iterator[KafkaCluster]:
    """One real broker, shared by all tests: each uses topics and groups of its own."""
    _need_java()
    with KafkaCluster(version=request.param) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def kafka3(request) -> Iterator[KafkaCluster]:
    """Three real brokers, which tests may kill and restart: they leave all of them running."""
    _need_java()
    with KafkaCluster(3, request.param) as cluster:
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
