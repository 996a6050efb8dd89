"""What the parts of the hot paths take for each message, measured by pyperf: ``make micro``."""

from __future__ import annotations
