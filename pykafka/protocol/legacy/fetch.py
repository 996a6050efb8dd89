"""PyKafka's Fetch: messages of some partitions, from given offsets on."""

from __future__ import annotations

from typing import Any, NamedTuple, Union

from ...exceptions import CorruptBatchError, DecompressedSizeError
from ...records.batch import split_batches
from ...records.decode import MESSAGE_BYTES, decode_batch
from ...records.message import Message, Origin
from ...records.rows import VALUES, messages_of, rows_of
from ...utils.arguments import MAX_INT32, MAX_INT64, whole_number
from .. import messages
from .base import UNKNOWN_SERVER_ERROR, Request, Response, by_topic, fill_gaps, listed, place

#: What one answer holds at most, softly: a first batch that is larger comes whole.
MAX_BYTES = 50 * 1024 * 1024
#: What the batches of one answer may inflate to, all together.
MAX_DECOMPRESSED_BYTES = 128 * 1024 * 1024


class _PartitionFetch(NamedTuple):
    topic_name: Union[str, bytes]
    partition_id: int
    offset: int
    max_bytes: int


class PartitionFetchRequest(_PartitionFetch):
    """What to fetch of a partition: from ``offset`` on, about ``max_bytes``; a first batch that is larger comes whole."""

    __slots__ = ()

    def __new__(  # noqa: D102
        cls, topic: Union[str, bytes], partition: int, offset: int, max_bytes: int = 1024 * 1024
    ) -> PartitionFetchRequest:
        return super().__new__(cls, topic, partition, offset, max_bytes)


class FetchRequest(Request):
    """A request for messages. Of two requests about a partition the later one counts.

    :param timeout: milliseconds that the broker may wait for ``min_bytes``
    :param api_version: accepted and without effect
    :raises TypeError: and ValueError, naming what is not right
    """

    API_KEY = 1
    API_VERSION = 4
    NEWEST_VERSION = 12

    def __init__(self, partition_requests: Any = (), timeout: int = 1000, min_bytes: int = 1024, api_version: int = 0) -> None:
        self.timeout = whole_number("timeout", timeout, 0, MAX_INT32)
        self.min_bytes = whole_number("min_bytes", min_bytes, 0, MAX_INT32)
        self._asked: dict[tuple[bytes, int], PartitionFetchRequest] = {}
        for number, one in enumerate(listed(partition_requests, PartitionFetchRequest)):
            self._add(one, f"partition_requests[{number}]")

    def add_request(self, partition_request: PartitionFetchRequest) -> None:
        """Ask for another partition too."""
        self._add(listed([partition_request], PartitionFetchRequest)[0], "partition_request")

    def _add(self, one: PartitionFetchRequest, what: str) -> None:
        where = place(one, what)
        whole_number(f"{what}.offset", one.offset, 0, MAX_INT64)
        whole_number(f"{what}.max_bytes", one.max_bytes, 0, MAX_INT32)
        self._asked[where] = one

    @property
    def offsets(self) -> dict[tuple[bytes, int], int]:
        """Return (topic, partition) -> the offset asked for."""
        return {where: one.offset for where, one in self._asked.items()}

    def declared(self) -> messages.FetchRequest:
        """Return the request outside of any session, for everything that is in the log."""
        rows = {
            where: messages.FetchRequest.FetchPartition(
                partition=where[1], fetch_offset=one.offset, partition_max_bytes=one.max_bytes
            )
            for where, one in self._asked.items()
        }
        topics = [messages.FetchRequest.FetchTopic(topic=name, partitions=parts) for name, parts in by_topic(rows).items()]
        return messages.FetchRequest(max_wait_ms=self.timeout, min_bytes=self.min_bytes, max_bytes=MAX_BYTES, topics=topics)


class FetchPartitionResponse(NamedTuple):
    """What was fetched of a partition: ``max_offset`` is the end of its log, ``err`` the broker's error code."""

    max_offset: int
    messages: list[Message]
    err: int


class FetchResponse(Response):
    """The messages, in ``topics[topic][partition]``; checksums are checked. Of transactions everything is there, aborted or not.

    Brokers send whole batches, so made from bytes it may begin with messages before the offset that was asked for. It ends
    before a batch with which all would inflate to more than 128 MiB: ask for the rest from behind the last message on.

    :raises CorruptBatchError: for a batch that cannot be read, naming topic, partition and offset
    :raises DecompressedSizeError: for a first batch that alone inflates to more than 128 MiB
    :raises MissingCodecError: naming the extra to install
    """

    API_KEY = 1
    API_VERSION = 4
    DECLARED = messages.FetchResponse

    topics: dict[bytes, dict[int, FetchPartitionResponse]]

    @classmethod
    def of(cls, reply: Any, request: Any = None) -> Any:
        """Return the messages from the offsets on that ``request`` asked for."""
        response = cls.__new__(cls)
        response._decode(reply, {} if request is None else request.offsets)
        if request is not None:
            fill_gaps(response.topics, request.offsets, FetchPartitionResponse(-1, [], UNKNOWN_SERVER_ERROR))
        return response

    def _fill(self, reply: Any) -> None:
        self._decode(reply, {})

    def _decode(self, reply: Any, floors: dict[tuple[bytes, int], int]) -> None:
        self._raise_for(reply.error_code)
        self.topics = {}
        room = _Room()
        for topic in reply.responses:
            name = topic.topic.encode()
            parts = self.topics.setdefault(name, {})
            for part in topic.partitions:
                floor = floors.get((name, part.partition_index), 0)
                found = [] if part.error_code else _messages(name, part, floor, room)
                parts[part.partition_index] = FetchPartitionResponse(part.high_watermark, found, part.error_code)


class _Room:
    """How many bytes the messages of one answer may still take."""

    def __init__(self) -> None:
        self.left = MAX_DECOMPRESSED_BYTES
        self.is_over = False


def _messages(topic: bytes, part: Any, floor: int, room: _Room) -> list[Message]:
    try:
        return _readable(topic, part, floor, room)
    except CorruptBatchError as error:
        error.was_met_at(floor)
        raise


def _readable(topic: bytes, part: Any, floor: int, room: _Room) -> list[Message]:
    name, number = topic.decode(), part.partition_index
    found: list[Message] = []
    for batch in split_batches(part.records, name, number):
        if room.is_over:
            break
        # what marks the end of a transaction is no message
        if not batch.is_control and batch.next_offset > floor:
            try:
                columns = decode_batch(batch, name, number, room.left)
            except DecompressedSizeError:
                if room.left == MAX_DECOMPRESSED_BYTES:
                    raise
                # nothing is lost: it is the first one of the next answer
                room.is_over = True
                break
            room.left = max(0, room.left - columns.size - MESSAGE_BYTES * len(columns.offsets))
            rows = rows_of(columns, Origin(topic, number, None, batch.codec, batch.magic), floor)
            found += messages_of(iter(rows[VALUES]), rows)
    return found
