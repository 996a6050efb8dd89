"""One partition of a broker that enforces Kafka's idempotence rules, and a wire to it that loses and delays things."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple, Optional

from pykafka._machines.accumulator import Accumulator, Answer, Outcome
from pykafka._machines.batches import Batch
from pykafka.exceptions import SocketDisconnectedError
from pykafka.records.batch import split_batches
from pykafka.records.decode import decode_batch

OUT_OF_ORDER = 45
STALE_EPOCH = 47
#: How many batches a broker remembers per producer and partition, and how many one of Kafka 0.11.
REMEMBERED = 5
REMEMBERED_BY_0_11 = 1


class Written(NamedTuple):
    """One batch as the broker remembers it."""

    epoch: int
    first: int
    count: int
    offset: int


class SimulatedPartition:
    """The log of one partition; ``accepted`` lists (producer id, epoch, sequence, count) of every batch in it."""

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self.log: list[bytes] = []
        self.accepted: list[tuple[int, int, int, int]] = []
        self.fenced = 0
        self._remembered = remembered
        self._recent: dict[int, deque[Written]] = {}

    def append(self, data: bytes) -> Answer:
        """Return the answer to a batch, as ProducerAppendInfo of Kafka gives it."""
        (raw,) = split_batches(data, "orders", 0)
        values = [value or b"" for value in decode_batch(raw, "orders", 0, 10**9).values]
        recent = self._recent.setdefault(raw.producer_id, deque(maxlen=self._remembered))
        epoch, first, count = raw.producer_epoch, raw.base_sequence, len(values)
        if recent:
            last = recent[-1]
            if epoch < last.epoch:
                self.fenced += 1
                return Answer(STALE_EPOCH)
            for known in recent:
                if known[:3] == (epoch, first, count):
                    return Answer(0, known.offset)
            expected = (last.first + last.count) % 2**31 if epoch == last.epoch else 0
            if first != expected:
                return Answer(OUT_OF_ORDER)
            if epoch != last.epoch:
                recent.clear()
        elif first and self._remembered == REMEMBERED_BY_0_11:
            return Answer(OUT_OF_ORDER)
        # of a producer that a newer broker knows nothing of it takes any sequence as its first
        recent.append(Written(epoch, first, count, len(self.log)))
        self.accepted.append((raw.producer_id, epoch, first, count))
        self.log += values
        return Answer(0, recent[-1].offset)


class Wire:
    """Carries batches of one partition to the broker in order; what comes back may come in any order."""

    def __init__(self, machine: Accumulator, partition_id: int, most_rows: int, remembered: int = REMEMBERED) -> None:
        self.machine = machine
        self.partition_id = partition_id
        self.broker = SimulatedPartition(remembered)
        self.outcomes: list[Outcome] = []
        self._most_rows = most_rows
        self._remembered = remembered
        self._going: deque[Batch] = deque()
        self._coming: list[tuple[Batch, Optional[Answer], bool]] = []

    def send(self, limit: int) -> None:
        """Have the next batch leave."""
        batch = self.machine.next_batch(self.partition_id, limit)
        if batch is not None:
            batch.is_out = True
            self.machine.meet_broker(self._remembered)
            self._going.append(batch)

    def arrive(self, fate: str) -> bool:
        """Let the oldest batch on its way meet its fate at the broker; return False when there is none."""
        if not self._going:
            return False
        batch = self._going.popleft()
        answer: Optional[Answer] = None
        sent = True
        if fate in ("written", "answer lost", "timed out", "too few replicas"):
            answer = Answer(10) if batch.row_count > self._most_rows else self.broker.append(bytes(batch.data))
        if fate in ("timed out", "too few replicas") and answer is not None and answer.code == 0:
            answer = Answer(7 if fate == "timed out" else 20)
        elif fate == "answer lost":
            answer = None
        elif fate == "refused for now":
            answer = Answer(6)
        elif fate == "refused for good":
            answer = Answer(87)
        elif fate == "never sent":
            sent = False
        self._coming.append((batch, answer, sent))
        return True

    def come_back(self, which: int, now: float) -> bool:
        """Hand one of the answers under way to the producer; return False when there is none."""
        if not self._coming:
            return False
        batch, answer, sent = self._coming.pop(which % len(self._coming))
        if answer is None:
            self.outcomes += self.machine.on_no_answer(batch, SocketDisconnectedError("broken"), sent, now)
        else:
            self.outcomes += self.machine.on_answer(batch, answer, now)
        return True
