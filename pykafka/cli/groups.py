"""Commands about consumer groups: who is in them, how far they are, and setting where they go on."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Optional

from ..broker import Broker
from ..client import KafkaClient
from ..exceptions import (
    GroupAuthorizationFailed,
    IllegalGeneration,
    RebalanceInProgress,
    TopicAuthorizationFailed,
    UnknownMemberId,
    error_for,
)
from ..simpleconsumer import SimpleConsumer
from ..topic import Topic
from .errors import OperationFailed
from .formats import Column, Fact, Report, text, write
from .progress import progress
from .topics import ends_of, offsets_at, require_topic, some_partitions
from .values import Word

#: What a coordinator says of a group that it does not know; brokers before Kafka 4 say that it is dead instead.
GROUP_ID_NOT_FOUND = 69
DEAD = "Dead"

_GROUP = Column("group", "GroupId")
_STATE = Column("state", "State")
_PROTOCOL = Column("protocol", "Protocol")
_TYPE = Column("protocol_type", "ProtocolType")


# -- offsets ----------------------------------------------------------------------------------------------------------


class Committed(NamedTuple):
    """What a group has committed for one partition, None for nothing, and who said so."""

    offset: Optional[int]
    consumer_id: str
    hostname: str


def committed_offsets(topic: Topic, group: str) -> dict[int, Committed]:
    """Return what ``group`` has committed for every partition of ``topic``; changes nothing."""
    return {number: _committed(row) for number, row in _reader(topic, group).fetch_offsets()}


def _reader(topic: Topic, group: str) -> SimpleConsumer:
    # never started: it only asks. A transaction that is under way need not be waited for to see what is committed
    return topic.get_simple_consumer(
        consumer_group=group, auto_start=False, reset_offset_on_fetch=False, isolation_level="read_uncommitted"
    )


def _committed(row: Any) -> Committed:
    consumer_id, hostname = _said_with_commit(row.metadata)
    return Committed(row.offset if row.offset >= 0 else None, consumer_id, hostname)


def _said_with_commit(metadata: bytes) -> tuple[str, str]:
    """Return (consumer_id, hostname) as PyKafka stores them with a commit; other clients store what they like."""
    try:
        said = json.loads(metadata)
    except (ValueError, RecursionError):
        return "", ""
    if not isinstance(said, dict):
        return "", ""
    return str(said.get("consumer_id") or ""), str(said.get("hostname") or "")


def _lag(committed: Optional[int], latest: int) -> Optional[int]:
    return None if committed is None else latest - committed


def _print_consumer_lag(client: KafkaClient, options: Namespace, form: str) -> int:
    topic = require_topic(client, options.topic)
    committed = committed_offsets(topic, options.consumer_group)
    # after what is committed, so that a group that reads meanwhile is never ahead of the end
    latest = offsets_at(topic, Word(-1))
    columns = [
        Column("partition", "Partition", True),
        Column("lag", "Lag", True, thousands=True),
        Column("latest_offset", "Latest Offset", True),
        Column("current_offset", "Current Offset", True),
        Column("consumer_id", "Consumer_ID"),
        Column("client_id", "Client_ID"),
    ]
    rows = [
        (number, _lag(one.offset, latest[number]), latest[number], one.offset, one.consumer_id, one.hostname)
        for number, one in sorted(committed.items())
        if number in latest
    ]
    total = sum(max(0, row[1]) for row in rows if row[1] is not None)
    without = sum(row[1] is None for row in rows)
    after = [
        Fact("total_lag", total, f"\n Total lag: {total:,} messages."),
        Fact("partitions_without_commit", without, _without(without, options.consumer_group)),
    ]
    write(Report(columns, rows, "partitions", after=after if without or form == "json" else after[:1]), form, sys.stdout)
    return 0


def _without(count: int, group: str) -> str:
    partitions = "1 partition has" if count == 1 else f"{count} partitions have"
    return f" {partitions} no committed offset of {text(group)}, and so no lag."


def _reset_offsets(client: KafkaClient, options: Namespace, form: str) -> int:
    topic = require_topic(client, options.topic)
    partitions = some_partitions(topic, options.partitions)
    new = _new_offsets(topic, options, partitions)
    if options.dry_run:
        current = committed_offsets(topic, options.consumer_group)
        columns = [
            Column("partition", "Partition", True),
            Column("current_offset", "Current Offset", True),
            Column("new_offset", "New Offset", True),
        ]
        rows = [(number, current[number].offset, new[number]) for number in sorted(partitions)]
        write(Report(columns, rows), form, sys.stdout)
        return 0
    try:
        _reader(topic, options.consumer_group).commit_offsets([(one, new[number]) for number, one in partitions.items()])
    except (UnknownMemberId, IllegalGeneration, RebalanceInProgress) as error:
        raise OperationFailed(
            f"group {options.consumer_group} has running members, which alone may commit: stop them first. Nothing was changed"
        ) from error
    return 0


def _new_offsets(topic: Topic, options: Namespace, partitions: Iterable[int]) -> dict[int, int]:
    where = options.offset
    if not isinstance(where, int) or isinstance(where, Word):
        return offsets_at(topic, where)
    first, after_last = ends_of(topic)
    for number in sorted(partitions):
        if not first[number] <= where <= after_last[number]:
            raise OperationFailed(
                f"partition {number} of {options.topic} has offsets {first[number]} to {after_last[number]}, and so not {where}"
            )
    return dict.fromkeys(partitions, where)


# -- members ----------------------------------------------------------------------------------------------------------


def _print_groups(client: KafkaClient, options: Namespace, form: str) -> int:
    columns = [_GROUP, _STATE, _TYPE, _PROTOCOL, Column("members", "Members", True), Column("coordinator", "Coordinator")]
    rows = []
    brokers = [broker for _id, broker in sorted(client.brokers.items())]
    with progress(len(brokers), "brokers") as bar:
        for broker in brokers:
            rows += [(*row, _spelled(broker)) for row in _groups_at(broker)]
            bar.update()
    write(Report(columns, sorted(rows)), form, sys.stdout)
    return 0


def _groups_at(broker: Broker) -> Iterator[tuple[str, str, str, str, int]]:
    """Yield what is known of every group that ``broker`` coordinates."""
    listed = broker.list_groups().groups
    described = broker.describe_groups(list(listed)).groups if listed else {}
    for group_id, listing in listed.items():
        found = described.get(group_id)
        if found is None or found.error_code:
            # a group of another kind (share groups, streams) is listed, but cannot be described this way
            yield text(group_id), "", text(listing.protocol_type), "", 0
        else:
            yield text(group_id), text(found.state), text(found.protocol_type), text(found.protocol), len(found.members)


def _spelled(broker: Broker) -> str:
    return f"{broker.id} ({text(broker.host)}:{broker.port})"


def _print_managed_consumer_groups(client: KafkaClient, options: Namespace, form: str) -> int:
    topic = require_topic(client, options.topic)
    descriptions = client.cluster.get_managed_group_descriptions()
    rows = [
        (text(group_id), text(found.state), text(found.protocol), text(found.protocol_type))
        for group_id, found in sorted(descriptions.items())
        if any(topic.name in _topics_of(member) for member in found.members.values())
    ]
    name = text(topic.name)
    report = Report([_GROUP, _STATE, _PROTOCOL, _TYPE], rows, "groups", [Fact("topic", name, f"Topic: {name}")])
    write(report, form, sys.stdout)
    return 0


def _topics_of(member: Any) -> set[bytes]:
    """Return the topics that a member subscribed to, or was given partitions of."""
    subscribed = getattr(member.member_metadata, "topic_names", None) or ()
    return {*map(_bytes, subscribed), *_assignment(member)}


def _assignment(member: Any) -> dict[bytes, list[int]]:
    given = getattr(member.member_assignment, "partition_assignment", None) or ()
    return {_bytes(topic): sorted(numbers) for topic, numbers in given}


def _bytes(name: Any) -> bytes:
    return name if isinstance(name, bytes) else str(name).encode()


class Reader(NamedTuple):
    """The member that reads a partition."""

    member_id: str
    client_id: str
    host: str


def _describe_group(client: KafkaClient, options: Namespace, form: str) -> int:
    group = options.consumer_group
    coordinator = client.cluster.get_group_coordinator(group)
    found = coordinator.describe_groups([group]).groups.get(group.encode())
    missing = found is None or found.error_code == GROUP_ID_NOT_FOUND or text(found.state) == DEAD
    if not missing and found.error_code:
        raise error_for(found.error_code, api="DescribeGroups", broker=_spelled(coordinator), detail=f"group {group}")
    members = {} if missing else found.members
    rows = [*_partition_rows(client, options, members), *_idle_rows(members)]
    if missing and not rows:
        raise OperationFailed(f"group {group} does not exist: it has no members and has committed nothing")
    columns = [
        Column("topic", "Topic"),
        Column("partition", "Partition", True),
        Column("current_offset", "Current Offset", True),
        Column("latest_offset", "Latest Offset", True),
        Column("lag", "Lag", True, thousands=True),
        Column("member_id", "Member"),
        Column("client_id", "Client"),
        Column("host", "Host"),
    ]
    write(Report(columns, rows, "partitions", _facts(group, None if missing else found, coordinator)), form, sys.stdout)
    return 0


def _facts(group: str, found: Any, coordinator: Broker) -> list[Fact]:
    state = DEAD if found is None else text(found.state)
    kind = "" if found is None else text(found.protocol_type)
    protocol = "" if found is None else text(found.protocol)
    count = 0 if found is None else len(found.members)
    where = _spelled(coordinator)
    return [
        Fact("group", group, f"GroupId: {group}"),
        Fact("state", state, f"State: {state}"),
        Fact("protocol_type", kind, f"ProtocolType: {kind or '-'}"),
        Fact("protocol", protocol, f"Protocol: {protocol or '-'}"),
        Fact("coordinator", where, f"Coordinator: {where}"),
        Fact("members", count, f"Members: {count}\n"),
    ]


def _partition_rows(client: KafkaClient, options: Namespace, members: Mapping[Any, Any]) -> list[tuple[Any, ...]]:
    """Return a row for every partition that a member reads, or the group has committed an offset of."""
    readers: dict[tuple[bytes, int], Reader] = {}
    for member in members.values():
        for topic, numbers in _assignment(member).items():
            readers.update({(topic, number): _reader_of(member) for number in numbers})
    rows: list[tuple[Any, ...]] = []
    names = _topics_to_look_at(client, options, members)
    with progress(len(names), "topics") as bar:
        for name in names:
            rows += _rows_of_topic(client, options.consumer_group, name, readers)
            bar.update()
    return rows


def _rows_of_topic(
    client: KafkaClient, group: str, name: str, readers: Mapping[tuple[bytes, int], Reader]
) -> Iterator[tuple[Any, ...]]:
    topic = client.topics.get(name)
    if topic is None:  # deleted, while members still have it assigned
        return
    try:
        committed = committed_offsets(topic, group)
    except (TopicAuthorizationFailed, GroupAuthorizationFailed) as error:
        raise OperationFailed(f"what {group} has committed of {name} may not be looked at: {error}") from error
    wanted = [number for number, one in sorted(committed.items()) if one.offset is not None or (topic.name, number) in readers]
    latest = offsets_at(topic, Word(-1)) if wanted else {}
    for number in wanted:
        offset = committed[number].offset
        reader = readers.get((topic.name, number), Reader("", "", ""))
        yield (name, number, offset, latest[number], _lag(offset, latest[number]), *reader)


def _topics_to_look_at(client: KafkaClient, options: Namespace, members: Mapping[Any, Any]) -> list[str]:
    """Return the topics asked for; else those of the members; else, where there are none, all that are not internal."""
    if options.topics:
        for name in options.topics:
            require_topic(client, name)
        return list(dict.fromkeys(options.topics))
    of_members = {name.decode("utf-8", "replace") for member in members.values() for name in _topics_of(member)}
    everything = {name.decode() for name in client.topics if not name.startswith(b"__")}
    return sorted(of_members or everything)


def _idle_rows(members: Mapping[Any, Any]) -> list[tuple[Any, ...]]:
    """Return a row for every member that reads nothing."""
    idle = [member for member in members.values() if not any(_assignment(member).values())]
    return [(None, None, None, None, None, *reader) for reader in sorted(map(_reader_of, idle))]


def _reader_of(member: Any) -> Reader:
    return Reader(text(member.member_id), text(member.client_id), text(member.client_host).lstrip("/"))


COMMANDS = {
    "print_groups": _print_groups,
    "describe_group": _describe_group,
    "print_managed_consumer_groups": _print_managed_consumer_groups,
    "print_consumer_lag": _print_consumer_lag,
    "reset_offsets": _reset_offsets,
}
