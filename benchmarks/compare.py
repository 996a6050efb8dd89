"""Compares this client with the others against one real broker, in turn, in fresh processes, and prints ratios.

``make bench`` runs it. Machines are noisy, so only ratios between runs of the same round count; the median is shown with
the lowest and the highest. ``--quick`` takes fewer messages and rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tabulate import tabulate

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.workloads import CLASSES, CLIENTS, MODULES  # noqa: E402  # found through the path above
from pykafka import KafkaClient  # noqa: E402  # likewise
from pykafka.broker import CreateTopicRequest  # noqa: E402  # likewise
from tests.brokers import KafkaCluster  # noqa: E402  # likewise

PARTITIONS = 4
IMPORT_TRIES = 5
#: workload -> (messages, unit, whether more is better)
WORKLOADS = {
    "produce": (300000, "rate", True),
    "produce_callback": (200000, "rate", True),
    "produce_keyed": (200000, "rate", True),
    "produce_1kb": (60000, "rate", True),
    "consume_batches": (300000, "rate", True),
    "consume_one": (300000, "rate", True),
    "latency": (0, "p50_us", False),
    "memory": (100000, "bytes", False),
    "import": (0, "ms", False),
    "import_classes": (0, "ms", False),
}
#: The slow ones get fewer messages: rates are compared, not times.
SHARE = {"kafka-python": 0.2, "aiokafka": 0.4}
#: workload -> the most that our own figure may be
LIMITS = {"import": 40.0}
#: What the workloads about importing run.
IMPORTS = {"import": "import {module}", "import_classes": "from {module} import {classes}"}
#: (workload, rival) -> the least ratio we promise ourselves
GOALS = {
    ("produce", "kafka-python"): 8.0,
    ("produce", "aiokafka"): 3.0,
    ("consume_one", "kafka-python"): 4.0,
    ("consume_batches", "kafka-python"): 4.0,
    ("latency", "kafka-python"): 2.0,
}
#: workload -> client -> what each round measured
Figures = dict[str, dict[str, list[dict[str, float]]]]


def run_one(client: str, workload: str, hosts: str, topic: str, count: int) -> dict[str, float]:
    """Return what one fresh process measured."""
    # without its cached bytecode a program pays for compiling, which is not what is measured
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPATH"] = str(ROOT)
    if workload in IMPORTS:
        return {"ms": import_ms(IMPORTS[workload].format(module=MODULES[client], classes=CLASSES[client]), environment)}
    command = [sys.executable, str(ROOT / "benchmarks" / "workloads.py"), client, workload, hosts, topic, str(count)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600, check=False)
    if done.returncode or not done.stdout.strip():
        raise RuntimeError(f"{client} {workload} failed:\n{done.stderr[-3000:]}")
    result: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def import_ms(statement: str, environment: dict[str, str]) -> float:
    """Return how much more processor time an interpreter takes when it runs an import statement, in milliseconds.

    Importing waits for nothing, and unlike the clock on the wall this does not count what else the machine does.
    """

    def spent(code: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code], check=True, env=environment)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000

    spent(statement)  # writes the bytecode
    bare, loaded = zip(*[(spent("pass"), spent(statement)) for _ in range(IMPORT_TRIES)])
    return min(loaded) - min(bare)


def make_topic(client: KafkaClient, name: str, filled: int = 0) -> None:
    """Create a topic, with ``filled`` messages in it."""
    broker = client.cluster.controller_broker
    assert broker is not None
    broker.create_topics([CreateTopicRequest(name, PARTITIONS, 1)])
    while name not in client.topics:
        time.sleep(0.1)
    if filled:
        with client.topics[name].get_producer() as producer:
            producer.produce_many([os.urandom(100) for _ in range(filled)])


def measure(options: argparse.Namespace) -> Figures:
    """Return workload -> client -> what was measured, one a round."""
    found: Figures = {}
    with KafkaCluster() as cluster, KafkaClient(cluster.hosts) as client:
        make_topic(client, "filled", WORKLOADS["consume_one"][0])
        for workload in options.workloads:
            count = WORKLOADS[workload][0]
            count = count // 4 if options.quick and workload != "memory" else count
            rows = found[workload] = {name: [] for name in options.clients}
            for number in range(options.rounds):
                for name in options.clients:
                    topic = "filled" if workload.startswith("consume") else f"{workload}-{name}-{number}"
                    own_topic = topic != "filled" and workload not in IMPORTS
                    if own_topic:
                        make_topic(client, topic)
                    share = 1.0 if workload == "memory" else SHARE.get(name, 1.0)
                    result = run_one(name, workload, cluster.hosts, topic, max(int(count * share), 1))
                    rows[name].append(result)
                    if own_topic:
                        broker = client.cluster.controller_broker
                        assert broker is not None
                        broker.delete_topics([topic])
            print(f"{workload}: done", file=sys.stderr, flush=True)
    return found


def ratios(unit: str, more_is_better: bool, ours: list[dict[str, float]], theirs: list[dict[str, float]]) -> list[float]:
    """Return how many times better ours is, round by round."""
    pairs = [(our[unit], their[unit]) for our, their in zip(ours, theirs)]
    return [our / their if more_is_better else their / our for our, their in pairs]


def middle(rounds: list[dict[str, float]], unit: str) -> float:
    """Return the median of one figure."""
    return statistics.median(one[unit] for one in rounds)


def table(found: Figures) -> list[list[Any]]:
    """Return the rows to show."""
    rows = []
    for workload, clients in found.items():
        _count, unit, more_is_better = WORKLOADS[workload]
        ours = clients.get("pykafka", [])
        row: list[Any] = [workload, _own(workload, ours, unit)]
        for name in [name for name in clients if name != "pykafka"]:
            some = ratios(unit, more_is_better, ours, clients[name])
            goal = GOALS.get((workload, name))
            verdict = "" if goal is None else f" (goal {goal:g}: {_verdict(statistics.median(some) >= goal)})"
            row.append(f"{statistics.median(some):.2f}x [{min(some):.2f}-{max(some):.2f}]{verdict}")
        rows.append(row)
    return rows


def _own(workload: str, ours: list[dict[str, float]], unit: str) -> str:
    figure = middle(ours, unit)
    limit = LIMITS.get(workload)
    return f"{figure:,.0f} {unit}" + ("" if limit is None else f" (at most {limit:g}: {_verdict(figure <= limit)})")


def _verdict(met: bool) -> str:
    return "met" if met else "MISSED"


def processor_table(found: Figures) -> list[list[Any]]:
    """Return the rows about processor time: a client that is fast by keeping two processors busy shows here."""
    measured = {workload: clients for workload, clients in found.items() if "cpu_us" in next(iter(clients.values()))[0]}
    return [[workload, *(middle(rounds, "cpu_us") for rounds in clients.values())] for workload, clients in measured.items()]


def main() -> int:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workloads", nargs="*", metavar="workload", help=f"some of {', '.join(WORKLOADS)}; all by default")
    parser.add_argument("--clients", nargs="+", default=list(CLIENTS), choices=list(CLIENTS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    options.workloads = options.workloads or list(WORKLOADS)
    unknown = set(options.workloads) - set(WORKLOADS)
    if unknown:
        parser.error(f"unknown workloads: {', '.join(sorted(unknown))}")
    # every ratio is one of ours to theirs
    options.clients = ["pykafka", *(name for name in options.clients if name != "pykafka")]
    found = measure(options)
    rivals = [name for name in options.clients if name != "pykafka"]
    print(f"\nTimes better than the others, median [lowest-highest] of {options.rounds} interleaved rounds, same broker:\n")
    print(tabulate(table(found), headers=["100 B unless said", "pykafka", *(f"vs {name}" for name in rivals)]))
    print("\nProcessor time in microseconds per message, all threads of a client together:\n")
    print(tabulate(processor_table(found), headers=["100 B unless said", *options.clients], floatfmt=".2f"))
    missed = any("MISSED" in str(cell) for row in table(found) for cell in row)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
