"""Where a consumer goes on when its position means nothing any more: the log was cut, made anew, or has just appeared."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple, Optional

from .common import OffsetType
from .exceptions import KafkaException

if TYPE_CHECKING:
    from ._engine.fetching import FetchCore
    from .offsets import OffsetManager, Start

log = logging.getLogger(__name__)


def go_on_after_out_of_range(
    offsets: OffsetManager, core: FetchCore, partition_id: int, position: int, generation: int, reset: int
) -> None:
    """Have ``core`` go on at ``reset`` in a partition whose ``position`` is not in the log, or be told why it cannot.

    A seek or a stop in between counts for more: ``generation`` tells.
    """
    log.info("%s/%d: offset %d is not in the log; going to %s", core.settings.topic, partition_id, position, reset)
    try:
        target = offsets.look_up({partition_id: reset})[partition_id]
    except Exception as error:
        if not core.stopped:
            failure = error if isinstance(error, KafkaException) else KafkaException(f"no offset to go on from: {error!r}")
            core.reset_failed(partition_id, position, generation, failure)
        return
    if not core.stopped:
        core.jump(partition_id, target, generation)


class Places(NamedTuple):
    """Where partitions begin: those of a topic that was made anew, and those that the topic was given since."""

    made_anew: dict[int, int]
    appeared: Start


def look_for_places(
    offsets: OffsetManager, core: FetchCore, partition_ids: Iterable[int], read: Mapping[int, object]
) -> Optional[Places]:
    """Return where partitions are read from that came while we read; None when that could not be found out yet.

    That is their beginning, whatever ``auto_offset_reset`` says: everything in them is newer than our start. A group that
    has read a new partition before goes on where it was.

    :param read: the partitions that are read already; those of them that ask again are made anew
    """
    ids = list(partition_ids)
    made_anew = [pid for pid in ids if pid in read]
    try:
        found = offsets.look_up(dict.fromkeys(made_anew, OffsetType.EARLIEST))
        start = offsets.start([pid for pid in ids if pid not in read], OffsetType.EARLIEST)
    except Exception as error:
        if not core.stopped:
            log.warning("%s: nowhere to start yet in partitions %s, tried again later: %s", core.settings.topic, ids, error)
            core.place_failed(ids)
        return None
    return Places(found, start)
