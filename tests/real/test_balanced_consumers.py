"""Balanced consumers on a real broker: shared partitions, rebalances, callbacks, commits, and members that are in trouble."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Callable

import pytest

from pykafka import KafkaClient, RoundRobinProtocol, Topic
from pykafka.balancedconsumer import BalancedConsumer
from pykafka.common import OffsetType
from pykafka.exceptions import (
    ConsumerStoppedException,
    FencedInstanceId,
    InvalidSessionTimeout,
    KafkaException,
    UnknownMemberId,
    UnknownTopicOrPartition,
)
from pykafka.membershipprotocol import CooperativeStickyProtocol, GroupMembershipProtocol, RangeProtocol, StickyProtocol

from ..support import create_topic, until

MakeTopic = Callable[..., Topic]
#: How a group shares out -> options of its members.
WAYS: dict[str, dict[str, Any]] = {
    "range": {"group_protocol": "classic"},
    "roundrobin": {"group_protocol": "classic", "membership_protocol": RoundRobinProtocol},
    "sticky": {"group_protocol": "classic", "membership_protocol": StickyProtocol},
    "cooperative-sticky": {"group_protocol": "classic", "membership_protocol": CooperativeStickyProtocol},
    "KIP-848": {"group_protocol": "consumer"},
    "auto": {},
}
QUICK = {"heartbeat_interval_ms": 200, "consumer_timeout_ms": 300}


def member(topic: Topic, **options: Any) -> BalancedConsumer:
    """Return a member of a group that is called like the topic."""
    return topic.get_balanced_consumer(topic.name, managed=True, **{**QUICK, **options})


def fill(topic: Topic, count: int, first: int = 0) -> list[bytes]:
    """Write so many messages and return their values."""
    values = [b"%d" % number for number in range(first, first + count)]
    with topic.get_producer() as producer:
        producer.produce_many(values)
    return values


def committed(topic: Topic) -> dict[int, int]:
    """Return what the group has committed."""
    reader = topic.get_simple_consumer(topic.name, auto_start=False, reset_offset_on_fetch=False)
    return {number: row.offset for number, row in reader.fetch_offsets()}


def shares(*members: BalancedConsumer) -> list[int]:
    """Return how many partitions each member has."""
    return [len(one.partitions) for one in members]


def settled(topic: Topic, *members: BalancedConsumer) -> None:
    """Return when every partition is read by exactly one of the members, all of them about equally many."""

    def done() -> bool:
        owned = Counter(number for one in members for number in one.partitions)
        even = max(shares(*members)) - min(shares(*members)) <= 1
        return sorted(owned.elements()) == sorted(topic.partitions) and even

    until(done, what="a fair share for everybody", timeout_s=30)


def read(*members: BalancedConsumer) -> list[bytes]:
    """Return what the members have to read at present."""
    return [message.value for one in members for message in one]  # type: ignore[misc]


@pytest.mark.parametrize("way", WAYS)
def test_members_share_partitions_and_each_message_is_read_once_whoever_comes_and_goes(way: str, make_topic: MakeTopic) -> None:
    topic = make_topic(6)
    options = {**WAYS[way], "auto_commit_enable": True}
    with ExitStack() as stack:
        first = stack.enter_context(member(topic, **options))
        assert shares(first) == [6]
        got = read(first)
        wanted = fill(topic, 60)
        second = stack.enter_context(member(topic, **options))
        settled(topic, first, second)
        got += read(first, second)
        third = stack.enter_context(member(topic, **options))
        wanted += fill(topic, 60, 60)
        settled(topic, first, second, third)
        got += read(first, second, third)
        first.stop()
        wanted += fill(topic, 60, 120)
        settled(topic, second, third)
        got += read(second, third)
        second.stop()
        settled(topic, third)
        wanted += fill(topic, 60, 180)
        until(lambda: got.extend(read(third)) or len(got) >= 240, what="the last messages", timeout_s=20)
    assert sorted(got) == sorted(wanted)
    assert sum(committed(topic).values()) == 240


def test_more_members_than_partitions_wait_until_there_is_something_for_them(make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    with member(topic) as reader, member(topic) as spare:
        settled(topic, reader, spare)
        busy, idle = sorted((reader, spare), key=lambda one: -len(one.partitions))
        assert idle.consume() is None and idle.held_offsets == {} and idle.group_status().state == "stable"
        fill(topic, 1)
        assert busy.consume() is not None
        busy.stop()
        until(lambda: shares(idle) == [1], what="the partition")


def test_without_auto_commit_a_rebalance_commits_nothing(make_topic: MakeTopic) -> None:
    topic = make_topic(2)
    fill(topic, 20)
    with member(topic) as first:
        assert len(read(first)) == 20
        with member(topic) as second:
            settled(topic, first, second)
            # what nobody has committed is read again by whoever reads the partition now
            assert sum(committed(topic).values()) == 0
            assert len(read(second)) == 10
            second.commit_offsets()
            assert sorted(committed(topic).values()) == [0, 10]


def test_a_member_that_is_put_out_joins_again_reads_on_and_commits(client: KafkaClient, make_topic: MakeTopic) -> None:
    topic = make_topic(2)
    lost: list[Any] = []
    with member(topic, group_protocol="classic", on_lost=lambda _consumer, partitions: lost.extend(partitions)) as consumer:
        coordinator = client.cluster.get_group_coordinator(topic.name)
        before = consumer.group_status()
        assert coordinator.leave_group("x", topic.name, before.member_id).error_code == 0
        until(lambda: consumer.group_status().member_id not in ("", before.member_id), what="another seat")
        until(lambda: lost, what="the loss")  # before that, what is read looks settled
        settled(topic, consumer)
        assert {one.id for one in lost} == {0, 1} and "UnknownMemberId" in str(consumer.group_status().last_rebalance)
        fill(topic, 10)
        until(lambda: sum(consumer.held_offsets.values()) == 8 or read(consumer) is None, what="all messages")  # type: ignore[union-attr]
        consumer.commit_offsets()
        assert sum(committed(topic).values()) == 10


def test_a_commit_after_the_group_has_moved_on_says_which_generation_that_was_and_what_to_do(
    client: KafkaClient, make_topic: MakeTopic
) -> None:
    topic = make_topic(1)
    fill(topic, 5)
    # nothing is heard of the coordinator between two heartbeats
    with member(topic, group_protocol="classic", heartbeat_interval_ms=5000) as consumer:
        assert consumer.consume() is not None
        status = consumer.group_status()
        client.cluster.get_group_coordinator(topic.name).leave_group("x", topic.name, status.member_id)
        with pytest.raises(UnknownMemberId, match=rf"(?s)This was generation {status.generation}.*delivered again") as caught:
            consumer.commit_offsets([(topic.partitions[0], 1)])
        assert (caught.value.code, caught.value.api, caught.value.topic) == (25, "OffsetCommit", topic.name.decode())


@pytest.mark.parametrize("way", WAYS)
def test_who_commits_by_hand_when_partitions_are_given_up_has_nothing_read_twice(way: str, make_topic: MakeTopic) -> None:
    topic = make_topic(4)
    values = fill(topic, 60)
    by_hand = {**WAYS[way], "on_revoke": lambda consumer, _partitions: consumer.commit_offsets()}
    with member(topic, **by_hand) as first:
        got = [message.value for message in (first.consume() for _ in range(30)) if message is not None]
        with member(topic, **by_hand) as second:
            settled(topic, first, second)
            got += read(first, second)
    assert sorted(got) == sorted(values)
    assert sum(committed(topic).values()) == len(values)


def test_members_may_say_where_to_begin_before_anything_is_delivered(make_topic: MakeTopic) -> None:
    topic = make_topic(2)
    fill(topic, 40)
    delivered: list[Any] = []

    def begin(consumer: BalancedConsumer, partitions: list[Any]) -> None:
        until(lambda: all(consumer._core.parcels[one.tp] for one in partitions), what="messages")  # type: ignore[union-attr]
        for partition in partitions:
            consumer.seek(partition, partition.latest_available_offset())

    with member(topic, group_protocol="classic", on_assign=begin) as first:
        with member(topic, group_protocol="classic", on_assign=begin) as second:
            settled(topic, first, second)
            delivered += read(first, second)
        settled(topic, first)
        delivered += read(first)
    assert delivered == []


def test_the_user_is_told_and_then_offsets_are_committed_before_partitions_are_given_up(make_topic: MakeTopic) -> None:
    topic = make_topic(2)
    fill(topic, 10)
    told: list[tuple[str, Any]] = []

    def note(what: str) -> Callable[..., None]:
        return lambda consumer, partitions: told.append((what, (sorted(one.id for one in partitions), committed(topic))))

    options = {"on_assign": note("assign"), "on_revoke": note("revoke"), "auto_commit_enable": True}
    with member(topic, **WAYS["cooperative-sticky"], **options) as first:
        assert len(read(first)) == 10
        with member(topic, **WAYS["cooperative-sticky"]) as second:
            settled(topic, first, second)
            after = committed(topic)
    kinds = [what for what, _said in told]
    assert kinds == ["assign", "revoke", "assign", "revoke"] or kinds == ["assign", "revoke", "revoke"]
    assert told[0][1] == ([0, 1], {0: 0, 1: 0})
    (revoked,), offsets = told[1][1]
    assert (offsets[revoked], after[revoked]) == (0, 5)


def test_post_rebalance_callback_gets_what_was_held_and_its_answer_moves_partitions(make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    fill(topic, 5)
    calls: list[Any] = []

    def start_at_three(consumer: Any, old: Any, new: Any) -> Any:
        calls.append((old, new))
        return {0: 2}  # consumed last

    with member(topic, post_rebalance_callback=start_at_three) as consumer:
        until(lambda: calls, what="the callback")
        assert calls == [({}, {0: -2})]
        until(lambda: consumer.held_offsets == {0: 2}, what="the new place")
        assert consumer.consume().offset == 3  # type: ignore[union-attr]


@pytest.mark.parametrize("way", ["range", "cooperative-sticky", "KIP-848"])
def test_the_old_offsets_of_a_callback_are_those_of_now_not_of_the_rebalance_before(way: str, make_topic: MakeTopic) -> None:
    topic = make_topic(2)
    calls: list[tuple[dict[int, int], dict[int, int]]] = []

    def note(_consumer: Any, old: dict[int, int], new: dict[int, int]) -> None:
        calls.append((old, new))

    with member(topic, **WAYS[way], post_rebalance_callback=note) as first:
        with member(topic, **WAYS[way]) as second:
            settled(topic, first, second)
            (kept,) = first.partitions
            fill(topic, 10)
            until(lambda: bool(read(first)) and first.held_offsets == {kept: 4}, what="its five messages")
            calls.clear()
        settled(topic, first)
        until(lambda: calls, what="the callback")
        # the other's was never committed, so it is read from the beginning
        assert calls == [({kept: 4}, {kept: 4 if way != "range" else -2, 1 - kept: -2})]


def test_a_callback_may_answer_with_partitions_and_what_it_must_not_is_raised(make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    fill(topic, 5)
    for answer in ({topic.partitions[0]: 2}, [(topic.partitions[0], 2)]):
        with member(topic, post_rebalance_callback=lambda *_args, answer=answer: answer) as consumer:
            until(lambda: consumer.held_offsets == {0: 2}, what="the new place")
    expected = pytest.raises(TypeError, match="post_rebalance_callback may return None, .* not 2")
    with member(topic, post_rebalance_callback=lambda *_args: 2) as consumer, expected:
        until(lambda: consumer.consume(False), what="the error")


@pytest.mark.parametrize("way", ["range", "KIP-848"])
def test_fetch_offsets_tells_what_is_committed_and_goes_back_there_unless_it_is_only_to_look(
    way: str, make_topic: MakeTopic
) -> None:
    topic = make_topic(1)
    fill(topic, 5)
    for looks_only, following in ((False, [1, 2, 3, 4]), (True, [])):
        with member(topic, **WAYS[way], reset_offset_on_fetch=not looks_only, reset_offset_on_start=True) as consumer:
            assert consumer.consume() is not None
            consumer.commit_offsets()
            assert len(read(consumer)) == 4
            ((number, row),) = consumer.fetch_offsets()
            assert (number, row.offset, row.err) == (0, 1, 0)
            assert [message.offset for message in consumer] == following


def test_an_error_in_a_callback_is_raised_by_the_next_consume_and_the_group_goes_on(make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    fill(topic, 1)

    def fail(*_args: Any) -> None:
        raise ZeroDivisionError("mine")

    with member(topic, on_assign=fail, consumer_timeout_ms=5000) as consumer:
        with pytest.raises(ZeroDivisionError, match="mine"):
            consumer.consume()
        assert consumer.consume() is not None


def test_a_user_who_takes_no_message_for_too_long_leaves_and_comes_back_with_the_next_call(make_topic: MakeTopic) -> None:
    topic = make_topic(2)
    with member(topic, max_poll_interval_ms=1000) as busy, member(topic) as other:
        until(lambda: busy.consume(False) or shares(busy, other) == [1, 1], what="a share for both")
        until(lambda: other.consume(False) or shares(other) == [2], what="the partitions of who is busy", timeout_s=30)
        assert busy.group_status().state == "away" and busy.partitions == {}
        until(lambda: busy.consume(False) or shares(busy, other) == [1, 1], what="coming back", timeout_s=30)


def test_a_user_who_waits_for_messages_is_not_idle(make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    with member(topic, max_poll_interval_ms=400, consumer_timeout_ms=2500) as consumer:
        assert consumer.consume() is None
        assert consumer.group_status().generation == 1 or consumer.group_status().state == "stable"
        fill(topic, 1)
        assert consumer.consume() is not None


@pytest.mark.parametrize("way", ["range", "KIP-848"])
def test_a_static_member_comes_back_to_what_it_had_and_nobody_is_disturbed(way: str, make_topic: MakeTopic) -> None:
    topic = make_topic(4)
    revoked: list[Any] = []
    with member(topic, **WAYS[way], group_instance_id="b", on_revoke=lambda _c, some: revoked.append(some)) as other:
        first = member(topic, **WAYS[way], group_instance_id="a")
        settled(topic, first, other)
        had = set(first.partitions)
        revoked.clear()
        first.stop()
        with member(topic, **WAYS[way], group_instance_id="a") as again:
            until(lambda: set(again.partitions) == had, what="the same partitions")
        assert revoked == []


def test_of_two_members_of_the_same_instance_id_the_older_ends_with_an_error(make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    older = member(topic, group_protocol="classic", group_instance_id="a")
    with member(topic, group_protocol="classic", group_instance_id="a"):
        with pytest.raises(FencedInstanceId):
            until(lambda: older.consume(False), what="the end", timeout_s=20)
        with pytest.raises(FencedInstanceId):
            older.consume()
    older.stop()


def test_stop_wakes_a_waiting_consume_and_a_callback_may_stop_its_consumer(make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    consumer = member(topic, consumer_timeout_ms=-1)
    raised: list[BaseException] = []

    def wait() -> None:
        try:
            consumer.consume()
        except ConsumerStoppedException as error:
            raised.append(error)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    until(lambda: consumer._waiting, what="the waiting consume()")
    consumer.stop()
    consumer.stop()
    thread.join(10)
    assert len(raised) == 1 and consumer.partitions == {}
    stopped = threading.Event()

    def stop(one: Any, _partitions: Any) -> None:
        one.stop()
        stopped.set()

    own = member(topic, on_assign=stop)
    assert stopped.wait(10)
    with pytest.raises(ConsumerStoppedException):
        own.consume()
    with member(topic) as last:
        settled(topic, last)


def test_a_stopped_member_can_be_started_again_where_its_group_is(make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    fill(topic, 4)
    consumer = member(topic, auto_commit_enable=True)
    assert consumer.consume().offset == 0  # type: ignore[union-attr]
    consumer.stop()
    consumer.start()
    assert consumer.consume().offset == 1  # type: ignore[union-attr]
    consumer.stop()


@pytest.mark.parametrize(("reset", "first"), [(OffsetType.EARLIEST, 0), (OffsetType.LATEST, 3)])
@pytest.mark.parametrize("again", [False, True])
def test_members_start_by_the_offset_rules(again: bool, reset: int, first: int, make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    fill(topic, 3)
    if again:
        with member(topic) as consumer:
            consumer.consume()
            consumer.commit_offsets()
    with member(topic, auto_offset_reset=reset, consumer_timeout_ms=5000) as consumer:
        fill(topic, 1, 3)
        assert consumer.consume().offset == (1 if again else first)  # type: ignore[union-attr]
    with member(topic, auto_offset_reset=reset, reset_offset_on_start=True) as consumer:
        assert committed(topic) == {0: 0 if reset == OffsetType.EARLIEST else 4}


def test_what_the_broker_does_not_allow_is_raised_by_start(make_topic: MakeTopic) -> None:
    with pytest.raises(InvalidSessionTimeout):
        member(make_topic(), group_protocol="classic", session_timeout_ms=300)


def deal_to_the_last(participants: Any, partitions: Any, consumer_id: Any) -> set[Any]:
    """Give everything to the last member."""
    return set(partitions.values()) if consumer_id == sorted(participants)[-1] else set()


def test_a_way_of_sharing_of_ones_own_decides(make_topic: MakeTopic) -> None:
    topic = make_topic(3)
    own = GroupMembershipProtocol(b"consumer", b"mine", RangeProtocol.metadata, deal_to_the_last)
    with member(topic, membership_protocol=own) as first, member(topic, membership_protocol=own) as second:
        until(lambda: sorted(shares(first, second)) == [0, 3], what="the decision")


def test_a_way_of_sharing_that_leaves_something_out_is_an_error_that_says_so(make_topic: MakeTopic) -> None:
    own = GroupMembershipProtocol(b"consumer", b"bad", RangeProtocol.metadata, lambda *_: set())
    with pytest.raises(KafkaException, match="has to have exactly one reader"):
        member(make_topic(2), membership_protocol=own)


# -- several topics -----------------------------------------------------------------------------------------------------


@pytest.fixture
def two(client: KafkaClient, topic_name: str) -> Iterator[list[Topic]]:
    """Two topics whose names begin alike."""
    yield [create_topic(client, f"{topic_name}.{end}", partitions=2) for end in ("a", "b")]


def test_two_consumers_of_different_topics_in_one_process_get_each_its_own(two: list[Topic]) -> None:
    one, other = two
    group = one.name
    with one.get_balanced_consumer(group, managed=True, **QUICK) as first, other.get_balanced_consumer(
        group, managed=True, **QUICK
    ) as second:
        fill(one, 4)
        fill(other, 4, 4)
        until(lambda: shares(first, second) == [2, 2], what="two partitions each")
        assert {message.topic for message in first} == {one.name} and {message.topic for message in second} == {other.name}


@pytest.mark.parametrize("way", ["range", "cooperative-sticky", "KIP-848"])
def test_one_member_reads_several_topics(way: str, client: KafkaClient, two: list[Topic]) -> None:
    names = [topic.name for topic in two]
    with client.get_balanced_consumer(names[0], topics=names, **QUICK, **WAYS[way]) as consumer:
        fill(two[0], 4)
        fill(two[1], 4)
        assert sorted(consumer.partitions) == [(name, number) for name in names for number in (0, 1)]
        got: list[Any] = []
        until(lambda: got.extend(consumer) or len(got) == 8, what="all messages")
        assert {message.topic for message in got} == set(names)
        consumer.commit_offsets()
        assert committed_of(two[1], names[0]) == {0: 2, 1: 2}


@pytest.mark.parametrize(("way", "lines"), [("range", 0), ("KIP-848", 1)])
def test_a_start_says_once_what_is_set_in_vain(
    way: str, lines: int, make_topic: MakeTopic, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "pykafka.group_protocols"), member(make_topic(1), session_timeout_ms=7000, **WAYS[way]):
        said = [row.getMessage() for row in caplog.records if "session_timeout_ms=7000" in row.getMessage()]
    assert len(said) == lines


def test_a_consumer_of_the_client_names_topics_also_of_one(client: KafkaClient, make_topic: MakeTopic) -> None:
    topic, calls = make_topic(1), []
    fill(topic, 3)

    def skip_the_first(_consumer: Any, old: Any, new: Any) -> Any:
        calls.append((old, new))
        return {(topic.name, 0): 0}

    options = {**QUICK, "post_rebalance_callback": skip_the_first}
    with client.get_balanced_consumer(topic.name, topics=[topic.name], **options) as consumer:
        until(lambda: calls, what="the callback")
        assert calls == [({}, {(topic.name, 0): -2})]
        until(lambda: consumer.held_offsets == {(topic.name, 0): 0}, what="the new place")
        assert consumer.partitions == {(topic.name, 0): topic.partitions[0]}
    with member(topic) as consumer:
        assert consumer.partitions == {0: topic.partitions[0]}


def committed_of(topic: Topic, group: bytes) -> dict[int, int]:
    reader = topic.get_simple_consumer(group, auto_start=False, reset_offset_on_fetch=False)
    return {number: row.offset for number, row in reader.fetch_offsets()}


@pytest.mark.parametrize("way", ["range", "KIP-848"])
def test_topics_that_match_a_pattern_are_read_also_when_they_come_later(
    way: str, client: KafkaClient, two: list[Topic], topic_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pykafka.groupconsumer.PATTERN_LOOK_S", 0.3)
    pattern = topic_name.replace("[", ".").replace("]", ".") + r"\.[a-c]"
    options = {**QUICK, **WAYS[way], "auto_offset_reset": OffsetType.LATEST}
    with client.get_balanced_consumer(topic_name, pattern=pattern, **options) as consumer:
        until(lambda: len(consumer.partitions) == 4, what="both topics", timeout_s=40)
        late = create_topic(client, f"{topic_name}.c", partitions=1)
        fill(late, 3)
        got: list[Any] = []
        # a broker looks for topics that match when it hears of new ones, after a while
        until(lambda: got.extend(consumer) or len(got) == 3, what="the messages of a topic that came later", timeout_s=60)


def test_partitions_that_a_topic_gets_later_are_shared_out_and_read_from_their_beginning(
    client: KafkaClient, make_topic: MakeTopic
) -> None:
    confluent = pytest.importorskip("confluent_kafka.admin")
    topic = make_topic(1)
    options = {"group_protocol": "classic", "auto_offset_reset": OffsetType.LATEST}
    with member(topic, **options) as consumer:
        hosts = ",".join(f"{broker.host.decode()}:{broker.port}" for broker in client.brokers.values())
        admin = confluent.AdminClient({"bootstrap.servers": hosts})
        (future,) = admin.create_partitions([confluent.NewPartitions(topic.name.decode(), 3)]).values()
        future.result(20)
        client.update_cluster()
        until(lambda: shares(consumer) == [3], what="the new partitions", timeout_s=30)
        fill(topic, 9)
        got: list[Any] = []
        until(lambda: got.extend(consumer) or len(got) == 9, what="all messages")


def test_topics_that_do_not_exist_are_named(client: KafkaClient, topic_name: str) -> None:
    with pytest.raises(UnknownTopicOrPartition, match="there are no topics no-such-topic"):
        client.get_balanced_consumer(topic_name, topics=["no-such-topic"])
    with pytest.raises(ValueError, match="topics or pattern is needed"):
        client.get_balanced_consumer(topic_name)
    with pytest.raises(ValueError, match="is no regular expression"):
        client.get_balanced_consumer(topic_name, pattern="(")


@pytest.mark.parametrize("way", ["range", "KIP-848"])
def test_groups_of_both_protocols_can_be_looked_at(way: str, client: KafkaClient, make_topic: MakeTopic) -> None:
    topic = make_topic(2)
    with member(topic, **WAYS[way]) as first, member(topic, **WAYS[way]) as second:
        settled(topic, first, second)

        def described(group: Any) -> bool:
            shares = [one.member_assignment.partition_assignment for one in group.members.values()]
            wanted = [one.member_metadata.topic_names for one in group.members.values()]
            return sorted(shares) == [[(topic.name, [0])], [(topic.name, [1])]] and wanted == [[topic.name]] * 2

        coordinator = client.cluster.get_group_coordinator(topic.name)
        until(lambda: described(coordinator.describe_groups([topic.name]).groups[topic.name]), what="both members")
        until(lambda: described(client.cluster.get_managed_group_descriptions()[topic.name]), what="both members")
        group = coordinator.describe_groups([topic.name]).groups[topic.name]
        assert (group.state, group.protocol_type) == (b"Stable", b"consumer")
        assert set(group.members) == {one.group_status().member_id.encode() for one in (first, second)}
