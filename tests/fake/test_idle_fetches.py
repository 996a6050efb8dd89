"""Fetching many partitions without news: the same is asked again without looking at any of them."""

from __future__ import annotations

from typing import Any

from pykafka import KafkaClient
from pykafka.protocol.messages import FetchResponse

from ..support import until
from .broker import FakeBroker, fake_broker
from .scripts import stored_batch

PARTITIONS = 40


class Keeper:
    """A broker that keeps fetch sessions and has no news, but for what is put into ``news``."""

    def __init__(self, broker: FakeBroker) -> None:
        #: partition -> records, told once
        self.news: dict[int, bytes] = {}
        #: session -> partition -> offset to read from
        self.sessions: dict[int, dict[int, int]] = {}
        self.made = 0
        #: what was asked for last without a session
        self.single: dict[int, int] = {}
        self.named: list[list[int]] = []
        broker.scripts["Fetch"] = self.answer

    def answer(self, request: Any, version: int) -> FetchResponse:
        """Answer with what is new, and an error for a session that was forgotten."""
        rows = {row.partition: row.fetch_offset for topic in request.topics for row in topic.partitions}
        gone = {partition for topic in request.forgotten_topics_data for partition in topic.partitions}
        session_id = request.session_id
        if request.session_epoch < 0:
            self.single = rows
            return self.told(0, rows, everything=True)
        if request.session_epoch == 0:
            self.made += 1
            session_id = self.made
        elif session_id not in self.sessions:
            return FetchResponse(error_code=70, session_id=0, responses=[])
        known = {**self.sessions.get(session_id, {}), **rows}
        self.sessions[session_id] = {partition: offset for partition, offset in known.items() if partition not in gone}
        self.named.append(sorted(rows))
        return self.told(session_id, self.sessions[session_id], everything=False)

    def asked_for(self) -> set[int]:
        """Return the partitions that are asked for at the moment."""
        return {*self.single, *(partition for known in self.sessions.values() for partition in known)}

    def told(self, session_id: int, known: dict[int, int], everything: bool) -> FetchResponse:
        """Return an answer about those of ``known`` that have news, or all of them."""
        told = [partition for partition in known if everything or partition in self.news]
        parts = [
            FetchResponse.PartitionData(partition_index=partition, high_watermark=9, records=self.news.pop(partition, b""))
            for partition in told
        ]
        topics = [FetchResponse.FetchableTopicResponse(topic_id=b"T" * 16, partitions=parts)] if parts else []
        return FetchResponse(session_id=session_id, responses=topics)


def test_partitions_without_news_are_not_looked_at_again_and_again_and_news_of_any_kind_are_acted_upon() -> None:
    with fake_broker(partitions=PARTITIONS) as broker, KafkaClient(broker.hosts) as client:
        keeper = Keeper(broker)
        topic = client.topics["t"]
        with topic.get_simple_consumer(consumer_timeout_ms=5000, fetch_wait_max_ms=1) as consumer:
            core = consumer._core
            assert core is not None
            plans: list[int] = []
            plan = core._plan

            def counted() -> None:
                plans.append(1)
                plan()

            def is_quiet() -> bool:
                """Return whether twenty fetches went by without anybody looking at the partitions."""
                asked, planned = len(keeper.named), len(plans)
                until(lambda: len(keeper.named) > asked + 20, what="fetches")
                return len(plans) == planned and keeper.named[-3:] == [[], [], []]

            def settle() -> None:
                """Return when it is quiet: after what has just happened each connection has to look once, or twice."""
                until(is_quiet, what="an end of looking at partitions")

            core._plan = counted  # type: ignore[method-assign]
            settle()
            keeper.news[5] = stored_batch(0, [b"news"])
            message = consumer.consume()
            assert message is not None and (message.partition_id, message.value) == (5, b"news")
            settle()
            consumer.seek(topic.partitions[7], 3)
            until(lambda: keeper.single == {7: 3}, what="a fetch from the new place, for which a session is not worth while")
            settle()
            made = keeper.made
            keeper.sessions.clear()
            everything = set(range(PARTITIONS))
            until(lambda: keeper.made > made and keeper.asked_for() == everything, what="everything asked for again")
            settle()
            consumer.pause([topic.partitions[9]])
            keeper.news[9] = stored_batch(0, [b"not wanted"])
            keeper.news[10] = stored_batch(0, [b"wanted"])
            message = consumer.consume()
            assert message is not None and message.value == b"wanted"


def test_everything_is_looked_at_anew_after_a_while(monkeypatch: Any) -> None:
    monkeypatch.setattr("pykafka._engine.fetching.REPEAT_S", 0.0)
    with fake_broker(partitions=PARTITIONS) as broker, KafkaClient(broker.hosts) as client:
        Keeper(broker)
        with client.topics["t"].get_simple_consumer(fetch_wait_max_ms=1) as consumer:
            core = consumer._core
            assert core is not None
            plans: list[int] = []
            plan = core._plan
            core._plan = lambda: (plans.append(1), plan())[1]  # type: ignore[method-assign]
            until(lambda: len(plans) > 20, what="plans")


def test_a_partition_that_had_to_wait_for_room_is_fetched_although_all_connections_wait_for_news_of_others() -> None:
    with fake_broker(partitions=4) as broker, KafkaClient(broker.hosts) as client:
        # one is at its end while the other has more: each message in a batch of its own
        ends = {0: 20, 1: 60, 2: 0, 3: 0}

        def records(partition: int, offset: int) -> bytes:
            return stored_batch(offset, [b"%d" % offset]) if offset < ends[partition] else b""

        def answer(request: Any, version: int) -> FetchResponse:
            rows = [row for topic in request.topics for row in topic.partitions]
            parts = [
                FetchResponse.PartitionData(
                    partition_index=row.partition,
                    high_watermark=ends[row.partition],
                    records=records(row.partition, row.fetch_offset),
                )
                for row in rows
            ]
            return FetchResponse(responses=[FetchResponse.FetchableTopicResponse(topic_id=b"T" * 16, partitions=parts)])

        broker.scripts["Fetch"] = answer
        options = {"queued_max_messages": 1, "fetch_wait_max_ms": 1, "consumer_timeout_ms": 5000}
        with client.topics["t"].get_simple_consumer(**options) as consumer:
            assert [consumer.consume() is not None for _ in range(80)] == [True] * 80
