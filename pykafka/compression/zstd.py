"""zstd (RFC 8878): the standard library's from Python 3.14 on, else the zstandard package."""

from __future__ import annotations

import sys
from typing import Any

from ..protocol.primitives import Buffer
from .limits import MOST_FRAMES, too_large

#: The best speed for its size of all codecs and levels we measured.
_LEVEL = 1
#: The package has no bound for what it inflates at once, so it gets little at a time: a slice becomes 32 MiB at most.
_SLICE = 1024
#: With less than this left, it gets so little that it becomes 2 MiB at most: the limit is not to be missed by much.
_ROOM = 64 * 1024 * 1024
_SMALL_SLICE = 64
_LONGEST_HEADER = 18
#: A frame that says it holds no more than this is inflated at once, in half the time: so much memory may be set aside for it.
_AT_ONCE = 4 * 1024 * 1024

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
                if len(parts) >= MOST_FRAMES:
                    raise ValueError(f"more than {MOST_FRAMES} zstd frames")
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
        view = memoryview(data)
        parts: list[bytes] = []
        left = max_size
        frames = 0
        inflator = None
        try:
            announced = zstandard.frame_content_size(bytes(view[:_LONGEST_HEADER]))  # -1 when the frame does not say
            if announced > max_size:
                raise too_large(max_size)
            if 0 < announced <= _AT_ONCE:
                try:
                    return zstandard.ZstdDecompressor().decompress(view, allow_extra_data=False)
                except zstandard.ZstdError:
                    pass  # another frame behind it, or something wrong: seen below
            at = 0
            while at < len(view):
                rest = bytes(view[at : at + (_SLICE if left >= _ROOM else _SMALL_SLICE)])
                at += len(rest)
                while rest:
                    if inflator is None:
                        frames += 1
                        if frames > MOST_FRAMES:
                            raise ValueError(f"more than {MOST_FRAMES} zstd frames")
                        inflator = zstandard.ZstdDecompressor().decompressobj()
                    parts.append(inflator.decompress(rest))
                    left -= len(parts[-1])
                    if left < 0:
                        raise too_large(max_size)
                    rest = inflator.unused_data if inflator.eof else b""
                    inflator = None if inflator.eof else inflator
        except zstandard.ZstdError as error:
            raise ValueError(f"not a zstd frame: {error}") from error
        if inflator is not None:
            raise ValueError("a zstd frame ends too early")
        return b"".join(parts)
