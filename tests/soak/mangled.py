"""Answers arrive with other bytes in them: only errors that are documented come out, nothing wrong is read, and it all goes on.

What is told of a message while answers are changed may be wrong, since it is the answer that says it. What is read may not:
records have checksums.
"""

from __future__ import annotations

import time
from typing import Any

from pykafka import KafkaClient
from pykafka.exceptions import KafkaException

from ..support import until
from .crowd import Ledger, Reader, Writer, end_writers, patiently
from .cut import GROUP_PROTOCOLS, QUICK, STORM_S
from .proxy import NONE, Faults, Proxy
from .stage import PATIENCE_S, Stage


def play(stage: Stage) -> str:
    """Tell the story; return what happened."""
    chance = stage.random
    topic = stage.new_topic(partitions=4)
    ledger = Ledger()
    with Proxy(stage.ports, stage.seed) as proxy, KafkaClient(stage.hosts, **QUICK) as client:
        writers = [
            Writer("linger", client, topic, ledger, stage.seed, linger_ms=5, compression=chance.randrange(5)),
            Writer("sync", client, topic, ledger, stage.seed + 2, sync=True, pending_timeout_ms=-1),
        ]
        options = {"auto_commit_enable": True, "auto_commit_interval_ms": 200, "group_protocol": chance.choice(GROUP_PROTOCOLS)}
        readers = [Reader("member", client, topic, f"group-{topic}", **options), Reader("alone", client, topic)]
        for reader in readers:
            reader.is_lenient = True
        for one in [*writers, *readers]:
            one.begin()
        proxy.faults = Faults(mangle=chance.choice([0.01, 0.1, 0.5]), stall=chance.choice([0, 0.01]))
        time.sleep(STORM_S * stage.length)
        until(lambda: proxy.happened["mangle"], timeout_s=120, what="a changed answer, however little a busy machine has carried")
        for one in writers:
            one.ending.set()
        time.sleep(chance.random())
        proxy.faults = NONE
        end_writers(writers, ledger)
        after = honest_again(client, topic)
        for reader in readers:
            reader.end()
    ledger.check_told_once()
    for error in ledger.failed:
        assert isinstance(error, KafkaException), repr(error)
    written = {*ledger.written, *after}
    for reader in readers:
        strange = {value for _, _, value in reader.read} - written
        assert not strange, f"{reader.name} has read what nobody wrote: {list(strange)[:5]}"
    stored = {row.value for rows in stage.stored(topic).values() for row in rows}
    assert stored <= written, f"nobody wrote {list(stored - written)[:5]}"
    failed, errors = len(ledger.failed), sum(len(reader.errors) for reader in readers)
    return f"{len(ledger.written)} messages, {failed} failed, {errors} errors read, {dict(proxy.happened)}"


def honest_again(client: KafkaClient, topic: str) -> list[bytes]:
    """Return what was written and read with new objects of the same client, once answers are what brokers send."""
    values = [b"after-%d" % number for number in range(100)]
    found = client.topics[topic]
    # brokers may seem to have asked for a pause, of a minute at most
    ends = {number: row.offset[0] for number, row in patiently(found.latest_available_offsets).items()}
    with found.get_producer() as producer:
        producer.produce_many(values)
        producer.flush(PATIENCE_S)
    got: list[Any] = []
    with found.get_simple_consumer(consumer_timeout_ms=100) as consumer:
        for number, end in ends.items():
            consumer.seek(found.partitions[number], end)

        def read() -> bool:
            got.extend(message.value for message in consumer.consume_batch(1000))
            return len(got) >= len(values)

        until(read, PATIENCE_S, what="what was written afterwards")
    assert sorted(got) == sorted(values)
    return values
