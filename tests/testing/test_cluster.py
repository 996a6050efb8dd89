"""What a user does with a fake cluster: clients work on it, topics and messages are looked at, and it leaves nothing behind."""

from __future__ import annotations

import gc
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from pykafka import KafkaClient
from pykafka.common import OffsetType
from pykafka.connection import SslConfig
from pykafka.exceptions import NoBrokersAvailableError, TopicAuthorizationFailed
from pykafka.protocol import messages as m
from pykafka.testing import FakeCluster

from ..brokers.cluster import free_port
from ..support import ROOT, until
from .peer import Peer, fetch, list_offsets, metadata, part, peer_of, read, write

TLS = Path(__file__).parent.parent / "fake" / "tls"


# -- clients ----------------------------------------------------------------------------------------------------------


def test_our_client_produces_and_consumes(fakes: FakeCluster) -> None:
    fakes.create_topic("clicks", 4)
    with KafkaClient(fakes.hosts) as client:
        topic = client.topics["clicks"]
        with topic.get_producer() as producer:
            for number in range(100):
                producer.produce(b"%d" % number)
        assert sorted(fakes.values("clicks"), key=lambda value: int(value or b"")) == [b"%d" % number for number in range(100)]
        with topic.get_simple_consumer(consumer_timeout_ms=10000, auto_offset_reset=OffsetType.EARLIEST) as consumer:
            got = {consumer.consume().value for _ in range(100)}  # type: ignore[union-attr]
    assert len(got) == 100


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_kafka_python_produces_and_consumes(fakes: FakeCluster) -> None:
    other = pytest.importorskip("kafka")
    fakes.create_topic("clicks", 4)
    producer = other.KafkaProducer(bootstrap_servers=fakes.hosts)
    for number in range(100):
        producer.send("clicks", b"%d" % number, key=b"k%d" % number, headers=[("h", b"v")])
    producer.flush()
    producer.close()
    assert len(fakes.values("clicks")) == 100
    consumer = other.KafkaConsumer(bootstrap_servers=fakes.hosts, auto_offset_reset="earliest", consumer_timeout_ms=10000)
    consumer.assign([other.TopicPartition("clicks", number) for number in range(4)])
    got = [next(consumer) for _ in range(100)]
    consumer.close()
    assert {(row.value, row.key, tuple(row.headers)) for row in got} == {
        (b"%d" % number, b"k%d" % number, (("h", b"v"),)) for number in range(100)
    }


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_librdkafka_produces_and_consumes(fakes: FakeCluster, codec: str) -> None:
    other = pytest.importorskip("confluent_kafka")
    fakes.create_topic("clicks", 4)
    quiet = {"bootstrap.servers": fakes.hosts, "log_level": 0}
    producer = other.Producer({**quiet, "enable.idempotence": True, "compression.type": codec})
    for number in range(100):
        producer.produce("clicks", b"%d" % number)
    assert producer.flush(10) == 0
    assert {*fakes.values("clicks")} == {b"%d" % number for number in range(100)}
    consumer = other.Consumer({**quiet, "group.id": "g", "enable.auto.commit": False})
    consumer.assign([other.TopicPartition("clicks", number, 0) for number in range(4)])
    got: set[bytes] = set()
    until(lambda: got.update(row.value() for row in consumer.consume(100, 0.5) if not row.error()) or len(got) == 100)
    consumer.close()


@pytest.mark.parametrize("version", ["0.11", "1.0", "1.1", "2.0", "2.4", "2.8", "3.0", "3.9", "4.0", "4.1", "4.3", "4.4"])
def test_our_client_works_with_brokers_of_every_version(version: str) -> None:
    with FakeCluster(topics={"t": 1}, as_version=version) as fakes, KafkaClient(fakes.hosts) as client:
        with client.topics["t"].get_producer() as producer:
            producer.produce(b"a")
        with client.topics["t"].get_simple_consumer(consumer_timeout_ms=10000) as consumer:
            assert consumer.consume().value == b"a"  # type: ignore[union-attr]
        if version == "2.8":
            assert {entry.version for entry in fakes.requests if entry.name == "Produce"} == {9}


def test_tls_carries_large_messages_both_ways() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "broker.pem")
    values = [bytes([number]) * 700_000 for number in range(5)]
    with FakeCluster(topics={"t": 1}, ssl_context=context) as fakes:
        with KafkaClient(fakes.hosts, ssl_config=SslConfig(str(TLS / "ca.pem"))) as client:
            with client.topics["t"].get_producer() as producer:
                for value in values:
                    producer.produce(value)
            assert fakes.values("t") == values
            with client.topics["t"].get_simple_consumer(consumer_timeout_ms=10000) as consumer:
                assert [consumer.consume().value for _ in values] == values  # type: ignore[union-attr]
        with pytest.raises(NoBrokersAvailableError):
            KafkaClient(fakes.hosts, socket_timeout_ms=2000)


# -- from beginning to end --------------------------------------------------------------------------------------------


def test_starting_takes_less_than_50_ms_of_processor_time() -> None:
    began = time.process_time()
    with FakeCluster(brokers=3, topics={f"t{number}": 4 for number in range(10)}):
        took = time.process_time() - began
    assert took < 0.05


def test_nothing_is_left_of_it(fakes: FakeCluster) -> None:
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
    port = free_port(set())
    with socket.create_server(("127.0.0.1", port)), pytest.raises(OSError, match=f"127.0.0.1:{port}"):
        FakeCluster(port=port).start()
    with FakeCluster(brokers=2, port=port) as fakes:
        assert fakes.hosts == f"127.0.0.1:{port},127.0.0.1:{port + 1}"


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


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"\0\0\0\x0a" + b"\x03\xe7\0\0\0\0\0\1\xff\xff", "sent API key 999 v0 to broker 1, which does not have it"),
        (b"\0\0\0\x0a" + b"\0\x03\0\x0d\0\0\0\1\xff\xff", r"sent Metadata v13 to broker 1, which has versions \(0, 11\)"),
        (b"\0\0\0\x0e" + b"\0\3\0\1\0\0\0\1\xff\xff\x7f\xff\xff\xff", "sent a malformed Metadata v1"),
        (b"\0\0\0\3abc", "a request of 3 bytes, too short for a header"),
        (b"\x77\x35\x94\x00", "announced a request of 2000000000 bytes"),
        (b"\xff\xff\xff\xff", "announced a request of -1 bytes"),
    ],
)
def test_what_no_broker_understands_closes_the_connection_and_fails_the_test(sent: bytes, said: str) -> None:
    fakes = FakeCluster(as_version="2.8").start()
    with peer_of(fakes.hosts) as peer:
        peer.socket.sendall(sent)
        assert peer.is_closed()
    with pytest.raises(AssertionError, match=said):
        fakes.stop()
    fakes.stop()


def test_complaints_are_kept_in_bounds() -> None:
    with FakeCluster() as fakes:
        host, _colon, port = fakes.hosts.rpartition(":")
        for _ in range(1010):
            with socket.create_connection((host, int(port))) as rubbish:
                rubbish.sendall(b"GET / HTTP/1.1\r\n\r\n")
                rubbish.recv(1)
        assert len(fakes.complaints) == 1001 and fakes.complaints[-1] == "and more, which are not kept"
        fakes.complaints.clear()


WITHOUT_DESCRIPTORS = """
import os, resource, sys, time
from pykafka.testing import FakeCluster
kafka = FakeCluster(topics={"t": 1}).start()
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
print(kafka.hosts, flush=True)
sys.stdin.readline()
begun = os.times().user + os.times().system
time.sleep(0.5)
print(os.times().user + os.times().system - begun, len(kafka.complaints), kafka.complaints.pop(), flush=True)
sys.stdin.readline()
kafka.stop()
"""


def test_without_descriptors_it_waits_says_so_once_and_serves_again() -> None:
    command, pipes = [sys.executable, "-c", WITHOUT_DESCRIPTORS], {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, cwd=ROOT, **pipes) as program:  # type: ignore[call-overload]
        address = program.stdout.readline().strip()
        host, _colon, port = address.rpartition(":")
        crowd = [socket.create_connection((host, int(port))) for _ in range(60)]
        program.stdin.write("\n")
        program.stdin.flush()
        cpu_s, count, *said = program.stdout.readline().split()
        assert (count, " ".join(said[:8])) == ("1", "broker 1 has no descriptor for another connection:")
        assert float(cpu_s) < 0.3
        for one in crowd:
            one.close()
        with peer_of(address) as peer:
            assert len(peer.ask(metadata()).brokers) == 1
        program.communicate("\n", timeout=20)
    assert program.returncode == 0


def test_the_tests_own_error_comes_before_that_of_the_cluster(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError), FakeCluster() as fakes:
        fakes.complaints.append("something")
        raise ZeroDivisionError
    assert "- something" in capsys.readouterr().err


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


def test_messages_are_written_and_looked_at_without_a_client(fakes: FakeCluster, peer: Peer) -> None:
    headers: list[Any] = [[("h", b"v")], [], []]
    assert fakes.produce("t", ["a", b"b", None], keys=["k", None, b"k"], timestamps=[7, 8, 9], headers=headers) == 0
    assert fakes.produce("t", ["c"]) == 3
    rows = fakes.records("t")
    assert [(row.offset, row.key, row.value) for row in rows[:3]] == [(0, b"k", b"a"), (1, None, b"b"), (2, b"k", None)]
    assert [row.timestamp for row in rows[:3]] == [7, 8, 9] and rows[0].headers == [("h", b"v")]
    assert fakes.values("t") == fakes.values("t", 0) == [b"a", b"b", None, b"c"]
    assert read(peer).high_watermark == 4
    with pytest.raises(ValueError, match="1 keys for 2 values"):
        fakes.produce("t", ["a", "b"], keys=["k"])
    with pytest.raises(ValueError, match="no partition t/5"):
        fakes.values("t", 5)


def test_topics_come_and_go(fakes: FakeCluster, peer: Peer) -> None:
    fakes.create_topic("new", 2, replication_factor=1, cleanup_policy="compact", max_message_bytes=1000, preallocate=True)
    (row,) = peer.ask(metadata("new")).topics
    assert [len(part.replica_nodes) for part in row.partitions] == [1, 1]
    with pytest.raises(ValueError, match="is there already"):
        fakes.create_topic("new")
    with pytest.raises(ValueError, match="Unknown topic config name: no.such"):
        fakes.create_topic("other", no_such="1")
    fakes.add_partitions("new", 5)
    assert len(peer.ask(metadata("new")).topics[0].partitions) == 5
    with pytest.raises(ValueError, match="5 are not more"):
        fakes.add_partitions("new", 5)
    fakes.delete_topic("new")
    assert peer.ask(metadata("new")).topics[0].error_code == 3
    with pytest.raises(ValueError, match="no topic 'new'"):
        fakes.delete_topic("new")


def test_topics_are_created_by_asking_only_where_that_is_wanted() -> None:
    for wanted in (True, False):
        with FakeCluster(auto_create_topics=wanted, default_partitions=2) as fakes, peer_of(fakes.hosts) as peer:
            assert peer.ask(metadata("t", create=True)).topics[0].error_code == 3
            assert [len(row.partitions) for row in peer.ask(metadata("t")).topics] == [2 if wanted else 0]
            if not wanted:
                with pytest.raises(ValueError, match="no topic t"):
                    fakes.produce("t", ["a"])


# -- the journal ------------------------------------------------------------------------------------------------------


def test_the_journal_tells_who_asked_what_of_whom(fakes: FakeCluster, peer: Peer) -> None:
    write(peer, b"a")
    entry = list(fakes.requests)[-1]
    assert entry[:4] == (1, "peer", "Produce", 12) and entry.request.acks == -1
    assert fakes.requests.seen(m.ProduceRequest) == fakes.requests.seen("Produce") == [entry.request]
    assert fakes.requests.seen("Produce", broker=2) == []
    with pytest.raises(ValueError, match="no request 'Prodoce'"):
        fakes.requests.seen("Prodoce")
    fakes.requests.clear()
    assert len(fakes.requests) == 0


# -- the wire ---------------------------------------------------------------------------------------------------------


def test_requests_that_arrive_together_are_answered_one_after_the_other(fakes: FakeCluster, peer: Peer) -> None:
    asked = fetch("t", part(), session_epoch=-1, wait_ms=300)
    peer.send(asked, 12)
    for _ in range(3):
        peer.send(list_offsets("t", -1), 9)
    assert peer.receive(asked, 12).responses[0].partitions[0].high_watermark == 0
    for _ in range(3):
        assert peer.receive(list_offsets("t"), 9).topics[0].partitions[0].offset == 0


def test_a_request_may_come_byte_by_byte(fakes: FakeCluster, peer: Peer) -> None:
    frame = b"\0\3\0\1\0\0\0\1\xff\xff\0\0\0\0"
    for at in range(len(frame) + 4):
        peer.socket.sendall((len(frame).to_bytes(4, "big") + frame)[at : at + 1])
    assert len(peer.receive(metadata(), 1).brokers) == 3


def test_who_does_not_read_its_answers_is_asked_for_no_more_requests(fakes: FakeCluster, peer: Peer) -> None:
    fakes.create_topic("big", max_message_bytes=20_000_000)
    fakes.move_leader("big", 0, to=1)
    write(peer, b"x" * 10_000_000, topic="big")
    asked = fetch("big", part(max_bytes=20_000_000), session_epoch=-1)
    fakes.requests.clear()
    for _ in range(5):
        peer.send(asked, 12)
    # the first answer is larger than what the sockets hold, so the second request waits
    until(lambda: fakes.requests.seen("Fetch"))
    with peer_of(fakes.hosts) as other:
        other.ask(metadata())
    assert len(fakes.requests.seen("Fetch")) == 1
    for _ in range(5):
        assert len(peer.receive(asked, 12).responses[0].partitions[0].records) > 10_000_000


@pytest.mark.parametrize("value", [b"abc", "abc", bytearray(b"abc")])
def test_a_single_value_in_the_place_of_a_list_is_refused_with_what_to_write(value: Any) -> None:
    with FakeCluster(topics={"t": 1}) as kafka:
        with pytest.raises(TypeError, match=r"produce\('t', \[value\]\)"):
            kafka.produce("t", value)
        assert kafka.values("t") == []


def test_a_consumer_whose_permission_came_back_goes_on_where_it_was_with_a_seek(fakes: FakeCluster) -> None:
    fakes.produce("t", ["a", "b"])
    with KafkaClient(fakes.hosts) as client, client.topics["t"].get_simple_consumer(consumer_timeout_ms=10000) as consumer:
        assert consumer.consume().value == b"a"  # type: ignore[union-attr]
        assert consumer.consume().value == b"b"  # type: ignore[union-attr]
        fakes.fail_next("Fetch", TopicAuthorizationFailed, topic="t", partition=0)
        for _ in range(3):
            with pytest.raises(TopicAuthorizationFailed):
                consumer.consume()
        fakes.produce("t", ["c"])
        partition = consumer.partitions[0]
        consumer.seek(partition, consumer.position(partition))
        assert consumer.consume().value == b"c"  # type: ignore[union-attr]
