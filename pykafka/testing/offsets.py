"""How far groups have read: OffsetCommit and OffsetFetch in all their versions. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Callable, NamedTuple, Optional, Protocol

from ..exceptions import OffsetMetadataTooLarge, StaleMemberEpoch, UnknownTopicId, UnknownTopicOrPartition
from ..protocol.messages import OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse
from .group_common import Place, Refused, Topics

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

    def check_commit(
        self, member_id: str, instance_id: Optional[str], generation: int, version: int, now: float
    ) -> Optional[set[Place]]:
        """Return of what the commit is to be taken, None for everything.

        :raises Refused: when nothing of it is
        """

    def check_fetch(self, member_id: Optional[str], epoch: int) -> None:
        """Return if the sender may see the offsets.

        :raises Refused: when it may not
        """


class Found(NamedTuple):
    """A topic, or one of its partitions, as a request has it: ``error`` says that it is not there."""

    topic: tuple[str, bytes]
    error: int = 0


class Names:
    """What the topics in a request are: they have ids from v10 on and names before."""

    def __init__(self, topics: Topics, version: int) -> None:
        self.has_ids = version >= TOPIC_IDS
        self._topics = topics
        self._names = {topic_id: name for name, (topic_id, _count) in topics.items()} if self.has_ids else {}

    def topic(self, row: Any) -> Found:
        """Return which topic a row means."""
        if self.has_ids:
            name = self._names.get(row.topic_id)
            return Found((name or "", row.topic_id), UnknownTopicId.ERROR_CODE if name is None else 0)
        topic_id, _count = self._topics.get(row.name, (b"", 0))
        return Found((row.name, topic_id), 0 if row.name in self._topics else UnknownTopicOrPartition.ERROR_CODE)

    def place(self, row: Any, partition: Any) -> Found:
        """Return which topic a row means, and whether it has the partition."""
        place = self.topic(row)
        if place.error or 0 <= partition.partition_index < self._topics[place.topic[0]][1]:
            return place
        return Found(place.topic, UnknownTopicOrPartition.ERROR_CODE)

    def shown(self, topic: tuple[str, bytes]) -> dict[str, Any]:
        """Return how an answer names a topic."""
        return {"topic_id": topic[1]} if self.has_ids else {"name": topic[0]}


def commit(
    offsets: GroupOffsets, request: OffsetCommitRequest, names: Names, max_bytes: int, only: Optional[set[Place]] = None
) -> OffsetCommitResponse:
    """Write down what a request brings, but for partitions that are not there and notes longer than ``max_bytes``.

    :param only: what the sender may commit, if it is not everything
    """

    def take(found: Found, one: Any) -> int:
        metadata = one.committed_metadata or ""
        if only is not None and (found.topic[0], one.partition_index) not in only:
            return StaleMemberEpoch.ERROR_CODE
        if len(metadata) > max_bytes:
            return OffsetMetadataTooLarge.ERROR_CODE
        offsets.commit(found.topic, one.partition_index, Committed(one.committed_offset, one.committed_leader_epoch, metadata))
        return 0

    return _verdicts(request, names, take)


def refuse(request: OffsetCommitRequest, names: Names, code: int) -> OffsetCommitResponse:
    """Return the answer to a commit of which nothing is taken; what is not there is said to be so all the same."""
    return _verdicts(request, names, lambda _found, _one: code)


def _verdicts(request: OffsetCommitRequest, names: Names, take: Callable[[Found, Any], int]) -> OffsetCommitResponse:
    made, verdict = OffsetCommitResponse.OffsetCommitResponseTopic, OffsetCommitResponse.OffsetCommitResponsePartition
    topics = []
    for row in request.topics:
        # as Kafka has them: first what is not there, then what the group was asked about
        rows = sorted(((names.place(row, one), one) for one in row.partitions), key=lambda pair: pair[0].error == 0)
        verdicts = [
            verdict(partition_index=one.partition_index, error_code=found.error or take(found, one)) for found, one in rows
        ]
        topics.append(made(name=row.name, topic_id=row.topic_id, partitions=verdicts))
    return OffsetCommitResponse(topics=topics)


#: The partitions of a topic, each with what was committed and the error that it is answered with.
Rows = list[tuple[int, Committed, int]]


class Fetched(NamedTuple):
    """What one group is answered: an error for all of it, or topics with their partitions."""

    error: int
    topics: list[tuple[tuple[str, bytes], Rows]]


def _fetch(offsets: GroupOffsets, rows: Optional[Iterable[Any]], names: Names) -> Fetched:
    if rows is None:
        wanted = [(topic, offsets.partitions(topic)) for topic in offsets.topics()]
        return Fetched(0, [(topic, [(number, offsets.get(topic, number), 0) for number in numbers]) for topic, numbers in wanted])
    found = []
    for row in rows:
        place = names.topic(row)
        # a name that is unknown has no offsets; only an id that is unknown is an error
        error = place.error if names.has_ids else 0
        found.append((place.topic, [(number, offsets.get(place.topic, number), error) for number in row.partition_indexes]))
    return Fetched(0, found)


def fetch(request: OffsetFetchRequest, version: int, names: Names, find: Callable[[str], Optional[Group]]) -> OffsetFetchResponse:
    """Return the offsets asked for.

    :param find: returns the group of an id
    """
    if version >= MANY_GROUPS:
        made = OffsetFetchResponse.OffsetFetchResponseGroup
        groups = []
        for row in request.groups:
            fetched = _of_group(find(row.group_id), row, version, names)
            topics = _topics(
                fetched, names, OffsetFetchResponse.OffsetFetchResponseTopics, OffsetFetchResponse.OffsetFetchResponsePartitions
            )
            groups.append(made(group_id=row.group_id, topics=topics, error_code=fetched.error))
        return OffsetFetchResponse(groups=groups)
    fetched = _of_group(find(request.group_id), request, version, names)
    topics = _topics(
        fetched, names, OffsetFetchResponse.OffsetFetchResponseTopic, OffsetFetchResponse.OffsetFetchResponsePartition
    )
    return OffsetFetchResponse(topics=topics, error_code=fetched.error)


def _of_group(group: Optional[Group], row: Any, version: int, names: Names) -> Fetched:
    try:
        if group is not None and version >= MANY_GROUPS:
            group.check_fetch(row.member_id, row.member_epoch)
    except Refused as refused:
        return Fetched(refused.code, [])
    return _fetch(GroupOffsets() if group is None else group.offsets, row.topics, names)


def _topics(fetched: Fetched, names: Names, topic: Any, partition: Any) -> list[Any]:
    """Return the topics of an answer, which has classes of its own for them up to v7 and from v8 on."""
    return [topic(**names.shown(key), partitions=[_row(partition, *found) for found in rows]) for key, rows in fetched.topics]


def _row(partition: Any, number: int, committed: Committed, error: int) -> Any:
    return partition(
        partition_index=number,
        committed_offset=committed.offset,
        committed_leader_epoch=committed.leader_epoch,
        metadata=committed.metadata,
        error_code=error,
    )
