"""What tests want to go wrong: rules that requests are held against as they come."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Callable, Optional, Union

from ..exceptions import ProtocolClientError
from ..protocol.schema import REQUESTS, Request
from .settings import TOPIC

#: What a function given to ``on`` returns to have the connection closed, or the request never answered.
DROP = object()
SILENCE = object()
#: An answer, the bytes of a frame to send in its place, one of the two above, or None for the usual answer.
Answer = Any
Intercept = Callable[[Any, int], Answer]
#: A request class or the name of its API.
Api = Union[str, type]
ErrorCode = Union[int, type[ProtocolClientError]]


def api_name(api: Api) -> str:
    """Return the name of an API given by a request's class or a name.

    :raises ValueError: where there is none of that name
    """
    name = api if isinstance(api, str) else getattr(api, "__name__", repr(api))
    name = name[: -len("Request")] if name.endswith("Request") else name
    known = sorted(request.NAME for request in REQUESTS.values() if request.NAME)
    if name not in known:
        raise ValueError(f"there is no request {api!r}; there are {', '.join(known)}")
    return name


def error_code(error: ErrorCode) -> int:
    """Return the number of an error given by its class or number.

    :raises ValueError: for what no broker answers with
    """
    if isinstance(error, int) and not isinstance(error, bool) and error and -(2**15) <= error < 2**15:
        return error
    if isinstance(error, type) and issubclass(error, ProtocolClientError) and error.ERROR_CODE:
        return error.ERROR_CODE
    raise ValueError(f"no broker answers with {error!r}: give a class of pykafka.exceptions that has an ERROR_CODE, or a number")


def check_parts(api: str, topic: Optional[str], partition: Optional[int]) -> None:
    """Return if such a request can fail for a topic, or partition, alone.

    :raises ValueError: where an error is always about more than that
    """
    for what, given, able in (("topic", topic, WITH_TOPICS), ("partition", partition, WITH_PARTITIONS)):
        if given is not None and api not in able:
            raise ValueError(f"{what}: {api} fails as a whole; those that fail for a {what} are {', '.join(sorted(able))}")


class Rule:
    """One rule, for ``times`` more requests of an API (None: of any) to a broker (None: to any)."""

    def __init__(self, api: Optional[str], times: int, broker: Optional[int] = None, **what: Any) -> None:
        if times < 1:
            raise ValueError(f"times={times}: a fault happens at least once")
        self.api = api
        self.times = times
        self.broker = broker
        self.what = what

    @property
    def text(self) -> str:
        """Return the rule in words."""
        what = ", ".join(f"{name}={given!r}" for name, given in self.what.items() if given is not None)
        where = "" if self.broker is None else f" to broker {self.broker}"
        return f"{self.times} x {self.api or 'any request'}{where}: {what or 'the connection ends'}"

    def covers(self, name: str, broker_id: int) -> bool:
        """Return whether the rule is about such a request."""
        return self.times > 0 and self.api in (None, name) and self.broker in (None, broker_id)


#: Requests that can fail for one partition alone, and for one topic.
WITH_PARTITIONS = frozenset(
    {"Produce", "Fetch", "ListOffsets", "OffsetForLeaderEpoch", "DeleteRecords", "OffsetCommit", "OffsetFetch", "DescribeQuorum"}
)
WITH_TOPICS = WITH_PARTITIONS | {
    *("Metadata", "CreateTopics", "DeleteTopics", "CreatePartitions"),
    *("DescribeConfigs", "AlterConfigs", "IncrementalAlterConfigs"),
}
_PARTITIONS = ("partition_data", "partitions", "partition_indexes")


class Faults:
    """The rules of a cluster."""

    def __init__(self) -> None:
        self.failures: list[Rule] = []
        self.delays: list[Rule] = []
        self.drops_before: list[Rule] = []
        self.drops_after: list[Rule] = []
        self.held: set[str] = set()
        self.intercepts: dict[str, Intercept] = {}

    def rules(self) -> list[Rule]:
        """Return every rule that is left."""
        return [*self.failures, *self.delays, *self.drops_before, *self.drops_after]

    def clear(self) -> None:
        """Let nothing go wrong any more; what is held stays held until it is released."""
        for rules in (self.failures, self.delays, self.drops_before, self.drops_after):
            rules.clear()
        self.intercepts.clear()

    @staticmethod
    def take(rules: list[Rule], name: str, broker_id: int) -> Optional[Rule]:
        """Return the oldest rule about a request, which it uses up by one; None where there is none."""
        for rule in rules:
            if rule.covers(name, broker_id):
                rule.times -= 1
                if not rule.times:
                    rules.remove(rule)
                return rule
        return None

    def take_failures(
        self, request: Request, broker_id: int, names: Callable[[bytes], Optional[str]], in_session: Collection[tuple[Any, int]]
    ) -> dict[Any, int]:
        """Return the errors that a request is to have by place (see Call.failure), of rules that it uses up by one each.

        :param names: gives the name of a topic by its id
        :param in_session: topics (by name or id) and partitions that a fetch is about without saying so again
        """
        known = {(names(key) if isinstance(key, bytes) else key, number) for key, number in in_session}
        found: dict[Any, int] = {}
        for rule in list(self.failures):
            topic, partition = rule.what["topic"], rule.what["partition"]
            if not rule.covers(request.NAME, broker_id) or (topic, partition) in found:
                continue
            is_known = any(name == topic and partition in (None, number) for name, number in known)
            if topic is not None and not is_known and not _mentions(request, topic, partition, names):
                continue
            found[(topic, partition)] = rule.what["code"]
            rule.times -= 1
            if not rule.times:
                self.failures.remove(rule)
        return found


def _mentions(request: Any, topic: str, partition: Optional[int], names: Callable[[bytes], Optional[str]]) -> bool:
    """Return whether a request names a topic's partition (None: any of them), or asks for all that there are."""
    if request.NAME == "OffsetFetch" and any(one.topics is None for one in request.groups or [request]):
        return True
    for row in _topics(request):
        said = (getattr(row, one, None) for one in ("name", "topic", "topic_name"))
        name = next(filter(None, said), None) or names(getattr(row, "topic_id", b""))
        if name != topic:
            continue
        parts = next((getattr(row, one) for one in _PARTITIONS if getattr(row, one, None)), None)
        if partition is None or parts is None:
            return True
        if partition in {_number(part) for part in parts}:
            return True
    resources = [(one.resource_type, one.resource_name) for one in getattr(request, "resources", ())]
    return topic in (getattr(request, "topic_names", None) or []) or (partition is None and (TOPIC, topic) in resources)


def _topics(request: Any) -> list[Any]:
    for field in ("topic_data", "topics"):
        if getattr(request, field, None):
            return list(getattr(request, field))
    if request.NAME == "OffsetFetch":
        return [row for group in request.groups or [] for row in group.topics or []]
    return []


def _number(part: Any) -> int:
    for name in ("partition_index", "partition", "index"):
        if hasattr(part, name):
            return int(getattr(part, name))
    return int(part)
