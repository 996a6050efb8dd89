"""What the benchmark shows: ratios the right way round, goals, and both rates and processor time."""

from __future__ import annotations

from benchmarks.compare import CLASSES, CLIENTS, MODULES, WORKLOADS, Figures, processor_table, table

FIGURES: Figures = {
    "produce": {
        "pykafka": [{"rate": 800.0, "cpu_us": 1.0}, {"rate": 900.0, "cpu_us": 3.0}, {"rate": 1000.0, "cpu_us": 2.0}],
        "kafka-python": [{"rate": 100.0, "cpu_us": 30.0}, {"rate": 100.0, "cpu_us": 30.0}, {"rate": 200.0, "cpu_us": 30.0}],
    },
    "latency": {"pykafka": [{"p50_us": 500.0}], "kafka-python": [{"p50_us": 750.0}]},
    "import": {"pykafka": [{"ms": 41.0}], "kafka-python": [{"ms": 82.0}]},
}


def test_ratios_say_how_many_times_better_ours_is_whichever_way_is_better() -> None:
    assert table(FIGURES) == [
        ["produce", "900 rate", "8.00x [5.00-9.00] (goal 8: met)"],
        ["latency", "500 p50_us", "1.50x [1.50-1.50] (goal 2: MISSED)"],
        ["import", "41 ms (at most 40: MISSED)", "2.00x [2.00-2.00]"],
    ]


def test_processor_time_is_shown_where_it_was_measured() -> None:
    assert processor_table(FIGURES) == [["produce", 2.0, 30.0]]


def test_every_client_runs_every_workload() -> None:
    assert set(CLIENTS) == set(MODULES) == set(CLASSES)
    assert {"import", "import_classes", "latency", "memory"} < set(WORKLOADS)
