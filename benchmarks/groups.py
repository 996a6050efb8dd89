"""What becomes of groups in bad times, on three real brokers: prints every figure next to its bar.

``make groups`` runs it, or ``python -m benchmarks.groups [--quick] [FIGURE ...]``. Every member is a process of its own, so that
it can be killed, and all of them share the machine with the brokers: where there are few processors the times suffer, the counts
never do.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, NamedTuple, Optional

from tabulate import tabulate

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import group_figures as figures  # noqa: E402  # found through the path above
from benchmarks.group_offsets import commits_of  # noqa: E402  # likewise
from pykafka import KafkaClient, Topic  # noqa: E402  # likewise
from tests.brokers import KafkaCluster  # noqa: E402  # likewise
from tests.support import create_topic, until  # noqa: E402  # likewise

SESSION_S, HEARTBEAT_S = 6.0, 0.5
#: By default brokers of the newer protocol hear of a dead member after 45 s, and of everything else within 5 s.
BROKER_SETTINGS = {
    "group.consumer.session.timeout.ms": int(SESSION_S * 1000),
    "group.consumer.min.session.timeout.ms": int(SESSION_S * 1000),
    "group.consumer.heartbeat.interval.ms": int(HEARTBEAT_S * 1000),
    "group.consumer.min.heartbeat.interval.ms": int(HEARTBEAT_S * 1000),
}
#: kind of group -> how its members take part
KINDS: dict[str, dict[str, Any]] = {
    "range": {"sharing": "range", "group_protocol": "classic"},
    "cooperative-sticky": {"sharing": "cooperative-sticky", "group_protocol": "classic"},
    "KIP-848": {"sharing": "cooperative-sticky", "group_protocol": "consumer"},
}
#: How long a group may take to settle although nothing is wrong yet (seconds): then the figure is "never".
PATIENCE_S = 60.0


class Figure(NamedTuple):
    """What was measured, what it may be at most, and what else is to be said."""

    name: str
    value: float
    bar: Optional[float]
    unit: str = ""
    remark: str = ""

    @property
    def verdict(self) -> str:
        """Return how the figure compares with its bar."""
        if self.bar is None:
            return ""
        return "met" if self.value <= self.bar else "MISSED"


class Scale(NamedTuple):
    """How much of everything there is."""

    members: int = 20
    partitions: int = 60
    storm_s: float = 120.0
    restarted_nodes: int = 3
    watch_s: float = 3.0
    commits: int = 10000
    committers: int = 8
    #: what share of the messages per second
    flow: float = 1.0


QUICK = Scale(members=5, partitions=15, storm_s=4.0, restarted_nodes=1, watch_s=1.0, commits=50, committers=3, flow=0.25)


class MemberProcess:
    """A process that runs :mod:`benchmarks.group_member`."""

    def __init__(self, name: str, folder: Path, hosts: str, group: str, topic: str, ways: dict[str, Any]) -> None:
        self.name = name
        self._path = folder / f"{name}.notes"
        command = [sys.executable, "-m", "benchmarks.group_member", hosts, group, topic, json.dumps(ways)]
        # appended to: its threads write at the same time
        with self._path.open("ab") as notes, (folder / f"{name}.log").open("wb") as log:
            self._process = subprocess.Popen(command, stdout=notes, stderr=log, cwd=ROOT)

    def events(self) -> list[figures.Event]:
        """Return what it has noted so far."""
        whole, _newline, _begun = self._path.read_bytes().rpartition(b"\n")
        return [json.loads(line) for line in whole.splitlines()]

    def leave(self) -> None:
        """Ask it to leave."""
        self._process.terminate()

    def kill(self) -> float:
        """Kill it, and return when it was dead."""
        self._process.kill()
        self._process.wait(30)
        return time.monotonic()

    def wait(self) -> int:
        """Return its exit code once it has ended, at the latest after a minute, when it is killed."""
        try:
            return self._process.wait(60)
        except subprocess.TimeoutExpired:
            self.kill()
            return -1


class Group:
    """A topic, a group that reads it, and all members that it ever had."""

    def __init__(self, client: KafkaClient, hosts: str, folder: Path, kind: str, partitions: int, **ways: Any) -> None:
        self.name = f"{kind}-{random.randrange(10**9)}"
        self._hosts = hosts
        self.folder = folder / self.name
        self.folder.mkdir()
        self.ways = {**KINDS[kind], "session_timeout_ms": int(SESSION_S * 1000), **ways}
        self.ways["heartbeat_interval_ms"] = int(HEARTBEAT_S * 1000)
        self.topic = create_topic(client, self.name, partitions, replicas=3)
        self.partitions = partitions
        self.alive: dict[str, MemberProcess] = {}
        self.gone: list[MemberProcess] = []
        self.killed_at: dict[str, float] = {}

    def add(self) -> MemberProcess:
        """Start another member."""
        name = f"member-{len(self.alive) + len(self.gone) + 1}"
        member = MemberProcess(name, self.folder, self._hosts, self.name, self.name, self.ways)
        self.alive[name] = member
        return member

    def any(self) -> MemberProcess:
        """Return one of the members."""
        return random.choice(list(self.alive.values()))

    def leave(self, member: MemberProcess) -> None:
        """Have a member leave."""
        self.gone.append(self.alive.pop(member.name))
        member.leave()

    def kill(self, member: MemberProcess) -> None:
        """Kill a member."""
        self.gone.append(self.alive.pop(member.name))
        self.killed_at[member.name] = member.kill()

    def notes(self) -> dict[str, list[figures.Event]]:
        """Return the notes of all members."""
        return {member.name: member.events() for member in [*self.gone, *self.alive.values()]}

    def settle(self) -> float:
        """Return since when the group is settled, waiting for that; NEVER when it does not come to it."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            notes = {member.name: member.events() for member in self.alive.values()}
            at = figures.settled_at(notes, self.alive, self.partitions)
            if at is not None:
                return at
            time.sleep(0.1)
        return figures.NEVER

    def end(self) -> list[str]:
        """Have everybody leave; return the members that have not ended in order."""
        for member in list(self.alive.values()):
            self.leave(member)
        return [member.name for member in self.gone if member.name not in self.killed_at and member.wait()]


class Load:
    """A thread that produces so many messages a second, to all partitions in turn."""

    def __init__(self, topic: Topic, rate: float) -> None:
        self._producer = topic.get_producer(pending_timeout_ms=90000)
        self._rate = rate
        self._stop = threading.Event()
        self.failed = 0
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        began, count = time.monotonic(), 0
        while not self._stop.wait(0.01):
            due = int((time.monotonic() - began) * self._rate) - count
            for _ in range(due):
                self._producer.produce(b"x" * 100, on_delivery=self._note)
            count += due

    def _note(self, _message: object, error: object) -> None:
        if error is not None:
            self.failed += 1

    def finish(self) -> None:
        """Produce no more, and return when everything has its outcome."""
        self._stop.set()
        self._thread.join()
        self._producer.stop()


class Bench:
    """Three brokers, a client, and a folder for what members note."""

    def __init__(self, cluster: KafkaCluster, client: KafkaClient, folder: Path, scale: Scale) -> None:
        self.cluster = cluster
        self.client = client
        self.folder = folder
        self.scale = scale

    @contextlib.contextmanager
    def group(self, kind: str, members: int, partitions: int, **ways: Any) -> Iterator[Group]:
        """Yield a group that has settled; in the end nothing of it runs any more."""
        group = Group(self.client, self.cluster.hosts, self.folder, kind, partitions, **ways)
        try:
            for _ in range(members):
                group.add()
            if group.settle() == figures.NEVER:
                raise RuntimeError(f"{kind}: {members} members did not settle within {PATIENCE_S} s: see {group.folder}")
            yield group
        finally:
            for member in list(group.alive.values()):
                member.kill()

    def until_read(self, group: Group) -> dict[int, int]:
        """Return what is still unread of a group's topic when nothing was read for a while, or nothing is left."""
        ends = {number: row.offset[0] for number, row in group.topic.latest_available_offsets().items()}
        deadline = time.monotonic() + PATIENCE_S
        while True:
            lacking = figures.missing(group.notes(), ends)
            if not lacking or time.monotonic() > deadline:
                return lacking
            time.sleep(0.3)


# -- the figures ------------------------------------------------------------------------------------------------------


def storm(bench: Bench, kind: str) -> list[Figure]:
    """Members come, leave and are killed, one every 2 s; then it is quiet."""
    scale = bench.scale
    with bench.group(kind, scale.members, scale.partitions) as group:
        load = Load(group.topic, 600 * scale.flow)
        over_at = time.monotonic() + scale.storm_s
        group.kill(group.any())  # whatever chance brings
        while time.monotonic() < over_at:
            _one_blow(group, scale.members)
            time.sleep(2)
        quiet_at = time.monotonic()
        settled_at = group.settle()
        load.finish()
        lacking = bench.until_read(group)
        unruly = group.end()
        notes = group.notes()
        # who was killed is noticed when its session is over
        known_at = max([quiet_at, *(at + SESSION_S for at in group.killed_at.values())])
        overlapping = figures.overlaps(figures.tenures(notes, group.killed_at))
        generations = len(figures.generations(notes, 0.0))
        blows = f"{len(group.killed_at)} killed, {len(notes) - scale.members} joined, {generations} generations"
        read = f"{load.failed} not produced, {figures.count(notes, 'read')} batches read"
        settling = max(0.0, settled_at - known_at)
        return [
            Figure(f"storm, {kind}: messages lost", sum(lacking.values()), 0, remark=read),
            Figure(f"storm, {kind}: double ownership in a generation", len(figures.doubles(notes)), 0, remark=blows),
            Figure(f"storm, {kind}: double ownership at a time", len(overlapping), 0, remark=str(overlapping[:2] or "")),
            Figure(f"storm, {kind}: settled after", settling, 3 + HEARTBEAT_S, "s", "at most 3 s and a heartbeat"),
            Figure(f"storm, {kind}: members that broke down", len(unruly), 0, remark=", ".join(unruly)),
        ]


def _one_blow(group: Group, members: int) -> None:
    """Have somebody join, leave or die, so that there are always about as many as in the beginning."""
    spread = max(1, members // 5)
    choices: list[Callable[[], object]] = []
    if len(group.alive) < members + spread:
        choices.append(group.add)
    if len(group.alive) > members - spread:
        choices += [lambda: group.leave(group.any()), lambda: group.kill(group.any())]
    random.choice(choices)()


def restart(bench: Bench, kind: str) -> list[Figure]:
    """One broker after the other restarts in order, while messages flow."""
    with bench.group(kind, 4, 12, auto_commit=True) as group:
        load = Load(group.topic, 1200 * bench.scale.flow)
        until(lambda: len(figures.read_times(group.notes())) == 12, what="messages of every partition")
        began = time.monotonic()
        for node in bench.cluster.nodes[: bench.scale.restarted_nodes]:
            node.terminate()
            node.restart()
            until(lambda: _in_sync(bench.client, group.topic), 90, "all replicas in sync")
            time.sleep(bench.scale.watch_s)
        ended = time.monotonic()
        load.finish()
        lacking = bench.until_read(group)
        group.end()
        notes = group.notes()
    times = figures.read_times(notes)
    whole = figures.longest_gap([at for found in times.values() for at in found], began, ended)
    gaps = {number: figures.longest_gap(found, began, ended) for number, found in times.items()}
    generations = figures.generations(notes, began, ended)
    moved = {number for events in notes.values() for event in events for number in _moved(event, began, ended)}
    worst = sorted(gaps.values(), reverse=True)
    half = f"half of them above {worst[len(worst) // 2]:.2f} s"
    remark = f"generations {generations}" if generations else ""
    return [
        Figure(f"rolling restart, {kind}: unexpected rebalances", max(len(generations), len(moved)), 0, remark=remark),
        Figure(f"rolling restart, {kind}: longest gap of the group", whole, 1.0, "s"),
        Figure(f"rolling restart, {kind}: longest gap of a partition", worst[0], 1.0, "s", half),
        Figure(f"rolling restart, {kind}: messages lost", sum(lacking.values()), 0, remark=f"{load.failed} not produced"),
    ]


def _in_sync(client: KafkaClient, topic: Topic) -> bool:
    client.update_cluster()
    partitions = topic.partitions.values()
    return all(len(one.isr) == len(one.replica_ids) and one.leader is not None for one in partitions)


def join(bench: Bench, kind: str) -> list[Figure]:
    """Another member joins: partitions that stay where they are go on without a gap."""
    with bench.group(kind, 3, 12, auto_commit=True) as group:
        load = Load(group.topic, 1200 * bench.scale.flow)
        until(lambda: len(figures.read_times(group.notes())) == 12, what="messages of every partition")
        calm_at = time.monotonic()
        time.sleep(bench.scale.watch_s)
        before = figures.owners(group.notes(), group.alive)
        joins = group.add()
        # from when it knocks: starting a process takes the processors from everybody
        began = until(lambda: next((event["at"] for event in joins.events()), None), what="the new member's start")
        settled_at = group.settle()
        time.sleep(1)
        ended = time.monotonic()
        load.finish()
        after = figures.owners(group.notes(), group.alive)
        group.end()
        notes = group.notes()
    moved = {number for events in notes.values() for event in events for number in _moved(event, began, ended)}
    stay = [number for number in before if before[number] == after.get(number) and number not in moved]
    times = figures.read_times(notes)
    gap = max((figures.longest_gap(times[number], began, ended) for number in stay), default=figures.NEVER)
    calm = max((figures.longest_gap(times[number], calm_at, began) for number in stay), default=figures.NEVER)
    about = f"{len(stay)} of 12 stay, settled after {settled_at - began:.1f} s; before it {calm * 1000:.0f} ms"
    return [Figure(f"a member joins, {kind}: longest gap of what stays", gap * 1000, 500, "ms", about)]


def _moved(event: figures.Event, began: float, ended: float) -> list[int]:
    """Return the partitions that an event moves, none for one at another time."""
    if event["event"] not in ("revoke", "lost", "assign") or not began <= event["at"] <= ended:
        return []
    found: list[int] = event["partitions"]
    return found


def commits(bench: Bench, kind: str) -> list[Figure]:
    """Members commit after every few messages, and now and then one goes and another comes."""
    scale = bench.scale
    with bench.group(kind, scale.committers, 3 * scale.committers, commit_every_s=0.0, batch=5) as group:
        load = Load(group.topic, 5000 * scale.flow)
        deadline = time.monotonic() + 300
        exchanged = 0
        while time.monotonic() < deadline and (exchanged < 2 or figures.count(group.notes(), "committed") < scale.commits):
            time.sleep(2)
            (group.kill if random.random() < 0.3 else group.leave)(group.any())
            group.add()
            exchanged += 1
        load.finish()
        group.settle()
        group.end()
        notes = group.notes()
    rows = commits_of(bench.client, group.name)
    back = figures.steps_back(rows)
    done, refused = figures.count(notes, "committed"), figures.count(notes, "refused")
    about = f"{done} commits, {refused} refused, {len(rows)} offsets, {len(figures.generations(notes, 0.0))} generations"
    return [
        Figure(f"commits, {kind}: steps back", len(back), 0, remark=about),
        Figure(f"commits, {kind}: short of {scale.commits}", max(0, scale.commits - done), 0),
    ]


FIGURES: dict[str, Callable[[Bench], list[Figure]]] = {
    f"{name}-{kind}": lambda bench, measure=measure, kind=kind: measure(bench, kind)  # type: ignore[misc]
    for name, measure, kinds in (
        ("storm", storm, tuple(KINDS)),
        ("restart", restart, tuple(KINDS)),
        ("join", join, ("cooperative-sticky", "KIP-848")),
        ("commits", commits, tuple(KINDS)),
    )
    for kind in kinds
}


def main() -> int:
    """Measure, and print every figure next to its bar."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.groups", description=__doc__)
    parser.add_argument("figures", nargs="*", metavar="FIGURE", help=f"some of {', '.join(FIGURES)}; all by default")
    parser.add_argument("--quick", action="store_true", help="less of everything: shows that it works, and hardly more")
    parser.add_argument("--keep", type=Path, help="a folder for the notes and logs of all members, which stay there")
    options = parser.parse_args()
    unknown = set(options.figures) - set(FIGURES)
    if unknown:
        parser.error(f"unknown figures: {', '.join(sorted(unknown))}")
    folder = options.keep or Path(tempfile.mkdtemp(prefix="pykafka-groups-"))
    folder.mkdir(parents=True, exist_ok=True)
    found: list[Figure] = []
    with contextlib.ExitStack() as stack:
        cluster = stack.enter_context(KafkaCluster(3, settings=BROKER_SETTINGS))
        client = stack.enter_context(KafkaClient(cluster.hosts, exclude_internal_topics=False))
        bench = Bench(cluster, client, folder, QUICK if options.quick else Scale())
        for name in options.figures or FIGURES:
            began = time.monotonic()
            found += FIGURES[name](bench)
            print(f"{name}: done in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    if options.keep is None:
        shutil.rmtree(folder, ignore_errors=True)
    rows = [[one.name, f"{one.value:.4g} {one.unit}", _bar(one), one.verdict, one.remark] for one in found]
    print(f"\nThree brokers, and every member in a process of its own, on {os.cpu_count()} processors:\n")
    print(tabulate(rows, headers=["figure", "measured", "at most", "", ""]))
    return 1 if any(one.verdict == "MISSED" for one in found) else 0


def _bar(figure: Figure) -> str:
    return "" if figure.bar is None else f"{figure.bar:g} {figure.unit}"


if __name__ == "__main__":
    sys.exit(main())
