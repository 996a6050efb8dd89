"""What tests of the fake cluster share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pykafka.testing import FakeCluster

from .peer import Peer, peer_of


@pytest.fixture
def fakes() -> Iterator[FakeCluster]:
    """Three brokers and a topic of one partition, which broker 1 leads."""
    with FakeCluster(brokers=3, topics={"t": 1}) as cluster:
        yield cluster


@pytest.fixture
def peer(fakes: FakeCluster) -> Iterator[Peer]:
    """A connection to broker 1."""
    with peer_of(fakes.hosts) as peer:
        yield peer
