"""Members of groups whose coordinator has moved on, is of another opinion, or leaves something unanswered."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any, Callable, Optional

import pytest

from pykafka import KafkaClient, reader
from pykafka._machines import turns
from pykafka.balancedconsumer import BalancedConsumer
from pykafka.common import TopicPartition
from pykafka.exceptions import ConsumerStoppedException, GroupIdNotFound, StaleMemberEpoch
from pykafka.groupconsumer import CHOICES
from pykafka.protocol.messages import (
    ApiVersionsResponse,
    ConsumerGroupDescribeResponse,
    ConsumerGroupHeartbeatResponse,
    DescribeConfigsResponse,
    FindCoordinatorResponse,
    HeartbeatResponse,
    JoinGroupResponse,
    LeaveGroupResponse,
    MetadataResponse,
    OffsetCommitResponse,
    OffsetFetchResponse,
    SyncGroupResponse,
)
from pykafka.reader import STOP_TIMEOUT_S

from ..support import until
from .broker import FakeBroker, fake_broker
from .scripts import depose, interrupting, with_metadata
from .test_produce_and_fetch import fetched, stored

REBALANCE_IN_PROGRESS, STALE_MEMBER_EPOCH, UNSUPPORTED_VERSION = 27, 113, 35


class Coordinator:
    """Coordinates a group of the newer protocol with one member, which reads all of ``t``; takes commits at its epoch only."""

    def __init__(self, broker: FakeBroker, partitions: int = 1) -> None:
        self.epoch = 3
        self.committed: list[tuple[int, int, int]] = []
        #: what heartbeats are refused with
        self.error = 0
        #: what the group had committed before
        self.stored = -1
        self.heartbeat_ms = 5000
        #: what DescribeConfigs says of the session
        self.session_ms: Optional[str] = "45000"
        self.configs_error = 0
        self.share: Optional[list[int]] = [*range(partitions)]
        self.on_commit: Callable[[], None] = lambda: None
        #: what commits are refused with, whatever their epoch
        self.commit_error = 0
        for name, script in (
            ("ConsumerGroupHeartbeat", self.beat),
            ("OffsetFetch", self.committed_offsets),
            ("Fetch", self.fetch),
            ("DescribeConfigs", self.configs),
            ("OffsetCommit", self.commit),
        ):
            broker.scripts[name] = script

    def beat(self, request: Any, version: int) -> Any:
        reply = ConsumerGroupHeartbeatResponse(member_id=request.member_id, heartbeat_interval_ms=self.heartbeat_ms)
        reply.error_code = self.error
        reply.member_epoch = min(self.epoch, request.member_epoch) if request.member_epoch < 0 else self.epoch
        if request.member_epoch == 0 and self.share is not None:
            row = ConsumerGroupHeartbeatResponse.TopicPartitions(topic_id=b"T" * 16, partitions=self.share)
            reply.assignment = ConsumerGroupHeartbeatResponse.Assignment(topic_partitions=[row] if self.share else [])
        return reply

    def fetch(self, request: Any, version: int) -> Any:
        """Have one message in the log of partition 0."""
        asked = [part for topic in request.topics for part in topic.partitions if part.fetch_offset == 0 == part.partition]
        return fetched(bytes(stored(0, [b"one"]))) if asked else None

    def committed_offsets(self, request: Any, version: int) -> Any:
        cls = OffsetFetchResponse
        (wanted,) = request.groups
        topics = [
            cls.OffsetFetchResponseTopics(
                name=topic.name,
                partitions=[
                    cls.OffsetFetchResponsePartitions(partition_index=number, committed_offset=self.stored, metadata="")
                    for number in topic.partition_indexes
                ],
            )
            for topic in wanted.topics
        ]
        return cls(groups=[cls.OffsetFetchResponseGroup(group_id=wanted.group_id, topics=topics)])

    def configs(self, request: Any, version: int) -> Any:
        cls = DescribeConfigsResponse
        (asked,) = request.resources
        rows = [] if self.session_ms is None else [cls.DescribeConfigsResourceResult(name=asked.configuration_keys[0])]
        for row in rows:
            row.value = self.session_ms
        result = cls.DescribeConfigsResult(error_code=self.configs_error, resource_type=32, resource_name="g", configs=rows)
        return cls(results=[result])

    def commit(self, request: Any, version: int) -> Any:
        epoch = request.generation_id_or_member_epoch
        self.on_commit()
        code = self.commit_error or (0 if epoch == self.epoch else STALE_MEMBER_EPOCH)
        cls, topics = OffsetCommitResponse, []
        for topic in request.topics:
            rows = []
            for part in topic.partitions:
                if not code:
                    self.committed.append((epoch, part.partition_index, part.committed_offset))
                rows.append(cls.OffsetCommitResponsePartition(partition_index=part.partition_index, error_code=code))
            topics.append(cls.OffsetCommitResponseTopic(name=topic.name, partitions=rows))
        return cls(topics=topics)


@pytest.fixture
def broker() -> Iterator[FakeBroker]:
    with fake_broker() as fake:
        yield fake


def member(client: KafkaClient, **options: Any) -> BalancedConsumer:
    given = {"group_protocol": "consumer", "auto_commit_enable": True, "consumer_timeout_ms": 5000, **options}
    return client.topics["t"].get_balanced_consumer("g", managed=True, **given)


# -- commits before partitions are given up ---------------------------------------------------------------------------


def read_one(consumer: BalancedConsumer) -> None:
    message = consumer.consume()
    assert message is not None and message.value == b"one"


def test_what_was_delivered_is_committed_with_the_newest_epoch_when_the_group_has_moved_on_meanwhile(broker: FakeBroker) -> None:
    group = Coordinator(broker)
    with KafkaClient(broker.hosts) as client:
        consumer = member(client)
        read_one(consumer)
        group.epoch = 4  # which the member is told with its next heartbeat, in five seconds
        consumer.stop()
        # where reading began, and what was delivered since
        assert group.committed == [(3, 0, 0), (4, 0, 1)]


def test_partitions_are_begun_with_although_the_group_has_moved_on_before_their_beginning_was_committed(
    broker: FakeBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pykafka.group_reader.BEGIN_AGAIN_S", 0.1)
    group = Coordinator(broker)
    group.heartbeat_ms = 50

    def move_on() -> None:
        group.epoch, group.on_commit = 4, lambda: None

    group.on_commit = move_on
    with KafkaClient(broker.hosts) as client, member(client) as consumer:
        # nothing is assigned anew: the member keeps what it has through the epochs, as cooperative ones do
        read_one(consumer)
        assert group.committed == [(4, 0, 0)]


@pytest.mark.parametrize("listens", [False, True], ids=["refuses connections", "accepts and says nothing"])
def test_a_partition_whose_leader_cannot_be_reached_does_not_hold_up_the_others_that_were_given_with_it(
    listens: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pykafka.offsets.LEADER_ANSWERS_S", 0.5)
    with fake_broker(partitions=2) as broker, socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        if listens:
            other.listen()

        def lead_elsewhere(answer: Any) -> None:
            row = MetadataResponse.MetadataResponseBroker(node_id=2, host="127.0.0.1", port=other.getsockname()[1])
            answer.brokers.append(row)
            depose(1, leader=2)(answer)

        find_it_again = with_metadata(broker, lead_elsewhere)
        monkeypatch.setattr("pykafka.group_reader.BEGIN_AGAIN_S", 0.1)
        group = Coordinator(broker, partitions=2)
        with KafkaClient(broker.hosts) as client, member(client) as consumer:
            read_one(consumer)
            assert group.committed == [(3, 0, 0)]
            find_it_again()
            until(lambda: (3, 1, 0) in group.committed, what="the other partition is begun with, too")


def test_a_commit_while_a_generation_is_shared_out_is_made_when_that_is_done_and_not_only_in_the_next_one(
    broker: FakeBroker,
) -> None:
    group = Coordinator(broker)
    with KafkaClient(broker.hosts) as client, member(client, auto_commit_enable=False) as consumer:
        read_one(consumer)
        session = consumer._session
        assert session is not None
        stable = session.status
        refused: list[int] = []

        class SharingOut:
            """The session of a classic member between JoinGroup and SyncGroup: its generation takes no commits yet."""

            @property
            def status(self) -> Any:
                return stable if len(refused) > 1 else stable._replace(state="syncing")

            def __getattr__(self, name: str) -> Any:
                return getattr(session, name)

        def refuse() -> None:
            refused.append(REBALANCE_IN_PROGRESS)
            group.commit_error = REBALANCE_IN_PROGRESS if len(refused) < 3 else 0

        consumer._session = SharingOut()  # type: ignore[assignment]  # all but the status is the session's
        group.on_commit = refuse
        committing = threading.Thread(target=consumer.commit_offsets, daemon=True)
        committing.start()
        until(lambda: refused, what="a refusal")
        refused.append(0)  # shared out
        committing.join(10)
        assert not committing.is_alive() and group.committed[-1] == (3, 0, 1)


def test_a_commit_that_the_group_never_catches_up_with_is_given_up_in_time(
    broker: FakeBroker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("pykafka.group_commits.CATCH_UP_S", 0.3)
    group = Coordinator(broker)

    def move_on() -> None:
        group.epoch += 1

    with KafkaClient(broker.hosts) as client:
        consumer = member(client)
        read_one(consumer)
        group.on_commit = move_on
        consumer.stop()
    assert group.committed == [(3, 0, 0)]
    assert "delivered last is not committed" in caplog.text and StaleMemberEpoch.__name__ in caplog.text


# -- sessions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours_ms", "theirs_ms", "error", "bound_s"),
    [
        (30000, "45000", 0, 30.0),
        (60000, "45000", 0, 45.0),
        (60000, "45000", 30, 60.0),  # may not be asked
        (60000, None, 0, 60.0),
        (60000, "soon", 0, 60.0),
        (60000, "0", 0, 60.0),
        (60000, "-1", 0, 60.0),
    ],
)
def test_the_shorter_session_counts_ours_or_the_coordinators_where_that_is_known(
    broker: FakeBroker, ours_ms: int, theirs_ms: Optional[str], error: int, bound_s: float
) -> None:
    group = Coordinator(broker)
    group.session_ms, group.configs_error = theirs_ms, error
    with KafkaClient(broker.hosts) as client, member(client, session_timeout_ms=ours_ms) as consumer:
        assert consumer._member is not None and consumer._member.settings.session_timeout_s == bound_s


def test_a_broker_that_does_not_tell_the_session_keeps_nobody_from_reading(
    broker: FakeBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pykafka.group_protocols.SESSION_ANSWER_S", 0.2)
    Coordinator(broker)
    broker.scripts["DescribeConfigs"] = lambda request, version: None
    with KafkaClient(broker.hosts) as client, member(client) as consumer:
        read_one(consumer)


# -- partitions without a leader --------------------------------------------------------------------------------------


@pytest.mark.parametrize("resets", [False, True])
def test_a_partition_without_a_leader_keeps_nobody_from_reading_the_others_and_follows_when_it_has_one(
    resets: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pykafka.offsets.ELECTION_S", 0.1)
    monkeypatch.setattr("pykafka.group_reader.BEGIN_AGAIN_S", 0.05)
    with fake_broker(partitions=2) as broker:
        Coordinator(broker, partitions=2)
        elect = with_metadata(broker, depose(1))
        with KafkaClient(broker.hosts) as client, member(client, reset_offset_on_start=resets) as consumer:
            read_one(consumer)
            assert [*consumer.partitions] == [0]
            elect()
            until(lambda: sorted(consumer.partitions) == [0, 1], what="the partition that has a leader by now")
            assert consumer.position(consumer.partitions[1]) == 0
        # who resets its offsets does so for all of its first share, whenever it comes
        assert bool(broker.seen("OffsetFetch")) is not resets


def test_what_the_group_has_committed_is_begun_with_whether_there_is_a_leader_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pykafka.offsets.ELECTION_S", 0.1)
    with fake_broker(partitions=2) as broker:
        Coordinator(broker, partitions=2).stored = 7
        with_metadata(broker, depose(1))
        with KafkaClient(broker.hosts) as client, member(client) as consumer:
            assert consumer.held_offsets == {0: 6, 1: 6}


# -- signal handlers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["refill", "deal"])
def test_a_signal_handler_that_stops_a_member_in_the_middle_of_consume_does_not_wait_for_it(
    broker: FakeBroker, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    group, took = Coordinator(broker), []

    def handle() -> None:
        began = time.monotonic()
        consumer.stop()
        took.append(time.monotonic() - began)

    with KafkaClient(broker.hosts) as client:
        consumer = member(client)
        until(lambda: consumer._core.parcels[TopicPartition("t", 0)], what="a message")  # type: ignore[union-attr]
        interrupting(monkeypatch, reader if where == "deal" else turns.PartitionBuffer, where, handle)
        with pytest.raises(ConsumerStoppedException):
            consumer.consume()
        assert took and took[0] < STOP_TIMEOUT_S / 2
        assert not consumer.partitions and [request.member_epoch for request in broker.seen("ConsumerGroupHeartbeat")][-1] == -1
        # what was not delivered is not committed, and comes again
        assert group.committed == [(3, 0, 0)]
        consumer.start()
        read_one(consumer)
        consumer.stop()
        assert group.committed[-1] == (3, 0, 1)


# -- groups that are of the other protocol by now ------------------------------------------------------------------------


def with_newer_protocol(broker: FakeBroker) -> Callable[[], None]:
    """Have the broker offer the newer protocol, which the group is of; return what ends that."""

    def versions(request: Any, version: int) -> Any:
        reply = broker.versions(request, version)
        row = ApiVersionsResponse.FinalizedFeatureKey(name="group.version", max_version_level=1, min_version_level=1)
        reply.finalized_features = [row]
        return reply

    def describe(request: Any, version: int) -> Any:
        cls = ConsumerGroupDescribeResponse
        return cls(groups=[cls.DescribedGroup(group_id="g", group_state="Stable", members=[])])

    def end() -> None:
        broker.scripts["ApiVersions"] = broker.versions

    broker.scripts.update({"ApiVersions": versions, "ConsumerGroupDescribe": describe})
    return end


def coordinate_classic(broker: FakeBroker) -> None:
    """Coordinate a classic group whose only member, also its leader, reads what it decides."""
    shares: list[bytes] = []

    def join(request: Any, version: int) -> Any:
        rows = [JoinGroupResponse.JoinGroupResponseMember(member_id="m", metadata=request.protocols[0].metadata)]
        chosen = request.protocols[0].name
        return JoinGroupResponse(generation_id=8, protocol_name=chosen, leader="m", member_id="m", members=rows)

    def sync(request: Any, version: int) -> Any:
        shares.extend(bytes(row.assignment) for row in request.assignments)
        return SyncGroupResponse(assignment=shares[-1])

    broker.scripts.update(
        {
            "JoinGroup": join,
            "SyncGroup": sync,
            "Heartbeat": lambda request, version: HeartbeatResponse(),
            "LeaveGroup": lambda request, version: LeaveGroupResponse(),
        }
    )


def test_a_member_that_may_choose_goes_on_when_brokers_do_not_have_the_newer_protocol_any_more(broker: FakeBroker) -> None:
    group = Coordinator(broker)
    group.heartbeat_ms = 50
    coordinate_classic(broker)
    roll_down = with_newer_protocol(broker)
    with KafkaClient(broker.hosts) as client, member(client, group_protocol="auto") as consumer:
        assert consumer.group_status().protocol == "consumer"
        read_one(consumer)
        consumer.commit_offsets()
        roll_down()
        group.error, group.epoch = UNSUPPORTED_VERSION, 8
        until(lambda: consumer.group_status().protocol == "range" and consumer.partitions, what="a share in the classic group")
        consumer.commit_offsets()
        assert group.committed[-1][0] == 8
    assert len(broker.seen("LeaveGroup")) == 1


def test_a_coordinator_that_is_of_two_opinions_is_believed_a_few_times_only(broker: FakeBroker) -> None:
    Coordinator(broker).error = GroupIdNotFound.ERROR_CODE
    with_newer_protocol(broker)
    with KafkaClient(broker.hosts) as client, pytest.raises(GroupIdNotFound):
        member(client, group_protocol="auto")
    assert len(broker.seen("ConsumerGroupHeartbeat")) == 1 + CHOICES


def test_a_member_that_was_stopped_while_it_looked_for_its_groups_protocol_stays_stopped(broker: FakeBroker) -> None:
    group, looking, gate = Coordinator(broker), threading.Event(), threading.Event()
    group.heartbeat_ms = 50
    with_newer_protocol(broker)
    described = broker.scripts["ConsumerGroupDescribe"]
    with KafkaClient(broker.hosts) as client:
        consumer = member(client, group_protocol="auto")

        def describe(request: Any, version: int) -> Any:
            looking.set()
            gate.wait(10)
            return described(request, version)

        broker.scripts["ConsumerGroupDescribe"] = describe
        group.error = GroupIdNotFound.ERROR_CODE
        assert looking.wait(10)
        stopping = threading.Thread(target=consumer.stop)
        stopping.start()
        until(lambda: not consumer._running, what="the stop")
        joined = [request.member_epoch for request in broker.seen("ConsumerGroupHeartbeat")].count(0)
        gate.set()
        stopping.join(10)
        assert not stopping.is_alive() and consumer._worker is None
        # once in the beginning, and once when it seemed to have been put out of its group
        assert [request.member_epoch for request in broker.seen("ConsumerGroupHeartbeat")].count(0) == joined == 2


# -- coordinators that are none ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("keys", [[], ["another"]])
def test_an_answer_about_no_coordinator_or_that_of_others_is_asked_for_again(broker: FakeBroker, keys: list[str]) -> None:
    # by the consumer first, which asks how long a session is, and then by its member
    Coordinator(broker)
    wrong = [True, False, True, False]

    def mistaken(request: Any, version: int) -> Any:
        reply = broker.coordinator(request, version)
        if wrong.pop(0):
            row = FindCoordinatorResponse.Coordinator
            reply.coordinators = [row(key=key, node_id=99, host="127.0.0.1", port=1) for key in keys]
        return reply

    broker.scripts["FindCoordinator"] = mistaken
    with KafkaClient(broker.hosts) as client, member(client) as consumer:
        read_one(consumer)
    assert not wrong
