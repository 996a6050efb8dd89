"""How rows are printed: as a table for people, or as JSON or CSV for programs."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TextIO, Union

from tabulate import tabulate

#: What stands in a table where there is no value.
NOTHING = "-"


class Column(NamedTuple):
    """One column: its name for programs and for people, and whether it holds numbers (and shows thousands)."""

    key: str
    title: str
    number: bool = False
    thousands: bool = False


class Fact(NamedTuple):
    """One thing to say about all rows: its name for programs, its value, and the line for people."""

    key: str
    value: Any
    line: str


@dataclass
class Report:
    """What a command found. Programs that read CSV get the rows alone; JSON has ``facts`` around them, if there are any."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Any]]
    #: what the list of rows is called in JSON
    rows_key: str = "rows"
    before: list[Fact] = field(default_factory=list)
    after: list[Fact] = field(default_factory=list)


def text(name: Union[str, bytes, None]) -> str:
    """Return a name as text that is safe to print; bytes that are no UTF-8 are replaced."""
    plain = "" if name is None else name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in plain)


def counted(number: int, noun: str) -> str:
    """Return ``1 message`` or ``2 messages``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def write(report: Report, form: str, out: TextIO) -> None:
    """Print ``report`` as ``form``: table, json or csv."""
    {"table": _write_table, "json": _write_json, "csv": _write_csv}[form](report, out)


def _write_table(report: Report, out: TextIO) -> None:
    for fact in report.before:
        print(fact.line, file=out)
    cells = [[_cell(column, value) for column, value in zip(report.columns, row)] for row in report.rows]
    titles = [column.title for column in report.columns]
    # a topic may be called 1e5: tabulate must not take names for numbers
    aligned = ["center" if column.number else "left" for column in report.columns] if cells else None
    print(tabulate(cells, headers=titles, tablefmt="simple", disable_numparse=True, colalign=aligned), file=out)
    for fact in report.after:
        print(fact.line, file=out)


def _cell(column: Column, value: Any) -> str:
    if value is None or value == "":
        return NOTHING
    if isinstance(value, (list, tuple)):
        return str(list(value))
    return f"{value:,}" if column.thousands else text(str(value))


def _write_json(report: Report, out: TextIO) -> None:
    rows = [dict(zip((column.key for column in report.columns), row)) for row in report.rows]
    facts = [*report.before, *report.after]
    whole: Any = rows
    if facts:
        whole = {fact.key: fact.value for fact in report.before}
        whole[report.rows_key] = rows
        whole.update({fact.key: fact.value for fact in report.after})
    json.dump(whole, out, indent=2)
    out.write("\n")


def _write_csv(report: Report, out: TextIO) -> None:
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([column.key for column in report.columns])
    writer.writerows([_plain(value) for value in row] for row in report.rows)


def _plain(value: Any) -> Any:
    if value is None:
        return ""
    return " ".join(str(item) for item in value) if isinstance(value, (list, tuple)) else value
