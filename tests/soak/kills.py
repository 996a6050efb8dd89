"""Three real brokers, one of which is killed, frozen or stopped at a time, while clients produce: nothing is lost or twice."""

from __future__ import annotations

import time

from pykafka import KafkaClient

from ..brokers import KafkaCluster
from .clients import ConfluentWriter
from .crowd import Actor, Ledger, Reader, Writer, check_read_and_end, end_writers
from .cut import GROUP_PROTOCOLS, QUICK
from .stage import PATIENCE_S, Stage

SETTINGS = {"default.replication.factor": 3, "min.insync.replicas": 2, "offsets.topic.replication.factor": 3}
BLOWS = 3


class Blows(Actor):
    """Hits one broker after the other, and waits each time until it has recovered."""

    def __init__(self, stage: Stage, kafka: KafkaCluster) -> None:
        super().__init__("blows")
        self._random, self._kafka = stage.random, kafka
        self.happened: list[str] = []

    def act(self) -> None:
        """Hit."""
        for _ in range(BLOWS):
            node = self._random.choice(self._kafka.nodes)
            how = self._random.choice(["kill", "freeze", "terminate"])
            self.happened.append(f"{how} {node.id}")
            if how == "freeze":
                node.pause()
                time.sleep(1 + 8 * self._random.random())
                node.resume()
            else:
                node.kill() if how == "kill" else node.terminate()
                time.sleep(self._random.random())
                node.restart()
            time.sleep(3 + self._random.random())


def play(stage: Stage) -> str:
    """Tell the story; return what happened."""
    with KafkaCluster(3, settings=SETTINGS) as kafka, Stage(stage.seed, kafka.hosts) as there:
        topic = there.new_topic(partitions=6, replicas=3)
        ledger = Ledger()
        with KafkaClient(kafka.hosts, **QUICK) as client:
            writers: list[Actor] = [
                Writer("linger", client, topic, ledger, stage.seed),
                Writer("sync", client, topic, ledger, stage.seed + 1, sync=True, pending_timeout_ms=-1),
                ConfluentWriter("confluent", kafka.hosts, topic, ledger),
            ]
            options = {"auto_commit_enable": True, "auto_commit_interval_ms": 200}
            protocol = stage.random.choice(GROUP_PROTOCOLS)
            members = [Reader(f"m-{n}", client, topic, f"group-{topic}", group_protocol=protocol, **options) for n in range(2)]
            alone = Reader("alone", client, topic)
            blows = Blows(there, kafka)
            for one in [*writers, *members, alone, blows]:
                one.begin()
            # brokers that start take a minute each where other things run beside them
            blows.end(2 * PATIENCE_S)
            end_writers(writers, ledger)
            stored = there.stored(topic)
            count = sum(map(len, stored.values()))
            check_read_and_end(alone, members, stored)
    ledger.check_whole(stored)
    return f"{count} messages, {', '.join(blows.happened)}"
