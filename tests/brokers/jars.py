"""Fetches Kafka's jars by Maven, once, into a cache outside the checkout."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Optional

DEFAULT_VERSION = "4.4.0"
#: What ``make test-matrix`` runs: the newest, the one that removed old versions of requests, the last of 3, of 2 and of 1,
#: and the first with record batches, which is the oldest that we work with.
VERSIONS = (DEFAULT_VERSION, "4.0.2", "3.9.2", "2.8.2", "1.1.1", "0.11.0.3")
#: What Kafka 4 brokers run on.
LEAST_JAVA = 17
_POM = Path(__file__).with_name("pom.xml")
#: Seconds; Maven Central is slow at times.
_FETCH_TIMEOUT_S = 300


def what_is_missing() -> list[str]:
    """Return what this machine lacks to run brokers, in words; empty when it has everything."""
    lacking = []
    found = java_version()
    if found is None or found < LEAST_JAVA:
        seen = "" if found is None else f", not Java {found}"
        lacking.append(f"Java {LEAST_JAVA} or newer (java){seen}")
    if shutil.which("mvn") is None:
        lacking.append("Maven (mvn)")
    return lacking


def java_version() -> Optional[int]:
    """Return the major version of the ``java`` on PATH; None when there is none that runs."""
    if shutil.which("java") is None:
        return None
    done = subprocess.run(["java", "-version"], capture_output=True, text=True, timeout=60, check=False)
    return parse_java_version(done.stderr) if not done.returncode else None


def parse_java_version(text: str) -> Optional[int]:
    """Return the major version in what ``java -version`` says; before Java 9 the 8 stood behind ``1.``."""
    match = re.search(r'version "(?:1\.)?(\d+)', text)
    return int(match[1]) if match else None


def cache_dir() -> Path:
    """Return where jars are kept between runs."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "pykafka" / "brokers"


def broker_jars(version: str = DEFAULT_VERSION) -> Path:
    """Return the folder with all jars of a broker, fetching them the first time."""
    profile = f"kafka-{version.split('.')[0]}"
    goal = ["dependency:copy-dependencies", "-DincludeScope=runtime"]
    return _fetched(cache_dir() / version, ["-f", str(_POM), f"-Dkafka.version={version}", "-P", profile, *goal])


def clients_jar(version: str) -> Path:
    """Return kafka-clients-VERSION.jar, which holds the official message specifications, fetching it the first time."""
    folder = cache_dir() / f"clients-{version}"
    artifact = f"-Dartifact=org.apache.kafka:kafka-clients:{version}"
    return _fetched(folder, ["dependency:copy", artifact]) / f"kafka-clients-{version}.jar"


def _fetched(folder: Path, arguments: list[str]) -> Path:
    """Return ``folder``, filled by Maven if it is not there; half a fetch is never taken for a whole one."""
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = tempfile.mkdtemp(dir=folder.parent, prefix=".fetching-")
    try:
        command = ["mvn", "-q", "-B", *arguments, f"-DoutputDirectory={scratch}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_FETCH_TIMEOUT_S, cwd=scratch, check=False)
        if done.returncode:
            raise RuntimeError(f"Maven could not fetch Kafka: {' '.join(command)}\n{done.stdout[-3000:]}{done.stderr[-2000:]}")
        try:
            os.rename(scratch, folder)
        except OSError:
            if not folder.is_dir():  # another process may have been first, and its jars are as good
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return folder
