"""How rows become batches: bounds of their encoded size, and what is taken when there is only so much room."""

from __future__ import annotations

from collections import deque
from itertools import count
from typing import Optional

from hypothesis import given, settings
from hypothesis import strategies as st

from pykafka._machines.batches import BATCH_OVERHEAD, Batch, Chunk, take_rows
from pykafka.records.batch import HEADER_SIZE, split_batches
from pykafka.records.decode import decode_batch
from pykafka.records.queued import VALUE, Row

from .making import columns_of_rows, row, rows_of

contents = st.none() | st.binary(max_size=300)
header_lists = st.none() | st.lists(st.tuples(st.text(max_size=12), contents), max_size=3)
stamps = st.integers(0, 2**62)


rows_of_any_kind = st.lists(st.builds(row, contents, contents, header_lists, stamps), min_size=1, max_size=40)
plain_rows = st.lists(st.builds(row, st.binary(max_size=200), st.none(), st.none(), st.just(1)), min_size=1, max_size=80)


def encoded(rows: list[Row]) -> bytearray:
    """Return ``rows`` as one batch."""
    batch = Batch(0, columns_of_rows(rows), 0.0, 0)
    batch.encode(columns_of_rows(rows), 0)
    return batch.data


def chunk(*values: bytes, born_at: float = 0.0, mark: int = 0) -> Chunk:
    """Return a chunk of rows without keys."""
    return Chunk(columns_of_rows([row(value) for value in values]), born_at, mark)


def taken(chunks: deque[Chunk], limit: int) -> list[Optional[bytes]]:
    """Return the values that are taken."""
    result = take_rows(chunks, limit)
    assert result is not None
    return [each[VALUE] for each in rows_of(result.columns)]


# -- sizes ------------------------------------------------------------------------------------------------------------


@given(st.one_of(rows_of_any_kind, plain_rows))
@settings(max_examples=50, deadline=None, database=None)
def test_the_size_of_columns_is_a_true_upper_bound_of_the_records(rows: list[Row]) -> None:
    assert len(encoded(rows)) - HEADER_SIZE <= columns_of_rows(rows).size


@given(rows_of_any_kind, st.integers(0, 40))
@settings(max_examples=50, deadline=None, database=None)
def test_the_sizes_of_two_parts_add_up_and_bound_each_part(rows: list[Row], count: int) -> None:
    whole = columns_of_rows(rows)
    first, rest = whole.cut(count)
    assert first.size + rest.size == whole.size
    assert rows_of(first) + rows_of(rest) == rows
    for part in (first, rest):
        if part.values:
            assert len(encoded(rows_of(part))) - HEADER_SIZE <= part.size


@given(rows_of_any_kind, rows_of_any_kind)
@settings(max_examples=50, deadline=None, database=None)
def test_joined_columns_are_the_columns_of_all_rows(left: list[Row], right: list[Row]) -> None:
    joined, expected = columns_of_rows(left).join(columns_of_rows(right)), columns_of_rows(left + right)
    assert (rows_of(joined), joined.size) == (rows_of(expected), expected.size)
    batch = Batch(0, joined, 0.0, 0)
    batch.encode(joined, 0)
    assert batch.data == encoded(left + right)


@given(rows_of_any_kind, st.integers(1, 4000))
@settings(max_examples=50, deadline=None, database=None)
def test_a_batch_of_what_was_taken_fits_unless_it_is_one_row(rows: list[Row], room: int) -> None:
    chunks = deque([Chunk(columns_of_rows(rows), 0.0, 0)])
    while chunks:
        part = take_rows(chunks, room - BATCH_OVERHEAD)
        assert part is not None
        assert len(part.columns.values) == 1 or len(encoded(rows_of(part.columns))) <= room


def test_a_batch_is_encoded_as_its_columns_say() -> None:
    rows = [row(b"v", b"k", [("h", None)], 5), row(None, None, None, 9)]
    (raw,) = split_batches(bytes(encoded(rows)), "t", 0)
    columns = decode_batch(raw, "t", 0, 1000)
    assert (columns.values, columns.keys, columns.headers) == ([b"v", None], [b"k", None], [[("h", None)], []])
    assert list(columns.timestamps) == [5, 9]


# -- what is taken ----------------------------------------------------------------------------------------------------


def test_nothing_is_taken_from_nothing() -> None:
    assert take_rows(deque(), 1000) is None


def test_whole_chunks_are_joined_while_they_fit_and_the_oldest_age_counts() -> None:
    chunks = deque([chunk(b"a", born_at=1.0), chunk(b"b", born_at=2.0), chunk(b"c", born_at=3.0)])
    result = take_rows(chunks, 10_000)
    assert result is not None
    assert [each[VALUE] for each in rows_of(result.columns)] == [b"a", b"b", b"c"]
    assert result.born_at == 1.0
    assert not chunks


def test_a_chunk_that_does_not_fit_is_cut_and_its_rest_keeps_age_and_mark() -> None:
    chunks = deque([chunk(b"a" * 100, b"b" * 100, b"c" * 100, born_at=4.0, mark=2)])
    assert taken(chunks, 260) == [b"a" * 100, b"b" * 100]
    (rest,) = chunks
    assert [each[VALUE] for each in rows_of(rest.columns)] == [b"c" * 100]
    assert (rest.born_at, rest.flush_mark) == (4.0, 2)


def test_at_least_one_row_is_taken_however_large() -> None:
    chunks = deque([chunk(b"a" * 100, b"b")])
    assert taken(chunks, -5) == [b"a" * 100]
    assert taken(chunks, -5) == [b"b"]


def test_a_large_row_behind_small_ones_waits_for_a_batch_of_its_own() -> None:
    chunks = deque([chunk(b"a"), chunk(b"b" * 500, b"c")])
    assert taken(chunks, 100) == [b"a"]
    assert taken(chunks, 100) == [b"b" * 500]
    assert taken(chunks, 100) == [b"c"]


def test_another_flush_mark_ends_what_is_taken() -> None:
    chunks = deque([chunk(b"a", mark=1), chunk(b"b", mark=1), chunk(b"c", mark=2)])
    assert taken(chunks, 10_000) == [b"a", b"b"]
    assert taken(chunks, 10_000) == [b"c"]


sizes = st.lists(st.lists(st.integers(0, 300), min_size=1, max_size=12), min_size=1, max_size=8)


@given(sizes, st.integers(-10, 1500))
@settings(max_examples=50, deadline=None, database=None)
def test_taking_again_and_again_gives_every_row_once_in_order_and_never_too_much(shape: list[list[int]], limit: int) -> None:
    numbers = count()
    # each value tells which one it is
    chunks = deque(chunk(*[b"%d " % next(numbers) + bytes(size) for size in part], mark=i // 3) for i, part in enumerate(shape))
    rows = [each for part in chunks for each in rows_of(part.columns)]
    marks = [part.flush_mark for part in chunks for _value in part.columns.values]
    found: list[Row] = []
    while chunks:
        part = take_rows(chunks, limit)
        assert part is not None
        assert len(part.columns.values) == 1 or part.columns.size <= limit
        assert part.columns.size == columns_of_rows(rows_of(part.columns)).size
        assert set(marks[len(found) : len(found) + len(part.columns.values)]) == {part.flush_mark}
        found += rows_of(part.columns)
    assert found == rows
