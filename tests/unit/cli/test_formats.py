"""Tables for people, JSON and CSV for programs, whatever names other people gave to their things."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from pykafka.cli.errors import one_line
from pykafka.cli.formats import Column, Fact, Report, counted, text, write

COLUMNS = [Column("topic", "Topic"), Column("lag", "Lag", True, thousands=True), Column("replicas", "Replicas", True)]
ROWS = [("clicks", 1234567, [1, 2]), ("1e5", 0, []), ("views", None, None)]


def shown(report: Report, form: str) -> str:
    out = io.StringIO()
    write(report, form, out)
    return out.getvalue()


def test_a_table_shows_names_as_they_are_thousands_and_a_dash_where_there_is_nothing() -> None:
    lines = [line.split() for line in shown(Report(COLUMNS, ROWS), "table").splitlines()]
    assert lines[0] == ["Topic", "Lag", "Replicas"]
    assert lines[2:] == [["clicks", "1,234,567", "[1,", "2]"], ["1e5", "0", "[]"], ["views", "-", "-"]]


def test_json_has_the_values_themselves() -> None:
    assert json.loads(shown(Report(COLUMNS, ROWS), "json")) == [
        {"topic": "clicks", "lag": 1234567, "replicas": [1, 2]},
        {"topic": "1e5", "lag": 0, "replicas": []},
        {"topic": "views", "lag": None, "replicas": None},
    ]


def test_csv_has_a_row_each_and_nothing_else() -> None:
    report = Report(COLUMNS, [*ROWS, ('a "b", c\nd', 1, [3])], before=[Fact("x", 1, "x: 1")], after=[Fact("y", 2, "y: 2")])
    assert list(csv.reader(io.StringIO(shown(report, "csv")))) == [
        ["topic", "lag", "replicas"],
        ["clicks", "1234567", "1 2"],
        ["1e5", "0", ""],
        ["views", "", ""],
        ['a "b", c\nd', "1", "3"],
    ]


def test_facts_are_lines_around_a_table_and_members_around_the_rows_in_json() -> None:
    report = Report(COLUMNS[:1], [("clicks",)], "topics", [Fact("cluster", "c", "Cluster: c")], [Fact("total", 1, "Total: 1.")])
    table = shown(report, "table").splitlines()
    assert (table[0], table[-1]) == ("Cluster: c", "Total: 1.")
    assert json.loads(shown(report, "json")) == {"cluster": "c", "topics": [{"topic": "clicks"}], "total": 1}


@pytest.mark.parametrize(
    ("form", "expected"),
    [("table", "Topic    Lag    Replicas\n-------  -----  ----------\n"), ("json", "[]\n"), ("csv", "topic,lag,replicas\n")],
)
def test_no_rows_are_still_a_report(form: str, expected: str) -> None:
    assert shown(Report(COLUMNS, []), form) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [(b"a", "a"), ("żółć", "żółć"), (b"\xff", "\N{REPLACEMENT CHARACTER}"), ("a\x1b[31m\nb", "a\\x1b[31m\\nb"), (None, "")],
)
def test_names_are_safe_to_print(name: Any, expected: str) -> None:
    assert text(name) == expected
    row = Report(COLUMNS[:1], [(name if isinstance(name, str) else text(name),)])
    assert "\x1b" not in shown(row, "table")


def test_one_of_a_thing_is_not_many() -> None:
    assert [counted(number, "topic") for number in (0, 1, 2, 1500)] == ["0 topics", "1 topic", "2 topics", "1,500 topics"]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("bad"), "bad"),
        (ValueError(""), "ValueError"),
        (ValueError("no host:\n  a: refused\n  b: silent\n"), "no host: a: refused; b: silent"),
        (ValueError("first\nsecond"), "first; second"),
    ],
)
def test_errors_are_said_in_one_line(error: Exception, line: str) -> None:
    assert one_line(error) == line
