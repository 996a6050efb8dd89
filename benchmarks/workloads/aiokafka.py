"""The workloads for aiokafka: larger batches than it has by default, and as long a linger as ours."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any, Callable

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from benchmarks.workloads.job import (
    BATCH,
    LATENCY_ROUNDS,
    LATENCY_WARM_UP,
    WARM_UP,
    Job,
    Meter,
    hop_us,
    median_hop,
    resident,
    ticking,
)

Result = dict[str, float]
#: What it is fastest with: several values were tried.
PRODUCER = {"acks": "all", "linger_ms": 5, "max_batch_size": 2**16}
CONSUMER = {"auto_offset_reset": "earliest"}


def run(job: Job) -> Result:
    """Return what was measured."""

    async def of_job() -> Result:
        return await KINDS[job.kind](job)

    return asyncio.run(of_job())


@asynccontextmanager
async def _producer(job: Job, **options: Any) -> AsyncIterator[AIOKafkaProducer]:
    producer = await _started(job, **options)
    await producer.send_and_wait(job.topic, WARM_UP, WARM_UP)
    yield producer
    await producer.stop()


async def _started(job: Job, **options: Any) -> AIOKafkaProducer:
    producer = AIOKafkaProducer(**{"bootstrap_servers": job.hosts, "compression_type": job.codec, **PRODUCER, **options})
    await producer.start()
    await producer.partitions_for(job.topic)
    return producer


async def _produce(job: Job) -> Result:
    topic, values = job.topic, job.values
    keys, headers = job.some_keys if job.keys else [], job.some_headers if job.headers else []
    async with _producer(job) as producer:
        with Meter() as meter:
            if keys:
                for value, key in zip(values, keys):
                    await producer.send(topic, value, key)
            elif headers:
                for value, some in zip(values, headers):
                    await producer.send(topic, value, headers=some)
            else:
                for value in values:
                    await producer.send(topic, value)
            await producer.flush()
    return meter.rate(job.count)


async def _produce_callback(job: Job) -> Result:
    topic, values = job.topic, job.values
    seen: list[Any] = []
    async with _producer(job) as producer:
        with Meter() as meter:
            for value in values:
                (await producer.send(topic, value)).add_done_callback(seen.append)
            await producer.flush()
            await asyncio.sleep(0)
    assert len(seen) == job.count
    return meter.rate(job.count)


async def _produce_waited(job: Job) -> Result:
    topic, values = job.topic, job.values
    async with _producer(job) as producer:
        with Meter() as meter:
            made = [await producer.send(topic, value) for value in values]
            for future in made:
                await future
    return meter.rate(job.count)


async def _latency(job: Job) -> Result:
    value, times = job.values[0], []
    async with _producer(job, linger_ms=0) as producer:
        for _ in range(LATENCY_WARM_UP + LATENCY_ROUNDS):
            began = time.perf_counter()
            await producer.send_and_wait(job.topic, value)
            times.append(time.perf_counter() - began)
    return {"p50_us": statistics.median(times[LATENCY_WARM_UP:]) * 1e6}


async def _memory(job: Job) -> Result:
    value = job.values[0]
    # never stopped, which would wait until the linger is over
    producer = await _started(job, linger_ms=600000, max_batch_size=2**26)
    kept: list[Any] = [None] * job.count
    before = resident()
    for number in range(job.count):
        kept[number] = await producer.send(job.topic, value)
    return {"bytes": (resident() - before) / job.count}


@asynccontextmanager
async def _consumer(job: Job, **options: Any) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        job.topic, **{"bootstrap_servers": job.hosts, "enable_auto_commit": False, **CONSUMER, **options}
    )
    await consumer.start()
    yield consumer
    await consumer.stop()


async def _consume_batch(job: Job) -> Result:
    async with _consumer(job) as consumer:
        await consumer.getone()
        got = 0
        with Meter() as meter:
            while got < job.count:
                got += sum(map(len, (await consumer.getmany(timeout_ms=10000, max_records=BATCH)).values()))
    return meter.rate(got)


async def _consume_one(job: Job) -> Result:
    async with _consumer(job) as consumer:
        return await _iterated(job, consumer)


async def _consume_group(job: Job) -> Result:
    async with _consumer(job, group_id=job.group, enable_auto_commit=True) as consumer:
        return await _iterated(job, consumer)


async def _iterated(job: Job, consumer: Any) -> Result:
    await consumer.getone()
    got = 0
    with Meter() as meter:
        async for _message in consumer:
            got += 1
            if got >= job.count:
                break
    return meter.rate(got)


async def _hop(job: Job) -> Result:
    async with _consumer(job) as consumer:
        with ticking(job):
            times = [hop_us((await consumer.getone()).value) for _ in range(LATENCY_WARM_UP + LATENCY_ROUNDS)]
    return median_hop(times)


KINDS: dict[str, Callable[[Job], Awaitable[Result]]] = {
    "produce": _produce,
    # send_batch() wants the caller to build the batches, and to choose the partition of each
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
