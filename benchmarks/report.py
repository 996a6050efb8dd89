"""What the figures come to: ratios, verdicts and tables, as text, Markdown and reStructuredText."""

from __future__ import annotations

import statistics
from typing import Any, NamedTuple, Optional

from tabulate import tabulate

from benchmarks.plan import OURS, WORKLOADS, Bar, Workload, bar_of
from benchmarks.results import Figures

BROKER_TITLES = {
    "real": "A real Kafka node on the same machine",
    "instant": "A broker that answers at once, where the client is the only limit",
}
MISSED = "MISSED"


class Table(NamedTuple):
    """Something to show."""

    title: str
    headers: list[str]
    rows: list[list[str]]


def ratios(ours: list[dict[str, float]], theirs: list[dict[str, float]], unit: str) -> list[float]:
    """Return ours as a multiple of theirs, round by round; of processor time theirs of ours: messages per second of it."""
    pairs = [(our[unit], their[unit]) for our, their in zip(ours, theirs)]
    return [their / our if unit == "cpu_us" else our / their for our, their in pairs]


def middle(rounds: list[dict[str, float]], unit: str) -> float:
    """Return the median of one figure."""
    return statistics.median(one[unit] for one in rounds)


def verdict(ratio: float, bar: float, more_is_better: bool) -> str:
    """Return how a ratio compares with its bar."""
    met = ratio >= bar if more_is_better else ratio <= bar
    return f"{'met' if met else MISSED} ({'>=' if more_is_better else '<='} {bar:g})"


def cell(workload: Workload, bar: Optional[Bar], ours: list[dict[str, float]], theirs: list[dict[str, float]]) -> str:
    """Return the ratio to one rival: median, lowest and highest, and what that makes of the bar."""
    if not ours or len(theirs) < len(ours):
        return "failed"
    shown = _judged(ratios(ours, theirs, workload.unit), bar and bar.wall, workload.more_is_better)
    if bar is None or bar.cpu is None:
        return shown
    return f"{shown}; per CPU second {_judged(ratios(ours, theirs, 'cpu_us'), bar.cpu, True)}"


def _judged(some: list[float], bar: Optional[float], more_is_better: bool) -> str:
    median = statistics.median(some)
    shown = f"{median:.2f}x [{min(some):.2f}-{max(some):.2f}]"
    return shown if bar is None else f"{shown} {verdict(median, bar, more_is_better)}"


def ratio_table(figures: Figures, title: str) -> Table:
    """Return how ours compares with each rival at each workload."""
    rivals = _rivals(figures)
    rows = []
    for name, clients in figures.items():
        workload, ours = WORKLOADS[name], clients[OURS]
        own = f"{middle(ours, workload.unit):,.0f} {'/s' if workload.more_is_better else 'us'}"
        rows.append(
            [workload.title, own, *(cell(workload, bar_of(name, rival), ours, clients.get(rival, [])) for rival in rivals)]
        )
    return Table(title, ["100 B unless said", OURS, *(f"to {rival}" for rival in rivals)], rows)


def processor_table(figures: Figures, title: str) -> Table:
    """Return processor time for each message: a client that is fast by keeping two processors busy shows here."""
    clients = [OURS, *_rivals(figures)]
    rows = [
        [WORKLOADS[name].title, *(_processor_time(measured[client]) for client in clients)]
        for name, measured in figures.items()
        if WORKLOADS[name].more_is_better
    ]
    return Table(title, ["us a message, all threads", *clients], rows)


def _processor_time(rounds: list[dict[str, float]]) -> str:
    return f"{middle(rounds, 'cpu_us'):.2f}" if rounds else "failed"


def _rivals(figures: Figures) -> list[str]:
    return [name for name in next(iter(figures.values()), {}) if name != OURS]


def original_table(figures: Figures) -> Table:
    """Return how ours compares with PyKafka 2.8."""
    from benchmarks.original import BARS, ORIGINAL

    rows = []
    for name, clients in figures.items():
        workload, bar = BARS[name]
        ours = clients[OURS]
        own = f"{middle(ours, workload.unit):,.0f} {'/s' if workload.more_is_better else 'us'}"
        rows.append([workload.title, own, cell(workload, bar, ours, clients[ORIGINAL])])
    return Table("PyKafka 2.8.0 (Python 3.8) and ours, both on Kafka 1.1.1", ["100 B", OURS, f"to {ORIGINAL}"], rows)


def tables(results: dict[str, Any]) -> list[Table]:
    """Return everything that is to be shown of a comparison."""
    found = []
    for broker, figures in results["figures"].items():
        if broker == "original":
            found.append(original_table(figures))
        else:
            title = BROKER_TITLES[broker]
            found.append(ratio_table(figures, title))
            found.append(processor_table(figures, f"Processor time, {title[0].lower()}{title[1:]}"))
    return found


def missed(results: dict[str, Any]) -> list[str]:
    """Return every bar that is missed, by workload and client."""
    found = []
    for table in tables(results):
        for row in table.rows:
            for header, shown in zip(table.headers[1:], row[1:]):
                if MISSED in shown:
                    found.append(f"{row[0]}, {header}: {shown}")
    return found


def summary(results: dict[str, Any]) -> str:
    """Return how many bars are met, and how the figures came about."""
    shown = [cell for table in tables(results) for row in table.rows for cell in row]
    lost, met = sum(cell.count(MISSED) for cell in shown), sum(cell.count("met (") for cell in shown)
    return (
        f"{met} of {met + lost} bars met, {lost} missed; medians [lowest-highest] of {results['rounds']} interleaved rounds of"
        f" fresh processes. {origin(results)}"
    )


def origin(results: dict[str, Any]) -> str:
    """Return how the figures came about, in one paragraph."""
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    return (
        f"Measured on {results['date']} with Python {results['python']} ({versions}) on {results['machine']}."
        f" The load of the machine was {results['load_before']:.1f} before and {results['load_after']:.1f} after."
    )


def text(results: dict[str, Any]) -> str:
    """Return the tables for a terminal."""
    return "\n".join(["", *map(table_text, tables(results)), summary(results)])


def markdown(results: dict[str, Any]) -> str:
    """Return the tables as Markdown."""
    shown = map(table_markdown, tables(results))
    return "\n".join(["# Compared with the others", "", f"`{results['command']}`: {summary(results)}", "", *shown])


def table_text(table: Table) -> str:
    """Return one table for a terminal."""
    return f"{table.title}:\n\n{tabulate(table.rows, table.headers, disable_numparse=True)}\n"


def table_markdown(table: Table) -> str:
    """Return one table as Markdown."""
    return f"## {table.title}\n\n{tabulate(table.rows, table.headers, tablefmt='github', disable_numparse=True)}\n"


def table_rst(table: Table) -> str:
    """Return one table as reStructuredText, each row with its cells below each other: they are long."""
    lines = [f".. list-table:: {table.title}", "    :header-rows: 1", ""]
    for row in [table.headers, *table.rows]:
        lines += [f"    {'*' if not number else ' '} - {cell}".rstrip() for number, cell in enumerate(row)]
    return "\n".join([*lines, ""])
