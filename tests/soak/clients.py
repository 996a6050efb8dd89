"""Three clients produce at once while leaders move, brokers stop and answers get lost: each finds all that all of them wrote."""

from __future__ import annotations

import time
from typing import Any, Callable

import confluent_kafka

from pykafka import KafkaClient
from pykafka.exceptions import LeaderNotAvailable, NotLeaderForPartition, RequestTimedOut
from pykafka.testing import FakeCluster

from .crowd import Actor, Ledger, Reader, Writer, check_read_and_end, end_writers
from .cut import GROUP_PROTOCOLS, QUICK, STORM_S
from .stage import PATIENCE_S, Stage, put_out

PARTITIONS = 6
#: What is answered, held up or lost.
APIS = ["Produce", "Fetch", "Metadata", "ListOffsets", "InitProducerId", "FindCoordinator", "OffsetCommit", "OffsetFetch"]
RETRIABLE = [NotLeaderForPartition, LeaderNotAvailable, RequestTimedOut]


class ConfluentWriter(Actor):
    """Writes numbered messages with a key of its own by confluent-kafka."""

    def __init__(self, name: str, hosts: str, topic: str, ledger: Ledger) -> None:
        super().__init__(name)
        settings = {"bootstrap.servers": hosts, "enable.idempotence": True, "linger.ms": 5, "log_level": 0}
        # its own default is a pause of up to ten seconds
        self._producer = confluent_kafka.Producer({**settings, "reconnect.backoff.max.ms": 200})
        self._topic, self._ledger = topic, ledger

    def act(self) -> None:
        """Write, then wait for all outcomes."""
        key, count = self.name.encode(), 0
        while not self.ending.is_set():
            for _ in range(30):
                value = b"%s-%d" % (key, count)
                self._ledger.written.append(value)
                self._producer.produce(self._topic, value, key, on_delivery=self._note)
                count += 1
            self._producer.poll(0.02)
        assert self._producer.flush(PATIENCE_S) == 0, "librdkafka still waits for outcomes"

    def _note(self, error: Any, message: Any) -> None:
        problem = None if error is None else confluent_kafka.KafkaException(error)
        self._ledger.note_of(message.value(), message.partition(), message.offset(), problem)


class KafkaPythonWriter(Actor):
    """Writes numbered messages with a key of its own by kafka-python."""

    def __init__(self, name: str, hosts: str, topic: str, ledger: Ledger) -> None:
        super().__init__(name)
        self._hosts, self._topic, self._ledger = hosts, topic, ledger

    def act(self) -> None:
        """Write, then wait for all outcomes."""
        import kafka

        producer = kafka.KafkaProducer(bootstrap_servers=self._hosts, linger_ms=5, reconnect_backoff_max_ms=200)
        key, count = self.name.encode(), 0
        try:
            while not self.ending.is_set():
                for _ in range(30):
                    self._write(producer, key, b"%s-%d" % (key, count))
                    count += 1
                time.sleep(0.02)
            producer.flush(PATIENCE_S)
        finally:
            producer.close(10)

    def _write(self, producer: Any, key: bytes, value: bytes) -> None:
        self._ledger.written.append(value)
        future = producer.send(self._topic, value, key)
        future.add_callback(lambda told: self._ledger.note_of(value, told.partition, told.offset, None))
        future.add_errback(lambda error: self._ledger.note_of(value, None, None, error))


class Trouble(Actor):
    """Has one fault after the other happen to a fake cluster; ``happened`` are their names."""

    def __init__(self, stage: Stage, kafka: FakeCluster, topic: str, group: str) -> None:
        super().__init__("trouble")
        self._random, self._kafka, self._topic, self._group = stage.random, kafka, topic, group
        self._up = {1, 2, 3}
        self.happened: list[str] = []
        self._acts: list[Callable[[], None]] = [
            self.lead, self.lead, self.stop, self.start, self.start, self.drop, self.lose, self.refuse, self.hold_up, self.hold,
            self.coordinate, self.forget, self.put_out,
        ]  # fmt: skip

    def act(self) -> None:
        """Make trouble, and in the end let all be well."""
        while not self.ending.is_set():
            one = self._random.choice(self._acts)
            self.happened.append(one.__name__)
            one()
            time.sleep(0.3 * self._random.random())
        self._kafka.heal()
        for number in (1, 2, 3):
            self._kafka.start_broker(number)

    def lead(self) -> None:
        """Have another broker lead a partition."""
        self._kafka.move_leader(self._topic, self._random.randrange(PARTITIONS), self._random.choice(sorted(self._up)))

    def stop(self) -> None:
        """Stop a broker unless it is the last."""
        if len(self._up) > 1:
            number = self._random.choice(sorted(self._up))
            self._up.remove(number)
            self._kafka.stop_broker(number)

    def start(self) -> None:
        """Start a stopped broker."""
        for number in sorted({1, 2, 3} - self._up)[:1]:
            self._kafka.start_broker(number)
            self._up.add(number)

    def drop(self) -> None:
        """End all connections, or those to one broker."""
        self._kafka.drop_connection(broker=self._random.choice([None, 1, 2, 3]))

    def lose(self) -> None:
        """Lose a request or an answer."""
        where = self._random.choice(["before", "after"])
        self._kafka.drop_connection(**{where: self._random.choice(APIS)}, times=self._random.choice([1, 3]))  # type: ignore[arg-type]

    def refuse(self) -> None:
        """Answer with an error after which one tries again."""
        api, error = self._random.choice(["Produce", "Fetch"]), self._random.choice(RETRIABLE)
        self._kafka.fail_next(api, error, times=3, topic=self._topic)

    def hold_up(self) -> None:
        """Answer late."""
        self._kafka.delay(self._random.choice(APIS), 0.5 * self._random.random(), times=5)

    def hold(self) -> None:
        """Answer nothing for a moment."""
        api = self._random.choice(APIS)
        self._kafka.hold(api)
        time.sleep(0.3 * self._random.random())
        self._kafka.release(api)
        self._kafka.heal()

    def coordinate(self) -> None:
        """Have another broker look after the group."""
        self._kafka.move_coordinator(self._group, self._random.choice(sorted(self._up)))

    def forget(self) -> None:
        """Have all brokers forget what is read in which session."""
        self._kafka.forget_fetch_sessions()

    def put_out(self) -> None:
        """Put a member out of the group."""
        put_out(self._kafka, self._group)


def play(stage: Stage) -> str:
    """Tell the story; return what happened."""
    assert stage.fake is not None
    topic = stage.new_topic(PARTITIONS, replicas=3)
    group = f"group-{topic}"
    ledger = Ledger()
    with KafkaClient(stage.hosts, **QUICK) as client:
        writers: list[Actor] = [
            Writer("linger", client, topic, ledger, stage.seed),
            Writer("sync", client, topic, ledger, stage.seed + 1, sync=True, pending_timeout_ms=-1),
            ConfluentWriter("confluent", stage.hosts, topic, ledger),
            KafkaPythonWriter("kafka-python", stage.hosts, topic, ledger),
        ]
        options = {"auto_commit_enable": True, "auto_commit_interval_ms": 200}
        members = [
            Reader(f"member-{number}", client, topic, group, group_protocol=stage.random.choice(GROUP_PROTOCOLS), **options)
            for number in range(3)
        ]
        alone = Reader("alone", client, topic)
        trouble = Trouble(stage, stage.fake, topic, group)
        for one in [*writers, *members, alone, trouble]:
            one.begin()
        time.sleep(STORM_S * stage.length)
        trouble.end()
        end_writers(writers, ledger)
        stored = stage.stored(topic)
        count = sum(map(len, stored.values()))
        check_read_and_end(alone, members, stored)
    ledger.check_whole(stored)
    committed = {number: one.offset for (_, number), one in stage.fake.committed(group).items()}
    assert committed == {number: len(rows) for number, rows in stored.items() if rows}, committed
    return f"{count} messages, {len(trouble.happened)} troubles"
