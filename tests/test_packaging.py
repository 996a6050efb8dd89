"""What is installed, what it needs, and what importing it does."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from .needs import missing

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ("3.9", "3.11", "3.13")


def find_python(version: str) -> str | None:
    """Return a working interpreter of that version, from PATH or from pyenv."""
    candidates = [shutil.which(f"python{version}")]
    roots = {Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv"), Path.home() / ".pyenv"}
    candidates += [str(path / "bin" / "python") for root in roots for path in sorted((root / "versions").glob(f"{version}.*"))]
    for candidate in filter(None, candidates):
        done = subprocess.run([candidate, "-c", "import sys; print(sys.version)"], capture_output=True, text=True, check=False)
        if done.returncode == 0 and done.stdout.startswith(f"{version}."):
            return candidate
    return None


def tracked_files() -> list[str]:
    """Return what a clone would hold: the files that git knows; in an unpacked sdist, where there is no git, all files."""
    if (ROOT / ".git").exists():
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
        return [name for name in listed.split("\0") if name and (ROOT / name).exists()]
    passing = {".venv", "__pycache__", "build", "dist"}
    files = [path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file()]
    return [str(path) for path in files if not passing & set(path.parts) and ".egg-info" not in str(path)]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with exactly what a clone would hold, so that a file nobody committed is missed."""
    folder = tmp_path_factory.mktemp("clone") / "checkout"
    for name in tracked_files():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    return folder


def clean_environment(**more: str) -> dict[str, str]:
    """Return this process's environment without what would let it see our own packages."""
    return {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")} | more


@pytest.mark.parametrize("version", PYTHONS)
def test_pip_install_from_a_clean_checkout_works_and_brings_exactly_six_and_tabulate(
    version: str, checkout: Path, tmp_path: Path
) -> None:
    python = find_python(version)
    if python is None:
        missing(f"there is no Python {version} on PATH or in ~/.pyenv/versions")
    venv = tmp_path / "venv"
    subprocess.run([python, "-m", "venv", str(venv)], check=True)
    inside = str(venv / "bin" / "python")
    clean = clean_environment()
    pip = [inside, "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", str(checkout)], check=True, env=clean, cwd=tmp_path)
    listed = subprocess.run([*pip, "list", "--format=freeze"], check=True, env=clean, capture_output=True, text=True).stdout
    names = {line.split("==")[0].lower() for line in listed.splitlines()} - {"pip", "setuptools", "wheel"}
    assert names == {"pykafka", "six", "tabulate"}
    code = """
import pkgutil, pykafka
for module in pkgutil.walk_packages(pykafka.__path__, "pykafka."):
    # each codec needs its extra, and the plugin pytest, which is who loads it
    if not module.name.startswith("pykafka.compression.") and module.name != "pykafka.testing.plugin":
        __import__(module.name)
print(pykafka.__version__, all(getattr(pykafka, name) is not None for name in pykafka.__all__))
"""
    shown = subprocess.run([inside, "-c", code], check=True, env=clean, cwd=tmp_path, capture_output=True, text=True).stdout
    assert shown.strip() == "3.0.0.dev0 True"
    assert (venv / "lib" / f"python{version}" / "site-packages" / "pykafka" / "py.typed").exists()
    told = subprocess.run([venv / "bin" / "kafka-tools", "--version"], env=clean, cwd=tmp_path, capture_output=True, text=True)
    assert (told.returncode, told.stdout, told.stderr) == (0, "kafka-tools 3.0.0.dev0\n", "")


def test_the_source_distribution_holds_everything_that_is_in_the_repository(checkout: Path, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    quiet = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run([*quiet, "--target", str(tools), "setuptools>=64"], check=True, env=clean_environment())
    code = f"from setuptools import build_meta; print(build_meta.build_sdist({str(tmp_path)!r}))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=checkout, env=clean_environment(PYTHONPATH=str(tools)), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    with tarfile.open(tmp_path / done.stdout.split()[-1]) as archive:
        packed = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    assert set(tracked_files()) - packed - {".gitignore"} == set()


def test_a_missing_python_is_a_skip_on_a_desk_and_a_failure_in_ci(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install = test_pip_install_from_a_clean_checkout_works_and_brings_exactly_six_and_tabulate
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no Python 2.1 on PATH"):
        install("2.1", checkout, tmp_path)
    monkeypatch.setenv("CI", "1")
    with pytest.raises(pytest.fail.Exception, match="no Python 2.1 on PATH"):
        install("2.1", checkout, tmp_path)


def test_pythons_of_pyenv_are_found_without_pyenv_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / ".pyenv" / "versions" / "3.9.99" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\necho '3.9.99 (main)'\n")
    python.chmod(0o755)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("PYENV_ROOT", raising=False)
    assert find_python("3.9") == str(python)
    assert find_python("3.8") is None


def in_fresh_python(code: str, *flags: str) -> str:
    """Return what ``code`` prints in a new interpreter."""
    done = subprocess.run([sys.executable, *flags, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


#: What a program that produces and consumes begins with.
IMPORTS = "import pykafka; from pykafka import KafkaClient, Producer, SimpleConsumer"


def test_importing_opens_no_socket_thread_process_or_file() -> None:
    code = f"""
import sys
events = []

def watch(event, args):
    wanted = event.startswith(("socket.", "_thread.start", "subprocess.", "os.fork"))
    if wanted or (event == "open" and not str(args[0]).endswith((".py", ".pyc", ".so"))):
        events.append((event, str(args[0]) if args else ""))

sys.addaudithook(watch)
{IMPORTS}
import threading
print(events, threading.active_count())
"""
    assert in_fresh_python(code, "-S", "-B") == "[] 1"


#: What costs more than all of ours together, or is only needed by some: never loaded by importing.
HEAVY = (
    "ssl", "asyncio", "json", "hashlib", "difflib", "random", "datetime", "decimal", "email", "concurrent", "http", "urllib",
    "multiprocessing", "subprocess", "tempfile", "inspect", "dataclasses", "ctypes", "pathlib", "ipaddress", "zlib", "argparse",
    "crc32c", "lz4", "cramjam", "zstandard", "six", "tabulate",
)  # fmt: skip


def test_importing_loads_nothing_heavy() -> None:
    # without site, which may load some of them itself
    code = f"import sys; {IMPORTS}; print([name for name in {HEAVY!r} if name in sys.modules])"
    assert in_fresh_python(code, "-S") == "[]"


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
    for extra in ("fast", "gevent", "lz4", "snappy", "zstd", "progress", "all", "test", "docs"):
        assert f'"{extra}":' in source
