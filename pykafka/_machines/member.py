"""What the two kinds of group members have in common: their settings, what they ask, and what they tell their consumer."""

from __future__ import annotations

from typing import NamedTuple, Optional, Union

from ..common import TopicPartition
from ..exceptions import KafkaException
from ..protocol.schema import Request

FIND_COORDINATOR = "FindCoordinator"

#: Partitions, in the order in which people expect them.
Owned = frozenset[TopicPartition]
NOTHING: Owned = frozenset()


class MemberSettings(NamedTuple):
    """How a member takes part in its group; times in seconds, ``max_poll_interval_s`` 0 for no limit."""

    group: str
    session_timeout_s: float
    rebalance_timeout_s: float
    heartbeat_interval_s: float
    max_poll_interval_s: float = 0.0
    instance_id: Optional[str] = None
    rack: Optional[str] = None
    retry_backoff_s: float = 0.1
    retry_backoff_max_s: float = 1.0


class Ask(NamedTuple):
    """A request to send. ``held_s`` is how long the coordinator may hold its answer back."""

    number: int
    request: Request
    held_s: float = 0.0

    @property
    def api(self) -> str:
        """Return the request's name."""
        return type(self.request).NAME


class Revoke(NamedTuple):
    """Partitions to give up: deliver nothing of them any more, commit, then say so with ``gave_up(number)``."""

    number: int
    partitions: Owned
    generation: int
    cause: str


class Lost(NamedTuple):
    """Partitions that are somebody else's already: nothing of them can be committed any more."""

    partitions: Owned
    generation: int
    cause: str


class Assign(NamedTuple):
    """Partitions to begin with; ``owned`` are all that the member has now."""

    partitions: Owned
    owned: Owned
    generation: int


class MemberMetadata(NamedTuple):
    """A member as the leader is told of it; ``metadata`` is for the way of sharing, and not to be trusted."""

    member_id: str
    instance_id: Optional[str]
    metadata: bytes


class Decide(NamedTuple):
    """To be decided by this member, the leader: who reads what. The answer is ``decided(number, assignments)``."""

    number: int
    protocol: str
    members: tuple[MemberMetadata, ...]


class Rebalanced(NamedTuple):
    """A rebalance is over: why it was, how long it took (seconds), and what it changed."""

    cause: str
    generation: int
    duration_s: float
    gained: Owned
    lost: Owned


class Ended(NamedTuple):
    """The member is no member any more, and will not be again by itself: ``error`` says why, None when it was asked to leave."""

    error: Optional[KafkaException]


Event = Union[Revoke, Lost, Assign, Decide, Rebalanced, Ended]


class MemberStatus(NamedTuple):
    """Where a member stands; for people."""

    state: str
    member_id: str
    generation: int
    protocol: Optional[str]
    is_leader: bool
    coordinator: Optional[str]
    owned: Owned
    last_rebalance: Optional[Rebalanced]
