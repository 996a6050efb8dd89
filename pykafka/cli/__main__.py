"""``python -m pykafka.cli`` is ``kafka-tools``."""

from __future__ import annotations

import sys

from .kafka_tools import main

if __name__ == "__main__":
    sys.exit(main())
