"""What programs written for PyKafka 2.8 do with offsets: where they start, rewinding, committing, watching a group."""

from __future__ import annotations

import datetime
import json
import math
import queue
import threading
from itertools import islice
from typing import Any

import pytest

from pykafka import KafkaClient
from pykafka.common import OffsetType
from pykafka.exceptions import SocketDisconnectedError

from ..brokers import KafkaCluster
from .original import MakeTopic, all_of, fill, places, script

EARLIEST, LATEST = OffsetType.EARLIEST, OffsetType.LATEST


# -- where they start -------------------------------------------------------------------------------------------------


def test_eight_groups_with_every_kind_of_initial_offset(make_topic: MakeTopic, topic_name: str) -> None:
    topic = make_topic(2)
    fill(topic, 10, 10)
    consumers = {}
    for existing in (False, True):
        for where in (EARLIEST, LATEST):
            for reset in (False, True):
                group = f"{topic_name}-{existing}-{where}-{reset}"
                if existing:
                    earlier = topic.get_simple_consumer(group)
                    earlier.commit_offsets([(partition, 4) for partition in topic.partitions.values()])
                    earlier.stop()
                consumers[existing, where, reset] = topic.get_simple_consumer(
                    consumer_group=group, auto_offset_reset=where, reset_offset_on_start=reset, consumer_timeout_ms=20000
                )
    fill(topic, 1, 1)
    for (existing, where, reset), consumer in consumers.items():
        first = 4 if existing and not reset else 0 if where == EARLIEST else 10
        expected = [(partition, offset) for partition in (0, 1) for offset in range(first, 11)]
        assert places(islice(consumer, len(expected))) == expected, (existing, where, reset)
        consumer.stop()


def test_a_new_group_that_never_commits_goes_on_where_its_first_run_began(make_topic: MakeTopic, topic_name: str) -> None:
    topic = make_topic(1)
    fill(topic, 3)
    for _run in range(2):
        consumer = topic.get_simple_consumer(topic_name, consumer_timeout_ms=20000)
        assert places(islice(consumer, 3)) == all_of(3)
        consumer.stop()
    tail = topic.get_simple_consumer(b"tail-" + topic.name, auto_offset_reset=LATEST)
    tail.stop()
    fill(topic, 2)
    # the end of its first run was committed when it started, so nothing since is skipped
    tail = topic.get_simple_consumer(b"tail-" + topic.name, auto_offset_reset=LATEST, consumer_timeout_ms=20000)
    assert places(islice(tail, 2)) == [(0, 3), (0, 4)]
    tail.stop()


def test_only_what_is_new_for_a_page_that_has_just_been_opened(make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    fill(topic, 5)

    def events() -> Any:
        # queued_max_messages=1: PyKafka's users kept memory small that way
        consumer = topic.get_simple_consumer(
            auto_offset_reset=LATEST, reset_offset_on_start=True, queued_max_messages=1, consumer_timeout_ms=20000
        )
        opened.set()
        for message in consumer:
            yield message.value.decode()
        consumer.stop()

    opened = threading.Event()
    seen: queue.Queue[str] = queue.Queue()
    stream = events()

    def browse() -> None:
        for value in islice(stream, 2):
            seen.put(value)

    reader = threading.Thread(target=browse, daemon=True)
    reader.start()
    assert opened.wait(20)
    fill(topic, 2)
    assert [seen.get(timeout=20) for _ in range(2)] == ["0-0", "0-1"]
    reader.join(20)
    with pytest.warns(ResourceWarning, match="never stopped"):
        stream.close()


def test_an_empty_group_name_from_a_file_of_settings_means_no_group(make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    fill(topic, 2)
    settings: dict[str, Any] = json.loads('{"consumer_group": "", "auto_commit_enable": 0, "consumer_timeout_ms": 20000}')
    consumer = topic.get_simple_consumer(**settings)
    assert places(islice(consumer, 2)) == all_of(2)
    with pytest.raises(Exception, match="consumer_group"):  # a plain Exception once; it has a name now
        consumer.commit_offsets()
    consumer.stop()


# -- going somewhere --------------------------------------------------------------------------------------------------


def test_an_integer_given_to_reset_offsets_is_the_last_one_consumed(make_topic: MakeTopic) -> None:
    topic = make_topic(2)
    fill(topic, 10, 10)
    consumer = topic.get_simple_consumer(consumer_timeout_ms=20000)
    zero, one = consumer.partitions[0], consumer.partitions[1]
    consumer.reset_offsets(partition_offsets=[(zero, 7), (one, -2)])
    assert consumer.held_offsets == {0: 7, 1: -2}
    assert places(islice(consumer, 12)) == [(0, 8), (0, 9)] + [(1, offset) for offset in range(10)]
    consumer.reset_offsets([(zero, 0)])
    assert places(islice(consumer, 9)) == [(0, offset) for offset in range(1, 10)]
    consumer.reset_offsets()
    assert places(islice(consumer, 20)) == all_of(10, 10)
    consumer.stop()


def test_the_usage_guides_last_n_messages(make_topic: MakeTopic) -> None:
    topic = make_topic(3)
    fill(topic, 30, 5, 0)
    consumer = topic.get_simple_consumer(auto_offset_reset=LATEST, reset_offset_on_start=True, consumer_timeout_ms=20000)
    wanted = 30
    rewind = int(math.ceil(wanted / len(consumer._partitions)))
    offsets = [(p, op.last_offset_consumed - rewind) for p, op in consumer._partitions.items()]
    offsets = [(p, (o if o > -1 else -2)) for p, o in offsets]
    consumer.reset_offsets(offsets)
    # ten from the end of partition 0, all five of partition 1, nothing of partition 2
    assert places(islice(consumer, 15)) == [(0, offset) for offset in range(20, 30)] + [(1, offset) for offset in range(5)]
    consumer.stop()


def test_the_last_n_by_held_offsets_and_by_next_offset(make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    fill(topic, 10)
    consumer = topic.get_simple_consumer(auto_offset_reset=LATEST, reset_offset_on_start=True, consumer_timeout_ms=20000)
    assert consumer.held_offsets == {0: 9}
    consumer.reset_offsets([(consumer.partitions[p], held - 3) for p, held in consumer.held_offsets.items()])
    assert places(islice(consumer, 3)) == [(0, 7), (0, 8), (0, 9)]
    consumer.reset_offsets([(p, op.next_offset - 2 - 1) for p, op in consumer._partitions.items()])
    assert places(islice(consumer, 2)) == [(0, 8), (0, 9)]
    consumer.stop()


def test_rewinding_beyond_the_beginning_says_what_to_write(make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    fill(topic, 2)
    consumer = topic.get_simple_consumer(auto_offset_reset=LATEST)
    with pytest.raises(ValueError, match=r"not -19: .* give OffsetType.EARLIEST"):
        consumer.reset_offsets([(p, op.last_offset_consumed - 20) for p, op in consumer._partitions.items()])
    assert consumer.held_offsets == {0: 1}
    consumer.stop()


def test_the_last_n_by_the_latest_available_offsets(make_topic: MakeTopic) -> None:
    topic = make_topic(2)
    fill(topic, 12, 3)
    latest = topic.latest_available_offsets()
    assert {partition: answer.offset[0] for partition, answer in latest.items()} == {0: 12, 1: 3}
    assert (latest[0][0][0], latest[1].err) == (12, 0)
    earliest = topic.earliest_available_offsets()
    assert [earliest[partition][0][0] for partition in (0, 1)] == [0, 0]
    n = 5
    consumer = topic.get_simple_consumer(consumer_timeout_ms=20000)
    consumer.reset_offsets(
        [(partition, max(latest[number].offset[0] - n - 1, -2)) for number, partition in topic.partitions.items()]
    )
    assert places(islice(consumer, 8)) == [(0, offset) for offset in range(7, 12)] + all_of(0, 3)
    consumer.stop()


def test_everything_since_a_moment(make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    start = datetime.datetime(2026, 3, 1, 12)
    with topic.get_producer() as producer:
        for minute in range(10):
            producer.produce(b"%d" % minute, timestamp=start + datetime.timedelta(minutes=minute))
    since = start + datetime.timedelta(minutes=6, seconds=30)
    found = topic.fetch_offset_limits(since)[0].offset[0]
    assert (found, topic.partitions[0].fetch_offset_limit(since)) == (7, [7])
    consumer = topic.get_simple_consumer(consumer_timeout_ms=20000)
    consumer.reset_offsets([(topic.partitions[0], found - 1)])
    assert places(islice(consumer, 3)) == [(0, 7), (0, 8), (0, 9)]
    consumer.reset_offsets([(topic.partitions[0], since)])
    assert [message.timestamp_dt.minute for message in islice(consumer, 3)] == [7, 8, 9]
    consumer.stop()


def test_offsets_are_reset_before_the_start(make_topic: MakeTopic, topic_name: str) -> None:
    topic = make_topic(1)
    fill(topic, 10)
    for group in (None, topic_name):
        consumer = topic.get_simple_consumer(group, auto_start=False, consumer_timeout_ms=20000)
        consumer.reset_offsets([(topic.partitions[0], 6)])
        consumer.start()
        assert places(islice(consumer, 3)) == [(0, 7), (0, 8), (0, 9)]
        consumer.stop()


# -- committing -------------------------------------------------------------------------------------------------------


def test_committing_every_hundred_messages_and_starting_again(make_topic: MakeTopic, topic_name: str) -> None:
    topic = make_topic(1)
    fill(topic, 450)

    def run(limit: int) -> list[int]:
        consumer = topic.get_simple_consumer(consumer_group=topic_name, consumer_timeout_ms=1500)
        seen = []
        for count, message in enumerate(islice(consumer, limit), 1):
            seen.append(message.offset)
            if count % 100 == 0:
                consumer.commit_offsets()
        consumer.stop()  # no commit: auto_commit_enable is off
        return seen

    assert run(250) == list(range(250))
    assert run(1000) == list(range(200, 450))
    assert run(1000) == list(range(400, 450))


def test_a_crash_after_auto_commit_repeats_what_was_not_committed_and_skips_nothing(
    kafka: KafkaCluster, make_topic: MakeTopic, topic_name: str
) -> None:
    topic = make_topic(1)
    fill(topic, 100)
    # auto_commit_interval_ms=1 and a consumer_id: a pattern that went round in many tutorials
    script(f"""
import os
from pykafka import KafkaClient
client = KafkaClient({kafka.hosts!r})
topic = client.topics[{topic.name!r}]
consumer = topic.get_simple_consumer(
    consumer_group={topic_name!r}, auto_commit_enable=True, auto_commit_interval_ms=1, consumer_id=b"test_id"
)
watch = topic.get_simple_consumer({topic_name!r}, auto_start=False, reset_offset_on_fetch=False)
for message in consumer:
    if message.offset == 49:
        break
while watch.fetch_offsets()[0][1].offset != 50:
    pass
consumer.consume()
os._exit(0)
""")
    consumer = topic.get_simple_consumer(topic_name, consumer_timeout_ms=20000)
    first = consumer.consume()
    assert first is not None and first.offset in (50, 51)
    assert places(islice(consumer, 99 - first.offset)) == [(0, offset) for offset in range(first.offset + 1, 100)]
    consumer.stop()


def test_a_crash_without_any_commit_starts_at_the_beginning_again(
    kafka: KafkaCluster, make_topic: MakeTopic, topic_name: str
) -> None:
    topic = make_topic(1)
    fill(topic, 10)
    code = f"""
import os
from pykafka import KafkaClient
consumer = KafkaClient({kafka.hosts!r}).topics[{topic.name!r}].get_simple_consumer({topic_name!r}, auto_commit_enable=True)
print([consumer.consume().offset for _ in range(10)], flush=True)
os._exit(0)
"""
    assert [script(code) for _ in range(2)] == [f"{list(range(10))}\n"] * 2


def test_a_consumer_that_is_stopped_and_started_goes_on_as_its_group_says(make_topic: MakeTopic, topic_name: str) -> None:
    topic = make_topic(1)
    fill(topic, 10)
    consumer = topic.get_simple_consumer(topic_name, consumer_timeout_ms=20000)
    assert places(islice(consumer, 4)) == all_of(4)
    consumer.commit_offsets()
    assert consumer.consume().offset == 4  # type: ignore[union-attr]
    consumer.stop()
    assert consumer.held_offsets == {0: 4}
    consumer.start()
    assert consumer.consume().offset == 4  # type: ignore[union-attr]
    consumer.stop()


def test_the_usage_guides_recovery_neither_repeats_nor_skips(make_topic: MakeTopic) -> None:
    topic = make_topic(1)
    fill(topic, 10)
    # LATEST without a group: starting at the end again would skip what came meanwhile
    consumer = topic.get_simple_consumer(auto_offset_reset=LATEST, consumer_timeout_ms=20000)
    fill(topic, 10)
    seen = []
    while len(seen) < 10:
        try:
            message = consumer.consume()
            assert message is not None
            seen.append(message.offset)
            if message.offset % 3 == 0:
                raise SocketDisconnectedError("as the old client raised it")
        except SocketDisconnectedError:
            consumer.stop()
            consumer.start()
    assert seen == list(range(10, 20))
    consumer.stop()


def test_commit_offsets_takes_what_comes_next_and_fetch_offsets_gives_it(make_topic: MakeTopic, topic_name: str) -> None:
    topic = make_topic(1)
    fill(topic, 100)
    consumer = topic.get_simple_consumer(topic_name, consumer_timeout_ms=20000)
    consumer.commit_offsets([(topic.partitions[0], 69)])
    ((number, answer),) = consumer.fetch_offsets()
    assert (number, answer.offset, answer.err, type(answer.metadata)) == (0, 69, 0, bytes)
    assert consumer.held_offsets == {0: 68}
    assert consumer.consume().offset == 69  # type: ignore[union-attr]
    consumer.stop()


# -- watching ---------------------------------------------------------------------------------------------------------


def test_lag_of_a_group_is_watched_without_moving_it(client: KafkaClient, make_topic: MakeTopic, topic_name: str) -> None:
    topic = make_topic(3)
    fill(topic, 50, 40, 30)
    reader = topic.get_simple_consumer(topic_name, consumer_timeout_ms=20000)
    reader.commit_offsets([(topic.partitions[0], 20), (topic.partitions[1], 40)])

    def lag() -> dict[int, int]:
        watch = topic.get_simple_consumer(consumer_group=topic_name, auto_start=False, reset_offset_on_fetch=False)
        committed = watch.fetch_offsets()
        latest = topic.latest_available_offsets()
        assert watch.held_offsets == {0: -2, 1: -2, 2: -2}
        return {number: latest[number].offset[0] - row.offset for number, row in committed}

    assert lag() == {0: 30, 1: 0, 2: 30}
    assert lag() == {0: 30, 1: 0, 2: 30}
    nobody = topic.get_simple_consumer(f"{topic_name}-nobody", auto_start=False, reset_offset_on_fetch=False)
    assert [row.offset for _number, row in nobody.fetch_offsets()] == [-1, -1, -1]
    reader.stop()


def test_progress_is_shown_by_partition(make_topic: MakeTopic) -> None:
    topic = make_topic(2)
    fill(topic, 5, 5)
    consumer = topic.get_simple_consumer(consumer_timeout_ms=20000)
    assert consumer.held_offsets == {0: -2, 1: -2}
    list(islice(consumer, 10))
    assert consumer.held_offsets == {0: 4, 1: 4}
    assert {p.id: (op.last_offset_consumed, op.next_offset, op.message_count) for p, op in consumer._partitions.items()} == {
        0: (4, 5, 0),
        1: (4, 5, 0),
    }
    assert list(consumer.partitions) == [0, 1] and consumer.partitions[1] is topic.partitions[1]
    assert sorted(consumer._partitions) == [topic.partitions[0], topic.partitions[1]]
    assert consumer.topic is topic and (consumer.consumer_id, consumer.generation_id) == (b"", -1)
    consumer.fetch()
    consumer._raise_worker_exceptions()
    consumer.stop()
