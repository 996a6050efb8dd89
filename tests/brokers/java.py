"""A Java process made of a broker's jars, with verbs for what goes wrong in life: kill, pause, resume, terminate."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path
from typing import Optional

JAVA_FLAGS = [
    "-Xms64m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Xshare:auto",
    "-XX:-UsePerfData",
    "-Djava.awt.headless=true",
    "-Djava.net.preferIPv4Stack=true",
    # what brokers before 3.0 reach for by reflection, which Java has forbidden since
    "--add-exports=java.base/sun.nio.ch=ALL-UNNAMED",
    "--add-opens=java.base/java.nio=ALL-UNNAMED",
]
#: Seconds that a process which was told to end has for that.
_END_TIMEOUT_S = 30
#: Seconds for a tool that reads or writes a few messages.
_TOOL_TIMEOUT_S = 60


class JavaProcess:
    """One process with the jars of ``jars`` that writes what it says to a file in ``folder``; it may be started again."""

    def __init__(self, jars: Path, folder: Path) -> None:
        self.folder = folder
        self._jars = jars
        self._process: Optional[subprocess.Popen[bytes]] = None

    def run(self, log: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Start ``java`` with these arguments, what it says going to the end of the file ``log``."""
        with (self.folder / log).open("ab") as out:
            return subprocess.Popen(self._java(*arguments), stdout=out, stderr=subprocess.STDOUT, cwd=self.folder)

    def output_of(self, *arguments: str, stdin: bytes = b"") -> bytes:
        """Return what ``java`` with these arguments writes; raise with what it complains of when it fails."""
        done = subprocess.run(
            self._java(*arguments), input=stdin, capture_output=True, timeout=_TOOL_TIMEOUT_S, cwd=self.folder, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{arguments[0]} failed: {done.stdout[-1000:]!r} {done.stderr[-2000:]!r}")
        return done.stdout

    def _java(self, *arguments: str) -> list[str]:
        return ["java", *JAVA_FLAGS, "-cp", f"{self._jars}/*", *arguments]

    def last_words(self, log: str) -> str:
        """Return the end of what it said."""
        path = self.folder / log
        return path.read_text(errors="replace")[-2000:] if path.exists() else f"{path} was never written"

    @property
    def running(self) -> bool:
        """Return whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def _signal(self, number: int) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def pause(self) -> None:
        """Freeze it: connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after :meth:`pause`."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        self._signal(signal.SIGKILL)
        self._reap()

    def terminate(self) -> None:
        """Ask it to end in order."""
        self._signal(signal.SIGCONT)
        self._signal(signal.SIGTERM)
        self._reap()

    def _reap(self) -> None:
        if self._process is not None:
            try:
                self._process.wait(_END_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(_END_TIMEOUT_S)
