"""Bad hosts, silent peers and peers that are no brokers: one clear error each, in time."""

from __future__ import annotations

import contextlib
import socket
import time

import pytest

from pykafka import Broker, Cluster, KafkaClient
from pykafka.exceptions import KafkaConfigError, KafkaException, NoBrokersAvailableError

from .broker import DROP, fake_broker, rude_peer


@pytest.mark.parametrize("wrong", [5, "threads", object()])
def test_a_handler_that_is_none_is_refused_before_anything_is_connected(wrong: object) -> None:
    with pytest.raises(KafkaConfigError, match="handler.*it has no Event, Lock, sleep, spawn"):
        Cluster("127.0.0.1:1", wrong)
    with pytest.raises(KafkaConfigError, match="handler"):
        Broker(0, "127.0.0.1", 1, wrong, 1000, 1000)


def closed_port() -> int:
    """Return a port nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def failure(hosts: str, timeout_ms: int = 1500) -> str:
    """Return what connecting to ``hosts`` fails with."""
    began = time.monotonic()
    with pytest.raises(NoBrokersAvailableError) as caught:
        KafkaClient(hosts, socket_timeout_ms=timeout_ms)
    # twice the promise and some: not a measurement, but for ever would be noticed
    assert time.monotonic() - began < 2 * timeout_ms / 1000 + 5
    return str(caught.value)


def test_unreachable_hosts_are_one_error_that_lists_every_address_with_its_own_reason() -> None:
    refused = closed_port()
    with rude_peer(b"") as silent, rude_peer(b"HTTP/1.1 400 Bad Request\r\n\r\n") as web:
        text = failure(f"127.0.0.1:{refused},{silent},{web},no-such-host.invalid:9092", timeout_ms=4500)
    lines = {line.strip().split(": ", 1)[0]: line for line in text.splitlines()[1:]}
    assert set(lines) == {f"127.0.0.1:{refused}", silent, web, "no-such-host.invalid:9092"}
    assert "refused" in lines[f"127.0.0.1:{refused}"]
    assert "HTTP" in lines[web]
    assert "resolve" in lines["no-such-host.invalid:9092"]
    assert "no answer" in lines[silent] or "did not answer" in lines[silent]


def test_a_tls_listener_spoken_to_in_plaintext_is_recognised() -> None:
    with rude_peer(b"\x15\x03\x03\x00\x02\x02\x46") as peer:
        assert "ssl_config" in failure(peer)


def test_an_announced_frame_of_a_gigabyte_is_refused() -> None:
    with rude_peer((2**30).to_bytes(4, "big") + b"x" * 100) as peer:
        text = failure(peer)
    assert "1073741824" in text and "max_response_bytes" in text


def test_garbage_in_place_of_an_answer_is_an_error_and_not_a_hang() -> None:
    with rude_peer(b"\0\0\0\x08\0\0\0\0\xde\xad\xbe\xef") as peer:
        assert "ApiVersions" in failure(peer)


def test_the_client_finds_the_one_host_that_works_among_dead_ones() -> None:
    with fake_broker() as broker, KafkaClient(f"127.0.0.1:{closed_port()},{broker.hosts}") as client:
        assert list(client.brokers) == [1]


def test_a_wrong_correlation_id_closes_the_connection_and_the_next_one_is_used() -> None:
    with fake_broker() as broker:
        honest = broker.metadata
        answers = [b"\0\0\0\x06\x7f\x7f\x7f\x7f\0\0"]
        broker.scripts["Metadata"] = lambda request, version: answers.pop() if answers else honest(request, version)
        with pytest.raises(NoBrokersAvailableError):
            KafkaClient(broker.hosts, socket_timeout_ms=1000)
        with KafkaClient(broker.hosts) as client:
            assert b"t" in client.topics


def test_an_old_broker_without_the_newest_api_versions_is_asked_again_with_what_it_has() -> None:
    with fake_broker() as broker:
        usual = broker.versions

        def old(request: object, version: int) -> object:
            if version > 2:
                # correlation id 0, error 35, one range: key 18, versions 0 to 2
                return b"\0\0\0\x10" + b"\0\0\0\0" + b"\0\x23" + b"\0\0\0\1" + b"\0\x12\0\0\0\2"
            return usual(request, version)

        broker.scripts["ApiVersions"] = old
        with KafkaClient(broker.hosts) as client:
            assert b"t" in client.topics
        assert [version for name, version, _ in broker.requests if name == "ApiVersions"][:2] == [4, 2]


def test_a_broker_that_drops_every_connection_says_so() -> None:
    with fake_broker() as broker:
        broker.scripts["ApiVersions"] = lambda request, version: DROP
        assert "closed the connection" in failure(broker.hosts)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"hosts": "kafka"}, "missing port"),
        ({"socket_timeout": 5}, "did you mean socket_timeout_ms"),
        ({"socket_timeout_ms": -1, "client_id": 5}, "client_id"),
        ({"source_address": "::1:99999"}, "source_address"),
        ({"zookeeper_hosts": "zk:2181"}, "hosts="),
    ],
)
def test_bad_options_are_named_before_anything_is_connected(options: dict[str, object], words: str) -> None:
    with pytest.raises(KafkaConfigError, match=words):
        KafkaClient(**options)  # type: ignore[arg-type]


def test_a_closed_client_says_so_instead_of_hanging() -> None:
    with fake_broker() as broker:
        client = KafkaClient(broker.hosts)
        client.close()
        client.close()
        with pytest.raises(KafkaException, match="closed"):
            client.update_cluster()


def test_greenlets_without_gevent_name_the_two_lines_to_add() -> None:
    with pytest.raises(ImportError, match="monkey.patch_all"):
        KafkaClient("127.0.0.1:1", use_greenlets=True)


def test_many_silent_hosts_are_all_tried_in_the_time_there_is_and_each_says_what_it_did_not_do() -> None:
    refused = closed_port()
    with rude_peer(b"") as first, rude_peer(b"") as second, rude_peer(b"") as third:
        text = failure(f"{first},{second},{third},127.0.0.1:{refused}", timeout_ms=1500)
    assert "not tried" not in text
    assert text.count("did not answer ApiVersions") == 3
    assert "refused" in text


def test_a_connection_attempt_that_nobody_answers_is_not_taken_for_a_silent_broker() -> None:
    # a listener whose queue is full lets attempts wait, as a host that drops packets does
    with socket.socket() as full, contextlib.ExitStack() as held:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        assert "firewall" in failure(f"127.0.0.1:{full.getsockname()[1]}", timeout_ms=800)


def test_every_address_of_a_name_is_named_and_ipv6_has_its_brackets() -> None:
    port = closed_port()
    assert f"[::1]:{port}: could not connect: ::1:" in failure(f"[::1]:{port}")
    assert "127.0.0.1: Connection refused" in failure(f"localhost:{port}")
