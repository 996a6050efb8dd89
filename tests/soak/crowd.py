"""Who writes and reads in a story, each on a thread of its own, and what became of every message."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any, Callable, Optional

from pykafka import KafkaClient
from pykafka.common import OffsetType
from pykafka.exceptions import KafkaException

from ..support import until
from .stage import PATIENCE_S, Stored


class Ledger:
    """What was written, and what its writers were told: every message is told of once, and what they are told is true."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.told: dict[bytes, list[tuple[Optional[int], Optional[int], Optional[Exception]]]] = defaultdict(list)

    def note(self, message: Any, error: Optional[Exception]) -> None:
        """Take down an outcome; an on_delivery callback."""
        self.told[message.value].append((message.partition_id, message.offset, error))

    def note_of(self, value: bytes, partition: Optional[int], offset: Optional[int], error: Optional[Exception]) -> None:
        """Take down an outcome that another client was told."""
        self.told[value].append((partition, offset, error))

    def check_told_once(self) -> None:
        """Fail unless every message that was taken has had one outcome."""
        counts = Counter(len(self.told[value]) for value in self.written)
        assert set(counts) <= {1}, f"messages by the number of their outcomes: {dict(counts)}"
        assert len(self.told) == len(self.written), "outcomes of messages that nobody wrote"

    def check_stored(self, stored: dict[int, list[Stored]]) -> None:
        """Fail unless acknowledged messages are in the log once, where they are said to be, and others once at most."""
        places: dict[bytes, list[tuple[int, int]]] = defaultdict(list)
        for rows in stored.values():
            for row in rows:
                places[row.value].append((row.partition, row.offset))
        twice = {value: found for value, found in places.items() if len(found) > 1}
        assert not twice, f"{len(twice)} messages are there more than once: {dict(list(twice.items())[:5])}"
        strange = places.keys() - set(self.written)
        assert not strange, f"nobody wrote {list(strange)[:5]}"
        for value in self.written:
            ((partition, offset, error),) = self.told[value]
            if error is None:
                assert places[value], f"{value!r} was acknowledged for {partition}/{offset}, and is nowhere"
                # a broker that has it already may not know any more where
                assert offset in (-1, None) or places[value] == [(partition, offset)], (value, partition, offset, places[value])

    @staticmethod
    def check_order(stored: dict[int, list[Stored]]) -> None:
        """Fail unless the messages of each writer's key are in the order in which it wrote them."""
        for rows in stored.values():
            last: dict[Optional[bytes], int] = {}
            for row in rows:
                number = int(row.value.rpartition(b"-")[2])
                assert last.get(row.key, -1) < number, f"{row} comes behind {last[row.key]}"
                last[row.key] = number

    def check_whole(self, stored: dict[int, list[Stored]]) -> None:
        """Fail unless all of that is so, and no message failed."""
        self.check_told_once()
        self.check_stored(stored)
        self.check_order(stored)
        assert not self.failed, f"{len(self.failed)} messages failed: {self.failed[:3]!r}"

    @property
    def failed(self) -> list[Exception]:
        """Return the errors that writers were told."""
        return [error for rows in list(self.told.values()) for _, _, error in rows if error is not None]


class Actor:
    """Something that goes on on a thread of its own until it is told to end."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.error: Optional[BaseException] = None
        self.ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def begin(self) -> Any:
        """Start it."""
        self._thread.start()
        return self

    def end(self, patience_s: float = PATIENCE_S) -> None:
        """Tell it to end, wait until it has, and raise what it died of."""
        self.ending.set()
        self._thread.join(patience_s)
        assert not self._thread.is_alive(), f"{self.name} does not end"
        if self.error is not None:
            raise AssertionError(f"{self.name} broke down: {self.error!r}") from self.error

    def _run(self) -> None:
        try:
            self.act()
        except BaseException as error:  # raised by end()
            self.error = error

    def act(self) -> None:
        """Do what it does until ``ending`` is set."""
        raise NotImplementedError


class Writer(Actor):
    """Writes numbered messages with a key of its own, in bursts or one at a time, by one producer of this library."""

    def __init__(self, name: str, client: KafkaClient, topic: str, ledger: Ledger, seed: int, **options: Any) -> None:
        super().__init__(name)
        self._producer = client.topics[topic].get_producer(auto_start=False, **options)
        self._is_sync = options.get("sync", False)
        self._ledger = ledger
        self._random = random.Random(seed)
        self.count = 0

    def act(self) -> None:
        """Write, then wait for all outcomes."""
        key = self.name.encode()
        patiently(self._producer.start)
        try:
            while not self.ending.is_set():
                for _ in range(self._random.choice([1, 3, 30, 300]) if not self._is_sync else 1):
                    self._write(key, b"%s-%d" % (key, self.count))
                    self.count += 1
                time.sleep(0.05 * self._random.random())
            self._producer.flush(PATIENCE_S)
        finally:
            self._producer.stop()

    def _write(self, key: bytes, value: bytes) -> None:
        self._ledger.written.append(value)
        try:
            self._producer.produce(value, key, on_delivery=self._ledger.note)
        except KafkaException:
            # of a sync producer: the callback is told the same
            assert self._is_sync


def end_writers(writers: Sequence[Actor], ledger: Ledger) -> None:
    """Have writers end, and return when every message has been told of."""
    for one in writers:
        one.end()
    until(lambda: len(ledger.told) == len(ledger.written), what="an outcome for each message")


def patiently(call: Callable[[], Any]) -> Any:
    """Return what ``call`` returns, called again for as long as it cannot be done, such as when no broker can be reached."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return call()
        except KafkaException:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


class Reader(Actor):
    """Reads a topic from its beginning; ``read`` is (partition, offset, value) of each message in the order of delivery."""

    def __init__(self, name: str, client: KafkaClient, topic: str, group: Optional[str] = None, **options: Any) -> None:
        super().__init__(name)
        self.read: list[tuple[int, int, bytes]] = []
        self.errors: list[KafkaException] = []
        self.is_lenient = False
        found = client.topics[topic]
        options = {"auto_start": False, "auto_offset_reset": OffsetType.EARLIEST, **options}
        if group is None:
            self.consumer: Any = found.get_simple_consumer(**options)
        else:
            self.consumer = found.get_balanced_consumer(group, managed=True, **options)

    def act(self) -> None:
        """Read."""
        patiently(self.consumer.start)
        try:
            while not self.ending.is_set():
                try:
                    batch = self.consumer.consume_batch(500, timeout_ms=100)
                except KafkaException as error:
                    # answers that were changed may say anything
                    if not self.is_lenient:
                        raise
                    self.errors.append(error)
                    time.sleep(0.01)
                    continue
                self.read += [(message.partition_id, message.offset, message.value) for message in batch]
        finally:
            self.consumer.stop()

    def end(self, patience_s: float = PATIENCE_S) -> None:
        """End it, also in the middle of a start that an answer made of other bytes keeps waiting, for up to 310 s."""
        if self.is_lenient:
            self.ending.set()
            with contextlib.suppress(KafkaException):  # the last commit, or what a changed answer said
                self.consumer.stop()
        super().end(patience_s)

    def check_read(self, stored: dict[int, list[Stored]]) -> None:
        """Fail unless it has read the whole topic, each partition in order and nothing twice."""
        for number, rows in stored.items():
            mine = [(offset, value) for partition, offset, value in self.read if partition == number]
            assert mine == [(row.offset, row.value) for row in rows], (
                f"{self.name} has {len(mine)} of {len(rows)} messages of partition {number}, "
                f"{len(mine) - len(set(mine))} of them again, in order: {mine == sorted(mine)}"
            )


def check_read_and_end(alone: Reader, members: list[Reader], stored: dict[int, list[Stored]]) -> None:
    """Wait until everything was read, alone and in a group, have the readers end, and fail unless that was all they have read."""
    wanted = {(row.partition, row.offset, row.value) for rows in stored.values() for row in rows}
    until(lambda: len(alone.read) >= len(wanted), PATIENCE_S, what=f"{len(wanted)} messages read alone")
    until(lambda: len(_read_by(members)) >= len(wanted), PATIENCE_S, what=f"{len(wanted)} messages read in a group")
    for reader in [alone, *members]:
        reader.end()
    alone.check_read(stored)
    read = _read_by(members)
    assert read == wanted, f"{len(wanted - read)} of {len(wanted)} messages were not read, {len(read - wanted)} are not there"


def _read_by(members: list[Reader]) -> set[tuple[int, int, bytes]]:
    return {one for member in members for one in member.read}
