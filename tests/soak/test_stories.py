"""Each story is told once, shortened; and what goes wrong in one is not overlooked."""

from __future__ import annotations

from pathlib import Path

import pytest

from .. import needs
from . import campaign
from .campaign import STORIES, complaints, programme, tell

needs.package("confluent_kafka")


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaign, "FOLDER", tmp_path)


# what needs brokers of its own, may wait for a minute, or reads hostile bytes as tests/hostile does, is for campaigns
@pytest.mark.parametrize("name", [story.name for story in STORIES if story.name not in ("kills", "mangled", "hostile")])
def test_a_story_ends_well(name: str, tmp_path: Path) -> None:
    told = tell(name, 1, length=0.2)
    assert told.good, "\n".join(path.read_text() for path in tmp_path.iterdir())


def test_a_campaign_tells_stories_for_some_time_and_counts_how_they_ended(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--story", "requests", "--seconds", "0.1", "--jobs", "1", "--fake-only", "--length", "0.05"]
    assert campaign.main([*arguments, "--seed", "3"]) == 0
    printed = capsys.readouterr().out
    assert "ok  requests 3 fake" in printed and "1 stories in 0 s, 0 of them ended badly" in printed


def test_what_goes_wrong_is_told_and_kept(tmp_path: Path) -> None:
    told = tell("requests", 7, "127.0.0.1:1")  # which is for fake clusters only
    assert not told.good and "AssertionError" in told.last_words
    assert "--play requests --seed 7" in (tmp_path / "requests-real-7.txt").read_text()


def test_a_ctrl_c_that_python_drops_is_no_fault_of_ours_and_all_else_is() -> None:
    dropped = "Exception ignored in: <function _remove>\nTraceback (most recent call last):\n  File x\nKeyboardInterrupt: \n"
    ours = "Exception ignored in: <function Producer.__del__>\nTraceback (most recent call last):\nAttributeError: x\n"
    assert complaints(dropped) == ""
    assert complaints(ours + dropped + "warning\n") == ours + "warning\n"


def test_what_librdkafka_did_not_send_is_no_fault_of_ours_and_what_it_waits_for_is() -> None:
    line = "%4|1795794166.611|REQTMOUT|rdkafka#consumer-16| [thrd:GroupCoordinator]: GroupCoordinator: Timed out {} in-flight, "
    line += "{} retry-queued, 1 out-queue, 0 partially-sent requests\n"
    assert complaints(line.format(0, 0)) == ""
    for other in (line.format(1, 0), line.format(0, 1), line.format(0, 0).replace("GroupCoordinator", "127.0.0.1:9092/1")):
        assert complaints(other) == other


def test_all_stories_are_told_in_turn_where_they_can_be() -> None:
    names = ["cut", "kills", "requests"]
    following = programme(names, 5, "real:1")
    assert [next(following) for _ in range(5)] == [
        ("cut", 5, None), ("cut", 5, "real:1"), ("kills", 5, "real:1"), ("requests", 5, None), ("cut", 6, None),
    ]  # fmt: skip
    following = programme(["cut", "kills"], 5, None)
    assert [next(following)[0] for _ in range(2)] == ["cut", "cut"]
