"""What the brokers of a cluster agree on: who is up, which topics there are, and who leads which partition."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Callable, Optional

from .log import Log
from .settings import TOPIC_SETTINGS
from .versions import Version

CLUSTER_ID = "pykafka-testing-AAAAAA"
NO_LEADER = -1
#: As many characters as a topic's name may have, and which.
MAX_NAME = 249
NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


class Broker:
    """One broker: where it listens, and whether it does."""

    def __init__(self, broker_id: int, host: str, port: int, rack: Optional[str]) -> None:
        self.id = broker_id
        self.host = host
        self.port = port
        self.rack = rack
        self.is_up = True

    def __repr__(self) -> str:
        return f"<Broker {self.id} {self.host}:{self.port} {'up' if self.is_up else 'down'}>"


class Partition:
    """One partition: its copies, which of them leads, and the log, which all of them share.

    ``watchers`` are called whenever there is news: records, another leader, or the end of it.
    """

    def __init__(self, topic: Topic, number: int, replicas: Sequence[int]) -> None:
        self.topic = topic
        self.number = number
        self.replicas = list(replicas)
        self.isr = list(replicas)
        self.leader = NO_LEADER
        self.leader_epoch = -1
        self.log = Log()
        self.is_deleted = False
        self.watchers: dict[object, Callable[[], None]] = {}

    def led_by(self, broker_id: int) -> None:
        """Let another broker lead, in a new epoch; or none."""
        self.leader = broker_id
        self.leader_epoch += 1
        if broker_id != NO_LEADER:
            self.log.begin_epoch(self.leader_epoch)
        self.tell()

    def tell(self) -> None:
        """Tell those who wait that something is new."""
        for watcher in list(self.watchers.values()):
            watcher()


class Topic:
    """One topic, with the settings it was created with."""

    def __init__(self, name: str, topic_id: bytes, configs: Mapping[str, str]) -> None:
        self.name = name
        self.id = topic_id
        self.configs = dict(configs)
        self.partitions: list[Partition] = []

    def setting(self, name: str) -> str:
        """Return what a setting is, by default or because it was set."""
        return self.configs.get(name, TOPIC_SETTINGS[name].default)

    def partition(self, number: int) -> Optional[Partition]:
        """Return a partition, None where there is none of that number."""
        return self.partitions[number] if 0 <= number < len(self.partitions) else None


class ClusterState:
    """Brokers, topics and their partitions. Whatever changes leaders goes through here."""

    def __init__(self, brokers: Sequence[Broker], version: Version, auto_create: bool, default_partitions: int) -> None:
        self.brokers = {broker.id: broker for broker in brokers}
        self.version = version
        self.auto_create = auto_create
        self.default_partitions = default_partitions
        self.default_replication = min(3, len(brokers))
        self.topics: dict[str, Topic] = {}
        self.names: dict[bytes, str] = {}
        self.coordinators: dict[str, int] = {}
        #: goes up whenever another broker is the controller
        self.controller_epoch = 1
        self._next_producer_id = 0
        self._spread = 0

    # -- brokers ------------------------------------------------------------------------------------------------------

    @property
    def running(self) -> list[Broker]:
        """Return the brokers that are up."""
        return [broker for broker in self.brokers.values() if broker.is_up]

    @property
    def controller_id(self) -> int:
        """Return the broker that clients are told is the controller."""
        return self.running[0].id if self.running else NO_LEADER

    def broker(self, broker_id: int) -> Broker:
        """Return a broker.

        :raises ValueError: where there is none of that id
        """
        if broker_id not in self.brokers:
            raise ValueError(f"there is no broker {broker_id}; there are {sorted(self.brokers)}")
        return self.brokers[broker_id]

    def stopped(self, broker: Broker) -> None:
        """Take a broker out: what it leads goes to a copy that is in sync, or has no leader where there is none."""
        self._set_up(broker, False)
        for partition in self.partitions():
            others = [one for one in partition.isr if one != broker.id]
            if broker.id in partition.isr and others:
                partition.isr = others
            if partition.leader == broker.id:
                partition.led_by(others[0] if others else NO_LEADER)

    def started(self, broker: Broker) -> None:
        """Bring a broker back: it is in sync at once, and leads what had no leader."""
        self._set_up(broker, True)
        for partition in self.partitions():
            if broker.id in partition.replicas and broker.id not in partition.isr:
                partition.isr.append(broker.id)
            if broker.id in partition.isr and partition.leader == NO_LEADER:
                partition.led_by(broker.id)

    def _set_up(self, broker: Broker, is_up: bool) -> None:
        before = self.controller_id
        broker.is_up = is_up
        self.controller_epoch += self.controller_id != before

    def coordinator_of(self, group: str) -> Optional[Broker]:
        """Return the broker that looks after a group, None when no broker is up."""
        chosen = self.brokers.get(self.coordinators.get(group, -1))
        if chosen is not None and chosen.is_up:
            return chosen
        running = self.running
        # not hash(): its result is another one in every process
        return running[sum(group.encode()) % len(running)] if running else None

    # -- topics -------------------------------------------------------------------------------------------------------

    def topic_sizes(self) -> dict[str, tuple[bytes, int]]:
        """Return id and number of partitions of all topics."""
        return {name: (topic.id, len(topic.partitions)) for name, topic in self.topics.items()}

    def partitions(self) -> list[Partition]:
        """Return the partitions of all topics."""
        return [partition for topic in self.topics.values() for partition in topic.partitions]

    def find(self, topic: str, partition: int) -> Optional[Partition]:
        """Return a partition, None where there is none."""
        known = self.topics.get(topic)
        return None if known is None else known.partition(partition)

    def get(self, topic: str, partition: int) -> Partition:
        """Return a partition.

        :raises ValueError: where there is none
        """
        found = self.find(topic, partition)
        if found is None:
            there = self.topics.get(topic)
            if there is None:
                raise ValueError(f"there is no topic {topic}; there are {sorted(self.topics)}")
            raise ValueError(f"there is no partition {topic}/{partition}; it has {len(there.partitions)}, from 0 on")
        return found

    def create(
        self,
        name: str,
        partitions: int,
        replication: int,
        configs: Optional[Mapping[str, str]] = None,
        assignments: Optional[Sequence[Sequence[int]]] = None,
    ) -> Topic:
        """Create a topic of a checked name and size; its leaders are spread over the brokers that are up."""
        topic = Topic(name, new_topic_id(), configs or {})
        self.topics[name] = topic
        self.names[topic.id] = name
        self.add_partitions(topic, partitions, replication, assignments)
        return topic

    def add_partitions(
        self, topic: Topic, count: int, replication: int, assignments: Optional[Sequence[Sequence[int]]] = None
    ) -> None:
        """Add so many partitions to a topic."""
        brokers = [broker.id for broker in self.running]
        for number in range(count):
            if assignments is not None:
                replicas = list(assignments[number])
            else:
                # none at all while all brokers are stopped
                copies = min(replication, len(brokers))
                replicas = [brokers[(self._spread + step) % len(brokers)] for step in range(copies)]
                self._spread += 1
            partition = Partition(topic, len(topic.partitions), replicas)
            partition.isr = [one for one in replicas if self.brokers[one].is_up]
            topic.partitions.append(partition)
            partition.led_by(partition.isr[0] if partition.isr else NO_LEADER)

    def delete(self, name: str) -> None:
        """Delete a topic; another one of its name is another topic."""
        topic = self.topics.pop(name)
        del self.names[topic.id]
        for partition in topic.partitions:
            partition.is_deleted = True
            partition.tell()

    def new_producer_id(self) -> int:
        """Return a producer id that no other producer has."""
        self._next_producer_id += 1
        return self._next_producer_id - 1


def new_topic_id() -> bytes:
    """Return an id that no topic has, in this cluster or another."""
    return random.getrandbits(128).to_bytes(16, "big")


def problem_with_name(name: str) -> Optional[str]:
    """Return what is wrong with a topic's name, in Kafka's words; None for a good one."""
    if not name:
        return "Topic name is invalid: the empty string is not allowed"
    if name in (".", ".."):
        return "Topic name is invalid: '.' or '..' is not allowed"
    if len(name) > MAX_NAME:
        return f"Topic name is invalid: the length of '{name}' is longer than the max allowed length {MAX_NAME}"
    if not NAME_CHARACTERS.issuperset(name):
        return f"Topic name is invalid: '{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
    return None
