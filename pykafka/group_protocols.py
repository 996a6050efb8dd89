"""Which of Kafka's two group protocols a member takes part by."""

from __future__ import annotations

import logging
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Optional

from ._engine.clock import chance
from ._engine.waiting import Deadline
from ._errors.context import during
from ._machines.classic_member import ClassicMember
from ._machines.consumer_member import ConsumerMember
from ._machines.member import Member, MemberSettings
from ._version import __version__
from .config import MANAGED
from .exceptions import (
    GroupIdNotFound,
    InconsistentGroupProtocol,
    KafkaException,
    ProtocolError,
    UnsupportedVersion,
    error_for,
)
from .protocol.messages import (
    ApiVersionsRequest,
    ConsumerGroupDescribeRequest,
    ConsumerGroupHeartbeatRequest,
    DescribeConfigsRequest,
    DescribeGroupsRequest,
)
from .protocol.messages.configs import GROUP

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
#: The setting of a group that says how long its coordinator waits for a member, in milliseconds.
SESSION_TIMEOUT = "consumer.session.timeout.ms"
#: How long start() waits to hear of it (seconds): reading is possible without.
SESSION_ANSWER_S = 5.0
#: How long others wait in a rebalance for a member that has no max_poll_interval_ms (seconds).
NO_LIMIT_REBALANCE_S = 300.0


#: Errors that end a membership and may mean that the group, or the broker that coordinates it now, has the other protocol.
OTHER_PROTOCOL = (GroupIdNotFound, InconsistentGroupProtocol, UnsupportedVersion)


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
        with during(f"finding out which protocol group {settings.group} has", group=settings.group):
            kind = choose_protocol(cluster, settings.group, Deadline(cluster.socket_timeout_s))
    if kind != CONSUMER:
        return ClassicMember(settings, sharing.protocols, topics, chance)
    note_without_effect(options, assignor)
    settings = settings._replace(session_timeout_s=session_bound(cluster, settings))
    member_id = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    return ConsumerMember(settings, topics, chance, member_id, pattern=pattern, assignor=assignor)


#: Option -> what counts in its place in the newer protocol, where the coordinator decides.
_NOT_IN_NEWER = {
    "heartbeat_interval_ms": "the coordinator says how often to show life (the brokers' group.consumer.heartbeat.interval.ms)",
    "session_timeout_ms": "others get the partitions of who is gone after the brokers' group.consumer.session.timeout.ms;"
    " if it is shorter, it only has this member stop reading sooner",
}


def note_without_effect(options: Mapping[str, Any], assignor: Optional[str]) -> None:
    """Log which of the options that the user has set do nothing, or less than expected, in the newer protocol."""
    given = {name for name in (*_NOT_IN_NEWER, "membership_protocol") if options[name] != MANAGED[name].default}
    instead = [f"{name}={options[name]}: {why}" for name, why in _NOT_IN_NEWER.items() if name in given]
    if "membership_protocol" in given:
        instead.append(f"membership_protocol: the coordinator shares out, by its assignor {assignor!r}")
    if instead:
        log.info(
            "group %s is of the newer protocol (KIP-848), where these options have no effect of their own: %s."
            " group_protocol='classic' makes them count",
            options["consumer_group"].decode(),
            "; ".join(instead),
        )


def session_bound(cluster: Cluster, settings: MemberSettings) -> float:
    """Return after how many seconds without an answer a member of the newer protocol has to take its seat for lost.

    That must not be later than the coordinator has others read the member's partitions, and the coordinator goes by a time of
    its own: group.consumer.session.timeout.ms of the brokers, or consumer.session.timeout.ms of the group. Its heartbeats name
    their interval only, which promises no more than that the session is longer, so a multiple of it would be a guess: 9
    intervals by default, 150 where a test of ours sets it. So the setting is asked for (DescribeConfigs), and the shorter of it
    and session_timeout_ms counts: who wants to stop reading sooner than the coordinator puts members out may do so.

    Where it cannot be asked, for want of the right to DescribeConfigs of the group for one, ``session_timeout_ms`` counts. Its
    default is below the least that brokers allow by default (group.consumer.min.session.timeout.ms, 45 s).
    """
    row = DescribeConfigsRequest.DescribeConfigsResource
    asked = row(resource_type=GROUP, resource_name=settings.group, configuration_keys=[SESSION_TIMEOUT])
    deadline = Deadline(min(cluster.socket_timeout_s, SESSION_ANSWER_S))
    try:
        coordinator = cluster.engine.coordinator(settings.group, deadline)
        reply = cluster.engine.call(coordinator, DescribeConfigsRequest(resources=[asked]), deadline)
        theirs_s = _session_timeout_s(reply, settings.group)
    except KafkaException as error:
        said = "group %s: what its coordinator takes for a session cannot be asked, session_timeout_ms has to be below it: %s"
        log.info(said, settings.group, error)
        return settings.session_timeout_s
    return min(settings.session_timeout_s, theirs_s)


def _session_timeout_s(reply: Any, group: str) -> float:
    for result in reply.results:
        if result.error_code:
            raise error_for(result.error_code, api="DescribeConfigs", detail=result.error_message or f"group {group}")
        for setting in result.configs:
            value = setting.value or ""
            if setting.name == SESSION_TIMEOUT and value.isdecimal() and int(value) > 0:
                return int(value) / 1000.0
    raise ProtocolError(f"the answer to DescribeConfigs says nothing of {SESSION_TIMEOUT} of group {group}")


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
    if not _about(group, ask(broker, ConsumerGroupDescribeRequest(group_ids=[group]), deadline)).error_code:
        return CONSUMER
    classic = _about(group, ask(broker, DescribeGroupsRequest(groups=[group]), deadline))
    return CONSUMER if classic.group_state in NOBODYS else CLASSIC


def _about(group: str, reply: Any) -> Any:
    for row in reply.groups:
        if row.group_id == group:
            return row
    raise ProtocolError(f"the answer to {reply.NAME} says nothing of group {group}")


def _has_newer_protocol(cluster: Cluster, broker: BrokerInfo, deadline: Deadline) -> bool:
    hello = ApiVersionsRequest(client_software_name="pykafka", client_software_version=__version__)
    reply = cluster.engine.call(broker, hello, deadline)
    newest = {row.api_key: row.max_version for row in reply.api_keys}
    levels = {row.name: row.max_version_level for row in reply.finalized_features}
    return bool(newest.get(ConsumerGroupHeartbeatRequest.KEY, -1) >= FIRST_STABLE and levels.get(FEATURE, 0) >= LEVEL)
