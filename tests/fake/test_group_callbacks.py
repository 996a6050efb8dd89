"""What members may do in their callbacks, when those are called, and what is committed meanwhile and after."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from typing import Any, Callable

import pytest

from pykafka import KafkaClient
from pykafka.balancedconsumer import BalancedConsumer
from pykafka.common import TopicPartition
from pykafka.exceptions import (
    ConsumerStoppedException,
    GroupAuthorizationFailed,
    IllegalGeneration,
    KafkaException,
    TopicAuthorizationFailed,
)
from pykafka.protocol.messages import ConsumerGroupHeartbeatResponse, OffsetFetchResponse

from ..support import until
from .broker import FakeBroker, fake_broker
from .test_group_troubles import Coordinator, member, read_one

FENCED_MEMBER_EPOCH = 110
T0 = TopicPartition("t", 0)


@pytest.fixture
def broker() -> Iterator[FakeBroker]:
    with fake_broker() as fake:
        yield fake


@pytest.fixture
def group(broker: FakeBroker) -> Coordinator:
    coordinator = Coordinator(broker)
    coordinator.heartbeat_ms = 50
    return coordinator


@pytest.fixture
def client(broker: FakeBroker, group: Coordinator) -> Iterator[KafkaClient]:
    with KafkaClient(broker.hosts) as client:
        yield client


def by_hand(client: KafkaClient, **options: Any) -> BalancedConsumer:
    """Return a member that commits when its user says so."""
    return member(client, **{"auto_commit_enable": False, **options})


def is_there(consumer: BalancedConsumer) -> bool:
    """Return whether the one message was fetched."""
    core = consumer._core
    return core is not None and bool(core.parcels.get(T0))


def tried(call: Callable[[], Any]) -> Any:
    """Return what a call returns, or raises."""
    try:
        return call()
    except Exception as error:
        return error


def take_away(broker: FakeBroker, group: Coordinator) -> None:
    """Have the next heartbeat answered with a share without partitions, and the one after that with the next epoch."""
    told = []

    def beat(request: Any, version: int) -> Any:
        reply = group.beat(request, version)
        if request.member_epoch > 0 and not told:
            told.append(request)
            reply.assignment = ConsumerGroupHeartbeatResponse.Assignment(topic_partitions=[])
        return reply

    broker.scripts["ConsumerGroupHeartbeat"] = beat


# -- seats that were lost while the worker is busy ----------------------------------------------------------------------


class Busy:
    """A member that has read one message, whose worker is busy while it loses its seat and has another."""

    def __init__(self, group: Coordinator, consumer: BalancedConsumer, commits: bool = False) -> None:
        self.consumer = consumer
        self.gate = threading.Event()
        read_one(consumer)
        if commits:
            consumer.commit_offsets()
        worker = consumer._worker
        assert worker is not None
        worker.submit(self.gate.wait, 20)
        group.error = FENCED_MEMBER_EPOCH
        until(lambda: consumer._fenced, what="the loss")
        group.epoch, group.error = 4, 0
        until(lambda: consumer.group_status().generation == 4, what="another seat")

    def __enter__(self) -> Busy:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.gate.set()
        until(lambda: not self.consumer._fenced, what="the worker")


def test_what_was_delivered_from_a_lost_seat_is_not_committed_from_the_next_one(client: KafkaClient, group: Coordinator) -> None:
    with by_hand(client) as consumer, Busy(group, consumer):
        (partition,) = consumer.partitions.values()
        for given in (None, [(partition, 1)], {partition: 1}):
            with pytest.raises(IllegalGeneration, match=r"t/0 cannot be committed: they were lost.*generation 3; .* is at 4"):
                consumer.commit_offsets(given)
        with pytest.raises(IllegalGeneration, match="t/0 cannot be committed"):
            consumer.reset_offsets([(partition, 0)])
        consumer._auto_commit()
        consumer._commits.commit_jump(T0, 9, 0, lambda: consumer._is_read(T0), consumer._committer)
        assert group.committed == [(3, 0, 0)]
    with pytest.raises(ConsumerStoppedException):
        consumer.commit_offsets()


def test_what_is_given_back_after_a_loss_is_begun_with_and_committed_from_the_new_seat(
    client: KafkaClient, group: Coordinator
) -> None:
    with by_hand(client) as consumer:
        with Busy(group, consumer):
            pass
        read_one(consumer)
        consumer.commit_offsets()
        assert group.committed[-1] == (4, 0, 1)


def test_a_loss_of_what_is_committed_already_is_no_error(client: KafkaClient, group: Coordinator) -> None:
    with by_hand(client) as consumer, Busy(group, consumer, commits=True):
        consumer.commit_offsets()
        assert group.committed == [(3, 0, 0), (3, 0, 1)]


def test_a_commit_of_a_partition_that_others_read_says_so(client: KafkaClient, broker: FakeBroker, group: Coordinator) -> None:
    with by_hand(client) as consumer:
        read_one(consumer)
        (partition,) = consumer.partitions.values()
        take_away(broker, group)
        until(lambda: not consumer.partitions, what="the rebalance")
        with pytest.raises(IllegalGeneration, match="t/0 cannot be committed: the group has them read by others"):
            consumer.commit_offsets([(partition, 1)])
        assert group.committed == [(3, 0, 0)]


# -- on_revoke ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["all", "pairs"])
@pytest.mark.parametrize("auto", [False, True])
def test_on_revoke_may_commit_while_the_consumer_stops(client: KafkaClient, group: Coordinator, how: str, auto: bool) -> None:
    seen: list[Any] = []

    def on_revoke(consumer: BalancedConsumer, partitions: list[Any]) -> None:
        (partition,) = partitions
        seen.extend([consumer.position(partition), consumer.held_offsets, list(group.committed)])
        consumer.commit_offsets(None if how == "all" else [(partition, 1)])

    consumer = by_hand(client, on_revoke=on_revoke, auto_commit_enable=auto)
    read_one(consumer)
    consumer.stop()
    assert seen == [1, {0: 0}, [(3, 0, 0)]]
    assert group.committed == [(3, 0, 0), (3, 0, 1)]


def test_on_revoke_commits_with_the_newest_epoch_when_the_group_has_moved_on_meanwhile(
    client: KafkaClient, group: Coordinator
) -> None:
    group.heartbeat_ms = 5000
    consumer = by_hand(client, on_revoke=lambda consumer, _partitions: consumer.commit_offsets())
    read_one(consumer)
    group.epoch = 4
    consumer.stop()
    assert group.committed == [(3, 0, 0), (4, 0, 1)]


def test_on_revoke_may_commit_in_a_rebalance_and_nothing_more_is_delivered_meanwhile(
    client: KafkaClient, broker: FakeBroker, group: Coordinator
) -> None:
    seen: list[Any] = []

    def on_revoke(consumer: BalancedConsumer, partitions: list[Any]) -> None:
        (partition,) = partitions
        until(lambda: is_there(consumer), what="a message that is not to be delivered any more")
        seen.extend([consumer.consume(block=False), consumer.position(partition)])
        consumer.commit_offsets([(partition, 0)])
        seen.append([*consumer.partitions])

    with by_hand(client, on_revoke=on_revoke) as consumer:
        take_away(broker, group)
        until(lambda: seen and not consumer.partitions, what="the rebalance")
        assert seen == [None, 0, [0]]
        assert group.committed == [(3, 0, 0), (3, 0, 0)]


def test_what_on_revoke_could_not_commit_in_time_is_an_error_there(
    client: KafkaClient, broker: FakeBroker, group: Coordinator
) -> None:
    seen: list[Any] = []

    def on_revoke(consumer: BalancedConsumer, partitions: list[Any]) -> None:
        if seen:
            return  # of the stop
        group.error = FENCED_MEMBER_EPOCH
        until(lambda: not consumer.group_status().owned, what="the loss")
        group.epoch, group.error = 4, 0
        until(lambda: consumer.group_status().generation == 4, what="another seat")
        seen.extend([tried(consumer.commit_offsets), tried(lambda: consumer.commit_offsets([(partitions[0], 1)]))])

    with by_hand(client, on_revoke=on_revoke, on_lost=lambda _consumer, lost: seen.append([one.id for one in lost])) as consumer:
        read_one(consumer)
        take_away(broker, group)
        until(lambda: len(seen) == 3, what="the callbacks")
        assert [type(one) for one in seen] == [IllegalGeneration, IllegalGeneration, list] and seen[2] == [0]
        assert all(committed[2] == 0 for committed in group.committed)


def boom(_consumer: BalancedConsumer, _partitions: object) -> None:
    raise ValueError("the user's own")


def test_what_on_revoke_raises_in_stop_is_raised_by_it_after_everything_was_stopped(
    client: KafkaClient, broker: FakeBroker, group: Coordinator
) -> None:
    consumer = by_hand(client, on_revoke=boom, auto_commit_enable=True)
    read_one(consumer)
    with pytest.raises(ValueError, match="the user's own"):
        consumer.stop()
    assert consumer._worker is None and consumer._core is None and not consumer.partitions
    assert broker.seen("ConsumerGroupHeartbeat")[-1].member_epoch == -1
    assert group.committed == [(3, 0, 0), (3, 0, 1)]
    consumer.stop()


def test_an_error_that_nobody_has_heard_of_is_raised_by_stop(client: KafkaClient, broker: FakeBroker, group: Coordinator) -> None:
    consumer = by_hand(client, on_revoke=boom)
    take_away(broker, group)
    until(lambda: consumer._worker_error is not None, what="the callback")
    with pytest.raises(ValueError, match="the user's own"):
        consumer.stop()
    consumer.stop()


def test_a_member_that_has_ended_for_good_commits_nothing_by_itself_any_more(
    client: KafkaClient, broker: FakeBroker, group: Coordinator
) -> None:
    consumer = by_hand(client, auto_commit_enable=True, auto_commit_interval_ms=20)
    group.error = GroupAuthorizationFailed.ERROR_CODE
    until(lambda: isinstance(tried(consumer.consume), GroupAuthorizationFailed), what="the end")
    until(lambda: consumer._auto_commits is None, what="the end of commits")
    consumer.stop()


# -- on_assign ------------------------------------------------------------------------------------------------------------


def test_nothing_is_delivered_before_the_callbacks_end(client: KafkaClient) -> None:
    seen: list[Any] = []

    def on_assign(consumer: BalancedConsumer, partitions: list[Any]) -> None:
        until(lambda: is_there(consumer), what="a message")
        seen.extend([consumer.consume(block=False), consumer.position(partitions[0])])

    def after(consumer: BalancedConsumer, _old: object, new: object) -> None:
        seen.extend([consumer.consume(block=False), new])

    with by_hand(client, on_assign=on_assign, post_rebalance_callback=after) as consumer:
        assert seen == [None, 0, None, {0: -2}]
        read_one(consumer)


def test_on_assign_may_say_where_to_begin_and_have_partitions_wait(client: KafkaClient, group: Coordinator) -> None:
    group.stored = 7

    def on_assign(consumer: BalancedConsumer, partitions: list[Any]) -> None:
        consumer.seek(partitions[0], 0)
        consumer.pause(partitions)

    with by_hand(client, on_assign=on_assign) as consumer:
        until(lambda: not consumer._fenced, what="the end of the callback")
        assert consumer.consume(block=False) is None
        consumer.resume(consumer.partitions.values())
        read_one(consumer)


def test_what_post_rebalance_callback_returns_is_where_reading_begins(client: KafkaClient, group: Coordinator) -> None:
    group.stored = 7
    with by_hand(client, post_rebalance_callback=lambda _consumer, _old, _new: {0: -2}) as consumer:
        read_one(consumer)


def test_partitions_are_read_although_on_assign_failed_and_that_is_raised_once(
    client: KafkaClient, caplog: pytest.LogCaptureFixture
) -> None:
    with by_hand(client, on_assign=boom) as consumer:
        with pytest.raises(ValueError, match="the user's own"):
            consumer.consume()
        read_one(consumer)
    assert "beginning with new partitions failed" in caplog.text


@pytest.mark.parametrize("name", ["on_assign", "post_rebalance_callback"])
def test_sys_exit_in_a_callback_ends_who_consumes_and_not_the_thread_that_others_rely_on(
    client: KafkaClient, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with by_hand(client, **{name: lambda *_args: sys.exit(3)}) as consumer:
        with pytest.raises(SystemExit) as ended:
            read_one(consumer)
        assert ended.value.code == 3
        read_one(consumer)  # whoever goes on nevertheless can
        consumer._fail(ValueError("nobody has heard of it"))
        consumer._run(lambda *_args: sys.exit(4))
        with pytest.raises(SystemExit):
            consumer.consume(block=False)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_a_callback_that_is_overtaken_by_stop_has_no_error_for_it(client: KafkaClient, caplog: pytest.LogCaptureFixture) -> None:
    began, gate = threading.Event(), threading.Event()

    def on_assign(consumer: BalancedConsumer, partitions: list[Any]) -> None:
        began.set()
        gate.wait(20)
        consumer.seek(partitions[0], 0)

    consumer = by_hand(client, on_assign=on_assign, auto_start=False)
    starting = threading.Thread(target=consumer.start)
    with caplog.at_level(logging.INFO, "pykafka"):
        starting.start()
        assert began.wait(20)
        stopping = threading.Thread(target=consumer.stop)
        stopping.start()
        until(lambda: not consumer._running, what="the stop")
        gate.set()
        for thread in (starting, stopping):
            thread.join(20)
            assert not thread.is_alive()
    assert consumer._worker_error is None and "stopped in the middle of" in caplog.text


# -- partitions that cannot be begun with -----------------------------------------------------------------------------------


def test_an_error_that_does_not_pass_is_raised_once_and_the_partition_is_begun_with_when_it_is_over(
    client: KafkaClient, broker: FakeBroker, group: Coordinator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pykafka.group_reader.BEGIN_AGAIN_S", 0.02)
    told: list[list[int]] = []

    def refuse(request: Any, version: int) -> Any:
        cls = OffsetFetchResponse
        return cls(groups=[cls.OffsetFetchResponseGroup(group_id="g", error_code=TopicAuthorizationFailed.ERROR_CODE)])

    broker.scripts["OffsetFetch"] = refuse
    with by_hand(client, on_assign=lambda _consumer, new: told.append([one.id for one in new])) as consumer:
        with pytest.raises(TopicAuthorizationFailed):
            consumer.consume()
        asked = len(broker.seen("OffsetFetch"))
        until(lambda: len(broker.seen("OffsetFetch")) >= asked + 3, what="further tries")
        assert consumer.consume(block=False) is None and told == []
        broker.scripts["OffsetFetch"] = group.committed_offsets
        read_one(consumer)
        assert told == [[0]]


def test_partitions_that_were_lost_before_they_could_be_begun_with_are_no_news(
    client: KafkaClient, broker: FakeBroker, group: Coordinator
) -> None:
    told: list[str] = []
    callbacks = {
        name: (lambda _consumer, _partitions, name=name: told.append(name)) for name in ("on_assign", "on_revoke", "on_lost")
    }
    gate, asked = threading.Event(), threading.Event()

    def late(request: Any, version: int) -> Any:
        asked.set()
        gate.wait(20)
        return group.committed_offsets(request, version)

    broker.scripts["OffsetFetch"] = late
    consumer = by_hand(client, auto_start=False, **callbacks)
    starting = threading.Thread(target=consumer.start)
    starting.start()
    assert asked.wait(20)
    group.share = []
    group.error = FENCED_MEMBER_EPOCH
    until(lambda: consumer._fenced, what="the loss")
    group.epoch, group.error = 4, 0
    until(lambda: consumer.group_status().generation == 4, what="another seat")
    gate.set()
    starting.join(20)
    until(lambda: not consumer._fenced, what="the worker")
    consumer.stop()
    assert told == [] and group.committed == []
    assert isinstance(tried(consumer.commit_offsets), KafkaException)


# -- stopped while it joins -------------------------------------------------------------------------------------------------


def test_who_is_stopped_while_it_joins_leaves_when_the_join_has_been_handled(
    client: KafkaClient, broker: FakeBroker, group: Coordinator
) -> None:
    joining, gate, handled = threading.Event(), threading.Event(), []

    def beat(request: Any, version: int) -> Any:
        if request.member_epoch == 0:
            joining.set()
            gate.wait(20)
        handled.append(request.member_epoch)
        return group.beat(request, version)

    broker.scripts["ConsumerGroupHeartbeat"] = beat
    consumer = by_hand(client, auto_start=False)
    threads = [threading.Thread(target=consumer.start), threading.Thread(target=consumer.stop)]
    threads[0].start()
    assert joining.wait(20)
    threads[1].start()
    until(lambda: consumer.group_status().state == "leaving", what="the leave")
    gate.set()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    assert handled == [0, -1]
