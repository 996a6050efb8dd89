"""A Kafka cluster for your tests, in your process: real sockets, no Java, nothing kept.

::

    with FakeCluster(brokers=3, topics={"clicks": 4}) as kafka, KafkaClient(kafka.hosts) as client:
        kafka.fail_next("Produce", NotLeaderForPartition, times=2)
        ...
        assert kafka.values("clicks", 0) == [b"a", b"b"]

pytest loads this package wherever PyKafka is installed, for its fixtures: what is in it is loaded when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .batches import Record
    from .clock import ManualClock
    from .cluster import FakeCluster
    from .faults import DROP, SILENCE
    from .group_common import GroupSettings
    from .journal import Journal, Seen

__all__ = ["DROP", "SILENCE", "FakeCluster", "GroupSettings", "Journal", "ManualClock", "Record", "Seen"]

#: Public name -> the module it lives in.
_HOMES = {
    "DROP": "faults",
    "FakeCluster": "cluster",
    "GroupSettings": "group_common",
    "Journal": "journal",
    "ManualClock": "clock",
    "Record": "batches",
    "SILENCE": "faults",
    "Seen": "journal",
}


def __getattr__(name: str) -> Any:
    """Load a class when it is first used."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f".{home}", __name__), name)
    return value


def __dir__() -> list[str]:
    """Return the public names, loaded or not."""
    return sorted({*globals(), *__all__})
