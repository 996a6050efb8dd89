"""Requests for one batch, from ready-made pieces: byte for byte those of the general codec; and answers, read as by it."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pykafka.exceptions import ProtocolError
from pykafka.protocol.api import LOWEST_USED, encode_request, encode_response
from pykafka.protocol.lone_produce import LoneProduce, Place
from pykafka.protocol.messages import ProduceRequest, ProduceResponse

VERSIONS = range(LOWEST_USED[0], ProduceRequest.MAX_VERSION + 1)
TOPIC_ID = bytes(range(100, 116))

places = st.builds(
    Place,
    st.text("abc.-_09", min_size=1, max_size=249),
    st.binary(min_size=16, max_size=16),
    st.integers(0, 2**31 - 1),
    st.sampled_from([-1, 1]),
    st.integers(0, 2**31 - 1),
)
#: Sizes around where their encoding gets a byte longer.
sizes = st.one_of(st.integers(0, 300), st.sampled_from([126, 127, 128, 16382, 16383, 16384, 2097150, 2097151, 2097152]))


@given(
    place=places,
    version=st.sampled_from(VERSIONS),
    client_id=st.one_of(st.none(), st.text(max_size=20)),
    size=sizes,
    number=st.integers(0, 2**31 - 1),
)
@settings(deadline=None, max_examples=300)
def test_a_request_is_that_of_the_general_codec(
    place: Place, version: int, client_id: Any, size: int, number: int
) -> None:
    records = b"\0\xff<batch>\xff\0"[: min(size, 11)] + bytes(max(0, size - 11))
    topic, topic_id, partition_id, acks, timeout_ms = place
    part = ProduceRequest.PartitionProduceData(index=partition_id, records=records)
    data = ProduceRequest.TopicProduceData(name=topic, topic_id=topic_id, partition_data=[part])
    request = ProduceRequest(transactional_id=None, acks=acks, timeout_ms=timeout_ms, topic_data=[data])
    expected = b"".join(encode_request(request, version, number, client_id))
    assert LoneProduce(place, version, client_id).frame(records, number) == struct.pack(">i", len(expected)) + expected


def answer(place: Place, number: int, version: int, **fields: Any) -> memoryview:
    """Return the frame of an answer about ``place``."""
    throttle_ms = fields.pop("throttle_ms", 0)
    index = fields.pop("index", place.partition_id)
    part = ProduceResponse.PartitionProduceResponse(index=index, **fields)
    data = ProduceResponse.TopicProduceResponse(name=place.topic, topic_id=place.topic_id, partition_responses=[part])
    reply = ProduceResponse(responses=[data], throttle_time_ms=throttle_ms)
    return memoryview(b"".join(encode_response(reply, version, number)))


@given(
    place=places,
    version=st.sampled_from(VERSIONS),
    number=st.integers(0, 2**31 - 1),
    offset=st.integers(-1, 2**63 - 1),
    times=st.integers(-1, 2**63 - 1),
    code=st.sampled_from([0, 0, 0, 6, 7]),
    throttle_ms=st.sampled_from([0, 0, 100]),
    index=st.sampled_from([None, None, 5]),
)
@settings(deadline=None, max_examples=300)
def test_an_answer_says_what_the_general_codec_reads(
    place: Place, version: int, number: int, offset: int, times: int, code: int, throttle_ms: int, index: Any
) -> None:
    told = {"error_code": code, "base_offset": offset, "log_append_time_ms": times, "log_start_offset": times}
    told = {**told, "index": place.partition_id if index is None else index, "throttle_ms": throttle_ms}
    is_plain = not code and not throttle_ms and offset >= 0 and told["index"] == place.partition_id
    frame = answer(place, number, version, **told)
    found, reply = LoneProduce(place, version, "c").read(frame, number, "broker")
    assert (found, reply is None) == ((offset, True) if is_plain else (None, False))
    if reply is not None:
        (part,) = reply.responses[0].partition_responses
        assert (part.error_code, part.base_offset, part.index) == (code, offset, told["index"])
        assert reply.throttle_time_ms == throttle_ms


@pytest.mark.parametrize("version", VERSIONS)
def test_an_answer_to_another_request_is_refused_whatever_it_says(version: int) -> None:
    place = Place("t", TOPIC_ID, 3, -1, 10000)
    requests = LoneProduce(place, version, "c")
    for code in (0, 6):
        frame = answer(place, 8, version, error_code=code, base_offset=5)
        with pytest.raises(ProtocolError, match="answered request 8 where the answer to 7"):
            requests.read(frame, 7, "broker")


@pytest.mark.parametrize("version", VERSIONS)
def test_an_answer_that_is_cut_or_too_long_is_refused(version: int) -> None:
    place = Place("t", TOPIC_ID, 3, -1, 10000)
    requests = LoneProduce(place, version, "c")
    whole = bytes(answer(place, 7, version, error_code=0, base_offset=5))
    for size in range(len(whole)):
        with pytest.raises(ProtocolError):
            requests.read(memoryview(whole[:size]), 7, "broker")
    with pytest.raises(ProtocolError):
        requests.read(memoryview(whole + b"\0"), 7, "broker")


@pytest.mark.parametrize("version", VERSIONS)
def test_no_flipped_bit_of_an_answer_moves_it_to_another_place(version: int) -> None:
    place = Place("topic", TOPIC_ID, 3, -1, 10000)
    requests = LoneProduce(place, version, "c")
    whole = bytes(answer(place, 7, version, error_code=0, base_offset=5))
    for bit in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            offset, _reply = requests.read(memoryview(flipped), 7, "broker")
        except ProtocolError:
            continue
        # nothing protects numbers in a Kafka answer: but only they may differ where it is taken for a plain one
        assert offset is None or flipped[4 : requests._offset_at] == whole[4 : requests._offset_at]
