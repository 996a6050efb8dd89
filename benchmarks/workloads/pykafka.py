"""The workloads for this client, with its default settings."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Callable

from benchmarks.workloads.job import BATCH, WARM_UP, Job, Meter, hops, latencies, memory_per_message
from pykafka import KafkaClient
from pykafka.common import CompressionType
from pykafka.partitioners import murmur2_partitioner

Result = dict[str, float]


def run(job: Job) -> Result:
    """Return what was measured."""
    with KafkaClient(hosts=job.hosts) as client:
        return KINDS[job.kind](job, client.topics[job.topic])


def _options(job: Job) -> dict[str, Any]:
    options: dict[str, Any] = {} if job.codec is None else {"compression": getattr(CompressionType, job.codec.upper())}
    return {**options, "partitioner": murmur2_partitioner} if job.keys else options


@contextmanager
def _producer(topic: Any, **options: Any) -> Iterator[Any]:
    with topic.get_producer(**options) as producer:
        producer.produce(WARM_UP, WARM_UP).result(30)
        yield producer


def _produce(job: Job, topic: Any) -> Result:
    values, keys, headers = job.values, job.some_keys if job.keys else [], job.some_headers if job.headers else []
    with _producer(topic, **_options(job)) as producer, Meter() as meter:
        if keys:
            for value, key in zip(values, keys):
                producer.produce(value, key)
        elif headers:
            for value, some in zip(values, headers):
                producer.produce(value, headers=some)
        else:
            for value in values:
                producer.produce(value)
        producer.flush()
    return meter.rate(job.count)


def _produce_shared(job: Job, topic: Any) -> Result:
    shares = [job.values[number :: job.producers] for number in range(job.producers)]
    producers = [topic.get_producer() for _ in shares]
    for producer in producers:
        producer.produce(WARM_UP).result(30)

    def produce(producer: Any, values: list[bytes]) -> None:
        for value in values:
            producer.produce(value)
        producer.flush()

    threads = [threading.Thread(target=produce, args=pair) for pair in zip(producers, shares)]
    with Meter() as meter:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for producer in producers:
        producer.stop()
    return meter.rate(job.count)


def _produce_many(job: Job, topic: Any) -> Result:
    values = job.values
    with _producer(topic) as producer, Meter() as meter:
        producer.produce_many(values)
        producer.flush()
    return meter.rate(job.count)


def _produce_callback(job: Job, topic: Any) -> Result:
    values = job.values
    seen: list[Any] = []

    def on_delivery(message: Any, error: Any) -> None:
        seen.append(error)

    with _producer(topic) as producer, Meter() as meter:
        for value in values:
            producer.produce(value, on_delivery=on_delivery)
        producer.flush()
    assert len(seen) == job.count
    return meter.rate(job.count)


def _produce_waited(job: Job, topic: Any) -> Result:
    values = job.values
    with _producer(topic) as producer, Meter() as meter:
        made = [producer.produce(value) for value in values]
        for message in made:
            message.result(30)
    return meter.rate(job.count)


def _latency(job: Job, topic: Any) -> Result:
    value = job.values[0]
    with topic.get_sync_producer() as producer:
        return latencies(lambda: producer.produce(value))


def _memory(job: Job, topic: Any) -> Result:
    value = job.values[0]
    # nothing leaves before the linger is over, nor because it fills a request: what is sent is not queued
    roomy = {"max_queued_messages": job.count + 1, "max_queued_bytes": 2**30, "max_request_size": 2**24}
    with topic.get_producer(linger_ms=600000, **roomy) as producer:
        return memory_per_message(job.count, lambda: producer.produce(value))


def _consume_batch(job: Job, topic: Any) -> Result:
    with topic.get_simple_consumer(consumer_timeout_ms=10000) as consumer:
        consumer.consume_batch(1)
        got = 0
        with Meter() as meter:
            while got < job.count:
                got += len(consumer.consume_batch(BATCH))
    return meter.rate(got)


def _consume_whole(job: Job, topic: Any) -> Result:
    # with the start, in which as many partitions as there are may be fetched before the first message is there
    with Meter() as meter, topic.get_simple_consumer(consumer_timeout_ms=10000) as consumer:
        got = 0
        while got < job.count:
            got += len(consumer.consume_batch(BATCH))
    return meter.rate(got)


def _consume_one(job: Job, topic: Any) -> Result:
    with topic.get_simple_consumer(consumer_timeout_ms=10000) as consumer:
        return _iterated(job, consumer)


def _consume_group(job: Job, topic: Any) -> Result:
    # the interval is what the others have by default
    options = {"auto_commit_enable": True, "auto_commit_interval_ms": 5000, "consumer_timeout_ms": 30000}
    with topic.get_balanced_consumer(job.group, managed=True, **options) as consumer:
        return _iterated(job, consumer)


def _iterated(job: Job, consumer: Any) -> Result:
    consumer.consume()
    got = 0
    with Meter() as meter:
        for _message in consumer:
            got += 1
            if got >= job.count:
                break
    return meter.rate(got)


def _hop(job: Job, topic: Any) -> Result:
    with topic.get_simple_consumer() as consumer:
        return hops(job, lambda: consumer.consume().value)


KINDS: dict[str, Callable[[Job, Any], Result]] = {
    "produce": _produce,
    "produce_many": _produce_many,
    "produce_shared": _produce_shared,
    "produce_callback": _produce_callback,
    "produce_waited": _produce_waited,
    "latency": _latency,
    "memory": _memory,
    "consume_batch": _consume_batch,
    "consume_whole": _consume_whole,
    "consume_one": _consume_one,
    "consume_group": _consume_group,
    "hop": _hop,
}
