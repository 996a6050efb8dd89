"""What stands in a broker's properties file: only settings that its version knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Union

if TYPE_CHECKING:
    from .cluster import Node

Settings = dict[str, Union[str, int]]

#: The first version with KRaft good enough to use; before it there is a ZooKeeper beside the brokers.
FIRST_KRAFT = (3, 3)
#: The first version with share groups.
FIRST_SHARE_GROUPS = (4, 0)
#: The first version in which consumers may read from copies nearby.
FIRST_REPLICA_SELECTOR = (2, 4)
#: A broker that is not heard of for this long is taken for dead.
SESSION_TIMEOUT_MS = 3000


def version_tuple(version: str) -> tuple[int, ...]:
    """Return the numbers of a version, to be compared."""
    return tuple(int(part) for part in version.split("."))


def needs_zookeeper(version: str) -> bool:
    """Return whether the brokers of this version have their controller elected by ZooKeeper."""
    return version_tuple(version) < FIRST_KRAFT


def broker_settings(node: Node, version: str, nodes: list[Node], zookeeper_port: int) -> Settings:
    """Return the settings of ``node``, one of ``nodes``; ``zookeeper_port`` counts for versions that need one."""
    many = len(nodes) > 1
    copies, least = (len(nodes), len(nodes) - 1) if many else (1, 1)
    settings: Settings = {
        "broker.rack": f"r{node.id}",
        "inter.broker.listener.name": "PLAIN",
        "log.dirs": str(node.folder / "data"),
        "num.network.threads": 1,
        "num.io.threads": 2,
        "background.threads": 2,
        "num.recovery.threads.per.data.dir": 1,
        "log.cleaner.dedupe.buffer.size": 2097152,
        # tests write messages with timestamps of years ago, which a broker would delete when it next looks
        "log.retention.ms": -1,
        "offsets.topic.num.partitions": copies,
        "offsets.topic.replication.factor": copies,
        "transaction.state.log.num.partitions": copies,
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": least,
        "default.replication.factor": copies,
        "min.insync.replicas": least,
        "num.partitions": 3,
        "group.initial.rebalance.delay.ms": 0,
        "controlled.shutdown.enable": str(many).lower(),
        "auto.create.topics.enable": "true",
        "replica.lag.time.max.ms": 3000,
        "replica.fetch.backoff.ms": 50,
        # an index of the usual 10 MB is made with the second batch of a partition, which takes 40 ms on some disks
        "log.index.size.max.bytes": 262144,
    }
    if many and version_tuple(version) >= FIRST_REPLICA_SELECTOR:
        settings["replica.selector.class"] = "org.apache.kafka.common.replica.RackAwareReplicaSelector"
    if version_tuple(version) >= FIRST_SHARE_GROUPS:
        # how often members of groups of the newer protocol are heard of, and hear of anything
        settings["group.consumer.min.heartbeat.interval.ms"] = 100
        settings["group.consumer.heartbeat.interval.ms"] = 300
        settings["share.coordinator.state.topic.num.partitions"] = copies
        settings["share.coordinator.state.topic.replication.factor"] = copies
        settings["share.coordinator.state.topic.min.isr"] = least
    settings.update(_zookeeper_settings(node, zookeeper_port) if needs_zookeeper(version) else _kraft_settings(node, nodes))
    return settings


def _kraft_settings(node: Node, nodes: list[Node]) -> Settings:
    settings: Settings = {
        "process.roles": "broker,controller",
        "node.id": node.id,
        "controller.quorum.voters": ",".join(f"{one.id}@127.0.0.1:{one.controller_port}" for one in nodes),
        "controller.listener.names": "CTRL",
        "listeners": f"PLAIN://127.0.0.1:{node.port},CTRL://127.0.0.1:{node.controller_port}",
        "advertised.listeners": f"PLAIN://127.0.0.1:{node.port}",
        "listener.security.protocol.map": "CTRL:PLAINTEXT,PLAIN:PLAINTEXT",
        "controller.quorum.election.timeout.ms": 500,
        "controller.quorum.fetch.timeout.ms": 1000,
    }
    if len(nodes) > 1:
        settings["broker.session.timeout.ms"] = SESSION_TIMEOUT_MS
        settings["broker.heartbeat.interval.ms"] = 500
    return settings


def _zookeeper_settings(node: Node, zookeeper_port: int) -> Settings:
    return {
        "broker.id": node.id,
        "zookeeper.connect": f"127.0.0.1:{zookeeper_port}",
        "zookeeper.session.timeout.ms": SESSION_TIMEOUT_MS,
        "listeners": f"PLAIN://127.0.0.1:{node.port}",
        "listener.security.protocol.map": "PLAIN:PLAINTEXT",
        # topics are deleted only on request, which is what brokers from 1.0 on do by themselves
        "delete.topic.enable": "true",
    }
