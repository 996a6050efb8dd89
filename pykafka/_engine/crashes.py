"""How our own threads report what must not end them."""

from __future__ import annotations

import contextlib
import logging


def log_crash(log: logging.Logger, text: str, *args: object) -> None:
    """Log the exception being handled, with its traceback; not even a log handler that raises gets out of here."""
    with contextlib.suppress(Exception):
        log.exception(text, *args)
