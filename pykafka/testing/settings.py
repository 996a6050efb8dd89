"""The settings of topics, brokers and groups that the brokers tell about, with Kafka's defaults; few of them do anything.

What a topic really follows: ``max.message.bytes``, ``message.timestamp.type``, ``message.timestamp.after.max.ms``,
``message.timestamp.before.max.ms``, ``min.insync.replicas`` and ``cleanup.policy`` (compacted topics refuse records without
a key; nothing is ever compacted or deleted by age).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Optional

#: Numbers of DescribeConfigs: what kind of value a setting has.
BOOLEAN, STRING, INT, SHORT, LONG, DOUBLE, LIST, CLASS, PASSWORD = range(1, 10)
_FOREVER = str(2**63 - 1)


class Setting(NamedTuple):
    """What a setting is when nobody sets it, which kind of value it has, and which values if there are only some."""

    default: str
    kind: int
    choices: tuple[str, ...] = ()


TOPIC_SETTINGS: Mapping[str, Setting] = {
    "cleanup.policy": Setting("delete", LIST, ("delete", "compact")),
    "compression.type": Setting("producer", STRING, ("producer", "uncompressed", "gzip", "snappy", "lz4", "zstd")),
    "delete.retention.ms": Setting("86400000", LONG),
    "file.delete.delay.ms": Setting("60000", LONG),
    "flush.messages": Setting(_FOREVER, LONG),
    "flush.ms": Setting(_FOREVER, LONG),
    "index.interval.bytes": Setting("4096", INT),
    "max.compaction.lag.ms": Setting(_FOREVER, LONG),
    "max.message.bytes": Setting("1048588", INT),
    "message.timestamp.after.max.ms": Setting("3600000", LONG),
    "message.timestamp.before.max.ms": Setting(_FOREVER, LONG),
    "message.timestamp.type": Setting("CreateTime", STRING, ("CreateTime", "LogAppendTime")),
    "min.cleanable.dirty.ratio": Setting("0.5", DOUBLE),
    "min.compaction.lag.ms": Setting("0", LONG),
    "min.insync.replicas": Setting("1", INT),
    "preallocate": Setting("false", BOOLEAN, ("true", "false")),
    "retention.bytes": Setting("-1", LONG),
    "retention.ms": Setting("604800000", LONG),
    "segment.bytes": Setting("1073741824", INT),
    "segment.index.bytes": Setting("10485760", INT),
    "segment.jitter.ms": Setting("0", LONG),
    "segment.ms": Setting("604800000", LONG),
    "unclean.leader.election.enable": Setting("false", BOOLEAN, ("true", "false")),
}

BROKER_SETTINGS: Mapping[str, Setting] = {
    "auto.create.topics.enable": Setting("true", BOOLEAN),
    "default.replication.factor": Setting("1", INT),
    "message.max.bytes": Setting("1048588", INT),
    "min.insync.replicas": Setting("1", INT),
    "num.partitions": Setting("1", INT),
    "socket.request.max.bytes": Setting("104857600", INT),
}

GROUP_SETTINGS: Mapping[str, Setting] = {
    "consumer.heartbeat.interval.ms": Setting("5000", INT),
    "consumer.session.timeout.ms": Setting("45000", INT),
}

_NUMBERS = {INT: 2**31, SHORT: 2**15, LONG: 2**63}


def problem_with(name: str, value: Optional[str]) -> Optional[str]:
    """Return why a topic cannot have a setting, in Kafka's words; None when it can."""
    setting = TOPIC_SETTINGS.get(name)
    if setting is None:
        return f"Unknown topic config name: {name}"
    if value is None:
        return f"Null value not supported for topic configs: {name}"
    if setting.kind in _NUMBERS:
        try:
            number = int(value)
        except ValueError:
            kind = {LONG: "LONG", SHORT: "SHORT"}.get(setting.kind, "INT")
            return f"Invalid value {value} for configuration {name}: Not a number of type {kind}"
        if not -1 <= number < _NUMBERS[setting.kind]:
            return f"Invalid value {number} for configuration {name}: Value must be at least 0"
    wrong = [one for one in value.split(",") if setting.choices and one not in setting.choices]
    if wrong:
        return f"Invalid value {value} for configuration {name}: String must be one of: {', '.join(setting.choices)}"
    return None
