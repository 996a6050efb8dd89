"""What a user does with a fake cluster: clients work on it, each verb does what its name says, and it leaves nothing behind."""

from __future__ import annotations

import gc
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pykafka import KafkaClient
from pykafka.common import OffsetType
from pykafka.connection import SslConfig
from pykafka.exceptions import NoBrokersAvailableError, NotLeaderForPartition, ProduceFailureError
from pykafka.protocol import messages as m
from pykafka.testing import DROP, SILENCE, FakeCluster, ManualClock

from ..support import ROOT, until
from .peer import Peer, batch, create_topic, fetch, list_offsets, metadata, part, peer_of, produce

TLS = Path(__file__).parent.parent / "fake" / "tls"


@pytest.fixture
def kafka() -> Iterator[FakeCluster]:
    """Three brokers and a topic of one partition, which broker 1 leads."""
    with FakeCluster(brokers=3, topics={"t": 1}) as cluster:
        yield cluster


@pytest.fixture
def peer(kafka: FakeCluster) -> Iterator[Peer]:
    """A connection to broker 1."""
    with peer_of(kafka.hosts) as peer:
        yield peer


def address(kafka: FakeCluster, broker: int) -> str:
    """Return where a broker is."""
    return kafka.hosts.split(",")[broker - 1]


def write(peer: Peer, *values: bytes, topic: str = "t", **options: Any) -> Any:
    """Return the row of a partition that was written to."""
    return peer.ask(produce(topic, batch(*values), **options), 12).responses[0].partition_responses[0]


def read(peer: Peer, offset: int = 0, topic: str = "t", **options: Any) -> Any:
    """Return the row of a partition that was read from."""
    return peer.ask(fetch(topic, part(offset=offset), session_epoch=-1, **options), 12).responses[0].partitions[0]


# -- clients ----------------------------------------------------------------------------------------------------------


def test_our_client_produces_and_consumes(kafka: FakeCluster) -> None:
    kafka.create_topic("clicks", 4)
    with KafkaClient(kafka.hosts) as client:
        topic = client.topics["clicks"]
        with topic.get_producer() as producer:
            for number in range(100):
                producer.produce(b"%d" % number)
        assert sorted(kafka.values("clicks"), key=lambda value: int(value or b"")) == [b"%d" % number for number in range(100)]
        with topic.get_simple_consumer(consumer_timeout_ms=10000, auto_offset_reset=OffsetType.EARLIEST) as consumer:
            got = {consumer.consume().value for _ in range(100)}  # type: ignore[union-attr]
    assert len(got) == 100


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_kafka_python_produces_and_consumes(kafka: FakeCluster) -> None:
    other = pytest.importorskip("kafka")
    kafka.create_topic("clicks", 4)
    producer = other.KafkaProducer(bootstrap_servers=kafka.hosts)
    for number in range(100):
        producer.send("clicks", b"%d" % number, key=b"k%d" % number, headers=[("h", b"v")])
    producer.flush()
    producer.close()
    assert len(kafka.values("clicks")) == 100
    consumer = other.KafkaConsumer(bootstrap_servers=kafka.hosts, auto_offset_reset="earliest", consumer_timeout_ms=10000)
    consumer.assign([other.TopicPartition("clicks", number) for number in range(4)])
    got = [next(consumer) for _ in range(100)]
    consumer.close()
    assert {(row.value, row.key, tuple(row.headers)) for row in got} == {
        (b"%d" % number, b"k%d" % number, (("h", b"v"),)) for number in range(100)
    }


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_librdkafka_produces_and_consumes(kafka: FakeCluster, codec: str) -> None:
    other = pytest.importorskip("confluent_kafka")
    kafka.create_topic("clicks", 4)
    quiet = {"bootstrap.servers": kafka.hosts, "log_level": 0}
    producer = other.Producer({**quiet, "enable.idempotence": True, "compression.type": codec})
    for number in range(100):
        producer.produce("clicks", b"%d" % number)
    assert producer.flush(10) == 0
    assert {*kafka.values("clicks")} == {b"%d" % number for number in range(100)}
    consumer = other.Consumer({**quiet, "group.id": "g", "enable.auto.commit": False})
    consumer.assign([other.TopicPartition("clicks", number, 0) for number in range(4)])
    got: set[bytes] = set()
    until(lambda: got.update(row.value() for row in consumer.consume(100, 0.5) if not row.error()) or len(got) == 100)
    consumer.close()


@pytest.mark.parametrize("version", ["0.11", "1.0", "1.1", "2.0", "2.4", "2.8", "3.0", "3.9", "4.0", "4.1", "4.3", "4.4"])
def test_our_client_works_with_brokers_of_every_version(version: str) -> None:
    with FakeCluster(topics={"t": 1}, as_version=version) as kafka, KafkaClient(kafka.hosts) as client:
        with client.topics["t"].get_producer() as producer:
            producer.produce(b"a")
        with client.topics["t"].get_simple_consumer(consumer_timeout_ms=10000) as consumer:
            assert consumer.consume().value == b"a"  # type: ignore[union-attr]
        if version == "2.8":
            assert {entry.version for entry in kafka.requests if entry.name == "Produce"} == {9}


def test_tls_carries_large_messages_both_ways() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "broker.pem")
    values = [bytes([number]) * 700_000 for number in range(5)]
    with FakeCluster(topics={"t": 1}, ssl_context=context) as kafka:
        with KafkaClient(kafka.hosts, ssl_config=SslConfig(str(TLS / "ca.pem"))) as client:
            with client.topics["t"].get_producer() as producer:
                for value in values:
                    producer.produce(value)
            assert kafka.values("t") == values
            with client.topics["t"].get_simple_consumer(consumer_timeout_ms=10000) as consumer:
                assert [consumer.consume().value for _ in values] == values  # type: ignore[union-attr]
        with pytest.raises(NoBrokersAvailableError):
            KafkaClient(kafka.hosts, socket_timeout_ms=2000)


# -- from beginning to end --------------------------------------------------------------------------------------------


def test_starting_takes_less_than_50_ms_of_processor_time() -> None:
    began = time.process_time()
    with FakeCluster(brokers=3, topics={f"t{number}": 4 for number in range(10)}):
        took = time.process_time() - began
    assert took < 0.05


def test_nothing_is_left_of_it(kafka: FakeCluster) -> None:
    before = threading.active_count()
    for _ in range(20):
        with FakeCluster(brokers=2, topics={"t": 1}) as cluster, peer_of(cluster.hosts) as peer:
            peer.send(fetch("t", part(), session_epoch=-1, wait_ms=60000), 12)
            until(lambda cluster=cluster: cluster.requests.seen("Fetch"))
            cluster.stop()
            assert peer.is_closed()
            with pytest.raises(ConnectionRefusedError):
                Peer(cluster.hosts)
    assert threading.active_count() == before
    gc.collect()  # a socket that was left open would be warned about here, which is an error


def test_ports_can_be_chosen_and_a_taken_one_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(OSError, match=f"127.0.0.1:{port}"):
            FakeCluster(port=port).start()
    with FakeCluster(brokers=2, port=port) as kafka:
        assert kafka.hosts == f"127.0.0.1:{port},127.0.0.1:{port + 1}"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"brokers": 0}, "at least one"),
        ({"racks": ["a", "b"]}, "one for each of 1 brokers"),
        ({"as_version": "0.10"}, "from 0.11 to 4.4"),
        ({"as_version": "new"}, "write it as '2.8'"),
        ({"topics": {"a b": 1}}, "other than ASCII"),
        ({"topics": {"t": 0}}, "0 partitions"),
    ],
)
def test_what_makes_no_cluster_is_refused_with_the_reason(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        FakeCluster(**options)


def test_a_request_that_no_broker_understands_closes_the_connection_and_fails_the_test() -> None:
    with pytest.raises(AssertionError, match=r"sent API key 999 v0 to broker 1, which does not have it"):
        with FakeCluster() as kafka, peer_of(kafka.hosts) as peer:
            peer.send_frame(b"\x03\xe7\0\0\0\0\0\1\xff\xff")
            assert peer.is_closed()
    with pytest.raises(AssertionError, match=r"sent Metadata v13 to broker 1, which has versions \(0, 11\)"):
        with FakeCluster(as_version="2.8") as kafka, peer_of(kafka.hosts) as peer:
            peer.send(metadata(), 13)
            assert peer.is_closed()
    with pytest.raises(AssertionError, match=r"sent a malformed Metadata v1"):
        with FakeCluster() as kafka, peer_of(kafka.hosts) as peer:
            peer.send_frame(b"\0\3\0\1\0\0\0\1\xff\xff\x7f\xff\xff\xff")
            assert peer.is_closed()
    with pytest.raises(AssertionError, match=r"a request of 2000000000 bytes"):
        with FakeCluster() as kafka, peer_of(kafka.hosts) as peer:
            peer.socket.sendall(b"\x77\x35\x94\x00")
            assert peer.is_closed()


def test_the_tests_own_error_comes_before_that_of_the_cluster() -> None:
    with pytest.raises(ZeroDivisionError):
        with FakeCluster() as kafka:
            kafka.complaints.append("something")
            raise ZeroDivisionError


def test_it_runs_by_itself_until_it_is_told_to_stop() -> None:
    command = [sys.executable, "-u", "-m", "pykafka.testing", "--port", "0", "--topic", "t:3"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        hosts = process.stdout.readline().split()[1]
        assert "is lost when it stops" in process.stdout.readline()
        with peer_of(hosts) as peer:
            assert len(peer.ask(metadata("t")).topics[0].partitions) == 3
        process.terminate()
        assert process.wait(10) == 0


# -- topics and messages ----------------------------------------------------------------------------------------------


def test_messages_are_written_and_looked_at_without_a_client(kafka: FakeCluster, peer: Peer) -> None:
    assert kafka.produce("t", ["a", b"b", None], keys=["k", None, b"k"], timestamps=[7, 8, 9], headers=[[("h", b"v")], [], []]) == 0
    assert kafka.produce("t", ["c"]) == 3
    rows = kafka.records("t")
    assert [(row.offset, row.key, row.value) for row in rows[:3]] == [(0, b"k", b"a"), (1, None, b"b"), (2, b"k", None)]
    assert [row.timestamp for row in rows[:3]] == [7, 8, 9] and rows[0].headers == [("h", b"v")]
    assert kafka.values("t") == kafka.values("t", 0) == [b"a", b"b", None, b"c"]
    assert read(peer).high_watermark == 4
    with pytest.raises(ValueError, match="1 keys for 2 values"):
        kafka.produce("t", ["a", "b"], keys=["k"])
    with pytest.raises(ValueError, match="no partition t/5"):
        kafka.values("t", 5)


def test_topics_come_and_go(kafka: FakeCluster, peer: Peer) -> None:
    kafka.create_topic("new", 2, replication_factor=1, cleanup_policy="compact", max_message_bytes=1000, preallocate=True)
    (row,) = peer.ask(metadata("new")).topics
    assert [len(part.replica_nodes) for part in row.partitions] == [1, 1]
    with pytest.raises(ValueError, match="is there already"):
        kafka.create_topic("new")
    with pytest.raises(ValueError, match="Unknown topic config name: no.such"):
        kafka.create_topic("other", no_such="1")
    kafka.add_partitions("new", 5)
    assert len(peer.ask(metadata("new")).topics[0].partitions) == 5
    with pytest.raises(ValueError, match="5 are not more"):
        kafka.add_partitions("new", 5)
    kafka.delete_topic("new")
    assert peer.ask(metadata("new")).topics[0].error_code == 3
    with pytest.raises(ValueError, match="no topic 'new'"):
        kafka.delete_topic("new")


def test_topics_are_created_by_asking_only_where_that_is_wanted() -> None:
    for wanted in (True, False):
        with FakeCluster(auto_create_topics=wanted, default_partitions=2) as kafka, peer_of(kafka.hosts) as peer:
            assert peer.ask(metadata("t", create=True)).topics[0].error_code == 3
            assert [len(row.partitions) for row in peer.ask(metadata("t")).topics] == [2 if wanted else 0]
            if not wanted:
                with pytest.raises(ValueError, match="no partition t/0"):
                    kafka.produce("t", ["a"])


# -- the journal ------------------------------------------------------------------------------------------------------


def test_the_journal_tells_who_asked_what_of_whom(kafka: FakeCluster, peer: Peer) -> None:
    write(peer, b"a")
    entry = list(kafka.requests)[-1]
    assert entry[:4] == (1, "peer", "Produce", 12) and entry.request.acks == -1
    assert kafka.requests.seen(m.ProduceRequest) == kafka.requests.seen("Produce") == [entry.request]
    assert kafka.requests.seen("Produce", broker=2) == []
    with pytest.raises(ValueError, match="no request 'Prodoce'"):
        kafka.requests.seen("Prodoce")
    kafka.requests.clear()
    assert len(kafka.requests) == 0


# -- what goes wrong --------------------------------------------------------------------------------------------------


def test_the_next_requests_fail_as_often_as_was_said(kafka: FakeCluster, peer: Peer) -> None:
    kafka.fail_next("Produce", NotLeaderForPartition, times=2)
    assert [write(peer, b"a").error_code for _ in range(3)] == [6, 6, 0]
    assert kafka.values("t") == [b"a"]
    kafka.fail_next(m.FetchRequest, 1)
    assert [read(peer).error_code for _ in range(2)] == [1, 0]
    kafka.fail_next("Fetch", 70)
    assert peer.ask(fetch("t", part(), session_epoch=-1), 12).error_code == 70


def test_only_the_partition_that_was_named_fails(kafka: FakeCluster, peer: Peer) -> None:
    kafka.create_topic("two", 3, replication_factor=1)
    here = [number for number in range(3) if kafka.leader("two", number) == 1]
    kafka.fail_next("ListOffsets", 5, topic="two", partition=here[0])
    assert peer.ask(list_offsets("t", -1)).topics[0].partitions[0].error_code == 0
    assert peer.ask(list_offsets("two", -1, partition=here[0])).topics[0].partitions[0].error_code == 5
    assert peer.ask(list_offsets("two", -1, partition=here[0])).topics[0].partitions[0].error_code == 0
    kafka.fail_next("Metadata", 29, topic="two")
    assert {row.name: row.error_code for row in peer.ask(metadata("t", "two")).topics} == {"t": 0, "two": 29}
    with pytest.raises(ValueError, match="of which topic"):
        kafka.fail_next("Fetch", 1, partition=0)


def test_only_the_broker_that_was_named_fails(kafka: FakeCluster, peer: Peer) -> None:
    kafka.fail_next("Metadata", 29, broker=2)
    assert peer.ask(metadata("t")).topics[0].error_code == 0
    with peer_of(address(kafka, 2)) as second:
        assert [second.ask(metadata("t")).topics[0].error_code for _ in range(2)] == [29, 0]


@pytest.mark.parametrize(
    ("request_", "code_of"),
    [
        (m.InitProducerIdRequest(transactional_id=None), lambda answer: answer.error_code),
        (m.FindCoordinatorRequest(coordinator_keys=["g"]), lambda answer: answer.coordinators[0].error_code),
        (create_topic("new"), lambda answer: answer.topics[0].error_code),
        (m.DeleteTopicsRequest(topics=[m.DeleteTopicsRequest.DeleteTopicState(name="t")]), lambda a: a.responses[0].error_code),
        (m.ApiVersionsRequest(client_software_name="a", client_software_version="1"), lambda answer: answer.error_code),
    ],
    ids=lambda value: getattr(value, "NAME", ""),
)
def test_every_request_can_fail(kafka: FakeCluster, peer: Peer, request_: Any, code_of: Any) -> None:
    kafka.fail_next(type(request_), 41)
    assert [code_of(peer.ask(request_)) for _ in range(2)] == [41, 0]


def test_errors_that_are_none_are_refused(kafka: FakeCluster) -> None:
    for wrong in (ProduceFailureError, ValueError, "6"):
        with pytest.raises(ValueError, match="no broker answers with"):
            kafka.fail_next("Produce", wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least once"):
        kafka.fail_next("Produce", 6, times=0)


def test_our_client_gets_over_errors_that_pass(kafka: FakeCluster) -> None:
    with KafkaClient(kafka.hosts) as client, client.topics["t"].get_producer(delivery_reports=False) as producer:
        kafka.fail_next("Produce", NotLeaderForPartition, times=2)
        producer.produce(b"a")
        until(lambda: kafka.values("t") == [b"a"])
        # what was written before the connection broke is sent again, and known again
        kafka.drop_connection(after="Produce")
        producer.produce(b"b")
    assert kafka.values("t") == [b"a", b"b"]
    assert len(kafka.requests.seen("Produce")) == 5


def test_a_connection_is_dropped_before_or_after_the_request_is_acted_on(kafka: FakeCluster) -> None:
    for when, written in (("before", 0), ("after", 1)):
        kafka.drop_connection(**{when: "Produce"})
        with peer_of(kafka.hosts) as peer:
            with pytest.raises((EOFError, ConnectionResetError)):
                write(peer, b"a")
        assert len(kafka.values("t")) == written
    with pytest.raises(ValueError, match="not both"):
        kafka.drop_connection(before="Fetch", after="Fetch")


def test_all_connections_are_dropped_at_once(kafka: FakeCluster, peer: Peer) -> None:
    with peer_of(address(kafka, 2)) as second:
        kafka.drop_connection(broker=2)
        assert second.is_closed()
    assert write(peer, b"a").error_code == 0
    kafka.drop_connection()
    assert peer.is_closed()


def test_an_answer_is_delayed_but_not_what_it_is_about() -> None:
    clock = ManualClock()
    with FakeCluster(topics={"t": 1}, clock=clock) as kafka, peer_of(kafka.hosts) as peer:
        kafka.delay("Produce", 5)
        peer.send(produce("t", batch(b"a")), 12)
        until(lambda: kafka.values("t") == [b"a"])
        clock.advance(4.9)
        peer.socket.settimeout(0.05)
        with pytest.raises(TimeoutError):
            peer.socket.recv(1)
        clock.advance(0.2)
        peer.socket.settimeout(10)
        assert peer.receive(produce("t"), 12).responses[0].partition_responses[0].error_code == 0


def test_a_long_poll_ends_when_the_clock_is_moved_or_something_is_written() -> None:
    clock = ManualClock()
    with FakeCluster(topics={"t": 1}, clock=clock) as kafka, peer_of(kafka.hosts) as peer:
        asked = fetch("t", part(), session_epoch=-1, wait_ms=30000)
        for act in (lambda: clock.advance(31), lambda: kafka.produce("t", ["a"])):
            kafka.requests.clear()
            peer.send(asked, 12)
            until(lambda: kafka.requests.seen("Fetch"))
            act()
            (row,) = peer.receive(asked, 12).responses[0].partitions
        assert row.high_watermark == 1 and len(row.records) > 60


def test_a_manual_clock_does_not_go_back() -> None:
    clock = ManualClock(time_ms=1000)
    for wrong in (-1, float("nan")):
        with pytest.raises(ValueError, match="cannot go back"):
            clock.advance(wrong)
    clock.advance(1.5)
    assert (clock.now(), clock.time_ms()) == (1.5, 2500)


def test_batches_are_corrupted_as_they_are_sent_and_not_in_the_log(kafka: FakeCluster, peer: Peer) -> None:
    for value in (b"a", b"b"):
        write(peer, value)
    good = bytes(read(peer).records)
    kafka.corrupt("t", offset=1)
    bad = bytes(read(peer).records)
    assert bad[: len(good) // 2] == good[: len(good) // 2] and bad != good
    assert sum(bin(one ^ other).count("1") for one, other in zip(good, bad)) == 1
    assert bytes(read(peer).records) == good and kafka.values("t") == [b"a", b"b"]


def test_a_truncated_log_is_told_by_its_epochs(kafka: FakeCluster, peer: Peer) -> None:
    for value in (b"a", b"b", b"c"):
        write(peer, value)
    kafka.truncate("t", 0, 1)
    assert kafka.values("t") == [b"a"]
    assert write(peer, b"B").base_offset == 1
    asked = fetch("t", part(offset=3, last_fetched_epoch=0, current_leader_epoch=1), session_epoch=-1)
    (row,) = peer.ask(asked, 12).responses[0].partitions
    assert (row.error_code, row.diverging_epoch.epoch, row.diverging_epoch.end_offset) == (0, 0, 1)
    (row,) = peer.ask(fetch("t", part(current_leader_epoch=0), session_epoch=-1), 12).responses[0].partitions
    assert row.error_code == 74


def test_a_log_begins_later_after_records_are_deleted(kafka: FakeCluster, peer: Peer) -> None:
    for value in (b"a", b"b", b"c"):
        write(peer, value)
    kafka.delete_records("t", 0, 2)
    assert kafka.values("t") == [b"c"]
    row = read(peer)
    assert (row.error_code, read(peer, 2).log_start_offset) == (1, 2)
    assert peer.ask(list_offsets("t", -2)).topics[0].partitions[0].offset == 2


def test_leadership_moves_and_old_leaders_say_where(kafka: FakeCluster, peer: Peer) -> None:
    kafka.move_leader("t", 0, to=3)
    assert kafka.leader("t") == 3
    topic_id = peer.ask(metadata("t")).topics[0].topic_id
    answer = peer.ask(produce("t", batch(b"a"), topic_id=topic_id))
    (row,) = answer.responses[0].partition_responses
    assert (row.error_code, row.current_leader.leader_id, row.current_leader.leader_epoch) == (6, 3, 1)
    assert [f"{one.host}:{one.port}" for one in answer.node_endpoints] == [address(kafka, 3)]
    with peer_of(address(kafka, 3)) as third:
        assert write(third, b"a").error_code == 0
    with pytest.raises(ValueError, match="no broker 4"):
        kafka.move_leader("t", 0, to=4)


def test_a_broker_stops_and_comes_back_at_the_same_place(kafka: FakeCluster, peer: Peer) -> None:
    write(peer, b"a")
    kafka.stop_broker(1)
    assert peer.is_closed()
    with pytest.raises(ConnectionRefusedError):
        Peer(address(kafka, 1))
    leader = kafka.leader("t")
    assert leader in (2, 3)
    with peer_of(address(kafka, 2)) as second:
        answer = second.ask(metadata("t"))
        (row,) = answer.topics[0].partitions
        assert [broker.node_id for broker in answer.brokers] == [2, 3] and row.offline_replicas == [1]
        assert sorted(row.isr_nodes) == [2, 3] and row.leader_epoch == 1
    kafka.start_broker(1)
    with peer_of(address(kafka, 1)) as again:
        assert sorted(again.ask(metadata("t")).topics[0].partitions[0].isr_nodes) == [1, 2, 3]
    assert kafka.values("t") == [b"a"]


def test_a_partition_with_one_copy_has_no_leader_while_its_broker_is_down(kafka: FakeCluster) -> None:
    kafka.create_topic("single", 1, replication_factor=1)
    leader = kafka.leader("single")
    assert leader is not None
    other = leader % 3 + 1
    kafka.stop_broker(leader)
    assert kafka.leader("single") is None
    with peer_of(address(kafka, other)) as peer:
        (row,) = peer.ask(metadata("single")).topics[0].partitions
        assert (row.error_code, row.leader_id) == (5, -1)
    kafka.start_broker(leader)
    assert kafka.leader("single") == leader


def test_too_few_copies_take_nothing_that_wants_all(kafka: FakeCluster, peer: Peer) -> None:
    kafka.create_topic("safe", min_insync_replicas=2)
    kafka.move_leader("safe", 0, to=1)
    assert write(peer, b"a", topic="safe").error_code == 0
    kafka.stop_broker(2)
    kafka.stop_broker(3)
    assert write(peer, b"a", topic="safe").error_code == 19
    assert write(peer, b"a", topic="safe", acks=1).error_code == 0


def test_our_client_goes_on_when_brokers_stop_and_come_back(kafka: FakeCluster) -> None:
    kafka.create_topic("clicks", 3)
    with KafkaClient(kafka.hosts) as client, client.topics["clicks"].get_producer() as producer:
        for number in range(60):
            if number % 20 == 10:
                kafka.stop_broker(number // 20 + 1)
            producer.produce(b"%d" % number)
            if number % 20 == 19:
                kafka.start_broker(number // 20 + 1)
    assert sorted(kafka.values("clicks"), key=lambda value: int(value or b"")) == [b"%d" % number for number in range(60)]


def test_requests_are_held_until_they_are_released(kafka: FakeCluster, peer: Peer) -> None:
    kafka.hold("Produce")
    peer.send(produce("t", batch(b"a")), 12)
    until(lambda: kafka.held("Produce") == 1)
    assert kafka.values("t") == []
    assert kafka.release("Produce") == 1
    assert peer.receive(produce("t"), 12).responses[0].partition_responses[0].error_code == 0
    assert write(peer, b"b").error_code == 0
    assert kafka.release() == 0


def test_a_request_whose_client_is_gone_is_not_held_any_more(kafka: FakeCluster) -> None:
    kafka.hold("Produce")
    with peer_of(kafka.hosts) as peer:
        peer.send(produce("t", batch(b"a")), 12)
        until(lambda: kafka.held() == 1)
    until(lambda: kafka.held() == 0)
    assert kafka.release() == 0 and kafka.values("t") == []


def test_a_function_answers_in_the_place_of_the_broker(kafka: FakeCluster, peer: Peer) -> None:
    answers: list[Any] = [m.ProduceResponse(throttle_time_ms=7), None]
    seen: list[Any] = []

    def act(request: Any, version: int) -> Any:
        seen.append((request.acks, version))
        return answers.pop(0)

    kafka.on("Produce", act)
    assert peer.ask(produce("t", batch(b"a")), 12).throttle_time_ms == 7
    assert write(peer, b"b").error_code == 0
    assert kafka.values("t") == [b"b"] and seen == [(-1, 12), (-1, 12)]
    kafka.on("Produce", None)
    assert write(peer, b"c").error_code == 0


def test_a_function_has_other_ways_out(kafka: FakeCluster, peer: Peer) -> None:
    kafka.on("Metadata", lambda request, version: b"\0\0\0\4rude")
    peer.send(metadata(), 9)
    assert peer.receive_frame() == b"rude"
    kafka.on("Metadata", lambda request, version: SILENCE)
    peer.send(metadata(), 9)
    # nothing that comes later on the connection is answered either: answers have an order
    peer.send(list_offsets("t", -1), 9)
    peer.socket.settimeout(0.1)
    with pytest.raises(TimeoutError):
        peer.socket.recv(1)
    kafka.on("Metadata", lambda request, version: DROP)
    with peer_of(kafka.hosts) as second:
        second.send(metadata(), 9)
        assert second.is_closed()


def test_a_function_that_raises_fails_the_test_and_says_where() -> None:
    def act(request: Any, version: int) -> Any:
        raise ZeroDivisionError("in a test's function")

    with pytest.raises(AssertionError, match=r"(?s)in act.*in a test's function"):
        with FakeCluster() as kafka, peer_of(kafka.hosts) as peer:
            kafka.on("Metadata", act)
            peer.send(metadata(), 9)
            assert peer.is_closed()


def test_verbs_may_be_used_by_a_function(kafka: FakeCluster, peer: Peer) -> None:
    kafka.on("Metadata", lambda request, version: kafka.stop_broker(3))
    assert [broker.node_id for broker in peer.ask(metadata()).brokers] == [1, 2]


def test_fetch_sessions_are_forgotten(kafka: FakeCluster, peer: Peer) -> None:
    opened = peer.ask(fetch("t", part(), session_epoch=0), 12)
    assert opened.session_id > 0
    kafka.forget_fetch_sessions()
    assert peer.ask(fetch("t", session_epoch=1, session_id=opened.session_id), 12).error_code == 70


def test_a_coordinator_moves(kafka: FakeCluster, peer: Peer) -> None:
    def coordinator() -> int:
        return int(peer.ask(m.FindCoordinatorRequest(coordinator_keys=["g"])).coordinators[0].node_id)

    before = coordinator()
    moved = 2 if before != 2 else 3
    kafka.move_coordinator("g", moved)
    assert coordinator() == moved
    # when it stops, another one takes over
    kafka.stop_broker(moved)
    assert coordinator() != moved


def test_everything_heals(kafka: FakeCluster, peer: Peer) -> None:
    kafka.fail_next("Produce", 6, times=9)
    kafka.drop_connection(before="Produce")
    kafka.on("Produce", lambda request, version: DROP)
    kafka.delay("Produce", 60)
    kafka.hold("Fetch")
    kafka.corrupt("t")
    kafka.heal()
    assert write(peer, b"a").error_code == 0
    assert bytes(read(peer).records[61:]) == batch(b"a")[61:]


def test_consumers_are_sent_to_a_copy_in_their_rack() -> None:
    with FakeCluster(brokers=2, topics={"t": 1}, racks=["a", "b"]) as kafka:
        leader = kafka.leader("t") or 0
        with peer_of(address(kafka, leader)) as peer, peer_of(address(kafka, 3 - leader)) as other:
            write(peer, b"x")
            rack = {1: "b", 2: "a"}[leader]
            row = read(peer, rack_id=rack)
            assert (row.preferred_read_replica, bytes(row.records)) == (3 - leader, b"")
            assert read(peer, rack_id="c").preferred_read_replica == -1
            assert len(read(other, rack_id=rack).records) > 60


# -- the wire ---------------------------------------------------------------------------------------------------------


def test_requests_that_arrive_together_are_answered_one_after_the_other(kafka: FakeCluster, peer: Peer) -> None:
    asked = fetch("t", part(), session_epoch=-1, wait_ms=300)
    peer.send(asked, 12)
    for _ in range(3):
        peer.send(list_offsets("t", -1), 9)
    assert peer.receive(asked, 12).responses[0].partitions[0].high_watermark == 0
    for _ in range(3):
        assert peer.receive(list_offsets("t"), 9).topics[0].partitions[0].offset == 0


def test_a_request_may_come_byte_by_byte(kafka: FakeCluster, peer: Peer) -> None:
    frame = b"\0\3\0\1\0\0\0\1\xff\xff\0\0\0\0"
    for at in range(len(frame) + 4):
        peer.socket.sendall((len(frame).to_bytes(4, "big") + frame)[at : at + 1])
    assert len(peer.receive(metadata(), 1).brokers) == 3


def test_who_does_not_read_its_answers_is_asked_for_no_more_requests(kafka: FakeCluster, peer: Peer) -> None:
    kafka.create_topic("big", max_message_bytes=20_000_000)
    kafka.move_leader("big", 0, to=1)
    write(peer, b"x" * 10_000_000, topic="big")
    asked = fetch("big", part(max_bytes=20_000_000), session_epoch=-1)
    kafka.requests.clear()
    for _ in range(5):
        peer.send(asked, 12)
    # the first answer is larger than what the sockets hold, so the second request waits
    until(lambda: kafka.requests.seen("Fetch"))
    with peer_of(kafka.hosts) as other:
        other.ask(metadata())
    assert len(kafka.requests.seen("Fetch")) == 1
    for _ in range(5):
        assert len(peer.receive(asked, 12).responses[0].partitions[0].records) > 10_000_000
