"""PyKafka's low-level half against a real broker: raw requests, brokers and connections made by hand, request handlers."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any, Callable

import pytest

from pykafka import Broker, KafkaClient, Topic
from pykafka.common import CompressionType
from pykafka.connection import BrokerConnection
from pykafka.exceptions import ERROR_CODES, OffsetOutOfRangeError, SocketDisconnectedError, UnknownTopicOrPartition
from pykafka.handlers import RequestHandler, ThreadingHandler
from pykafka.protocol import (
    ApiVersionsRequest,
    ApiVersionsResponse,
    FetchRequest,
    FetchResponse,
    GroupCoordinatorRequest,
    GroupCoordinatorResponse,
    ListOffsetRequest,
    ListOffsetResponse,
    Message,
    MetadataRequest,
    MetadataResponse,
    OffsetCommitRequest,
    OffsetCommitResponse,
    OffsetFetchRequest,
    OffsetFetchResponse,
    PartitionFetchRequest,
    PartitionOffsetCommitRequest,
    PartitionOffsetFetchRequest,
    PartitionOffsetRequest,
    ProduceRequest,
    ProduceResponse,
)
from pykafka.utils.error_handlers import handle_partition_responses

from ..brokers import KafkaCluster
from ..support import read_all, until, values

pytestmark = pytest.mark.core

MakeTopic = Callable[..., Topic]


@pytest.fixture
def broker(kafka: KafkaCluster) -> Iterator[Broker]:
    """A Broker made by hand from nothing but an address."""
    host, port = kafka.hosts.split(":")
    with Broker(1, host, int(port), ThreadingHandler(), 10000, 10000) as broker:
        yield broker


def produce_request(topic: Topic, *messages: Message, **options: Any) -> ProduceRequest:
    """Return a request to write ``messages`` to partition 0."""
    request = ProduceRequest(**options)
    for message in messages:
        request.add_message(message, topic.name, 0)
    return request


def fetched(broker: Broker, topic: Topic, offset: int = 0, **options: Any) -> Any:
    """Return what is in partition 0 from an offset on."""
    return broker.fetch_messages([PartitionFetchRequest(topic.name, 0, offset)], **options).topics[topic.name][0]


def test_what_is_produced_raw_is_fetched_raw_with_everything_it_was_given(broker: Broker, make_topic: MakeTopic) -> None:
    topic = make_topic()
    plain, full = Message(b"plain"), Message(b"full", partition_key=b"key", timestamp=1_700_000_000_000)
    full.headers = [("name", b"content")]
    answer = broker.produce_messages(produce_request(topic, plain, full, Message(None, partition_key=b"tombstone")))
    assert answer is not None and answer.topics == {topic.name: {0: (0, 0)}}
    part = fetched(broker, topic)
    assert (part.max_offset, part.err) == (3, 0)
    assert [(m.offset, m.value, m.partition_key, m.timestamp, m.headers) for m in part.messages] == [
        (0, b"plain", None, -1, []),
        (1, b"full", b"key", 1_700_000_000_000, [("name", b"content")]),
        (2, None, b"tombstone", -1, []),
    ]
    assert {(m.topic, m.partition_id, m.protocol_version) for m in part.messages} == {(topic.name, 0, 2)}


@pytest.mark.parametrize(
    "codec",
    [
        CompressionType.GZIP,
        CompressionType.SNAPPY,
        CompressionType.LZ4,
        pytest.param(CompressionType.ZSTD, marks=pytest.mark.kafka(since="2.1")),
    ],
)
def test_compressed_batches_come_back_and_begin_at_the_offset_asked_for(
    broker: Broker, make_topic: MakeTopic, codec: int
) -> None:
    topic = make_topic()
    broker.produce_messages(produce_request(topic, *(Message(b"%d" % n) for n in range(100)), compression_type=codec))
    part = fetched(broker, topic, 42)
    assert [message.value for message in part.messages] == [b"%d" % n for n in range(42, 100)]
    assert {message.compression_type for message in part.messages} == {codec}


def test_a_message_without_acks_is_written_and_nothing_comes_back(broker: Broker, make_topic: MakeTopic) -> None:
    topic = make_topic()
    for number in range(3):
        assert broker.produce_messages(produce_request(topic, Message(b"%d" % number), required_acks=0)) is None
    # the connection that had no answers is still of use
    answer = broker.produce_messages(produce_request(topic, Message(b"last"), required_acks=-1))
    assert answer is not None and answer.topics[topic.name][0] == (0, 3)
    assert values(read_all(topic, 4)) == [b"0", b"1", b"2", b"last"]


def test_an_error_of_one_partition_is_its_err_and_hinders_no_other(broker: Broker, make_topic: MakeTopic) -> None:
    topic = make_topic()
    request = produce_request(topic, Message(b"fine"))
    request.add_message(Message(b"nowhere"), topic.name, 7)
    written = broker.produce_messages(request)
    assert written is not None and written.topics[topic.name][0] == (0, 0)
    assert ERROR_CODES[written.topics[topic.name][7].err] is UnknownTopicOrPartition
    asked = [PartitionFetchRequest(topic.name, 0, 99), PartitionFetchRequest(b"no.such.topic", 0, 0)]
    answer = broker.fetch_messages(asked, timeout=100)
    seen: list[str] = []
    handlers = {
        OffsetOutOfRangeError.ERROR_CODE: lambda parts: seen.append("out of range"),
        UnknownTopicOrPartition.ERROR_CODE: lambda parts: seen.append("unknown"),
    }
    parts = handle_partition_responses(handlers, response=answer, success_handler=lambda parts: seen.append("fine"))
    assert sorted(seen) == ["out of range", "unknown"] and 0 not in parts
    offsets = broker.request_offset_limits([PartitionOffsetRequest(topic.name, 9, -1, 1)])
    assert offsets.topics[topic.name][9].err and offsets.topics[topic.name][9].offset == []


def test_offsets_are_looked_up_by_kind_and_by_time(broker: Broker, make_topic: MakeTopic) -> None:
    topic = make_topic()
    broker.produce_messages(produce_request(topic, *(Message(b"x", timestamp=1_700_000_000_000 + n) for n in range(10))))

    def offset_of(time: int) -> list[int]:
        answer = broker.request_offset_limits([PartitionOffsetRequest(topic.name, 0, time, 1)])
        assert answer.topics[topic.name][0].err == 0
        offset: list[int] = answer.topics[topic.name][0].offset
        return offset

    assert [offset_of(time) for time in (-2, -1, 1_700_000_000_004, 1_800_000_000_000)] == [[0], [10], [4], []]


def test_what_a_group_commits_is_fetched_back(client: KafkaClient, make_topic: MakeTopic, topic_name: str) -> None:
    topic = make_topic(2)
    coordinator = client.cluster.get_group_coordinator(topic_name)
    asked = [PartitionOffsetFetchRequest(topic.name, number) for number in (0, 1)]
    new = coordinator.fetch_consumer_group_offsets(topic_name, asked)
    assert new.topics == {topic.name: {0: (-1, b"", 0), 1: (-1, b"", 0)}} and new.err == 0
    commit = [PartitionOffsetCommitRequest(topic.name, 0, 42, -1, b"a note")]
    assert coordinator.commit_consumer_group_offsets(topic_name, -1, b"", commit).topics == {topic.name: {0: (0,)}}
    found = coordinator.fetch_consumer_group_offsets(topic_name.encode(), asked)
    assert found.topics == {topic.name: {0: (42, b"a note", 0), 1: (-1, b"", 0)}}
    # it is where a consumer of ours takes up
    consumer = topic.get_simple_consumer(topic_name, auto_start=False, reset_offset_on_fetch=False)
    assert dict(consumer.fetch_offsets())[0].offset == 42
    refused = coordinator.commit_consumer_group_offsets(topic_name, 5, b"nobody", commit)
    assert refused.topics[topic.name][0].err in (22, 25)


def test_metadata_and_versions_have_pykafkas_shapes(broker: Broker, kafka: KafkaCluster, make_topic: MakeTopic) -> None:
    topic = make_topic(2)
    host, port = kafka.hosts.split(":")
    metadata = broker.request_metadata([topic.name])
    assert metadata.brokers == {1: (1, host.encode(), int(port))}
    assert metadata.topics == {topic.name: (topic.name, {n: (n, 1, [1], [1], 0) for n in (0, 1)}, 0)}
    assert topic.name in broker.request_metadata().topics and topic.name in broker.request_metadata([]).topics
    assert broker.request_metadata(["not.to.be.created"]).topics[b"not.to.be.created"].err == 3
    assert b"not.to.be.created" not in broker.request_metadata().topics
    produce = broker.fetch_api_versions().api_versions[0]
    assert produce.key == 0 and produce.max >= 3


def test_a_broker_made_from_metadata_works(broker: Broker) -> None:
    metadata = broker.request_metadata().brokers[1]
    with Broker.from_metadata(metadata, None, 10000, 10000) as made:
        assert (made.id, made.host, made.port) == metadata and made.connected and made.offsets_channel_connected
        made.connect_offsets_channel()
        assert made.request_metadata().brokers[1] == metadata


def test_fetches_that_wait_hold_up_nothing_else(broker: Broker, make_topic: MakeTopic) -> None:
    topic = make_topic()
    threads = [threading.Thread(target=fetched, args=(broker, topic), kwargs={"timeout": 3000}) for _ in range(2)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    assert broker.request_metadata().brokers
    assert time.monotonic() - began < 2.0
    # and they get what is written meanwhile
    broker.produce_messages(produce_request(topic, Message(b"news")))
    for thread in threads:
        thread.join(10)
    assert time.monotonic() - began < 2.9


def test_a_broker_that_nobody_holds_leaves_no_thread_behind(kafka: KafkaCluster) -> None:
    host, port = kafka.hosts.split(":")
    before = set(threading.enumerate())
    broker = Broker(1, host, int(port), None, 10000, 10000)
    assert broker.handler.request(MetadataRequest()) is not None
    gone = weakref.ref(broker)
    assert len(set(threading.enumerate()) - before) == 2  # its I/O thread and the worker of its handler
    del broker
    gc.collect()
    assert gone() is None
    until(lambda: not set(threading.enumerate()) - before, what="the end of the broker's threads")


def test_a_closed_broker_says_so_and_is_closed_twice_without_harm(kafka: KafkaCluster) -> None:
    host, port = kafka.hosts.split(":")
    broker = Broker(1, host, int(port), None, 10000, 10000)
    handler = broker.handler
    broker.close()
    broker.close()
    assert not broker.connected
    for call in (broker.request_metadata, broker.connect, lambda: broker.handler, lambda: fetched_nothing(broker)):
        with pytest.raises(SocketDisconnectedError, match="was closed: make a new one"):
            call()
    with pytest.raises(Exception, match="RequestHandler was stopped"):
        handler.request(MetadataRequest())


def fetched_nothing(broker: Broker) -> Any:
    """Fetch no partition at all."""
    return broker.fetch_messages([])


def test_the_handlers_of_a_broker_take_requests_as_bytes(client: KafkaClient, make_topic: MakeTopic) -> None:
    topic = make_topic()
    broker = client.brokers[1]
    future = broker.handler.request(produce_request(topic, Message(b"raw")))
    assert future is not None and future.get(ProduceResponse, timeout=10).topics[topic.name][0] == (0, 0)
    assert broker.handler is broker.handler is not broker.offsets_channel_handler
    ended = broker.handler
    ended.shared.connection.disconnect()
    assert broker.handler is not ended  # made anew
    future = broker.handler.request(MetadataRequest([topic.name]))
    assert future is not None and list(future.get(MetadataResponse, timeout=10).topics) == [topic.name]


def test_closing_the_client_ends_the_connections_of_handlers_too(kafka: KafkaCluster) -> None:
    before = set(threading.enumerate())
    with KafkaClient(kafka.hosts) as client:
        handler = client.brokers[1].handler
        assert handler.shared.connection.connected
    assert not handler.shared.connection.connected
    handler.stop()
    until(lambda: not set(threading.enumerate()) - before, what="the end of all threads")


@pytest.fixture
def connection(kafka: KafkaCluster) -> Iterator[BrokerConnection]:
    """A connection of its own to the broker."""
    host, port = kafka.hosts.split(":")
    connection = BrokerConnection(host, int(port), ThreadingHandler())
    connection.connect(10000)
    yield connection
    connection.disconnect()


def asked(connection: BrokerConnection, request: Any, response: Callable[[Any], Any]) -> Any:
    """Return the answer to a request."""
    connection.request(request)
    return response(connection.response())


def test_every_hand_made_request_makes_a_round_trip_over_a_connection(
    connection: BrokerConnection, client: KafkaClient, make_topic: MakeTopic, topic_name: str
) -> None:
    topic = make_topic()
    client.cluster.get_group_coordinator(topic_name)
    assert asked(connection, ApiVersionsRequest(), ApiVersionsResponse).api_versions[3].max >= 4
    assert asked(connection, MetadataRequest([topic.name]), MetadataResponse).topics[topic.name].err == 0
    connection.request(produce_request(topic, Message(b"by hand"), required_acks=0))  # there is no answer to it
    written = asked(connection, produce_request(topic, Message(b"by hand")), ProduceResponse)
    assert written.topics[topic.name][0].err == 0
    got = asked(connection, FetchRequest([PartitionFetchRequest(topic.name, 0, 0)]), FetchResponse)
    assert {message.value for message in got.topics[topic.name][0].messages} == {b"by hand"}
    ends = asked(connection, ListOffsetRequest([PartitionOffsetRequest(topic.name, 0, -1, 1)]), ListOffsetResponse)
    assert ends.topics[topic.name][0].offset == [2]
    coordinator = asked(connection, GroupCoordinatorRequest(topic_name), GroupCoordinatorResponse)
    assert (coordinator.coordinator_id, coordinator.coordinator_port) == (1, connection.port)
    commit = OffsetCommitRequest(topic_name, -1, b"", [PartitionOffsetCommitRequest(topic.name, 0, 1, -1, b"")])
    assert asked(connection, commit, OffsetCommitResponse).topics[topic.name][0].err == 0
    found = asked(connection, OffsetFetchRequest(topic_name, [PartitionOffsetFetchRequest(topic.name, 0)]), OffsetFetchResponse)
    assert found.topics[topic.name][0] == (1, b"", 0)


def test_a_request_handler_answers_in_the_order_it_was_asked_in(connection: BrokerConnection) -> None:
    handler = RequestHandler(ThreadingHandler(), connection)
    futures = [handler.request(MetadataRequest([f"no.such.topic.{number}"], False)) for number in range(20)]
    handler.start()
    names = [list(future.get(MetadataResponse, timeout=10).topics) for future in futures if future is not None]
    assert names == [[b"no.such.topic.%d" % number] for number in range(20)]
    handler.stop()


def test_a_connection_that_was_closed_is_made_again(connection: BrokerConnection) -> None:
    connection.disconnect()
    assert not connection.connected
    connection.reconnect()
    assert connection.connected and asked(connection, MetadataRequest(), MetadataResponse).brokers
