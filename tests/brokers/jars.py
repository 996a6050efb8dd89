"""Fetches Kafka's jars by Maven, once, into a cache outside the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

DEFAULT_VERSION = "4.4.0"
_POM = Path(__file__).with_name("pom.xml")
#: Seconds; Maven Central is slow at times.
_FETCH_TIMEOUT_S = 300


def what_is_missing() -> list[str]:
    """Return what this machine lacks to run brokers, in words; empty when it has everything."""
    needed = {"java": "Java 17 or newer (java)", "mvn": "Maven (mvn)"}
    return [words for command, words in needed.items() if shutil.which(command) is None]


def cache_dir() -> Path:
    """Return where jars are kept between runs."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "pykafka" / "brokers"


def broker_jars(version: str = DEFAULT_VERSION) -> Path:
    """Return the folder with all jars of a broker, fetching them the first time."""
    profile = "log4j2" if int(version.split(".")[0]) >= 4 else "reload4j"
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
