"""What it means when a group does not take a commit because it has moved on."""

from __future__ import annotations

from ._machines.member import MemberStatus
from .exceptions import IllegalGeneration, KafkaException, RebalanceInProgress, StaleMemberEpoch, UnknownMemberId

#: Errors of a commit that say that the group has moved on.
MOVED_ON = (IllegalGeneration, UnknownMemberId, RebalanceInProgress, StaleMemberEpoch)


def explained(error: KafkaException, generation: int, status: MemberStatus) -> KafkaException:
    """Return the error of a commit with what the group has done since.

    :param generation: of the seat that the commit was made from
    """
    last = status.last_rebalance
    why = f"; it was rebalanced because {last.cause}" if last is not None else ""
    told = type(error)(
        f"{error} This was generation {generation}; the group is at {status.generation}{why}. What was delivered may be"
        " delivered again, by whoever reads the partitions now: have it do no harm, or commit more often"
    )
    told.broker, told.api, told.topic, told.partition = error.broker, error.api, error.topic, error.partition
    return told
