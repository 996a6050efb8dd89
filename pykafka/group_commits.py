"""Commits that a group does not take because it has moved on: what that means, and what helps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Callable, NamedTuple, Optional, Union

from ._engine.engine import Engine
from ._engine.waiting import Deadline
from ._machines.member import Lost, MemberStatus, Revoke
from .common import TopicPartition
from .exceptions import IllegalGeneration, KafkaException, RebalanceInProgress, StaleMemberEpoch, UnknownMemberId
from .offsets import Committer

#: Errors of a commit that say that the group has moved on.
MOVED_ON = (IllegalGeneration, UnknownMemberId, RebalanceInProgress, StaleMemberEpoch)


def explained(error: KafkaException, generation: int, status: MemberStatus) -> KafkaException:
    """Return the error of a commit with what the group has done since.

    :param generation: of the seat that the commit was made from
    """
    last = status.last_rebalance
    now = f"the group is at {status.generation}" if status.generation != generation else "the group is about to move on"
    why = f"; it was rebalanced because {last.cause}" if last is not None else ""
    told = type(error)(
        f"{error} This was generation {generation}; {now}{why}. What was delivered may be"
        " delivered again, by whoever reads the partitions now: have it do no harm, or commit more often"
    )
    told.broker, told.api, told.topic, told.partition = error.broker, error.api, error.topic, error.partition
    return told


class _Left(NamedTuple):
    #: the next offset that would have been delivered
    position: int
    why: Union[Lost, Revoke]


class TakenAway:
    """What was delivered of partitions that are another's now, and not committed before: whoever commits next is told, once."""

    def __init__(self) -> None:
        self._left: dict[TopicPartition, _Left] = {}
        #: partition -> the position that somebody was told of while it was still being taken away
        self._told: dict[TopicPartition, int] = {}

    def note(self, uncommitted: Mapping[TopicPartition, int], why: Union[Lost, Revoke]) -> None:
        """Remember the positions of partitions that are taken away, none of which was committed."""
        for tp, position in uncommitted.items():
            if self._told.pop(tp, None) != position:
                self._left[tp] = _Left(position, why)

    def tell(self, positions: Mapping[TopicPartition, int]) -> None:
        """Note that the user is told of these positions, which are about to be taken away."""
        self._told.update(positions)

    def take(self, committed: Callable[[TopicPartition], Optional[int]]) -> dict[TopicPartition, Union[Lost, Revoke]]:
        """Return why which partitions were taken away, and forget it; without those that are here again and committed as far.

        :param committed: returns what this member has committed of a partition that it reads
        """
        left, self._left = self._left, {}
        return {tp: one.why for tp, one in left.items() if (committed(tp) or 0) < one.position}


#: How long a commit waits for its member's newest epoch (seconds): stop() waits for it, and has more to do after that.
CATCH_UP_S = 5.0
#: Pause between looks at the member's epoch, for each of which a heartbeat is sent (seconds).
LOOK_S = 0.1


def commit_while_ours(
    commit: Callable[[Committer], None], by: Committer, newest: Callable[[], Committer], is_ours: Callable[[], bool]
) -> None:
    """Commit as ``by``; with the member's newest epoch when the coordinator says that the one of ``by`` is old (KIP-848).

    An epoch may move on while partitions are given up, with no change to whose they are: until they are given up, and the
    coordinator was told so, nobody else gets them.

    :param newest: who commits as of now
    :param is_ours: whether the partitions are still ours; asked after ``newest``, so that an epoch of a later life of the
        member's, when others may have read and committed, is never used for what it had before
    :raises KafkaException: when it could not be committed; StaleMemberEpoch when the newest epoch was not heard of in time
    """
    deadline = Deadline(CATCH_UP_S)
    while True:
        try:
            commit(by)
            return
        except StaleMemberEpoch:
            old = by.seat.generation
            while by.seat.generation == old:
                by = newest()
                if deadline.passed or not is_ours():
                    raise
                Engine.pause(LOOK_S)
