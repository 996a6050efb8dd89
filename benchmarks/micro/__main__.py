"""Runs the micro-benchmarks: ``python -m benchmarks.micro [--fast] [--cases NAME,...] [-o FILE.json]``, pyperf's options.

Times are of one message (or key, or KiB), in nanoseconds.
"""

from __future__ import annotations

from typing import Any

import pyperf

from benchmarks.micro.cases import CASES


def pass_on(command: list[str], options: Any) -> None:
    """Let pyperf's worker processes measure the same cases."""
    if options.cases:
        command += ["--cases", options.cases]


def main() -> None:
    """Measure."""
    runner = pyperf.Runner(add_cmdline_args=pass_on, program_args=("-m", "benchmarks.micro"))
    runner.argparser.add_argument("--cases", help="some of them, with commas between; all by default")
    options = runner.parse_args()
    for name in options.cases.split(",") if options.cases else CASES:
        case = CASES[name]()
        runner.bench_func(f"{name} (a {case.unit})", case.call, inner_loops=case.amount)


if __name__ == "__main__":
    main()
