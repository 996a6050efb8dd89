"""A signal handler that starts or stops what is being started or stopped, at any moment: it can be used then, and ends whole."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from pykafka import KafkaClient
from pykafka._engine.waiting import Result
from pykafka.common import OffsetType
from pykafka.testing import SILENCE, FakeCluster

from ..support import until
from .moments import Handler, raise_ctrl_c

#: How many moments of each call are tried.
MOMENTS = 12
PARTS = ("producer", "simple", "classic", "consumer")


@pytest.fixture(scope="module")
def cluster() -> Iterator[FakeCluster]:
    with FakeCluster(topics={"t": 1}) as one:
        one.produce("t", [b"v"])
        yield one


def make(client: KafkaClient, kind: str) -> Any:
    topic = client.topics["t"]
    if kind == "producer":
        return topic.get_producer(linger_ms=0, auto_start=False)
    reading = {"auto_offset_reset": OffsetType.EARLIEST, "auto_start": False, "consumer_timeout_ms": 20000}
    if kind == "simple":
        return topic.get_simple_consumer("simple", auto_commit_enable=True, **reading)
    return topic.get_balanced_consumer(kind, managed=True, group_protocol=kind, auto_commit_enable=True, **reading)


def use(part: Any) -> None:
    if hasattr(part, "produce"):
        part.produce(b"v").result(20)
        return
    (partition,) = until(lambda: list(part.partitions.values()), what="partitions")
    part.seek(partition, 0)
    assert part.consume().value == b"v"


def left_threads() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name.startswith("pykafka-group") and one.is_alive()]


@pytest.mark.parametrize("handled", ["start", "stop", "again", "ctrl-c"])
@pytest.mark.parametrize("call", ["start", "stop"])
@pytest.mark.parametrize("kind", PARTS)
def test_whatever_a_handler_does_in_the_middle_of_a_start_or_stop(
    cluster: FakeCluster, kind: str, call: str, handled: str
) -> None:
    chance = random.Random(f"{kind} {call} {handled}")
    with KafkaClient(cluster.hosts) as client:
        part = make(client, kind)
        acts = {"start": part.start, "stop": part.stop, "again": lambda: (part.stop(), part.start()), "ctrl-c": raise_ctrl_c}

        def try_at(number: int) -> int:
            if call == "stop":
                part.start()
            handler = Handler(number, acts[handled])
            handler.run(getattr(part, call))
            part.start()
            use(part)
            part.stop()
            assert not client.cluster.engine.producer_cores(), "what a start() had begun was left to go on"
            if kind in ("classic", "consumer"):
                until(lambda: not left_threads(), what="the end of the threads of one that was stopped")
                until(lambda: not cluster.members(kind), what="the end of its seats")
            return handler.seen

        moments = try_at(0)
        for number in [1, *chance.sample(range(1, moments + 1), min(MOMENTS, moments)), moments]:
            try_at(number)


@pytest.mark.parametrize("handled", ["stop", "again"])
@pytest.mark.parametrize("call", ["pause", "resume", "seek"])
@pytest.mark.parametrize("kind", ["simple", "classic"])
def test_whatever_a_handler_does_in_the_middle_of_a_pause_or_seek(
    cluster: FakeCluster, kind: str, call: str, handled: str
) -> None:
    """A stop() made pause() raise AssertionError or KeyError."""
    with KafkaClient(cluster.hosts) as client, make(client, kind) as part:
        acts = {"stop": part.stop, "again": lambda: (part.stop(), part.start())}
        number, has_more = 1, True
        while has_more:
            part.start()
            partitions = until(lambda: list(part.partitions.values()), what="partitions")
            calls = {
                "pause": lambda there=partitions: part.pause(there),
                "resume": lambda there=partitions: part.resume(there),
                "seek": lambda there=partitions: part.seek(there[0], 0),
            }
            has_more = Handler(number, acts[handled]).run(calls[call])
            part.start()
            part.resume(until(lambda: list(part.partitions.values()), what="partitions"))
            use(part)
            number += 1 if kind == "simple" else 3


@pytest.mark.parametrize("where", ["JoinGroup", "late JoinGroup", "second JoinGroup", "ConsumerGroupHeartbeat"])
def test_ctrl_c_waits_for_no_coordinator_and_yet_the_seat_is_left(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other members waited for the one of the interrupted start until its session was over: for 45 seconds."""
    kind, asked = ("consumer", where) if where == "ConsumerGroupHeartbeat" else ("classic", "JoinGroup")
    with FakeCluster(topics={"t": 1}) as cluster, KafkaClient(cluster.hosts) as client, make(client, kind) as other:
        cluster.produce("t", [b"v"])
        cluster.requests.clear()
        member, wait, began = make(client, kind), Result.is_done_by, []

        def second(request: Any, _version: int) -> Any:
            return SILENCE if request.member_id else None  # the first one is answered with an id

        def has_come() -> bool:
            return any(where != "second JoinGroup" or seen.member_id for seen in cluster.requests.seen(asked))

        def interrupted(_result: Any, _deadline: Any) -> bool:
            until(has_come, what="the join")
            monkeypatch.setattr(Result, "is_done_by", wait)
            began.append(time.monotonic())
            raise KeyboardInterrupt

        monkeypatch.setattr(Result, "is_done_by", interrupted)
        cluster.hold("LeaveGroup")
        if where == "second JoinGroup":
            cluster.on(asked, second)
        elif where == "late JoinGroup":  # done at once: there is an id, which the member does not know yet
            cluster.delay(asked, 1.0)
            cluster.release("LeaveGroup")
        else:
            cluster.hold(asked)
        with pytest.raises(KeyboardInterrupt):
            member.start()
        # a leave that nobody answers is waited for, by who stops, for five seconds
        assert time.monotonic() - began.pop() < 2.5
        cluster.heal()
        until(lambda: len(cluster.members(kind)) == 1, what="the end of its seat")
        began.append(time.monotonic())
        member.start()  # an id that nobody has joined with would keep both waiting
        assert time.monotonic() - began.pop() < 20
        other.stop()
        use(member)
        member.stop()
        until(lambda: not left_threads(), what="the end of its threads")
