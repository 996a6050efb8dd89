"""A signal handler in the middle of a commit, at any moment: what it does takes no longer than it takes elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from pykafka import KafkaClient
from pykafka.common import OffsetType
from pykafka.exceptions import OperationTimedOut
from pykafka.testing import FakeCluster

from .moments import Handler

#: What waits for what it has interrupted takes 20 seconds.
MOST_S = 5.0
#: Every which moment of a member is tried: they take longer.
STEP = 5


@pytest.fixture(scope="module")
def cluster() -> Iterator[FakeCluster]:
    with FakeCluster(topics={"t": 1}) as one:
        one.produce("t", [b"v"] * 1000)
        yield one


def make(client: KafkaClient, kind: str, auto: bool) -> Any:
    reading = {"auto_offset_reset": OffsetType.EARLIEST, "auto_commit_enable": auto, "consumer_timeout_ms": 20000}
    if kind == "simple":
        return client.topics["t"].get_simple_consumer("g", **reading)
    return client.topics["t"].get_balanced_consumer("h", managed=True, group_protocol=kind, **reading)


@pytest.mark.parametrize("handled", ["commit", "stop", "again"])
@pytest.mark.parametrize("call", ["commit", "stop"])
@pytest.mark.parametrize("auto", [False, True])
@pytest.mark.parametrize("kind", ["simple", "classic"])
def test_no_handler_waits_for_the_commit_that_it_has_interrupted(
    cluster: FakeCluster, kind: str, call: str, handled: str, auto: bool
) -> None:
    with KafkaClient(cluster.hosts) as client, make(client, kind, auto) as part:

        def commit() -> None:
            with suppress(OperationTimedOut):  # it may not wait, and says so
                part.commit_offsets()

        acts = {"commit": commit, "stop": part.stop, "again": lambda: (part.stop(), part.start())}
        number, has_more, step = 1, True, 1 if kind == "simple" else STEP if call == "commit" else 6 * STEP
        while has_more:
            part.start()
            assert part.consume() is not None
            began = time.monotonic()
            has_more = Handler(number, acts[handled]).run(acts[call])
            took = time.monotonic() - began
            assert took < MOST_S, f"moment {number}: {took:.1f} s"
            number += step
