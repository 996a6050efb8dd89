"""What a fake broker says that it understands is what a real one of the same version says."""

from __future__ import annotations

import pytest

from pykafka.protocol import messages as m
from pykafka.protocol.schema import REQUESTS
from pykafka.testing import FakeCluster

from ..brokers import KafkaCluster
from .peer import peer_of

#: Where we offer less, on purpose: there are no logs without record batches, and so no versions for them.
LOWEST_HERE = {"Produce": 3, "Fetch": 4, "ListOffsets": 1}


@pytest.mark.core
def test_a_fake_broker_says_that_it_understands_what_a_real_one_does(kafka: KafkaCluster, broker_version: str) -> None:
    with peer_of(kafka.hosts) as peer:
        real = peer.ranges
    with FakeCluster(as_version=broker_version) as cluster, peer_of(cluster.hosts) as peer:
        fake = peer.ranges
    differ = {}
    for key, (low, high) in fake.items():
        name, bounds = REQUESTS[key].NAME, real.get(key, (-1, -1))
        wanted = (max(bounds[0], LOWEST_HERE.get(name, 0)) if low else bounds[0], bounds[1])
        if (low, high) != wanted:
            differ[name] = ((low, high), bounds)
    assert differ == {}


@pytest.mark.kafka(since="4.0")
def test_features_that_are_on_are_those_of_a_real_one(kafka: KafkaCluster, broker_version: str) -> None:
    request = m.ApiVersionsRequest(client_software_name="a", client_software_version="1")
    found = []
    with FakeCluster(as_version=broker_version) as cluster:
        for hosts in (kafka.hosts, cluster.hosts):
            with peer_of(hosts) as peer:
                found.append({row.name: row.max_version_level for row in peer.ask(request, 4).finalized_features})
    real, fake = found
    assert fake and fake.items() <= real.items()
