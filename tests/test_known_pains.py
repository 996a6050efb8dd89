"""What PyKafka's users suffered from, and the tests that show it to be gone: a list that cannot rot.

``python -m tests.test_known_pains > docs/pains.rst`` writes the page of it anew; a test says when that is due.
"""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, NamedTuple

import pytest

from pykafka import KafkaClient
from pykafka.exceptions import KafkaConfigError

from .needs import missing
from .pains import PAINS, SASL, Pain

ROOT = Path(__file__).resolve().parent.parent
#: How many rows wait for what; a row that is filled is taken off here, and in the end there is nothing left to wait for.
WAITING = {SASL: 1}
#: What shows that it is not there yet: the day it is, its rows have to be filled.
NOT_YET: dict[str, Callable[[], Any]] = {
    SASL: lambda: KafkaClient("127.0.0.1:1", sasl_config=object()),
}


# -- the page ---------------------------------------------------------------------------------------------------------


def page() -> str:
    """Return the text of pains.rst."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield from ("Old troubles", "============", "", ".. made by python -m tests.test_known_pains: change the table there", "")
    yield from _wrapped(
        "What users of PyKafka 2.8 suffered from, and what became of it. Each row names the tests that show it, in the folder"
        " ``tests``; ``tests/test_known_pains.py`` fails when one of those is renamed, removed or turned off."
    )
    yield ""
    yield from _section("The twenty-five that were reported most", [pain for pain in PAINS if pain.number is not None])
    yield from _section("And the rest", [pain for pain in PAINS if pain.number is None])


def _section(title: str, pains: list[Pain]) -> Iterator[str]:
    numbered = pains[0].number is not None
    head = ["no.", "what happened", "now"] if numbered else ["what happened", "now"]
    yield from (title, "-" * len(title), "", ".. list-table::", "    :header-rows: 1", "")
    yield from _row(head)
    for pain in pains:
        cells = [pain.was, " ".join(filter(None, (pain.now, _open_part(pain), _shown(pain))))]
        yield from _row([str(pain.number), *cells] if numbered else cells)
    yield ""


def _open_part(pain: Pain) -> str:
    if not pain.waits_for:
        return ""
    return f"*{'The rest comes' if pain.tests else 'Comes'} with {pain.waits_for}.*"


def _shown(pain: Pain) -> str:
    return "Shown by " + ", ".join(f"``{test}``" for test in pain.tests) + "." if pain.tests else ""


def _row(cells: list[str]) -> Iterator[str]:
    for number, cell in enumerate(cells):
        first, *rest = _wrapped(cell, 120)
        yield f"    {'*' if number == 0 else ' '} - {first}"
        yield from (f"        {line}" for line in rest)


def _wrapped(text: str, width: int = 127) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)


# -- the tests --------------------------------------------------------------------------------------------------------

#: Prints [node id, marks that turn it off] of what is collected, and [file, reason] of those that are skipped or broken.
COLLECT = """
import json, sys, pytest

class Seen:
    items, skipped, broken = [], [], []

    def pytest_collection_modifyitems(self, items):
        for item in items:
            off = {"skip", "xfail"} & {mark.name for mark in item.iter_markers()}
            off |= {"skipif"} if any(mark.args[0] for mark in item.iter_markers("skipif")) else set()
            self.items.append([item.nodeid, sorted(off)])

    def pytest_collectreport(self, report):
        if report.skipped:
            self.skipped.append([report.nodeid, str(report.longrepr[2])])
        if report.failed:
            self.broken.append([report.nodeid, str(report.longrepr)])

seen = Seen()
pytest.main(["--collect-only", "-p", "no:terminal", *sys.argv[1:]], plugins=[seen])
print(json.dumps([seen.items, seen.skipped, seen.broken]))
"""


class Collected(NamedTuple):
    """What pytest finds: tests with the marks that turn them off, and files with the reasons why they are left out."""

    tests: dict[str, list[str]]
    skipped: dict[str, str]
    broken: dict[str, str]


@pytest.fixture(scope="module")
def collected() -> Collected:
    """What there is in the files that are named."""
    files = sorted({"tests/" + test.split("::")[0] for pain in PAINS for test in pain.tests})
    done = subprocess.run([sys.executable, "-c", COLLECT, *files], capture_output=True, text=True, cwd=ROOT, check=True)
    items, skipped, broken = json.loads(done.stdout.splitlines()[-1])
    return Collected({node.split("[")[0]: off for node, off in items}, dict(skipped), dict(broken))


def test_the_twenty_five_are_all_there() -> None:
    assert [pain.number for pain in PAINS if pain.number is not None] == list(range(1, 26))
    assert len({pain.was for pain in PAINS}) == len(PAINS)


@pytest.mark.parametrize("pain", PAINS, ids=lambda pain: f"{pain.number or ''} {pain.was[:50]}".strip())
def test_every_trouble_names_tests_that_run(pain: Pain, collected: Collected) -> None:
    assert pain.now if pain.tests else pain.waits_for
    for test in pain.tests:
        file, node = f"tests/{test.split('::')[0]}", f"tests/{test}"
        if file in collected.skipped:
            missing(f"{file} cannot run here: {collected.skipped[file]}")
        assert file not in collected.broken, collected.broken[file]
        assert node in collected.tests, f"{node} does not exist"
        assert collected.tests[node] == [], f"{node} is turned off"


def test_rows_wait_only_for_what_is_not_there_yet() -> None:
    waiting = [pain.waits_for for pain in PAINS if pain.waits_for]
    assert {what: waiting.count(what) for what in set(waiting)} == WAITING
    for what in WAITING:
        with pytest.raises((NotImplementedError, KafkaConfigError), match="not in this version yet"):
            NOT_YET[what]()


def test_the_page_of_old_troubles_is_what_the_table_says() -> None:
    text = (ROOT / "docs" / "pains.rst").read_text(encoding="utf-8")
    assert text == page(), "python -m tests.test_known_pains > docs/pains.rst"


if __name__ == "__main__":
    sys.stdout.write(page())
