"""Bytes to frames, whatever the chunks, and replies to the requests they answer."""

from __future__ import annotations

import random
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pykafka.exceptions import ProtocolError
from pykafka.protocol.api import decode_request, encode_response
from pykafka.protocol.messages import (
    ApiVersionsRequest,
    ApiVersionsResponse,
    FetchRequest,
    FetchResponse,
    MetadataRequest,
    MetadataResponse,
    ProduceRequest,
    ProduceResponse,
)
from pykafka.protocol.schema import Response
from pykafka.protocol.wire import FIRST_PIECE, JOIN_BELOW, MAX_CORRELATION_ID, READ_SIZE, FrameReader, Wire

MAX_FRAME = 64 * 1024 * 1024


def _framed(content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + content


def _feed(reader: FrameReader, data: bytes, sizes: Any = ()) -> list[bytes]:
    """Return the frames of ``data``, given in pieces of ``sizes`` and then as large as fits."""
    frames: list[memoryview] = []
    at = 0
    sizes = iter(sizes)
    while at < len(data):
        room = reader.get_buffer()
        assert len(room) > 0
        count = min(len(room), len(data) - at, next(sizes, len(data)))
        room[:count] = data[at : at + count]
        frames += reader.received(count)
        at += count
    return [bytes(frame) for frame in frames]


def _noise(size: int, seed: int = 7) -> bytes:
    return random.Random(seed).randbytes(size)


# -- cutting into frames ----------------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None, database=None)
@given(st.lists(st.binary(max_size=60), max_size=12), st.lists(st.integers(1, 40), max_size=300))
def test_small_frames_come_out_the_same_whatever_the_chunks(contents: list[bytes], sizes: list[int]) -> None:
    assert _feed(FrameReader(MAX_FRAME), b"".join(map(_framed, contents)), sizes) == contents


_SIZES = st.sampled_from(
    [0, 1, 100, READ_SIZE // 2 - 5, READ_SIZE // 2 - 4, READ_SIZE // 2 - 3, READ_SIZE, READ_SIZE + 1, 700_000]
)


@settings(max_examples=60, deadline=None, database=None)
@given(st.lists(_SIZES, max_size=8), st.lists(st.integers(1, READ_SIZE), max_size=40))
def test_frames_of_all_sizes_come_out_the_same_whatever_the_chunks(frames: list[int], sizes: list[int]) -> None:
    contents = [_noise(size, seed) for seed, size in enumerate(frames)]
    assert _feed(FrameReader(MAX_FRAME), b"".join(map(_framed, contents)), sizes) == contents


@pytest.mark.parametrize("size", [FIRST_PIECE - 1, FIRST_PIECE, FIRST_PIECE + 1, 2 * FIRST_PIECE, 5 * FIRST_PIECE + 3])
def test_a_frame_that_outgrows_its_first_piece_is_whole(size: int) -> None:
    content = _noise(size)
    assert _feed(FrameReader(MAX_FRAME), _framed(content) + _framed(b"next"), [3, 5, 100_000]) == [content, b"next"]


def test_byte_by_byte() -> None:
    contents = [b"", b"a", b"bc" * 100, b""]
    data = b"".join(map(_framed, contents))
    assert _feed(FrameReader(MAX_FRAME), data, [1] * len(data)) == contents


def test_a_frame_is_given_as_soon_as_its_last_byte_is_there() -> None:
    reader = FrameReader(MAX_FRAME)
    data = _framed(b"soon")
    assert _feed(reader, data[:-1]) == []
    assert _feed(reader, data[-1:]) == [b"soon"]


def test_a_frame_keeps_its_bytes_when_the_next_ones_are_read() -> None:
    reader = FrameReader(MAX_FRAME)
    room = reader.get_buffer()
    room[:8] = _framed(b"1111")
    (first,) = reader.received(8)
    reader.get_buffer()[:8] = _framed(b"2222")
    (second,) = reader.received(8)
    assert (bytes(first), bytes(second)) == (b"1111", b"2222")


def test_a_big_frame_is_the_very_memory_it_was_read_into() -> None:
    reader = FrameReader(MAX_FRAME)
    size = READ_SIZE * 2
    _feed(reader, size.to_bytes(4, "big"))
    room = reader.get_buffer()
    room[:] = b"x" * len(room)
    (frame,) = reader.received(len(room))
    assert frame.obj is room.obj
    # and it is the frame's alone from now on
    assert reader.get_buffer().obj is not frame.obj
    _feed(reader, _framed(b"y" * READ_SIZE * 2))
    assert bytes(frame) == b"x" * size


def test_after_a_big_frame_small_ones_use_the_small_buffer_again() -> None:
    reader = FrameReader(MAX_FRAME)
    small = reader.get_buffer().obj
    assert _feed(reader, _framed(_noise(READ_SIZE))) == [_noise(READ_SIZE)]
    assert reader.get_buffer().obj is small
    assert len(reader.get_buffer()) == READ_SIZE


# -- sizes that cannot be ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [-1, -(2**31), 1001, 2**31 - 1])
def test_an_impossible_size_is_refused_before_memory_is_spent(size: int) -> None:
    reader = FrameReader(1000, "kafka-1:9092")
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolError, match=rf"kafka-1:9092 announced a frame of {size} bytes.*max_response_bytes=1000"):
            _feed(reader, size.to_bytes(4, "big", signed=True))
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_a_size_of_exactly_the_limit_is_taken() -> None:
    assert _feed(FrameReader(1000), _framed(bytes(1000))) == [bytes(1000)]


def test_the_limit_holds_for_later_frames_too() -> None:
    reader = FrameReader(1000)
    with pytest.raises(ProtocolError, match="announced a frame of 1001 bytes"):
        _feed(reader, _framed(b"fine") + _framed(bytes(1001)))


def test_a_large_announced_frame_costs_memory_only_as_it_arrives() -> None:
    size = 50 * 1024 * 1024
    reader = FrameReader(MAX_FRAME)
    tracemalloc.start()
    try:
        _feed(reader, size.to_bytes(4, "big") + b"the first bytes")
        assert tracemalloc.get_traced_memory()[1] < 2 * FIRST_PIECE
        _feed(reader, bytes(2 * FIRST_PIECE))
        # at most the old piece and the new one, twice as large
        assert tracemalloc.get_traced_memory()[1] < 10 * FIRST_PIECE
    finally:
        tracemalloc.stop()


def test_http_is_recognised() -> None:
    with pytest.raises(ProtocolError, match="web:80 answered in HTTP.*web server.*check the port"):
        _feed(FrameReader(MAX_FRAME, "web:80"), b"HTTP/1.1 400 Bad Request\r\n\r\n")


@pytest.mark.parametrize("minor", [b"\0", b"\1", b"\3"])
def test_a_tls_alert_is_recognised(minor: bytes) -> None:
    with pytest.raises(ProtocolError, match="TLS alert.*ssl_config"):
        _feed(FrameReader(2**31 - 1), b"\x15\x03" + minor + b"\0\2\2\x28")


def test_http_is_recognised_at_the_beginning_only() -> None:
    reader = FrameReader(2**31 - 1)
    assert _feed(reader, _framed(b"a broker after all")) == [b"a broker after all"]
    # a size that happens to look so: 0x48545450 bytes
    assert _feed(reader, b"HTTP") == []


# -- requests and replies ---------------------------------------------------------------------------------------------


def _sent(wire: Wire, request: Any, version: int, tag: Any = None) -> tuple[int, bytes]:
    """Return (correlation id, frame) of what is sent."""
    data = b"".join(wire.send(request, version, tag))
    assert int.from_bytes(data[:4], "big") == len(data) - 4
    _, found, correlation_id, client_id = decode_request(memoryview(data)[4:])
    assert (found, client_id) == (version, "me")
    return correlation_id, data[4:]


def _reply(response: Response, version: int, correlation_id: int) -> memoryview:
    return memoryview(b"".join(encode_response(response, version, correlation_id)))


def test_replies_come_back_with_the_tag_of_their_request() -> None:
    wire = Wire("me")
    assert [_sent(wire, MetadataRequest(), 9, tag)[0] for tag in ("first", "second")] == [0, 1]
    assert _sent(wire, FetchRequest(), 12, "third")[0] == 2
    reply = MetadataResponse(cluster_id="c")
    assert wire.receive(_reply(reply, 9, 0)) == ("first", reply)
    assert wire.receive(_reply(reply, 9, 1)) == ("second", reply)
    assert wire.receive(_reply(FetchResponse(session_id=4), 12, 2)) == ("third", FetchResponse(session_id=4))


def test_a_wrong_correlation_id_is_refused() -> None:
    wire = Wire("me", "kafka-1:9092")
    _sent(wire, MetadataRequest(), 9)
    with pytest.raises(ProtocolError, match=r"kafka-1:9092 answered request 5 where the answer to 0 \(Metadata v9\)"):
        wire.receive(_reply(MetadataResponse(), 9, 5))


def test_replies_out_of_order_are_refused() -> None:
    wire = Wire("me")
    _sent(wire, MetadataRequest(), 9)
    _sent(wire, MetadataRequest(), 9)
    with pytest.raises(ProtocolError, match="answered request 1 where the answer to 0"):
        wire.receive(_reply(MetadataResponse(), 9, 1))


def test_a_frame_that_nobody_asked_for_is_refused() -> None:
    with pytest.raises(ProtocolError, match="sent 10 bytes that nobody asked for"):
        Wire("me").receive(memoryview(bytes(10)))


def test_the_second_reply_to_one_request_is_refused() -> None:
    wire = Wire("me")
    _sent(wire, MetadataRequest(), 9)
    wire.receive(_reply(MetadataResponse(), 9, 0))
    with pytest.raises(ProtocolError, match="nobody asked for"):
        wire.receive(_reply(MetadataResponse(), 9, 0))


def test_a_malformed_reply_is_refused() -> None:
    wire = Wire("me")
    _sent(wire, MetadataRequest(), 9)
    with pytest.raises(ProtocolError):
        wire.receive(_reply(MetadataResponse(), 9, 0)[:-1])


def test_produce_with_acks_0_awaits_nothing() -> None:
    wire = Wire("me")
    assert _sent(wire, ProduceRequest(acks=0), 9, "no reply")[0] == 0
    with pytest.raises(ProtocolError, match="nobody asked for"):
        wire.receive(_reply(ProduceResponse(), 9, 0))


@pytest.mark.parametrize("acks", [1, -1])
def test_produce_with_other_acks_awaits_its_reply_behind_one_with_0(acks: int) -> None:
    wire = Wire("me")
    _sent(wire, ProduceRequest(acks=0), 9)
    assert _sent(wire, ProduceRequest(acks=acks), 9, "mine")[0] == 1
    assert wire.receive(_reply(ProduceResponse(), 9, 1)) == ("mine", ProduceResponse())


def test_a_request_that_cannot_be_encoded_is_not_awaited() -> None:
    wire = Wire("me")
    with pytest.raises(ProtocolError):
        wire.send(MetadataRequest(topics=7), 9, "bad")
    with pytest.raises(ProtocolError, match="nobody asked for"):
        wire.receive(_reply(MetadataResponse(), 9, 0))
    assert _sent(wire, MetadataRequest(), 9, "good")[0] == 0
    assert wire.receive(_reply(MetadataResponse(), 9, 0))[0] == "good"


@pytest.mark.parametrize("asked", range(ApiVersionsRequest.MAX_VERSION + 1))
def test_error_35_to_api_versions_is_read_in_the_layout_of_version_0(asked: int) -> None:
    wire = Wire("me")
    _sent(wire, ApiVersionsRequest(), asked, "hello")
    key = ApiVersionsResponse.ApiVersion(api_key=18, min_version=0, max_version=2)
    refusal = ApiVersionsResponse(error_code=35, api_keys=[key])
    assert wire.receive(_reply(refusal, 0, 0)) == ("hello", refusal)


def test_other_errors_of_api_versions_are_read_as_asked() -> None:
    wire = Wire("me")
    _sent(wire, ApiVersionsRequest(), 3)
    refusal = ApiVersionsResponse(error_code=42, throttle_time_ms=9, finalized_features_epoch=3)
    assert wire.receive(_reply(refusal, 3, 0))[1] == refusal


def test_bytes_that_look_like_error_35_in_other_replies_mean_nothing() -> None:
    wire = Wire("me")
    _sent(wire, MetadataRequest(), 3)
    reply = MetadataResponse(throttle_time_ms=0x00230000)
    assert wire.receive(_reply(reply, 3, 0))[1] == reply


def test_correlation_ids_wrap_around() -> None:
    wire = Wire("me")
    wire._next_id = MAX_CORRELATION_ID - 1
    ids = [_sent(wire, MetadataRequest(), 9, number)[0] for number in range(4)]
    assert ids == [MAX_CORRELATION_ID - 1, MAX_CORRELATION_ID, 0, 1]
    assert [wire.receive(_reply(MetadataResponse(), 9, one))[0] for one in ids] == [0, 1, 2, 3]


# -- what is handed to the socket -------------------------------------------------------------------------------------


def _produce(*batches: Any) -> ProduceRequest:
    data = [ProduceRequest.PartitionProduceData(index=index, records=batch) for index, batch in enumerate(batches)]
    return ProduceRequest(acks=1, topic_data=[ProduceRequest.TopicProduceData(name="t", partition_data=data)])


def test_large_batches_are_sent_from_where_they_are_and_small_pieces_are_joined() -> None:
    first, small, second = bytearray(JOIN_BELOW), bytearray(JOIN_BELOW - 1), bytearray(100_000)
    buffers = Wire("me").send(_produce(first, small, second), 9, None)
    assert [buffer is first or buffer is second for buffer in buffers] == [False, False, True, False, True, False]
    assert not any(buffer is small for buffer in buffers)


def test_a_small_request_is_its_size_and_one_buffer() -> None:
    assert len(Wire("me").send(_produce(b"tiny", b"tiny"), 9, None)) == 2


def test_buffers_joined_are_the_request() -> None:
    batches = [_noise(size, size) for size in (1, 5000, 4095, 4096, 10)]
    _, frame = _sent(Wire("me"), _produce(*batches), 9)
    request: Any = decode_request(memoryview(frame))[0]
    assert [bytes(one.records) for one in request.topic_data[0].partition_data] == batches
