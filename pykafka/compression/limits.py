"""The one error of all codecs when something inflates too far."""

from __future__ import annotations

from ..exceptions import DecompressedSizeError

#: Each frame (zstd) or member (gzip) of a batch costs a copy of what follows it: many tiny ones cost the square of their number.
MOST_FRAMES = 1000


def too_large(max_size: int) -> DecompressedSizeError:
    """Return the error for data that inflates to more than ``max_size`` bytes."""
    return DecompressedSizeError(
        f"a batch inflates to more than max_decompressed_bytes={max_size}: raise the limit if such batches are yours"
    )
