"""Balanced consumers before they are started: what they take, and what they are."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any, Callable

import pytest

from pykafka import BalancedConsumer, KafkaClient, ManagedBalancedConsumer, RangeProtocol, RoundRobinProtocol
from pykafka.exceptions import ConsumerStoppedException, KafkaConfigError, KafkaException
from pykafka.membershipprotocol import GroupMembershipProtocol

from .broker import FakeBroker, fake_broker


@pytest.fixture(scope="module")
def broker() -> Iterator[FakeBroker]:
    """A scripted broker with topic ``t``."""
    with fake_broker() as broker:
        yield broker


@pytest.fixture(scope="module")
def client(broker: FakeBroker) -> Iterator[KafkaClient]:
    """A client of it."""
    with KafkaClient(broker.hosts) as client:
        yield client


def managed(client: KafkaClient, **options: Any) -> BalancedConsumer:
    """Return a consumer that is not started, made as PyKafka's documentation did."""
    return client.topics["t"].get_balanced_consumer(b"g", managed=True, auto_start=False, **options)


def test_both_kinds_are_what_they_were() -> None:
    assert issubclass(ManagedBalancedConsumer, BalancedConsumer)


def test_managed_consumers_are_made_without_a_warning_and_without_asking_anybody(
    client: KafkaClient, broker: FakeBroker, recwarn: pytest.WarningsRecorder
) -> None:
    topic = client.topics["t"]
    asked = len(broker.requests)
    made = [
        topic.get_balanced_consumer("g", managed=True, auto_start=False),
        ManagedBalancedConsumer(topic, client.cluster, b"g", auto_start=False),
    ]
    assert all(type(one) is ManagedBalancedConsumer and one.topic is topic for one in made)
    assert len(broker.requests) == asked and len(recwarn) == 0
    assert repr(made[0]) == "<ManagedBalancedConsumer t group=b'g' stopped>"


class Own(BalancedConsumer):
    """What users derive."""


MAKE: dict[str, Callable[[KafkaClient], BalancedConsumer]] = {
    "by default": lambda client: client.topics["t"].get_balanced_consumer("g", auto_start=False),
    "managed=False": lambda client: client.topics["t"].get_balanced_consumer("g", managed=False, auto_start=False),
    "BalancedConsumer": lambda client: BalancedConsumer(client.topics["t"], client.cluster, "g", auto_start=False),
    "derived": lambda client: Own(client.topics["t"], client.cluster, "g", auto_start=False),
    "everything for ZooKeeper": lambda client: client.topics["t"].get_balanced_consumer(
        "g",
        zookeeper_connect="zk-1:2181,zk-2:2181",
        zookeeper_hosts="zk-1:2181",
        zookeeper=object(),
        zookeeper_connection_timeout_ms=6000,
        auto_start=False,
    ),
}


@pytest.mark.parametrize("name", MAKE)
def test_who_asked_for_zookeeper_is_told_once_and_where(client: KafkaClient, name: str) -> None:
    with pytest.warns(DeprecationWarning) as caught:
        consumer = MAKE[name](client)
    assert isinstance(consumer, BalancedConsumer) and not isinstance(consumer, ManagedBalancedConsumer)
    (warning,) = caught
    assert "Write topic.get_balanced_consumer(group, managed=True)" in str(warning.message)
    assert "stop all of them, then start the new ones" in str(warning.message)
    assert warning.filename == __file__


def test_a_warning_is_no_error_to_who_does_not_want_it(client: KafkaClient) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        assert client.topics["t"].get_balanced_consumer("g", auto_start=False).partitions == {}


def test_one_that_was_never_started_holds_nothing_and_can_be_stopped(client: KafkaClient) -> None:
    consumer = managed(client)
    for _twice in range(2):
        assert (consumer.held_offsets, consumer.partitions, consumer._partitions) == (None, {}, set())
        consumer._raise_worker_exceptions()
        consumer.stop()
    consumer.__exit__(None, None, None)


STOPPED: dict[str, Callable[[BalancedConsumer], object]] = {
    "consume": lambda consumer: consumer.consume(),
    "consume at once": lambda consumer: consumer.consume(block=False),
    "for": lambda consumer: list(consumer),
    "reset_offsets": lambda consumer: consumer.reset_offsets(),
    "reset_offsets to": lambda consumer: consumer.reset_offsets([]),
    "fetch_offsets": lambda consumer: consumer.fetch_offsets(),
    "commit_offsets": lambda consumer: consumer.commit_offsets(),
    "commit_offsets of": lambda consumer: consumer.commit_offsets([]),
}


@pytest.mark.parametrize("name", STOPPED)
def test_one_that_was_never_started_says_so(client: KafkaClient, name: str) -> None:
    with pytest.raises(ConsumerStoppedException, match="start"):
        STOPPED[name](managed(client))


def test_committing_without_a_start_is_the_error_that_pykafka_code_catches(client: KafkaClient) -> None:
    with pytest.raises(KafkaException):
        managed(client).commit_offsets()


def test_every_option_is_taken(client: KafkaClient) -> None:
    mine = GroupMembershipProtocol(b"consumer", b"mine", RoundRobinProtocol.metadata, lambda *_: set())
    managed(
        client,
        fetch_message_max_bytes=1024,
        auto_commit_enable=True,
        auto_commit_interval_ms=1000,
        consumer_timeout_ms=0,
        rebalance_max_retries=0,
        rebalance_backoff_ms=1,
        heartbeat_interval_ms=100,
        post_rebalance_callback=print,
        use_rdkafka=False,
        compacted_topic=False,
        membership_protocol=mine,
        deserializer=None,
        reset_offset_on_fetch=False,
        isolation_level="read_uncommitted",
        session_timeout_ms=6000,
        max_poll_interval_ms=0,
        group_instance_id="seat-1",
        group_protocol="classic",
        client_rack="r1",
        on_assign=print,
        on_revoke=print,
        on_lost=print,
    )
    managed(client, membership_protocol=[RangeProtocol, RoundRobinProtocol])


@pytest.mark.parametrize("cls", [BalancedConsumer, ManagedBalancedConsumer], ids=lambda cls: cls.__name__)
def test_everything_that_is_not_right_is_named_at_once(client: KafkaClient, cls: type[BalancedConsumer]) -> None:
    options: dict[str, Any] = {
        "rebalance_backoff_ms": 0,
        "post_rebalance_callback": "callback",
        "membership_protocol": "range",
        "auto_offset_reset": 5,
        "rebalance_max_retrys": 3,
    }
    with pytest.raises(KafkaConfigError) as caught:
        cls(client.topics["t"], client.cluster, "", **options)
    text = str(caught.value)
    assert text.startswith(f"{cls.__name__} got 6 bad options")
    assert all(name in text for name in [*options, "consumer_group"])
    assert "did you mean rebalance_max_retries?" in text
    assert "must be a GroupMembershipProtocol like RangeProtocol or RoundRobinProtocol, not 'range'" in text


def test_a_heartbeat_that_comes_too_late_is_refused(client: KafkaClient) -> None:
    with pytest.raises(KafkaConfigError, match="heartbeat_interval_ms=30000 must be below session_timeout_ms=30000"):
        managed(client, heartbeat_interval_ms=30000)


def test_the_c_library_is_not_there(client: KafkaClient) -> None:
    with pytest.raises(ImportError, match="use_rdkafka=True: this client needs no C library"):
        managed(client, use_rdkafka=True)


def test_what_was_for_zookeeper_has_no_place_in_a_managed_consumer(client: KafkaClient) -> None:
    with pytest.raises(KafkaConfigError, match="zookeeper_connect: unknown option"):
        managed(client, zookeeper_connect="zk:2181")
