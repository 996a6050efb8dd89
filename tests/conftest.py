"""Fixtures that all tests share: real brokers, clients of ours, and topics of one's own."""

from __future__ import annotations

import gc
import itertools
import re
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Callable

import pytest

from pykafka import KafkaClient, Topic

from .brokers import DEFAULT_VERSION, VERSIONS, KafkaCluster, version_tuple, what_is_missing
from .needs import missing
from .support import create_topic

_numbers = itertools.count(1)


def _need_java() -> None:
    lacking = what_is_missing()
    if lacking:
        missing(f"real brokers need {' and '.join(lacking)}")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--brokers``."""
    said = f"Kafka versions to test against, one after the other ({DEFAULT_VERSION}); all: {', '.join(VERSIONS)}"
    parser.addoption("--brokers", metavar="V,V,...", help=said)


def pytest_sessionstart() -> None:
    """Have Ctrl-C interrupt the tests: what a script starts with ``&`` ignores it, and so do its children."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Repeat what needs a broker for each version of ``--brokers``, which is then part of the test's id."""
    chosen = metafunc.config.getoption("--brokers")
    if chosen and "broker_version" in metafunc.fixturenames:
        metafunc.parametrize("broker_version", _versions(chosen), indirect=True, scope="session")


def _versions(chosen: str) -> Sequence[str]:
    versions = VERSIONS if chosen == "all" else chosen.split(",")
    for version in versions:
        if not re.fullmatch(r"\d+(\.\d+)+", version):
            raise pytest.UsageError(f"--brokers takes versions of Kafka like {DEFAULT_VERSION}, or all; not {version!r}")
    return versions


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what a version cannot do: ``@pytest.mark.kafka(since=..., before=...)``; put what is left in order."""
    left_out = [item for item in items if not _suits(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    if hasattr(config, "workerinput"):  # one of several processes
        items[:] = _mixed(items)


def _mixed(items: list[pytest.Item]) -> list[pytest.Item]:
    """Return ``items`` so that processes that take modules in turn are busy to the end, with waiting and computing at once.

    Every third module is one with real brokers, as long as there are any; small ones come last.
    """
    modules: dict[str, list[pytest.Item]] = {}
    for item in items:
        modules.setdefault(item.nodeid.split("::")[0], []).append(item)
    real = deque(sorted(name for name in modules if "tests/real/" in name))
    is_small = lambda name: "tests/unit/" in name and "/machines/" not in name  # noqa: E731  # a name for a rule
    others = deque(sorted(modules.keys() - {*real}, key=lambda name: (is_small(name), name)))
    order: list[str] = []
    while real or others:
        order += [names.popleft() for names in (real, others, others) if names]
    return [item for name in order for item in modules[name]]


def pytest_collection_finish() -> None:
    """Have the garbage collector look no more at thousands of tests, which live until the end: that took a tenth of all time."""
    gc.collect()
    gc.freeze()


def _suits(item: pytest.Item) -> bool:
    params = item.callspec.params if hasattr(item, "callspec") else {}
    version = version_tuple(params.get("broker_version", DEFAULT_VERSION))
    limits = [mark.kwargs for mark in item.iter_markers("kafka")]
    return all(version_tuple(limit.get("since", "0")) <= version < version_tuple(limit.get("before", "99")) for limit in limits)


@pytest.fixture(scope="session")
def broker_version(request: pytest.FixtureRequest) -> str:
    """The version of Kafka that the test runs against."""
    return getattr(request, "param", DEFAULT_VERSION)


@pytest.fixture(scope="session")
def kafka(broker_version: str) -> Iterator[KafkaCluster]:
    """One real broker, shared by all tests: each uses topics and groups of its own."""
    _need_java()
    with KafkaCluster(version=broker_version) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def kafka3(broker_version: str) -> Iterator[KafkaCluster]:
    """Three real brokers, which tests may kill and restart: they leave all of them running."""
    _need_java()
    with KafkaCluster(3, broker_version) as cluster:
        yield cluster


@pytest.fixture
def cluster(kafka3: KafkaCluster) -> Iterator[KafkaCluster]:
    """Three nodes, all of them running again afterwards."""
    yield kafka3
    for node in kafka3.nodes:
        node.resume()
        if not node.running:
            node.start()
    kafka3.wait_until_up()


@pytest.fixture
def alone(broker_version: str) -> Iterator[KafkaCluster]:
    """One real broker for this test alone, which may do to it what it likes."""
    _need_java()
    with KafkaCluster(version=broker_version) as cluster:
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
