"""A member of a group made of nothing but Broker's requests, as somebody would write it by hand."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any, Optional, Union

from pykafka import Broker, KafkaClient, RangeProtocol, Topic
from pykafka.exceptions import ERROR_CODES
from pykafka.membershipprotocol import GroupMembershipProtocol
from pykafka.protocol import MemberAssignment

from ..support import until

#: What wants another JoinGroup: a lost generation, a lost seat, a rebalance.
REJOIN = (22, 25, 27)
UNKNOWN_MEMBER = 25


def coordinator_of(client: KafkaClient, group: Union[str, bytes]) -> Broker:
    """Return the coordinator of a group once it has read what it stores: a broker that has just started is still at it."""
    coordinator = client.cluster.get_group_coordinator(group)
    until(lambda: not coordinator.describe_groups([group]).groups.popitem()[1].error_code, what="the coordinator's memory")
    return coordinator


class HandMember:
    """Joins, shares out if it leads, keeps its seat, and joins again when others come and go, on a thread of its own."""

    def __init__(self, client: KafkaClient, group: str, topic: Topic, protocol: GroupMembershipProtocol = RangeProtocol) -> None:
        self.coordinator = coordinator_of(client, group)
        self.group = group
        self.topic = topic
        self.protocol = protocol
        self.id = b""
        self.generation = -1
        self.leads = False
        #: the numbers of the partitions that it has; None while it has no share
        self.share: Optional[set[int]] = None
        self.error: Optional[Exception] = None
        self._leave = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"member of {group}")

    def __enter__(self) -> HandMember:
        self._thread.start()
        return self

    def __exit__(self, kind: Optional[type[BaseException]], error: Any, trace: Optional[TracebackType]) -> None:
        self._leave.set()
        self._thread.join(60)
        assert not self._thread.is_alive()
        if self.error is not None and kind is None:
            raise self.error

    def _run(self) -> None:
        try:
            while not self._leave.is_set():
                if self._join() and self._sync():
                    self._keep_seat()
            code = self.coordinator.leave_group(self, self.group, self.id).error_code
            assert code in (0, UNKNOWN_MEMBER), code
        except Exception as error:
            self.error = error
        self.share = None

    def _join(self) -> bool:
        seat = self.coordinator.join_group(self, self.group, self.id, self.topic.name, self.protocol)
        if not self._may_go_on(seat.error_code):
            return False
        self.id, self.generation = seat.member_id, seat.generation_id
        self.leads = seat.leader_id == seat.member_id
        self._members = seat.members if self.leads else {}
        return True

    def _sync(self) -> bool:
        wanting = [member for member, metadata in self._members.items() if self.topic.name in metadata.topic_names]
        shares = []
        for member in wanting:
            share = self.protocol.decide_partitions(wanting, self.topic.partitions, member)
            shares.append((member, MemberAssignment([(self.topic.name, sorted(part.id for part in share))])))
        answer = self.coordinator.sync_group(self, self.group, self.generation, self.id, shares)
        if not self._may_go_on(answer.error_code):
            return False
        assigned = answer.member_assignment.partition_assignment
        self.share = {number for name, numbers in assigned if name == self.topic.name for number in numbers}
        return True

    def _keep_seat(self) -> None:
        while not self._leave.wait(0.05):
            if not self._may_go_on(self.coordinator.heartbeat(self, self.group, self.generation, self.id).error_code):
                return

    def _may_go_on(self, code: int) -> bool:
        if not code:
            return True
        self.share = None
        if code not in REJOIN:
            raise ERROR_CODES[code](f"member {self.id!r} of {self.group}")
        if code == UNKNOWN_MEMBER:
            self.id = b""
        return False
