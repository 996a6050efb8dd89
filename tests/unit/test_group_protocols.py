"""Options that only one of Kafka's two group protocols has a use for."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from pykafka.config import MANAGED, check_options
from pykafka.group_protocols import note_without_effect
from pykafka.membershipprotocol import CooperativeStickyProtocol, RangeProtocol


def noted(caplog: pytest.LogCaptureFixture, **options: Any) -> list[str]:
    """Return what is logged at INFO about the options of a member of the newer protocol."""
    checked = check_options("ManagedBalancedConsumer", MANAGED, {"consumer_group": "g", **options})
    with caplog.at_level(logging.INFO, "pykafka.group_protocols"):
        note_without_effect(checked, "uniform")
    assert all(row.levelno == logging.INFO for row in caplog.records)
    return [row.getMessage() for row in caplog.records]


def test_everything_that_is_set_in_vain_is_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    (line,) = noted(
        caplog,
        session_timeout_ms=6000,
        heartbeat_interval_ms=500,
        membership_protocol=CooperativeStickyProtocol,
        client_rack="r1",
    )
    assert line.startswith("group g is of the newer protocol (KIP-848)") and line.endswith(
        "group_protocol='classic' makes them count"
    )
    for part in (
        "heartbeat_interval_ms=500: the coordinator says how often",
        "session_timeout_ms=6000: others get the partitions of who is gone after the brokers' group.consumer.session.timeout.ms",
        "the coordinator shares out, by its assignor 'uniform'",
    ):
        assert part in line
    assert "client_rack" not in line


@pytest.mark.parametrize(
    "options", [{}, {"membership_protocol": RangeProtocol, "session_timeout_ms": 30000}, {"max_poll_interval_ms": 1000}], ids=repr
)
def test_nothing_is_said_of_defaults_and_of_what_counts_in_both(
    options: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    assert noted(caplog, **options) == []
