"""What the controllers of a fake cluster say of themselves is what real ones say, but for the log that they do not keep."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pykafka import KafkaClient
from pykafka.protocol import messages as m
from pykafka.quorum import controller_time
from pykafka.testing import FakeCluster, ManualClock

from .. import needs
from ..brokers import KafkaCluster
from .peer import Comparer, Peer, answers, differences, peer_of

# kafka-python reads its schemas in a way that Python warns of
pytestmark = pytest.mark.filterwarnings("ignore:(read|open)_text is deprecated:DeprecationWarning")

LOG = "__cluster_metadata"


def quorum(*topics: tuple[str, list[int]]) -> Any:
    """Return a request to describe partitions."""
    kind = m.DescribeQuorumRequest
    rows = [(name, [kind.PartitionData(partition_index=number) for number in numbers]) for name, numbers in topics]
    return kind(topics=[kind.TopicData(topic_name=name, partitions=parts) for name, parts in rows])


class QuorumComparer(Comparer):
    """Has times, epochs, ends of logs, and the name that only a real controller has."""

    def plain(self, value: Any, name: str = "") -> Any:
        if name in ("last_fetch_timestamp", "last_caught_up_timestamp") and value > 0:
            return name
        if name in ("leader_epoch", "log_end_offset", "high_watermark"):
            return name
        return super().plain("listener" if isinstance(value, str) and value in ("CTRL", "CONTROLLER") else value, name)


def play(peer: Peer, _topic: str) -> Iterator[Any]:
    """Ask for the log of the metadata, and for what there is not."""
    for topics in (
        [(LOG, [0])],
        [],
        [(LOG, [])],
        [(LOG, [1])],
        [(LOG, [0, 1])],
        [(LOG, [0, 0])],
        [(LOG, [0]), (LOG, [0])],
        [(LOG, [0]), (LOG, [])],
        [("t", [0])],
        [("t", [])],
        [("", [0])],
        [("t", [0]), (LOG, [0])],
        [(LOG, [0]), ("t", [])],
    ):
        for version in range(3):
            yield peer.ask(quorum(*topics), version)


@pytest.mark.kafka(since="4.4")
def test_a_fake_controller_describes_its_quorum_as_a_real_one(kafka: KafkaCluster) -> None:
    with FakeCluster() as fake:
        found, wanted = (answers(play, hosts, "", QuorumComparer()) for hosts in (fake.hosts, kafka.hosts))
    wrong = [f"{at}: {line}" for at, pair in enumerate(zip(found, wanted)) for line in differences(*pair)]
    assert wrong == [] and len(found) == len(wanted)


def test_controllers_that_are_down_are_not_heard_of_and_another_one_leads_in_the_next_epoch() -> None:
    with FakeCluster(brokers=3) as fake:
        fake.stop_broker(1)
        with peer_of(fake.hosts.split(",")[1]) as peer:
            (part,) = peer.ask(quorum((LOG, [0]))).topics[0].partitions
            assert (part.leader_id, part.leader_epoch) == (2, 2)
            assert [(row.replica_id, row.last_caught_up_timestamp > 0) for row in part.current_voters] == [
                (1, False), (2, True), (3, True),
            ]  # fmt: skip
            fake.start_broker(1)
            (part,) = peer.ask(quorum((LOG, [0]))).topics[0].partitions
            assert (part.leader_id, part.leader_epoch) == (1, 3)


def test_the_description_fails_as_a_test_wants_it_to() -> None:
    with FakeCluster() as fake, peer_of(fake.hosts) as peer:
        for place, errors in (({}, (41, 41)), ({"topic": LOG}, (0, 41)), ({"topic": LOG, "partition": 0}, (0, 41))):
            fake.fail_next("DescribeQuorum", 41, **place)
            for wanted in (errors, (0, 0)):
                answer = peer.ask(quorum((LOG, [0])))
                assert (answer.error_code, answer.topics[0].partitions[0].error_code) == wanted


def test_clients_are_told_who_the_controller_is_and_what_time_it_has() -> None:
    clock = ManualClock()
    with FakeCluster(brokers=3, clock=clock) as fake:
        with KafkaClient(fake.hosts) as client:
            found = controller_time(client.cluster)
        assert found is not None and found.controller_id == 1 and found.time_ms > 0
        admin = needs.package("kafka.admin").KafkaAdminClient(bootstrap_servers=fake.hosts)
        try:
            (topic,) = admin.describe_metadata_quorum()["topics"]
        finally:
            admin.close()
        assert topic["partitions"][0]["leader_id"] == 1
        assert [row["replica_id"] for row in topic["partitions"][0]["current_voters"]] == [1, 2, 3]
