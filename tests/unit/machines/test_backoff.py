"""Pauses between tries: they double, stay below a cap, are moved by chance, and start again after a success."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pykafka._machines.backoff import LONGEST_THROTTLE_S, Backoff, Spacing, throttled_s


def middle() -> float:
    """Return what moves a delay neither way."""
    return 0.5


def test_delays_double_up_to_the_cap() -> None:
    backoff = Backoff(0.05, 1.0, middle)
    assert [backoff.next_delay() for _ in range(7)] == pytest.approx([0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0])


def test_a_success_starts_again_from_the_first_delay() -> None:
    backoff = Backoff(0.05, 1.0, middle)
    for _ in range(4):
        backoff.next_delay()
    assert backoff.attempts == 4
    backoff.reset()
    assert backoff.attempts == 0
    assert backoff.next_delay() == pytest.approx(0.05)


@pytest.mark.parametrize(("chance", "factor"), [(0.0, 0.8), (0.5, 1.0), (0.999999999, 1.2)])
def test_chance_moves_a_delay_by_up_to_a_fifth(chance: float, factor: float) -> None:
    assert Backoff(0.05, 1.0, lambda: chance).next_delay() == pytest.approx(0.05 * factor)


def test_the_jitter_can_be_chosen() -> None:
    assert Backoff(1.0, 1.0, lambda: 0.0, jitter=0.5).next_delay() == pytest.approx(0.5)


def test_a_cap_below_the_first_delay_does_not_shorten_it() -> None:
    backoff = Backoff(2.0, 1.0, middle)
    assert [backoff.next_delay() for _ in range(3)] == pytest.approx([2.0, 2.0, 2.0])


def test_it_can_go_on_for_ever() -> None:
    backoff = Backoff(0.05, 1.0, middle)
    delays = {round(backoff.next_delay(), 9) for _ in range(5000)}
    assert max(delays) == 1.0
    assert backoff.attempts == 5000


@given(st.floats(0.001, 10), st.floats(0.001, 100), st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=50))
@settings(deadline=None, database=None)
def test_every_delay_is_within_the_jitter_of_first_delay_and_cap(initial: float, cap: float, chances: list[float]) -> None:
    turn = iter(chances)
    backoff = Backoff(initial, cap, lambda: next(turn))
    for _ in chances:
        assert initial * 0.79 <= backoff.next_delay() <= max(initial, cap) * 1.21


@pytest.mark.parametrize(
    ("asked_ms", "waits_s"), [(0, 0.0), (-1, 0.0), (-(2**31), 0.0), (1, 0.001), (1500, 1.5), (60_000, 60.0), (60_001, 60.0)]
)
def test_a_broker_is_given_the_pause_that_it_asks_for(asked_ms: int, waits_s: float) -> None:
    assert throttled_s(asked_ms) == waits_s


def test_no_pause_that_a_broker_can_ask_for_is_longer_than_a_minute() -> None:
    assert throttled_s(2**31 - 1) == LONGEST_THROTTLE_S == 60.0


@pytest.mark.parametrize(("took_s", "pause_s"), [(0.5, 10.0), (1.0, 20.0), (10.0, 60.0)])
def test_what_takes_long_is_done_again_later_but_not_too_late(took_s: float, pause_s: float) -> None:
    spacing = Spacing(0.05, 60.0)
    assert spacing.is_due(100.0)
    spacing.done(100.0, 100.0 + took_s)
    assert not spacing.is_due(100.0 + took_s + pause_s - 0.1)
    assert spacing.is_due(100.0 + took_s + pause_s + 0.1)
