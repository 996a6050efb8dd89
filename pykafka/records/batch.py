"""Record batches (magic 2) as they come: their headers read, their records not yet."""

from __future__ import annotations

import struct
from typing import NamedTuple, Optional

from ..exceptions import CorruptBatchError
from ..protocol.primitives import Buffer

#: base offset, length after this field, leader epoch, magic, crc, attributes, last offset delta, base timestamp,
#: max timestamp, producer id, producer epoch, base sequence, records count
HEADER = struct.Struct(">qiibIhiqqqhii")
HEADER_SIZE = HEADER.size
#: The length field does not count itself and the base offset before it.
LENGTH_END = 12
#: The checksum covers everything from the attributes on.
CRC_START = 21
MAGIC = 2

CODEC_MASK = 0x07
LOG_APPEND_TIME = 0x08
TRANSACTIONAL = 0x10
CONTROL = 0x20
_NEWEST_CODEC = 4
_LAST_OFFSET = 2**63 - 1
_MAGIC_AT = 16
_LENGTH = struct.Struct(">i")
_OFFSET = struct.Struct(">q")


class RawBatch(NamedTuple):
    """One batch, undecoded. ``data`` is all of it, header included, as a slice of what was received."""

    base_offset: int
    last_offset_delta: int
    records_count: int
    attributes: int
    crc: int
    base_timestamp: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    magic: int
    data: memoryview

    @property
    def last_offset(self) -> int:
        """Return the offset of the last record, also of one that compaction has removed."""
        return self.base_offset + self.last_offset_delta

    @property
    def next_offset(self) -> int:
        """Return where the partition goes on behind the batch."""
        return self.base_offset + self.last_offset_delta + 1

    @property
    def credible_next_offset(self) -> Optional[int]:
        """Return :attr:`next_offset` of a batch that is corrupt, None where it cannot be believed.

        Two fields that agree are believed: one flipped bit must not skip a million messages.
        """
        return self.next_offset if self.records_count == self.last_offset_delta + 1 else None

    @property
    def leader_epoch(self) -> int:
        """Return the epoch of the leader that took it, -1 when that was before there were epochs."""
        return int(_LENGTH.unpack_from(self.data, LENGTH_END)[0])

    @property
    def codec(self) -> int:
        """Return the CompressionType."""
        return self.attributes & CODEC_MASK

    @property
    def is_control(self) -> bool:
        """Return whether it holds a transaction marker instead of messages."""
        return bool(self.attributes & CONTROL)

    @property
    def is_transactional(self) -> bool:
        """Return whether it belongs to a transaction."""
        return bool(self.attributes & TRANSACTIONAL)

    @property
    def is_log_append_time(self) -> bool:
        """Return whether the broker's time of appending is every record's timestamp."""
        return bool(self.attributes & LOG_APPEND_TIME)


def split_batches(records: Optional[Buffer], topic: str, partition: int) -> list[RawBatch]:
    """Return the whole batches in ``records``; a batch that is cut off at the end is left out, as brokers send them so.

    :raises CorruptBatchError: for an impossible header; ``good_batches`` of the error are the batches before it
    """
    view = memoryview(records or b"")
    batches: list[RawBatch] = []
    at = 0
    least = 0
    while len(view) - at > _MAGIC_AT:
        (length,) = _LENGTH.unpack_from(view, at + 8)
        size = LENGTH_END + length
        magic = view[at + _MAGIC_AT]
        if magic == MAGIC and length >= HEADER_SIZE - LENGTH_END and size > len(view) - at:
            break
        if magic != MAGIC or length < HEADER_SIZE - LENGTH_END:
            raise _corrupt(f"magic {magic}, length {length}", view[at:], topic, partition, batches, least)
        batch = _read_header(view[at : at + size])
        problem = _problem(batch, least)
        if problem:
            raise _corrupt(problem, view[at:], topic, partition, batches, least)
        batches.append(batch)
        least = batch.next_offset
        at += size
    return batches


def _read_header(data: memoryview) -> RawBatch:
    base, _length, _epoch, magic, crc, attributes, last_delta, base_ts, max_ts, pid, epoch, seq, count = HEADER.unpack_from(data)
    return RawBatch(base, last_delta, count, attributes, crc, base_ts, max_ts, pid, epoch, seq, magic, data)


def _problem(batch: RawBatch, least: int) -> Optional[str]:
    """Return what is impossible about a header, or None. ``least`` is where the batch before ended."""
    if batch.base_offset < least:
        return f"it begins before offset {least}, where the batch before it ends"
    if batch.last_offset_delta < 0 or not 0 <= batch.records_count <= batch.last_offset_delta + 1:
        return f"{batch.records_count} records in {batch.last_offset_delta + 1} offsets"
    if batch.next_offset > _LAST_OFFSET:
        return f"it ends at offset {batch.last_offset}, beyond what a request can ask for"
    if batch.codec > _NEWEST_CODEC:
        return f"unknown codec {batch.codec}"
    return None


def _corrupt(
    problem: str, rest: memoryview, topic: str, partition: int, good: list[RawBatch], least: int
) -> CorruptBatchError:
    (offset,) = _OFFSET.unpack_from(rest)
    if rest[_MAGIC_AT] in (0, 1):
        problem = f"it is in the message format of Kafka 0.10 (magic {rest[_MAGIC_AT]}), which is not supported yet"
    error = CorruptBatchError(
        f"a batch of {topic}/{partition} at offset {offset} cannot be read: {problem}; nothing of it was delivered."
        " seek() to the error's next_offset to go on without it",
        topic=topic,
        partition=partition,
        offset=offset,
        next_offset=least + 1,  # nothing that such a header says of offsets can be believed
    )
    error.good_batches = good
    return error
