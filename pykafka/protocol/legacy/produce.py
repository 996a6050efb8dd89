"""PyKafka's Produce: messages for some partitions, one batch each."""

from __future__ import annotations

from typing import Any, NamedTuple, Optional, Union

from ...common import CompressionType
from ...exceptions import UnsupportedVersion
from ...records.encode import encode_batch, encode_headers
from ...records.message import Message
from ...utils.arguments import MAX_INT32, to_name, whole_number
from .. import messages as wire
from .base import UNKNOWN_SERVER_ERROR, Request, Response, by_topic, fill_gaps

#: The timestamp of a record that has none.
NO_TIMESTAMP = -1


class ProduceRequest(Request):
    """Messages to write, each partition's in one batch and in the order they were added.

    Nothing is written twice by the client, nor tried again: what came of it is in the answer.

    :param required_acks: -1 waits for all in-sync replicas, 1 for the leader, 0 for nobody: then there is no answer
    :param timeout: milliseconds that the broker may wait for replicas
    :param broker_version: accepted and without effect
    :raises TypeError: and ValueError, naming what is not right
    """

    API_KEY = 0
    API_VERSION = 3
    NEWEST_VERSION = 12

    def __init__(
        self,
        compression_type: int = CompressionType.NONE,
        required_acks: int = 1,
        timeout: int = 10000,
        broker_version: str = "0.9.0",
    ) -> None:
        self.compression_type = whole_number("compression_type", compression_type, CompressionType.NONE, CompressionType.ZSTD)
        self.required_acks = whole_number("required_acks", required_acks, -1, 1)
        self.timeout = whole_number("timeout", timeout, 0, MAX_INT32)
        self._added: dict[tuple[bytes, int], list[Message]] = {}

    def add_message(self, message: Message, topic_name: Union[str, bytes], partition_id: int) -> None:
        """Write ``message`` to a partition too. Without a timestamp it is written without one."""
        if not isinstance(message, Message):
            raise TypeError(f"message must be a pykafka.protocol.Message, not {type(message).__name__}")
        for what, value in (("value", message.value), ("partition_key", message.partition_key)):
            if value is not None and not isinstance(value, bytes):
                raise TypeError(f"the {what} of a message must be bytes or None, not {type(value).__name__}")
        where = to_name(topic_name, "topic_name"), whole_number("partition_id", partition_id, 0, MAX_INT32)
        self._added.setdefault(where, []).append(message)

    @property
    def messages(self) -> list[Message]:
        """Return all messages that were added, by partition."""
        return [message for some in self._added.values() for message in some]

    def message_count(self) -> int:
        """Return how many messages were added; ``len()`` is the size of the request in bytes."""
        return sum(map(len, self._added.values()))

    @property
    def places(self) -> list[tuple[bytes, int]]:
        """Return every (topic, partition) that is written to."""
        return list(self._added)

    def declared(self) -> wire.ProduceRequest:
        """Return the request, its batches encoded.

        :raises MissingCodecError: naming the extra to install
        """
        rows = {
            where: wire.ProduceRequest.PartitionProduceData(index=where[1], records=_batch(some, self.compression_type))
            for where, some in self._added.items()
        }
        topics = [wire.ProduceRequest.TopicProduceData(name=name, partition_data=parts) for name, parts in by_topic(rows).items()]
        return wire.ProduceRequest(acks=self.required_acks, timeout_ms=self.timeout, topic_data=topics)

    def get_bytes(self) -> bytearray:
        """Return a frame of Produce v3.

        :raises UnsupportedVersion: with zstd, which that version cannot carry
        """
        if self.compression_type == CompressionType.ZSTD:
            raise UnsupportedVersion(
                "zstd needs Produce v7, and get_bytes() speaks v3: use Broker.produce_messages()", api="Produce"
            )
        return super().get_bytes()


def _batch(some: list[Message], codec: int) -> bytearray:
    keys: Optional[list[Optional[bytes]]] = [message.partition_key for message in some]
    headers = [encode_headers(message.headers) if message.headers else None for message in some]
    return encode_batch(
        [message.value for message in some],
        keys if keys and any(key is not None for key in keys) else None,
        headers if any(headers) else None,
        [NO_TIMESTAMP if message.timestamp is None else message.timestamp for message in some],
        codec=codec,
    )


class ProducePartitionResponse(NamedTuple):
    """What came of a partition's messages: the broker's error code, and the offset of the first of them (-1 with an error)."""

    err: int
    offset: int


class ProduceResponse(Response):
    """Where everything was written, in ``topics[topic][partition]``."""

    API_KEY = 0
    API_VERSION = 3
    DECLARED = wire.ProduceResponse

    topics: dict[bytes, dict[int, ProducePartitionResponse]]

    def _fill(self, reply: Any) -> None:
        self.topics = {
            topic.name.encode(): {
                part.index: ProducePartitionResponse(part.error_code, part.base_offset) for part in topic.partition_responses
            }
            for topic in reply.responses
        }

    def _complete(self, request: ProduceRequest) -> None:
        fill_gaps(self.topics, request.places, ProducePartitionResponse(UNKNOWN_SERVER_ERROR, -1))
