"""Ctrl-C, or a handler that takes messages, at any moment of taking some: every message comes once, and none is passed over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Callable, Optional

import pytest

from pykafka import KafkaClient
from pykafka.common import OffsetType
from pykafka.testing import FakeCluster

from .moments import Handler, raise_ctrl_c

COUNT = 12
HOWS = ("consume", "consume_batch", "iteration")


def make_text(value: Optional[bytes], key: Optional[bytes]) -> tuple[Any, Any]:
    return value and value.decode(), key


class Taking:
    """A consumer, and what it has delivered."""

    def __init__(self, client: KafkaClient, deserializer: Any) -> None:
        options = {"deserializer": deserializer} if deserializer else {}
        self.consumer = client.topics["t"].get_simple_consumer(
            auto_offset_reset=OffsetType.EARLIEST, consumer_timeout_ms=20_000, **options
        )
        self.got: list[tuple[int, int]] = []
        self._iterator: Iterator[Any] = iter(())

    def begin_again(self) -> None:
        self.got, self._iterator = [], iter(self.consumer)
        for partition in self.consumer.partitions.values():
            self.consumer.seek(partition, 0)

    def take(self, how: str) -> None:
        """Take some; what is in our list was delivered to us."""
        if how == "consume":
            self.got += map(place, [self.consumer.consume()])
        elif how == "consume_batch":
            batch = self.consumer.consume_batch(3)
            assert batch
            self.got += map(place, batch)
        else:
            try:
                self.got += map(place, [next(self._iterator)])
            except BaseException:
                self._iterator = iter(self.consumer)
                raise

    def take_all(self, how: str) -> None:
        while len(self.got) < 2 * COUNT:
            self.take(how)  # which fails when there is none in time


def place(message: Any) -> tuple[int, int]:
    assert message.value in ("v", b"v")
    return message.partition_id, message.offset


@pytest.fixture(scope="module")
def cluster() -> Iterator[FakeCluster]:
    with FakeCluster(brokers=1, topics={"t": 2}) as one:
        for partition in range(2):
            one.produce("t", [b"v"] * COUNT, partition)
        yield one


@pytest.mark.parametrize("handled", ["ctrl-c", "consume", "consume_batch"])
@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("deserializer", [None, make_text])
def test_whatever_a_handler_does_while_messages_are_taken(
    cluster: FakeCluster, how: str, handled: str, deserializer: Any
) -> None:
    with KafkaClient(cluster.hosts) as client:
        taking = Taking(client, deserializer)
        act: Callable[[], object] = raise_ctrl_c if handled == "ctrl-c" else lambda: taking.take(handled)
        for before in (1, 0):  # in the middle of a turn, and where the next one begins
            number, has_more = 1, True
            while has_more:
                taking.begin_again()
                for _ in range(before):
                    taking.take("consume")
                has_more = Handler(number, act).run(lambda: taking.take(how))
                taking.take_all(how)
                for partition in range(2):
                    offsets = [offset for one, offset in taking.got if one == partition]
                    assert sorted(offsets) == list(range(COUNT)), f"at moment {number}, {before} taken before"
                number += 1 if before else 4  # there are a hundred of them, and each is read for by itself
        taking.consumer.stop()
