"""Tells what became of messages: those who hold one, those who wait for one, those who asked for a report."""

from __future__ import annotations

from .._machines.accumulator import Outcome
from .._machines.segments import Decision, Fates
from ..records.queued import REPORTS
from .clock import let_others_run


def tell_holders(outcome: Outcome, waited_for: list[Fates]) -> None:
    """Write an outcome where those find it who hold a message; note in ``waited_for`` whose messages are waited for."""
    offset = outcome.base_offset
    for taken, places in outcome.parts:
        fates = taken.fates
        if fates is not None:
            fates.decide(Decision(places, offset, outcome.error))
            if fates.waiting:
                waited_for.append(fates)
        if offset >= 0:
            offset += len(places)


def wake_waiting(woken: list[Fates]) -> None:
    """Wake who waits for a message that has an outcome now; at the end of all bookkeeping, which they may rely on."""
    signals = [signal for fates in woken for message, signal in list(fates.waiting) if message.done]
    for signal in signals:
        signal.set()
    if signals:
        let_others_run()


def report(outcome: Outcome) -> None:
    """Put an outcome into the queues of those who asked for reports."""
    for taken, places in outcome.parts:
        for extra, message in taken.messages(places):
            if extra[REPORTS] is not None:
                extra[REPORTS].put((message, outcome.error))


def let_go(outcome: Outcome) -> None:
    """Forget what was only kept to tell of an outcome."""
    for taken, places in outcome.parts:
        taken.told(len(places))
