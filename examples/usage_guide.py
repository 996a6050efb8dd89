"""The usage guide, run for real: a dict of producers, and consumers under the offset rules. ``make demo`` runs it.

Starts a broker of its own, or takes one: ``python examples/usage_guide.py 127.0.0.1:9092``. Where there is no Java for a real
one, or with ``--fake``, a fake cluster of ``pykafka.testing`` stands in for it. Checks what it shows and exits with 1 if anything
is not as the guide says.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from tabulate import tabulate

from pykafka import KafkaClient, Topic
from pykafka.common import OffsetType
from pykafka.exceptions import KafkaException
from pykafka.testing import FakeCluster

#: Messages per topic.
COUNT = 1000
TOPICS = ("orders", "payments", "shipments")
#: Asks for a fake cluster.
FAKE = "--fake"


@contextlib.contextmanager
def broker() -> Iterator[str]:
    """Yield the hosts of a running broker."""
    if len(sys.argv) > 1 and sys.argv[1] != FAKE:
        yield sys.argv[1]
        return
    # the brokers that the tests use too; not a part of the installed package
    sys.path.append(str(Path(__file__).resolve().parent.parent))
    from tests.brokers import KafkaCluster, what_is_missing

    missing = what_is_missing()
    if missing or FAKE in sys.argv:
        why = f"For a real broker, {' and '.join(missing)} would have to be installed" if missing else "As was asked for"
        print(f"{why}: this is a fake cluster of pykafka.testing, in this process.\n", flush=True)
        with FakeCluster(brokers=3, default_partitions=3) as fake:
            yield fake.hosts
        return
    print("Starting a Kafka broker (the first time its jars are fetched, which takes some seconds more) ...", flush=True)
    with KafkaCluster() as cluster:
        print(f"Kafka {cluster.version} is up at {cluster.hosts}.\n", flush=True)
        yield cluster.hosts


def produce_to_many_topics(client: KafkaClient, names: list[str]) -> list[list[object]]:
    """Produce to several topics at once: one producer per topic, kept in a dict. Return a row per topic."""
    producers = {name: client.topics[name].get_producer() for name in names}

    def work(name: str) -> None:
        for number in range(COUNT):
            producers[name].produce(b"%s number %d" % (name.encode(), number), partition_key=b"%d" % number)

    threads = [threading.Thread(target=work, args=(name,)) for name in names]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for producer in producers.values():
        producer.stop()  # sends what is queued and waits until the broker has it
    took_ms = (time.perf_counter() - began) * 1000
    rows = []
    for name in names:
        ends = client.topics[name].latest_available_offsets()
        stored = sum(response.offset[0] for response in ends.values())
        rows.append([name, COUNT, stored, verdict(stored == COUNT)])
    print(f"One producer per topic, kept in a dict, used by three threads at once; all of it took {took_ms:.0f} ms:\n")
    return rows


def verdict(right: bool) -> str:
    """Return what the last column of a row says."""
    return "ok" if right else "WRONG"


def consume(topic: Topic, group: str, most: int, commit: bool, **options: object) -> int:
    """Return how many messages a consumer of ``group`` gets, at most ``most``, and perhaps commit them."""
    with topic.get_simple_consumer(consumer_group=group, consumer_timeout_ms=1500, **options) as consumer:
        got = 0
        for _message in consumer:
            got += 1
            if got == most:
                break
        if commit:
            consumer.commit_offsets()
        return got


def offset_rules(topic: Topic) -> list[list[object]]:
    """Consume under each of the three rules. Return a row per consumer."""
    earliest, latest = OffsetType.EARLIEST, OffsetType.LATEST
    plan: list[tuple[str, str, dict[str, object], int, bool, int]] = [
        # (rule, group, options, how many to take, commit?, how many should come)
        ("1. a new group starts at auto_offset_reset", "new", {"auto_offset_reset": earliest}, COUNT, False, COUNT),
        (
            "1. ... here at the end, whatever the reset says",
            "new-2",
            {"auto_offset_reset": latest, "reset_offset_on_start": True},
            COUNT,
            False,
            0,
        ),
        ("   (a group takes 400 messages and commits)", "old", {"auto_offset_reset": earliest}, 400, True, 400),
        ("2. an existing group goes on after its commit", "old", {"auto_offset_reset": earliest}, COUNT, False, COUNT - 400),
        ("3. an existing group with a reset starts over", "old", {"reset_offset_on_start": True}, COUNT, False, COUNT),
    ]
    rows = []
    for rule, group, options, most, commit, expected in plan:
        got = consume(topic, group, most, commit, **options)
        reset = options.get("reset_offset_on_start", False)
        reset_to = "LATEST" if options.get("auto_offset_reset") == latest else "EARLIEST"
        rows.append([rule, reset, reset_to, expected, got, verdict(got == expected)])
    return rows


def main() -> int:
    """Run the guide and print what it did."""
    with broker() as hosts, KafkaClient(hosts=hosts) as client:
        # a fresh set of topics, so that the demo can be run again against the same broker
        names = [f"{name}-{time.time_ns()}" for name in TOPICS]
        produced = produce_to_many_topics(client, names)
        print(tabulate(produced, headers=["topic", "produced", "in the log", "as it should"]), end="\n\n")
        consumed = offset_rules(client.topics[names[0]])
        print(f"Where consumers of {names[0]} start, by the three offset rules, and how many messages they get:\n")
        headers = ["rule", "reset_offset_on_start", "auto_offset_reset", "expected", "got", "as it should"]
        print(tabulate(consumed, headers=headers), end="\n\n")
    right = all(row[-1] == "ok" for row in [*produced, *consumed])
    print("Everything is as the usage guide says." if right else "Something is WRONG: see above.")
    return 0 if right else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KafkaException as error:
        sys.exit(f"{type(error).__name__}: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted")
