"""Settings of topics that are changed, and records that are deleted: every field of every answer is as on a real broker."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Optional

import pytest

from pykafka import KafkaClient
from pykafka.exceptions import MessageSizeTooLarge
from pykafka.protocol import messages as m
from pykafka.testing import FakeCluster
from pykafka.testing.settings import TOPIC_SETTINGS

from .. import needs
from ..brokers import KafkaCluster
from .peer import (
    Comparer,
    Peer,
    Play,
    Plays,
    answers,
    batch,
    differences,
    list_offsets,
    new_topic,
    peer_of,
    produce,
    read,
    write,
)

# kafka-python reads its schemas in a way that Python warns of
pytestmark = pytest.mark.filterwarnings("ignore:(read|open)_text is deprecated:DeprecationWarning")

PLAYS = Plays()
play = PLAYS.add
SET, DELETE, APPEND, SUBTRACT = range(4)
TOPIC, BROKER, GROUP = 2, 4, 32
LISTED = "cleanup.policy"
#: Every setting that has a least value, with one that is too small, and those of which there are only some.
WRONG = [
    *((f"{one}.ms", "-1") for one in ("delete.retention", "file.delete.delay", "flush", "min.compaction.lag", "segment.jitter")),
    *((f"message.timestamp.{one}.max.ms", "-1") for one in ("after", "before")),
    *((f"{one}.bytes", "-1") for one in ("max.message", "index.interval")),
    *(("segment.ms", "0"), ("max.compaction.lag.ms", "0"), ("flush.messages", "0"), ("min.insync.replicas", "0")),
    *(("retention.ms", "-2"), ("segment.bytes", "1048575"), ("segment.index.bytes", "3")),
    *(("min.cleanable.dirty.ratio", one) for one in ("-0.5", "1.5", "x")),
    *(("retention.ms", one) for one in ("", "x", "1.5", "1_000", str(2**63))),
    *(("max.message.bytes", one) for one in ("", "x", str(2**31))),
    *(("preallocate", one) for one in ("", "maybe")),
    *(("cleanup.policy", one) for one in ("what", "delete,what", "Delete")),
    *(("compression.type", "what"), ("message.timestamp.type", "what"), ("message.timestamp.type", "")),
    *(("nothing", "1"), ("", "1")),
]
RIGHT = [
    *(("retention.ms", "-1"), ("retention.bytes", "-5"), ("preallocate", "TRUE"), ("min.cleanable.dirty.ratio", "1")),
    *(("cleanup.policy", "delete,compact"), ("cleanup.policy", ""), ("compression.type", "zstd"), ("segment.bytes", "1048576")),
]


def alter(topic: str, *configs: tuple[str, Optional[str]], kind: int = TOPIC, validate_only: bool = False) -> Any:
    """Return a request to have a topic be set as is said and by default in everything else."""
    made = m.AlterConfigsRequest
    rows = [made.AlterableConfig(name=name, value=value) for name, value in configs]
    resource = made.AlterConfigsResource(resource_type=kind, resource_name=topic, configs=rows)
    return made(resources=[resource], validate_only=validate_only)


def change(topic: str, *configs: tuple[str, int, Optional[str]], kind: int = TOPIC, validate_only: bool = False) -> Any:
    """Return a request to change single settings."""
    made = m.IncrementalAlterConfigsRequest
    rows = [made.AlterableConfig(name=name, config_operation=what, value=value) for name, what, value in configs]
    resource = made.AlterConfigsResource(resource_type=kind, resource_name=topic, configs=rows)
    return made(resources=[resource], validate_only=validate_only)


def settings_of(peer: Peer, topic: str) -> dict[str, str]:
    """Return what was set for a topic."""
    made = m.DescribeConfigsRequest
    resource = made.DescribeConfigsResource(resource_type=TOPIC, resource_name=topic, configuration_keys=None)
    (row,) = peer.ask(made(resources=[resource])).results
    return {config.name: config.value for config in row.configs if config.config_source == 1}


def until_set(peer: Peer, topic: str, **wanted: str) -> dict[str, str]:
    """Return what was set for a topic once it is that: a broker hears of it from its controller."""
    deadline = time.monotonic() + 10
    expected = {name.replace("_", "."): value for name, value in wanted.items()}
    while (found := settings_of(peer, topic)) != expected:
        assert time.monotonic() < deadline, (found, expected)
        time.sleep(0.02)
    return found


def deleting(*rows: tuple[str, list[tuple[int, int]]]) -> Any:
    """Return a request to have partitions begin at offsets."""
    made = m.DeleteRecordsRequest
    topics = [
        made.DeleteRecordsTopic(
            name=name, partitions=[made.DeleteRecordsPartition(partition_index=at, offset=offset) for at, offset in places]
        )
        for name, places in rows
    ]
    return made(topics=topics, timeout_ms=5000)


@play
def all_settings_of_a_topic(peer: Peer, topic: str) -> Iterator[Any]:
    new_topic(peer, topic, max_message_bytes="2000")
    yield peer.ask(alter(topic, ("retention.ms", "60000"), (LISTED, "compact"), validate_only=True))
    for version in range(3):
        yield peer.ask(alter(topic, ("retention.ms", "60000"), ("max.message.bytes", "3000")), version)
    yield until_set(peer, topic, retention_ms="60000", max_message_bytes="3000")
    yield peer.ask(alter(topic, ("retention.ms", "1"), ("retention.ms", "2")))
    yield peer.ask(alter(topic, ("retention.ms", None)))
    yield peer.ask(alter(topic, (LISTED, "compact")))
    yield until_set(peer, topic, cleanup_policy="compact")
    yield peer.ask(alter(topic))
    yield until_set(peer, topic)


@play
def all_that_a_topic_is_set_to_by_default(peer: Peer, topic: str) -> Iterator[Any]:
    new_topic(peer, topic)
    made = m.DescribeConfigsRequest
    resource = made.DescribeConfigsResource(resource_type=TOPIC, resource_name=topic, configuration_keys=None)
    for version in range(1, 5):
        (row,) = peer.ask(made(resources=[resource]), version).results
        yield sorted(
            (config.name, config.value, config.config_type, config.read_only, config.is_sensitive)
            for config in row.configs
            # without what a fake does not have, and what the tests' brokers are set to
            if config.name in TOPIC_SETTINGS.keys() - {"retention.ms", "segment.index.bytes"}
        )


@play
def single_settings_of_a_topic(peer: Peer, topic: str) -> Iterator[Any]:
    new_topic(peer, topic, max_message_bytes="2000")
    yield peer.ask(change(topic, ("retention.ms", SET, "60000"), validate_only=True))
    for version in range(2):
        yield peer.ask(change(topic, ("retention.ms", SET, "60000"), ("nothing", DELETE, None)), version)
    yield until_set(peer, topic, retention_ms="60000", max_message_bytes="2000")
    yield peer.ask(change(topic, ("retention.ms", DELETE, "5")))
    yield until_set(peer, topic, max_message_bytes="2000")
    for what, value, has in (
        (APPEND, "compact", "delete,compact"),
        (APPEND, "compact,delete", "delete,compact"),
        (SUBTRACT, "delete", "compact"),
        (SUBTRACT, "compact", ""),
        (APPEND, "", ""),
        (APPEND, "delete", "delete"),
    ):
        yield peer.ask(change(topic, (LISTED, what, value)))
        yield until_set(peer, topic, cleanup_policy=has, max_message_bytes="2000")
    for bad in (
        [("retention.ms", APPEND, "5")],
        [("retention.ms", SUBTRACT, "5")],
        [("retention.ms", 7, "5")],
        [("nothing", APPEND, "1")],
        [("retention.ms", SET, None)],
        [(LISTED, APPEND, None)],
        [(LISTED, APPEND, "what")],
        [("retention.ms", SET, "1"), ("retention.ms", DELETE, None)],
        [("max.message.bytes", SET, "5"), ("retention.ms", SET, "x")],
    ):
        yield peer.ask(change(topic, *bad))
    yield until_set(peer, topic, cleanup_policy="delete", max_message_bytes="2000")


@play
def values_that_can_and_cannot_be(peer: Peer, topic: str) -> Iterator[Any]:
    new_topic(peer, topic)
    for name, value in WRONG:
        yield peer.ask(change(topic, (name, SET, value)))
        yield peer.ask(alter(topic, (name, value)))
    for name, value in RIGHT:
        yield peer.ask(change(topic, (name, SET, value), validate_only=True))


@play
def what_is_not_there_to_be_changed(peer: Peer, topic: str) -> Iterator[Any]:
    for request in (alter, change):
        for name in (topic, "", "a b"):
            yield peer.ask(request(name))  # type: ignore[operator]
        yield peer.ask(request("x", kind=3))  # type: ignore[operator]
        both = request(topic)  # type: ignore[operator]
        both.resources = []
        yield peer.ask(both)


@play
def a_topic_follows_what_it_is_set_to(peer: Peer, topic: str) -> Iterator[Any]:
    new_topic(peer, topic)
    yield write(peer, b"x" * 500, topic=topic).error_code
    peer.ask(change(topic, ("max.message.bytes", SET, "300")))
    deadline = time.monotonic() + 10
    while not (error := write(peer, b"x" * 500, topic=topic).error_code):
        assert time.monotonic() < deadline
    yield error
    peer.ask(change(topic, ("max.message.bytes", DELETE, None)))
    while write(peer, b"x" * 500, topic=topic).error_code:
        assert time.monotonic() < deadline


@play
def records_are_deleted(peer: Peer, topic: str) -> Iterator[Any]:
    new_topic(peer, topic, 2)
    for _ in range(4):
        peer.ask(produce(topic, batch(b"a", b"b")), 12)
    for version in range(3):
        yield peer.ask(deleting((topic, [(0, version + 1)])), version)
    yield peer.ask(list_offsets(topic, -2))
    yield read(peer, 2, topic=topic).error_code, read(peer, 3, topic=topic).error_code
    for rows in (
        [(topic, [(0, 2)])],
        [(topic, [(0, 9)])],
        [(topic, [(0, -2)])],
        [(topic, [(0, 4), (1, 0), (7, 0), (-1, 0)])],
        [(topic, [(0, 9), (0, 5)])],
        [(topic, [(0, 6)]), (topic, [(1, 0)])],
        [(topic, [(0, -1), (1, -1)])],
        [(topic + "-no", [(0, 0)])],
        [(topic, [])],
        [],
    ):
        answer = peer.ask(deleting(*rows))
        for row in answer.topics:
            row.partitions.sort(key=lambda one: int(one.partition_index))
        yield answer
    yield peer.ask(list_offsets(topic, -2, -1))


@play
def records_of_topics_that_are_compacted(peer: Peer, topic: str) -> Iterator[Any]:
    for number, policy in enumerate(("compact", "compact,delete", "delete")):
        new_topic(peer, f"{topic}-{number}", cleanup_policy=policy)
        yield peer.ask(deleting((f"{topic}-{number}", [(0, 0)])))


@pytest.mark.kafka(since="4.4")
@pytest.mark.parametrize("act", PLAYS, ids=lambda act: act.__name__)
def test_a_fake_cluster_changes_settings_and_deletes_records_as_a_real_one(
    act: Play, kafka: KafkaCluster, topic_name: str
) -> None:
    expected = answers(act, kafka.hosts, topic_name, Comparer())
    with FakeCluster() as fake:
        assert list(differences(answers(act, fake.hosts, topic_name, Comparer()), expected)) == []
        assert fake.complaints == []


def test_settings_of_brokers_and_groups_are_not_changed_and_who_wants_it_is_told() -> None:
    with FakeCluster() as fake, peer_of(fake.hosts) as peer:
        for kind in (BROKER, GROUP):
            (row,) = peer.ask(change("1", ("num.partitions", SET, "5"), kind=kind)).responses
            assert (row.error_code, row.error_message) == (42, "This fake cluster changes settings of topics only.")


@pytest.mark.parametrize(
    ("api", "rows"), [("AlterConfigs", "responses"), ("IncrementalAlterConfigs", "responses"), ("DescribeConfigs", "results")]
)
def test_a_request_about_settings_fails_for_the_topic_that_a_test_wants_it_to_fail_for(api: str, rows: str) -> None:
    request: Any = getattr(m, f"{api}Request")
    made = request.DescribeConfigsResource if api == "DescribeConfigs" else request.AlterConfigsResource
    with FakeCluster(topics={"t": 1, "u": 1}) as fake, peer_of(fake.hosts) as peer:
        fake.fail_next(api, 41, topic="t")
        for names, errors in (("u", [0]), ("tu", [41, 0]), ("tu", [0, 0])):
            answer = peer.ask(request(resources=[made(resource_type=TOPIC, resource_name=name) for name in names]))
            assert [row.error_code for row in getattr(answer, rows)] == errors


@pytest.mark.parametrize("version", ["4.4", "2.8", "2.0"])
def test_kafka_pythons_admin_client_changes_settings_and_deletes_records(version: str) -> None:
    kafka = needs.package("kafka.admin")
    place = needs.package("kafka").TopicPartition("t", 0)
    with FakeCluster(brokers=3, topics={"t": 1}, as_version=version) as fake:
        fake.produce("t", [b"a", b"b", b"c"])
        admin = kafka.KafkaAdminClient(bootstrap_servers=fake.hosts)

        def alter_to(value: str) -> str:
            resource = kafka.ConfigResource("TOPIC", "t", configs={"max.message.bytes": value})
            return str(admin.alter_configs([resource])["topic"]["t"])

        try:
            assert alter_to("200") == "OK" and "Not a number of type INT" in alter_to("x")
            assert admin.delete_records({place: 2})[place]["low_watermark"] == 2
        finally:
            admin.close()
        assert fake.values("t") == [b"c"]
        # before 2.3 there was only the request that replaces them all
        asked = {seen.NAME for name in ("AlterConfigs", "IncrementalAlterConfigs") for seen in fake.requests.seen(name)}
        assert asked == {"AlterConfigs" if version == "2.0" else "IncrementalAlterConfigs"}
        with KafkaClient(fake.hosts) as client, client.topics["t"].get_sync_producer() as producer:
            producer.produce(b"x" * 20)
            with pytest.raises(MessageSizeTooLarge):
                producer.produce(b"x" * 300)


@pytest.mark.parametrize("version", ["4.4", "2.8"])
def test_librdkafkas_admin_client_changes_settings_and_deletes_records(version: str) -> None:
    admin, confluent = needs.package("confluent_kafka.admin"), needs.package("confluent_kafka")
    with FakeCluster(brokers=3, topics={"t": 1}, as_version=version) as fake:
        fake.produce("t", [b"a", b"b", b"c"])
        client = admin.AdminClient({"bootstrap.servers": fake.hosts, "log_level": 0})

        def ask(**configs: Any) -> Any:
            entries = [
                admin.ConfigEntry(name.replace("_", "."), value, incremental_operation=operation)
                for name, (operation, value) in configs.items()
            ]
            resource = admin.ConfigResource(admin.ConfigResource.Type.TOPIC, "t", incremental_configs=entries)
            return client.incremental_alter_configs([resource])[resource].result(10)

        kinds = admin.AlterConfigOpType
        ask(max_message_bytes=(kinds.SET, "200"), cleanup_policy=(kinds.APPEND, "compact"))
        resource = admin.ConfigResource(admin.ConfigResource.Type.TOPIC, "t")
        found = client.describe_configs([resource])[resource].result(10)
        assert (found["max.message.bytes"].value, found["cleanup.policy"].value) == ("200", "delete,compact")
        with pytest.raises(Exception, match="Not a number of type INT"):
            ask(max_message_bytes=(kinds.SET, "x"))
        place = confluent.TopicPartition("t", 0, 2)
        assert client.delete_records([place])[place].result(10).low_watermark == 2
        with pytest.raises(Exception, match="OFFSET_OUT_OF_RANGE|out of range"):
            client.delete_records([confluent.TopicPartition("t", 0, 9)])[confluent.TopicPartition("t", 0, 9)].result(10)
        assert fake.values("t") == [b"c"]
