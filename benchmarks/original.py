"""Compares this client with PyKafka 2.8.0, on Kafka 1.1.1 and Python 3.8: what it was made for, and nothing newer works."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.filling import delete_topic, fill, make_topic
from benchmarks.plan import OURS, P50, Bar, Workload
from benchmarks.results import Figures
from benchmarks.workloads.job import MARGIN, Job
from pykafka import KafkaClient
from tests.brokers import KafkaCluster

ORIGINAL = "pykafka 2.8.0"
BROKER_VERSION = "1.1.1"
ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "benchmarks" / "original_workloads.py"
#: Where it is installed, once.
HOME = ROOT / ".venv" / "original"
#: It gets fewer messages: rates are compared, not times.
SHARE = 0.1
#: Workload -> what it is, and what the ratio of ours to the original's has to be.
BARS: dict[str, tuple[Workload, Bar]] = {
    "produce": (Workload("produce()", "produce", 400000, (None, None, None)), Bar(12)),
    "consume_one": (Workload("for message in consumer", "consume_one", 600000, (None, None, None), filled="equal"), Bar(10)),
    "latency": (Workload("sync produce(), p50", "latency", 1, (None, None, None), unit=P50), Bar(0.1)),
}


def python() -> str:
    """Return the interpreter that has PyKafka 2.8.0, which is installed first where it is not.

    :raises RuntimeError: when there is no Python 3.8, on which alone it still works
    """
    own = HOME / "bin" / "python"
    if not own.exists():
        pyenv = [str(path) for path in Path.home().glob(".pyenv/versions/3.8.*/bin/python")]
        # pyenv's before what is on the path, which may be a shim of it that runs nothing
        base = next((one for one in (os.environ.get("PYTHON38"), *pyenv, shutil.which("python3.8")) if one), None)
        if base is None:
            raise RuntimeError("PyKafka 2.8 needs Python 3.8: install it (pyenv install 3.8) or name it in PYTHON38")
        subprocess.run([base, "-m", "venv", str(HOME)], check=True)
        pip = [str(own), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "pykafka==2.8.0"], check=True, stderr=subprocess.DEVNULL)
    return str(own)


def measure(rounds: int, part: float) -> Figures:
    """Return workload -> client -> what was measured, one a round."""
    from benchmarks.compare import run_one  # which imports this module

    interpreter = python()
    found: Figures = {name: {OURS: [], ORIGINAL: []} for name in BARS}
    with KafkaCluster(version=BROKER_VERSION) as cluster, KafkaClient(cluster.hosts) as client:
        most = int(BARS["consume_one"][0].count * part) + MARGIN
        fill(client, cluster.hosts, "equal", most)
        # in the format that the original writes, which the broker need not convert for it
        old_topic = "filled-by-the-original"
        make_topic(client, old_topic)
        run_original(interpreter, Job("fill", cluster.hosts, old_topic, int(most * SHARE) + MARGIN))
        for name, (workload, _bar) in BARS.items():
            count = max(1, int(workload.count * part))
            for number in range(rounds):
                for whose in (OURS, ORIGINAL):
                    topic = f"{name}-{whose.replace(' ', '-')}-{number}"
                    if workload.filled is None:
                        make_topic(client, topic)
                    else:
                        topic = "kept-equal" if whose == OURS else old_topic
                    if whose == OURS:
                        result = run_one(OURS, Job(workload.kind, cluster.hosts, topic, count))
                    else:
                        result = run_original(interpreter, Job(workload.kind, cluster.hosts, topic, max(1, int(count * SHARE))))
                    found[name][whose].append(result)
                    if workload.filled is None:
                        delete_topic(client, topic)
            print(f"original: {name} done", file=sys.stderr, flush=True)
    return found


def run_original(interpreter: str, job: Job) -> dict[str, float]:
    """Return what a fresh process of PyKafka 2.8.0 measured."""
    # it must not find ours first
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [interpreter, str(SCRIPT), json.dumps(job._asdict())]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd="/", timeout=120, check=False)
    if done.returncode or not done.stdout.strip():
        raise RuntimeError(f"{ORIGINAL} {job.kind} failed:\n{done.stderr[-3000:]}")
    result: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return result
