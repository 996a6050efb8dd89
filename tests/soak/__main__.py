"""``python -m tests.soak --seconds 3600`` tells stories for an hour; with ``--play cut --seed 7`` one of them, here."""

from __future__ import annotations

import sys

from .campaign import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
