"""snappy, in the framing of the xerial Java library (what Kafka writes) and as one raw block (what some others write)."""

from __future__ import annotations

import struct
from typing import Any, Callable

from .._errors.imports import is_absent, warn_if_broken
from ..exceptions import ProtocolError
from ..protocol.primitives import Buffer, decode_uvarint
from .limits import too_large

MAGIC = b"\x82SNAPPY\0"
#: Magic, version 1, oldest compatible version 1.
_HEADER = MAGIC + struct.pack(">ii", 1, 1)
#: The Java library cuts its input into blocks of this size.
BLOCK_SIZE = 32 * 1024
_SIZE = struct.Struct(">i")

Raw = Callable[[Any], Any]


def _load() -> tuple[Raw, Raw]:
    """Return (compress, decompress) of one raw block, from whichever package is there."""
    try:
        from cramjam import snappy as cramjam
    except ImportError as error:
        try:
            import snappy  # python-snappy
        except ImportError as other:
            # what is broken is told, rather than what is not there
            raise (error if is_absent(other, "snappy") and not is_absent(error, "cramjam") else other) from None
        warn_if_broken(error, "cramjam", "python-snappy is used")
        return snappy.compress, snappy.uncompress
    return cramjam.compress_raw, cramjam.decompress_raw


_compress_raw, _decompress_raw = _load()


def compress(data: Buffer, block_size: int = BLOCK_SIZE) -> bytes:
    """Return ``data`` in xerial framing."""
    view = memoryview(data)
    parts = [_HEADER]
    for start in range(0, len(view), block_size):
        block = compress_block(view[start : start + block_size])
        parts += (_SIZE.pack(len(block)), block)
    return b"".join(parts)


def compress_block(data: Buffer) -> bytes:
    """Return ``data`` as one raw block, without any framing."""
    return bytes(_compress_raw(bytes(data)))


def decompress(data: Buffer, max_size: int) -> bytes:
    """Return what is in ``data``, in either form."""
    view = memoryview(data)
    if bytes(view[: len(MAGIC)]) != MAGIC:
        return _block(view, max_size, max_size)
    if len(view) < len(_HEADER):
        raise ValueError("snappy data ends inside its header")
    parts: list[bytes] = []
    left = max_size
    at = len(_HEADER)
    while at < len(view):
        if at + 4 > len(view):
            raise ValueError("snappy data ends inside a block size")
        (size,) = _SIZE.unpack_from(view, at)
        at += 4
        if size < 0 or at + size > len(view):
            raise ValueError(f"snappy data has an impossible block size {size}")
        parts.append(_block(view[at : at + size], left, max_size))
        left -= len(parts[-1])
        at += size
    return b"".join(parts)


def _block(block: memoryview, left: int, max_size: int) -> bytes:
    """Return one raw block decompressed; it begins with its size, so nothing is inflated to find out."""
    try:
        announced, _start = decode_uvarint(block, 0)
    except (IndexError, ProtocolError) as error:
        raise ValueError("snappy data without a size") from error
    if announced > left:
        raise too_large(max_size)
    try:
        return bytes(_decompress_raw(bytes(block)))
    except Exception as error:  # every package has errors of its own, some of them plain Exception
        raise ValueError(f"not snappy data: {error}") from error
