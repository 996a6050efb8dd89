"""PyKafka's hand-made requests and responses: what goes in is checked, what comes out is bytes, and back."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from pykafka.exceptions import (
    CorruptBatchError,
    EncodeError,
    GroupAuthorizationFailed,
    GroupCoordinatorNotAvailable,
    ProtocolClientError,
    ProtocolError,
    UnicodeException,
    UnsupportedVersion,
)
from pykafka.protocol import Message, legacy, messages
from pykafka.protocol.api import decode_request
from pykafka.protocol.legacy import (
    ApiVersionsRequest,
    FetchRequest,
    FetchResponse,
    GroupCoordinatorRequest,
    GroupCoordinatorResponse,
    ListOffsetRequest,
    ListOffsetResponse,
    MetadataRequest,
    MetadataResponse,
    OffsetCommitRequest,
    OffsetCommitResponse,
    OffsetFetchRequest,
    OffsetFetchResponse,
    PartitionFetchRequest,
    PartitionOffsetCommitRequest,
    PartitionOffsetFetchRequest,
    PartitionOffsetRequest,
    ProduceRequest,
    ProduceResponse,
)
from pykafka.records.batch import split_batches
from pykafka.records.decode import decode_batch
from pykafka.records.encode import encode_batch

from .legacy_checks import Refused, as_received, check_refused


def produce_request(**options: Any) -> ProduceRequest:
    """Return a request with two messages for one partition and one for another."""
    request = ProduceRequest(**options)
    request.add_message(Message(b"one"), "t", 0)
    request.add_message(Message(b"two", partition_key=b"k", timestamp=5), b"t", 0)
    request.add_message(Message(b"three"), "u", 3)
    return request


REQUESTS: dict[str, legacy.Request] = {
    "Fetch": FetchRequest([PartitionFetchRequest("t", 0, 5), PartitionFetchRequest(b"t", 1, 6, 10)], 100, 1),
    "Produce": produce_request(),
    "ListOffsets": ListOffsetRequest([PartitionOffsetRequest("t", 0, -1, 1)]),
    "OffsetCommit": OffsetCommitRequest("g", 5, "m", [PartitionOffsetCommitRequest("t", 0, 7, -1, b"note")]),
    "OffsetFetch": OffsetFetchRequest(b"g", [PartitionOffsetFetchRequest("t", 0), PartitionOffsetFetchRequest("t", 1)]),
    "Metadata": MetadataRequest(["t", b"u"]),
    "FindCoordinator": GroupCoordinatorRequest("g"),
    "ApiVersions": ApiVersionsRequest(),
}
#: What no old and no new broker of Kafka 0.11 to 4.4 lacks: API -> versions in 0.11 and the oldest in 4.0.
SPOKEN = {
    "Fetch": (4, 5),
    "Produce": (3, 3),
    "ListOffsets": (1, 2),
    "OffsetCommit": (2, 3),
    "OffsetFetch": (1, 3),
    "Metadata": (0, 4),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_the_bytes_of_a_request_are_a_frame_that_a_broker_reads(name: str) -> None:
    request = REQUESTS[name]
    frame = request.get_bytes()
    assert struct.unpack_from(">ihhih", frame) == (len(frame) - 4, request.API_KEY, request.API_VERSION, 0, 7)
    read, version, correlation_id, client_id = decode_request(memoryview(frame)[4:])
    assert (read.NAME, version, correlation_id, client_id) == (name, request.API_VERSION, 0, "pykafka")
    assert len(request) == len(frame) and request
    buffer = bytearray(b"-" * (len(frame) + 3))
    request.pack_into(buffer, 2)
    assert buffer == b"--" + frame + b"-"
    with pytest.raises(EncodeError, match="do not fit"):
        request.pack_into(buffer, 4)


@pytest.mark.parametrize("name", SPOKEN)
def test_the_version_of_the_bytes_is_spoken_by_every_broker(name: str) -> None:
    lowest, highest = SPOKEN[name]
    assert lowest <= REQUESTS[name].API_VERSION <= highest


def test_a_fetch_says_what_it_was_given() -> None:
    request = FetchRequest([PartitionFetchRequest("t", 0, 5), PartitionFetchRequest("t", 0, 6)], 100, 1)
    request.add_request(PartitionFetchRequest(b"t", 1, 7, 10))
    read: Any = decode_request(memoryview(request.get_bytes())[4:])[0]
    assert (read.max_wait_ms, read.min_bytes, read.isolation_level, read.replica_id) == (100, 1, 0, -1)
    (topic,) = read.topics
    # of two for one partition the later counts
    assert [(p.partition, p.fetch_offset, p.partition_max_bytes) for p in topic.partitions] == [(0, 6, 1048576), (1, 7, 10)]


def test_a_produce_request_has_a_batch_for_each_partition() -> None:
    request = produce_request(required_acks=-1, timeout=50)
    assert [message.value for message in request.messages] == [b"one", b"two", b"three"] and request.message_count() == 3
    read: Any = decode_request(memoryview(request.get_bytes())[4:])[0]
    assert (read.acks, read.timeout_ms, [topic.name for topic in read.topic_data]) == (-1, 50, ["t", "u"])
    (batch,) = split_batches(bytes(read.topic_data[0].partition_data[0].records), "t", 0)
    columns = decode_batch(batch, "t", 0, 2**20)
    assert (columns.values, columns.keys, list(columns.timestamps)) == ([b"one", b"two"], [None, b"k"], [-1, 5])


def test_zstd_needs_a_version_that_the_bytes_do_not_have() -> None:
    with pytest.raises(UnsupportedVersion, match=r"use Broker.produce_messages\(\)"):
        produce_request(compression_type=4).get_bytes()


GOOD_FETCH = PartitionFetchRequest("t", 0, 0)
BAD: dict[str, Refused] = {
    "no list": (lambda: FetchRequest(None), TypeError, "partition_requests must be a list of PartitionFetchRequest, not None"),
    "a single one": (lambda: FetchRequest(GOOD_FETCH), TypeError, "must be a list of PartitionFetchRequest, not Partition"),
    "text": (lambda: ListOffsetRequest("abc"), TypeError, "must be a list of PartitionOffsetRequest, not 'abc'"),
    "a dict": (lambda: OffsetFetchRequest("g", {}), TypeError, "must be a list of PartitionOffsetFetchRequest"),
    "something else in it": (
        lambda: FetchRequest([GOOD_FETCH, ("t", 0, 0, 1)]),
        TypeError,
        r"partition_requests\[1\] must be a PartitionFetchRequest, not \('t', 0, 0, 1\)",
    ),
    "no name": (lambda: FetchRequest([PartitionFetchRequest(5, 0, 0)]), TypeError, r"\[0\].topic_name must be str or bytes"),  # type: ignore[arg-type]
    "a name not ASCII": (lambda: FetchRequest([PartitionFetchRequest("ü", 0, 0)]), UnicodeException, "topic_name 'ü' must be"),
    "a negative partition": (
        lambda: FetchRequest([PartitionFetchRequest("t", -1, 0)]),
        ValueError,
        r"partition_id must be from 0",
    ),
    "a negative offset": (lambda: FetchRequest([PartitionFetchRequest("t", 0, -1)]), ValueError, r"\[0\].offset must be from 0"),
    "no offset": (lambda: FetchRequest([PartitionFetchRequest("t", 0, None)]), TypeError, "offset must be an integer, not None"),  # type: ignore[arg-type]
    "negative max_bytes": (lambda: FetchRequest([PartitionFetchRequest("t", 0, 0, -1)]), ValueError, "max_bytes must be from 0"),
    "a negative timeout": (lambda: FetchRequest([], timeout=-1), ValueError, "timeout must be from 0"),
    "no min_bytes": (lambda: FetchRequest([], min_bytes=None), TypeError, "min_bytes must be an integer"),  # type: ignore[arg-type]
    "added None": (lambda: FetchRequest().add_request(None), TypeError, "must be a PartitionFetchRequest, not None"),  # type: ignore[arg-type]
    "acks": (lambda: ProduceRequest(required_acks=2), ValueError, "required_acks must be from -1 to 1, not 2"),
    "a codec": (lambda: ProduceRequest(compression_type=5), ValueError, "compression_type must be from 0 to 4, not 5"),
    "a produce timeout": (lambda: ProduceRequest(timeout=-1), ValueError, "timeout must be from 0"),
    "no Message": (lambda: ProduceRequest().add_message(b"x", "t", 0), TypeError, "message must be a pykafka.protocol.Message"),  # type: ignore[arg-type]
    "text in a message": (
        lambda: ProduceRequest().add_message(Message("x"), "t", 0),  # type: ignore[arg-type]
        TypeError,
        "the value of a message must be bytes or None, not str",
    ),
    "a produce partition": (
        lambda: ProduceRequest().add_message(Message(b""), "t", -1),
        ValueError,
        "partition_id must be from 0",
    ),
    "a produce topic": (
        lambda: ProduceRequest().add_message(Message(b""), None, 0),
        TypeError,
        "topic_name must be str or bytes",
    ),  # type: ignore[arg-type]
    "a time": (lambda: ListOffsetRequest([PartitionOffsetRequest("t", 0, -3, 1)]), ValueError, "offsets_before must be from -2"),
    "max_offsets": (lambda: ListOffsetRequest([PartitionOffsetRequest("t", 0, -1, 0)]), ValueError, "max_offsets must be from 1"),
    "no group": (lambda: OffsetCommitRequest(None, -1, b""), TypeError, "consumer_group must be str or bytes"),  # type: ignore[arg-type]
    "a generation": (lambda: OffsetCommitRequest("g", -2, b""), ValueError, "consumer_group_generation_id must be from -1"),
    "a member": (lambda: OffsetCommitRequest("g", -1, 5), TypeError, "consumer_id must be str or bytes"),  # type: ignore[arg-type]
    "a negative commit": (
        lambda: OffsetCommitRequest("g", -1, b"", [PartitionOffsetCommitRequest("t", 0, -1, -1, b"")]),
        ValueError,
        r"partition_requests\[0\].offset must be from 0",
    ),
    "a note": (
        lambda: OffsetCommitRequest("g", -1, b"", [PartitionOffsetCommitRequest("t", 0, 1, -1, 5)]),  # type: ignore[arg-type]
        TypeError,
        "metadata must be str, bytes or None, not 5",
    ),
    "a note that is no text": (
        lambda: OffsetCommitRequest("g", -1, b"", [PartitionOffsetCommitRequest("t", 0, 1, -1, b"\xff")]),
        ValueError,
        "metadata must be UTF-8",
    ),
    "a topic by itself": (lambda: MetadataRequest("t"), TypeError, "topics must be a list of names, not 't'"),
    "topics that are none": (lambda: MetadataRequest(5), TypeError, "topics must be a list of names, not 5"),  # type: ignore[arg-type]
    "a coordinator of nothing": (lambda: GroupCoordinatorRequest(None), TypeError, "consumer_group must be"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_right_is_named_before_anything_is_sent(name: str) -> None:
    check_refused(BAD[name])


# -- responses --------------------------------------------------------------------------------------------------------


def fetch_reply(records: bytes = b"", code: int = 0) -> messages.FetchResponse:
    """Return an answer about partition 0 of ``t``."""
    part = messages.FetchResponse.PartitionData(partition_index=0, error_code=code, high_watermark=9, records=records)
    return messages.FetchResponse(responses=[messages.FetchResponse.FetchableTopicResponse(topic="t", partitions=[part])])


BATCH = encode_batch([b"a", b"b"], None, None, [1, 2])


def test_messages_come_from_bytes_and_from_replies_alike() -> None:
    for response in (FetchResponse(as_received(fetch_reply(BATCH), 4)), FetchResponse.of(fetch_reply(BATCH))):
        part = response.topics[b"t"][0]
        assert (part.max_offset, part.err, [message.value for message in part.messages]) == (9, 0, [b"a", b"b"])
    asked = FetchRequest([PartitionFetchRequest("t", 0, 1), PartitionFetchRequest("t", 4, 0)])
    response = FetchResponse.of(fetch_reply(BATCH), asked)
    assert [message.offset for message in response.topics[b"t"][0].messages] == [1]
    assert response.topics[b"t"][4] == (-1, [], -1)  # the reply left it out


def test_a_batch_with_a_wrong_checksum_is_an_error_with_its_place() -> None:
    broken = bytearray(BATCH)
    broken[-1] ^= 1
    with pytest.raises(CorruptBatchError, match="t/0 at offset 0 is corrupt: checksum") as caught:
        FetchResponse.of(fetch_reply(broken))
    assert (caught.value.topic, caught.value.partition, caught.value.offset) == ("t", 0, 0)


def test_an_error_of_a_whole_fetch_is_raised() -> None:
    with pytest.raises(ProtocolClientError, match="refused Fetch"):
        FetchResponse.of(messages.FetchResponse(error_code=70))


def group_reply(code: int = 0, parts: Any = ()) -> messages.OffsetFetchResponse:
    """Return an answer about one group, in the layout of v2."""
    cls = messages.OffsetFetchResponse
    rows = [
        cls.OffsetFetchResponsePartition(partition_index=number, committed_offset=offset, metadata=note, error_code=error)
        for number, offset, note, error in parts
    ]
    return cls(error_code=code, topics=[cls.OffsetFetchResponseTopic(name="t", partitions=rows)] if rows else [])


ASKED = OffsetFetchRequest("g", [PartitionOffsetFetchRequest("t", 0), PartitionOffsetFetchRequest("t", 1)])


@pytest.mark.parametrize(
    ("reply", "parts"),
    [
        (group_reply(0, [(0, 5, "note", 0), (1, -1, None, 0)]), {0: (5, b"note", 0), 1: (-1, b"", 0)}),
        (group_reply(0, [(0, 5, "", 0)]), {0: (5, b"", 0), 1: (-1, b"", -1)}),
        (group_reply(0, [(0, -1, "", 3), (1, 2, "", 0)]), {0: (-1, b"", 3), 1: (2, b"", 0)}),
        (group_reply(16), {0: (-1, b"", 16), 1: (-1, b"", 16)}),
        (group_reply(14, [(0, -1, "", 0)]), {0: (-1, b"", 14), 1: (-1, b"", 14)}),
        (group_reply(69), {0: (-1, b"", 0), 1: (-1, b"", 0)}),
    ],
    ids=["both", "one left out", "an error of one", "an error of the group", "an error above a row", "a new group"],
)
def test_an_error_is_never_taken_for_nothing_committed(reply: Any, parts: Any) -> None:
    assert OffsetFetchResponse.of(reply, ASKED).topics == {b"t": parts}


def test_a_partition_that_the_broker_left_out_is_no_success() -> None:
    commit = OffsetCommitRequest("g", -1, b"", [PartitionOffsetCommitRequest("t", 0, 1, -1, None)])
    assert OffsetCommitResponse.of(messages.OffsetCommitResponse(), commit).topics == {b"t": {0: (-1,)}}
    assert ProduceResponse.of(messages.ProduceResponse(), produce_request()).topics == {b"t": {0: (-1, -1)}, b"u": {3: (-1, -1)}}
    ends = ListOffsetRequest([PartitionOffsetRequest("t", 0, -1, 1)])
    assert ListOffsetResponse.of(messages.ListOffsetsResponse(), ends).topics == {b"t": {0: ([], -1)}}


def test_metadata_has_pykafkas_shape() -> None:
    cls = messages.MetadataResponse
    part = cls.MetadataResponsePartition(partition_index=2, leader_id=-1, replica_nodes=[1, 2], isr_nodes=[1], error_code=5)
    reply = cls(
        brokers=[cls.MetadataResponseBroker(node_id=1, host="kafka", port=9092, rack="r")],
        cluster_id="c",
        controller_id=1,
        topics=[cls.MetadataResponseTopic(name="t", partitions=[part])],
    )
    for response in (MetadataResponse(as_received(reply, 4)), MetadataResponse.of(reply)):
        assert response.brokers == {1: (1, b"kafka", 9092)} and (response.controller_id, response.cluster_id) == (1, b"c")
        assert response.topics == {b"t": (b"t", {2: (2, -1, [1, 2], [1], 5)}, 0)}


def test_a_group_without_a_coordinator_is_an_error() -> None:
    reply = messages.FindCoordinatorResponse(error_code=15)
    with pytest.raises(GroupCoordinatorNotAvailable):
        GroupCoordinatorResponse(as_received(reply, 0))
    with pytest.raises(GroupAuthorizationFailed, match="nobody may"):
        GroupCoordinatorResponse.of(messages.FindCoordinatorResponse(error_code=30, error_message="nobody may"))


RESPONSES = [
    getattr(legacy, name) for name in legacy.__all__ if name.endswith("Response") and hasattr(getattr(legacy, name), "DECLARED")
]


@pytest.mark.parametrize("cls", RESPONSES, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("wrong", [b"", b"\0", b"\xff" * 40, b"\x7f" * 40])
def test_bytes_that_are_no_such_answer_are_a_protocol_error(cls: Any, wrong: bytes) -> None:
    with pytest.raises(ProtocolError):
        cls(wrong)


@pytest.mark.parametrize("wrong", [None, "text", 5])
def test_what_is_no_bytes_is_a_type_error(wrong: Any) -> None:
    with pytest.raises(TypeError):
        MetadataResponse(wrong)
    with pytest.raises(ValueError, match="offset must be from 0 to 3"):
        MetadataResponse(b"abc", offset=4)


def test_every_response_speaks_the_version_of_its_request() -> None:
    pairs = [(one, getattr(legacy, one.__name__.replace("Request", "Response"))) for one in map(type, REQUESTS.values())]
    for request, response in pairs:
        assert (request.API_KEY, request.API_VERSION) == (response.API_KEY, response.API_VERSION)
        assert response.get_versions() == {response.API_VERSION: response} and response.DECLARED.KEY == response.API_KEY
