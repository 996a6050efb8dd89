"""One job of PyKafka 2.8.0, on Python 3.8: ``python original_workloads.py JOB``; prints what it measured as a JSON object.

It does not stand with the other clients' because there it would find our package, not the original.
"""

from __future__ import annotations

import json
import os
import sys

from workloads.job import Job, Meter, latencies  # the folder of this script is where Python looks first

from pykafka import KafkaClient

#: Its own defaults wait five seconds for more messages. More or fewer of them at once were slower.
PRODUCER = {"required_acks": -1, "linger_ms": 5, "min_queued_messages": 10000, "max_queued_messages": 200000}


def main() -> None:
    """Run one job and print what it measured."""
    job = Job(**json.loads(sys.argv[1]))
    client = KafkaClient(hosts=job.hosts, broker_version="1.0.0")  # to be held: its topics do not hold it
    topic = client.topics[job.topic.encode()]
    print(json.dumps({"produce": produce, "fill": produce, "consume_one": consume_one, "latency": latency}[job.kind](job, topic)))
    sys.stdout.flush()
    os._exit(0)


def produce(job, topic):  # type: ignore[no-untyped-def]
    """Produce everything and wait until it is acknowledged."""
    values = job.values
    producer = topic.get_producer(**PRODUCER)
    with Meter() as meter:
        for value in values:
            producer.produce(value)
        producer.stop()
    return meter.rate(job.count)


def consume_one(job, topic):  # type: ignore[no-untyped-def]
    """Consume one message after the other."""
    consumer = topic.get_simple_consumer(consumer_timeout_ms=10000)
    consumer.consume()
    got = 0
    with Meter() as meter:
        for _message in consumer:
            got += 1
            if got >= job.count:
                break
    return meter.rate(got)


def latency(job, topic):  # type: ignore[no-untyped-def]
    """Produce one message at a time and wait for each."""
    value = job.values[0]
    # with 5 ms, which it would wait in vain, it is slower still
    producer = topic.get_sync_producer(required_acks=-1, linger_ms=0)
    return latencies(lambda: producer.produce(value))


if __name__ == "__main__":
    main()
