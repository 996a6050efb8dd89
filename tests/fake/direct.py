"""What tests of the short way share: producers on it, and what is in the log."""

from __future__ import annotations

from collections import Counter
from typing import Any, Optional

from pykafka import KafkaClient, Producer
from pykafka.testing import FakeCluster

from ..support import until

PARTITIONS = 3
FAST = {"retry_backoff_ms": 1, "pending_timeout_ms": 20000}


def is_direct(producer: Producer) -> bool:
    """Return whether the next message may go by the caller's own thread, whatever its partition."""
    path = producer._core.direct
    return path._is_open and len(path._loans) == len(producer._core.partition_ids)


def warm(producer: Producer) -> list[bytes]:
    """Produce one message at a time until they go directly; return them."""
    made: list[bytes] = []

    def more() -> bool:
        made.append(b"warm%d" % len(made))
        producer.produce(made[-1])
        return is_direct(producer)

    until(more, what="the short way")
    return made


def warmed(client: KafkaClient, **options: Any) -> Producer:
    """Return a sync producer whose next message goes directly."""
    producer = client.topics["t"].get_sync_producer(**{**FAST, **options})
    warm(producer)
    return producer


def written(kafka: FakeCluster) -> Counter[Optional[bytes]]:
    """Return how often each value is in the log, those before the short way left out."""
    return Counter(value for value in kafka.values("t") if value is None or not value.startswith(b"warm"))
