"""Errors that a test wants for some of the partitions that groups commit or ask for; the groups know nothing of them."""

from __future__ import annotations

import copy
from typing import Any, Callable, NamedTuple, Optional

from ..protocol import messages as m
from .call import Call

Names = Callable[[bytes], Optional[str]]


class _Failing(NamedTuple):
    topic: Any
    partition: int
    code: int


def _code(call: Call, names: Names, topic: Any, partition: int) -> int:
    return call.failure(topic.name or names(topic.topic_id) or "", partition)


class CommitFaults:
    """Takes out of a commit what is to fail, and puts it into the answer to the rest."""

    def __init__(self, call: Call, names: Names) -> None:
        self.request = copy.copy(call.request)
        self._failing: list[_Failing] = []
        self.request.topics = []
        for topic in call.request.topics:
            left = copy.copy(topic)
            left.partitions = []
            for row in topic.partitions:
                code = _code(call, names, topic, row.partition_index)
                if code:
                    self._failing.append(_Failing(topic, row.partition_index, code))
                else:
                    left.partitions.append(row)
            if left.partitions:
                self.request.topics.append(left)

    def merged(self, response: Any) -> Any:
        """Return the answer with what has failed as well."""
        topics = {(topic.name, topic.topic_id): topic for topic in response.topics}
        for topic, partition, code in self._failing:
            found = topics.get((topic.name, topic.topic_id))
            if found is None:
                made = m.OffsetCommitResponse.OffsetCommitResponseTopic
                found = topics[topic.name, topic.topic_id] = made(name=topic.name, topic_id=topic.topic_id, partitions=[])
                response.topics.append(found)
            row = m.OffsetCommitResponse.OffsetCommitResponsePartition(partition_index=partition, error_code=code)
            found.partitions.append(row)
        return response


class FetchFaults:
    """Has what is to fail in the place of the offsets that were found."""

    def __init__(self, call: Call, names: Names) -> None:
        self.request = call.request
        self._call = call
        self._names = names

    def merged(self, response: Any) -> Any:
        """Return the answer with what has failed."""
        for answer in response.groups or [response]:
            for topic in answer.topics:
                for row in topic.partitions:
                    code = _code(self._call, self._names, topic, row.partition_index)
                    if code:
                        row.error_code, row.committed_offset, row.committed_leader_epoch, row.metadata = code, -1, -1, ""
        return response


class NoFaults:
    """Changes nothing."""

    def __init__(self, call: Call) -> None:
        self.request = call.request

    @staticmethod
    def merged(response: Any) -> Any:
        """Return the answer."""
        return response


def faults_of(call: Call, names: Names) -> Any:
    """Return what makes of a request, and of its answer, what a test wants."""
    if call.failures and call.name == "OffsetCommit":
        return CommitFaults(call, names)
    if call.failures and call.name == "OffsetFetch":
        return FetchFaults(call, names)
    return NoFaults(call)
