"""Without free file descriptors calls fail with an error that says so, and go on as soon as there are some again."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any, Callable

import pytest

from pykafka.testing import FakeCluster

from ..support import ROOT, until

HEAD = """
import json, sys, time
from pykafka import KafkaClient
from tests.fake.descriptors import Descriptors, let_the_test_go_on
from tests.support import until
few = Descriptors()
"""
#: For who has installed neither: their checksums come from our own code, and what importing them brings is not there yet.
NO_WHEELS = 'sys.modules["crc32c"] = sys.modules["google_crc32c"] = None\n'


def run(script: str, kafka: FakeCluster, *steps: Callable[[], object]) -> Any:
    """Return what a script prints last, as JSON; ``HOSTS`` in it is where the brokers are.

    Each time that it lets the test go on, the next of ``steps`` is taken.
    """
    command, pipe = [sys.executable, "-c", HEAD + script.replace("HOSTS", repr(kafka.hosts))], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, cwd=ROOT) as program:
        assert program.stdin is not None and program.stdout is not None and program.stderr is not None
        try:
            for step in steps:
                assert program.stdout.readline() == "your turn\n", program.communicate(timeout=40)[1]
                step()
                program.stdin.write("go\n")
                program.stdin.flush()
            out, err = program.communicate(timeout=60)
        finally:
            program.kill()
    assert (program.returncode, err) == (0, "")
    return json.loads(out)


FIRST_BATCH = """
with KafkaClient(HOSTS) as client:
    with client.topics["t"].get_producer(linger_ms=0) as producer:
        few.take_all()
        message = producer.produce(b"x")
        few.wait_for_refusals(2)
        few.give_back()
        offset = message.result(20).offset
print(json.dumps(offset))
"""


@pytest.mark.parametrize("packages", ["", NO_WHEELS], ids=["with a package for checksums", "without one"])
def test_the_first_batch_of_a_producer_outlives_a_time_without_descriptors(packages: str) -> None:
    with FakeCluster(topics={"t": 1}) as kafka:
        assert run(packages + FIRST_BATCH, kafka) == 0
        assert kafka.values("t") == [b"x"]


FIRST_MESSAGE = """
with KafkaClient(HOSTS) as client:
    with client.topics["t"].get_simple_consumer() as consumer:
        let_the_test_go_on()
        few.take_all()
        let_the_test_go_on()
        value = consumer.consume().value.decode()
        few.give_back()
print(json.dumps(value))
"""


def test_a_consumer_that_is_connected_reads_its_first_message_without_another_descriptor() -> None:
    with FakeCluster(topics={"t": 1}) as kafka:
        asked = lambda: until(lambda: kafka.requests.seen("Fetch"), what="a fetch")  # noqa: E731
        assert run(FIRST_MESSAGE, kafka, asked, lambda: kafka.produce("t", [b"x"])) == "x"


MADE_WITHOUT = """
with KafkaClient(HOSTS) as client:
    topic, errors = client.topics["t"], []
    topic.latest_available_offsets()
    few.take_all()
    for make in (topic.get_producer, lambda: topic.get_simple_consumer(consumer_timeout_ms=100)):
        try:
            make()
        except Exception as error:
            errors.append(f"{type(error).__name__}: {error}")
    few.give_back()
    with topic.get_producer() as producer, topic.get_simple_consumer() as consumer:
        producer.produce(b"x").result(20)
        value = consumer.consume().value.decode()
print(json.dumps([errors, value]))
"""


def test_what_cannot_be_made_without_a_descriptor_says_so_and_can_be_made_once_there_is_one() -> None:
    with FakeCluster(topics={"t": 1}) as kafka:
        errors, value = run(MADE_WITHOUT, kafka)
    assert len(errors) == 2
    assert all("Too many open files" in error for error in errors)
    assert value == "x"


LOST = """
with KafkaClient(HOSTS) as client:
    topic = client.topics["t"]
    with topic.get_producer(linger_ms=0) as producer, topic.get_simple_consumer() as consumer:
        producer.produce(b"one").result(20)
        values = [consumer.consume().value.decode()]
        let_the_test_go_on()  # all connections are lost
        message = producer.produce(b"two")
        few.wait_for_refusals(2)
        let_the_test_go_on()  # the broker is there again
        few.wait_for_refusals(2)
        few.give_back()
        message.result(20)
        values.append(consumer.consume().value.decode())
print(json.dumps(values))
"""


def test_connections_that_are_lost_while_no_descriptor_is_free_are_opened_once_there_are_some() -> None:
    with FakeCluster(topics={"t": 1}) as kafka:
        assert run(LOST, kafka, lambda: kafka.stop_broker(1), lambda: kafka.start_broker(1)) == ["one", "two"]


CLIENTS = """
made, errors = [], []
try:
    while True:
        made.append(KafkaClient(HOSTS, socket_timeout_ms=1000))
except Exception as error:
    errors.append(f"{type(error).__name__}: {error}")
client = made.pop()
topic = client.topics["t"]
made.pop().close()  # a producer needs some to be made
producer = topic.get_producer(linger_ms=0)
few.take_all()
begun, message = time.process_time(), producer.produce(b"x")
few.wait_for_refusals(6)
busy_s = time.process_time() - begun
few.give_back()
figures = {"errors": errors, "busy_s": busy_s, "offset": message.result(20).offset}
client.update_cluster()
for one in [client, *made]:
    one.close()
print(json.dumps(figures))
"""


def test_clients_that_no_descriptor_is_left_for_say_so_and_none_is_in_a_busy_loop() -> None:
    with FakeCluster(topics={"t": 1}) as kafka:
        figures = run(CLIENTS, kafka)
    print(figures)
    assert "Too many open files" in figures["errors"][0]
    # six tries are more than a second, most of it pauses
    assert figures["busy_s"] < 0.5
    assert figures["offset"] == 0
