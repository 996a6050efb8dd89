"""What is said of pictures of the cluster when one replaces another."""

from __future__ import annotations

import logging

import pytest

from pykafka._engine import learning
from pykafka._machines.metadata import ZERO_UUID, ClusterView, Dispute, TopicInfo


def picture(epoch: int, *, doubted: bool) -> ClusterView:
    """Return a picture of one topic of one partition; ``doubted``: brokers do not agree on its leader epoch."""
    info = TopicInfo("t", ZERO_UUID, False, 0, ((0, 1, epoch, (1,), (1,), 0),))
    return ClusterView("c", 1, {}, {"t": info}, {("t", 0): Dispute(0.0, 1)} if doubted else {})


def test_a_leader_epoch_that_is_given_up_is_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    learning._log_settled(picture(1000, doubted=True), picture(4, doubted=False))
    assert "t/0: leader epoch 1000 was told once" in caplog.text


def test_nothing_is_said_of_a_topic_that_is_gone(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    learning._log_settled(picture(1000, doubted=True), picture(4, doubted=False)._replace(topics={}))
    assert not caplog.text
