"""What the cluster looks like, and when to ask again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple, Optional

from ..protocol.messages import MetadataResponse
from .backoff import Backoff

#: Metadata of a partition without a leader.
NO_LEADER = -1
ZERO_UUID = bytes(16)
#: UNKNOWN_TOPIC_OR_PARTITION.
UNKNOWN_TOPIC = 3
#: An older leader epoch is believed when so many answers in a row tell it, and the first of them is so many seconds old:
#: longer than it takes a change of leader to get about, so that the last of those who hear of it are not believed.
DISPUTE_ANSWERS = 3
DISPUTE_S = 2.0


class BrokerInfo(NamedTuple):
    """Where one broker listens."""

    id: int
    host: str
    port: int
    rack: Optional[str]


class PartitionInfo(NamedTuple):
    """One partition as last seen; ``leader`` is -1 when it has none."""

    id: int
    leader: int
    leader_epoch: int
    replicas: tuple[int, ...]
    isr: tuple[int, ...]
    error_code: int


class TopicInfo(NamedTuple):
    """One topic as last seen. ``topic_id`` is 16 zero bytes where the broker knows no ids (before 2.8)."""

    name: str
    topic_id: bytes
    is_internal: bool
    error_code: int
    partitions: Mapping[int, PartitionInfo]


class Dispute(NamedTuple):
    """What speaks against the leader epoch that is known of a partition: answers in a row with an older one, since when."""

    since: float
    answers: int


#: (topic, partition) -> the dispute about its leader epoch.
Disputes = Mapping[tuple[str, int], Dispute]


class ClusterView(NamedTuple):
    """An immutable picture of the cluster; a new one replaces it, so readers need no lock."""

    cluster_id: Optional[str]
    controller_id: int
    brokers: Mapping[int, BrokerInfo]
    topics: Mapping[str, TopicInfo]
    #: no part of the picture, but of what may change it
    disputes: Disputes = MappingProxyType({})

    def shows_the_same_as(self, other: ClusterView) -> bool:
        """Return whether there is nothing to see here that is not in ``other``, or the other way round."""
        return self._replace(disputes={}) == other._replace(disputes={})

    def leader(self, topic: str, partition: int) -> Optional[BrokerInfo]:
        """Return the broker that leads the partition, or None when unknown."""
        found = self.topics.get(topic)
        if found is None or partition not in found.partitions:
            return None
        return self.brokers.get(found.partitions[partition].leader)


EMPTY_VIEW = ClusterView(None, -1, {}, {})


def _usable_brokers(reply: MetadataResponse) -> dict[int, BrokerInfo]:
    # a broker we could never connect to is ignored rather than trusted: host and port come from the network
    return {
        row.node_id: BrokerInfo(row.node_id, row.host, row.port, row.rack)
        for row in reply.brokers
        if row.node_id >= 0 and row.host and row.host.isprintable() and 0 < row.port < 65536
    }


class _Epochs:
    """Keeps out leader epochs that are older than known ones, until they are believed; ``disputes`` is what is left open."""

    def __init__(self, before: Disputes, now: float) -> None:
        self._before = before
        self._now = now
        self.disputes: dict[tuple[str, int], Dispute] = {}

    def newer(self, known: Optional[TopicInfo], topic_id: bytes, fresh: PartitionInfo) -> PartitionInfo:
        """Return the known partition when the fresh one has an older leader epoch of the same topic, else the fresh one."""
        # brokers before 2.8 give topics no ids: one that was gone and is back may be another, whose epochs begin anew
        if known is None or known.topic_id != topic_id or known.error_code == UNKNOWN_TOPIC:
            return fresh
        old = known.partitions.get(fresh.id)
        if old is None or not 0 <= fresh.leader_epoch < old.leader_epoch:
            return fresh
        since, answers = self._before.get((known.name, fresh.id), Dispute(self._now, 0))
        if answers + 1 >= DISPUTE_ANSWERS and self._now - since >= DISPUTE_S:
            return fresh  # what is known came from one broker, once, and is not so
        self.disputes[known.name, fresh.id] = Dispute(since, answers + 1)
        return old


def _topic(known: Optional[TopicInfo], row: MetadataResponse.MetadataResponseTopic, epochs: _Epochs) -> TopicInfo:
    partitions = {
        part.partition_index: epochs.newer(
            known,
            row.topic_id,
            PartitionInfo(
                part.partition_index,
                part.leader_id,
                part.leader_epoch,
                tuple(part.replica_nodes),
                tuple(part.isr_nodes),
                part.error_code,
            ),
        )
        for part in row.partitions
        if part.partition_index >= 0  # what partitioners would take for one is none that anybody can write to
    }
    return TopicInfo(row.name or "", row.topic_id, row.is_internal, row.error_code, dict(sorted(partitions.items())))


def apply_reply(view: ClusterView, reply: MetadataResponse, asked: Optional[Iterable[str]], now: float) -> ClusterView:
    """Return ``view`` brought up to date by an answer about the topics ``asked`` (None: about all of them).

    A topic that was asked for and is in error keeps its last known partitions: a restarting broker may say "unknown
    topic" for a moment, and forgetting the partitions would send idle what is merely late.
    """
    epochs = _Epochs(view.disputes, now)
    brokers = _usable_brokers(reply)
    answered = {row.name: row for row in reply.topics if row.name}
    topics = dict(view.topics)
    if asked is None:
        topics = {name: info for name, info in topics.items() if name in answered}
    for name, row in answered.items():
        known = topics.get(name)
        fresh = _topic(known, row, epochs)
        if row.error_code and not row.partitions and known is not None:
            fresh = known._replace(error_code=row.error_code)
        if known is not None and fresh.partitions == known.partitions:
            # of two that are equal the old one is kept: memory for one, and nothing to look through when pictures are
            # compared. Not of topics: that another answer has said the same is news for some
            fresh = fresh._replace(partitions=known.partitions)
        topics[name] = fresh
    for place, dispute in view.disputes.items():
        if place[0] in topics and place[0] not in answered:
            epochs.disputes[place] = dispute
    return ClusterView(reply.cluster_id or view.cluster_id, reply.controller_id, brokers or view.brokers, topics, epochs.disputes)


#: The longest pause (seconds) before metadata is asked for again after something failed for want of it.
URGENT_PAUSE_S = 0.5


class MetadataRefresh:
    """Decides when metadata is asked for again and about which topics: on age, on error, on a topic not yet known.

    :param pause: between two questions, however many things fail at once; it grows while asking brings nothing new, since
        a topic that was deleted stays an error for ever, and starts again with a change or after a calm time. Who was
        refused by a broker waits for URGENT_PAUSE_S of it at most: one topic's lasting error must not slow down another's
        change of leader
    """

    def __init__(self, max_age_s: float, pause: Backoff) -> None:
        self._max_age_s = max_age_s
        self._pause = pause
        self._uses: dict[str, int] = {}
        self._fresh_at = float("-inf")
        self._due_at = float("inf")
        self._urgent_at = float("inf")
        self._urgent_not_before = float("-inf")
        self._not_before = float("-inf")
        self._asking = False

    @property
    def topics(self) -> list[str]:
        """Return the topics in use, which is what a background refresh asks for."""
        return sorted(self._uses)

    def use(self, topic: str) -> None:
        """Keep ``topic`` fresh from now on; call :meth:`release` as often."""
        self._uses[topic] = self._uses.get(topic, 0) + 1

    def release(self, topic: str) -> None:
        """Undo one :meth:`use`."""
        count = self._uses.get(topic, 0)
        if count <= 1:
            self._uses.pop(topic, None)
        else:
            self._uses[topic] = count - 1

    def mark_stale(self, now: float) -> None:
        """Ask soon: something we did on the last picture failed."""
        self._urgent_at = min(self._urgent_at, now)

    def mark_unsettled(self, now: float) -> None:
        """Ask again some time: the picture itself shows errors, or partitions without a leader."""
        self._due_at = min(self._due_at, now)

    def poll(self, now: float) -> bool:
        """Return True when a refresh must be sent now; the caller then calls on_reply or on_failure."""
        if self._asking or now < self.wake_at():
            return False
        if now - self._not_before > self._pause.max_s:
            # the picture has served for a while: this is a new trouble, not the old one
            self._pause.reset()
        self._asking = True
        self._due_at = self._urgent_at = float("inf")
        return True

    def wake_at(self) -> float:
        """Return when :meth:`poll` has something to do next (monotonic seconds)."""
        if self._asking:
            return float("inf")
        by_age = self._fresh_at + self._max_age_s if self._uses else float("inf")
        # not before the pause is over, however old the picture is and however many partitions fail at once
        usual = max(min(self._due_at, by_age), self._not_before)
        return min(usual, max(self._urgent_at, self._urgent_not_before))

    def on_reply(self, now: float, *, changed: bool) -> None:
        """Note that the picture is fresh, and whether it shows anything new."""
        self._asking = False
        self._fresh_at = now
        if changed:
            self._pause.reset()
        pause_s = self._pause.next_delay()
        self._not_before = now + pause_s
        self._urgent_not_before = now + min(pause_s, URGENT_PAUSE_S)

    def on_failure(self, now: float) -> None:
        """Note that nobody answered; another try is due after a pause."""
        self._asking = False
        self._due_at = now
        self._not_before = self._urgent_not_before = now + self._pause.next_delay()
