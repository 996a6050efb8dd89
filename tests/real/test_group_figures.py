"""The script that measures groups in bad times works, and finds nothing lost, nothing owned twice and no commit gone back."""

from __future__ import annotations

import re
import subprocess
import sys

from ..brokers import KafkaCluster
from ..support import ROOT

#: What no slow machine can be the reason for.
COUNTS = re.compile(
    r"(messages lost|double ownership in a generation|double ownership at a time|steps back|short of \d+) +(\d+) "
)


FIGURES = ["storm-cooperative-sticky", "restart-KIP-848", "commits-range"]


def test_little_of_every_kind_of_trouble_loses_nothing(kafka: KafkaCluster) -> None:
    command = [sys.executable, "-m", "benchmarks.groups", "--quick", *FIGURES]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=240, check=False)
    # a time that misses its bar makes the exit code 1, and that is the machine's
    found = COUNTS.findall(done.stdout)
    assert found == [
        ("messages lost", "0"),
        ("double ownership in a generation", "0"),
        ("double ownership at a time", "0"),
        ("messages lost", "0"),
        ("steps back", "0"),
        ("short of 50", "0"),
    ], done.stdout + done.stderr
