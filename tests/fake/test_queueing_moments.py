"""A signal handler in the middle of produce() or produce_many(), at any moment: nothing is lost, twice, or told wrongly."""

from __future__ import annotations

from collections import Counter
from typing import Any, Callable, Optional

import pytest

from pykafka import KafkaClient
from pykafka.testing import FakeCluster

from .moments import Handler, raise_ctrl_c

BEFORE = 5


class Story:
    """A producer whose messages all have values of their own, and what it was told of them."""

    def __init__(self, cluster: FakeCluster, client: KafkaClient) -> None:
        self.cluster = cluster
        # what is sent is sent when somebody waits for it
        self.producer = client.topics["t"].get_producer(linger_ms=60000)
        self.called: Counter[Optional[bytes]] = Counter()
        self.returned: list[Any] = []
        self._count = 0

    def value(self) -> bytes:
        self._count += 1
        return b"%d" % self._count

    def note(self, message: Any, error: Optional[Exception]) -> None:
        assert error is None
        self.called[message.value] += 1

    def plain(self) -> None:
        self.returned.append(self.producer.produce(self.value()))

    def keyed(self) -> None:
        self.returned.append(self.producer.produce(self.value(), b"key"))

    def told(self) -> None:
        self.returned.append(self.producer.produce(self.value(), on_delivery=self.note))

    def many(self) -> None:
        self.returned += self.producer.produce_many([self.value() for _ in range(4)])

    def check(self) -> None:
        """Fail unless what was returned is in the log once, where its message says, and everything once at most."""
        self.producer.flush(20)
        assert self.producer._core.outstanding == 0 and self.producer._core.queued == 0
        stored = self.cluster.values("t")
        assert max(Counter(stored).values()) == 1
        assert [stored[message.offset] for message in self.returned] == [message.value for message in self.returned]


ACTS: dict[str, Callable[[Story], None]] = {"plain": Story.plain, "keyed": Story.keyed, "told": Story.told, "many": Story.many}


@pytest.mark.parametrize("handled", [*ACTS, "ctrl-c"])
@pytest.mark.parametrize("call", ACTS)
def test_whatever_a_handler_does_while_something_is_queued(call: str, handled: str) -> None:
    """Ctrl-C in produce_many() lost what earlier calls had queued, one time in forty."""
    with FakeCluster(brokers=1, topics={"t": 1}) as cluster, KafkaClient(cluster.hosts) as client:
        story = Story(cluster, client)
        number, has_more = 1, True
        while has_more:
            told_before = sum(story.called.values())
            for act in (Story.told, Story.plain):  # an open segment, with rows of two kinds
                for _ in range(BEFORE):
                    act(story)
            act = raise_ctrl_c if handled == "ctrl-c" else lambda: ACTS[handled](story)
            has_more = Handler(number, act).run(lambda: ACTS[call](story))
            story.check()
            assert sum(story.called.values()) >= told_before + BEFORE
            number += 1
        assert number > 3 and set(story.called.values()) == {1}
