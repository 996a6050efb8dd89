"""Where a consumer goes on when its position means nothing any more: the log was cut, made anew, or has just appeared."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple, Optional

from .common import OffsetType, TopicPartition
from .exceptions import KafkaException, LeaderNotFoundError

if TYPE_CHECKING:
    from ._engine.fetching import FetchCore
    from .offsets import OffsetManager, Start

log = logging.getLogger(__name__)


def go_on_after_out_of_range(
    offsets: OffsetManager, core: FetchCore, tp: TopicPartition, position: int, generation: int, reset: int
) -> None:
    """Have ``core`` go on at ``reset`` in a partition whose ``position`` is not in the log, or be told why it cannot.

    A seek or a stop in between counts for more: ``generation`` tells.
    """
    log.info("%s: offset %d is not in the log; going to %s", tp, position, reset)
    try:
        # asked once: it is the fetch that tries again, and this is the thread of all consumers of the client
        found = offsets.look_up({tp: reset}, some_will_do=True)
        if tp not in found:
            why = f"{tp} has no leader, or one that does not answer in time"
            raise LeaderNotFoundError(why, topic=tp.topic, partition=tp.partition)
        target = found[tp]
    except Exception as error:
        if not core.stopped:
            failure = error if isinstance(error, KafkaException) else KafkaException(f"no offset to go on from: {error!r}")
            core.reset_failed(tp, position, generation, failure)
        return
    if not core.stopped:
        core.jump(tp, target, generation)


class Places(NamedTuple):
    """Where partitions begin: those of a topic that was made anew, and those that the topic was given since."""

    made_anew: dict[TopicPartition, int]
    appeared: Start


def look_for_places(
    offsets: OffsetManager, core: FetchCore, partitions: Iterable[TopicPartition], read: Mapping[TopicPartition, object]
) -> Optional[Places]:
    """Return where partitions are read from that came while we read, as far as that can be found out now; None when nothing can.

    That is their beginning, whatever ``auto_offset_reset`` says: everything in them is newer than our start. A group that
    has read a new partition before goes on where it was. What is not found out is asked for again later, once the thread that
    this runs on has done what other consumers want of it.

    :param read: the partitions that are read already; those of them that ask again are made anew
    """
    tps = list(partitions)
    made_anew = [tp for tp in tps if tp in read]
    try:
        found = offsets.look_up(dict.fromkeys(made_anew, OffsetType.EARLIEST), some_will_do=True)
        appeared = [tp for tp in tps if tp not in read]
        start = offsets.start(appeared, OffsetType.EARLIEST, led_only=True, within_s=offsets.timeout_s)
    except Exception as error:
        if not core.stopped:
            log.warning("nowhere to start yet in %s, tried again later: %s", ", ".join(map(str, tps)), error)
            core.place_failed(tps)
        return None
    left = [tp for tp in tps if tp not in found and tp not in start.positions]
    if left and not core.stopped:
        core.place_failed(left)
    return Places(found, start)
