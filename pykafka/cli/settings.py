"""Settings that every command shares: from a flag, else the environment, else a file, else their defaults."""

from __future__ import annotations

import configparser
import os
from argparse import ArgumentTypeError
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Callable, NamedTuple, Optional

from ..client import KafkaClient
from ..config import parse_hosts
from ..connection import SslConfig
from .errors import UsageMistake
from .values import whole

SECTION = "kafka-tools"
PREFIX = "KAFKA_TOOLS_"
DEFAULT_FILE = "~/.config/kafka-tools.ini"
FORMATS = ("table", "json", "csv")

_YES = {"1", "yes", "true", "on"}
_NO = {"0", "no", "false", "off"}


def _hosts(text: str) -> str:
    try:
        parse_hosts(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None
    return text


def _switch(text: str) -> bool:
    if text.lower() not in _YES | _NO:
        raise ArgumentTypeError(f"{text!r} is neither yes nor no")
    return text.lower() in _YES


def _format(text: str) -> str:
    if text not in FORMATS:
        raise ArgumentTypeError(f"{text!r} is none of {', '.join(FORMATS)}")
    return text


def _path(text: str) -> str:
    return os.path.expanduser(text)


class Setting(NamedTuple):
    """One setting. ``flags`` are its options; the environment and the file call it by ``name``."""

    name: str
    flags: tuple[str, ...]
    default: Any
    read: Callable[[str], Any]
    metavar: Optional[str]
    help: str

    @property
    def variable(self) -> str:
        """Return the environment variable."""
        return PREFIX + self.name.upper()


# room for SASL: sasl_mechanism, sasl_username, sasl_password_file become rows here and an argument in connect()
SETTINGS = (
    Setting("broker", ("-b", "--broker"), "localhost:9092", _hosts, "HOST:PORT[,HOST:PORT]", "some brokers of the cluster"),
    Setting("format", ("--format",), "table", _format, "{table,json,csv}", "how rows are printed"),
    Setting(
        "socket_timeout_ms", ("--socket-timeout-ms",), 10000, whole(1), "MS", "how long connecting, or one request, may take"
    ),
    Setting("ssl", ("--ssl",), False, _switch, None, "use TLS and trust whom this machine trusts; implied by the flags below"),
    Setting("ssl_cafile", ("--ssl-cafile",), None, _path, "FILE", "trust the authorities in this PEM file"),
    Setting("ssl_certfile", ("--ssl-certfile",), None, _path, "FILE", "show the broker this certificate"),
    Setting("ssl_keyfile", ("--ssl-keyfile",), None, _path, "FILE", "the key of that certificate, when it is not in its file"),
    Setting("ssl_password_file", ("--ssl-password-file",), None, _path, "FILE", "a file whose first line unlocks the key"),
    Setting(
        "ssl_no_check_hostname",
        ("--ssl-no-check-hostname",),
        False,
        _switch,
        None,
        "accept a certificate that names another host",
    ),
)


class Settings(NamedTuple):
    """What every command is told."""

    broker: str
    format: str
    socket_timeout_ms: int
    ssl: bool
    ssl_cafile: Optional[str]
    ssl_certfile: Optional[str]
    ssl_keyfile: Optional[str]
    ssl_password_file: Optional[str]
    ssl_no_check_hostname: bool

    @property
    def uses_tls(self) -> bool:
        """Return whether any setting of TLS was given."""
        return any(getattr(self, row.name) != row.default for row in SETTINGS if row.name.startswith("ssl"))

    def ssl_config(self) -> Optional[SslConfig]:
        """Return how connections are secured; None for plaintext.

        :raises UsageMistake: when the password file cannot be read
        :raises KafkaConfigError: naming the file that cannot be used
        """
        if not self.uses_tls:
            return None
        password = None if self.ssl_password_file is None else _first_line(self.ssl_password_file)
        config = SslConfig(
            self.ssl_cafile,
            self.ssl_certfile,
            self.ssl_keyfile,
            password,
            check_hostname=not self.ssl_no_check_hostname,
        )
        config.context()
        return config

    def connect(self, hosts: Optional[str] = None) -> KafkaClient:
        """Return a client of ``hosts`` (None: ``broker``), which sees internal topics too."""
        return KafkaClient(
            hosts or self.broker,
            ssl_config=self.ssl_config(),
            socket_timeout_ms=self.socket_timeout_ms,
            offsets_channel_socket_timeout_ms=self.socket_timeout_ms,
            exclude_internal_topics=False,
            client_id="kafka-tools",
        )


def _first_line(path: str) -> str:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        # not the error itself where it may quote what is in the file
        reason = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
        raise UsageMistake(f"the password file {path} cannot be read: {reason}") from None
    return text.splitlines()[0] if text else ""


def resolve(flags: Mapping[str, Any], environ: Mapping[str, str], config: Optional[str] = None) -> Settings:
    """Return every setting, from where it is said first: ``flags``, the environment, the file, the default.

    :param config: the file; None is the one that KAFKA_TOOLS_CONFIG names, or ~/.config/kafka-tools.ini if it is there
    :raises UsageMistake: naming the variable, or the file and its line, that is not right
    """
    named = config or environ.get(PREFIX + "CONFIG")
    in_file = _from_file(Path(_path(named or DEFAULT_FILE)), required=named is not None)
    found: dict[str, Any] = {}
    for row in SETTINGS:
        if row.name in flags:
            found[row.name] = flags[row.name]
        elif environ.get(row.variable):
            found[row.name] = _read(row, environ[row.variable], row.variable)
        else:
            found[row.name] = in_file.get(row.name, row.default)
    return Settings(**found)


def _read(row: Setting, text: str, where: str) -> Any:
    try:
        return row.read(text)
    except ArgumentTypeError as error:
        raise UsageMistake(f"{where}: {error}") from None


def _from_file(path: Path, required: bool) -> dict[str, Any]:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(path.read_text(encoding="utf-8"), source=str(path))
    except FileNotFoundError:
        if not required:
            return {}
        raise UsageMistake(f"the configuration file {path} does not exist") from None
    except OSError as error:
        raise UsageMistake(f"the configuration file {path} cannot be read: {error.strerror}") from None
    except (configparser.Error, ValueError) as error:
        raise UsageMistake(f"the configuration file {path} is not an INI file: {error}") from None
    if not parser.sections() and not parser.defaults():
        return {}  # an empty one, like /dev/null, sets nothing
    if not parser.has_section(SECTION):
        raise UsageMistake(f"the configuration file {path} has no section [{SECTION}]")
    known = {row.name: row for row in SETTINGS}
    found: dict[str, Any] = {}
    for key, text in parser.items(SECTION):
        if key not in known:
            raise UsageMistake(f"{path}: unknown setting {key!r}; there are {', '.join(known)}")
        if text:  # as with the environment: without a value it is not set
            found[key] = _read(known[key], text, f"{path}: {key}")
    return found
