"""Helpers that users import: serializers for text, and the bases of PyKafka's requests and responses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Optional

from ..common import brief
from ..exceptions import UnsupportedVersion


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


class Serializable:
    """Something that knows its size in bytes and can be written into a buffer."""

    __slots__ = ()

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} does not say how many bytes it takes: it needs __len__()")

    def pack_into(self, buff: Any, offset: int) -> None:
        """Write it into ``buff`` from ``offset`` on."""
        raise NotImplementedError(f"{type(self).__name__} cannot be written into a buffer: it needs pack_into()")


class ApiVersionAware:
    """Something that exists in several versions of the protocol, one class for each."""

    __slots__ = ()

    API_KEY: ClassVar[int] = -1

    @classmethod
    def get_versions(cls) -> Mapping[int, type[Any]]:
        """Return version -> the class that speaks it."""
        return {}

    @classmethod
    def get_version_impl(cls, api_versions: Optional[Mapping[int, Any]]) -> type[Any]:
        """Return the class for the newest version that a broker speaks too, worked out anew each time.

        PyKafka remembered the first answer for the whole process, whatever broker was asked about next.

        :param api_versions: API key -> something with ``min`` and ``max``, as ``ApiVersionsResponse.api_versions``;
            None or empty when nothing is known of the broker: then the oldest class is returned
        :raises UnsupportedVersion: when there is none
        """
        ours = cls.get_versions()
        if not ours:
            raise UnsupportedVersion(f"{cls.__name__}.get_versions() names no version", api=cls.__name__)
        if not api_versions:
            return ours[min(ours)]
        theirs = api_versions.get(cls.API_KEY)
        common = [] if theirs is None else [version for version in ours if theirs.min <= version <= theirs.max]
        if not common:
            spoken = "the broker does not know it" if theirs is None else f"the broker {theirs.min} to {theirs.max}"
            raise UnsupportedVersion(f"no common version of {cls.__name__}: we speak {sorted(ours)}, {spoken}", api=cls.__name__)
        return ours[max(common)]


def msg_protocol_version(broker_version: str) -> int:
    """Return the message format ("magic") that PyKafka chose for a broker: 1 from Kafka 0.10 on, before 0.

    This client writes format 2 whatever the version; it is here for code that calls it.

    :raises ValueError: when it is no version
    """
    parts = str(broker_version).split(".")
    if not isinstance(broker_version, str) or not all(part.isdecimal() for part in parts[:2]):
        raise ValueError(f"broker_version must be a version like '2.8.1', not {brief(broker_version)}")
    return int([int(part) for part in parts[:2]] >= [0, 10])
