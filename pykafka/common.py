"""Constants and the base class that every layer shares."""

from __future__ import annotations


class Message:
    """The base of what users hold; the real one is :class:`pykafka.protocol.Message`."""

    __slots__ = ()


class CompressionType:
    """How a producer compresses batches. SNAPPY, LZ4 and ZSTD need a package: ``pip install 'pykafka[zstd]'``."""

    NONE = 0
    GZIP = 1
    SNAPPY = 2
    LZ4 = 3
    #: Kafka 2.1 and later.
    ZSTD = 4


class OffsetType:
    """Where a partition may be started at, besides a number."""

    #: The first offset still in the log.
    EARLIEST = -2
    #: The end of the log: the next message to be written.
    LATEST = -1
