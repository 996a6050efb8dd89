"""Sends the moment to a topic every few milliseconds until it is killed: ``python -m benchmarks.workloads.ticker HOSTS TOPIC``.

librdkafka does it, whichever client receives.
"""

from __future__ import annotations

import sys
import time

from confluent_kafka import Producer

from benchmarks.workloads.job import HOP_INTERVAL_S


def main() -> None:
    """Send."""
    hosts, topic = sys.argv[1:3]
    producer = Producer({"bootstrap.servers": hosts, "linger.ms": 0})
    while True:
        producer.produce(topic, b"%d" % time.monotonic_ns())
        producer.poll(0)
        time.sleep(HOP_INTERVAL_S)


if __name__ == "__main__":
    main()
