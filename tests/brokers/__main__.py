"""Run brokers by hand: ``python -m tests.brokers [--nodes 3] [--version 4.4.0]``, until Ctrl-C."""

from __future__ import annotations

import argparse
import signal
import sys

from . import DEFAULT_VERSION, KafkaCluster, what_is_missing


def main() -> int:
    """Start the brokers, print where they are, and wait."""
    parser = argparse.ArgumentParser(prog="python -m tests.brokers", description="Run real Kafka brokers until Ctrl-C.")
    parser.add_argument("--nodes", type=int, default=1, choices=(1, 3))
    parser.add_argument("--version", default=DEFAULT_VERSION)
    options = parser.parse_args()
    missing = what_is_missing()
    if missing:
        print(f"To run Kafka here, install {' and '.join(missing)}.", file=sys.stderr)
        return 1
    with KafkaCluster(options.nodes, options.version) as cluster:
        print(f"hosts: {cluster.hosts}", flush=True)
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
    return 0


if __name__ == "__main__":
    sys.exit(main())
