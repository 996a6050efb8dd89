"""Which partition a message goes to: the partitioners PyKafka had, and Java's."""

from __future__ import annotations

import itertools
import struct
import threading
from collections.abc import Iterable, Sequence
from typing import Any, Callable, Optional

from .common import brief

#: Hashes of this many keys are remembered; then the memory is emptied and fills again.
MAX_REMEMBERED_KEYS = 100_000
#: Where most of them did not come again, so many are hashed before remembering is tried anew.
FORGETFUL_FOR_KEYS = 1_000_000


def _count(partitions: Sequence[Any]) -> int:
    if not partitions:
        raise ValueError("there are no partitions to choose from")
    return len(partitions)


def _callable(hash_func: Any) -> Callable[[bytes], int]:
    if not callable(hash_func):
        raise TypeError(f"hash_func must be callable, with a key and returning an int, not {brief(hash_func)}")
    function: Callable[[bytes], int] = hash_func
    return function


class BasePartitioner:
    """A callable that chooses one of ``partitions`` for ``key``; derive from it or give any such callable."""

    def __call__(self, partitions: Sequence[Any], key: Optional[bytes] = None) -> Any:
        """Return one of ``partitions``."""
        raise NotImplementedError("a partitioner must define __call__(partitions, key)")


class RandomPartitioner(BasePartitioner):
    """Deals messages out to the partitions in turn, exactly; the name is PyKafka's. Starts with the second partition."""

    def __init__(self) -> None:
        self._turn = 0
        self._lock = threading.RLock()
        #: the turns of messages that threads of the user's send by themselves: signals come there, where a lock could stay locked
        self.lone_turns = itertools.count(1)

    def __call__(self, partitions: Sequence[Any], key: Optional[bytes] = None) -> Any:
        """Return the next of ``partitions``, whatever the key."""
        return partitions[self.advance(1) % _count(partitions)]

    def advance(self, count: int) -> int:
        """Take ``count`` turns at once and return the number of the first, so that they can be dealt out by slices."""
        with self._lock:
            first = self._turn + 1
            self._turn += count
        return first


class _Hashes(dict[bytes, int]):
    """Remembers the hash of every key asked for, up to a bound: most topics see the same keys again and again."""

    def __init__(self, hash_func: Callable[[bytes], int]) -> None:
        super().__init__()
        self._hash_func = hash_func

    def __missing__(self, key: bytes) -> int:
        if len(self) >= MAX_REMEMBERED_KEYS:
            self.clear()
        value = self[key] = self._hash_func(key)
        return value


def _sha1(key: bytes) -> int:
    # PyKafka's default, kept exactly: another hash would move every key to another partition on upgrade
    import hashlib

    return int(hashlib.sha1(key).hexdigest(), 16)  # noqa: S324


class HashingPartitioner(BasePartitioner):
    """Sends equal keys to the same partition.

    :param hash_func: key -> int; None is the SHA-1 that PyKafka always used
    """

    #: our own way of choosing may run on the I/O thread, whole columns at once; a user's hash or subclass may not
    is_builtin = False

    def __init__(self, hash_func: Optional[Callable[[bytes], int]] = None) -> None:
        self.hash_func = _callable(hash_func) if hash_func is not None else _sha1
        self.is_builtin = hash_func is None and type(self) is HashingPartitioner
        self._hashes = _Hashes(self.hash_func)

    def __call__(self, partitions: Sequence[Any], key: Optional[bytes] = None) -> Any:
        """Return the partition of ``key``.

        :raises ValueError: when ``key`` is None
        """
        if key is None:
            raise ValueError("HashingPartitioner needs a partition_key for every message")
        ordered = sorted(partitions)
        return ordered[abs(self.hash_func(key)) % _count(ordered)]

    def assign(self, keys: Sequence[bytes], partition_ids: Sequence[int]) -> list[int]:
        """Return a partition id per key: what calling it for each would, at once. ``partition_ids`` are sorted."""
        count = len(partition_ids)
        hashes = self._hashes
        return [partition_ids[abs(hashes[key]) % count] for key in keys]  # hot: per message


class Murmur2Partitioner(HashingPartitioner):
    """Chooses the partition that Java's producer would for the same key (murmur2, sign bit cleared)."""

    def __init__(self) -> None:
        super().__init__(_positive_murmur2)
        self.is_builtin = type(self) is Murmur2Partitioner
        #: keys that were remembered already when they were asked for, since the memory was last empty
        self._recalled = 0
        #: for so many more keys nothing is remembered that can be hashed together
        self._forgetful_for = 0

    def assign(self, keys: Sequence[bytes], partition_ids: Sequence[int]) -> list[int]:
        """Return a partition id per key; keys not seen before are hashed together, a tenth of the work of one by one.

        To remember a key costs more than to hash it together with others. So where the memory filled up with keys that
        did not come again, only those are remembered for a while that are hashed alone: few of a length, or long ones.
        """
        count = len(partition_ids)
        if self._forgetful_for > 0:
            self._forgetful_for -= len(keys)
            # what cannot be hashed together costs more than to remember it
            fresh = _murmur2_of_all(keys, self._hashes.__getitem__)
            return [partition_ids[fresh[key] % count] for key in keys]  # hot: per message
        hashes = self._hashes
        found = list(map(hashes.get, keys))
        if None in found:
            fresh = _murmur2_of_all({key for key, known in zip(keys, found) if known is None})
            found = [fresh[key] if known is None else known for key, known in zip(keys, found)]
            self._remember(fresh)
            self._recalled += len(keys) - len(fresh)
        else:
            self._recalled += len(keys)
        return [partition_ids[known % count] for known in found]  # type: ignore[operator]  # hot: per message

    def _remember(self, fresh: dict[bytes, int]) -> None:
        if len(self._hashes) + len(fresh) > MAX_REMEMBERED_KEYS:
            if self._recalled < len(self._hashes):
                self._forgetful_for = FORGETFUL_FOR_KEYS
            self._hashes.clear()
            self._recalled = 0
        if len(fresh) <= MAX_REMEMBERED_KEYS:
            self._hashes.update(fresh)


class GroupHashingPartitioner(BasePartitioner):
    """Spreads each key over ``group_size`` neighbouring partitions in turn.

    :raises ValueError: without a hash function, or for a group size below 1
    """

    def __init__(self, hash_func: Optional[Callable[[bytes], int]], group_size: int = 1) -> None:
        if hash_func is None:
            raise ValueError("GroupHashingPartitioner needs a hash_func")
        if isinstance(group_size, bool) or not isinstance(group_size, int):
            raise TypeError(f"group_size must be an integer, not {brief(group_size)}")
        if group_size < 1:
            raise ValueError(f"group_size={group_size} must be at least 1")
        self.hash_func = _callable(hash_func)
        self.group_size = group_size
        self._turn = RandomPartitioner()

    def __call__(self, partitions: Sequence[Any], key: Optional[bytes] = None) -> Any:
        """Return the next of the key's partitions.

        :raises ValueError: when ``key`` is None, or there are fewer partitions than the group size
        """
        if key is None:
            raise ValueError("GroupHashingPartitioner needs a partition_key for every message")
        if self.group_size > len(partitions):
            raise ValueError(f"group_size={self.group_size} is more than the {len(partitions)} partitions there are")
        ordered = sorted(partitions)
        first = abs(self.hash_func(key)) % len(ordered)
        return ordered[(first + self._turn.advance(1) % self.group_size) % len(ordered)]


_M = 0x5BD1E995
_WORD = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """Return the 32-bit murmur2 of ``data`` with Java Kafka's seed, unsigned."""
    length = len(data)
    value = 0x9747B28C ^ length
    whole = length & ~3
    for start in range(0, whole, 4):
        word = int.from_bytes(data[start : start + 4], "little") * _M & _WORD
        word = (word ^ word >> 24) * _M & _WORD
        value = (value * _M & _WORD) ^ word
    if length > whole:
        value = (value ^ int.from_bytes(data[whole:], "little")) * _M & _WORD
    value = (value ^ value >> 13) * _M & _WORD
    return value ^ value >> 15


#: Fewer keys of one length than this are hashed one by one; more than the other at once leave the processor's cache.
_LEAST_TOGETHER = 8
_MOST_TOGETHER = 2048


def _murmur2_of_all(keys: Iterable[bytes], alone: Optional[Callable[[bytes], int]] = None) -> dict[bytes, int]:
    """Return key -> positive murmur2; ``alone`` hashes those that are not hashed together with others."""
    alone = alone or _positive_murmur2
    by_length: dict[int, list[bytes]] = {}
    for key in keys:
        by_length.setdefault(len(key), []).append(key)
    found: dict[bytes, int] = {}
    for length, alike in by_length.items():
        if len(alike) < _LEAST_TOGETHER or length > _LONGEST_TOGETHER:
            found.update((key, alone(key)) for key in alike)
            continue
        for start in range(0, len(alike), _MOST_TOGETHER):
            some = alike[start : start + _MOST_TOGETHER]
            found.update(zip(some, murmur2_together(some)))
    return found


#: Long keys are few; together they would make large numbers.
_LONGEST_TOGETHER = 256


def murmur2_together(keys: Sequence[bytes]) -> list[int]:
    """Return the positive murmur2 of each of ``keys``, which all have the same length.

    One large integer holds a 32-bit number of every key in 64 bits of its own, so that a product has room; after each
    product or shift, the mask takes away what got into the upper halves.
    """
    count, length = len(keys), len(keys[0])
    data = b"".join(keys)
    mask = int.from_bytes(b"\xff\xff\xff\xff\0\0\0\0" * count, "little")
    value = (0x9747B28C ^ length) * int.from_bytes(b"\1\0\0\0\0\0\0\0" * count, "little")
    whole = length & ~3
    # hot: per four bytes of all keys
    for start in range(0, whole, 4):
        word = _side_by_side(data, length, start, start + 4, count) * _M & mask
        word = (word ^ word >> 24 & mask) * _M & mask
        value = (value * _M & mask) ^ word
    if length > whole:
        value = (value ^ _side_by_side(data, length, whole, length, count)) * _M & mask
    value = (value ^ value >> 13 & mask) * _M & mask
    value = value ^ value >> 15 & mask
    return [each & 0x7FFFFFFF for each in struct.unpack(f"<{count}Q", value.to_bytes(8 * count, "little"))]


def _side_by_side(data: bytes, length: int, start: int, stop: int, count: int) -> int:
    """Return the bytes ``start`` to ``stop`` of each key, 64 bits apart, as one integer."""
    lanes = bytearray(8 * count)
    for place in range(start, stop):
        lanes[place - start :: 8] = data[place::length]
    return int.from_bytes(lanes, "little")


def _positive_murmur2(key: bytes) -> int:
    return murmur2(key) & 0x7FFFFFFF


#: Ready-made: PyKafka's default hash, and Java's.
hashing_partitioner = HashingPartitioner()
murmur2_partitioner = Murmur2Partitioner()
