"""What the cluster looks like, and when to ask again."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Callable, Final, NamedTuple, Optional

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


#: A partition as it is kept, with the fields of a PartitionInfo: of a plain tuple of numbers the garbage collector lets go.
Row = tuple[int, int, int, tuple[int, ...], tuple[int, ...], int]
_NUMBER: Final = 0
_LEADER: Final = 1
_EPOCH: Final = 2


def _find(rows: tuple[Row, ...], number: int) -> Optional[Row]:
    if 0 <= number < len(rows) and rows[number][_NUMBER] == number:
        return rows[number]  # where nearly every partition is
    at = bisect_left(rows, (number,))
    return rows[at] if at < len(rows) and rows[at][_NUMBER] == number else None


class Partitions(Mapping[int, PartitionInfo]):
    """Partitions by number, in ascending order; each is made when it is asked for."""

    __slots__ = ("_rows",)

    def __init__(self, rows: tuple[Row, ...]) -> None:
        self._rows = rows

    def __repr__(self) -> str:
        return f"<Partitions {len(self._rows)}>"

    def __getitem__(self, number: int) -> PartitionInfo:
        row = _find(self._rows, number)
        if row is None:
            raise KeyError(number)
        return PartitionInfo(*row)

    def __contains__(self, number: object) -> bool:
        return isinstance(number, int) and _find(self._rows, number) is not None

    def __iter__(self) -> Iterator[int]:
        return iter([row[_NUMBER] for row in self._rows])

    def __len__(self) -> int:
        return len(self._rows)

    def has_numbers_of(self, others: Partitions) -> bool:
        """Return whether these are the same numbers; at once, where nothing else has changed either."""
        return others._rows is self._rows or list(others) == list(self)


NO_PARTITIONS = Partitions(())


class TopicInfo(NamedTuple):
    """One topic as last seen. ``topic_id`` is 16 zero bytes where the broker knows no ids (before 2.8).

    There may be a hundred thousand of them, in two pictures at once: this is the only object of each that the garbage collector
    has to visit, and it stops all threads for that.
    """

    name: str
    topic_id: bytes
    is_internal: bool
    error_code: int
    #: by number, ascending
    rows: tuple[Row, ...]

    @property
    def partitions(self) -> Partitions:
        """Return the partitions by number."""
        return Partitions(self.rows)


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

    def partitions(self, topic: str) -> Partitions:
        """Return the topic's partitions by number, ascending; none for one that is not known."""
        info = self.topics.get(topic)
        return NO_PARTITIONS if info is None else info.partitions

    def leader(self, topic: str, partition: int) -> Optional[BrokerInfo]:
        """Return the broker that leads the partition, or None when unknown."""
        found = self.topics.get(topic)
        row = None if found is None else _find(found.rows, partition)
        return None if row is None else self.brokers.get(row[_LEADER])


EMPTY_VIEW = ClusterView(None, -1, {}, {})


def _usable_brokers(reply: MetadataResponse) -> dict[int, BrokerInfo]:
    # a broker we could never connect to is ignored rather than trusted: host and port come from the network
    return {
        row.node_id: BrokerInfo(row.node_id, row.host, row.port, row.rack)
        for row in reply.brokers
        if row.node_id >= 0 and row.host and row.host.isprintable() and 0 < row.port < 65536
    }


def condenser(known: Mapping[str, TopicInfo]) -> Callable[[MetadataResponse.MetadataResponseTopic], TopicInfo]:
    """Return what makes a TopicInfo of each topic of an answer as soon as it is decoded, so that only one is there as it came.

    :param known: what is equal to something in there is not kept a second time
    """
    lists: dict[tuple[int, ...], tuple[int, ...]] = {}  # brokers that hold copies, the same of very many partitions

    def condense(topic: MetadataResponse.MetadataResponseTopic) -> TopicInfo:
        rows = _rows(topic, lists)
        old = known.get(topic.name or "")
        if old is None:
            return TopicInfo(topic.name or "", topic.topic_id, topic.is_internal, topic.error_code, rows)
        topic_id = old.topic_id if old.topic_id == topic.topic_id else topic.topic_id
        return TopicInfo(old.name, topic_id, topic.is_internal, topic.error_code, old.rows if old.rows == rows else rows)

    return condense


def _rows(topic: MetadataResponse.MetadataResponseTopic, lists: dict[tuple[int, ...], tuple[int, ...]]) -> tuple[Row, ...]:
    rows = tuple(
        (
            part.partition_index,
            part.leader_id,
            part.leader_epoch,
            lists.setdefault(tuple(part.replica_nodes), tuple(part.replica_nodes)),
            lists.setdefault(tuple(part.isr_nodes), tuple(part.isr_nodes)),
            part.error_code,
        )
        for part in topic.partitions
    )
    if all(number == row[_NUMBER] for number, row in enumerate(rows)):
        return rows
    # a number below 0 is none that anybody can write to, though partitioners would take it for one
    by_number = {row[_NUMBER]: row for row in rows if row[_NUMBER] >= 0}
    return tuple(by_number[number] for number in sorted(by_number))


class _Epochs:
    """Keeps out leader epochs that are older than known ones, until they are believed; ``disputes`` is what is left open."""

    def __init__(self, before: Disputes, now: float) -> None:
        self._before = before
        self._now = now
        self.disputes: dict[tuple[str, int], Dispute] = {}

    def newer(self, topic: str, old: Optional[Row], fresh: Row) -> Row:
        """Return the old row when the fresh one has an older leader epoch of the same topic, else the fresh one."""
        if old is None or not 0 <= fresh[_EPOCH] < old[_EPOCH]:
            return fresh
        place = (topic, fresh[_NUMBER])
        since, answers = self._before.get(place, Dispute(self._now, 0))
        if answers + 1 >= DISPUTE_ANSWERS and self._now - since >= DISPUTE_S:
            return fresh  # what is known came from one broker, once, and is not so
        self.disputes[place] = Dispute(since, answers + 1)
        return old

    def keep(self, topics: Mapping[str, TopicInfo], answered: Collection[Optional[str]]) -> None:
        """Keep what is open about other ``topics`` than those that an answer was about."""
        for place, dispute in self._before.items():
            if place[0] in topics and place[0] not in answered:
                self.disputes[place] = dispute


def _newest(known: Optional[TopicInfo], fresh: TopicInfo, epochs: _Epochs) -> TopicInfo:
    """Return what is to be believed of a topic."""
    if known is None or fresh.rows is known.rows:
        return fresh
    if fresh.error_code and not fresh.rows:
        return known._replace(error_code=fresh.error_code)
    rows = fresh.rows
    # brokers before 2.8 give topics no ids: one that was gone and is back may be another, whose epochs begin anew
    if known.topic_id == fresh.topic_id and known.error_code != UNKNOWN_TOPIC:
        rows = tuple(epochs.newer(known.name, _find(known.rows, row[_NUMBER]), row) for row in rows)
    # of two that are equal the old one is kept: memory for one, and nothing to look through when pictures are compared. Not
    # of topics: that another answer has said the same is news for some
    return fresh._replace(rows=known.rows if rows == known.rows else rows)


class Findings(NamedTuple):
    """What an answer has brought."""

    view: ClusterView
    #: whether the picture shows anything that it did not show before
    is_news: bool
    #: whether one of the topics asked for is in error, or has a partition without a leader or with a dispute
    is_unsettled: bool


def apply_reply(view: ClusterView, reply: MetadataResponse, asked: Optional[Collection[str]], now: float) -> Findings:
    """Return ``view`` brought up to date by an answer about the topics ``asked`` (None: about all of them).

    A topic that was asked for and is in error keeps its last known partitions: a restarting broker may say "unknown
    topic" for a moment, and forgetting the partitions would send idle what is merely late.

    :param reply: with topics as :func:`condenser` makes them; it may be about other topics as well
    """
    seen: list[TopicInfo] = reply.topics  # type: ignore[assignment]  # condensed
    epochs = _Epochs(view.disputes, now)
    brokers = _usable_brokers(reply) or view.brokers
    topics = {} if asked is None else dict(view.topics)
    for info in seen:
        # a topic by a name that no topic can have, which nobody could be given, is ignored, as brokers are
        if info.name and info.name.isascii():
            topics[info.name] = _newest(view.topics.get(info.name), info, epochs)
    answered = {info.name for info in seen}
    if asked is not None:
        # an answer about all topics lacks those that are gone, where one about these says so
        for name in set(asked) - answered:
            if name in topics:
                topics[name] = topics[name]._replace(error_code=UNKNOWN_TOPIC)
    epochs.keep(topics, answered)
    after = ClusterView(reply.cluster_id or view.cluster_id, reply.controller_id, brokers, topics, epochs.disputes)
    return Findings(after, not after.shows_the_same_as(view), _is_unsettled(after, asked or ()))


def _is_unsettled(view: ClusterView, topics: Iterable[str]) -> bool:
    infos = [view.topics[name] for name in topics if name in view.topics]
    in_dispute = {topic for topic, _partition in view.disputes}
    return not in_dispute.isdisjoint(topics) or any(
        info.error_code or any(row[_LEADER] not in view.brokers for row in info.rows) for info in infos
    )


#: More topics than that are not asked for by name where they are a good part of all there are: putting down 100,000 names would
#: hold up the I/O thread for a quarter of a second.
MANY_TOPICS = 5000
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
        """Return the topics in use, which is what a background refresh is about; in order where there are not too many."""
        return sorted(self._uses) if len(self._uses) <= MANY_TOPICS else list(self._uses)

    def asks_for_all(self, known: int) -> bool:
        """Return whether a background refresh had better ask for all of the ``known`` topics than name those in use."""
        return len(self._uses) > max(MANY_TOPICS, known // 4)

    def use(self, topics: Iterable[str]) -> None:
        """Keep ``topics`` fresh from now on; call :meth:`release` as often."""
        for topic in topics:
            self._uses[topic] = self._uses.get(topic, 0) + 1

    def release(self, topics: Iterable[str]) -> None:
        """Undo one :meth:`use`."""
        for topic in topics:
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
