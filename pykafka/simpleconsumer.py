"""The SimpleConsumer: reads partitions of one topic, from where the offset rules say."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Optional, Union

from ._engine.fetching import FetchCore
from ._machines.positions import held_offset
from .common import OffsetType, TopicPartition
from .config import CONSUMER, check_options, to_name
from .consumer import Consumer
from .deserializing import Deserializer
from .exceptions import ConsumerStoppedException as ConsumerStoppedException
from .offset_arguments import chosen_partitions
from .offsets import Committer
from .partition import OwnedPartition, Partition
from .placing import look_for_places
from .records.message import Message as Message

if TYPE_CHECKING:
    from .cluster import Cluster
    from .protocol import OffsetFetchPartitionResponse
    from .topic import Topic


class SimpleConsumer(Consumer):
    """Reads partitions of one topic in order. Threads may share it; each message goes to one of them.

    Options and their defaults are listed in the documentation (``pykafka.config.CONSUMER``).

    :param consumer_group: where offsets are committed; it shares nothing out, every such consumer reads all partitions
    :raises KafkaConfigError: naming every option that is unknown, of the wrong type or out of range
    """

    def __init__(
        self,
        topic: Topic,
        cluster: Cluster,
        consumer_group: Union[str, bytes, None] = None,
        partitions: Optional[Iterable[Partition]] = None,
        fetch_message_max_bytes: int = 1048576,
        num_consumer_fetchers: int = 1,
        auto_commit_enable: bool = False,
        auto_commit_interval_ms: int = 60000,
        queued_max_messages: int = 2000,
        fetch_min_bytes: int = 1,
        fetch_error_backoff_ms: int = 500,
        fetch_wait_max_ms: int = 100,
        offsets_channel_backoff_ms: int = 1000,
        offsets_commit_max_retries: int = 5,
        auto_offset_reset: int = OffsetType.EARLIEST,
        consumer_timeout_ms: int = -1,
        auto_start: bool = True,
        reset_offset_on_start: bool = False,
        compacted_topic: bool = False,
        generation_id: int = -1,
        consumer_id: bytes = b"",
        deserializer: Optional[Deserializer] = None,
        reset_offset_on_fetch: bool = True,
        *,
        isolation_level: str = "read_committed",
        fetch_max_bytes: int = 52428800,
        fetch_memory_bytes: int = 67108864,
        max_decompressed_bytes: int = 134217728,
        client_rack: str = "",
        **unknown: Any,
    ) -> None:
        given = {name: value for name, value in dict(locals()).items() if name in CONSUMER}
        options = check_options("SimpleConsumer", CONSUMER, {**given, **unknown})
        super().__init__(cluster, options)
        self._topic = topic
        #: whether partitions are read as well that the topic is given later; who chose some reads those
        self._follows = partitions is None
        self._owned = {partition.tp: partition for partition in chosen_partitions(topic, partitions)}
        self.consumer_id: Union[bytes, str] = options["consumer_id"]
        self.generation_id = generation_id
        if options["auto_start"]:
            self.start()

    def __repr__(self) -> str:
        state = "running" if self._running else "stopped"
        return f"<SimpleConsumer {self._topic.name.decode()} group={self._group!r} {state}>"

    def __enter__(self) -> SimpleConsumer:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    # -- starting and stopping ----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Find out where to start, and begin to fetch; does nothing when running.

        A partition without a leader is read once it has one: one of which nothing is committed, by a consumer that was not
        given partitions and begins at the earliest offset. Any other that has to be looked up is waited for.

        :raises KafkaException: when the offsets could not be had: nothing was started then
        """
        with self._lifecycle:
            if not self._wants_to_start():
                return
            self._start_whole()
            if self._is_stop_wanted:
                self.stop()

    def _start(self) -> None:
        name = self._topic.name.decode()
        self._offsets.refresh([name])
        if self._follows and self._topic.partitions:
            self._owned = {partition.tp: partition for partition in self._topic.partitions.values()}
        # at the beginning a partition can be placed at any time; the end moves on, and what is written meanwhile would be lost
        leave_out = self._follows and self._options["auto_offset_reset"] == OffsetType.EARLIEST
        start = self._offsets.start(self._owned, kept=self._kept(), leave_out=leave_out)
        self._owned = {tp: partition for tp, partition in self._owned.items() if tp in start.positions}
        self._commits.note(start.positions)
        if start.commit:
            self._commits.commit(lambda: start.commit, self._committer)
        core = self._make_core()
        self._cluster.track(self)
        core.start(self._owned, [name] if self._follows else [])
        self._begin(core, start.positions)
        self._start_auto_commits()

    def _kept(self) -> dict[TopicPartition, int]:
        """Return where a consumer without a group goes on: where it was, or at the beginning of a topic made anew since."""
        if self._group is not None or self._options["reset_offset_on_start"]:
            return {}
        anew = [tp for tp in self._parked if tp in self._owned and not self._is_there_still(tp, self._parked_ids)]
        return {**self._parked, **self._offsets.look_up(dict.fromkeys(anew, OffsetType.EARLIEST))}

    def stop(self) -> None:
        """Stop fetching, commit what was delivered if auto-commit is on, and wake every waiting consume(). Twice is harmless.

        :raises KafkaException: when the last commit failed
        """
        with self._lifecycle:
            if not self._wants_to_stop():
                return
            self._stop_whole()
            wants_start = self._is_start_wanted
        if wants_start:
            self.start()

    def _stop(self) -> bool:
        try:
            self._end()
            self._end_auto_commits()
        finally:
            self._stop_cores()
        return True

    cleanup = stop

    # -- partitions and offsets ---------------------------------------------------------------------------------------

    @property
    def topic(self) -> Topic:
        """Return the topic."""
        return self._topic

    @property
    def partitions(self) -> dict[int, Partition]:
        """Return the partitions that are read, by number."""
        return {tp.partition: partition for tp, partition in self._owned.items()}

    @property
    def _partitions(self) -> dict[Partition, OwnedPartition]:
        return self._progress()

    @property
    def held_offsets(self) -> dict[int, int]:
        """Return the offset of the last message delivered, by partition; -2 where nothing was."""
        positions = self._positions()
        return {tp.partition: held_offset(positions.get(tp)) for tp in self._owned}

    def _committer(self) -> Committer:
        return Committer(to_name(self.consumer_id, "consumer_id") if self.consumer_id else b"")

    def fetch_offsets(self) -> list[tuple[int, OffsetFetchPartitionResponse]]:
        """Return (partition number, what the group committed for it); moves there unless ``reset_offset_on_fetch`` is off.

        :raises KafkaException: when they could not be had, or there is no consumer_group
        """
        return sorted((tp.partition, row) for tp, row in self._fetch_committed().items())

    # -- partitions that appear ---------------------------------------------------------------------------------------

    def _place(self, core: FetchCore, generations: dict[TopicPartition, int]) -> None:
        """Begin with partitions that appeared, and with all those of a topic that was made anew."""
        places = look_for_places(self._offsets, core, generations, self._owned)
        if places is None:
            return
        begins, commit, known = *places.appeared, self._topic.partitions
        # before anything is delivered, whose commit would else be undone by this one
        begin = lambda read, who: self._commits.commit(read, who, self._offsets.timeout_s)  # noqa: E731  # others wait for us
        is_committed = not commit or self._commit_quietly(begin, lambda: commit)
        with self._lock:
            if self._core is not core:
                return
            for tp, position in places.made_anew.items():
                core.jump(tp, position, generations[tp])
            if not is_committed:
                core.place_failed(begins)
                return
            new = [known.get(tp.partition) or Partition(self._topic, tp.partition, None, [], []) for tp in begins]
            self._adopt(core, new)
            self._seek(begins)
