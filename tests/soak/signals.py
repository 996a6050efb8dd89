"""Signals come in the middle of every call: Ctrl-C ends it, or a handler calls back into the client; it all goes on, and ends."""

from __future__ import annotations

import faulthandler
import signal
import time
from collections import Counter
from typing import Any, Callable, Optional

from pykafka import KafkaClient
from pykafka.common import OffsetType
from pykafka.exceptions import KafkaException

from ..support import until
from .crowd import Ledger, patiently
from .cut import GROUP_PROTOCOLS, QUICK
from .stage import Stage

SECONDS = 10.0
#: What a call may take: the longest limit there is here, with room for a machine that has other things to do.
MOST_SECONDS = 30.0
#: How soon after the beginning of a call its signal comes.
MOMENTS_S = [0.0002, 0.002, 0.02, 0.2]

Calls = dict[str, Callable[[], Any]]


class Parts:
    """A client with producers and consumers, every method of which is a call of this story."""

    def __init__(self, stage: Stage, client: KafkaClient, topic: str, ledger: Ledger) -> None:
        self._random, self._ledger, self._count = stage.random, ledger, 0
        self._client, self._topic = client, client.topics[topic]
        self.producer = self._topic.get_producer(linger_ms=5, max_queued_messages=1000)
        self.sync = self._topic.get_producer(sync=True)
        reading = {"auto_offset_reset": OffsetType.EARLIEST, "auto_commit_enable": True, "auto_commit_interval_ms": 50}
        self.simple = self._topic.get_simple_consumer(f"simple-{topic}", consumer_timeout_ms=200, **reading)
        self.member = self._topic.get_balanced_consumer(
            f"member-{topic}",
            managed=True,
            consumer_timeout_ms=200,
            group_protocol=stage.random.choice(GROUP_PROTOCOLS),
            **reading,
        )
        self.all = [self.producer, self.sync, self.simple, self.member]

    def calls(self) -> Calls:
        """Return everything that is called, by name."""
        calls: Calls = {
            "produce": lambda: self.write(self.producer),
            "produce a lot": lambda: [self.write(self.producer) for _ in range(2000)],
            "produce_many": lambda: self.producer.produce_many([b"many"] * 500),
            "flush": lambda: self.producer.flush(5),
            "sync": lambda: self.write(self.sync),
            "lag": lambda: self._topic.latest_available_offsets(),
            "update": lambda: self._client.update_cluster(),
            "another producer": self._another_producer,
        }
        for name, consumer in {"simple": self.simple, "member": self.member}.items():
            calls.update(self._of_consumer(name, consumer))
        for name, part in {"producer": self.producer, "sync": self.sync, "simple": self.simple, "member": self.member}.items():
            calls[f"{name} stop"] = part.stop
            calls[f"{name} start"] = part.start
            calls[f"{name} again"] = lambda part=part: (part.stop(), part.start())
        return calls

    def _of_consumer(self, name: str, consumer: Any) -> Calls:
        def seek() -> None:
            for partition in list(consumer.partitions.values()):
                consumer.seek(partition, 0)

        def halt() -> None:
            partitions = list(consumer.partitions.values())
            consumer.pause(partitions)
            consumer.resume(partitions)

        return {
            f"{name} consume": consumer.consume,
            f"{name} consume_batch": lambda: consumer.consume_batch(100, timeout_ms=100),
            f"{name} commit": consumer.commit_offsets,
            f"{name} held": lambda: consumer.held_offsets,
            f"{name} fetch_offsets": consumer.fetch_offsets,
            f"{name} seek": seek,
            f"{name} pause": halt,
        }

    def write(self, producer: Any) -> None:
        """Produce one message; whether it was taken is not known when this is interrupted."""
        self._count += 1
        value = b"%d" % self._count
        try:
            producer.produce(value, on_delivery=self._ledger.note)
        except KafkaException:
            if value not in self._ledger.told:
                raise
        self._ledger.written.append(value)

    def _another_producer(self) -> None:
        producer = self._topic.get_producer(auto_start=False)
        try:  # not `with`: Ctrl-C may come when __enter__ is done and the block has not begun
            producer.start()
            self.write(producer)
        finally:
            try:
                producer.stop()
            except KeyboardInterrupt:
                producer.stop()  # for the rest: who drops it instead is warned
                raise


class Storm:
    """A handler of SIGALRM, which raises KeyboardInterrupt or makes another call, whatever is going on."""

    def __init__(self, stage: Stage, calls: Calls) -> None:
        self._random, self._calls = stage.random, calls
        self._names = sorted(calls)
        self._is_calling = False
        self._last = "nothing"
        self.happened: Counter[str] = Counter()

    def call(self, name: str) -> None:
        """Make a call with a signal in the middle of it, and see to it that it ends as it should."""
        began = time.monotonic()
        faulthandler.dump_traceback_later(MOST_SECONDS)  # so that it is seen where a call is that does not end
        delay_s = self._random.choice(MOMENTS_S) * (0.1 + self._random.random())
        try:
            try:
                self._is_calling = True
                signal.setitimer(signal.ITIMER_REAL, delay_s)
                self._calls[name]()
            finally:
                self._is_calling = False
            self.happened["returned"] += 1
        except KeyboardInterrupt:
            self.happened["interrupted"] += 1
        except KafkaException as error:
            self.happened[type(error).__name__] += 1
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        took = time.monotonic() - began
        faulthandler.cancel_dump_traceback_later()
        assert took < MOST_SECONDS, f"{name} took {took:.1f} s, with {self._last} in its signal handler"

    def __call__(self, _number: int, _frame: Optional[Any]) -> None:
        """Do what a signal handler of a user may do."""
        if not self._is_calling:
            return
        if self._random.random() < 0.5:
            raise KeyboardInterrupt
        self.happened["handled"] += 1
        self._last = self._random.choice(self._names)
        try:
            self._calls[self._last]()
        except KafkaException:
            self.happened["refused in a handler"] += 1


def play(stage: Stage) -> str:
    """Tell the story; return what happened."""
    topic = stage.new_topic(partitions=3)
    ledger = Ledger()
    with KafkaClient(stage.hosts, **QUICK) as client:
        parts = Parts(stage, client, topic, ledger)
        calls = parts.calls()
        storm = Storm(stage, calls)
        names = sorted(calls)
        signal.signal(signal.SIGALRM, storm)
        ends = time.monotonic() + SECONDS * stage.length
        while time.monotonic() < ends:
            storm.call(stage.random.choice(names))
        # whatever they were in the middle of, they can be begun with again and used
        for part in parts.all:
            patiently(part.start)
        parts.write(parts.sync)
        parts.write(parts.producer)
        parts.producer.flush(60)
        for consumer in (parts.simple, parts.member):
            partitions = until(lambda consumer=consumer: list(consumer.partitions.values()), what="partitions")
            consumer.resume(partitions)  # Ctrl-C may have come between the two steps of halt()
            for partition in partitions:
                consumer.seek(partition, 0)
            assert until(lambda consumer=consumer: consumer.consume_batch(1), what="a message")
        for part in parts.all:
            part.stop()
        until(lambda: ledger.told.keys() >= set(ledger.written), what="an outcome for each message that was taken")
    twice = {value: rows for value, rows in ledger.told.items() if len(rows) > 1}
    assert not twice, f"outcomes told twice: {twice}"
    values = Counter(row.value for rows in stage.stored(topic).values() for row in rows if row.value != b"many")
    assert set(values.values()) <= {1}, f"there twice: {[value for value, count in values.items() if count > 1][:5]}"
    acknowledged = {value for value, rows in ledger.told.items() if rows[0][2] is None}
    assert acknowledged <= values.keys(), f"acknowledged, and nowhere: {sorted(acknowledged - values.keys())[:5]}"
    return str(dict(storm.happened))
