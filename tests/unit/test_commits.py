"""One commit of a consumer at a time, whatever interrupts whom."""

from __future__ import annotations

import sys
from contextlib import suppress
from functools import partial

import pytest

from pykafka import commits as commits_module
from pykafka._engine import waiting
from pykafka.commits import Commits
from pykafka.offsets import OffsetSettings

from ..support import Interrupting

SETTINGS = OffsetSettings(b"g", -2, False, False, max_retries=0, backoff_s=0.0, timeout_s=0.2)


def commits() -> Commits:
    """Return commits that have nowhere to go."""
    return Commits(None, SETTINGS, lambda: 0.0, lambda: None)  # type: ignore[arg-type]  # nothing is committed here


@pytest.mark.skipif(sys.gettrace() is not None, reason="something else traces")
def test_ctrl_c_while_a_commit_waits_for_its_turn_is_in_the_way_of_no_later_commit() -> None:
    number, begun = 1, False

    def begin() -> None:
        nonlocal begun
        begun = True
        sys.settrace(None)

    while not begun:
        turns, interrupting = commits(), Interrupting(number, {commits_module.__file__, waiting.__file__})
        sys.settrace(interrupting)
        try:
            with suppress(KeyboardInterrupt):
                turns._in_turn(begin)
        finally:
            sys.settrace(None)
        done: list[bool] = []
        turns._in_turn(partial(done.append, True))
        assert done
        number += 1
    assert number > 10
