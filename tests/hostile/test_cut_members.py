"""A member whose connection is reset inside a request or an answer, at every byte: it asks again, and nothing else happens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pykafka import KafkaClient
from pykafka.group_protocols import member_settings

from ..fake.broker import FakeBroker, fake_broker
from ..fake.test_group_troubles import Coordinator, coordinate_classic, member, read_one
from ..support import until
from .test_cut_connections import QUICK

#: What a member asks when it begins and when it leaves, in each protocol; and what it asks in between.
ENDS = [("classic", "JoinGroup"), ("classic", "SyncGroup"), ("classic", "OffsetFetch"), ("classic", "LeaveGroup")]
ENDS += [("consumer", "ConsumerGroupHeartbeat"), ("consumer", "OffsetFetch")]
BETWEEN = [("classic", "Heartbeat"), ("classic", "OffsetCommit")]
BETWEEN += [("consumer", "ConsumerGroupHeartbeat"), ("consumer", "OffsetCommit")]
WHERE = pytest.mark.parametrize("where", ["request", "answer"])


@pytest.fixture
def quick_members(monkeypatch: pytest.MonkeyPatch) -> None:
    """Members that hardly pause between tries."""

    def settings(options: Any) -> Any:
        return member_settings(options)._replace(retry_backoff_s=0.001, retry_backoff_max_s=0.002)

    monkeypatch.setattr("pykafka.group_protocols.member_settings", settings)
    monkeypatch.setattr("pykafka.offsets.FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr("pykafka._engine.engine.METADATA_PAUSE_S", 0.001)


class Cutting:
    """A group of one member, whose requests or answers are cut one after the other, at every byte."""

    def __init__(self, broker: FakeBroker, protocol: str, where: str, api: str) -> None:
        self.broker, self.where, self.api = broker, where, api
        self.group = Coordinator(broker)
        coordinate_classic(broker)
        if protocol == "classic":
            self.group.epoch = 8  # the generation that it gives out

    def cuts(self) -> Iterator[int]:
        """Yield where each cut is made; after each of them it has to be asked again."""
        sizes = self.broker.request_sizes if self.where == "request" else self.broker.answer_sizes
        for cut in range(sizes[self.api]):
            # a request that is cut is not seen
            wanted = len(self.broker.seen(self.api)) + (1 if self.where == "request" else 2)
            if self.where == "request":
                self.broker.cut_request = self.api, cut
            else:
                self.broker.cut_answer = self.api, cut
            yield cut
            assert self.is_done, f"nothing was cut after {cut} bytes"
            until(lambda wanted=wanted: len(self.broker.seen(self.api)) >= wanted, what="another try")  # type: ignore[misc]

    @property
    def is_done(self) -> bool:
        """Return whether the cut was made."""
        return self.broker.cut_request is None and self.broker.cut_answer is None


@WHERE
@pytest.mark.parametrize(("protocol", "api"), ENDS)
@pytest.mark.usefixtures("quick_members")
def test_a_reset_at_any_byte_while_a_member_begins_or_leaves_costs_another_try_and_no_message(
    protocol: str, api: str, where: str
) -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts, **QUICK) as client:
        cutting = Cutting(broker, protocol, where, api)
        with member(client, group_protocol=protocol, auto_commit_enable=False):
            pass
        for _cut in cutting.cuts():
            with member(client, group_protocol=protocol, auto_commit_enable=False) as consumer:
                read_one(consumer)
                assert consumer.consume(block=False) is None


@WHERE
@pytest.mark.parametrize(("protocol", "api"), BETWEEN)
@pytest.mark.usefixtures("quick_members")
def test_a_reset_at_any_byte_of_what_a_member_asks_in_between_costs_another_try_and_no_rebalance(
    protocol: str, api: str, where: str
) -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts, **QUICK) as client:
        cutting = Cutting(broker, protocol, where, api)
        cutting.group.heartbeat_ms = 2
        options = {"group_protocol": protocol, "auto_commit_enable": False, "heartbeat_interval_ms": 2}
        with member(client, **options) as consumer:
            read_one(consumer)
            consumer.commit_offsets()
            until(lambda: api in broker.answer_sizes, what="the first of them")
            begun = consumer.group_status().generation
            for cut in cutting.cuts():
                if api == "OffsetCommit":
                    consumer.commit_offsets([(consumer.partitions[0], cut + 2)])
                    assert cutting.group.committed[-1] == (begun, 0, cut + 2)
                else:
                    until(lambda: cutting.is_done, what="the next heartbeat")
            assert consumer.group_status().generation == begun
        assert len(broker.seen("JoinGroup")) == (protocol == "classic")
        assert [beat.member_epoch for beat in broker.seen("ConsumerGroupHeartbeat")].count(0) == (protocol == "consumer")
