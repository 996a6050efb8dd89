"""How throughput changes with partitions, brokers and producers: ``python -m benchmarks.growth [--quick] [SERIES ...]``.

There must be no cliff: the slowest point of a line is to be at least half as fast as the fastest.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import sys
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from benchmarks import report
from benchmarks.compare import BROKERS, run_one
from benchmarks.filling import delete_topic, fill, make_topic
from benchmarks.instant import instant_broker
from benchmarks.plan import OURS
from benchmarks.results import save, surroundings
from benchmarks.workloads.job import MARGIN, Job
from pykafka import KafkaClient
from tests.brokers import KafkaCluster

#: The least that the worst point may have of the best.
LEAST = 0.5
COUNTS = {"produce": 400000, "produce_shared": 400000, "consume_whole": 800000}


class Series(NamedTuple):
    """What grows, through which points, and what is measured at each of them."""

    points: list[int]
    kinds: list[str]


SERIES = {
    "partitions": Series([1, 4, 32, 256], ["produce", "consume_whole"]),
    "brokers": Series([1, 3], ["produce", "consume_whole"]),
    "producers": Series([1, 4, 16], ["produce_shared"]),
}
#: How many partitions there are where they are not what grows: as many for each of one and of three brokers.
PARTITIONS = 6

#: kind -> point -> rates of all rounds
Line = dict[str, dict[str, list[float]]]


@contextlib.contextmanager
def running(broker: str, nodes: int) -> Iterator[str]:
    """Yield the ``hosts`` of as many brokers of either kind."""
    if broker == "instant":
        with instant_broker(nodes) as hosts:
            yield hosts
    else:
        with KafkaCluster(nodes) as cluster:
            yield cluster.hosts


def measure(broker: str, name: str, rounds: int, part: float) -> Line:
    """Return the rates of one series against one kind of broker."""
    series = SERIES[name]
    found: Line = {kind: {str(point): [] for point in series.points} for kind in series.kinds}
    if name == "brokers":
        # one after the other: three more brokers would leave less of the machine to the one
        for point in series.points:
            with running(broker, point) as hosts:
                _measure_points(found, hosts, name, [point], rounds, part)
    else:
        with running(broker, 1) as hosts:
            _measure_points(found, hosts, name, series.points, rounds, part)
    return found


def _measure_points(found: Line, hosts: str, name: str, points: list[int], rounds: int, part: float) -> None:
    counts = {kind: int(count * part) for kind, count in COUNTS.items()}
    with KafkaClient(hosts) as client:
        for point in points:
            if "consume_whole" in found:
                partitions = point if name == "partitions" else PARTITIONS
                fill(client, hosts, "equal", counts["consume_whole"] + MARGIN, partitions, f"kept-{point}")
        for number in range(rounds):
            for kind in found:
                for point in points:
                    producers = point if name == "producers" else 1
                    job = Job(kind, hosts, f"kept-{point}", counts[kind], producers=producers)
                    if kind != "consume_whole":
                        job = job._replace(topic=f"{kind}-{point}-{number}")
                        make_topic(client, job.topic, point if name == "partitions" else PARTITIONS)
                    found[kind][str(point)].append(run_one(OURS, job)["rate"])
                    if kind != "consume_whole":
                        delete_topic(client, job.topic)


def rows(figures: dict[str, dict[str, Line]]) -> list[list[str]]:
    """Return a row for each line: the median at each point, and how much of the best the worst is."""
    shown = []
    for broker, lines in figures.items():
        for name, kinds in lines.items():
            for kind, points in kinds.items():
                medians = {point: statistics.median(rates) for point, rates in points.items()}
                part = min(medians.values()) / max(medians.values())
                values = ", ".join(f"{point}: {rate:,.0f}" for point, rate in medians.items())
                shown.append([name, kind, broker, values, f"{part:.0%} {report.verdict(part, LEAST, True)}"])
    return shown


def table(figures: dict[str, dict[str, Line]]) -> report.Table:
    """Return the table to show."""
    headers = ["grows", "", "broker", "messages/s", "worst of best"]
    return report.Table("Messages a second as something grows", headers, rows(figures))


def main() -> int:
    """Measure, print, and return 1 where there is a cliff."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("series", nargs="*", metavar="series", help=f"some of {', '.join(SERIES)}; all by default")
    parser.add_argument("--broker", choices=[*BROKERS, "both"], default="both")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--save", action="store_true", help="write benchmarks/figures/growth.json and growth.md")
    options = parser.parse_args()
    unknown = set(options.series) - set(SERIES)
    if unknown:
        parser.error(f"unknown series: {', '.join(sorted(unknown))}")
    rounds = options.rounds or (1 if options.quick else 3)
    around = surroundings()
    figures: dict[str, dict[str, Line]] = {}
    for broker in BROKERS:
        if options.broker in (broker, "both"):
            for name in options.series or SERIES:
                began = time.monotonic()
                figures.setdefault(broker, {})[name] = measure(broker, name, rounds, 0.5 if options.quick else 1.0)
                print(f"{broker}: {name} took {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)
    shown = table(figures)
    results: dict[str, Any] = {**around, "load_after": os.getloadavg()[0], "rounds": rounds, "figures": figures}
    print(report.table_text(shown))
    if options.save:
        save("growth", results, f"`{results['command']}`: {report.origin(results)}\n\n{report.table_markdown(shown)}")
    return 1 if any(report.MISSED in cell for row in shown.rows for cell in row) else 0


if __name__ == "__main__":
    sys.exit(main())
