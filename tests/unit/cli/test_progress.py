"""The progress bar is for people who wait at a terminal, and never in the way of anything else."""

from __future__ import annotations

import io
import sys
import types
from typing import Any

import pytest

from pykafka.cli.progress import progress


class Bar:
    """Stands in for tqdm, which is an extra."""

    made: list[Bar]

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.steps = 0
        self.closed = False
        Bar.made.append(self)

    def update(self, n: int = 1) -> None:
        self.steps += n

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.closed = True


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def tqdm(monkeypatch: pytest.MonkeyPatch) -> list[Bar]:
    """Have a tqdm that keeps the bars it makes."""
    module: Any = types.ModuleType("tqdm")
    module.tqdm = Bar
    Bar.made = []
    monkeypatch.setitem(sys.modules, "tqdm", module)
    return Bar.made


def run(**options: Any) -> None:
    with progress(10, "topics", **options) as bar:
        bar.update()
        bar.update(3)


def test_on_a_terminal_there_is_a_bar_on_stderr_that_goes_away_in_the_end(
    tqdm: list[Bar], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    run()
    (bar,) = tqdm
    assert (bar.options["total"], bar.options["unit"], bar.options["file"], bar.options["leave"]) == (
        10, " topics", sys.stderr, False,
    )  # fmt: skip
    assert (bar.steps, bar.closed) == (4, True)


def test_where_stderr_is_no_terminal_there_is_none(tqdm: list[Bar], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    run()
    assert tqdm == []


def test_where_the_output_itself_is_looked_at_there_is_none(tqdm: list[Bar], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    run(wanted=False)
    assert tqdm == []


def test_without_tqdm_nothing_is_shown_and_nothing_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    stderr = Terminal()
    monkeypatch.setattr(sys, "stderr", stderr)
    run()
    assert stderr.getvalue() == ""
