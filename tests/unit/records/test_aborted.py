"""What a consumer of committed messages sees of a log with transactions (KIP-98)."""

from __future__ import annotations

import contextlib

import pytest

from pykafka.exceptions import CorruptBatchError
from pykafka.records.aborted import visible_batches
from pykafka.records.batch import CONTROL, TRANSACTIONAL, RawBatch
from pykafka.records.decode import ABORT, COMMIT, NO_TYPE, control_type
from pykafka.records.encode import plain_records

from .making import by_kafka_python, raw, wrapped

FIRST, SECOND, THIRD = 101, 102, 103


def _data(offset: int, producer_id: int = -1, count: int = 2, *, last_delta: int = -1) -> RawBatch:
    """Return a batch of ``count`` messages; with a producer id it is part of a transaction."""
    body = b"".join(plain_records([b"v"] * count, None, None, [1000] * count))
    attributes = TRANSACTIONAL if producer_id >= 0 else 0
    delta = count - 1 if last_delta < 0 else last_delta
    return raw(wrapped(body, count, base_offset=offset, attributes=attributes, producer_id=producer_id, last_delta=delta))


def _marker(offset: int, producer_id: int, kind: int, key: bytes = b"") -> RawBatch:
    key = key or b"\0\0" + kind.to_bytes(2, "big")
    body = b"".join(plain_records([bytes(6)], [key], None, [1000]))
    return raw(wrapped(body, 1, base_offset=offset, attributes=TRANSACTIONAL | CONTROL, producer_id=producer_id))


def _visible(batches: list[RawBatch], aborted: list[tuple[int, int]]) -> list[int]:
    return [batch.base_offset for batch in visible_batches(batches, aborted)]


# -- markers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [ABORT, COMMIT, 2, 5])
def test_the_type_of_a_marker_is_read(kind: int) -> None:
    assert control_type(_marker(0, FIRST, kind)) == kind


@pytest.mark.parametrize("key", [b"\0", b"\0\0", b"\0\0\0"])
def test_a_marker_with_a_short_key_has_no_type(key: bytes) -> None:
    assert control_type(_marker(0, FIRST, ABORT, key)) == NO_TYPE


def test_a_marker_without_a_key_or_without_a_record_has_no_type() -> None:
    assert control_type(_data(0, FIRST)) == NO_TYPE
    assert control_type(raw(wrapped(b"", 0, last_delta=0, attributes=CONTROL))) == NO_TYPE


def test_a_marker_with_a_wrong_checksum_has_no_type() -> None:
    marker = _marker(0, FIRST, ABORT)
    assert control_type(marker._replace(crc=marker.crc ^ 1)) == NO_TYPE


def test_a_marker_that_inflates_too_far_has_no_type() -> None:
    made = by_kafka_python([(1000, b"\0\0\0\0", bytes(5000), [])], codec=1)
    assert control_type(raw(made)) == NO_TYPE


# -- what is seen -----------------------------------------------------------------------------------------------------


def test_without_transactions_everything_is_seen() -> None:
    assert _visible([_data(0), _data(2), _data(4)], []) == [0, 2, 4]


def test_markers_are_never_seen() -> None:
    assert _visible([_data(0, FIRST), _marker(2, FIRST, COMMIT), _marker(3, SECOND, ABORT), _data(4)], []) == [0, 4]


def test_an_aborted_transaction_is_not_seen() -> None:
    log = [_data(0), _data(2, FIRST), _data(4, FIRST), _marker(6, FIRST, ABORT), _data(7)]
    assert _visible(log, [(FIRST, 2)]) == [0, 7]


def test_what_a_producer_writes_after_its_aborted_transaction_is_seen() -> None:
    log = [_data(0, FIRST), _marker(2, FIRST, ABORT), _data(3, FIRST), _marker(5, FIRST, COMMIT)]
    assert _visible(log, [(FIRST, 0)]) == [3]


def test_what_a_producer_wrote_before_its_aborted_transaction_is_seen() -> None:
    log = [_data(0, FIRST), _marker(2, FIRST, COMMIT), _data(3, FIRST), _marker(5, FIRST, ABORT)]
    assert _visible(log, [(FIRST, 3)]) == [0]


def test_interleaved_transactions_are_told_apart() -> None:
    log = [
        _data(0, FIRST),
        _data(2, SECOND),
        _data(4, THIRD),
        _data(6, FIRST),
        _marker(8, SECOND, COMMIT),
        _data(9, SECOND),  # the next transaction of the second, aborted
        _marker(11, FIRST, ABORT),
        _data(12, FIRST),  # the next transaction of the first, committed
        _marker(14, SECOND, ABORT),
        _marker(15, THIRD, COMMIT),
        _data(16),
        _marker(18, FIRST, COMMIT),
    ]
    assert _visible(log, [(FIRST, 0), (SECOND, 9)]) == [2, 4, 12, 16]


def test_the_end_of_one_aborted_transaction_is_not_the_end_of_another() -> None:
    log = [_data(0, FIRST), _data(2, SECOND), _marker(4, FIRST, ABORT), _data(5, SECOND), _marker(7, SECOND, ABORT)]
    assert _visible(log, [(FIRST, 0), (SECOND, 2)]) == []


def test_a_commit_of_one_producer_does_not_end_the_aborted_transaction_of_another() -> None:
    log = [_data(0, FIRST), _marker(2, SECOND, COMMIT), _data(3, FIRST), _marker(5, FIRST, ABORT)]
    assert _visible(log, [(FIRST, 0)]) == []


def test_the_order_in_which_the_broker_lists_transactions_does_not_matter() -> None:
    log = [_data(0, FIRST), _data(2, SECOND), _marker(4, FIRST, ABORT), _marker(5, SECOND, ABORT), _data(6, FIRST)]
    listed = [(FIRST, 0), (SECOND, 2)]
    assert _visible(log, listed) == _visible(log, listed[::-1]) == [6]


def test_several_aborted_transactions_of_one_producer() -> None:
    log = [
        _data(0, FIRST),
        _marker(2, FIRST, ABORT),
        _data(3, FIRST),
        _marker(5, FIRST, COMMIT),
        _data(6, FIRST),
        _marker(8, FIRST, ABORT),
        _data(9, FIRST),
    ]
    assert _visible(log, [(FIRST, 0), (FIRST, 6)]) == [3, 9]


def test_a_transaction_begun_before_what_was_fetched_is_not_seen() -> None:
    log = [_data(50, FIRST), _marker(52, FIRST, ABORT), _data(53, FIRST)]
    assert _visible(log, [(FIRST, 7)]) == [53]


def test_an_aborted_transaction_whose_marker_was_not_fetched_is_not_seen() -> None:
    assert _visible([_data(0, FIRST), _data(2, FIRST)], [(FIRST, 0)]) == []


def test_messages_outside_of_transactions_are_seen_whatever_the_producer_id() -> None:
    plain = raw(wrapped(bytes(_data(0).data[61:]), 2, producer_id=FIRST))
    assert [batch.producer_id for batch in visible_batches([plain], [(FIRST, 0)])] == [FIRST]


def test_a_transaction_that_begins_inside_a_compacted_batch_is_found() -> None:
    # the first record of the transaction is gone, but the batch still spans its offset
    assert _visible([_data(0, FIRST, last_delta=9), _data(10, FIRST)], [(FIRST, 5)]) == []


def test_a_transaction_listed_for_later_offsets_hides_nothing_yet() -> None:
    assert _visible([_data(0, FIRST), _data(2, FIRST)], [(FIRST, 4)]) == [0, 2]


def test_nothing_is_visible_in_nothing() -> None:
    assert _visible([], [(FIRST, 0)]) == []


def test_a_corrupt_abort_marker_does_not_hide_what_is_committed_after_it_in_silence() -> None:
    marker = _marker(2, FIRST, ABORT)
    log = [_data(0, FIRST), marker._replace(crc=marker.crc ^ 1), _data(3, FIRST), _marker(5, FIRST, COMMIT)]
    # either it is told or what follows is delivered
    with contextlib.suppress(CorruptBatchError):
        assert _visible(log, [(FIRST, 0)]) == [3]


def test_a_marker_whose_record_the_cleaner_has_removed_is_passed_over() -> None:
    # the log cleaner keeps the empty batch for the producer's epoch; Kafka's own consumer takes it for no abort
    empty = raw(wrapped(b"", 0, base_offset=4, last_delta=0, attributes=TRANSACTIONAL | CONTROL, producer_id=FIRST))
    assert _visible([_data(0), empty, _data(5, FIRST), _marker(7, FIRST, COMMIT)], []) == [0, 5]
