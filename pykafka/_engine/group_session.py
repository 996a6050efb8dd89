"""A member of a group at work: the I/O thread sends what the member asks, and hands on what its consumer has to do."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Optional

from .._machines.group_abilities import require_able
from .._machines.handshake import BrokerAbilities
from .._machines.member import FIND_COORDINATOR, Ask, Ended, Event, Lost, Member, MemberStatus, Owned, Revoke
from .._machines.metadata import ClusterView
from ..exceptions import KafkaException, ProtocolError
from ..protocol.messages import LeaveGroupRequest
from ..protocol.schema import Request
from .lane import Call
from .loop import Timer
from .waiting import Deadline, Result

if TYPE_CHECKING:
    from .engine import Engine

log = logging.getLogger(__name__)

_numbers = itertools.count(1)


class GroupSession:
    """Keeps one :class:`Member` going. Its methods may be called from any thread unless they say otherwise.

    :param on_fence: called on the I/O thread with (partitions, event): because of that event nothing of them may be
        delivered from now on. The coordinator hears only after that of anything that has others read them
    :param on_event: called on the I/O thread with every event of the member's, in order
    :param is_active: called on the I/O thread: whether the user has taken messages, or waited for some, since the last call
    """

    def __init__(
        self,
        engine: Engine,
        member: Member,
        on_fence: Callable[[Owned, Event], None],
        on_event: Callable[[Event], None],
        is_active: Callable[[], Optional[bool]],
    ) -> None:
        self._engine = engine
        self._member = member
        self._on_fence = on_fence
        self._on_event = on_event
        self._is_active = is_active
        self._lane_name = f"member-{next(_numbers)}"
        self._timer: Optional[Timer] = None
        self._ended: Result[None] = Result()
        self._closed = False
        #: how long somebody waits for a leave that nobody acts for any more; None: as long as that takes
        self._waited_for: Optional[Deadline] = None
        #: looked at with every change of the cluster's picture; see :meth:`watch`
        self._on_view: Optional[Callable[[ClusterView], None]] = None
        #: where the member stands; replaced, never changed
        self.status: MemberStatus = member.status()

    # -- any thread ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Have the member join its group."""
        self.tell(self._member.join)

    def tell(self, step: Callable[..., object], *args: Any) -> None:
        """Have ``step(*args, now)``, a method of the member's, called on the I/O thread."""
        self._engine.loop.call_soon(self._tell, step, args)

    def watch(self, on_view: Callable[[ClusterView], None]) -> None:
        """Have ``on_view`` called on the I/O thread with the cluster's picture, now and whenever it changes."""
        self._engine.loop.call_soon(self._watch, on_view)

    def replace(self, member: Member) -> None:
        """Go on with another member, in the place of one that has ended, and have it join."""
        self._ended = Result()
        self._engine.loop.call_soon(self._replace, member)

    def leave(self, reason: str) -> None:
        """Have the member give up everything and leave; see :meth:`wait_until_left`."""
        self.tell(lambda now: self._member.leave(now, reason))

    @property
    def has_left(self) -> bool:
        """Return whether the member is in no group (any more), or leaves it without anybody waiting for that."""
        return self._ended.done or self.leaves_alone

    @property
    def leaves_alone(self) -> bool:
        """Return whether nobody waits any more for what :meth:`abandon` has begun."""
        return self._waited_for is not None and self._waited_for.passed

    def wait_until_left(self, deadline: Deadline) -> bool:
        """Return whether the member has left its group before ``deadline``."""
        if self.leaves_alone:
            return False
        try:
            self._ended.wait(deadline, "leaving the group")
        except KafkaException as error:
            log.warning("group %s: %s; its seat is free when the session is over", self._member.settings.group, error)
            return False
        return True

    def abandon(self, patience_s: float = 0.0) -> None:
        """Have the member leave, without anybody who could give anything up first, and close itself after that.

        Its consumer is gone, or has been interrupted, and waits for it only so long.
        """
        self._waited_for = Deadline(patience_s)
        if not self._engine.loop.stopped and not self._engine.loop.forked:
            self._engine.loop.call_soon(self._abandon)

    def close(self) -> None:
        """Send nothing any more, and close the connection; see :meth:`abandon`."""
        if self._waited_for is None and not self._engine.loop.stopped and not self._engine.loop.forked:
            self._engine.loop.call_soon(self._close)

    # -- the I/O thread -----------------------------------------------------------------------------------------------

    def _tell(self, step: Callable[..., object], args: tuple[Any, ...]) -> None:
        if not self._closed:
            step(*args, self._engine.loop.now())
            self._step()

    def _replace(self, member: Member) -> None:
        if not self._closed:
            self._member = member
            self._look_at_view()
            self._tell(member.join, ())

    def _watch(self, on_view: Callable[[ClusterView], None]) -> None:
        if self._on_view is None:
            self._engine.add_listener(self._look_at_view)
        self._on_view = on_view
        self._look_at_view()

    def _look_at_view(self) -> None:
        if self._on_view is not None and not self._closed and not self._engine.loop.stopped:
            self._on_view(self._engine.view)

    def _abandon(self) -> None:
        self._is_active = lambda: False
        self._on_fence = lambda _partitions, _event: None
        self._on_event = self._act_for_nobody
        self._tell(lambda now: self._member.drop_out(now, "its consumer was dropped without stop()"), ())

    def _act_for_nobody(self, event: Event) -> None:
        if isinstance(event, Ended):
            self._engine.loop.call_soon(self._close)

    def _close(self) -> None:
        self._closed = True
        self._engine.remove_listener(self._look_at_view)
        if self._timer is not None:
            self._timer.cancel()
        self._engine.drop_lanes(self._lane_name)

    def _step(self) -> None:
        """Do whatever there is to do now, and come back when there is more."""
        if self._closed:
            return
        now = self._engine.loop.now()
        active = self._is_active()
        if active is None:  # nobody holds the consumer any more
            self._abandon()
            return
        if active:
            self._member.active(now)
        asks = self._member.poll(now)
        self._tell_consumer(self._member.take_events())
        for ask in asks:
            self._send(ask, now)
        self.status = self._member.status()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        wake_at = self._member.wake_at()
        if wake_at != float("inf"):
            self._timer = self._engine.loop.call_at(wake_at, self._step)

    def _tell_consumer(self, events: Iterable[Event]) -> None:
        for event in events:
            if isinstance(event, (Revoke, Lost)):
                self._on_fence(event.partitions, event)
            self._on_event(event)
            if isinstance(event, Ended):
                self._ended.succeed(None)

    def _send(self, ask: Ask, now: float) -> None:
        # a heartbeat without an answer has to be noticed while the session lasts
        member = self._member
        patience_s = min(self._engine.request_timeout_s, member.settings.session_timeout_s / 2)
        deadline = now + (ask.held_s + self._engine.request_timeout_s if ask.held_s else patience_s)

        def on_done(reply: Any, error: Optional[Exception]) -> None:
            if self._closed or self._member is not member:
                return
            then = self._engine.loop.now()
            try:
                if error is None:
                    member.on_reply(ask, reply, then)
            except ProtocolError as fault:
                error = fault
            if error is not None:
                log.info("group %s: %s failed: %s", member.settings.group, ask.api, error)
                member.on_failure(ask, error, then)
            self._step()

        if ask.api == FIND_COORDINATOR:
            self._engine.ask_any(ask.request, on_done)
            return
        coordinator = member.coordinator
        assert coordinator is not None  # a member asks nothing else before it knows whom
        # a broker answers in order, and may hold a JoinGroup back for long: who leaves must not wait behind it. In the newer
        # protocol nothing is held back, and on a way of its own the leave could overtake the join that it undoes
        name = "control" if ask.api == LeaveGroupRequest.NAME else self._lane_name
        lane = self._engine.lane(coordinator.host, coordinator.port, name)

        def build(abilities: BrokerAbilities) -> tuple[Request, None]:
            return require_able(ask.request, abilities.versions), None

        lane.request(Call(build, lambda reply, error, _call: on_done(reply, error), deadline))
