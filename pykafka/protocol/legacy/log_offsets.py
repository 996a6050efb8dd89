"""PyKafka's ListOffsets: where logs begin and end, and what lies at a given time."""

from __future__ import annotations

from typing import Any, NamedTuple, Union

from ...utils.arguments import MAX_INT32, MAX_INT64, whole_number
from .. import messages
from ..requests import OffsetPartitionResponse as OffsetPartitionResponse
from .base import UNKNOWN_SERVER_ERROR, Request, Response, by_topic, fill_gaps, listed, place


class PartitionOffsetRequest(NamedTuple):
    """What to look up in a partition: an OffsetType, or epoch milliseconds. ``max_offsets`` is without effect."""

    topic_name: Union[str, bytes]
    partition_id: int
    offsets_before: int
    max_offsets: int


class ListOffsetRequest(Request):
    """A request for offsets: of each partition the first one at or after a time (PyKafka: the segment before it).

    :raises TypeError: and ValueError, naming what is not right
    """

    API_KEY = 2
    API_VERSION = 1

    def __init__(self, partition_requests: Any) -> None:
        self._asked: dict[tuple[bytes, int], int] = {}
        for number, one in enumerate(listed(partition_requests, PartitionOffsetRequest)):
            what = f"partition_requests[{number}]"
            whole_number(f"{what}.max_offsets", one.max_offsets, 1, MAX_INT32)
            # below -2 are questions that only newer versions know
            self._asked[place(one, what)] = whole_number(f"{what}.offsets_before", one.offsets_before, -2, MAX_INT64)

    @property
    def places(self) -> list[tuple[bytes, int]]:
        """Return every (topic, partition) that is looked into."""
        return list(self._asked)

    def declared(self) -> messages.ListOffsetsRequest:
        """Return the request, as of somebody who is no replica."""
        rows = {
            where: messages.ListOffsetsRequest.ListOffsetsPartition(partition_index=where[1], timestamp=time)
            for where, time in self._asked.items()
        }
        topics = [
            messages.ListOffsetsRequest.ListOffsetsTopic(name=name, partitions=parts) for name, parts in by_topic(rows).items()
        ]
        return messages.ListOffsetsRequest(replica_id=-1, topics=topics)


class ListOffsetResponse(Response):
    """The offsets, in ``topics[topic][partition]``."""

    API_KEY = 2
    API_VERSION = 1
    DECLARED = messages.ListOffsetsResponse

    topics: dict[bytes, dict[int, OffsetPartitionResponse]]

    def _fill(self, reply: Any) -> None:
        self.topics = {
            topic.name.encode(): {
                part.partition_index: OffsetPartitionResponse([part.offset] if part.offset >= 0 else [], part.error_code)
                for part in topic.partitions
            }
            for topic in reply.topics
        }

    def _complete(self, request: ListOffsetRequest) -> None:
        fill_gaps(self.topics, request.places, OffsetPartitionResponse([], UNKNOWN_SERVER_ERROR))
