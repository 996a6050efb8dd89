"""Compares this client with the others, in turn, in fresh processes, and prints ratios: ``make bench``.

Against a real broker, and against one that answers at once, where the client is the only limit. Machines are noisy, so only
ratios between runs of the same round count; the median is shown with the lowest and the highest. ``--quick`` takes fewer
messages and rounds; ``--original`` compares with PyKafka 2.8 instead.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import original, report
from benchmarks.filling import delete_topic, fill, make_topic, name_of
from benchmarks.instant import instant_broker
from benchmarks.plan import CLIENTS, OURS, WORKLOADS, count_for
from benchmarks.results import Figures, save, surroundings
from benchmarks.workloads.job import MARGIN, Job
from pykafka import KafkaClient
from tests.brokers import KafkaCluster

ROOT = Path(__file__).resolve().parent.parent
BROKERS = ("real", "instant")
QUICK_ROUNDS, QUICK_PART = 1, 0.5
#: What a quick run leaves out: what is like something else in it.
NOT_QUICK = {"produce_waited", "produce_zstd", "produce_snappy", "produce_gzip", "consume_zstd", "consume_snappy", "consume_gzip"}
#: The longest that one job may take: something is wrong with it then.
PATIENCE_S = 120


def run_one(client: str, job: Job) -> Any:
    """Return what one fresh process measured."""
    command = [sys.executable, "-m", "benchmarks.workloads", client, json.dumps(job._asdict())]
    return printed(command, f"{client} {job.kind}")


def printed(command: list[str], what: str, patience_s: float = PATIENCE_S) -> Any:
    """Return the JSON that a fresh process prints at last.

    :raises RuntimeError: when it fails, with what it said, or takes too long
    """
    environment = fresh_environment()
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, timeout=patience_s, check=False)
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"{what} was not done within {patience_s} s") from error
    if done.returncode or not done.stdout.strip():
        raise RuntimeError(f"{what} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def fresh_environment() -> dict[str, str]:
    """Return the environment of a process that measures something."""
    # without its cached bytecode a program pays for compiling, which is not what is measured
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    return {**environment, "PYTHONPATH": str(ROOT)}


@contextlib.contextmanager
def running(broker: str) -> Iterator[str]:
    """Yield the ``hosts`` of a broker of either kind."""
    if broker == "instant":
        with instant_broker() as hosts:
            yield hosts
    else:
        with KafkaCluster() as cluster:
            yield cluster.hosts


def measure(broker: str, options: argparse.Namespace) -> Figures:
    """Return workload -> client -> what was measured, one a round."""
    chosen = [name for name in options.workloads if broker == "real" or WORKLOADS[name].instant]
    found: Figures = {workload: {name: [] for name in options.clients} for workload in chosen}
    with running(broker) as hosts, KafkaClient(hosts) as client:
        for filled, count in needed(chosen, options.part).items():
            fill(client, hosts, filled, count)
        for workload in chosen:
            began = time.monotonic()
            for number in range(options.rounds):
                _one_round(client, hosts, workload, found[workload], number, options.part)
            print(f"{broker}: {workload} took {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)
    return found


def needed(workloads: list[str], part: float) -> dict[str, int]:
    """Return how many messages each filled topic has to have."""
    counts: dict[str, int] = {}
    for workload in workloads:
        filled = WORKLOADS[workload].filled
        if filled is not None:
            most = max(count_for(workload, name, part) for name in CLIENTS)
            # the first ones are not measured
            counts[filled] = max(counts.get(filled, 0), most + MARGIN)
    return counts


def _one_round(
    client: KafkaClient, hosts: str, workload: str, found: dict[str, list[dict[str, float]]], number: int, part: float
) -> None:
    """Add a figure of each client, in turn; a rival that cannot do it is left out from then on, and nothing else is lost."""
    for name in found:
        if len(found[name]) < number:
            continue
        try:
            found[name].append(_one(client, hosts, workload, name, number, part))
        except RuntimeError as error:
            if name == OURS:
                raise
            print(f"{name} is left out of {workload}: {error}", file=sys.stderr, flush=True)


def _one(client: KafkaClient, hosts: str, workload: str, name: str, number: int, part: float) -> dict[str, float]:
    chosen = WORKLOADS[workload]
    run = f"{workload}-{name}-{number}"
    topic = run if chosen.filled is None else name_of(chosen.filled)
    job = Job(chosen.kind, hosts, topic, count_for(workload, name, part), group=run, **chosen.options)
    if chosen.filled is not None:
        return run_one(name, job)
    make_topic(client, topic)
    try:
        return run_one(name, job)
    finally:
        delete_topic(client, topic)


def arguments() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    parser.add_argument("workloads", nargs="*", metavar="workload", help=f"some of {', '.join(WORKLOADS)}; all by default")
    parser.add_argument("--clients", nargs="+", default=list(CLIENTS), choices=list(CLIENTS))
    parser.add_argument("--broker", choices=[*BROKERS, "both"], default="both")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--original", action="store_true", help="compare with PyKafka 2.8 on Kafka 1.1 instead")
    parser.add_argument("--save", metavar="NAME", help="write the results to benchmarks/results/NAME.json and NAME.md")
    options = parser.parse_args()
    options.rounds = options.rounds or (QUICK_ROUNDS if options.quick else 5)
    options.part = QUICK_PART if options.quick else 1.0
    options.workloads = options.workloads or [name for name in WORKLOADS if not options.quick or name not in NOT_QUICK]
    unknown = set(options.workloads) - set(WORKLOADS)
    if unknown:
        parser.error(f"unknown workloads: {', '.join(sorted(unknown))}")
    # every ratio is one of ours to theirs
    options.clients = [OURS, *(name for name in options.clients if name != OURS)]
    return options


def main() -> int:
    """Run the comparison, print it, and return 1 when a bar is missed."""
    options = arguments()
    around = surroundings()
    found: dict[str, Any]
    if options.original:
        found = {"original": original.measure(options.rounds, options.part)}
    else:
        found = {broker: measure(broker, options) for broker in BROKERS if options.broker in (broker, "both")}
    results = {**around, "load_after": os.getloadavg()[0], "rounds": options.rounds, "figures": found}
    print(report.text(results))
    if options.save:
        save(options.save, results, report.markdown(results))
    return 1 if report.missed(results) else 0


if __name__ == "__main__":
    sys.exit(main())
