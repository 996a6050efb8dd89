"""Who may import whom: lower layers never reach up, and only ``_engine`` touches sockets, threads and clocks."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import NamedTuple

import pytest

import pykafka

PACKAGE = Path(__file__).resolve().parent.parent / "pykafka"
BASE = {"exceptions", "_errors", "common", "utils", "_version"}
WIRE = {"protocol", "records", "compression"}
PURE = {"_machines", "partitioners", "membershipprotocol"}
SETTINGS = {"config"}
CLIENT = {
    "client", "cluster", "topic", "partition", "broker", "producer", "simpleconsumer", "offset_arguments", "offsets", "commits",
    "handlers", "topic_arguments", "placing", "deserializing", "reader", "consumer", "balancedconsumer",
    "managedbalancedconsumer", "broker_home", "connection", "group_requests", "quorum", "groupconsumer",
    "group_topics", "group_sharing", "group_protocols", "group_commits", "group_reader", "produce_arguments", "delivery_reports",
}  # fmt: skip
#: What ``pykafka.testing`` uses of ours; of ``records`` it is only the checksum, see below.
SHARED_WITH_TESTING = {"exceptions", "_errors", "common", "_version", "protocol", "compression", "records"}
#: Sockets, threads, clocks and randomness; and what gets at any module by a name that nobody can check.
OS_MODULES = {
    "_socket", "_ssl", "_thread", "asyncio", "builtins", "concurrent", "ctypes", "http", "importlib", "multiprocessing", "queue",
    "random", "sched", "secrets", "select", "selectors", "signal", "socket", "socketserver", "ssl", "subprocess", "threading",
    "time", "urllib",
}  # fmt: skip
#: What has no place in code that only turns values into values.
BELOW_THE_ENGINE = OS_MODULES | {"logging", "os"}


class Rule(NamedTuple):
    """What the modules of one part may import of ours, and what they must not import of the standard library."""

    ours: set[str]
    never: set[str]


RULES: dict[str, Rule] = {
    **dict.fromkeys(BASE, Rule(BASE, BELOW_THE_ENGINE)),
    **dict.fromkeys(WIRE, Rule(BASE | WIRE, BELOW_THE_ENGINE)),
    # a codec is loaded when it is first used
    "compression": Rule(BASE | WIRE, BELOW_THE_ENGINE - {"importlib"}),
    **dict.fromkeys(PURE, Rule(BASE | WIRE | PURE, BELOW_THE_ENGINE)),
    # user threads share a partitioner, so its counter has a lock
    "partitioners": Rule(BASE | WIRE | PURE, BELOW_THE_ENGINE - {"threading"}),
    # how partitions are shared is the value of an option
    "config": Rule(BASE | {"membershipprotocol"}, BELOW_THE_ENGINE),
    "_engine": Rule(BASE | WIRE | PURE | SETTINGS | {"_engine"}, set()),
    # threading and queue are what locks and report queues are made of: never time or sockets
    **dict.fromkeys(CLIENT, Rule(BASE | WIRE | PURE | SETTINGS | CLIENT | {"_engine"}, OS_MODULES - {"threading", "queue"})),
    # it has PyKafka's wrap_socket(sock)
    "connection": Rule(BASE | WIRE | PURE | SETTINGS | CLIENT | {"_engine"}, OS_MODULES - {"socket", "ssl"}),
    # PyKafka's names for queues and semaphores, and its functions for single codecs
    "utils/compat": Rule(BASE, BELOW_THE_ENGINE - {"queue", "threading"}),
    "utils/compression": Rule(BASE | WIRE, BELOW_THE_ENGINE),
    # PyKafka's names for threads and sockets, which user code reaches through it
    "handlers": Rule(BASE | {"_engine"}, set()),
    # it starts Kafka for the tests of our users, and only uses what they use
    "test": Rule(BASE | {"client", "broker", "test"}, set()),
    # brokers for the tests of our users share message schemas with the client, and none of what works with them
    "testing": Rule(SHARED_WITH_TESTING, BELOW_THE_ENGINE),
    "testing/server": Rule(SHARED_WITH_TESTING, set()),
    "testing/clock": Rule(SHARED_WITH_TESTING, BELOW_THE_ENGINE - {"time"}),
    # ids of topics and fetch sessions
    "testing/state": Rule(SHARED_WITH_TESTING, BELOW_THE_ENGINE - {"random"}),
    "testing/fetch_sessions": Rule(SHARED_WITH_TESTING, BELOW_THE_ENGINE - {"random"}),
    # a type in a signature
    "testing/cluster": Rule(SHARED_WITH_TESTING, BELOW_THE_ENGINE - {"ssl"}),
    # it loads the classes when they are first asked for
    "testing/__init__": Rule(SHARED_WITH_TESTING, BELOW_THE_ENGINE - {"importlib"}),
    # a user of the cluster and of the client
    "testing/plugin": Rule({"client", "topic"}, BELOW_THE_ENGINE),
    # a user of the cluster who presses Ctrl-C
    "testing/__main__": Rule(SHARED_WITH_TESTING, BELOW_THE_ENGINE - {"signal", "threading"}),
    # a user of the client as any other; what doctor tries below the client is in one module, see below
    "cli": Rule(BASE | SETTINGS | CLIENT | {"partitioners"}, OS_MODULES - {"socket", "ssl", "time"}),
    # it loads the classes when they are first asked for
    "__init__": Rule(BASE | CLIENT | SETTINGS | {"membershipprotocol"}, OS_MODULES - {"importlib"}),
}


def part_of(path: Path) -> str:
    """Return the part of the package that a file belongs to: its folder, or its own name at the top."""
    relative = path.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


class Import(NamedTuple):
    """One import: its line, the part of ours or the top module of others, and which of the two it is."""

    line: int
    name: str
    ours: bool


def imports(path: Path, tree: ast.AST) -> list[Import]:
    """Return every import in a file, however it is spelled."""
    depth = len(path.relative_to(PACKAGE).parts)
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [absolute(node.lineno, alias.name, []) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [alias.name for alias in node.names]
            found += [absolute(node.lineno, node.module or "", [name]) for name in names]
        elif isinstance(node, ast.ImportFrom) and node.level >= depth:
            names = [node.module.split(".")[0]] if node.module else [alias.name for alias in node.names]
            found += [Import(node.lineno, name, True) for name in names]
        elif isinstance(node, ast.Name) and node.id == "__import__":
            found.append(Import(node.lineno, "importlib", False))
    return found


def absolute(line: int, module: str, names: list[str]) -> Import:
    """Return what ``import module`` or ``from module import names`` gets at."""
    top, *rest = module.split(".")
    if top != PACKAGE.name:
        return Import(line, top, False)
    # "from pykafka import Topic" reaches for the module that Topic lives in; "import pykafka" for all of them
    inside = [*rest, *names, "__init__"][0]
    return Import(line, pykafka._HOMES.get(inside, inside), True)


def violations(path: Path, source: str) -> list[str]:
    """Return what a file imports against the rules, as file:line."""
    part = part_of(path)
    rule = RULES.get(path.relative_to(PACKAGE).with_suffix("").as_posix(), RULES[part])
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


@pytest.mark.parametrize(
    "statement",
    [
        "from pykafka.topic import Topic",
        "import pykafka.client",
        "import pykafka.client as harmless",
        "from pykafka import KafkaClient",
        "from pykafka import client",
        "from .. import topic",
        "import pykafka",
        "import _thread",
        "import signal, struct",
        "import concurrent.futures",
        "from concurrent.futures import ThreadPoolExecutor",
        "import importlib",
        "from importlib import import_module",
        "socket = __import__('socket')",
        "find = __import__",
        "import select, _socket",
        "def late():\n    from time import sleep",
        "try:\n    import socket\nexcept ImportError:\n    pass",
    ],
)
def test_no_spelling_of_an_import_gets_around_the_rules(statement: str) -> None:
    assert len(violations(PACKAGE / "_machines" / "doctored.py", statement)) >= 1


@pytest.mark.parametrize(
    "statement",
    [
        "from .backoff import Backoff",
        "from ..exceptions import KafkaException",
        "from pykafka.exceptions import KafkaException",
        "import pykafka._machines.turns",
        "from pykafka import exceptions",
        "import struct, itertools, collections",
    ],
)
def test_what_a_machine_may_import_passes(statement: str) -> None:
    assert violations(PACKAGE / "_machines" / "doctored.py", statement) == []


def test_deeper_folders_are_looked_at_too() -> None:
    source = "from ...topic import Topic\nfrom ..schema import Field\n"
    found = violations(PACKAGE / "protocol" / "messages" / "doctored.py", source)
    assert [entry.split(":")[1] for entry in found] == ["1"]


def test_six_is_used_in_one_place_only() -> None:
    users = [
        path for path in PACKAGE.rglob("*.py") if any(one.name == "six" for one in imports(path, ast.parse(path.read_text())))
    ]
    assert [path.relative_to(PACKAGE).as_posix() for path in users] == ["utils/compat.py"]


def test_the_command_line_tool_has_sockets_in_one_place_only() -> None:
    users = [
        path.name
        for path in (PACKAGE / "cli").glob("*.py")
        if {"socket", "ssl"} & {one.name for one in imports(path, ast.parse(path.read_text()))}
    ]
    assert users == ["probes.py"]


def test_nothing_needs_the_command_line_tool() -> None:
    # its names are not in any rule: this tells that nobody put them there
    assert not any("cli" in rule.ours for part, rule in RULES.items() if part != "cli")


def test_the_fake_cluster_has_only_the_checksum_in_common_with_how_the_client_reads_records() -> None:
    shared = {
        (path.name, f"{node.module}")
        for path in (PACKAGE / "testing").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and "records" in (node.module or "").split(".")
    }
    assert shared == {("batches.py", "records.crc32c")}


def test_nothing_needs_the_fake_cluster() -> None:
    assert not any("testing" in rule.ours for rule in RULES.values())


ROOT = PACKAGE.parent
#: Everything that people read; a test or a benchmark is as much code as what it is about.
SOURCES = sorted(
    path for folder in ("pykafka", "tests", "benchmarks", "examples") for path in (ROOT / folder).rglob("*.py")
)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
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
