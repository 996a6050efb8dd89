"""Batches as we write them: the fast ways give what the plain way gives, and kafka-python reads it."""

from __future__ import annotations

import gzip
from typing import Any, Optional

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pykafka.records import encode as module
from pykafka.records import varints
from pykafka.records.batch import HEADER_SIZE
from pykafka.records.encode import RECORD_OVERHEAD, encode_batch, encode_headers, plain_records, restamp
from pykafka.records.varints import (
    MAX_ENTRIES,
    MAX_OFFSETS,
    VARINTS,
    Cache,
    decode_varint,
    encode_varint,
    offset_varints,
    width_segments,
)

from .making import decoded, raw, read_by_kafka_python, reseal, rows

#: Around the smallest batch that is put together by columns, and where offset deltas grow a byte.
COUNTS = [1, 2, 3, 4, 5, 15, 16, 17, 63, 64, 65, 127, 128, 8191, 8192, 8193]
SNAPPY = 2
START = 1_700_000_000_000


def _body(*columns: Any, **options: Any) -> bytes:
    return bytes(encoded(*columns, **options)[HEADER_SIZE:])


def encoded(values: Any, keys: Any, headers: Any, timestamps: Any, **options: Any) -> bytearray:
    """Return a batch of columns whose headers are pairs."""
    tails = headers and [pairs and encode_headers(pairs) for pairs in headers]
    return encode_batch(values, keys, tails, timestamps, **options)


def _plain(*columns: Any) -> bytes:
    return b"".join(plain_records(*columns))


def _stamps(kind: str, count: int) -> list[int]:
    """Return timestamps of a pattern."""
    deltas = {
        "one": lambda index: 0,
        "slow": lambda index: index // 50,
        "each": lambda index: index,
        "wide": lambda index: (0, 63, 64, 8191, 8192, 2**20, 2**27, 2**34)[index * 8 // count],
        "backwards": lambda index: -index // 20,
        "zigzag": lambda index: (index % 2) * 100,
        "dip": lambda index: 5 if index % 40 else -70,
    }[kind]
    return [START + deltas(index) for index in range(count)]


@pytest.mark.parametrize("stamps", ["one", "slow", "each", "wide", "backwards", "zigzag", "dip"])
@pytest.mark.parametrize("count", COUNTS)
def test_records_are_those_of_the_plain_way(count: int, stamps: str) -> None:
    timestamps = _stamps(stamps, count)
    same = [b"v" * 20] * count
    mixed = [b"v" * (index * 7 % 200) for index in range(count)]
    keys = [b"k" * (index % 70) for index in range(count)]
    alike = [[b"%0*d" % (size, index % 10**size) if size else b"" for index in range(count)] for size in (0, 1, 12, 64, 200)]
    for values in (same, mixed):
        for some in (None, keys, *alike):
            assert _body(values, some, None, timestamps) == _plain(values, some, None, timestamps)


_CONTENTS = st.binary(max_size=100) | st.sampled_from([b"", b"x" * 63, b"x" * 64, b"x" * 127, b"y" * 8192])
_HEADERS = st.none() | st.lists(st.tuples(st.text(max_size=5), st.none() | st.binary(max_size=70)), max_size=3)
_DELTAS = st.sampled_from([0, 0, 0, 1, -1, 63, 64, -64, -65, 8191, 8192, 2**20, -(2**27), 2**34, -(2**40)])


@st.composite
def columns(draw: st.DrawFn) -> tuple[Any, Any, Any, list[int]]:
    """Draw columns that any of the ways may be taken for."""
    size = draw(st.sampled_from([1, 3, 4, 5, 16, 40, 70, 130]))

    def column(content: Any, of: int = size) -> list[Any]:
        some = draw(st.lists(content, min_size=1, max_size=6))
        return [some[index % len(some)] for index in range(of)]

    tombstones = draw(st.booleans())
    values = column(st.none() | _CONTENTS if tombstones else _CONTENTS)
    keys = draw(st.sampled_from([None, "all", "some"]))
    headers = column(_HEADERS) if draw(st.integers(0, 3)) == 0 else None
    stamps = [START + delta for delta in column(_DELTAS)]
    if draw(st.booleans()):
        stamps.sort()
    return values, None if keys is None else column(_CONTENTS if keys == "all" else st.none() | _CONTENTS), headers, stamps


@settings(max_examples=300, deadline=None, database=None)
@given(columns())
def test_any_records_are_those_of_the_plain_way(drawn: tuple[Any, Any, Any, list[int]]) -> None:
    assert _body(*drawn) == _plain(*drawn)


@settings(max_examples=100, deadline=None, database=None)
@given(columns())
def test_any_batch_is_read_back(drawn: tuple[Any, Any, Any, list[int]]) -> None:
    values, keys, headers, stamps = drawn
    count = len(values)
    expected = zip(range(count), stamps, keys or [None] * count, values, [list(one or []) for one in headers or [[]] * count])
    data = bytes(encoded(*drawn))
    assert rows(decoded(data)) == list(expected)
    assert read_by_kafka_python(data) == rows(decoded(data))


@pytest.mark.parametrize("size", [0, 1, 63, 64, 8191, 8192, 2**20 - 1, 2**20, 2**21])
def test_values_and_keys_of_any_size(size: int) -> None:
    big, count = b"x" * size, 5
    for values, keys in (([big] * count, None), ([b"v"] * count, [big] * count), ([b"", big, b"v", big, b""], None)):
        assert _body(values, keys, None, [START] * count) == _plain(values, keys, None, [START] * count)


def test_a_record_written_out_by_hand() -> None:
    body = _body([b"value", None], [None, b"key"], [None, [("h", b"1"), ("n", None)]], [1000, 998])
    first = b"\x00\x00\x00\x01\x0avalue\x00"
    second = b"\x00\x03\x02\x06key\x01\x04\x02h\x02\x31\x02n\x01"
    assert body == bytes([2 * len(first)]) + first + bytes([2 * len(second)]) + second


# -- the header -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 4, 100])
def test_the_header_says_what_is_in_the_batch(count: int) -> None:
    stamps = [START - index for index in range(count)]
    data = encode_batch([b"v"] * count, None, None, stamps, producer_id=7, producer_epoch=8, base_sequence=9)
    batch = raw(data)
    assert (batch.base_offset, batch.last_offset_delta, batch.records_count, batch.magic) == (0, count - 1, count, 2)
    assert (batch.base_timestamp, batch.max_timestamp) == (START, START)
    assert (batch.producer_id, batch.producer_epoch, batch.base_sequence) == (7, 8, 9)
    assert (batch.attributes, len(batch.data)) == (0, len(data))
    assert int.from_bytes(data[12:16], "big", signed=True) == -1  # leader epoch: for the broker to fill in
    assert reseal(bytes(data)) == data


def test_the_latest_timestamp_is_found_wherever_it_is() -> None:
    assert raw(encode_batch([b""] * 4, None, None, [5, 9, 7, 2])).max_timestamp == 9


@pytest.mark.parametrize("count", [2, 100], ids=["record by record", "by columns"])
@pytest.mark.parametrize("keyed", [False, True])
@pytest.mark.parametrize(("first", "last"), [(-1, 2**63 - 1), (2**63 - 1, -2)])
def test_timestamps_too_far_apart_for_one_batch_are_an_error_not_other_timestamps(
    count: int, keyed: bool, first: int, last: int
) -> None:
    keys = [b"k"] * count if keyed else None
    with pytest.raises(ValueError, match="64 bits"):
        encode_batch([b"v"] * count, keys, None, [first] * (count // 2) + [last] * (count // 2))


def test_without_a_producer_id_there_is_none() -> None:
    batch = raw(encode_batch([b"v"], None, None, [START]))
    assert (batch.producer_id, batch.producer_epoch, batch.base_sequence) == (-1, -1, -1)


def test_a_transactional_batch_says_so() -> None:
    batch = raw(encode_batch([b"v"], None, None, [START], transactional=True, producer_id=1))
    assert (batch.is_transactional, batch.is_control, batch.codec) == (True, False, 0)


@pytest.mark.parametrize("codec", [1, 2, 3, 4])
def test_a_compressed_batch_is_read_back(codec: int) -> None:
    values: list[Optional[bytes]] = [b"a value like others %d" % index for index in range(500)]
    data = bytes(encode_batch(values, None, None, [START] * 500, codec=codec))
    assert raw(data).codec == codec
    assert len(data) < len(encode_batch(values, None, None, [START] * 500)) // 2
    assert rows(decoded(data)) == [(index, START, None, value, []) for index, value in enumerate(values)]
    if codec != SNAPPY:  # kafka-python needs python-snappy for it
        assert read_by_kafka_python(data) == rows(decoded(data))


def test_compression_covers_the_records_and_nothing_else() -> None:
    data = encode_batch([b"v"] * 30, None, None, [START] * 30, codec=1)
    assert gzip.decompress(data[HEADER_SIZE:]) == _plain([b"v"] * 30, None, None, [START] * 30)


def test_an_encoded_batch_can_be_stamped_again() -> None:
    made = [b"v"] * 9, None, None, [START] * 9
    data = encoded(*made, producer_id=1, producer_epoch=2, base_sequence=3)
    restamp(data, 40, 5, 2**31 - 1)
    assert data == encoded(*made, producer_id=40, producer_epoch=5, base_sequence=2**31 - 1)
    assert len(decoded(bytes(data)).values) == 9


def test_encoding_another_batch_leaves_the_first_as_it_is() -> None:
    first = encode_batch([b"a"] * 20, None, None, [START] * 20)
    kept = bytes(first)
    encode_batch([b"b"] * 40, None, None, [START] * 40)
    assert first == kept


# -- bounds -----------------------------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None, database=None)
@given(columns())
def test_sizes_foreseen_are_enough(drawn: tuple[Any, Any, Any, list[int]]) -> None:
    values, keys, headers, _ = drawn
    for index, record in enumerate(plain_records(*drawn)):
        foreseen = RECORD_OVERHEAD + len(values[index] or b"") + len((keys[index] if keys else None) or b"")
        if headers and headers[index]:
            foreseen += len(encode_headers(headers[index]))
        assert len(record) <= foreseen


def test_no_cache_outgrows_its_bound() -> None:
    cache = Cache(encode_varint)
    for number in range(MAX_ENTRIES + 50):
        assert cache[number] == encode_varint(number)
        assert len(cache) <= MAX_ENTRIES
    assert len(cache) == 50


def test_the_tables_of_encoding_stay_bounded_whatever_is_encoded() -> None:
    for number in range(400):
        # new sizes and new timestamps each time
        encode_batch([b"x" * (number % 500)] * 40, None, None, [START] * 20 + [START + number * 977] * 20)
        encode_batch([b"x" * (number % 90)] * 40, [b"k" * number] * 40, None, [START] * 20 + [START + number] * 20)
        encode_batch([b"x"] * 5, [b"k"] * 5, None, [START + number * step for step in (0, 1, 3, 7, 1009)])
    assert len(module._heads) <= module._MAX_HEADS
    assert max(map(len, module._heads.values())) <= module._MAX_SIZES
    assert len(module._offsets_before) <= 8
    assert len(VARINTS) <= MAX_ENTRIES
    assert len(module._TAILS) <= MAX_ENTRIES


@pytest.mark.parametrize("key", [b"", b"k"])
def test_what_is_kept_of_large_batches_is_bounded_in_all(key: bytes) -> None:
    for number in (5, 60, 700, 80_000, 120_000, 140_000, 3):
        encode_batch([b""] * number, [key] * number, None, [START] * number)
        encode_batch([b"x" * (number % 7)] * number, None, None, [START] * number)
        assert sum(map(len, module._offsets_before.values())) <= MAX_OFFSETS


# -- varints ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "encoded"),
    [
        (0, "00"),
        (-1, "01"),
        (1, "02"),
        (63, "7e"),
        (-64, "7f"),
        (64, "8001"),
        (-65, "8101"),
        (8191, "fe7f"),
        (8192, "808001"),
        (2**31 - 1, "feffffff0f"),
        (2**63 - 1, "feffffffffffffffff01"),
        (-(2**63), "ffffffffffffffffff01"),
    ],
)
def test_known_varints(number: int, encoded: str) -> None:
    assert encode_varint(number).hex() == encoded
    assert decode_varint(b"x" + bytes.fromhex(encoded) + b"y", 1) == (number, 1 + len(encoded) // 2)


@settings(max_examples=200, deadline=None, database=None)
@given(st.integers(-(2**63), 2**63 - 1))
def test_any_varint_survives(number: int) -> None:
    assert decode_varint(encode_varint(number), 0) == (number, len(encode_varint(number)))


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xff" * 9])
def test_a_varint_that_is_cut_off_is_an_index_error(data: bytes) -> None:
    with pytest.raises(IndexError):
        decode_varint(data, 0)


def test_a_varint_without_end_is_refused() -> None:
    with pytest.raises(ValueError, match="more than ten bytes"):
        decode_varint(b"\x80" * 100, 0)


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 8191, 8192, 8193, 100_000])
def test_offsets_have_the_widths_that_the_segments_say(count: int) -> None:
    offsets = offset_varints(count)[:count]
    assert len(offsets) == count
    segments = width_segments(count)
    assert [low for low, _, _ in segments] == [0, *[high for _, high, _ in segments]][: len(segments)]
    assert (segments[-1][1] if segments else 0) == count
    for low, high, width in segments:
        assert {len(one) for one in offsets[low:high]} == {width}
    assert all(decode_varint(offsets[at], 0)[0] == at for at in range(0, count, 97))


def test_the_shared_list_of_offsets_is_replaced_and_never_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(varints, "_offsets", [])
    before = offset_varints(10)
    length = len(before)
    after = offset_varints(4 * length)
    assert len(before) == length
    assert after[:length] == before
    assert varints.offset_varints(5) is after
