"""Which of Kafka's two group protocols a member takes part by."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ._engine.waiting import Deadline
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

log = logging.getLogger(__name__)

CLASSIC, CONSUMER, AUTO = "classic", "consumer", "auto"
#: The first version of ConsumerGroupHeartbeat that is not a preview.
FIRST_STABLE = 1
#: The feature that has to be on for groups of the newer protocol, and its level.
FEATURE, LEVEL = "group.version", 1
#: States of a classic group that anybody may take over; "Dead" is also said of one that does not exist.
NOBODYS = ("Empty", "Dead", "")
PAUSE_S = 0.1


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
