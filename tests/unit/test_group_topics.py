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
        self.known = list(names)
        self.updates = 0

    @property
    def view(self) -> Any:
        """Return what the brokers have said last."""
        infos = {name: SimpleNamespace(name=name, topic_id=id_of(name), error_code=0) for name in self.known}
        return SimpleNamespace(topics=infos)

    def update(self, names: Any, deadline: Any) -> Any:
        """Have the brokers say what there is."""
        self.updates += 1
        self.known = list(self.names)
        return self.view


def id_of(name: str) -> bytes:
    """Return a topic's id."""
    return name.encode().ljust(16)


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


def test_topics_of_an_assignment_are_looked_up_in_what_is_known_and_the_brokers_are_asked_for_the_others() -> None:
    cluster = Cluster("clicks", "other")
    topics = GroupTopics(cluster, [], "cl.*")  # type: ignore[arg-type]
    assert topics.look_up({id_of("clicks")}) == {id_of("clicks"): "clicks"}
    assert cluster.updates == 0
    cluster.names.append("clocks")
    assert topics.look_up({id_of("clicks"), id_of("clocks")}) == {id_of("clicks"): "clicks", id_of("clocks"): "clocks"}
    assert cluster.updates == 1
    assert topics.look_up({id_of("other")}) == {}, "the pattern is not true of it"


def test_the_ids_of_topics_that_are_read_are_known_without_matching_any(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster("clicks", "other")
    topics = GroupTopics(cluster, [], "cl.*")  # type: ignore[arg-type]
    topics.find()
    monkeypatch.delattr(GroupTopics, "matches")
    assert topics.ids(cluster.view) == {id_of("clicks"): "clicks"}
