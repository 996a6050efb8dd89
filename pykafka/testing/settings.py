"""The settings of topics, brokers and groups that the brokers tell about, with Kafka's defaults; few of them do anything.

What a topic really follows: ``max.message.bytes``, ``message.timestamp.type``, ``message.timestamp.after.max.ms``,
``message.timestamp.before.max.ms``, ``min.insync.replicas`` and ``cleanup.policy`` (compacted topics refuse records without
a key; nothing is ever compacted or deleted by age). All others are kept and told, and change nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Optional

#: Numbers of DescribeConfigs: what has settings, and what kind of value a setting has.
TOPIC, BROKER, GROUP = 2, 4, 32
BOOLEAN, STRING, INT, SHORT, LONG, DOUBLE, LIST, CLASS, PASSWORD = range(1, 10)
_FOREVER = str(2**63 - 1)


class Setting(NamedTuple):
    """What a setting is when nobody sets it, which kind of value it has, which values if there are only some, and the least."""

    default: str
    kind: int
    choices: tuple[str, ...] = ()
    least: Optional[int] = None


TOPIC_SETTINGS: Mapping[str, Setting] = {
    "cleanup.policy": Setting("delete", LIST, ("compact", "delete")),
    "compression.type": Setting("producer", STRING, ("uncompressed", "zstd", "lz4", "snappy", "gzip", "producer")),
    "delete.retention.ms": Setting("86400000", LONG, least=0),
    "file.delete.delay.ms": Setting("60000", LONG, least=0),
    "flush.messages": Setting(_FOREVER, LONG, least=1),
    "flush.ms": Setting(_FOREVER, LONG, least=0),
    "index.interval.bytes": Setting("4096", INT, least=0),
    "max.compaction.lag.ms": Setting(_FOREVER, LONG, least=1),
    "max.message.bytes": Setting("1048588", INT, least=0),
    "message.timestamp.after.max.ms": Setting("3600000", LONG, least=0),
    "message.timestamp.before.max.ms": Setting(_FOREVER, LONG, least=0),
    "message.timestamp.type": Setting("CreateTime", STRING, ("CreateTime", "LogAppendTime")),
    "min.cleanable.dirty.ratio": Setting("0.5", DOUBLE, least=0),
    "min.compaction.lag.ms": Setting("0", LONG, least=0),
    "min.insync.replicas": Setting("1", INT, least=1),
    "preallocate": Setting("false", BOOLEAN),
    "retention.bytes": Setting("-1", LONG),
    "retention.ms": Setting("604800000", LONG, least=-1),
    "segment.bytes": Setting("1073741824", INT, least=1048576),
    "segment.index.bytes": Setting("10485760", INT, least=4),
    "segment.jitter.ms": Setting("0", LONG, least=0),
    "segment.ms": Setting("604800000", LONG, least=1),
    "unclean.leader.election.enable": Setting("false", BOOLEAN),
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

#: How many numbers there are of a kind, on either side of 0.
_NUMBERS = {INT: 2**31, LONG: 2**63}
_NAMES = {INT: "INT", LONG: "LONG", DOUBLE: "DOUBLE"}


def problem_with(name: str, value: Optional[str]) -> Optional[str]:
    """Return why a topic cannot have a setting, in Kafka's words; None when it can."""
    setting = TOPIC_SETTINGS.get(name)
    if setting is None:
        return f"Unknown topic config name: {name}"
    if value is None:
        return f"Null value not supported for topic configs: {name}"
    why = _problem_with_number(setting, value) if setting.kind in _NAMES else _problem_with_word(setting, value)
    return None if why is None else f"Invalid value {why[0]} for configuration {name}: {why[1]}"


def _problem_with_number(setting: Setting, value: str) -> Optional[tuple[object, str]]:
    try:
        number = float(value) if setting.kind == DOUBLE else int(value)
        # Java knows no digits in groups
        if "_" in value or abs(number) >= _NUMBERS.get(setting.kind, float("inf")):
            raise ValueError
    except ValueError:
        return value, f"Not a number of type {_NAMES[setting.kind]}"
    if setting.least is not None and number < setting.least:
        return number, f"Value must be at least {setting.least}"
    return (number, "Value must be no more than 1") if setting.kind == DOUBLE and number > 1 else None


def _problem_with_word(setting: Setting, value: str) -> Optional[tuple[object, str]]:
    if setting.kind == BOOLEAN:
        is_one = value.lower() in ("true", "false")
        return None if is_one else (value, "Expected value to be either true or false")
    words = [one for one in value.split(",") if one] if setting.kind == LIST else [value]
    wrong = next((one for one in words if one not in setting.choices), None)
    return None if wrong is None else (wrong, f"String must be one of: {', '.join(setting.choices)}")
