"""What brokers of each version of Kafka say they understand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ..protocol.schema import REQUESTS

NEWEST = "4.4"
Range = tuple[int, int]

#: API -> the range that each version of Kafka advertises, from the version where it changed on. A missing API was not there yet.
#: Produce below 3, Fetch below 4 and ListOffsets 0 are about logs without record batches, which are not kept here.
_TABLE: Mapping[str, Mapping[str, Range]] = {
    "Produce": {
        "0.11": (3, 3), "1.0": (3, 5), "2.0": (3, 6), "2.1": (3, 7), "2.4": (3, 8), "2.8": (3, 9), "3.7": (3, 10), "3.8": (3, 11),
        "4.0": (0, 12), "4.1": (0, 13),
    },
    "Fetch": {
        "0.11": (4, 5), "1.0": (4, 6), "1.1": (4, 7), "2.0": (4, 8), "2.1": (4, 10), "2.3": (4, 11), "2.7": (4, 12),
        "3.1": (4, 13), "3.5": (4, 15), "3.7": (4, 16), "3.9": (4, 17), "4.1": (4, 18),
    },
    "ListOffsets": {
        "0.11": (1, 2), "2.0": (1, 3), "2.1": (1, 5), "2.8": (1, 6), "3.0": (1, 7), "3.4": (1, 7), "3.6": (1, 8), "3.9": (1, 9),
        "4.0": (1, 10), "4.2": (1, 11),
    },
    "Metadata": {
        "0.11": (0, 4), "1.0": (0, 5), "2.0": (0, 6), "2.1": (0, 7), "2.3": (0, 8), "2.4": (0, 9), "2.8": (0, 11), "3.1": (0, 12),
        "4.0": (0, 13),
    },
    "OffsetCommit": {
        "0.11": (0, 3), "2.0": (0, 4), "2.1": (0, 6), "2.3": (0, 7), "2.4": (0, 8), "3.6": (0, 9), "4.0": (2, 9), "4.2": (2, 10),
    },
    "OffsetFetch": {
        "0.11": (0, 3), "2.0": (0, 4), "2.1": (0, 5), "2.4": (0, 6), "2.5": (0, 7), "3.0": (0, 8), "3.6": (0, 9), "4.0": (1, 9),
        "4.2": (1, 10),
    },
    "FindCoordinator": {"0.11": (0, 1), "2.0": (0, 2), "2.4": (0, 3), "3.0": (0, 4), "3.8": (0, 5), "3.9": (0, 6)},
    "JoinGroup": {
        "0.11": (0, 2), "2.0": (0, 3), "2.2": (0, 4), "2.3": (0, 5), "2.4": (0, 6), "2.5": (0, 7), "3.2": (0, 9),
    },
    "Heartbeat": {"0.11": (0, 1), "2.0": (0, 2), "2.3": (0, 3), "2.4": (0, 4)},
    "LeaveGroup": {"0.11": (0, 1), "2.0": (0, 2), "2.4": (0, 4), "3.2": (0, 5)},
    "SyncGroup": {"0.11": (0, 1), "2.0": (0, 2), "2.3": (0, 3), "2.4": (0, 4), "2.5": (0, 5)},
    "DescribeGroups": {"0.11": (0, 1), "2.0": (0, 2), "2.3": (0, 3), "2.4": (0, 5), "4.0": (0, 6)},
    "ListGroups": {"0.11": (0, 1), "2.0": (0, 2), "2.4": (0, 3), "2.6": (0, 4), "3.8": (0, 5)},
    "DeleteGroups": {"1.1": (0, 0), "2.0": (0, 1), "2.4": (0, 2), "4.4": (0, 3)},
    "ApiVersions": {"0.11": (0, 1), "2.0": (0, 2), "2.4": (0, 3), "3.9": (0, 4), "4.4": (0, 5)},
    "CreateTopics": {
        "0.11": (0, 2), "2.0": (0, 3), "2.4": (0, 5), "2.7": (0, 6), "2.8": (0, 7), "4.0": (2, 7),
    },
    "DeleteTopics": {"0.11": (0, 1), "2.0": (0, 2), "2.1": (0, 3), "2.4": (0, 4), "2.7": (0, 5), "2.8": (0, 6), "4.0": (1, 6)},
    "CreatePartitions": {"1.0": (0, 0), "2.0": (0, 1), "2.4": (0, 2), "2.7": (0, 3)},
    "DeleteRecords": {"0.11": (0, 0), "2.0": (0, 1), "2.6": (0, 2)},
    "AlterConfigs": {"0.11": (0, 0), "2.0": (0, 1), "2.8": (0, 2)},
    "IncrementalAlterConfigs": {"2.3": (0, 0), "2.4": (0, 1)},
    "InitProducerId": {"0.11": (0, 0), "2.0": (0, 1), "2.4": (0, 2), "2.5": (0, 3), "2.7": (0, 4), "3.8": (0, 5)},
    "OffsetForLeaderEpoch": {"0.11": (0, 0), "2.0": (0, 1), "2.1": (0, 2), "2.3": (0, 3), "2.8": (0, 4), "4.0": (2, 4)},
    "DescribeConfigs": {"0.11": (0, 0), "1.1": (0, 1), "2.0": (0, 2), "2.6": (0, 3), "2.8": (0, 4), "4.0": (1, 4)},
    # brokers of before have ZooKeeper
    "DescribeQuorum": {"3.3": (0, 1), "3.9": (0, 2)},
    "ConsumerGroupHeartbeat": {"4.0": (0, 1)},
    "ConsumerGroupDescribe": {"4.0": (0, 1)},
}  # fmt: skip

#: Feature -> the first version of Kafka that has it switched on, and at which level.
_FEATURES = {"group.version": ("4.0", 1)}


class Feature(NamedTuple):
    """A feature that the cluster has switched on."""

    name: str
    level: int


class Version:
    """A version of Kafka, ``2.8`` or ``2.8.1``, and what its brokers understand."""

    def __init__(self, text: str) -> None:
        try:
            self.numbers = _numbers(text)
        except (ValueError, AttributeError):
            raise ValueError(f"as_version={text!r} is no version of Kafka: write it as '2.8'") from None
        if not (0, 11) <= self.numbers[:2] <= _numbers(NEWEST):
            raise ValueError(f"as_version={text!r}: there are versions from 0.11 to {NEWEST}")

    def __ge__(self, other: str) -> bool:
        return self.numbers >= _numbers(other)

    def ranges(self, names: Iterable[str]) -> dict[int, Range]:
        """Return API key -> (oldest, newest) of those APIs in ``names`` that this version has."""
        wanted = set(names)
        found: dict[int, Range] = {}
        for key, request in REQUESTS.items():
            rows = [bounds for since, bounds in _TABLE.get(request.NAME, {}).items() if self >= since]
            if rows and request.NAME in wanted:
                found[key] = rows[-1]
        return found

    def features(self) -> list[Feature]:
        """Return the features that are on."""
        return [Feature(name, level) for name, (since, level) in _FEATURES.items() if self >= since]


def _numbers(text: str) -> tuple[int, ...]:
    major, minor, *rest = (int(part) for part in text.split("."))
    return major, minor, *rest
