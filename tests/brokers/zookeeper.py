"""The ZooKeeper that brokers before KRaft keep their controller in, from the same jars as they."""

from __future__ import annotations

import re
import socket
import time
from pathlib import Path
from typing import Callable

from .java import JavaProcess
from .settings import SESSION_TIMEOUT_MS

_LOG = "zookeeper.log"
_TIMEOUT_S = 60
#: ZooKeeper's clock: a session lasts 2 to 20 ticks, whatever a broker asks for.
_TICK_MS = SESSION_TIMEOUT_MS // 5


class ZooKeeper(JavaProcess):
    """One server at ``port`` with its data in ``folder``."""

    def __init__(self, jars: Path, folder: Path, port: int) -> None:
        super().__init__(jars, folder)
        self.port = port

    def start(self) -> None:
        """Start the process and return when it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        flags = ["-Dzookeeper.admin.enableServer=false", "-Dzookeeper.4lw.commands.whitelist=ruok,dump"]
        main = "org.apache.zookeeper.server.ZooKeeperServerMain"
        self._process = self.run(_LOG, *flags, main, str(self.port), str(self.folder / "data"), str(_TICK_MS))
        self._wait(lambda: self._say("ruok") == "imok", "ZooKeeper did not answer")

    def wait_until_forgotten(self, broker_id: int) -> None:
        """Return when nothing is left of an earlier life of a broker: until then its next one would be refused."""
        place = re.compile(rf"^\s*/brokers/ids/{broker_id}$", re.MULTILINE)
        self._wait(lambda: not place.search(self._say("dump")), f"ZooKeeper did not forget broker {broker_id}")

    def _wait(self, condition: Callable[[], bool], failure: str) -> None:
        deadline = time.monotonic() + _TIMEOUT_S
        while not condition():
            if time.monotonic() > deadline or not self.running:
                raise RuntimeError(f"{failure} within {_TIMEOUT_S} s:\n{self.last_words(_LOG)}")
            time.sleep(0.02)

    def _say(self, word: str) -> str:
        """Return the answer to one of ZooKeeper's four-letter words; empty when there is none."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as conn:
                conn.sendall(word.encode())
                return b"".join(iter(lambda: conn.recv(65536), b"")).decode()
        except OSError:
            return ""
