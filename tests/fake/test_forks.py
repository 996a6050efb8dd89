"""A forked child gets a clear error at once, or a client of its own; the parent's messages, sockets and seats are its own."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..support import ROOT, run_python
from .doors import FreezableBroker, World
from .scripts import Log

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")

#: How many children are forked; ``FORKS=200`` is the full measure.
FORKS = int(os.environ.get("FORKS", "40"))

HEAD = '''
import gc, json, multiprocessing, os, resource, signal, sys, threading, time
from pykafka import KafkaClient
from pykafka.exceptions import ForkedError
from pykafka.protocol.messages import LeaveGroupRequest
HOSTS, FORKS = {hosts!r}, {forks}

def waits():
    return resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw

def refused(call):
    """Return the processor time (s) that it took until a call was refused, and how often it waited for anything.

    The two are what a refusal costs, whatever else the machine does: a wall clock would tell that, too.
    """
    waited, begun = waits(), time.thread_time()
    try:
        call()
    except ForkedError:
        return time.thread_time() - begun, waits() - waited
    return 1e9, 0

def wait_for(child, seconds=20):
    "Return the exit status of a child; -1 when it hangs."
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status) if hasattr(os, "waitstatus_to_exitcode") else status >> 8
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return -1
'''

UNDER_LOAD = """
client = KafkaClient(HOSTS)
topic = client.topics["t"]
producer = topic.get_producer(linger_ms=1)
consumer = topic.get_simple_consumer()
member = topic.get_balanced_consumer("g", managed=True, group_protocol=PROTOCOL)
partition = topic.partitions[0]
ended, produced, read_fd, write_fd = threading.Event(), [], *os.pipe()

def load():
    while not ended.is_set():
        producer.produce(b"%d" % len(produced))
        produced.append(1)
        time.sleep(0.0002)

def read():
    while not ended.is_set():
        consumer.consume_batch(timeout_ms=5)

threads = [threading.Thread(target=load), threading.Thread(target=read)]
for thread in threads:
    thread.start()

def child(number):
    "Try everything that is the parent's; then end in one of several ways."
    calls = (
        lambda: producer.produce(b"child"), lambda: producer.produce_many([b"child"]), producer.flush, consumer.consume,
        member.consume, member.commit_offsets, client.update_cluster, topic.latest_available_offsets, topic.get_simple_consumer,
    )
    times, waited = zip(*(refused(call) for call in calls))
    os.write(write_fd, (json.dumps([max(times), sum(waited)]) + "\\n").encode())
    for end in (producer.stop, consumer.stop, member.stop, client.close):
        end()
    if number % 4 == 0:
        os._exit(0)
    if number % 4 == 1:
        return  # through everything that the interpreter does at its end
    if number % 4 == 2:
        globals().update(dict.fromkeys(("client", "topic", "producer", "consumer", "member", "partition")))
        gc.collect()
    sys.exit(0)

statuses = []
for number in range(FORKS):
    pid = os.fork()
    if pid == 0:
        child(number)
        os._exit(0) if number % 4 == 0 else sys.exit(0)
    statuses.append(wait_for(pid))
ended.set()
for thread in threads:
    thread.join()
producer.flush(20)
os.close(write_fd)
with os.fdopen(read_fd) as pipe:
    slowest, waited = zip(*(json.loads(line) for line in pipe))
figures = {"statuses": statuses, "slowest_s": max(slowest), "waits": sum(waited)}
figures.update(answers=len(slowest), produced=len(produced))
print(json.dumps(figures), flush=True)
os._exit(0)  # the members stay in the group: whoever leaves it now is a child
"""


@pytest.fixture
def broker() -> Iterator[FreezableBroker]:
    broker = FreezableBroker()
    yield broker
    broker.close()


def run(broker: FreezableBroker, code: str, forks: int = FORKS) -> str:
    done = run_python(HEAD.format(hosts=broker.hosts, forks=forks) + code, timeout_s=250)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_children_forked_under_load_hang_nowhere_duplicate_nothing_and_leave_no_group(broker: FreezableBroker) -> None:
    log = Log(broker)
    figures = json.loads(run(broker, UNDER_LOAD.replace("PROTOCOL", "'consumer'")))
    assert figures["statuses"] == [0] * FORKS
    assert figures["answers"] == FORKS
    values = log.written[0]
    assert values == [b"%d" % number for number in range(figures["produced"])], "lost, duplicated or out of order"
    beats = [request.member_epoch for request in broker.seen("ConsumerGroupHeartbeat")]
    assert [epoch for epoch in beats if epoch < 0] == [] and beats.count(0) == 1
    assert broker.seen("LeaveGroup") == []
    print(f"{FORKS} forks, {len(values)} messages; refused in {figures['slowest_s'] * 1000:.2f} ms, {figures['waits']} waits")
    assert figures["slowest_s"] < 0.01
    # one that waits does so in every child; the kernel may have a few wait for memory
    assert figures["waits"] < FORKS / 2


MULTIPROCESSING = """
def work(number):
    with KafkaClient(HOSTS) as own, own.topics["t"].get_producer() as producer:
        producer.produce(b"child %d" % number).result(20)

if __name__ == "__main__":
    context = multiprocessing.get_context(METHOD)
    client = KafkaClient(HOSTS)
    producer = client.topics["t"].get_producer()
    producer.produce(b"before").result(20)
    children = [context.Process(target=work, args=(number,)) for number in range(4)]
    for child in children:
        child.start()
    producer.produce(b"meanwhile").result(20)
    for child in children:
        child.join(30)
    assert [child.exitcode for child in children] == [0] * 4, children
    producer.produce(b"after").result(20)
    client.close()
"""


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_processes_of_multiprocessing_work_with_clients_of_their_own(
    broker: FreezableBroker, tmp_path: Path, method: str
) -> None:
    log = Log(broker)
    script = tmp_path / "program.py"
    script.write_text(HEAD.format(hosts=broker.hosts, forks=0) + MULTIPROCESSING.replace("METHOD", repr(method)))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(script)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    values = log.written[0]
    assert sorted(values) == sorted([b"before", b"meanwhile", b"after", *(b"child %d" % number for number in range(4))])


PREFORK = """
client = KafkaClient(HOSTS)  # before the workers are there, as an application that is loaded before does
topic = client.topics["t"]

class Application:
    "Makes its client when it needs it: the one of the process that loaded it is refused in a worker."
    def __init__(self):
        self.producer = topic.get_producer()

    def handle(self, request):
        try:
            self.producer.produce(request)
        except ForkedError:
            self.client = KafkaClient(HOSTS)
            self.producer = self.client.topics["t"].get_producer()
            self.producer.produce(request)

application, workers = Application(), []
for number in range(3):
    pid = os.fork()
    if pid == 0:
        for request in range(20):
            application.handle(b"%d.%d" % (number, request))
        sys.exit(0)  # what is queued is sent at exit
    workers.append(pid)
assert [wait_for(pid) for pid in workers] == [0, 0, 0]
client.close()
"""


def test_workers_of_a_prefork_server_send_everything_by_clients_that_they_make_when_they_need_them(
    broker: FreezableBroker,
) -> None:
    log = Log(broker)
    run(broker, PREFORK)
    assert sorted(log.written[0]) == sorted(b"%d.%d" % (number, request) for number in range(3) for request in range(20))


def test_what_belongs_to_a_client_is_not_pickled_and_the_error_says_what_to_do(broker: FreezableBroker) -> None:
    world = World(broker)
    for one in (world.client, world.cluster, world.topic, world.producer, world.consumer, world.member):
        with pytest.raises(TypeError, match="make a KafkaClient in each process"):
            pickle.dumps(one)
    world.close()
