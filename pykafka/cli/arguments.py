"""The command line: every command with its arguments and what --help says about them."""

from __future__ import annotations

import argparse
import difflib
import re
from typing import Any, Callable, NoReturn

from .._version import __version__
from .settings import DEFAULT_FILE, FORMATS, PREFIX, SETTINGS, Setting
from .values import (
    COMPRESSION,
    config_entries,
    headers,
    moment_or_end,
    name,
    partition_numbers,
    place,
    replica_assignment,
    separator,
    whole,
)

DESCRIPTION = "Looks at and looks after a Kafka cluster: topics, messages, consumer groups and their offsets."
EPILOG = f"""\
Settings come from a flag, else from the environment ({PREFIX}BROKER, {PREFIX}FORMAT, {PREFIX}SSL_CAFILE, ...), else from the
section [kafka-tools] of {DEFAULT_FILE} (or --config FILE), else they have their defaults. In the file they are
called as the flags are, with underscores: broker = kafka-1:9092

Exit codes: 0 success, 1 it could not be done, 2 the command line or a setting is wrong, 130 interrupted.

examples:
  kafka-tools -b kafka-1:9092 print_topics
  kafka-tools consume_topic clicks --from EARLIEST --limit 100
  kafka-tools print_consumer_lag clicks billing --format json
  kafka-tools doctor
"""


class Parser(argparse.ArgumentParser):
    """A parser that explains a mistake in one line: a page of flags would hide it."""

    def __init__(self, **settings: Any) -> None:
        # a script that abbreviates a flag would mean another one, or none, once there is a new flag
        super().__init__(**{"allow_abbrev": False, **settings})

    def error(self, message: str) -> NoReturn:
        """End with exit code 2."""
        # what was written on the command line may have line ends in it
        self.exit(2, f"{self.prog}: {' '.join(message.split())}{_did_you_mean(message)}; see {self.prog} --help\n")


def _did_you_mean(message: str) -> str:
    """Return what to add to the complaint about a command that there is not; nothing for any other."""
    mistyped = re.match(r"argument COMMAND: invalid choice: '([^']*)'", message)
    close = difflib.get_close_matches(mistyped[1], COMMANDS, n=1) if mistyped else []
    return f"; did you mean {close[0]}?" if close else ""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser. Settings that were not given are not in its answer; ``command`` is None without a command."""
    parser = Parser(
        prog="kafka-tools", description=DESCRIPTION, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"kafka-tools {__version__}")
    _add_settings(parser)
    # not among those of the commands, where -o is --outfile
    parser.add_argument("-o", "--broker_version", metavar="VERSION", help="accepted and ignored: versions are negotiated")
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    for command, (add, words, examples) in COMMANDS.items():
        one = commands.add_parser(
            command,
            help=words.split(":")[0].split(". ")[0],
            description=words,
            epilog="examples:\n" + "\n".join(f"  kafka-tools {example}" for example in examples),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        add(one)
        # global flags are welcome behind the command too
        _add_settings(one.add_argument_group("settings"))
    return parser


def _add_settings(parser: Any) -> None:
    for row in SETTINGS:
        parser.add_argument(*row.flags, dest=row.name, default=argparse.SUPPRESS, help=_help(row), **_kind(row))
    parser.add_argument(
        "--config", metavar="FILE", default=argparse.SUPPRESS, help=f"read settings from FILE instead of {DEFAULT_FILE}"
    )
    parser.add_argument(
        "--debug", action="store_true", default=argparse.SUPPRESS, help="show the client's log, and where an error came from"
    )


def _kind(row: Setting) -> dict[str, Any]:
    if row.name == "format":
        return {"choices": FORMATS}
    return {"action": "store_true"} if row.metavar is None else {"type": row.read, "metavar": row.metavar}


def _help(row: Setting) -> str:
    return row.help if row.default in (None, False) else f"{row.help} (default: {row.default})"


def _topic(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("topic", metavar="TOPIC", type=name)


def _group(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("consumer_group", metavar="CONSUMER_GROUP", type=name)


def _partitions(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--partitions", type=partition_numbers, metavar="N[,N]", help="only these partitions (default: all)")


def _nothing(parser: argparse.ArgumentParser) -> None:
    pass


def _print_topics(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--internal", action="store_true", help="also topics whose names begin with two underscores")


def _create_topic(parser: argparse.ArgumentParser) -> None:
    _topic(parser)
    _admin_timeout(parser)
    parser.add_argument(
        "-p", "--num_partitions", "--num-partitions", type=whole(1), metavar="N", help="how many partitions (default: 1)"
    )
    parser.add_argument(
        "-r",
        "--replication_factor",
        "--replication-factor",
        type=whole(1, 32767),
        metavar="N",
        help="how many brokers hold each partition (default: 1)",
    )
    parser.add_argument(
        "-a",
        "--replica_assignment",
        "--replica-assignment",
        type=replica_assignment,
        metavar="JSON",
        help='which brokers hold which partition, in the place of -p and -r: {"0": [1, 2], "1": [2, 3]}',
    )
    parser.add_argument(
        "-c",
        "--config_entries",
        "--config-entries",
        type=config_entries,
        default={},
        metavar="JSON",
        help='settings of the topic: {"retention.ms": "3600000"}',
    )


def _admin_timeout(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-t", "--timeout", type=whole(1), default=5000, metavar="MS", help="how long it may take (default: 5000)")


def _delete_topic(parser: argparse.ArgumentParser) -> None:
    _topic(parser)
    _admin_timeout(parser)


def _print_offsets(parser: argparse.ArgumentParser) -> None:
    _topic(parser)
    parser.add_argument("offset", metavar="OFFSET", type=moment_or_end, help="EARLIEST, LATEST or YYYY-MM-DDTHH:MM:SS (UTC)")


def _consume_topic(parser: argparse.ArgumentParser) -> None:
    _topic(parser)
    parser.add_argument(
        "-l", "--limit", type=whole(0, 2**63 - 1), default=10, metavar="N", help="stop after N messages; 0: never (default: 10)"
    )
    parser.add_argument("-o", "--outfile", metavar="FILE", default="-", help="write to FILE instead of standard output")
    parser.add_argument(
        "--from",
        dest="place",
        type=place,
        metavar="PLACE",
        help="begin at EARLIEST, LATEST, YYYY-MM-DDTHH:MM:SS (UTC) or an offset",
    )
    parser.add_argument(
        "-g",
        "--group",
        type=name,
        metavar="GROUP",
        help="go on where GROUP was (unless there is --from), and commit as GROUP; as pykafka_cli when there is neither",
    )
    _partitions(parser)
    parser.add_argument(
        "-t", "--timeout", type=whole(1), metavar="MS", help="stop when no message came for MS milliseconds (default: never)"
    )


def _produce_topic(parser: argparse.ArgumentParser) -> None:
    _topic(parser)
    parser.add_argument("-i", "--infile", metavar="FILE", default="-", help="read from FILE instead of standard input")
    parser.add_argument(
        "-k",
        "--key-separator",
        type=separator,
        metavar="TEXT",
        help="what is before TEXT in a line is the key; equal keys go to the partition that Java clients choose",
    )
    parser.add_argument(
        "-z", "--compression", choices=COMPRESSION, default="none", help="how batches are compressed (default: none)"
    )
    parser.add_argument("--headers", type=headers, metavar="JSON", help='headers of every message: {"source": "backup"}')
    parser.add_argument(
        "-t",
        "--timeout",
        type=whole(1),
        default=30000,
        metavar="MS",
        help="give a message up after MS milliseconds (default: 30000)",
    )


def _print_consumer_lag(parser: argparse.ArgumentParser) -> None:
    _topic(parser)
    _group(parser)


def _reset_offsets(parser: argparse.ArgumentParser) -> None:
    _topic(parser)
    _group(parser)
    parser.add_argument(
        "offset",
        metavar="OFFSET",
        type=place,
        help="EARLIEST, LATEST, YYYY-MM-DDTHH:MM:SS (UTC), or the offset of the next message to read",
    )
    _partitions(parser)
    parser.add_argument("--dry-run", action="store_true", help="only print what would be committed")


def _describe_group(parser: argparse.ArgumentParser) -> None:
    _group(parser)
    parser.add_argument(
        "--topic",
        dest="topics",
        action="append",
        type=name,
        metavar="TOPIC",
        help="only offsets of TOPIC (may be repeated); without it, of all topics",
    )


#: Command -> what adds its arguments, what it does, examples.
COMMANDS: dict[str, tuple[Callable[[argparse.ArgumentParser], None], str, tuple[str, ...]]] = {
    "consume_topic": (
        _consume_topic,
        """\
Print messages of a topic. As a table, values only, one a line (text in UTF-8; empty messages are left out); as JSON, one
object a line with everything; as CSV, a row each.

Without --from only messages that come from now on. With --group it goes on where that group was, and commits how far it got.""",
        (
            "consume_topic clicks --from EARLIEST --limit 100",
            "consume_topic clicks --limit 0 --timeout 5000 --format json",
        ),
    ),
    "produce_topic": (
        _produce_topic,
        """\
Send lines to a topic, each as one message, and say how many the brokers acknowledged. The topic must exist.
The exit code is 1 when any message failed.""",
        ("produce_topic clicks --infile lines.txt", "produce_topic clicks --key-separator : --compression gzip < lines.txt"),
    ),
    "desc_topic": (
        _topic,
        "Describe a topic: its partitions, who leads them and who has copies.",
        ("desc_topic clicks",),
    ),
    "print_topics": (
        _print_topics,
        "List all topics. Replication is the number of copies, as create_topic's -r means it.",
        ("print_topics", "print_topics --format csv"),
    ),
    "print_offsets": (
        _print_offsets,
        "Print offsets of a topic: its ends, or where a time begins. The first message at or after the time, or the end.",
        ("print_offsets clicks LATEST", "print_offsets clicks 2026-01-31T12:00:00"),
    ),
    "create_topic": (
        _create_topic,
        "Create a topic. It returns when the brokers know the topic. As a table, nothing is printed.",
        ("create_topic clicks -p 6 -r 3", """create_topic clicks -p 6 -c '{"retention.ms": "3600000"}'"""),
    ),
    "delete_topic": (
        _delete_topic,
        "Delete a topic and all that is in it, without asking. As a table, nothing is printed.",
        ("delete_topic clicks",),
    ),
    "print_groups": (
        _nothing,
        "List all consumer groups: state, type, number of members and coordinator.",
        ("print_groups",),
    ),
    "describe_group": (
        _describe_group,
        "Describe a consumer group: members and hosts, who reads what, what is committed and what is still to be read.",
        ("describe_group billing", "describe_group billing --topic clicks"),
    ),
    "print_managed_consumer_groups": (
        _topic,
        "List the groups that read a topic: those with members that subscribed to it.",
        ("print_managed_consumer_groups clicks",),
    ),
    "print_consumer_lag": (
        _print_consumer_lag,
        """\
Print how far a group is behind. Lag is the number of offsets from the group's next message to the end; where the group has
committed nothing there is none, and the total leaves it out.""",
        ("print_consumer_lag clicks billing",),
    ),
    "reset_offsets": (
        _reset_offsets,
        """\
Set where a group goes on. The group must have no running members. As a table, nothing is printed except with --dry-run.""",
        (
            "reset_offsets clicks billing EARLIEST --dry-run",
            "reset_offsets clicks billing 2026-01-31T12:00:00",
            "reset_offsets clicks billing 5000 --partitions 3",
        ),
    ),
    "doctor": (
        _nothing,
        """\
Find out what is wrong with the connection to a cluster: DNS, TCP, TLS, protocol, the addresses that brokers advertise,
leaders and copies of partitions, clocks. One line each says what is right, what is wrong and what to change. Changes nothing.""",
        ("doctor", "doctor -b kafka-1:9093 --ssl-cafile ca.pem"),
    ),
}
