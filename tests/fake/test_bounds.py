"""Bounds hold: memory, a full stderr, jumping clocks, and many threads at one object."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks.instant import instant_broker
from pykafka import KafkaClient

from ..support import ROOT
from .doors import FreezableBroker
from .scripts import Log

MIB = 1024 * 1024


@pytest.fixture
def broker() -> Iterator[FreezableBroker]:
    broker = FreezableBroker()
    yield broker
    broker.close()


def run(script: str, hosts: str) -> Any:
    """Return what a script prints, as JSON; its argument is where the brokers are."""
    head = "import gc, json, os, sys, time\nfrom tests.fake.probe import Pulse, rss_mib\nfrom pykafka import KafkaClient\n"
    done = subprocess.run(
        [sys.executable, "-c", head + script, hosts], capture_output=True, text=True, cwd=ROOT, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# -- memory -----------------------------------------------------------------------------------------------------------

SLOW_CONSUMER = """
from pykafka.broker import CreateTopicRequest
client = KafkaClient(sys.argv[1])
client.cluster.controller_broker.create_topics([CreateTopicRequest("kept", 100, 1)])
client.update_cluster()
topic = client.topics["kept"]
with topic.get_producer(max_queued_bytes=4 << 20) as producer:
    for _ in range(100):
        producer.produce_many([os.urandom(1000)] * 1000)  # 10 MB in each round of all partitions; the logs have no end
gc.collect()
with open("/proc/self/clear_refs", "w") as peak:
    peak.write("5")  # what producing took does not count
base, pulse = rss_mib(), Pulse(client.cluster.engine.loop)
consumer = topic.get_simple_consumer(fetch_memory_bytes=BUDGET)
seen = set()
deadline = time.monotonic() + 4
while time.monotonic() < deadline:
    seen.add(consumer.consume().partition_id)
    time.sleep(0.005)
print(json.dumps({"base": base, "peak": rss_mib("VmHWM"), "partitions": len(seen), "late_s": pulse.stop()}))
client.close()
"""


@pytest.mark.parametrize("budget_mib", [16, 64])
def test_a_slow_consumer_of_an_endless_backlog_keeps_to_its_budget(budget_mib: int) -> None:
    with instant_broker() as hosts:
        figures = run(SLOW_CONSUMER.replace("BUDGET", str(budget_mib * MIB)), hosts)
    print(figures)
    assert figures["peak"] - figures["base"] < budget_mib + 16


FAST_PRODUCER = """
client = KafkaClient(sys.argv[1])
producer = client.topics["t"].get_producer(max_queued_bytes=BOUND, block_on_queue_full=False, linger_ms=0)
producer.produce(b"x").result(20)
gc.collect()
base, count, refused = rss_mib(), 0, 0
print("frozen", file=sys.stderr, flush=True)
sys.stdin.readline()
from pykafka.exceptions import ProducerQueueFullError
deadline = time.monotonic() + 50
while refused < 500 and time.monotonic() < deadline:
    try:
        producer.produce(os.urandom(1000))
        count += 1
    except ProducerQueueFullError:
        refused += 1
        time.sleep(0.001)
print(json.dumps({"base": base, "peak": rss_mib("VmHWM"), "queued": count, "refused": refused}), flush=True)
os._exit(0)
"""


def test_a_fast_producer_of_a_broker_that_takes_nothing_keeps_to_its_bound(broker: FreezableBroker) -> None:
    bound = 64 * MIB
    head = "import gc, json, os, sys, time\nfrom tests.fake.probe import rss_mib\nfrom pykafka import KafkaClient\n"
    command = [sys.executable, "-c", head + FAST_PRODUCER.replace("BOUND", str(bound)), broker.hosts]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, cwd=ROOT) as program:
        assert program.stderr is not None and program.stderr.readline() == "frozen\n"
        broker.thawed.clear()
        out, err = program.communicate("go\n", timeout=60)
    assert not err
    figures = json.loads(out)
    print(figures)
    assert figures["refused"] == 500 and figures["queued"] > 40000
    assert figures["peak"] - figures["base"] < 1.5 * bound / MIB


# -- stderr -----------------------------------------------------------------------------------------------------------

FULL_STDERR = """
import logging, logging.handlers, os, queue, sys
from pykafka import KafkaClient
from tests.support import fill_stderr, until
fill_stderr(BLOCKING)
LOGGING
client, warned = KafkaClient(sys.argv[1]), []
def warn():
    logging.getLogger("pykafka._engine.loop").warning("%s", "x" * 1000)
    warned.append(1)
with client.topics["t"].get_producer(linger_ms=0) as producer:
    def bad(message, error):
        raise ValueError("a bug")
    for _ in range(200):
        client.cluster.engine.loop.call_soon(warn)
        producer.produce(b"x", on_delivery=bad)
    producer.flush(20)
    until(lambda: len(warned) == 200, what="all warnings on the I/O thread")
client.close()
print("done", flush=True)
END
"""
#: What a program with a handler has to do: the thread that listens to the queue writes, and is the one that waits.
QUEUED = "logging.getLogger().addHandler(logging.handlers.QueueHandler(jobs := queue.Queue())); "
QUEUED += "listener = logging.handlers.QueueListener(jobs, logging.StreamHandler()); listener.start()"


@pytest.mark.parametrize("blocking", [False, True], ids=["that refuses", "that blocks"])
@pytest.mark.parametrize(("handler", "end"), [("", ""), (QUEUED, "os._exit(0)")], ids=["no log handler", "one behind a queue"])
def test_a_full_stderr_that_nobody_reads_stops_neither_the_io_thread_nor_the_exit(
    broker: FreezableBroker, blocking: bool, handler: str, end: str
) -> None:
    script = FULL_STDERR.replace("BLOCKING", str(blocking)).replace("LOGGING", handler).replace("END", end)
    command = [sys.executable, "-c", script, broker.hosts]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "done\n"
        program.wait(20)


# -- clocks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jump_s", [3600.0, -3600.0, 50 * 365 * 86400.0])
def test_a_wall_clock_that_jumps_makes_nothing_early_or_late(
    broker: FreezableBroker, monkeypatch: pytest.MonkeyPatch, jump_s: float
) -> None:
    real, real_ns = time.time, time.time_ns
    with KafkaClient(broker.hosts, socket_timeout_ms=700) as client, client.topics["t"].get_producer() as producer:
        consumer = client.topics["t"].get_simple_consumer(consumer_timeout_ms=300)
        assert consumer.consume() is not None
        monkeypatch.setattr(time, "time", lambda: real() + jump_s)
        monkeypatch.setattr(time, "time_ns", lambda: real_ns() + int(jump_s * 1e9))
        begun = time.monotonic()
        assert consumer.consume() is None
        assert 0.25 < time.monotonic() - begun < 2
        assert producer.produce(b"x").result(20).offset == 0
        broker.thawed.clear()
        message, begun = producer.produce(b"y"), time.monotonic()
        time.sleep(0.1)
        assert not message.done  # neither has it timed out at once
        broker.thawed.set()
        message.result(20)
        consumer.stop()


# -- threads ----------------------------------------------------------------------------------------------------------


def test_eight_threads_at_one_producer_lose_and_duplicate_nothing_and_each_keeps_its_order(broker: FreezableBroker) -> None:
    log, each = Log(broker), 12_500
    with KafkaClient(broker.hosts) as client, client.topics["t"].get_producer() as producer:

        def send(number: int) -> None:
            for count in range(each):
                producer.produce(b"%d %d" % (number, count))

        threads = [threading.Thread(target=send, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        producer.flush(60)
    written: dict[bytes, list[int]] = {}
    for value in log.written[0]:
        number, count = value.split()
        written.setdefault(number, []).append(int(count))
    assert written == {b"%d" % number: list(range(each)) for number in range(8)}


def test_two_threads_at_one_consumer_get_every_message_once() -> None:
    with instant_broker() as hosts, KafkaClient(hosts) as client:
        with client.topics["kept"].get_producer() as producer:
            producer.produce_many([b"x" * 10] * 1000)
        consumer = client.topics["kept"].get_simple_consumer()
        got: list[list[tuple[int, int]]] = [[], []]

        def take(mine: list[tuple[int, int]]) -> None:
            for _ in range(50_000):
                message = consumer.consume()
                assert message is not None
                mine.append((message.partition_id, message.offset))

        threads = [threading.Thread(target=take, args=(mine,)) for mine in got]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        consumer.stop()
    for mine in got:
        for partition in {place[0] for place in mine}:
            offsets = [offset for number, offset in mine if number == partition]
            assert offsets == sorted(offsets)
    everything = sorted(got[0] + got[1])
    assert len(everything) == len(set(everything)) == 100_000
    for partition in {place[0] for place in everything}:
        offsets = [offset for number, offset in everything if number == partition]
        assert offsets == list(range(len(offsets)))
