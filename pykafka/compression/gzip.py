"""gzip (RFC 1952) by the standard library's zlib; several members in a row are one stream."""

from __future__ import annotations

import zlib

from ..protocol.primitives import Buffer
from .limits import MOST_FRAMES, too_large

#: zlib's way to say: with a gzip header.
_GZIP = 31
#: Level 1 is three times as fast as 6 for a tenth more bytes: what goes over a network once is not worth more.
_LEVEL = 1


def compress(data: Buffer) -> bytes:
    """Return one gzip member."""
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    return compressor.compress(data) + compressor.flush()


def decompress(data: Buffer, max_size: int) -> bytes:
    """Return all members of ``data``."""
    parts: list[bytes] = []
    left = max_size
    rest = bytes(data)
    try:
        while rest:
            if len(parts) >= MOST_FRAMES:
                raise ValueError(f"more than {MOST_FRAMES} gzip members")
            inflator = zlib.decompressobj(_GZIP)
            parts.append(inflator.decompress(rest, left + 1))
            left -= len(parts[-1])
            if left < 0:
                raise too_large(max_size)
            if not inflator.eof:
                raise ValueError("gzip data ends too early")
            rest = inflator.unused_data
    except zlib.error as error:
        raise ValueError(f"not gzip data: {error}") from error
    return b"".join(parts)
