"""Whatever bytes arrive, the outcome is a message or a ProtocolError, and no memory is spent on what they claim."""

from __future__ import annotations

import contextlib
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pykafka.exceptions import ProtocolError
from pykafka.protocol.api import decode_data, decode_request, decode_response
from pykafka.protocol.messages import ApiVersionsResponse, FetchResponse, InitProducerIdResponse, MetadataResponse
from pykafka.protocol.primitives import decode_uvarint, encode_uvarint
from pykafka.protocol.schema import RESPONSES, Data, Message, Request, Response

from .samples import CASES, IDS, SAMPLES, encode

RESPONSE_CASES = [(cls, version) for cls, version in CASES if issubclass(cls, Response)]
REQUEST_CASES = [(cls, version) for cls, version in CASES if issubclass(cls, Request)]
MOST_BYTES = 512 * 1024


def _decoded(cls: type[Message], version: int, frame: bytes) -> Any:
    """Return the message in ``frame``, or None for a ProtocolError; any other exception is let through."""
    try:
        if issubclass(cls, Response):
            return decode_response(cls, version, memoryview(frame))[1]
        if issubclass(cls, Data):
            data, _version, end = decode_data(cls, frame)
            return data if end == len(frame) else None  # what is behind it is for a later version
        return decode_request(memoryview(frame))[0]
    except ProtocolError as error:
        assert str(error)
        return None


@pytest.mark.parametrize("kind", ["maximal", "null inside"])
@pytest.mark.parametrize(("cls", "version"), CASES, ids=IDS)
def test_a_message_cut_short_at_any_byte_is_refused(cls: type[Message], version: int, kind: str) -> None:
    frame = encode(SAMPLES[kind](cls, version), version)
    # long strings and records are uniform inside: a prime step hits every structure without trying each of their bytes
    step = 1 if len(frame) < 1500 else 61
    cuts = {*range(0, len(frame), step), *range(min(len(frame), 300)), *range(max(0, len(frame) - 300), len(frame))}
    assert [cut for cut in cuts if _decoded(cls, version, frame[:cut]) is not None] == []


@pytest.mark.parametrize(("cls", "version"), CASES, ids=IDS)
def test_a_byte_too_many_is_refused(cls: type[Message], version: int) -> None:
    assert _decoded(cls, version, encode(SAMPLES["lowest"](cls, version), version) + b"\0") is None


@pytest.mark.parametrize(("cls", "version"), CASES, ids=IDS)
def test_flipped_bytes_are_refused_or_give_a_message(cls: type[Message], version: int) -> None:
    frame = bytearray(encode(SAMPLES["null inside"](cls, version), version))
    for at in range(len(frame)):
        for flip in (0xFF, 0x80, 0x01):
            frame[at] ^= flip
            message = _decoded(cls, version, bytes(frame))
            frame[at] ^= flip
            assert message is None or isinstance(message, (Request, Response, Data))


@settings(max_examples=400, deadline=None, database=None)
@given(st.sampled_from(RESPONSE_CASES), st.binary(max_size=120))
def test_random_bytes_as_a_response_are_refused_or_give_a_message(case: tuple[type[Message], int], data: bytes) -> None:
    cls, version = case
    message = _decoded(cls, version, data)
    assert message is None or isinstance(message, cls)


@settings(max_examples=300, deadline=None, database=None)
@given(st.sampled_from(REQUEST_CASES), st.binary(max_size=120))
def test_random_bytes_behind_a_request_header_are_refused_or_give_a_message(case: tuple[type[Message], int], data: bytes) -> None:
    cls, version = case
    header = cls.KEY.to_bytes(2, "big") + version.to_bytes(2, "big") + b"\0\0\0\1\xff\xff"
    message = _decoded(cls, version, header + data)
    assert message is None or message.KEY == cls.KEY


@settings(max_examples=200, deadline=None, database=None)
@given(st.binary(max_size=60))
def test_random_bytes_as_a_request_are_refused_or_give_a_message(data: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        decode_request(memoryview(data))


@settings(max_examples=300, deadline=None, database=None)
@given(st.sampled_from(CASES), st.data())
def test_overwritten_stretches_are_refused_or_give_a_message(case: tuple[type[Message], int], data: st.DataObject) -> None:
    cls, version = case
    frame = bytearray(encode(SAMPLES["null inside"](cls, version), version))
    at = data.draw(st.integers(0, len(frame)))
    noise = data.draw(st.binary(min_size=1, max_size=12))
    frame[at : at + len(noise)] = noise
    message = _decoded(cls, version, bytes(frame))
    assert message is None or isinstance(message, (Request, Response, Data))


# -- sizes and counts -------------------------------------------------------------------------------------------------


def _refused_cheaply(cls: type[Response], version: int, frame: bytes) -> str:
    """Return the text of the ProtocolError, after looking that next to no memory was asked for."""
    _decoded(cls, version, frame)  # compiles the codec
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolError) as refused:
            decode_response(cls, version, memoryview(frame))
        assert tracemalloc.get_traced_memory()[1] < MOST_BYTES
    finally:
        tracemalloc.stop()
    return str(refused.value)


HUGE = [2**31 - 1, 2**30, 10**6]


@pytest.mark.parametrize("count", [*HUGE, -1, -2, -(2**31)])
def test_an_impossible_count_of_structs_is_refused_before_anything_is_made(count: int) -> None:
    frame = bytes(4) + count.to_bytes(4, "big", signed=True) + bytes(1000)
    assert "impossible size" in _refused_cheaply(MetadataResponse, 0, frame)


def test_a_count_is_measured_by_what_its_items_take_at_least() -> None:
    # node id, host and port: ten bytes each, so 1000 bytes hold a hundred brokers and 1003 no more
    for count, impossible in ((101, True), (100, False)):
        frame = bytes(4) + count.to_bytes(4, "big") + bytes(1003)
        assert ("impossible size 101 of brokers" in _refused_cheaply(MetadataResponse, 0, frame)) is impossible


def test_a_count_of_numbers_is_measured_by_their_size() -> None:
    for count, impossible in ((26, True), (25, False)):
        partition = bytes(10) + count.to_bytes(4, "big")
        frame = bytes(4) + bytes(4) + b"\0\0\0\1" + bytes(2) + b"\0\1t" + b"\0\0\0\1" + partition + bytes(103)
        assert ("impossible size 26 of replica_nodes" in _refused_cheaply(MetadataResponse, 0, frame)) is impossible


@pytest.mark.parametrize("count", HUGE)
def test_an_impossible_compact_count_is_refused_before_anything_is_made(count: int) -> None:
    frame = bytes(5) + bytes(4) + encode_uvarint(count + 1) + bytes(1000)
    assert "impossible size" in _refused_cheaply(MetadataResponse, 9, frame)


@pytest.mark.parametrize("count", [*HUGE, -5])
def test_an_impossible_count_of_numbers_is_refused_before_anything_is_made(count: int) -> None:
    partition = bytes(10) + count.to_bytes(4, "big", signed=True)
    topic = bytes(2) + b"\0\1t" + b"\0\0\0\1" + partition
    frame = bytes(4) + bytes(4) + b"\0\0\0\1" + topic + bytes(500)
    assert "impossible size" in _refused_cheaply(MetadataResponse, 0, frame)


@pytest.mark.parametrize("size", [2**31 - 1, 10**6, -2])
def test_impossible_sizes_of_records_are_refused(size: int) -> None:
    partition = bytes(4) + bytes(2) + bytes(8) + size.to_bytes(4, "big", signed=True)
    frame = bytes(4) + b"\0\0\0\1" + b"\0\1t" + b"\0\0\0\1" + partition + bytes(100)
    assert "impossible size" in _refused_cheaply(FetchResponse, 0, frame)


def test_a_string_longer_than_the_frame_is_refused() -> None:
    frame = bytes(4) + b"\0\0\0\1" + bytes(4) + b"\x7f\xff" + b"x" * 100
    assert "host" in _refused_cheaply(MetadataResponse, 0, frame)


def test_null_where_it_may_not_be_is_refused() -> None:
    frame = bytes(4) + b"\0\0\0\1" + bytes(4) + b"\xff\xff" + bytes(40)
    assert "impossible size -1 of host" in _refused_cheaply(MetadataResponse, 0, frame)


def test_a_string_that_is_no_utf_8_is_refused() -> None:
    frame = bytes(4) + b"\0\0\0\1" + bytes(4) + b"\0\2\xff\xfe" + bytes(8)
    assert "UnicodeDecodeError" in _refused_cheaply(MetadataResponse, 0, frame)


@pytest.mark.parametrize("count", [1, 2**31, 2**32 - 1])
def test_tags_that_run_beyond_the_end_are_refused(count: int) -> None:
    body = bytes(4 + 2 + 8 + 2)
    _refused_cheaply(InitProducerIdResponse, 2, bytes(5) + body + encode_uvarint(count))
    _refused_cheaply(InitProducerIdResponse, 2, bytes(5) + body + encode_uvarint(1) + b"\x63" + encode_uvarint(count) + b"")
    _refused_cheaply(InitProducerIdResponse, 2, bytes(4) + encode_uvarint(count) + b"\x63\x7f" + body)


@pytest.mark.parametrize("tag", [b"\xff\xff\xff\xff\x7f", b"\x80\x80\x80\x80\x80\x01"])
def test_a_varint_longer_than_32_bits_is_refused(tag: bytes) -> None:
    frame = bytes(5) + bytes(16) + b"\1" + tag + b"\0"
    assert "32 bits" in _refused_cheaply(InitProducerIdResponse, 2, frame)


def test_a_struct_of_which_nothing_is_on_the_wire_cannot_multiply_without_end() -> None:
    # every item takes a byte at least, so a frame bounds how many there can be
    for version in range(ApiVersionsResponse.FLEXIBLE, ApiVersionsResponse.MAX_VERSION + 1):
        frame = bytes(4) + bytes(2) + encode_uvarint(2**31) + bytes(50)
        assert "impossible size" in _refused_cheaply(ApiVersionsResponse, version, frame)


@pytest.mark.parametrize("size", range(4))
def test_a_response_without_room_for_its_correlation_id_is_refused(size: int) -> None:
    with pytest.raises(ProtocolError, match=f"{size} bytes has no room"):
        decode_response(RESPONSES[3], 0, memoryview(bytes(size)))


@pytest.mark.parametrize(
    ("frame", "why"),
    [
        (b"", "header"),
        (b"\0\3\0\0\0\0\0", "header"),
        (b"\0\3\0\0\0\0\0\1\0", "header"),
        (b"\0\3\0\0\0\0\0\1\0\2\xff\xfe" + bytes(4), "header"),
        (b"\x03\xe8\0\0\0\0\0\1\xff\xff", "unknown API key 1000"),
        (b"\0\3\0\x63\0\0\0\1\xff\xff\0", "versions 0 to 13, not 99"),
        (b"\0\3\xff\xff\0\0\0\1\xff\xff", "versions 0 to 13, not -1"),
        (b"\0\3\0\x09\0\0\0\1\xff\xff", "tags of a header"),
    ],
)
def test_a_malformed_request_header_is_refused(frame: bytes, why: str) -> None:
    with pytest.raises(ProtocolError, match=why):
        decode_request(memoryview(frame))


def test_an_error_says_what_was_being_read_and_where() -> None:
    with pytest.raises(ProtocolError, match=r"MetadataResponse v1 is malformed near byte \d+"):
        decode_response(MetadataResponse, 1, memoryview(bytes(6)))


# -- varints ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, 1, 127, 128, 16383, 16384, 2**21 - 1, 2**21, 2**28, 2**31 - 1, 2**32 - 1])
def test_unsigned_varints_survive(number: int) -> None:
    encoded = encode_uvarint(number)
    assert len(encoded) == max(1, -(-number.bit_length() // 7))
    assert decode_uvarint(memoryview(b"x" + encoded + b"y"), 1) == (number, 1 + len(encoded))


def test_a_varint_that_is_cut_off_is_an_index_error() -> None:
    with pytest.raises(IndexError):
        decode_uvarint(memoryview(b"\x80\x80"), 0)
