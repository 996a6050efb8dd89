"""TLS: the broker is verified, large messages pass both ways, and each thing that can be wrong has an error of its own."""

from __future__ import annotations

import contextlib
import gc
import os
import re
import socket
import ssl
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable

import pytest

from pykafka import KafkaClient
from pykafka.broker import Broker
from pykafka.connection import BrokerConnection, SslConfig
from pykafka.exceptions import KafkaConfigError, KafkaException, NoBrokersAvailableError, SocketDisconnectedError
from pykafka.handlers import ThreadingHandler

from ..support import until
from .broker import FakeBroker, fake_broker, rude_peer
from .test_produce_and_fetch import batches_of, fetched, produced, stored

FILES = Path(__file__).parent / "tls"  # make.sh there made them
CA = str(FILES / "ca.pem")


def serving(name: str = "broker", ask: bool = False) -> ssl.SSLContext:
    """Return a broker's side of TLS, with the certificate ``name``; ``ask`` demands one of the client."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(FILES / f"{name}.pem")
    if ask:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(CA)
    return context


def failure(broker: FakeBroker, config: Any) -> str:
    """Return why a client cannot reach ``broker``."""
    return failure_at(broker.hosts, config)


def failure_at(hosts: str, config: Any) -> str:
    """Return why a client cannot reach ``hosts``."""
    with pytest.raises(NoBrokersAvailableError) as caught:
        KafkaClient(hosts, ssl_config=config, socket_timeout_ms=5000)
    return str(caught.value)


class Wrapper:
    """An object of the original API: it wraps the socket it is given, by itself."""

    def __init__(self, wrap: Callable[[socket.socket], Any]) -> None:
        self._wrap = wrap
        self.threads: list[threading.Thread] = []

    def wrap_socket(self, sock: socket.socket) -> Any:
        self.threads.append(threading.current_thread())
        return self._wrap(sock)


def trusting(ca: str = CA, **options: Any) -> Wrapper:
    """Return a wrapper that verifies the authority but no name, as the original SslConfig did."""
    context = ssl.create_default_context(cafile=ca)
    context.check_hostname = False
    return Wrapper(lambda sock: context.wrap_socket(sock, **options))


class Overriding(SslConfig):
    """Settings whose user wraps sockets in a way of his own."""

    def wrap_socket(self, sock: socket.socket, *_args: Any, **_options: Any) -> ssl.SSLSocket:
        return super().wrap_socket(sock, "localhost")


KINDS: dict[str, Callable[[], Any]] = {
    "SslConfig": lambda: SslConfig(CA),
    "SSLContext": lambda: ssl.create_default_context(cafile=CA),
    "wrap_socket(sock)": trusting,
    "without a handshake": lambda: trusting(do_handshake_on_connect=False),
    "SslConfig's own wrap_socket": lambda: Wrapper(SslConfig(CA).wrap_socket),
    "overridden wrap_socket": lambda: Overriding(CA),
}


@pytest.mark.parametrize("kind", KINDS)
def test_large_messages_pass_through_tls_both_ways(kind: str) -> None:
    config = KINDS[kind]()
    large = [bytes([number]) * 700_000 for number in range(8)]
    got: list[bytes] = []

    def keep(request: Any, version: int) -> Any:
        (batch,) = batches_of(request)
        got.append(bytes(batch.data[-699_990:-1]))
        return produced(len(got) - 1)

    def give(request: Any, version: int) -> Any:
        offset = request.topics[0].partitions[0].fetch_offset
        return fetched(bytes(stored(offset, [large[offset]]))) if offset < len(large) else None

    with fake_broker(tls=serving()) as broker, KafkaClient(broker.hosts, ssl_config=config) as client:
        broker.scripts["Produce"], broker.scripts["Fetch"] = keep, give
        topic = client.topics["t"]
        with topic.get_producer() as producer:
            for value in large:
                producer.produce(value)
        assert [data[:1] for data in got] == [value[:1] for value in large]
        with topic.get_simple_consumer(consumer_timeout_ms=10000) as consumer:
            assert [consumer.consume().value for _ in large] == large  # type: ignore[union-attr]


def test_a_client_shows_its_own_certificate_where_it_is_asked_for_one() -> None:
    with fake_broker(tls=serving(ask=True)) as broker:
        own = SslConfig(CA, certfile=str(FILES / "broker.pem"))
        with KafkaClient(broker.hosts, ssl_config=own) as client:
            assert b"t" in client.topics
        assert broker.hosts in failure(broker, SslConfig(CA))


def test_a_broker_that_somebody_else_signed_is_refused() -> None:
    with fake_broker(tls=serving()) as broker:
        text = failure(broker, SslConfig(str(FILES / "stranger.pem")))
    assert "certificate" in text and "cafile" in text


def test_a_broker_whose_certificate_names_another_host_is_refused_unless_told_otherwise() -> None:
    with fake_broker(tls=serving("elsewhere")) as broker:
        assert "127.0.0.1" in failure(broker, SslConfig(CA))
        with KafkaClient(broker.hosts, ssl_config=SslConfig(CA, check_hostname=False)) as client:
            assert b"t" in client.topics


def test_plaintext_to_a_tls_listener_says_what_to_give() -> None:
    with fake_broker(tls=serving()) as broker:
        assert "ssl_config" in failure(broker, None)


def test_tls_to_a_plaintext_listener_says_what_it_may_be() -> None:
    with fake_broker() as broker:
        assert "TLS" in failure(broker, SslConfig(CA))


@pytest.mark.parametrize(
    ("config", "named"),
    [
        (SslConfig("/no/such.pem"), "cafile='/no/such.pem'"),
        (SslConfig(__file__), "cafile="),
        (SslConfig(CA, certfile=CA), "certfile="),
        (SslConfig(5), "cafile=5"),  # type: ignore[arg-type]
    ],
    ids=["missing", "not a certificate", "without a key", "not a path"],
)
def test_files_that_cannot_be_used_are_named_before_anything_is_connected(config: SslConfig, named: str) -> None:
    with pytest.raises(KafkaConfigError, match=named) as caught:
        KafkaClient("127.0.0.1:1", ssl_config=config)
    assert "1 bad option" in str(caught.value)


# -- objects of the original API, which wrap sockets themselves -------------------------------------------------------


def wrapping_threads() -> list[threading.Thread]:
    """Return the threads that a user's object wraps a socket in."""
    return [thread for thread in threading.enumerate() if thread.name == "pykafka-tls"]


def open_descriptors() -> int:
    """Return how many descriptors this process has."""
    gc.collect()
    return len(os.listdir("/dev/fd"))


def raising(error: Exception) -> Wrapper:
    """Return an object that raises ``error``."""

    def wrap(sock: socket.socket) -> None:
        raise error

    return Wrapper(wrap)


class Closed(socket.socket):
    """A socket that is closed from the beginning."""

    def __init__(self) -> None:
        super().__init__()
        self.close()


BAD_OBJECTS: dict[str, tuple[Callable[[], Any], str]] = {
    "raises a TypeError": (lambda: raising(TypeError("one argument too many")), "TypeError.'one argument too many'"),
    "raises an OSError": (lambda: raising(OSError(5, "no luck")), "no luck"),
    "returns None": (lambda: Wrapper(lambda sock: None), "returned None"),
    "returns a plain object": (lambda: Wrapper(lambda sock: object()), "returned <object object"),
    "returns a closed socket": (lambda: Wrapper(lambda sock: Closed()), "closed"),
    "trusts somebody else": (lambda: trusting(str(FILES / "stranger.pem")), "CERTIFICATE_VERIFY_FAILED"),
    "trusts nobody, later": (
        lambda: trusting(str(FILES / "stranger.pem"), do_handshake_on_connect=False),
        "CERTIFICATE_VERIFY_FAILED",
    ),
}


@pytest.mark.parametrize("name", BAD_OBJECTS)
def test_what_goes_wrong_in_an_object_of_the_users_is_told_with_the_peer_and_what_to_do(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    make, words = BAD_OBJECTS[name]
    with fake_broker(tls=serving()) as broker:
        before = open_descriptors()
        text = failure(broker, make())
        assert re.search(words, text) and broker.hosts in text and "ssl_config" in text and "TLS listener" in text
        # a broker made by hand only logs it, and its connection raises it with its cause
        with Broker(1, "127.0.0.1", broker.port, ThreadingHandler(), 5000, 5000, ssl_config=make()) as by_hand:
            assert not by_hand.connected
        connection = BrokerConnection("127.0.0.1", broker.port, None, ssl_config=make())
        with pytest.raises(SocketDisconnectedError, match=words) as caught:
            connection.connect(5000, attempts=1)
        assert caught.value.__cause__ is not None
        until(lambda: not wrapping_threads(), what="the end of the threads")
        # the peer's half of each connection is in this process too, and closes when it hears of it
        until(lambda: open_descriptors() <= before, what="all sockets closed")
    assert "unexpected error" not in caplog.text


def test_the_object_is_given_a_blocking_socket_with_a_timeout_and_never_on_the_io_thread() -> None:
    seen: list[Any] = []
    inner = trusting()
    config = Wrapper(lambda sock: (seen.append(sock.gettimeout()), inner.wrap_socket(sock))[1])
    with fake_broker(tls=serving()) as broker, KafkaClient(broker.hosts, ssl_config=config, socket_timeout_ms=5000) as client:
        assert b"t" in client.topics
    assert seen and all(0 < timeout <= 5 for timeout in seen)
    assert {thread.name for thread in config.threads} == {"pykafka-tls"}


def test_a_handshake_that_never_ends_is_given_up_in_time_and_its_thread_ends() -> None:
    def wrap(sock: socket.socket) -> Any:
        sock.settimeout(None)  # it waits for ever, whatever it was told
        return trusting().wrap_socket(sock)

    with rude_peer(b"") as hosts:
        began = time.monotonic()
        with pytest.raises(NoBrokersAvailableError, match="ssl_config"):
            KafkaClient(hosts, ssl_config=Wrapper(wrap), socket_timeout_ms=500)
        assert time.monotonic() - began < 5
        until(lambda: not wrapping_threads(), 5, "the end of the thread")


def test_an_object_that_blocks_for_ever_costs_one_thread_and_no_more() -> None:
    release = threading.Event()
    closed: list[socket.socket] = []

    def wrap(sock: socket.socket) -> Any:
        closed.append(sock)
        release.wait(60)
        return sock

    with rude_peer(b"") as hosts:
        began = time.monotonic()
        with pytest.raises(NoBrokersAvailableError, match="did not return in time"):
            KafkaClient(hosts, ssl_config=Wrapper(wrap), socket_timeout_ms=300)
        assert time.monotonic() - began < 5
        assert len(wrapping_threads()) == 1
        release.set()
        until(lambda: not wrapping_threads(), 5, "the end of the thread")
        assert [sock.fileno() for sock in closed] == [-1]


def test_a_client_that_is_closed_during_a_handshake_closes_at_once() -> None:
    entered, release, stuck = threading.Event(), threading.Event(), threading.Event()
    late: list[Any] = []
    inner = trusting()

    def wrap(sock: socket.socket) -> Any:
        if stuck.is_set():
            entered.set()
            release.wait(60)
            late.append(sock)
            return sock
        return inner.wrap_socket(sock)

    with fake_broker(tls=serving()) as broker:
        client = KafkaClient(broker.hosts, ssl_config=Wrapper(wrap))
        try:
            stuck.set()
            broker.hang_up()
            asking = threading.Thread(target=lambda: pytest.raises(KafkaException, client.update_cluster))
            asking.start()
            assert entered.wait(20)
            began = time.monotonic()
            client.close()
            assert time.monotonic() - began < 5
            asking.join(10)
        finally:
            release.set()
        until(lambda: not wrapping_threads(), 5, "the end of the thread")
        # what it gave back for nobody is closed
        assert late and all(sock.fileno() == -1 for sock in late)


def test_a_socket_that_is_wrapped_too_late_is_closed_and_the_client_goes_on() -> None:
    release = threading.Event()
    stuck = [False]
    late: list[Any] = []
    inner = trusting()

    def wrap(sock: socket.socket) -> Any:
        if not stuck[0]:
            return inner.wrap_socket(sock)
        stuck[0] = False
        late.append(sock)
        release.wait(60)
        sock.settimeout(None)
        return sock

    with (
        fake_broker(tls=serving()) as broker,
        KafkaClient(broker.hosts, ssl_config=Wrapper(wrap), socket_timeout_ms=500) as client,
    ):
        stuck[0] = True
        broker.hang_up()

        def works() -> bool:
            with contextlib.suppress(KafkaException):
                client.update_cluster()
            return bool(late) and any(brk.connected for brk in client.brokers.values())

        try:
            until(works, what="a connection made anew")
        finally:
            release.set()
        until(lambda: late[0].fileno() == -1, 5, "the late socket closed")
        assert not client.cluster.engine.loop.stopped


def test_without_a_thread_to_wrap_in_the_connection_fails_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoThread:
        def __init__(self, **_options: Any) -> None:
            pass

        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    with fake_broker(tls=serving()) as broker:
        before = open_descriptors()
        monkeypatch.setattr("pykafka._engine.tls.threading", SimpleNamespace(Thread=NoThread))
        text = failure(broker, trusting())
        assert "can't start new thread" in text and broker.hosts in text
        until(lambda: open_descriptors() <= before, what="all sockets closed")


@pytest.mark.parametrize(
    "config",
    [object(), 5, "ca.pem", SslConfig, ssl.SSLContext],
    ids=["an object", "a number", "a path", "the class SslConfig", "the class SSLContext"],
)
def test_what_cannot_wrap_a_socket_is_refused_at_once(config: Any) -> None:
    for make in (
        lambda: KafkaClient("127.0.0.1:1", ssl_config=config),
        lambda: BrokerConnection("127.0.0.1", 1, None, ssl_config=config),
        lambda: Broker(1, "127.0.0.1", 1, ThreadingHandler(), 100, 100, ssl_config=config),
    ):
        with pytest.raises(KafkaConfigError, match=r"ssl_config.*wrap_socket\(sock\)"):
            make()


@pytest.mark.parametrize(("made", "words"), [(None, "must return an ssl.SSLContext"), (KeyError("k"), "failed.*KeyError")])
def test_a_context_that_is_none_is_refused_at_once(made: Any, words: str) -> None:
    class Config:
        def context(self) -> Any:
            if isinstance(made, Exception):
                raise made
            return made

    with pytest.raises(KafkaConfigError, match=words):
        KafkaClient("127.0.0.1:1", ssl_config=Config())
