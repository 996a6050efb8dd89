"""What happens to queued messages when the interpreter ends, and to a client when its process forks."""

from __future__ import annotations

import os
from typing import Callable

import pytest

from pykafka import KafkaClient, Topic
from pykafka.exceptions import ForkedError

from ..brokers import KafkaCluster
from ..support import read_all, run_python, values

MakeTopic = Callable[..., Topic]


def test_what_is_queued_when_the_interpreter_ends_is_sent(kafka: KafkaCluster, make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    done = run_python(f"""
from pykafka import KafkaClient
producer = KafkaClient({kafka.hosts!r}).topics[{topic.name!r}].get_producer(linger_ms=60000)
for number in range(1000):
    producer.produce(b"%d" % number)
""")
    assert done.returncode == 0, done.stderr
    assert values(read_all(topic, 1000)) == [b"%d" % number for number in range(1000)]


@pytest.mark.parametrize(
    ("logging_set_up", "said_by"),
    [("", "pykafka: "), ("logging.basicConfig(format='log: %(message)s')", "log: "), ("logging.disable()", "pykafka: ")],
)
def test_what_cannot_be_sent_at_exit_is_one_warning_with_the_exact_number(logging_set_up: str, said_by: str) -> None:
    done = run_python(f"""
import logging
{logging_set_up}
from tests.fake.broker import FakeBroker
from pykafka import KafkaClient
from pykafka._engine import exiting
exiting.EXIT_TIMEOUT_S = 0.5
broker = FakeBroker()
broker.scripts["Produce"] = lambda request, version: None
producer = KafkaClient(broker.hosts).topics["t"].get_producer()
for number in range(37):
    producer.produce(b"x")
""")
    assert done.returncode == 0, done.stderr
    (said,) = [line for line in done.stderr.splitlines() if "not acknowledged" in line]
    assert said.startswith(f"{said_by}37 messages")


def test_a_forked_child_is_told_to_make_a_client_of_its_own_and_the_parent_goes_on(
    kafka: KafkaCluster, make_topic: MakeTopic
) -> None:
    if not hasattr(os, "fork"):
        pytest.skip("there is no fork here")
    topic = make_topic(1)
    done = run_python(f"""
import os, sys
from pykafka import KafkaClient
from pykafka.exceptions import {ForkedError.__name__}
client = KafkaClient({kafka.hosts!r})
topic = client.topics[{topic.name!r}]
producer = topic.get_producer()
producer.produce(b"parent 1").result(20)
child = os.fork()
if child == 0:
    try:
        producer.produce(b"child, wrong client").result(5)
    except {ForkedError.__name__}:
        with KafkaClient({kafka.hosts!r}) as own, own.topics[{topic.name!r}].get_producer() as mine:
            mine.produce(b"child")
        os._exit(0)
    os._exit(1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
producer.produce(b"parent 2").result(20)
client.close()
""")
    assert done.returncode == 0, done.stderr
    assert values(read_all(topic, 3)) == [b"parent 1", b"child", b"parent 2"]


@pytest.mark.parametrize(
    ("step", "outcome"),
    [
        ("broker.handler", "ForkedError"),
        ("handler.request(MetadataRequest()).get()", "ForkedError"),
        ("waiting.get()", "ForkedError"),
        ("answered.get()[-4:] and None", "None"),
        ("handler.start()", "ForkedError"),
        ("handler.stop()", "None"),
        ("broker.close()", "None"),
        ("broker.__exit__(None, None, None)", "None"),
        ("own.close()", "None"),
        ("client.close()", "None"),
    ],
)
def test_a_forked_child_never_waits_for_what_is_its_parents(step: str, outcome: str) -> None:
    done = run_python(f"""
import os, signal
from tests.fake.broker import fake_broker
from pykafka import KafkaClient
from pykafka.broker import Broker
from pykafka.protocol import HeartbeatRequest, MetadataRequest
with fake_broker() as fake:
    fake.scripts["Heartbeat"] = lambda request, version: None
    client = KafkaClient(fake.hosts)
    broker = next(iter(client.brokers.values()))
    own = Broker(1, "127.0.0.1", fake.port, None, 3000, 3000)
    own.handler, own.offsets_channel_handler
    handler = broker.handler
    answered = handler.request(MetadataRequest())
    answered.get(timeout=20)
    waiting = handler.request(HeartbeatRequest(b"g", 1, b"m"))
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        try:
            print({step}, flush=True)
        except Exception as error:
            print(type(error).__name__, flush=True)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    client.close()
    own.close()
""")
    assert (done.stdout, done.returncode) == (f"{outcome}\n", 0), done.stderr


def test_dropping_a_client_without_closing_it_leaves_no_thread_behind(kafka: KafkaCluster) -> None:
    done = run_python(f"""
import gc, threading, time
from pykafka import KafkaClient
client = KafkaClient({kafka.hosts!r})
del client
gc.collect()
deadline = time.monotonic() + 20
while threading.active_count() > 1 and time.monotonic() < deadline:
    time.sleep(0.02)
print(threading.active_count())
""")
    assert done.stdout.strip() == "1", done.stderr


def test_consumers_and_producers_that_are_never_stopped_are_warned_about(kafka: KafkaCluster, make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    done = run_python(f"""
import gc, warnings
from pykafka import KafkaClient
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    client = KafkaClient({kafka.hosts!r})
    topic = client.topics[{topic.name!r}]
    consumer, producer = topic.get_simple_consumer(), topic.get_producer()
    del consumer, producer
    gc.collect()
print(sorted(str(one.message).split()[0] for one in caught if one.category is ResourceWarning))
client.close()
""")
    assert done.stdout.strip() == "['<Producer', '<SimpleConsumer']", done.stderr + done.stdout


def test_many_clients_may_live_side_by_side(kafka: KafkaCluster, make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    clients = [KafkaClient(kafka.hosts) for _ in range(5)]
    for number, client in enumerate(clients):
        with client.topics[topic.name].get_sync_producer() as producer:
            assert producer.produce(b"%d" % number).offset == number
    for client in clients:
        client.close()


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_children_of_a_member_never_leave_its_group(kafka: KafkaCluster, make_topic: MakeTopic, protocol: str) -> None:
    topic = make_topic(2)
    done = run_python(f"""
import gc, os, sys
from pykafka import KafkaClient
client = KafkaClient({kafka.hosts!r})
member = client.topics[{topic.name!r}].get_balanced_consumer(
    "forks-{protocol}", managed=True, group_protocol={protocol!r}, heartbeat_interval_ms=100, session_timeout_ms=6000
)
before = member.group_status()
for number in range(20):
    child = os.fork()
    if child == 0:
        if number % 3 == 0:
            member.stop()
            client.close()
        elif number % 3 == 1:
            del member, client
            gc.collect()
        sys.exit(0)
    assert os.waitpid(child, 0)[1] == 0
client.update_cluster()
after = member.group_status()
assert (before.member_id, before.generation, after.state) == (after.member_id, after.generation, before.state), (before, after)
assert len(member.partitions) == 2
client.close()
""")
    assert done.returncode == 0, done.stderr
