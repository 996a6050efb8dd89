"""LZ4 frames with independent blocks, the only kind that Kafka's Java code reads."""

from __future__ import annotations

import lz4.frame as lz4

from ..protocol.primitives import Buffer
from .limits import too_large

_IN = 64 * 1024
_PIECE = 1024 * 1024


def compress(data: Buffer) -> bytes:
    """Return one frame."""
    frame: bytes = lz4.compress(data, block_linked=False, store_size=False, block_size=lz4.BLOCKSIZE_MAX64KB)
    return frame


def decompress(data: Buffer, max_size: int) -> bytes:
    """Return what is in the one frame."""
    inflator = lz4.LZ4FrameDecompressor()
    parts: list[bytes] = []
    left = max_size
    view = memoryview(data)
    at = 0
    try:
        # little by little, both ways: it keeps a copy of what went in, and sets aside as much memory as it is allowed to use
        while not inflator.eof:
            rest = view[at : at + _IN] if inflator.needs_input else b""
            if inflator.needs_input and not rest:
                raise ValueError("an LZ4 frame ends too early")
            at += len(rest)
            parts.append(inflator.decompress(rest, min(_PIECE, left + 1)))
            left -= len(parts[-1])
            if left < 0:
                raise too_large(max_size)
    except RuntimeError as error:
        raise ValueError(f"not an LZ4 frame: {error}") from error
    behind = len(inflator.unused_data or b"") + len(view) - at
    if behind:
        raise ValueError(f"{behind} bytes behind an LZ4 frame")
    return b"".join(parts)
