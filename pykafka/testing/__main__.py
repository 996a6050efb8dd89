"""Run a fake cluster by itself: ``python -m pykafka.testing [--port 9092] [--brokers 3] [--topic clicks:4]``, until Ctrl-C."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Optional

from .cluster import FakeCluster
from .versions import NEWEST


def _topic(text: str) -> tuple[str, int]:
    name, colon, partitions = text.rpartition(":")
    if not colon:
        return text, 1
    if not partitions.isdecimal() or partitions == "0":
        raise argparse.ArgumentTypeError(f"{text!r}: write it as NAME or NAME:PARTITIONS")
    return name, int(partitions)


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Start the brokers, print where they are, and serve until SIGINT or SIGTERM; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m pykafka.testing",
        description="Run brokers that behave as Kafka's for tests and development. They keep everything in memory and NOTHING"
        " when they stop; they have no transactions, no SASL, and delete nothing by age.",
    )
    parser.add_argument("--port", type=int, default=9092, help="of the first broker, the others follow; 0 takes free ones (9092)")
    parser.add_argument("--host", default="127.0.0.1", help="where they listen, and what they tell clients (127.0.0.1)")
    parser.add_argument("--brokers", type=int, default=1, metavar="N", help="how many (1)")
    parser.add_argument("--version", default=NEWEST, metavar="V", help=f"the version of Kafka that they speak like ({NEWEST})")
    parser.add_argument("--topic", type=_topic, action="append", default=[], metavar="NAME:PARTITIONS", help="to begin with")
    options = parser.parse_args(arguments)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        cluster = FakeCluster(
            options.brokers, dict(options.topic), options.version, port=options.port, host=options.host
        ).start()
    except (OSError, ValueError) as error:
        print(f"the brokers could not be started: {error}", file=sys.stderr)
        return 1
    print(f"hosts: {cluster.hosts}")
    print("This is not Kafka: all that is written here is lost when it stops. Ctrl-C stops it.", flush=True)
    stop.wait()
    try:
        cluster.stop()
    except AssertionError as error:
        print(error, file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
