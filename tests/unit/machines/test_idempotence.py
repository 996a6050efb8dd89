"""What an answer means for a batch: every row of the table of verdicts, and the numbers of one partition."""

from __future__ import annotations

import pytest

from pykafka._machines.idempotence import MAX_EPOCH, PartitionSequence, Verdict, judge
from pykafka.exceptions import ERROR_CODES

SEQUENCE_CODES = (45, 46, 47, 59)


def verdict(code: int, *, oldest: bool = True, idempotent: bool = True, count: int = 2) -> Verdict:
    """Return the verdict with what the error table says of ``code``."""
    retriable = code != 0 and ERROR_CODES[code].retriable
    return judge(code, retriable=retriable, oldest=oldest, idempotent=idempotent, count=count)


@pytest.mark.parametrize("idempotent", [True, False])
@pytest.mark.parametrize("oldest", [True, False])
def test_no_error_is_delivered(oldest: bool, idempotent: bool) -> None:
    assert verdict(0, oldest=oldest, idempotent=idempotent) is Verdict.DELIVERED


@pytest.mark.parametrize(
    ("code", "oldest", "expected"),
    [
        (45, True, Verdict.RENUMBER),
        (45, False, Verdict.RETRY),
        (59, True, Verdict.RENUMBER),
        (59, False, Verdict.RETRY),
        (46, True, Verdict.DELIVERED_BEFORE),
        (46, False, Verdict.DELIVERED_BEFORE),
        (47, True, Verdict.FAIL_AND_RENUMBER),
        (47, False, Verdict.FAIL_AND_RENUMBER),
    ],
)
def test_what_errors_of_the_sequence_mean(code: int, oldest: bool, expected: Verdict) -> None:
    assert verdict(code, oldest=oldest) is expected


@pytest.mark.parametrize("code", SEQUENCE_CODES)
def test_errors_of_the_sequence_mean_nothing_special_to_who_has_none(code: int) -> None:
    assert verdict(code, idempotent=False) is Verdict.FAIL


@pytest.mark.parametrize("idempotent", [True, False])
def test_a_batch_that_is_too_large_is_split(idempotent: bool) -> None:
    assert verdict(10, count=2, idempotent=idempotent) is Verdict.SPLIT


def test_a_single_message_that_is_too_large_fails() -> None:
    assert verdict(10, count=1) is Verdict.FAIL_AND_RENUMBER
    assert verdict(10, count=1, idempotent=False) is Verdict.FAIL


@pytest.mark.parametrize("code", sorted(set(ERROR_CODES) - {10, *SEQUENCE_CODES}))
@pytest.mark.parametrize("idempotent", [True, False])
def test_any_other_error_is_tried_again_or_not_as_the_error_table_says(code: int, idempotent: bool) -> None:
    hopeless = Verdict.FAIL_AND_RENUMBER if idempotent else Verdict.FAIL
    assert verdict(code, idempotent=idempotent) is (Verdict.RETRY if ERROR_CODES[code].retriable else hopeless)


@pytest.mark.parametrize("code", [3, 5, 6, 7, 13, 19, 20, 56])
def test_what_a_leader_election_or_a_slow_replica_brings_is_tried_again(code: int) -> None:
    assert verdict(code) is Verdict.RETRY


@pytest.mark.parametrize("code", [17, 18, 21, 29, 31, 32, 76, 87])
def test_what_will_not_change_by_itself_is_not_tried_again(code: int) -> None:
    assert verdict(code) is Verdict.FAIL_AND_RENUMBER


# -- the numbers ------------------------------------------------------------------------------------------------------


def test_sequences_count_records_from_zero() -> None:
    sequence = PartitionSequence(7, 3)
    assert [sequence.take(count) for count in (2, 1, 5, 1)] == [0, 2, 3, 8]
    assert sequence.epoch == 3


@pytest.mark.parametrize(("start", "count", "following"), [(2**31 - 1, 1, 0), (2**31 - 2, 5, 3), (2**31 - 4, 3, 2**31 - 1)])
def test_sequences_wrap_to_zero_as_the_broker_expects(start: int, count: int, following: int) -> None:
    sequence = PartitionSequence(7, 0)
    sequence.next_sequence = start
    assert sequence.take(count) == start
    assert sequence.next_sequence == following


def test_a_new_epoch_starts_at_zero() -> None:
    sequence = PartitionSequence(7, 0)
    sequence.take(10)
    assert sequence.raise_epoch()
    assert (sequence.epoch, sequence.take(1)) == (1, 0)


def test_the_epoch_is_raised_up_to_the_largest_int16_and_not_beyond() -> None:
    assert MAX_EPOCH == 2**15 - 1
    sequence = PartitionSequence(7, MAX_EPOCH - 1)
    sequence.take(4)
    assert sequence.raise_epoch()
    sequence.take(4)
    assert not sequence.raise_epoch()
    assert (sequence.epoch, sequence.next_sequence) == (MAX_EPOCH, 4), "nothing changes: all gets another producer id"
