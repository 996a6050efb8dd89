"""Ctrl-C ends a start(), not what its worker waits for just then: whatever that finds out is nothing to the next start."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any, Callable, Optional

import pytest

from pykafka import KafkaClient
from pykafka.common import OffsetType
from pykafka.exceptions import ConsumerStoppedException, GroupIdNotFound, NotLeaderForPartition, TopicAuthorizationFailed
from pykafka.testing import FakeCluster

from ..support import until

KINDS = ("classic", "consumer")


@pytest.fixture
def cluster() -> Iterator[FakeCluster]:
    with FakeCluster(topics={"t": 1}) as one:
        one.produce("t", [b"v"] * 9)
        yield one


@pytest.fixture
def client(cluster: FakeCluster) -> Iterator[KafkaClient]:
    with KafkaClient(cluster.hosts) as one:
        yield one


def make(client: KafkaClient, kind: str, **options: Any) -> Any:
    reading = {"auto_offset_reset": OffsetType.EARLIEST, "consumer_timeout_ms": 20000, "auto_start": False}
    return client.topics["t"].get_balanced_consumer(kind, managed=True, **{"group_protocol": kind, **reading, **options})


def ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


class EndedStart:
    """A member whose start() has been ended by Ctrl-C in the middle of its worker's look for where to begin."""

    def __init__(self, member: Any, error: Optional[Exception] = None) -> None:
        self.member = member
        self.workers: list[threading.Thread] = []
        self.next_looks: Callable[[], object] = lambda: None
        self._look = member._places
        self._error = error
        self._go_on = threading.Event()
        member._places = self._places
        with pytest.raises(KeyboardInterrupt):
            member.start()

    def _places(self, *args: Any) -> Any:
        self.workers.append(threading.current_thread())
        found = self._look(*args)
        if len(self.workers) > 1:
            self.next_looks()
            return found
        ctrl_c()
        self._go_on.wait(20)
        if self._error is not None:
            raise self._error
        return found

    def go_on(self) -> None:
        """Let the worker of the ended start go on, to its end."""
        self._go_on.set()
        self.workers[0].join(20)
        assert not self.workers[0].is_alive()


def committed(cluster: FakeCluster, kind: str) -> list[int]:
    return [one.offset for one in cluster.committed(kind).values()]


def read_five_and_commit(member: Any) -> None:
    assert [member.consume().offset for _ in range(5)] == list(range(5))
    member.commit_offsets()


@pytest.mark.parametrize("kind", KINDS)
def test_where_an_ended_start_would_begin_is_nothing_to_the_next_one(client: KafkaClient, kind: str) -> None:
    """By then others may have read on from there: it was read, and committed, a second time."""
    member, other = make(client, kind), make(client, kind)
    ended = EndedStart(member)
    with other:
        read_five_and_commit(other)
    ended.next_looks = ended.go_on  # what it does then is done while nobody else has begun with the partition
    with member:
        assert member.consume().offset == 5


@pytest.mark.parametrize(
    ("error", "resets"),
    [(None, False), (NotLeaderForPartition("it passes"), True), (TopicAuthorizationFailed("of the start before"), False)],
    ids=["nothing", "what passes", "what does not"],
)
@pytest.mark.parametrize("kind", KINDS)
def test_what_goes_wrong_for_an_ended_start_is_nothing_to_the_next_one(
    cluster: FakeCluster, client: KafkaClient, kind: str, error: Optional[Exception], resets: bool
) -> None:
    """Its error was raised by the next one; or it had that try again, and reset what was read and committed meanwhile."""
    called: list[int] = []

    def after(_consumer: Any, _before: Any, _after: Any) -> Optional[dict[int, int]]:
        called.append(threading.get_ident())
        return {0: 0} if len(called) > 1 else None  # which is committed

    member = make(client, kind, post_rebalance_callback=after, reset_offset_on_start=resets)
    ended = EndedStart(member, error)
    with member:
        read_five_and_commit(member)
        ended.go_on()
        time.sleep(1.2)  # tried again after a second, if at all
        assert committed(cluster, kind) == [5] and member.consume().offset == 5
        assert len(called) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_callback_of_an_ended_start_can_do_nothing_to_the_next_one(
    cluster: FakeCluster, client: KafkaClient, kind: str
) -> None:
    """It moved what the next one read, committed what that had delivered, and stopped it."""
    threads: list[threading.Thread] = []
    refused: list[type[Exception]] = []
    go_on = threading.Event()

    def on_assign(consumer: Any, partitions: Any) -> None:
        threads.append(threading.current_thread())
        if len(threads) > 1:
            return
        ctrl_c()
        go_on.wait(20)
        for act in (lambda: consumer.seek(partitions[0], 0), consumer.commit_offsets, consumer.pause, consumer.stop):
            try:
                act() if act != consumer.pause else act(partitions)
            except Exception as error:
                refused.append(type(error))

    member = make(client, kind, on_assign=on_assign)
    with pytest.raises(KeyboardInterrupt):
        member.start()
    with member:
        assert [member.consume().offset for _ in range(5)] == list(range(5))
        go_on.set()
        threads[0].join(20)
        assert refused == [ConsumerStoppedException] * 3 and committed(cluster, kind) == [0]
        assert member.consume().offset == 5


def test_what_a_coordinator_tells_an_ended_start_of_its_group_is_nothing_to_the_next_one(
    cluster: FakeCluster, client: KafkaClient
) -> None:
    """It ended the next start with the old error, or gave it a member that never joined, and whose partitions nobody read."""
    cluster.fail_next("ConsumerGroupHeartbeat", GroupIdNotFound)
    member = make(client, "consumer", group_protocol="auto")
    choose, threads, go_on = member._make_member, [], threading.Event()

    def slowly() -> Any:
        threads.append(threading.current_thread())
        if len(threads) == 2:
            ctrl_c()
            go_on.wait(20)
        return choose()

    member._make_member = slowly
    with pytest.raises(KeyboardInterrupt):
        member.start()
    with member:
        go_on.set()
        threads[1].join(20)
        assert member._member is member._session._member
        read_five_and_commit(member)


def test_what_is_begun_with_already_is_not_reset_by_a_look_that_comes_late(cluster: FakeCluster, client: KafkaClient) -> None:
    """Without Ctrl-C: leaders refuse the first look, and the member loses its seat and reads on before the next one."""
    cluster.fail_next("ListOffsets", NotLeaderForPartition, times=2)
    with make(client, "classic", reset_offset_on_start=True, heartbeat_interval_ms=50) as member:
        cluster.expire_session("classic")
        read_five_and_commit(member)
        time.sleep(1.2)  # tried again after a second
        assert committed(cluster, "classic") == [5] and member.consume().offset == 5
        until(lambda: member.partitions, what="its partition")
