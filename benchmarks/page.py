"""Writes docs/performance.rst and its charts from what was measured last: ``python -m benchmarks.page``.

The figures are benchmarks/figures/*.json, which the other modules write with ``--save``; the page itself is never edited.
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path
from typing import Any

from benchmarks import cost, growth, report
from benchmarks.plan import OURS, WORKLOADS
from benchmarks.results import load

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGE = DOCS / "performance.rst"
CHARTS = DOCS / "charts"

HEAD = """\
Performance
===========

.. Written by "python -m benchmarks.page" from benchmarks/figures/*.json: edit benchmarks/page.py instead.

How fast this client is next to kafka-python, aiokafka (whose hot paths are in Cython) and confluent-kafka (librdkafka, in C).
Every figure is a ratio between runs of the same round, in fresh processes that take turns: absolute figures say more about the
machine. All clients wait for all replicas (``acks=all``); ours has its default settings, the others those that they are fastest
with (``benchmarks/workloads``). ``>=`` and ``<=`` show what a ratio is to be; what is not met is marked ``MISSED``.

.. code-block:: console

    $ make bench
    $ make bench-quick
    $ make cost
    $ make growth
    $ make micro

``make bench`` takes about a quarter of an hour and ``make bench-quick`` two or three minutes, with fewer rounds and messages.
Both run against a real broker on the same machine, and against one that answers at once, where the client is the only limit.
"""

FOOT = """\
Which call to use
-----------------

* ``produce_many(values)`` queues a list at once: by far the cheapest way when the values are at hand and have the same key.
* ``produce(value, ...)`` for everything else. A callback costs less than waiting for each message with ``result()``; ``flush()``
  alone costs nothing for each.
* ``consume_batch(n)`` hands over a list; ``for message in consumer`` takes little more. ``consume()`` is for single messages.
  The default of 500 messages a batch is the best one: of more than 700 that are held at a time Python's garbage collector
  looks at each, and at all that is alive now and then, which costs half as much again (0.63 and 0.43 us a message).
* Headers cost more than anything else in a message, keys next. A key that was seen before costs little.
* ``pip install 'pykafka[fast]'`` has the checksum computed in C.

How to find out where the time goes
-----------------------------------

Count first: ``tests/fake/test_hot_paths.py`` shows which functions are called how often for a thousand messages, on any machine.
Then profile the thread that does the work. ``cProfile`` sees the thread it is started in, here the one that produces:

.. code-block:: python

    import cProfile
    import pstats

    from pykafka import KafkaClient

    with KafkaClient(hosts="127.0.0.1:9092") as client, client.topics["profile.me"].get_producer() as producer:
        with cProfile.Profile() as profile:
            for number in range(10000):
                producer.produce(b"%d" % number)
            producer.flush()
    pstats.Stats(profile).sort_stats("tottime").print_stats(5)

The I/O thread of the client is another one: batches are encoded there. Have every thread profiled from its beginning, with
``threading.setprofile`` before the client is made, as the test above does, or use a sampling profiler that sees all threads
(py-spy, or ``perf`` with Python 3.12 and later). To know which of two versions is faster, run them in turn and compare processor
time (``time.process_time``).
"""


def ratios_part() -> list[str]:
    """Return the tables of ratios."""
    results = load("ratios")
    if results is None:
        return []
    lost = report.missed(results)
    return [
        *_heading("Compared with the others"),
        f"``{results['command']}``: {report.summary(results)}",
        "",
        ".. image:: charts/ratios.svg",
        "    :alt: messages a second of this client as a multiple of the others'",
        "",
        *[report.table_rst(table) for table in report.tables(results)],
        *([] if not lost else ["What is missed:", "", *(f"* {line}" for line in lost), ""]),
    ]


def original_part() -> list[str]:
    """Return the comparison with PyKafka 2.8."""
    results = load("original")
    if results is None:
        return []
    tables = [report.table_rst(table) for table in report.tables(results)]
    return [*_heading("Compared with PyKafka 2.8"), f"``{results['command']}``: {report.summary(results)}", "", *tables]


def cost_part() -> list[str]:
    """Return what else it costs."""
    results = load("cost")
    if results is None:
        return []
    return [
        *_heading("Memory and idling"),
        f"``{results['command']}``: {report.origin(results)}",
        "",
        report.table_rst(cost.table(results["rows"])),
    ]


def growth_part() -> list[str]:
    """Return how throughput changes."""
    results = load("growth")
    if results is None:
        return []
    return [
        *_heading("As something grows"),
        f"``{results['command']}``: {report.origin(results)} Medians of {results['rounds']} rounds.",
        "",
        ".. image:: charts/growth.svg",
        "    :alt: messages a second with more partitions, brokers and producers",
        "",
        report.table_rst(growth.table(results["figures"])),
        "",
        "With more partitions there are fewer messages in a batch. The brokers make small index files here",
        "(``log.index.size.max.bytes``): one of the usual 10 MB is made with the second batch of a partition, which takes some",
        "disks 40 ms, whoever writes.",
    ]


def _heading(title: str) -> list[str]:
    return [title, "-" * len(title), ""]


def page() -> str:
    """Return the page."""
    parts = [*ratios_part(), *original_part(), *cost_part(), *growth_part()]
    return "\n".join([HEAD, *parts, FOOT])


def draw_ratios(figures: dict[str, Any], path: Path) -> None:
    """Draw how many times faster ours is, on a logarithmic axis: to the left of the line it is slower."""
    pyplot = _pyplot()
    brokers = [broker for broker in report.BROKER_TITLES if broker in figures]
    chart, axes = pyplot.subplots(1, len(brokers), figsize=(6.5 * len(brokers), 8), sharey=True, squeeze=False)
    for axis, broker in zip(axes[0], brokers):
        names = list(figures[broker])
        rivals = [rival for rival in next(iter(figures[broker].values())) if rival != OURS]
        for place, rival in enumerate(rivals):
            heights = [number + (place - 1) * 0.27 for number in range(len(names))]
            axis.barh(heights, [times_better(figures[broker][name], name, rival) for name in names], 0.25, label=rival)
        axis.axvline(1, color="black", linewidth=1)
        axis.set_xscale("log")
        axis.set_yticks(range(len(names)), [WORKLOADS[name].title for name in names])
        axis.set_title(report.BROKER_TITLES[broker].split(",")[0])
        axis.set_xlabel("times better than the others")
    axes[0][0].invert_yaxis()
    axes[0][-1].legend()
    _save(chart, path)


def times_better(clients: dict[str, list[dict[str, float]]], name: str, rival: str) -> float:
    """Return the median ratio the way that more is better, also for times."""
    workload = WORKLOADS[name]
    ratio = statistics.median(report.ratios(clients[OURS], clients[rival], workload.unit))
    return ratio if workload.more_is_better else 1 / ratio


def draw_growth(figures: dict[str, Any], path: Path) -> None:
    """Draw a line for everything that grows."""
    pyplot = _pyplot()
    chart, axes = pyplot.subplots(1, len(growth.SERIES), figsize=(12, 4), squeeze=False)
    for axis, name in zip(axes[0], growth.SERIES):
        for broker, lines in figures.items():
            for kind, points in lines.get(name, {}).items():
                medians = [statistics.median(rates) / 1e6 for rates in points.values()]
                axis.plot(list(points), medians, marker="o", label=f"{kind}, {broker}")
        axis.set_ylim(bottom=0)
        axis.set_xlabel(name)
        if axis.lines:
            axis.legend(fontsize="small")
    axes[0][0].set_ylabel("million messages a second")
    _save(chart, path)


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("svg")
    # the same figures give the same file
    matplotlib.rcParams["svg.hashsalt"] = "pykafka"
    from matplotlib import pyplot

    return pyplot


def _save(chart: Any, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    chart.tight_layout()
    chart.savefig(path, metadata={"Date": None})


def main() -> int:
    """Write the page and the charts."""
    ratios, grown = load("ratios"), load("growth")
    if ratios is not None:
        draw_ratios(ratios["figures"], CHARTS / "ratios.svg")
    if grown is not None:
        draw_growth(grown["figures"], CHARTS / "growth.svg")
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
