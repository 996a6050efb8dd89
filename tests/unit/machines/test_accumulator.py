"""What a producer sends, sends again and gives up, and in which order: the accumulator without any engine around it."""

from __future__ import annotations

import pytest

from pykafka._machines.accumulator import MAX_IN_FLIGHT, Accumulator, Answer
from pykafka._machines.partition_queue import PROOF_LASTS_S
from pykafka.exceptions import (
    DeliveryTimeout,
    NotLeaderForPartition,
    SocketDisconnectedError,
)

from .making import BACKOFF_S, ROOMY, accumulator, add, send, send_each, settings, stamp_of, told, values_of

OK = Answer(0, 40)
NOT_LEADER = Answer(6)
TIMED_OUT = Answer(7)
TOO_LARGE = Answer(10)
OUT_OF_ORDER = Answer(45)
DUPLICATE = Answer(46)
STALE_EPOCH = Answer(47)
BAD_RECORD = Answer(87)
LOST = SocketDisconnectedError("the connection broke")


# -- the usual way ----------------------------------------------------------------------------------------------------


def test_rows_leave_in_the_order_they_came_and_learn_their_offset() -> None:
    machine = accumulator()
    add(machine, "a", "b")
    add(machine, "c")
    batch = send(machine)
    assert values_of(batch) == ["a", "b", "c"]
    (outcome,) = machine.on_answer(batch, OK, 1.0)
    assert (told([outcome]), outcome.base_offset, outcome.error) == (["a", "b", "c"], 40, None)
    assert list(machine.active) == []


def test_sequences_go_on_per_partition() -> None:
    machine = accumulator()
    add(machine, "a", "b")
    first = send(machine)
    add(machine, "c")
    second = send(machine)
    add(machine, "elsewhere", partition=3)
    third = send(machine, partition=3)
    assert [stamp_of(batch) for batch in (first, second, third)] == [(7, 0, 0), (7, 0, 2), (7, 0, 0)]


def test_an_idempotent_producer_sends_nothing_before_it_has_its_producer_id() -> None:
    machine = Accumulator(settings(acks=-1))
    assert not machine.needs_producer_id
    add(machine, "a")
    assert machine.needs_producer_id
    assert machine.sendable(0.0) == []
    machine.set_producer_id(9, 4)
    assert not machine.needs_producer_id
    assert stamp_of(send(machine)) == (9, 4, 0)


@pytest.mark.parametrize("acks", [0, 1])
def test_without_acks_all_batches_carry_no_numbers_and_no_id_is_asked_for(acks: int) -> None:
    machine = accumulator(acks=acks)
    add(machine, "a")
    assert not machine.needs_producer_id
    assert stamp_of(send(machine)) == (-1, -1, -1)


@pytest.mark.parametrize(("acks", "most"), [(-1, MAX_IN_FLIGHT), (0, MAX_IN_FLIGHT), (1, 1)])
def test_only_so_many_batches_of_a_partition_are_in_flight(acks: int, most: int) -> None:
    machine = accumulator(acks=acks)
    batches = send_each(machine, *"abcde"[:most])
    add(machine, "more")
    assert machine.sendable(0.0) == []
    assert not machine.has_more(0, 0.0)
    machine.on_answer(batches[0], OK, 0.0)
    assert machine.sendable(0.0) == [0]
    assert machine.has_more(0, 0.0)


def test_five_in_flight_is_what_a_broker_remembers() -> None:
    assert MAX_IN_FLIGHT == 5


def test_of_a_broker_that_remembers_only_the_last_batch_no_second_one_is_in_flight() -> None:
    machine = accumulator()
    send_each(machine, "a")
    machine.meet_broker(1)
    add(machine, "b")
    assert machine.sendable(0.0) == []
    machine.meet_broker(MAX_IN_FLIGHT)
    assert machine.sendable(0.0) == [], "the other brokers may not be upgraded yet"
    without_numbers = accumulator(acks=0)
    without_numbers.meet_broker(1)
    send_each(without_numbers, *"abcde")


def newcomer(epoch: int = 0) -> Accumulator:
    """Return an accumulator whose producer id no broker has seen yet."""
    machine = Accumulator(settings(acks=-1))
    machine.set_producer_id(9, epoch)
    return machine


def test_until_the_first_acknowledgement_one_batch_is_in_flight_because_a_broker_takes_any_first_sequence() -> None:
    machine = newcomer()
    add(machine, "one", mark=0)
    add(machine, "two", mark=1)
    one = send(machine)
    assert machine.sendable(0.0) == [] and not machine.has_more(0, 0.0)
    machine.on_answer(one, NOT_LEADER, 0.0)
    assert values_of(send(machine, now=1.0)) == ["one"], "two would have been written before it"
    assert machine.sendable(1.0) == []
    machine.on_answer(one, OK, 1.0)
    send_each(machine, *"abcd", now=1.0)
    add(machine, "more", mark=1)
    assert machine.sendable(1.0) == [0], "now several may be under way"


def test_after_a_long_silence_it_is_one_batch_again_because_a_broker_forgets() -> None:
    machine = newcomer()
    machine.on_answer(send_each(machine, "a")[0], OK, 1.0)
    send_each(machine, "b", now=PROOF_LASTS_S)
    add(machine, "c")
    assert machine.sendable(PROOF_LASTS_S) == [0]
    assert machine.sendable(PROOF_LASTS_S + 1.0) == []


def test_a_new_epoch_needs_no_new_proof_but_a_new_producer_id_does() -> None:
    for epoch, sendable in ((0, [0]), (32767, [])):
        machine = newcomer(epoch)
        machine.on_answer(send_each(machine, "a")[0], OK, 0.0)
        machine.on_answer(send_each(machine, "bad")[0], BAD_RECORD, 0.0)
        if machine.needs_producer_id or machine.producer_id < 0:
            machine.set_producer_id(10, 0)
        send_each(machine, "b")
        add(machine, "c")
        assert machine.sendable(0.0) == sendable


def test_a_partition_is_elsewhere_while_batches_are_in_flight_to_its_old_leader() -> None:
    machine = accumulator()
    add(machine, "a")
    batch = machine.next_batch(0, ROOMY, "old leader")
    assert batch is not None
    assert machine.is_elsewhere(0, "new leader") and not machine.is_elsewhere(0, "old leader")
    machine.on_no_answer(batch, LOST, True, 0.0)
    assert not machine.is_elsewhere(0, "new leader")


def test_one_full_partition_does_not_hold_up_another() -> None:
    machine = accumulator(acks=1)
    send_each(machine, "a")
    add(machine, "b")
    add(machine, "c", partition=1)
    assert machine.sendable(0.0) == [1]


def test_a_partition_that_was_served_goes_to_the_end_of_the_round() -> None:
    machine = accumulator()
    for partition in (0, 1, 2):
        add(machine, "a", partition=partition, mark=0)
        add(machine, "b", partition=partition, mark=1)
    send(machine, partition=0)
    assert machine.sendable(0.0) == [1, 2, 0]


def test_without_any_acknowledgement_a_batch_is_done_when_it_is_sent() -> None:
    machine = accumulator(acks=0)
    (batch,) = send_each(machine, "a")
    (outcome,) = machine.on_sent_without_ack(batch)
    assert (outcome.base_offset, outcome.error) == (-1, None)
    assert list(machine.active) == []


def test_a_duplicate_counts_as_delivered_at_an_offset_nobody_told() -> None:
    machine = accumulator()
    (batch,) = send_each(machine, "a")
    (outcome,) = machine.on_answer(batch, Answer(46, base_offset=12), 0.0)
    assert (told([outcome]), outcome.base_offset, outcome.error) == (["a"], -1, None)


# -- sizes and flushes ------------------------------------------------------------------------------------------------


def test_a_batch_is_cut_to_the_room_there_is_down_to_one_message() -> None:
    machine = accumulator()
    add(machine, "a" * 50, "b" * 50, "c" * 50)
    batch = machine.next_batch(0, 1)
    assert batch is not None
    assert values_of(batch) == ["a" * 50]
    assert values_of(send(machine)) == ["b" * 50, "c" * 50]


def test_max_batch_bytes_bounds_every_batch_however_much_room_there_is() -> None:
    machine = accumulator(max_batch_bytes=1024)
    add(machine, *[str(number % 10) * 100 for number in range(30)])
    sent = []
    while machine.has_more(0, 0.0):
        batch = send(machine)
        assert len(batch.data) <= 1024
        sent += values_of(batch)
        machine.on_answer(batch, OK, 0.0)
    assert sent == [str(number % 10) * 100 for number in range(30)]


def test_a_batch_sent_again_is_never_cut_so_it_waits_for_a_request_with_room() -> None:
    machine = accumulator()
    (batch,) = send_each(machine, "a" * 500)
    machine.on_answer(batch, NOT_LEADER, 0.0)
    assert machine.next_batch(0, 300) is None
    assert machine.next_batch(0, ROOMY) is batch


def test_what_came_after_a_flush_never_shares_a_batch_with_what_it_waits_for() -> None:
    machine = accumulator()
    add(machine, "before-1", mark=0)
    add(machine, "before-2", mark=0)
    add(machine, "after", mark=1)
    first, second = send(machine), send(machine)
    assert (values_of(first), first.flush_mark) == (["before-1", "before-2"], 0)
    assert (values_of(second), second.flush_mark) == (["after"], 1)
    assert [outcome.flush_mark for outcome in machine.on_answer(second, OK, 0.0)] == [1]


# -- sending again ----------------------------------------------------------------------------------------------------


def test_a_retried_batch_waits_for_what_is_in_flight_and_goes_first() -> None:
    machine = accumulator()
    a, b = send_each(machine, "a", "b")
    add(machine, "new")
    assert machine.on_answer(a, NOT_LEADER, 0.0) == []
    later = BACKOFF_S
    assert machine.sendable(later) == [], "b is still in flight"
    assert machine.on_answer(b, OUT_OF_ORDER, later) == [], "only because a is missing"
    later += BACKOFF_S
    assert [values_of(send(machine, now=later)) for _ in range(3)] == [["a"], ["b"], ["new"]]
    assert stamp_of(a) == (7, 0, 0)
    assert stamp_of(b) == (7, 0, 1)


def test_a_retry_waits_for_the_backoff() -> None:
    machine = accumulator()
    (batch,) = send_each(machine, "a")
    machine.on_answer(batch, NOT_LEADER, 10.0)
    assert machine.sendable(10.0 + BACKOFF_S * 0.99) == []
    assert machine.wake_at(10.0) == pytest.approx(10.0 + BACKOFF_S)
    assert machine.sendable(10.0 + BACKOFF_S) == [0]


def test_batches_come_back_in_sequence_order_whatever_order_their_answers_had() -> None:
    machine = accumulator()
    a, b, c = send_each(machine, "a", "b", "c")
    for batch in (c, a, b):
        machine.on_no_answer(batch, LOST, True, 0.0)
    assert [send(machine, now=1.0) for _ in range(3)] == [a, b, c]


def test_a_batch_that_comes_back_while_others_are_resent_keeps_its_place() -> None:
    machine = accumulator()
    a, b, c = send_each(machine, "a", "b", "c")
    for batch in (a, b, c):
        machine.on_no_answer(batch, LOST, True, 0.0)
    assert send(machine, now=1.0) is a
    machine.on_answer(a, NOT_LEADER, 1.0)
    assert [send(machine, now=2.0) for _ in range(3)] == [a, b, c]


def test_order_holds_where_the_sequence_wraps() -> None:
    machine = accumulator()
    add(machine, "warm up")
    machine.on_answer(send(machine), OK, 0.0)
    sequence = machine._queues[0].sequence
    assert sequence is not None
    sequence.next_sequence = 2**31 - 2
    a, b, c = send_each(machine, "a", "b", "c")
    assert [batch.base_sequence for batch in (a, b, c)] == [2**31 - 2, 2**31 - 1, 0]
    for batch in (c, b, a):
        machine.on_no_answer(batch, LOST, True, 0.0)
    assert [send(machine, now=1.0) for _ in range(3)] == [a, b, c]


def test_without_a_limit_a_batch_is_tried_again_and_again() -> None:
    machine = accumulator()
    (batch,) = send_each(machine, "a")
    for attempt in range(1, 50):
        assert machine.on_answer(batch, NOT_LEADER, float(attempt)) == []
        assert send(machine, now=attempt + 0.5) is batch


def test_max_retries_counts_tries_after_the_first() -> None:
    machine = accumulator(max_retries=2)
    (batch,) = send_each(machine, "a")
    for attempt in (1, 2):
        assert machine.on_answer(batch, NOT_LEADER, float(attempt)) == []
        assert send(machine, now=attempt + 0.5) is batch
    (outcome,) = machine.on_answer(batch, NOT_LEADER, 3.0)
    assert isinstance(outcome.error, NotLeaderForPartition)
    assert (outcome.error.topic, outcome.error.partition, outcome.error.api) == ("orders", 0, "Produce")
    assert list(machine.active) == []


def test_a_broken_connection_counts_as_a_try() -> None:
    machine = accumulator(max_retries=0)
    (batch,) = send_each(machine, "a")
    (outcome,) = machine.on_no_answer(batch, LOST, True, 0.0)
    assert isinstance(outcome.error, DeliveryTimeout) and outcome.error.possibly_written
    assert outcome.error.__cause__ is LOST


# -- a new epoch ------------------------------------------------------------------------------------------------------


def test_a_hole_before_the_oldest_batch_gives_it_a_new_epoch_once_nothing_is_in_flight() -> None:
    machine = accumulator()
    a, b = send_each(machine, "a", "b")
    add(machine, "new")
    machine.on_answer(a, OUT_OF_ORDER, 0.0)
    assert stamp_of(a) == (7, 0, 0), "not while b may still be numbered after it"
    assert machine.sendable(1.0) == []
    machine.on_answer(b, OUT_OF_ORDER, 1.0)
    assert [stamp_of(send(machine, now=2.0)) for _ in range(3)] == [(7, 1, 0), (7, 1, 1), (7, 1, 2)]


def test_what_follows_a_refused_batch_is_renumbered_and_written() -> None:
    machine = accumulator()
    a, b, c = send_each(machine, "a", "b", "c")
    machine.on_answer(a, OK, 0.0)
    (outcome,) = machine.on_answer(b, BAD_RECORD, 0.0)
    assert told([outcome]) == ["b"]
    assert outcome.error is not None
    machine.on_answer(c, OUT_OF_ORDER, 0.0)
    assert send(machine, now=1.0) is c
    assert stamp_of(c) == (7, 1, 0)
    assert values_of(c) == ["c"]


def test_another_partition_goes_on_under_the_old_epoch() -> None:
    machine = accumulator()
    (a,) = send_each(machine, "a")
    (other,) = send_each(machine, "x", partition=1)
    machine.on_answer(a, OUT_OF_ORDER, 0.0)
    machine.on_answer(other, OK, 0.0)
    (more,) = send_each(machine, "y", partition=1, now=1.0)
    assert stamp_of(more) == (7, 0, 1)


def test_after_the_last_epoch_a_new_producer_id_is_asked_for() -> None:
    machine = accumulator(epoch=32767)
    (a,) = send_each(machine, "a")
    machine.on_answer(a, OUT_OF_ORDER, 0.0)
    assert machine.needs_producer_id
    assert machine.sendable(1.0) == []
    machine.set_producer_id(8, 0)
    assert stamp_of(send(machine, now=1.0)) == (8, 0, 0)


def test_a_producer_that_was_replaced_fails_the_batch_and_numbers_the_rest_anew() -> None:
    machine = accumulator()
    a, b = send_each(machine, "a", "b")
    (outcome,) = machine.on_answer(a, STALE_EPOCH, 0.0)
    assert outcome.error is not None
    machine.on_answer(b, NOT_LEADER, 0.0)
    assert stamp_of(send(machine, now=1.0)) == (7, 1, 0)


@pytest.mark.parametrize("refused", [TOO_LARGE, BAD_RECORD])
def test_a_batch_that_may_be_in_the_log_is_never_given_a_new_number(refused: Answer) -> None:
    machine = accumulator()
    a, b = send_each(machine, "a", "b")
    machine.on_answer(a, TIMED_OUT, 0.0)  # the leader has it, the replicas were slow
    machine.on_answer(b, refused, 0.0)
    assert send(machine, now=1.0) is a
    assert stamp_of(a) == (7, 0, 0), "the broker knows it under these numbers"


def test_under_a_new_producer_id_nothing_new_leaves_before_what_is_in_flight_has_come_back() -> None:
    machine = accumulator(epoch=32767)
    (a,) = send_each(machine, "a", partition=0)
    (x,) = send_each(machine, "x", partition=1)
    machine.on_answer(a, OUT_OF_ORDER, 0.0)  # no epoch is left: all partitions get another producer id
    machine.set_producer_id(8, 0)
    add(machine, "y", partition=1)
    sent = [machine.next_batch(1, ROOMY)] if 1 in machine.sendable(1.0) else []
    machine.on_answer(x, NOT_LEADER, 1.0)
    assert sent == [], "y would be written before x"
