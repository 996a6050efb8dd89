"""Every door of the public API, found by inspection: which methods wait for a broker, and how to call each."""

from __future__ import annotations

import contextlib
import itertools
import threading
from typing import Any, Callable

from pykafka import BalancedConsumer, Broker, Cluster, KafkaClient, Partition, Producer, RangeProtocol, SimpleConsumer, Topic
from pykafka._engine.direct import LONE_MESSAGES
from pykafka.cluster import TopicDict
from pykafka.common import OffsetType
from pykafka.protocol import (
    CreateTopicRequest,
    Message,
    PartitionFetchRequest,
    PartitionOffsetCommitRequest,
    PartitionOffsetFetchRequest,
    PartitionOffsetRequest,
    ProduceRequest,
)
from pykafka.protocol.api import response_of
from pykafka.records.queued import QueuedMessage

from .broker import Answer, FakeBroker
from .test_group_troubles import Coordinator
from .test_produce_and_fetch import produced

CLASSES = (
    KafkaClient,
    Cluster,
    TopicDict,
    Topic,
    Partition,
    Broker,
    Producer,
    SimpleConsumer,
    BalancedConsumer,
    QueuedMessage,
)
DUNDERS = ("__enter__", "__exit__", "__iter__", "__contains__", "__getitem__", "__len__")


def public_doors() -> set[str]:
    """Return ``Class.name`` of everything public that can be called or looked at."""
    return {
        f"{cls.__name__}.{name}" for cls in CLASSES for name in dir(cls) if not name.startswith("_") or name in DUNDERS
    }


def _named(cls: str, names: str) -> set[str]:
    return {f"{cls}.{name}" for name in names.split()}


class FreezableBroker(FakeBroker):
    """Answers everything that the doors below ask; while it is frozen it takes requests and answers none, as after SIGSTOP."""

    def __init__(self, **options: Any) -> None:
        self.thawed = threading.Event()
        self.thawed.set()
        super().__init__(**options)
        self.group = Coordinator(self)
        self.scripts["OffsetCommit"] = self._commit
        self.scripts["Produce"] = lambda request, version: produced()

    def _commit(self, request: Any, version: int) -> Any:
        request.generation_id_or_member_epoch = self.group.epoch  # who is no member of the group commits as well
        return self.group.commit(request, version)

    def _answer(self, request: Any, version: int) -> Answer:
        self.thawed.wait(60)
        # nobody waits any more for what has no script: an answer that says nothing is as good as any
        return super()._answer(request, version) if request.NAME in self.scripts else response_of(type(request))()

    def close(self) -> None:
        self.thawed.set()
        super().close()


class World:
    """One client with one of everything. What waits is called with a World while the broker is frozen."""

    def __init__(self, broker: FreezableBroker) -> None:
        self.fake = broker
        self.client = KafkaClient(broker.hosts)
        self.cluster = self.client.cluster
        self.topic = self.client.topics["t"]
        self.partition = self.topic.partitions[0]
        self.broker = next(iter(self.client.brokers.values()))
        self.producer = self.topic.get_producer(linger_ms=0, delivery_reports=True)
        self.sync = self.topic.get_sync_producer()
        for _ in range(2 * LONE_MESSAGES):
            self.sync.produce(b"x")  # from now on it sends by the caller's own thread
        self.full = self.topic.get_producer(max_queued_messages=2, linger_ms=0)
        self.consumer = self.topic.get_simple_consumer("simple", auto_commit_enable=True)
        self.member = self.topic.get_balanced_consumer("g", managed=True, group_protocol="consumer")
        self.message = self.producer.produce(b"first")
        self.message.result(20)
        self.producer.get_delivery_report(timeout=20)

    def close(self) -> None:
        """Close the client, whatever is lost by that."""
        with contextlib.suppress(Exception):
            self.client.close()


Call = Callable[[World], Any]
_offsets = itertools.count(1)


def _stopping(name: str) -> Call:
    """Return a call that stops a consumer, or starts it if it is stopped: both wait."""

    def call(world: World) -> Any:
        consumer = getattr(world, name)
        if not consumer._running:
            return consumer.start()
        consumer.seek(world.partition, next(_offsets))  # there is something to commit
        return consumer.stop()

    return call


def _starting(name: str, how: str = "start") -> Call:
    def call(world: World) -> Any:
        consumer = getattr(world, name)
        if consumer._running:
            world.fake.thawed.set()
            consumer.stop()
            world.fake.thawed.clear()
        return getattr(consumer, how)()

    return call


def _closing(close: Call) -> Call:
    """Return a call that closes the client, with something to wait for."""

    def call(world: World) -> Any:
        if not world.cluster.engine.closed:
            world.producer.start()
            world.producer.produce(b"x")
        return close(world)

    return call


def _producer_stopping(world: World) -> Any:
    world.producer.start()
    world.producer.produce(b"x")
    return world.producer.stop()


def _filling(how: Callable[[Producer], Any]) -> Call:
    def call(world: World) -> Any:
        while True:
            how(world.full)

    return call


_fill = _filling(lambda producer: producer.produce(b"x"))


def _producing(world: World) -> Any:
    """Wait for room, or, every other time, for an acknowledgement, which a sync producer reads by itself."""
    return world.sync.produce(b"x") if next(_offsets) % 2 else _fill(world)


def _committing(name: str) -> Call:
    return lambda world: getattr(world, name).commit_offsets([(world.partition, 1)])


def _of_consumer(name: str) -> dict[str, Call]:
    kind = {"consumer": "SimpleConsumer", "member": "BalancedConsumer"}[name]
    doors: dict[str, Call] = {
        "__enter__": _starting(name, "__enter__"),
        "__exit__": _stopping(name),
        "__iter__": lambda world: [None for _ in getattr(world, name)],
        "batches": lambda world: list(getattr(world, name).batches()),
        "commit_offsets": _committing(name),
        "consume": lambda world: [getattr(world, name).consume() for _ in range(3)],
        "consume_batch": lambda world: [getattr(world, name).consume_batch() for _ in range(3)],
        "fetch_offsets": lambda world: getattr(world, name).fetch_offsets(),
        "reset_offsets": lambda world: getattr(world, name).reset_offsets([(world.partition, OffsetType.LATEST)]),
        "start": _starting(name),
        "stop": _stopping(name),
    }
    if name == "consumer":
        doors["cleanup"] = _stopping(name)
    return {f"{kind}.{door}": call for door, call in doors.items()}


def _raw_produce() -> ProduceRequest:
    request = ProduceRequest(required_acks=1)
    request.add_message(Message(b"x", partition_id=0), b"t", 0)
    return request


#: Door -> a call that waits for the broker, and would go on when it is called again.
WAITING: dict[str, Call] = {
    "KafkaClient.close": _closing(lambda world: world.client.close()),
    "KafkaClient.__exit__": _closing(lambda world: world.client.__exit__(None, None, None)),
    "KafkaClient.get_balanced_consumer": lambda world: world.client.get_balanced_consumer("g", ["t"]),
    "KafkaClient.update_cluster": lambda world: world.client.update_cluster(),
    "Cluster.close": _closing(lambda world: world.cluster.close()),
    "Cluster.fetch_api_versions": lambda world: world.cluster.fetch_api_versions(),
    "Cluster.get_group_coordinator": lambda world: world.cluster.get_group_coordinator("g"),
    "Cluster.get_offset_manager": lambda world: world.cluster.get_offset_manager("g"),
    "Cluster.get_managed_group_descriptions": lambda world: world.cluster.get_managed_group_descriptions(),
    "Cluster.require_topic": lambda world: world.cluster.require_topic("other"),
    "Cluster.topic_exists": lambda world: world.cluster.topic_exists("other"),
    "Cluster.update": lambda world: world.cluster.update(),
    "TopicDict.__contains__": lambda world: "other" in world.client.topics,
    "TopicDict.__getitem__": lambda world: world.client.topics["other"],
    "TopicDict.get": lambda world: world.client.topics.get("other"),
    "Topic.earliest_available_offsets": lambda world: world.topic.earliest_available_offsets(),
    "Topic.fetch_offset_limits": lambda world: world.topic.fetch_offset_limits(OffsetType.LATEST),
    "Topic.get_balanced_consumer": lambda world: world.topic.get_balanced_consumer("g", managed=True),
    "Topic.get_simple_consumer": lambda world: world.topic.get_simple_consumer("g"),
    "Topic.latest_available_offsets": lambda world: world.topic.latest_available_offsets(),
    "Partition.earliest_available_offset": lambda world: world.partition.earliest_available_offset(),
    "Partition.fetch_offset_limit": lambda world: world.partition.fetch_offset_limit(OffsetType.LATEST),
    "Partition.latest_available_offset": lambda world: world.partition.latest_available_offset(),
    "Broker.commit_consumer_group_offsets": lambda world: world.broker.commit_consumer_group_offsets(
        "g", -1, b"", [PartitionOffsetCommitRequest(b"t", 0, 1, 0, b"")]
    ),
    "Broker.connect": lambda world: world.broker.connect(),
    "Broker.connect_offsets_channel": lambda world: world.broker.connect_offsets_channel(),
    "Broker.create_topics": lambda world: world.broker.create_topics([CreateTopicRequest("n", 1, 1)]),
    "Broker.delete_topics": lambda world: world.broker.delete_topics(["n"]),
    "Broker.describe_groups": lambda world: world.broker.describe_groups(["g"]),
    "Broker.fetch_api_versions": lambda world: world.broker.fetch_api_versions(),
    "Broker.fetch_consumer_group_offsets": lambda world: world.broker.fetch_consumer_group_offsets(
        "g", [PartitionOffsetFetchRequest(b"t", 0)]
    ),
    "Broker.fetch_messages": lambda world: world.broker.fetch_messages([PartitionFetchRequest(b"t", 0, 0)]),
    "Broker.heartbeat": lambda world: world.broker.heartbeat(1, "g", 1, b"m"),
    "Broker.join_group": lambda world: world.broker.join_group(1, "g", b"", b"t", RangeProtocol),
    "Broker.leave_group": lambda world: world.broker.leave_group(1, "g", b"m"),
    "Broker.list_groups": lambda world: world.broker.list_groups(),
    "Broker.produce_messages": lambda world: world.broker.produce_messages(_raw_produce()),
    "Broker.request_metadata": lambda world: world.broker.request_metadata(),
    "Broker.request_offset_limits": lambda world: world.broker.request_offset_limits([PartitionOffsetRequest(b"t", 0, -1, 1)]),
    "Broker.sync_group": lambda world: world.broker.sync_group(1, "g", 1, b"m", []),
    "Producer.__exit__": lambda world: (world.producer.start(), world.producer.produce(b"x"), world.producer.__exit__()),
    "Producer.flush": lambda world: (world.producer.produce(b"x"), world.producer.flush()),
    "Producer.get_delivery_report": lambda world: world.producer.get_delivery_report(),
    "Producer.produce": _producing,
    "Producer.produce_many": _filling(lambda producer: producer.produce_many([b"x"] * 5)),
    "Producer.stop": _producer_stopping,
    "QueuedMessage.result": lambda world: world.producer.produce(b"x").result(),
    **_of_consumer("consumer"),
    **_of_consumer("member"),
}


#: What never waits for a broker. A new method belongs in one of the two: the tests fail until it is in the right one.
INSTANT = {
    *_named("KafkaClient", "__enter__ brokers topics"),
    *_named("Cluster", "brokers controller_broker handler require_open topics track"),
    *_named("TopicDict", "__iter__ __len__ clear copy fromkeys items keys pop popitem setdefault update values"),
    *_named("Topic", "get_producer get_sync_producer name partitions update"),
    *_named("Partition", "id isr isr_ids leader replica_ids replicas topic update"),
    *_named(
        "Broker",
        "__enter__ __exit__ close connected from_metadata handler host id of offsets_channel_connected"
        " offsets_channel_handler port",
    ),
    *_named("Producer", "__enter__ start"),
    *_named("SimpleConsumer", "fetch held_offsets partitions pause position resume seek topic"),
    *_named("BalancedConsumer", "fetch group_status held_offsets partitions pause position resume seek topic topics"),
    *(name for name in public_doors() if name.startswith("QueuedMessage.") and name != "QueuedMessage.result"),
}
