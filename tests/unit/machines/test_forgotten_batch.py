"""A batch whose answer was lost is not written twice when five later ones are in the log: a broker knows five again."""

from __future__ import annotations

from pykafka._machines.accumulator import Answer
from pykafka.exceptions import SocketDisconnectedError

from .making import accumulator, add, send, send_each, stamp_of

OK, TIMED_OUT, OUT_OF_ORDER = Answer(0, 40), Answer(7), Answer(45)
LOST = SocketDisconnectedError("the connection broke")


class Broker:
    """Knows a producer's last five batches again, as Kafka does; ``log`` is what it has written."""

    def __init__(self) -> None:
        self.log: list[tuple[int, int, int]] = []

    def take(self, batch: object) -> Answer:
        stamp = stamp_of(batch)
        epoch, sequence = stamp[1:]
        mine = [one for one in self.log if one[1] == epoch]
        if stamp in mine[-5:]:
            return OK
        if self.log and self.log[-1][1] == epoch and sequence != mine[-1][2] + 1:
            return OUT_OF_ORDER
        self.log.append(stamp)
        return OK


def test_a_batch_is_not_written_twice_when_more_are_written_behind_it_than_a_broker_remembers() -> None:
    machine, broker = accumulator(), Broker()
    # a is written, but the broker says REQUEST_TIMED_OUT (7); b, c, d, e behind it are written and acknowledged
    first = send_each(machine, *"abcde")
    answers = [broker.take(batch) for batch in first]
    machine.on_answer(first[0], TIMED_OUT, 0.0)
    for batch, answer in list(zip(first, answers))[1:]:
        machine.on_answer(batch, answer, 0.0)
    # a is sent again (and known again), f to i behind it are written; the connection breaks before any answer
    add(machine, "f", mark=1)
    again = send(machine, now=1.0)
    assert stamp_of(again) == stamp_of(first[0])
    behind = [send(machine, now=1.0)] if machine.has_more(0, 1.0) else []
    for name in "ghi":
        add(machine, name, mark=2)
        if machine.has_more(0, 1.0):
            behind.append(send(machine, now=1.0))
    for batch in (again, *behind):
        assert broker.take(batch).code in (0, 45)
    for batch in (again, *behind):
        machine.on_no_answer(batch, LOST, True, 1.0)
    # everything goes out once more, until nothing is left
    for now in range(2, 12):
        out = []
        while machine.has_more(0, float(now)):
            out.append(send(machine, now=float(now)))
        for batch in out:
            machine.on_answer(batch, broker.take(batch), float(now))
    assert [stamp for stamp in broker.log if stamp[1] > 0] == [], "written again under another epoch: twice in the log"
