"""Each play runs on a fake cluster and on a real broker of the same version: every field of every answer is the same."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from pykafka.protocol import messages as m
from pykafka.protocol.api import choose_version, decode_response, encode_request, response_of
from pykafka.testing import FakeCluster
from pykafka.testing.batches import split

from ..brokers import KafkaCluster
from .peer import (
    TIME_MS,
    Comparer,
    Peer,
    Play,
    Plays,
    answers,
    batch,
    compressed,
    create_topic,
    delete_topics,
    differences,
    fetch,
    list_offsets,
    metadata,
    new_topic,
    part,
    produce,
    with_body,
    with_fields,
)

PLAYS = Plays()
play = PLAYS.add
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeCluster]:
    """A fake cluster as the real one is set up."""
    with FakeCluster(default_partitions=3, racks=["r1"]) as cluster:
        yield cluster


# -- producing --------------------------------------------------------------------------------------------------------


@play
def produced_and_read_back(peer: Peer, topic: str) -> Iterator[Any]:
    topic_id = new_topic(peer, topic)
    for version in range(3, 14):
        yield peer.ask(produce(topic, batch(b"a", b"bb"), topic_id=topic_id), version)
    for version in range(4, 18):
        yield peer.ask(fetch(topic, part(offset=3), topic_id=topic_id, session_epoch=-1), version)


@play
def acks(peer: Peer, topic: str) -> Iterator[Any]:
    topic_id = new_topic(peer, topic)
    for number in (1, -1, 2):
        yield peer.ask(produce(topic, batch(b"a"), topic_id=topic_id, acks=number))
    peer.send(produce(topic, batch(b"silent"), topic_id=topic_id, acks=0), 13)
    yield peer.ask(fetch(topic, part(), topic_id=topic_id, session_epoch=-1, wait_ms=500, min_bytes=250))


@play
def produced_to_no_such_place(peer: Peer, topic: str) -> Iterator[Any]:
    yield peer.ask(produce(topic, batch(b"a")), 12)
    yield peer.ask(produce("", batch(b"a"), topic_id=b"?" * 16), 13)
    yield peer.ask(produce("", batch(b"a")), 13)
    topic_id = new_topic(peer, topic)
    yield peer.ask(produce(topic, batch(b"a"), partition=1), 12)
    yield peer.ask(produce(topic, batch(b"a"), partition=-1), 12)
    yield peer.ask(produce("", batch(b"a"), partition=7, topic_id=topic_id), 13)


@play
def batches_that_are_refused(peer: Peer, topic: str) -> Iterator[Any]:
    topic_id = new_topic(peer, topic, max_message_bytes="1000")
    good = batch(b"a", b"b")
    for bad in (
        b"",
        good + good,
        batch(b"x" * 1000),
        good[:-1] + b"?",
        with_fields(good, base_offset=5),
        with_fields(good, last_offset_delta=4),
        with_fields(good, records_count=3),
        with_fields(good, records_count=1, last_offset_delta=0),
        with_fields(good, records_count=0),
        with_fields(good, attributes=0x20),
        with_fields(good, attributes=0x10),
        with_fields(good, attributes=0x05),
        with_fields(good, producer_id=5, producer_epoch=0, base_sequence=-1),
        with_fields(good, magic=1),
        with_fields(good, magic=3),
        good[:50],
        good[:70],
    ):
        yield peer.ask(produce(topic, bad, topic_id=topic_id), 13)
    yield peer.ask(list_offsets(topic, -1))


def new_producer_id(peer: Peer) -> int:
    """Return a producer id; a broker that has just started has none yet."""
    while True:
        answer = peer.ask(m.InitProducerIdRequest(transactional_id=None, transaction_timeout_ms=60000))
        if not answer.error_code:
            return int(answer.producer_id)


@play
def batches_of_an_idempotent_producer(peer: Peer, topic: str) -> Iterator[Any]:
    topic_id = new_topic(peer, topic)
    producer_id = new_producer_id(peer)

    def send(sequence: int, count: int = 1, epoch: int = 0) -> Any:
        data = batch(*[b"v"] * count, producer=(producer_id, epoch, sequence))
        return peer.ask(produce(topic, data, topic_id=topic_id))

    for sequence in range(6):
        yield send(sequence)
    # the last five are known again, the first one is not
    for sequence in (5, 1, 0, 7, 6):
        yield send(sequence)
    yield send(7, count=3)
    yield send(7, count=2)
    yield send(10, epoch=1)
    yield send(0, epoch=1)
    yield send(11, epoch=0)
    yield send(1, epoch=1)
    yield peer.ask(list_offsets(topic, -1))


@play
def a_producer_that_nobody_knows_begins_with_any_sequence(peer: Peer, topic: str) -> Iterator[Any]:
    topic_id = new_topic(peer, topic)
    for sequence in (17, 18, 20):
        yield peer.ask(produce(topic, batch(b"v", producer=(987654, 3, sequence)), topic_id=topic_id))


@play
def sequences_begin_anew_after_the_highest(peer: Peer, topic: str) -> Iterator[Any]:
    topic_id = new_topic(peer, topic)
    for sequence, count in ((2**31 - 2, 3), (1, 1), (2**31 - 2, 3)):
        yield peer.ask(produce(topic, batch(*[b"v"] * count, producer=(987655, 0, sequence)), topic_id=topic_id))


@play
def a_wrong_highest_timestamp_is_put_right(peer: Peer, topic: str) -> Iterator[Any]:
    topic_id = new_topic(peer, topic)
    yield peer.ask(produce(topic, with_fields(batch(b"a", b"b"), max_timestamp=5), topic_id=topic_id))
    yield peer.ask(fetch(topic, part(), topic_id=topic_id, session_epoch=-1, isolation_level=1))
    for time_ms in (-3, TIME_MS):
        yield peer.ask(list_offsets(topic, time_ms))


@play
def zstd_needs_a_newer_version(peer: Peer, topic: str) -> Iterator[Any]:
    new_topic(peer, topic)
    for version in (6, 7):
        yield peer.ask(produce(topic, compressed("zstd", b"a", b"b")), version)
    for version in (9, 10):
        yield peer.ask(fetch(topic, part(), session_epoch=-1), version)


@play
def compressed_batches(peer: Peer, topic: str) -> Iterator[Any]:
    topic_id = new_topic(peer, topic)
    for codec in ("gzip", "snappy", "lz4", "zstd"):
        yield peer.ask(produce(topic, compressed(codec, b"a" * 100, b"b" * 100), topic_id=topic_id))
    for time_ms in (TIME_MS, TIME_MS + 10, -1, -3):
        yield peer.ask(list_offsets(topic, time_ms))
    yield peer.ask(fetch(topic, part(offset=3), topic_id=topic_id, session_epoch=-1))
    yield peer.ask(produce(topic, with_fields(batch(b"a"), attributes=2), topic_id=topic_id))
    for garbage in (b"?" * 20, b"", b"\0" * 20, batch(b"a")[61:] * 2, b"\x02" + batch(b"a")[62:]):
        yield peer.ask(produce(topic, with_body(garbage), topic_id=topic_id))


@play
def the_time_of_appending(peer: Peer, topic: str) -> Iterator[Any]:
    topic_id = new_topic(peer, topic, message_timestamp_type="LogAppendTime")
    (row,) = peer.ask(produce(topic, batch(b"a", b"b"), topic_id=topic_id)).responses[0].partition_responses
    yield row.log_append_time_ms > TIME_MS
    (found,) = peer.ask(list_offsets(topic, 0)).topics[0].partitions
    yield found.offset, found.timestamp == row.log_append_time_ms
    (read,) = peer.ask(fetch(topic, part(), topic_id=topic_id, session_epoch=-1)).responses[0].partitions
    data = bytes(read.records)
    yield data[21:27], data[27:35], int.from_bytes(data[35:43], "big") == row.log_append_time_ms, split(data)[0].is_sound


@play
def times_too_far_ahead(peer: Peer, topic: str) -> Iterator[Any]:
    topic_id = new_topic(peer, topic)
    for version in (7, 13):
        answer = peer.ask(produce(topic, batch(b"a", b"b", time_ms=4 * TIME_MS), topic_id=topic_id), version)
        (row,) = answer.responses[0].partition_responses
        yield row.error_code, row.log_start_offset, [one.batch_index for one in row.record_errors], bool(row.error_message)
    yield peer.ask(produce(topic, batch(b"a", time_ms=0), topic_id=topic_id))
    yield peer.ask(produce(topic, batch(b"a", time_ms=-1), topic_id=topic_id))


@play
def compacted_topics_want_keys(peer: Peer, topic: str) -> Iterator[Any]:
    topic_id = new_topic(peer, topic, cleanup_policy="compact")
    yield peer.ask(produce(topic, batch(b"a", b"b"), topic_id=topic_id))
    for version in (7, 13):
        yield peer.ask(produce(topic, batch(b"a", b"b", key=None), topic_id=topic_id), version)


@play
def topics_that_are_neither_deleted_nor_compacted_want_none(peer: Peer, topic: str) -> Iterator[Any]:
    topic_id = new_topic(peer, topic, cleanup_policy="")
    yield peer.ask(produce(topic, batch(b"a", key=None), topic_id=topic_id))


# -- fetching ---------------------------------------------------------------------------------------------------------


@play
def read_from_no_such_place(peer: Peer, topic: str) -> Iterator[Any]:
    yield peer.ask(fetch(topic, part(), session_epoch=-1), 12)
    yield peer.ask(fetch("", part(), topic_id=b"?" * 16, session_epoch=-1), 17)
    yield peer.ask(fetch("", part(), session_epoch=-1), 17)
    topic_id = new_topic(peer, topic)
    yield peer.ask(fetch(topic, part(3), session_epoch=-1), 12)
    yield peer.ask(fetch("", part(3), topic_id=topic_id, session_epoch=-1), 17)


@play
def offsets_out_of_range(peer: Peer, topic: str) -> Iterator[Any]:
    topic_id = new_topic(peer, topic)
    peer.ask(produce(topic, batch(b"a", b"b"), topic_id=topic_id))
    for offset in (-1, 0, 1, 2, 3, 1000):
        yield peer.ask(fetch(topic, part(offset=offset), topic_id=topic_id, session_epoch=-1))


@play
def byte_limits(peer: Peer, topic: str) -> Iterator[Any]:
    topic_id = new_topic(peer, topic, 2)
    for number in (0, 1):
        for size in (100, 300, 50):
            peer.ask(produce(topic, batch(b"x" * size), partition=number, topic_id=topic_id))
    for limit in (0, 1, 100, 181, 182, 183, 400, 600, 100000):
        both = (part(0, max_bytes=limit), part(1, max_bytes=limit))
        yield peer.ask(fetch(topic, *both, topic_id=topic_id, session_epoch=-1))
        whole = (part(0), part(1))
        yield peer.ask(fetch(topic, *whole, topic_id=topic_id, session_epoch=-1, max_bytes=limit))
    yield peer.ask(fetch(topic, part(0, offset=3), part(1), topic_id=topic_id, session_epoch=-1, max_bytes=1))


@play
def empty_long_polls(peer: Peer, topic: str) -> Iterator[Any]:
    topic_id = new_topic(peer, topic)
    yield peer.ask(fetch(topic, part(), topic_id=topic_id, session_epoch=-1, wait_ms=100))
    peer.ask(produce(topic, batch(b"a"), topic_id=topic_id))
    yield peer.ask(fetch(topic, part(), topic_id=topic_id, session_epoch=-1, wait_ms=100, min_bytes=100000))
    yield peer.ask(fetch(topic, part(offset=1), topic_id=topic_id, session_epoch=-1, wait_ms=100, min_bytes=0))


@play
def a_fetch_session(peer: Peer, topic: str) -> Iterator[Any]:
    topic_id = new_topic(peer, topic, 3)
    opened = peer.ask(fetch(topic, part(0), part(1), topic_id=topic_id, session_epoch=0))
    yield opened
    here = {"topic_id": topic_id, "session_id": opened.session_id}
    yield peer.ask(fetch(topic, session_epoch=1, **here))
    peer.ask(produce(topic, batch(b"a"), partition=0, topic_id=topic_id))
    peer.ask(produce(topic, batch(b"b"), partition=1, topic_id=topic_id))
    yield peer.ask(fetch(topic, session_epoch=2, **here))
    # what had something to say comes last; what is not taken note of is sent again
    yield peer.ask(fetch(topic, session_epoch=3, **here, max_bytes=1))
    yield peer.ask(fetch(topic, part(0, offset=1), session_epoch=4, **here))
    yield peer.ask(fetch(topic, part(1, offset=1), part(2), session_epoch=5, **here))
    yield peer.ask(fetch(topic, session_epoch=6, **here))
    # errors are told each time
    yield peer.ask(fetch(topic, part(2, offset=9), session_epoch=7, **here))
    yield peer.ask(fetch(topic, session_epoch=8, **here))
    gone = [m.FetchRequest.ForgottenTopic(topic_id=topic_id, partitions=[0, 2])]
    yield peer.ask(fetch(topic, session_epoch=9, forgotten_topics_data=gone, **here))
    peer.ask(produce(topic, batch(b"c"), partition=0, topic_id=topic_id))
    yield peer.ask(fetch(topic, session_epoch=10, **here))
    # wrong epochs, a wrong version, and its end
    yield peer.ask(fetch(topic, session_epoch=10, **here))
    yield peer.ask(fetch(topic, session_epoch=13, **here))
    yield peer.ask(fetch(topic, session_epoch=11, **here), 12)
    yield peer.ask(fetch(topic, session_epoch=-1, **here))
    yield peer.ask(fetch(topic, session_epoch=11, **here))
    yield peer.ask(fetch(topic, session_epoch=5, topic_id=topic_id, session_id=0))


@play
def a_session_that_is_left_empty(peer: Peer, topic: str) -> Iterator[Any]:
    topic_id = new_topic(peer, topic)
    opened = peer.ask(fetch(topic, part(), topic_id=topic_id, session_epoch=0))
    gone = [m.FetchRequest.ForgottenTopic(topic_id=topic_id, partitions=[0])]
    here = {"topic_id": topic_id, "session_id": opened.session_id}
    yield peer.ask(fetch(topic, session_epoch=1, forgotten_topics_data=gone, **here))
    yield peer.ask(fetch(topic, session_epoch=2, **here))
    yield peer.ask(fetch(topic, session_epoch=0))


@play
def leader_epochs(peer: Peer, topic: str) -> Iterator[Any]:
    topic_id = new_topic(peer, topic)
    peer.ask(produce(topic, batch(b"a", b"b"), topic_id=topic_id))
    for epoch in (-1, 0, 1):
        yield peer.ask(fetch(topic, part(current_leader_epoch=epoch), topic_id=topic_id, session_epoch=-1))
        yield peer.ask(list_offsets(topic, -1, epoch=epoch))
        yield peer.ask(fetch(topic, part(last_fetched_epoch=epoch), topic_id=topic_id, session_epoch=-1))
    kind = m.OffsetForLeaderEpochRequest
    for current, epoch in ((-1, 0), (0, 0), (-1, 1), (1, 0), (-1, -1)):
        row = kind.OffsetForLeaderPartition(partition=0, current_leader_epoch=current, leader_epoch=epoch)
        lost = kind.OffsetForLeaderPartition(partition=9, current_leader_epoch=current, leader_epoch=epoch)
        asked = kind(replica_id=-1, topics=[kind.OffsetForLeaderTopic(topic=topic, partitions=[row, lost])])
        for version in (2, 3, 4):
            yield peer.ask(asked, version)


# -- offsets by time --------------------------------------------------------------------------------------------------


@play
def offsets_by_time(peer: Peer, topic: str) -> Iterator[Any]:
    topic_id = new_topic(peer, topic)
    for time_ms in (-1, -2, -3, -4, -5, -6, 0):
        yield peer.ask(list_offsets(topic, time_ms))
    for start in (TIME_MS, TIME_MS + 100, TIME_MS + 50):
        peer.ask(produce(topic, batch(b"a", b"b", b"c", time_ms=start), topic_id=topic_id))
    for time_ms in (-1, -2, -3, -4, -5, -6, 0, *(TIME_MS + step for step in (-1, 0, 5, 10, 15, 20, 21, 55, 105, 115, 120, 121))):
        yield peer.ask(list_offsets(topic, time_ms))
    for version in range(1, 12):
        yield peer.ask(list_offsets(topic, TIME_MS), version)


@play
def offsets_that_cannot_be_told(peer: Peer, topic: str) -> Iterator[Any]:
    yield peer.ask(list_offsets(topic, -1))
    new_topic(peer, topic)
    yield peer.ask(list_offsets(topic, -1, partition=4))
    yield peer.ask(list_offsets(topic, -1, -2))
    yield peer.ask(list_offsets(topic, -7))
    yield peer.ask(list_offsets(topic, -3), 6)
    yield peer.ask(list_offsets(topic, -4), 7)


# -- topics -----------------------------------------------------------------------------------------------------------


def without_settings(answer: Any) -> Any:
    """Return an answer about new topics without their settings, most of which are not there."""
    for row in answer.topics:
        row.configs = []
    return answer


@play
def topics_are_created(peer: Peer, topic: str) -> Iterator[Any]:
    for version in range(2, 8):
        yield without_settings(peer.ask(create_topic(f"{topic}-{version}", 2), version))
    yield without_settings(peer.ask(create_topic(f"{topic}-a", -1, -1)))
    yield without_settings(peer.ask(create_topic(f"{topic}-b", -1, -1, assignments=[[1], [1]])))
    yield without_settings(peer.ask(create_topic(f"{topic}-c", validate_only=True)))
    yield peer.ask(metadata(f"{topic}-c"))


@play
def topics_that_are_not_created(peer: Peer, topic: str) -> Iterator[Any]:
    new_topic(peer, topic)
    other = topic + "-other"
    for request in (
        create_topic(topic),
        create_topic(""),
        create_topic("."),
        create_topic("a b"),
        create_topic("x" * 250),
        create_topic(other, 0),
        create_topic(other, -2),
        create_topic(other, 10_000),
        create_topic(other, 2**31 - 1),
        create_topic(other, 1, 0),
        create_topic(other, 1, 2),
        create_topic(other, -1, -1, assignments=[[9]]),
        create_topic(other, -1, -1, assignments=[[1, 1]]),
        create_topic(other, -1, -1, assignments=[[]]),
        create_topic(other, 1, 1, assignments=[[1]]),
        create_topic(other, no_such_setting="1"),
        create_topic(other, retention_ms="soon"),
        create_topic(other, max_message_bytes="-5"),
        create_topic(other, cleanup_policy="keep"),
        create_topic(other, message_timestamp_type="Never"),
        create_topic(other, retention_ms=None),
    ):
        answer = without_settings(peer.ask(request))
        for row in answer.topics:
            row.error_message = bool(row.error_message)
        yield answer
    twice = create_topic(other)
    twice.topics *= 2
    yield without_settings(peer.ask(twice))


@play
def topics_are_deleted(peer: Peer, topic: str) -> Iterator[Any]:
    for version in range(1, 6):
        new_topic(peer, topic)
        yield peer.ask(delete_topics(topic), version)
    topic_id = new_topic(peer, topic)
    yield peer.ask(delete_topics(ids=(topic_id,)))
    yield peer.ask(delete_topics(ids=(topic_id,)))
    for version in range(1, 7):
        yield peer.ask(delete_topics(topic), version)


@play
def a_topic_is_created_again(peer: Peer, topic: str) -> Iterator[Any]:
    old = new_topic(peer, topic)
    peer.ask(produce(topic, batch(b"a"), topic_id=old))
    yield peer.ask(delete_topics(topic))
    new = new_topic(peer, topic)
    yield peer.ask(produce(topic, batch(b"b"), topic_id=old))
    yield peer.ask(fetch(topic, part(), topic_id=old, session_epoch=-1))
    yield peer.ask(fetch(topic, part(), topic_id=new, session_epoch=-1))
    yield peer.ask(metadata(topic))
    yield peer.ask(metadata(ids=(old, new)))


# -- metadata ---------------------------------------------------------------------------------------------------------


@play
def metadata_of_topics(peer: Peer, topic: str) -> Iterator[Any]:
    new_topic(peer, topic, 3)
    for version in range(14):
        yield peer.ask(metadata(topic), version)


@play
def metadata_of_unknown_topics(peer: Peer, topic: str) -> Iterator[Any]:
    for version in range(4, 14):
        yield peer.ask(metadata(topic, "a b", "x" * 250), version)
    yield peer.ask(metadata(ids=(b"?" * 16,)))
    yield peer.ask(metadata(""))
    yield peer.ask(metadata(topic, topic))


@play
def metadata_of_nothing(peer: Peer, topic: str) -> Iterator[Any]:
    for version in range(1, 14):
        yield peer.ask(metadata(), version)


@play
def metadata_with_what_is_allowed(peer: Peer, topic: str) -> Iterator[Any]:
    new_topic(peer, topic)
    for version in range(8, 14):
        asked = {"include_cluster_authorized_operations": version <= 10, "include_topic_authorized_operations": True}
        yield peer.ask(metadata(topic, "a b", topic + "-no", **asked), version)


@play
def ids_in_versions_that_do_not_take_them(peer: Peer, topic: str) -> Iterator[Any]:
    topic_id = new_topic(peer, topic)
    request = metadata(topic)
    request.topics[0].topic_id = topic_id
    yield peer.ask(request, 13)


@play
def a_topic_that_is_created_by_asking(peer: Peer, topic: str) -> Iterator[Any]:
    yield peer.ask(metadata(topic, create=True))
    while peer.ask(list_offsets(topic, -1, partition=2)).topics[0].partitions[0].error_code:
        pass
    yield peer.ask(metadata(topic))


# -- the rest ---------------------------------------------------------------------------------------------------------


@play
def coordinators(peer: Peer, topic: str) -> Iterator[Any]:
    kind = m.FindCoordinatorRequest
    # the real one makes its internal topic first
    while peer.ask(kind(coordinator_keys=[topic]), 4).coordinators[0].error_code:
        pass
    for version in range(4):
        yield peer.ask(kind(key=topic), version)
    for version in range(4, 7):
        yield peer.ask(kind(coordinator_keys=[topic, topic + "-2"]), version)
    yield peer.ask(kind(key=topic, key_type=7), 3)
    yield peer.ask(kind(coordinator_keys=[topic], key_type=7), 6)


@play
def bytes_after_a_request(peer: Peer, topic: str) -> Iterator[Any]:
    new_topic(peer, topic)
    for request in (metadata(topic), list_offsets(topic, -1), m.FindCoordinatorRequest(coordinator_keys=[])):
        version = choose_version(type(request), peer.ranges)
        peer.send_frame(b"".join(encode_request(request, version, 1, "peer")) + b"\0\0\0")
        yield decode_response(response_of(type(request)), version, memoryview(peer.receive_frame()))[1]


@play
def identities_of_producers(peer: Peer, topic: str) -> Iterator[Any]:
    new_producer_id(peer)
    for version in range(6):
        yield peer.ask(m.InitProducerIdRequest(transactional_id=None, transaction_timeout_ms=60000), version)


@play
def names_of_clients(peer: Peer, topic: str) -> Iterator[Any]:
    for name in ("", "-a", "a b", "a"):
        answer = peer.ask(m.ApiVersionsRequest(client_software_name=name, client_software_version="1"), 3)
        yield answer.error_code
    here = peer.ask(metadata()).cluster_id
    for cluster, node in ((None, -1), (None, 1), (None, 2), ("nowhere", -1), ("nowhere", 1), (here, 1), (here, 2), (here, -1)):
        request = m.ApiVersionsRequest(client_software_name="a", client_software_version="1", cluster_id=cluster, node_id=node)
        yield peer.ask(request, 5).error_code


@play
def a_version_of_api_versions_that_is_not_there(peer: Peer, topic: str) -> Iterator[Any]:
    request = m.ApiVersionsRequest(client_software_name="a", client_software_version="1")
    peer.send_frame(b"\x00\x12\x00\x09\x00\x00\x00\x07\x00\x01x\x00" + b"\x02a\x021\x00")
    yield peer.receive(request, 0)
    yield peer.ask(request, 3).error_code


@play
def settings(peer: Peer, topic: str) -> Iterator[Any]:
    new_topic(peer, topic, max_message_bytes="1000")
    kind = m.DescribeConfigsRequest
    names = ["max.message.bytes", "cleanup.policy", "retention.ms", "message.timestamp.type"]
    for version in range(1, 5):
        known = kind.DescribeConfigsResource(resource_type=2, resource_name=topic, configuration_keys=names)
        unknown = kind.DescribeConfigsResource(resource_type=2, resource_name=topic + "-no", configuration_keys=names)
        answer = peer.ask(kind(resources=[known, unknown]), version)
        for row in answer.results:
            row.configs.sort(key=lambda config: config.name)
            row.error_message = bool(row.error_message)
            for config in row.configs:
                # log.retention.ms is set for the broker
                config.config_source = config.config_source == 1
                if config.name == "retention.ms":
                    config.value = ""
        yield answer


@pytest.mark.kafka(since="4.4")
@pytest.mark.parametrize("act", PLAYS, ids=lambda act: act.__name__)
def test_a_fake_cluster_answers_as_a_real_one(act: Play, fake: FakeCluster, kafka: KafkaCluster) -> None:
    name = f"play-{next(_numbers)}"
    expected = answers(act, kafka.hosts, name, Comparer())
    assert list(differences(answers(act, fake.hosts, name, Comparer()), expected)) == []
    assert fake.complaints == []
