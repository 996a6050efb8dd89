"""One job of one client in a fresh process: ``python -m benchmarks.workloads CLIENT JOB``, the job as a JSON object.

Prints what it measured as a JSON object.
"""

from __future__ import annotations

import importlib
import json
import os
import sys

from benchmarks.plan import CLIENTS
from benchmarks.workloads.job import Job


def main() -> None:
    """Run one job and print what it measured."""
    client, job = sys.argv[1:3]
    module = importlib.import_module(f"benchmarks.workloads.{CLIENTS[client].workloads}")
    print(json.dumps(module.run(Job(**json.loads(job)))), flush=True)
    # what is still queued on purpose (memory) is not to be waited for
    os._exit(0)


if __name__ == "__main__":
    main()
