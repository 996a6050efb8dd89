"""Batches that are split, time out, fail or are abandoned: every row gets its outcome, and a true one."""

from __future__ import annotations

import pytest

from pykafka._machines.accumulator import MAYBE_WRITTEN, NO_PARTITION, Accumulator, Answer, Outcome
from pykafka.exceptions import (
    DeliveryTimeout,
    MessageSizeTooLarge,
    ProduceFailureError,
    ProducerStoppedException,
    SocketDisconnectedError,
    UnsupportedVersion,
)
from pykafka.records.queued import VALUE, Row

from .making import (
    BACKOFF_S,
    TIMEOUT_S,
    accumulator,
    add,
    columns_of_rows,
    rows_of,
    send,
    send_each,
    settings,
    stamp_of,
    told,
    values_of,
)

OK = Answer(0, 40)
NOT_LEADER = Answer(6)
TOO_LARGE = Answer(10)
OUT_OF_ORDER = Answer(45)
LOST = SocketDisconnectedError("the connection broke")
STOPPED = ProducerStoppedException("stopped")


def written(outcome: Outcome) -> bool:
    """Return what a DeliveryTimeout says of the rows' fate."""
    assert isinstance(outcome.error, DeliveryTimeout)
    return outcome.error.possibly_written


# -- too large --------------------------------------------------------------------------------------------------------


def test_a_batch_that_is_too_large_goes_in_halves_under_the_same_numbers() -> None:
    machine = accumulator()
    add(machine, "a", "b", "c", "d", "e")
    assert machine.on_answer(send(machine), TOO_LARGE, 0.0) == []
    left, right = send(machine), send(machine)
    assert (values_of(left), stamp_of(left)) == (["a", "b"], (7, 0, 0))
    assert (values_of(right), stamp_of(right)) == (["c", "d", "e"], (7, 0, 2))


def test_halves_are_halved_again_until_they_fit_and_stay_in_order() -> None:
    machine = accumulator()
    add(machine, "a", "b", "c", "d")
    add(machine, "later", mark=1)
    sent: list[str] = []
    while machine.active:
        batch = send(machine)
        if batch.row_count > 1:
            assert machine.on_answer(batch, TOO_LARGE, 0.0) == []
        else:
            sent += told(machine.on_answer(batch, OK, 0.0))
    assert sent == ["a", "b", "c", "d", "later"]


def test_what_was_in_flight_behind_a_split_batch_comes_after_its_halves() -> None:
    machine = accumulator()
    add(machine, "a", "b")
    first = send(machine)
    (behind,) = send_each(machine, "c")
    machine.on_answer(first, TOO_LARGE, 0.0)
    assert machine.on_answer(behind, OUT_OF_ORDER, 0.0) == []
    assert [values_of(send(machine, now=1.0)) for _ in range(3)] == [["a"], ["b"], ["c"]]
    assert stamp_of(behind) == (7, 0, 2)


def test_sequences_of_halves_wrap_like_any_other() -> None:
    machine = accumulator()
    add(machine, "warm up")
    machine.on_answer(send(machine), OK, 0.0)
    sequence = machine._queues[0].sequence
    assert sequence is not None
    sequence.next_sequence = 2**31 - 1
    add(machine, "a", "b")
    machine.on_answer(send(machine), TOO_LARGE, 0.0)
    assert [send(machine).base_sequence for _ in range(2)] == [2**31 - 1, 0]


def test_one_message_that_is_too_large_fails_alone() -> None:
    machine = accumulator()
    large, behind = send_each(machine, "large", "behind")
    (outcome,) = machine.on_answer(large, TOO_LARGE, 0.0)
    assert told([outcome]) == ["large"]
    assert isinstance(outcome.error, MessageSizeTooLarge)
    machine.on_answer(behind, OUT_OF_ORDER, 0.0)
    assert send(machine, now=1.0) is behind


def test_splitting_costs_no_retry() -> None:
    machine = accumulator(max_retries=0)
    add(machine, "a", "b")
    assert machine.on_answer(send(machine), TOO_LARGE, 0.0) == []
    assert told(machine.on_answer(send(machine), OK, 0.0)) == ["a"]


def test_halves_keep_the_age_of_the_batch() -> None:
    machine = accumulator()
    add(machine, "a", "b", now=5.0)
    machine.on_answer(send(machine, now=5.0), TOO_LARGE, 50.0)
    assert machine.expire(5.0 + TIMEOUT_S - 1) == []
    assert told(machine.expire(5.0 + TIMEOUT_S)) == ["a", "b"]


def test_halves_stay_in_order_without_sequence_numbers_too() -> None:
    machine = accumulator(acks=1)
    add(machine, "a", "b")
    machine.on_answer(send(machine), TOO_LARGE, 0.0)
    machine.on_answer(send(machine), NOT_LEADER, 0.0)
    assert values_of(send(machine, now=1.0)) == ["a"]


def test_halves_of_a_batch_that_may_be_written_may_be_written() -> None:
    machine = accumulator()
    add(machine, "a", "b")
    batch = send(machine)
    machine.on_no_answer(batch, LOST, True, 0.0)
    machine.on_answer(send(machine, now=1.0), TOO_LARGE, 1.0)  # max.message.bytes was lowered in between
    assert [written(outcome) for outcome in machine.expire(TIMEOUT_S)] == [True, True]


# -- too late ---------------------------------------------------------------------------------------------------------


def test_rows_that_never_left_expire_as_not_written() -> None:
    machine = accumulator()
    add(machine, "old", now=0.0)
    add(machine, "young", now=1.0)
    assert machine.expire(TIMEOUT_S - 0.5) == []
    (outcome,) = machine.expire(TIMEOUT_S)
    assert told([outcome]) == ["old"]
    assert not written(outcome)
    assert told(machine.expire(TIMEOUT_S + 1)) == ["young"]
    assert list(machine.active) == []


def test_rows_expire_also_while_no_producer_id_is_to_be_had() -> None:
    machine = Accumulator(settings())
    add(machine, "a")
    (outcome,) = machine.expire(TIMEOUT_S)
    assert not written(outcome)
    assert not machine.needs_producer_id


@pytest.mark.parametrize("code", sorted(MAYBE_WRITTEN))
def test_a_batch_whose_answer_left_its_fate_open_expires_as_possibly_written(code: int) -> None:
    machine = accumulator()
    (batch,) = send_each(machine, "a")
    machine.on_answer(batch, Answer(code), 1.0)
    (outcome,) = machine.expire(TIMEOUT_S)
    assert written(outcome)
    assert "may have been written" in str(outcome.error)


def test_the_errors_that_leave_the_fate_open_are_the_two_that_come_after_the_append() -> None:
    assert {7, 20} == MAYBE_WRITTEN


@pytest.mark.parametrize("sent", [True, False])
def test_after_a_broken_connection_the_fate_depends_on_whether_the_batch_was_sent(sent: bool) -> None:
    machine = accumulator()
    (batch,) = send_each(machine, "a")
    machine.on_no_answer(batch, LOST, sent, 1.0)
    (outcome,) = machine.expire(TIMEOUT_S)
    assert written(outcome) is sent


def test_a_refused_batch_expires_as_not_written() -> None:
    machine = accumulator()
    (batch,) = send_each(machine, "a")
    machine.on_answer(batch, NOT_LEADER, 1.0)
    (outcome,) = machine.expire(TIMEOUT_S)
    assert not written(outcome)
    assert "was not written" in str(outcome.error)
    assert outcome.error is not None
    assert (outcome.error.topic, outcome.error.partition) == ("orders", 0)  # type: ignore[attr-defined]


def test_one_doubtful_attempt_stays_in_doubt_whatever_comes_after_it() -> None:
    machine = accumulator()
    (batch,) = send_each(machine, "a")
    machine.on_no_answer(batch, LOST, True, 1.0)
    machine.on_answer(send(machine, now=2.0), NOT_LEADER, 2.0)
    (outcome,) = machine.expire(TIMEOUT_S)
    assert written(outcome)


@pytest.mark.parametrize("answer", [OK, NOT_LEADER, TOO_LARGE, OUT_OF_ORDER])
def test_what_is_in_flight_expires_as_possibly_written_and_a_late_answer_tells_nothing_more(answer: Answer) -> None:
    machine = accumulator()
    add(machine, "a", "b")
    batch = send(machine)
    (outcome,) = machine.expire(TIMEOUT_S)
    assert told([outcome]) == ["a", "b"]
    assert written(outcome)
    assert machine.expire(TIMEOUT_S + 1) == []
    assert list(machine.active) == [0], "its place in the sequence is taken until the broker has answered"
    assert machine.on_answer(batch, answer, TIMEOUT_S + 2) == []
    assert list(machine.active) == []


def test_the_sequence_goes_on_after_a_late_answer_and_starts_anew_after_a_late_refusal() -> None:
    for answer, stamp in ((OK, (7, 0, 1)), (NOT_LEADER, (7, 1, 0)), (OUT_OF_ORDER, (7, 1, 0))):
        machine = accumulator()
        (batch,) = send_each(machine, "a")
        machine.expire(TIMEOUT_S)
        machine.on_answer(batch, answer, TIMEOUT_S)
        (after,) = send_each(machine, "b", now=TIMEOUT_S)
        assert stamp_of(after) == stamp


def test_a_late_batch_whose_connection_broke_is_not_sent_again() -> None:
    machine = accumulator()
    (batch,) = send_each(machine, "a")
    machine.expire(TIMEOUT_S)
    assert machine.on_no_answer(batch, LOST, True, TIMEOUT_S) == []
    assert list(machine.active) == []
    (after,) = send_each(machine, "b", now=TIMEOUT_S)
    assert stamp_of(after) == (7, 0, 1), "the broker may have it: it decides"


def test_abandoning_tells_nothing_of_rows_that_were_too_late_already() -> None:
    machine = accumulator()
    send_each(machine, "a")
    machine.expire(TIMEOUT_S)
    assert machine.abandon(STOPPED) == []


def test_a_timeout_names_the_last_error_and_has_it_as_its_cause() -> None:
    machine = accumulator()
    (batch,) = send_each(machine, "a")
    add(machine, "behind")
    machine.on_no_answer(batch, LOST, True, 1.0)
    for outcome in machine.expire(TIMEOUT_S):
        assert "the connection broke" in str(outcome.error)
        assert outcome.error is not None and outcome.error.__cause__ is LOST


def test_a_timeout_for_want_of_a_producer_id_names_the_reason() -> None:
    machine = Accumulator(settings())
    add(machine, "a")
    machine.obstacle = LOST
    (outcome,) = machine.expire(TIMEOUT_S)
    assert "the connection broke" in str(outcome.error)


def test_after_a_batch_that_was_surely_not_written_the_next_one_starts_a_new_epoch() -> None:
    machine = accumulator()
    (batch,) = send_each(machine, "a")
    machine.on_answer(batch, NOT_LEADER, 1.0)
    machine.expire(TIMEOUT_S)
    (after,) = send_each(machine, "b", now=TIMEOUT_S)
    assert stamp_of(after) == (7, 1, 0)


def test_after_a_batch_that_may_be_written_the_next_one_goes_on_and_the_broker_decides() -> None:
    machine = accumulator()
    (batch,) = send_each(machine, "a")
    machine.on_no_answer(batch, LOST, True, 1.0)
    machine.expire(TIMEOUT_S)
    (after,) = send_each(machine, "b", now=TIMEOUT_S)
    assert stamp_of(after) == (7, 0, 1)
    machine.on_answer(after, OUT_OF_ORDER, TIMEOUT_S)  # it was not
    assert stamp_of(send(machine, now=TIMEOUT_S + 1)) == (7, 1, 0)


# -- when to look again -----------------------------------------------------------------------------------------------


def test_nothing_to_do_means_no_waking() -> None:
    machine = accumulator()
    assert machine.wake_at(0.0) == float("inf")
    (batch,) = send_each(machine, "a")
    machine.on_answer(batch, OK, 0.0)
    assert machine.wake_at(0.0) == float("inf")


def test_it_wakes_once_for_what_is_in_flight_to_expire_and_then_waits_for_the_answer() -> None:
    machine = accumulator()
    send_each(machine, "a", now=3.0)
    assert machine.wake_at(10.0) == 3.0 + TIMEOUT_S
    machine.expire(3.0 + TIMEOUT_S)
    assert machine.wake_at(3.0 + TIMEOUT_S) == float("inf")


def test_a_retry_that_falls_due_while_the_round_lasts_is_not_missed() -> None:
    machine = accumulator()
    (batch,) = send_each(machine, "a")
    machine.on_answer(batch, NOT_LEADER, 1.0)
    began = 1.0 + BACKOFF_S - 0.001
    assert machine.sendable(began) == []
    # however late it is by now, the time the round began with is what counts
    assert machine.wake_at(began) == 1.0 + BACKOFF_S


def test_it_wakes_when_the_oldest_row_expires() -> None:
    machine = accumulator()
    add(machine, "b", partition=1, now=9.0)
    add(machine, "a", partition=0, now=4.0)
    assert machine.wake_at(10.0) == 4.0 + TIMEOUT_S


def test_it_wakes_when_a_batch_that_waits_to_be_sent_again_expires() -> None:
    machine = accumulator()
    (batch,) = send_each(machine, "a", now=3.0)
    machine.on_answer(batch, NOT_LEADER, 4.0)
    assert machine.wake_at(10.0) == 3.0 + TIMEOUT_S


# -- what cannot be encoded -------------------------------------------------------------------------------------------


#: What no record can hold. Headers, which are lists, could be changed into such behind the producer's back.
BAD: Row = ("text", None, 0, None)  # type: ignore[assignment]


def test_rows_that_cannot_be_encoded_fail_alone_and_leave_no_hole_in_the_sequence() -> None:
    machine = accumulator()
    add(machine, "before", mark=0)
    before = send(machine)
    machine.append(0, columns_of_rows([BAD]), 0.0, 1)
    add(machine, "after", mark=2)
    after = send(machine)
    (outcome,) = machine.take_unencodable()
    assert rows_of(outcome) == [BAD] and outcome.flush_mark == 1
    assert isinstance(outcome.error, ProduceFailureError) and isinstance(outcome.error.__cause__, Exception)
    assert "orders/0" in str(outcome.error)
    assert [stamp_of(batch) for batch in (before, after)] == [(7, 0, 0), (7, 0, 1)]
    assert machine.take_unencodable() == []


def test_a_partition_with_nothing_but_rows_that_cannot_be_encoded_is_done() -> None:
    machine = accumulator()
    machine.append(0, columns_of_rows([BAD]), 0.0, 0)
    assert machine.next_batch(0, 1000) is None
    assert len(machine.take_unencodable()) == 1
    assert list(machine.active) == []


def test_halves_that_cannot_be_encoded_fail_and_the_next_batch_starts_a_new_epoch() -> None:
    machine = accumulator()
    add(machine, "a", "b")
    batch = send(machine)
    ((taken, _places),) = batch.parts
    taken.values[:] = [BAD[VALUE], BAD[VALUE]]
    (outcome,) = machine.on_answer(batch, TOO_LARGE, 0.0)
    assert outcome.row_count == 2 and isinstance(outcome.error, ProduceFailureError)
    assert stamp_of(send_each(machine, "c")[0]) == (7, 1, 0)


def test_a_batch_that_no_broker_can_ever_take_fails_at_once() -> None:
    machine = accumulator()
    first, second = send_each(machine, "a", "b")
    cannot = UnsupportedVersion("this broker is too old")
    (outcome,) = machine.on_no_answer(first, cannot, False, 0.0)
    assert (told([outcome]), outcome.error) == (["a"], cannot)
    machine.on_answer(second, OUT_OF_ORDER, 0.0)
    assert stamp_of(send(machine, now=1.0)) == (7, 1, 0)


# -- no partition known -----------------------------------------------------------------------------------------------


def test_rows_without_a_partition_wait_to_be_taken_back_and_are_never_sendable() -> None:
    machine = accumulator()
    add(machine, "a", partition=NO_PARTITION, now=3.0, mark=4)
    assert machine.has_unplaced and machine.sendable(5.0) == []
    (chunk,) = machine.take_unplaced()
    assert ([each[VALUE] for each in rows_of(chunk.columns)], chunk.born_at, chunk.flush_mark) == ([b"a"], 3.0, 4)
    assert not machine.has_unplaced and machine.take_unplaced() == []
    assert list(machine.active) == []


def test_rows_without_a_partition_expire_like_any_other() -> None:
    machine = accumulator()
    add(machine, "a", partition=NO_PARTITION)
    assert machine.wake_at(0.0) == TIMEOUT_S
    (outcome,) = machine.expire(TIMEOUT_S)
    assert not written(outcome)
    assert "no partition of the topic is known" in str(outcome.error)


# -- the end ----------------------------------------------------------------------------------------------------------


def test_failing_everything_leaves_what_is_in_flight_to_its_answer() -> None:
    machine = accumulator()
    again, flying = send_each(machine, "again", "flying")
    machine.on_answer(again, NOT_LEADER, 0.0)
    add(machine, "waiting")
    add(machine, "elsewhere", partition=2)
    outcomes = machine.fail_all(STOPPED)
    assert sorted(told(outcomes)) == ["again", "elsewhere", "waiting"]
    assert {outcome.error for outcome in outcomes} == {STOPPED}
    assert list(machine.active) == [0]
    assert told(machine.on_answer(flying, OK, 1.0)) == ["flying"]
    assert list(machine.active) == []


def test_after_failing_what_had_numbers_the_next_batch_starts_a_new_epoch() -> None:
    machine = accumulator()
    (batch,) = send_each(machine, "a")
    machine.on_answer(batch, NOT_LEADER, 0.0)
    machine.fail_all(STOPPED)
    (after,) = send_each(machine, "b", now=1.0)
    assert stamp_of(after) == (7, 1, 0)


def test_abandoning_says_which_rows_may_have_been_written() -> None:
    machine = accumulator()
    add(machine, "flying", mark=3)
    send(machine)
    add(machine, "waiting", mark=4)
    waiting, flying = machine.abandon(STOPPED)
    assert (told([waiting]), waiting.error, waiting.flush_mark) == (["waiting"], STOPPED, 4)
    assert (told([flying]), flying.flush_mark) == (["flying"], 3)
    assert written(flying)
    assert "stopped" in str(flying.error)
    assert list(machine.active) == []


def test_an_abandoned_batch_that_waits_for_a_connection_must_not_leave_any_more() -> None:
    machine = accumulator()
    (batch,) = send_each(machine, "a")
    batch.is_out = False
    (outcome,) = machine.abandon(STOPPED)
    assert outcome.error is STOPPED
    assert batch.expired


def test_abandoning_twice_tells_nothing_twice() -> None:
    machine = accumulator()
    send_each(machine, "a", "b")
    add(machine, "c")
    assert sorted(told(machine.abandon(STOPPED))) == ["a", "b", "c"]
    assert machine.abandon(STOPPED) == []


def test_a_batch_that_waits_to_be_sent_again_and_may_be_written_is_told_so() -> None:
    machine = accumulator()
    (batch,) = send_each(machine, "a")
    machine.on_no_answer(batch, LOST, True, 0.0)
    (outcome,) = machine.abandon(STOPPED)
    assert written(outcome)


def test_after_a_batch_in_doubt_was_given_up_being_out_of_order_proves_nothing() -> None:
    """Its request may lie unread at a broker, in a connection that has ended, and with it those of the batches behind it."""
    machine = accumulator(max_retries=0)
    first, second = send_each(machine, "a", "b")
    (given_up,) = machine.on_no_answer(first, LOST, True, 1.0)
    assert written(given_up)
    second.attempts = 0
    assert machine.on_no_answer(second, LOST, True, 1.0) == []
    again = send(machine, now=2.0)
    (outcome,) = machine.on_answer(again, OUT_OF_ORDER, 2.0)
    assert written(outcome), "under new numbers it could be in the log twice"


def test_being_out_of_order_proves_something_only_when_nothing_before_it_is_open() -> None:
    machine = accumulator()
    first, second = send_each(machine, "a", "b")
    for batch in (first, second):
        machine.on_no_answer(batch, LOST, True, 1.0)
    send(machine, now=2.0)
    send(machine, now=2.0)
    assert machine.on_answer(second, OUT_OF_ORDER, 2.0) == []
    assert second.maybe_written
    assert machine.on_answer(first, OUT_OF_ORDER, 2.0) == []
    assert not first.maybe_written


def test_a_batch_in_doubt_behind_one_that_waits_for_new_numbers_is_decided_by_being_out_of_order() -> None:
    """The one before it is not in the log, so neither is this one; each would wait for the other until they expire."""
    machine = accumulator()
    first, second = send_each(machine, "a", "b")
    for batch in (first, second):
        machine.on_no_answer(batch, LOST, True, 1.0)
    send(machine, now=2.0)
    assert machine.on_answer(first, OUT_OF_ORDER, 2.0) == []  # the broker has lost what was before it
    assert send(machine, now=3.0) is second, "under its old numbers, by which the broker may know it"
    assert machine.on_answer(second, OUT_OF_ORDER, 3.0) == []
    assert [stamp_of(send(machine, now=4.0)) for _ in "ab"] == [(7, 1, 0), (7, 1, 1)]


def test_a_batch_in_doubt_behind_a_refused_one_and_one_to_be_sent_again_is_decided_too() -> None:
    machine = accumulator()
    refused, later, doubtful = send_each(machine, "a", "b", "c")
    assert told(machine.on_answer(refused, Answer(87), 1.0)) == ["a"]
    machine.on_answer(later, NOT_LEADER, 1.0)
    machine.on_no_answer(doubtful, LOST, True, 1.0)
    assert send(machine, now=2.0) is doubtful
    machine.on_answer(doubtful, OUT_OF_ORDER, 2.0)
    assert [values_of(send(machine, now=3.0)) for _ in "bc"] == [["b"], ["c"]]
    assert stamp_of(later) == (7, 1, 0)


def test_a_batch_that_never_left_was_not_written() -> None:
    machine = accumulator()
    add(machine, "a")
    batch = machine.next_batch(0, 1_000_000)
    assert batch is not None
    (outcome,) = machine.expire(TIMEOUT_S)
    assert not written(outcome)
    assert machine.on_no_answer(batch, LOST, False, TIMEOUT_S) == []
    (after,) = send_each(machine, "b", now=TIMEOUT_S)
    assert stamp_of(after) == (7, 1, 0), "its numbers are a hole"
