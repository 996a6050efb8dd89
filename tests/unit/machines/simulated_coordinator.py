"""A model of the coordinator of classic groups, as the broker's own state machine has it; for simulations."""

from __future__ import annotations

from collections import Counter
from typing import Any, Callable, Optional

from pykafka.protocol.messages import (
    HeartbeatResponse,
    JoinGroupResponse,
    LeaveGroupResponse,
    SyncGroupResponse,
)

EMPTY, PREPARING, COMPLETING, STABLE = "Empty", "PreparingRebalance", "CompletingRebalance", "Stable"
INCONSISTENT_GROUP_PROTOCOL = 23
ILLEGAL_GENERATION, UNKNOWN_MEMBER_ID, REBALANCE_IN_PROGRESS, MEMBER_ID_REQUIRED, FENCED = 22, 25, 27, 79, 82

Answer = Callable[[Any], None]


class Seat:
    """One member as the coordinator sees it."""

    def __init__(self, member_id: str, instance_id: Optional[str]) -> None:
        self.member_id = member_id
        self.instance_id = instance_id
        self.protocols: dict[str, bytes] = {}
        self.session_s = 0.0
        self.rebalance_s = 0.0
        self.expires_at = float("inf")
        #: answers a JoinGroup or SyncGroup that is held back
        self.waiting_join: Optional[Answer] = None
        self.waiting_sync: Optional[Answer] = None
        self.assignment = b""


class Coordinator:
    """One group. Requests are handled at once; answers may come later, from :meth:`tick` or another request."""

    def __init__(self) -> None:
        self.state = EMPTY
        self.generation = 0
        self.leader: Optional[str] = None
        self.protocol = ""
        self.seats: dict[str, Seat] = {}
        self.pending: set[str] = set()
        self.join_until = float("inf")
        #: generation -> member -> what it was told to read
        self.told: dict[int, dict[str, bytes]] = {}
        self.committed: dict[Any, int] = {}
        self._made = 0

    # -- requests -----------------------------------------------------------------------------------------------------

    def handle(self, request: Any, now: float, answer: Answer) -> None:
        """Act on a request; ``answer`` is called with the response, once."""
        handlers = {
            "JoinGroup": self._join,
            "SyncGroup": self._sync,
            "Heartbeat": self._heartbeat,
            "LeaveGroup": self._leave,
        }
        handlers[type(request).NAME](request, now, answer)

    def _join(self, request: Any, now: float, answer: Answer) -> None:
        member_id, instance_id = request.member_id, request.group_instance_id
        if not member_id and instance_id is None:
            self._made += 1
            made = f"m{self._made}"
            self.pending.add(made)
            answer(JoinGroupResponse(error_code=MEMBER_ID_REQUIRED, member_id=made, protocol_name="", leader=""))
            return
        seat = self.seats.get(member_id)
        if instance_id is not None:
            known = next((one for one in self.seats.values() if one.instance_id == instance_id), None)
            if known is not None and member_id and known.member_id != member_id:
                answer(JoinGroupResponse(error_code=FENCED, member_id=member_id, protocol_name="", leader=""))
                return
            if not member_id:
                self._made += 1
                member_id = f"{instance_id}-{self._made}"
                seat = self._take_over(known, member_id)
                if known is not None and self.state == STABLE and known.protocols == _offered(request):
                    self._welcome_back(known, answer)  # what it wants has not changed: nobody is disturbed
                    return
        elif seat is None and member_id not in self.pending:
            answer(JoinGroupResponse(error_code=UNKNOWN_MEMBER_ID, member_id=member_id, protocol_name="", leader=""))
            return
        others = [set(one.protocols) for one in self.seats.values() if one is not seat]
        if not set.intersection({row.name for row in request.protocols}, *others):
            answer(JoinGroupResponse(error_code=INCONSISTENT_GROUP_PROTOCOL, member_id=member_id, protocol_name="", leader=""))
            return
        self.pending.discard(member_id)
        if seat is None:
            seat = self.seats[member_id] = Seat(member_id, instance_id)
        seat.protocols = _offered(request)
        seat.session_s, seat.rebalance_s = request.session_timeout_ms / 1000.0, request.rebalance_timeout_ms / 1000.0
        seat.expires_at = float("inf")
        seat.waiting_join, seat.waiting_sync = answer, None
        self._prepare(now)
        self._try_to_complete(now)

    def _take_over(self, seat: Optional[Seat], member_id: str) -> Optional[Seat]:
        """Give a static member's seat to another process of the same instance id."""
        if seat is not None:
            self._drop(seat)
            if self.leader == seat.member_id:
                self.leader = member_id
            seat.member_id = member_id
            self.seats[member_id] = seat
        return seat

    def _welcome_back(self, seat: Seat, answer: Answer) -> None:
        follower = JoinGroupResponse(
            generation_id=self.generation, protocol_name=self.protocol, leader="another", member_id=seat.member_id
        )
        answer(follower)

    def _prepare(self, now: float) -> None:
        if self.state == PREPARING:
            return
        for seat in self.seats.values():
            if seat.waiting_sync is not None:
                answer, seat.waiting_sync = seat.waiting_sync, None
                answer(SyncGroupResponse(error_code=REBALANCE_IN_PROGRESS))
                seat.expires_at = now + seat.session_s
        self.state = PREPARING
        self.join_until = now + max(seat.rebalance_s for seat in self.seats.values())

    def _try_to_complete(self, now: float) -> None:
        if self.state != PREPARING:
            return
        absent = [seat for seat in self.seats.values() if seat.waiting_join is None]
        if absent and now < self.join_until:
            return
        for seat in absent:
            if seat.instance_id is None:
                self._drop(seat)
        self.join_until = float("inf")
        self.generation += 1
        joined = [seat for seat in self.seats.values() if seat.waiting_join is not None]
        if not joined:
            self.state = EMPTY
            return
        if self.leader not in self.seats or self.seats[self.leader or ""].waiting_join is None:
            self.leader = joined[0].member_id
        common = set.intersection(*(set(seat.protocols) for seat in self.seats.values()))
        votes = Counter(next(name for name in seat.protocols if name in common) for seat in self.seats.values())
        self.protocol = votes.most_common(1)[0][0]
        self.state = COMPLETING
        rows = [
            JoinGroupResponse.JoinGroupResponseMember(
                member_id=seat.member_id, group_instance_id=seat.instance_id, metadata=seat.protocols[self.protocol]
            )
            for seat in self.seats.values()
        ]
        for seat in joined:
            answer, seat.waiting_join = seat.waiting_join, None
            assert answer is not None
            seat.expires_at = now + seat.session_s
            answer(
                JoinGroupResponse(
                    generation_id=self.generation,
                    protocol_name=self.protocol,
                    leader=self.leader or "",
                    member_id=seat.member_id,
                    members=rows if seat.member_id == self.leader else [],
                )
            )

    def _sync(self, request: Any, now: float, answer: Answer) -> None:
        seat = self.seats.get(request.member_id)
        error = self.verdict(request.member_id, request.generation_id, request.group_instance_id)
        if seat is None or error:
            answer(SyncGroupResponse(error_code=error))
        elif self.state == PREPARING:
            answer(SyncGroupResponse(error_code=REBALANCE_IN_PROGRESS))
        elif self.state == STABLE:
            seat.expires_at = now + seat.session_s
            answer(SyncGroupResponse(assignment=seat.assignment))
        else:
            seat.waiting_sync = answer
            seat.expires_at = now + seat.session_s
            if request.member_id == self.leader:
                self._spread({row.member_id: bytes(row.assignment) for row in request.assignments}, now)

    def _spread(self, assignments: dict[str, bytes], now: float) -> None:
        self.state = STABLE
        self.told[self.generation] = {}
        for seat in self.seats.values():
            seat.assignment = self.told[self.generation][seat.member_id] = assignments.get(seat.member_id, b"")
            if seat.waiting_sync is not None:
                answer, seat.waiting_sync = seat.waiting_sync, None
                seat.expires_at = now + seat.session_s
                answer(SyncGroupResponse(assignment=seat.assignment))

    def verdict(self, member_id: str, generation: int, instance_id: Optional[str] = None) -> int:
        """Return the error that a member of that generation gets, 0 for none."""
        if member_id not in self.seats:
            taken = instance_id is not None and any(seat.instance_id == instance_id for seat in self.seats.values())
            return FENCED if taken else UNKNOWN_MEMBER_ID
        return ILLEGAL_GENERATION if generation != self.generation else 0

    def _heartbeat(self, request: Any, now: float, answer: Answer) -> None:
        error = self.verdict(request.member_id, request.generation_id, request.group_instance_id)
        if not error:
            seat = self.seats[request.member_id]
            if seat.waiting_join is None:
                seat.expires_at = now + seat.session_s
            error = REBALANCE_IN_PROGRESS if self.state == PREPARING else 0
        answer(HeartbeatResponse(error_code=error))

    def _leave(self, request: Any, now: float, answer: Answer) -> None:
        seat = self.seats.get(request.members[0].member_id)
        if seat is not None:
            self._remove(seat, now)
        self.pending.discard(request.members[0].member_id)
        answer(LeaveGroupResponse(error_code=0 if seat is not None else UNKNOWN_MEMBER_ID))

    def commit(self, member_id: str, generation: int, offsets: dict[Any, int]) -> int:
        """Return the error of a commit, 0 when it is taken."""
        error = self.verdict(member_id, generation)
        if not error and self.state == COMPLETING:
            error = REBALANCE_IN_PROGRESS
        if not error:
            self.committed.update(offsets)
        return error

    # -- time ---------------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Put out whoever was not heard of for too long, and end a rebalance whose time is over."""
        for seat in list(self.seats.values()):
            if seat.waiting_join is None and now >= seat.expires_at:
                self._remove(seat, now)
        if self.state == PREPARING and now >= self.join_until:
            self._try_to_complete(now)

    def move(self) -> None:
        """Become another broker's: what is held back is never answered, and all seats get a new session."""
        for seat in self.seats.values():
            seat.waiting_join = seat.waiting_sync = None

    def reload(self, now: float) -> None:
        """Begin at the new broker: it has read the log, where every seat stands."""
        for seat in self.seats.values():
            seat.expires_at = now + seat.session_s
        if self.seats and self.state in (PREPARING, COMPLETING):
            self.state = STABLE
            self._prepare(now)

    def _drop(self, seat: Seat) -> None:
        self.seats.pop(seat.member_id, None)

    def _remove(self, seat: Seat, now: float) -> None:
        self._drop(seat)
        if not self.seats:
            self.state, self.generation, self.join_until = EMPTY, self.generation + 1, float("inf")
        else:
            self._prepare(now)
            self._try_to_complete(now)


def _offered(request: Any) -> dict[str, bytes]:
    return {row.name: bytes(row.metadata) for row in request.protocols}
