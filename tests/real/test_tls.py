"""TLS with a real broker: what is produced is consumed, whatever kind of ``ssl_config`` makes the connections."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pykafka import KafkaClient
from pykafka.common import OffsetType

from ..brokers import KafkaCluster
from ..brokers.cluster import free_port
from ..fake.test_tls import CA, FILES, KINDS, failure_at, trusting, wrapping_threads
from ..support import create_topic, read_all, until, values

pytestmark = pytest.mark.kafka(since="3.3")  # the listeners below are those of a KRaft node


@pytest.fixture(scope="module")
def tls_hosts(kafka: KafkaCluster) -> Iterator[str]:
    """The address of a real broker's TLS listener."""
    cluster = KafkaCluster(version=kafka.version)
    (node,) = cluster.nodes
    port = free_port({node.port, node.controller_port})
    own = f"PLAIN://127.0.0.1:{node.port},TLS://127.0.0.1:{port}"
    cluster.settings.update(
        {
            "listeners": f"{own},CTRL://127.0.0.1:{node.controller_port}",
            "advertised.listeners": own,
            "listener.security.protocol.map": "CTRL:PLAINTEXT,PLAIN:PLAINTEXT,TLS:SSL",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": FILES / "broker.pem",
        }
    )
    with cluster:
        yield f"127.0.0.1:{port}"


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_produced_through_tls_is_consumed_through_tls(tls_hosts: str, topic_name: str, kind: str) -> None:
    sent = [b"%d " % number + b"x" * 100_000 for number in range(50)]
    with KafkaClient(tls_hosts, ssl_config=KINDS[kind]()) as client:
        topic = create_topic(client, topic_name)
        with topic.get_producer() as producer:
            for value in sent:
                producer.produce(value)
        assert values(read_all(topic, len(sent))) == sent
    until(lambda: not wrapping_threads(), what="the end of the threads")


def test_members_of_a_group_use_an_object_that_wraps_sockets_itself(tls_hosts: str, topic_name: str) -> None:
    with KafkaClient(tls_hosts, ssl_config=trusting(CA)) as client:
        topic = create_topic(client, topic_name)
        with topic.get_sync_producer() as producer:
            producer.produce(b"x")
        options: dict[str, Any] = {"auto_offset_reset": OffsetType.EARLIEST, "consumer_timeout_ms": 20000}
        with topic.get_balanced_consumer(topic_name, managed=True, **options) as consumer:
            message = consumer.consume()
            assert message is not None and message.value == b"x"
            consumer.commit_offsets()


def test_an_object_that_does_not_trust_the_broker_is_told(tls_hosts: str) -> None:
    text = failure_at(tls_hosts, trusting(str(FILES / "stranger.pem")))
    assert "CERTIFICATE_VERIFY_FAILED" in text and tls_hosts in text
