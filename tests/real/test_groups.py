"""Groups by hand on a real broker: sharing, errors, descriptions, and members of other clients in the same group."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Callable, Optional

import pytest

from pykafka import Broker, KafkaClient, RangeProtocol, RoundRobinProtocol, Topic
from pykafka._engine.waiting import Deadline
from pykafka.membershipprotocol import GroupMembershipProtocol
from pykafka.protocol import MemberAssignment, PartitionOffsetCommitRequest, PartitionOffsetFetchRequest, messages
from pykafka.protocol.consumer_group import Undecoded

from .. import needs
from ..brokers import KafkaCluster
from ..support import create_topic, until
from .by_hand import HandMember, coordinator_of

confluent_kafka = needs.package("confluent_kafka")

MakeTopic = Callable[..., Topic]
Protocols = [RangeProtocol, RoundRobinProtocol]
CONNECT = GroupMembershipProtocol(b"connect", b"default", b"a worker's address", RangeProtocol.decide_partitions)


def shares(*members: HandMember) -> list[set[int]]:
    """Return what the members have; empty while one of them has nothing yet, or not all are of one generation."""
    if any(member.error for member in members):
        raise AssertionError([member.error for member in members])
    found = [member.share for member in members]
    if None in found or len({member.generation for member in members}) > 1:
        return []
    return [share for share in found if share is not None]


def describe(client: KafkaClient, group: str) -> Any:
    """Return the description of one group, None when it is not there."""
    return client.cluster.get_managed_group_descriptions().get(group.encode())


# -- sharing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", Protocols, ids=repr)
def test_two_members_made_by_hand_share_a_topic_and_take_over_from_each_other(
    client: KafkaClient, make_topic: MakeTopic, topic_name: str, protocol: GroupMembershipProtocol
) -> None:
    topic = make_topic(11)
    group = f"{topic_name}-group"
    with HandMember(client, group, topic, protocol) as first:
        until(lambda: shares(first) == [set(range(11))], what="everything for one member")
        with HandMember(client, group, topic, protocol) as second:
            until(lambda: len(shares(first, second)) == 2 and second.share, what="shares for two members")
            assert shares(first, second) == [
                {part.id for part in protocol.decide_partitions([first.id, second.id], topic.partitions, one.id)}
                for one in (first, second)
            ]
            assert [first.leads, second.leads] == [True, False]
            group_seen = describe(client, group)
            assert group_seen[:5] == (0, group.encode(), b"Stable", b"consumer", protocol.protocol_name)
            for one in (first, second):
                seen = group_seen.members[one.id]
                assert (seen.member_id, seen.client_id) == (one.id, b"pykafka") and seen.client_host.startswith(b"/127.0.0.1")
                assert seen.member_metadata.topic_names == [topic.name]
                assert seen.member_assignment.partition_assignment == [(topic.name, sorted(one.share or ()))]
        until(lambda: shares(first) == [set(range(11))], what="everything for the one that is left")
        # now the leader goes
        with HandMember(client, group, topic, protocol) as third:
            until(lambda: len(shares(first, third)) == 2, what="shares for two members again")
            first.__exit__(None, None, None)
            until(lambda: third.leads and shares(third) == [set(range(11))], what="everything for the new leader")
    assert describe(client, group)[:5] == (0, group.encode(), b"Empty", b"consumer", b"")


def test_more_members_than_partitions(client: KafkaClient, make_topic: MakeTopic, topic_name: str) -> None:
    topic = make_topic(2)
    members = [HandMember(client, topic_name, topic) for _ in range(3)]
    with members[0], members[1], members[2]:
        until(lambda: sorted(map(len, shares(*members))) == [0, 1, 1], what="shares for three members")
        until(lambda: set().union(*shares(*members)) == {0, 1}, what="both partitions for somebody")


def test_two_groups_of_two_topics_do_not_disturb_each_other(client: KafkaClient, make_topic: MakeTopic, topic_name: str) -> None:
    one, other = make_topic(3), make_topic(5, suffix="-other")
    with HandMember(client, f"{topic_name}-1", one) as first, HandMember(client, f"{topic_name}-2", other) as second:
        until(lambda: shares(first) == [{0, 1, 2}], what="the topic of the first group")
        until(lambda: shares(second) == [{0, 1, 2, 3, 4}], what="the topic of the second group")


# -- one request at a time --------------------------------------------------------------------------------------------


@pytest.fixture
def coordinator(client: KafkaClient, topic_name: str) -> Broker:
    """The coordinator of the test's group, which has the topic's name."""
    return coordinator_of(client, topic_name)


@contextmanager
def seat_in(coordinator: Broker, topic: Topic, protocol: GroupMembershipProtocol = RangeProtocol) -> Iterator[Any]:
    """Yield a seat in a new group of the topic's name, in which everything is shared out."""
    group = topic.name
    seat = coordinator.join_group("c", group, b"", topic.name, protocol)
    assert (seat.error_code, seat.leader_id, list(seat.members)) == (0, seat.member_id, [seat.member_id])
    share = MemberAssignment([(topic.name, sorted(topic.partitions))])
    synced = coordinator.sync_group("c", group, seat.generation_id, seat.member_id, [(seat.member_id, share)])
    assert synced.error_code == 0
    try:
        yield seat
    finally:
        coordinator.leave_group("c", group, seat.member_id)


def test_what_the_coordinator_refuses_is_an_error_code(coordinator: Broker, make_topic: MakeTopic) -> None:
    topic = make_topic()
    group = topic.name
    with seat_in(coordinator, topic) as seat:
        member, generation = seat.member_id, seat.generation_id
        assert coordinator.heartbeat("c", group, generation, member).error_code == 0
        assert coordinator.heartbeat("c", group, generation + 1, member).error_code == 22
        assert coordinator.heartbeat("c", group, generation, b"somebody").error_code == 25
        assert coordinator.sync_group("c", group, generation + 1, member, []).error_code == 22
        assert coordinator.sync_group("c", group, generation, b"somebody", []).error_code == 25
        assert coordinator.leave_group("c", group, b"somebody").error_code == 25
        assert coordinator.join_group("c", group, b"somebody", topic.name, RangeProtocol).error_code == 25
        assert coordinator.join_group("c", group, b"", topic.name, RoundRobinProtocol).error_code == 23
        assert coordinator.join_group("c", group, b"", topic.name, CONNECT).error_code == 23
        assert coordinator.join_group("c", b"", b"", topic.name, RangeProtocol).error_code == 24
        # and none of it has cost the member its seat
        assert coordinator.heartbeat("c", group, generation, member).error_code == 0
    assert coordinator.heartbeat("c", group, generation, member).error_code == 25


def test_members_commit_in_their_generation_and_nobody_else_does(coordinator: Broker, make_topic: MakeTopic) -> None:
    topic = make_topic()
    with seat_in(coordinator, topic) as seat:

        def commit(generation: int, member: bytes) -> int:
            rows = [PartitionOffsetCommitRequest(topic.name, 0, 7, -1, b"")]
            answer = coordinator.commit_consumer_group_offsets(topic.name, generation, member, rows)
            err: int = answer.topics[topic.name][0].err
            return err

        assert commit(seat.generation_id, seat.member_id) == 0
        assert commit(seat.generation_id + 1, seat.member_id) == 22
        assert commit(-1, b"") == 25
    found = coordinator.fetch_consumer_group_offsets(topic.name, [PartitionOffsetFetchRequest(topic.name, 0)])
    assert found.topics[topic.name][0].offset == 7


def test_a_client_id_of_any_text_is_in_the_members_id(kafka: KafkaCluster, make_topic: MakeTopic) -> None:
    topic = make_topic()
    with KafkaClient(kafka.hosts, client_id="größe") as client:
        coordinator = coordinator_of(client, topic.name)
        with seat_in(coordinator, topic) as seat:
            assert seat.member_id.decode().startswith("größe-")
            assert coordinator.heartbeat("c", topic.name, seat.generation_id, seat.member_id).error_code == 0
            rows = [PartitionOffsetCommitRequest(topic.name, 0, 7, -1, b"")]
            answer = coordinator.commit_consumer_group_offsets(topic.name, seat.generation_id, seat.member_id, rows)
            assert answer.topics[topic.name][0].err == 0
            assert coordinator.describe_groups([topic.name]).groups[topic.name].members[seat.member_id].client_id == (
                "größe".encode()
            )


# -- looking at groups ------------------------------------------------------------------------------------------------


def test_groups_of_every_kind_are_listed_and_described(
    client: KafkaClient, kafka: KafkaCluster, coordinator: Broker, make_topic: MakeTopic, topic_name: str
) -> None:
    topic = make_topic(2)
    # brokers allow any text in a name; ours have to be ASCII
    only_offsets, workers = f"{topic_name}-größe", f"{topic_name}-connect"
    foreign = confluent_kafka.Consumer({"bootstrap.servers": kafka.hosts, "group.id": only_offsets, "enable.auto.commit": False})
    foreign.commit(offsets=[confluent_kafka.TopicPartition(topic_name, 0, 1)], asynchronous=False)
    foreign.close()
    worker = coordinator.join_group("c", workers, b"", topic.name, CONNECT)
    assert worker.members == {worker.member_id: b"a worker's address"}
    tasks = [(worker.member_id, b"tasks of a worker")]
    assert coordinator.sync_group("c", workers, worker.generation_id, worker.member_id, tasks).member_assignment == tasks[0][1]
    with seat_in(coordinator, topic) as seat:
        listed = coordinator.list_groups()
        assert listed.error_code == listed.error == 0
        found = client.cluster.get_managed_group_descriptions()
    assert {name: row.protocol_type for name, row in listed.groups.items() if name.startswith(topic.name)} == {
        topic.name: b"consumer",
        only_offsets.encode(): b"",
        workers.encode(): b"connect",
    }
    assert set(listed.groups) == set(found)
    assert found[topic.name].members[seat.member_id].member_assignment.partition_assignment == [(topic.name, [0, 1])]
    assert found[only_offsets.encode()] == (0, only_offsets.encode(), b"Empty", b"", b"", {})
    foreigner = found[workers.encode()].members[worker.member_id]
    assert (foreigner.member_metadata, foreigner.member_assignment) == (b"a worker's address", b"tasks of a worker")
    assert isinstance(foreigner.member_metadata, Undecoded)
    by_hand = coordinator.describe_groups([only_offsets, b"no.such.group"]).groups
    assert by_hand[only_offsets.encode()].state == b"Empty"
    assert by_hand[b"no.such.group"] == (0, b"no.such.group", b"Dead", b"", b"", {})
    assert coordinator.leave_group("c", workers, worker.member_id).error_code == 0


def test_a_group_of_the_newer_protocol_is_listed_and_described_with_its_members(
    client: KafkaClient, kafka: KafkaCluster, coordinator: Broker, make_topic: MakeTopic, topic_name: str
) -> None:
    if client.cluster.fetch_api_versions()[15].max < 6:
        pytest.skip("before Kafka 4 there are no groups of the newer protocol unless the broker is told to have them")
    topic = make_topic()
    settings = {"bootstrap.servers": kafka.hosts, "group.id": topic_name, "group.protocol": "consumer"}
    newer = confluent_kafka.Consumer(settings)
    try:
        newer.subscribe([topic_name])
        until(lambda: newer.poll(0.1) is None and newer.assignment(), what="an assignment by the newer protocol")
        found = describe(client, topic_name)
        assert found[:5] == (0, topic.name, b"Stable", b"consumer", b"uniform")
        (member,) = found.members.values()
        assert (member.client_id, member.member_metadata.topic_names) == (b"rdkafka", [topic.name])
        assert member.member_assignment.partition_assignment == [(topic.name, [0])]
        assert coordinator.list_groups().types[topic.name] == b"consumer"
        assert coordinator.describe_groups([topic_name]).groups[topic.name][:5] == found[:5]
    finally:
        newer.close()


def test_the_groups_of_three_brokers_come_together(kafka3: KafkaCluster, topic_name: str) -> None:
    with KafkaClient(kafka3.hosts) as client:
        topic = create_topic(client, topic_name)
        names = [f"{topic_name}-{number}" for number in range(12)]
        coordinators = {name: coordinator_of(client, name) for name in names}
        assert len({coordinator.id for coordinator in coordinators.values()}) > 1
        for name, coordinator in coordinators.items():
            rows = [PartitionOffsetCommitRequest(topic.name, 0, 1, -1, b"")]
            assert coordinator.commit_consumer_group_offsets(name, -1, b"", rows).topics[topic.name][0].err == 0
        found = client.cluster.get_managed_group_descriptions()
        assert {name: found[name.encode()].state for name in names} == dict.fromkeys(names, b"Empty")


def test_groups_can_be_described_while_they_rebalance(
    client: KafkaClient, coordinator: Broker, make_topic: MakeTopic, topic_name: str
) -> None:
    topic = make_topic(2)
    seats: list[Any] = []

    def join(member: bytes) -> threading.Thread:
        thread = threading.Thread(
            target=lambda: seats.append(coordinator.join_group("c", topic_name, member, topic.name, RangeProtocol))
        )
        thread.start()
        return thread

    with seat_in(coordinator, topic) as seat:
        second = join(b"")
        until(lambda: describe(client, topic_name).state == b"PreparingRebalance", what="a rebalance")
        seen = describe(client, topic_name)
        assert (seen.error_code, seen.protocol_type, len(seen.members)) == (0, b"consumer", 2)
        assert all(member.member_metadata.topic_names == [] for member in seen.members.values())
        had = {name: member.member_assignment.partition_assignment for name, member in seen.members.items()}
        # what was shared out in the generation before, which brokers up to 3.9 leave out
        assert had.pop(seat.member_id) in ([(topic.name, [0, 1])], []) and list(had.values()) == [[]]
        # the join is held back; the same connection_id does not hold up a heartbeat
        assert coordinator.heartbeat("c", topic_name, seat.generation_id, seat.member_id).error_code == 27
        join(seat.member_id).join(30)
        second.join(30)
        assert [one.error_code for one in seats] == [0, 0] and seats[0].generation_id == seats[1].generation_id == 2
        assert describe(client, topic_name).state == b"CompletingRebalance"
        (leader,) = [one for one in seats if one.leader_id == one.member_id]
        assert {member: one.topic_names for member, one in leader.members.items()} == {
            one.member_id: [topic.name] for one in seats
        }
        for one in seats:
            assert coordinator.leave_group("c", topic_name, one.member_id).error_code == 0


# -- with other clients -----------------------------------------------------------------------------------------------


class Other:
    """A consumer of confluent-kafka in a group, polled on a thread of its own."""

    def __init__(self, kafka: KafkaCluster, group: str, topic: Topic, strategy: str) -> None:
        self._settings = {
            "bootstrap.servers": kafka.hosts,
            "group.id": group,
            "partition.assignment.strategy": strategy,
            "heartbeat.interval.ms": 200,
            "session.timeout.ms": 10000,
        }
        self._topic = topic.name.decode()
        #: the numbers of the partitions that it has
        self.share: set[int] = set()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._poll)

    def _poll(self) -> None:
        consumer = confluent_kafka.Consumer(self._settings)
        try:
            consumer.subscribe([self._topic])  # and not earlier: from here on it joins by itself
            while not self._end.is_set():
                consumer.poll(0.05)
                self.share = {row.partition for row in consumer.assignment()}
        finally:
            consumer.close()

    def __enter__(self) -> Other:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._end.set()
        self._thread.join(30)
        assert not self._thread.is_alive()


def divided(everything: set[int], one: Optional[set[int]], other: Optional[set[int]]) -> Optional[tuple[set[int], set[int]]]:
    """Return both shares if they are shares of everything: who has been told already may be ahead of who has not."""
    if one and other and one | other == everything and not one & other:
        return one, other
    return None


@pytest.mark.parametrize("leader", ["by hand", "confluent-kafka"])
@pytest.mark.parametrize("protocol", Protocols, ids=repr)
def test_a_member_by_hand_and_one_of_another_client_share_whoever_leads(
    client: KafkaClient,
    kafka: KafkaCluster,
    make_topic: MakeTopic,
    topic_name: str,
    protocol: GroupMembershipProtocol,
    leader: str,
) -> None:
    topic = make_topic(11)
    ours = HandMember(client, topic_name, topic, protocol)
    theirs = Other(kafka, topic_name, topic, protocol.protocol_name.decode())
    everything = set(range(11))
    first, second = (ours, theirs) if leader == "by hand" else (theirs, ours)
    with first:
        until(lambda: first.share == everything, what=f"everything for {leader}")
        with second:
            both = until(
                lambda: divided(everything, ours.share, theirs.share),
                what="a share for each of them",
            )
            assert ours.error is None and ours.leads is (leader == "by hand")
            seen = describe(client, topic_name)
            assert (seen.state, len(seen.members)) == (b"Stable", 2)
            (other,) = set(seen.members) - {ours.id}
            members = [ours.id, other]
            # whoever shares out, it is done in the same way
            assert both == tuple(
                {part.id for part in protocol.decide_partitions(members, topic.partitions, member)} for member in members
            )
            assert seen.members[other].member_metadata.topic_names == [topic.name]
            assert seen.members[other].member_assignment.partition_assignment == [(topic.name, sorted(both[1]))]
        until(lambda: first.share == everything, what=f"everything for {leader} again")


# -- every version ----------------------------------------------------------------------------------------------------


Ask = Callable[..., Any]


@pytest.fixture
def ask(client: KafkaClient, coordinator: Broker) -> Ask:
    """A function that puts a declared request to the coordinator, in a version at most."""

    def put(request: Any, version: Optional[int] = None) -> Any:
        engine = client.cluster.engine
        where = engine.coordinator("any", Deadline(10.0))
        return engine.call(where, request, Deadline(30.0), lane="versions", cap=version)

    return put


def joined(ask: Ask, group: str, version: int) -> Any:
    """Return the seat of the one member of a new group, asked for in one version of JoinGroup."""
    subscription = bytes(RangeProtocol.metadata.get_bytes())
    join = messages.JoinGroupRequest(
        group_id=group,
        session_timeout_ms=10000,
        rebalance_timeout_ms=10000,
        protocol_type="consumer",
        protocols=[messages.JoinGroupRequest.JoinGroupRequestProtocol(name="range", metadata=subscription)],
        reason="every version",
    )
    seat = ask(join, version)
    if version >= 4:
        assert seat.error_code == 79
        join.member_id = seat.member_id
        seat = ask(join, version)
    assert (seat.error_code, seat.leader, len(seat.members)) == (0, seat.member_id, 1), version
    return seat


def test_every_version_of_joining_and_leaving_is_understood(client: KafkaClient, ask: Ask, make_topic: MakeTopic) -> None:
    topic = make_topic()
    spoken = client.cluster.fetch_api_versions()
    for version in range(spoken[11].min, messages.JoinGroupRequest.MAX_VERSION + 1):
        group = f"{topic.name.decode()}-v{version}"
        seat = joined(ask, group, version)
        used = min(version, messages.LeaveGroupRequest.MAX_VERSION)
        identity = messages.LeaveGroupRequest.MemberIdentity(member_id=seat.member_id, reason="done")
        left = ask(messages.LeaveGroupRequest(group_id=group, member_id=seat.member_id, members=[identity]), used)
        assert (left.error_code, [row.error_code for row in left.members]) == (0, [0] if used >= 3 else [])
        deleted = ask(messages.DeleteGroupsRequest(groups_names=[group]), min(version, messages.DeleteGroupsRequest.MAX_VERSION))
        assert [(row.group_id, row.error_code) for row in deleted.results] == [(group, 0)]


def test_every_version_of_what_members_say_is_understood(ask: Ask, make_topic: MakeTopic) -> None:
    group = make_topic().name.decode()
    seat = joined(ask, group, 9)
    member = {"group_id": group, "member_id": seat.member_id, "generation_id": seat.generation_id}
    share = [messages.SyncGroupRequest.SyncGroupRequestAssignment(member_id=seat.member_id, assignment=b"share")]
    for version in range(messages.SyncGroupRequest.MAX_VERSION + 1):
        request = messages.SyncGroupRequest(**member, protocol_type="consumer", protocol_name="range", assignments=share)
        synced = ask(request, version)
        assert (synced.error_code, synced.assignment) == (0, b"share")
    for version in range(messages.HeartbeatRequest.MAX_VERSION + 1):
        assert ask(messages.HeartbeatRequest(**member), version).error_code == 0


def test_every_version_of_looking_at_groups_is_understood(client: KafkaClient, ask: Ask, make_topic: MakeTopic) -> None:
    group = make_topic().name.decode()
    newest = client.cluster.fetch_api_versions()[15].max
    seat = joined(ask, group, 9)
    share = [messages.SyncGroupRequest.SyncGroupRequestAssignment(member_id=seat.member_id, assignment=b"share")]
    member = {"group_id": group, "member_id": seat.member_id, "generation_id": seat.generation_id}
    assert ask(messages.SyncGroupRequest(**member, assignments=share), 4).error_code == 0
    for version in range(messages.ListGroupsRequest.MAX_VERSION + 1):
        only = messages.ListGroupsRequest(
            states_filter=["Stable"] if version >= 4 else [], types_filter=["classic"] if version >= 5 else []
        )
        assert group in [row.group_id for row in ask(only, version).groups]
    assert group not in [row.group_id for row in ask(messages.ListGroupsRequest(states_filter=["Empty"])).groups]
    for version in range(messages.DescribeGroupsRequest.MAX_VERSION + 1):
        there, gone = ask(messages.DescribeGroupsRequest(groups=[group, "no.such.group"]), version).groups
        assert (there.error_code, there.group_state, there.members[0].member_assignment) == (0, "Stable", b"share")
        assert (gone.error_code, gone.group_state) == (69 if min(version, newest) >= 6 else 0, "Dead")


def test_a_group_with_members_is_not_deleted(coordinator: Broker, ask: Ask, make_topic: MakeTopic) -> None:
    topic = make_topic()
    with seat_in(coordinator, topic):
        reply = ask(messages.DeleteGroupsRequest(groups_names=[topic.name.decode(), "no.such.group"]))
        assert {row.group_id: row.error_code for row in reply.results} == {topic.name.decode(): 68, "no.such.group": 69}
