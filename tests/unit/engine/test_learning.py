"""What is said of pictures of the cluster when one replaces another."""

from __future__ import annotations

import logging

import pytest

from pykafka._engine import learning
from pykafka._machines.metadata import ZERO_UUID, ClusterView, Dispute, TopicInfo


def picture(epoch: int, *, doubted: bool, partitions: int = 1) -> ClusterView:
    """Return a picture of one topic; ``doubted``: brokers do not agree on the leader epochs of its partitions."""
    numbers = range(partitions)
    info = TopicInfo("t", ZERO_UUID, False, 0, tuple((number, 1, epoch, (1,), (1,), 0) for number in numbers))
    disputes = {("t", number): Dispute(0.0, 1) for number in numbers} if doubted else {}
    return ClusterView("c", 1, {}, {"t": info}, disputes)


def test_a_leader_epoch_that_is_given_up_is_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    learning._log_settled(picture(1000, doubted=True), picture(4, doubted=False))
    assert "t/0: leader epoch 1000 was told once" in caplog.text


def test_nothing_is_said_of_a_topic_that_is_gone(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    learning._log_settled(picture(1000, doubted=True), picture(4, doubted=False)._replace(topics={}))
    assert not caplog.text


def test_of_very_many_partitions_a_few_are_named_and_the_others_counted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    learning._log_settled(picture(1000, doubted=True, partitions=500), picture(4, doubted=False, partitions=500))
    assert len(caplog.messages) == learning.MOST_SAID + 1
    assert f"with {500 - learning.MOST_SAID} partitions more" in caplog.messages[-1]
