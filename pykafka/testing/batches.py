"""Record batches (magic 2) as a broker treats them: looked at, checked, stamped, and made and read for tests.

Plain code of its own, which shares nothing with the client's, so that one does not repeat the other's mistakes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Optional

from ..compression import decompress
from ..records.crc32c import crc32c

#: base offset, length of what follows it, leader epoch, magic, crc, attributes, last offset delta, base timestamp, max timestamp,
#: producer id, producer epoch, base sequence, records count
_HEADER = struct.Struct(">qiibIhiqqqhii")
HEADER_SIZE = _HEADER.size
_BEFORE_LENGTH_ENDS = 12
_FROM_ATTRIBUTES = 21
_EPOCH_AT, _MAGIC_AT, _CRC_AT, _MAX_TIMESTAMP_AT = 12, 16, 17, 35
_CODEC, _LOG_APPEND_TIME, _TRANSACTIONAL, _CONTROL = 0x07, 0x08, 0x10, 0x20
#: What a batch in a test may inflate to; a broker has no such limit, a test's memory does.
_MAX_INFLATED = 256 * 1024 * 1024

Header = tuple[str, Optional[bytes]]


class Record(NamedTuple):
    """One record of a log."""

    offset: int
    timestamp: int
    key: Optional[bytes]
    value: Optional[bytes]
    headers: Sequence[Header]


class MalformedBatch(Exception):
    """Bytes that are not a record batch, and why."""


class Batch(NamedTuple):
    """One batch: its header's fields, and all of its bytes."""

    base_offset: int
    leader_epoch: int
    magic: int
    crc: int
    attributes: int
    last_offset_delta: int
    base_timestamp: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    records_count: int
    data: bytes

    @property
    def last_offset(self) -> int:
        """Return the offset of its last record."""
        return self.base_offset + self.last_offset_delta

    @property
    def codec(self) -> int:
        """Return the number of its compression codec, 0 for none."""
        return self.attributes & _CODEC

    @property
    def is_control(self) -> bool:
        """Return whether it holds a marker of a transaction, which clients must not write."""
        return bool(self.attributes & _CONTROL)

    @property
    def is_transactional(self) -> bool:
        """Return whether it is part of a transaction."""
        return bool(self.attributes & _TRANSACTIONAL)

    @property
    def is_sound(self) -> bool:
        """Return whether the checksum is right."""
        return crc32c(memoryview(self.data)[_FROM_ATTRIBUTES:]) == self.crc


def magic_of(data: bytes) -> Optional[int]:
    """Return the format of the first batch, None where there is not enough of one to tell."""
    return data[_MAGIC_AT] if len(data) > _MAGIC_AT else None


def split(data: bytes) -> list[Batch]:
    """Return the batches in ``data``, which holds nothing else.

    :raises MalformedBatch: for anything that is not whole batches of magic 2
    """
    batches = []
    at = 0
    while at < len(data):
        if len(data) - at < HEADER_SIZE:
            raise MalformedBatch(f"{len(data) - at} bytes at the end are no batch")
        base, length, epoch, magic, *rest = _HEADER.unpack_from(data, at)
        size = _BEFORE_LENGTH_ENDS + length
        if magic != 2:
            raise MalformedBatch(f"magic {magic}")
        if not HEADER_SIZE <= size <= len(data) - at:
            raise MalformedBatch(f"a batch of {size} bytes where {len(data) - at} are left")
        batches.append(Batch._make((base, epoch, magic, *rest, data[at : at + size])))
        at += size
    return batches


def stamp(batch: Batch, base_offset: int, leader_epoch: int) -> Batch:
    """Return the batch as it goes into a log: with its offset and the epoch of who took it."""
    data = bytearray(batch.data)
    struct.pack_into(">q", data, 0, base_offset)
    struct.pack_into(">i", data, _EPOCH_AT, leader_epoch)
    return split(bytes(data))[0]


def with_times(batch: Batch, max_timestamp: int, is_append_time: bool) -> Batch:
    """Return the batch with the timestamp of its newest record, which a producer may have got wrong.

    :param is_append_time: makes it every record's timestamp, as ``message.timestamp.type=LogAppendTime`` wants it
    """
    attributes = batch.attributes | _LOG_APPEND_TIME if is_append_time else batch.attributes & ~_LOG_APPEND_TIME
    if (max_timestamp, attributes) == (batch.max_timestamp, batch.attributes):
        return batch
    data = bytearray(batch.data)
    struct.pack_into(">h", data, _FROM_ATTRIBUTES, attributes)
    struct.pack_into(">q", data, _MAX_TIMESTAMP_AT, max_timestamp)
    struct.pack_into(">I", data, _CRC_AT, crc32c(memoryview(data)[_FROM_ATTRIBUTES:]))
    return split(bytes(data))[0]


def flip_a_bit(data: bytes) -> bytes:
    """Return a batch with one bit of its last byte, which its checksum covers, the other way round."""
    return data[:-1] + bytes((data[-1] ^ 1,))


# -- records ----------------------------------------------------------------------------------------------------------


def read(batch: Batch) -> list[Record]:
    """Return the records of a batch.

    :raises MalformedBatch: when they are not what the header says
    """
    body: bytes = batch.data[HEADER_SIZE:]
    try:
        if batch.codec:
            body = decompress(batch.codec, body, _MAX_INFLATED)
        records = []
        at = 0
        for _ in range(batch.records_count):
            record, at = _read_one(batch, body, at)
            records.append(record)
    except (IndexError, ValueError) as error:
        raise MalformedBatch(f"its records cannot be read: {error}") from error
    if at != len(body):
        raise MalformedBatch(f"{len(body) - at} bytes are behind its {batch.records_count} records")
    return records


def _read_one(batch: Batch, body: bytes, at: int) -> tuple[Record, int]:
    length, at = _read_varint(body, at)
    end = at + length
    if length < 0 or end > len(body):
        raise ValueError(f"a record of {length} bytes")
    at += 1  # its attributes, of which there are none
    timestamp_delta, at = _read_varint(body, at)
    offset_delta, at = _read_varint(body, at)
    key, at = _read_bytes(body, at)
    value, at = _read_bytes(body, at)
    count, at = _read_varint(body, at)
    if count < 0:
        raise ValueError(f"{count} headers")
    headers: list[Header] = []
    for _ in range(count):
        name, at = _read_bytes(body, at)
        content, at = _read_bytes(body, at)
        headers.append((str(name or b"", "utf-8"), content))
    if at != end:
        raise ValueError(f"a record ends at byte {at}, not at {end}")
    timestamp = batch.max_timestamp if batch.attributes & _LOG_APPEND_TIME else batch.base_timestamp + timestamp_delta
    return Record(batch.base_offset + offset_delta, timestamp, key, value, headers), at


def _read_varint(body: bytes, at: int) -> tuple[int, int]:
    raw = shift = 0
    while True:
        byte = body[at]
        at += 1
        raw |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return raw >> 1 ^ -(raw & 1), at
        if shift >= 70:
            raise ValueError("a varint of more than ten bytes")


def _read_bytes(body: bytes, at: int) -> tuple[Optional[bytes], int]:
    size, at = _read_varint(body, at)
    if size < 0:
        return None, at
    if at + size > len(body):
        raise ValueError(f"{size} bytes where {len(body) - at} are left")
    return bytes(body[at : at + size]), at + size


def build(records: Iterable[Record]) -> Batch:
    """Return one uncompressed batch of records, which take offsets from 0 on whatever theirs are.

    :raises ValueError: when there are none
    """
    rows = list(records)
    if not rows:
        raise ValueError("a batch has at least one record")
    first = rows[0].timestamp
    body = b"".join(_write_one(number, record, first) for number, record in enumerate(rows))
    newest = max(record.timestamp for record in rows)
    covered = struct.pack(">hiqqqhii", 0, len(rows) - 1, first, newest, -1, -1, -1, len(rows)) + body
    front = struct.pack(">qiibI", 0, 9 + len(covered), -1, 2, crc32c(covered))
    return split(front + covered)[0]


def _write_one(number: int, record: Record, first_timestamp: int) -> bytes:
    parts = [b"\0", _varint(record.timestamp - first_timestamp), _varint(number), _bytes(record.key), _bytes(record.value)]
    parts.append(_varint(len(record.headers)))
    for name, content in record.headers:
        parts += [_bytes(name.encode()), _bytes(content)]
    body = b"".join(parts)
    return _varint(len(body)) + body


def _varint(value: int) -> bytes:
    raw = value << 1 if value >= 0 else (-value << 1) - 1
    out = bytearray()
    while raw > 0x7F:
        out.append(raw & 0x7F | 0x80)
        raw >>= 7
    out.append(raw)
    return bytes(out)


def _bytes(value: Optional[bytes]) -> bytes:
    return _varint(-1) if value is None else _varint(len(value)) + value
