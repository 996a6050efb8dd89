"""Run brokers by hand: ``python -m tests.brokers [--nodes 3] [--port 9092] [--version 4.4.0]``, until Ctrl-C."""

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
    parser.add_argument("--port", type=int, help="of the first node; a free one is chosen without it")
    options = parser.parse_args()
    missing = what_is_missing()
    if missing:
        print(f"To run Kafka here, install {' and '.join(missing)}.", file=sys.stderr)
        return 1
    # before anything is started, so that no signal leaves brokers behind; a shell's & would have SIGINT ignored
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        with KafkaCluster(options.nodes, options.version, port=options.port) as cluster:
            print(f"hosts: {cluster.hosts}", flush=True)
            signal.pause()
    except KeyboardInterrupt:
        return 0
    except RuntimeError as error:
        print(f"Kafka {options.version} could not be started: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
