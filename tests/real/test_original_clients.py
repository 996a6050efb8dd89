"""What programs written for PyKafka 2.8 do with clients, topics, brokers, errors and processes, run against a real broker."""

from __future__ import annotations

import logging
import socket
import time
from itertools import islice

import pytest

import pykafka
from pykafka import KafkaClient
from pykafka.broker import CreateTopicRequest
from pykafka.common import OffsetType
from pykafka.exceptions import (
    KafkaException,
    NoBrokersAvailableError,
    ProtocolClientError,
    TopicAlreadyExists,
    UnicodeException,
    UnknownTopicOrPartition,
)

from ..brokers import KafkaCluster
from ..support import read_all, until, values
from .original import MakeTopic, all_of, fill, places, script

# -- clients and topics -----------------------------------------------------------------------------------------------


def test_names_are_bytes_inside_and_text_or_bytes_at_every_door(kafka: KafkaCluster, make_topic: MakeTopic) -> None:
    made = make_topic(2)
    name = made.name.decode()
    client = KafkaClient(kafka.hosts)
    topic = client.topics[name]
    assert topic is client.topics[name.encode()] and topic.name == made.name and isinstance(topic.name, bytes)
    assert name in client.topics and made.name in client.topics
    assert "no-such-topic" not in client.topics and b"no-such-topic" not in client.topics and "häßlich" not in client.topics
    assert made.name in list(client.topics) and made.name in client.topics.keys()  # noqa: SIM118  # as it was written
    assert dict(client.topics.items())[made.name] is topic and topic in client.topics.values()
    assert client.topics.get(name) is topic and client.topics.get(b"no-such-topic") is None
    assert name in str(client.topics) and len(client.topics) == len(list(client.topics))
    client.close()


def test_internal_topics_are_hidden_unless_asked_for(kafka: KafkaCluster, make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    topic.get_simple_consumer(topic.name).stop()  # which makes the group's coordinator have its own topic
    with KafkaClient(kafka.hosts) as client:
        assert b"__consumer_offsets" not in client.topics and b"__consumer_offsets" not in list(client.topics)
        with pytest.raises(KeyError):
            client.topics["__consumer_offsets"]
    with KafkaClient(kafka.hosts, exclude_internal_topics=False) as client:
        assert b"__consumer_offsets" in client.topics and b"__consumer_offsets" in list(client.topics)
        assert 0 in client.topics["__consumer_offsets"].partitions


def test_a_topic_is_made_by_naming_it(client: KafkaClient, topic_name: str) -> None:
    assert topic_name.encode() not in client.topics
    topic = client.topics[topic_name.encode()]
    with topic.get_sync_producer() as producer:
        producer.produce(b"first")
    assert topic_name.encode() in client.topics and values(read_all(topic, 1)) == [b"first"]


def test_topics_are_made_and_deleted_through_any_broker_and_the_controller(client: KafkaClient, topic_name: str) -> None:
    broker = client.brokers[next(iter(client.brokers))]
    request = CreateTopicRequest(topic_name.encode(), 3, 1, [], [("retention.ms", "60000")])
    broker.create_topics([request], timeout=10000)
    with pytest.raises(TopicAlreadyExists):
        client.cluster.controller_broker.create_topics([request])  # type: ignore[union-attr]
    client.update_cluster()
    until(lambda: len(client.topics[topic_name].partitions) == 3, what="three partitions")
    client.cluster.controller_broker.delete_topics([topic_name.encode()], timeout=10000)  # type: ignore[union-attr]
    until(lambda: client.update_cluster() or topic_name not in client.topics, what="the end of the topic")
    with pytest.raises(ProtocolClientError):
        broker.delete_topics([topic_name])


def test_what_another_client_made_is_seen_after_an_update(kafka: KafkaCluster, make_topic: MakeTopic) -> None:
    with KafkaClient(kafka.hosts) as client:
        name = make_topic(2).name
        client.update_cluster()
        assert name in list(client.topics)
        assert client.cluster.topics is client.topics and list(client.cluster.brokers) == list(client.brokers)


def test_what_programs_print_of_brokers_and_partitions(kafka: KafkaCluster, client: KafkaClient, make_topic: MakeTopic) -> None:
    topic = make_topic(12)
    assert list(topic.partitions) == list(range(12))
    assert [partition.id for partition in topic.partitions.values()] == list(range(12))
    for number, partition in topic.partitions.items():
        leader = partition.leader
        assert leader is not None and client.brokers[leader.id].id == leader.id
        assert b"%s:%d" % (leader.host, leader.port) == kafka.hosts.encode()
        assert [broker.id for broker in partition.replicas] == [broker.id for broker in partition.isr] == [leader.id]
        assert partition.topic is topic and str(number) in str(partition)
    assert sorted(topic.partitions.values(), key=lambda partition: partition.id) == sorted(topic.partitions.values())
    assert {topic.partitions[0]: 1}[client.topics[topic.name].partitions[0]] == 1
    assert topic.name.decode() in str(topic) and kafka.hosts in str(client)


def test_numbers_of_all_topics_for_a_dashboard(client: KafkaClient, make_topic: MakeTopic) -> None:
    topic = make_topic(2)
    fill(topic, 7, 5)
    sizes = {}
    for name in client.topics:
        if name == topic.name:
            latest = client.topics[name].latest_available_offsets()
            earliest = client.topics[name].earliest_available_offsets()
            sizes[name] = sum(latest[number].offset[0] - earliest[number].offset[0] for number in latest)
    assert sizes == {topic.name: 12}
    assert [p.latest_available_offset() - p.earliest_available_offset() for p in topic.partitions.values()] == [7, 5]


def test_clients_of_old_settings(kafka: KafkaCluster, make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    fill(topic, 2)
    host, port = kafka.hosts.split(":")
    for client in (
        KafkaClient(hosts=f"{host}:{port}, {host}:{port}", broker_version="0.10.2"),
        KafkaClient(kafka.hosts, None, 30 * 1000, 10 * 1000, False, True, "", None, "1.0.0"),
        KafkaClient(hosts=f"{kafka.hosts}/chroot", socket_timeout_ms=5000, offsets_channel_socket_timeout_ms=5000),
        KafkaClient(hosts=kafka.hosts.encode(), source_address="127.0.0.1"),
    ):
        consumer = client.topics[topic.name].get_simple_consumer(consumer_timeout_ms=20000)
        assert places(islice(consumer, 2)) == all_of(2)
        client.close()


def test_zookeeper_beside_hosts_is_left_alone(kafka: KafkaCluster) -> None:
    with pytest.warns(DeprecationWarning, match="hosts"):
        client = KafkaClient(hosts=kafka.hosts, zookeeper_hosts="127.0.0.1:2181")
    client.close()


# -- errors -----------------------------------------------------------------------------------------------------------


def test_nobody_there_is_the_old_exception_and_names_whom_it_tried() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        hosts = f"127.0.0.1:{taken.getsockname()[1]}"  # bound, so that nobody else gets it, and not listening
        with pytest.raises(NoBrokersAvailableError, match=hosts):
            KafkaClient(hosts=hosts, socket_timeout_ms=2000)


def test_errors_are_caught_by_their_old_families(client: KafkaClient, make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    with pytest.raises(UnicodeException):
        client.topics["häßlich"]
    with pytest.raises(UnicodeException):
        topic.get_simple_consumer(consumer_group="häßlich")
    with pytest.raises(KafkaException) as caught:
        client.topics["not a legal name!"]
    assert isinstance(caught.value, ProtocolClientError) and caught.value.code == type(caught.value).ERROR_CODE == 17
    for wrong, kinds in (({"queued_max_messages": 0}, ValueError), ({"fetch_min_bytes": "many"}, TypeError)):
        with pytest.raises(kinds):
            topic.get_simple_consumer(**wrong)
    with pytest.raises(ImportError):
        topic.get_producer(use_rdkafka=True)
    with pytest.raises(TypeError):
        topic.get_sync_producer(sync=True)


def test_errors_tell_their_code_and_retrying_by_hand_still_works(client: KafkaClient, topic_name: str) -> None:
    tries = []
    while True:
        try:
            tries.append(1)
            client.brokers[1].delete_topics([topic_name])
        except UnknownTopicOrPartition as error:
            assert (error.ERROR_CODE, error.code, error.topic) == (3, 3, topic_name)
            assert pykafka.exceptions.ERROR_CODES[error.code] is UnknownTopicOrPartition
            if len(tries) == 2:
                break
            client.cluster.handler.sleep(0.01)


# -- the concurrency handler ------------------------------------------------------------------------------------------


def test_everything_that_is_reached_through_the_handler(client: KafkaClient, make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    handler = topic._cluster.handler
    assert handler is client.cluster.handler
    queue, event, lock = handler.Queue(), handler.Event(), handler.Lock()

    def work(first: int, second: int = 0) -> None:
        with lock:
            queue.put(first + second)
        event.set()

    worker = handler.spawn(work, 1, second=2, name="mine")
    assert event.wait(20) and queue.get(timeout=20) == 3
    worker.join(20)
    began = time.monotonic()
    handler.sleep(0.01)
    assert time.monotonic() - began >= 0.01


# -- logging ----------------------------------------------------------------------------------------------------------


def test_logging_is_set_up_by_the_old_names(kafka: KafkaCluster, caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("pykafka").setLevel(logging.DEBUG)
    logging.getLogger("pykafka.broker").setLevel("ERROR")
    try:
        with caplog.at_level(logging.DEBUG, logger="pykafka"), KafkaClient(kafka.hosts) as client:
            client.update_cluster()
        assert {record.name.split(".")[0] for record in caplog.records} == {"pykafka"}
    finally:
        logging.getLogger("pykafka").setLevel(logging.NOTSET)
        logging.getLogger("pykafka.broker").setLevel(logging.NOTSET)


def test_a_program_without_any_logging_set_up_prints_nothing(kafka: KafkaCluster, make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    assert (
        script(f"""
import contextlib, sys
with contextlib.redirect_stderr(sys.stdout):
    from pykafka import KafkaClient
    client = KafkaClient({kafka.hosts!r})
    with client.topics[{topic.name!r}].get_producer() as producer:
        producer.produce(b"x")
    consumer = client.topics[{topic.name!r}].get_simple_consumer("quiet-" + {topic.name.decode()!r})
    consumer.consume()
    consumer.stop()
""")
        == ""
    )


# -- processes --------------------------------------------------------------------------------------------------------


def test_a_script_that_stops_nothing_ends_at_once(kafka: KafkaCluster, make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    fill(topic, 3)
    began = time.monotonic()
    shown = script(f"""
from pykafka import KafkaClient
from pykafka.common import OffsetType
client = KafkaClient(hosts={kafka.hosts!r})
consumer = client.topics[{topic.name!r}].get_simple_consumer({topic.name!r}, auto_commit_enable=True)
for message in consumer:
    if message is not None:
        print(message.offset)
        if message.offset == 2:
            break
""")
    assert shown.split() == ["0", "1", "2"] and time.monotonic() - began < 15


def test_worker_processes_that_each_make_their_client_when_they_first_need_it(kafka: KafkaCluster, make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    # as gunicorn with preload, or celery: the module is loaded before the fork, the client is made behind it
    script(f"""
import multiprocessing
from pykafka import KafkaClient
_producer = None

def get_producer():
    global _producer
    if _producer is None:
        _producer = KafkaClient({kafka.hosts!r}).topics[{topic.name!r}].get_sync_producer()
    return _producer

def task(number):
    get_producer().produce(b"%d" % number)
    return number

if __name__ == "__main__":
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(task, range(20)) == list(range(20))
""")
    assert sorted(values(read_all(topic, 20)), key=int) == [b"%d" % number for number in range(20)]


def test_workers_forked_with_a_client_already_made_are_told_and_the_parent_is_not_harmed(
    kafka: KafkaCluster, make_topic: MakeTopic
) -> None:
    topic = make_topic(1)
    fill(topic, 2)
    shown = script(f"""
import os, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # Python's own, about fork and threads
from pykafka import KafkaClient
client = KafkaClient({kafka.hosts!r})
topic = client.topics[{topic.name!r}]
consumer = topic.get_simple_consumer(consumer_timeout_ms=20000)
producer = topic.get_producer()
print(consumer.consume().offset, flush=True)
child = os.fork()
if child == 0:
    # 2.8 hung in each of these
    for call in (consumer.consume, lambda: producer.produce(b"x").result(5), client.update_cluster, consumer.reset_offsets):
        try:
            call()
        except Exception as error:
            print(type(error).__name__, flush=True)
    os._exit(0)
os.waitpid(child, 0)
print(consumer.consume().offset, flush=True)
producer.produce(b"parent")
client.close()
""")
    assert shown.split() == ["0", "ForkedError", "ForkedError", "ForkedError", "ForkedError", "1"]
    assert values(read_all(topic, 3))[2] == b"parent"


def test_messages_are_handed_to_worker_processes(kafka: KafkaCluster, make_topic: MakeTopic) -> None:
    topic = make_topic(2)
    fill(topic, 10, 10)
    shown = script(f"""
import multiprocessing
from operator import attrgetter
from pykafka import KafkaClient

if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(1) as pool, KafkaClient({kafka.hosts!r}) as client:
        consumer = client.topics[{topic.name!r}].get_simple_consumer(consumer_timeout_ms=20000)
        messages = [consumer.consume() for _ in range(20)]
        for partition, offset in sorted(pool.map(attrgetter("partition_id", "offset"), messages)):
            print(partition, offset)
""")
    assert shown.splitlines() == [f"{partition} {offset}" for partition, offset in all_of(10, 10)]


def test_importing_star_and_by_module_brings_what_programs_use() -> None:
    names: dict[str, object] = {}
    exec("from pykafka import *\nfrom pykafka.common import *\nfrom pykafka.exceptions import *", names)  # noqa: S102
    assert names["KafkaClient"] is KafkaClient and names["OffsetType"] is OffsetType
    assert names["NoBrokersAvailableError"] is NoBrokersAvailableError
    assert pykafka.common.OffsetType is OffsetType and pykafka.exceptions.KafkaException is KafkaException
