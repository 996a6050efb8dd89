"""Helpers that users import: serializers for text."""

from __future__ import annotations

from typing import Any, Optional


def serialize_utf8(value: Any, partition_key: Any) -> tuple[Optional[bytes], Optional[bytes]]:
    """Return value and key as UTF-8; None stays None and bytes stay as they are."""
    return _encode(value), _encode(partition_key)


def deserialize_utf8(value: Optional[bytes], partition_key: Optional[bytes]) -> tuple[Optional[str], Optional[str]]:
    """Return value and key as text; None stays None.

    :raises UnicodeDecodeError: when they are not UTF-8
    """
    return (
        None if value is None else value.decode("utf-8"),
        None if partition_key is None else partition_key.decode("utf-8"),
    )


def _encode(text: Any) -> Optional[bytes]:
    return text.encode("utf-8") if isinstance(text, str) else text
