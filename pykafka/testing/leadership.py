"""Whether a broker may answer for a partition, by what the client believes of its leader (KIP-320)."""

from __future__ import annotations

from typing import Optional

from .state import Broker, Partition

UNKNOWN_TOPIC_OR_PARTITION, NOT_LEADER, FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH = 3, 6, 74, 75
#: What a client says that does not know the epoch.
NO_EPOCH = -1


def problem_with_leader(
    partition: Optional[Partition], broker: Broker, believed_epoch: int = NO_EPOCH, followers_too: bool = False
) -> int:
    """Return the error with which ``broker`` refuses to answer for a partition, 0 when it does answer.

    :param followers_too: whether a copy that does not lead will do (KIP-392)
    """
    if partition is None:
        return UNKNOWN_TOPIC_OR_PARTITION
    has_copy = broker.id in partition.replicas
    if not has_copy:
        return NOT_LEADER
    if believed_epoch != NO_EPOCH and believed_epoch < partition.leader_epoch:
        return FENCED_LEADER_EPOCH
    if believed_epoch > partition.leader_epoch:
        return UNKNOWN_LEADER_EPOCH
    return 0 if partition.leader == broker.id or followers_too else NOT_LEADER
