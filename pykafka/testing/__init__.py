"""A Kafka cluster for your tests, in your process: real sockets, no Java, nothing kept.

::

    with FakeCluster(brokers=3, topics={"clicks": 4}) as kafka, KafkaClient(kafka.hosts) as client:
        kafka.fail_next("Produce", NotLeaderForPartition, times=2)
        ...
        assert kafka.values("clicks", 0) == [b"a", b"b"]
"""

from __future__ import annotations

from .batches import Record
from .clock import ManualClock
from .cluster import FakeCluster
from .faults import DROP, SILENCE
from .journal import Journal, Seen

__all__ = ["DROP", "SILENCE", "FakeCluster", "Journal", "ManualClock", "Record", "Seen"]
