"""Members that are told anything at all, in any order: they stay consistent, never spin, and end at most once.

After every step, :class:`Driven` looks whether what the member's consumer was told to read is what the member takes it to
read, and whether it would be polled again for nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pykafka._machines.classic_member import ClassicMember
from pykafka._machines.member import AWAY, ENDED, FIND_COORDINATOR, Decide, Ended, LookUp, Revoke
from pykafka.exceptions import KafkaException, SocketDisconnectedError
from pykafka.protocol.messages import FindCoordinatorResponse, LeaveGroupResponse, SyncGroupResponse

from .driven import IDS, Driven, beat, calm, classic, join_error, joined, newer, synced

PASSING, FINAL = (7, 14, 15, 16, 22, 25, 27, 79, 110), (30, 42, 82, -1, 9999)
SHARES = ("", "a0", "a0 a1", "a1 b0", "b0 b1", "c0", "a0 a1 a2 b0 b1")
KINDS: dict[str, Callable[[], Driven]] = {
    "eager": lambda: classic("range", max_poll_interval_s=30.0),
    "cooperative": lambda: classic("cooperative-sticky", max_poll_interval_s=30.0),
    "either": lambda: classic("cooperative-sticky", "range"),
    "static": lambda: classic("range", instance_id="i-1"),
    "newer": lambda: newer(max_poll_interval_s=30.0),
    "newer and static": lambda: newer(instance_id="i-1"),
}


def answer_for(member: Driven, api: str, chance: Random) -> Any:
    """Return some answer to a request of that name: often a good one, never one that cannot be on the wire."""
    luck, share, generation = chance.random(), chance.choice(SHARES), chance.randrange(1, 50)
    code = 0 if luck < 0.8 else chance.choice(PASSING) if luck < 0.99 else chance.choice(FINAL)
    if api == FIND_COORDINATOR:
        return FindCoordinatorResponse(error_code=15 if code else 0, node_id=1, host="h", port=1)
    if api == "ConsumerGroupHeartbeat":
        unknown = (b"nowhere".ljust(16),) if chance.random() < 0.2 else ()
        return beat(share if chance.random() < 0.5 else None, epoch=generation, code=code, unknown=unknown)
    if api == "JoinGroup":
        if code:
            return join_error(code, chance.choice(("", "m1", "m2")))
        offered = [one.name for one in member.machine._protocols]
        leader = chance.choice(("m1", "another"))
        return joined("m1", leader, generation, chance.choice(offered) if luck < 0.78 else "unheard of")
    if api == "SyncGroup":
        return synced(share, code) if not 0.78 < luck < 0.8 else SyncGroupResponse(assignment=b"\x00\x00\x7f\xff\xff\xff")
    return calm(code) if api == "Heartbeat" else LeaveGroupResponse(error_code=code)


def act(member: Driven, chance: Random) -> None:
    """Do one thing that may happen to a member, at whatever time."""
    machine, what = member.machine, chance.random()
    if machine.state in (AWAY, ENDED) and what < 0.5:
        machine.join(member.now)
    elif what < 0.45 and member.asks:
        ask = chance.choice(member.asks)
        member.asks.remove(ask)
        if chance.random() < 0.1:
            error = OSError("odd") if chance.random() < 0.05 else SocketDisconnectedError("gone")
            machine.on_failure(ask, error, member.now)
        else:
            machine.on_reply(ask, answer_for(member, ask.api, chance), member.now)
    elif what < 0.6:
        for event in member.told(Revoke):
            machine.gave_up(event.number, member.now)
        for event in member.told(Decide):
            if chance.random() < 0.8:
                machine.decided(event.number, [("m1", b"")])
            else:
                failure = chance.choice([SocketDisconnectedError("gone"), KafkaException("no")])
                machine.undecided(event.number, failure, member.now)
        if member.told(LookUp):
            machine.learn(IDS, member.now)
    elif what < 0.7:
        machine.active(member.now)
    elif what < 0.75:
        machine.subscribe(chance.choice([["a"], ["a", "b"], ["b", "c"]]), member.now)
    elif what < 0.755:
        machine.leave(member.now, "stopped")
    elif what < 0.76:
        machine.join(member.now)
    elif what < 0.78 and isinstance(machine, ClassicMember):
        machine.rebalance(member.now, "topics have other partitions now")
    elif what < 0.98:
        member.now = max(member.now, min(machine.wake_at(), member.now + 50.0))
    else:
        member.now += chance.choice([0.001, 1.0, 1.0, 11.0, 60.0])
    member.step()


def states(member: Driven, chance: Random, steps: int) -> Iterator[str]:
    for _ in range(steps):
        act(member, chance)
        yield member.machine.state


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_a_member_stays_consistent_whatever_it_is_told(kind: str, seed: int) -> None:
    chance, member = Random(seed), KINDS[kind]()
    for state in states(member, chance, 150):
        if state in (AWAY, ENDED):
            assert not member.machine.owned
            assert member.machine.poll(member.now) == []
        assert len(member.machine.poll(member.now)) == 0, "what is asked is asked once"


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_a_member_that_is_told_to_leave_is_gone_once_from_wherever_it_got_to(kind: str, seed: int) -> None:
    chance, member = Random(seed), KINDS[kind]()
    for _ in states(member, chance, chance.randrange(60)):
        pass
    member.told(Ended)
    member.machine.leave(member.now, "stopped")
    member.step()
    for _ in range(20):
        for event in member.told(Revoke):
            member.machine.gave_up(event.number, member.now)
        while member.asks:
            ask = member.asks.pop()
            member.machine.on_failure(ask, SocketDisconnectedError("gone"), member.now)
            member.step()
        member.step()
        if member.machine.state in (AWAY, ENDED):
            break
        member.step(max(0.0, min(member.machine.wake_at(), member.now + 100.0) - member.now))
    assert len(member.told(Ended)) == 1
    assert not member.reading and member.machine.wake_at() == float("inf")


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_a_member_without_any_answer_lets_everything_go_and_goes_on_asking_now_and_then(kind: str, seed: int) -> None:
    chance, member = Random(seed), KINDS[kind]()
    for _ in states(member, chance, chance.randrange(60)):
        pass
    member.machine.join(member.now)
    member.step()
    asked, until = 0, member.now + 100.0
    while member.now < until and member.machine.state not in (AWAY, ENDED):
        member.machine.active(member.now)
        for event in member.told(Revoke):
            member.machine.gave_up(event.number, member.now)
        while member.asks:
            asked += 1
            member.machine.on_failure(member.asks.pop(), SocketDisconnectedError("gone"), member.now)
        member.step(max(0.001, min(member.machine.wake_at(), until) - member.now))
    assert not member.reading
    assert asked < 400
