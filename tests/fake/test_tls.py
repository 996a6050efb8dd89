"""TLS: the broker is verified, large messages pass both ways, and each thing that can be wrong has an error of its own."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

from pykafka import KafkaClient
from pykafka.connection import SslConfig
from pykafka.exceptions import KafkaConfigError, NoBrokersAvailableError

from .broker import FakeBroker, fake_broker
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
    with pytest.raises(NoBrokersAvailableError) as caught:
        KafkaClient(broker.hosts, ssl_config=config, socket_timeout_ms=5000)
    return str(caught.value)


@pytest.mark.parametrize("how", ["SslConfig", "SSLContext"])
def test_large_messages_pass_through_tls_both_ways(how: str) -> None:
    config: Any = SslConfig(CA) if how == "SslConfig" else ssl.create_default_context(cafile=CA)
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
