"""PyKafka's OffsetCommit and OffsetFetch: how far a consumer group has got."""

from __future__ import annotations

from typing import Any, NamedTuple, Optional, Union

from ...common import brief
from ...utils.arguments import MAX_INT32, MAX_INT64, to_name, to_text_name, whole_number
from .. import messages
from ..requests import OffsetFetchPartitionResponse as OffsetFetchPartitionResponse
from .base import UNKNOWN_SERVER_ERROR, Request, Response, by_topic, fill_gaps, listed, place

#: Newer brokers say so of a group that has never committed anything.
GROUP_ID_NOT_FOUND = 69


class PartitionOffsetCommitRequest(NamedTuple):
    """What to commit for a partition: the next offset to read, and a note. ``timestamp`` is without effect since Kafka 0.9."""

    topic_name: Union[str, bytes]
    partition_id: int
    offset: int
    timestamp: int
    metadata: Union[str, bytes, None]


class OffsetCommitRequest(Request):
    """A request to write down how far a group has got. Of two offsets for a partition the later one counts.

    :param consumer_group_generation_id: -1, with ``consumer_id`` ``b""``, for who is no member of the group
    :raises TypeError: and ValueError or UnicodeException, naming what is not right
    """

    API_KEY = 8
    API_VERSION = 2
    NEWEST_VERSION = 9

    def __init__(
        self,
        consumer_group: Union[str, bytes],
        consumer_group_generation_id: int,
        consumer_id: Union[str, bytes],
        partition_requests: Any = (),
    ) -> None:
        self.consumer_group = to_name(consumer_group, "consumer_group")
        generation = whole_number("consumer_group_generation_id", consumer_group_generation_id, -1, MAX_INT32)
        self.consumer_group_generation_id = generation
        # a broker puts the client_id, which may be any text, in front of the ids it gives
        self.consumer_id = to_text_name(consumer_id, "consumer_id")
        self._asked: dict[tuple[bytes, int], tuple[int, Optional[str]]] = {}
        for number, one in enumerate(listed(partition_requests, PartitionOffsetCommitRequest)):
            what = f"partition_requests[{number}]"
            whole_number(f"{what}.timestamp", one.timestamp, -1, MAX_INT64)
            offset = whole_number(f"{what}.offset", one.offset, 0, MAX_INT64)
            self._asked[place(one, what)] = offset, _note(one.metadata, f"{what}.metadata")

    @property
    def places(self) -> list[tuple[bytes, int]]:
        """Return every (topic, partition) that is committed."""
        return list(self._asked)

    def declared(self) -> messages.OffsetCommitRequest:
        """Return the request; how long the offsets are kept is the broker's business."""
        rows = {
            where: messages.OffsetCommitRequest.OffsetCommitRequestPartition(
                partition_index=where[1], committed_offset=offset, committed_metadata=note
            )
            for where, (offset, note) in self._asked.items()
        }
        return messages.OffsetCommitRequest(
            group_id=self.consumer_group.decode(),
            generation_id_or_member_epoch=self.consumer_group_generation_id,
            member_id=self.consumer_id.decode(),
            topics=[
                messages.OffsetCommitRequest.OffsetCommitRequestTopic(name=name, partitions=parts)
                for name, parts in by_topic(rows).items()
            ],
        )


def _note(metadata: Any, what: str) -> Optional[str]:
    if isinstance(metadata, bytes):
        try:
            return metadata.decode()
        except UnicodeDecodeError as error:
            raise ValueError(f"{what} must be UTF-8: {error}") from None
    if metadata is not None and not isinstance(metadata, str):
        raise TypeError(f"{what} must be str, bytes or None, not {brief(metadata)}")
    return metadata


class OffsetCommitPartitionResponse(NamedTuple):
    """Whether an offset was committed: the broker's error code, 0 when it was."""

    err: int


class OffsetCommitResponse(Response):
    """What became of each offset, in ``topics[topic][partition]``."""

    API_KEY = 8
    API_VERSION = 2
    DECLARED = messages.OffsetCommitResponse

    topics: dict[bytes, dict[int, OffsetCommitPartitionResponse]]

    def _fill(self, reply: Any) -> None:
        self.topics = {
            topic.name.encode(): {
                part.partition_index: OffsetCommitPartitionResponse(part.error_code) for part in topic.partitions
            }
            for topic in reply.topics
        }

    def _complete(self, request: OffsetCommitRequest) -> None:
        fill_gaps(self.topics, request.places, OffsetCommitPartitionResponse(UNKNOWN_SERVER_ERROR))


class PartitionOffsetFetchRequest(NamedTuple):
    """A partition whose committed offset is wanted."""

    topic_name: Union[str, bytes]
    partition_id: int


class OffsetFetchRequest(Request):
    """A request for what a group has committed.

    :raises TypeError: and ValueError or UnicodeException, naming what is not right
    """

    API_KEY = 9
    API_VERSION = 2
    NEWEST_VERSION = 9

    def __init__(self, consumer_group: Union[str, bytes], partition_requests: Any = ()) -> None:
        self.consumer_group = to_name(consumer_group, "consumer_group")
        asked = listed(partition_requests, PartitionOffsetFetchRequest)
        found = [place(one, f"partition_requests[{number}]") for number, one in enumerate(asked)]
        self.places: list[tuple[bytes, int]] = list(dict.fromkeys(found))

    def declared(self) -> messages.OffsetFetchRequest:
        """Return the request, in the layout of one group and in that of several."""
        cls = messages.OffsetFetchRequest
        wanted = by_topic({where: where[1] for where in self.places})
        group = self.consumer_group.decode()
        several = [cls.OffsetFetchRequestTopics(name=name, partition_indexes=ids) for name, ids in wanted.items()]
        return cls(
            group_id=group,
            topics=[cls.OffsetFetchRequestTopic(name=name, partition_indexes=ids) for name, ids in wanted.items()],
            groups=[cls.OffsetFetchRequestGroup(group_id=group, topics=several)],
        )


class OffsetFetchResponse(Response):
    """The committed offsets, in ``topics[topic][partition]``; ``err`` is an error of the whole group.

    Such an error is every partition's too, so that nobody takes it for "nothing committed".
    """

    API_KEY = 9
    API_VERSION = 2
    DECLARED = messages.OffsetFetchResponse

    topics: dict[bytes, dict[int, OffsetFetchPartitionResponse]]
    err: int

    def _fill(self, reply: Any) -> None:
        # v8 answers about several groups; before, the answer is about the one that was asked for
        self._group = reply.groups[0].group_id if reply.groups else None
        answer = reply.groups[0] if reply.groups else reply
        self._new = answer.error_code == GROUP_ID_NOT_FOUND
        self.err = 0 if self._new else answer.error_code
        self.topics = {
            topic.name.encode(): {
                part.partition_index: OffsetFetchPartitionResponse(
                    part.committed_offset, (part.metadata or "").encode(), part.error_code or self.err
                )
                for part in topic.partitions
            }
            for topic in answer.topics
        }

    def _complete(self, request: OffsetFetchRequest) -> None:
        if self._group not in (None, request.consumer_group.decode()):
            # what another group has committed must not be taken for this one's
            self.topics, self.err, self._new = {}, UNKNOWN_SERVER_ERROR, False
        code = 0 if self._new else self.err or UNKNOWN_SERVER_ERROR
        fill_gaps(self.topics, request.places, OffsetFetchPartitionResponse(-1, b"", code))
