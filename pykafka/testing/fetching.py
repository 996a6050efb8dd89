"""The handler of Fetch: sessions, long polls, and limits in bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Optional

from ..protocol.messages import FetchResponse
from .batches import Batch, flip_a_bit
from .call import Call
from .fetch_sessions import FetchSessions, Reading, SessionError, Wanted
from .leadership import FENCED_LEADER_EPOCH, NO_EPOCH, NOT_LEADER, UNKNOWN_TOPIC_OR_PARTITION, problem_with_leader
from .state import Partition
from .timers import Timer

OFFSET_OUT_OF_RANGE, UNKNOWN_TOPIC_ID = 1, 100
#: Errors of the request as a whole, not of a partition.
TOP_LEVEL_ERRORS = frozenset((70, 71, 106))
#: What a broker sends at most, however much is asked for (fetch.max.bytes).
MAX_ANSWER_BYTES = 55 * 1024 * 1024
_IDS_SINCE, _HINTS_SINCE, _FOLLOWERS_SINCE = 13, 16, 11

Row = FetchResponse.PartitionData
#: Returns what is to be sent in place of a batch, for one.
Alter = Callable[[Partition, Batch], bytes]


class Fetching:
    """What one broker does with Fetch requests."""

    def __init__(self) -> None:
        self.sessions = FetchSessions()

    def fetch(self, call: Call, corruptions: Corruptions) -> None:
        """Answer at once when there is enough to read or an error to tell, else when there is or time is up."""
        failure = call.failure()
        if failure in TOP_LEVEL_ERRORS:
            call.answer(FetchResponse(error_code=failure))
            return
        try:
            reading = self.sessions.begin(call.request, call.version)
        except SessionError as error:
            call.answer(FetchResponse(error_code=error.code))
            return
        _Fetch(call, reading, corruptions).begin()


class Corruptions:
    """Which stored batches are sent with a bit flipped: (topic, partition) -> [offset or None for any, how often]."""

    def __init__(self) -> None:
        self._rules: dict[tuple[str, int], list[list[Any]]] = {}

    def add(self, topic: str, partition: int, offset: Optional[int], times: int) -> None:
        """Corrupt the batch with ``offset``, or the first one that is sent, in so many answers."""
        self._rules.setdefault((topic, partition), []).append([offset, times])

    def texts(self) -> list[str]:
        """Return what is still to be corrupted, in words."""
        rules = [(place, rule) for place, given in self._rules.items() for rule in given if rule[1]]
        return [f"{times} x corrupt {topic}/{number}, offset {offset}" for (topic, number), (offset, times) in rules]

    def clear(self) -> None:
        """Corrupt nothing more."""
        self._rules.clear()

    def applied(self, partition: Partition, batches: list[Batch]) -> list[bytes]:
        """Return the bytes to send for ``batches``."""
        sent = [batch.data for batch in batches]
        for rule in self._rules.get((partition.topic.name, partition.number), ()):
            offset, times = rule
            for index, batch in enumerate(batches):
                if times and (offset is None or batch.base_offset <= offset <= batch.last_offset):
                    sent[index] = flip_a_bit(batch.data)
                    rule[1] -= 1
                    break
        return sent


class _Fetch:
    """One request, from its arrival to its answer."""

    def __init__(self, call: Call, reading: Reading, corruptions: Corruptions) -> None:
        self._call = call
        self._reading = reading
        self._corruptions = corruptions
        self._timer: Optional[Timer] = None
        self._watched: list[Partition] = []

    def begin(self) -> None:
        if self._call.request.max_wait_ms <= 0 or not self._reading.partitions or self._is_enough():
            self._answer()
            return
        self._timer = self._call.timers.call_at(self._call.now + self._call.request.max_wait_ms / 1000, self._answer)
        for wanted in self._reading.partitions:
            partition, _error = self._find(wanted)
            if partition is not None:
                self._watched.append(partition)
                partition.watchers[self] = self._look_again
        self._call.on_abandoned(self._stop_waiting)

    def _look_again(self) -> None:
        if self._is_enough():
            self._answer()

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for partition in self._watched:
            partition.watchers.pop(self, None)
        self._watched = []

    # -- what there is ------------------------------------------------------------------------------------------------

    def _find(self, wanted: Wanted) -> tuple[Optional[Partition], int]:
        """Return the partition that a request means, and the error with which this broker refuses it."""
        call = self._call
        name = call.state.names.get(wanted.topic) if call.version >= _IDS_SINCE else wanted.topic
        if name is None:
            return None, UNKNOWN_TOPIC_ID
        failure = call.failure(name, wanted.partition)
        partition = call.state.find(name, wanted.partition)
        followers_too = call.version >= _FOLLOWERS_SINCE
        return partition, failure or problem_with_leader(partition, call.broker, wanted.leader_epoch, followers_too)

    def _is_enough(self) -> bool:
        """Return whether there are ``min_bytes``, or anything that is told without waiting."""
        have = 0
        least: int = min(self._call.request.min_bytes, MAX_ANSWER_BYTES)
        for wanted in self._reading.partitions:
            partition, error = self._find(wanted)
            if partition is None or error:
                return True
            row = self._start_row(partition, wanted)
            if row.error_code or row.diverging_epoch.epoch >= 0 or row.preferred_read_replica >= 0:
                return True
            size = sum(len(batch.data) for batch in partition.log.batches_from(wanted.fetch_offset, wanted.max_bytes, True))
            have += min(size, max(wanted.max_bytes, 0)) if have else size
        return have >= least

    def _start_row(self, partition: Partition, wanted: Wanted) -> Any:
        """Return the row of a partition that this broker answers for, without records."""
        log = partition.log
        row = Row(
            partition_index=wanted.partition,
            high_watermark=log.end_offset,
            last_stable_offset=log.end_offset,
            log_start_offset=log.start_offset,
            # there are no transactions yet
            aborted_transactions=[] if self._call.request.isolation_level else None,
            records=b"",
        )
        if wanted.last_fetched_epoch != NO_EPOCH and self._call.version >= 12:
            epoch, end = log.end_of_epoch(wanted.last_fetched_epoch)
            if epoch < 0 or end < 0 or wanted.fetch_offset < log.start_offset:
                return _failed(wanted, OFFSET_OUT_OF_RANGE)
            if epoch < wanted.last_fetched_epoch or end < wanted.fetch_offset:
                row.diverging_epoch = FetchResponse.EpochEndOffset(epoch=epoch, end_offset=end)
                return row
        if not log.start_offset <= wanted.fetch_offset <= log.end_offset:
            return _failed(wanted, OFFSET_OUT_OF_RANGE)
        row.preferred_read_replica = self._nearer_replica(partition)
        return row

    def _nearer_replica(self, partition: Partition) -> int:
        """Return a copy in the consumer's rack, -1 to read here (KIP-392)."""
        call = self._call
        rack = call.request.rack_id
        if not rack or partition.leader != call.broker.id or call.broker.rack == rack:
            return -1
        near = [one for one in partition.isr if call.state.brokers[one].rack == rack]
        return near[0] if near else -1

    # -- the answer ---------------------------------------------------------------------------------------------------

    def _answer(self) -> None:
        self._stop_waiting()
        call, reading = self._call, self._reading
        room = min(call.request.max_bytes, MAX_ANSWER_BYTES)
        may_exceed = True
        topics: dict[Any, Any] = {}
        hints: dict[int, Any] = {}
        for wanted in reading.partitions:
            row = self._row(wanted, room, may_exceed)
            size = len(row.records or b"")
            room = max(0, room - size)
            may_exceed = may_exceed and not size
            self._hint(row, wanted, hints)
            has_news = reading.session is None or reading.session.has_news(wanted, row)
            if has_news or reading.is_full:
                topics.setdefault(wanted.topic, []).append(row)
        session_id = reading.session.id if reading.session else 0
        call.answer(
            FetchResponse(session_id=session_id, responses=self._grouped(topics), node_endpoints=list(hints.values()))
        )

    def _grouped(self, topics: dict[Any, Any]) -> list[Any]:
        kind = FetchResponse.FetchableTopicResponse
        if self._call.version >= _IDS_SINCE:
            return [kind(topic_id=topic, partitions=rows) for topic, rows in topics.items()]
        return [kind(topic=topic, partitions=rows) for topic, rows in topics.items()]

    def _row(self, wanted: Wanted, room: int, may_exceed: bool) -> Any:
        partition, error = self._find(wanted)
        if partition is None or error:
            return _failed(wanted, error)
        row = self._start_row(partition, wanted)
        if row.error_code == 0 and row.diverging_epoch.epoch < 0 and row.preferred_read_replica < 0:
            row.records = self._records(partition, wanted, min(wanted.max_bytes, room), may_exceed)
        return row

    def _records(self, partition: Partition, wanted: Wanted, room: int, may_exceed: bool) -> bytes:
        """Return batches, of which the last one may be cut; the first one comes whole or, where it may not, not at all."""
        batches = partition.log.batches_from(wanted.fetch_offset, room, may_exceed)
        if not batches or (not may_exceed and len(batches[0].data) > room):
            return b""
        return b"".join(self._corruptions.applied(partition, batches))[: max(room, len(batches[0].data))]

    def _hint(self, row: Any, wanted: Wanted, hints: dict[int, Any]) -> None:
        if row.error_code not in (NOT_LEADER, FENCED_LEADER_EPOCH) or self._call.version < _HINTS_SINCE:
            return
        partition, _error = self._find(wanted)
        broker = self._call.state.brokers.get(partition.leader) if partition else None
        if partition is None or broker is None:
            return
        row.current_leader = FetchResponse.LeaderIdAndEpoch(leader_id=broker.id, leader_epoch=partition.leader_epoch)
        hints[broker.id] = FetchResponse.NodeEndpoint(node_id=broker.id, host=broker.host, port=broker.port, rack=broker.rack)


def _failed(wanted: Wanted, code: int) -> Any:
    # what is not known here gets an empty list, what fails while the log is looked at gets none
    aborted: Optional[list[Any]] = [] if code in (UNKNOWN_TOPIC_OR_PARTITION, UNKNOWN_TOPIC_ID) else None
    return Row(
        partition_index=wanted.partition, error_code=code, high_watermark=-1, aborted_transactions=aborted, records=b""
    )
