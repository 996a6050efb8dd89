"""zstd (RFC 8878): the standard library's from Python 3.14 on, else the zstandard package."""

from __future__ import annotations

import sys
from typing import Any

from ..protocol.primitives import Buffer
from .limits import too_large

#: The best speed for its size of all codecs and levels we measured.
_LEVEL = 1

if sys.version_info >= (3, 14):
    from compression import zstd

    def compress(data: Buffer) -> bytes:
        """Return one frame."""
        frame: bytes = zstd.compress(data, _LEVEL)
        return frame

    def decompress(data: Buffer, max_size: int) -> bytes:
        """Return what is in the frames, sized or not."""
        parts: list[bytes] = []
        left = max_size
        rest: Any = bytes(data)
        try:
            while rest:
                inflator = zstd.ZstdDecompressor()
                parts.append(inflator.decompress(rest, left + 1))
                left -= len(parts[-1])
                if left < 0:
                    raise too_large(max_size)
                if not inflator.eof:
                    raise ValueError("a zstd frame ends too early")
                rest = inflator.unused_data
        except zstd.ZstdError as error:
            raise ValueError(f"not a zstd frame: {error}") from error
        return b"".join(parts)

else:
    import zstandard

    def compress(data: Buffer) -> bytes:
        """Return one frame."""
        return zstandard.ZstdCompressor(level=_LEVEL).compress(data)

    def decompress(data: Buffer, max_size: int) -> bytes:
        """Return what is in the frames, sized or not."""
        try:
            # the reader inflates piece by piece, so the bound holds whatever the frame says of itself
            with zstandard.ZstdDecompressor().stream_reader(bytes(data), read_across_frames=True) as reader:
                inflated = reader.read(max_size + 1)
        except zstandard.ZstdError as error:
            raise ValueError(f"not a zstd frame: {error}") from error
        if len(inflated) > max_size:
            raise too_large(max_size)
        return inflated
