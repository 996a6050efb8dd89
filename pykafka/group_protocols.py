"""Which of Kafka's two group protocols a member takes part by."""

from __future__ import annotations

import logging
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Optional

from ._engine.clock import chance
from ._engine.waiting import Deadline
from ._machines.classic_member import ClassicMember
from ._machines.consumer_member import ConsumerMember
from ._machines.member import Member, MemberSettings
from ._version import __version__
from .exceptions import KafkaException
from .protocol.messages import (
    ApiVersionsRequest,
    ConsumerGroupDescribeRequest,
    ConsumerGroupHeartbeatRequest,
    DescribeGroupsRequest,
)

if TYPE_CHECKING:
    from ._machines.metadata import BrokerInfo
    from .cluster import Cluster
    from .group_sharing import Sharing

log = logging.getLogger(__name__)

CLASSIC, CONSUMER, AUTO = "classic", "consumer", "auto"
#: The first version of ConsumerGroupHeartbeat that is not a preview.
FIRST_STABLE = 1
#: The feature that has to be on for groups of the newer protocol, and its level.
FEATURE, LEVEL = "group.version", 1
#: States of a classic group that anybody may take over; "Dead" is also said of one that does not exist.
NOBODYS = ("Empty", "Dead", "")
PAUSE_S = 0.1
#: How long others wait in a rebalance for a member that has no max_poll_interval_ms (seconds).
NO_LIMIT_REBALANCE_S = 300.0


def member_settings(options: Mapping[str, Any]) -> MemberSettings:
    """Return what a consumer's ``options`` say of how it takes part in its group."""
    limit_s = options["max_poll_interval_ms"] / 1000.0
    return MemberSettings(
        group=options["consumer_group"].decode(),
        session_timeout_s=options["session_timeout_ms"] / 1000.0,
        rebalance_timeout_s=limit_s or NO_LIMIT_REBALANCE_S,
        heartbeat_interval_s=options["heartbeat_interval_ms"] / 1000.0,
        max_poll_interval_s=limit_s,
        instance_id=text_of(options["group_instance_id"]),
        rack=options["client_rack"] or None,
        retry_backoff_max_s=options["rebalance_backoff_ms"] / 1000.0,
    )


def text_of(name: Optional[bytes]) -> Optional[str]:
    """Return a name as text, None for none."""
    return None if name is None else name.decode()


def make_member(
    cluster: Cluster, options: Mapping[str, Any], sharing: Sharing, topics: Sequence[str], pattern: Optional[str]
) -> Member:
    """Return a member by ``group_protocol``, which reads ``topics``, or those that ``pattern`` is true of.

    :raises KafkaException: when the coordinator has to be asked what the group is, and cannot be
    """
    settings, kind, assignor = member_settings(options), options["group_protocol"], sharing.server_assignor
    if kind == AUTO and assignor is not None:
        kind = choose_protocol(cluster, settings.group, Deadline(cluster.socket_timeout_s))
    if kind != CONSUMER:
        return ClassicMember(settings, sharing.protocols, topics, chance)
    member_id = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    return ConsumerMember(settings, topics, chance, member_id, pattern=pattern, assignor=assignor)


def choose_protocol(cluster: Cluster, group: str, deadline: Deadline) -> str:
    """Return CONSUMER where the broker has the newer protocol (KIP-848) and the group is of it or has no members, else CLASSIC.

    :raises KafkaException: when the coordinator cannot be asked before ``deadline``
    """
    while True:
        try:
            return _choose(cluster, group, deadline)
        except KafkaException as error:
            if not error.retriable or deadline.left() <= PAUSE_S:
                raise
            log.info("group %s: its coordinator cannot be asked yet: %s", group, error)
            cluster.engine.forget_coordinator(group)
        cluster.engine.pause(PAUSE_S)


def _choose(cluster: Cluster, group: str, deadline: Deadline) -> str:
    broker = cluster.engine.coordinator(group, deadline)
    if not _has_newer_protocol(cluster, broker, deadline):
        return CLASSIC
    ask = cluster.engine.call
    (newer,) = ask(broker, ConsumerGroupDescribeRequest(group_ids=[group]), deadline).groups
    if not newer.error_code:
        return CONSUMER
    (classic,) = ask(broker, DescribeGroupsRequest(groups=[group]), deadline).groups
    return CONSUMER if classic.group_state in NOBODYS else CLASSIC


def _has_newer_protocol(cluster: Cluster, broker: BrokerInfo, deadline: Deadline) -> bool:
    hello = ApiVersionsRequest(client_software_name="pykafka", client_software_version=__version__)
    reply = cluster.engine.call(broker, hello, deadline)
    newest = {row.api_key: row.max_version for row in reply.api_keys}
    levels = {row.name: row.max_version_level for row in reply.finalized_features}
    return bool(newest.get(ConsumerGroupHeartbeatRequest.KEY, -1) >= FIRST_STABLE and levels.get(FEATURE, 0) >= LEVEL)
