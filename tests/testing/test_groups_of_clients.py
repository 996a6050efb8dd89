"""Members of this library, of confluent-kafka and of kafka-python in groups on a fake cluster, as they are on real brokers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pykafka import KafkaClient
from pykafka.testing import FakeCluster
from pykafka.testing.group_common import GroupSettings

from ..real.test_mixed_groups import NEWER, PROTOCOLS, Confluent, KafkaPython, Ours, Play
from ..support import until

# kafka-python reads its schemas in a way that Python warns of
pytestmark = pytest.mark.filterwarnings("ignore:(read|open)_text is deprecated:DeprecationWarning")


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeCluster]:
    """Three brokers, whose members of the newer protocol ask often for what is new."""
    with FakeCluster(brokers=3, group_settings=GroupSettings(consumer_heartbeat_interval_ms=100)) as cluster:
        yield cluster


@pytest.fixture
def play(fake: FakeCluster, topic_name: str) -> Iterator[Play]:
    """A topic and its group."""
    with KafkaClient(fake.hosts) as client, Play(fake, client, topic_name) as play:  # type: ignore[arg-type]  # has hosts
        yield play


@pytest.mark.parametrize("sharing", PROTOCOLS)
def test_members_of_three_clients_share_and_take_over_from_each_other(play: Play, sharing: str) -> None:
    first = play.enter(KafkaPython, sharing)
    play.until_shared(first)
    play.write()
    second, third = play.enter(Confluent, sharing), play.enter(Ours, sharing)
    play.until_shared(first, second, third)
    play.write()
    description = play.description()
    assert description[:5] == (0, play.name.encode(), b"Stable", b"consumer", sharing.encode())
    first.leave()
    play.until_shared(second, third)
    play.write()
    second.leave()
    play.until_shared(third)
    play.write()
    third.leave()
    play.check_read_once()
    play.check_committed()


@pytest.mark.parametrize("other", [Ours, Confluent])
def test_members_of_the_newer_protocol_share_and_take_over_from_each_other(play: Play, other: Any) -> None:
    play.take_over_from_each_other(Ours, other, NEWER)


@pytest.mark.parametrize(
    ("classic_kind", "sharing"),
    [(Ours, "range"), (Ours, "cooperative-sticky"), (Confluent, "range"), (Confluent, "roundrobin"), (KafkaPython, "range")],
)
def test_a_group_goes_over_to_the_newer_protocol_and_back_while_its_members_run(
    play: Play, classic_kind: Any, sharing: str
) -> None:
    play.go_over_and_back(classic_kind, sharing)


def test_members_of_three_clients_and_both_protocols_share_one_group(play: Play) -> None:
    play.mix_clients_and_protocols()


@pytest.mark.parametrize("sharing", ["range", "cooperative-sticky"])
def test_members_change_to_the_newer_protocol_one_by_one_while_messages_come(play: Play, sharing: str) -> None:
    play.change_one_by_one(sharing)


@pytest.mark.parametrize("sharing", ["range", NEWER])
def test_a_coordinator_that_moves_and_a_session_that_ends_disturb_a_group_but_lose_nothing(
    play: Play, fake: FakeCluster, sharing: str
) -> None:
    first, second = play.enter(Ours, sharing), play.enter(Ours, sharing)
    play.until_shared(first, second)
    play.write()
    for broker in (1, 2, 3):
        fake.move_coordinator(play.name, broker)
        play.write()
    lost = fake.members(play.name)[0]
    fake.expire_session(play.name, lost)
    until(lambda: len(fake.members(play.name)) == 2, what="two members again")
    play.until_shared(first, second)
    play.write()
    first.leave()
    second.leave()
    assert fake.members(play.name) == []
    assert sum(one.offset for one in fake.committed(play.name).values()) == play.ends()
    with pytest.raises(ValueError, match="has no member"):
        fake.expire_session(play.name, lost)
