"""The topics that a member of a group reads: those it names, and those that its pattern is true of."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Optional

from ._engine.waiting import Deadline
from ._errors.context import asking_about
from .common import TopicPartition
from .partition import Partition

if TYPE_CHECKING:
    from ._machines.metadata import ClusterView
    from .cluster import Cluster
    from .topic import Topic

log = logging.getLogger(__name__)


class GroupTopics:
    """Topics by name; ``by_name`` is replaced whenever there is another one, so that who looks through it needs no lock."""

    def __init__(self, cluster: Cluster, topics: Iterable[Topic], pattern: Optional[str]) -> None:
        self._cluster = cluster
        self._pattern = None if pattern is None else re.compile(pattern)
        self.by_name: dict[str, Topic] = {topic.name.decode(): topic for topic in topics}
        #: the partitions that there were when reading began
        self._there_at_start: dict[str, set[int]] = {}
        self._in_use: set[str] = set()
        self._reading = False
        #: whether users see partitions by (topic, number), and not by their numbers alone
        self.keys_have_topics = False
        self._is_pattern_in_vain = False

    @property
    def pattern(self) -> Optional[str]:
        """Return the regular expression, if there is one."""
        return None if self._pattern is None else self._pattern.pattern

    def matches(self, name: str) -> bool:
        """Return whether a topic is to be read because of its name; Kafka's own never are."""
        return self._pattern is not None and not name.startswith("__") and self._pattern.fullmatch(name) is not None

    def begin(self) -> None:
        """Begin to read: what comes from now on is new. Metadata is kept fresh until :meth:`end`."""
        view = self._cluster.engine.view
        self._there_at_start = {name: set(view.partitions(name)) for name in self.by_name}
        self._reading = True
        self._use(self.by_name)

    def end(self) -> None:
        """Undo :meth:`begin`."""
        self._reading = False
        used, self._in_use = self._in_use, set()
        self._cluster.engine.release_topics(used)

    def _use(self, names: Iterable[str]) -> None:
        new = set(names) - self._in_use
        self._in_use |= new
        self._cluster.engine.use_topics(new)

    def find(self) -> bool:
        """Refresh, and take up the topics that the pattern is true of; return whether there are any that were not known before.

        :raises KafkaException: when the brokers cannot be asked
        """
        self.refresh()
        view = self._cluster.engine.view
        matching = {name for name, info in view.topics.items() if self.matches(name) and not info.error_code}
        self._say_if_in_vain(matching)
        new = sorted(matching - self.by_name.keys())
        if new:
            self._take_up(new)
        return bool(new)

    def _say_if_in_vain(self, matching: Collection[str]) -> None:
        """Warn of a pattern that no topic matches: it may be a mistake. Once, until there has been one."""
        was, self._is_pattern_in_vain = self._is_pattern_in_vain, self._pattern is not None and not matching
        if self._is_pattern_in_vain and not was:
            log.warning("no topic's whole name matches the pattern %r at present; one that comes later is read", self.pattern)

    def _take_up(self, names: Iterable[str]) -> None:
        found: dict[str, Topic] = {}
        try:
            for name in names:
                found[name] = self._cluster.topics[name]
        finally:  # one that is gone by now is in the way of none before it
            self.by_name = {**self.by_name, **found}
            if self._reading:
                self._use(found)

    def refresh(self) -> None:
        """Ask for the present state of the topics, and of all where a pattern has to be matched.

        :raises KafkaException: when the brokers cannot be asked
        """
        wanted = None if self._pattern is not None else sorted(self.by_name)
        with asking_about(wanted or []):
            self._cluster.engine.update(wanted, Deadline(self._cluster.socket_timeout_s))

    def ids(self, view: ClusterView) -> dict[bytes, str]:
        """Return topic id -> name of the topics that are read; nothing is matched for it, so that the I/O thread may ask."""
        infos = map(view.topics.get, self.by_name)
        return {info.topic_id: info.name for info in infos if info is not None}

    def look_up(self, topic_ids: Collection[bytes]) -> dict[bytes, str]:
        """Return id -> name of those of ``topic_ids`` that are known, and may be read; the brokers are asked where one is not.

        :raises KafkaException: when the brokers cannot be asked
        """
        found = self._named(topic_ids)
        if len(found) < len(topic_ids):
            self.refresh()
            found = self._named(topic_ids)
        return found

    def _named(self, topic_ids: Collection[bytes]) -> dict[bytes, str]:
        infos = [info for info in self._cluster.engine.view.topics.values() if info.topic_id in topic_ids]
        return {info.topic_id: info.name for info in infos if info.name in self.by_name or self.matches(info.name)}

    def partition(self, tp: TopicPartition) -> Optional[Partition]:
        """Return a partition that the group gives us; None for one of a topic that we have not asked for."""
        if tp.topic not in self.by_name and self.matches(tp.topic):
            self._take_up([tp.topic])
        topic = self.by_name.get(tp.topic)
        if topic is None:
            log.warning("%s is given to us, of a topic that we have not asked for; it is left alone", tp)
            return None
        return topic.partitions.get(tp.partition) or Partition(topic, tp.partition, None, [], [])

    def was_there(self, tp: TopicPartition) -> bool:
        """Return whether a partition was there when reading began."""
        return tp.partition in self._there_at_start.get(tp.topic, ())
