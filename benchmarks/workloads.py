"""One workload of one client in a fresh process: ``python workloads.py CLIENT WORKLOAD HOSTS TOPIC COUNT``.

Prints one JSON object. Every client is used the way its own documentation says, with acks=all and its other defaults,
except that queues are made large enough not to be what is measured.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import sys
import time
from typing import Any, Callable

VALUE = os.urandom(100)
LARGE = os.urandom(1024)
KEYS = [b"key-%08d" % number for number in range(1000)]
#: How many messages are produced one by one and waited for.
LATENCY_ROUNDS = 300
BATCH = 2000


class Meter:
    """Wall and processor time of what runs inside the ``with`` block."""

    def __enter__(self) -> Meter:
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.wall = time.perf_counter() - self._wall
        self.cpu = time.process_time() - self._cpu

    def rate(self, count: int) -> dict[str, float]:
        """Return what was measured for ``count`` messages."""
        return {"rate": count / self.wall, "cpu_us": self.cpu / count * 1e6}


def latencies(send_and_wait: Callable[[], Any]) -> dict[str, float]:
    """Return the median time from a call to its acknowledgement, in microseconds."""
    for _ in range(20):
        send_and_wait()
    times = []
    for _ in range(LATENCY_ROUNDS):
        began = time.perf_counter()
        send_and_wait()
        times.append(time.perf_counter() - began)
    return {"p50_us": statistics.median(times) * 1e6}


def memory_per_message(count: int, queue_one: Callable[[], Any]) -> dict[str, float]:
    """Return the bytes a queued message holds above its value (which all share here)."""
    # the list is made first: what it holds is the client's, what it takes itself is not
    kept: list[Any] = [None] * count
    before = resident()
    for number in range(count):
        kept[number] = queue_one()
    return {"bytes": (resident() - before) / count}


def resident() -> int:
    """Return the bytes of memory that this process holds now."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()


# -- pykafka ----------------------------------------------------------------------------------------------------------


def pykafka(workload: str, hosts: str, topic: str, count: int) -> dict[str, float]:
    from pykafka import KafkaClient

    client = KafkaClient(hosts=hosts)
    chosen = client.topics[topic]
    try:
        return _pykafka(workload, chosen, count)
    finally:
        client.close()


def _pykafka(workload: str, topic: Any, count: int) -> dict[str, float]:
    if workload in ("produce", "produce_1kb"):
        value = LARGE if workload == "produce_1kb" else VALUE
        with topic.get_producer() as producer, Meter() as meter:
            for _ in range(count):
                producer.produce(value)
            producer.flush()
        return meter.rate(count)
    if workload == "produce_callback":
        seen = [0]

        def on_delivery(message: Any, error: Any) -> None:
            seen[0] += 1

        with topic.get_producer() as producer, Meter() as meter:
            for _ in range(count):
                producer.produce(VALUE, on_delivery=on_delivery)
            producer.flush()
        return meter.rate(count)
    if workload == "produce_keyed":
        from pykafka.partitioners import murmur2_partitioner

        with topic.get_producer(partitioner=murmur2_partitioner) as producer, Meter() as meter:
            for number in range(count):
                producer.produce(VALUE, KEYS[number % 1000])
            producer.flush()
        return meter.rate(count)
    if workload == "latency":
        with topic.get_sync_producer() as producer:
            return latencies(lambda: producer.produce(VALUE))
    if workload == "memory":
        # nothing leaves before the linger is over
        with topic.get_producer(linger_ms=600000, max_queued_messages=count + 1, max_queued_bytes=2**30) as producer:
            return memory_per_message(count, lambda: producer.produce(VALUE))
    consumer = topic.get_simple_consumer(consumer_timeout_ms=10000)
    with consumer, Meter() as meter:
        got = 0
        if workload == "consume_batches":
            while got < count:
                got += len(consumer.consume_batch(BATCH))
        else:
            for _message in consumer:
                got += 1
                if got >= count:
                    break
    return meter.rate(count)


# -- kafka-python -----------------------------------------------------------------------------------------------------


def kafka_python(workload: str, hosts: str, topic: str, count: int) -> dict[str, float]:
    from kafka import KafkaProducer

    if workload.startswith("consume"):
        return _kafka_python_consume(workload, hosts, topic, count)
    if workload == "memory":
        producer = KafkaProducer(
            bootstrap_servers=hosts, acks="all", linger_ms=600000, batch_size=2**24, delivery_timeout_ms=700000
        )
        return memory_per_message(count, lambda: producer.send(topic, VALUE))
    producer = KafkaProducer(bootstrap_servers=hosts, acks="all", linger_ms=0 if workload == "latency" else 5)
    if workload == "latency":
        result = latencies(lambda: producer.send(topic, VALUE).get(10))
        producer.close()
        return result
    seen = [0]

    def on_success(metadata: Any) -> None:
        seen[0] += 1

    value = LARGE if workload == "produce_1kb" else VALUE
    with Meter() as meter:
        for number in range(count):
            if workload == "produce_keyed":
                producer.send(topic, value, key=KEYS[number % 1000])
            elif workload == "produce_callback":
                producer.send(topic, value).add_callback(on_success)
            else:
                producer.send(topic, value)
        producer.flush()
    producer.close()
    return meter.rate(count)


def _kafka_python_consume(workload: str, hosts: str, topic: str, count: int) -> dict[str, float]:
    from kafka import KafkaConsumer, TopicPartition

    consumer = KafkaConsumer(bootstrap_servers=hosts, auto_offset_reset="earliest", enable_auto_commit=False)
    consumer.assign([TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic))])
    got = 0
    with Meter() as meter:
        if workload == "consume_batches":
            while got < count:
                got += sum(map(len, consumer.poll(timeout_ms=10000, max_records=BATCH).values()))
        else:
            for _message in consumer:
                got += 1
                if got >= count:
                    break
    consumer.close()
    return meter.rate(count)


# -- aiokafka ---------------------------------------------------------------------------------------------------------


def aiokafka(workload: str, hosts: str, topic: str, count: int) -> dict[str, float]:
    import asyncio

    return asyncio.run(_aiokafka(workload, hosts, topic, count))


async def _aiokafka(workload: str, hosts: str, topic: str, count: int) -> dict[str, float]:
    from aiokafka import AIOKafkaProducer

    if workload.startswith("consume"):
        return await _aiokafka_consume(workload, hosts, topic, count)
    linger_ms = 600000 if workload == "memory" else 0 if workload == "latency" else 5
    producer = AIOKafkaProducer(
        bootstrap_servers=hosts, acks="all", linger_ms=linger_ms, max_batch_size=2**26 if workload == "memory" else 16384
    )
    await producer.start()
    if workload == "latency":
        times = []
        for number in range(LATENCY_ROUNDS + 20):
            began = time.perf_counter()
            await producer.send_and_wait(topic, VALUE)
            if number >= 20:
                times.append(time.perf_counter() - began)
        await producer.stop()
        return {"p50_us": statistics.median(times) * 1e6}
    if workload == "memory":
        kept: list[Any] = [None] * count
        before = resident()
        for number in range(count):
            kept[number] = await producer.send(topic, VALUE)
        return {"bytes": (resident() - before) / count}
    seen = [0]

    def on_done(future: Any) -> None:
        seen[0] += 1

    value = LARGE if workload == "produce_1kb" else VALUE
    with Meter() as meter:
        for number in range(count):
            if workload == "produce_keyed":
                await producer.send(topic, value, key=KEYS[number % 1000])
            elif workload == "produce_callback":
                (await producer.send(topic, value)).add_done_callback(on_done)
            else:
                await producer.send(topic, value)
        await producer.flush()
    await producer.stop()
    return meter.rate(count)


async def _aiokafka_consume(workload: str, hosts: str, topic: str, count: int) -> dict[str, float]:
    from aiokafka import AIOKafkaConsumer

    consumer = AIOKafkaConsumer(topic, bootstrap_servers=hosts, auto_offset_reset="earliest", enable_auto_commit=False)
    await consumer.start()
    got = 0
    with Meter() as meter:
        if workload == "consume_batches":
            while got < count:
                found = await consumer.getmany(timeout_ms=10000, max_records=BATCH)
                got += sum(map(len, found.values()))
        else:
            async for _message in consumer:
                got += 1
                if got >= count:
                    break
    await consumer.stop()
    return meter.rate(count)


# -- confluent-kafka --------------------------------------------------------------------------------------------------


def confluent(workload: str, hosts: str, topic: str, count: int) -> dict[str, float]:
    from confluent_kafka import Producer

    if workload.startswith("consume"):
        return _confluent_consume(workload, hosts, topic, count)
    config = {"bootstrap.servers": hosts, "acks": "all", "queue.buffering.max.messages": max(1000000, count + 1)}
    if workload == "latency":
        config["linger.ms"] = 0
        producer = Producer(config)

        def send_and_wait() -> None:
            acked: list[Any] = []
            producer.produce(topic, VALUE, on_delivery=lambda error, message: acked.append(error))
            while not acked:
                producer.poll(1)

        return latencies(send_and_wait)
    if workload == "memory":
        producer = Producer(
            {**config, "linger.ms": 600000, "message.timeout.ms": 700000, "queue.buffering.max.kbytes": 2**21 - 1}
        )
        result = memory_per_message(count, lambda: producer.produce(topic, VALUE))
        # the value is copied into the queue, which ours and the others' is not
        return {"bytes": result["bytes"] - len(VALUE)}
    seen = [0]

    def on_delivery(error: Any, message: Any) -> None:
        seen[0] += 1

    producer = Producer({**config, "partitioner": "murmur2_random"})
    value = LARGE if workload == "produce_1kb" else VALUE
    extra = {"on_delivery": on_delivery} if workload == "produce_callback" else {}
    with Meter() as meter:
        for number in range(count):
            while True:
                try:
                    if workload == "produce_keyed":
                        producer.produce(topic, value, KEYS[number % 1000])
                    else:
                        producer.produce(topic, value, **extra)
                    break
                except BufferError:
                    producer.poll(0.01)
            if extra and not number % 1000:
                producer.poll(0)
        producer.flush()
    return meter.rate(count)


def _confluent_consume(workload: str, hosts: str, topic: str, count: int) -> dict[str, float]:
    from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": hosts, "group.id": "bench", "enable.auto.commit": False})
    partitions = consumer.list_topics(topic).topics[topic].partitions
    consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions])
    got = 0
    with Meter() as meter:
        while got < count:
            if workload == "consume_batches":
                got += len(consumer.consume(BATCH, 10))
            elif consumer.poll(10) is not None:
                got += 1
    consumer.close()
    return meter.rate(count)


CLIENTS = {"pykafka": pykafka, "kafka-python": kafka_python, "aiokafka": aiokafka, "confluent-kafka": confluent}
#: What a program that produces and consumes imports.
CLASSES = {
    "pykafka": "KafkaClient, Producer, SimpleConsumer",
    "kafka-python": "KafkaProducer, KafkaConsumer",
    "aiokafka": "AIOKafkaProducer, AIOKafkaConsumer",
    "confluent-kafka": "Producer, Consumer",
}
MODULES = {"pykafka": "pykafka", "kafka-python": "kafka", "aiokafka": "aiokafka", "confluent-kafka": "confluent_kafka"}


def main() -> None:
    """Run one workload and print what it measured."""
    client, workload, hosts, topic, count = sys.argv[1:6]
    result = CLIENTS[client](workload, hosts, topic, int(count))
    print(json.dumps(result), flush=True)
    # what is still queued on purpose (memory) is not to be waited for
    os._exit(0)


if __name__ == "__main__":
    main()
