"""What is installed, what it needs, and what importing it does."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ("3.9", "3.11", "3.13")


def find_python(version: str) -> str | None:
    """Return a working interpreter of that version, from PATH or from pyenv."""
    candidates = [shutil.which(f"python{version}")]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates += [str(path / "bin" / "python") for path in sorted(pyenv.glob(f"{version}.*"))]
    for candidate in filter(None, candidates):
        done = subprocess.run([candidate, "-c", "import sys; print(sys.version)"], capture_output=True, text=True, check=False)
        if done.returncode == 0 and done.stdout.startswith(f"{version}."):
            return candidate
    return None


@pytest.mark.parametrize("version", PYTHONS)
def test_pip_install_from_a_clean_checkout_works_and_brings_exactly_six_and_tabulate(version: str, tmp_path: Path) -> None:
    python = find_python(version)
    if python is None:
        pytest.skip(f"there is no Python {version} here")
    checkout = tmp_path / "checkout"
    shutil.copytree(
        ROOT, checkout, ignore=shutil.ignore_patterns(".git", ".venv", "*.egg-info", "__pycache__", ".*cache", "build")
    )
    venv = tmp_path / "venv"
    subprocess.run([python, "-m", "venv", str(venv)], check=True)
    inside = str(venv / "bin" / "python")
    clean = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    pip = [inside, "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", str(checkout)], check=True, env=clean, cwd=tmp_path)
    listed = subprocess.run([*pip, "list", "--format=freeze"], check=True, env=clean, capture_output=True, text=True).stdout
    names = {line.split("==")[0].lower() for line in listed.splitlines()} - {"pip", "setuptools", "wheel"}
    assert names == {"pykafka", "six", "tabulate"}
    code = "import pykafka, pykafka.utils.compat; from pykafka import KafkaClient; print(pykafka.__version__)"
    shown = subprocess.run([inside, "-c", code], check=True, env=clean, cwd=tmp_path, capture_output=True, text=True).stdout
    assert shown.strip() == "3.0.0.dev0"
    assert (venv / "lib" / f"python{version}" / "site-packages" / "pykafka" / "py.typed").exists()


def in_fresh_python(code: str) -> str:
    """Return what ``code`` prints in a new interpreter."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_opens_no_socket_thread_or_file() -> None:
    code = """
import os, socket, threading
before = set(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else set()
socket.socket = None
from pykafka import KafkaClient
after = set(os.listdir("/proc/self/fd")) if before else set()
print(threading.active_count(), len(after) - len(before))
"""
    assert in_fresh_python(code) == "1 0"


#: What costs more than all of ours together, or is only needed by some: never loaded by importing.
HEAVY = ("ssl", "asyncio", "json", "hashlib", "difflib", "random", "crc32c", "lz4", "cramjam", "zstandard", "six", "tabulate")


def test_importing_loads_nothing_heavy() -> None:
    code = f"import sys, pykafka.client, pykafka.producer; print([name for name in {HEAVY!r} if name in sys.modules])"
    assert in_fresh_python(code) == "[]"


def test_the_classes_are_loaded_only_when_asked_for() -> None:
    code = (
        "import sys, pykafka; a = 'pykafka.client' in sys.modules; pykafka.KafkaClient; print(a, 'pykafka.client' in sys.modules)"
    )
    assert in_fresh_python(code) == "False True"


def test_everything_in_all_can_be_imported_and_the_logger_is_silent() -> None:
    code = """
import logging, pykafka
names = [getattr(pykafka, name) for name in pykafka.__all__]
print(len(names) == len(pykafka.__all__), [type(h).__name__ for h in logging.getLogger("pykafka").handlers])
"""
    assert in_fresh_python(code) == "True ['NullHandler']"


def test_the_top_level_is_laid_out_as_promised() -> None:
    for name in (
        "pykafka", "tests", "docs", "benchmarks", "setup.py", "tox.ini", "README.rst", "LICENSE", "CHANGES.rst", "Makefile",
        "pyproject.toml", ".ci/run",
    ):  # fmt: skip
        assert (ROOT / name).exists(), name
    assert "Apache License" in (ROOT / "LICENSE").read_text()


def test_the_dependencies_and_extras_are_the_ones_promised() -> None:
    source = (ROOT / "setup.py").read_text()
    assert re.search(r'install_requires=\["six", "tabulate"\]', source)
    for extra in ("fast", "lz4", "snappy", "zstd", "all", "test", "docs"):
        assert f'"{extra}":' in source
