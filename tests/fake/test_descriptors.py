"""Without free file descriptors calls fail with an error that says so, and go on as soon as there are some again."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from pykafka.testing import FakeCluster

from ..support import ROOT, run_python

HEAD = """
import json, os, resource, sys, time
from pykafka import KafkaClient
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
held = []

def take_all():
    try:
        while True:
            held.append(open(os.devnull))
    except OSError:
        pass

def give_back():
    while held:
        held.pop().close()
"""


def run(script: str, hosts: str) -> Any:
    """Return what a script prints, as JSON; ``HOSTS`` in it is where the brokers are."""
    done = run_python(HEAD + script.replace("HOSTS", repr(hosts)))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


FIRST_BATCH = """
with KafkaClient(HOSTS) as client:
    with client.topics["t"].get_producer(linger_ms=0) as producer:
        take_all()
        message = producer.produce(b"x")
        time.sleep(0.5)  # it is tried meanwhile
        give_back()
        offset = message.result(20).offset
print(json.dumps(offset))
"""


def test_the_first_batch_of_a_producer_outlives_a_time_without_descriptors() -> None:
    with FakeCluster(topics={"t": 1}) as kafka:
        assert run(FIRST_BATCH, kafka.hosts) == 0
        assert kafka.values("t") == [b"x"]


FIRST_MESSAGE = """
with KafkaClient(HOSTS) as client:
    with client.topics["t"].get_simple_consumer() as consumer:
        take_all()
        value = consumer.consume().value.decode()
        give_back()
print(json.dumps(value))
"""


def test_a_consumer_that_is_connected_reads_its_first_message_without_another_descriptor() -> None:
    with FakeCluster(topics={"t": 1}) as kafka:
        kafka.produce("t", [b"x"])
        assert run(FIRST_MESSAGE.replace("take_all()", "time.sleep(0.3); take_all()"), kafka.hosts) == "x"


MADE_WITHOUT = """
with KafkaClient(HOSTS) as client:
    topic, errors = client.topics["t"], []
    topic.latest_available_offsets()
    take_all()
    for make in (topic.get_producer, lambda: topic.get_simple_consumer(consumer_timeout_ms=100)):
        try:
            make()
        except Exception as error:
            errors.append(f"{type(error).__name__}: {error}")
    give_back()
    with topic.get_producer() as producer, topic.get_simple_consumer() as consumer:
        producer.produce(b"x").result(20)
        value = consumer.consume().value.decode()
print(json.dumps([errors, value]))
"""


def test_what_cannot_be_made_without_a_descriptor_says_so_and_can_be_made_once_there_is_one() -> None:
    with FakeCluster(topics={"t": 1}) as kafka:
        errors, value = run(MADE_WITHOUT, kafka.hosts)
    assert len(errors) == 2
    assert all("Too many open files" in error for error in errors)
    assert value == "x"


LOST = """
with KafkaClient(HOSTS) as client:
    topic = client.topics["t"]
    with topic.get_producer(linger_ms=0) as producer, topic.get_simple_consumer() as consumer:
        producer.produce(b"one").result(20)
        values = [consumer.consume().value.decode()]
        take_all()
        print("full", flush=True)
        sys.stdin.readline()  # all connections are closed
        message = producer.produce(b"two")
        time.sleep(0.5)  # connecting again fails meanwhile
        give_back()
        message.result(20)
        values.append(consumer.consume().value.decode())
print(json.dumps(values))
"""


def test_connections_that_are_lost_while_no_descriptor_is_free_are_opened_once_there_are_some() -> None:
    with FakeCluster(topics={"t": 1}) as kafka:
        command = [sys.executable, "-c", HEAD + LOST.replace("HOSTS", repr(kafka.hosts))]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, cwd=ROOT) as program:
            assert program.stdout is not None and program.stdout.readline() == "full\n"
            kafka.drop_connection()
            out, err = program.communicate("go\n", timeout=40)
    assert program.returncode == 0, err
    assert json.loads(out) == ["one", "two"]
