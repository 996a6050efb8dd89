"""After close() every method says at once that the client is closed; closing and stopping again is harmless."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from typing import Any, Callable

import pytest

from pykafka.exceptions import KafkaException

from . import doors
from .doors import FreezableBroker, World

#: What may be called as often as one likes.
ENDINGS = {
    "KafkaClient.close",
    "KafkaClient.__exit__",
    "Cluster.close",
    *(f"{cls}.{name}" for cls in ("Producer", "SimpleConsumer", "BalancedConsumer") for name in ("stop", "__exit__")),
    "SimpleConsumer.cleanup",
    "Broker.close",
    "Broker.__exit__",
}
#: Needs no broker, and yet makes no sense without a client.
REFUSED: dict[str, Callable[[World], Any]] = {
    "Topic.get_producer": lambda world: world.topic.get_producer(),
    "Topic.get_sync_producer": lambda world: world.topic.get_sync_producer(),
    "Broker.handler": lambda world: world.broker.handler,
    "Broker.offsets_channel_handler": lambda world: world.broker.offsets_channel_handler,
    "Producer.start": lambda world: world.producer.start(),
    "Producer.__enter__": lambda world: world.producer.__enter__(),
    **{
        f"{cls}.{name}": lambda world, kind=kind, call=call: call(getattr(world, kind), world.partition)
        for cls, kind in (("SimpleConsumer", "consumer"), ("BalancedConsumer", "member"))
        for name, call in {
            "fetch": lambda consumer, partition: consumer.fetch(),
            "pause": lambda consumer, partition: consumer.pause([partition]),
            "resume": lambda consumer, partition: consumer.resume([partition]),
            "seek": lambda consumer, partition: consumer.seek(partition, 1),
        }.items()
    },
}
#: What is waited for by another thread's hand; here it has its outcome already.
WITHOUT_CLIENT = {"QueuedMessage.result", "Producer.get_delivery_report"}
AT_ONCE_S = 1.0


@pytest.fixture(scope="module")
def closed() -> Iterator[World]:
    broker = FreezableBroker()
    world = World(broker)
    world.client.close()
    yield world
    broker.close()


CALLS = {
    **{name: call for name, call in doors.WAITING.items() if name not in ENDINGS | WITHOUT_CLIENT},
    **REFUSED,
    "Producer.produce": lambda world: world.producer.produce(b"x"),
    "Producer.produce_many": lambda world: world.producer.produce_many([b"x"]),
    "Producer.flush": lambda world: world.producer.flush(),
    **{
        f"{cls}.{name}": lambda world, kind=kind, name=name: getattr(getattr(world, kind), name)()
        for cls, kind in (("SimpleConsumer", "consumer"), ("BalancedConsumer", "member"))
        for name in ("start", "__enter__")
    },
}


@pytest.mark.parametrize("name", sorted(CALLS))
def test_use_after_close_is_refused_at_once(closed: World, name: str) -> None:
    begun = time.monotonic()
    with pytest.raises(KafkaException), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        CALLS[name](closed)
    assert time.monotonic() - begun < AT_ONCE_S


def test_every_method_is_refused_after_close_or_needs_no_client() -> None:
    answered = {name for name in doors.INSTANT if name not in REFUSED}
    assert doors.public_doors() == CALLS.keys() | ENDINGS | WITHOUT_CLIENT | answered


@pytest.mark.parametrize("name", sorted(ENDINGS))
def test_ending_again_is_harmless(closed: World, name: str) -> None:
    cls, method = name.split(".")
    kinds: dict[str, Any] = {
        "KafkaClient": closed.client,
        "Cluster": closed.cluster,
        "Broker": closed.broker,
        "Producer": closed.producer,
        "SimpleConsumer": closed.consumer,
        "BalancedConsumer": closed.member,
    }
    ending = getattr(kinds[cls], method)
    for _ in range(2):
        ending(*[None] * (3 if method == "__exit__" else 0))


def test_a_message_keeps_its_outcome_after_close(closed: World) -> None:
    assert closed.message.result(0).offset == 0
