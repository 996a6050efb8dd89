"""What is left of a commit that is tried again, while topics may be deleted and made anew under the same names; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Callable, Optional

from ..common import TopicPartition
from .metadata import TopicInfo

UNKNOWN_TOPIC_OR_PARTITION = 3


class Uncommitted:
    """The offsets of one commit that the coordinator has not confirmed yet.

    They are numbers in the logs that were read. OffsetCommit names topics up to v9 (Kafka 4.0), so what is sent again could end
    up in another topic of that name, whose first messages the group would then never see.

    :param look: returns the topics as they are known now, by name
    :param topics: those that the offsets are about
    """

    def __init__(
        self, offsets: Mapping[TopicPartition, int], look: Callable[[], Mapping[str, TopicInfo]], topics: Mapping[str, TopicInfo]
    ) -> None:
        self.remaining = dict(offsets)
        #: what is not sent for now: its topic, or the partition, is not known to be there
        self.waiting: set[TopicPartition] = set()
        #: what is left out for good: it was about a log that is no more
        self.gone: set[TopicPartition] = set()
        #: the same where it may be: a broker that has just started does not know topics for a moment, either
        self.doubtful: set[TopicPartition] = set()
        self._look = look
        infos = {tp.topic: topics.get(tp.topic) for tp in offsets}
        #: topic -> its id when this began, None where it has none
        self.ids = {topic: _id_of(info) for topic, info in infos.items()}
        #: topics of which nothing was known when this began: whether they are others by now cannot be told
        self._strange = {topic for topic, info in infos.items() if info is None}
        #: topics that were not there at some look: one without an id that is there again may be another one
        self._absent: set[str] = set()
        #: what is sent from now on is sent again: it is worth a look at how the topics are now
        self.is_sent = False

    def note(self, tp: TopicPartition, error_code: int) -> bool:
        """Note what the coordinator says of a partition; return whether it is still to be committed."""
        if error_code == 0:
            self.remaining.pop(tp, None)
        return tp in self.remaining

    def to_send(self) -> dict[TopicPartition, int]:
        """Return what can be sent: first everything, and later what is still there, in the logs that this began with."""
        if self.is_sent:
            self.waiting = {tp for tp in self.remaining if not self._is_there(tp)} - self.gone - self.doubtful
            for tp in self.gone | self.doubtful:
                self.remaining.pop(tp, None)
        self.is_sent = True
        return {tp: offset for tp, offset in self.remaining.items() if tp not in self.waiting}

    def _is_there(self, tp: TopicPartition) -> bool:
        if tp.topic in self._strange:
            return True
        info = self._look().get(tp.topic)
        if info is None or info.error_code == UNKNOWN_TOPIC_OR_PARTITION:
            self._absent.add(tp.topic)
            return False
        before, now = self.ids[tp.topic], _id_of(info)
        can_be_told = before is not None and now is not None
        if now != before if can_be_told else tp.topic in self._absent:
            (self.gone if can_be_told else self.doubtful).add(tp)
            return False
        # a broker that is behind does not know of all partitions yet
        return tp.partition in info.partitions


def _id_of(info: Optional[TopicInfo]) -> Optional[bytes]:
    """Return a topic's id; None where it has none, as before Kafka 2.8."""
    return info.topic_id if info is not None and any(info.topic_id) else None
