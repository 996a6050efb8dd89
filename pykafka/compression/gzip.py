"""gzip (RFC 1952) by the standard library's zlib; several members in a row are one stream."""

from __future__ import annotations

import zlib

from ..protocol.primitives import Buffer
from .limits import MOST_FRAMES, too_large

#: zlib's way to say: with a gzip header.
_GZIP = 31
#: So much goes in at once, and so much comes out: zlib holds what comes out twice for a moment.
_IN = 64 * 1024
_OUT = 4 * 1024 * 1024
#: Level 1 is three times as fast as 6 for a tenth more bytes: what goes over a network once is not worth more.
_LEVEL = 1


def compress(data: Buffer) -> bytes:
    """Return one gzip member."""
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    return compressor.compress(data) + compressor.flush()


def decompress(data: Buffer, max_size: int) -> bytes:
    """Return all members of ``data``."""
    view = memoryview(data)
    parts: list[bytes] = []
    left = max_size
    members = at = 0
    try:
        while at < len(view):
            members += 1
            if members > MOST_FRAMES:
                raise ValueError(f"more than {MOST_FRAMES} gzip members")
            inflator = zlib.decompressobj(_GZIP)
            while not inflator.eof:
                if at >= len(view):
                    raise ValueError("gzip data ends too early")
                piece = view[at : at + _IN]
                parts.append(inflator.decompress(piece, min(_OUT, left + 1)))
                left -= len(parts[-1])
                if left < 0:
                    raise too_large(max_size)
                at += len(piece) - len(inflator.unused_data) - len(inflator.unconsumed_tail)
    except zlib.error as error:
        raise ValueError(f"not gzip data: {error}") from error
    return b"".join(parts)
