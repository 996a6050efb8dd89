"""Which partitions are fetched next and from which broker; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Callable, NamedTuple, Optional

from ..common import TopicPartition
from .metadata import ZERO_UUID, TopicInfo

#: An answer may be this large however many connections share the memory: less is not worth a request.
LEAST_ANSWER_BYTES = 64 * 1024


class FetchLimits(NamedTuple):
    """How much fetched data may be held: half of the memory for what is decoded, a quarter each for what waits and what comes.

    Shares of their own, since none can make room for another: what is decoded goes when the user takes it, what waits goes when
    it is decoded, and what was asked for comes. A single batch that is larger than a share is still let through.
    """

    queued_max_messages: int
    fetch_memory_bytes: int

    @property
    def decoded_bytes(self) -> int:
        """Return how much may be decoded and not delivered yet."""
        return self.fetch_memory_bytes // 2

    @property
    def waiting_bytes(self) -> int:
        """Return how much may wait to be decoded when more is asked for."""
        return self.fetch_memory_bytes // 4

    @property
    def paused_bytes(self) -> int:
        """Return how much partitions that are paused may keep of what was fetched."""
        return self.fetch_memory_bytes // 8

    def answer_bytes(self, connections: int) -> int:
        """Return how large an answer may be, with one under way on each connection."""
        return max(LEAST_ANSWER_BYTES, self.fetch_memory_bytes // 4 // connections)


class PartitionFetch:
    """One partition as the I/O thread sees it.

    ``position`` is the next offset to fetch, None until the offset rules have said where to start. What was received but
    not yet taken by the consumer is the difference of two counters, each written by one thread only.
    """

    __slots__ = (
        "displaced",
        "failed",
        "failures",
        "generation",
        "in_flight",
        "last_epoch",
        "incarnation",
        "not_before",
        "paused",
        "position",
        "question",
        "received",
        "received_bytes",
        "replica",
        "replica_until",
        "taken",
        "taken_bytes",
        "topic_id",
        "tp",
    )

    def __init__(self, tp: TopicPartition) -> None:
        self.tp = tp
        self.position: Optional[int] = None
        #: raised by every seek: what was fetched before it is dropped
        self.generation = 0
        #: raised when ``position`` means something else from now on: an answer to a question asked before is dropped
        self.question = 0
        #: the log is not the one ``position`` was about: a new place is needed
        self.displaced = False
        #: how often that was so
        self.incarnation = 0
        #: the id of the topic that ``position`` is about, since something was fetched there under it; until then 16 zero bytes
        self.topic_id = ZERO_UUID
        #: the leader epoch of the last batch before ``position``, -1 when it is not known: with it a broker notices that the log
        #: was cut and has other records there now (KIP-320)
        self.last_epoch = -1
        #: the broker to fetch from in the leader's place, and until when: it has a copy, and is nearer (KIP-392)
        self.replica: Optional[int] = None
        self.replica_until = 0.0
        self.in_flight = False
        self.paused = False
        self.failed = False
        #: how often in a row the partition could not be fetched
        self.failures = 0
        self.not_before = 0.0
        self.received = 0
        self.received_bytes = 0
        self.taken = 0
        self.taken_bytes = 0

    @property
    def waiting_messages(self) -> int:
        """Return how many fetched messages the consumer has not taken yet."""
        return self.received - self.taken

    @property
    def waiting_bytes(self) -> int:
        """Return how many fetched bytes the consumer has not taken yet."""
        return self.received_bytes - self.taken_bytes

    def seek(self, position: Optional[int], generation: int) -> None:
        """Fetch from ``position`` from now on (None: not at all until the next seek)."""
        self._ask_anew(position)
        self.generation = generation
        self._settle()

    def rewind(self, position: int, generation: int) -> None:
        """Fetch once more from ``position`` on: what was fetched behind it is forgotten. It is the same log as before."""
        self._ask_anew(None if self.displaced else position)
        self.generation = generation

    def displace(self) -> None:
        """Fetch nothing until a place is found: the log is another one. What was fetched from the old one stays."""
        self._ask_anew(None)
        self.displaced = True
        self.incarnation += 1

    def jump(self, position: int) -> None:
        """Go on at ``position``, whatever the one before was about."""
        self._ask_anew(position)
        self._settle()

    def _settle(self) -> None:
        self.displaced = False
        self.topic_id = ZERO_UUID

    def _ask_anew(self, position: Optional[int]) -> None:
        self.position = position
        self.last_epoch = -1
        self.replica = None
        self.question += 1
        self.in_flight = False  # what is under way answers the old question and is dropped when it comes
        self.failed = False
        self.failures = 0
        self.not_before = 0.0


def of_other_logs(fetches: Iterable[PartitionFetch], infos: Mapping[str, TopicInfo]) -> dict[str, list[PartitionFetch]]:
    """Return topic -> partitions that something was fetched of under another id than ``infos`` tell."""
    others: dict[str, list[PartitionFetch]] = {}
    for fetch in fetches:
        info = infos.get(fetch.tp.topic)
        if info is not None and fetch.topic_id not in (info.topic_id, ZERO_UUID) and not fetch.displaced:
            others.setdefault(info.name, []).append(fetch)
    return others


class Plan(NamedTuple):
    """What to fetch now: broker id -> partitions. ``starved`` is set when only missing room kept something from it."""

    by_broker: dict[int, list[PartitionFetch]]
    starved: bool
    leaderless: bool
    wake_at: float


def plan_fetches(
    fetches: Iterable[PartitionFetch], source: Callable[[PartitionFetch], Optional[int]], limits: FetchLimits, now: float
) -> Plan:
    """Return what can be fetched now. Partitions come in the order given, so a rotating order is a fair one.

    What waits in a partition that is paused, or has failed, may stay there for ever: half of the room is for the others all the
    same.

    :param source: returns the broker to fetch a partition from, None while there is none
    """
    ready = [fetch for fetch in fetches if not (fetch.in_flight or fetch.paused or fetch.failed or fetch.position is None)]
    due = [fetch for fetch in ready if fetch.not_before <= now]
    wake_at = min((fetch.not_before for fetch in ready if fetch.not_before > now), default=float("inf"))
    stuck_bytes = sum(fetch.waiting_bytes for fetch in fetches if fetch.paused or fetch.failed)
    moving_bytes = sum(fetch.waiting_bytes for fetch in fetches) - stuck_bytes
    room = max(limits.waiting_bytes - stuck_bytes, limits.waiting_bytes // 2)
    full = moving_bytes > 0 and moving_bytes >= room
    short = moving_bytes > room // 2
    by_broker: dict[int, list[PartitionFetch]] = {}
    starved = leaderless = False
    for fetch in due:
        waiting = fetch.waiting_messages
        if full or waiting >= limits.queued_max_messages or (short and waiting):  # the last of the room is for those without any
            starved = True
            continue
        broker = source(fetch)
        if broker is None:
            leaderless = True
            continue
        by_broker.setdefault(broker, []).append(fetch)
    return Plan(by_broker, starved, leaderless, wake_at)
