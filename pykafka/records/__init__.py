"""Record batches: encoding and decoding in bulk, checksums, and the Message that users hold."""

from __future__ import annotations
