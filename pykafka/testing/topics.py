"""Handlers of CreateTopics, CreatePartitions and DeleteTopics."""

from __future__ import annotations

from collections import Counter
from typing import Any, Callable, Optional

from ..protocol.messages import (
    CreatePartitionsResponse,
    CreateTopicsResponse,
    DeleteTopicsResponse,
)
from .call import Call
from .configs import FROM_DEFAULT, FROM_TOPIC, Refused
from .settings import TOPIC_SETTINGS, problem_with
from .state import ClusterState, new_topic_id, problem_with_name

UNKNOWN_TOPIC_OR_PARTITION, INVALID_TOPIC, TOPIC_ALREADY_EXISTS, INVALID_PARTITIONS = 3, 17, 36, 37
INVALID_REPLICATION_FACTOR, INVALID_REPLICA_ASSIGNMENT, INVALID_CONFIG, NOT_CONTROLLER, INVALID_REQUEST = 38, 39, 40, 41, 42
UNKNOWN_TOPIC_ID = 100
POLICY_VIOLATION = 44
#: A controller does not create so many partitions at once, and adds no more to topics that are there.
MAX_PARTITIONS = 10_000
NO_ID = bytes(16)
#: From here on any broker passes requests for the controller on to it.
_FORWARDED_SINCE = "3.3"


def _check_controller(call: Call) -> None:
    """Refuse what an older broker that is not the controller refuses.

    :raises Refused: when it is not
    """
    if not call.state.version >= _FORWARDED_SINCE and call.broker.id != call.state.controller_id:
        raise Refused(NOT_CONTROLLER)


def _one_by_one(call: Call, act: Callable[[Any], Any], row: Any) -> list[Any]:
    """Return what ``act`` makes of each topic of a request, and a ``row`` that says why where it is refused."""
    names = Counter(topic.name for topic in call.request.topics)
    rows = []
    for asked in {topic.name: topic for topic in call.request.topics}.values():
        try:
            _check_controller(call)
            if names[asked.name] > 1:
                raise Refused(INVALID_REQUEST, "Duplicate topic name.")
            failure = call.failure(asked.name)
            if failure:
                raise Refused(failure)
            rows.append(act(asked))
        except Refused as refused:
            rows.append(row(name=asked.name, error_code=refused.code, error_message=refused.message))
    return rows


# -- CreateTopics -----------------------------------------------------------------------------------------------------


def create_topics(call: Call) -> None:
    """Create topics, each by itself."""
    rows = _one_by_one(call, lambda asked: _create_one(call, asked), CreateTopicsResponse.CreatableTopicResult)
    call.answer(CreateTopicsResponse(topics=rows))


def _create_one(call: Call, asked: Any) -> Any:
    state = call.state
    problem = problem_with_name(asked.name)
    if problem:
        raise Refused(INVALID_TOPIC, problem)
    if asked.name in state.topics:
        raise Refused(TOPIC_ALREADY_EXISTS, f"Topic '{asked.name}' already exists.")
    assignments = _assignments(state, asked)
    partitions, replication = _size(state, asked, assignments)
    configs = _configs(asked)
    row = CreateTopicsResponse.CreatableTopicResult(
        name=asked.name,
        error_message=None,
        num_partitions=partitions,
        replication_factor=replication,
        configs=[
            CreateTopicsResponse.CreatableTopicConfigs(
                name=name,
                value=configs.get(name, setting.default),
                config_source=FROM_TOPIC if name in configs else FROM_DEFAULT,
            )
            for name, setting in TOPIC_SETTINGS.items()
        ],
    )
    if call.request.validate_only and call.version >= 1:
        # an id that it will not have
        row.topic_id = new_topic_id()
    else:
        row.topic_id = state.create(asked.name, partitions, replication, configs, assignments).id
    return row


def _size(state: ClusterState, asked: Any, assignments: Optional[list[list[int]]]) -> tuple[int, int]:
    if assignments is not None:
        return len(assignments), len(assignments[0])
    partitions = state.default_partitions if asked.num_partitions == -1 else asked.num_partitions
    replication = state.default_replication if asked.replication_factor == -1 else asked.replication_factor
    if partitions <= 0:
        raise Refused(INVALID_PARTITIONS, "Number of partitions was set to an invalid non-positive value.")
    if partitions >= MAX_PARTITIONS:
        raise Refused(POLICY_VIOLATION, "Excessively large number of partitions per request.")
    if replication <= 0:
        raise Refused(INVALID_REPLICATION_FACTOR, "Replication factor must be larger than 0, or -1 to use the default value.")
    if replication > len(state.running):
        raise Refused(INVALID_REPLICATION_FACTOR, _too_few_brokers(state, replication))
    return partitions, replication


def _too_few_brokers(state: ClusterState, replication: int) -> str:
    said = f"The target replication factor of {replication} cannot be reached because only"
    said += f" {len(state.running)} broker(s) are registered."
    return f"Unable to replicate the partition {replication} time(s): {said}"


def _assignments(state: ClusterState, asked: Any) -> Optional[list[list[int]]]:
    """Return the brokers of each partition where the request says them."""
    if not asked.assignments:
        return None
    if asked.num_partitions != -1 or asked.replication_factor != -1:
        said = "A manual partition assignment was specified, but replication factor or partitions was not set to -1."
        raise Refused(INVALID_REQUEST, said)
    rows = {row.partition_index: list(row.broker_ids) for row in asked.assignments}
    if sorted(rows) != list(range(len(asked.assignments))):
        raise Refused(INVALID_REPLICA_ASSIGNMENT, "partitions should be a consecutive 0-based integer sequence.")
    for number, brokers in rows.items():
        if not brokers or len(set(brokers)) != len(brokers) or len(brokers) != len(rows[0]):
            raise Refused(INVALID_REPLICA_ASSIGNMENT, f"The manual partition assignment of partition {number} is invalid.")
        unknown = [one for one in brokers if one not in state.brokers]
        if unknown:
            said = f"The manual partition assignment includes broker {unknown[0]}, but no such broker is registered."
            raise Refused(INVALID_REPLICA_ASSIGNMENT, said)
    return [rows[number] for number in range(len(rows))]


def _configs(asked: Any) -> dict[str, str]:
    for config in asked.configs:
        problem = problem_with(config.name, config.value)
        if problem:
            raise Refused(INVALID_CONFIG, problem)
    return {config.name: config.value for config in asked.configs}


# -- CreatePartitions -------------------------------------------------------------------------------------------------


def create_partitions(call: Call) -> None:
    """Have topics have more partitions, each by itself."""
    names = Counter(topic.name for topic in call.request.topics)
    found = [(topic.count, call.state.topics[topic.name]) for topic in call.request.topics
             if names[topic.name] == 1 and topic.name in call.state.topics]  # fmt: skip
    more = sum(max(0, count - len(topic.partitions)) for count, topic in found)
    made = CreatePartitionsResponse.CreatePartitionsTopicResult
    rows = _one_by_one(call, lambda asked: made(name=_create_partitions_of(call, asked, more)), made)
    call.answer(CreatePartitionsResponse(results=rows))


def _create_partitions_of(call: Call, asked: Any, more_of_all: int) -> str:
    """Return the name of a topic that has the partitions now; ``more_of_all`` are those that the whole request adds."""
    if more_of_all > MAX_PARTITIONS:
        raise Refused(POLICY_VIOLATION, "Excessively large number of additional partitions per request.")
    state = call.state
    topic = state.topics.get(asked.name)
    if topic is None:
        raise Refused(UNKNOWN_TOPIC_OR_PARTITION)
    has = len(topic.partitions)
    if asked.count == has:
        raise Refused(INVALID_PARTITIONS, f"Topic already has {has} partition(s).")
    if asked.count < has:
        said = f"The topic {asked.name} currently has {has} partition(s); {asked.count} would not be an increase."
        raise Refused(INVALID_PARTITIONS, said)
    more, replication = asked.count - has, len(topic.partitions[0].replicas)
    assignments = None if asked.assignments is None else [list(row.broker_ids) for row in asked.assignments]
    if assignments is not None:
        if len(assignments) != more:
            said = f"Attempted to add {more} additional partition(s), but only {len(assignments)} assignment(s) were specified."
            raise Refused(INVALID_REPLICA_ASSIGNMENT, said)
        for brokers in assignments:
            _check_brokers(state, brokers, replication)
    elif replication > len(state.running):
        raise Refused(INVALID_REPLICATION_FACTOR, _too_few_brokers(state, replication))
    if not call.request.validate_only:
        state.add_partitions(topic, more, replication, assignments)
    return topic.name


def _check_brokers(state: ClusterState, brokers: list[int], replication: int) -> None:
    """Refuse brokers for a new partition that cannot be.

    :raises Refused: with what Kafka says
    """
    said = "The manual partition assignment includes "
    if not brokers:
        raise Refused(INVALID_REPLICA_ASSIGNMENT, said + "an empty replica list.")
    for broker_id in sorted(brokers):
        if broker_id not in state.brokers:
            raise Refused(INVALID_REPLICA_ASSIGNMENT, f"{said}broker {broker_id}, but no such broker is registered.")
        if brokers.count(broker_id) > 1:
            raise Refused(INVALID_REPLICA_ASSIGNMENT, f"{said}the broker {broker_id} more than once.")
    if len(brokers) != replication:
        other = f"a partition with {len(brokers)} replica(s), but this is not consistent with previous partitions, which have"
        raise Refused(INVALID_REPLICA_ASSIGNMENT, f"{said}{other} {replication} replica(s).")


# -- DeleteTopics -----------------------------------------------------------------------------------------------------


def delete_topics(call: Call) -> None:
    """Delete topics, by name or by id."""
    asked = (
        [(topic.name, topic.topic_id) for topic in call.request.topics]
        if call.version >= 6
        else [(name, NO_ID) for name in call.request.topic_names]
    )
    kind = DeleteTopicsResponse.DeletableTopicResult
    rows = []
    for name, topic_id in asked:
        try:
            _check_controller(call)
            rows.append(_delete_one(call, name, topic_id))
        except Refused as refused:
            rows.append(
                kind(name=name, topic_id=topic_id, error_code=refused.code, error_message=refused.message)
            )
    call.answer(DeleteTopicsResponse(responses=rows))


def _delete_one(call: Call, name: Optional[str], topic_id: bytes) -> Any:
    state = call.state
    if name is None:
        if topic_id not in state.names:
            raise Refused(UNKNOWN_TOPIC_ID, "This server does not host this topic ID.")
        name = state.names[topic_id]
    failure = call.failure(name)
    if failure:
        raise Refused(failure)
    if name not in state.topics:
        raise Refused(UNKNOWN_TOPIC_OR_PARTITION, "This server does not host this topic-partition.")
    topic_id = state.topics[name].id
    state.delete(name)
    return DeleteTopicsResponse.DeletableTopicResult(name=name, topic_id=topic_id)
