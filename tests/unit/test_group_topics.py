"""The topics that a member of a group reads, without a cluster."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from pykafka.group_topics import GroupTopics


class Cluster:
    """What a GroupTopics asks of a cluster; ``names`` are the topics there are."""

    def __init__(self, *names: str) -> None:
        self.names = list(names)
        self.engine: Any = self
        self.socket_timeout_s = 1.0
        self.topics = {name: SimpleNamespace(name=name.encode()) for name in ("clicks", "orders")}

    @property
    def view(self) -> Any:
        """Return what the brokers have said last."""
        return SimpleNamespace(topics={name: SimpleNamespace(error_code=0) for name in self.names})

    def update(self, names: Any, deadline: Any) -> Any:
        """Return the same."""
        return self.view


def test_a_pattern_that_no_topic_matches_is_one_warning_and_another_when_that_is_so_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cluster = Cluster("other")
    topics = GroupTopics(cluster, [], "cl.*")  # type: ignore[arg-type]
    assert not topics.find() and not topics.find()
    assert [(row.levelno, row.getMessage()) for row in caplog.records] == [
        (logging.WARNING, "no topic's whole name matches the pattern 'cl.*' at present; one that comes later is read")
    ]
    cluster.names.append("clicks")
    assert topics.find() and not topics.find()
    cluster.names.remove("clicks")
    assert len(caplog.records) == 1
    assert not topics.find() and not topics.find()
    assert len(caplog.records) == 2


def test_topics_that_are_named_and_those_that_a_pattern_is_true_of_are_both_read() -> None:
    cluster = Cluster("clicks", "orders")
    topics = GroupTopics(cluster, [cluster.topics["orders"]], "cl.*")  # type: ignore[arg-type]
    assert topics.find()
    assert sorted(topics.by_name) == ["clicks", "orders"]


def test_without_a_pattern_nothing_is_said(caplog: pytest.LogCaptureFixture) -> None:
    cluster = Cluster("clicks")
    assert not GroupTopics(cluster, [cluster.topics["clicks"]], None).find()  # type: ignore[arg-type]
    assert not caplog.records
