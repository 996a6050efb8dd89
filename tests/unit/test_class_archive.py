"""The archive of a broker's classes is made once, whoever tries, and never read unless it is whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.brokers import archive


@pytest.fixture
def jars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(archive, "_java", lambda: "abc")
    monkeypatch.setattr(archive, "_tried", set())
    return tmp_path / "4.4.0"


def make(jars: Path, content: bytes = b"an archive") -> bool:
    """Return whether this process is to make the archive, and make it."""
    with archive.place_for(jars) as place:
        if place is not None:
            place.write_bytes(content)
    return place is not None


def test_it_is_made_once_and_read_from_then_on(jars: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert archive.reading(jars) == []
    assert make(jars)
    assert archive.reading(jars)[-1] == f"-XX:SharedArchiveFile={jars}-abc-10.jsa"
    monkeypatch.setattr(archive, "_tried", set())  # another process
    assert not make(jars)


@pytest.mark.parametrize("content", [b"", bytes(10)], ids=["empty", "begun"])
def test_what_was_only_begun_is_none_and_is_not_tried_again(jars: Path, content: bytes) -> None:
    assert make(jars, content) and archive.reading(jars) == []
    assert not make(jars)


def test_one_that_was_cut_short_is_not_read(jars: Path) -> None:
    make(jars)
    Path(f"{jars}-abc-10.jsa").write_bytes(b"an arch")
    assert archive.reading(jars) == []


def test_of_two_processes_one_makes_it(jars: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with archive.place_for(jars) as place:
        monkeypatch.setattr(archive, "_tried", set())
        assert place is not None and not make(jars)


def test_where_nothing_can_be_written_brokers_start_without(jars: Path) -> None:
    assert not make(jars / "not there" / "4.4.0")
