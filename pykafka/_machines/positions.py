"""The offset rules: where a partition starts, and whether that start is committed at once. One table, no branches."""

from __future__ import annotations

from typing import NamedTuple, Optional

#: Where to start.
COMMITTED = "committed"
AUTO_OFFSET_RESET = "auto_offset_reset"


class StartRule(NamedTuple):
    """What the table says for one partition."""

    source: str
    commit_now: bool


#: (has a group, reset_offset_on_start, has a committed offset) -> where to start, and commit that at once?
START_RULES: dict[tuple[bool, bool, bool], StartRule] = {
    (True, False, False): StartRule(AUTO_OFFSET_RESET, commit_now=True),
    (True, False, True): StartRule(COMMITTED, commit_now=False),
    (True, True, False): StartRule(AUTO_OFFSET_RESET, commit_now=True),
    (True, True, True): StartRule(AUTO_OFFSET_RESET, commit_now=True),
    # without a group nothing is stored, so nothing can have been committed
    (False, False, False): StartRule(AUTO_OFFSET_RESET, commit_now=False),
    (False, True, False): StartRule(AUTO_OFFSET_RESET, commit_now=False),
}

#: held_offsets of a partition of which nothing was consumed: PyKafka shows OffsetType.EARLIEST.
NOTHING_HELD = -2


def start_rule(has_group: bool, reset_offset_on_start: bool, committed: Optional[int]) -> StartRule:
    """Return where a partition starts; ``committed`` is the next offset to read, or None when there is none."""
    return START_RULES[(has_group, reset_offset_on_start, has_group and committed is not None)]


def position_after(last_consumed: int) -> int:
    """Return the position (next offset to deliver) of a consumer whose last consumed message is ``last_consumed``.

    The one place where PyKafka's "last consumed" integers of reset_offsets become positions.
    """
    return last_consumed + 1


def held_offset(position: Optional[int]) -> int:
    """Return what ``held_offsets`` shows for a position: the last consumed offset, -2 when nothing was consumed."""
    return NOTHING_HELD if not position else position - 1
