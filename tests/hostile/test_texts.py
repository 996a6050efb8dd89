"""What people write: addresses, options, command lines, settings, certificates. It is taken, or refused by a known error."""

from __future__ import annotations

import io
import random
import shlex
from argparse import ArgumentTypeError
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pykafka.cli import values
from pykafka.cli.arguments import COMMANDS, build_parser
from pykafka.cli.errors import UsageMistake
from pykafka.cli.settings import PREFIX, SETTINGS, resolve
from pykafka.config import CLIENT, CONSUMER, PRODUCER, Option, check_options, parse_hosts, parse_source
from pykafka.connection import SslConfig
from pykafka.exceptions import KafkaConfigError

from .targets import mutated

PEM = Path(__file__).parents[1] / "fake" / "tls"
TABLES = {"KafkaClient": CLIENT, "Producer": PRODUCER, "SimpleConsumer": CONSUMER}
#: Parts that mean something to one reader or another, half of a character, and digits that int() would take.
PIECES = (
    *("", "kafka", "-1", "0", "65535", "65536", "9" * 30, "1_000", "٣", "²", ":", "::", "::1", "[", "]", "[::1]", "%", "%(a)s"),
    *("/", ",", ";", "=", "\\", "\\t", "'", '"', "\0", "\n", "\r\n", " ", "\ud800", "é", "\u202e", "x" * 300, "://", "SSL://"),
    *("{", "}", "{}", '{"a":', '"b"}', "[1]", "[[" * 3000, "null", "NaN", "Infinity", "1e999", "true", "latest"),
    *("2026-01-31T12:00:00", "Z", "+23:59", "0001-01-01T00:00+14:00", "--", "-", "-b", "--format", "json", "gzip"),
    *("EARLIEST", "none", "print_topics", "[kafka-tools]", "broker", "ssl_cafile", "-----BEGIN CERTIFICATE-----", "on"),
)
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=4), max_size=6).map("".join)
MANY = settings(max_examples=120, deadline=None, database=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


@MANY
@given(TEXTS | TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_addresses_are_host_and_port_or_a_value_error(text: Any) -> None:
    try:
        found = parse_hosts(text)
    except ValueError as error:
        assert str(error)
    else:
        assert found and all(host and 0 < port < 65536 for host, port in found)
    try:
        source = parse_source(text)
    except ValueError as error:
        assert str(error)
    else:
        assert source is None or (source[0] and 0 <= source[1] < 65536)


JUNK = st.one_of(
    TEXTS,
    TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.integers(),
    st.sampled_from([-1, 0, 1, 2**31 - 1, 2**31, 2**63, 10**400, True, None, 0.5, -0.0, float("nan"), float("inf"), 1e308]),
    st.sampled_from([[], ["a:1"], (), {}, {"a": 1}, set(), object(), print, SslConfig, SslConfig(None), 1j, bytearray(2)]),
)


@pytest.mark.parametrize(("owner", "name"), [(owner, name) for owner, table in TABLES.items() for name in table])
def test_any_value_of_any_option_is_taken_or_refused_by_name(owner: str, name: str) -> None:
    table: Mapping[str, Option] = TABLES[owner]
    refused = 0

    @settings(max_examples=40, deadline=None, database=None, derandomize=True)
    @given(JUNK)
    def attack(value: Any) -> None:
        nonlocal refused
        try:
            check_options(owner, table, {name: value})
        except KafkaConfigError as error:
            assert name in str(error)
            refused += 1

    attack()
    assert refused or table[name].allowed in ("anything", "any") or name in ("broker_version", "use_greenlets")


READERS: dict[str, Callable[[str], Any]] = {
    "whole": values.whole(-5, 2**31 - 1),
    "name": values.name,
    "moment_or_end": values.moment_or_end,
    "place": values.place,
    "partition_numbers": values.partition_numbers,
    "separator": values.separator,
    "replica_assignment": values.replica_assignment,
    "config_entries": values.config_entries,
    "headers": values.headers,
    **{f"setting {row.name}": row.read for row in SETTINGS},
}


@pytest.mark.parametrize("reader", READERS)
def test_any_argument_is_read_or_is_an_error_that_argparse_explains(reader: str) -> None:
    @MANY
    @given(TEXTS)
    def attack(text: str) -> None:
        try:
            READERS[reader](text)
        except ArgumentTypeError as error:
            assert str(error)

    attack()


@MANY
@given(st.sampled_from(sorted(COMMANDS)), st.lists(TEXTS, max_size=5))
def test_any_command_line_is_understood_or_ends_with_exit_code_two(command: str, arguments: list[str]) -> None:
    for line in ([command, *arguments], [*arguments, command]):
        try:
            build_parser().parse_args(line)
        except SystemExit as end:
            assert end.code in (0, 2)


def test_lines_of_all_examples_damaged_are_understood_or_end_with_exit_code_two() -> None:
    chance, ended = random.Random(7), 0
    # as Python's own stderr is, which can show what is no text
    shown = io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace")
    with redirect_stderr(shown), redirect_stdout(shown):
        for line in [example for _add, _words, examples in COMMANDS.values() for example in examples for _ in range(20)]:
            damaged = mutated(line.encode(), chance).decode("utf-8", "surrogateescape")
            try:
                build_parser().parse_args(shlex.split(damaged))
            except SystemExit as end:
                assert end.code in (0, 2)
                ended += 1
            except ValueError as error:
                assert "No closing quotation" in str(error) or "No escaped character" in str(error)  # the shell's own
    assert ended > 50


@MANY
@given(st.dictionaries(st.sampled_from([row.variable for row in SETTINGS]), TEXTS, max_size=3))
def test_any_environment_is_read_or_names_the_variable(environ: dict[str, str]) -> None:
    try:
        resolve({}, {**environ, PREFIX + "CONFIG": "/dev/null"})
    except UsageMistake as error:
        assert any(variable in str(error) for variable in environ)


def test_any_configuration_file_is_read_or_named(tmp_path: Path) -> None:
    path = tmp_path / "kafka-tools.ini"
    plain = b"[kafka-tools]\nbroker = kafka-1:9092\nformat = json\nssl_cafile = /ca.pem\n"
    read = []

    @MANY
    @given(TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass")), st.integers(0, 2**32))
    def attack(text: bytes, number: int) -> None:
        for content in (text, mutated(plain, random.Random(number))):
            path.write_bytes(content)
            try:
                read.append(resolve({}, {}, str(path)))
            except UsageMistake as error:
                assert str(path) in str(error)

    attack()
    assert read


@pytest.mark.parametrize("which", ["cafile", "certfile", "keyfile"])
def test_any_certificate_or_key_is_taken_or_the_file_is_named(which: str, tmp_path: Path) -> None:
    path = tmp_path / "damaged.pem"
    whole = (PEM / "broker.pem").read_bytes()
    chance = random.Random(which)
    refused = 0
    for number in range(250):
        data = mutated(whole, chance) if number % 5 else chance.randbytes(chance.randrange(3000))
        path.write_bytes(data if number % 7 else whole[: chance.randrange(len(whole))])
        files = {"cafile": str(PEM / "ca.pem"), "certfile": str(PEM / "broker.pem"), "keyfile": str(PEM / "broker.pem")}
        files[which] = str(path)
        try:
            SslConfig(**files, password=lambda: "secret").context()  # type: ignore[arg-type]
        except KafkaConfigError as error:
            assert str(path) in str(error)
            refused += 1
    assert refused > 100


@MANY
@given(TEXTS | st.none() | st.binary(max_size=5) | st.integers(-3, 3), TEXTS, st.text(max_size=2) | st.binary() | st.integers())
def test_any_path_or_password_is_taken_or_refused(cafile: Any, certfile: str, password: Any) -> None:
    for made in (SslConfig(cafile), SslConfig(str(PEM / "ca.pem"), certfile, None, password)):
        try:
            made.context()
        except KafkaConfigError as error:
            assert "SslConfig" in str(error)
