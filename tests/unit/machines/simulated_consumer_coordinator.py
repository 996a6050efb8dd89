"""A model of the coordinator of groups of the newer protocol (KIP-848), as the broker's own state machine has it."""

from __future__ import annotations

from typing import Any, Callable, Optional

from pykafka._machines.assignors import RANGE, STICKY, MemberSubscription
from pykafka.common import TopicPartition
from pykafka.protocol.messages import ConsumerGroupHeartbeatResponse

STABLE, UNREVOKED, UNRELEASED = "stable", "unrevoked", "unreleased"
UNKNOWN_MEMBER_ID, INVALID_REQUEST, FENCED_INSTANCE_ID = 25, 42, 82
FENCED_MEMBER_EPOCH, UNRELEASED_INSTANCE_ID, UNSUPPORTED_ASSIGNOR, STALE_MEMBER_EPOCH = 110, 111, 112, 113
AWAY_FOR_A_WHILE = -2
NEVER = float("inf")

Answer = Callable[[Any], None]
Owned = set[TopicPartition]

_ASSIGNORS = {"uniform": STICKY, "range": RANGE}


class Seat:
    """One member as the coordinator sees it."""

    def __init__(self, member_id: str, instance_id: Optional[str]) -> None:
        self.member_id = member_id
        self.instance_id = instance_id
        self.topics: tuple[str, ...] = ()
        self.state = STABLE
        self.epoch = self.previous_epoch = 0
        self.assigned: Owned = set()
        #: what it has to give up before anything else
        self.revoking: Owned = set()
        self.rebalance_s = 0.0
        self.expires_at = self.revoked_by = NEVER


class ConsumerCoordinator:
    """One group. ``names`` are the topics' by their ids."""

    def __init__(self, topics: dict[str, int], assignor: str, session_s: float, heartbeat_s: float) -> None:
        self.topics = topics
        self.names = {f"id of {name}".ljust(16).encode(): name for name in topics}
        self._ids = {name: topic_id for topic_id, name in self.names.items()}
        self._assignor = assignor
        self._session_s, self._heartbeat_s = session_s, heartbeat_s
        self.epoch = self.target_epoch = 0
        self.target: dict[str, Owned] = {}
        self.seats: dict[str, Seat] = {}
        self.committed: dict[Any, int] = {}

    # -- requests -----------------------------------------------------------------------------------------------------

    def handle(self, request: Any, now: float, answer: Answer) -> None:
        """Act on a heartbeat; ``answer`` is called with the response, once."""
        if request.member_epoch < 0:
            error, seat = self._leave(request, now), None
        else:
            error, seat = self._find(request)
        if error or seat is None:
            answer(ConsumerGroupHeartbeatResponse(error_code=error, member_id=request.member_id))
            return
        before = set(seat.assigned)
        seat.expires_at = now + self._session_s
        self._note_wishes(seat, request)
        self._share_out()
        self._reconcile(seat, self._owned(request), now)
        self._check()
        full = request.rebalance_timeout_ms != -1 and request.topic_partitions is not None
        tell = request.member_epoch == 0 or full or before != seat.assigned
        reply = ConsumerGroupHeartbeatResponse(
            member_id=seat.member_id, member_epoch=seat.epoch, heartbeat_interval_ms=int(self._heartbeat_s * 1000)
        )
        if tell:
            reply.assignment = ConsumerGroupHeartbeatResponse.Assignment(topic_partitions=self._rows(seat.assigned))
        answer(reply)

    def _find(self, request: Any) -> tuple[int, Optional[Seat]]:
        """Return (error, seat) of a member that stays or joins."""
        seat, joins = self.seats.get(request.member_id), request.member_epoch == 0
        wants = request.subscribed_topic_names is not None
        if not request.member_id or (
            joins and not (wants and request.topic_partitions == [] and request.rebalance_timeout_ms > 0)
        ):
            return INVALID_REQUEST, None
        if request.server_assignor is not None and request.server_assignor not in _ASSIGNORS:
            return UNSUPPORTED_ASSIGNOR, None
        if request.instance_id is not None and (seat is None or seat.instance_id != request.instance_id):
            return self._find_static(request, joins)
        if seat is None:
            return (0, self._sit_down(request)) if joins else (UNKNOWN_MEMBER_ID, None)
        # who joins anew is given what it had, whatever it knows of it
        if joins or request.member_epoch == seat.epoch:
            return 0, seat
        # the answer that told it of a newer epoch may have been lost
        owned = self._owned(request)
        was_told = request.member_epoch == seat.previous_epoch and owned is not None and owned <= seat.assigned
        return (0, seat) if was_told else (FENCED_MEMBER_EPOCH, None)

    def _find_static(self, request: Any, joins: bool) -> tuple[int, Optional[Seat]]:
        holder = next((seat for seat in self.seats.values() if seat.instance_id == request.instance_id), None)
        if not joins:
            return (UNKNOWN_MEMBER_ID if holder is None else FENCED_INSTANCE_ID), None
        if holder is None:
            return 0, self._sit_down(request)
        if holder.epoch != AWAY_FOR_A_WHILE:
            return UNRELEASED_INSTANCE_ID, None
        del self.seats[holder.member_id]
        self.target[request.member_id] = self.target.pop(holder.member_id, set())
        holder.member_id, holder.epoch, holder.previous_epoch, holder.state = request.member_id, 0, 0, STABLE
        holder.assigned, holder.revoking, holder.revoked_by = holder.assigned | holder.revoking, set(), NEVER
        self.seats[request.member_id] = holder
        return 0, holder

    def _sit_down(self, request: Any) -> Seat:
        seat = self.seats[request.member_id] = Seat(request.member_id, request.instance_id)
        self.epoch += 1
        return seat

    def _leave(self, request: Any, now: float) -> int:
        seat = self.seats.get(request.member_id)
        if seat is None:
            return UNKNOWN_MEMBER_ID
        if request.member_epoch == AWAY_FOR_A_WHILE:
            seat.epoch = AWAY_FOR_A_WHILE
            seat.expires_at, seat.revoked_by = now + self._session_s, NEVER
        else:
            self._remove(seat)
        return 0

    def _note_wishes(self, seat: Seat, request: Any) -> None:
        if request.rebalance_timeout_ms != -1:
            seat.rebalance_s = request.rebalance_timeout_ms / 1000.0
        topics = request.subscribed_topic_names
        if topics is not None and set(topics) != set(seat.topics):
            seat.topics = tuple(topics)
            self.epoch += 1

    # -- who is to read what --------------------------------------------------------------------------------------------

    def _share_out(self) -> None:
        if self.target_epoch == self.epoch:
            return
        self.target_epoch = self.epoch
        members = {
            seat.member_id: MemberSubscription(seat.topics, tuple(sorted(seat.assigned)), self.epoch)
            for seat in self.seats.values()
        }
        shares = _ASSIGNORS[self._assignor].assign(members, {topic: range(count) for topic, count in self.topics.items()})
        self.target = {member: set(share) for member, share in shares.items()}

    def _reconcile(self, seat: Seat, owned: Optional[Owned], now: float) -> None:
        """Bring a member one step closer to its target: what goes first, then what others have let go of."""
        if seat.state == UNREVOKED:
            if owned is None or owned & seat.revoking:
                return
            seat.revoking, seat.revoked_by = set(), NEVER
        elif seat.state == STABLE and seat.epoch == self.target_epoch:
            return
        target = self.target.get(seat.member_id, set())
        kept, gone = seat.assigned & target, seat.assigned - target
        if gone and (owned is None or owned & gone):
            seat.state, seat.assigned, seat.revoking = UNREVOKED, kept, gone
            seat.previous_epoch = seat.epoch
            seat.revoked_by = now + seat.rebalance_s
            return
        taken = {tp for other in self.seats.values() if other is not seat for tp in other.assigned | other.revoking}
        seat.assigned = kept | (target - taken)
        seat.state = STABLE if seat.assigned == target else UNRELEASED
        seat.previous_epoch, seat.epoch = seat.epoch, self.target_epoch

    def _owned(self, request: Any) -> Optional[Owned]:
        if request.topic_partitions is None:
            return None
        return {TopicPartition(self.names[row.topic_id], number) for row in request.topic_partitions for number in row.partitions}

    def _rows(self, partitions: Owned) -> list[Any]:
        topics: dict[str, list[int]] = {}
        for topic, number in sorted(partitions):
            topics.setdefault(topic, []).append(number)
        row = ConsumerGroupHeartbeatResponse.TopicPartitions
        return [row(topic_id=self._ids[topic], partitions=numbers) for topic, numbers in topics.items()]

    def _check(self) -> None:
        owned = [tp for seat in self.seats.values() for tp in seat.assigned | seat.revoking]
        assert len(owned) == len(set(owned)), "the model itself gave a partition to two members"

    def commit(self, member_id: str, epoch: int, offsets: dict[Any, int]) -> int:
        """Return the error of a commit, 0 when it is taken."""
        seat = self.seats.get(member_id)
        if seat is None:
            return UNKNOWN_MEMBER_ID
        if seat.epoch != epoch:
            return STALE_MEMBER_EPOCH
        self.committed.update(offsets)
        return 0

    # -- time ---------------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Put out whoever was not heard of for too long, or gives up too slowly."""
        for seat in list(self.seats.values()):
            if now >= min(seat.expires_at, seat.revoked_by):
                self._remove(seat)

    def move(self) -> None:
        """Become another broker's; nothing is ever held back."""

    def reload(self, now: float) -> None:
        """Begin at the new broker: it has read the log, and all time is counted anew."""
        for seat in self.seats.values():
            seat.expires_at = now + self._session_s
            if seat.revoking:
                seat.revoked_by = now + seat.rebalance_s

    def _remove(self, seat: Seat) -> None:
        del self.seats[seat.member_id]
        self.target.pop(seat.member_id, None)
        self.epoch += 1
