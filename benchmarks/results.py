"""Results as files, and what has to be known to judge them: when, where, with which versions, by which command."""

from __future__ import annotations

import datetime
import json
import os
import platform
import shlex
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.plan import CLIENTS

FOLDER = Path(__file__).resolve().parent / "figures"
#: What else has a part in how fast a client is.
PACKAGES = ["crc32c", "lz4", "zstandard", "cramjam"]

#: workload -> client -> what each round measured
Figures = dict[str, dict[str, list[dict[str, float]]]]


def surroundings() -> dict[str, Any]:
    """Return when and where something is about to be measured."""
    return {
        "date": datetime.date.today().isoformat(),
        "command": command_line(sys.argv),
        "machine": machine(),
        "python": platform.python_version(),
        "versions": versions([client.package for client in CLIENTS.values()] + PACKAGES),
        "load_before": os.getloadavg()[0],
    }


def command_line(argv: list[str]) -> str:
    """Return what was typed, in the folder of the checkout."""
    return shlex.join(["python", "-m", f"benchmarks.{Path(argv[0]).stem}", *argv[1:]])


def machine() -> str:
    """Return processors and system."""
    model = platform.machine()
    try:
        with open("/proc/cpuinfo") as lines:
            model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{os.cpu_count()} x {model}, {platform.system()} {platform.release()}"


def versions(packages: list[str]) -> dict[str, str]:
    """Return the versions of those packages that are installed."""
    found = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def save(name: str, results: dict[str, Any], markdown: str) -> None:
    """Write results as JSON, and as Markdown for those who read them."""
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (FOLDER / f"{name}.md").write_text(markdown, encoding="utf-8")


def load(name: str) -> Any:
    """Return saved results; None when there are none."""
    path = FOLDER / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
