"""Answers that are nothing but an error, for requests whose handlers know nothing of the errors that tests want."""

from __future__ import annotations

from typing import Any, Callable

from ..protocol import messages as m
from ..protocol.schema import Response

Refusal = Callable[[Any, int, int], Response]


def _sync_group(request: Any, version: int, code: int) -> Response:
    return m.SyncGroupResponse(error_code=code, protocol_type=None, protocol_name=None)


def _join_group(request: Any, version: int, code: int) -> Response:
    return m.JoinGroupResponse(error_code=code, member_id=request.member_id, generation_id=-1, protocol_name="", leader="")


def _offset_commit(request: Any, version: int, code: int) -> Response:
    kind = m.OffsetCommitResponse.OffsetCommitResponseTopic
    row = m.OffsetCommitResponse.OffsetCommitResponsePartition
    topics = [
        kind(
            name=topic.name,
            topic_id=topic.topic_id,
            partitions=[row(partition_index=part.partition_index, error_code=code) for part in topic.partitions],
        )
        for topic in request.topics
    ]
    return m.OffsetCommitResponse(topics=topics)


def _offset_fetch(request: Any, version: int, code: int) -> Response:
    if version < 8:
        return m.OffsetFetchResponse(error_code=code)
    kind = m.OffsetFetchResponse.OffsetFetchResponseGroup
    return m.OffsetFetchResponse(groups=[kind(group_id=group.group_id, error_code=code) for group in request.groups])


def _describe_groups(request: Any, version: int, code: int) -> Response:
    kind = m.DescribeGroupsResponse.DescribedGroup
    return m.DescribeGroupsResponse(groups=[kind(group_id=group, error_code=code) for group in request.groups])


def _consumer_group_describe(request: Any, version: int, code: int) -> Response:
    kind = m.ConsumerGroupDescribeResponse.DescribedGroup
    return m.ConsumerGroupDescribeResponse(groups=[kind(group_id=group, error_code=code) for group in request.group_ids])


def _delete_groups(request: Any, version: int, code: int) -> Response:
    kind = m.DeleteGroupsResponse.DeletableGroupResult
    return m.DeleteGroupsResponse(results=[kind(group_id=group, error_code=code) for group in request.groups_names])


def _at_top(cls: type[Response]) -> Refusal:
    return lambda request, version, code: cls(error_code=code)


#: API -> what makes its refusal.
REFUSALS: dict[str, Refusal] = {
    "JoinGroup": _join_group,
    "SyncGroup": _sync_group,
    "Heartbeat": _at_top(m.HeartbeatResponse),
    "LeaveGroup": _at_top(m.LeaveGroupResponse),
    "ConsumerGroupHeartbeat": _at_top(m.ConsumerGroupHeartbeatResponse),
    "ListGroups": _at_top(m.ListGroupsResponse),
    "OffsetCommit": _offset_commit,
    "OffsetFetch": _offset_fetch,
    "DescribeGroups": _describe_groups,
    "ConsumerGroupDescribe": _consumer_group_describe,
    "DeleteGroups": _delete_groups,
}


def refusal(request: Any, version: int, code: int) -> Response:
    """Return the answer to a request of a group that says nothing but ``code``."""
    return REFUSALS[request.NAME](request, version, code)
