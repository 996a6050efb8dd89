"""What a test needs and this machine may lack: a skip that names it, which with CI set is a failure."""

from __future__ import annotations

import importlib
import os
from typing import Any, NoReturn

import pytest


def missing(words: str) -> NoReturn:
    """Skip the test (or the module), saying what is missing; with CI set fail instead: there everything has to run."""
    if os.environ.get("CI"):
        pytest.fail(f"{words}; with CI set that is a failure", pytrace=False)
    pytest.skip(words, allow_module_level=True)


def package(name: str) -> Any:
    """Return an installed package that only tests need."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        missing(f"{name} cannot be imported ({error}): pip install -e '.[test,all,interop]'")
