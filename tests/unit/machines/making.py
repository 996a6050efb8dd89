"""What tests of the producer's machines share: rows, settings and accumulators in a few words."""

from __future__ import annotations

from typing import Optional, Union

from pykafka._machines.accumulator import Accumulator, Outcome, SendSettings
from pykafka._machines.batches import Batch, Columns, columns_of
from pykafka._machines.idempotence import PartitionSequence
from pykafka._machines.segments import Fates, Taken
from pykafka.records.batch import split_batches
from pykafka.records.decode import decode_batch
from pykafka.records.encode import encode_headers
from pykafka.records.message import Origin
from pykafka.records.queued import EXTRA, KEY, TIMESTAMP, VALUE, Extra, QueuedMessage, Row

BACKOFF_S = 0.1
TIMEOUT_S = 120.0
#: Larger than anything in a test.
ROOMY = 1_000_000


class NoProducer:
    """A producer that nobody should ask for anything."""

    origin = Origin(b"orders", -1, None, 0, 2)
    usual = None

    def settle_partitions(self) -> None:
        """Refuse."""
        raise AssertionError("nobody is there to choose partitions")

    def wait_for(self, message: QueuedMessage, timeout: Optional[float]) -> None:
        """Refuse."""
        raise AssertionError("nobody is there to decide")


def row(
    value: Optional[bytes],
    key: Optional[bytes] = None,
    headers: Optional[list[tuple[str, Optional[bytes]]]] = None,
    stamp: int = 1_700_000_000_000,
) -> Row:
    """Return a queued row as produce() makes it."""
    extra: Optional[Extra] = None if headers is None else (encode_headers(headers), None, None, -1)
    return value, key, stamp, extra


def taken_of(rows: list[Row], fates: Optional[Fates] = None) -> Taken:
    """Return ``rows`` as they are taken out of the queue."""
    columns = [[each[field] for each in rows] for field in (VALUE, KEY, TIMESTAMP, EXTRA)]
    return Taken(fates or Fates(NoProducer()), *columns)  # type: ignore[arg-type]  # each column is of its field's type


def columns_of_rows(rows: list[Row]) -> Columns:
    """Return the columns of ``rows``, which were queued together."""
    return columns_of(taken_of(rows), range(len(rows)))


def rows_of(those: Union[Columns, Batch, Outcome]) -> list[Row]:
    """Return the rows that columns, a batch or an outcome is about, in order."""
    return [
        (taken.values[place], taken.keys and taken.keys[place], taken.timestamps[place], taken.extras and taken.extras[place])
        for taken, places in those.parts
        for place in places
    ]


def settings(acks: int = -1, max_retries: Optional[int] = None, codec: int = 0, max_batch_bytes: int = ROOMY) -> SendSettings:
    """Return settings with times that are easy to reckon with."""
    return SendSettings("orders", codec, acks, max_batch_bytes, TIMEOUT_S, BACKOFF_S, max_retries)


def accumulator(acks: int = -1, max_retries: Optional[int] = None, max_batch_bytes: int = ROOMY, epoch: int = 0) -> Accumulator:
    """Return an accumulator that is ready to send: an idempotent one has its producer id (7), and brokers that know it."""
    made = Accumulator(settings(acks, max_retries, max_batch_bytes=max_batch_bytes))
    if acks == -1:
        made.set_producer_id(7, epoch)
        for partition in range(4):
            sequence = made._queue(partition).sequence = PartitionSequence(7, epoch)
            sequence.acked_at = 0.0
    return made


def add(machine: Accumulator, *values: str, partition: int = 0, now: float = 0.0, mark: int = 0) -> list[Row]:
    """Append one chunk of rows and return them."""
    rows = [row(value.encode()) for value in values]
    machine.append(partition, columns_of_rows(rows), now, mark)
    return rows


def send(machine: Accumulator, partition: int = 0, now: float = 0.0) -> Batch:
    """Return the next batch, which must be allowed to leave now."""
    assert partition in machine.sendable(now)
    batch = machine.next_batch(partition, ROOMY)
    assert batch is not None
    batch.is_out = True
    return batch


def send_each(machine: Accumulator, *values: str, partition: int = 0, now: float = 0.0) -> list[Batch]:
    """Append and send every value in a batch of its own."""
    batches = []
    for value in values:
        add(machine, value, partition=partition, now=now)
        batches.append(send(machine, partition, now))
    return batches


def values_of(batch: Batch) -> list[str]:
    """Return the values in a batch as a broker would read them, its checksum verified."""
    (raw,) = split_batches(bytes(batch.data), "orders", batch.partition_id)
    return [(value or b"").decode() for value in decode_batch(raw, "orders", batch.partition_id, ROOMY).values]


def stamp_of(batch: Batch) -> tuple[int, int, int]:
    """Return (producer id, epoch, base sequence) as they stand in the encoded batch."""
    (raw,) = split_batches(bytes(batch.data), "orders", batch.partition_id)
    return raw.producer_id, raw.producer_epoch, raw.base_sequence


def told(outcomes: list[Outcome]) -> list[str]:
    """Return the values of all rows in ``outcomes``, in order."""
    return [(each[VALUE] or b"").decode() for outcome in outcomes for each in rows_of(outcome)]
