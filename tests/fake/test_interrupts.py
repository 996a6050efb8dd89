"""Ctrl-C ends every call that waits, wherever it is, and what was interrupted can be used afterwards."""

from __future__ import annotations

import json
import os
from typing import Any, Callable

import pytest

from pykafka import KafkaClient
from pykafka.testing import FakeCluster

from ..support import run_python, until
from . import doors

#: How often each call is interrupted. ``INTERRUPTS=20`` is the full measure; a fifth of it runs every time.
TIMES = int(os.environ.get("INTERRUPTS", "4"))

SCRIPT = """
import contextlib, json, os, random, signal, sys, threading, time, traceback
from tests.fake.doors import WAITING, FreezableBroker, World

def interrupted(call, world, moment_s, gap_s):
    "Return how long the call went on after Ctrl-C, or what it did instead; a second Ctrl-C follows, unless gap_s is None."
    sent = []
    def press():
        time.sleep(moment_s)
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)
        if gap_s is not None:
            time.sleep(gap_s)
            os.kill(os.getpid(), signal.SIGINT)
    thread, outcome = threading.Thread(target=press), "returned"
    try:
        try:
            thread.start()
            call(world)
        except Exception:
            outcome = traceback.format_exc()
        except KeyboardInterrupt:
            outcome = time.monotonic() - sent[0]
    except KeyboardInterrupt:  # the second one, in the middle of what the first has led to
        outcome = time.monotonic() - sent[0]
    while thread.is_alive():
        with contextlib.suppress(KeyboardInterrupt):
            thread.join()
    with contextlib.suppress(KeyboardInterrupt):
        time.sleep(0.001)
    return outcome

def use(world):
    "Use everything that there is."
    if world.cluster.engine.closed:
        world.client.close()
        return
    world.client.update_cluster()
    assert world.topic.latest_available_offsets()[0].offset == [0]
    for producer in (world.producer, world.sync, world.full):
        producer.start()
        producer.flush(20)
        producer.produce(b"x").result(20)
    for consumer in (world.consumer, world.member):
        consumer.start()
        consumer.reset_offsets([(world.partition, -2)])
        assert consumer.consume().value == b"one"
        consumer.commit_offsets()

def main():
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job has it ignored
    chance, worst, broker = random.Random(4711), {}, FreezableBroker()
    for name in NAMES:
        world = World(broker)
        for number in range(TIMES):
            broker.thawed.clear()
            outcome = interrupted(WAITING[name], world, chance.uniform(0.002, 0.04), [None, 0.0, 0.002][number % 3])
            broker.thawed.set()
            if not isinstance(outcome, float):
                worst[name] = outcome
                break
            worst[name] = max(worst.get(name, 0.0), outcome)
            if world.cluster.engine.closed:
                world = World(broker)
        try:
            use(world)
        except BaseException:
            worst[name] = "cannot be used: " + traceback.format_exc()
        world.close()
    print(json.dumps(worst))
main()
"""


def interrupt(names: list[str], times: int = TIMES) -> dict[str, object]:
    """Return door -> the longest time (seconds) that it went on after Ctrl-C, or what is wrong with it."""
    script = SCRIPT.replace("NAMES", repr(names)).replace("TIMES", str(times))
    done = run_python(script, timeout_s=250)
    assert done.returncode == 0, done.stderr
    worst: dict[str, object] = json.loads(done.stdout)
    return worst


def test_every_door_is_known_to_wait_or_not_to() -> None:
    assert doors.WAITING.keys() | doors.INSTANT == doors.public_doors()
    assert not doors.WAITING.keys() & doors.INSTANT


@pytest.mark.parametrize("cls", sorted({name.split(".")[0] for name in doors.WAITING}))
def test_ctrl_c_ends_every_call_that_waits_and_everything_can_be_used_afterwards(cls: str) -> None:
    names = [name for name in doors.WAITING if name.split(".")[0] == cls]
    worst = interrupt(names)
    wrong = {name: outcome for name, outcome in worst.items() if not isinstance(outcome, float)}
    assert not wrong, "\n".join(f"{name}: {outcome}" for name, outcome in wrong.items())
    longest = max(worst.items(), key=lambda item: float(str(item[1])))
    print(f"{cls}: {len(worst)} calls, {TIMES} times each; the longest went on for {longest}")
    # 250 ms is the promise; the machine may be busy with other tests
    assert float(str(longest[1])) < 1.0


class First:
    """Stands for something whose method is called; the first time a signal handler runs right before."""

    def __init__(self, real: Any, name: str, handler: Callable[[], object]) -> None:
        self._real = real
        self._name = name
        self._handlers = [handler]

    def __getattr__(self, name: str) -> Any:
        return self._call if name == self._name else getattr(self._real, name)

    def _call(self, *args: Any) -> Any:
        if self._handlers:
            self._handlers.pop()()
        return getattr(self._real, self._name)(*args)


@pytest.mark.parametrize("place", ["posting", "waking"])
def test_a_signal_handler_may_wait_in_the_middle_of_asking_the_io_thread_for_something(place: str) -> None:
    with FakeCluster(topics={"t": 1}) as kafka, KafkaClient(hosts=kafka.hosts) as client:
        loop = client.cluster.engine.loop
        with client.topics["t"].get_producer(linger_ms=60000) as producer:
            producer.produce(b"first").result(20)
            message = producer.produce(b"waited for")
            until(lambda: loop._sleeping, what="the I/O thread to have nothing to do")
            inside: list[Any] = []

            def handler() -> None:
                inside.append(producer.produce(b"from the handler").result(3))

            if place == "posting":
                producer._core.engine = First(client.cluster.engine, "", handler)  # type: ignore[assignment]
                producer._core.engine.loop = First(loop, "call_soon", handler)  # type: ignore[misc]
            else:
                loop._wake_send = First(loop._wake_send, "send", handler)  # type: ignore[assignment]
            assert message.result(20).offset == 1
            assert inside and inside[0].offset == 2
            producer._core.engine = client.cluster.engine
        assert kafka.values("t") == [b"first", b"waited for", b"from the handler"]
