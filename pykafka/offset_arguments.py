"""What users give as partitions, offsets and times, checked once and made into numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Optional, Union

from ._machines.positions import position_after
from .common import OffsetType, TopicPartition, brief
from .exceptions import KafkaException
from .partition import Partition
from .records.message import to_epoch_ms

if TYPE_CHECKING:
    import datetime

    from .topic import Topic

#: The largest offset there can be: an int64 on the wire.
MAX_OFFSET = 2**63 - 1

Where = Union[int, "datetime.datetime"]
PartitionOffsets = Union[Iterable[tuple[Partition, Where]], Mapping[Partition, Where]]


def chosen_partitions(topic: Topic, partitions: Optional[Iterable[Partition]]) -> list[Partition]:
    """Return the partitions to read, after looking at each of those given."""
    if partitions is None:
        return list(topic.partitions.values())
    try:
        chosen = list(partitions)
    except TypeError:
        raise TypeError(f"partitions must be some of topic.partitions.values(), not {type(partitions).__name__}") from None
    for partition in chosen:
        if not isinstance(partition, Partition):
            raise TypeError(f"partitions must be Partition objects, from topic.partitions, not {type(partition).__name__}")
        if topic.partitions.get(partition.id) != partition:
            raise KafkaException(f"{partition!r} is not a partition of {topic!r}")
    return chosen


def owned_tp(partition: Any, owned: Mapping[TopicPartition, Partition]) -> TopicPartition:
    """Return the names of ``partition``, which must be one of ``owned``."""
    if not isinstance(partition, Partition):
        raise TypeError(f"a Partition is needed, from topic.partitions, not {type(partition).__name__}")
    if partition.tp not in owned:
        raise KafkaException(f"{partition!r} is not one of the partitions this consumer reads: {list(owned.values())}")
    return partition.tp


def owned_tps(partitions: Any, owned: Mapping[TopicPartition, Partition]) -> list[TopicPartition]:
    """Return the names of some of the partitions ``owned``."""
    if isinstance(partitions, (str, bytes)) or not isinstance(partitions, Iterable):
        raise TypeError(f"Partitions must be given as a list, not {brief(partitions)}")
    return [owned_tp(partition, owned) for partition in partitions]


def pairs(partition_offsets: PartitionOffsets) -> list[tuple[Any, Any]]:
    """Return the (partition, where) pairs of a dict, or of an iterable of pairs."""
    try:
        given = list(partition_offsets.items() if isinstance(partition_offsets, Mapping) else partition_offsets)
    except TypeError:
        raise TypeError(f"partition_offsets must be pairs of a Partition and an offset, not {brief(partition_offsets)}") from None
    for pair in given:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise TypeError(f"pairs of a Partition and an offset are needed, not {type(pair).__name__}")
    return given


def answered_moves(answer: Any, owned: Mapping[Any, Partition]) -> list[tuple[Partition, Where]]:
    """Return what a ``post_rebalance_callback`` has answered as pairs for ``reset_offsets()``, those of ``owned`` only.

    What else it names may be read by other members by now. Whether an offset can be one is for ``reset_offsets()`` to see.

    :param owned: key -> partition, by the keys that the callback was given
    :raises TypeError: for anything else than what it may answer
    """
    if answer is None:
        return []
    try:
        given = pairs(answer)
    except TypeError:
        raise TypeError(f"{_MAY_ANSWER}, not {brief(answer)}") from None
    by_name = {partition.tp: key for key, partition in owned.items()}
    moves: list[tuple[Partition, Where]] = []
    for key, where in given:
        if owned and not isinstance(key, Partition) and not _is_like(key, next(iter(owned))):
            raise TypeError(f"{_MAY_ANSWER}; {brief(key)} is no partition")
        mine = by_name.get(key.tp) if isinstance(key, Partition) else key
        if mine in owned:
            moves.append((owned[mine], where))
    return moves


_MAY_ANSWER = (
    "post_rebalance_callback may return None, {partition: offset} with the keys of the dicts it is given or with Partition"
    " objects, or [(Partition, offset), ...] as reset_offsets() takes it"
)


def _is_like(key: Any, known: Any) -> bool:
    """Return whether ``key`` could be another partition's, where ``known`` is one's: a number, or (topic, number)."""
    if isinstance(known, tuple):
        return isinstance(key, tuple) and [type(one) for one in key] == [type(one) for one in known]
    return type(key) is type(known)


def checked_offset(offset: Any) -> int:
    """Return ``offset``, the next one to read, if it can be one."""
    if isinstance(offset, bool) or not isinstance(offset, int):
        raise TypeError(f"an offset is an integer, not {type(offset).__name__}")
    if not 0 <= offset <= MAX_OFFSET:
        raise ValueError(f"offset={offset} must be from 0 to {MAX_OFFSET}")
    return offset


def check_count(what: str, count: Any) -> None:
    """Return if ``count`` is an integer above 0."""
    if isinstance(count, bool) or not isinstance(count, int):
        raise TypeError(f"{what} must be an integer, not {type(count).__name__}")
    if count < 1:
        raise ValueError(f"{what}={count} must be at least 1")


def destinations(
    partition_offsets: PartitionOffsets, owned: Mapping[TopicPartition, Partition]
) -> tuple[dict[TopicPartition, int], dict[TopicPartition, int]]:
    """Return where partitions are to go: the positions given, and the times that have yet to be looked up."""
    wanted = {owned_tp(partition, owned): where for partition, where in pairs(partition_offsets)}
    positions = {tp: position_after(where) for tp, where in wanted.items() if is_last_consumed(where)}
    return positions, {tp: checked_time(where) for tp, where in wanted.items() if tp not in positions}


def is_last_consumed(where: Any) -> bool:
    """Return whether ``where`` is an offset; it is checked here, since -1 and -2 are no offsets but OffsetTypes."""
    if isinstance(where, bool) or not isinstance(where, int) or where in (-1, -2):
        return False
    if not 0 <= where < MAX_OFFSET:
        raise ValueError(
            f"an offset last consumed is from 0 to {MAX_OFFSET - 1}, not {where}: for the beginning of the log, where there is"
            " nothing before the first message, give OffsetType.EARLIEST"
        )
    return True


def checked_time(where: Any) -> int:
    """Return what ListOffsets takes: -1, -2, or epoch milliseconds."""
    if isinstance(where, (bool, float)):
        raise ValueError(f"an offset is an int, an OffsetType or a datetime, not {type(where).__name__}")
    try:
        return lookup_time(where)
    except TypeError:
        raise ValueError(f"an offset is an int, an OffsetType or a datetime, not {type(where).__name__}") from None


def lookup_time(where: Any) -> int:
    """Return what ListOffsets takes for an OffsetType, epoch milliseconds or a datetime (naive means UTC).

    A moment before 1970 is 1970: as a negative number it would mean something else.

    :raises TypeError: for anything else
    :raises ValueError: for a number below -2, which would mean something else to brokers
    """
    time = to_epoch_ms(where, "the time")
    if isinstance(where, int) and time < OffsetType.EARLIEST:
        raise ValueError(f"the time must be milliseconds since 1970, OffsetType.LATEST (-1) or EARLIEST (-2), not {where}")
    return time if isinstance(where, int) else max(0, time)
