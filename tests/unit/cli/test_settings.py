"""Settings: a flag wins over the environment, which wins over the file; what is wrong is named with its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pykafka.cli.errors import UsageMistake
from pykafka.cli.settings import DEFAULT_FILE, SETTINGS, Settings, resolve
from pykafka.exceptions import KafkaConfigError

TLS = Path(__file__).parents[2] / "fake" / "tls"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of the test's own: the settings of whoever runs the tests are not looked at."""
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def ini(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def refusal(flags: dict[str, Any], environ: dict[str, str], config: Any = None) -> str:
    with pytest.raises(UsageMistake) as caught:
        resolve(flags, environ, config)
    return str(caught.value)


def test_without_anything_everything_has_its_default() -> None:
    assert resolve({}, {}) == Settings(**{row.name: row.default for row in SETTINGS})


def test_a_flag_wins_over_the_environment_which_wins_over_the_file(tmp_path: Path) -> None:
    config = ini(tmp_path / "a.ini", "[kafka-tools]\nbroker = file:1\nformat = csv\nsocket_timeout_ms = 7\n")
    found = resolve({"broker": "flag:1"}, {"KAFKA_TOOLS_BROKER": "env:1", "KAFKA_TOOLS_FORMAT": "json"}, config)
    assert (found.broker, found.format, found.socket_timeout_ms) == ("flag:1", "json", 7)


def test_an_empty_variable_is_none() -> None:
    assert resolve({}, {"KAFKA_TOOLS_BROKER": ""}).broker == "localhost:9092"


def test_the_file_is_found_at_home_by_the_environment_or_by_the_flag(home: Path) -> None:
    ini(home / DEFAULT_FILE[2:], "[kafka-tools]\nbroker = home:1\n")
    assert resolve({}, {}).broker == "home:1"
    other = ini(home / "other.ini", "[kafka-tools]\nbroker = other:1\n")
    assert resolve({}, {"KAFKA_TOOLS_CONFIG": other}).broker == "other:1"
    ini(home / "third.ini", "[kafka-tools]\nbroker = third:1\n")
    assert resolve({}, {"KAFKA_TOOLS_CONFIG": other}, "~/third.ini").broker == "third:1"


def test_every_setting_can_be_given_in_the_environment_and_in_the_file(tmp_path: Path) -> None:
    given = {
        "broker": ("a:1,b:2", "a:1,b:2"),
        "format": ("json", "json"),
        "socket_timeout_ms": ("500", 500),
        "ssl": ("yes", True),
        "ssl_cafile": ("/ca.pem", "/ca.pem"),
        "ssl_certfile": ("/cert.pem", "/cert.pem"),
        "ssl_keyfile": ("/key.pem", "/key.pem"),
        "ssl_password_file": ("/password", "/password"),
        "ssl_no_check_hostname": ("On", True),
    }
    assert set(given) == {row.name for row in SETTINGS}
    expected = Settings(**{name: value for name, (_text, value) in given.items()})
    assert resolve({}, {row.variable: given[row.name][0] for row in SETTINGS}) == expected
    lines = "".join(f"{name} = {text}\n" for name, (text, _value) in given.items())
    assert resolve({}, {}, ini(tmp_path / "all.ini", "[kafka-tools]\n" + lines)) == expected


@pytest.mark.parametrize(
    ("variable", "text", "words"),
    [
        ("KAFKA_TOOLS_BROKER", "kafka", "missing port"),
        ("KAFKA_TOOLS_FORMAT", "xml", "none of table, json, csv"),
        ("KAFKA_TOOLS_SOCKET_TIMEOUT_MS", "0", "whole number"),
        ("KAFKA_TOOLS_SSL", "perhaps", "neither yes nor no"),
    ],
)
def test_a_variable_that_is_wrong_is_named(variable: str, text: str, words: str) -> None:
    said = refusal({}, {variable: text})
    assert said.startswith(f"{variable}: ") and words in said


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("broker = a:1\n", "is not an INI file"),
        ("[other]\nbroker = a:1\n", "has no section [kafka-tools]"),
        ("[kafka-tools]\nbrokers = a:1\n", "unknown setting 'brokers'; there are broker,"),
        ("[kafka-tools]\nbroker = a\n", ": broker: 'a': missing port"),
        ("[kafka-tools]\nbroker = a:1\nbroker = b:1\n", "is not an INI file"),
    ],
)
def test_a_file_that_is_wrong_is_named(tmp_path: Path, content: str, words: str) -> None:
    said = refusal({}, {}, ini(tmp_path / "bad.ini", content))
    assert str(tmp_path / "bad.ini") in said and words in said


def test_a_file_that_is_no_text_or_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "binary.ini").write_bytes(b"\xff\xfe\x00")
    assert "binary.ini is not an INI file" in refusal({}, {}, str(tmp_path / "binary.ini"))
    assert "does not exist" in refusal({}, {}, str(tmp_path / "none.ini"))
    assert "cannot be read: Is a directory" in refusal({}, {"KAFKA_TOOLS_CONFIG": str(tmp_path)})


def test_an_empty_file_sets_nothing(tmp_path: Path) -> None:
    assert resolve({}, {}, ini(tmp_path / "empty.ini", "# nothing yet\n")) == resolve({}, {})


def test_a_setting_without_a_value_in_the_file_is_none(tmp_path: Path) -> None:
    lines = "[kafka-tools]\nssl_cafile =\nssl_certfile=\nssl=\nbroker=\nsocket_timeout_ms=\n"
    settings = resolve({}, {}, ini(tmp_path / "blank.ini", lines))
    assert settings == resolve({}, {}) and not settings.uses_tls
    with pytest.raises(UsageMistake, match="unknown setting 'sll'"):
        resolve({}, {}, ini(tmp_path / "typo.ini", "[kafka-tools]\nsll =\n"))


def test_a_percent_sign_in_the_file_is_a_percent_sign(tmp_path: Path) -> None:
    config = ini(tmp_path / "a.ini", "[kafka-tools]\nssl_cafile = /%(home)s/100%.pem\n")
    assert resolve({}, {}, config).ssl_cafile == "/%(home)s/100%.pem"


def test_connections_are_in_plaintext_until_any_setting_of_tls_is_given() -> None:
    assert resolve({}, {}).ssl_config() is None
    for flags in ({"ssl": True}, {"ssl_no_check_hostname": True}, {"ssl_cafile": str(TLS / "ca.pem")}):
        assert resolve(flags, {}).ssl_config() is not None


def test_tls_is_set_up_as_the_flags_say() -> None:
    own, ca = str(TLS / "broker.pem"), str(TLS / "ca.pem")
    config = resolve({"ssl_cafile": ca, "ssl_certfile": own, "ssl_keyfile": own, "ssl_no_check_hostname": True}, {}).ssl_config()
    assert config is not None
    assert (config.cafile, config.certfile, config.keyfile, config.check_hostname) == (ca, own, own, False)


def test_the_password_of_a_key_is_the_first_line_of_its_file_and_never_shown(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("hush\nand more\n")
    config = resolve({"ssl_password_file": str(secret)}, {}).ssl_config()
    assert config is not None and config.password == "hush"
    assert "hush" not in repr(config)
    secret.write_bytes(b"\xffhush")
    with pytest.raises(UsageMistake, match="is not text in UTF-8") as caught:
        resolve({"ssl_password_file": str(secret)}, {}).ssl_config()
    assert "hush" not in str(caught.value)
    with pytest.raises(UsageMistake, match="No such file"):
        resolve({"ssl_password_file": str(tmp_path / "none")}, {}).ssl_config()


def test_a_certificate_that_cannot_be_used_is_named_before_anything_is_connected() -> None:
    with pytest.raises(KafkaConfigError, match="/no/such.pem"):
        resolve({"ssl_cafile": "/no/such.pem"}, {}).ssl_config()
