"""One member of a group in a process of its own: ``python -m benchmarks.group_member HOSTS GROUP TOPIC WAYS``.

It writes a line of JSON to standard output for everything that happens to it, before it does anything that others see of it:
so what is written holds even when it is killed. SIGTERM has it leave. WAYS is a JSON object, see :class:`Ways`.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
from typing import Any, NamedTuple

from pykafka import KafkaClient
from pykafka.exceptions import KafkaException
from pykafka.membershipprotocol import CooperativeStickyProtocol, RangeProtocol, RoundRobinProtocol, StickyProtocol

PROTOCOLS = {
    "range": RangeProtocol,
    "roundrobin": RoundRobinProtocol,
    "sticky": StickyProtocol,
    "cooperative-sticky": CooperativeStickyProtocol,
}
#: How long it waits for a message before it looks at its status again (milliseconds).
LOOK_MS = 50


class Ways(NamedTuple):
    """How the member reads and commits."""

    sharing: str = "range"
    group_protocol: str = "classic"
    session_timeout_ms: int = 6000
    heartbeat_interval_ms: int = 500
    #: commits in the background, instead of by hand at least so many seconds apart
    auto_commit: bool = False
    commit_every_s: float = 0.5
    batch: int = 500


class Notes:
    """Writes what happens, with the time of a clock that all processes of the machine share."""

    def __init__(self) -> None:
        self._status: Any = None

    def write(self, event: str, **facts: Any) -> None:
        """Write one event; it is in the file when this returns."""
        line = json.dumps({"at": time.monotonic(), "event": event, **facts}, separators=(",", ":"))
        os.write(sys.stdout.fileno(), line.encode() + b"\n")

    def moved(self, event: str) -> Any:
        """Return a callback that writes which partitions came or went."""
        return lambda _consumer, partitions: self.write(event, partitions=sorted(partition.id for partition in partitions))

    def status(self, consumer: Any) -> None:
        """Write where the member stands, if that has changed."""
        status = consumer.group_status()
        if status is self._status:
            return
        seen = {"state": status.state, "generation": status.generation, "owned": sorted(tp.partition for tp in status.owned)}
        before = self._status
        self._status = status
        if before is None or (before.state, before.generation, before.owned) != (status.state, status.generation, status.owned):
            self.write("status", leads=status.is_leader, **seen)

    def read(self, batch: list[Any]) -> None:
        """Write the first and the last offset of each partition in a batch."""
        spans: dict[int, list[int]] = {}
        for message in batch:
            spans.setdefault(message.partition_id, [message.offset, 0])[1] = message.offset
        self.write("read", spans=[[number, *span] for number, span in spans.items()])

    def commit(self, consumer: Any) -> None:
        """Commit, and write how that went."""
        try:
            consumer.commit_offsets()
        except KafkaException as error:
            self.write("refused", error=f"{type(error).__name__}: {error}")
        else:
            self.write("committed")


def run(hosts: str, group: str, topic: str, ways: Ways) -> None:
    """Be a member until SIGTERM."""
    asked_to_leave: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: asked_to_leave.append(number))
    notes = Notes()
    with KafkaClient(hosts, socket_timeout_ms=10000) as client:
        consumer = client.topics[topic].get_balanced_consumer(
            group,
            managed=True,
            auto_start=False,
            membership_protocol=PROTOCOLS[ways.sharing],
            group_protocol=ways.group_protocol,
            session_timeout_ms=ways.session_timeout_ms,
            heartbeat_interval_ms=ways.heartbeat_interval_ms,
            auto_commit_enable=ways.auto_commit,
            auto_commit_interval_ms=500,
            rebalance_backoff_ms=500,
            on_assign=notes.moved("assign"),
            on_revoke=notes.moved("revoke"),
            on_lost=notes.moved("lost"),
        )
        notes.write("starts")
        consumer.start()
        notes.write("started")
        committed_at, uncommitted = time.monotonic(), False
        while not asked_to_leave:
            batch = consumer.consume_batch(ways.batch, timeout_ms=LOOK_MS)
            if batch:
                notes.read(batch)
                uncommitted = True
            notes.status(consumer)
            due = time.monotonic() >= committed_at + ways.commit_every_s
            if uncommitted and due and not ways.auto_commit:
                notes.commit(consumer)
                committed_at, uncommitted = time.monotonic(), False
        if uncommitted and not ways.auto_commit:
            notes.commit(consumer)
        notes.write("leaves")
        consumer.stop()
    notes.write("left")


def main() -> None:
    """Run the member that the command line describes."""
    hosts, group, topic, ways = sys.argv[1:5]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s.%(msecs)03d %(message)s", datefmt="%H:%M:%S")
    run(hosts, group, topic, Ways(**json.loads(ways)))


if __name__ == "__main__":
    main()
