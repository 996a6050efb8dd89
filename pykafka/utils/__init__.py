"""Helpers that users import: serializers for text."""

from __future__ import annotations

from typing import Any, Optional


def serialize_utf8(value: Any, partition_key: Any) -> tuple[Optional[bytes], Optional[bytes]]:
    """Return value and key as UTF-8; None stays None and bytes stay as they are."""
    return _encode(value), _encode(partition_key)


def deserialize_utf8(value: Optional[bytes], partition_key: Optional[bytes]) -> tuple[Optional[str], Optional[str]]:
    """Return value and key as text; None stays None.

    :raises UnicodeDecodeError: when they are not UTF-8
    :raises TypeError: when they are not bytes
    """
    return _decode(value, "value"), _decode(partition_key, "partition_key")


def _decode(data: Any, what: str) -> Optional[str]:
    if data is None:
        return None
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise TypeError(f"{what} must be bytes or None, not {type(data).__name__}")
    return str(data, "utf-8")


def _encode(text: Any) -> Optional[bytes]:
    return text.encode("utf-8") if isinstance(text, str) else text
