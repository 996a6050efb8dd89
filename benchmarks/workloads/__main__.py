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

#: What some of the clients use where it is installed.
CHECKSUM_WHEELS = ("crc32c", "google_crc32c")


def main() -> None:
    """Run one job and print what it measured."""
    client, job = sys.argv[1], Job(**json.loads(sys.argv[2]))
    if not job.wheels:
        # what fails to import: None is how Python notes it
        sys.modules.update(dict.fromkeys(CHECKSUM_WHEELS))
    module = importlib.import_module(f"benchmarks.workloads.{CLIENTS[client].workloads}")
    print(json.dumps(module.run(job)), flush=True)
    # what is still queued on purpose (memory) is not to be waited for
    os._exit(0)


if __name__ == "__main__":
    main()
