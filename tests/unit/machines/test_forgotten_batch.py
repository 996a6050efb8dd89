"""A batch whose answer was lost is not written twice when five later ones are in the log: a broker knows five again."""

from __future__ import annotations

from collections.abc import Sequence

from pykafka._machines.accumulator import Accumulator, Answer
from pykafka._machines.batches import Batch
from pykafka.exceptions import SocketDisconnectedError

from .making import accumulator, add, send, send_each
from .simulated_broker import REMEMBERED, SimulatedPartition

TIMED_OUT, TOO_LARGE, OUT_OF_ORDER = Answer(7), Answer(10), Answer(45)
LOST = SocketDisconnectedError("the connection broke")


def send_all(machine: Accumulator, now: float) -> list[Batch]:
    """Return all that may leave now."""
    batches = []
    while machine.has_more(0, now):
        batches.append(send(machine, now=now))
    return batches


def put_the_first_in_doubt(machine: Accumulator, broker: SimulatedPartition, batches: Sequence[Batch], now: float) -> None:
    """Have all ``batches`` written; the broker says REQUEST_TIMED_OUT (7) of the first, and acknowledges the others."""
    said = [broker.append(bytes(batch.data)) for batch in batches]
    machine.on_answer(batches[0], TIMED_OUT, now)
    for batch, answer in zip(batches[1:], said[1:]):
        machine.on_answer(batch, answer, now)


def lose_the_answers(machine: Accumulator, broker: SimulatedPartition, batches: Sequence[Batch], now: float) -> None:
    """Have all ``batches`` written; the connection ends before any answer is read."""
    for batch in batches:
        broker.append(bytes(batch.data))
    for batch in batches:
        machine.on_no_answer(batch, LOST, True, now)


def go_well(machine: Accumulator, broker: SimulatedPartition, now: float) -> None:
    """Have everything sent and answered, until nothing is left."""
    for step in range(20):
        for batch in send_all(machine, now + step):
            machine.on_answer(batch, broker.append(bytes(batch.data)), now + step)
    assert not list(machine.active)


def test_a_batch_is_not_written_twice_when_more_are_written_behind_it_than_a_broker_remembers() -> None:
    machine, broker = accumulator(), SimulatedPartition(REMEMBERED)
    put_the_first_in_doubt(machine, broker, send_each(machine, *"abcde"), 0.0)
    # a is sent again, and known again; f would make the broker forget it
    for mark, name in enumerate("fghi"):
        add(machine, name, mark=mark)
    lose_the_answers(machine, broker, send_all(machine, 1.0), 1.0)
    go_well(machine, broker, 2.0)
    assert broker.log == [b"a", b"b", b"c", b"d", b"e", b"f", b"g", b"h", b"i"]


def test_the_halves_of_a_batch_that_was_too_large_count_as_the_batches_they_are() -> None:
    machine, broker = accumulator(), SimulatedPartition(REMEMBERED)
    first = send_each(machine, "a")
    add(machine, "b", "c")
    first += [send(machine), *send_each(machine, *"def")]
    broker.append(bytes(first[0].data))
    for batch, answer in zip(first, (TIMED_OUT, TOO_LARGE, OUT_OF_ORDER, OUT_OF_ORDER, OUT_OF_ORDER)):
        machine.on_answer(batch, answer, 0.0)
    # a is known again, and b, c, d and e are written; f, which was under way with them, would make the broker forget a
    put_the_first_in_doubt(machine, broker, send_all(machine, 1.0), 1.0)
    lose_the_answers(machine, broker, send_all(machine, 2.0), 2.0)
    go_well(machine, broker, 3.0)
    assert broker.log == [b"a", b"b", b"c", b"d", b"e", b"f"]
