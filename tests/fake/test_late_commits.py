"""commit_offsets() that comes too late says so, once: what was delivered before partitions were taken away is read again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from pykafka import KafkaClient
from pykafka.common import OffsetType
from pykafka.exceptions import IllegalGeneration
from pykafka.group_commits import MOVED_ON
from pykafka.membershipprotocol import CooperativeStickyProtocol, RangeProtocol
from pykafka.testing import FakeCluster, GroupSettings

from ..support import until

WAYS = [("consumer", RangeProtocol), ("classic", RangeProtocol), ("classic", CooperativeStickyProtocol)]
TEN = [b"%d" % number for number in range(10)]


@pytest.fixture
def cluster() -> Iterator[FakeCluster]:
    with FakeCluster(topics={"t": 2}, group_settings=GroupSettings(consumer_heartbeat_interval_ms=100)) as one:
        for partition in range(2):
            one.produce("t", TEN, partition=partition)
        yield one


@pytest.fixture
def client(cluster: FakeCluster) -> Iterator[KafkaClient]:
    with KafkaClient(cluster.hosts) as one:
        yield one


def member(client: KafkaClient, way: tuple[str, Any], **options: Any) -> Any:
    protocol, sharing = way
    reading = {"auto_offset_reset": OffsetType.EARLIEST, "consumer_timeout_ms": 300, "heartbeat_interval_ms": 100}
    ways = {"managed": True, "group_protocol": protocol, "membership_protocol": sharing}
    return client.topics["t"].get_balanced_consumer("g", **{**reading, **ways, **options})


def read(consumer: Any, count: int) -> None:
    got: list[Any] = []
    until(lambda: got.extend(consumer.consume_batch(count - len(got))) or len(got) == count, what=f"{count} messages")


def put_out(cluster: FakeCluster, consumer: Any) -> Any:
    """Return the status that a member had before it was put out of its group."""
    before = consumer.group_status()
    cluster.expire_session("g")
    return before


def has_another_seat(consumer: Any, before: Any) -> bool:
    return consumer.group_status().generation not in (-1, before.generation)


def until_settled(consumer: Any, before: Any) -> None:
    until(lambda: has_another_seat(consumer, before) and consumer.partitions and not consumer._fenced, what="another seat")


def committed(cluster: FakeCluster) -> list[int]:
    return [one.offset for _place, one in sorted(cluster.committed("g").items())]


@pytest.mark.parametrize("settled", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_a_commit_after_the_seat_was_lost_says_so_once(
    cluster: FakeCluster, client: KafkaClient, way: tuple[str, Any], settled: bool
) -> None:
    with member(client, way) as consumer:
        read(consumer, 20)
        before = put_out(cluster, consumer)
        if settled:
            until_settled(consumer, before)
        # before it is settled the coordinator may be who says so
        error, said = (IllegalGeneration, r"(?s)t/0, 1 cannot be committed: they were lost.*") if settled else (MOVED_ON, "")
        with pytest.raises(error, match=f"{said}delivered again"):
            consumer.commit_offsets()
        until_settled(consumer, before)
        consumer.commit_offsets()
        assert sum(committed(cluster)) == 0
        read(consumer, 20)
        consumer.commit_offsets()
        assert committed(cluster) == [10, 10]


@pytest.mark.parametrize("way", WAYS)
def test_a_commit_after_another_member_has_come_says_what_will_be_read_twice(
    cluster: FakeCluster, client: KafkaClient, way: tuple[str, Any]
) -> None:
    with ExitStack() as both:
        first = both.enter_context(member(client, way))
        read(first, 20)
        second = both.enter_context(member(client, way))
        until(lambda: [len(one.partitions) for one in (first, second)] == [1, 1], what="a share for both")
        (theirs,) = second.partitions
        said = rf"(?s)t/.*{theirs}.* cannot.*given up before what was delivered last was committed, because "
        with pytest.raises(IllegalGeneration, match=said):
            first.commit_offsets()
        first.commit_offsets()
        read(second, 10)


@pytest.mark.parametrize("way", WAYS)
def test_what_is_back_and_read_as_far_again_is_no_error(cluster: FakeCluster, client: KafkaClient, way: tuple[str, Any]) -> None:
    with member(client, way) as consumer:
        read(consumer, 20)
        before = put_out(cluster, consumer)
        until(lambda: has_another_seat(consumer, before), what="another seat")
        read(consumer, 20)
        consumer.commit_offsets()
        assert committed(cluster) == [10, 10]


@pytest.mark.parametrize("auto", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_who_commits_in_time_hears_of_nothing(
    cluster: FakeCluster, client: KafkaClient, way: tuple[str, Any], auto: bool
) -> None:
    commits: dict[str, Any] = {"auto_commit_enable": True} if auto else {"on_revoke": lambda it, _partitions: it.commit_offsets()}
    with member(client, way, **commits) as first:
        read(first, 20)
        with member(client, way, **commits) as second:
            until(lambda: [len(one.partitions) for one in (first, second)] == [1, 1], what="a share for both")
            first.commit_offsets()
            assert committed(cluster) == [10, 10]
            assert second.consume() is None


@pytest.mark.parametrize("way", WAYS)
def test_what_was_told_already_is_not_told_again(cluster: FakeCluster, client: KafkaClient, way: tuple[str, Any]) -> None:
    with member(client, way) as consumer:
        read(consumer, 20)
        before = put_out(cluster, consumer)
        place = client.topics["t"].partitions[0]
        with pytest.raises(MOVED_ON):
            consumer.commit_offsets([(place, 10)])
        until_settled(consumer, before)
        consumer.commit_offsets()


@pytest.mark.parametrize("way", WAYS)
def test_a_place_that_the_user_has_gone_to_and_read_nothing_from_is_nothing_that_is_lost(
    cluster: FakeCluster, client: KafkaClient, way: tuple[str, Any]
) -> None:
    with member(client, way) as consumer:
        read(consumer, 20)
        consumer.commit_offsets()
        consumer.pause(consumer.partitions.values())
        for partition, offset in zip(consumer.partitions.values(), (3, 9)):
            consumer.seek(partition, offset)
        before = put_out(cluster, consumer)
        until_settled(consumer, before)
        consumer.commit_offsets()


@pytest.mark.parametrize("way", WAYS)
def test_on_assign_commits_what_it_has_and_hears_of_nothing_that_was(
    cluster: FakeCluster, client: KafkaClient, way: tuple[str, Any]
) -> None:
    heard: list[Any] = []

    def on_assign(consumer: Any, _partitions: Any) -> None:
        try:
            heard.append(consumer.commit_offsets())
        except Exception as error:
            heard.append(error)

    with member(client, way, on_assign=on_assign) as consumer:
        read(consumer, 20)
        before = put_out(cluster, consumer)
        until(lambda: has_another_seat(consumer, before) and len(heard) > 1 and not consumer._fenced, what="another seat")
        with pytest.raises(IllegalGeneration):
            consumer.commit_offsets()
    assert heard == [None] * len(heard)


def test_a_new_start_has_nothing_to_do_with_what_the_one_before_left(cluster: FakeCluster, client: KafkaClient) -> None:
    with member(client, WAYS[1]) as consumer:
        read(consumer, 20)
        consumer.stop()
        consumer.start()
        consumer.commit_offsets()
