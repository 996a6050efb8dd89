"""Long stories of appending, sending, losing and answering: every row has one outcome, and the log is as it says."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from pykafka._machines.accumulator import Accumulator
from pykafka.exceptions import DeliveryTimeout
from pykafka.records.queued import VALUE, Row

from .making import BACKOFF_S, ROOMY, TIMEOUT_S, columns_of_rows, row, rows_of
from .making import settings as send_settings
from .simulated_broker import REMEMBERED, REMEMBERED_BY_0_11, Wire

PARTITIONS = 2
#: What may befall a batch without its row being lost for good.
HARMLESS = ("written", "written", "written", "refused for now", "never sent")
#: After these the producer cannot know whether the batch is in the log.
DOUBTFUL = ("lost", "answer lost", "timed out", "too few replicas")
#: After these something is missing in the sequence.
HOPELESS = ("refused for good",)

#: (what happens, where, a number that says how much or which)
Step = tuple[str, int, int]


def steps(fates: tuple[str, ...], *more: str) -> st.SearchStrategy[list[Step]]:
    """Return stories in which batches meet these fates and ``more`` happens besides."""
    actions = (
        "append",
        "append",
        "send",
        "send",
        *[f"arrive: {fate}" for fate in fates],
        "come back",
        "come back",
        "wait",
        *more,
    )
    step = st.tuples(st.sampled_from(actions), st.integers(0, PARTITIONS - 1), st.integers(0, 7))
    return st.lists(step, min_size=50, max_size=120)


class Result(NamedTuple):
    """What a story led to, by partition: the rows in order, the wires, and how often each row had an outcome."""

    rows: list[list[Row]]
    wires: list[Wire]
    fates: dict[bytes, list[tuple[int, object]]]


def play(story: list[Step], acks: int = -1, first_epoch: int = 0, remembered: int = REMEMBERED) -> Result:
    """Return what became of everything, once the faults are over and all that is left was sent."""
    machine = Accumulator(send_settings(acks))
    wires = [Wire(machine, partition, 3, remembered) for partition in range(PARTITIONS)]
    rows: list[list[Row]] = [[] for _ in range(PARTITIONS)]
    ids = 0
    now = 0.0
    mark = 0
    for action, where, number in story:
        if machine.needs_producer_id:
            ids += 1
            machine.set_producer_id(ids, first_epoch)
        now += 0.001
        wire = wires[where]
        if action == "append":
            fresh = [row(b"%d/%05d" % (where, len(rows[where]) + count)) for count in range(number + 1)]
            rows[where] += fresh
            machine.append(where, columns_of_rows(fresh), now, mark)
        elif action == "send" and where in machine.sendable(now):
            wire.send((200, 400, ROOMY)[number % 3])
        elif action.startswith("arrive: "):
            wire.arrive(action[len("arrive: ") :])
        elif action == "come back":
            wire.come_back(number, now)
        elif action == "wait":
            now += BACKOFF_S
        elif action == "flush":
            mark += 1
        elif action == "grow old":
            now += TIMEOUT_S / 3
            wires[0].outcomes += machine.expire(now)
    while machine.active:
        if machine.needs_producer_id:
            ids += 1
            machine.set_producer_id(ids, first_epoch)
        now += BACKOFF_S
        for partition, wire in enumerate(wires):
            while partition in machine.sendable(now):
                wire.send(ROOMY)
            while wire.arrive("written"):
                pass
            while wire.come_back(0, now):
                pass
    fates: dict[bytes, list[tuple[int, object]]] = {}
    for wire in wires:
        for outcome in wire.outcomes:
            for index, each in enumerate(rows_of(outcome)):
                offset = outcome.base_offset + index if outcome.base_offset >= 0 else -1
                fates.setdefault(each[VALUE] or b"", []).append((offset, outcome.error))
    return Result(rows, wires, fates)


def check(result: Result) -> None:
    """Check that every row has exactly one outcome, that it is true, and that the logs are in order."""
    for rows, wire in zip(result.rows, result.wires):
        log = wire.broker.log
        assert log == sorted(set(log)), "in order, and nothing twice"
        assert wire.broker.fenced == 0, "no batch of an old epoch after a new one"
        for each in rows:
            value = each[VALUE] or b""
            outcomes = result.fates[value]
            assert len(outcomes) == 1
            ((offset, error),) = outcomes
            if error is None:
                assert value in log
                assert offset < 0 or log[offset] == value
            elif not (isinstance(error, DeliveryTimeout) and error.possibly_written):
                assert value not in log


@given(steps(HARMLESS + DOUBTFUL, "flush"), st.sampled_from([REMEMBERED, REMEMBERED_BY_0_11]))
@settings(max_examples=80, deadline=None, database=None)
def test_while_nothing_is_refused_for_good_every_row_is_written_exactly_once(story: list[Step], remembered: int) -> None:
    result = play(story, remembered=remembered)
    check(result)
    for rows, wire in zip(result.rows, result.wires):
        assert wire.broker.log == [each[VALUE] for each in rows]
        assert {epoch for _id, epoch, _first, _count in wire.broker.accepted} <= {0}, "no trouble, no new epoch"


@given(steps(HARMLESS + HOPELESS, "flush", "grow old"))
@settings(max_examples=60, deadline=None, database=None)
def test_holes_that_refusals_and_expiry_leave_are_closed_by_new_epochs(story: list[Step]) -> None:
    result = play(story)
    check(result)
    for wire in result.wires:
        following: dict[tuple[int, int], int] = {}
        for producer_id, epoch, first, count in wire.broker.accepted:
            assert first == following.get((producer_id, epoch), 0), "no sequence is left out"
            following[producer_id, epoch] = first + count


@given(steps(HARMLESS + HOPELESS + DOUBTFUL, "flush", "grow old"), st.sampled_from([REMEMBERED, REMEMBERED_BY_0_11]))
@settings(max_examples=80, deadline=None, database=None, derandomize=True, phases=[Phase.generate])
def test_nothing_is_written_twice_whatever_happens(story: list[Step], remembered: int) -> None:
    check(play(story, remembered=remembered))


@given(steps(HARMLESS + HOPELESS, "flush", "grow old"))
@settings(max_examples=60, deadline=None, database=None, derandomize=True, phases=[Phase.generate])
def test_running_out_of_epochs_changes_nothing(story: list[Step]) -> None:
    check(play(story, first_epoch=32767))


def test_a_story_with_every_kind_of_trouble_ends_well() -> None:
    story: list[Step] = [
        ("append", 0, 7),  # 8 rows, more than the broker takes at once
        ("send", 0, 2),
        ("append", 0, 0),
        ("send", 0, 2),
        ("arrive: written", 0, 0),  # too large: comes back in halves
        ("arrive: answer lost", 0, 0),
        ("come back", 0, 1),
        ("come back", 0, 0),
        ("wait", 0, 0),
        ("send", 0, 2),
        ("arrive: timed out", 0, 0),
    ]
    result = play(story)
    check(result)
    assert [count for _id, _epoch, _first, count in result.wires[0].broker.accepted] == [2, 2, 2, 2, 1]


@pytest.mark.parametrize("remembered", [REMEMBERED, REMEMBERED_BY_0_11])
def test_answers_lost_to_batches_in_flight_repeat_nothing_however_little_the_broker_remembers(remembered: int) -> None:
    written: list[Step] = [("append", 0, 0), ("send", 0, 2), ("arrive: written", 0, 0), ("come back", 0, 0)]
    sent: list[Step] = [("append", 0, 0), ("send", 0, 2)] * 3
    lost: list[Step] = [("arrive: answer lost", 0, 0)] * 3 + [("come back", 0, 0)] * 3
    result = play([*written, *sent, *lost], remembered=remembered)
    check(result)
    assert len(result.wires[0].broker.log) == 4
