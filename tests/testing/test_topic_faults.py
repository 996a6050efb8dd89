"""fail_next() for one topic or partition: of every request that is about topics, only that part fails."""

from __future__ import annotations

from typing import Any

import pytest

from pykafka import KafkaClient
from pykafka.exceptions import TopicAuthorizationFailed
from pykafka.protocol import messages as m
from pykafka.protocol.schema import Struct
from pykafka.testing import FakeCluster
from pykafka.testing.faults import WITH_TOPICS

from .peer import Peer, batch, create_topic, fetch, list_offsets, metadata, part, produce

TOPIC = 2
CODE = 41


@pytest.mark.parametrize("version", ["0.11", "2.8", "4.4"])
def test_only_what_was_named_of_commits_and_their_look_up_fails(version: str) -> None:
    """The rule was used up, and everything was committed."""
    with FakeCluster(topics={"t": 2}, as_version=version) as kafka, KafkaClient(kafka.hosts) as client:
        for partition in range(2):
            kafka.produce("t", ["a", "b"], partition=partition)
        with client.topics["t"].get_simple_consumer("g", auto_offset_reset=-2, consumer_timeout_ms=20000) as consumer:
            assert len([consumer.consume() for _ in range(4)]) == 4
            kafka.fail_next("OffsetCommit", TopicAuthorizationFailed, topic="t", partition=1)
            with pytest.raises(TopicAuthorizationFailed, match="t/1"):
                consumer.commit_offsets()
            assert {place: one.offset for place, one in kafka.committed("g").items()} == {("t", 0): 2, ("t", 1): 0}
            consumer.commit_offsets()
            kafka.fail_next("OffsetFetch", TopicAuthorizationFailed, topic="t", partition=0)
            with pytest.raises(TopicAuthorizationFailed, match="t/0"):
                consumer.fetch_offsets()
            assert [row.offset for _partition, row in consumer.fetch_offsets()] == [2, 2]
        assert kafka.faults == []


def resource(kind: Any, topic: str) -> Any:
    return kind(resource_type=TOPIC, resource_name=topic)


def commit(*topics: str) -> Any:
    kind, row = m.OffsetCommitRequest.OffsetCommitRequestTopic, m.OffsetCommitRequest.OffsetCommitRequestPartition
    rows = [row(partition_index=0, committed_offset=7, committed_metadata="")]
    return m.OffsetCommitRequest(
        group_id="g", generation_id_or_member_epoch=-1, topics=[kind(name=topic, partitions=rows) for topic in topics]
    )


def look_up(version: int) -> Any:
    if version < 8:
        kind = m.OffsetFetchRequest.OffsetFetchRequestTopic
        return m.OffsetFetchRequest(group_id="g", topics=[kind(name=name, partition_indexes=[0]) for name in ("t", "u")])
    many = m.OffsetFetchRequest.OffsetFetchRequestTopics
    group = m.OffsetFetchRequest.OffsetFetchRequestGroup
    rows = [many(name=name, partition_indexes=[0]) for name in ("t", "u")]
    return m.OffsetFetchRequest(groups=[group(group_id="g", topics=rows)])


def epoch_end(topic: str) -> Any:
    kind = m.OffsetForLeaderEpochRequest
    rows = [kind.OffsetForLeaderPartition(partition=0, current_leader_epoch=-1, leader_epoch=0)]
    return kind(replica_id=-1, topics=[kind.OffsetForLeaderTopic(topic=topic, partitions=rows)])


def delete_records(topic: str) -> Any:
    kind = m.DeleteRecordsRequest
    rows = [kind.DeleteRecordsPartition(partition_index=0, offset=0)]
    return kind(topics=[kind.DeleteRecordsTopic(name=topic, partitions=rows)], timeout_ms=1000)


#: What is about topic t, and perhaps u, and its version.
ABOUT_T: dict[str, tuple[Any, int]] = {
    "Produce": (produce("t", batch(b"a")), 12),
    "Fetch": (fetch("t", part(), session_epoch=-1), 12),
    "ListOffsets": (list_offsets("t", -1), 7),
    "OffsetForLeaderEpoch": (epoch_end("t"), 4),
    "DeleteRecords": (delete_records("t"), 2),
    "Metadata": (metadata("t", "u"), 9),
    "CreateTopics": (create_topic("t"), 5),
    "DeleteTopics": (m.DeleteTopicsRequest(topic_names=["t"], timeout_ms=1000), 5),
    "CreatePartitions": (
        m.CreatePartitionsRequest(topics=[m.CreatePartitionsRequest.CreatePartitionsTopic(name="t", count=4, assignments=None)]),
        2,
    ),
    "DescribeConfigs": (m.DescribeConfigsRequest(resources=[resource(m.DescribeConfigsRequest.DescribeConfigsResource, "t")]), 2),
    "AlterConfigs": (m.AlterConfigsRequest(resources=[resource(m.AlterConfigsRequest.AlterConfigsResource, "t")]), 2),
    "IncrementalAlterConfigs": (
        m.IncrementalAlterConfigsRequest(resources=[resource(m.IncrementalAlterConfigsRequest.AlterConfigsResource, "t")]),
        1,
    ),
    "OffsetCommit": (commit("t", "u"), 8),
    "OffsetFetch": (look_up(8), 8),
    "OffsetFetch before KIP-709": (look_up(7), 7),
}


def codes(answer: Any) -> list[int]:
    """Return every error code in an answer, in its order."""
    found: list[int] = []
    for name in type(answer).FIELDS:
        given = getattr(answer, name)
        if name == "error_code":
            found.append(given)
        for one in given if isinstance(given, list) else [given]:
            if isinstance(one, Struct):
                found += codes(one)
    return found


def test_every_request_with_topics_is_tried_here() -> None:
    assert {name.split()[0] for name in ABOUT_T} == WITH_TOPICS - {"DescribeQuorum"}  # there is one log of metadata


@pytest.mark.parametrize("what", ABOUT_T)
def test_a_request_fails_for_the_topic_that_was_named_and_for_no_other(fakes: FakeCluster, peer: Peer, what: str) -> None:
    fakes.create_topic("u", 1)
    fakes.move_coordinator("g", 1)
    request, version = ABOUT_T[what]
    api = what.split()[0]
    fakes.fail_next(api, CODE, topic="elsewhere")
    assert CODE not in codes(peer.ask(request, version)) or api == "CreateTopics"
    fakes.heal()
    if api == "DeleteTopics":
        fakes.create_topic("t", 1)
    fakes.fail_next(api, CODE, topic="t")
    assert fakes.faults == [f"1 x {api}: code={CODE}, topic='t'"]
    assert codes(peer.ask(request, version)).count(CODE) == 1
    assert fakes.faults == []


def test_of_a_commit_the_rest_is_taken(fakes: FakeCluster, peer: Peer) -> None:
    fakes.create_topic("u", 1)
    fakes.move_coordinator("g", 1)
    fakes.fail_next("OffsetCommit", CODE, topic="t")
    answer = peer.ask(commit("t", "u"), 8)
    assert {topic.name: topic.partitions[0].error_code for topic in answer.topics} == {"t": CODE, "u": 0}
    assert list(fakes.committed("g")) == [("u", 0)]
    fakes.fail_next("OffsetCommit", CODE, topic="u", partition=0)
    assert codes(peer.ask(commit("u"), 8)) == [CODE]


def test_a_look_up_of_all_that_a_group_has_committed_is_about_every_topic(fakes: FakeCluster, peer: Peer) -> None:
    fakes.move_coordinator("g", 1)
    peer.ask(commit("t"), 8)
    group = m.OffsetFetchRequest.OffsetFetchRequestGroup
    for request, version in ((m.OffsetFetchRequest(group_id="g", topics=None), 7), (look_up(8), 8)):
        if version == 8:
            request = m.OffsetFetchRequest(groups=[group(group_id="g", topics=None)])
        fakes.fail_next("OffsetFetch", CODE, topic="t")
        assert codes(peer.ask(request, version)).count(CODE) == 1 and fakes.faults == []


def test_all_that_is_still_to_go_wrong_is_told(fakes: FakeCluster) -> None:
    fakes.fail_next("Produce", 6, times=2, broker=1)
    fakes.delay("Fetch", 0.5)
    fakes.drop_connection(after="Metadata")
    fakes.corrupt("t", offset=3)
    assert fakes.faults == [
        "2 x Produce to broker 1: code=6",
        "1 x Fetch: seconds=0.5",
        "1 x Metadata: the connection ends",
        "1 x corrupt t/0, offset 3",
    ]
    fakes.heal()
    assert fakes.faults == []
