"""What users give as names and numbers, checked in one way everywhere."""

from __future__ import annotations

from typing import Any, Union

from ..common import brief
from ..exceptions import UnicodeException

MAX_INT16 = 32767
MAX_INT32 = 2147483647
MAX_INT64 = 2**63 - 1


def to_name(value: Union[str, bytes, Any], what: str) -> bytes:
    """Return a topic's or group's name as bytes.

    :raises TypeError: when it is neither str nor bytes
    :raises UnicodeException: when it is not ASCII
    """
    if isinstance(value, bytes):
        if not value.isascii():
            raise UnicodeException(f"{what} {brief(value)} must be ASCII")
        return value
    if not isinstance(value, str):
        raise TypeError(f"{what} must be str or bytes, not {type(value).__name__} {brief(value)}")
    try:
        return value.encode("ascii")
    except UnicodeEncodeError:
        raise UnicodeException(f"{what} {brief(value)} must be ASCII") from None


def to_text_name(value: Union[str, bytes, Any], what: str) -> bytes:
    """Return the name of a member, or of somebody else's group, as bytes: brokers allow any text in it.

    :raises TypeError: when it is neither str nor bytes
    :raises UnicodeException: when it is not UTF-8
    """
    if not isinstance(value, (str, bytes)):
        raise TypeError(f"{what} must be str or bytes, not {type(value).__name__} {brief(value)}")
    try:
        return value.encode() if isinstance(value, str) else value.decode().encode()
    except UnicodeError:
        raise UnicodeException(f"{what} {brief(value)} must be UTF-8") from None


def whole_number(what: str, value: Any, low: int, high: int) -> int:
    """Return ``value``, an int from ``low`` to ``high``.

    :raises TypeError: and ValueError, saying what it is about
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{what} must be an integer, not {brief(value)}")
    if not low <= value <= high:
        raise ValueError(f"{what} must be from {low} to {high}, not {brief(value)}")
    return value
