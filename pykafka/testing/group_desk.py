"""Requests of groups: to their coordinator if this broker is it, else the answer that it is not."""

from __future__ import annotations

from typing import Any, Callable, Protocol

from ..protocol.messages import ListGroupsResponse
from ..protocol.schema import Response
from .call import Call
from .offset_faults import faults_of
from .refusals import REFUSALS, refusal
from .state import ClusterState

NOT_COORDINATOR = 16


class Groups(Protocol):
    """What looks after the groups of a cluster; it knows nothing of brokers."""

    def handle(
        self,
        request: Any,
        version: int,
        now: float,
        answer: Callable[[Response], None],
        client_id: str = "",
        client_host: str = "",
    ) -> None:
        """Act on a request; ``answer`` is called once, now or later."""

    def tick(self, now: float) -> None:
        """Do what is due."""

    def next_tick(self) -> float:
        """Return when something is due, infinity when nothing is."""

    def coordinator_moved(self, group: str, now: float) -> None:
        """Tell a group's members that another broker looks after it."""


class GroupDesk:
    """Says which broker looks after which group, and leaves the rest to ``coordinator``."""

    #: the requests that are handled here
    names = frozenset(REFUSALS)

    def __init__(self, coordinator: Groups, state: ClusterState) -> None:
        self.coordinator = coordinator
        self._state = state

    def handle(self, call: Call) -> None:
        """Act on a request of a group."""
        code = call.failure()
        if not code and not all(self._is_here(group, call) for group in _groups_of(call.request)):
            code = NOT_COORDINATOR
        if code:
            call.answer(refusal(call.request, call.version, code))
            return

        faults = faults_of(call, self._state.names.get)

        def answer(response: Response) -> None:
            if not call.is_abandoned:
                call.answer(self._of_this_broker(faults.merged(response), call))

        self.coordinator.handle(faults.request, call.version, call.now, answer, call.client_id, f"/{call.client_host}")

    def _of_this_broker(self, response: Response, call: Call) -> Response:
        """Return an answer without the groups that other brokers look after, where it lists groups."""
        if isinstance(response, ListGroupsResponse):
            response.groups = [group for group in response.groups if self._is_here(group.group_id, call)]
        return response

    def _is_here(self, group: str, call: Call) -> bool:
        return self._state.coordinator_of(group) is call.broker


def _groups_of(request: Any) -> list[str]:
    """Return the groups that a request is about."""
    name = request.NAME
    if name == "ListGroups":
        return []
    if name == "OffsetFetch" and request.groups:
        return [group.group_id for group in request.groups]
    many = {"DescribeGroups": "groups", "DeleteGroups": "groups_names", "ConsumerGroupDescribe": "group_ids"}
    return list(getattr(request, many[name])) if name in many else [request.group_id]
