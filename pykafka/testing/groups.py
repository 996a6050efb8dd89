"""The coordinator of all groups of a cluster, of both protocols, with their offsets. Pure: time is told to it.

Whether the broker that was asked is the coordinator at all is decided before anything gets here.
"""

from __future__ import annotations

import uuid
from typing import Any, Callable, Optional, Union

from ..exceptions import (
    GroupIdNotFound,
    IllegalGeneration,
    InconsistentGroupProtocol,
    InvalidGroupId,
    InvalidSessionTimeout,
    NonEmptyGroup,
    RebalanceInProgress,
    UnknownMemberId,
)
from ..protocol.messages import (
    ConsumerGroupDescribeResponse,
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
    DeleteGroupsResponse,
    DescribeGroupsResponse,
    HeartbeatResponse,
    LeaveGroupResponse,
    ListGroupsResponse,
    OffsetCommitRequest,
    SyncGroupRequest,
    SyncGroupResponse,
)
from . import offsets
from .classic_group import ClassicGroup, join_error
from .classic_members import ClassicMembers
from .consumer_group import ConsumerGroup, check_heartbeat
from .group_common import NEVER, POLICIES, Answer, Caller, GroupSettings, Refused, Topics
from .migration import downgraded, upgraded

AnyGroup = Union[ClassicGroup, ConsumerGroup]

#: From these versions on: SyncGroup has to name the protocol (KIP-559), DescribeGroups says what is not there (KIP-1043).
SYNC_NAMES_PROTOCOL, DESCRIBE_NOT_FOUND, COMMIT_NOT_FOUND = 5, 6, 9


class GroupCoordinator:
    """All groups. Requests are acted on at once; answers may come later, from :meth:`tick` or another request.

    :param topics: returns all topics: name -> (id, number of partitions)
    :param make_id: returns what makes a new member's id unlike all others
    """

    def __init__(
        self,
        topics: Callable[[], Topics],
        settings: GroupSettings = GroupSettings(),  # noqa: B008  (it cannot be changed)
        make_id: Callable[[], str] = lambda: str(uuid.uuid4()),
    ) -> None:
        if settings.consumer_migration_policy not in POLICIES:
            raise ValueError(f"consumer_migration_policy={settings.consumer_migration_policy!r}: give one of {POLICIES}")
        self.groups: dict[str, AnyGroup] = {}
        self._topics = topics
        self._settings = settings
        self._make_id = make_id
        #: answers that go out when all is decided: whoever gets one may well ask the next thing at once
        self._due: list[tuple[Answer, Any]] = []
        self._is_sending = False
        self._handlers: dict[str, Callable[[Any, int, Caller, float, Answer], None]] = {
            "JoinGroup": self._join,
            "SyncGroup": self._sync,
            "Heartbeat": self._heartbeat,
            "LeaveGroup": self._leave,
            "ConsumerGroupHeartbeat": self._consumer_heartbeat,
            "ConsumerGroupDescribe": self._consumer_describe,
            "OffsetCommit": self._commit,
            "OffsetFetch": self._fetch,
            "DescribeGroups": self._describe,
            "ListGroups": self._list,
            "DeleteGroups": self._delete,
        }

    @property
    def handled(self) -> frozenset[str]:
        """Return the names of the requests that can be handled."""
        return frozenset(self._handlers)

    def handle(
        self, request: Any, version: int, now: float, answer: Answer, client_id: str = "", client_host: str = ""
    ) -> None:
        """Act on a request; ``answer`` is called with the response, now or later, at most once.

        Who asks to join again before there was an answer gets one answer only.
        """
        later: Answer = lambda response: self._due.append((answer, response))  # noqa: E731
        self._handlers[type(request).NAME](request, version, Caller(client_id, client_host), now, later)
        self._send()

    def _send(self) -> None:
        if self._is_sending:
            return
        self._is_sending = True
        try:
            while self._due:
                answer, response = self._due.pop(0)
                answer(response)
        finally:
            self._is_sending = False

    # -- time ---------------------------------------------------------------------------------------------------------

    def next_tick(self) -> float:
        """Return when :meth:`tick` has something to do; infinity when it has nothing to do ever."""
        return min((group.next_tick() for group in self.groups.values()), default=NEVER)

    def tick(self, now: float) -> None:
        """Do what is due: sessions and rebalances end."""
        for group_id, group in list(self.groups.items()):
            if now >= group.next_tick():
                group.tick(now)
                self._settle(group_id, now)
        self._send()

    def expire(self, group_id: str, member_id: Optional[str] = None) -> None:
        """Have the next :meth:`tick` put a member out as if it had not been heard of; without ``member_id``, all members.

        :param member_id: a member's id, or the instance id of a static member
        :raises ValueError: when there is no such group or member
        """
        group = self.groups.get(group_id)
        if group is None:
            raise ValueError(f"there is no group {group_id!r}; there are {sorted(self.groups)}")
        if not group.expire(member_id) and member_id is not None:
            raise ValueError(f"group {group_id!r} has no member {member_id!r}; it has {list(group.seats)}")

    def members(self, group_id: str) -> list[str]:
        """Return the ids of a group's members."""
        group = self.groups.get(group_id)
        return [] if group is None else list(group.seats)

    def committed(self, group_id: str) -> dict[tuple[str, int], offsets.Committed]:
        """Return what a group has committed, by topic and partition."""
        group = self._find(group_id)
        return {} if group is None else group.offsets.as_dict()

    def coordinator_moved(self, group_id: str, now: float) -> None:
        """Have another broker begin to coordinate a group: it knows what is in the log. What the one before held back it
        answers with NOT_COORDINATOR.
        """
        group = self.groups.get(group_id)
        if group is None:
            return
        group.moved(now)
        if not group.is_in_log:
            del self.groups[group_id]
        self._send()

    # -- members of classic groups ------------------------------------------------------------------------------------

    def _classic(self, group_id: str) -> Union[ClassicGroup, ClassicMembers]:
        """Return what serves members of the classic protocol.

        :raises Refused: when there is no group
        """
        if not group_id:
            raise Refused(InvalidGroupId)
        group = self.groups.get(group_id)
        if isinstance(group, ConsumerGroup) and not group.is_empty:
            return ClassicMembers(group, self._topics())
        if not isinstance(group, ClassicGroup):
            raise Refused(UnknownMemberId)
        return group

    def _settle(self, group_id: str, now: float) -> None:
        """Make a group classic which the last member of the newer protocol has left."""
        group = self.groups.get(group_id)
        if isinstance(group, ConsumerGroup) and group.is_left_to_classic:
            self.groups[group_id] = downgraded(group, self._settings, self._make_id, self._topics(), now)

    def _join(self, request: Any, version: int, caller: Caller, now: float, answer: Answer) -> None:
        try:
            least, most = self._settings.min_session_timeout_ms, self._settings.max_session_timeout_ms
            if not request.group_id:
                raise Refused(InvalidGroupId)
            if not least <= request.session_timeout_ms <= most:
                raise Refused(InvalidSessionTimeout)
            self._make_classic(request.group_id, is_new=not request.member_id)
            self._classic(request.group_id).join(request, version, caller, now, answer)
            self._settle(request.group_id, now)
        except Refused as refused:
            group = self.groups.get(request.group_id)
            is_newer = isinstance(group, ConsumerGroup) and not group.is_empty
            answer(join_error(refused.code, "" if is_newer else request.member_id, version))

    def _make_classic(self, group_id: str, *, is_new: bool) -> None:
        """Have a group of that name that members of the classic protocol can join; an empty one becomes classic for a new one."""
        group = self.groups.get(group_id)
        if isinstance(group, ConsumerGroup) and not group.is_empty:
            if self._settings.consumer_migration_policy == "disabled":
                raise Refused(InconsistentGroupProtocol)
        elif is_new and not isinstance(group, ClassicGroup):
            made = self.groups[group_id] = ClassicGroup(group_id, self._settings, self._make_id)
            if group is not None:
                made.offsets = group.offsets

    def _sync(self, request: SyncGroupRequest, version: int, caller: Caller, now: float, answer: Answer) -> None:
        try:
            if version >= SYNC_NAMES_PROTOCOL and (request.protocol_type is None or request.protocol_name is None):
                raise Refused(InconsistentGroupProtocol)
            self._classic(request.group_id).sync(request, now, answer)
        except Refused as refused:
            answer(SyncGroupResponse(error_code=refused.code))

    def _heartbeat(self, request: Any, version: int, caller: Caller, now: float, answer: Answer) -> None:
        try:
            answer(HeartbeatResponse(error_code=self._classic(request.group_id).heartbeat(request, now)))
        except Refused as refused:
            answer(HeartbeatResponse(error_code=refused.code))

    def _leave(self, request: Any, version: int, caller: Caller, now: float, answer: Answer) -> None:
        try:
            group = self._classic(request.group_id) if request.group_id in self.groups else None
            if not request.group_id:
                raise Refused(InvalidGroupId)
            # every member of a group that is not there gets its verdict, too
            group = group or ClassicGroup(request.group_id, self._settings, self._make_id)
            answer(group.leave(request, version, now))
            self._settle(request.group_id, now)
        except Refused as refused:
            answer(LeaveGroupResponse(error_code=refused.code))

    # -- members of groups of the newer protocol ------------------------------------------------------------------------

    def _consumer_heartbeat(
        self, request: ConsumerGroupHeartbeatRequest, version: int, caller: Caller, now: float, answer: Answer
    ) -> None:
        try:
            check_heartbeat(request, version, self._settings)
            group, before = self._consumer(request.group_id, request.member_epoch, now), self.groups.get(request.group_id)
            answer(group.heartbeat(request, version, caller, now, self._topics()))
        except Refused as refused:
            answer(ConsumerGroupHeartbeatResponse(error_code=refused.code, error_message=refused.message))
        else:
            # only now: if who joins is refused, the group stays what it was
            self.groups[request.group_id] = group
            if isinstance(before, ClassicGroup):
                before.refuse_all(RebalanceInProgress.ERROR_CODE)
            self._settle(request.group_id, now)

    def _consumer(self, group_id: str, epoch: int, now: float) -> ConsumerGroup:
        """Return the group; who joins makes one, also of a classic group."""
        group = self.groups.get(group_id)
        if isinstance(group, ConsumerGroup):
            return group
        if epoch != 0:
            what = f"{'Consumer group' if epoch > 0 else 'Group'} {group_id} not found."
            raise Refused(GroupIdNotFound, what if group is None else f"Group {group_id} is not a consumer group.")
        if group is not None and not group.is_empty:
            return upgraded(group, self._settings, self._make_id, self._topics(), now)
        made = ConsumerGroup(group_id, self._settings, self._make_id)
        if group is not None:
            made.offsets = group.offsets
        return made

    def _consumer_describe(self, request: Any, version: int, caller: Caller, now: float, answer: Answer) -> None:
        answer(ConsumerGroupDescribeResponse(groups=[self._consumer_described(group_id) for group_id in request.group_ids]))

    def _consumer_described(self, group_id: str) -> ConsumerGroupDescribeResponse.DescribedGroup:
        group = self.groups.get(group_id)
        if isinstance(group, ConsumerGroup):
            return group.describe(self._topics())
        made = ConsumerGroupDescribeResponse.DescribedGroup
        if not group_id:
            return made(group_id=group_id, error_code=InvalidGroupId.ERROR_CODE)
        message = f"Group {group_id} not found." if group is None else f"Group {group_id} is not a consumer group."
        return made(group_id=group_id, error_code=GroupIdNotFound.ERROR_CODE, error_message=message)

    # -- offsets ------------------------------------------------------------------------------------------------------

    def _find(self, group_id: str) -> Optional[AnyGroup]:
        group = self.groups.get(group_id)
        if group is not None:
            group.offsets.keep_only(self._topics())
        return group

    def _commit(self, request: OffsetCommitRequest, version: int, caller: Caller, now: float, answer: Answer) -> None:
        names = offsets.Names(self._topics(), version)
        # what is not there is said without asking the group
        if not any(names.place(row, one).error == 0 for row in request.topics for one in row.partitions):
            answer(offsets.refuse(request, names, 0))
            return
        try:
            group = self._committing(request, version)
            generation = request.generation_id_or_member_epoch
            only = group.check_commit(request.member_id, request.group_instance_id, generation, version, now)
        except Refused as refused:
            answer(offsets.refuse(request, names, refused.code))
        else:
            answer(offsets.commit(group.offsets, request, names, self._settings.offset_metadata_max_bytes, only))

    def _committing(self, request: OffsetCommitRequest, version: int) -> AnyGroup:
        """Return the group that a commit is for; who is no member makes one."""
        group = self._find(request.group_id)
        if group is None:
            if request.generation_id_or_member_epoch >= 0:
                raise Refused(GroupIdNotFound if version >= COMMIT_NOT_FOUND else IllegalGeneration)
            group = self.groups[request.group_id] = ClassicGroup(request.group_id, self._settings, self._make_id)
        return group

    def _fetch(self, request: Any, version: int, caller: Caller, now: float, answer: Answer) -> None:
        answer(offsets.fetch(request, version, offsets.Names(self._topics(), version), self._find))

    # -- looking at groups --------------------------------------------------------------------------------------------

    def _describe(self, request: Any, version: int, caller: Caller, now: float, answer: Answer) -> None:
        answer(DescribeGroupsResponse(groups=[self._described(group_id, version) for group_id in request.groups]))

    def _described(self, group_id: str, version: int) -> DescribeGroupsResponse.DescribedGroup:
        group = self.groups.get(group_id)
        if isinstance(group, ClassicGroup):
            return group.describe()
        row = DescribeGroupsResponse.DescribedGroup(group_id=group_id, group_state="Dead")
        if version >= DESCRIBE_NOT_FOUND:
            row.error_code = GroupIdNotFound.ERROR_CODE
            row.error_message = f"Group {group_id} not found." if group is None else f"Group {group_id} is not a classic group."
        return row

    def _list(self, request: Any, version: int, caller: Caller, now: float, answer: Answer) -> None:
        states = {state.lower() for state in request.states_filter}
        types = {kind.lower() for kind in request.types_filter}
        made = ListGroupsResponse.ListedGroup
        rows = [
            made(
                group_id=group_id, protocol_type=group.protocol_type, group_state=group.state, group_type=group.group_type
            )
            for group_id, group in self.groups.items()
            if (not states or group.state.lower() in states) and (not types or group.group_type in types)
        ]
        answer(ListGroupsResponse(groups=rows))

    def _delete(self, request: Any, version: int, caller: Caller, now: float, answer: Answer) -> None:
        made = DeleteGroupsResponse.DeletableGroupResult
        rows = []
        for group_id in dict.fromkeys(request.groups_names):
            try:
                self._remove(group_id)
            except Refused as refused:
                rows.append(made(group_id=group_id, error_code=refused.code, error_message=refused.message))
            else:
                rows.append(made(group_id=group_id))
        answer(DeleteGroupsResponse(results=rows))

    def _remove(self, group_id: str) -> None:
        if group_id not in self.groups:
            raise Refused(GroupIdNotFound)
        if self.groups[group_id].state != "Empty":
            raise Refused(NonEmptyGroup)
        del self.groups[group_id]
