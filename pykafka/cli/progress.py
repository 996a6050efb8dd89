"""A progress bar on stderr, for people who wait: only on a terminal, and only if tqdm is there."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Optional, Protocol


class Progress(Protocol):
    """What shows how far something is."""

    def update(self, n: int = 1) -> object:
        """Go on by ``n``."""

    def __enter__(self) -> Progress: ...

    def __exit__(self, kind: Optional[type[BaseException]], error: object, trace: Optional[TracebackType]) -> object: ...


class _Silent:
    def update(self, n: int = 1) -> None:
        """Show nothing."""

    def __enter__(self) -> _Silent:
        return self

    def __exit__(self, *exc_info: object) -> None:
        pass


def progress(total: Optional[int], unit: str, wanted: bool = True) -> Progress:
    """Return a progress bar, as a context manager; one that shows nothing where a bar would be in the way.

    :param wanted: False when the terminal shows the output itself
    """
    if not wanted or not sys.stderr.isatty():
        return _Silent()
    try:
        from tqdm import tqdm  # the extra "progress"
    except ImportError:
        return _Silent()
    bar: Progress = tqdm(total=total, unit=f" {unit}", file=sys.stderr, leave=False)
    return bar
