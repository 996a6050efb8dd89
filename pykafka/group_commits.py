"""Commits that a group does not take because it has moved on: what that means, and what helps."""

from __future__ import annotations

from typing import Callable

from ._engine.engine import Engine
from ._engine.waiting import Deadline
from ._machines.member import MemberStatus
from .exceptions import IllegalGeneration, KafkaException, RebalanceInProgress, StaleMemberEpoch, UnknownMemberId
from .offsets import Committer

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
