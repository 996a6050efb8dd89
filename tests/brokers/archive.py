"""The classes of a broker as they are once loaded, kept beside its jars: the next one starts in a third less time (AppCDS)."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Optional


@functools.cache
def _java() -> str:
    """Return what stands for this very build of Java, the only one that takes what it has written."""
    said = subprocess.run(["java", "-version"], capture_output=True, timeout=60, check=True).stderr
    return hashlib.sha256(said).hexdigest()[:12]


#: What this process has tried to make: not every Java can.
_tried: set[Path] = set()


def _stem(jars: Path) -> Path:
    return jars.with_name(f"{jars.name}-{_java()}")


def _archive(jars: Path) -> Optional[Path]:
    """Return the archive; None when there is none as long as its name says: one that was cut short would crash Java."""
    stem = _stem(jars)
    found = (path for path in stem.parent.glob(f"{stem.name}-*.jsa") if path.stem.endswith(f"-{path.stat().st_size}"))
    return next(found, None)


def reading(jars: Path) -> list[str]:
    """Return what ``java`` needs to be told to start with the archive; nothing where there is none."""
    archive = _archive(jars)
    verify = ["-XX:+UnlockDiagnosticVMOptions", "-XX:+VerifySharedSpaces"]
    return [] if archive is None else [*verify, f"-XX:SharedArchiveFile={archive}"]


def writing(to: Path) -> list[str]:
    """Return what ``java`` needs to be told to write one when it ends in order; Java 13 and later."""
    return [f"-XX:ArchiveClassesAtExit={to}"]


@contextlib.contextmanager
def place_for(jars: Path) -> Iterator[Optional[Path]]:
    """Give the path to write the archive to; None when there is one, or another process is about to write it."""
    stem = _stem(jars)
    scratch = stem.with_name(f"{stem.name}.new")
    with contextlib.ExitStack() as held:
        if not _is_to_be_made(jars, held):
            yield None
            return
        scratch.unlink(missing_ok=True)
        yield scratch
        # whoever was killed in the middle, or cannot write one, has left nothing that begins as one
        if scratch.exists() and scratch.read_bytes()[:4] not in (b"", bytes(4)):
            os.rename(scratch, f"{stem}-{scratch.stat().st_size}.jsa")


def _is_to_be_made(jars: Path, held: contextlib.ExitStack) -> bool:
    if jars in _tried or _archive(jars) is not None:
        return False
    _tried.add(jars)
    try:
        lock = held.enter_context(open(f"{_stem(jars)}.lock", "w"))  # noqa: SIM115  # it is entered here
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # another process has it, or nobody may write there: brokers start all the same
        return False
    return _archive(jars) is None
