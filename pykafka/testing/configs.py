"""Handlers of DescribeConfigs, AlterConfigs and IncrementalAlterConfigs: settings of topics are kept, and some of them followed.

Those of brokers and groups can be looked at only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable, Optional

from ..protocol.messages import AlterConfigsResponse, DescribeConfigsResponse, IncrementalAlterConfigsResponse
from .call import Call
from .settings import BROKER, BROKER_SETTINGS, GROUP, GROUP_SETTINGS, LIST, TOPIC, TOPIC_SETTINGS, Setting, problem_with
from .state import ClusterState, Topic, problem_with_name

UNKNOWN, UNKNOWN_TOPIC_OR_PARTITION, INVALID_TOPIC, INVALID_CONFIG, INVALID_REQUEST = -1, 3, 17, 40, 42
#: Where a setting comes from: somebody set it for the topic, or it is the default.
FROM_TOPIC, FROM_DEFAULT = 1, 5
#: What is done with a setting.
SET, DELETE, APPEND, SUBTRACT = range(4)
_OF_LISTS = {APPEND: "APPEND", SUBTRACT: "SUBTRACT"}


class Refused(Exception):
    """A topic, or what it is set to, that is not changed: the error, and what Kafka says."""

    def __init__(self, code: int, message: Optional[str] = None) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message


# -- looking ----------------------------------------------------------------------------------------------------------


def describe_configs(call: Call) -> None:
    """Tell settings of topics, brokers and groups."""
    call.answer(DescribeConfigsResponse(results=[_describe_one(call, asked) for asked in call.request.resources]))


def _describe_one(call: Call, asked: Any) -> Any:
    row = DescribeConfigsResponse.DescribeConfigsResult(
        resource_type=asked.resource_type, resource_name=asked.resource_name, error_message=None
    )
    row.error_code = call.failure(asked.resource_name if asked.resource_type == TOPIC else None)
    settings = _settings_of(call.state, asked)
    if not row.error_code and isinstance(settings, int):
        row.error_code = settings
    if row.error_code or isinstance(settings, int):
        return row
    table, changed = settings
    keys = asked.configuration_keys
    row.configs = [
        _describe_setting(name, setting, changed.get(name))
        for name, setting in table.items()
        if keys is None or name in keys
    ]
    return row


def _settings_of(state: ClusterState, asked: Any) -> Any:
    """Return a resource's settings and what of them was set, or an error."""
    if asked.resource_type == TOPIC:
        if problem_with_name(asked.resource_name):
            return INVALID_TOPIC
        topic = state.topics.get(asked.resource_name)
        return UNKNOWN_TOPIC_OR_PARTITION if topic is None else (TOPIC_SETTINGS, topic.configs)
    if asked.resource_type == BROKER:
        return BROKER_SETTINGS, {"num.partitions": str(state.default_partitions)}
    if asked.resource_type == GROUP and state.version >= "4.0":
        return GROUP_SETTINGS, {}
    return INVALID_REQUEST


def _describe_setting(name: str, setting: Setting, value: Optional[str]) -> Any:
    result = DescribeConfigsResponse.DescribeConfigsResourceResult
    return result(
        name=name,
        value=setting.default if value is None else value,
        is_default=value is None,
        config_source=FROM_DEFAULT if value is None else FROM_TOPIC,
        config_type=setting.kind,
        documentation=None,
    )


# -- changing ---------------------------------------------------------------------------------------------------------


def alter_configs(call: Call) -> None:
    """Have topics be set as is said, and by default in everything else."""
    rows = _one_by_one(call, _replaced, AlterConfigsResponse.AlterConfigsResourceResponse)
    call.answer(AlterConfigsResponse(responses=rows))


def incremental_alter_configs(call: Call) -> None:
    """Change single settings of topics."""
    rows = _one_by_one(call, _changed, IncrementalAlterConfigsResponse.AlterConfigsResourceResponse)
    call.answer(IncrementalAlterConfigsResponse(responses=rows))


def _one_by_one(call: Call, change: Callable[[Topic, Any], dict[str, str]], row: Any) -> list[Any]:
    """Return what became of each resource; ``change`` returns all that a topic is set to then."""
    places = [(asked.resource_type, asked.resource_name) for asked in call.request.resources]
    rows = []
    for asked, place in zip(call.request.resources, places):
        try:
            if places.count(place) > 1:
                raise Refused(INVALID_REQUEST, "Each resource must appear at most once.")
            topic = _topic(call, *place)
            _check_keys(asked.configs)
            configs = change(topic, asked.configs)
            for name, value in configs.items():
                problem = problem_with(name, value)
                if problem:
                    raise Refused(INVALID_CONFIG, problem)
        except Refused as refused:
            code, message = refused.code, refused.message
        else:
            code, message = 0, None
            if not call.request.validate_only:
                topic.configs = configs
        rows.append(row(error_code=code, error_message=message, resource_type=place[0], resource_name=place[1]))
    return rows


def _topic(call: Call, kind: int, name: str) -> Topic:
    """Return the topic that is to be changed.

    :raises Refused: when it is none, or is not there
    """
    if kind in (BROKER, GROUP):
        raise Refused(INVALID_REQUEST, "This fake cluster changes settings of topics only.")
    if kind != TOPIC:
        raise Refused(INVALID_REQUEST, f"Unknown resource type {kind}")
    failure = call.failure(name)
    if failure:
        raise Refused(failure)
    if not name:
        raise Refused(INVALID_REQUEST, "Default topic resources are not allowed.")
    problem = problem_with_name(name)
    if problem:
        raise Refused(INVALID_TOPIC, problem)
    if name not in call.state.topics:
        raise Refused(UNKNOWN_TOPIC_OR_PARTITION, f"The topic '{name}' does not exist.")
    return call.state.topics[name]


def _check_keys(rows: list[Any]) -> None:
    """Refuse settings that are there twice, and values that are missing.

    :raises Refused: when there are some
    """
    names = [row.name for row in rows]
    if len(set(names)) < len(names):
        raise Refused(INVALID_REQUEST, "Error due to duplicate config keys")
    missing = [row.name for row in rows if row.value is None and getattr(row, "config_operation", SET) != DELETE]
    if missing:
        raise Refused(INVALID_REQUEST, f"Null value not supported for : {', '.join(missing)}")


def _replaced(_topic: Topic, rows: list[Any]) -> dict[str, str]:
    return {row.name: row.value for row in rows}


def _changed(topic: Topic, rows: list[Any]) -> dict[str, str]:
    configs = dict(topic.configs)
    for row in rows:
        if row.config_operation == DELETE:
            configs.pop(row.name, None)
        elif row.config_operation == SET:
            configs[row.name] = row.value
        else:
            configs[row.name] = _list(configs, row)
    return configs


def _list(configs: Mapping[str, str], row: Any) -> str:
    """Return a list with more, or less, in it.

    :raises Refused: for what is no list
    """
    setting, verb = TOPIC_SETTINGS.get(row.name), _OF_LISTS.get(row.config_operation)
    if verb is None:
        raise Refused(UNKNOWN)
    if setting is None or setting.kind != LIST:
        raise Refused(INVALID_CONFIG, f"Can't {verb} to key {row.name} because its type is not LIST.")
    has = [one for one in configs.get(row.name, setting.default).split(",") if one]
    given = [one for one in row.value.split(",") if one]
    added = [one for one in given if one not in has] if row.config_operation == APPEND else []
    kept = has if row.config_operation == APPEND else [one for one in has if one not in given]
    return ",".join(kept + added)
