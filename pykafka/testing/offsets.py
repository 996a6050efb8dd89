"""How far groups have read: OffsetCommit and OffsetFetch in all their versions. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Optional, Protocol

from ..exceptions import OffsetMetadataTooLarge, UnknownTopicId, UnknownTopicOrPartition
from ..protocol.messages import OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse
from .group_common import Refused, Topics

#: From these versions on: many groups in one OffsetFetch (KIP-709), and topics by their ids in both requests.
MANY_GROUPS, TOPIC_IDS = 8, 10
NOT_COMMITTED = -1


class Committed(NamedTuple):
    """The next offset to read of a partition, and what came with it."""

    offset: int
    leader_epoch: int = -1
    metadata: str = ""


NOTHING = Committed(NOT_COMMITTED)


class GroupOffsets:
    """What one group has committed. Offsets of a topic that is deleted go with it, whatever there is later of its name."""

    def __init__(self) -> None:
        #: topic's name and id -> partition -> what was committed
        self._topics: dict[tuple[str, bytes], dict[int, Committed]] = {}

    def __bool__(self) -> bool:
        return any(self._topics.values())

    def commit(self, topic: tuple[str, bytes], partition: int, committed: Committed) -> None:
        """Write down how far a partition was read."""
        self._topics.setdefault(topic, {})[partition] = committed

    def get(self, topic: tuple[str, bytes], partition: int) -> Committed:
        """Return how far a partition was read."""
        return self._topics.get(topic, {}).get(partition, NOTHING)

    def partitions(self, topic: tuple[str, bytes]) -> list[int]:
        """Return of which partitions of a topic anything was committed."""
        return sorted(self._topics.get(topic, ()))

    def topics(self) -> list[tuple[str, bytes]]:
        """Return of which topics anything was committed."""
        return sorted(topic for topic, partitions in self._topics.items() if partitions)

    def as_dict(self) -> dict[tuple[str, int], Committed]:
        """Return everything, by topic and partition."""
        return {(name, number): one for (name, _id), rows in self._topics.items() for number, one in rows.items()}

    def keep_only(self, topics: Topics) -> None:
        """Forget what is of topics that are gone."""
        there = {(name, topic_id) for name, (topic_id, _count) in topics.items()}
        self._topics = {topic: partitions for topic, partitions in self._topics.items() if topic in there}


class Group(Protocol):
    """What offsets need of a group."""

    offsets: GroupOffsets

    def check_commit(self, member_id: str, instance_id: Optional[str], generation: int, version: int, now: float) -> None:
        """Return if the commit is to be taken.

        :raises Refused: when it is not
        """

    def check_fetch(self, member_id: Optional[str], epoch: int) -> None:
        """Return if the sender may see the offsets.

        :raises Refused: when it may not
        """


class Named(NamedTuple):
    """A topic as a request has it: its name and id where there is one, else ``error``."""

    given_name: str
    given_id: bytes
    key: tuple[str, bytes]
    count: int
    error: int

    @classmethod
    def of(cls, row: Any, version: int, topics: Topics) -> Named:
        """Return what a row of a request means, which has an id from v10 on and a name before."""
        if version >= TOPIC_IDS:
            names = {topic_id: name for name, (topic_id, _count) in topics.items()}
            name = names.get(row.topic_id, "")
            error = 0 if name else UnknownTopicId.ERROR_CODE
            return cls("", row.topic_id, (name, row.topic_id), topics[name][1] if name else 0, error)
        topic_id, count = topics.get(row.name, (bytes(16), 0))
        error = 0 if row.name in topics else UnknownTopicOrPartition.ERROR_CODE
        return cls(row.name, bytes(16), (row.name, topic_id), count, error)


def commit_refused(request: OffsetCommitRequest, code: int) -> OffsetCommitResponse:
    """Return the answer to a commit of which nothing is taken."""
    return _commit_response(request, lambda _row, _partition: code)


def _commit_response(request: OffsetCommitRequest, verdict: Any) -> OffsetCommitResponse:
    topic, partition = OffsetCommitResponse.OffsetCommitResponseTopic, OffsetCommitResponse.OffsetCommitResponsePartition
    return OffsetCommitResponse(
        topics=[
            topic(
                name=row.name,
                topic_id=row.topic_id,
                partitions=[
                    partition(partition_index=one.partition_index, error_code=verdict(row, one)) for one in row.partitions
                ],
            )
            for row in request.topics
        ]
    )


def commit(group: Group, request: OffsetCommitRequest, version: int, topics: Topics, max_bytes: int) -> OffsetCommitResponse:
    """Write down what a request brings, but for partitions that are not there and notes longer than ``max_bytes``."""

    def take(row: Any, one: Any) -> int:
        named = Named.of(row, version, topics)
        if named.error:
            return named.error
        if not 0 <= one.partition_index < named.count:
            return UnknownTopicOrPartition.ERROR_CODE
        metadata = one.committed_metadata or ""
        if len(metadata) > max_bytes:
            return OffsetMetadataTooLarge.ERROR_CODE
        committed = Committed(one.committed_offset, one.committed_leader_epoch, metadata)
        group.offsets.commit(named.key, one.partition_index, committed)
        return 0

    return _commit_response(request, take)


class Fetched(NamedTuple):
    """What one group is answered: an error for all of it, or topics with their partitions."""

    error: int
    topics: list[tuple[Named, list[tuple[int, Committed, int]]]]


def _fetch(group: Optional[Group], rows: Optional[Iterable[Any]], version: int, topics: Topics) -> Fetched:
    offsets = GroupOffsets() if group is None else group.offsets
    if rows is None:
        return Fetched(0, list(_all_of(offsets, version)))
    found = []
    for row in rows:
        named = Named.of(row, version, topics)
        # a name that is unknown has no offsets; only an id that is unknown is an error
        error = named.error if version >= TOPIC_IDS else 0
        found.append((named, [(number, offsets.get(named.key, number), error) for number in row.partition_indexes]))
    return Fetched(0, found)


def _all_of(offsets: GroupOffsets, version: int) -> Iterator[tuple[Named, list[tuple[int, Committed, int]]]]:
    for name, topic_id in offsets.topics():
        key = (name, topic_id)
        shown = Named("", topic_id, key, 0, 0) if version >= TOPIC_IDS else Named(name, bytes(16), key, 0, 0)
        yield shown, [(number, offsets.get(key, number), 0) for number in offsets.partitions(key)]


def fetch(request: OffsetFetchRequest, version: int, topics: Topics, find: Any) -> OffsetFetchResponse:
    """Return the offsets asked for.

    :param find: group id -> the group or None
    """
    if version >= MANY_GROUPS:
        groups = [_response_group(row, _of_group(find, row.group_id, row, version, topics)) for row in request.groups]
        return OffsetFetchResponse(groups=groups)
    fetched = _of_group(find, request.group_id, request, version, topics)
    topic, partition = OffsetFetchResponse.OffsetFetchResponseTopic, OffsetFetchResponse.OffsetFetchResponsePartition
    rows = [topic(name=named.given_name, partitions=_rows(partition, found)) for named, found in fetched.topics]
    return OffsetFetchResponse(topics=rows, error_code=fetched.error)


def _of_group(find: Any, group_id: str, row: Any, version: int, topics: Topics) -> Fetched:
    try:
        group: Optional[Group] = find(group_id)
        if group is not None and version >= MANY_GROUPS:
            group.check_fetch(row.member_id, row.member_epoch)
        return _fetch(group, row.topics, version, topics)
    except Refused as refused:
        return Fetched(refused.code, [])


def _response_group(row: Any, fetched: Fetched) -> Any:
    topic, partition = OffsetFetchResponse.OffsetFetchResponseTopics, OffsetFetchResponse.OffsetFetchResponsePartitions
    rows = [
        topic(name=named.given_name, topic_id=named.given_id, partitions=_rows(partition, found)) for named, found in fetched.topics
    ]
    return OffsetFetchResponse.OffsetFetchResponseGroup(group_id=row.group_id, topics=rows, error_code=fetched.error)


def _rows(made: Any, found: list[tuple[int, Committed, int]]) -> list[Any]:
    return [
        made(
            partition_index=number,
            committed_offset=committed.offset,
            committed_leader_epoch=committed.leader_epoch,
            metadata=committed.metadata,
            error_code=error,
        )
        for number, committed, error in found
    ]
