"""What the machines of groups have in common: settings, who asks, and how a request is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable, NamedTuple, Optional

from ..exceptions import ProtocolClientError

NEVER = float("inf")

#: Called with the response, at most once; never for who asked again before there was an answer.
Answer = Callable[[Any], None]
#: Name -> (id, number of partitions).
Topics = Mapping[str, tuple[bytes, int]]
#: A topic and one of its partitions.
Place = tuple[str, int]

#: Policies for groups with members, and under which of them these go over to the newer protocol, and back.
POLICIES = ("disabled", "upgrade", "downgrade", "bidirectional")
UPGRADES, DOWNGRADES = ("upgrade", "bidirectional"), ("downgrade", "bidirectional")


class GroupSettings(NamedTuple):
    """The brokers' settings for groups, with Kafka's defaults, but for two waits that tests can do without."""

    #: how long the first members of a group wait for others: 3 s by default in Kafka, nothing here
    initial_rebalance_delay_ms: int = 0
    min_session_timeout_ms: int = 6_000
    max_session_timeout_ms: int = 1_800_000
    max_size: int = 2**31 - 1
    #: of groups of the newer protocol, where members are told both
    consumer_session_timeout_ms: int = 45_000
    consumer_heartbeat_interval_ms: int = 5_000
    #: how long the coordinator waits at least before it shares out anew: 1 s by default in Kafka, nothing here
    consumer_assignment_interval_ms: int = 0
    #: the names of the ways of sharing that the coordinator has; the first is used unless members choose another
    consumer_assignors: tuple[str, ...] = ("uniform", "range")
    #: which groups with members go over to the other protocol when a member comes that speaks it, or the last one leaves that
    #: spoke the newer one: ``upgrade``, ``downgrade``, ``bidirectional`` for both, ``disabled`` for none
    consumer_migration_policy: str = "bidirectional"
    offset_metadata_max_bytes: int = 4096


class Caller(NamedTuple):
    """Who sent a request, as its connection says."""

    client_id: str = ""
    client_host: str = ""


class Refused(Exception):
    """A request is answered with an error, and has changed nothing."""

    def __init__(self, error: type[ProtocolClientError], message: Optional[str] = None) -> None:
        super().__init__(message or error.__name__)
        self.code = error.ERROR_CODE
        self.message = message
