"""A partition that is lent: its borrower and the I/O thread, which ends the loan, have no lock between them.

Two threads run here opcode by opcode: the borrower up to some point, then the one that ends the loan up to some point, then each
to its end. All pairs of points are tried, so that neither can be stopped anywhere that is not looked at.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from functools import partial
from types import FrameType
from typing import Any, Callable, Optional

import pytest

from pykafka._machines import loans
from pykafka._machines.accumulator import Answer
from pykafka._machines.batches import Batch
from pykafka._machines.idempotence import MAX_SEQUENCE, PartitionSequence
from pykafka._machines.loans import Loan

from .making import accumulator, add, columns_of_rows, row, send


class Stepper(threading.Thread):
    """Runs ``work`` up to the opcode of that number in what is looked at, lets ``others`` run, and goes on."""

    def __init__(self, work: Callable[[], None], stop_at: int, watched: set[str]) -> None:
        super().__init__()
        self.steps = 0
        self.error: Optional[BaseException] = None
        self._work = work
        self._stop_at = stop_at
        self._watched = watched
        self._arrived, self._go_on = threading.Semaphore(0), threading.Semaphore(0)

    def run(self) -> None:
        """Run with every opcode counted."""
        sys.settrace(self._trace)
        try:
            self._work()
        except BaseException as error:
            self.error = error
        finally:
            sys.settrace(None)
            self._stop_at = -1
            self._arrived.release()

    def _trace(self, frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_code.co_filename not in self._watched:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            if self.steps == self._stop_at:
                self._arrived.release()
                self._go_on.acquire()
            self.steps += 1
        return self._trace

    def to_point(self) -> None:
        """Return when it has come to its point, or to its end."""
        self.start()
        self._arrived.acquire()

    def to_end(self) -> None:
        """Return when it is done."""
        self._go_on.release()
        self.join(10)
        assert not self.is_alive()
        if self.error is not None:
            raise self.error


class Borrower:
    """Sends two messages by a loan, as a thread of the user's does."""

    def __init__(self, loan: Loan) -> None:
        self.loan = loan
        self.sent: list[Batch] = []
        self.acked: list[Batch] = []
        self.unsent: list[Batch] = []

    def run(self) -> None:
        """Send one message after the other, until the loan has ended."""
        for value in (b"1", b"2"):
            if self.loan.ended:
                return
            batch = Batch(0, columns_of_rows([row(value)]), 0.0, 0)
            self.loan.number(batch)
            if not self.loan.begin(batch, self):
                self.unsent.append(batch)
                return
            self.sent.append(batch)
            self.loan.on_acked(batch, 1.0)
            self.acked.append(batch)


def _points(work: Callable[[], None], watched: set[str]) -> int:
    counting = Stepper(work, -1, watched)
    counting.to_point()
    counting.join()
    return counting.steps


def _schedules() -> Iterator[tuple[int, int]]:
    watched = {loans.__file__, __file__}
    user_points = _points(Borrower(Loan(0, PartitionSequence(7, 0))).run, watched)
    loan, sequence = Loan(0, PartitionSequence(7, 0)), PartitionSequence(7, 0)
    end_points = _points(lambda: loan.end(sequence), watched)
    assert user_points > 100 and end_points > 20
    return ((user, end) for user in range(user_points) for end in range(end_points))


def _end(loan: Loan, sequence: PartitionSequence, returned: list[Optional[Batch]]) -> None:
    returned.append(loan.end(sequence))


@pytest.mark.skipif(sys.gettrace() is not None, reason="something else traces")
def test_a_loan_ended_anywhere_gives_no_number_twice_and_knows_whatever_may_have_been_sent() -> None:
    watched = {loans.__file__, __file__}
    for user_point, end_point in _schedules():
        sequence = PartitionSequence(7, 0)
        loan = Loan(0, sequence)
        borrower = Borrower(loan)
        returned: list[Optional[Batch]] = []
        user = Stepper(borrower.run, user_point, watched)
        ender = Stepper(partial(_end, loan, sequence, returned), end_point, watched)
        user.to_point()
        ender.to_point()
        user.to_end()
        ender.to_end()
        story = f"borrower stopped at {user_point}, the other at {end_point}"
        (adopted,) = returned
        # what was sent is known to one of the two; what was not sent may be taken for sent, and that is known as well
        for batch in borrower.sent:
            assert batch in borrower.acked or batch is adopted, story
        taken = {batch.base_sequence for batch in (*borrower.sent, *([adopted] if adopted is not None else []))}
        different = {id(batch) for batch in (*borrower.sent, *([adopted] if adopted is not None else []))}
        assert len(taken) == len(different), f"{story}: two batches with one number"
        assert sequence.next_sequence == len(taken), f"{story}: the next number is not behind all that were used"
        for batch in borrower.unsent:
            assert (loan.returned is batch) == (adopted is batch), story


def test_numbers_of_a_loan_wrap_as_those_of_the_partition_do() -> None:
    sequence = PartitionSequence(7, 3)
    sequence.next_sequence = MAX_SEQUENCE - 1
    loan = Loan(0, sequence)
    batch = Batch(0, columns_of_rows([row(b"1")]), 0.0, 0)
    loan.number(batch)
    assert (batch.producer_id, batch.producer_epoch, batch.base_sequence) == (7, 3, MAX_SEQUENCE - 1)
    assert loan.begin(batch, None)
    loan.on_acked(batch, 5.0)
    assert loan.end(sequence) is None
    assert (sequence.next_sequence, sequence.acked_at) == (0, 5.0)


def test_only_a_partition_with_nothing_under_way_is_lent_and_only_once() -> None:
    machine = accumulator()
    add(machine, "a")
    assert machine.lend(0) is None, "rows wait"
    batch = send(machine)
    assert machine.lend(0) is None, "a batch is under way"
    machine.on_no_answer(batch, OSError("broken"), True, 0.0)
    assert machine.lend(0) is None, "a batch is to be sent again"
    assert machine.lend(1) is not None
    assert machine.lend(1) is None
    assert machine.lend(99) is None, "nothing was ever sent there"


def test_nothing_is_sent_to_what_is_lent_until_it_is_back() -> None:
    machine = accumulator()
    loan = machine.lend(0)
    assert loan is not None and machine._queues[0].loan is loan
    add(machine, "waits")
    assert machine.sendable(0.0) == []
    assert machine.reclaim(loan) is None and machine._queues[0].loan is None
    assert send(machine).base_sequence == 0
    assert machine.reclaim(loan) is None, "twice is harmless"


@pytest.mark.parametrize("acks", [-1, 1])
def test_what_a_borrower_may_have_sent_goes_first_under_its_own_number(acks: int) -> None:
    machine = accumulator(acks)
    if acks == 1:
        add(machine, "before")
        first = send(machine)
        machine.on_sent_without_ack(first)
    loan = machine.lend(0)
    assert loan is not None
    batch = Batch(0, columns_of_rows([row(b"doubt")]), 0.0, 0)
    loan.number(batch)
    batch.encode(columns_of_rows([row(b"doubt")]), 0)
    assert loan.begin(batch, "a connection")
    add(machine, "later")
    assert machine.reclaim(loan) is batch and batch.place == "a connection"
    assert not machine.on_no_answer(batch, OSError("broken"), True, 0.0)
    again = send(machine, now=1.0)
    assert again is batch and again.attempts == 2
    if acks == -1:
        assert again.base_sequence == 0
        machine.on_answer(again, Answer(0, 5), 1.0)
        assert send(machine, now=1.0).base_sequence == 1
