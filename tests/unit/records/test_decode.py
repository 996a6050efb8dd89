"""Batches as we read them: all three ways agree, with each other and with kafka-python, and nothing corrupt gets through."""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence
from typing import Any, Optional

import mock
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pykafka.exceptions import CorruptBatchError, DecompressedSizeError, KafkaException
from pykafka.records import framed, quick, uniform, varints
from pykafka.records.batch import CRC_START, HEADER_SIZE, LOG_APPEND_TIME, split_batches
from pykafka.records.decode import decode_batch
from pykafka.records.encode import encode_batch, encode_headers, plain_records
from pykafka.records.framed import framed_columns
from pykafka.records.plain import plain_columns, read_record
from pykafka.records.quick import quick_columns
from pykafka.records.uniform import uniform_columns
from pykafka.records.varints import MAX_ENTRIES, encode_varint

from .making import PARTITION, ROOMY, TOPIC, Record, by_kafka_python, decoded, raw, reseal, rows, wrapped

COUNTS = [1, 2, 15, 16, 17, 63, 64, 65, 8191, 8192, 8193]
START = 1_700_000_000_000
#: Where the size of a value grows a byte, the length of a record without a key grows by two.
IMPOSSIBLE_LENGTHS = {6 + 64}
CORRUPT = (ValueError, IndexError, struct.error)


def _plain(body: bytes, count: int, way: Any = plain_columns) -> Any:
    """Return (timestamp deltas, keys, values, headers) by the plain way, or None when it finds the body corrupt."""
    try:
        _, stamps, keys, values, headers = way(body, count, count - 1)
    except CORRUPT:
        return None
    return stamps, keys, values, headers


def _agree(body: bytes, count: int) -> tuple[bool, bool]:
    """Return whether uniform and framed gave anything; what they gave must be what the plain way gives."""
    expected = _plain(body, count)
    assert expected == _plain(body, count, quick_columns)
    alike = uniform_columns(body, count)
    if alike is not None:
        stamps, keys, values = alike
        assert expected == (stamps or [0] * count, keys or [None] * count, values, [[]] * count)
    try:
        found = framed_columns(body, count)
    except CORRUPT:
        assert expected is None
        return alike is not None, False
    if found is not None:
        assert expected == (found[0], found[1] or [None] * count, found[2], found[3] or [[]] * count)
    return alike is not None, found is not None


def _body(values: Sequence[Any], keys: Any = None, headers: Any = None, stamps: Optional[Sequence[int]] = None) -> bytes:
    return b"".join(plain_records(values, keys, headers, stamps or [START] * len(values)))


# -- by hand ----------------------------------------------------------------------------------------------------------

PATTERNS = {
    "one millisecond": lambda index, count: 0,
    "a millisecond each": lambda index, count: index,
    "slow": lambda index, count: index // 40,
    "one to five bytes": lambda index, count: (0, 63, 64, 8191, 8192, 2**20 - 1, 2**20, 2**27)[index * 8 // count],
    "widths mixed": lambda index, count: (0, 100, 10_000, 2**21, 2**28)[index % 5],
    "backwards": lambda index, count: -index,
    "around zero": lambda index, count: (index % 3 - 1) * 63,
    "far back": lambda index, count: -(2**34) if index == count - 1 else 0,
}


@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS.keys())
@pytest.mark.parametrize("count", COUNTS)
def test_all_ways_agree_whatever_the_timestamps(count: int, pattern: Any) -> None:
    stamps = [START + pattern(index, count) for index in range(count)]
    shapes: list[tuple[list[bytes], Optional[list[bytes]]]] = [
        ([b"v" * 10] * count, None),
        ([b"v" * 10] * count, [b"k" * 4] * count),
        ([b"v" * (index % 90) for index in range(count)], None),
        ([b"v" * 100] * count, [b"%d" % index for index in range(count)]),
    ]
    # of large batches every other one, which takes half a second: each shape has its turn next to where tables end
    for values, keys in shapes[count % 2 :: 2] if count > 8000 else shapes:
        _agree(_body(values, keys, None, stamps), count)
        found = decoded(bytes(encode_batch(values, keys, None, stamps)))
        assert (list(found.offsets), list(found.timestamps)) == (list(range(count)), stamps)
        assert (found.values, found.keys, found.headers) == (values, keys, None)


@pytest.mark.parametrize("count", [16, 17, 63, 64, 65, 100, 8191, 8192, 8193, 20_000])
@pytest.mark.parametrize("keys", [None, b"", b"key", b"k" * 63])
def test_records_alike_are_decoded_by_slices(count: int, keys: Optional[bytes]) -> None:
    stamps = [START + index // 600 for index in range(count)]
    body = _body([b"%08d" % index for index in range(count)], None if keys is None else [keys] * count, None, stamps)
    assert _agree(body, count) == (True, True)


@given(st.lists(st.one_of(st.integers(0, 2**19), st.integers(-(2**19), 2**19), st.integers(-(2**63), 2**63 - 1)), max_size=60))
@settings(max_examples=200, deadline=None, database=None)
def test_the_deltas_of_a_whole_batch_are_what_each_of_its_numbers_says(deltas: list[int]) -> None:
    assert framed._deltas([framed._field(encode_varint(delta)) for delta in deltas]) == deltas


def test_every_delta_of_three_bytes_is_read_right() -> None:
    every = [*range(1 << 13, 1 << 20), *range(-(1 << 20), -(1 << 13))]
    assert framed._deltas([framed._field(encode_varint(delta)) for delta in every[::7]]) == every[::7]
    positive = every[: 1 << 19]
    assert framed._long_deltas([encode_varint(delta) for delta in positive]) == positive


def test_without_any_difference_in_time_there_are_no_timestamps_to_add() -> None:
    stamps, keys, _ = uniform_columns(_body([b"v"] * 20), 20) or ((), (), ())
    assert (stamps, keys) == (None, None)


@pytest.mark.parametrize(
    ("values", "keys"),
    [
        ([b"v", None] * 20, None),
        ([None] * 40, None),
        ([b""] * 40, None),
        ([b"v"] * 40, [b"k", None] * 20),
        ([b"v"] * 40, [None] * 20 + [b"k"] * 20),
        ([b"v"] * 40, [b"k"] * 20 + [None] * 20),
        ([b"v"] * 40, [b""] * 40),
        ([b"v"] * 40, [b"k" * 64] * 40),
        ([b"v"] * 40, [b"k" * 9000] * 40),
        ([b"x" * 64, b"x" * 63] * 20, None),
        ([b"x" * 20] * 30 + [b"x" * 9000] + [b"x" * 20] * 30, None),
        ([b"x" * 2**20] * 3, None),
        ([b"x" * (2**20 - 10)] * 17, None),
        ([None, b"x" * 70, b""], [b"k" * 100, None, b""]),
    ],
)
def test_all_ways_agree_on_tombstones_and_sizes(values: list[Any], keys: Any) -> None:
    _, by_frames = _agree(_body(values, keys), len(values))
    assert by_frames
    found = decoded(bytes(encode_batch(values, keys, None, [START] * len(values))))
    assert found.values == values
    assert found.keys == (None if keys is None or not any(key is not None for key in keys) else keys)


def test_headers_on_some_records_are_where_they_belong() -> None:
    pairs = [("trace", b"1"), ("empty", b""), ("null", None), ("żółć", b"\xff")]
    headers = [pairs if index % 30 == 7 else None for index in range(100)]
    values = [b"v" * (index % 5) for index in range(100)]
    body = _body(values, None, headers)
    assert _agree(body, 100) == (False, True)
    assert decoded(wrapped(body, 100)).headers == [pairs if index % 30 == 7 else [] for index in range(100)]


def test_a_key_of_a_mebibyte_with_an_empty_value_is_decoded() -> None:
    values, keys = [b"", b"second"], [b"k" * 2**20, b"key"]
    found = decoded(bytes(encode_batch(values, keys, None, [START, START])))
    assert (found.values, found.keys) == (values, keys)


def test_a_record_takes_seven_bytes_at_least_and_so_many_are_decoded() -> None:
    body = _body([None] * 63)
    assert len(body) == 63 * 7
    assert decoded(wrapped(body, 63)).values == [None] * 63


@pytest.mark.parametrize("count", [0, 1, 17])
def test_records_that_compaction_removed_leave_gaps(count: int) -> None:
    kept = [index * 3 for index in range(count)]
    body = b"".join(encode_varint(7 + len(encode_varint(at)) - 1) + b"\0\2" + encode_varint(at) + b"\1\2v\0" for at in kept)
    found = decoded(wrapped(body, count, base_offset=500, last_delta=3 * 17 + 1, base_timestamp=START))
    assert (list(found.offsets), list(found.timestamps)) == ([500 + at for at in kept], [START + 1] * count)


@pytest.mark.parametrize("deltas", [[0, 0], [1, 0], [0, 3], [-1, 0]])
def test_offsets_out_of_order_or_range_are_corrupt(deltas: list[int]) -> None:
    body = b"".join(b"\x0e\0\0" + encode_varint(delta) + b"\1\2v\0" for delta in deltas)
    for last in (1, 2):
        with pytest.raises(CorruptBatchError, match="out of order"):
            decoded(wrapped(body, 2, last_delta=last))


def test_log_append_time_is_the_time_of_every_record() -> None:
    body = _body([b"v"] * 20, None, None, [START + index for index in range(20)])
    made = wrapped(body, 20, attributes=LOG_APPEND_TIME, base_timestamp=START, max_timestamp=77)
    assert decoded(made).timestamps == [77] * 20


def test_offsets_and_timestamps_count_from_those_of_the_batch() -> None:
    found = decoded(wrapped(_body([b"v"] * 3, None, None, [5, 6, 4]), 3, base_offset=2**40, base_timestamp=START))
    assert list(found.offsets) == [2**40, 2**40 + 1, 2**40 + 2]
    assert list(found.timestamps) == [START, START + 1, START - 1]


# -- random ones ------------------------------------------------------------------------------------------------------

_BYTES = st.binary(max_size=40) | st.sampled_from([b"", b"x" * 63, b"x" * 64, b"x" * 127, b"x" * 8200])
_PAIRS = st.lists(st.tuples(st.text(max_size=4), st.none() | _BYTES), max_size=2)
_DELTA = st.sampled_from([0, 0, 1, -1, 63, 64, -64, -65, 8191, 8192, -(2**20), 2**21, 2**27, 2**34])


@st.composite
def bodies(draw: st.DrawFn) -> tuple[bytes, int]:
    """Draw encoded records, often alike, and their number."""
    count = draw(st.sampled_from([1, 2, 15, 16, 17, 40, 64, 65, 130]))
    value, key = draw(st.sampled_from([(_BYTES, st.none()), (st.none() | _BYTES, st.none() | _BYTES), (_BYTES, _BYTES)]))
    some = draw(st.lists(st.tuples(_DELTA, key, value), min_size=1, max_size=4))
    columns = list(zip(*(some[index % len(some)] for index in range(count))))
    headers: list[Any] = [None] * count
    if draw(st.integers(0, 3)) == 0:
        headers[draw(st.integers(0, count - 1))] = draw(_PAIRS)
    stamps = [START, *(START + delta for delta in columns[0][1:])]
    return _body(columns[2], columns[1], headers, stamps), count


@settings(max_examples=250, deadline=None, database=None)
@given(bodies())
def test_all_ways_agree_on_any_records(drawn: tuple[bytes, int]) -> None:
    body, count = drawn
    _agree(body, count)
    assert _plain(body, count) is not None


def test_a_width_that_was_guessed_wrong_and_looks_right_is_noticed_by_the_columns() -> None:
    # bytes that are so alike that a record read with the width of another one has all the signs of a right guess
    chance, wrong = random.Random(7), 0
    run = framed._read_run

    def count_wrong(*args: Any) -> tuple[int, int]:
        nonlocal wrong
        flat = args[-1]
        before = len(flat)
        result = run(*args)
        wrong += framed._deltas(flat[before :: framed._FIELDS]) is None
        return result

    with mock.patch.object(framed, "_read_run", count_wrong):
        for _ in range(300):
            count = chance.randrange(16, 90)
            deltas = [chance.choice((0, 3, 64, 130, 8192, 2**20)) for _ in range(count)]
            values = [bytes(chance.choice((0, 2, 4, 6)) for _ in range(chance.randrange(9))) for _ in range(count)]
            keys = [bytes(chance.choice((0, 2, 4, 6)) for _ in range(chance.randrange(9))) for _ in range(count)]
            _agree(_body(values, keys, None, [START, *(START + delta for delta in deltas[1:])]), count)
    assert wrong > 20


@settings(max_examples=250, deadline=None, database=None)
@given(bodies(), st.data())
def test_all_ways_agree_on_damaged_records(drawn: tuple[bytes, int], data: st.DataObject) -> None:
    body, count = bytearray(drawn[0]), drawn[1]
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, min(len(body), 400) - 1))
        body[at] = data.draw(st.sampled_from([0, 1, 2, 127, 128, 255]) | st.integers(0, 255))
    _agree(bytes(body), data.draw(st.sampled_from([count, count, count + 1, max(1, count - 1)])))


@pytest.mark.parametrize(("count", "size"), [(16, 1), (16, 70), (70, 3)])
@pytest.mark.parametrize("keys", [None, b"key"])
def test_all_ways_agree_on_every_flipped_byte(count: int, size: int, keys: Optional[bytes]) -> None:
    body = bytearray(_body([b"v" * size] * count, keys and [keys] * count, None, [START + index for index in range(count)]))
    for at in range(len(body)):
        for flip in (0x01, 0x02, 0x80, 0xFF):
            body[at] ^= flip
            _agree(bytes(body), count)
            body[at] ^= flip


@pytest.mark.parametrize(
    "pairs", [[("trace", b"12345"), ("kind", b"x")], [("a", None), ("b", b""), ("", b"v")], [("ż", b"k" * 70)]]
)
def test_all_ways_agree_on_every_flipped_byte_of_headers_whose_layout_is_known(pairs: Any) -> None:
    values = [b"v" * (index % 3) for index in range(8)]
    body = bytearray(_body(values, None, [pairs] * 8))
    quick._layouts.clear()
    _agree(bytes(body), 8)
    known = dict(quick._layouts)
    assert any(known.values())
    for at in range(len(body)):
        for flip in (0x01, 0x02, 0x80, 0xFF):
            body[at] ^= flip
            quick._layouts.update(known)
            _agree(bytes(body), 8)
            body[at] ^= flip


@settings(max_examples=200, deadline=None, database=None)
@given(st.binary(max_size=150), st.integers(1, 20))
def test_random_bytes_as_records_are_corrupt_or_what_the_plain_way_says(body: bytes, count: int) -> None:
    _agree(body, count)
    expected = _plain(body, count)
    try:
        found = decoded(wrapped(body, count))
    except CorruptBatchError:
        assert expected is None
    else:
        assert found.values == expected[2]


# -- kafka-python -----------------------------------------------------------------------------------------------------


def _records(kind: str, count: int) -> list[Record]:
    dice = random.Random(count)
    made: list[Record] = []
    for index in range(count):
        key, value, headers = None, b"value %06d" % index, []
        if kind == "keyed":
            key = b"key %d" % index
        elif kind == "mixed":
            key = dice.choice([None, b"", b"k" * dice.randrange(90)])
            value = dice.choice([None, b"", dice.randbytes(dice.randrange(300))])
            headers = [("h", None), ("żółć", b"1")] if dice.randrange(10) == 0 else []
        made.append((START + index * (7 if kind == "mixed" else 1), key, value, headers))
    return made


@pytest.mark.parametrize("codec", [0, 1, 3, 4])
@pytest.mark.parametrize("kind", ["bare", "keyed", "mixed"])
@pytest.mark.parametrize("count", [1, 16, 65, 300])
def test_what_kafka_python_wrote_is_read(count: int, kind: str, codec: int) -> None:
    records = _records(kind, count)
    found = decoded(by_kafka_python(records, codec=codec))
    assert rows(found) == [(index, *record) for index, record in enumerate(records)]


def test_what_kafka_python_wrote_with_gaps_is_read() -> None:
    records = _records("keyed", 40)
    found = decoded(by_kafka_python(records, skip=[3, 20]))
    assert list(found.offsets) == [*range(3), *range(4, 21), *range(22, 42)]
    assert found.values == [value for _, _, value, _ in records]


# -- corruption -------------------------------------------------------------------------------------------------------


def _read(data: bytes) -> list[tuple[Any, ...]]:
    """Return every record of every batch in ``data``, as a consumer reads them."""
    found = []
    for batch in split_batches(data, TOPIC, PARTITION):
        found += rows(decode_batch(batch, TOPIC, PARTITION, 1 << 20))
    return found


@pytest.mark.parametrize("codec", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("kind", ["bare", "mixed"])
def test_every_single_flipped_byte_under_the_checksum_is_corrupt(kind: str, codec: int) -> None:
    stamps, keys, values, headers = (list(column) for column in zip(*_records(kind, 20)))
    tails = [encode_headers(pairs) for pairs in headers] if any(headers) else None
    encoded = encode_batch(values, keys, tails, stamps, codec=codec)
    data = bytearray((700).to_bytes(8, "big") + encoded[8:])
    assert len(_read(bytes(data))) == 20
    for at in range(CRC_START - 4, len(data)):
        for flip in (0x01, 0x80, 0xFF):
            data[at] ^= flip
            with pytest.raises(CorruptBatchError) as raised:
                _read(bytes(data))
            data[at] ^= flip
            error = raised.value
            assert (error.topic, error.partition, error.offset) == (TOPIC, PARTITION, 700)
            assert f"{TOPIC}/{PARTITION} at offset 700" in str(error)


@pytest.mark.parametrize("count", [5, 20])
def test_corruption_that_the_checksum_does_not_show_is_corrupt_or_what_the_plain_way_says(count: int) -> None:
    whole = bytearray(wrapped(_body([b"some value"] * count, None, None, [START + i for i in range(count)]), count))
    for at in range(HEADER_SIZE, len(whole)):
        for flip in (0x01, 0x02, 0x80, 0xFF):
            whole[at] ^= flip
            data = reseal(bytes(whole))
            whole[at] ^= flip
            expected = _plain(data[HEADER_SIZE:], count)
            try:
                found = decoded(data)
            except CorruptBatchError:
                assert expected is None
            else:
                assert [list(found.values), found.keys or [None] * count] == [expected[2], expected[1]]


@pytest.mark.parametrize("codec", [1, 2, 3, 4])
def test_damaged_compressed_data_with_a_right_checksum_is_corrupt_or_decoded(codec: int) -> None:
    values = [b"value number %d" % index for index in range(30)]
    whole = bytearray(encode_batch(values, None, None, [START] * 30, codec=codec))
    for at in range(HEADER_SIZE, len(whole)):
        for flip in (0x01, 0xFF):
            whole[at] ^= flip
            data = reseal(bytes(whole))
            whole[at] ^= flip
            try:
                found = decoded(data, 1 << 20)
            except CorruptBatchError as error:
                assert error.offset == 0
            else:
                assert len(found.values) == 30


@pytest.mark.parametrize("count", [2, 19, 21, 100])
def test_another_number_of_records_than_the_header_says_is_corrupt(count: int) -> None:
    with pytest.raises(CorruptBatchError):
        decoded(wrapped(_body([b"v"] * 20), count))
    with pytest.raises(CorruptBatchError):
        decoded(wrapped(_body([b"v"] * 20), count, last_delta=200))


def test_a_count_that_cannot_be_is_refused_before_anything_is_made() -> None:
    with pytest.raises(CorruptBatchError, match="2147483647 records in 8 bytes"):
        decoded(wrapped(_body([b"v"]), 2**31 - 1))


def test_a_batch_of_nothing_but_tiny_records_counts_with_what_their_messages_take() -> None:
    data = wrapped(_body([b""] * 2000), 2000)
    with pytest.raises(DecompressedSizeError, match="max_decompressed_bytes=200000"):
        decoded(data, 200_000)
    assert len(decoded(data, 300_000).values) == 2000


def test_a_batch_of_more_records_than_are_kept_ready_is_decoded_the_same_and_leaves_nothing_behind() -> None:
    count = varints.MAX_OFFSETS + 1000
    data = encode_batch([b"v"] * count, None, None, [START] * count)
    found = decoded(bytes(data), 1 << 30)
    assert found.values == [b"v"] * count
    assert list(found.offsets) == list(range(count))
    assert len(varints._offsets) <= varints.MAX_OFFSETS


def test_records_longer_than_any_frame_are_decoded_among_short_ones() -> None:
    sizes = [10, 9000, 20, 70_000, 8191, 8192, 5] * 5
    some = [bytes([index]) * size for index, size in enumerate(sizes)]
    data = encode_batch(some, None, None, [START] * len(some))
    assert decoded(bytes(data), 1 << 30).values == some


@pytest.mark.parametrize("codec", [1, 2, 3, 4])
def test_a_batch_that_inflates_too_far_is_named(codec: int) -> None:
    data = bytearray(encode_batch([bytes(100_000)], None, None, [START], codec=codec))
    data[:8] = (55).to_bytes(8, "big")
    with pytest.raises(DecompressedSizeError, match="max_decompressed_bytes=50000") as raised:
        decoded(bytes(data), 50_000)
    assert (raised.value.topic, raised.value.partition, raised.value.offset) == (TOPIC, PARTITION, 55)
    assert len(decoded(bytes(data), 110_000).values) == 1


def test_a_missing_codec_is_named_with_topic_and_partition(monkeypatch: pytest.MonkeyPatch) -> None:
    from pykafka import compression
    from pykafka.exceptions import MissingCodecError

    def missing(*_: Any) -> bytes:
        raise MissingCodecError("pip install 'pykafka[zstd]'")

    data = bytes(encode_batch([b"v"], None, None, [START], codec=4))
    monkeypatch.setattr(compression, "decompress", missing)
    with pytest.raises(KafkaException, match=r"pykafka\[zstd\]") as raised:
        decode_batch(raw(data), TOPIC, PARTITION, ROOMY)
    assert isinstance(raised.value, MissingCodecError)
    assert (raised.value.topic, raised.value.partition) == (TOPIC, PARTITION)


# -- caches -----------------------------------------------------------------------------------------------------------


def test_the_caches_of_decoding_stay_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(varints, "MAX_ENTRIES", 50)
    monkeypatch.setattr(framed, "MAX_FRAMES", 50)
    monkeypatch.setattr(quick, "_MAX_LAYOUTS", 50)
    framed._forget()
    quick._layouts.clear()
    numbers = varints._Numbers()
    for number in range(1000):
        start = int.from_bytes(encode_varint(number)[:2], "little")
        frame = framed._frames[(1, 1)][1][start]
        assert (frame is None) is (number < 6 or number in IMPOSSIBLE_LENGTHS)
        assert numbers[encode_varint(number)] == number
        value = b"v" * number
        body = _body([b"v"], None, [[("name", value)]])
        assert quick.read_quickly(body, 0) == read_record(body, 0)
        frames = sum(len(table) for tables in framed._frames.values() for table in tables)
        assert max(frames, len(numbers), len(quick._layouts)) <= 50


def test_frames_may_be_forgotten_while_another_thread_reads_records_of_another_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    widths, clear = iter(range(4, 100)), framed._Frames.clear

    def interrupted(table: framed._Frames) -> None:
        if table.made and not len(framed._frames) > 10:
            assert framed._frames[(3, next(widths))], "as the other thread would"
        clear(table)

    assert framed._frames[(1, 1)]
    monkeypatch.setattr(framed._Frames, "made", 1)
    monkeypatch.setattr(framed._Frames, "clear", interrupted)
    monkeypatch.setattr(framed, "_frames", framed._Tables(framed._frames))
    framed._forget()
    assert framed._Frames.made == 0


def test_the_caches_have_the_bound_they_are_said_to_have() -> None:
    assert framed.MAX_FRAMES <= MAX_ENTRIES
    for cached in (uniform._all_offset_columns, uniform._unpacker):
        size = cached.cache_info().maxsize
        assert size is not None
        assert size <= MAX_ENTRIES
