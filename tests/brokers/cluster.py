"""One or three KRaft nodes on free ports, with verbs for what goes wrong in life: kill, pause, resume, restart."""

from __future__ import annotations

import atexit
import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Optional

from .jars import DEFAULT_VERSION, broker_jars
from .probe import brokers_seen_by

JAVA_FLAGS = [
    "-Xms64m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Xshare:auto",
    "-XX:-UsePerfData",
    "-Djava.awt.headless=true",
    "-Djava.net.preferIPv4Stack=true",
]
CLUSTER_ID = "AAAAAAAAAAAAAAAAAAAAAQ"
START_TIMEOUT_S = 90
#: Outside the ephemeral range: a client that redials a dead broker could otherwise be given its port.
PORTS = range(20000, 32000)

_running: weakref.WeakSet[KafkaCluster] = weakref.WeakSet()


def free_port(taken: set[int]) -> int:
    """Return a port nobody listens on."""
    while True:
        port = random.choice(PORTS)
        if port in taken:
            continue
        with contextlib.closing(socket.socket()) as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            taken.add(port)
            return port


class Node:
    """One broker, which is a controller too."""

    def __init__(self, cluster: KafkaCluster, node_id: int, port: int, controller_port: int) -> None:
        self.id = node_id
        self.port = port
        self.controller_port = controller_port
        self.folder = cluster.folder / str(node_id)
        self._cluster = cluster
        self._process: Optional[subprocess.Popen[bytes]] = None

    @property
    def address(self) -> str:
        """Return ``host:port`` for clients."""
        return f"127.0.0.1:{self.port}"

    def write_config(self) -> None:
        """Write node.properties."""
        nodes = self._cluster.nodes
        many = len(nodes) > 1
        factor, least = (len(nodes), len(nodes) - 1) if many else (1, 1)
        voters = ",".join(f"{node.id}@127.0.0.1:{node.controller_port}" for node in nodes)
        settings: dict[str, object] = {
            "process.roles": "broker,controller",
            "node.id": self.id,
            "broker.rack": f"r{self.id}",
            "controller.quorum.voters": voters,
            "controller.listener.names": "CTRL",
            "listeners": f"PLAIN://127.0.0.1:{self.port},CTRL://127.0.0.1:{self.controller_port}",
            "advertised.listeners": f"PLAIN://127.0.0.1:{self.port}",
            "listener.security.protocol.map": "CTRL:PLAINTEXT,PLAIN:PLAINTEXT",
            "inter.broker.listener.name": "PLAIN",
            "log.dirs": self.folder / "data",
            "num.network.threads": 1,
            "num.io.threads": 2,
            "background.threads": 2,
            "num.recovery.threads.per.data.dir": 1,
            "log.cleaner.dedupe.buffer.size": 2097152,
            "offsets.topic.num.partitions": factor,
            "offsets.topic.replication.factor": factor,
            "transaction.state.log.num.partitions": factor,
            "transaction.state.log.replication.factor": factor,
            "transaction.state.log.min.isr": least,
            "share.coordinator.state.topic.num.partitions": factor,
            "share.coordinator.state.topic.replication.factor": factor,
            "share.coordinator.state.topic.min.isr": least,
            "default.replication.factor": factor,
            "min.insync.replicas": least,
            "num.partitions": 3,
            "group.initial.rebalance.delay.ms": 0,
            "controlled.shutdown.enable": str(many).lower(),
            "auto.create.topics.enable": "true",
            "broker.session.timeout.ms": 3000,
            "broker.heartbeat.interval.ms": 500,
            "controller.quorum.election.timeout.ms": 500,
            "controller.quorum.fetch.timeout.ms": 1000,
            "replica.lag.time.max.ms": 3000,
            "replica.fetch.backoff.ms": 50,
        }
        if not many:
            for name in ("broker.session.timeout.ms", "broker.heartbeat.interval.ms"):
                del settings[name]
        settings.update(self._cluster.settings)
        self.folder.mkdir(parents=True, exist_ok=True)
        text = "".join(f"{name}={value}\n" for name, value in settings.items())
        (self.folder / "node.properties").write_text(text)

    def _java(self, *arguments: str) -> list[str]:
        return ["java", *JAVA_FLAGS, "-cp", f"{self._cluster.jars}/*", *arguments]

    def format(self) -> subprocess.Popen[bytes]:
        """Start to prepare the data folder."""
        properties = str(self.folder / "node.properties")
        command = self._java("kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", properties)
        with (self.folder / "format.log").open("wb") as log:
            return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)

    def start(self) -> None:
        """Start the process; :meth:`KafkaCluster.wait_until_up` tells when it is ready."""
        with (self.folder / "broker.log").open("ab") as log:
            command = self._java("kafka.Kafka", str(self.folder / "node.properties"))
            self._process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=self.folder)

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
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(30)

    def restart(self) -> None:
        """Start it again after :meth:`kill` or :meth:`terminate`, and wait until it answers."""
        self.start()
        self._cluster.wait_until_up()


class KafkaCluster:
    """A context manager that starts ``count`` nodes and stops and removes them in the end; the first one at ``port``.

    :param settings: lines of node.properties, in addition to ours or in their place
    """

    def __init__(
        self,
        count: int = 1,
        version: str = DEFAULT_VERSION,
        port: Optional[int] = None,
        settings: Optional[Mapping[str, object]] = None,
    ) -> None:
        self.version = version
        self.settings = dict(settings or {})
        self.jars = broker_jars(version)
        self.folder = Path(tempfile.mkdtemp(prefix="pykafka-brokers-"))
        taken: set[int] = set()
        self.nodes: list[Node] = []
        ports = [port or free_port(taken), *(free_port(taken) for _ in range(1, count))]
        self.nodes = [Node(self, number, at, free_port(taken)) for number, at in enumerate(ports, 1)]
        _running.add(self)

    @property
    def hosts(self) -> str:
        """Return what KafkaClient takes as ``hosts``."""
        return ",".join(node.address for node in self.nodes)

    def node(self, node_id: int) -> Node:
        """Return the node with that broker id."""
        return self.nodes[node_id - 1]

    def start(self) -> KafkaCluster:
        """Start all nodes and return when each of them lists all of them."""
        for node in self.nodes:
            node.write_config()
        formatting = [node.format() for node in self.nodes]
        for node, process in zip(self.nodes, formatting):
            if process.wait(60):
                raise RuntimeError(f"node {node.id} could not be formatted:\n{(node.folder / 'format.log').read_text()[-3000:]}")
        for node in self.nodes:
            node.start()
        self.wait_until_up()
        return self

    def wait_until_up(self) -> None:
        """Return when every running node answers Metadata with every running node in it."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            running = [node for node in self.nodes if node.running]
            wanted = {node.id for node in running}
            if running and all(wanted <= set(brokers_seen_by("127.0.0.1", node.port)) for node in running):
                return
            if time.monotonic() > deadline or not running:
                logs = "\n".join((node.folder / "broker.log").read_text(errors="replace")[-2000:] for node in self.nodes)
                raise RuntimeError(f"the brokers did not come up within {START_TIMEOUT_S} s:\n{logs}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Kill all nodes and remove their data."""
        for node in self.nodes:
            node.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> KafkaCluster:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *exc_info: object) -> None:
        self.stop()


@atexit.register
def _stop_all() -> None:
    for cluster in list(_running):
        if os.path.isdir(cluster.folder):
            cluster.stop()
