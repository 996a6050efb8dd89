"""kafka-tools and consumer groups that another client runs: who is in them, what they read, and that nobody overtakes them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest

from pykafka import KafkaClient, Topic
from pykafka.offsets import committed_by_group

from .. import needs
from ..brokers import KafkaCluster
from ..support import until
from ..tools import failed
from .test_kafka_tools import csv_rows, done, fill, name_of, run

confluent_kafka = needs.package("confluent_kafka")

MakeTopic = Callable[..., Topic]


@pytest.fixture(autouse=True)
def settings(kafka: KafkaCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the shared broker in the environment, and no file of settings."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KAFKA_TOOLS_BROKER", kafka.hosts)


@contextlib.contextmanager
def member(kafka: KafkaCluster, group: str, *topics: str, **settings: Any) -> Iterator[Any]:
    """Yield a consumer that is in a group and stays there; its ``assigned`` holds (topic, partition)."""
    assigned: set[tuple[str, int]] = set()
    joined, ended = threading.Event(), threading.Event()
    consumer = confluent_kafka.Consumer(
        {
            "bootstrap.servers": kafka.hosts, "group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False,
            **{name.replace("_", "."): value for name, value in settings.items()},
        }
    )  # fmt: skip

    def on_assign(consumer: Any, partitions: Any) -> None:
        assigned.update((one.topic, one.partition) for one in partitions)
        joined.set()

    def on_revoke(consumer: Any, partitions: Any) -> None:
        assigned.clear()

    def poll() -> None:
        while not ended.is_set():
            consumer.poll(0.1)

    consumer.subscribe(list(topics), on_assign=on_assign, on_revoke=on_revoke)
    thread = threading.Thread(target=poll)
    thread.start()
    try:
        assert joined.wait(30), f"no assignment in group {group}"
        yield assigned
    finally:
        ended.set()
        thread.join(30)
        consumer.close()


def described(group: str, *flags: str) -> dict[str, Any]:
    found: dict[str, Any] = done("describe_group", group, "--format", "json", *flags).json
    return found


def commit(topic: Topic, group: str, *offsets: int) -> None:
    """Commit these offsets of the first partitions as somebody who is no member."""
    pairs = [(topic.partitions[number], offset) for number, offset in enumerate(offsets)]
    topic.get_simple_consumer(group, auto_start=False).commit_offsets(pairs)


def test_a_running_group_is_described_with_members_what_they_read_and_how_far_they_are(
    make_topic: MakeTopic, kafka: KafkaCluster
) -> None:
    topic = make_topic(2)
    fill(topic, *[b"x"] * 2000)
    name = name_of(topic)
    commit(topic, name, 1000 - 1234 // 2)
    with member(kafka, name, name, client_id="billing-1"):
        found = described(name)
        assert (found["group"], found["state"], found["protocol_type"], found["protocol"], found["members"]) == (
            name, "Stable", "consumer", "range", 1,
        )  # fmt: skip
        assert found["coordinator"] == f"1 ({kafka.hosts})"
        first, second = found["partitions"]
        assert (first["topic"], first["partition"], first["current_offset"], first["latest_offset"], first["lag"]) == (
            name, 0, 383, 1000, 617,
        )  # fmt: skip
        assert (second["current_offset"], second["latest_offset"], second["lag"]) == (None, 1000, None)
        assert first["client_id"] == "billing-1" and first["member_id"].startswith("billing-1-") and first["host"] == "127.0.0.1"
        table = done("describe_group", name)
        assert table.out.splitlines()[:2] == [f"GroupId: {name}", "State: Stable"]
        assert [row[:5] for row in table.rows] == [[name, "0", "383", "1000", "617"], [name, "1", "-", "1000", "-"]]
        assert len(csv_rows(done("describe_group", name, "--format", "csv"))) == 3


def test_members_that_read_nothing_are_described_too(make_topic: MakeTopic, kafka: KafkaCluster) -> None:
    name = name_of(make_topic(1))
    with member(kafka, name, name, client_id="a") as one, member(kafka, name, name, client_id="b") as two:
        until(lambda: described(name)["state"] == "Stable" and len(one | two) == 1, what="one of the two reading")
        rows = described(name)["partitions"]
    assert {row["client_id"] for row in rows} == {"a", "b"}
    assert sorted(str(row["partition"]) for row in rows) == ["0", "None"]


def test_a_group_without_members_has_everything_it_committed_in_any_topic(make_topic: MakeTopic, topic_name: str) -> None:
    first, second = make_topic(1, "-a"), make_topic(2, "-b")
    for topic in (first, second):
        commit(topic, topic_name, 0)
    found = described(topic_name)
    assert (found["state"], found["members"]) == ("Empty", 0)
    assert [(row["topic"], row["partition"], row["member_id"]) for row in found["partitions"]] == [
        (name_of(first), 0, None),
        (name_of(second), 0, None),
    ]
    assert [row["topic"] for row in described(topic_name, "--topic", name_of(second))["partitions"]] == [name_of(second)]
    assert "does not exist" in failed(run("describe_group", topic_name, "--topic", "no-such-topic"))


def test_a_group_that_does_not_exist_is_one_line(make_topic: MakeTopic) -> None:
    make_topic()
    said = failed(run("describe_group", "no-such-group"))
    assert said == "kafka-tools: group no-such-group does not exist: it has no members and has committed nothing\n"


def test_groups_are_listed_with_their_state_and_members(make_topic: MakeTopic, kafka: KafkaCluster) -> None:
    topic = make_topic()
    name = name_of(topic)
    commit(topic, name + "-idle", 0)
    with member(kafka, name, name):
        rows = {row["group"]: row for row in done("print_groups", "--format", "json").json}
        assert (rows[name]["state"], rows[name]["protocol_type"], rows[name]["protocol"], rows[name]["members"]) == (
            "Stable", "consumer", "range", 1,
        )  # fmt: skip
        idle = rows[name + "-idle"]
        assert (idle["state"], idle["members"], idle["coordinator"]) == ("Empty", 0, f"1 ({kafka.hosts})")
        line = next(row for row in done("print_groups").rows if row[0] == name)
        assert line == [name, "Stable", "classic", "consumer", "range", "1", "1", f"({kafka.hosts})"]
        header, *others = csv_rows(done("print_groups", "--format", "csv"))
        assert header == ["group", "state", "type", "protocol_type", "protocol", "members", "coordinator"]
        assert {name, name + "-idle"} <= {row[0] for row in others}


def test_the_groups_of_a_topic_are_those_whose_members_subscribed_to_it(make_topic: MakeTopic, kafka: KafkaCluster) -> None:
    first, second = name_of(make_topic(1, "-a")), name_of(make_topic(1, "-b"))
    with member(kafka, "of-both-" + first, first, second), member(kafka, "of-" + second, second):
        # not done(): groups of other tests may be at odds at the moment, and then that is told
        shown = run("print_managed_consumer_groups", first)
        assert shown.out.splitlines()[0] == f"Topic: {first}"
        assert shown.out.splitlines()[1].split() == ["GroupId", "State", "Protocol", "ProtocolType"]
        assert shown.rows == [["of-both-" + first, "Stable", "range", "consumer"]]
        found = run("print_managed_consumer_groups", second, "--format", "json").json
        assert (found["topic"], {row["group"] for row in found["groups"]}) == (second, {"of-" + second, "of-both-" + first})
        rows = csv_rows(run("print_managed_consumer_groups", first, "--format", "csv"))
        assert rows == [["group", "state", "protocol", "protocol_type"], ["of-both-" + first, "Stable", "range", "consumer"]]
    assert run("print_managed_consumer_groups", first).rows == []


def test_offsets_of_a_group_with_members_are_not_reset_and_nothing_changes(
    make_topic: MakeTopic, kafka: KafkaCluster, client: KafkaClient
) -> None:
    topic = make_topic()
    fill(topic, b"a", b"b")
    name = name_of(topic)
    commit(topic, name, 1)
    with member(kafka, name, name):
        said = failed(run("reset_offsets", name, name, "EARLIEST"))
        assert f"group {name} has running members" in said and said.endswith("stop them first. Nothing was changed\n")
        assert done("reset_offsets", name, name, "EARLIEST", "--dry-run").rows == [["0", "1", "0"]]
        assert committed_by_group(client.cluster, name)[name][0].offset == 1
    assert done("reset_offsets", name, name, "EARLIEST").out == ""
    assert committed_by_group(client.cluster, name)[name][0].offset == 0


def test_the_lag_of_a_group_of_another_client_is_that_of_what_it_committed(make_topic: MakeTopic, kafka: KafkaCluster) -> None:
    topic = make_topic()
    fill(topic, *[b"x"] * 5)
    name = name_of(topic)
    consumer = confluent_kafka.Consumer({"bootstrap.servers": kafka.hosts, "group.id": name, "enable.auto.commit": False})
    consumer.commit(offsets=[confluent_kafka.TopicPartition(name, 0, 3, "a note of its own")], asynchronous=False)
    consumer.close()
    assert done("print_consumer_lag", name, name).rows[0] == ["0", "2", "5", "3", "-", "-"]


def test_a_group_of_the_new_protocol_is_not_taken_for_dead(make_topic: MakeTopic, kafka: KafkaCluster) -> None:
    name = name_of(make_topic())
    with member(kafka, name, name, group_protocol="consumer"):
        found = described(name)
        assert (found["state"], found["type"], found["members"]) == ("Stable", "consumer", 1)
        row = next(row for row in done("print_groups", "--format", "json").json if row["group"] == name)
        assert (row["state"], row["type"], row["members"]) == ("Stable", "consumer", 1)
        assert "running members" in failed(run("reset_offsets", name, name, "EARLIEST"))
        managed = run("print_managed_consumer_groups", name)
        assert managed.code == 0 and [name, "Stable", "uniform", "consumer"] in managed.rows and name not in managed.err
