"""LZ4 frames with independent blocks, the only kind that Kafka's Java code reads."""

from __future__ import annotations

import lz4.frame as lz4

from ..protocol.primitives import Buffer
from .limits import too_large


def compress(data: Buffer) -> bytes:
    """Return one frame."""
    frame: bytes = lz4.compress(data, block_linked=False, store_size=False, block_size=lz4.BLOCKSIZE_MAX64KB)
    return frame


def decompress(data: Buffer, max_size: int) -> bytes:
    """Return what is in the one frame."""
    inflator = lz4.LZ4FrameDecompressor()
    try:
        inflated: bytes = inflator.decompress(data, max_size + 1)
    except RuntimeError as error:
        raise ValueError(f"not an LZ4 frame: {error}") from error
    if len(inflated) > max_size:
        raise too_large(max_size)
    if not inflator.eof:
        raise ValueError("an LZ4 frame ends too early")
    return inflated
