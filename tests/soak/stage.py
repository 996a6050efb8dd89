"""What every story begins with: brokers, topics, a way to read back that is not this client, and an end where nothing is left."""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import os
import random
import threading
import time
from collections.abc import Iterator
from typing import Any, NamedTuple, Optional

import confluent_kafka

from pykafka.testing import FakeCluster
from pykafka.testing.group_common import GroupSettings

from ..support import until

#: Whoever is told nothing within this time hangs: requests take 5 seconds at most in these stories, and 2 are for the machine.
PATIENCE_S = 120


class Stored(NamedTuple):
    """One message as it is in a log."""

    partition: int
    offset: int
    key: Optional[bytes]
    value: bytes


class Stage:
    """Where a story is played: ``hosts``, a source of randomness, and the fake cluster when the brokers are not real.

    :param hosts: of real brokers; None for a fake cluster of three
    :param length: how long it goes on, 1 being what a campaign has
    """

    def __init__(self, seed: int, hosts: Optional[str] = None, length: float = 1.0) -> None:
        self.seed = seed
        self.length = length
        self.random = random.Random(seed)
        self.fake: Optional[FakeCluster] = None
        self._hosts = hosts
        self._stack = contextlib.ExitStack()
        self._names = 0

    def __enter__(self) -> Stage:
        if self._hosts is None:
            # some leave unheard while their coordinator moves, and have their partitions until their session is over
            settings = GroupSettings(consumer_heartbeat_interval_ms=200, consumer_session_timeout_ms=6000)
            self.fake = self._stack.enter_context(FakeCluster(brokers=3, group_settings=settings, auto_create_topics=False))
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    @property
    def hosts(self) -> str:
        """Return what clients connect to."""
        return self._hosts or self.fake.hosts  # type: ignore[union-attr]  # one of the two is there

    @property
    def ports(self) -> set[int]:
        """Return the ports of all brokers."""
        return {int(address.rpartition(":")[2]) for address in self.hosts.split(",")}

    def new_topic(self, partitions: int, replicas: int = 1) -> str:
        """Return the name of a topic that was made for this story; made by confluent-kafka."""
        from confluent_kafka.admin import AdminClient, NewTopic

        self._names += 1
        name = f"soak-{self.seed}-{os.getpid()}-{self._names}"
        admin = AdminClient({"bootstrap.servers": self.hosts, "log_level": 0})
        admin.create_topics([NewTopic(name, partitions, replicas)])[name].result(30)
        until(lambda: len(admin.list_topics(name, timeout=10).topics[name].partitions) == partitions, what=f"{name}")
        return name

    def print_requests(self, *names: str) -> None:
        """Print which requests of these kinds a fake cluster has seen last."""
        if self.fake is not None:
            print(*self.fake.complaints, sep="\n")
            for seen in [seen for seen in self.fake.requests if seen.name in names][-80:]:
                print(f"{seen.at:.3f} to {seen.broker_id}: {seen.name} v{seen.version} {seen.request}"[:400], flush=True)

    def stored(self, topic: str) -> dict[int, list[Stored]]:
        """Return all that is in a topic, by partition, as librdkafka reads it."""
        consumer = confluent_kafka.Consumer(
            {
                "bootstrap.servers": self.hosts,
                "group.id": f"reads-back-{self.seed}-{os.getpid()}",
                "enable.auto.commit": False,
                "log_level": 0,
            }
        )
        found: dict[int, list[Stored]] = {}
        try:
            for number in consumer.list_topics(topic, timeout=30).topics[topic].partitions:
                found[number] = list(_read(consumer, topic, number))
        finally:
            consumer.close()
        return found


def _read(consumer: Any, topic: str, number: int) -> Iterator[Stored]:
    place = confluent_kafka.TopicPartition(topic, number)
    first, end = consumer.get_watermark_offsets(place, timeout=30)
    consumer.assign([confluent_kafka.TopicPartition(topic, number, first)])
    deadline = time.monotonic() + PATIENCE_S
    position = first
    while position < end:
        assert time.monotonic() < deadline, f"librdkafka reads nothing of {topic}/{number} at {position}, which ends at {end}"
        for message in consumer.consume(10_000, 0.5):
            assert message.error() is None, message.error()
            yield Stored(number, message.offset(), message.key(), message.value())
            position = message.offset() + 1


def put_out(kafka: FakeCluster, group: str, spared: tuple[str, ...] = ()) -> None:
    """Put a member out of a group, if there is one whose id does not begin like one of ``spared``."""
    for member in [one for one in kafka.members(group) if not one.startswith(spared)][:1]:
        try:
            kafka.expire_session(group, member)
        except ValueError:
            continue  # it has left meanwhile


def threads_of_ours() -> list[str]:
    """Return the names of threads that belong to this library and run.

    When Ctrl-C comes in the middle of Thread.start(), CPython may list a thread for ever that it has never started.
    """
    return sorted(one.name for one in threading.enumerate() if one.name.startswith("pykafka-") and one.is_alive())


def check_nothing_left() -> None:
    """Fail unless all threads of this library end by themselves once its clients are closed."""
    gc.collect()
    try:
        until(lambda: not threads_of_ours(), timeout_s=20, what=f"the end of {threads_of_ours()}")
    except AssertionError:
        faulthandler.dump_traceback()
        raise
