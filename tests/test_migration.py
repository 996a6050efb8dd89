"""The guide for those who come from PyKafka 2.8 is complete, and what it claims is shown by tests that exist."""

from __future__ import annotations

import builtins
import re
from pathlib import Path

import pytest

from pykafka import config, exceptions

ROOT = Path(__file__).resolve().parent.parent
GUIDE = (ROOT / "docs" / "migration.rst").read_text(encoding="utf-8")
CHANGES = (ROOT / "CHANGES.rst").read_text(encoding="utf-8")

#: Number of what was changed on purpose -> words of its line in CHANGES.rst.
CHANGED = {
    1: "``stop()`` and leaving a ``with`` block\n  send what is queued at once",
    2: "``linger_ms`` is 5",
    3: "Looking up an offset by time gives the first one at or after it",
    4: "``start()`` and constructors raise what went wrong",
    5: "``compacted_topic`` has no effect",
    6: "``required_acks`` is -1",
    7: "``zookeeper_hosts`` without ``hosts`` raise",
    8: "``broker_version`` is accepted and ignored",
    9: "``use_rdkafka=True``",
    10: "TLS verifies the broker's host name",
    11: "Errors carry broker, API, topic, partition and code",
    12: "Without ``auto_commit_enable`` nothing is committed that you did not",
    13: "``consume()`` on a consumer that was never started raises",
    14: "At interpreter exit what is still queued is sent",
}


def section(title: str) -> str:
    """Return the text of one section of the guide."""
    (found,) = re.findall(rf"(?ms)^{re.escape(title)}\n-+\n(.*?)(?=^[^\n]+\n-{{3,}}\n|\Z)", GUIDE)
    return str(found)


def changes_on_purpose() -> dict[int, str]:
    """Return number -> text of the changes on purpose."""
    parts = re.split(r"(?m)^(\d+)\. ", section("Changed on purpose").split("\nBesides, ")[0])
    return {int(number): text for number, text in zip(parts[1::2], parts[2::2])}


def first_column(title: str) -> list[str]:
    """Return the cells of the first column of a section's table, without its head."""
    return [cell.replace("\n", " ") for cell in re.findall(r"(?ms)^    \* - (.*?)\n      - ", section(title))][1:]


def test_every_change_on_purpose_says_what_to_do_and_has_a_line_among_the_changes() -> None:
    items = changes_on_purpose()
    assert list(items) == list(CHANGED)
    for number, text in items.items():
        assert "shown by tests/" in text and "*Do:*" in text, number
        assert CHANGED[number] in CHANGES, number


@pytest.mark.parametrize("number", CHANGED)
def test_every_change_on_purpose_names_tests_that_exist(number: int) -> None:
    named = re.findall(r"(?m)^ +(?:shown by|and) (tests/[\w/]+\.py)::(\w+)$", changes_on_purpose()[number])
    assert named
    for path, name in named:
        assert re.search(rf"(?m)^def {name}\(", (ROOT / path).read_text(encoding="utf-8")), f"{path}::{name}"


def test_every_option_without_effect_is_in_the_table_of_arguments() -> None:
    cells = " ".join(first_column("Arguments"))
    tables = (config.CLIENT, config.PRODUCER, config.CONSUMER, config.MANAGED)
    options = [option for table in tables for option in table.values()]
    silent = [option.name for option in options if re.match("Accepted|Retired", option.doc)]
    assert len(silent) >= 7
    assert [name for name in silent if f"``{name}``" not in cells] == []


def test_the_table_of_arguments_names_only_what_there_is() -> None:
    known = {*config.CLIENT, *config.PRODUCER, *config.CONSUMER, *config.MANAGED, "max_offsets", "fetch_offset_limits"}
    known |= {"zookeeper", "zookeeper_connect", "zookeeper_connection_timeout_ms"}  # of balanced consumers
    named = re.findall(r"``(\w+)``", " ".join(first_column("Arguments")))
    assert [name for name in named if name not in known] == []


def test_every_error_that_is_named_can_be_imported() -> None:
    named = re.findall(r"``(\w+(?:Error|Exception|Failure|Timeout))``", GUIDE)
    assert len(set(named)) >= 15
    assert [name for name in named if not hasattr(exceptions, name) and not hasattr(builtins, name)] == []
