"""Record batches (magic 2) to columns: four ways from the most special to the plain one, which all give the same.

* :mod:`.uniform`: records of one size, found and cut by slices; no Python code runs per record.
* :mod:`.framed`: any sizes; one cached ``struct`` per shape takes a record apart.
* :mod:`.quick`: any record: the sizes written in a byte or two are read in place.
* :mod:`.plain`: any record, field by field: the fall-back, and what the others are tested against.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple, Optional

from .. import compression
from ..compression.limits import too_large
from ..exceptions import CorruptBatchError, DecompressedSizeError, KafkaException, MissingCodecError
from .batch import CRC_START, HEADER_SIZE, RawBatch
from .crc32c import crc32c
from .framed import framed_columns
from .plain import Headers
from .quick import quick_columns
from .uniform import uniform_columns

#: Control record types: what ends a transaction.
ABORT = 0
COMMIT = 1
NO_TYPE = -1
#: An uncompressed record takes at least this many bytes: what bounds a believable count.
_LEAST_RECORD = 7
#: Below this many records it costs more to find out that they are alike than it saves.
_LEAST_UNIFORM = 16
#: What a message costs beside its content: a batch of nothing but empty records is as large once decoded as any other.
MESSAGE_BYTES = 128


class Columns(NamedTuple):
    """A decoded batch, column by column; ``keys`` or ``headers`` is None when no record has any.

    ``size`` is how many bytes the records take, decompressed; 0 where nobody has counted.
    """

    offsets: Sequence[int]
    timestamps: Sequence[int]
    keys: Optional[list[Optional[bytes]]]
    values: list[Optional[bytes]]
    headers: Optional[list[Headers]]
    size: int = 0


def decode_batch(batch: RawBatch, topic: str, partition: int, max_decompressed: int) -> Columns:
    """Return the records of ``batch`` after checking its checksum.

    :raises CorruptBatchError: with topic, partition and offset, for anything that is not exactly right
    :raises DecompressedSizeError: when it inflates to more than ``max_decompressed`` bytes
    :raises MissingCodecError: naming the extra to install
    """
    try:
        body = checked_body(batch, max_decompressed)
        if batch.records_count * _LEAST_RECORD <= len(body) and batch.records_count * MESSAGE_BYTES > max_decompressed:
            raise too_large(max_decompressed)
        columns = decode_records(body, batch)
    except DecompressedSizeError as error:
        raise DecompressedSizeError(
            str(error), topic=topic, partition=partition, offset=batch.base_offset, next_offset=batch.next_offset
        ) from error
    except MissingCodecError as error:
        raise MissingCodecError(str(error), topic=topic, partition=partition) from error
    except (ValueError, IndexError, struct.error) as error:
        raise CorruptBatchError(
            f"the batch of {topic}/{partition} at offset {batch.base_offset} is corrupt: {error}; nothing of it was"
            " delivered. seek() to the error's next_offset to go on without it",
            topic=topic,
            partition=partition,
            offset=batch.base_offset,
            next_offset=batch.credible_next_offset,
        ) from error
    if batch.is_log_append_time:
        return columns._replace(timestamps=[batch.max_timestamp] * len(columns.offsets))
    return columns


def checked_body(batch: RawBatch, max_decompressed: int) -> bytes:
    """Return the batch's records, decompressed, after checking the checksum.

    :raises ValueError: when the checksum or the compressed data is wrong
    """
    found = crc32c(batch.data[CRC_START:])
    if found != batch.crc:
        raise ValueError(f"checksum {found:#010x} instead of {batch.crc:#010x}")
    if batch.codec:
        return compression.decompress(batch.codec, batch.data[HEADER_SIZE:], max_decompressed)
    return bytes(batch.data[HEADER_SIZE:])


def decode_records(body: bytes, batch: RawBatch) -> Columns:
    """Return the records in ``body`` by the fastest way that fits.

    :raises ValueError: or IndexError, when they are not exactly ``records_count`` well-formed records
    """
    count = batch.records_count
    if count * _LEAST_RECORD > len(body):
        raise ValueError(f"{count} records in {len(body)} bytes")
    # dense means that nothing was compacted away, so the offset deltas are known before they are read
    if count and batch.last_offset_delta == count - 1:
        offsets = range(batch.base_offset, batch.base_offset + count)
        base = batch.base_timestamp
        alike = uniform_columns(body, count) if count >= _LEAST_UNIFORM else None
        if alike is not None:
            deltas, keys, values = alike
            stamps = [base] * count if deltas is None else _timestamps(base, deltas)
            return Columns(offsets, stamps, keys, values, None, len(body))
        framed = framed_columns(body, count)
        if framed is not None:
            return Columns(offsets, _timestamps(base, framed[0]), *framed[1:], len(body))
    return _plain(body, batch)


def _timestamps(base: int, deltas: list[int]) -> list[int]:
    """Return ``base`` plus each delta; records of one millisecond share one number, which is quicker and takes less memory."""
    distinct = set(deltas)
    if len(distinct) * 4 > len(deltas):
        return [base + delta for delta in deltas]
    table = {delta: base + delta for delta in distinct}
    return list(map(table.__getitem__, deltas))


def _plain(body: bytes, batch: RawBatch) -> Columns:
    offsets, stamps, keys, values, headers = quick_columns(body, batch.records_count, batch.last_offset_delta)
    return Columns(
        [batch.base_offset + delta for delta in offsets],
        [batch.base_timestamp + delta for delta in stamps],
        keys if any(key is not None for key in keys) else None,
        values,
        headers if any(headers) else None,
        len(body),
    )


def control_type(batch: RawBatch) -> int:
    """Return ABORT, COMMIT or another type of a control batch; NO_TYPE when it cannot be read."""
    try:
        columns = decode_records(checked_body(batch, 1024), batch)
        key = columns.keys[0] if columns.keys else None
        return NO_TYPE if key is None else int(struct.unpack_from(">hh", key)[1])
    except (ValueError, IndexError, struct.error, KafkaException):
        return NO_TYPE
