"""What tests of PyKafka's users get their cluster from: one that runs, or one started from a distribution."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import pytest

from pykafka import KafkaClient, Topic
from pykafka.exceptions import TopicAlreadyExists, UnknownTopicOrPartition
from pykafka.test import kafka_instance
from pykafka.test.kafka_instance import KafkaConnection, KafkaInstance
from pykafka.test.utils import get_cluster, stop_cluster

from ..brokers import KafkaCluster, what_is_missing
from ..brokers.jars import broker_jars
from ..needs import missing
from ..support import read_all, run_python, values


@pytest.fixture
def running(kafka: KafkaCluster, monkeypatch: pytest.MonkeyPatch) -> KafkaConnection:
    """What get_cluster() returns with BROKERS set."""
    monkeypatch.setenv("BROKERS", kafka.hosts)
    monkeypatch.delenv("KAFKA_BIN", raising=False)
    return get_cluster()


def test_topics_and_messages_are_made_in_a_cluster_that_runs(running: KafkaConnection, topic_name: str) -> None:
    running.create_topic(topic_name, 2, 1)
    assert topic_name.encode() in running.list_topics()
    with pytest.raises(TopicAlreadyExists):
        running.create_topic(topic_name.encode(), 2, 1)
    running.produce_messages(topic_name, (f"number {number} \u00fc" for number in range(300)), batch_size=50)
    running.produce_messages(topic_name.encode(), [b"bytes"])
    with KafkaClient(running.brokers) as client:
        topic = client.topics[topic_name]
        assert len(topic.partitions) == 2
        expected = sorted([*(f"number {number} \u00fc".encode() for number in range(300)), b"bytes"])
        assert sorted(values(read_all(topic, 301))) == expected
    running.delete_topic(topic_name)
    assert topic_name.encode() not in running.list_topics()
    with pytest.raises(UnknownTopicOrPartition):
        running.delete_topic(topic_name)


def test_a_forked_child_that_ends_leaves_its_parents_cluster_alone() -> None:
    done = run_python("""
import os, subprocess, sys, tempfile, time, weakref
from pathlib import Path
from pykafka.test.kafka_instance import KafkaInstance
instance = KafkaInstance.__new__(KafkaInstance)
folder, processes = Path(tempfile.mkdtemp()), [subprocess.Popen(["sleep", "60"], start_new_session=True)]
instance._own(processes, folder)
child = os.fork()
if child == 0:
    instance.terminate()
    sys.exit(0)  # which runs what is to run at exit
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
print(folder.exists(), processes[0].poll())
instance.terminate()
print(folder.exists(), processes[0].poll())
""")
    assert done.stdout == "True None\nFalse -9\n", done.stderr


def test_of_a_cluster_that_ran_before_only_ones_own_topics_are_deleted_in_the_end(
    running: KafkaConnection, make_topic: Callable[..., Topic], topic_name: str
) -> None:
    others = make_topic(1, suffix="-somebodys").name
    for suffix in ("-mine", "-gone"):
        running.create_topic(topic_name + suffix, 1, 1)
    KafkaConnection(None, running.brokers).delete_topic(topic_name + "-gone")
    stop_cluster(running)
    assert others in running.list_topics()
    assert f"{topic_name}-mine".encode() not in running.list_topics()
    stop_cluster(running)


def test_without_a_cluster_and_a_distribution_the_error_says_what_to_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("BROKERS", raising=False)
    monkeypatch.delenv("KAFKA_BIN", raising=False)
    with pytest.raises(RuntimeError, match="BROKERS .* or KAFKA_BIN"):
        get_cluster()
    monkeypatch.setenv("KAFKA_BIN", str(tmp_path))
    with pytest.raises(RuntimeError, match=r"there is no .*kafka-storage.sh: bin_dir must be the folder"):
        get_cluster()


# -- a distribution ---------------------------------------------------------------------------------------------------


def distribution(folder: Path, storage: str, server: str) -> Path:
    """Return a folder that is laid out like a distribution of Kafka, with the scripts given."""
    scripts = folder / "bin"
    scripts.mkdir(parents=True)
    for name, lines in (("kafka-storage.sh", storage), ("kafka-server-start.sh", server)):
        (scripts / name).write_text(f"#!/bin/sh\n{lines}\n")
        (scripts / name).chmod(0o755)
    return folder


@pytest.fixture
def real_distribution(tmp_path: Path) -> Path:
    """Scripts that call the jars which our own brokers run on."""
    lacking = what_is_missing()
    if lacking:
        missing(f"real brokers need {' and '.join(lacking)}")
    java = f"exec java -Xshare:auto -XX:TieredStopAtLevel=1 $KAFKA_HEAP_OPTS -cp '{broker_jars()}/*'"
    return distribution(tmp_path / "kafka", f'{java} kafka.tools.StorageTool "$@"', f'{java} kafka.Kafka "$@"')


@pytest.fixture
def started(real_distribution: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KafkaInstance]:
    """What get_cluster() returns with KAFKA_BIN set."""
    monkeypatch.delenv("BROKERS", raising=False)
    monkeypatch.setenv("KAFKA_BIN", str(real_distribution))
    cluster = get_cluster()
    assert isinstance(cluster, KafkaInstance)
    yield cluster
    stop_cluster(cluster)


def test_three_brokers_are_started_from_a_distribution_and_leave_nothing_behind(started: KafkaInstance) -> None:
    with KafkaClient(started.brokers) as client:
        assert sorted(client.brokers) == [1, 2, 3]
        started.connection.create_topic("test-data", 3, 2)
        started.produce_messages("test-data", [f"{number}" for number in range(100)])
        topic = client.topics["test-data"]
        assert len(topic.partitions[0].replicas) == 2
        consumer = topic.get_simple_consumer(consumer_group="g", consumer_timeout_ms=20000)
        assert sorted(int(consumer.consume().value) for _ in range(100)) == list(range(100))  # type: ignore[union-attr]
        consumer.commit_offsets()
        consumer.stop()
    started.flush()
    assert started.list_topics() == []
    processes, folder = list(started._processes), started._folder
    assert all(process.poll() is None for process in processes) and folder.is_dir()
    stop_cluster(started)
    assert all(process.returncode is not None for process in processes) and not folder.exists()
    for address in started.brokers.split(","):
        host, port = address.split(":")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((host, int(port)), timeout=10)


FAILURES = [
    ("echo 'bad storage'; exit 3", "", "storage could not be formatted:\nbad storage"),
    ("", "echo 'no Java'; exit 1", "ended at its start, with status 1:\nno Java"),
    ("", "sleep 60", "Kafka did not start in 3 s"),
]


@pytest.mark.parametrize(("storage", "server", "words"), FAILURES, ids=["storage", "server", "silence"])
def test_a_kafka_that_does_not_start_is_an_error_with_the_end_of_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, storage: str, server: str, words: str
) -> None:
    monkeypatch.setattr(kafka_instance, "START_TIMEOUT_S", 3.0)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    with pytest.raises(RuntimeError) as caught:
        KafkaInstance(bin_dir=str(distribution(tmp_path / "kafka", storage, server)))
    assert words in str(caught.value)
    assert list(scratch.iterdir()) == []
