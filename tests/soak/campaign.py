"""One story after the other for some time, each in a process of its own, with what every one of them had to say."""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import itertools
import os
import random
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import NamedTuple, Optional

from ..brokers import KafkaCluster, what_is_missing
from .stage import Stage, check_nothing_left

FOLDER = Path("build") / "soak"
#: What CPython says of a Ctrl-C that comes while a weak reference or a finalizer of its own is at work: it drops it.
DROPPED = re.compile(r"Exception ignored in: (?:(?!Exception ignored).)*?\nKeyboardInterrupt: ?\n", re.DOTALL)
#: What librdkafka says of requests that it never sent: it may give up each new connection to a coordinator that has moved, and
#: does so for seconds (docs/design.md, "Non-obvious").
NEVER_SENT = re.compile(
    r"%4\|[\d.]+\|REQTMOUT\|rdkafka#consumer-\d+\| \[thrd:GroupCoordinator\]: GroupCoordinator: Timed out "
    r"0 in-flight, 0 retry-queued, \d+ out-queue, 0 partially-sent requests\n"
)
#: No story takes so long that does not hang.
MOST_SECONDS = 420


def complaints(stderr: str) -> str:
    """Return what is left of ``stderr`` without what has nothing to do with us."""
    return NEVER_SENT.sub("", DROPPED.sub("", stderr))


class Story(NamedTuple):
    """A module with ``play(stage)``, and the brokers that it is played on."""

    name: str
    fake: bool = True
    real: bool = True
    #: Python warns of nothing in it. Of kafka-python it does: of how it reads its schemas, and of sockets that it leaves.
    strict: bool = True


STORIES = [
    Story("cut"),
    Story("mangled"),
    Story("signals"),
    Story("clients", real=False, strict=False),
    Story("groups", strict=False),
    Story("anew"),
    Story("requests", real=False),
    Story("kills", fake=False),
    Story("hostile", real=False),
]
BY_NAME = {story.name: story for story in STORIES}


def play(name: str, seed: int, hosts: Optional[str] = None, length: float = 1.0) -> int:
    """Tell one story in this process; return 0 when it ended well."""
    faulthandler.enable()
    # before the campaign gives up on it, so that it tells where everybody is
    faulthandler.dump_traceback_later(MOST_SECONDS - 10, exit=True)
    story = import_module(f".{name}", __package__)
    with Stage(seed, hosts, length) as stage:
        said = story.play(stage)
    check_nothing_left()
    faulthandler.cancel_dump_traceback_later()
    print(said)
    return 0


class Told(NamedTuple):
    """How a story ended."""

    name: str
    seed: int
    where: str
    good: bool
    seconds: float
    last_words: str


def tell(name: str, seed: int, hosts: Optional[str] = None, length: float = 1.0) -> Told:
    """Return how a story ended in a process of its own; what a bad one wrote is kept in ``build/soak``.

    Whatever it writes to stderr is bad: a traceback of a thread, an error that was logged, a warning of what was not closed.
    """
    warnings = ["-X", "dev"] if BY_NAME[name].strict else []
    command = [sys.executable, *warnings, "-m", __package__, "--play", name, "--seed", str(seed), "--length", str(length)]
    command += ["--hosts", hosts] if hosts else []
    where = "real" if hosts else "fake"
    begun = time.monotonic()
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=MOST_SECONDS, check=False, errors="replace")
        stderr = complaints(done.stderr)
        good = done.returncode == 0 and not stderr
        output = f"{' '.join(command)}\nended with {done.returncode}\n{done.stdout}\n{stderr}"
    except subprocess.TimeoutExpired as error:
        good, output = False, f"{' '.join(command)}\ndid not end\n{error.stdout!r}\n{error.stderr!r}"
    if not good:
        FOLDER.mkdir(parents=True, exist_ok=True)
        (FOLDER / f"{name}-{where}-{seed}.txt").write_text(output)
    lines = output.strip().splitlines()
    return Told(name, seed, where, good, time.monotonic() - begun, lines[-1])


def programme(names: Sequence[str], seed: int, hosts: Optional[str]) -> Iterator[tuple[str, int, Optional[str]]]:
    """Yield which story is told next, with which seed and where, for ever: all of them in turn."""
    for number in itertools.count(seed):
        for name in names:
            if BY_NAME[name].fake:
                yield name, number, None
            if BY_NAME[name].real and hosts:
                yield name, number, hosts


@contextlib.contextmanager
def real_brokers(wanted: bool) -> Iterator[Optional[str]]:
    """Yield where a real broker is while this lasts, or None where there can be none."""
    if not wanted:
        yield None
    elif missing := what_is_missing():
        print(f"without real brokers, for want of {' and '.join(missing)}", flush=True)
        yield None
    else:
        with KafkaCluster() as cluster:
            yield cluster.hosts


def campaign(names: Sequence[str], seconds: float, seed: int, jobs: int, real: bool, length: float = 1.0) -> int:
    """Tell stories for some time; return how many ended badly."""
    ends = time.monotonic() + seconds
    counts: Counter[tuple[str, str, bool]] = Counter()
    with real_brokers(real) as hosts, ThreadPoolExecutor(jobs) as pool:
        following = programme(names, seed, hosts)

        def work() -> None:
            while time.monotonic() < ends:
                told = tell(*next(following), length)
                counts[told.name, told.where, told.good] += 1
                print("ok " if told.good else "BAD", *told[:3], f"{told.seconds:.0f} s:", told.last_words[:300], flush=True)

        for future in [pool.submit(work) for _ in range(jobs)]:
            future.result()
    bad = sum(count for (_, _, good), count in counts.items() if not good)
    for (name, where, good), count in sorted(counts.items()):
        print(f"{name:10} {where:5} {'ended well' if good else 'ENDED BADLY':12} {count}")
    print(f"{sum(counts.values())} stories in {seconds:.0f} s, {bad} of them ended badly", flush=True)
    return bad


def main(arguments: Sequence[str]) -> int:
    """Run what the command line asks for; return 1 when a story ended badly."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description="Stories in which everything goes wrong at once.")
    parser.add_argument("--seconds", type=float, default=3600, help="how long (default 3600)")
    parser.add_argument("--story", choices=sorted(BY_NAME), action="append", help="only this one; may be given again")
    parser.add_argument("--seed", type=int, default=None, help="to tell the same stories again; drawn and printed when not given")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="how many at once (default: one for each processor)")
    parser.add_argument("--fake-only", action="store_true", help="without real brokers")
    parser.add_argument("--play", choices=sorted(BY_NAME), help="tell one story, here")
    parser.add_argument("--hosts", help="the real brokers for --play; a fake cluster when not given")
    parser.add_argument("--length", type=float, default=1.0, help="how long each goes on, 1 being half a minute or less")
    given = parser.parse_args(arguments)
    seed = random.SystemRandom().randrange(2**31) if given.seed is None else given.seed
    if given.play:
        return play(given.play, seed, given.hosts, given.length)
    print(f"seed {seed}", flush=True)
    names = given.story or [story.name for story in STORIES]
    return 1 if campaign(names, given.seconds, seed, given.jobs, not given.fake_only, given.length) else 0
