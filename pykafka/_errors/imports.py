"""What an ImportError means: a package that is not installed is no fault, one that is and cannot be imported is."""

from __future__ import annotations

import warnings


def is_absent(error: ImportError, *packages: str) -> bool:
    """Return whether one of ``packages`` is not installed; False when all are, and something in them or below is broken."""
    return isinstance(error, ModuleNotFoundError) and error.name in packages


def warn_if_broken(error: ImportError, package: str, consequence: str) -> None:
    """Warn that ``package`` is installed and cannot be imported; do nothing when it is not installed."""
    if not is_absent(error, package):
        warnings.warn(
            f"{package} is installed but cannot be imported, so that {consequence}: {type(error).__name__}: {error};"
            " install it anew",
            RuntimeWarning,
            stacklevel=3,
        )
