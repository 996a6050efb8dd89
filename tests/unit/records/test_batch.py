"""Cutting what was fetched into batches: cut-off tails, impossible headers, formats of old."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pykafka.exceptions import CorruptBatchError
from pykafka.records.batch import HEADER_SIZE, split_batches
from pykafka.records.encode import encode_batch

from .making import PARTITION, TOPIC, raw, reseal, wrapped

LENGTH_AT, MAGIC_AT, ATTRIBUTES_AT, LAST_DELTA_AT, COUNT_AT = 8, 16, 21, 23, 57


def _batch(base_offset: int, count: int = 3) -> bytes:
    data = encode_batch([b"value"] * count, None, None, [1000] * count)
    return base_offset.to_bytes(8, "big") + bytes(data[8:])


def _patched(batch: bytes, at: int, fmt: str, value: int) -> bytes:
    data = bytearray(batch)
    struct.pack_into(fmt, data, at, value)
    return reseal(bytes(data))


def _refused(data: bytes) -> CorruptBatchError:
    with pytest.raises(CorruptBatchError) as raised:
        split_batches(data, TOPIC, PARTITION)
    assert (raised.value.topic, raised.value.partition) == (TOPIC, PARTITION)
    return raised.value


@pytest.mark.parametrize("nothing", [None, b"", bytearray(), memoryview(b"")])
def test_nothing_holds_no_batches(nothing: object) -> None:
    assert split_batches(nothing, TOPIC, PARTITION) == []  # type: ignore[arg-type]


def test_the_fields_of_a_header_are_read() -> None:
    data = wrapped(b"body", 2, base_offset=40, last_delta=9, attributes=0x13, base_timestamp=77, max_timestamp=99, producer_id=5)
    batch = raw(data)
    assert (batch.base_offset, batch.last_offset_delta, batch.records_count, batch.magic) == (40, 9, 2, 2)
    assert (batch.base_timestamp, batch.max_timestamp, batch.producer_id, batch.producer_epoch) == (77, 99, 5, 0)
    assert (batch.last_offset, batch.next_offset, batch.base_sequence) == (49, 50, 0)
    assert batch.crc == int.from_bytes(data[17:21], "big")
    assert bytes(batch.data) == data


@pytest.mark.parametrize(
    ("attributes", "codec", "control", "transactional", "append_time"),
    [
        (0x00, 0, False, False, False),
        (0x04, 4, False, False, False),
        (0x08, 0, False, False, True),
        (0x11, 1, False, True, False),
        (0x30, 0, True, True, False),
        (0x40, 0, False, False, False),  # delete horizon, KIP-534
    ],
)
def test_the_attributes_of_a_header_are_read(
    attributes: int, codec: int, control: bool, transactional: bool, append_time: bool
) -> None:
    batch = raw(wrapped(b"", 0, last_delta=0, attributes=attributes))
    assert (batch.codec, batch.is_control, batch.is_transactional) == (codec, control, transactional)
    assert batch.is_log_append_time is append_time


def test_batches_are_slices_of_what_was_fetched() -> None:
    data = bytearray(_batch(0) + _batch(3))
    batches = split_batches(memoryview(data), TOPIC, PARTITION)
    assert [batch.base_offset for batch in batches] == [0, 3]
    data[-1] ^= 1
    assert batches[1].data[-1] == data[-1]


@pytest.mark.parametrize("whole", [0, 1, 2])
def test_a_batch_cut_off_anywhere_is_left_out(whole: int) -> None:
    before = b"".join(_batch(3 * number) for number in range(whole))
    last = _batch(3 * whole)
    for cut in range(len(last)):
        found = split_batches(before + last[:cut], TOPIC, PARTITION)
        assert [batch.base_offset for batch in found] == [3 * number for number in range(whole)]
    assert len(split_batches(before + last, TOPIC, PARTITION)) == whole + 1


def test_gaps_between_batches_are_fine() -> None:
    data = _batch(5) + _batch(8) + _batch(100)
    assert [batch.base_offset for batch in split_batches(data, TOPIC, PARTITION)] == [5, 8, 100]


@pytest.mark.parametrize("second", [0, 4, 5, 7])
def test_offsets_that_go_backwards_are_refused(second: int) -> None:
    error = _refused(_batch(5) + _batch(second))
    assert error.offset == second
    assert "begins before offset 8" in str(error)
    assert [batch.base_offset for batch in error.good_batches] == [5]


def test_a_negative_offset_is_refused() -> None:
    assert _refused(wrapped(b"", 0, base_offset=-1, last_delta=0)).offset == -1


def test_the_batches_before_an_impossible_one_are_kept() -> None:
    error = _refused(_batch(0) + _batch(3) + _patched(_batch(6), COUNT_AT, ">i", -1) + _batch(9))
    assert error.offset == 6
    assert [batch.base_offset for batch in error.good_batches] == [0, 3]
    assert "clicks/3 at offset 6" in str(error)
    assert "seek()" in str(error)


@pytest.mark.parametrize("count", [-1, -(2**31), 4, 1000, 2**31 - 1])
def test_more_records_than_offsets_or_less_than_none_are_refused(count: int) -> None:
    assert "records in 3 offsets" in str(_refused(_patched(_batch(0), COUNT_AT, ">i", count)))


@pytest.mark.parametrize("delta", [-1, -2, -(2**31), 1])
def test_an_impossible_last_offset_is_refused(delta: int) -> None:
    _refused(_patched(_batch(0), LAST_DELTA_AT, ">i", delta))


@pytest.mark.parametrize("count", [0, 1, 2])
def test_fewer_records_than_offsets_are_fine_after_compaction(count: int) -> None:
    assert raw(_patched(_batch(0), COUNT_AT, ">i", count)).records_count == count


@pytest.mark.parametrize("codec", [5, 6, 7])
def test_an_unknown_codec_is_refused(codec: int) -> None:
    assert f"unknown codec {codec}" in str(_refused(_patched(_batch(0), ATTRIBUTES_AT, ">h", codec)))


@pytest.mark.parametrize("length", [-1, -(2**31), 0, HEADER_SIZE - 12 - 1])
def test_a_length_too_short_for_a_header_is_refused(length: int) -> None:
    data = bytearray(_batch(0))
    data[LENGTH_AT : LENGTH_AT + 4] = length.to_bytes(4, "big", signed=True)
    assert f"length {length}" in str(_refused(bytes(data)))


def test_a_header_and_nothing_else_is_a_batch() -> None:
    batch = raw(wrapped(b"", 0, last_delta=4))
    assert (len(batch.data), batch.next_offset) == (HEADER_SIZE, 5)


@pytest.mark.parametrize("magic", [0, 1])
def test_the_formats_before_0_11_are_named(magic: int) -> None:
    message_set = (7).to_bytes(8, "big") + (20).to_bytes(4, "big") + bytes(4) + bytes([magic]) + bytes(15)
    error = _refused(_batch(0) + message_set)
    assert f"message format of Kafka 0.10 (magic {magic})" in str(error)
    assert error.offset == 7
    assert len(error.good_batches) == 1


@pytest.mark.parametrize("magic", [3, 127, 255])
def test_formats_yet_to_come_are_refused(magic: int) -> None:
    data = bytearray(_batch(0))
    data[MAGIC_AT] = magic
    error = _refused(bytes(data))
    assert f"magic {magic}" in str(error)
    assert "0.10" not in str(error)


@settings(max_examples=300, deadline=None, database=None)
@given(st.binary(max_size=200))
def test_random_bytes_are_refused_or_give_nothing_impossible(data: bytes) -> None:
    try:
        batches = split_batches(data, TOPIC, PARTITION)
    except CorruptBatchError as error:
        batches = error.good_batches
    assert all(0 <= batch.records_count <= batch.last_offset_delta + 1 for batch in batches)


@settings(max_examples=150, deadline=None, database=None)
@given(st.integers(0, HEADER_SIZE - 1), st.integers(1, 255))
def test_a_flipped_header_is_refused_or_gives_batches_within_the_data(at: int, flip: int) -> None:
    data = bytearray(_batch(0) + _batch(3))
    data[at] ^= flip
    try:
        batches = split_batches(bytes(data), TOPIC, PARTITION)
    except CorruptBatchError as error:
        batches = error.good_batches
    assert sum(len(batch.data) for batch in batches) <= len(data)
