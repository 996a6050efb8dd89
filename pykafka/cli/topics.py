"""Commands about topics: listing, describing, creating and deleting them, and their offsets."""

from __future__ import annotations

import difflib
import sys
import time
from argparse import Namespace
from collections.abc import Mapping
from typing import Callable, Optional

from ..broker import Broker, CreateTopicRequest
from ..client import KafkaClient
from ..common import OffsetType
from ..exceptions import LeaderNotFoundError
from ..partition import Partition
from ..topic import Topic
from .errors import OperationFailed, UsageMistake
from .formats import Column, Fact, Report, text, write
from .values import Place, Word

#: Seconds between two looks at whether the brokers know what was changed.
PAUSE_S = 0.05

_TOPIC_COLUMNS = [Column("topic", "Topic"), Column("partitions", "Partitions", True), Column("replicas", "Replication", True)]


def require_topic(client: KafkaClient, name: str) -> Topic:
    """Return a topic that exists; none is ever created.

    :raises OperationFailed: when there is none, with the nearest name that there is
    """
    if name.encode() not in client.topics:
        known = [other.decode() for other in client.topics]
        close = difflib.get_close_matches(name, known, n=1)
        raise OperationFailed(f"topic {text(name)} does not exist" + (f"; did you mean {close[0]}?" if close else ""))
    return client.topics[name]


def offsets_at(topic: Topic, where: Place) -> dict[int, int]:
    """Return per partition the offset at an end of the topic or at a moment.

    :raises OperationFailed: when a partition has no leader to ask
    """
    try:
        limits = topic.fetch_offset_limits(where)
    except LeaderNotFoundError as error:
        raise OperationFailed(f"{error}; kafka-tools doctor tells more") from error
    return {partition_id: row.offset[0] for partition_id, row in limits.items()}


def known_offsets(topic: Topic, where: Place) -> dict[int, Optional[int]]:
    """Return per partition the same; None, at once, where no leader can tell."""
    found: dict[int, Optional[int]] = dict.fromkeys(sorted(topic.partitions))
    led = {number: partition for number, partition in topic.partitions.items() if partition.leader is not None}
    if len(led) == len(found):
        found.update(offsets_at(topic, where))
    else:
        found.update({number: partition.fetch_offset_limit(where)[0] for number, partition in led.items()})
    return found


def latest_offsets(topic: Topic) -> dict[int, Optional[int]]:
    """Return per partition the offset that the next message will have; None, at once, where no leader can tell."""
    return known_offsets(topic, Word(OffsetType.LATEST))


def ends_of(topic: Topic) -> tuple[dict[int, int], dict[int, int]]:
    """Return per partition the first offset in the log, and the one that comes next."""
    return offsets_at(topic, Word(-2)), offsets_at(topic, Word(-1))


def some_partitions(topic: Topic, numbers: object) -> dict[int, Partition]:
    """Return the partitions with these numbers; all of them for None.

    :raises OperationFailed: naming the numbers that the topic does not have
    """
    if not isinstance(numbers, list):
        return dict(topic.partitions)
    unknown = [number for number in numbers if number not in topic.partitions]
    if unknown:
        raise OperationFailed(f"topic {topic.name.decode()} has no partitions {unknown}: it has {sorted(topic.partitions)}")
    return {number: topic.partitions[number] for number in numbers}


def _controller(client: KafkaClient) -> Broker:
    # up to Kafka 3 with ZooKeeper nobody else takes changes
    return client.cluster.controller_broker or next(iter(client.brokers.values()))


def _print_topics(client: KafkaClient, options: Namespace, form: str) -> int:
    names = sorted(name for name in client.topics if options.internal or not name.startswith(b"__"))
    rows = []
    for name in names:
        topic = client.topics.get(name)
        if topic is not None:  # deleted since
            copies = _replication(topic)
            # people's scripts know the table's number as that of the copies besides the first, as PyKafka always printed it
            rows.append((text(name), len(topic.partitions), copies - 1 if form == "table" else copies))
    write(Report(_TOPIC_COLUMNS, rows), form, sys.stdout)
    return 0


def _replication(topic: Topic) -> int:
    return max((len(partition.replica_ids) for partition in topic.partitions.values()), default=0)


def _desc_topic(client: KafkaClient, options: Namespace, form: str) -> int:
    topic = require_topic(client, options.topic)
    columns = [
        Column("partition", "Partition", True),
        Column("leader", "Leader", True),
        Column("replicas", "Replicas", True),
        Column("isr", "ISR", True),
    ]
    rows = [
        (number, None if one.leader is None else one.leader.id, one.replica_ids, one.isr_ids)
        for number, one in sorted(topic.partitions.items())
    ]
    name = text(topic.name)
    before = [
        Fact("topic", name, f"Topic: {name}"),
        Fact("partitions", len(rows), f"Partitions: {len(rows)}"),
        Fact("replicas", _replication(topic), f"Replicas: {_replication(topic)}\n"),
    ]
    write(Report(columns, rows, "partition_list", before), form, sys.stdout)
    return 0


def _print_offsets(client: KafkaClient, options: Namespace, form: str) -> int:
    offsets = known_offsets(require_topic(client, options.topic), options.offset)
    columns = [Column("partition", "Partition", True), Column("offset", "Offset", True)]
    write(Report(columns, sorted(offsets.items())), form, sys.stdout)
    return 0


def _create_topic(client: KafkaClient, options: Namespace, form: str) -> int:
    assignment: Mapping[int, list[int]] = options.replica_assignment or {}
    if assignment and (options.num_partitions or options.replication_factor):
        raise UsageMistake("--replica_assignment says how many partitions and copies there are: leave -p and -r out")
    request = CreateTopicRequest(
        options.topic, options.num_partitions or 1, options.replication_factor or 1, assignment, options.config_entries
    )
    _controller(client).create_topics([request], timeout=options.timeout)
    partitions = len(assignment) or request.num_partitions

    def there() -> bool:
        topic = client.topics.get(options.topic)
        known = {} if topic is None else topic.partitions
        return len(known) == partitions and all(one.leader is not None for one in known.values())

    _wait_for(client, there, options.timeout)
    if form != "table":
        copies = max(map(len, assignment.values()), default=request.replication_factor)
        write(Report(_TOPIC_COLUMNS, [(options.topic, partitions, copies)]), form, sys.stdout)
    return 0


def _delete_topic(client: KafkaClient, options: Namespace, form: str) -> int:
    require_topic(client, options.topic)
    if options.topic.startswith("__"):
        # brokers would do it: with __consumer_offsets the offsets of all groups would be gone
        raise OperationFailed(f"{text(options.topic)} is a topic of Kafka itself, which is not deleted by this tool")
    _controller(client).delete_topics([options.topic], timeout=options.timeout)
    _wait_for(client, lambda: options.topic.encode() not in set(client.topics), options.timeout)
    if form != "table":
        write(Report([Column("topic", "Topic"), Column("deleted", "Deleted")], [(options.topic, True)]), form, sys.stdout)
    return 0


def _wait_for(client: KafkaClient, condition: Callable[[], bool], timeout_ms: int) -> None:
    """Return when all brokers will tell the next command of the change, which the controller has made; or in time."""
    deadline = time.monotonic() + timeout_ms / 1000.0
    client.update_cluster()
    while not condition() and time.monotonic() < deadline:
        time.sleep(PAUSE_S)
        client.update_cluster()


COMMANDS = {
    "print_topics": _print_topics,
    "desc_topic": _desc_topic,
    "print_offsets": _print_offsets,
    "create_topic": _create_topic,
    "delete_topic": _delete_topic,
}
