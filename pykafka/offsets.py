"""The OffsetManager: applies the offset rules against what is committed on the group coordinator."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional, TypeVar

from ._engine.waiting import Deadline
from ._errors.context import asking_about, during
from ._machines.positions import COMMITTED, start_rule
from ._machines.uncommitted import Uncommitted
from .common import TopicPartition, by_topic, spelled
from .exceptions import (
    KafkaException,
    LeaderNotFoundError,
    OffsetRequestFailedError,
    OperationTimedOut,
    UnknownTopicOrPartition,
    error_for,
)
from .protocol.messages import ListOffsetsRequest, OffsetCommitRequest, OffsetFetchRequest
from .protocol.requests import OffsetFetchPartitionResponse

if TYPE_CHECKING:
    from ._engine.engine import Engine
    from ._machines.metadata import TopicInfo
    from .cluster import Cluster

log = logging.getLogger(__name__)

T = TypeVar("T")

#: The last versions that name topics: what a group has committed is asked for by name.
LAST_NAMED_VERSION = 9
#: GROUP_ID_NOT_FOUND: the group has never committed anything.
GROUP_ID_NOT_FOUND = 69
#: The first pause between tries (seconds); it doubles up to offsets_channel_backoff_ms.
FIRST_PAUSE_S = 0.05
#: How long a partition may be without a leader before start() goes on without it (seconds).
ELECTION_S = 2.0
#: How long a leader may take to say where a partition begins before the others given with it are begun with (seconds). Twice as
#: long the next time, up to the usual time for an answer: a leader that is just slow is heard in the end.
LEADER_ANSWERS_S = 5.0


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


class Seat(NamedTuple):
    """Who commits, as a member of the group: the coordinator takes nothing from one that has lost its seat."""

    generation: int = -1
    member_id: str = ""
    instance_id: Optional[str] = None


class Committer(NamedTuple):
    """Who commits: ``consumer_id`` is stored with the offsets, for people to read."""

    consumer_id: bytes = b""
    seat: Seat = Seat()


class Start(NamedTuple):
    """Where partitions start, and which of those starts are committed at once."""

    positions: dict[TopicPartition, int]
    commit: dict[TopicPartition, int]


class OffsetManager:
    """Looks up, fetches and commits offsets for one group (or for none)."""

    def __init__(self, cluster: Cluster, settings: OffsetSettings) -> None:
        self._cluster = cluster
        self._engine = cluster.engine
        self._settings = settings
        group = settings.consumer_group
        self._group = None if group is None else group.decode()
        #: how many times in a row leaders gave no answer to a question that is asked once
        self._unanswered = 0

    @property
    def timeout_s(self) -> float:
        """Return how long one answer is waited for, and what is asked in the place of many consumers is tried (seconds)."""
        return self._settings.timeout_s

    def refresh(self, topics: Iterable[str]) -> None:
        """Learn how the topics look now: what was known of them may be old, and about others of the same name.

        :raises KafkaException: when no broker answers
        """
        names = list(topics)
        with asking_about(names):
            self._engine.update(names, Deadline(self._settings.timeout_s))

    # -- the rules ----------------------------------------------------------------------------------------------------

    def start(
        self,
        partitions: Iterable[TopicPartition],
        reset: Optional[int] = None,
        kept: Optional[Mapping[TopicPartition, int]] = None,
        reset_on_start: Optional[bool] = None,
        leave_out: bool = False,
        led_only: bool = False,
        within_s: Optional[float] = None,
    ) -> Start:
        """Return where each partition starts by the offset rules (positions.START_RULES), asking the cluster as needed.

        An error while fetching committed offsets is raised: it is never taken for "nothing committed".

        :param reset: what stands in the place of ``auto_offset_reset`` for these partitions
        :param reset_on_start: what stands in the place of ``reset_offset_on_start``
        :param leave_out: leave out partitions that have to be looked up and have no leader, if there are others
        :param led_only: do so at once, without waiting for an election, also when there are no others; leave out those as well
            whose leader gives no answer for the time being
        :param within_s: how long passing errors of the group's coordinator are put up with; None is as long as the settings say
        :param kept: where the consumer was when it stopped: without a group that is written down nowhere else
        """
        tps = list(partitions)
        if not tps:
            return Start({}, {})
        settings = self._settings
        resets = settings.reset_offset_on_start if reset_on_start is None else reset_on_start
        if self._group is None and kept and not resets:
            rest = self.start([tp for tp in tps if tp not in kept], reset, leave_out=leave_out)
            return Start({**{tp: kept[tp] for tp in tps if tp in kept}, **rest.positions}, {})
        committed: Mapping[TopicPartition, Optional[int]] = {}
        if self._group is not None and not resets:
            committed = {tp: row.offset if row.offset >= 0 else None for tp, row in self.fetch_committed(tps, within_s).items()}
        has_group = self._group is not None
        rules = {tp: start_rule(has_group, resets, committed.get(tp)) for tp in tps}
        positions = {tp: offset for tp, offset in committed.items() if offset is not None and rules[tp].source == COMMITTED}
        to_look_up = [tp for tp in tps if tp not in positions]
        if led_only:
            to_look_up = [tp for tp in to_look_up if self._engine.view.leader(*tp) is not None]
        elif leave_out:
            led = self.wait_for_leaders(to_look_up)
            to_look_up = led if led or positions else to_look_up
        where = settings.auto_offset_reset if reset is None else reset
        positions.update(self.look_up(dict.fromkeys(to_look_up, where), some_will_do=led_only))
        return Start(positions, {tp: positions[tp] for tp in tps if tp in positions and rules[tp].commit_now})

    def wait_for_leaders(self, tps: list[TopicPartition]) -> list[TopicPartition]:
        """Return the partitions that have a leader, after all of them were given the time that an election takes.

        :raises KafkaException: when no broker answers
        """
        deadline = Deadline(ELECTION_S)
        while True:
            led = [tp for tp in tps if self._engine.view.leader(*tp) is not None]
            if len(led) == len(tps) or deadline.passed or not self._settings.max_retries:
                return led
            self._engine.pause(FIRST_PAUSE_S)
            # not what is left of the election's time: a question that is broken off costs the connection
            self.refresh(by_topic(tps))

    # -- the group's offsets ------------------------------------------------------------------------------------------

    def fetch_committed(
        self, partitions: Iterable[TopicPartition], within_s: Optional[float] = None
    ) -> dict[TopicPartition, OffsetFetchPartitionResponse]:
        """Return what the group committed for each partition.

        :param within_s: how long passing errors are put up with; None is as long as the settings say
        :raises KafkaException: for an error at any level of the answer: connection, group, or one partition
        """
        tps = list(partitions)
        group = self._require_group()
        topics = by_topic(tps)
        single = [OffsetFetchRequest.OffsetFetchRequestTopic(name=name, partition_indexes=ids) for name, ids in topics.items()]
        several = [OffsetFetchRequest.OffsetFetchRequestTopics(name=name, partition_indexes=ids) for name, ids in topics.items()]
        request = OffsetFetchRequest(
            group_id=group,
            topics=single,
            groups=[OffsetFetchRequest.OffsetFetchRequestGroup(group_id=group, topics=several)],
            require_stable=self._settings.read_committed,
        )
        deadline = self._settings.patience() if within_s is None else Deadline(within_s)
        ask = lambda: self._fetch_once(group, request, tps, deadline)  # noqa: E731  # called again and again
        return self._patiently(f"fetching committed offsets of {spelled(tps)} for group {group}", deadline, ask, topics)

    def _fetch_once(
        self, group: str, request: Any, tps: list[TopicPartition], deadline: Deadline
    ) -> dict[TopicPartition, OffsetFetchPartitionResponse]:
        reply = self._ask_coordinator(group, request, deadline)
        answer = _about(group, reply)
        if answer.error_code == GROUP_ID_NOT_FOUND:
            return {tp: OffsetFetchPartitionResponse(-1, b"", 0) for tp in tps}
        self._raise_for(answer.error_code, "OffsetFetch")
        found: dict[TopicPartition, OffsetFetchPartitionResponse] = {}
        asked = set(tps)
        for topic in answer.topics:
            for part in topic.partitions:
                tp = TopicPartition(topic.name, part.partition_index)
                if tp in asked:
                    self._raise_for(part.error_code, "OffsetFetch", tp)
                found[tp] = OffsetFetchPartitionResponse(part.committed_offset, (part.metadata or "").encode(), part.error_code)
        missing = sorted(asked - set(found))
        if missing:
            # an answer that leaves a partition out says nothing about it; starting over would lose or repeat messages
            raise OffsetRequestFailedError(
                f"the coordinator of group {group} said nothing about {spelled(missing)}", topic=missing[0].topic
            )
        return {tp: found[tp] for tp in tps}

    @property
    def known_topics(self) -> Mapping[str, TopicInfo]:
        """Return the topics as they are known now, by name."""
        return self._engine.view.topics

    def commit(
        self,
        offsets: Mapping[TopicPartition, int],
        by: Committer,
        within_s: Optional[float] = None,
        topics: Optional[Mapping[str, TopicInfo]] = None,
    ) -> frozenset[TopicPartition]:
        """Commit ``offsets`` (partition -> next offset to read, sent as it is); return when the coordinator has them.

        What it returns was left out: the partitions are in another topic that was made in the place of theirs.

        :param within_s: how long passing errors are put up with; None is as long as the settings say
        :param topics: those that the offsets are about: :attr:`known_topics`, now or a moment ago
        :raises KafkaException: when they were not committed; passing errors are tried again before
        :raises UnknownTopicOrPartition: when a topic was not there for a while, and brokers (before Kafka 2.8) do not say
            whether it is the same one: its offsets are not committed
        """
        if not offsets:
            return frozenset()
        group = self._require_group()
        deadline = self._settings.patience() if within_s is None else Deadline(within_s)
        left = Uncommitted(offsets, lambda: self.known_topics, self.known_topics if topics is None else topics)
        names = {topic_id: name for name, topic_id in left.ids.items() if topic_id}

        def attempt() -> None:
            first: Optional[KafkaException] = None
            if left.is_sent:  # and nothing is sent again without: what is known may be the topics of before
                self._engine.update(named, deadline.within(self._settings.timeout_s))
            to_send = left.to_send()
            if to_send:
                # by name only where it has to be: a name may be that of another topic by the time the coordinator sees it
                cap = None if all(left.ids[tp.topic] for tp in to_send) else LAST_NAMED_VERSION
                reply = self._ask_coordinator(group, self._commit_request(group, to_send, by, left.ids), deadline, cap)
                for topic in reply.topics:
                    for part in topic.partitions:
                        tp = TopicPartition(topic.name or names.get(topic.topic_id, ""), part.partition_index)
                        if left.note(tp, part.error_code) and first is None:
                            first = self._error(part.error_code, "OffsetCommit", tp)
            if first is not None:
                raise first
            missing = next(iter(left.remaining), None)
            if missing is None:
                return
            if missing in left.waiting:
                raise self._error(UnknownTopicOrPartition.ERROR_CODE, "OffsetCommit", missing)
            raise OffsetRequestFailedError(f"the coordinator of group {group} did not confirm {spelled(left.remaining)}")

        named = list(by_topic(offsets))
        self._patiently(f"committing offsets of {spelled(offsets)} for group {group}", deadline, attempt, named)
        if left.doubtful:
            raise left_out_error(left.doubtful, "the topic was away for a moment, and may have been made anew")
        return frozenset(left.gone)

    def _commit_request(
        self, group: str, offsets: Mapping[TopicPartition, int], by: Committer, ids: Mapping[str, Optional[bytes]]
    ) -> OffsetCommitRequest:
        metadata = _commit_metadata(by.consumer_id)
        topics: dict[str, OffsetCommitRequest.OffsetCommitRequestTopic] = {}
        for tp, offset in offsets.items():
            row = OffsetCommitRequest.OffsetCommitRequestPartition(
                partition_index=tp.partition, committed_offset=offset, committed_metadata=metadata
            )
            named, by_id = tp.topic, ids[tp.topic] or bytes(16)
            topic = OffsetCommitRequest.OffsetCommitRequestTopic(name=named, topic_id=by_id, partitions=[])
            topics.setdefault(named, topic).partitions.append(row)
        return OffsetCommitRequest(
            group_id=group,
            generation_id_or_member_epoch=by.seat.generation,
            member_id=by.seat.member_id,
            group_instance_id=by.seat.instance_id,
            topics=list(topics.values()),
        )

    def _require_group(self) -> str:
        if self._group is None:
            raise KafkaException("without a consumer_group there is nowhere to commit offsets to or fetch them from")
        return self._group

    def _ask_coordinator(
        self, group: str, request: Any, deadline: Deadline, cap: Optional[int] = LAST_NAMED_VERSION
    ) -> Any:
        broker = self._engine.coordinator(group, deadline)
        # a coordinator that hangs must leave time to ask another one
        attempt = deadline.within(self._settings.timeout_s)
        return self._engine.call(broker, request, attempt, lane="group", cap=cap)

    # -- the log's offsets --------------------------------------------------------------------------------------------

    def look_up(self, times: Mapping[TopicPartition, int], some_will_do: bool = False) -> dict[TopicPartition, int]:
        """Return an offset per partition: for OffsetType.EARLIEST or LATEST, or the first at or after an epoch millisecond.

        A time after the last message gives the end of the log.

        :param some_will_do: ask once, and leave out those partitions that fail for the time being
        """
        found = self.list_offsets(times, some_will_do)
        beyond = {tp: -1 for tp, offset in found.items() if offset < 0}
        if beyond:
            found.update(self.list_offsets(beyond))
        nowhere = sorted(tp for tp, offset in found.items() if offset < 0)
        if nowhere:
            raise OffsetRequestFailedError(
                f"the leaders gave no offset for {spelled(nowhere)}", api="ListOffsets", topic=nowhere[0].topic
            )
        return found

    def list_offsets(self, times: Mapping[TopicPartition, int], some_will_do: bool = False) -> dict[TopicPartition, int]:
        """Return what the leaders answer per partition; -1 where no message is as late as the time asked for."""
        if not times:
            return {}
        deadline = self._brief_patience() if some_will_do else self._settings.patience()
        remaining = dict(times)
        found: dict[TopicPartition, int] = {}

        def attempt() -> None:
            error = self._ask_leaders(remaining, found, deadline.within(self._settings.timeout_s))
            if some_will_do:
                self._unanswered = self._unanswered + 1 if isinstance(error, OperationTimedOut) else 0
            if error is None and remaining:
                error = OffsetRequestFailedError(f"no answer about {spelled(remaining)}", topic=next(iter(remaining)).topic)
            if error is None:
                return
            if not (some_will_do and error.retriable):
                raise error
            log.info("no offsets of %s for now: %s", spelled(remaining), error)
            self._refresh_for(error, Deadline(LEADER_ANSWERS_S), list(by_topic(remaining)))

        self._patiently(f"looking up offsets of {spelled(times)}", deadline, attempt, by_topic(times))
        return found

    def _brief_patience(self) -> Deadline:
        """Return how long to wait for leaders while others may be held up by that."""
        longest_s = max(LEADER_ANSWERS_S, self._settings.timeout_s)
        return Deadline(min(LEADER_ANSWERS_S * 2 ** min(self._unanswered, 16), longest_s))

    def _ask_leaders(
        self, remaining: dict[TopicPartition, int], found: dict[TopicPartition, int], deadline: Deadline
    ) -> Optional[KafkaException]:
        """Move what the leaders answer, who are asked all at once, from ``remaining`` to ``found``; return the first error."""
        shares, first = self._by_leader(remaining)
        asked = [self._engine.begin(leader, self._list_request(some), deadline) for leader, some in shares.items()]
        for answer in asked:
            try:
                topics = answer().topics
            except KafkaException as error:
                first = first or error
                continue
            for topic in topics:
                for part in topic.partitions:
                    tp = TopicPartition(topic.name, part.partition_index)
                    if tp not in remaining:
                        continue
                    if part.error_code:
                        first = first or self._error(part.error_code, "ListOffsets", tp)
                    else:
                        found[tp] = part.offset
                        del remaining[tp]
        return first

    def _by_leader(
        self, times: Mapping[TopicPartition, int]
    ) -> tuple[dict[Any, dict[TopicPartition, int]], Optional[KafkaException]]:
        """Return what to ask each leader, and the error of the first partition that has none."""
        shares: dict[Any, dict[TopicPartition, int]] = {}
        first: Optional[KafkaException] = None
        for tp, time in times.items():
            leader = self._engine.view.leader(*tp)
            if leader is not None:
                shares.setdefault(leader, {})[tp] = time
            elif first is None:
                first = LeaderNotFoundError(f"{tp} has no leader at the moment", topic=tp.topic, partition=tp.partition)
        return shares, first

    def _list_request(self, times: Mapping[TopicPartition, int]) -> ListOffsetsRequest:
        topics: dict[str, ListOffsetsRequest.ListOffsetsTopic] = {}
        for tp, time in times.items():
            row = ListOffsetsRequest.ListOffsetsPartition(partition_index=tp.partition, timestamp=time)
            rows = topics.setdefault(tp.topic, ListOffsetsRequest.ListOffsetsTopic(name=tp.topic, partitions=[]))
            rows.partitions.append(row)
        return ListOffsetsRequest(
            replica_id=-1,
            isolation_level=1 if self._settings.read_committed else 0,
            topics=list(topics.values()),
            timeout_ms=int(self._settings.timeout_s * 1000),
        )

    # -- trying again -------------------------------------------------------------------------------------------------

    def _patiently(self, what: str, deadline: Deadline, attempt: Callable[[], T], topics: Iterable[str]) -> T:
        """Return what ``attempt`` returns, trying again after retriable errors until ``deadline``."""
        names = list(topics)
        with during(what, group=self._group, topic=names[0] if len(names) == 1 else None):
            return self._try_again(what, deadline, attempt, names)

    def _try_again(self, what: str, deadline: Deadline, attempt: Callable[[], T], topics: list[str]) -> T:
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                return attempt()
            except KafkaException as error:
                given_up = deadline.left() <= pause_s or self._engine.closed or not self._settings.max_retries
                if given_up or not error.retriable:
                    raise
                log.info("%s failed, trying again: %s", what, error)
                self._refresh_for(error, deadline, topics)
            self._engine.pause(pause_s)
            pause_s = min(pause_s * 2, max(self._settings.backoff_s, FIRST_PAUSE_S))

    def _refresh_for(self, error: KafkaException, deadline: Deadline, topics: list[str]) -> None:
        refresh = getattr(error, "refresh", None)
        if self._group is not None and (refresh == "coordinator" or error.code is None):
            self._engine.forget_coordinator(self._group)
        if refresh == "metadata" or error.code is None:
            self._update_if_possible(topics, deadline)

    def _update_if_possible(self, topics: list[str], deadline: Deadline) -> None:
        try:
            self._engine.update(topics, deadline.within(self._settings.timeout_s))
        except KafkaException as failure:
            log.info("metadata could not be refreshed either: %s", failure)

    def _raise_for(self, code: int, api: str, tp: Optional[TopicPartition] = None) -> None:
        if code:
            raise self._error(code, api, tp)

    def _error(self, code: int, api: str, tp: Optional[TopicPartition]) -> KafkaException:
        detail = None if self._group is None or api == "ListOffsets" else f"group {self._group}"
        topic, partition = tp if tp is not None else (None, None)
        return error_for(code, api=api, topic=topic, partition=partition, detail=detail)


def left_out_error(partitions: Iterable[TopicPartition], why: str) -> KafkaException:
    """Return the error about offsets that are not committed since their topic is not there any more, or may not be."""
    tps = sorted(partitions)
    return error_for(
        UnknownTopicOrPartition.ERROR_CODE,
        api="OffsetCommit",
        topic=tps[0].topic,
        partition=tps[0].partition,
        detail=f"{spelled(tps)} not committed: {why}",
    )


def committed_by_group(cluster: Cluster, group: str) -> dict[str, dict[int, OffsetFetchPartitionResponse]]:
    """Return everything that a group has committed, topic -> partition -> offset, in one request; nothing for an unknown group.

    What a transaction that is under way would change is as it was before it.

    :raises KafkaException: when no coordinator answers within ``socket_timeout_ms``
    """
    wanted = OffsetFetchRequest.OffsetFetchRequestGroup(group_id=group, topics=None)
    request = OffsetFetchRequest(group_id=group, topics=None, groups=[wanted], require_stable=False)
    engine, deadline = cluster.engine, Deadline(cluster.socket_timeout_s)
    with during(f"fetching what group {group} has committed", group=group):
        return _ask_until(deadline, engine, group, request)


def _ask_until(
    deadline: Deadline, engine: Engine, group: str, request: Any
) -> dict[str, dict[int, OffsetFetchPartitionResponse]]:
    while True:
        try:
            reply = engine.call(engine.coordinator(group, deadline), request, deadline, lane="group", cap=LAST_NAMED_VERSION)
            return _everything_in(_about(group, reply), group)
        except KafkaException as error:
            if not error.retriable or deadline.left() <= FIRST_PAUSE_S:
                raise
            engine.forget_coordinator(group)
        engine.pause(FIRST_PAUSE_S)


def _about(group: str, reply: Any) -> Any:
    """Return what an answer to OffsetFetch says about ``group``: v8 answers about several, before it is about the one asked for.

    :raises OffsetRequestFailedError: when it is about others; theirs must never be taken for ours
    """
    if not reply.groups:
        return reply
    for answer in reply.groups:
        if answer.group_id == group:
            return answer
    others = ", ".join(answer.group_id for answer in reply.groups)
    raise OffsetRequestFailedError(f"the coordinator of group {group} answered about {others}")


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
