"""Record batches made in other ways than ours: by kafka-python, and byte by byte with a right checksum."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Optional

import crc32c as wheel

from pykafka.records.batch import CRC_START, HEADER, HEADER_SIZE, LENGTH_END, RawBatch, split_batches
from pykafka.records.decode import Columns, decode_batch

with warnings.catch_warnings():
    # its import reads files in a way that Python 3.11 calls deprecated: nothing of ours
    warnings.simplefilter("ignore", DeprecationWarning)
    from kafka.record.memory_records import MemoryRecords, MemoryRecordsBuilder

TOPIC, PARTITION = "clicks", 3
ROOMY = 1 << 30
#: (timestamp, key, value, headers)
Record = tuple[int, Optional[bytes], Optional[bytes], list[tuple[str, Optional[bytes]]]]


def wrapped(
    body: bytes,
    count: int,
    *,
    base_offset: int = 0,
    last_delta: Optional[int] = None,
    attributes: int = 0,
    base_timestamp: int = 1000,
    max_timestamp: int = 2000,
    producer_id: int = -1,
    magic: int = 2,
) -> bytes:
    """Return ``body`` with a batch header in front of it and the right checksum in there."""
    delta = count - 1 if last_delta is None else last_delta
    rest = HEADER_SIZE - LENGTH_END + len(body)
    fields = (base_timestamp, max_timestamp, producer_id, 0, 0, count)
    batch = bytearray(HEADER.pack(base_offset, rest, -1, magic, 0, attributes, delta, *fields) + body)
    return reseal(batch)


def reseal(batch: bytes) -> bytes:
    """Return ``batch`` with its checksum made right again."""
    return batch[: CRC_START - 4] + wheel.crc32c(bytes(batch[CRC_START:])).to_bytes(4, "big") + bytes(batch[CRC_START:])


def raw(data: bytes) -> RawBatch:
    """Return the one batch in ``data``."""
    (batch,) = split_batches(data, TOPIC, PARTITION)
    return batch


def decoded(data: bytes, max_decompressed: int = ROOMY) -> Columns:
    """Return the columns of the one batch in ``data``."""
    return decode_batch(raw(data), TOPIC, PARTITION, max_decompressed)


def rows(columns: Columns) -> list[tuple[Any, ...]]:
    """Return (offset, timestamp, key, value, headers) of every record."""
    count = len(columns.values)
    keys = columns.keys if columns.keys is not None else [None] * count
    headers = columns.headers if columns.headers is not None else [[] for _ in range(count)]
    assert len(columns.offsets) == len(columns.timestamps) == len(keys) == len(headers) == count
    return list(zip(columns.offsets, columns.timestamps, keys, columns.values, headers))


def by_kafka_python(records: Sequence[Record], *, codec: int = 0, skip: Sequence[int] = (), **options: Any) -> bytes:
    """Return a batch that kafka-python made; before the records numbered in ``skip`` an offset is left out."""
    builder = MemoryRecordsBuilder(magic=2, compression_type=codec, batch_size=1 << 26, **options)
    for index, (timestamp, key, value, headers) in enumerate(records):
        if index in skip:
            builder.skip(1)
        assert builder.append(timestamp, key, value, headers) is not None
    builder.close()
    return bytes(builder.buffer())


def read_by_kafka_python(data: bytes) -> list[tuple[Any, ...]]:
    """Return (offset, timestamp, key, value, headers) of every record of a batch, as kafka-python reads it."""
    batch = MemoryRecords(data).next_batch()
    assert batch.validate_crc()
    return [(one.offset, one.timestamp, one.key, one.value, [tuple(pair) for pair in one.headers]) for one in batch]
