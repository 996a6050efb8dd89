"""The OffsetManager: applies the offset rules against what is committed on the group coordinator."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional, TypeVar

from ._engine.waiting import Deadline
from ._machines.positions import COMMITTED, start_rule
from .exceptions import KafkaException, LeaderNotFoundError, OffsetRequestFailedError, OperationTimedOut, error_for
from .protocol.messages import ListOffsetsRequest, OffsetCommitRequest, OffsetFetchRequest
from .protocol.requests import OffsetFetchPartitionResponse

if TYPE_CHECKING:
    from .cluster import Cluster

log = logging.getLogger(__name__)

T = TypeVar("T")

#: The last versions that name topics; with topic ids instead nothing is gained here.
LAST_NAMED_VERSION = 9
#: GROUP_ID_NOT_FOUND: the group has never committed anything.
GROUP_ID_NOT_FOUND = 69
#: The first pause between tries (seconds); it doubles up to offsets_channel_backoff_ms.
FIRST_PAUSE_S = 0.05
#: With auto-commit, offsets that have not moved are committed again after this many seconds.
RECOMMIT_S = 6 * 3600.0


class OffsetSettings(NamedTuple):
    """How offsets are looked up and committed; times in seconds."""

    consumer_group: Optional[bytes]
    auto_offset_reset: int
    reset_offset_on_start: bool
    read_committed: bool
    max_retries: int
    backoff_s: float
    timeout_s: float

    @classmethod
    def of(cls, options: Mapping[str, Any], timeout_s: float) -> OffsetSettings:
        """Return what a consumer's ``options`` say."""
        return cls(
            consumer_group=options["consumer_group"],
            auto_offset_reset=options["auto_offset_reset"],
            reset_offset_on_start=options["reset_offset_on_start"],
            read_committed=options["isolation_level"] == "read_committed",
            max_retries=options["offsets_commit_max_retries"],
            backoff_s=options["offsets_channel_backoff_ms"] / 1000.0,
            timeout_s=timeout_s,
        )

    def patience(self) -> Deadline:
        """Return how long a passing failure is put up with: what PyKafka's linear pauses added up to."""
        waits = self.max_retries * (self.max_retries + 1) // 2 * self.backoff_s
        return Deadline(self.timeout_s + waits)


class Start(NamedTuple):
    """Where partitions start, and which of those starts are committed at once."""

    positions: dict[int, int]
    commit: dict[int, int]


class OffsetManager:
    """Looks up, fetches and commits offsets of one topic for one group (or for none)."""

    def __init__(self, cluster: Cluster, topic: bytes, settings: OffsetSettings) -> None:
        self._cluster = cluster
        self._engine = cluster.engine
        self._topic = topic.decode()
        self._settings = settings
        group = settings.consumer_group
        self._group = None if group is None else group.decode()

    # -- the rules ----------------------------------------------------------------------------------------------------

    def start(self, partition_ids: Iterable[int], reset: Optional[int] = None, kept: Optional[Mapping[int, int]] = None) -> Start:
        """Return where each partition starts by the offset rules (positions.START_RULES), asking the cluster as needed.

        An error while fetching committed offsets is raised: it is never taken for "nothing committed".

        :param reset: what stands in the place of ``auto_offset_reset`` for these partitions
        :param kept: where the consumer was when it stopped: without a group that is written down nowhere else
        """
        ids = list(partition_ids)
        if not ids:
            return Start({}, {})
        settings = self._settings
        if self._group is None and kept and not settings.reset_offset_on_start:
            rest = self.start([pid for pid in ids if pid not in kept], reset)
            return Start({**{pid: kept[pid] for pid in ids if pid in kept}, **rest.positions}, {})
        committed: Mapping[int, Optional[int]] = {}
        if self._group is not None and not settings.reset_offset_on_start:
            committed = {pid: row.offset if row.offset >= 0 else None for pid, row in self.fetch_committed(ids).items()}
        has_group = self._group is not None
        rules = {pid: start_rule(has_group, settings.reset_offset_on_start, committed.get(pid)) for pid in ids}
        positions = {pid: offset for pid, offset in committed.items() if offset is not None and rules[pid].source == COMMITTED}
        to_look_up = [pid for pid in ids if pid not in positions]
        where = settings.auto_offset_reset if reset is None else reset
        positions.update(self.look_up(dict.fromkeys(to_look_up, where)))
        return Start(positions, {pid: positions[pid] for pid in ids if rules[pid].commit_now})

    # -- the group's offsets ------------------------------------------------------------------------------------------

    def fetch_committed(self, partition_ids: Iterable[int]) -> dict[int, OffsetFetchPartitionResponse]:
        """Return what the group committed for each partition.

        :raises KafkaException: for an error at any level of the answer: connection, group, or one partition
        """
        ids = list(partition_ids)
        group = self._require_group()
        request = OffsetFetchRequest(
            group_id=group,
            topics=[OffsetFetchRequest.OffsetFetchRequestTopic(name=self._topic, partition_indexes=ids)],
            groups=[
                OffsetFetchRequest.OffsetFetchRequestGroup(
                    group_id=group,
                    topics=[OffsetFetchRequest.OffsetFetchRequestTopics(name=self._topic, partition_indexes=ids)],
                )
            ],
            require_stable=self._settings.read_committed,
        )
        deadline = self._settings.patience()
        return self._patiently("fetching committed offsets", deadline, lambda: self._fetch_once(group, request, ids, deadline))

    def _fetch_once(
        self, group: str, request: Any, ids: list[int], deadline: Deadline
    ) -> dict[int, OffsetFetchPartitionResponse]:
        reply = self._ask_coordinator(group, request, deadline)
        # v8 answers about several groups; before, the answer is about the one that was asked for
        answer = reply.groups[0] if reply.groups else reply
        if answer.error_code == GROUP_ID_NOT_FOUND:
            return {pid: OffsetFetchPartitionResponse(-1, b"", 0) for pid in ids}
        self._raise_for(answer.error_code, "OffsetFetch")
        found: dict[int, OffsetFetchPartitionResponse] = {}
        for topic in answer.topics:
            for part in topic.partitions if topic.name == self._topic else ():
                self._raise_for(part.error_code, "OffsetFetch", part.partition_index)
                stored = OffsetFetchPartitionResponse(part.committed_offset, (part.metadata or "").encode(), part.error_code)
                found[part.partition_index] = stored
        missing = sorted(set(ids) - set(found))
        if missing:
            # an answer that leaves a partition out says nothing about it; starting over would lose or repeat messages
            raise OffsetRequestFailedError(
                f"the coordinator of group {group} said nothing about partitions {missing} of {self._topic}", topic=self._topic
            )
        return found

    def commit(self, offsets: Mapping[int, int], consumer_id: bytes = b"", within_s: Optional[float] = None) -> None:
        """Commit ``offsets`` (partition -> next offset to read, sent as it is); return when the coordinator has them.

        :param within_s: how long passing errors are put up with; None is as long as the settings say
        :raises KafkaException: when they were not committed; passing errors are tried again before
        """
        if not offsets:
            return
        group = self._require_group()
        deadline = self._settings.patience() if within_s is None else Deadline(within_s)
        remaining = dict(offsets)

        def attempt() -> None:
            reply = self._ask_coordinator(group, self._commit_request(group, remaining, consumer_id), deadline)
            first: Optional[KafkaException] = None
            for topic in reply.topics:
                for part in topic.partitions:
                    if part.error_code == 0:
                        remaining.pop(part.partition_index, None)
                    elif first is None:
                        first = self._error(part.error_code, "OffsetCommit", part.partition_index)
            if first is not None:
                raise first
            if remaining:
                raise OffsetRequestFailedError(
                    f"the coordinator of group {group} did not confirm partitions {sorted(remaining)} of {self._topic}"
                )

        self._patiently("committing offsets", deadline, attempt)

    def _commit_request(self, group: str, offsets: Mapping[int, int], consumer_id: bytes) -> OffsetCommitRequest:
        metadata = _commit_metadata(consumer_id)
        rows = [
            OffsetCommitRequest.OffsetCommitRequestPartition(
                partition_index=pid, committed_offset=offset, committed_metadata=metadata
            )
            for pid, offset in offsets.items()
        ]
        topic = OffsetCommitRequest.OffsetCommitRequestTopic(name=self._topic, partitions=rows)
        return OffsetCommitRequest(group_id=group, generation_id_or_member_epoch=-1, member_id="", topics=[topic])

    def _require_group(self) -> str:
        if self._group is None:
            raise KafkaException("without a consumer_group there is nowhere to commit offsets to or fetch them from")
        return self._group

    def _ask_coordinator(self, group: str, request: Any, deadline: Deadline) -> Any:
        broker = self._engine.coordinator(group, deadline)
        # a coordinator that hangs must leave time to ask another one
        attempt = deadline.within(self._settings.timeout_s)
        return self._engine.call(broker, request, attempt, lane="group", cap=LAST_NAMED_VERSION)

    # -- the log's offsets --------------------------------------------------------------------------------------------

    def look_up(self, times: Mapping[int, int]) -> dict[int, int]:
        """Return an offset per partition: for OffsetType.EARLIEST or LATEST, or the first at or after an epoch millisecond.

        A time after the last message gives the end of the log.
        """
        found = self.list_offsets(times)
        beyond = {pid: -1 for pid, offset in found.items() if offset < 0}
        if beyond:
            found.update(self.list_offsets(beyond))
        nowhere = sorted(pid for pid, offset in found.items() if offset < 0)
        if nowhere:
            raise OffsetRequestFailedError(
                f"the leaders gave no offset for partitions {nowhere} of {self._topic}", api="ListOffsets", topic=self._topic
            )
        return found

    def list_offsets(self, times: Mapping[int, int]) -> dict[int, int]:
        """Return what the leaders answer per partition; -1 where no message is as late as the time asked for."""
        if not times:
            return {}
        deadline = self._settings.patience()
        remaining = dict(times)
        found: dict[int, int] = {}

        def attempt() -> None:
            for leader, some in self._by_leader(remaining).items():
                reply = self._engine.call(leader, self._list_request(some), deadline.within(self._settings.timeout_s))
                for topic in reply.topics:
                    for part in topic.partitions:
                        self._raise_for(part.error_code, "ListOffsets", part.partition_index)
                        found[part.partition_index] = part.offset
                        remaining.pop(part.partition_index, None)
            if remaining:
                raise OffsetRequestFailedError(
                    f"no answer about partitions {sorted(remaining)} of {self._topic}", topic=self._topic
                )

        self._patiently("looking up offsets", deadline, attempt)
        return found

    def _by_leader(self, times: Mapping[int, int]) -> dict[Any, dict[int, int]]:
        groups: dict[Any, dict[int, int]] = {}
        for pid, time in times.items():
            leader = self._engine.view.leader(self._topic, pid)
            if leader is None:
                raise LeaderNotFoundError(f"{self._topic}/{pid} has no leader at the moment", topic=self._topic, partition=pid)
            groups.setdefault(leader, {})[pid] = time
        return groups

    def _list_request(self, times: Mapping[int, int]) -> ListOffsetsRequest:
        rows = [ListOffsetsRequest.ListOffsetsPartition(partition_index=pid, timestamp=time) for pid, time in times.items()]
        topic = ListOffsetsRequest.ListOffsetsTopic(name=self._topic, partitions=rows)
        return ListOffsetsRequest(
            replica_id=-1,
            isolation_level=1 if self._settings.read_committed else 0,
            topics=[topic],
            timeout_ms=int(self._settings.timeout_s * 1000),
        )

    # -- trying again -------------------------------------------------------------------------------------------------

    def _patiently(self, what: str, deadline: Deadline, attempt: Callable[[], T]) -> T:
        """Return what ``attempt`` returns, trying again after retriable errors until ``deadline``."""
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                return attempt()
            except KafkaException as error:
                given_up = deadline.left() <= pause_s or self._engine.closed or not self._settings.max_retries
                if given_up or not error.retriable:
                    raise
                log.info("%s of %s failed, trying again: %s", what, self._topic, error)
                self._refresh_for(error, deadline)
            self._engine.pause(pause_s)
            pause_s = min(pause_s * 2, max(self._settings.backoff_s, FIRST_PAUSE_S))

    def _refresh_for(self, error: KafkaException, deadline: Deadline) -> None:
        refresh = getattr(error, "refresh", None)
        if self._group is not None and (refresh == "coordinator" or error.code is None):
            self._engine.forget_coordinator(self._group)
        if refresh == "metadata" or error.code is None:
            try:
                self._engine.update([self._topic], deadline.within(self._settings.timeout_s))
            except KafkaException as failure:
                log.info("metadata could not be refreshed either: %s", failure)

    def _raise_for(self, code: int, api: str, partition: Optional[int] = None) -> None:
        if code:
            raise self._error(code, api, partition)

    def _error(self, code: int, api: str, partition: Optional[int]) -> KafkaException:
        detail = None if self._group is None or api == "ListOffsets" else f"group {self._group}"
        return error_for(code, api=api, topic=self._topic, partition=partition, detail=detail)


class Commits:
    """What one consumer has committed. One commit at a time, so that the retry of an old one never undoes a newer one."""

    def __init__(self, offsets: OffsetManager, settings: OffsetSettings, now: Callable[[], float]) -> None:
        self._offsets = offsets
        self._settings = settings
        self._now = now
        self._lock = threading.Lock()
        self._committed: dict[int, int] = {}
        self._committed_at = now()

    def note(self, offsets: Mapping[int, int]) -> None:
        """Take ``offsets`` for what the group has: where the consumer started."""
        self._committed = dict(offsets)
        self._committed_at = self._now()

    def commit(self, read: Callable[[], Mapping[int, int]], consumer_id: bytes) -> None:
        """Commit what ``read()`` returns once it is our turn.

        :raises KafkaException: when it could not be committed
        """
        with self._turn():
            self._commit(read(), consumer_id, None)

    def commit_moved(self, read: Callable[[], Mapping[int, int]], consumer_id: bytes) -> None:
        """Commit those offsets of what ``read()`` returns that have changed since the last commit."""
        with self._turn():
            self._commit(self._moved(read()), consumer_id, None)

    def commit_in_background(self, read: Callable[[], Mapping[int, int]], consumer_id: bytes) -> None:
        """Do as :meth:`commit_moved` with less patience: there is another time soon.

        Everything is committed once in a while although nothing moved: brokers forget the offsets of a group without
        members some time (a day, before Kafka 2.1) after the last commit.
        """
        with self._turn():
            positions = read()
            stale = self._now() - self._committed_at > RECOMMIT_S
            self._commit(positions if stale else self._moved(positions), consumer_id, self._settings.timeout_s)

    def committed(self, partition_id: int) -> Optional[int]:
        """Return what was last committed for a partition, as far as this consumer knows."""
        return self._committed.get(partition_id)

    def commit_jump(self, partition_id: int, target: int, before: Optional[int], consumer_id: bytes) -> None:
        """Commit the offset a partition went on from because its own was not in the log, unless ``before`` is out of date.

        :param before: what :meth:`committed` was when the partition went there: whatever was committed since is newer
        """
        with self._turn():
            if self.committed(partition_id) == before:
                self._commit({partition_id: target}, consumer_id, self._settings.timeout_s)

    def _moved(self, positions: Mapping[int, int]) -> dict[int, int]:
        return {pid: position for pid, position in positions.items() if self._committed.get(pid) != position}

    def _commit(self, offsets: Mapping[int, int], consumer_id: bytes, within_s: Optional[float]) -> None:
        self._offsets.commit(offsets, consumer_id, within_s)
        self._committed.update(offsets)
        if offsets:
            self._committed_at = self._now()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._lock.acquire(timeout=self._settings.patience().left()):
            raise OperationTimedOut("another thread's commit did not end in time; is the group's coordinator within reach?")
        try:
            yield
        finally:
            self._lock.release()


def committed_by_group(cluster: Cluster, group: str) -> dict[str, dict[int, OffsetFetchPartitionResponse]]:
    """Return everything that a group has committed, topic -> partition -> offset, in one request; nothing for an unknown group.

    What a transaction that is under way would change is as it was before it.

    :raises KafkaException: when no coordinator answers within ``socket_timeout_ms``
    """
    wanted = OffsetFetchRequest.OffsetFetchRequestGroup(group_id=group, topics=None)
    request = OffsetFetchRequest(group_id=group, topics=None, groups=[wanted], require_stable=False)
    engine, deadline = cluster.engine, Deadline(cluster.socket_timeout_s)
    while True:
        try:
            reply = engine.call(engine.coordinator(group, deadline), request, deadline, lane="group", cap=LAST_NAMED_VERSION)
            return _everything_in(reply.groups[0] if reply.groups else reply, group)
        except KafkaException as error:
            if not error.retriable or deadline.left() <= FIRST_PAUSE_S:
                raise
            engine.forget_coordinator(group)
        engine.pause(FIRST_PAUSE_S)


def _everything_in(answer: Any, group: str) -> dict[str, dict[int, OffsetFetchPartitionResponse]]:
    if answer.error_code == GROUP_ID_NOT_FOUND:
        return {}
    detail = f"group {group}"
    if answer.error_code:
        raise error_for(answer.error_code, api="OffsetFetch", detail=detail)
    found: dict[str, dict[int, OffsetFetchPartitionResponse]] = {}
    for topic in answer.topics:
        for part in topic.partitions:
            if part.error_code:
                raise error_for(
                    part.error_code, api="OffsetFetch", topic=topic.name, partition=part.partition_index, detail=detail
                )
            stored = OffsetFetchPartitionResponse(part.committed_offset, (part.metadata or "").encode(), 0)
            found.setdefault(topic.name, {})[part.partition_index] = stored
    return found


def _commit_metadata(consumer_id: bytes) -> str:
    """Return what PyKafka stored with an offset: its CLI shows the host in the lag table."""
    import json  # only needed by those who commit

    host = os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "")
    return json.dumps({"consumer_id": consumer_id.decode("utf-8", "replace"), "hostname": host})
