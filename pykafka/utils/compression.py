"""PyKafka's functions for single codecs. What inflates is bounded: a few bytes must not fill the memory.

Every ``decode_`` function takes ``max_size``, the most bytes it may return, and raises

* ``DecompressedSizeError`` when there is more,
* ``ValueError`` for what is not valid data of the codec,
* ``MissingCodecError``, an ImportError that names the extra to install.
"""

from __future__ import annotations

from typing import Any, Union

from .. import compression
from ..common import CompressionType
from .arguments import MAX_INT32, whole_number

Buffer = Union[bytes, bytearray, memoryview]

#: What a decode function returns at most unless told otherwise: as much as a consumer takes of one batch.
MAX_SIZE = 128 * 1024 * 1024
#: Where an LZ4 frame has its flags, and how long its header is without a content size, checksum included.
_FLAGS_AT = 4
_LZ4_HEADER = 7
_HAS_CONTENT_SIZE = 0x08
_HAS_DICTIONARY = 0x01
_MASK = 0xFFFFFFFF


def encode_gzip(buff: Buffer) -> bytes:
    """Return ``buff`` compressed with gzip."""
    return compression.compress(CompressionType.GZIP, _bytes(buff))


def decode_gzip(buff: Buffer, max_size: int = MAX_SIZE) -> bytes:
    """Return what was compressed with gzip."""
    return _decode(CompressionType.GZIP, buff, max_size)


def encode_snappy(buff: Buffer, xerial_compatible: bool = False, xerial_blocksize: int = 32 * 1024) -> bytes:
    """Return ``buff`` compressed with snappy: as one raw block, or with ``xerial_compatible`` in the framing that Kafka uses.

    :param xerial_blocksize: how many bytes of ``buff`` go into each block of that framing
    """
    data = _bytes(buff)
    size = whole_number("xerial_blocksize", xerial_blocksize, 1, MAX_INT32)
    compression.require(CompressionType.SNAPPY)
    from ..compression import snappy  # needs an extra, which the line above has asked for

    return snappy.compress(data, size) if xerial_compatible else snappy.compress_block(data)


def decode_snappy(buff: Buffer, max_size: int = MAX_SIZE) -> bytes:
    """Return what was compressed with snappy, in either form."""
    return _decode(CompressionType.SNAPPY, buff, max_size)


def encode_lz4(buff: Buffer) -> bytes:
    """Return ``buff`` as an LZ4 frame."""
    return compression.compress(CompressionType.LZ4, _bytes(buff))


def decode_lz4(buff: Buffer, max_size: int = MAX_SIZE) -> bytes:
    """Return what is in an LZ4 frame."""
    return _decode(CompressionType.LZ4, buff, max_size)


#: PyKafka's names for the same by another package; there is one LZ4 frame, whoever makes it.
encode_lz4f = encode_lz4
decode_lz4f = decode_lz4


def encode_lz4_old_kafka(buff: Buffer) -> bytes:
    """Return ``buff`` as Kafka 0.8 and 0.9 wrote LZ4: with the magic number counted into the checksum of the header."""
    frame = bytearray(encode_lz4(buff))
    frame[_LZ4_HEADER - 1] = _header_checksum(frame[: _LZ4_HEADER - 1])
    return bytes(frame)


def decode_lz4_old_kafka(buff: Buffer, max_size: int = MAX_SIZE) -> bytes:
    """Return what is in an LZ4 frame, whatever the checksum of its header is."""
    frame = bytearray(_bytes(buff))
    if len(frame) < _LZ4_HEADER:
        raise ValueError(f"{len(frame)} bytes are no LZ4 frame")
    flags = frame[_FLAGS_AT]
    end = _LZ4_HEADER + (8 if flags & _HAS_CONTENT_SIZE else 0) + (4 if flags & _HAS_DICTIONARY else 0)
    if len(frame) < end:
        raise ValueError(f"an LZ4 frame of {len(frame)} bytes ends inside its header")
    frame[end - 1] = _header_checksum(frame[_FLAGS_AT : end - 1])
    return decode_lz4(frame, max_size)


def _decode(codec: int, buff: Buffer, max_size: int) -> bytes:
    return compression.decompress(codec, _bytes(buff), whole_number("max_size", max_size, 0, 2**63 - 1))


def _bytes(buff: Any) -> Any:
    if not isinstance(buff, (bytes, bytearray, memoryview)):
        raise TypeError(f"bytes are needed, not {type(buff).__name__}")
    return buff


def _header_checksum(data: bytearray) -> int:
    """Return the checksum of an LZ4 frame's header: the second byte of its xxHash."""
    return (_xxh32(data) >> 8) & 0xFF


_PRIMES = (2654435761, 2246822519, 3266489917, 668265263, 374761393)


def _xxh32(data: bytearray) -> int:
    """Return the 32-bit xxHash, seed 0, of fewer than 16 bytes: more no header of a frame has."""
    first, second, third, fourth, fifth = _PRIMES
    words = len(data) // 4 * 4
    total = fifth + len(data)
    for at in range(0, words, 4):
        word = int.from_bytes(data[at : at + 4], "little")
        total = _rotated(total + word * third, 17) * fourth & _MASK
    for byte in data[words:]:
        total = _rotated(total + byte * fifth, 11) * first & _MASK
    total = (total ^ total >> 15) * second & _MASK
    total = (total ^ total >> 13) * third & _MASK
    return total ^ total >> 16


def _rotated(value: int, bits: int) -> int:
    value &= _MASK
    return (value << bits | value >> (32 - bits)) & _MASK
