"""Under which id each topic is read, and when another one is believed; pure."""

from __future__ import annotations

import enum
from typing import Optional

from .metadata import ZERO_UUID, TopicInfo


class Verdict(enum.Enum):
    """What metadata means for a topic that is read."""

    #: nothing
    SAME = "same"
    #: the topic may be another one of the same name: the brokers had better be asked again
    SUSPECT = "suspect"
    #: the topic is read under this id from now on
    OTHER = "other"


class TopicIds:
    """The ids of the topics that one consumer reads.

    Metadata of one broker that is behind must not send a consumer back to the beginning of what it has read. So an id that
    something was fetched under is left only for one that was never left before, and

    * after a broker has refused to fetch under it, where fetches say the id (version 13 on, Kafka 3.1);
    * after the same refusals or a second answer that says the same, where fetches name the topic.
    """

    def __init__(self) -> None:
        #: topic -> id; 16 zero bytes where brokers give none, or it is unknown
        self.current: dict[str, bytes] = {}
        #: topics that a fetch was refused for -> their metadata at that time
        self._doubts: dict[str, Optional[TopicInfo]] = {}
        #: topics of which another id was seen -> where it was seen first
        self._suspects: dict[str, TopicInfo] = {}
        self._left: set[bytes] = set()
        self._named: set[str] = set()

    def use(self, topic: str, topic_id: bytes) -> None:
        """Begin with a topic."""
        self.current[topic] = topic_id

    def forget(self, topic: str) -> None:
        """Have nothing to do with a topic any more."""
        del self.current[topic]
        self._doubts.pop(topic, None)
        self._suspects.pop(topic, None)
        self._named.discard(topic)

    def is_answer(self, topic: str, topic_id: bytes) -> bool:
        """Return whether a row of an answer to a fetch is about the topic that is read now.

        :param topic_id: what the row says; 16 zero bytes where it names the topic
        """
        if topic_id == ZERO_UUID:
            self._named.add(topic)
            return True
        self._named.discard(topic)
        return topic_id == self.current.get(topic)

    def is_named(self, topic: str) -> bool:
        """Return whether fetches name the topic instead of saying its id."""
        return topic in self._named

    def doubt(self, topic: str, known: Optional[TopicInfo]) -> None:
        """Note that a broker has refused to fetch as if the topic were not there.

        :param known: the topic's metadata at the moment
        """
        self._doubts.setdefault(topic, known)

    def in_doubt(self, topic: str) -> bool:
        """Return whether the topic may be gone, so that positions in it may mean nothing any more."""
        return topic in self._doubts

    def learn(self, info: TopicInfo, *, is_fetched: bool) -> Verdict:
        """Return what metadata of a topic means for those who read it.

        :param is_fetched: whether anything was fetched under the present id
        """
        name, current = info.name, self.current[info.name]
        if info.topic_id in (current, ZERO_UUID):
            self._suspects.pop(name, None)
            if not info.error_code and self._doubts.get(name, info) is not info:
                del self._doubts[name]
            return Verdict.SAME
        if is_fetched and not self._is_certain(info):
            return self._suspect(info)
        if is_fetched:
            self._left.add(current)
        self.current[name] = info.topic_id
        self._suspects.pop(name, None)
        self._doubts.pop(name, None)
        return Verdict.OTHER

    def _is_certain(self, info: TopicInfo) -> bool:
        if info.topic_id in self._left:
            return False
        if info.name in self._doubts:
            return True
        first = self._suspects.get(info.name)
        is_second = first is not None and first is not info and first.topic_id == info.topic_id
        return is_second and info.name in self._named

    def _suspect(self, info: TopicInfo) -> Verdict:
        first = self._suspects.get(info.name)
        if first is not None and first.topic_id == info.topic_id:
            return Verdict.SAME
        self._suspects[info.name] = info
        return Verdict.SUSPECT
