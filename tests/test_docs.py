"""Every code block of the README and the documentation runs, against a real broker."""

from __future__ import annotations

import doctest
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Callable

import pytest

from pykafka import KafkaClient, Topic

from .brokers import DEFAULT_VERSION, VERSIONS, KafkaCluster
from .brokers.cluster import free_port
from .brokers.settings import needs_zookeeper

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([ROOT / "README.rst", *(ROOT / "docs").rglob("*.rst"), *(ROOT / "docs").rglob("*.md")])
#: What a console block may hold, and what shows that it works.
COMMANDS = {
    "make bench": "tests/real/test_benchmarks.py::test_every_client_does_every_workload",
    "make bench-quick": "the same, with fewer rounds and messages",
    "make broker": "tests/test_docs.py::test_a_broker_to_play_with_leaves_nothing_behind_when_it_is_ended",
    "make cost": "tests/real/test_benchmarks.py::test_what_it_costs_is_measured",
    "make demo": "tests/test_docs.py::test_the_demo_checks_itself",
    "make soak": "tests/soak/test_stories.py::test_a_campaign_tells_stories_for_some_time_and_counts_how_they_ended",
    "make fuzz": "tests/hostile/test_decoders.py::test_a_campaign_finds_a_fault_and_keeps_its_input_small",
    "make growth": "tests/real/test_benchmarks.py::test_growth_is_measured",
    "make micro": "tests/unit/test_micro_benchmarks.py::test_a_case_can_be_called_again_and_again",
    "make test": "this run",
    "make test-matrix": "a run of itself, before a release: it takes minutes",
    "pip install .": "tests/test_packaging.py::test_pip_install_from_a_clean_checkout_works_and_brings_exactly_six_and_tabulate",
    "pip install '.[all]'": "the virtual environment that make test makes",
}


def blocks(path: Path, language: str) -> list[str]:
    """Return the code blocks of one language in a document, in order."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    found = re.findall(rf"^\.\. code-block:: {language}\n\n((?:    .*\n|\n)+)", text, re.MULTILINE)
    return [textwrap.dedent(block) for block in found]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_python_in_a_document_runs(path: Path, kafka: KafkaCluster) -> None:
    names: dict[str, object] = {}
    for number, block in enumerate(blocks(path, "python"), 1):
        source = block.replace("127.0.0.1:9092", kafka.hosts)
        exec(compile(source, f"<{path.name}, block {number}>", "exec"), names)  # noqa: S102  # our own documentation


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_commands_in_a_document_are_tested_and_exist(path: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for block in blocks(path, "console"):
        for line in block.strip().splitlines():
            command = line.removeprefix("$ ")
            if "kafka-tools " in command:
                continue  # each of them is run, see below
            assert command in COMMANDS, f"{command!r} is in {path.name}, and nothing shows that it works"
            if command.startswith("make "):
                assert re.search(rf"^{command.split()[1]}:", makefile, re.MULTILINE)


def steps(path: Path) -> list[tuple[str, str]]:
    """Return (commands, what they print) of console blocks with kafka-tools; what is not told may be anything."""
    text = path.read_text(encoding="utf-8")
    found = re.findall(r"^\.\. code-block:: (\w+)\n\n((?:    .*\n|\n)+)", text, re.MULTILINE)
    following = [*found[1:], ("", "")]
    return [
        (textwrap.dedent(block), textwrap.dedent(after) if kind == "text" else "...")
        for (language, block), (kind, after) in zip(found, following)
        if language == "console" and "kafka-tools " in block
    ]


@pytest.mark.parametrize("path", [ROOT / "README.rst", ROOT / "docs" / "kafka_tools.rst"], ids=lambda path: path.name)
def test_the_examples_of_the_command_line_tool_work_and_print_what_they_are_said_to(
    path: Path, kafka: KafkaCluster, make_topic: Callable[..., Topic], topic_name: str, tmp_path: Path
) -> None:
    # in the README they are about what its Python has made
    with make_topic().get_producer() as producer:
        producer.produce_many([b"1", b"2", b"3"])
    tool = tmp_path / "kafka-tools"
    tool.write_text(f'#!/bin/sh\nexec {sys.executable} -W error -m pykafka.cli.kafka_tools "$@"\n')
    tool.chmod(0o755)
    environ = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path), "KAFKA_TOOLS_BROKER": kafka.hosts}
    checker, looks = doctest.OutputChecker(), doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    for commands, expected in steps(path):
        script = re.sub(r"^\$ ", "", commands, flags=re.MULTILINE)
        script = script.replace("127.0.0.1:9092", kafka.hosts).replace("my.topic", topic_name)
        done = subprocess.run(["sh", "-e", "-c", script], env=environ, cwd=ROOT, capture_output=True, text=True, check=False)
        # groups of other tests may be at odds at the moment
        assert done.returncode == 0 and (not done.stderr or done.stderr.startswith("kafka-tools: not known")), (
            commands + done.stderr
        )
        assert checker.check_output(expected, done.stdout, looks), f"{commands}\n{done.stdout}"


def test_no_code_block_escapes() -> None:
    for path in DOCUMENTS:
        marks = path.read_text(encoding="utf-8").count("```" if path.suffix == ".md" else "code-block::")
        tested = sum(len(blocks(path, language)) for language in ("python", "console", "text"))
        assert marks == (2 * tested if path.suffix == ".md" else tested), path.name
    assert len(blocks(ROOT / "README.rst", "python")) >= 5


def test_the_demo_checks_itself(kafka: KafkaCluster, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    import runpy

    monkeypatch.setattr("sys.argv", ["usage_guide.py", kafka.hosts])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "examples" / "usage_guide.py"), run_name="__main__")
    shown = capsys.readouterr().out
    assert ended.value.code == 0, shown
    assert shown.count(" ok") == 8 and "WRONG" not in shown


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_broker_to_play_with_leaves_nothing_behind_when_it_is_ended(kafka: KafkaCluster, number: signal.Signals) -> None:
    port = free_port(set())
    command = [sys.executable, "-m", "tests.brokers", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)
    assert process.stdout is not None
    assert process.stdout.readline() == b"hosts: 127.0.0.1:%d\n" % port
    with KafkaClient(f"127.0.0.1:{port}") as client:
        assert list(client.brokers) == [1]
    process.send_signal(number)
    assert process.wait(30) == 0
    process.stdout.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=10)


def test_the_options_in_the_documentation_exist() -> None:
    from pykafka import config

    known = {*config.CLIENT, *config.PRODUCER, *config.CONSUMER, *config.MANAGED}
    text = (ROOT / "docs" / "usage.rst").read_text() + (ROOT / "README.rst").read_text()
    for name in re.findall(r"``(\w+_(?:ms|bytes|messages|acks|reset|start|full))\b", text):
        assert name in known, name


def test_the_page_of_options_is_what_the_tables_say() -> None:
    import runpy

    page = runpy.run_path(str(ROOT / "docs" / "conf.py"))["options_page"]()
    assert (ROOT / "docs" / "options.rst").read_text(encoding="utf-8") == page, "python docs/conf.py > docs/options.rst"


def test_the_page_about_performance_is_what_was_measured() -> None:
    from benchmarks.page import PAGE, page

    assert PAGE.read_text(encoding="utf-8") == page(), "python -m benchmarks.page"


def test_the_versions_in_the_documentation_are_those_that_are_run() -> None:
    page = (ROOT / "docs" / "compatibility.rst").read_text(encoding="utf-8")
    rows = re.findall(r"^([\d.]+) +(KRaft|ZooKeeper) ", page, re.MULTILINE)
    assert rows == [(version, "ZooKeeper" if needs_zookeeper(version) else "KRaft") for version in VERSIONS]
    assert "about six minutes" in page and f"0.11 to {'.'.join(DEFAULT_VERSION.split('.')[:2])}" in page


def test_every_public_class_is_in_the_reference_and_whatever_that_names_exists_and_is_documented() -> None:
    import importlib

    import pykafka

    page = (ROOT / "docs" / "api.rst").read_text(encoding="utf-8")
    named = re.findall(r"^\.\. auto(?:class|function|data):: (\S+)$", page, re.MULTILINE)
    for full in named:
        module, _, name = full.rpartition(".")
        assert getattr(importlib.import_module(module), name).__doc__, full
    modules = re.findall(r"^\.\. automodule:: (\S+)$", page, re.MULTILINE)
    assert all(importlib.import_module(module).__doc__ for module in modules)
    public = {getattr(pykafka, name) for name in pykafka.__all__ if name != "__version__"}
    listed = {getattr(importlib.import_module(full.rpartition(".")[0]), full.rpartition(".")[2]) for full in named}
    assert public <= listed


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "index.rst").read_text(encoding="utf-8")
    for path in (ROOT / "docs").rglob("*.[rm][sd]*"):
        name = "decisions/*" if path.parent.name == "decisions" else path.stem
        assert name == "index" or f"    {name}\n" in index, path
