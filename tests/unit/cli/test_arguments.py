"""The command line: PyKafka's spellings are understood as ever, and a mistake is explained in one line."""

from __future__ import annotations

import shlex
import subprocess
import sys
from typing import Any

import pytest

from pykafka.cli.arguments import COMMANDS, build_parser
from pykafka.cli.kafka_tools import main
from pykafka.common import OffsetType

#: What PyKafka 2.8 could do.
OLD = (
    "consume_topic", "desc_topic", "print_managed_consumer_groups", "print_consumer_lag", "print_offsets", "print_topics",
    "reset_offsets", "create_topic", "delete_topic",
)  # fmt: skip


def parsed(line: str) -> dict[str, Any]:
    return vars(build_parser().parse_args(shlex.split(line)))


def mistake(line: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Return what is said of a command line that is wrong: one line on stderr, nothing on stdout, exit code 2."""
    assert main(shlex.split(line)) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1 and shown.err.startswith("kafka-tools")
    return shown.err


def test_all_commands_of_the_original_are_there() -> None:
    assert set(OLD) < set(COMMANDS)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("-b kafka-1:9092 print_topics", {"broker": "kafka-1:9092", "command": "print_topics"}),
        ("--broker kafka-1:9092 -o 0.10.2 print_topics", {"broker": "kafka-1:9092", "broker_version": "0.10.2"}),
        ("--broker_version 0.9.0 desc_topic clicks", {"broker_version": "0.9.0", "topic": "clicks"}),
        ("consume_topic clicks", {"topic": "clicks", "limit": 10, "outfile": "-", "place": None, "timeout": None}),
        ("consume_topic clicks -l 5 -o f", {"limit": 5, "outfile": "f", "broker_version": None}),
        ("-o 0.9.0 consume_topic clicks --limit 5 --outfile f", {"limit": 5, "outfile": "f", "broker_version": "0.9.0"}),
        ("print_managed_consumer_groups clicks", {"topic": "clicks"}),
        ("print_consumer_lag clicks g", {"topic": "clicks", "consumer_group": "g"}),
        ("print_offsets clicks latest", {"offset": OffsetType.LATEST}),
        ("reset_offsets clicks g EARLIEST", {"consumer_group": "g", "offset": OffsetType.EARLIEST, "dry_run": False}),
        ("create_topic clicks", {"num_partitions": None, "replication_factor": None, "timeout": 5000, "config_entries": {}}),
        (
            """create_topic clicks -t 9 -p 2 -r 3 -a '{"0": [1]}' -c '{"a": "b"}'""",
            {
                "timeout": 9,
                "num_partitions": 2,
                "replication_factor": 3,
                "replica_assignment": {0: [1]},
                "config_entries": {"a": "b"},
            },
        ),
        (
            """create_topic clicks --timeout 9 --num_partitions 2 --replication_factor 3 --replica_assignment '{"0": [1]}'"""
            """ --config_entries '{"a": "b"}'""",
            {"timeout": 9, "num_partitions": 2, "replication_factor": 3, "replica_assignment": {0: [1]}},
        ),
        ("delete_topic clicks -t 9", {"topic": "clicks", "timeout": 9}),
    ],
)
def test_old_spellings_mean_what_they_meant(line: str, expected: dict[str, Any]) -> None:
    found = parsed(line)
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize("command", COMMANDS)
def test_global_flags_are_welcome_before_and_behind_the_command(command: str) -> None:
    words = {"topic": "t", "consumer_group": "g", "offset": "LATEST"}
    names = [action.dest for action in sub_parser(command)._actions if not action.option_strings]
    line = " ".join([command, *(words[name] for name in names)])
    assert parsed(f"--format json -b a:1 {line}")["format"] == "json"
    behind = parsed(f"-b a:1 {line} --format json --broker b:1 --ssl")
    assert (behind["format"], behind["broker"], behind["ssl"]) == ("json", "b:1", True)
    assert "format" not in parsed(line)


def sub_parser(command: str) -> Any:
    (commands,) = [action.choices for action in build_parser()._actions if action.dest == "command"]
    assert isinstance(commands, dict)
    return commands[command]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_examples_in_the_help_of_a_command_are_right(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    _add, words, examples = COMMANDS[command]
    assert examples
    for example in examples:
        assert parsed(example.split(" < ")[0])["command"] == command
    assert main([command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert words.splitlines()[0] in shown and examples[0] in shown
    assert max(map(len, shown.splitlines())) <= 160


@pytest.mark.parametrize("argv", [[], ["-b", "kafka-1:9092"]])
def test_without_a_command_the_help_is_shown_as_ever_but_that_is_no_success(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == 2
    shown = capsys.readouterr()
    assert all(command in shown.out for command in COMMANDS) and "Exit codes" in shown.out
    assert shown.err == ""


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("kafka-tools 3.")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("prnt_topics", "invalid choice: 'prnt_topics'"),
        ("prnt_topics", "; did you mean print_topics?; see kafka-tools --help"),
        ("describe-group g", "; did you mean describe_group?"),
        ("consume_topic t --lim 5", "unrecognized arguments: --lim 5"),
        ("--brok=a:1 print_topics", "unrecognized arguments: --brok=a:1"),
        ("print_topics --form json", "unrecognized arguments: --form json"),
        ("-b kafka print_topics", "missing port"),
        ("--format xml print_topics", "invalid choice: 'xml'"),
        ("--socket-timeout-ms 0 print_topics", "whole number"),
        ("print_topics 'a\nb'", "unrecognized arguments: a b"),
        ("consume_topic", "required: TOPIC"),
        ("consume_topic ''", "at least one character"),
        ("consume_topic клики", "ASCII"),
        ("consume_topic t -l -1", "whole number"),
        ("consume_topic t --from then", "neither EARLIEST nor LATEST"),
        ("consume_topic t --timeout 0", "whole number"),
        ("consume_topic t --partitions 0,x", "whole number"),
        ("consume_topic t --group ''", "at least one character"),
        ("produce_topic", "required: TOPIC"),
        ("produce_topic t -k ''", "at least one character"),
        ("produce_topic t -z bzip2", "invalid choice: 'bzip2'"),
        ("produce_topic t --headers '[]'", "JSON object"),
        ("produce_topic t -t never", "whole number"),
        ("desc_topic", "required: TOPIC"),
        ("print_offsets t", "required: OFFSET"),
        ("print_offsets t 5", "neither EARLIEST nor LATEST"),
        ("create_topic t -p 0", "whole number"),
        ("create_topic t -r 40000", "whole number from 1 to 32767"),
        ("create_topic t -a '{'", "is not JSON"),
        ("create_topic t -c '{\"a\": null}'", "not a text, number or boolean"),
        ("delete_topic t -t x", "whole number"),
        ("print_groups extra", "unrecognized arguments: extra"),
        ("describe_group", "required: CONSUMER_GROUP"),
        ("print_managed_consumer_groups", "required: TOPIC"),
        ("print_consumer_lag t", "required: CONSUMER_GROUP"),
        ("reset_offsets t g", "required: OFFSET"),
        ("reset_offsets t g -5", "an offset (0 or more)"),
        ("doctor now", "unrecognized arguments: now"),
    ],
)
def test_a_mistake_is_one_line_that_names_it(line: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = mistake(line, capsys)
    assert words in said and "--help" in said


def test_nothing_is_proposed_in_the_place_of_what_is_like_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert "did you mean" not in mistake("xyz", capsys)
    assert "did you mean" not in mistake("--format print_topics print_topics", capsys)


@pytest.mark.parametrize("module", ["pykafka.cli.kafka_tools", "pykafka.cli"])
def test_it_can_be_run_as_a_module(module: str) -> None:
    done = subprocess.run([sys.executable, "-m", module, "--version"], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout[:13], done.stderr) == (0, "kafka-tools 3", "")
