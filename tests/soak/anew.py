"""Topics are made anew and given partitions while they are written, read and committed: of the last ones nothing is skipped."""

from __future__ import annotations

import time
from typing import Any

import confluent_kafka
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from pykafka import KafkaClient
from pykafka.exceptions import KafkaException

from ..support import until
from .crowd import Actor, Reader, patiently
from .cut import GROUP_PROTOCOLS, QUICK
from .stage import PATIENCE_S, Stage

SECONDS = 8.0
#: Written to each partition of a topic in the end.
LAST = 20


class Builder:
    """Makes one topic anew, by confluent-kafka."""

    def __init__(self, stage: Stage, topic: str) -> None:
        self._random, self._topic = stage.random, topic
        self._admin = AdminClient({"bootstrap.servers": stage.hosts, "log_level": 0})
        self.partitions = 2
        self.happened: list[str] = []

    def act(self) -> None:
        """Have something happen to the topic."""
        if self._random.random() < 0.25 and self.partitions < 6:
            self.partitions += 1
            self.happened.append(f"{self.partitions} partitions")
            self._admin.create_partitions([NewPartitions(self._topic, self.partitions)])[self._topic].result(30)
        else:
            self.make_anew(self._random.choice([0, 0, 0.1, 0.6]))

    def make_anew(self, pause_s: float) -> None:
        """Delete the topic, and create it again after a pause."""
        self._admin.delete_topics([self._topic])[self._topic].result(30)
        time.sleep(pause_s)
        self.partitions = self._random.choice([1, 2, 4])
        self.happened.append(f"anew with {self.partitions}")

        def create() -> bool:
            try:
                self._admin.create_topics([NewTopic(self._topic, self.partitions, 1)])[self._topic].result(30)
            except confluent_kafka.KafkaException as error:
                # a real broker is not done with deleting it yet
                if error.args[0].code() != confluent_kafka.KafkaError.TOPIC_ALREADY_EXISTS:
                    raise
                return False
            return True

        until(create, what=f"{self._topic} anew")


class Scribbler(Actor):
    """Writes without caring what becomes of it."""

    def __init__(self, client: KafkaClient, topic: str) -> None:
        super().__init__("scribbler")
        self._producer = client.topics[topic].get_producer(auto_start=False, delivery_timeout_ms=5000, max_queued_messages=1000)

    def act(self) -> None:
        """Write."""
        self._producer.start()
        try:
            while not self.ending.is_set():
                try:
                    self._producer.produce_many([b"scribbled"] * 20)
                except KafkaException:
                    continue  # no room, or no topic
                finally:
                    time.sleep(0.01)
        finally:
            try:
                self._producer.stop()
            except KafkaException:
                return  # what was not written in time has an outcome that says so


class Committing(Actor):
    """Commits what a reader has read, again and again."""

    def __init__(self, reader: Reader) -> None:
        super().__init__(f"commits of {reader.name}")
        self._reader = reader
        self.errors: list[KafkaException] = []

    def act(self) -> None:
        """Commit."""
        while not self.ending.is_set():
            try:
                self._reader.consumer.commit_offsets()
            except KafkaException as error:
                self.errors.append(error)
            time.sleep(0.02)


def write_last(stage: Stage, topic: str, partitions: int) -> set[bytes]:
    """Return what is written to each partition in the end, by confluent-kafka."""
    producer = confluent_kafka.Producer({"bootstrap.servers": stage.hosts, "enable.idempotence": True, "log_level": 0})
    values = {b"last-%d-%d" % (number, count) for number in range(partitions) for count in range(LAST)}
    for value in sorted(values):
        producer.produce(topic, value, partition=int(value.split(b"-")[1]))
    assert producer.flush(60) == 0
    return values


def check_none_committed(stage: Stage, group: str, topic: str, partitions: int) -> None:
    """Fail if the group has any offset in a topic that is empty."""
    reader = confluent_kafka.Consumer({"bootstrap.servers": stage.hosts, "group.id": group, "log_level": 0})
    try:
        places = [confluent_kafka.TopicPartition(topic, number) for number in range(partitions)]
        rows = {row.partition: row.offset for row in reader.committed(places, timeout=30)}
    finally:
        reader.close()
    # where nothing is committed librdkafka has a negative number
    assert max(rows.values()) <= 0, f"{group} has committed {rows} in an empty topic"


def play(stage: Stage) -> str:
    """Tell the story; return what happened."""
    topic = stage.new_topic(2)
    builder = Builder(stage, topic)
    with KafkaClient(stage.hosts, metadata_max_age_ms=300, **QUICK) as client:
        options: dict[str, Any] = {"auto_commit_enable": stage.random.random() < 0.5, "auto_commit_interval_ms": 50}
        protocol = stage.random.choice(GROUP_PROTOCOLS)
        readers = [
            Reader("alone", client, topic),
            Reader("simple", client, topic, consumer_group=f"simple-{topic}", **options),
            Reader("member", client, topic, f"member-{topic}", group_protocol=protocol, **options),
        ]
        commits = [Committing(reader) for reader in readers[1:]]
        scribbler = Scribbler(client, topic)
        for one in [*readers, *commits, scribbler]:
            if isinstance(one, Reader):
                one.is_lenient = True
            one.begin()
        ends = time.monotonic() + SECONDS * stage.length
        while time.monotonic() < ends:
            builder.act()
            time.sleep(stage.random.choice([0, 0.05, 0.5, 1.5]))
        scribbler.end()
        builder.make_anew(0.1)
        # while commits go on: none of them may be about the topic before this one
        time.sleep(stage.random.random())
        for reader in readers[1:]:
            check_none_committed(stage, f"{reader.name}-{topic}", topic, builder.partitions)
        last = write_last(stage, topic, builder.partitions)
        for reader in readers:
            until(lambda reader=reader: last <= {row[2] for row in reader.read}, PATIENCE_S, what=f"all of it read {reader.name}")
        for one in commits:
            one.end()
        for reader in readers:
            reader.end()
        found = client.topics[topic]
        ends_at = {number: row.offset[0] for number, row in patiently(found.latest_available_offsets).items()}
        for reader in readers[1:]:
            group = f"{reader.name}-{topic}"
            with found.get_simple_consumer(group, reset_offset_on_fetch=False) as consumer:
                committed = {number: row.offset for number, row in consumer.fetch_offsets()}
            assert all(committed[number] <= end for number, end in ends_at.items()), (group, committed, ends_at)
    return f"{', '.join(builder.happened)}; {sum(len(one.errors) for one in commits)} commits refused"
