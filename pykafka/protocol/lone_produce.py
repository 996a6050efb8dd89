"""Produce requests that carry one batch for one partition, again and again: all but the batch is put together once.

A thread that waits for each of its messages pays for every microsecond that passes before its request leaves. Between two
requests only the batch, its size and the correlation id differ, and between two answers that say nothing but the offset
only that offset, two more numbers and the correlation id. The general codec, which works out the rest, is the oracle.
"""

from __future__ import annotations

import struct
from typing import NamedTuple, Optional

from ..exceptions import ProtocolError
from .api import decode_response, encode_request, encode_response
from .messages import ProduceRequest, ProduceResponse
from .primitives import Buffer, encode_uvarint

#: Stands for the batch while a template is made. It is not in what surrounds it: a topic's name has no such characters.
_MARK = b"\0\xff<batch>\xff\0"
#: frame size, API key, version, correlation id
_START = struct.Struct(">ihhi")
_START_SIZE = _START.size
_INT32 = struct.Struct(">i")
_INT64 = struct.Struct(">q")
#: From this version on the answer has base offset, append time and the log's start, before it only the first two.
_LOG_START_VERSION = 5


class Place(NamedTuple):
    """Where batches go, and how they are asked to be written."""

    topic: str
    topic_id: bytes
    partition_id: int
    acks: int
    timeout_ms: int


class LoneProduce:
    """Makes the requests for one place in one version, and reads their answers."""

    def __init__(self, place: Place, version: int, client_id: Optional[str]) -> None:
        self.place = place
        self.version = version
        self._flexible = version >= ProduceRequest.FLEXIBLE
        whole = b"".join(encode_request(self._request(_MARK), version, 0, client_id))
        at = whole.rindex(_MARK)
        # right before the batch stands its size: one byte for one of this length, or four
        self._head = whole[_START_SIZE - 4 : at - (1 if self._flexible else 4)]
        self._tail = whole[at + len(_MARK) :]
        told = 3 if version >= _LOG_START_VERSION else 2
        answer = b"".join(encode_response(self._plain_answer(), version, 0))
        at = answer.rindex(_OFFSETS[:8])
        self._before, self._offset_at = answer[4:at], at
        self._after, self._after_at = answer[at + 8 * told :], at + 8 * told

    def _request(self, records: Buffer) -> ProduceRequest:
        topic, topic_id, partition_id, acks, timeout_ms = self.place
        part = ProduceRequest.PartitionProduceData(index=partition_id, records=records)
        data = ProduceRequest.TopicProduceData(name=topic, topic_id=topic_id, partition_data=[part])
        return ProduceRequest(transactional_id=None, acks=acks, timeout_ms=timeout_ms, topic_data=[data])

    def _plain_answer(self) -> ProduceResponse:
        topic, topic_id, partition_id, _acks, _timeout_ms = self.place
        first, second, third = struct.unpack(">3q", _OFFSETS)
        part = ProduceResponse.PartitionProduceResponse(
            index=partition_id, error_code=0, base_offset=first, log_append_time_ms=second, log_start_offset=third
        )
        data = ProduceResponse.TopicProduceResponse(name=topic, topic_id=topic_id, partition_responses=[part])
        return ProduceResponse(responses=[data], throttle_time_ms=0)

    # hot: per message that is waited for
    def frame(self, records: Buffer, correlation_id: int) -> bytes:
        """Return the request with its size, ready to be sent; as :func:`~pykafka.protocol.api.encode_request` makes it."""
        count = len(records)
        size = encode_uvarint(count + 1) if self._flexible else _INT32.pack(count)
        head, tail = self._head, self._tail
        length = _START_SIZE - 4 + len(head) + len(size) + count + len(tail)
        start = _START.pack(length, ProduceRequest.KEY, self.version, correlation_id)
        return b"".join((start, head, size, records, tail))

    # hot: per message that is waited for
    def read(self, frame: memoryview, correlation_id: int, peer: str) -> tuple[Optional[int], Optional[ProduceResponse]]:
        """Return (offset, None) for an answer that says nothing else, (None, the answer) for any other.

        :raises ProtocolError: for a malformed answer, or one to another request
        """
        after_at = self._after_at
        if frame[4 : self._offset_at] == self._before and frame[after_at:] == self._after:
            offset: int = _INT64.unpack_from(frame, self._offset_at)[0]
            answered: int = _INT32.unpack_from(frame)[0]
            if answered == correlation_id and offset >= 0:
                return offset, None
        answered, reply = decode_response(ProduceResponse, self.version, frame)
        if answered != correlation_id:
            raise ProtocolError(f"{peer} answered request {answered} where the answer to {correlation_id} (Produce) was due")
        assert isinstance(reply, ProduceResponse)
        return None, reply


#: Three numbers that are nowhere else in an answer, where it has the offset and what follows it.
_OFFSETS = bytes(range(1, 25))
