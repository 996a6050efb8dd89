"""What this client costs besides time: prints every figure next to its bar: ``python -m benchmarks.cost [--quick] [FIGURE ...]``.

Importing, memory, processor time while there is nothing to do, very many partitions, and the price of having no wheels.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from typing import Any, Callable, NamedTuple, Optional

from benchmarks import report
from benchmarks.compare import fresh_environment, printed, run_one
from benchmarks.filling import fill, make_topic
from benchmarks.instant import instant_broker
from benchmarks.plan import CLIENTS, OURS
from benchmarks.results import save, surroundings
from benchmarks.workloads.job import Job
from pykafka import KafkaClient
from tests.brokers import KafkaCluster

IMPORT_TRIES = 5
VERY_MANY = 10000
QUEUED = 100000
ROUNDS = 3


class Scale(NamedTuple):
    """How much of everything there is."""

    idle_s: float = 20.0
    millions: float = 10.0
    produced: int = 300000


QUICK = Scale(idle_s=5.0, millions=1.0, produced=100000)


class Figure(NamedTuple):
    """What was measured, and what it may be at most (or has to be at least)."""

    name: str
    value: float
    unit: str
    bar: Optional[float] = None
    more_is_better: bool = False
    remark: str = ""

    @property
    def row(self) -> list[str]:
        """Return what is shown of it."""
        judged = "" if self.bar is None else report.verdict(self.value, self.bar, self.more_is_better)
        return [self.name, f"{self.value:,.2f} {self.unit}", judged, self.remark]


def importing(scale: Scale) -> list[Figure]:
    """Measure what importing takes over what the interpreter takes by itself."""
    figures = []
    for name, client in CLIENTS.items():
        bar = 40.0 if name == OURS else None
        for what, statement in (
            (f"import {client.module}", f"import {client.module}"),
            (f"from {client.module} import {client.classes}", f"from {client.module} import {client.classes}"),
        ):
            figures.append(Figure(what, import_ms(statement), "ms", bar))
    return figures


def import_ms(statement: str) -> float:
    """Return how much more processor time an interpreter takes when it runs an import statement, in milliseconds.

    Importing waits for nothing, and unlike the clock on the wall this does not count what else the machine does.
    """

    def spent(code: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code], check=True, env=fresh_environment())
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000

    spent(statement)  # writes the bytecode
    bare, loaded = zip(*[(spent("pass"), spent(statement)) for _ in range(IMPORT_TRIES)])
    return min(loaded) - min(bare)


def queueing(scale: Scale) -> list[Figure]:
    """Measure the memory that a queued message takes above its value."""
    figures = []
    with instant_broker() as hosts:
        for name in CLIENTS:
            taken = run_one(name, Job("memory", hosts, f"memory-{name}", QUEUED))["bytes"]
            figures.append(Figure(f"a queued message above its value, {name}", taken, "bytes", 250.0 if name == OURS else None))
    return figures


def idling(scale: Scale) -> list[Figure]:
    """Measure what a client takes that has nothing to do."""
    with KafkaCluster() as cluster, KafkaClient(cluster.hosts) as client:
        make_topic(client, "idle")
        percent = run_job("idle", cluster.hosts, "idle", scale.idle_s)["percent"]
    return [Figure("an idle client with a producer and a consumer", percent, "% of a core", 0.5)]


def many_partitions(scale: Scale) -> list[Figure]:
    """Measure what a topic of very many partitions takes."""
    # a real broker on this machine runs out of files and memory
    with instant_broker() as hosts, KafkaClient(hosts) as client:
        make_topic(client, "huge", VERY_MANY)
        found = run_job("partitions", hosts, "huge", scale.idle_s)
    return [
        Figure(f"to start on a topic of {VERY_MANY:,} partitions", found["start_cpu_s"], "s of processor time", 1.0),
        Figure(f"to fetch nothing of {VERY_MANY:,} partitions", found["percent"], "% of a core", 5.0),
    ]


def no_wheel(scale: Scale) -> list[Figure]:
    """Measure producing without any wheel for the checksum against kafka-python with and without one."""
    cases = {
        "with it": (Job("produce", "", "", scale.produced // 10), "kafka-python"),
        "without it, too": (Job("produce", "", "", scale.produced // 10, wheels=False), "kafka-python"),
    }
    ours = Job("produce", "", "", scale.produced, wheels=False)
    found: dict[str, list[float]] = {case: [] for case in cases}
    with instant_broker() as hosts:
        for number in range(ROUNDS):
            rate = run_one(OURS, ours._replace(hosts=hosts, topic=f"ours-{number}"))["rate"]
            for case, (job, name) in cases.items():
                theirs = run_one(name, job._replace(hosts=hosts, topic=f"theirs-{number}"))["rate"]
                found[case].append(rate / theirs)
    return [
        Figure(f"produce() without the crc32c wheel, to kafka-python {case}", sorted(some)[ROUNDS // 2], "x", 5.0, True)
        for case, some in found.items()
    ]


def reading(scale: Scale) -> list[Figure]:
    """Measure how memory grows while a consumer reads."""
    with instant_broker() as hosts, KafkaClient(hosts) as client:
        topic = fill(client, hosts, "mixed", 200000)
        samples = run_job("memory", hosts, topic, scale.millions)["samples"]
    remark = f"{samples[-1][1] / 2**20:.0f} MiB in the end"
    name = f"memory that a million messages consumed leave behind, of {scale.millions:g} million"
    return [Figure(name, slope_mib_per_million(samples), "MiB", 1.0, remark=remark)]


def slope_mib_per_million(samples: list[list[float]]) -> float:
    """Return by how many MiB a million messages more make the process larger: the line that fits the samples best."""
    counts, sizes = zip(*samples)
    mean_count, mean_size = sum(counts) / len(counts), sum(sizes) / len(sizes)
    up = sum((count - mean_count) * (size - mean_size) for count, size in zip(counts, sizes))
    across = sum((count - mean_count) ** 2 for count in counts)
    return up / across / 2**20 * 1e6


def run_job(name: str, hosts: str, topic: str, amount: float) -> Any:
    """Return what a fresh process measured."""
    return printed([sys.executable, "-m", "benchmarks.cost_jobs", name, hosts, topic, str(amount)], name, 600)


FIGURES: dict[str, Callable[[Scale], list[Figure]]] = {
    "import": importing,
    "queue": queueing,
    "idle": idling,
    "partitions": many_partitions,
    "no-wheel": no_wheel,
    "memory": reading,
}


def table(rows: list[list[str]]) -> report.Table:
    """Return the figures as they are shown."""
    return report.Table("What it costs", ["", "measured", "bar", ""], rows)


def main() -> int:
    """Measure, print, and return 1 when a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cost", description=__doc__)
    parser.add_argument("figures", nargs="*", metavar="figure", help=f"some of {', '.join(FIGURES)}; all by default")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--save", action="store_true", help="write benchmarks/figures/cost.json and cost.md")
    options = parser.parse_args()
    unknown = set(options.figures) - set(FIGURES)
    if unknown:
        parser.error(f"unknown figures: {', '.join(sorted(unknown))}")
    results = surroundings()
    rows = []
    for name in options.figures or FIGURES:
        began = time.monotonic()
        rows += [figure.row for figure in FIGURES[name](QUICK if options.quick else Scale())]
        print(f"{name} took {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)
    results = {**results, "load_after": os.getloadavg()[0], "rows": rows}
    print(report.table_text(table(rows)))
    if options.save:
        save("cost", results, f"`{results['command']}`: {report.origin(results)}\n\n{report.table_markdown(table(rows))}")
    return 1 if any(report.MISSED in cell for row in rows for cell in row) else 0


if __name__ == "__main__":
    sys.exit(main())
