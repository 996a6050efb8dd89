"""The workloads for kafka-python: larger batches than it has by default, and as long a linger as ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Callable

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from benchmarks.workloads.job import BATCH, WARM_UP, Job, Meter, hops, latencies, memory_per_message

Result = dict[str, float]
#: What it is fastest with: several values were tried.
PRODUCER = {"acks": "all", "linger_ms": 5, "batch_size": 2**18}
CONSUMER = {"auto_offset_reset": "earliest", "max_poll_records": BATCH}


def run(job: Job) -> Result:
    """Return what was measured."""
    return KINDS[job.kind](job)


@contextmanager
def _producer(job: Job, **options: Any) -> Iterator[KafkaProducer]:
    producer = _started(job, **options)
    producer.send(job.topic, WARM_UP, WARM_UP).get(30)
    yield producer
    producer.close()


def _started(job: Job, **options: Any) -> KafkaProducer:
    producer = KafkaProducer(**{"bootstrap_servers": job.hosts, "compression_type": job.codec, **PRODUCER, **options})
    producer.partitions_for(job.topic)
    return producer


def _produce(job: Job) -> Result:
    topic, values = job.topic, job.values
    keys, headers = job.some_keys if job.keys else [], job.some_headers if job.headers else []
    with _producer(job) as producer, Meter() as meter:
        if keys:
            for value, key in zip(values, keys):
                producer.send(topic, value, key)
        elif headers:
            for value, some in zip(values, headers):
                producer.send(topic, value, headers=some)
        else:
            for value in values:
                producer.send(topic, value)
        producer.flush()
    return meter.rate(job.count)


def _produce_callback(job: Job) -> Result:
    topic, values = job.topic, job.values
    seen: list[Any] = []
    with _producer(job) as producer, Meter() as meter:
        for value in values:
            producer.send(topic, value).add_callback(seen.append)
        producer.flush()
    assert len(seen) == job.count
    return meter.rate(job.count)


def _produce_waited(job: Job) -> Result:
    topic, values = job.topic, job.values
    with _producer(job) as producer, Meter() as meter:
        made = [producer.send(topic, value) for value in values]
        for future in made:
            future.get(30)
    return meter.rate(job.count)


def _latency(job: Job) -> Result:
    value = job.values[0]
    with _producer(job, linger_ms=0) as producer:
        return latencies(lambda: producer.send(job.topic, value).get(10))


def _memory(job: Job) -> Result:
    value = job.values[0]
    # never closed, which would wait until the linger is over
    producer = _started(job, linger_ms=600000, batch_size=2**24, delivery_timeout_ms=700000)
    return memory_per_message(job.count, lambda: producer.send(job.topic, value))


@contextmanager
def _consumer(job: Job, **options: Any) -> Iterator[KafkaConsumer]:
    given = {"bootstrap_servers": job.hosts, "enable_auto_commit": False, **CONSUMER, **options}
    consumer = KafkaConsumer(**given)
    if "group_id" in options:
        consumer.subscribe([job.topic])
    else:
        consumer.assign([TopicPartition(job.topic, number) for number in sorted(consumer.partitions_for_topic(job.topic))])
    yield consumer
    consumer.close()


def _consume_batch(job: Job) -> Result:
    with _consumer(job) as consumer:
        while not consumer.poll(timeout_ms=10000, max_records=1):
            pass
        got = 0
        with Meter() as meter:
            while got < job.count:
                got += sum(map(len, consumer.poll(timeout_ms=10000).values()))
    return meter.rate(got)


def _consume_one(job: Job) -> Result:
    with _consumer(job) as consumer:
        return _iterated(job, consumer)


def _consume_group(job: Job) -> Result:
    with _consumer(job, group_id=job.group, enable_auto_commit=True) as consumer:
        return _iterated(job, consumer)


def _iterated(job: Job, consumer: Any) -> Result:
    next(consumer)
    got = 0
    with Meter() as meter:
        for _message in consumer:
            got += 1
            if got >= job.count:
                break
    return meter.rate(got)


def _hop(job: Job) -> Result:
    with _consumer(job) as consumer:
        return hops(job, lambda: next(consumer).value)


KINDS: dict[str, Callable[[Job], Result]] = {
    "produce": _produce,
    # it has no call for many
    "produce_many": _produce,
    "produce_callback": _produce_callback,
    "produce_waited": _produce_waited,
    "latency": _latency,
    "memory": _memory,
    "consume_batch": _consume_batch,
    "consume_one": _consume_one,
    "consume_group": _consume_group,
    "hop": _hop,
}
