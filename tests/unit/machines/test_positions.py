"""Where a partition starts, and how PyKafka's "last consumed" integers and positions relate."""

from __future__ import annotations

from typing import Optional

import pytest

from pykafka._machines.positions import AUTO_OFFSET_RESET, COMMITTED, held_offset, position_after, start_rule


@pytest.mark.parametrize("committed", [0, 1, 42])
def test_a_group_goes_on_where_it_committed(committed: int) -> None:
    assert start_rule(True, False, committed) == (COMMITTED, False)


def test_a_group_without_a_committed_offset_starts_at_the_reset_offset_and_commits_that() -> None:
    assert start_rule(True, False, None) == (AUTO_OFFSET_RESET, True)


@pytest.mark.parametrize("committed", [None, 0, 42])
def test_reset_offset_on_start_starts_over_whatever_is_committed_and_commits_that(committed: Optional[int]) -> None:
    assert start_rule(True, True, committed) == (AUTO_OFFSET_RESET, True)


@pytest.mark.parametrize("reset_on_start", [True, False])
@pytest.mark.parametrize("committed", [None, 0, 42])
def test_without_a_group_nothing_committed_counts_and_nothing_is_committed(
    reset_on_start: bool, committed: Optional[int]
) -> None:
    assert start_rule(False, reset_on_start, committed) == (AUTO_OFFSET_RESET, False)


@pytest.mark.parametrize(("last_consumed", "position"), [(0, 1), (41, 42), (2**62, 2**62 + 1)])
def test_the_position_is_the_offset_behind_the_last_one_consumed(last_consumed: int, position: int) -> None:
    assert position_after(last_consumed) == position
    assert held_offset(position) == last_consumed


@pytest.mark.parametrize("position", [None, 0])
def test_nothing_consumed_is_shown_as_minus_two(position: Optional[int]) -> None:
    assert held_offset(position) == -2
