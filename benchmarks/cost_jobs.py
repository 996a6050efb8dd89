"""One figure of what a client costs, in a fresh process: ``python -m benchmarks.cost_jobs NAME HOSTS TOPIC AMOUNT``.

Prints a JSON object. ``AMOUNT`` is in seconds, or in millions of messages.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from benchmarks.workloads.job import BATCH, resident
from pykafka import KafkaClient

#: How long a client is left alone before it counts as idle.
SETTLING_S = 2.0
#: Samples of memory; the first ones, while caches and buffers fill, are not used.
SAMPLES, LEFT_OUT = 20, 4


def idle(hosts: str, topic: str, seconds: float) -> dict[str, float]:
    """Return the share of a core that a client takes that has nothing to read and nothing to send."""
    with KafkaClient(hosts) as client:
        chosen = client.topics[topic]
        with chosen.get_producer() as producer, chosen.get_simple_consumer():
            producer.produce(b"x")
            producer.flush()
            time.sleep(SETTLING_S)
            return {"percent": idle_percent(seconds)}


def idle_percent(seconds: float) -> float:
    """Return the processor time of this process in percent of a core while it does nothing."""
    wall, cpu = time.monotonic(), time.process_time()
    time.sleep(seconds)
    return (time.process_time() - cpu) / (time.monotonic() - wall) * 100


def partitions(hosts: str, topic: str, seconds: float) -> dict[str, float]:
    """Return what it takes to start on a topic of very many partitions, and then to fetch nothing of it."""
    cpu, wall = time.process_time(), time.monotonic()
    with KafkaClient(hosts) as client, client.topics[topic].get_simple_consumer(consumer_timeout_ms=1000) as consumer:
        # by then every partition has been asked for once
        consumer.consume()
        started = {"start_cpu_s": time.process_time() - cpu, "start_s": time.monotonic() - wall}
        time.sleep(SETTLING_S)
        return {**started, "percent": idle_percent(seconds)}


def memory(hosts: str, topic: str, millions: float) -> dict[str, Any]:
    """Return (messages consumed, resident bytes) again and again while a consumer reads."""
    wanted = int(millions * 1e6)
    samples = []
    with KafkaClient(hosts) as client, client.topics[topic].get_simple_consumer(consumer_timeout_ms=10000) as consumer:
        got = 0
        for number in range(1, SAMPLES + 1):
            while got < wanted * number / SAMPLES:
                batch = consumer.consume_batch(BATCH)
                got += len(batch)
            samples.append([got, resident()])
    return {"samples": samples[LEFT_OUT:]}


JOBS = {"idle": idle, "partitions": partitions, "memory": memory}


def main() -> None:
    """Run one job and print what it measured."""
    name, hosts, topic, amount = sys.argv[1:5]
    print(json.dumps(JOBS[name](hosts, topic, float(amount))), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
