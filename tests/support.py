"""What several test files need: creating topics, waiting with a deadline, reading everything."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Container
from pathlib import Path
from types import FrameType
from typing import Any, Callable, Optional

from pykafka import KafkaClient, Topic
from pykafka.broker import CreateTopicRequest
from pykafka.records.message import Message

ROOT = Path(__file__).resolve().parent.parent


def run_python(code: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
    """Return what became of ``code`` in an interpreter of its own."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=timeout_s, check=False)


def until(condition: Callable[[], Any], timeout_s: float = 30.0, what: str = "the condition") -> Any:
    """Return what ``condition`` returns as soon as it is true; fail when it is not within ``timeout_s``."""
    deadline = time.monotonic() + timeout_s
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true within {timeout_s} s")
        time.sleep(0.02)


def create_topic(client: KafkaClient, name: str, partitions: int = 1, replicas: int = 1, **settings: str) -> Topic:
    """Return a new topic, once every partition's leader serves it; ``max_message_bytes`` stands for max.message.bytes."""
    entries = {key.replace("_", "."): value for key, value in settings.items()}
    controller = client.cluster.controller_broker or next(iter(client.brokers.values()))
    controller.create_topics([CreateTopicRequest(name, partitions, replicas, config_entries=entries)])

    def led() -> bool:
        client.update_cluster()
        info = client.cluster.engine.view.topics.get(name)
        return (
            info is not None
            and len(info.partitions) == partitions
            and all(part.leader in client.brokers for part in info.partitions.values())
        )

    until(led, what=f"a leader for every partition of {name}")
    topic = client.topics[name]
    # a broker names itself the leader in metadata a moment before it takes anything for the partition, and what comes
    # in between with acks=0 is dropped without a word
    topic.latest_available_offsets()
    return topic


def read_all(topic: Topic, count: int, timeout_ms: int = 15000, **options: Any) -> list[Message]:
    """Return the first ``count`` messages of a topic, without a group."""
    got: list[Message] = []
    with topic.get_simple_consumer(consumer_timeout_ms=timeout_ms, **options) as consumer:
        while len(got) < count:
            batch = consumer.consume_batch(count - len(got))
            if not batch:
                break
            got += batch
    return got


def values(messages: list[Message]) -> list[Any]:
    """Return the values of ``messages``."""
    return [message.value for message in messages]


def fill_stderr(blocking: bool) -> None:
    """Fill the pipe that stderr is, in a script whose stderr nobody reads; who writes more waits (``blocking``) or is refused."""
    os.set_blocking(2, False)
    try:
        while True:
            os.write(2, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(2, blocking)


class Interrupting:
    """A trace function that raises KeyboardInterrupt before an opcode, counted in some files, as a signal handler may."""

    def __init__(self, number: int, files: Container[Optional[str]]) -> None:
        self.number = number
        self.files = files
        self.seen = 0

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        """Trace."""
        if frame.f_code.co_filename not in self.files:
            return None
        frame.f_trace_opcodes = True
        if event in ("opcode", "line"):  # CPython 3.12 tells of lines only
            self.seen += 1
            if self.seen == self.number:
                raise KeyboardInterrupt
        return self
