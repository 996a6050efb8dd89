"""What a client is to do, and how it is measured: the same for every client."""

from __future__ import annotations

import contextlib
import json
import random
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any, Callable, NamedTuple, Optional

#: How many different values and headers there are; keys have a number of their own.
DIFFERENT = 1000
#: What every producer sends and has acknowledged before it is measured: the first message is paid for with connections.
WARM_UP = b"first"
#: What is given at once to whoever asks for batches: our default, and the best for clients that make messages in Python. More
#: than 700 objects kept at a time have the garbage collector of CPython 3.11 look through them all.
BATCH = 500
#: So many more messages than are measured stand in a topic: some are fetched before, and some beyond the last one.
MARGIN = 10000
#: How many messages are produced one by one and waited for, and how many before them, which do not count.
LATENCY_ROUNDS, LATENCY_WARM_UP = 300, 20
#: How often another process sends a message to one that waits for it.
HOP_INTERVAL_S = 0.003


class Job(NamedTuple):
    """One workload for one client: ``kind`` is the function of the client's module, ``codec`` a name in lower case.

    ``group`` is that of a consumer that has one, and new each time. Without ``wheels`` there is none for checksums.
    ``producers`` is how many of them share a client, each in a thread of its own (ours only).
    """

    kind: str
    hosts: str
    topic: str
    count: int
    group: str = "bench"
    value_bytes: int = 100
    keys: int = 0
    headers: bool = False
    codec: Optional[str] = None
    wheels: bool = True
    producers: int = 1

    @property
    def values(self) -> list[bytes]:
        """Return ``count`` values: random ones, which are JSON where they are to be compressed."""
        chance = random.Random(1)
        make = random_value if self.codec is None else json_value
        some = [make(chance, self.value_bytes) for _ in range(min(DIFFERENT, self.count))]
        return repeated(some, self.count)

    @property
    def some_keys(self) -> list[bytes]:
        """Return ``count`` keys of 12 bytes, ``keys`` different ones."""
        return repeated([b"key-%08d" % number for number in range(min(self.keys, self.count))], self.count)

    @property
    def some_headers(self) -> list[list[tuple[str, bytes]]]:
        """Return ``count`` lists of three headers."""
        some: list[list[tuple[str, bytes]]] = [
            [("trace-id", b"%016x" % number), ("type", b"order.created"), ("source", b"web")] for number in range(DIFFERENT)
        ]
        return repeated(some, self.count)


def repeated(some: list[Any], count: int) -> list[Any]:
    """Return ``count`` items, those of ``some`` in turn."""
    return (some * (count // len(some) + 1))[:count]


def random_value(chance: random.Random, size: int) -> bytes:
    """Return bytes that cannot be compressed."""
    # PyKafka 2.8's Python has no randbytes()
    return chance.getrandbits(8 * size).to_bytes(size, "little")


def json_value(chance: random.Random, size: int) -> bytes:
    """Return about ``size`` bytes of JSON, as compressible as what services send each other."""
    fields = {
        "id": chance.randrange(10**8),
        "user": f"user-{chance.randrange(5000):05d}",
        "action": chance.choice(["view", "add_to_cart", "purchase", "refund"]),
        "amount": chance.randrange(100000) / 100,
    }
    return json.dumps(fields).encode().ljust(size)[:size]


class Meter:
    """Wall and processor time of what runs inside the ``with`` block."""

    def __enter__(self) -> Meter:
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.wall = time.perf_counter() - self._wall
        self.cpu = time.process_time() - self._cpu

    def rate(self, count: int) -> dict[str, float]:
        """Return what was measured for ``count`` messages."""
        return {"rate": count / self.wall, "cpu_us": self.cpu / count * 1e6}


def latencies(send_and_wait: Callable[[], Any]) -> dict[str, float]:
    """Return the median time from a call to its acknowledgement, in microseconds."""
    times = []
    for _ in range(LATENCY_WARM_UP + LATENCY_ROUNDS):
        began = time.perf_counter()
        send_and_wait()
        times.append(time.perf_counter() - began)
    return {"p50_us": statistics.median(times[LATENCY_WARM_UP:]) * 1e6}


def hops(job: Job, receive: Callable[[], bytes]) -> dict[str, float]:
    """Return the median time from when another process sent a message until ``receive`` returns it, in microseconds."""
    with ticking(job):
        times = [hop_us(receive()) for _ in range(LATENCY_WARM_UP + LATENCY_ROUNDS)]
    return median_hop(times)


def median_hop(times: list[float]) -> dict[str, float]:
    """Return the median without the warm-up."""
    return {"p50_us": statistics.median(times[LATENCY_WARM_UP:])}


def hop_us(value: bytes) -> float:
    """Return how long ago a message was sent whose value is the moment; all processes of a machine have the same clock."""
    return (time.monotonic_ns() - int(value)) / 1000


@contextlib.contextmanager
def ticking(job: Job) -> Iterator[None]:
    """Let another process send the time of day to the job's topic again and again."""
    with subprocess.Popen([sys.executable, "-m", "benchmarks.workloads.ticker", job.hosts, job.topic]) as process:
        try:
            yield
        finally:
            process.kill()


def memory_per_message(count: int, queue_one: Callable[[], Any]) -> dict[str, float]:
    """Return the bytes a queued message holds above its value (which all share here)."""
    # the list is made first: what it holds is the client's, what it takes itself is not
    kept: list[Any] = [None] * count
    before = resident()
    for number in range(count):
        kept[number] = queue_one()
    return {"bytes": (resident() - before) / count}


def resident() -> int:
    """Return the bytes of memory that this process holds now."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()
