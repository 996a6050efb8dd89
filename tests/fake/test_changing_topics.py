"""A topic that is given partitions, or is deleted and created again, while a consumer reads it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Optional

import pytest

from pykafka import KafkaClient, simpleconsumer
from pykafka.common import OffsetType, TopicPartition
from pykafka.exceptions import LeaderNotFoundError, TopicAuthorizationFailed
from pykafka.protocol.api import response_of
from pykafka.protocol.messages import FetchResponse, ListOffsetsResponse, OffsetCommitResponse, OffsetFetchResponse
from pykafka.simpleconsumer import SimpleConsumer

from ..support import until, values
from .broker import FakeBroker, fake_broker
from .scripts import depose, interrupting, with_metadata
from .test_produce_and_fetch import stored

OLD, NEW, NO_ID = b"T" * 16, b"U" * 16, bytes(16)
UNKNOWN_TOPIC_ID, NOT_LEADER, TOPIC_AUTHORIZATION, COORDINATOR_LOADING = 100, 6, 29, 14


class Logs:
    """Partition logs behind a fake broker, which also keeps a group's offsets. ``create()`` starts all over, under a new id."""

    def __init__(self, broker: FakeBroker, partitions: int = 1) -> None:
        self.id = OLD
        self.logs: list[list[bytes]] = [[] for _ in range(partitions)]
        self.committed: dict[int, int] = {}
        #: errors that commits of partition 1 meet first
        self.commit_errors: list[int] = []
        #: every offset committed: (partition, offset)
        self.commits: list[tuple[int, int]] = []
        #: ids that Metadata says before the true one: answers of brokers that are behind
        self.behind: list[bytes] = []
        #: answers to ListOffsets that come before the true ones, and when there were any
        self.list_errors: list[int] = []
        self.listed_at: list[float] = []
        self._full_metadata = broker.scripts["Metadata"]
        self._broker = broker
        broker.partitions = partitions
        broker.scripts.update(Metadata=self.metadata, Fetch=self.fetch, ListOffsets=self.list_offsets)
        broker.scripts.update(OffsetFetch=self.fetched, OffsetCommit=self.commit)

    def create(self, partitions: int, *values: bytes) -> None:
        """Delete the topic and create it again; partition 0 gets ``values``."""
        self.id = NEW
        self.committed.clear()
        self.logs = [[*values], *([] for _ in range(1, partitions))]
        self._broker.partitions = partitions

    def grow(self, *values: bytes) -> None:
        """Add a partition that holds ``values``."""
        self.logs.append([*values])
        self._broker.partitions = len(self.logs)

    def metadata(self, request: Any, version: int) -> Any:
        answer = self._full_metadata(request, version)
        answer.topics[0].topic_id = self.behind.pop(0) if self.behind else self.id
        return answer

    def fetch(self, request: Any, version: int) -> Any:
        (topic,) = request.topics
        rows = []
        for part in topic.partitions:
            log = self.logs[part.partition] if part.partition < len(self.logs) else []
            error = UNKNOWN_TOPIC_ID if topic.topic_id not in (self.id, NO_ID) else 1 if part.fetch_offset > len(log) else 0
            rest = log[part.fetch_offset :] if not error else []
            records = stored(part.fetch_offset, rest) if rest else b""
            rows.append(FetchResponse.PartitionData(partition_index=part.partition, error_code=error, records=records))
        if not any(row.records or row.error_code for row in rows):
            time.sleep(0.005)  # a long poll in small
        answer = FetchResponse.FetchableTopicResponse(topic=topic.topic, topic_id=topic.topic_id, partitions=rows)
        return FetchResponse(responses=[answer])

    def list_offsets(self, request: Any, version: int) -> Any:
        cls: Any = ListOffsetsResponse
        error = self.list_errors.pop(0) if self.list_errors else 0
        self.listed_at.append(time.monotonic())
        rows = [
            cls.ListOffsetsPartitionResponse(
                partition_index=part.partition_index,
                error_code=error,
                offset=0 if part.timestamp == OffsetType.EARLIEST else len(self.logs[part.partition_index]),
            )
            for part in request.topics[0].partitions
        ]
        return cls(topics=[cls.ListOffsetsTopicResponse(name="t", partitions=rows)])

    def fetched(self, request: Any, version: int) -> Any:
        cls: Any = OffsetFetchResponse
        group = request.groups[0]
        rows = [
            cls.OffsetFetchResponsePartitions(partition_index=pid, committed_offset=self.committed.get(pid, -1), metadata="")
            for pid in group.topics[0].partition_indexes
        ]
        topic = cls.OffsetFetchResponseTopics(name="t", partitions=rows)
        return cls(groups=[cls.OffsetFetchResponseGroup(group_id=group.group_id, topics=[topic])])

    def commit(self, request: Any, version: int) -> Any:
        cls: Any = response_of(type(request))
        rows = []
        for part in request.topics[0].partitions:
            error = self.commit_errors.pop(0) if self.commit_errors and part.partition_index == 1 else 0
            rows.append(cls.OffsetCommitResponsePartition(partition_index=part.partition_index, error_code=error))
            if not error:
                self.committed[part.partition_index] = part.committed_offset
                self.commits.append((part.partition_index, part.committed_offset))
        assert cls is OffsetCommitResponse
        return cls(topics=[cls.OffsetCommitResponseTopic(name="t", partitions=rows)])


@contextmanager
def reading(broker: FakeBroker, group: Optional[str] = None, **options: Any) -> Iterator[tuple[KafkaClient, SimpleConsumer]]:
    """Yield a client and a consumer of its topic."""
    with KafkaClient(broker.hosts) as client, client.topics["t"].get_simple_consumer(group, **options) as consumer:
        yield client, consumer


@pytest.mark.parametrize("reset", [OffsetType.EARLIEST, OffsetType.LATEST])
def test_a_partition_that_appears_is_read_from_its_beginning_whatever_the_reset(reset: int) -> None:
    with fake_broker() as broker:
        logs = Logs(broker)
        logs.logs[0] = [b"old"]
        with KafkaClient(broker.hosts) as client:
            topic = client.topics["t"]
            with topic.get_simple_consumer(auto_offset_reset=reset, consumer_timeout_ms=5000) as consumer:
                logs.grow(b"written before anybody noticed", b"and another")
                client.update_cluster()
                wanted = [b"written before anybody noticed", b"and another"] + [b"old"] * (reset == OffsetType.EARLIEST)
                got = [consumer.consume() for _ in wanted]
                assert sorted(message.value or b"" for message in got if message) == sorted(wanted)
                assert list(consumer.partitions) == [0, 1]
                assert consumer.held_offsets == {0: 0, 1: 1}
                assert consumer.position(topic.partitions[1]) == 2


def test_a_group_goes_on_in_a_new_partition_where_it_was_and_commits_where_it_begins() -> None:
    with fake_broker() as broker:
        logs = Logs(broker)
        with reading(broker, "g", consumer_timeout_ms=5000) as (client, consumer):
            logs.committed[1] = 1
            logs.grow(b"read by another member", b"next")
            logs.grow(b"first")
            client.update_cluster()
            got = [consumer.consume(), consumer.consume()]
            assert sorted(message.value or b"" for message in got if message) == [b"first", b"next"]
            until(lambda: logs.committed == {0: 0, 1: 1, 2: 0}, what="the start to be committed")
            consumer.commit_offsets()
            assert logs.committed == {0: 0, 1: 2, 2: 1}


def test_who_chose_partitions_gets_no_others() -> None:
    with fake_broker() as broker:
        logs = Logs(broker)
        with KafkaClient(broker.hosts) as client:
            topic = client.topics["t"]
            chosen = [topic.partitions[0]]
            with topic.get_simple_consumer(partitions=chosen, consumer_timeout_ms=5000) as consumer:
                logs.grow(b"not for us")
                logs.logs[0].append(b"for us")
                client.update_cluster()
                assert values([consumer.consume()]) == [b"for us"]  # type: ignore[list-item]
                assert list(consumer.partitions) == [0]
                assert consumer.consume_batch(timeout_ms=100) == []


def test_a_new_partition_without_a_leader_yet_is_read_once_it_has_one() -> None:
    with fake_broker() as broker:
        logs = Logs(broker)
        with KafkaClient(broker.hosts) as client:
            options = {"offsets_commit_max_retries": 0, "fetch_error_backoff_ms": 20, "consumer_timeout_ms": 5000}
            with client.topics["t"].get_simple_consumer(**options) as consumer:
                logs.list_errors = [NOT_LEADER, NOT_LEADER]
                logs.grow(b"late")
                client.update_cluster()
                assert values([consumer.consume()]) == [b"late"]  # type: ignore[list-item]
                assert logs.list_errors == []


def test_a_place_that_cannot_be_found_is_not_looked_for_all_the_time() -> None:
    with fake_broker() as broker:
        logs = Logs(broker)
        with KafkaClient(broker.hosts) as client:
            options = {"offsets_commit_max_retries": 0, "fetch_error_backoff_ms": 150, "consumer_timeout_ms": 5000}
            with client.topics["t"].get_simple_consumer(**options) as consumer:
                logs.listed_at.clear()
                logs.list_errors = [NOT_LEADER, NOT_LEADER]
                logs.grow(b"late")
                client.update_cluster()
                assert values([consumer.consume()]) == [b"late"]  # type: ignore[list-item]
                first, second, third = logs.listed_at
                assert second - first > 0.1
                assert third - second > 0.1


def test_a_stopped_consumer_starts_with_the_partitions_that_came_meanwhile() -> None:
    with fake_broker() as broker:
        logs = Logs(broker)
        with KafkaClient(broker.hosts) as client:
            consumer = client.topics["t"].get_simple_consumer(consumer_timeout_ms=5000)
            consumer.stop()
            logs.grow(b"meanwhile")
            client.update_cluster()
            with consumer:
                assert values([consumer.consume()]) == [b"meanwhile"]  # type: ignore[list-item]


@pytest.mark.parametrize("reset", [OffsetType.EARLIEST, OffsetType.LATEST])
@pytest.mark.parametrize("fresh", [2, 3, 7])
def test_a_topic_that_was_made_anew_is_read_from_its_beginning_after_the_old_one(reset: int, fresh: int) -> None:
    with fake_broker() as broker:
        logs = Logs(broker)
        with reading(broker, auto_offset_reset=reset, consumer_timeout_ms=5000) as (client, consumer):
            logs.logs[0] += [b"a", b"b", b"c"]
            assert values([consumer.consume()]) == [b"a"]  # type: ignore[list-item]
            logs.create(1, *(b"%d" % number for number in range(fresh)))
            got = [consumer.consume() for _ in range(2 + fresh)]
            assert values(got) == [b"b", b"c", *(b"%d" % number for number in range(fresh))]  # type: ignore[arg-type]
            assert consumer.held_offsets == {0: fresh - 1}


def test_a_group_of_a_topic_made_anew_commits_the_new_positions() -> None:
    with fake_broker() as broker:
        logs = Logs(broker)
        logs.logs[0] += [b"old"] * 50
        with reading(broker, "g", consumer_timeout_ms=5000) as (client, consumer):
            assert len(consumer.consume_batch(50)) == 50
            consumer.commit_offsets()
            assert logs.committed == {0: 50}
            logs.create(2, b"new")
            assert values([consumer.consume()]) == [b"new"]  # type: ignore[list-item]
            until(lambda: 1 in consumer.partitions, what="the second partition")
            consumer.commit_offsets()
            assert logs.committed == {0: 1, 1: 0}


def test_a_topic_made_anew_with_fewer_partitions_leaves_the_others_unread_and_uncommitted() -> None:
    with fake_broker() as broker:
        logs = Logs(broker, partitions=2)
        logs.logs[1] += [b"old"] * 3
        with reading(broker, "g", consumer_timeout_ms=5000) as (client, consumer):
            assert len(consumer.consume_batch(3)) == 3
            logs.create(1, b"new")
            client.update_cluster()
            assert values([consumer.consume()]) == [b"new"]  # type: ignore[list-item]
            assert consumer.consume_batch(timeout_ms=100) == []


def test_a_seek_after_the_topic_was_made_anew_counts_for_more_than_its_beginning() -> None:
    with fake_broker() as broker:
        logs = Logs(broker)
        logs.logs[0] += [b"old"]
        with KafkaClient(broker.hosts) as client:
            topic = client.topics["t"]
            with topic.get_simple_consumer(consumer_timeout_ms=5000) as consumer:
                assert consumer.consume() is not None
                gate = threading.Event()
                client.cluster.engine.offsets_worker.submit(gate.wait, 20)  # so that no place is found yet
                logs.create(1, b"0", b"1", b"2")
                client.update_cluster()
                until(lambda: consumer._core._topic_ids.current == {"t": NEW}, what="the news")  # type: ignore[union-attr]
                consumer.seek(topic.partitions[0], 2)
                gate.set()
                assert values([consumer.consume()]) == [b"2"]  # type: ignore[list-item]
                assert consumer.consume_batch(timeout_ms=100) == []


@pytest.mark.parametrize("behind", [0, 1, 3])
def test_a_group_that_starts_after_its_topic_was_made_anew_goes_on_where_it_is_in_the_new_one(behind: int) -> None:
    with fake_broker() as broker:
        logs = Logs(broker)
        with KafkaClient(broker.hosts) as client:
            topic = client.topics["t"]
            logs.create(1, *(b"new%d" % number for number in range(20)))
            logs.committed, logs.behind = {0: 10}, [OLD] * behind
            with topic.get_simple_consumer("g", consumer_timeout_ms=5000, fetch_error_backoff_ms=20) as consumer:
                assert values([consumer.consume()]) == [b"new10"]  # type: ignore[list-item]
                assert logs.commits == []


def test_latest_means_the_moment_of_start_and_not_what_the_client_knew_then() -> None:
    with fake_broker() as broker:
        logs = Logs(broker)
        with KafkaClient(broker.hosts) as client:
            topic = client.topics["t"]
            logs.grow(b"before the start")
            with topic.get_simple_consumer(auto_offset_reset=OffsetType.LATEST, consumer_timeout_ms=5000) as consumer:
                assert list(consumer.partitions) == [0, 1]
                logs.logs[1].append(b"after it")
                assert values([consumer.consume()]) == [b"after it"]  # type: ignore[list-item]


@pytest.mark.parametrize("ending", ["commit_offsets", "auto-commit", "stop"])
def test_how_far_a_group_was_is_not_committed_once_the_topic_is_another_one(ending: str) -> None:
    with fake_broker() as broker:
        logs = Logs(broker)
        logs.logs[0] += [b"old"] * 100
        logs.committed = {0: 0}
        interval_ms = 20 if ending == "auto-commit" else 10**6
        options = {"auto_commit_enable": ending != "commit_offsets", "auto_commit_interval_ms": interval_ms}
        with reading(broker, "g", consumer_timeout_ms=5000, **options) as (client, consumer):
            engine = client.cluster.engine
            for _ in range(50):
                consumer.consume()
            if ending == "auto-commit":
                until(lambda: logs.committed == {0: 50}, what="the commit of the old topic")
            logs.commits.clear()
            logs.create(1, *[b"new"] * 200)
            until(lambda: consumer._core.parcels[TopicPartition("t", 0)], what="the jump")  # type: ignore[union-attr]
            assert engine.topic_id("t") == NEW
            assert values([consumer.consume()]) == [b"old"]  # type: ignore[list-item]
            if ending == "commit_offsets":
                consumer.commit_offsets()
            elif ending == "auto-commit":
                looks = engine.loop.now()
                until(lambda: engine.loop.now() > looks + 0.1, what="some commits that were left out")
            else:
                consumer.stop()
            assert logs.commits == []
            consumer.start()
            rest = [consumer.consume() for _ in range(49 * (ending != "stop") + 200)]
            assert values(rest)[-200:] == [b"new"] * 200  # type: ignore[arg-type]
            consumer.commit_offsets()
            assert logs.committed == {0: 200}


def test_how_far_a_paused_partition_was_is_not_committed_once_the_topic_is_another_one() -> None:
    with fake_broker() as broker:
        logs = Logs(broker)
        logs.logs[0] += [b"old"] * 3
        logs.committed = {0: 0}
        with reading(broker, "g", consumer_timeout_ms=5000) as (client, consumer):
            assert consumer.consume() is not None
            consumer.pause(consumer.partitions.values())
            logs.create(1, b"new")
            client.update_cluster()
            consumer.commit_offsets()
            assert logs.commits == []
            consumer.resume(consumer.partitions.values())
            got = [consumer.consume() for _ in range(3)]
            assert values(got) == [b"old", b"old", b"new"]  # type: ignore[arg-type]


def test_a_consumer_without_a_group_that_was_stopped_reads_a_topic_made_anew_from_its_beginning() -> None:
    with fake_broker() as broker:
        logs = Logs(broker)
        logs.logs[0] += [b"old"] * 3
        with reading(broker, auto_offset_reset=OffsetType.EARLIEST, consumer_timeout_ms=5000) as (client, consumer):
            assert len(consumer.consume_batch(2)) == 2
            consumer.stop()
            consumer.start()
            assert consumer.held_offsets == {0: 1}
            assert values([consumer.consume()]) == [b"old"]  # type: ignore[list-item]
            consumer.stop()
            logs.create(1, b"0", b"1", b"2", b"3", b"4")
            consumer.start()
            got = [consumer.consume() for _ in range(5)]
            assert values(got) == [b"0", b"1", b"2", b"3", b"4"]  # type: ignore[arg-type]


@pytest.mark.parametrize("fetch_version", [17, 12])
def test_one_answer_of_a_broker_that_is_behind_takes_no_consumer_back(fetch_version: int) -> None:
    with fake_broker(caps={"Fetch": fetch_version}) as broker:
        logs = Logs(broker)
        logs.logs[0] += [b"%d" % number for number in range(20)]
        with reading(broker, "g", consumer_timeout_ms=5000) as (client, consumer):
            assert len(consumer.consume_batch(20)) == 20
            consumer.commit_offsets()
            logs.behind = [NEW]
            client.update_cluster()
            until(lambda: client.cluster.engine.topic_id("t") == OLD, what="the next answer")
            logs.logs[0].append(b"20")
            assert values([consumer.consume()]) == [b"20"]  # type: ignore[list-item]
            consumer.commit_offsets()
            assert logs.commits == [(0, 0), (0, 20), (0, 21)]


@pytest.mark.parametrize("fetch_version", [17, 12])
def test_nobody_goes_back_to_a_topic_that_was_left(fetch_version: int) -> None:
    with fake_broker(caps={"Fetch": fetch_version}) as broker:
        logs = Logs(broker)
        logs.logs[0] += [b"old"] * 3
        with reading(broker, "g", consumer_timeout_ms=5000) as (client, consumer):
            assert len(consumer.consume_batch(3)) == 3
            logs.create(1, b"0", b"1", b"2")
            client.update_cluster()
            client.update_cluster()
            got = [consumer.consume() for _ in range(3)]
            assert values(got) == [b"0", b"1", b"2"]  # type: ignore[arg-type]
            for _ in range(3):
                logs.behind = [OLD]
                client.update_cluster()
            until(lambda: client.cluster.engine.topic_id("t") == NEW, what="the true answer")
            logs.logs[0].append(b"3")
            assert values([consumer.consume()]) == [b"3"]  # type: ignore[list-item]
            consumer.commit_offsets()
            assert logs.committed == {0: 4}


def test_where_a_new_partition_begins_is_committed_before_anything_of_it_can_be() -> None:
    with fake_broker() as broker:
        logs = Logs(broker)
        commit = broker.scripts["OffsetCommit"]

        def slow_commit(request: Any, version: int) -> Any:
            time.sleep(0.1)
            return commit(request, version)

        broker.scripts["OffsetCommit"] = slow_commit
        with reading(broker, "g", consumer_timeout_ms=5000) as (client, consumer):
            logs.grow(b"0", b"1")
            client.update_cluster()
            while consumer.held_offsets.get(1, 0) < 1:
                consumer.commit_offsets()  # under way most of the time, so that others wait for their turn
                consumer.consume(block=False)
            consumer.commit_offsets()
            offsets = [offset for partition, offset in logs.commits if partition == 1]
            assert offsets == sorted(offsets)


def test_a_new_partition_waits_until_its_beginning_can_be_committed() -> None:
    with fake_broker() as broker:
        logs = Logs(broker)
        logs.commit_errors = [TOPIC_AUTHORIZATION, COORDINATOR_LOADING]
        options = {"consumer_timeout_ms": 5000, "fetch_error_backoff_ms": 20, "offsets_commit_max_retries": 0}
        with reading(broker, "g", **options) as (client, consumer):
            logs.grow(b"new")
            client.update_cluster()
            with pytest.raises(TopicAuthorizationFailed):
                consumer.consume()
            assert list(consumer.partitions) == [0]
            assert values([consumer.consume()]) == [b"new"]  # type: ignore[list-item]
            assert logs.commits == [(0, 0), (1, 0)]


def test_a_place_found_for_a_consumer_that_was_restarted_meanwhile_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_broker() as broker:
        logs = Logs(broker)
        with reading(broker, consumer_timeout_ms=5000) as (client, consumer):
            worker, placed = client.cluster.engine.offsets_worker, threading.Event()

            def restart() -> None:
                consumer.stop()
                consumer.start()
                until(lambda: consumer._core.parcels[TopicPartition("t", 1)], what="the message")  # type: ignore[union-attr]
                worker.submit(placed.set)

            interrupting(monkeypatch, simpleconsumer, "look_for_places", restart)
            logs.grow(b"new")
            client.update_cluster()
            assert placed.wait(20)
            assert values([consumer.consume()]) == [b"new"]  # type: ignore[list-item]
            assert consumer.consume_batch(timeout_ms=100) == []
            assert consumer.held_offsets == {0: -2, 1: 0}


@pytest.mark.parametrize(
    ("before", "after", "fetch_version"),
    [(NO_ID, OLD, 17), (NO_ID, OLD, 12), (OLD, NO_ID, 12)],
    ids=["upgrade", "half an upgrade", "downgrade"],
)
def test_ids_that_brokers_begin_or_cease_to_give_make_no_other_topic(before: bytes, after: bytes, fetch_version: int) -> None:
    with fake_broker(caps={"Fetch": fetch_version}) as broker:
        logs = Logs(broker)
        logs.logs[0] += [b"0", b"1"]
        logs.id = before
        with reading(broker, consumer_timeout_ms=5000) as (client, consumer):
            assert len(consumer.consume_batch(2)) == 2
            logs.id = after
            for _ in range(3):
                client.update_cluster()
            logs.logs[0].append(b"2")
            assert values([consumer.consume()]) == [b"2"]  # type: ignore[list-item]
            assert consumer.held_offsets == {0: 2}


@pytest.mark.parametrize("group", [None, "g"])
def test_a_consumer_starts_without_a_partition_that_has_no_leader_and_reads_it_later(group: Optional[str]) -> None:
    with fake_broker() as broker:
        logs = Logs(broker, partitions=2)
        logs.logs = [[b"read"], [b"later"]]
        elected = with_metadata(broker, depose(1))
        with reading(broker, group, consumer_timeout_ms=5000) as (client, consumer):
            assert values([consumer.consume()]) == [b"read"]  # type: ignore[list-item]
            assert list(consumer.partitions) == [0]
            assert consumer.consume_batch(timeout_ms=100) == []
            elected()
            assert values([consumer.consume()]) == [b"later"]  # type: ignore[list-item]
            assert list(consumer.partitions) == [0, 1]
            if group is not None:
                assert logs.commits == [(0, 0), (1, 0)]


@pytest.mark.parametrize("why", ["latest", "chosen", "all of them"])
def test_a_consumer_that_cannot_do_without_a_leader_says_so(why: str) -> None:
    with fake_broker() as broker:
        Logs(broker, partitions=1 if why == "all of them" else 2)
        with_metadata(broker, depose(0 if why == "all of them" else 1))
        with KafkaClient(broker.hosts, offsets_channel_socket_timeout_ms=300) as client:
            topic = client.topics["t"]
            options: dict[str, Any] = {"offsets_commit_max_retries": 1, "offsets_channel_backoff_ms": 1}
            if why == "latest":
                options["auto_offset_reset"] = OffsetType.LATEST
            elif why == "chosen":
                options["partitions"] = list(topic.partitions.values())
            with pytest.raises(LeaderNotFoundError, match="has no leader at the moment"):
                topic.get_simple_consumer(**options)
