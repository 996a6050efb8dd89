"""Programs that gevent has patched: everything works, and while one greenlet waits for Kafka the others run.

Each is a process of its own, since the standard library of this one must stay as it is.
"""

from __future__ import annotations

import os
from typing import Callable

import pytest

from pykafka import Topic

from ..brokers import KafkaCluster
from ..fake.broker import fake_broker
from ..fake.test_tls import CA, serving
from ..needs import package
from ..support import read_all, run_python, values

package("gevent")

MakeTopic = Callable[..., Topic]

PATCH = "from gevent import monkey; monkey.patch_all()\n"
START = """
import logging, os, signal, sys
import gevent
from gevent.event import Event
from pykafka import KafkaClient
from pykafka.exceptions import ConsumerStoppedException, ForkedError
from tests.support import until

logging.basicConfig()
signal.signal(signal.SIGINT, signal.default_int_handler)
ticks = 0

def tick():
    global ticks
    while True:
        ticks += 1
        gevent.sleep(0.001)

def see_ticks(count=50):
    "Return when the ticker has run so often: never, if somebody blocks the hub."
    wanted = ticks + count
    until(lambda: ticks >= wanted, what="the ticks of another greenlet")

gevent.spawn(tick)
"""


def run(code: str, before: str = PATCH) -> str:
    """Return what a program prints that ends by itself, without a word of complaint."""
    done = run_python(before + START + code)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


def connect(kafka: KafkaCluster, topic: Topic, use_greenlets: bool = True) -> str:
    """Return the lines that make a client and a topic."""
    return f"client = KafkaClient({kafka.hosts!r}, use_greenlets={use_greenlets}); topic = client.topics[{topic.name!r}]\n"


@pytest.mark.parametrize("use_greenlets", [True, False])
@pytest.mark.parametrize("consumer_timeout_ms", [-1, 60000])
def test_the_hub_still_ticks_while_consume_waits(
    kafka: KafkaCluster, make_topic: MakeTopic, consumer_timeout_ms: int, use_greenlets: bool
) -> None:
    code = f"""
consumer = topic.get_simple_consumer(consumer_timeout_ms={consumer_timeout_ms})
waiting = gevent.spawn(consumer.consume)
see_ticks(100)
assert not waiting.ready()
with topic.get_producer() as producer:
    producer.produce(b"at last")
print(waiting.get(timeout=20).value)
consumer.stop()
client.close()
"""
    assert run(connect(kafka, make_topic(2), use_greenlets) + code) == "b'at last'\n"


def test_what_ends_a_waiting_consume_ends_it_in_a_greenlet_too(kafka: KafkaCluster, make_topic: MakeTopic) -> None:
    code = """
with topic.get_simple_consumer(consumer_timeout_ms=200) as consumer:
    before = ticks
    assert consumer.consume() is None and ticks > before

consumer, event = topic.get_simple_consumer(), Event()
waiting = gevent.spawn(consumer.consume, unblock_event=event)
see_ticks()
event.set()
assert waiting.get(timeout=20) is None

def consume():
    try:
        consumer.consume()
    except ConsumerStoppedException:
        return "stopped"

waiting = gevent.spawn(consume)
see_ticks()
gevent.spawn(consumer.stop)
print(waiting.get(timeout=20))

consumer.start()
waiting = gevent.spawn(consume)
see_ticks()
client.close()
print(waiting.get(timeout=20))
"""
    assert run(connect(kafka, make_topic()) + code) == "stopped\nstopped\n"


LATE = "import pykafka.client, pykafka.handlers, pykafka.producer, pykafka.simpleconsumer\n" + PATCH


@pytest.mark.parametrize("before", [PATCH, LATE], ids=["patched first", "patched after the import"])
def test_greenlets_produce_at_once_and_each_reads_its_own_reports(
    kafka: KafkaCluster, make_topic: MakeTopic, before: str
) -> None:
    topic = make_topic(3)
    code = """
producer = topic.get_producer(delivery_reports=True)
turns = [Event() for _ in range(4)]

def work(number):
    "Every greenlet has produced before any reads its reports."
    for count in range(500):
        producer.produce(b"%d" % number, partition_key=b"%d" % count)
    turns[number].set()
    gevent.wait(turns)
    reports = [producer.get_delivery_report(timeout=20) for _ in range(500)]
    assert {(message.value, error) for message, error in reports} == {(b"%d" % number, None)}

gevent.joinall([gevent.spawn(work, number) for number in range(4)], raise_error=True)
producer.stop()
with topic.get_sync_producer() as producer:
    offsets = [gevent.spawn(producer.produce, b"sync") for _ in range(8)]
    print(min(one.get(timeout=20).offset for one in offsets) >= 0)
client.close()
"""
    assert run(connect(kafka, topic) + code, before) == "True\n"
    expected = sorted([b"0", b"1", b"2", b"3"] * 500 + [b"sync"] * 8)
    assert sorted(values(read_all(topic, len(expected)))) == expected


def test_callbacks_run_in_a_greenlet_and_a_full_queue_blocks_only_who_produces(
    kafka: KafkaCluster, make_topic: MakeTopic
) -> None:
    code = """
seen = []
with topic.get_producer(max_queued_messages=10, linger_ms=1) as producer:
    def report(message, error):
        gevent.sleep(0)
        seen.append((message.value, error))
    before = ticks
    for number in range(300):
        producer.produce(b"%d" % number, on_delivery=report)
    assert ticks > before
until(lambda: len(seen) == 300)
print(seen == [(b"%d" % number, None) for number in range(300)])
client.close()
"""
    assert run(connect(kafka, make_topic()) + code) == "True\n"


def test_what_is_queued_when_a_patched_program_ends_is_sent(kafka: KafkaCluster, make_topic: MakeTopic) -> None:
    topic = make_topic()
    code = """
import warnings
warnings.simplefilter("ignore", ResourceWarning)
producer = topic.get_producer(linger_ms=60000)
for number in range(100):
    producer.produce(b"%d" % number)
"""
    run(connect(kafka, topic) + code)
    assert values(read_all(topic, 100)) == [b"%d" % number for number in range(100)]


def test_ctrl_c_interrupts_a_waiting_consume(kafka: KafkaCluster, make_topic: MakeTopic) -> None:
    code = """
def interrupt():
    see_ticks()
    os.kill(os.getpid(), signal.SIGINT)

gevent.spawn(interrupt)
with topic.get_simple_consumer() as consumer:
    try:
        consumer.consume()
    except KeyboardInterrupt:
        print("interrupted")
client.close()
"""
    done = run_python(PATCH + START + connect(kafka, make_topic()) + code)
    # gevent prints the KeyboardInterrupt that it hands over to the main greenlet
    assert (done.returncode, done.stdout) == (0, "interrupted\n"), done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_in_a_forked_child_the_copies_of_our_greenlets_do_nothing(kafka: KafkaCluster, make_topic: MakeTopic) -> None:
    topic = make_topic()
    code = f"""
read_end, write_end = os.pipe()

def report(message, error):
    os.write(write_end, b"called")

# a timer that is due soon wakes the I/O greenlet, also its copy; and a callback is queued when we fork
consumer = topic.get_simple_consumer(
    consumer_timeout_ms=20000, consumer_group=b"g" + topic.name, auto_commit_enable=True, auto_commit_interval_ms=50
)
producer = topic.get_producer()
producer.produce(b"parent 1", on_delivery=lambda message, error: None).result(20)
producer.flush()
producer._core.callbacks._worker.submit(report, None, None)
child = os.fork()
if child == 0:
    see_ticks(300)
    try:
        producer.produce(b"from the wrong process")
    except ForkedError:
        with KafkaClient({kafka.hosts!r}, use_greenlets=True) as own, own.topics[{topic.name!r}].get_sync_producer() as mine:
            mine.produce(b"child")
        os._exit(0)
    os._exit(1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert os.read(read_end, 100) == b"called"
producer.produce(b"parent 2").result(20)
print([consumer.consume().value for _ in range(3)])
producer.stop()
consumer.stop()
client.close()
"""
    assert run(connect(kafka, topic) + code) == "[b'parent 1', b'child', b'parent 2']\n"


def test_without_patching_the_handler_for_greenlets_says_what_to_do_and_waits_for_nothing() -> None:
    done = run_python("""
import gevent
from pykafka.handlers import GEventHandler
try:
    GEventHandler()
except ImportError as error:
    print(error)
""")
    assert done.stdout.startswith("GEventHandler needs gevent to have patched the standard library; put these two"), done.stderr


def test_the_handler_is_the_one_for_greenlets(kafka: KafkaCluster, make_topic: MakeTopic) -> None:
    code = """
from pykafka.handlers import GEventHandler
from pykafka.protocol import MetadataRequest, MetadataResponse

handler = client.cluster.handler
assert isinstance(handler, GEventHandler)
event, lock, queue = handler.Event(), handler.Lock(), handler.Queue()

def target(*args, **kwargs):
    handler.sleep()
    event.set()
    queue.put((args, kwargs))

spawned = handler.spawn(target, 1, two=2, name="mine")
assert isinstance(spawned, gevent.Greenlet)
with lock, lock, handler.RLock():
    event.wait(20)
    print(queue.get(timeout=20))
try:
    queue.get(block=False)
except handler.QueueEmptyError:
    print("empty")
broker = next(iter(client.brokers.values()))
print(len(broker.handler.request(MetadataRequest()).get(MetadataResponse, timeout=20).brokers))
client.close()
"""
    assert run(connect(kafka, make_topic()) + code) == "((1,), {'two': 2})\nempty\n1\n"


def test_native_threads_of_a_patched_program_may_use_the_client_too(kafka: KafkaCluster, make_topic: MakeTopic) -> None:
    code = """
consumer, producer = topic.get_simple_consumer(), topic.get_producer()
threads = gevent.get_hub().threadpool
waiting = threads.spawn(consumer.consume)
see_ticks()
assert not waiting.ready()
assert threads.spawn(lambda: producer.produce(b"from a thread").result(20).offset).get(timeout=20) == 0
print(waiting.get(timeout=20).value)
producer.stop()
consumer.stop()
client.close()
"""
    assert run(connect(kafka, make_topic()) + code) == "b'from a thread'\n"


@pytest.mark.parametrize("own", [False, True], ids=["SslConfig", "wrap_socket(sock)"])
def test_tls_works_under_gevent(own: bool) -> None:
    with fake_broker(tls=serving()) as broker:
        code = f"""
from pykafka.connection import SslConfig
class Own:
    def wrap_socket(self, sock):
        return SslConfig({CA!r}).wrap_socket(sock)
tls = Own() if {own} else SslConfig({CA!r})
with KafkaClient("localhost:{broker.port}", use_greenlets=True, ssl_config=tls) as client:
    see_ticks()
    print(list(client.topics))
"""
        assert run(code) == "[b't']\n"


# -- what is missing --------------------------------------------------------------------------------------------------

TWO_LINES = ":\n    from gevent import monkey\n    monkey.patch_all()"
#: what stands in for patch_all(), use_greenlets, and a part of the error (None: it works)
PATCHES = [
    ("import gevent", True, "use_greenlets=True needs gevent to have patched the standard library; put these two lines first"),
    ("", 1, "use_greenlets=True needs gevent to have patched the standard library; put these two lines first"),
    ("socket=False", True, "needs gevent to patch socket too; put these two lines first in your program, without socket=False"),
    ("thread=False", True, "to patch threading too; put these two lines first in your program, without thread=False"),
    ("select=False, queue=False", True, "to patch selectors and queue too; put these two lines first in your program, without"),
    ("select=False", False, "gevent has patched threading and queue but not selectors, so that this client would wait for ever"),
    ("thread=False", False, "call monkey.patch_all() without thread=False, or also with select=False, queue=False"),
    ("queue=False", False, "gevent has patched threading and selectors but not queue"),
    ("socket=False", False, None),
    ("thread=False, select=False, queue=False", False, None),
]  # fmt: skip


@pytest.mark.parametrize(("patch", "use_greenlets", "words"), PATCHES)
def test_a_program_that_is_not_patched_or_only_in_part_works_or_is_told_what_is_missing(
    kafka: KafkaCluster, make_topic: MakeTopic, patch: str, use_greenlets: int, words: str
) -> None:
    topic = make_topic()
    before = f"from gevent import monkey; monkey.patch_all({patch})" if "=" in patch else patch
    code = f"""
from pykafka import KafkaClient
try:
    client = KafkaClient({kafka.hosts!r}, use_greenlets={use_greenlets})
except ImportError as error:
    print(error)
else:
    with client, client.topics[{topic.name!r}].get_sync_producer() as producer:
        print(producer.produce(b"x").offset)
"""
    done = run_python(before + code)
    assert (done.returncode, done.stderr) == (0, "")
    if words is None:
        assert done.stdout == "0\n"
    else:
        assert words in done.stdout
        assert not use_greenlets or TWO_LINES in done.stdout
