"""What the programs in PyKafka's style share: topics with known contents, and short ways to look at what was read."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Callable, Optional

from pykafka import Topic
from pykafka.records.message import Message

MakeTopic = Callable[..., Topic]
ROOT = Path(__file__).resolve().parent.parent.parent


def by_number(partitions: Any, key: Optional[bytes]) -> Any:
    """Choose the partition whose number the key is: how programs put messages where they wanted them."""
    return partitions[int(key or b"0")]


def fill(topic: Topic, *counts: int) -> None:
    """Write ``counts[0]`` messages to partition 0, and so on; each has "partition-offset" for a value."""
    with topic.get_producer(partitioner=by_number) as producer:
        for partition, count in enumerate(counts):
            for number in range(count):
                producer.produce(b"%d-%d" % (partition, number), partition_key=b"%d" % partition)


def places(messages: Iterable[Optional[Message]]) -> list[tuple[int, int]]:
    """Return (partition, offset) of every message, sorted."""
    return sorted((message.partition_id, message.offset) for message in messages if message is not None)


def all_of(*counts: int) -> list[tuple[int, int]]:
    """Return (partition, offset) of everything that :func:`fill` wrote."""
    return [(partition, offset) for partition, count in enumerate(counts) for offset in range(count)]


def script(code: str, timeout_s: float = 60) -> str:
    """Return what a program printed that ran in an interpreter of its own and ended well."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=timeout_s, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
