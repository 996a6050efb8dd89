"""The workloads for confluent-kafka, whose work is done by librdkafka in C, in threads of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Callable

from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

from benchmarks.workloads.job import WARM_UP, Job, Meter, hops, latencies, memory_per_message

Result = dict[str, float]
#: What it is fastest with: by default a full queue, and on the other side a full buffer, has it pause for a second.
PRODUCER = {
    "acks": "all",
    "linger.ms": 5,
    "partitioner": "murmur2_random",
    "batch.num.messages": 100000,
    "queue.buffering.max.messages": 10000000,
    "queue.buffering.max.kbytes": 2**21 - 1,
}
CONSUMER = {"auto.offset.reset": "earliest", "queued.min.messages": 1000000, "fetch.queue.backoff.ms": 5}
#: What it is fastest with: its messages, made in C, do not mind being many.
BEST_BATCH = 1000
#: How often its callbacks are called.
POLLED_EVERY = 1000


def run(job: Job) -> Result:
    """Return what was measured."""
    return KINDS[job.kind](job)


def _producer(job: Job, **options: Any) -> Producer:
    codec = {"compression.type": job.codec or "none"}
    producer = Producer({"bootstrap.servers": job.hosts, **codec, **PRODUCER, **options})
    producer.list_topics(job.topic)
    return producer


def _warm_producer(job: Job) -> Producer:
    producer = _producer(job)
    producer.produce(job.topic, WARM_UP, WARM_UP)
    producer.flush()
    return producer


def _produce(job: Job) -> Result:
    topic, values = job.topic, job.values
    keys, headers = job.some_keys if job.keys else [], job.some_headers if job.headers else []
    producer = _warm_producer(job)
    with Meter() as meter:
        if keys:
            for value, key in zip(values, keys):
                producer.produce(topic, value, key)
        elif headers:
            for value, some in zip(values, headers):
                producer.produce(topic, value, headers=some)
        else:
            for value in values:
                producer.produce(topic, value)
        producer.flush()
    return meter.rate(job.count)


def _produce_callback(job: Job) -> Result:
    topic, values = job.topic, job.values
    seen: list[Any] = []

    def on_delivery(error: Any, message: Any) -> None:
        seen.append(error)

    producer = _warm_producer(job)
    with Meter() as meter:
        for number, value in enumerate(values):
            producer.produce(topic, value, on_delivery=on_delivery)
            if not number % POLLED_EVERY:
                producer.poll(0)
        producer.flush()
    assert len(seen) == job.count
    return meter.rate(job.count)


def _latency(job: Job) -> Result:
    value, producer = job.values[0], _producer(job, **{"linger.ms": 0})

    def send_and_wait() -> None:
        acked: list[Any] = []
        producer.produce(job.topic, value, on_delivery=lambda error, message: acked.append(error))
        while not acked:
            producer.poll(1)

    return latencies(send_and_wait)


def _memory(job: Job) -> Result:
    value = job.values[0]
    producer = _producer(job, **{"linger.ms": 600000, "message.timeout.ms": 700000})
    result = memory_per_message(job.count, lambda: producer.produce(job.topic, value))
    # the value is copied into the queue, which ours and the others' is not
    return {"bytes": result["bytes"] - len(value)}


@contextmanager
def _consumer(job: Job, **options: Any) -> Iterator[Consumer]:
    given = {"bootstrap.servers": job.hosts, "group.id": job.group, "enable.auto.commit": False}
    consumer = Consumer({**given, **CONSUMER, **options})
    if options:
        consumer.subscribe([job.topic])
    else:
        partitions = consumer.list_topics(job.topic).topics[job.topic].partitions
        consumer.assign([TopicPartition(job.topic, number, OFFSET_BEGINNING) for number in partitions])
    yield consumer
    consumer.close()


def _consume_batch(job: Job) -> Result:
    with _consumer(job) as consumer:
        consumer.consume(1, 10)
        got = 0
        with Meter() as meter:
            while got < job.count:
                got += len(consumer.consume(min(BEST_BATCH, job.count - got), 10))
    return meter.rate(got)


def _consume_one(job: Job) -> Result:
    with _consumer(job) as consumer:
        return _polled(job, consumer)


def _consume_group(job: Job) -> Result:
    with _consumer(job, **{"enable.auto.commit": True}) as consumer:
        return _polled(job, consumer)


def _polled(job: Job, consumer: Any) -> Result:
    while consumer.poll(10) is None:
        pass
    got = 0
    with Meter() as meter:
        while got < job.count:
            if consumer.poll(10) is not None:
                got += 1
    return meter.rate(got)


def _hop(job: Job) -> Result:
    with _consumer(job) as consumer:

        def receive() -> bytes:
            while True:
                message = consumer.poll(10)
                if message is not None:
                    value: bytes = message.value()
                    return value

        return hops(job, receive)


KINDS: dict[str, Callable[[Job], Result]] = {
    "produce": _produce,
    # it has no call for many
    "produce_many": _produce,
    "produce_callback": _produce_callback,
    # its way to wait for a message is a callback
    "produce_waited": _produce_callback,
    "latency": _latency,
    "memory": _memory,
    "consume_batch": _consume_batch,
    "consume_one": _consume_one,
    "consume_group": _consume_group,
    "hop": _hop,
}
