"""kafka-tools as tests run it: in this process where that will do, in one of its own where signals and pipes matter."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from pykafka.cli.kafka_tools import main

ROOT = Path(__file__).resolve().parent.parent
#: What runs it as a process of its own, with every warning an error.
COMMAND = [sys.executable, "-W", "error", "-m", "pykafka.cli.kafka_tools"]


class Outcome(NamedTuple):
    """What a run came to."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[list[str]]:
        """Return the cells of a table without its two lines of heading; none of them may hold blanks."""
        lines = self.out.splitlines()
        ruled = next(number for number, line in enumerate(lines) if line and not line.strip("- "))
        return [line.split() for line in lines[ruled + 1 :]]

    @property
    def json(self) -> Any:
        """Return what was printed as JSON."""
        return json.loads(self.out)


def run(*argv: str, stdin: bytes = b"") -> Outcome:
    """Run kafka-tools in this process, where nobody's settings are looked at but the test's own environment."""
    out, err, given = (io.TextIOWrapper(io.BytesIO(data), encoding="utf-8", newline="") for data in (b"", b"", stdin))
    usual, sys.stdin = sys.stdin, given
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(argv)
    finally:
        sys.stdin = usual
    return Outcome(code, *(_text(stream) for stream in (out, err)))


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    stream.seek(0)
    return stream.read()


def failed(outcome: Outcome, code: int = 1) -> str:
    """Return the one line in which a run explained why it failed, with nothing on stdout."""
    assert outcome.code == code, outcome
    assert outcome.err.startswith("kafka-tools") and outcome.err.count("\n") == 1, outcome
    return outcome.err


class Process(subprocess.Popen[bytes]):
    """A run in a process of its own, which is killed at the end of a with block: a test that fails must not wait for ever."""

    def __exit__(self, *exc_info: Any) -> None:
        if exc_info[0] is not None:
            self.kill()
        super().__exit__(*exc_info)


def process(*argv: str, **options: Any) -> Process:
    """Return kafka-tools running as a process of its own, with pipes for what it prints."""
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    # with its output buffered, as for most users, also where the tests are run without buffers
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": ""}
    # who runs the tests in a shell's background has Ctrl-C ignored, and so have all processes started from there
    heard = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return Process([*COMMAND, *argv], cwd=ROOT, env=environment, **pipes)
    finally:
        signal.signal(signal.SIGINT, heard)
