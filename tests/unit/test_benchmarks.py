"""What the benchmark shows: ratios the right way round, verdicts by the bars, and both rates and processor time."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from benchmarks import cost, growth, page, report
from benchmarks.compare import needed
from benchmarks.plan import CLIENTS, OURS, RIVALS, WORKLOADS, Bar, bar_of, count_for
from benchmarks.results import Figures, command_line
from benchmarks.workloads.job import Job, json_value


def rates(*pairs: tuple[float, float]) -> list[dict[str, float]]:
    return [{"rate": rate, "cpu_us": cpu_us} for rate, cpu_us in pairs]


FIGURES: Figures = {
    "produce": {
        "pykafka": rates((800.0, 1.0), (900.0, 3.0), (1000.0, 2.0)),
        "kafka-python": rates((100.0, 30.0), (100.0, 30.0), (50.0, 30.0)),
        "confluent-kafka": rates((1000.0, 1.5), (1000.0, 1.5), (1000.0, 1.5)),
    },
    "latency": {
        "pykafka": [{"p50_us": 200.0}, {"p50_us": 300.0}],
        "kafka-python": [{"p50_us": 1000.0}, {"p50_us": 1000.0}],
        "confluent-kafka": [{"p50_us": 100.0}, {"p50_us": 100.0}],
    },
}
RESULTS: dict[str, Any] = {
    "date": "2026-11-25",
    "command": "python -m benchmarks.compare",
    "machine": "2 x processor",
    "python": "3.11.7",
    "versions": {"pykafka": "3.0.0", "kafka-python": "3.0.12"},
    "rounds": 3,
    "load_before": 0.5,
    "load_after": 1.25,
    "figures": {"real": FIGURES},
}


def test_a_ratio_is_ours_to_theirs_of_the_same_round() -> None:
    figures = FIGURES["produce"]
    assert report.ratios(figures["pykafka"], figures["kafka-python"], "rate") == [8.0, 9.0, 20.0]


def test_a_ratio_of_processor_time_says_how_much_more_a_second_of_it_gets_done() -> None:
    figures = FIGURES["produce"]
    assert report.ratios(figures["pykafka"], figures["kafka-python"], "cpu_us") == [30.0, 10.0, 15.0]


@pytest.mark.parametrize(
    ("ratio", "bar", "more_is_better", "expected"),
    [
        (12.0, 12.0, True, "met (>= 12)"),
        (11.99, 12.0, True, "MISSED (>= 12)"),
        (0.35, 0.35, False, "met (<= 0.35)"),
        (0.36, 0.35, False, "MISSED (<= 0.35)"),
    ],
)
def test_a_bar_is_the_least_of_a_rate_and_the_most_of_a_time(
    ratio: float, bar: float, more_is_better: bool, expected: str
) -> None:
    assert report.verdict(ratio, bar, more_is_better) == expected


def test_the_table_shows_median_and_range_and_what_they_make_of_each_bar() -> None:
    table = report.ratio_table(FIGURES, "title")
    assert table.headers == ["100 B unless said", "pykafka", "to kafka-python", "to confluent-kafka"]
    assert table.rows == [
        [
            "produce()",
            "900 /s",
            "9.00x [8.00-20.00] MISSED (>= 12)",
            "0.90x [0.80-1.00] met (>= 0.7); per CPU second 0.75x [0.50-1.50] MISSED (>= 1)",
        ],
        [
            "produce and wait for the ack, p50",
            "250 us",
            "0.25x [0.20-0.30] met (<= 0.35)",
            "2.50x [2.00-3.00] MISSED (<= 1.3)",
        ],
    ]


def test_processor_time_is_shown_where_it_was_measured() -> None:
    assert report.processor_table(FIGURES, "title").rows == [["produce()", "2.00", "30.00", "1.50"]]


def test_losses_are_counted_and_named() -> None:
    assert len(report.missed(RESULTS)) == 3
    assert report.missed(RESULTS)[0] == "produce(), to kafka-python: 9.00x [8.00-20.00] MISSED (>= 12)"
    assert report.summary(RESULTS).startswith("2 of 5 bars met, 3 missed; medians [lowest-highest] of 3")
    assert "Measured on 2026-11-25 with Python 3.11.7" in report.summary(RESULTS)
    assert "load of the machine was 0.5 before and 1.2 after" in report.summary(RESULTS)


def test_text_and_markdown_show_the_same_cells() -> None:
    cells = [cell for table in report.tables(RESULTS) for row in table.rows for cell in row]
    for shown in (report.text(RESULTS), report.markdown(RESULTS)):
        assert all(cell in shown for cell in cells)
        assert report.summary(RESULTS) in shown
    assert "`python -m benchmarks.compare`" in report.markdown(RESULTS)


def test_a_client_that_was_left_out_leaves_no_hole() -> None:
    figures: Figures = {"produce": {"pykafka": FIGURES["produce"]["pykafka"], "aiokafka": []}}
    assert report.ratio_table(figures, "title").rows == [["produce()", "900 /s", "failed"]]
    figures["produce"]["aiokafka"] = FIGURES["produce"]["pykafka"][:1]  # it failed in the second round
    assert report.ratio_table(figures, "title").rows == [["produce()", "900 /s", "failed"]]


def test_every_workload_has_a_bar_for_every_rival_and_none_gets_no_messages() -> None:
    for name in WORKLOADS:
        assert all(isinstance(bar_of(name, rival), Bar) for rival in RIVALS)
        assert all(count_for(name, client, 0.001) >= 1 for client in CLIENTS)
    assert RIVALS == ["kafka-python", "aiokafka", "confluent-kafka"] and OURS not in RIVALS


def test_the_bars_are_those_that_were_asked_for() -> None:
    assert bar_of("produce", "confluent-kafka") == Bar(wall=0.7, cpu=1.0)
    assert bar_of("produce_many", "kafka-python") == Bar(50)
    assert bar_of("consume_mixed", "aiokafka") == Bar(1.3)
    assert not WORKLOADS["latency"].more_is_better and WORKLOADS["produce"].more_is_better


def test_a_filled_topic_has_enough_for_who_reads_the_most_of_it() -> None:
    counts = needed(["produce", "consume_batch", "consume_one", "consume_lz4"], 1.0)
    assert set(counts) == {"equal", "lz4"}
    assert counts["equal"] > WORKLOADS["consume_batch"].count == count_for("consume_batch", OURS)


def test_a_job_survives_its_way_to_another_process() -> None:
    job = Job("produce", "127.0.0.1:9092", "t", 5, keys=2, headers=True)
    assert Job(**json.loads(json.dumps(job._asdict()))) == job


def test_a_job_has_as_many_values_keys_and_headers_as_it_counts_and_the_same_each_time() -> None:
    job = Job("produce", "127.0.0.1:9092", "t", 2500, value_bytes=100, keys=7)
    assert job.values == job.values and len(job.values) == 2500
    assert {len(value) for value in job.values} == {100} and len(set(job.values)) == 1000
    assert len(job.some_keys) == 2500 and len(set(job.some_keys)) == 7 and {len(key) for key in job.some_keys} == {12}
    assert len(job.some_headers) == 2500 and all(len(headers) == 3 for headers in job.some_headers)


def test_what_is_to_be_compressed_is_json_of_the_size_asked_for() -> None:
    value = json_value(random.Random(1), 100)
    assert len(value) == 100 and set(json.loads(value)) == {"id", "user", "action", "amount"}


def test_the_command_is_what_to_type() -> None:
    assert command_line(["/somewhere/benchmarks/compare.py", "--rounds", "1"]) == "python -m benchmarks.compare --rounds 1"


def test_slow_clients_get_their_shares_and_a_quick_run_a_part_of_everything() -> None:
    produced, consumed = WORKLOADS["produce"].count, WORKLOADS["consume_one"].count
    assert count_for("produce", "kafka-python") == int(produced * CLIENTS["kafka-python"].share_of_produced) < produced
    assert count_for("consume_one", "aiokafka", 0.5) == int(consumed * CLIENTS["aiokafka"].share_of_consumed * 0.5)


def test_a_slope_is_that_of_the_line_through_the_samples() -> None:
    assert cost.slope_mib_per_million([[0, 0], [1000000, 2 * 2**20], [2000000, 4 * 2**20]]) == pytest.approx(2.0)
    assert cost.slope_mib_per_million([[0, 7], [1000000, 9], [2000000, 7]]) == pytest.approx(0.0)


def test_a_figure_is_shown_with_its_bar_either_way() -> None:
    assert cost.Figure("a", 41.0, "ms", 40.0).row == ["a", "41.00 ms", "MISSED (<= 40)", ""]
    assert cost.Figure("b", 5.5, "x", 5.0, more_is_better=True, remark="c").row == ["b", "5.50 x", "met (>= 5)", "c"]
    assert cost.Figure("d", 1.0, "ms").row == ["d", "1.00 ms", "", ""]


def test_a_cliff_is_found() -> None:
    lines = {"real": {"partitions": {"produce": {"1": [100.0, 110.0, 90.0], "256": [49.0, 49.0, 90.0]}}}}
    assert growth.rows(lines) == [["partitions", "produce", "real", "1: 100, 256: 49", "49% MISSED (>= 0.5)"]]


def test_a_time_that_is_a_quarter_is_four_times_better() -> None:
    assert page.times_better(FIGURES["latency"], "latency", "kafka-python") == pytest.approx(1 / 0.25)
    assert page.times_better(FIGURES["produce"], "produce", "kafka-python") == 9.0


def test_the_page_shows_losses_in_a_list_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "load", {"ratios": RESULTS}.get)
    shown = page.page()
    for line in report.missed(RESULTS):
        assert f"\n* {line}\n" in shown
    assert report.summary(RESULTS) in shown and "Compared with PyKafka 2.8" not in shown
