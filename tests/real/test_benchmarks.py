"""The benchmarks run: every client does every kind of work, only little of it. What comes out of it is not looked at here."""

from __future__ import annotations

import importlib.util
from typing import Any, Callable

import pytest

from benchmarks import cost, growth
from benchmarks.compare import run_one
from benchmarks.filling import fill
from benchmarks.instant import instant_broker
from benchmarks.plan import CLIENTS, OURS, WORKLOADS
from benchmarks.workloads.job import Job
from pykafka import KafkaClient, Topic

from ..brokers import KafkaCluster

COUNT = 500
KINDS = sorted({workload.kind for workload in WORKLOADS.values()})


@pytest.mark.parametrize("name", CLIENTS)
def test_every_client_does_every_workload(
    name: str, kafka: KafkaCluster, make_topic: Callable[..., Topic], topic_name: str
) -> None:
    if importlib.util.find_spec(CLIENTS[name].module) is None:
        pytest.skip(f"{name} is a part of the extra bench only")
    with KafkaClient(kafka.hosts) as ours:
        filled = fill(ours, kafka.hosts, "mixed", 5 * COUNT, topic=f"{topic_name}-filled")
    make_topic()
    # of its own: what comes at last is to be the time of day
    make_topic(suffix="-hop")
    for kind in KINDS:
        topic = filled if kind.startswith("consume") else f"{topic_name}-hop" if kind == "hop" else topic_name
        job = Job(kind, kafka.hosts, topic, COUNT, group=f"{topic_name}-{name}", keys=10)
        result = run_one(name, job)
        assert all(figure > 0 for figure in result.values()) and {"rate", "p50_us"} & set(result), (kind, result)


def test_everything_that_can_be_sent_is_sent_to_the_broker_that_answers_at_once() -> None:
    with instant_broker() as hosts:
        for extra in ({"headers": True}, {"codec": "gzip"}, {"value_bytes": 1024}, {"wheels": False}):
            options: dict[str, Any] = extra
            assert run_one(OURS, Job("produce", hosts, "t", COUNT, **options))["rate"] > 0


def test_what_it_costs_is_measured(kafka: KafkaCluster, make_topic: Callable[..., Topic], topic_name: str) -> None:
    make_topic()
    assert 0 <= cost.run_job("idle", kafka.hosts, topic_name, 0.1)["percent"] < 100
    assert cost.import_ms("import pykafka") > 0
    with instant_broker() as hosts, KafkaClient(hosts) as client:
        filled = fill(client, hosts, "equal", COUNT)
        samples = cost.run_job("memory", hosts, filled, 0.02)["samples"]
        assert samples[-1][0] >= 20000 and all(size > 2**20 for _count, size in samples)
        assert cost.run_job("partitions", hosts, topic_name, 0.1)["start_cpu_s"] > 0
        assert run_one(OURS, Job("memory", hosts, topic_name, 5000))["bytes"] > 50


def test_growth_is_measured() -> None:
    line = growth.measure("instant", "producers", 1, 0.005)
    assert [(point, len(rates)) for point, rates in line["produce_shared"].items()] == [("1", 1), ("4", 1), ("16", 1)]
