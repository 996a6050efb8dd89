"""A machine without Java, Maven or another client is told so: by a skip on a desk, by a failure in CI."""

from __future__ import annotations

import subprocess
from typing import Any, Optional

import pytest

# a process that answers and a PATH are what the code under test asks: nothing of ours could stand in for them
from mock import Mock, patch

from tests import conftest, needs
from tests.brokers import jars

JAVA_17 = 'openjdk version "17.0.9" 2023-10-17\nOpenJDK Runtime Environment (build 17.0.9+9)'
JAVA_8 = 'java version "1.8.0_292"\nJava(TM) SE Runtime Environment'


@pytest.mark.parametrize(
    ("text", "version"),
    [
        (JAVA_17, 17),
        (JAVA_8, 8),
        ('openjdk version "21" 2023-09-19', 21),
        ('openjdk version "11.0.20.1" 2023-08-24', 11),
        ('openjdk version "25-ea" 2025-09-16', 25),
        ("The operation couldn't be completed. Unable to locate a Java Runtime.", None),
        ("", None),
    ],
)
def test_the_version_of_java_is_read_from_what_it_says(text: str, version: Optional[int]) -> None:
    assert jars.parse_java_version(text) == version


def machine(java: Optional[str], maven: bool, exit_code: int = 0) -> Any:
    """Return a patch: a machine whose ``java -version`` says ``java``, or has none, and that has Maven or not."""
    present = {"java": java is not None, "mvn": maven}
    done = subprocess.CompletedProcess(["java"], exit_code, "", java or "")
    return patch.multiple(
        jars,
        shutil=Mock(which=lambda command: f"/usr/bin/{command}" if present[command] else None),
        subprocess=Mock(run=Mock(return_value=done)),
    )


@pytest.mark.parametrize(
    ("java", "maven", "exit_code", "lacking"),
    [
        (JAVA_17, True, 0, []),
        (JAVA_8, True, 0, ["Java 17 or newer (java), not Java 8"]),
        (None, True, 0, ["Java 17 or newer (java)"]),
        (JAVA_17, False, 0, ["Maven (mvn)"]),
        (None, False, 0, ["Java 17 or newer (java)", "Maven (mvn)"]),
        ("no runtime", True, 1, ["Java 17 or newer (java)"]),
    ],
)
def test_what_brokers_lack_is_named(java: Optional[str], maven: bool, exit_code: int, lacking: list[str]) -> None:
    with machine(java, maven, exit_code):
        assert jars.what_is_missing() == lacking


def test_without_java_a_test_is_skipped_on_a_desk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with machine(None, True), pytest.raises(pytest.skip.Exception, match="real brokers need Java 17 or newer"):
        conftest._need_java()


def test_without_java_a_test_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "1")
    with machine(JAVA_8, False), pytest.raises(pytest.fail.Exception, match="not Java 8 and Maven .* with CI set"):
        conftest._need_java()


def test_with_java_and_maven_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "1")
    with machine(JAVA_17, True):
        conftest._need_java()


def test_without_another_client_a_test_is_skipped_on_a_desk_and_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no_such_client cannot be imported"):
        needs.package("no_such_client")
    monkeypatch.setenv("CI", "1")
    with pytest.raises(pytest.fail.Exception, match="no_such_client cannot be imported"):
        needs.package("no_such_client")


def test_a_package_that_is_there_is_returned() -> None:
    assert needs.package("mock").patch is patch
