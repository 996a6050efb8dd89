"""What users give to create and delete topics, checked before a broker is asked, and made into a request's rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .common import brief
from .protocol.messages import CreateTopicsRequest
from .protocol.requests import CreateTopicRequest
from .utils.arguments import MAX_INT16, MAX_INT32, to_name, to_text_name, whole_number


def creatable_topics(topic_reqs: Any) -> list[CreateTopicsRequest.CreatableTopic]:
    """Return the rows of a CreateTopics request.

    :raises TypeError: and ValueError, naming the argument that is not right and its value
    """
    # a CreateTopicRequest is a tuple too: five nonsensical requests
    if isinstance(topic_reqs, (CreateTopicRequest, str, bytes)) or not isinstance(topic_reqs, Iterable):
        raise TypeError(f"topic_reqs must be a list of CreateTopicRequest, not {brief(topic_reqs)}")
    return [_creatable(number, one) for number, one in enumerate(topic_reqs)]


def _creatable(number: int, one: Any) -> CreateTopicsRequest.CreatableTopic:
    if not isinstance(one, CreateTopicRequest):
        raise TypeError(f"topic_reqs[{number}] must be a CreateTopicRequest, not {brief(one)}")
    name = to_name(one.topic_name, f"topic_reqs[{number}].topic_name").decode()
    if not name:
        raise ValueError(f"topic_reqs[{number}].topic_name must have at least one character")
    where = f"of topic {name!r}"
    replicas = [
        CreateTopicsRequest.CreatableReplicaAssignment(
            partition_index=whole_number(f"the partition in replica_assignment {where}", partition, 0, MAX_INT32),
            broker_ids=[whole_number(f"a broker in replica_assignment {where}", node, 0, MAX_INT32) for node in nodes],
        )
        for partition, nodes in _pairs(f"replica_assignment {where}", one.replica_assignment, "partition -> list of broker ids")
        if _is_list(f"replica_assignment {where}", nodes)
    ]
    configs = [
        CreateTopicsRequest.CreatableTopicConfig(
            name=_text(f"a name in config_entries {where}", entry),
            value=None if value is None else _setting(f"config_entries[{entry!r}] {where}", value),
        )
        for entry, value in _pairs(f"config_entries {where}", one.config_entries, "name -> value")
    ]
    partitions = _count(f"num_partitions {where}", one.num_partitions, MAX_INT32)
    copies = _count(f"replication_factor {where}", one.replication_factor, MAX_INT16)
    return CreateTopicsRequest.CreatableTopic(
        name=name,
        num_partitions=-1 if replicas else partitions,
        replication_factor=-1 if replicas else copies,
        assignments=replicas,
        configs=configs,
    )


def broker_timeout_ms(timeout: Any, default_s: float) -> int:
    """Return the milliseconds that a broker may take; ``default_s`` when ``timeout`` is 0.

    :raises TypeError: and ValueError, for anything but a whole number of milliseconds
    """
    return whole_number("timeout", timeout, 0, MAX_INT32) or int(default_s * 1000)


def _count(what: str, value: Any, high: int) -> int:
    """Return ``value``, -1 standing for the brokers' default; there is no topic with zero of anything."""
    if value == 0 and not isinstance(value, bool):
        raise ValueError(f"{what} must be at least 1, or -1 for the brokers' default, not {brief(value)}")
    return whole_number(what, value, -1, high)


def _pairs(what: str, value: Any, shape: str) -> list[tuple[Any, Any]]:
    try:
        return list(dict(value).items())
    except (TypeError, ValueError):
        raise TypeError(f"{what} must be a dict of {shape}, or a list of such pairs, not {brief(value)}") from None


def _is_list(what: str, value: Any) -> bool:
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise TypeError(f"{what} must have a list of broker ids for each partition, not {brief(value)}")
    return True


def _text(what: str, value: Any) -> str:
    if not isinstance(value, (str, bytes)):
        raise TypeError(f"{what} must be a str, not {brief(value)}")
    return to_text_name(value, what).decode()


def _setting(what: str, value: Any) -> str:
    """Return a value as brokers spell it: they have ``true`` where Python has True."""
    if isinstance(value, (bool, int, float)):
        return str(value).lower()
    return _text(what, value)
