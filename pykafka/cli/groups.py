"""Commands about consumer groups: who is in them, how far they are, and setting where they go on."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Optional, Union

from ..broker import Broker
from ..client import KafkaClient
from ..exceptions import (
    IllegalGeneration,
    RebalanceInProgress,
    UnknownMemberId,
    error_for,
)
from ..offsets import committed_by_group
from ..partition import Partition
from ..simpleconsumer import SimpleConsumer
from ..topic import Topic
from .errors import OperationFailed
from .formats import NOTHING, Column, Fact, Report, counted, text, write
from .progress import progress
from .topics import ends_of, latest_offsets, offsets_at, require_topic, some_partitions
from .values import Word

#: What a coordinator says of a group that it does not know; brokers before Kafka 4 say that it is dead instead.
GROUP_ID_NOT_FOUND = 69
DEAD, EMPTY = "Dead", "Empty"
#: Protocol types of groups whose members read topics; a group of Connect, say, shares out other things.
READERS = ("consumer", "share", "streams")

_GROUP = Column("group", "GroupId")
_STATE = Column("state", "State")
_PROTOCOL = Column("protocol", "Protocol")
_TYPE = Column("protocol_type", "ProtocolType")
_KIND = Column("type", "Type")


# -- offsets ----------------------------------------------------------------------------------------------------------


class Committed(NamedTuple):
    """What a group has committed for one partition, None for nothing, and who did, where the client that did it says."""

    offset: Optional[int]
    consumer_id: Optional[str]
    hostname: Optional[str]


def committed_offsets(topic: Topic, group: Union[str, bytes]) -> dict[int, Committed]:
    """Return what ``group`` has committed for every partition of ``topic``; changes nothing."""
    return {number: _committed(row) for number, row in _reader(topic, group).fetch_offsets()}


def _reader(topic: Topic, group: Union[str, bytes]) -> SimpleConsumer:
    # never started: it only asks. A transaction that is under way need not be waited for to see what is committed
    return topic.get_simple_consumer(
        consumer_group=group, auto_start=False, reset_offset_on_fetch=False, isolation_level="read_uncommitted"
    )


def _committed(row: Any) -> Committed:
    consumer_id, hostname = _said_with_commit(row.metadata)
    return Committed(row.offset if row.offset >= 0 else None, consumer_id, hostname)


def _said_with_commit(metadata: bytes) -> tuple[Optional[str], Optional[str]]:
    """Return (consumer_id, hostname) as PyKafka stores them with a commit; other clients store what they like."""
    try:
        said = json.loads(metadata)
    except (ValueError, RecursionError):
        return None, None
    if not isinstance(said, dict):
        return None, None
    consumer_id, hostname = said.get("consumer_id"), said.get("hostname")
    return text(str(consumer_id)) if consumer_id else None, text(str(hostname)) if hostname else None


def _lag(committed: Optional[int], latest: Optional[int]) -> Optional[int]:
    return None if committed is None or latest is None else max(0, latest - committed)


def _print_consumer_lag(client: KafkaClient, options: Namespace, form: str) -> int:
    topic = require_topic(client, options.topic)
    committed = committed_offsets(topic, options.consumer_group)
    # after what is committed, so that a group that reads meanwhile is never ahead of the end
    latest = latest_offsets(topic)
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
    without = sum(lag is None for _number, lag, *_others in rows)
    total = sum(lag for _number, lag, *_others in rows if lag is not None) if without < len(rows) else None
    after = [
        Fact("total_lag", total, f"\n Total lag: {NOTHING if total is None else format(total, ',')} messages."),
        Fact("partitions_without_lag", without, _without(without, options.consumer_group)),
    ]
    write(Report(columns, rows, "partitions", after=after if without or form == "json" else after[:1]), form, sys.stdout)
    if _is_missing(client, options.consumer_group, committed):
        raise OperationFailed(_MISSING.format(text(options.consumer_group)))
    return 0


_MISSING = "group {} does not exist: it has no members and has committed nothing"


def _is_missing(client: KafkaClient, group: str, committed: Mapping[int, Committed]) -> bool:
    """Return whether there is no such group: it has no members, nothing of ``committed``, and nothing in any other topic."""
    if any(one.offset is not None for one in committed.values()):
        return False
    group_id = group.encode()
    coordinator = client.cluster.get_group_coordinator(group_id)
    state = _summary(group_id, _listed(coordinator), _described(group_id, coordinator)).state
    return state == DEAD and not committed_by_group(client.cluster, group)


def _without(count: int, group: str) -> str:
    return f" {counted(count, 'partition')} without a lag: no committed offset of {text(group)}, or no leader."


def _reset_offsets(client: KafkaClient, options: Namespace, form: str) -> int:
    topic = require_topic(client, options.topic)
    partitions = some_partitions(topic, options.partitions)
    new = _new_offsets(topic, options, partitions)
    if options.dry_run or form != "table":
        current = committed_offsets(topic, options.consumer_group)
        rows = [(number, current[number].offset, new[number]) for number in sorted(partitions)]
    if options.dry_run and _is_missing(client, options.consumer_group, current):
        print(f"kafka-tools: group {text(options.consumer_group)} is new: without --dry-run this creates it", file=sys.stderr)
    if not options.dry_run:
        _commit(topic, options.consumer_group, [(partition, new[number]) for number, partition in sorted(partitions.items())])
    if options.dry_run or form != "table":
        columns = [
            Column("partition", "Partition", True),
            Column("current_offset", "Current Offset", True),
            Column("new_offset", "New Offset", True),
        ]
        write(Report(columns, rows), form, sys.stdout)
    return 0


def _commit(topic: Topic, group: str, offsets: list[tuple[Partition, int]]) -> None:
    """Commit as somebody who is no member, which the coordinator refuses while there are any: nobody is ever overtaken."""
    try:
        _reader(topic, group).commit_offsets(offsets)
    except (UnknownMemberId, IllegalGeneration, RebalanceInProgress) as error:
        raise OperationFailed(
            f"group {text(group)} has running members, which alone may commit: stop them first. Nothing was changed"
        ) from error


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


class Summary(NamedTuple):
    """What can be said of a group in a line; ``members`` is None where it cannot be told."""

    state: Optional[str]
    type: Optional[str]
    protocol_type: Optional[str]
    protocol: Optional[str]
    members: Optional[int]


def _print_groups(client: KafkaClient, options: Namespace, form: str) -> int:
    columns = [_GROUP, _STATE, _KIND, _TYPE, _PROTOCOL, Column("members", "Members", True), Column("coordinator", "Coordinator")]
    rows: list[tuple[Any, ...]] = []
    brokers = [broker for _id, broker in sorted(client.brokers.items())]
    with progress(len(brokers), "brokers") as bar:
        for broker in brokers:
            listed = _listed(broker)
            described = broker.describe_groups(list(listed.groups)).groups if listed.groups else {}
            for group_id in listed.groups:
                rows.append((text(group_id), *_summary(group_id, listed, described.get(group_id)), _spelled(broker)))
            bar.update()
    write(Report(columns, sorted(rows, key=lambda row: str(row[0]))), form, sys.stdout)
    return 0


def _listed(broker: Broker) -> Any:
    """Return the groups that ``broker`` coordinates."""
    reply = broker.list_groups()
    if reply.error_code:
        raise error_for(reply.error_code, api="ListGroups", broker=_spelled(broker))
    return reply


def _described(group_id: bytes, coordinator: Broker) -> Any:
    """Return the description of a group; None for one that is not there, or is of a type that is not described this way."""
    found = coordinator.describe_groups([group_id]).groups.get(group_id)
    if found is not None and found.error_code not in (0, GROUP_ID_NOT_FOUND):
        raise error_for(found.error_code, api="DescribeGroups", broker=_spelled(coordinator), detail=f"group {text(group_id)}")
    return found if _is_there(found) else None


def _is_there(found: Any) -> bool:
    return found is not None and not found.error_code and text(found.state) != DEAD


def _summary(group_id: bytes, listed: Any, found: Any) -> Summary:
    """Return what is known of a group; of the new consumer groups (KIP-848) and share groups only what the list says."""
    kind = text(listed.types.get(group_id)) or None
    if _is_there(found):
        return Summary(
            text(found.state), kind, text(found.protocol_type) or None, text(found.protocol) or None, len(found.members)
        )
    if group_id not in listed.groups:
        return Summary(DEAD, None, None, None, 0)
    protocol_type = text(listed.groups[group_id].protocol_type) or None
    return Summary(text(listed.states.get(group_id)) or None, kind, protocol_type, None, None)


def _spelled(broker: Broker) -> str:
    return f"{broker.id} ({text(broker.host)}:{broker.port})"


def _print_managed_consumer_groups(client: KafkaClient, options: Namespace, form: str) -> int:
    topic = require_topic(client, options.topic)
    descriptions = sorted(client.cluster.get_managed_group_descriptions().items())
    rows = [
        (text(group_id), text(found.state), text(found.protocol), text(found.protocol_type))
        for group_id, found in descriptions
        if any(topic.name in _topics_of(member) for member in found.members.values())
    ]
    name = text(topic.name)
    report = Report([_GROUP, _STATE, _PROTOCOL, _TYPE], rows, "groups", [Fact("topic", name, f"Topic: {name}")])
    write(report, form, sys.stdout)
    silent = [text(group_id) for group_id, found in descriptions if _is_silent(found)]
    if silent:
        print(f"kafka-tools: not known, as they rebalance or are of a new type: {', '.join(silent)}", file=sys.stderr)
    for group_id, found in descriptions:
        if found.error_code:
            raise error_for(found.error_code, api="DescribeGroups", detail=f"group {text(group_id)}")
    return 0


def _is_silent(found: Any) -> bool:
    """Return whether a group has members that read topics, but nothing tells which."""
    reads = text(found.protocol_type) in READERS and text(found.state) not in (EMPTY, DEAD) and not found.error_code
    return reads and not any(map(_topics_of, found.members.values()))


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

    member_id: Optional[str]
    client_id: Optional[str]
    host: Optional[str]


NOBODY = Reader(None, None, None)


def _describe_group(client: KafkaClient, options: Namespace, form: str) -> int:
    group_id = options.consumer_group.encode()
    coordinator = client.cluster.get_group_coordinator(group_id)
    found = _described(group_id, coordinator)
    summary = _summary(group_id, _listed(coordinator), found)
    members = {} if found is None else found.members
    rows = [*_partition_rows(client, options, members), *_idle_rows(members)]
    if summary.state == DEAD and not rows:
        raise OperationFailed(_MISSING.format(text(group_id)))
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
    write(Report(columns, rows, "partitions", _facts(text(group_id), summary, _spelled(coordinator))), form, sys.stdout)
    return 0


def _facts(group: str, summary: Summary, coordinator: str) -> list[Fact]:
    unknown = "cannot be told of a group of this type"
    return [
        Fact("group", group, f"GroupId: {group}"),
        Fact("state", summary.state, f"State: {summary.state or NOTHING}"),
        Fact("type", summary.type, f"Type: {summary.type or NOTHING}"),
        Fact("protocol_type", summary.protocol_type, f"ProtocolType: {summary.protocol_type or NOTHING}"),
        Fact("protocol", summary.protocol, f"Protocol: {summary.protocol or NOTHING}"),
        Fact("coordinator", coordinator, f"Coordinator: {coordinator}"),
        Fact("members", summary.members, f"Members: {unknown if summary.members is None else summary.members}\n"),
    ]


def _partition_rows(client: KafkaClient, options: Namespace, members: Mapping[Any, Any]) -> list[tuple[Any, ...]]:
    """Return a row for every partition that a member reads, or the group has committed an offset of."""
    for name in options.topics or ():
        require_topic(client, name)
    readers: dict[str, dict[int, Reader]] = {}
    for member in members.values():
        for name, numbers in _assignment(member).items():
            readers.setdefault(text(name), {}).update(dict.fromkeys(numbers, _reader_of(member)))
    committed = {
        name: {number: _committed(row) for number, row in stored.items()}
        for name, stored in committed_by_group(client.cluster, options.consumer_group).items()
    }
    names = sorted({*readers, *committed} if options.topics is None else {*options.topics})
    rows: list[tuple[Any, ...]] = []
    with progress(len(names), "topics") as bar:
        for name in names:
            rows += _rows_of_topic(client, name, committed.get(name, {}), readers.get(name, {}))
            bar.update()
    return rows


def _rows_of_topic(
    client: KafkaClient, name: str, committed: Mapping[int, Committed], readers: Mapping[int, Reader]
) -> Iterator[tuple[Any, ...]]:
    topic = client.topics.get(name)
    # a topic that was deleted meanwhile has no end
    latest: Mapping[int, Optional[int]] = {} if topic is None else latest_offsets(topic)
    for number in sorted({*committed, *readers}):
        offset = committed[number].offset if number in committed else None
        end = latest.get(number)
        yield (name, number, offset, end, _lag(offset, end), *readers.get(number, NOBODY))


def _idle_rows(members: Mapping[Any, Any]) -> list[tuple[Any, ...]]:
    """Return a row for every member that reads nothing."""
    idle = [member for member in members.values() if not any(_assignment(member).values())]
    return [(None, None, None, None, None, *_reader_of(member)) for member in sorted(idle, key=lambda one: text(one.member_id))]


def _reader_of(member: Any) -> Reader:
    return Reader(text(member.member_id), text(member.client_id), text(member.client_host).lstrip("/"))


COMMANDS = {
    "print_groups": _print_groups,
    "describe_group": _describe_group,
    "print_managed_consumer_groups": _print_managed_consumer_groups,
    "print_consumer_lag": _print_consumer_lag,
    "reset_offsets": _reset_offsets,
}
