"""Handlers of Produce and InitProducerId."""

from __future__ import annotations

from typing import Any, NamedTuple, Optional

from ..protocol.messages import InitProducerIdResponse, ProduceResponse
from .batches import Batch, MalformedBatch, Record, magic_of, read, split, with_times
from .call import Call
from .log import OUT_OF_ORDER, STALE_EPOCH, BadSequence
from .state import Partition

UNKNOWN_SERVER_ERROR, CORRUPT_MESSAGE, UNKNOWN_TOPIC_OR_PARTITION, NOT_LEADER, MESSAGE_TOO_LARGE = -1, 2, 3, 6, 10
NOT_ENOUGH_REPLICAS, INVALID_REQUIRED_ACKS, INVALID_TIMESTAMP = 19, 21, 32
OUT_OF_ORDER_SEQUENCE_NUMBER, INVALID_PRODUCER_EPOCH = 45, 47
UNSUPPORTED_COMPRESSION_TYPE, INVALID_RECORD, UNKNOWN_TOPIC_ID = 76, 87, 100
TRANSACTIONAL_ID_AUTHORIZATION_FAILED = 53
_BY_REASON = {OUT_OF_ORDER: OUT_OF_ORDER_SEQUENCE_NUMBER, STALE_EPOCH: INVALID_PRODUCER_EPOCH}
#: With these a broker does not tell where the log begins.
_SEEN_BEFORE_THE_LOG = frozenset((CORRUPT_MESSAGE, UNKNOWN_TOPIC_OR_PARTITION, NOT_LEADER, MESSAGE_TOO_LARGE))
_MAGIC = 2
_ZSTD, _ZSTD_SINCE = 4, 7
_NEWEST_CODEC = 4
#: A hint at the new leader comes with an error from this version on (KIP-951).
_HINTS_SINCE = 10
#: Before this version of Kafka a record might come from any time.
_FUTURE_LIMITED_SINCE = "4.0"

Row = ProduceResponse.PartitionProduceResponse


class Refused(Exception):
    """A batch that is not taken: the error, and the records to blame by place in the batch."""

    def __init__(self, code: int, records: Optional[dict[int, str]] = None, said: Optional[str] = None) -> None:
        super().__init__(code)
        self.code = code
        self.records = records or {}
        self._said = said
        #: told with what the log itself objects to
        self.log_start_offset = -1

    @property
    def message(self) -> Optional[str]:
        """Return what Kafka adds in words."""
        if not self.records:
            return self._said
        first = [f"RecordError(batchIndex={index}, message='{text}')" for index, text in sorted(self.records.items())[:3]]
        return (
            f"One or more records have been rejected due to {len(self.records)} record errors in total, and only showing the"
            f" first three errors at most: [{', '.join(first)}]"
        )


class _Taken(NamedTuple):
    base_offset: int
    append_time_ms: int
    log_start_offset: int


def produce(call: Call) -> None:
    """Append batches, and answer once they are in every copy, which they are at once."""
    topics = []
    hints: dict[int, Any] = {}
    for topic in call.request.topic_data:
        name = call.state.names.get(topic.topic_id) if call.version >= 13 else topic.name
        rows = [_one(call, name, data, hints) for data in topic.partition_data]
        kind = ProduceResponse.TopicProduceResponse
        topics.append(kind(name=topic.name, topic_id=topic.topic_id, partition_responses=rows))
    if call.request.acks == 0:
        call.answer(None)
        return
    call.answer(ProduceResponse(responses=topics, node_endpoints=list(hints.values())))


def _one(call: Call, name: Optional[str], data: Any, hints: dict[int, Any]) -> Any:
    """Return the verdict on one partition's batch."""
    row = Row(index=data.index, base_offset=-1)
    try:
        failure = call.failure(name, data.index)
        if failure:
            raise Refused(failure)
        taken = _append(call, name, data)
        row.base_offset, row.log_append_time_ms, row.log_start_offset = taken
    except Refused as refused:
        row.error_code = refused.code
        row.error_message = refused.message
        row.log_start_offset = refused.log_start_offset
        kind = ProduceResponse.BatchIndexAndErrorMessage
        row.record_errors = [
            kind(batch_index=index, batch_index_error_message=text) for index, text in sorted(refused.records.items())
        ]
        if refused.code == NOT_LEADER and call.version >= _HINTS_SINCE:
            _hint(call, name, row, hints)
    return row


def _hint(call: Call, name: Optional[str], row: Any, hints: dict[int, Any]) -> None:
    partition = call.state.find(name or "", row.index)
    broker = call.state.brokers.get(partition.leader) if partition is not None else None
    if partition is None or broker is None:
        return
    row.current_leader = ProduceResponse.LeaderIdAndEpoch(leader_id=broker.id, leader_epoch=partition.leader_epoch)
    hints[broker.id] = ProduceResponse.NodeEndpoint(node_id=broker.id, host=broker.host, port=broker.port, rack=broker.rack)


def _append(call: Call, name: Optional[str], data: Any) -> _Taken:
    if call.request.acks not in (-1, 0, 1):
        raise Refused(INVALID_REQUIRED_ACKS)
    if name is None:
        raise Refused(UNKNOWN_TOPIC_ID)
    partition = call.state.find(name, data.index)
    if partition is None:
        raise Refused(UNKNOWN_TOPIC_OR_PARTITION)
    batch = _only_batch(bytes(data.records or b""), call.version)
    if partition.leader != call.broker.id:
        raise Refused(NOT_LEADER)
    at_append = partition.topic.setting("message.timestamp.type") == "LogAppendTime"
    try:
        records = _check(batch, partition, call)
        newest = call.time_ms if at_append else max(record.timestamp for record in records)
        appended = partition.log.append(with_times(batch, newest, at_append))
    except BadSequence as error:
        refused = Refused(_BY_REASON[error.reason])
        refused.log_start_offset = partition.log.start_offset
        raise refused from error
    except Refused as refused:
        if refused.code not in _SEEN_BEFORE_THE_LOG:
            refused.log_start_offset = partition.log.start_offset
        raise
    if not appended.is_duplicate:
        partition.tell()
    time_ms = appended.timestamp if at_append or appended.is_duplicate else -1
    return _Taken(appended.base_offset, time_ms, partition.log.start_offset)


def _only_batch(data: bytes, version: int) -> Batch:
    """Return the one batch that a partition's share of a request is.

    :raises Refused: for anything else
    """
    magic = magic_of(data)
    if magic is not None and magic > _MAGIC:
        raise Refused(CORRUPT_MESSAGE, said=f"Invalid magic found in record: {magic}")
    try:
        batches = split(data)
    except MalformedBatch as error:
        raise Refused(INVALID_RECORD) from error
    if len(batches) != 1:
        raise Refused(INVALID_RECORD)
    if batches[0].codec == _ZSTD and version < _ZSTD_SINCE:
        raise Refused(UNSUPPORTED_COMPRESSION_TYPE)
    if batches[0].is_transactional:
        # transactions are not there yet: no id has been given out for one
        raise Refused(TRANSACTIONAL_ID_AUTHORIZATION_FAILED)
    return batches[0]


def _check(batch: Batch, partition: Partition, call: Call) -> list[Record]:
    """Return the records of a batch that is as a leader wants it.

    :raises Refused: when it does not
    """
    topic = partition.topic
    if call.request.acks == -1 and len(partition.isr) < int(topic.setting("min.insync.replicas")):
        raise Refused(NOT_ENOUGH_REPLICAS)
    if batch.base_offset != 0:
        raise Refused(INVALID_RECORD)
    if len(batch.data) > int(topic.setting("max.message.bytes")):
        raise Refused(MESSAGE_TOO_LARGE)
    if not batch.is_sound:
        raise Refused(CORRUPT_MESSAGE)
    if batch.codec > _NEWEST_CODEC:
        raise Refused(UNKNOWN_SERVER_ERROR)
    if batch.is_control or batch.records_count < 1 or batch.records_count != batch.last_offset_delta + 1:
        raise Refused(INVALID_RECORD)
    if batch.producer_id >= 0 and batch.base_sequence < 0:
        raise Refused(INVALID_RECORD)
    try:
        records = read(batch)
    except MalformedBatch as error:
        raise Refused(UNKNOWN_SERVER_ERROR if batch.codec else INVALID_RECORD) from error
    if "compact" in topic.setting("cleanup.policy").split(","):
        said = f"Compacted topic cannot accept message without key in topic partition {topic.name}-{partition.number}"
        keyless = {number: said for number, record in enumerate(records) if record.key is None}
        if keyless:
            raise Refused(INVALID_RECORD, keyless)
    if topic.setting("message.timestamp.type") == "CreateTime" and call.state.version >= _FUTURE_LIMITED_SINCE:
        _check_times([record.timestamp for record in records], partition, call.time_ms)
    return records


def _check_times(times: list[int], partition: Partition, now_ms: int) -> None:
    before = int(partition.topic.setting("message.timestamp.before.max.ms"))
    after = int(partition.topic.setting("message.timestamp.after.max.ms"))
    low, high = now_ms - before, now_ms + after
    allowed = f"is out of range. The timestamp should be within [{low}, {high}]"
    wrong = {
        number: f"Timestamp {time_ms} of message with offset {number} {allowed}"
        for number, time_ms in enumerate(times)
        if time_ms >= 0 and not low <= time_ms <= high
    }
    if wrong:
        raise Refused(INVALID_TIMESTAMP, wrong)


def init_producer_id(call: Call) -> None:
    """Give an idempotent producer an id, or the next epoch of the one it has."""
    failure = call.failure()
    if failure:
        call.answer(InitProducerIdResponse(error_code=failure, producer_epoch=-1))
    elif call.request.transactional_id is not None:
        # there are no transactions yet: as on a cluster that does not allow them
        call.answer(InitProducerIdResponse(error_code=TRANSACTIONAL_ID_AUTHORIZATION_FAILED, producer_epoch=-1))
    else:
        call.answer(InitProducerIdResponse(producer_id=call.state.new_producer_id(), producer_epoch=0))
