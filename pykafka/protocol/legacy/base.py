"""What all of PyKafka's requests have in common, and all its responses; and how lists of partitions are checked."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Optional, TypeVar

from ...common import brief
from ...exceptions import EncodeError, error_for
from ...utils import ApiVersionAware, Serializable
from ...utils.arguments import MAX_INT32, to_name, whole_number
from .. import schema
from ..api import decode_body, encode_request

Named = TypeVar("Named")

#: The code of a partition that the broker left out of its answer: nothing is known of it.
UNKNOWN_SERVER_ERROR = -1
_SIZE = struct.Struct(">i")


class Request(Serializable, ApiVersionAware):
    """A request that a user put together: :meth:`declared` is what the client sends, :meth:`get_bytes` a frame by hand."""

    #: The version that get_bytes() speaks.
    API_VERSION: ClassVar[int] = 0
    #: The newest version the client may choose: the last that names topics. By ids nothing is gained, and who asks by hand
    #: may know none.
    NEWEST_VERSION: ClassVar[Optional[int]] = None
    CLIENT_ID: ClassVar[bytes] = b"pykafka"

    @classmethod
    def get_versions(cls) -> Mapping[int, type[Any]]:
        """Return the one version that get_bytes() speaks."""
        return {cls.API_VERSION: cls}

    def declared(self) -> schema.Request:
        """Return the same as declared in :mod:`pykafka.protocol.messages`, good for every version."""
        raise NotImplementedError(f"{type(self).__name__} needs declared()")

    def get_bytes(self) -> bytearray:
        """Return a frame of version :attr:`API_VERSION`: its size in 4 bytes, a header with correlation id 0, the request.

        :raises EncodeError: for a field that does not fit its type, naming it
        """
        chunks = encode_request(self.declared(), self.API_VERSION, 0, self.CLIENT_ID.decode())
        return bytearray().join([_SIZE.pack(sum(map(len, chunks))), *chunks])

    def __len__(self) -> int:
        return len(self.get_bytes())

    def __bool__(self) -> bool:
        # without this a mere "if request:" would encode it
        return True

    def pack_into(self, buff: Any, offset: int) -> None:
        """Write :meth:`get_bytes` into ``buff`` from ``offset`` on.

        :raises EncodeError: when there is no room
        """
        frame = self.get_bytes()
        if not 0 <= offset <= len(buff) - len(frame):
            raise EncodeError(f"{len(frame)} bytes do not fit into a buffer of {len(buff)} from {offset} on")
        buff[offset : offset + len(frame)] = frame


class Response(ApiVersionAware):
    """An answer, from the bytes that ``BrokerConnection.response()`` returned, or made by a Broker from what it received.

    :raises ProtocolError: for bytes that are not such an answer
    """

    #: The version of the bytes: the one that the request's get_bytes() speaks.
    API_VERSION: ClassVar[int] = 0
    DECLARED: ClassVar[type[schema.Response]]

    def __init__(self, buff: Any, offset: int = 0, broker_version: str = "0.9.0") -> None:
        view = memoryview(buff)
        whole_number("offset", offset, 0, len(view))
        self._fill(decode_body(self.DECLARED, self.API_VERSION, view, offset))

    @classmethod
    def get_versions(cls) -> Mapping[int, type[Any]]:
        """Return the one version that the constructor reads."""
        return {cls.API_VERSION: cls}

    @classmethod
    def of(cls, reply: Any, request: Any = None) -> Any:
        """Return what ``reply``, of any version, says about everything that ``request`` asked for.

        A partition that the broker left out has ``err`` -1: to find nothing there would look like success.
        """
        response = cls.__new__(cls)
        response._fill(reply)
        if request is not None:
            response._complete(request)
        return response

    def _fill(self, reply: Any) -> None:
        """Take over what a reply says."""
        raise NotImplementedError(f"{type(self).__name__} needs _fill()")

    def _complete(self, request: Any) -> None:
        """Add what ``request`` asked for and the reply did not mention."""

    def _raise_for(self, code: int, detail: Optional[str] = None) -> None:
        if code:
            raise error_for(code, api=self.DECLARED.NAME, detail=detail)


def listed(given: Any, kind: type[Named], what: str = "partition_requests") -> list[Named]:
    """Return ``given``, an iterable of ``kind``, as a list.

    :raises TypeError: naming the argument, and which of its items is something else
    """
    # each of them is a tuple too: four nonsensical requests
    if isinstance(given, (kind, str, bytes, Mapping)) or not isinstance(given, Iterable):
        raise TypeError(f"{what} must be a list of {kind.__name__}, not {brief(given)}")
    found = list(given)
    for number, one in enumerate(found):
        if not isinstance(one, kind):
            raise TypeError(f"{what}[{number}] must be a {kind.__name__}, not {brief(one)}")
    return found


def place(one: Any, what: str) -> tuple[bytes, int]:
    """Return the topic's name and the partition's number of one of PyKafka's requests about a partition.

    :raises TypeError: and ValueError or UnicodeException, naming the field that is not right
    """
    return to_name(one.topic_name, f"{what}.topic_name"), whole_number(f"{what}.partition_id", one.partition_id, 0, MAX_INT32)


def by_topic(rows: Mapping[tuple[bytes, int], Any]) -> dict[str, list[Any]]:
    """Return topic -> the values of its partitions, of a mapping by (topic, partition)."""
    grouped: dict[str, list[Any]] = {}
    for (topic, _partition), row in rows.items():
        grouped.setdefault(topic.decode(), []).append(row)
    return grouped


def fill_gaps(topics: dict[bytes, dict[int, Any]], asked: Iterable[tuple[bytes, int]], blank: Any) -> None:
    """Put ``blank`` where nothing was answered."""
    for topic, partition in asked:
        topics.setdefault(topic, {}).setdefault(partition, blank)
