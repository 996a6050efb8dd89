"""Groups with members go over from one protocol to the other: when they may, and what becomes of their members. Pure."""

from __future__ import annotations

from typing import Any, Callable

from ..exceptions import GroupIdNotFound, ProtocolError, UnknownError
from ..protocol.api import decode_data
from ..protocol.messages import ConsumerProtocolAssignment, ConsumerProtocolSubscription
from . import classic_group
from .classic_group import STABLE, ClassicGroup
from .classic_members import PROTOCOL_TYPE, encoded
from .consumer_group import ClassicPart, ConsumerGroup, Seat
from .group_common import UPGRADES, GroupSettings, Place, Refused, Topics

_CUSTOM = (
    "an unsupported custom assignor is in use. Please refer to the documentation or switch to a default assignor before "
    "re-attempting the upgrade."
)


def upgraded(
    group: ClassicGroup, settings: GroupSettings, make_id: Callable[[], str], topics: Topics, now: float
) -> ConsumerGroup:
    """Return a group of the newer protocol with the members of a classic one, who keep what they read.

    The classic one is left as it is.

    :raises Refused: when that cannot be
    """
    _check(group, settings)
    made = ConsumerGroup(group.group_id, settings, make_id)
    made.offsets = group.offsets
    made.epoch = made.target_epoch = group.generation
    for one in group.seats.values():
        seat = made.sit_down(one.member_id, one.instance_id)
        seat.caller, seat.rebalance_s = one.caller, one.rebalance_s
        seat.epoch = seat.previous_epoch = group.generation
        # nothing is chosen before the first generation, and who joins need not know what was chosen before: Kafka fails there
        if group.protocol not in one.protocols:
            raise Refused(UnknownError)
        try:
            wishes = decode_data(ConsumerProtocolSubscription, one.protocols[group.protocol])[0]
            seat.assigned = _assigned(one.assignment, topics)
        except ProtocolError as error:
            raise _cannot(group, "the embedded consumer protocol is malformed.") from error
        if seat.assigned is None:
            raise _cannot(group, _CUSTOM)
        seat.topics, seat.rack_id = frozenset(wishes.topics), wishes.rack_id
        seat.classic = ClassicPart(dict(one.protocols), one.session_s)
        seat.expires_at = now + one.session_s
        made.target[seat.member_id] = set(seat.assigned)
    return made


def _cannot(group: ClassicGroup, why: str) -> Refused:
    return Refused(GroupIdNotFound, f"Cannot upgrade classic group {group.group_id} to consumer group because {why}")


def _check(group: ClassicGroup, settings: GroupSettings) -> None:
    if settings.consumer_migration_policy not in UPGRADES:
        raise _cannot(group, "online upgrade is disabled.")
    if group.protocol_type != PROTOCOL_TYPE:
        raise _cannot(group, "the group does not use the consumer embedded protocol.")


def _assigned(assignment: bytes, topics: Topics) -> Any:
    """Return what a member reads of what is there, None if there is something else in it that would be lost."""
    if not assignment:
        return set()
    data = decode_data(ConsumerProtocolAssignment, assignment)[0]
    if data.user_data:
        return None
    return {(row.topic, number) for row in data.assigned_partitions if row.topic in topics for number in row.partitions}


def downgraded(
    group: ConsumerGroup, settings: GroupSettings, make_id: Callable[[], str], topics: Topics, now: float
) -> ClassicGroup:
    """Return a classic group with the members of one of the newer protocol, all of whom are classic ones."""
    made = ClassicGroup(group.group_id, settings, make_id)
    made.offsets = group.offsets
    made.state, made.generation, made.protocol_type = STABLE, group.epoch, PROTOCOL_TYPE
    for seat in group.seats.values():
        assert seat.classic is not None
        made.seats[seat.member_id] = _classic_seat(seat, seat.classic, group.target.get(seat.member_id, set()), topics, now)
    made.begin_as(group.has_to_share_anew, now)
    return made


def _classic_seat(seat: Seat, part: ClassicPart, target: set[Place], topics: Topics, now: float) -> classic_group.Seat:
    made = classic_group.Seat(seat.member_id, seat.instance_id, seat.caller)
    made.protocols, made.session_s, made.rebalance_s = dict(part.protocols), part.session_s, seat.rebalance_s
    made.assignment, made.is_new = encoded(target, part, topics), False
    made.hear(now)
    return made
