"""Handlers of ListOffsets, OffsetForLeaderEpoch and DeleteRecords: where logs begin and end."""

from __future__ import annotations

from typing import Any

from ..protocol.messages import DeleteRecordsResponse, ListOffsetsResponse, OffsetForLeaderEpochResponse
from .call import Call
from .leadership import problem_with_leader
from .log import Found
from .state import Partition

OFFSET_OUT_OF_RANGE, UNSUPPORTED_VERSION, INVALID_REQUEST, POLICY_VIOLATION = 1, 35, 42, 44
#: What stands for a timestamp.
LATEST, EARLIEST, NEWEST_RECORD, EARLIEST_LOCAL, LATEST_TIERED, EARLIEST_PENDING_UPLOAD = -1, -2, -3, -4, -5, -6
#: The first version with each of them; the others were always there.
_SINCE = {NEWEST_RECORD: 7, EARLIEST_LOCAL: 8, LATEST_TIERED: 9, EARLIEST_PENDING_UPLOAD: 11}


def list_offsets(call: Call) -> None:
    """Tell offsets by time, or where logs begin and end."""
    kind = ListOffsetsResponse.ListOffsetsTopicResponse
    seen: set[tuple[str, int]] = set()
    twice: set[tuple[str, int]] = set()
    for topic in call.request.topics:
        for row in topic.partitions:
            place = (topic.name, row.partition_index)
            (twice if place in seen else seen).add(place)
    topics = [
        kind(
            name=topic.name,
            # what is asked for twice is answered once
            partitions=[
                _list_one(call, topic.name, row, twice) for row in {row.partition_index: row for row in topic.partitions}.values()
            ],
        )
        for topic in call.request.topics
    ]
    call.answer(ListOffsetsResponse(topics=topics))


def _list_one(call: Call, topic: str, row: Any, twice: set[tuple[str, int]]) -> Any:
    number = row.partition_index
    kind = ListOffsetsResponse.ListOffsetsPartitionResponse
    partition = call.state.find(topic, number)
    error = call.failure(topic, number)
    if not error and (topic, number) in twice:
        error = INVALID_REQUEST
    error = error or problem_with_leader(partition, call.broker, row.current_leader_epoch)
    if not error and _SINCE.get(row.timestamp, 0) > call.version or row.timestamp < EARLIEST_PENDING_UPLOAD:
        error = UNSUPPORTED_VERSION
    if error or partition is None:
        return kind(partition_index=number, error_code=error)
    found = _look_up(partition, row.timestamp)
    return kind(partition_index=number, timestamp=found.timestamp, offset=found.offset, leader_epoch=found.leader_epoch)


def _look_up(partition: Partition, timestamp: int) -> Found:
    log = partition.log
    if timestamp == LATEST:
        return Found(-1, log.end_offset, partition.leader_epoch)
    if timestamp in (EARLIEST, EARLIEST_LOCAL):
        return Found(-1, log.start_offset, log.epoch_at_start())
    if timestamp in (LATEST_TIERED, EARLIEST_PENDING_UPLOAD):
        return Found()
    return log.find_newest() if timestamp == NEWEST_RECORD else log.find_time(timestamp)


def offset_for_leader_epoch(call: Call) -> None:
    """Tell where epochs end."""
    kind = OffsetForLeaderEpochResponse.OffsetForLeaderTopicResult
    topics = [
        kind(topic=topic.topic, partitions=[_end_of_epoch(call, topic.topic, row) for row in topic.partitions])
        for topic in call.request.topics
    ]
    call.answer(OffsetForLeaderEpochResponse(topics=topics))


def _end_of_epoch(call: Call, topic: str, row: Any) -> Any:
    kind = OffsetForLeaderEpochResponse.EpochEndOffset
    partition = call.state.find(topic, row.partition)
    error = call.failure(topic, row.partition) or problem_with_leader(partition, call.broker, row.current_leader_epoch)
    if error or partition is None:
        return kind(partition=row.partition, error_code=error)
    epoch, end = partition.log.end_of_epoch(row.leader_epoch)
    return kind(partition=row.partition, leader_epoch=epoch, end_offset=end)


def delete_records(call: Call) -> None:
    """Have partitions begin later."""
    # what is asked for twice is done once, as is said last
    asked: dict[str, dict[int, int]] = {}
    for topic in call.request.topics:
        for row in topic.partitions:
            asked.setdefault(topic.name, {})[row.partition_index] = row.offset
    kind = DeleteRecordsResponse.DeleteRecordsTopicResult
    topics = [
        kind(name=name, partitions=[_delete_before(call, name, number, offset) for number, offset in rows.items()])
        for name, rows in asked.items()
    ]
    call.answer(DeleteRecordsResponse(topics=topics))


def _delete_before(call: Call, topic: str, number: int, offset: int) -> Any:
    kind = DeleteRecordsResponse.DeleteRecordsPartitionResult
    partition = call.state.find(topic, number)
    error = call.failure(topic, number) or problem_with_leader(partition, call.broker, -1)
    if not error and partition is not None:
        log = partition.log
        before = log.end_offset if offset == LATEST else offset
        if "delete" not in partition.topic.setting("cleanup.policy").split(","):
            error = POLICY_VIOLATION
        elif not 0 <= before <= log.end_offset:
            error = OFFSET_OUT_OF_RANGE
        else:
            log.delete_before(before)
            partition.tell()
            return kind(partition_index=number, low_watermark=log.start_offset)
    return kind(partition_index=number, low_watermark=-1, error_code=error)
