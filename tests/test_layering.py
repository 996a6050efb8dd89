"""Who may import whom: lower layers never reach up, and only ``_engine`` touches sockets, threads and clocks."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "pykafka"
BASE = {"exceptions", "_errors", "common", "utils", "_version"}
WIRE = {"protocol", "records", "compression"}
PURE = {"_machines", "partitioners"}
SETTINGS = {"config", "connection"}
CLIENT = {"client", "cluster", "topic", "partition", "broker", "producer", "simpleconsumer", "offsets", "offset_arguments",
          "handlers"}
OS_MODULES = {"socket", "selectors", "ssl", "threading", "time", "random", "queue", "multiprocessing", "asyncio", "subprocess"}


class Rule(NamedTuple):
    """What the modules of one part may import of ours, and what they must not import of the standard library."""

    ours: set[str]
    never: set[str]


RULES: dict[str, Rule] = {
    **dict.fromkeys(BASE, Rule(BASE, OS_MODULES)),
    **dict.fromkeys(WIRE, Rule(BASE | WIRE, OS_MODULES)),
    **dict.fromkeys(PURE, Rule(BASE | WIRE | PURE, OS_MODULES)),
    # user threads share a partitioner, so its counter has a lock
    "partitioners": Rule(BASE | WIRE | PURE, OS_MODULES - {"threading"}),
    "config": Rule(BASE, OS_MODULES),
    # it has PyKafka's wrap_socket(sock)
    "connection": Rule(BASE, OS_MODULES - {"socket", "ssl"}),
    "_engine": Rule(BASE | WIRE | PURE | SETTINGS | {"_engine"}, set()),
    # threading and queue are what locks and report queues are made of: never time or sockets
    **dict.fromkeys(CLIENT, Rule(BASE | WIRE | PURE | SETTINGS | CLIENT | {"_engine"}, OS_MODULES - {"threading", "queue"})),
    # PyKafka's names for threads and sockets, which user code reaches through it
    "handlers": Rule(BASE, set()),
    "__init__": Rule(BASE | CLIENT | SETTINGS, OS_MODULES),
}


def part_of(path: Path) -> str:
    """Return the part of the package that a file belongs to: its folder, or its own name at the top."""
    relative = path.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def imports(path: Path, tree: ast.AST) -> list[tuple[int, str, bool]]:
    """Return (line, top module name, is it ours) for every import in a file."""
    depth = len(path.relative_to(PACKAGE).parts)
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name.split(".")[0], False) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.append((node.lineno, (node.module or "").split(".")[0], False))
        elif isinstance(node, ast.ImportFrom) and node.level == depth:
            names = [node.module.split(".")[0]] if node.module else [alias.name for alias in node.names]
            found += [(node.lineno, name, True) for name in names]
    return found


def violations(path: Path, source: str) -> list[str]:
    """Return what a file imports against the rules, as file:line."""
    part = part_of(path)
    rule = RULES[part]
    wrong = []
    for line, name, ours in imports(path, ast.parse(source)):
        if (ours and name != part and name not in rule.ours) or (not ours and name in rule.never):
            wrong.append(f"{path.relative_to(PACKAGE.parent)}:{line}: {part} must not import {name}")
    return wrong


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_module_imports_only_what_its_layer_may(path: Path) -> None:
    assert violations(path, path.read_text()) == []


def test_a_machine_that_reaches_for_the_clock_or_a_higher_layer_is_found() -> None:
    path = PACKAGE / "_machines" / "doctored.py"
    source = "import time\nfrom ..topic import Topic\nfrom .backoff import Backoff\nfrom .._engine import loop\n"
    found = violations(path, source)
    assert [entry.split(":")[1] for entry in found] == ["1", "2", "4"]


def test_six_is_used_in_one_place_only() -> None:
    users = [
        path for path in PACKAGE.rglob("*.py") if any(name == "six" for _, name, _ in imports(path, ast.parse(path.read_text())))
    ]
    assert [path.relative_to(PACKAGE).as_posix() for path in users] == ["utils/compat.py"]


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_modules_and_functions_stay_small(path: Path) -> None:
    source = path.read_text()
    assert len(source.splitlines()) <= 600
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            doc = ast.get_docstring(node, clean=False)
            # what is said about a function is not what it does; nor is a list of options that it takes
            code = length - len((doc or "").splitlines()) - len(node.args.args + node.args.kwonlyargs)
            assert code <= 50, f"{path.name}:{node.lineno}: {node.name} has {code} lines"
