"""Committed offsets at every level of failure: an error is never taken for "nothing committed"."""

from __future__ import annotations

from typing import Any

import pytest

from pykafka import KafkaClient
from pykafka.common import TopicPartition
from pykafka.exceptions import (
    GroupAuthorizationFailed,
    GroupLoadInProgress,
    KafkaException,
    LeaderNotFoundError,
    NotCoordinatorForGroup,
    OffsetMetadataTooLarge,
    OffsetRequestFailedError,
    OperationTimedOut,
    TopicAuthorizationFailed,
    UnknownTopicOrPartition,
)
from pykafka.offsets import committed_by_group
from pykafka.protocol import PartitionOffsetFetchRequest
from pykafka.protocol.messages import OffsetCommitResponse, OffsetFetchResponse

from .broker import DROP, NODE, FakeBroker, fake_broker
from .scripts import with_metadata

OFFSETS = {"offsets_channel_backoff_ms": 1, "offsets_commit_max_retries": 2}
SHORT = {"offsets_channel_socket_timeout_ms": 400}


def fetched(
    offset: int = 5, partition_error: int = 0, group_error: int = 0, partitions: tuple[int, ...] = (0,)
) -> OffsetFetchResponse:
    """Return an answer to OffsetFetch, in the layout of v8 and later."""
    rows = [
        OffsetFetchResponse.OffsetFetchResponsePartitions(
            partition_index=number, committed_offset=offset, error_code=partition_error
        )
        for number in partitions
    ]
    topics = [OffsetFetchResponse.OffsetFetchResponseTopics(name="t", partitions=rows)]
    return OffsetFetchResponse(
        groups=[OffsetFetchResponse.OffsetFetchResponseGroup(group_id="g", topics=topics, error_code=group_error)]
    )


def committed(error: int = 0) -> OffsetCommitResponse:
    """Return an answer to OffsetCommit."""
    rows = [OffsetCommitResponse.OffsetCommitResponsePartition(partition_index=0, error_code=error)]
    return OffsetCommitResponse(topics=[OffsetCommitResponse.OffsetCommitResponseTopic(name="t", partitions=rows)])


def start(broker: FakeBroker, answers: list[Any], **options: Any) -> int:
    """Return where a consumer of a group starts when OffsetFetch is answered with ``answers``, the last one again and again."""
    broker.scripts["OffsetFetch"] = lambda request, version: answers.pop(0) if len(answers) > 1 else answers[0]
    broker.scripts["OffsetCommit"] = lambda request, version: committed()
    broker.scripts["Fetch"] = lambda request, version: None
    with KafkaClient(broker.hosts, **SHORT) as client:
        topic = client.topics["t"]
        with topic.get_simple_consumer("g", **{**OFFSETS, **options}) as consumer:
            position = consumer.position(topic.partitions[0])
            assert position is not None
            return position


def test_a_committed_offset_is_where_it_starts_and_nothing_is_committed_again() -> None:
    with fake_broker() as broker:
        assert start(broker, [fetched(5)]) == 5
        assert broker.seen("OffsetCommit") == []


def test_no_committed_offset_means_auto_offset_reset_and_that_is_committed_at_once() -> None:
    with fake_broker() as broker:
        assert start(broker, [fetched(-1)]) == 0
        (commit,) = broker.seen("OffsetCommit")
        assert commit.topics[0].partitions[0].committed_offset == 0


@pytest.mark.parametrize("level", ["group", "partition", "connection", "coordinator moved"])
def test_a_passing_error_at_any_level_is_tried_again_and_then_the_committed_offset_counts(level: str) -> None:
    trouble: dict[str, Any] = {
        "group": fetched(group_error=14),
        "partition": fetched(offset=-1, partition_error=14),
        "connection": DROP,
        "coordinator moved": fetched(group_error=16),
    }
    with fake_broker() as broker:
        assert start(broker, [trouble[level], trouble[level], fetched(5)]) == 5
        assert len(broker.seen("OffsetFetch")) == 3
        if level == "coordinator moved":
            assert len(broker.seen("FindCoordinator")) > 1


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (fetched(group_error=30), GroupAuthorizationFailed),
        (fetched(offset=-1, partition_error=29), TopicAuthorizationFailed),
        (fetched(group_error=14), GroupLoadInProgress),
        # the time runs out while the coordinator is asked, or while it is looked for
        (fetched(group_error=16), (NotCoordinatorForGroup, OperationTimedOut)),
        (fetched(offset=-1, partition_error=3), UnknownTopicOrPartition),
        (fetched(partitions=()), OffsetRequestFailedError),
        (DROP, KafkaException),
    ],
    ids=["group refused", "topic refused", "loads for ever", "moves for ever", "partition unknown", "left out", "dropped"],
)
def test_an_error_that_stays_is_raised_and_never_taken_for_nothing_committed(answer: Any, error: Any) -> None:
    with fake_broker() as broker:
        with pytest.raises(error):
            start(broker, [answer])
        assert broker.seen("Fetch") == []
        assert broker.seen("OffsetCommit") == []


def test_a_group_that_the_coordinator_has_never_heard_of_has_nothing_committed() -> None:
    with fake_broker() as broker:
        assert start(broker, [fetched(group_error=69)]) == 0


def test_a_broker_from_before_several_groups_in_one_request_is_understood() -> None:
    row = OffsetFetchResponse.OffsetFetchResponsePartition(partition_index=0, committed_offset=9)
    old = OffsetFetchResponse(topics=[OffsetFetchResponse.OffsetFetchResponseTopic(name="t", partitions=[row])])
    with fake_broker(caps={"OffsetFetch": 5, "FindCoordinator": 2, "Metadata": 5, "ListOffsets": 2}) as broker:
        assert start(broker, [old]) == 9


def test_a_commit_that_fails_for_good_is_raised_with_group_topic_partition_and_code() -> None:
    with fake_broker() as broker:
        broker.scripts["OffsetFetch"] = lambda request, version: fetched(5)
        broker.scripts["OffsetCommit"] = lambda request, version: committed(12)
        broker.scripts["Fetch"] = lambda request, version: None
        with KafkaClient(broker.hosts, **SHORT) as client, client.topics["t"].get_simple_consumer("g", **OFFSETS) as consumer:
            with pytest.raises(OffsetMetadataTooLarge) as caught:
                consumer.commit_offsets()
            assert (caught.value.code, caught.value.api, caught.value.partition) == (12, "OffsetCommit", 0)
            assert "group g" in str(caught.value)


def test_a_commit_is_tried_again_after_a_passing_error() -> None:
    answers: list[Any] = [committed(14), DROP, committed(16), committed()]
    with fake_broker() as broker:
        broker.scripts["OffsetFetch"] = lambda request, version: fetched(5)
        broker.scripts["OffsetCommit"] = lambda request, version: answers.pop(0)
        broker.scripts["Fetch"] = lambda request, version: None
        with KafkaClient(broker.hosts, **SHORT) as client, client.topics["t"].get_simple_consumer("g", **OFFSETS) as consumer:
            consumer.commit_offsets()
        assert answers == []


# -- everything that a group has committed ------------------------------------------------------------------------------


def everything(broker: FakeBroker, *answers: Any) -> dict[str, dict[int, int]]:
    """Return what committed_by_group() makes of these answers, the last one again and again."""
    left = list(answers)
    broker.scripts["OffsetFetch"] = lambda request, version: left.pop(0) if len(left) > 1 else left[0]
    with KafkaClient(broker.hosts, socket_timeout_ms=1000) as client:
        found = committed_by_group(client.cluster, "g")
        return {topic: {number: row.offset for number, row in rows.items()} for topic, rows in found.items()}


def test_everything_a_group_has_committed_is_had_with_one_request_about_all_topics() -> None:
    with fake_broker() as broker:
        assert everything(broker, fetched(5, partitions=(0, 3))) == {"t": {0: 5, 3: 5}}
        (request,) = broker.seen("OffsetFetch")
        assert [(group.group_id, group.topics) for group in request.groups] == [("g", None)]
        assert not request.require_stable


def test_a_group_nobody_has_heard_of_has_committed_nothing_in_any_topic() -> None:
    with fake_broker() as broker:
        assert everything(broker, fetched(group_error=69)) == {}


def test_everything_is_understood_from_a_broker_before_several_groups_in_one_request() -> None:
    row = OffsetFetchResponse.OffsetFetchResponsePartition(partition_index=0, committed_offset=9)
    old = OffsetFetchResponse(topics=[OffsetFetchResponse.OffsetFetchResponseTopic(name="t", partitions=[row])])
    with fake_broker(caps={"OffsetFetch": 5, "FindCoordinator": 2}) as broker:
        assert everything(broker, old) == {"t": {0: 9}}
        (request,) = broker.seen("OffsetFetch")
        assert (request.group_id, request.topics) == ("g", None)


@pytest.mark.parametrize("answer", [fetched(group_error=14), fetched(group_error=16), fetched(partition_error=14), DROP])
def test_everything_is_asked_for_again_after_a_passing_error(answer: Any) -> None:
    with fake_broker() as broker:
        assert everything(broker, answer, fetched(7)) == {"t": {0: 7}}
        assert len(broker.seen("FindCoordinator")) == 2


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (fetched(group_error=30), GroupAuthorizationFailed),
        (fetched(partition_error=29), TopicAuthorizationFailed),
        (fetched(group_error=14), GroupLoadInProgress),
    ],
)
def test_an_error_that_stays_is_raised_and_never_taken_for_a_group_without_offsets(answer: Any, error: type[Exception]) -> None:
    with fake_broker() as broker, pytest.raises(error, match="group g"):
        everything(broker, answer)


# -- partitions whose neighbours are in trouble -------------------------------------------------------------------------


def test_a_partition_tells_its_ends_while_another_has_no_leader() -> None:
    with fake_broker(partitions=2) as broker, KafkaClient(broker.hosts, socket_timeout_ms=1000) as client:
        with_metadata(broker, lambda answer: setattr(answer.topics[0].partitions[1], "leader_id", -1))
        client.update_cluster()
        topic = client.topics["t"]
        led, leaderless = topic.partitions[0], topic.partitions[1]
        assert (led.earliest_available_offset(), led.latest_available_offset()) == (0, 0)
        with pytest.raises(LeaderNotFoundError, match="t/1"):
            leaderless.latest_available_offset()
        with pytest.raises(LeaderNotFoundError, match="t/1"):
            topic.latest_available_offsets()


def test_a_partition_names_the_brokers_of_its_copies_also_those_that_are_down() -> None:
    def change(answer: Any) -> None:
        partition = answer.topics[0].partitions[0]
        partition.replica_nodes, partition.isr_nodes = [2, 1], [1]

    with fake_broker() as broker:
        with_metadata(broker, change)
        with KafkaClient(broker.hosts) as client:
            partition = client.topics["t"].partitions[0]
            assert (partition.replica_ids, partition.isr_ids) == ([2, 1], [1])
            assert [one.id for one in partition.replicas] == [1]


def test_what_another_group_has_committed_is_never_taken_for_ours() -> None:
    with fake_broker() as broker:
        broker.scripts["OffsetFetch"] = lambda request, version: fetched(5)
        broker.scripts["OffsetCommit"] = lambda request, version: committed()
        with KafkaClient(broker.hosts) as client:
            topic = client.topics["t"]
            with pytest.raises(OffsetRequestFailedError, match="group other answered about g"):
                topic.get_simple_consumer("other", **OFFSETS)
            with pytest.raises(OffsetRequestFailedError, match="group other answered about g"):
                committed_by_group(client.cluster, "other")
            wanted = [PartitionOffsetFetchRequest(b"t", 0)]
            answer = client.brokers[NODE].fetch_consumer_group_offsets(b"other", wanted)
            assert answer.topics[b"t"][0].err == -1
        assert broker.seen("OffsetCommit") == []


def test_where_some_will_do_a_partition_without_a_leader_is_left_out_at_once() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        options = {**OFFSETS, "auto_start": False, "consumer_group": "g"}
        offsets = client.topics["t"].get_simple_consumer(**options)._offsets
        led, leaderless = TopicPartition("t", 0), TopicPartition("t", 9)
        before = len(broker.seen("ListOffsets"))
        assert offsets.list_offsets({led: -2, leaderless: -2}, some_will_do=True) == {led: 0}
        assert len(broker.seen("ListOffsets")) == before + 1
        with pytest.raises(LeaderNotFoundError, match="t/9"):
            offsets.list_offsets({led: -2, leaderless: -2})
