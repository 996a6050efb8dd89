"""One or three brokers of any version on free ports, which tests may kill, pause, resume and restart."""

from __future__ import annotations

import atexit
import base64
import contextlib
import os
import random
import re
import shutil
import socket
import subprocess
import tempfile
import time
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Optional

from . import archive
from .jars import DEFAULT_VERSION, broker_jars
from .java import JavaProcess
from .probe import brokers_seen_by
from .settings import broker_settings, needs_zookeeper
from .zookeeper import ZooKeeper

CLUSTER_ID = "AAAAAAAAAAAAAAAAAAAAAQ"
START_TIMEOUT_S = 90
#: Outside the ephemeral range: a client that redials a dead broker could otherwise be given its port.
PORTS = range(20000, 32000)

#: A data folder's files as Kafka's own tool makes them: it takes as long as a broker's start, for each node.
Formatted = dict[Path, bytes]

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


def _files_in(folder: Path) -> Formatted:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _write(files: Formatted, folder: Path) -> None:
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def _with_ids(properties: bytes, node_id: int) -> bytes:
    """Return a meta.properties for another node, with a directory's id of its own where it has one."""
    own = base64.urlsafe_b64encode(b"x" + os.urandom(15))[:22]  # Kafka takes no id that begins with a dash
    properties = re.sub(rb"(?m)^node\.id=.*$", b"node.id=%d" % node_id, properties)
    return re.sub(rb"(?m)^directory\.id=.*$", b"directory.id=" + own, properties)


class Node(JavaProcess):
    """One broker; with KRaft it is a controller too."""

    def __init__(self, cluster: KafkaCluster, node_id: int, port: int, controller_port: int) -> None:
        super().__init__(cluster.jars, cluster.folder / str(node_id))
        self.id = node_id
        self.port = port
        self.controller_port = controller_port
        self._cluster = cluster

    @property
    def address(self) -> str:
        """Return ``host:port`` for clients."""
        return f"127.0.0.1:{self.port}"

    @property
    def properties(self) -> Path:
        """Return the file with the settings."""
        return self.folder / "node.properties"

    def write_config(self) -> None:
        """Write node.properties."""
        cluster = self._cluster
        zookeeper_port = cluster.zookeeper.port if cluster.zookeeper else 0
        settings = {**broker_settings(self, cluster.version, cluster.nodes, zookeeper_port), **cluster.settings}
        self.folder.mkdir(parents=True, exist_ok=True)
        self.properties.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))

    def format(self) -> subprocess.Popen[bytes]:
        """Start to prepare the data folder."""
        return self.run("format.log", "kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(self.properties))

    @property
    def data(self) -> Path:
        """Return the folder with what it keeps."""
        return self.folder / "data"

    def copy_format(self, files: Formatted) -> None:
        """Prepare the data folder as that of another node was."""
        meta = Path("meta.properties")
        _write({**files, meta: _with_ids(files[meta], self.id)}, self.data)

    def start(self, *flags: str) -> None:
        """Start the process; :meth:`KafkaCluster.wait_until_up` tells when it is ready."""
        if self._cluster.zookeeper is not None:
            self._cluster.zookeeper.wait_until_forgotten(self.id)
        self._process = self.run("broker.log", *(flags or archive.reading(self._jars)), "kafka.Kafka", str(self.properties))

    def restart(self) -> None:
        """Start it again after :meth:`kill` or :meth:`terminate`, and wait until it answers."""
        self.start()
        self._cluster.wait_until_up()


class KafkaCluster:
    """A context manager that starts ``count`` nodes and stops and removes them in the end; the first one at ``port``.

    ``zookeeper`` is the process that brokers of a version without KRaft need beside them, else None.

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
        self.zookeeper: Optional[ZooKeeper] = None
        if needs_zookeeper(version):
            self.zookeeper = ZooKeeper(self.jars, self.folder / "zookeeper", free_port(taken))
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
        if self.version == DEFAULT_VERSION:
            _keep_classes(self.jars)
        self._start_nodes()
        return self

    def _start_nodes(self, *flags: str) -> None:
        for node in self.nodes:
            node.write_config()
        if self.zookeeper is not None:
            self.zookeeper.start()
        else:
            self._format()
        for node in self.nodes:
            node.start(*flags)
        self.wait_until_up()

    def run_tool(self, main: str, *arguments: object, stdin: bytes = b"") -> bytes:
        """Return what one of Kafka's own tools, a class of the broker's jars, writes when it is given ``stdin``."""
        return self.nodes[0].output_of(main, *map(str, arguments), stdin=stdin)

    def _format(self) -> None:
        files = _files_in(self._kept_format) or self._format_first()
        for node in self.nodes:
            node.copy_format(files)

    @property
    def _kept_format(self) -> Path:
        # beside the jars: it depends on nothing but the version
        return self.jars.with_name(f"{self.jars.name}-formatted")

    def _format_first(self) -> Formatted:
        """Return what Kafka's own tool makes of a data folder, and keep it for all clusters to come."""
        first = self.nodes[0]
        if first.format().wait(60):
            raise RuntimeError(f"node {first.id} could not be formatted:\n{first.last_words('format.log')}")
        files = _files_in(first.data)
        shutil.rmtree(first.data)
        # not everybody may write there, and another process may have been first
        with contextlib.suppress(OSError), tempfile.TemporaryDirectory(dir=self._kept_format.parent) as scratch:
            _write(files, Path(scratch) / "whole")
            os.rename(Path(scratch) / "whole", self._kept_format)
        return files

    def wait_until_up(self) -> None:
        """Return when every running node answers Metadata with every running node in it."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            running = [node for node in self.nodes if node.running]
            wanted = {node.id for node in running}
            if running and all(wanted <= set(brokers_seen_by("127.0.0.1", node.port)) for node in running):
                return
            if time.monotonic() > deadline or not running:
                logs = "\n".join(node.last_words("broker.log") for node in self.nodes)
                raise RuntimeError(f"the brokers did not come up within {START_TIMEOUT_S} s:\n{logs}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Kill all processes and remove their data."""
        for process in [*self.nodes, self.zookeeper]:
            if process is not None:
                process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> KafkaCluster:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *exc_info: object) -> None:
        self.stop()


def _keep_classes(jars: Path) -> None:
    """Have the brokers that are started from now on find their classes loaded; the first time that costs the start of one."""
    with archive.place_for(jars) as place:
        if place is not None:
            cluster = KafkaCluster()
            try:
                cluster._start_nodes(*archive.writing(place))
                cluster.nodes[0].terminate()
            finally:
                cluster.stop()


@atexit.register
def _stop_all() -> None:
    for cluster in list(_running):
        if os.path.isdir(cluster.folder):
            cluster.stop()
