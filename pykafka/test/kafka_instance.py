"""A Kafka cluster for tests: topics and messages in one that runs, and one that is started from a distribution."""

from __future__ import annotations

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
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Callable, Optional, Union

from ..broker import CreateTopicRequest
from ..client import KafkaClient
from ..exceptions import KafkaException

Name = Union[str, bytes]

#: Seconds until Kafka has to be up; a slow machine takes 20.
START_TIMEOUT_S = 90.0
#: Seconds until a topic has to be there, or gone.
TOPIC_TIMEOUT_S = 30.0
PAUSE_S = 0.05
CLUSTER_ID = "AAAAAAAAAAAAAAAAAAAAAQ"
#: Below the ephemeral ports: somebody's outgoing connection may be given one of those between our look and Kafka's start.
PORTS = range(20000, 32000)


class KafkaConnection:
    """A cluster that runs. Nothing of the distribution is needed: requests go through pykafka.

    :param bin_dir: accepted for PyKafka's sake
    :param brokers: ``host:port`` of some brokers, comma-separated
    :param zookeeper: accepted for PyKafka's sake
    :param brokers_ssl: the same brokers' TLS listeners; only kept for whoever asks for them
    """

    def __init__(
        self, bin_dir: Optional[str], brokers: str, zookeeper: Optional[str] = None, brokers_ssl: Optional[str] = None
    ) -> None:
        self.brokers = brokers
        self.zookeeper = zookeeper
        self.brokers_ssl = brokers_ssl
        self._made: list[bytes] = []

    def create_topic(self, topic_name: Name, num_partitions: int, replication_factor: int) -> None:
        """Return when a new topic can be written to and read.

        :raises TopicAlreadyExists: when there is one of that name
        """
        with KafkaClient(self.brokers) as client:
            request = CreateTopicRequest(topic_name, num_partitions, replication_factor)
            _controller(client).create_topics([request], int(TOPIC_TIMEOUT_S * 1000))
            self._made.append(_to_bytes(topic_name))

            def is_served() -> bool:
                client.update_cluster()
                topic = client.topics.get(topic_name)
                if topic is None or len(topic.partitions) < num_partitions:
                    return False
                topic.latest_available_offsets()  # which only a leader at work answers
                return True

            _wait(is_served, TOPIC_TIMEOUT_S, f"topic {topic_name!r} was created, but could not be used")

    def delete_topic(self, topic_name: Name) -> None:
        """Return when a topic is gone.

        :raises UnknownTopicOrPartition: when there is none of that name
        """
        name = _to_bytes(topic_name)
        with KafkaClient(self.brokers) as client:
            _controller(client).delete_topics([topic_name], int(TOPIC_TIMEOUT_S * 1000))
            self._made = [made for made in self._made if made != name]

            def is_gone() -> bool:
                client.update_cluster()
                return name not in list(client.topics)

            _wait(is_gone, TOPIC_TIMEOUT_S, f"topic {topic_name!r} was deleted, but is still there")

    def flush(self) -> None:
        """Delete the topics that were created here. Others are left alone: the cluster may be somebody's."""
        there = self.list_topics()
        for name in list(self._made):
            if name in there:
                self.delete_topic(name)
        self._made.clear()

    def list_topics(self) -> list[bytes]:
        """Return the names of all topics but internal ones."""
        with KafkaClient(self.brokers) as client:
            return list(client.topics)

    def produce_messages(self, topic_name: Name, messages: Iterable[Name], batch_size: int = 200) -> None:
        """Return when ``messages`` (text goes out as UTF-8) are written; ``batch_size`` is accepted for PyKafka's sake.

        :raises KafkaException: when they could not be written
        """
        with KafkaClient(self.brokers) as client, client.topics[topic_name].get_producer(pending_timeout_ms=-1) as producer:
            for sent in producer.produce_many([_to_bytes(message) for message in messages]):
                sent.result()


class KafkaInstance(KafkaConnection):
    """A cluster that is started here, from a Kafka distribution (3.3 or newer; it needs Java), and has no past and no future.

    :param num_instances: how many brokers; the first is the controller too
    :param kafka_version: accepted for PyKafka's sake, like ``scala_version``, ``name`` and ``use_gevent``: nothing is downloaded
    :param bin_dir: the folder of the distribution, which has ``bin/kafka-server-start.sh``
    :raises RuntimeError: when Kafka cannot be started, with the end of its log
    """

    def __init__(
        self,
        num_instances: int = 1,
        kafka_version: Optional[str] = None,
        scala_version: Optional[str] = None,
        bin_dir: str = "/tmp/kafka-bin",
        name: str = "kafka",
        use_gevent: bool = False,
    ) -> None:
        scripts = Path(bin_dir) / "bin"
        for script in ("kafka-storage.sh", "kafka-server-start.sh"):
            if not (scripts / script).exists():
                raise RuntimeError(
                    f"there is no {scripts / script}: bin_dir must be the folder of a Kafka distribution, from 3.3 on"
                )
        controller, *ports = _free_ports(num_instances + 1)
        super().__init__(bin_dir, ",".join(f"127.0.0.1:{port}" for port in ports))
        self._own([], Path(tempfile.mkdtemp(prefix="pykafka-test-")))
        try:
            files = [self._write_settings(number, port, controller) for number, port in enumerate(ports, 1)]
            for number, file in enumerate(files, 1):
                self._format(scripts, number, file)
            for number, file in enumerate(files, 1):
                self._processes.append(self._run(number, str(scripts / "kafka-server-start.sh"), str(file)))
            _wait(self._is_up, START_TIMEOUT_S, f"Kafka did not start in {START_TIMEOUT_S:.0f} s")
        except BaseException:
            self.terminate()
            raise

    def _own(self, processes: list[subprocess.Popen[bytes]], folder: Path) -> None:
        self._processes = processes
        self._folder = folder
        # it also runs at exit: no broker outlives the tests, whatever they forget
        self._end = weakref.finalize(self, _end, processes, folder, os.getpid())

    @property
    def connection(self) -> KafkaConnection:
        """Return what topics are made and written through: this very object."""
        return self

    def terminate(self) -> None:
        """End every process and delete what they wrote. Twice is harmless."""
        self._end()

    def flush(self) -> None:
        """Delete all topics but internal ones."""
        for name in self.list_topics():
            self.delete_topic(name)

    def _write_settings(self, number: int, port: int, controller_port: int) -> Path:
        is_controller = number == 1
        listeners = f"PLAINTEXT://127.0.0.1:{port}"
        replicas = min(3, self.brokers.count(",") + 1)
        settings = {
            "process.roles": "broker,controller" if is_controller else "broker",
            "node.id": number,
            "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"{listeners},CONTROLLER://127.0.0.1:{controller_port}" if is_controller else listeners,
            "advertised.listeners": listeners,
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "PLAINTEXT",
            "log.dirs": self._folder / f"data-{number}",
            "offsets.topic.num.partitions": 1,
            "offsets.topic.replication.factor": replicas,
            "transaction.state.log.num.partitions": 1,
            "transaction.state.log.replication.factor": replicas,
            "transaction.state.log.min.isr": 1,
            "group.initial.rebalance.delay.ms": 0,
        }
        file = self._folder / f"{number}.properties"
        file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()), encoding="utf-8")
        return file

    def _run(self, number: int, *command: str) -> subprocess.Popen[bytes]:
        environment = {"KAFKA_HEAP_OPTS": "-Xmx512m", **os.environ, "LOG_DIR": str(self._folder)}
        with self._log(number).open("ab") as log:
            # in a process group of its own: the scripts may be there besides the Java that they start, and Ctrl-C is for us
            return subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)

    def _format(self, scripts: Path, number: int, file: Path) -> None:
        process = self._run(number, str(scripts / "kafka-storage.sh"), "format", "-t", CLUSTER_ID, "-c", str(file))
        self._processes.append(process)
        if process.wait(START_TIMEOUT_S):
            raise RuntimeError(f"Kafka's storage could not be formatted:\n{self._end_of_log(number)}")
        self._processes.remove(process)

    def _is_up(self) -> bool:
        for number, process in enumerate(self._processes, 1):
            if process.poll() is not None:
                raise RuntimeError(f"Kafka has ended at its start, with status {process.returncode}:\n{self._end_of_log(number)}")
        with KafkaClient(self.brokers, socket_timeout_ms=2000) as client:
            return len(client.brokers) == len(self._processes)

    def _log(self, number: int) -> Path:
        return self._folder / f"{number}.log"

    def _end_of_log(self, number: int) -> str:
        return "\n".join(self._log(number).read_text(encoding="utf-8", errors="replace").splitlines()[-20:])


def _end(processes: list[subprocess.Popen[bytes]], folder: Path, owner: int) -> None:
    if os.getpid() != owner:  # a forked child has a copy of everything, and ends long before its parent's cluster
        return
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    shutil.rmtree(folder, ignore_errors=True)


def _free_ports(count: int) -> list[int]:
    found: list[int] = []
    while len(found) < count:
        port = random.choice(PORTS)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            if port not in found:
                found.append(port)
    return found


def _wait(condition: Callable[[], bool], timeout_s: float, complaint: str) -> None:
    """Return when ``condition`` is true; an error that passes is no answer yet."""
    deadline = time.monotonic() + timeout_s
    last: Optional[KafkaException] = None
    while True:
        try:
            if condition():
                return
        except KafkaException as error:
            last = error
        if time.monotonic() > deadline:
            raise RuntimeError(complaint + (f"; last: {last}" if last else ""))
        time.sleep(PAUSE_S)


def _controller(client: KafkaClient) -> Any:
    return client.cluster.controller_broker or next(iter(client.brokers.values()))


def _to_bytes(text: Name) -> bytes:
    return text.encode("utf-8") if isinstance(text, str) else text
