"""How much memory reading a large topic takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, Callable

import pytest

from pykafka import Topic

MakeTopic = Callable[..., Topic]
ROOT = Path(__file__).resolve().parent.parent.parent


def test_two_million_messages_are_read_in_less_than_150_mb(kafka: Any, make_topic: MakeTopic) -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("the memory of a process is read from /proc")
    topic = make_topic(4)
    with topic.get_producer(max_queued_messages=500000) as producer:
        for _ in range(200):
            producer.produce_many([b"x" * 100] * 10000)
    code = f"""
from pykafka import KafkaClient
with KafkaClient({kafka.hosts!r}) as client:
    with client.topics[{topic.name!r}].get_simple_consumer(consumer_timeout_ms=30000) as consumer:
        got = 0
        for message in consumer:
            got += 1
            if got == 2000000:
                break
peak = [line for line in open("/proc/self/status") if line.startswith("VmHWM")][0].split()[1]
print(got, peak)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True, timeout=300)
    got, peak_kb = done.stdout.split()
    assert int(got) == 2000000
    assert int(peak_kb) < 150 * 1024
