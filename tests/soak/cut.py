"""Connections are cut, held up and handed on in pieces: nothing is lost, nothing is twice, and everybody is told the truth."""

from __future__ import annotations

import time

from pykafka import KafkaClient

from ..support import until
from .crowd import Ledger, Reader, Writer, check_read_and_end, end_writers
from .proxy import NONE, Faults, Proxy
from .stage import Stage

QUICK = {"socket_timeout_ms": 5000, "offsets_channel_socket_timeout_ms": 5000, "reconnect_backoff_max_ms": 100}
GROUP_PROTOCOLS = ("classic", "consumer")
STORM_S = 8.0


def play(stage: Stage) -> str:
    """Tell the story; return what happened."""
    chance = stage.random
    topic = stage.new_topic(partitions=4)
    ledger = Ledger()
    faults = Faults(cut=chance.choice([0.003, 0.02, 0.08]), stall=chance.choice([0, 0.01]), crumble=chance.choice([0, 0.02]))
    with Proxy(stage.ports, stage.seed) as proxy, KafkaClient(stage.hosts, **QUICK) as client:
        writers = [
            Writer("linger", client, topic, ledger, stage.seed, linger_ms=5, compression=chance.randrange(5)),
            Writer("at-once", client, topic, ledger, stage.seed + 1, linger_ms=0),
            Writer("sync", client, topic, ledger, stage.seed + 2, sync=True, pending_timeout_ms=-1),
        ]
        options = {"auto_commit_enable": True, "auto_commit_interval_ms": 200, "group_protocol": chance.choice(GROUP_PROTOCOLS)}
        members = [Reader(f"member-{number}", client, topic, f"group-{topic}", **options) for number in range(2)]
        alone = Reader("alone", client, topic)
        crowd = [*writers, *members, alone]
        proxy.faults = faults
        for one in crowd:
            one.begin()
        time.sleep(STORM_S * stage.length)
        until(lambda: proxy.happened["cut"], timeout_s=120, what="a cut, however little a busy machine has carried")
        for one in writers:
            one.ending.set()
        time.sleep(chance.random())
        proxy.faults = NONE
        end_writers(writers, ledger)
        stored = stage.stored(topic)
        count = sum(map(len, stored.values()))
        check_read_and_end(alone, members, stored)
    ledger.check_whole(stored)
    return f"{count} messages, {dict(proxy.happened)}"
