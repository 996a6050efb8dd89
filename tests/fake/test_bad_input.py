"""Every public call is tried with what it cannot take: a named error at once, nothing sent, nothing changed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, Callable, NamedTuple

import pytest

from pykafka import KafkaClient
from pykafka.balancedconsumer import BalancedConsumer
from pykafka.config import BALANCED, CLIENT, CONSUMER, MANAGED, PRODUCER, Option
from pykafka.connection import SslConfig
from pykafka.exceptions import (
    ConsumerStoppedException,
    KafkaConfigError,
    KafkaException,
    ProducerStoppedException,
    UnicodeException,
)
from pykafka.membershipprotocol import RangeProtocol, decide_partitions_range, decide_partitions_roundrobin
from pykafka.partitioners import GroupHashingPartitioner, HashingPartitioner, RandomPartitioner
from pykafka.producer import Producer
from pykafka.protocol import ConsumerGroupProtocolMetadata, CreateTopicRequest, MemberAssignment, Message
from pykafka.simpleconsumer import SimpleConsumer
from pykafka.utils import deserialize_utf8

from .broker import FakeBroker, fake_broker
from .scripts import Log
from .test_changing_topics import Logs

NAMED = (TypeError, ValueError, KafkaException, UnicodeException)


def a_function() -> int:
    """Stand for something callable."""
    return 1


BAD: dict[str, Any] = {
    "object": object(), "None": None, "str": "x", "non-ASCII": "t\u00fcst", "bytes": b"\xff\xfe", "negative": -5, "zero": 0,
    "huge": 2**70, "float": 1.5, "nan": math.nan, "inf": math.inf, "bool": True, "list": [1], "dict": {"a": 1}, "set": {1},
    "empty": "", "tuple": (1, 2, 3), "list of None": [None], "function": a_function, "long": "a" * 100_000,
}  # fmt: skip


class Env(NamedTuple):
    """Everything that has public calls, on a scripted broker."""

    broker: FakeBroker
    client: KafkaClient
    producer: Producer
    consumer: SimpleConsumer
    sent: Any

    @property
    def topic(self) -> Any:
        return self.client.topics["t"]

    @property
    def partition(self) -> Any:
        return self.topic.partitions[0]

    def state(self) -> Any:
        """Return what no failed call may change, and how much the broker was asked (but for what never stops: fetching)."""
        consumer, producer = self.consumer, self.producer
        asked = [name for name, _version, _request in self.broker.requests if name not in ("Fetch", "OffsetCommit", "Metadata")]
        return consumer.held_offsets, list(consumer.partitions), consumer._running, producer._running, asked


@pytest.fixture(scope="module")
def env() -> Iterator[Env]:
    """A client with a producer and a consumer that work."""
    with fake_broker() as broker:
        logs = Logs(broker)
        Log(broker)
        logs.logs[0] += [b"a"] * 5
        with KafkaClient(broker.hosts) as client:
            topic = client.topics["t"]
            options = {"linger_ms": 0, "delivery_reports": True}
            with topic.get_producer(**options) as producer, topic.get_simple_consumer("g", consumer_timeout_ms=50) as consumer:
                yield Env(broker, client, producer, consumer, producer.produce(b"first").result(10))


class Bad(NamedTuple):
    """A call with one argument left open, the kinds of BAD it takes all the same, and what its errors name."""

    call: Callable[[Env, Any], object]
    takes: str
    names: str


CALLS: dict[str, Bad] = {
    "topics[name]": Bad(lambda e, v: e.client.topics[v], "str|long", "topic"),
    "name in topics": Bad(lambda e, v: v in e.client.topics, "str|bytes|non-ASCII|empty|long", "topic"),
    "topics.get": Bad(lambda e, v: e.client.topics.get(v), "str|bytes|non-ASCII|empty|long", "topic"),
    "get_group_coordinator": Bad(lambda e, v: e.client.cluster.get_group_coordinator(v), "str|long", "consumer_group"),
    "produce message": Bad(lambda e, v: e.producer.produce(v), "bytes|None", "message"),
    "produce partition_key": Bad(lambda e, v: e.producer.produce(b"", v), "bytes|None", "partition_key"),
    "produce timestamp": Bad(lambda e, v: e.producer.produce(b"", timestamp=v), "None|negative|zero", "timestamp"),
    "produce headers": Bad(lambda e, v: e.producer.produce(b"", headers=v), "None|empty", "header"),
    "produce a header's name": Bad(
        lambda e, v: e.producer.produce(b"", headers=[(v, b"")]), "str|non-ASCII|empty|long", "header"
    ),
    "produce a header's value": Bad(lambda e, v: e.producer.produce(b"", headers=[("a", v)]), "bytes|None", "header"),
    "produce on_delivery": Bad(lambda e, v: e.producer.produce(b"", on_delivery=v), "None|function", "on_delivery"),
    "produce_many values": Bad(lambda e, v: e.producer.produce_many(v), "list of None", "message|values"),
    "produce_many partition_key": Bad(lambda e, v: e.producer.produce_many([b""], v), "bytes|None", "partition_key"),
    "produce_many timestamp": Bad(
        lambda e, v: e.producer.produce_many([b""], None, v), "None|negative|zero", "timestamp"
    ),
    "flush": Bad(lambda e, v: e.producer.flush(v), "None|zero|huge|float|inf", "timeout"),
    "get_delivery_report": Bad(lambda e, v: e.producer.get_delivery_report(False, v), "None|zero|huge|float|inf", "timeout"),
    "result": Bad(lambda e, v: e.sent.result(v), "None|zero|huge|float|inf", "timeout"),
    "consume unblock_event": Bad(lambda e, v: e.consumer.consume(True, v), "None", "unblock_event"),
    "consume_batch max_messages": Bad(lambda e, v: e.consumer.consume_batch(v), "huge", "max_messages"),
    "consume_batch timeout_ms": Bad(lambda e, v: e.consumer.consume_batch(1, v), "None|zero|float|huge|inf", "timeout_ms"),
    "batches max_messages": Bad(lambda e, v: e.consumer.batches(v), "huge", "max_messages"),
    "batches timeout_ms": Bad(lambda e, v: e.consumer.batches(1, v), "None|zero|float|huge|inf", "timeout_ms"),
    "commit_offsets": Bad(lambda e, v: e.consumer.commit_offsets(v), "None|empty", "partition_offsets|pairs|Partition"),
    "commit_offsets offset": Bad(lambda e, v: e.consumer.commit_offsets([(e.partition, v)]), "zero", "offset"),
    "commit_offsets partition": Bad(lambda e, v: e.consumer.commit_offsets([(v, 1)]), "", "Partition"),
    "reset_offsets": Bad(lambda e, v: e.consumer.reset_offsets(v), "None|empty", "partition_offsets|pairs|Partition"),
    "reset_offsets where": Bad(lambda e, v: e.consumer.reset_offsets([(e.partition, v)]), "zero", "offset"),
    "reset_offsets partition": Bad(lambda e, v: e.consumer.reset_offsets([(v, 1)]), "", "Partition"),
    "seek partition": Bad(lambda e, v: e.consumer.seek(v, 1), "", "Partition"),
    "seek offset": Bad(lambda e, v: e.consumer.seek(e.partition, v), "zero", "offset"),
    "position": Bad(lambda e, v: e.consumer.position(v), "", "Partition"),
    "pause": Bad(lambda e, v: e.consumer.pause(v), "", "Partition"),
    "resume": Bad(lambda e, v: e.consumer.resume(v), "", "Partition"),
    "fetch_offset_limits": Bad(lambda e, v: e.topic.fetch_offset_limits(v), "negative|zero", "time"),
    "fetch_offset_limits max_offsets": Bad(lambda e, v: e.topic.fetch_offset_limits(-1, v), "", "max_offsets"),
    "fetch_offset_limit": Bad(lambda e, v: e.partition.fetch_offset_limit(v), "negative|zero", "time"),
    "fetch_offset_limit max_offsets": Bad(lambda e, v: e.partition.fetch_offset_limit(-1, v), "", "max_offsets"),
    "Topic.update": Bad(lambda e, v: e.topic.update(v), "", "metadata"),
    "Partition.update": Bad(lambda e, v: e.partition.update({}, v), "", "metadata"),
    "get_simple_consumer group": Bad(lambda e, v: e.topic.get_simple_consumer(v).stop(), "None|str|long|empty", "consumer_group"),
    "get_simple_consumer partitions": Bad(
        lambda e, v: e.topic.get_simple_consumer(partitions=v).stop(), "None|empty", "partitions"
    ),
    "Broker.connect": Bad(lambda e, v: e.client.brokers[1].connect(v), "", "attempts"),
    "request_metadata": Bad(lambda e, v: e.client.brokers[1].request_metadata(v), "None|dict", "topics"),
    "fetch_messages": Bad(lambda e, v: e.client.brokers[1].fetch_messages(v), "", "partition_requests"),
    "fetch_messages timeout": Bad(lambda e, v: e.client.brokers[1].fetch_messages([], v), "zero", "timeout"),
    "produce_messages": Bad(lambda e, v: e.client.brokers[1].produce_messages(v), "", "produce_request"),
    "request_offset_limits": Bad(lambda e, v: e.client.brokers[1].request_offset_limits(v), "", "partition_requests"),
    "commit_consumer_group_offsets group": Bad(
        lambda e, v: e.client.brokers[1].commit_consumer_group_offsets(v, -1, b"", []), "str|long|empty", "consumer_group"
    ),
    "commit_consumer_group_offsets generation": Bad(
        lambda e, v: e.client.brokers[1].commit_consumer_group_offsets(b"g", v, b"", []), "zero|negative", "generation"
    ),
    "commit_consumer_group_offsets preqs": Bad(
        lambda e, v: e.client.brokers[1].commit_consumer_group_offsets(b"g", -1, b"", v), "", "partition_requests|preqs"
    ),
    "fetch_consumer_group_offsets group": Bad(
        lambda e, v: e.client.brokers[1].fetch_consumer_group_offsets(v, []), "str|long|empty", "consumer_group"
    ),
    "fetch_consumer_group_offsets preqs": Bad(
        lambda e, v: e.client.brokers[1].fetch_consumer_group_offsets(b"g", v), "", "partition_requests|preqs"
    ),
    "join_group group": Bad(
        lambda e, v: e.client.brokers[1].join_group(1, v, b"", b"t", RangeProtocol), "str|long|empty", "consumer_group"
    ),
    "join_group member": Bad(
        lambda e, v: e.client.brokers[1].join_group(1, b"g", v, b"t", RangeProtocol), "str|long|empty|non-ASCII", "member_id"
    ),
    "join_group topic": Bad(
        lambda e, v: e.client.brokers[1].join_group(1, b"g", b"", v, RangeProtocol), "str|long|empty", "topic_name"
    ),
    "join_group protocol": Bad(
        lambda e, v: e.client.brokers[1].join_group(1, b"g", b"", b"t", v), "", "membership_protocol"
    ),
    "sync_group generation": Bad(
        lambda e, v: e.client.brokers[1].sync_group(1, b"g", v, b"m", []), "zero", "generation_id"
    ),
    "sync_group assignment": Bad(
        lambda e, v: e.client.brokers[1].sync_group(1, b"g", 1, b"m", v), "", "group_assignment"
    ),
    "sync_group a share": Bad(
        lambda e, v: e.client.brokers[1].sync_group(1, b"g", 1, b"m", [(b"m", v)]), "bytes", "group_assignment"
    ),
    "heartbeat group": Bad(lambda e, v: e.client.brokers[1].heartbeat(1, v, 1, b"m"), "str|long|empty", "consumer_group"),
    "heartbeat generation": Bad(lambda e, v: e.client.brokers[1].heartbeat(1, b"g", v, b"m"), "zero", "generation_id"),
    "leave_group member": Bad(
        lambda e, v: e.client.brokers[1].leave_group(1, b"g", v), "str|long|empty|non-ASCII", "member_id"
    ),
    "describe_groups": Bad(lambda e, v: e.client.brokers[1].describe_groups(v), "", "group_ids"),
    "describe_groups one": Bad(
        lambda e, v: e.client.brokers[1].describe_groups([v]), "str|long|empty|non-ASCII", "group_ids"
    ),
    "decide_partitions_range participants": Bad(
        lambda e, v: decide_partitions_range(v, e.topic.partitions, b"m"), "", "participant"
    ),
    "decide_partitions_roundrobin partitions": Bad(
        lambda e, v: decide_partitions_roundrobin([b"m"], v, b"m"), "dict", "partitions"
    ),
    "decide_partitions_roundrobin consumer_id": Bad(
        lambda e, v: decide_partitions_roundrobin([b"m"], e.topic.partitions, v), "", "consumer_id"
    ),
    "MemberAssignment": Bad(lambda _e, v: MemberAssignment(v), "", "partition_assignment"),
    "MemberAssignment partitions": Bad(lambda _e, v: MemberAssignment([(b"t", v)]), "list|tuple|set", "partition_assignment"),
    "ConsumerGroupProtocolMetadata topics": Bad(
        lambda _e, v: ConsumerGroupProtocolMetadata(0, v), "None|dict", "topic_names"
    ),
    "get_balanced_consumer group": Bad(
        lambda e, v: e.topic.get_balanced_consumer(v, True, auto_start=False), "str", "consumer_group"
    ),
    "client.get_balanced_consumer topics": Bad(
        lambda e, v: e.client.get_balanced_consumer("g", v, auto_start=False), "", "topic"
    ),
    "client.get_balanced_consumer pattern": Bad(
        lambda e, v: e.client.get_balanced_consumer("g", None, v, auto_start=False), "str|non-ASCII", "pattern"
    ),
    "client.get_balanced_consumer a topic": Bad(
        lambda e, v: e.client.get_balanced_consumer("g", [v], auto_start=False), "str|long", "topic"
    ),
    "client.get_balanced_consumer group": Bad(
        lambda e, v: e.client.get_balanced_consumer(v, ["t"], auto_start=False), "str", "consumer_group"
    ),
    "balanced commit_offsets": Bad(
        lambda e, v: balanced(e, True).commit_offsets(v), "", "partition_offsets|pairs|Partition|start"
    ),
    "get_balanced_consumer managed": Bad(
        lambda e, v: e.topic.get_balanced_consumer("g", v, auto_start=False), "bool|zero", "managed"
    ),
    "create_topics": Bad(lambda e, v: e.client.brokers[1].create_topics(v), "", "topic_reqs"),
    "create_topics timeout": Bad(lambda e, v: e.client.brokers[1].create_topics([], v), "zero", "timeout"),
    "create_topics name": Bad(
        lambda e, v: e.client.brokers[1].create_topics([CreateTopicRequest(v, 1, 1)]), "str|long", "topic_name"
    ),
    "create_topics partitions": Bad(
        lambda e, v: e.client.brokers[1].create_topics([CreateTopicRequest("x", v, 1)]), "", "num_partitions"
    ),
    "create_topics replicas": Bad(
        lambda e, v: e.client.brokers[1].create_topics([CreateTopicRequest("x", 1, v)]), "", "replication_factor"
    ),
    "delete_topics": Bad(lambda e, v: e.client.brokers[1].delete_topics(v), "dict", "topics"),
    "delete_topics timeout": Bad(lambda e, v: e.client.brokers[1].delete_topics([], v), "zero", "timeout"),
    "HashingPartitioner": Bad(lambda _e, v: HashingPartitioner(v), "None|function", "hash_func"),
    "GroupHashingPartitioner": Bad(lambda _e, v: GroupHashingPartitioner(v), "function", "hash_func"),
    "GroupHashingPartitioner group_size": Bad(lambda _e, v: GroupHashingPartitioner(hash, v), "huge", "group_size"),
    "RandomPartitioner of nothing": Bad(lambda _e, _v: RandomPartitioner()([]), "", "partitions"),
    "HashingPartitioner of nothing": Bad(lambda _e, _v: HashingPartitioner()([], b"k"), "", "partitions"),
    "deserialize_utf8 value": Bad(lambda _e, v: deserialize_utf8(v, None), "None", "value|utf-8"),
    "deserialize_utf8 key": Bad(lambda _e, v: deserialize_utf8(None, v), "None", "partition_key|utf-8"),
    "Message timestamp": Bad(lambda _e, v: Message(b"").set_timestamp(v), "negative|zero", "timestamp"),
    "KafkaClient ssl_config": Bad(lambda e, v: KafkaClient(e.broker.hosts, ssl_config=v).close(), "None", "ssl_config"),
    "SslConfig cafile": Bad(lambda _e, v: SslConfig(v).context(), "None", "cafile"),
}


@pytest.mark.parametrize("name", CALLS)
def test_what_a_call_cannot_take_is_a_named_error_that_changes_nothing(env: Env, name: str) -> None:
    bad = CALLS[name]
    taken = bad.takes.split("|")
    assert set(taken) <= {*BAD, ""}
    for kind in [kind for kind in BAD if kind not in taken]:
        before = env.state()
        with pytest.raises(NAMED) as caught:
            bad.call(env, BAD[kind])
        words = str(caught.value)
        assert any(one in words for one in bad.names.split("|")), (kind, words)
        assert len(words) < 500, kind
        assert env.state() == before, kind
    env.producer.produce(b"still working").result(10)
    assert env.consumer.consume(block=False) is not False


def balanced(env: Env, managed: bool, **options: Any) -> BalancedConsumer:
    """Return a balanced consumer that is not started."""
    return env.topic.get_balanced_consumer(**{"consumer_group": "g", "managed": managed, "auto_start": False, **options})


#: Class -> its table of options and how to make one.
OPTIONS: dict[str, tuple[Any, Callable[..., Any]]] = {
    "KafkaClient": (CLIENT, lambda env, **options: KafkaClient(**{"hosts": env.broker.hosts, **options})),
    "Producer": (PRODUCER, lambda env, **options: env.topic.get_producer(auto_start=False, **options)),
    "SimpleConsumer": (CONSUMER, lambda env, **options: env.topic.get_simple_consumer(auto_start=False, **options)),
    "ManagedBalancedConsumer": (MANAGED, lambda env, **options: balanced(env, True, **options)),
    "BalancedConsumer": (BALANCED, lambda env, **options: balanced(env, False, **options)),
}


#: Options that the table lets pass: one that PyKafka had retired, and one that needs the topic (see CALLS).
WHATEVER = (
    "generation_id", "partitions", "zookeeper_connection_timeout_ms", "zookeeper_connect", "zookeeper",
)  # fmt: skip


def refuses(option: Option, value: Any) -> bool:
    """Return whether the table of options itself refuses a value."""
    try:
        option.check(value)
    except (TypeError, ValueError, KafkaException, UnicodeException):
        return True
    return False


@pytest.mark.parametrize(
    ("cls", "name"),
    [(cls, name) for cls, (table, _make) in OPTIONS.items() for name in table if name not in ("auto_start", "zookeeper_hosts")],
)
def test_an_option_that_is_not_right_is_an_error_that_names_it(env: Env, cls: str, name: str) -> None:
    table, make = OPTIONS[cls]
    refused = 0
    for value in BAD.values():
        if refuses(table[name], value):
            refused += 1
            with pytest.raises((KafkaConfigError, ImportError), match=name):
                make(env, **{name: value})
    assert refused or name in WHATEVER


def without(field: str) -> Any:
    """Return a way of sharing that lacks something."""
    fields = RangeProtocol._asdict()
    del fields[field]
    return SimpleNamespace(**fields)


OWN_SHARING = RangeProtocol._replace(protocol_name=b"mine")
#: What is right by itself, but not together: options, and what the error says.
TOGETHER: dict[str, tuple[dict[str, Any], str]] = {
    "a heartbeat as long as the session": (
        {"heartbeat_interval_ms": 1000, "session_timeout_ms": 1000},
        "heartbeat_interval_ms=1000 must be below session_timeout_ms=1000",
    ),
    "a session shorter than the usual heartbeat": (
        {"session_timeout_ms": 2999},
        "heartbeat_interval_ms=3000 must be below session_timeout_ms=2999",
    ),
    "a way of sharing of one's own where the broker shares out": (
        {"membership_protocol": OWN_SHARING, "group_protocol": "consumer"},
        "membership_protocol: .* needs group_protocol='classic' or 'auto'",
    ),
    "one among others": (
        {"membership_protocol": [RangeProtocol, OWN_SHARING], "group_protocol": "consumer"},
        "membership_protocol: .* needs group_protocol='classic' or 'auto'",
    ),
    "no way of sharing": ({"membership_protocol": []}, r"membership_protocol=\[\]: must not be empty"),
    "a way of sharing that is none": ({"membership_protocol": [RangeProtocol, None]}, "GroupMembershipProtocol .*not None"),
    "an instance id that is too long": ({"group_instance_id": "a" * 32768}, "group_instance_id=.*1 to 32767 ASCII"),
    "an instance id that is not ASCII": ({"group_instance_id": "\u00fc"}, "group_instance_id=.* must be ASCII"),
    "a group that is too long": ({"consumer_group": "a" * 32768}, "consumer_group=.*1 to 32767 ASCII"),
    "a protocol that there is not": ({"group_protocol": "Classic"}, "group_protocol='Classic': must be one of 'auto', 'classic'"),
    **{
        f"a way of sharing without {field}": ({"membership_protocol": without(field)}, "must be a GroupMembershipProtocol like")
        for field in RangeProtocol._fields
    },
}  # fmt: skip


@pytest.mark.parametrize("managed", [True, False])
@pytest.mark.parametrize("name", TOGETHER)
@pytest.mark.filterwarnings("ignore:there is no ZooKeeper any more:DeprecationWarning")
def test_options_of_a_group_that_do_not_go_together_are_an_error_that_names_them(env: Env, name: str, managed: bool) -> None:
    options, words = TOGETHER[name]
    with pytest.raises(KafkaConfigError, match=words):
        balanced(env, managed, **options)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "topics or pattern is needed"),
        (([],), "topics or pattern is needed"),
        ((None, "("), "pattern='\\(' is no regular expression"),
        (([], ""), "pattern must have 1 to 32767 characters, not 0"),
        ((["t"], "a" * 32768), "pattern must have 1 to 32767 characters, not 32768"),
    ],
)
def test_a_group_has_to_be_told_what_to_read(env: Env, arguments: tuple[Any, ...], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        env.client.get_balanced_consumer("g", *arguments, auto_start=False)


def test_a_member_that_was_never_started_can_be_stopped_and_says_that_it_is_none(env: Env) -> None:
    consumer = balanced(env, True)
    for _twice in range(2):
        consumer.stop()
        with pytest.raises(ConsumerStoppedException, match=r"no member of a group: start\(\) it first"):
            consumer.group_status()


@pytest.mark.parametrize("cls", OPTIONS)
def test_an_unknown_option_is_an_error_that_names_the_nearest(env: Env, cls: str) -> None:
    table, make = OPTIONS[cls]
    known = next(name for name in table if name.endswith("_ms"))
    with pytest.raises(KafkaConfigError, match=f"did you mean {known}"):
        make(env, **{known.replace("_ms", "_sm"): 1})


# -- closed, and twice ------------------------------------------------------------------------------------------------

STOPPED_PRODUCER: dict[str, Callable[[Producer], object]] = {
    "produce": lambda producer: producer.produce(b"x"),
    "produce_many": lambda producer: producer.produce_many([b"x"]),
    "flush": lambda producer: producer.flush(),
}
STOPPED_CONSUMER: dict[str, Callable[[SimpleConsumer, Any], object]] = {
    "consume": lambda consumer, _: consumer.consume(),
    "consume at once": lambda consumer, _: consumer.consume(block=False),
    "consume_batch": lambda consumer, _: consumer.consume_batch(),
    "batches": lambda consumer, _: next(consumer.batches()),
    "for": lambda consumer, _: list(consumer),
    "fetch": lambda consumer, _: consumer.fetch(),
    "seek": lambda consumer, partition: consumer.seek(partition, 0),
    "pause": lambda consumer, partition: consumer.pause([partition]),
    "resume": lambda consumer, partition: consumer.resume([partition]),
}
CLOSED_CLIENT: dict[str, Callable[[KafkaClient], object]] = {
    "update_cluster": lambda client: client.update_cluster(),
    "a new topic": lambda client: client.topics["another"],
    "in topics": lambda client: "another" in client.topics,
    "get_producer": lambda client: client.topics["t"].get_producer(),
    "get_simple_consumer": lambda client: client.topics["t"].get_simple_consumer("g"),
    "offsets": lambda client: client.topics["t"].latest_available_offsets(),
    "coordinator": lambda client: client.cluster.get_group_coordinator("g"),
    "create_topics": lambda client: client.brokers[1].create_topics([CreateTopicRequest("x", 1, 1)]),
    "join_group": lambda client: client.brokers[1].join_group("c", b"g", b"", b"t", RangeProtocol),
    "list_groups": lambda client: client.brokers[1].list_groups(),
    "get_managed_group_descriptions": lambda client: client.cluster.get_managed_group_descriptions(),
    "connect": lambda client: client.brokers[1].connect(),
}


@pytest.mark.parametrize("name", STOPPED_PRODUCER)
def test_a_stopped_producer_says_so_and_can_be_started_again(env: Env, name: str) -> None:
    producer = env.topic.get_producer(linger_ms=0)
    for _twice in range(2):
        producer.stop()
        producer.stop()
        with pytest.raises(ProducerStoppedException, match="start"):
            STOPPED_PRODUCER[name](producer)
        producer.start()
        producer.start()
        producer.produce(b"again").result(10)
    producer.stop()


@pytest.mark.parametrize("name", STOPPED_CONSUMER)
def test_a_stopped_consumer_says_so_and_can_be_started_again(env: Env, name: str) -> None:
    consumer = env.topic.get_simple_consumer(consumer_timeout_ms=5000)
    for _twice in range(2):
        consumer.stop()
        consumer.stop()
        with pytest.raises(ConsumerStoppedException, match="start"):
            STOPPED_CONSUMER[name](consumer, env.partition)
        consumer.start()
        consumer.start()
        assert consumer.consume() is not None
    consumer.stop()


@pytest.mark.parametrize("name", CLOSED_CLIENT)
def test_a_closed_client_says_so_at_once(name: str) -> None:
    with fake_broker() as broker:
        client = KafkaClient(broker.hosts)
        topic = client.topics["t"]
        client.close()
        client.close()
        with pytest.raises(KafkaException, match="clos"):
            CLOSED_CLIENT[name](client)
        assert topic.name == b"t"


@pytest.mark.parametrize("where", [-3, -100])
def test_a_number_below_the_offset_types_is_no_time(where: int, env: Env) -> None:
    for look_up in (env.topic.fetch_offset_limits, env.partition.fetch_offset_limit):
        with pytest.raises(ValueError, match=f"the time must be .* not {where}"):
            look_up(where)
