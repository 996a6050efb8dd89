"""kafka-tools against a real broker: topics, messages and offsets, in every format, with pipes, signals and odd bytes."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, Callable

import pytest

from pykafka import KafkaClient, Topic
from pykafka.cli import messages
from pykafka.cli.kafka_tools import fetch_consumer_lag, fetch_offsets
from pykafka.offsets import committed_by_group
from pykafka.partitioners import murmur2_partitioner

from .. import needs
from ..brokers import KafkaCluster
from ..support import until
from ..tools import COMMAND, Outcome, failed, process, run

confluent_kafka = needs.package("confluent_kafka")

MakeTopic = Callable[..., Topic]
#: Ends a run that would wait for more messages; they are there already.
SOON = ("--timeout", "1500")
NOON_MS = 1767268800000  # 2026-01-01T12:00:00Z


@pytest.fixture(autouse=True)
def settings(kafka: KafkaCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the shared broker in the environment, and no file of settings."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KAFKA_TOOLS_BROKER", kafka.hosts)


def name_of(topic: Topic) -> str:
    return topic.name.decode()


def fill(topic: Topic, *values: Any, **options: Any) -> None:
    """Write values to a topic, in order; to its only partition, or in turn."""
    with topic.get_producer() as producer:
        for value in values:
            producer.produce(value, **options)


def done(*argv: str, stdin: bytes = b"") -> Outcome:
    """Return what a run came to that has nothing to complain about."""
    outcome = run(*argv, stdin=stdin)
    assert (outcome.code, outcome.err) == (0, "")
    return outcome


def csv_rows(outcome: Outcome) -> list[list[str]]:
    return list(csv.reader(io.StringIO(outcome.out)))


def committed(client: KafkaClient, group: str, topic: Topic) -> dict[int, int]:
    """Return partition -> offset as the coordinator has it."""
    return {number: row.offset for number, row in committed_by_group(client.cluster, group).get(name_of(topic), {}).items()}


# -- topics -----------------------------------------------------------------------------------------------------------


def test_a_topic_is_created_listed_described_and_deleted(topic_name: str, client: KafkaClient) -> None:
    assert done("create_topic", topic_name, "-p", "3").out == ""
    assert [topic_name, "3", "0"] in done("print_topics").rows
    described = done("desc_topic", topic_name)
    assert described.out.splitlines()[:4] == [f"Topic: {topic_name}", "Partitions: 3", "Replicas: 1", ""]
    assert described.out.splitlines()[4].split() == ["Partition", "Leader", "Replicas", "ISR"]
    assert described.rows == [[str(number), "1", "[1]", "[1]"] for number in range(3)]
    assert done("delete_topic", topic_name).out == ""
    assert topic_name not in client.topics
    assert "does not exist" in failed(run("delete_topic", topic_name))


def test_programs_get_topics_as_json_and_csv(topic_name: str) -> None:
    made = done("create_topic", topic_name, "--format", "json").json
    assert made == [{"topic": topic_name, "partitions": 1, "replicas": 1}]
    assert made[0] in done("print_topics", "--format", "json").json
    assert [topic_name, "1", "1"] in csv_rows(done("print_topics", "--format", "csv"))
    assert done("desc_topic", topic_name, "--format", "json").json == {
        "topic": topic_name,
        "partitions": 1,
        "replicas": 1,
        "partition_list": [{"partition": 0, "leader": 1, "replicas": [1], "isr": [1]}],
    }
    described = csv_rows(done("desc_topic", topic_name, "--format", "csv"))
    assert described == [["partition", "leader", "replicas", "isr"], ["0", "1", "1", "1"]]
    assert done("delete_topic", topic_name, "--format", "json").json == [{"topic": topic_name, "deleted": True}]


def test_assignments_and_settings_of_a_new_topic_reach_the_broker(topic_name: str, kafka: KafkaCluster) -> None:
    from confluent_kafka.admin import AdminClient, ConfigResource

    entries = '{"retention.ms": 3600000, "cleanup.policy": "compact"}'
    done("create_topic", topic_name, "-a", '{"0": [1], "1": [1]}', "-c", entries, "-t", "10000")
    assert len(done("desc_topic", topic_name).rows) == 2
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic_name)
    admin = AdminClient({"bootstrap.servers": kafka.hosts})
    (future,) = admin.describe_configs([resource]).values()
    found = {key: entry.value for key, entry in future.result(20).items()}
    assert (found["retention.ms"], found["cleanup.policy"]) == ("3600000", "compact")


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (("-r", "3"), 1, "InvalidReplicationFactor"),
        (("-a", '{"0": [9]}'), 1, "InvalidReplicaAssignment"),
        (("-c", '{"no.such": "1"}'), 1, "no.such"),
        (("-a", '{"0": [1]}', "-p", "1"), 2, "leave -p and -r out"),
    ],
)
def test_a_topic_that_cannot_be_created_is_one_line(topic_name: str, flags: tuple[str, ...], code: int, words: str) -> None:
    assert words in failed(run("create_topic", topic_name, *flags), code)


def test_a_topic_that_exists_or_has_no_legal_name_is_one_line(make_topic: MakeTopic) -> None:
    assert "TopicAlreadyExists" in failed(run("create_topic", name_of(make_topic())))
    assert "InvalidTopic" in failed(run("create_topic", "a b"))
    assert "does not exist" in failed(run("desc_topic", "a/b"))


def test_internal_topics_are_listed_when_asked_for(make_topic: MakeTopic) -> None:
    topic = make_topic()
    done("consume_topic", name_of(topic), "--timeout", "1")  # commits, which makes __consumer_offsets
    plain, internal = (done("print_topics", *flags).rows for flags in ((), ("--internal",)))
    assert "__consumer_offsets" not in [row[0] for row in plain]
    assert "__consumer_offsets" in [row[0] for row in internal]
    assert "is a topic of Kafka itself" in failed(run("delete_topic", "__consumer_offsets"))


def test_offsets_are_those_of_both_ends_and_of_a_moment(make_topic: MakeTopic) -> None:
    topic = make_topic()
    for hour in range(3):
        fill(topic, b"m", timestamp=NOON_MS + hour * 3600_000)
    name = name_of(topic)
    for place, offset in (
        ("EARLIEST", 0), ("latest", 3), ("2026-01-01T12:30:00", 1), ("2026-01-01T14:00:00+00:00", 2), ("2027-01-01", 3),
        ("1969-01-01", 0),
    ):  # fmt: skip
        assert done("print_offsets", name, place).rows == [["0", str(offset)]], place
    assert done("print_offsets", name, "LATEST", "--format", "json").json == [{"partition": 0, "offset": 3}]
    assert csv_rows(done("print_offsets", name, "LATEST", "--format", "csv")) == [["partition", "offset"], ["0", "3"]]


# -- reading ----------------------------------------------------------------------------------------------------------


def test_consuming_shows_only_what_comes_from_now_on_every_time(make_topic: MakeTopic, client: KafkaClient) -> None:
    topic = make_topic()
    name = name_of(topic)
    for _ in range(2):
        fill(topic, b"in between")
        with process("consume_topic", name) as tool:
            assert tool.stdout is not None and tool.stderr is not None
            (end,) = topic.latest_available_offsets()[0].offset
            until(lambda end=end: committed(client, "pykafka_cli", topic) == {0: end}, what="the tool's start")
            fill(topic, *(b"new %d" % one for one in range(11)))
            assert tool.stdout.read() == b"".join(b"new %d\n" % one for one in range(10))
            assert (tool.wait(20), tool.stderr.read()) == (0, b"")


def test_consuming_as_a_group_goes_on_where_it_was(make_topic: MakeTopic, client: KafkaClient) -> None:
    topic = make_topic()
    fill(topic, b"old")
    name = name_of(topic)
    assert done("consume_topic", name, "-g", name, "--timeout", "300").out == ""
    fill(topic, *(b"new %d" % number for number in range(15)))
    assert done("consume_topic", name, "-g", name).out == "".join(f"new {number}\n" for number in range(10))
    assert committed(client, name, topic) == {0: 11}
    assert done("consume_topic", name, "-g", name, *SOON).out == "".join(f"new {number}\n" for number in range(10, 15))


def test_consuming_by_default_waits_for_messages_however_long_and_shows_them_as_they_come(make_topic: MakeTopic) -> None:
    topic = make_topic()
    name = name_of(topic)
    with process("consume_topic", name, "--group", name, "-l", "2") as tool:
        assert tool.stdout is not None and tool.stderr is not None
        until(lambda: has_commit(name), what="the tool's start")
        for value in (b"first", b"second"):
            fill(topic, value)
            assert tool.stdout.readline() == value + b"\n"
        assert (tool.wait(20), tool.stderr.read()) == (0, b"")


def has_commit(name: str) -> bool:
    rows = run("print_consumer_lag", name, name, "--format", "json").json["partitions"]  # at first there is no such group
    return all(row["current_offset"] is not None for row in rows)


def test_empty_messages_and_tombstones_are_left_out_and_do_not_count(make_topic: MakeTopic) -> None:
    topic = make_topic()
    fill(topic, b"a", b"", None, b"b", b"", b"c")
    assert done("consume_topic", name_of(topic), "--from", "EARLIEST", "-l", "3").out == "a\nb\nc\n"


@pytest.mark.parametrize(
    ("place", "expected"),
    [("EARLIEST", "0123"), ("LATEST", ""), ("2", "23"), ("4", ""), ("2026-01-01T13:30:00", "23"), ("2030-01-01", "")],
)
def test_consuming_from_a_place_reads_on_from_there_and_commits_nothing(
    place: str, expected: str, make_topic: MakeTopic, client: KafkaClient
) -> None:
    topic = make_topic()
    for hour in range(4):
        fill(topic, b"%d" % hour, timestamp=NOON_MS + hour * 3600_000)
    outcome = done("consume_topic", name_of(topic), "--from", place, *SOON)
    assert outcome.out == "".join(f"{digit}\n" for digit in expected)
    assert committed(client, "pykafka_cli", topic) == {}


def test_an_offset_that_is_not_there_is_taken_for_the_nearer_end_and_the_range_is_told(make_topic: MakeTopic) -> None:
    topic = make_topic(7)
    fill(topic, *[b"x"] * 7)
    outcome = run("consume_topic", name_of(topic), "--from", "99", "--partitions", "3", *SOON)
    said = "kafka-tools: offset 99 is not there, reading begins at the nearer end"
    assert (outcome.code, outcome.out) == (0, "")
    assert outcome.err == f"{said}: partition 3 has 0 to 1\n"
    outcome = run("consume_topic", name_of(topic), "--from", "99", *SOON)
    assert outcome.err == said + "".join(f"{'; ' if n else ': '}partition {n} has 0 to 1" for n in range(5)) + "; and 2 more\n"


def test_a_group_given_with_a_place_is_moved_there(make_topic: MakeTopic, client: KafkaClient) -> None:
    topic = make_topic()
    fill(topic, *(b"%d" % number for number in range(5)))
    name = name_of(topic)
    assert done("consume_topic", name, "--from", "2", "-g", name, "-l", "2").out == "2\n3\n"
    assert committed(client, name, topic) == {0: 4}


def test_a_group_stays_where_it_is_when_nothing_comes_from_the_place_given(make_topic: MakeTopic, client: KafkaClient) -> None:
    topic = make_topic()
    fill(topic, *(b"%d" % number for number in range(5)))
    name = name_of(topic)
    assert done("consume_topic", name, "--from", "EARLIEST", "-g", name, "-l", "2").out == "0\n1\n"
    assert done("consume_topic", name, "--from", "LATEST", "-g", name, "--timeout", "300").out == ""
    assert committed(client, name, topic) == {0: 2}


def test_what_was_shown_is_committed_while_the_next_message_is_waited_for(make_topic: MakeTopic, client: KafkaClient) -> None:
    topic = make_topic()
    fill(topic, b"a", b"b")
    name = name_of(topic)
    with process("consume_topic", name, "--from", "EARLIEST", "--group", name, "-l", "0") as tool:
        until(lambda: committed(client, name, topic) == {0: 2}, what="the commit of a tool that waits")
        assert tool.poll() is None
        assert interrupt(tool) == b""


def test_only_the_partitions_asked_for_are_read(make_topic: MakeTopic) -> None:
    topic = make_topic(3)
    fill(topic, *(b"%d" % number for number in range(9)))
    rows = done("consume_topic", name_of(topic), "--from", "EARLIEST", "--partitions", "0,2", "-l", "6", "--format", "csv")
    assert {row[0] for row in csv_rows(rows)[1:]} == {"0", "2"}
    assert "has no partitions [7]" in failed(run("consume_topic", name_of(topic), "--partitions", "7"))


def test_bytes_that_are_no_text_are_replaced_for_people_and_whole_for_programs(make_topic: MakeTopic) -> None:
    topic = make_topic()
    fill(topic, b"caf\xe9", "żółć \U0001f980".encode())
    with topic.get_producer() as producer:
        producer.produce(b"v", partition_key=b"\xff\x01", headers=[("h", b"\xfe"), ("t", b"x"), ("n", None)])
        producer.produce(None, partition_key=b"k")
    name = name_of(topic)
    assert done("consume_topic", name, "--from", "EARLIEST", "-l", "2").out == "caf\N{REPLACEMENT CHARACTER}\nżółć \U0001f980\n"
    lines = done("consume_topic", name, "--from", "EARLIEST", "-l", "4", "--format", "json").out.splitlines()
    one, two, three, four = map(json.loads, lines)
    assert (one["value_base64"], "value" in one, one["offset"], one["topic"]) == ("Y2Fm6Q==", False, 0, name)
    assert (two["value"], two["key"], two["headers"]) == ("żółć \U0001f980", None, [])
    assert three["key_base64"] == "/wE="
    assert three["headers"] == [
        {"name": "h", "value_base64": "/g=="}, {"name": "t", "value": "x"}, {"name": "n", "value": None},
    ]  # fmt: skip
    assert (four["key"], four["value"]) == ("k", None)
    rows = csv_rows(done("consume_topic", name, "--from", "EARLIEST", "-l", "4", "--format", "csv"))
    assert rows[0] == ["partition", "offset", "timestamp", "key", "value"]
    assert rows[4][:2] == ["0", "3"] and rows[4][3:] == ["k", ""]


def test_a_terminal_that_lacks_letters_gets_them_spelled_out(make_topic: MakeTopic) -> None:
    topic = make_topic()
    fill(topic, "żaba".encode())
    environ = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    argv = ["consume_topic", name_of(topic), "--from", "EARLIEST", "-l", "1"]
    tool = subprocess.run([*COMMAND, *argv], capture_output=True, env=environ, timeout=60, check=False)
    assert (tool.returncode, tool.stdout, tool.stderr) == (0, b"\\u017caba\n", b"")


def test_messages_can_go_to_a_file(make_topic: MakeTopic, tmp_path: Path) -> None:
    topic = make_topic()
    fill(topic, "żaba".encode(), b"two")
    target = tmp_path / "out.txt"
    assert done("consume_topic", name_of(topic), "--from", "EARLIEST", "-l", "2", "-o", str(target)).out == ""
    assert target.read_bytes() == "żaba\ntwo\n".encode()
    assert "cannot be written: No such file" in failed(run("consume_topic", name_of(topic), "-o", "/no/such/file"), 2)


# -- sending ----------------------------------------------------------------------------------------------------------


def test_lines_are_sent_and_counted_whatever_bytes_they_are(make_topic: MakeTopic, tmp_path: Path) -> None:
    name = name_of(make_topic())
    assert done("produce_topic", name, stdin=b"one\n\ncaf\xe9\r\nlast without a line end").rows == [[name, "4", "0"]]
    (tmp_path / "lines").write_bytes(b"from a file\n")
    sent = done("produce_topic", name, "-i", str(tmp_path / "lines"), "-z", "gzip", "--headers", '{"a": "1"}', "--format", "json")
    assert sent.json == [{"topic": name, "acknowledged": 1, "failed": 0}]
    read = done("consume_topic", name, "--from", "EARLIEST", "-l", "5", "--format", "json").out.splitlines()
    values = [json.loads(line).get("value", json.loads(line).get("value_base64")) for line in read]
    assert values == ["one", "", "Y2Fm6Q0=", "last without a line end", "from a file"]
    assert json.loads(read[-1])["headers"] == [{"name": "a", "value": "1"}]


def test_nothing_to_send_is_no_error(make_topic: MakeTopic) -> None:
    name = name_of(make_topic())
    assert csv_rows(done("produce_topic", name, "--format", "csv"))[1:] == [[name, "0", "0"]]


def test_keys_choose_the_partition_as_java_clients_do(make_topic: MakeTopic) -> None:
    topic = make_topic(5)
    name = name_of(topic)
    done("produce_topic", name, "-k", "\\t", stdin=b"".join(b"user-%d\tv\n" % number for number in range(20)))
    lines = done("consume_topic", name, "--from", "EARLIEST", "-l", "20", "--format", "json").out.splitlines()
    rows = [json.loads(line) for line in lines]
    partitions = sorted(topic.partitions.values())
    assert {row["key"]: row["partition"] for row in rows} == {
        f"user-{number}": murmur2_partitioner(partitions, b"user-%d" % number).id for number in range(20)
    }


def test_a_line_that_is_wrong_fails_alone_and_is_named(make_topic: MakeTopic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "MAX_LINE_BYTES", 2**21)
    name = name_of(make_topic())
    too_long, too_large = b"b:" + b"x" * 2**23, b"c:" + b"y" * 2**20
    outcome = run("produce_topic", name, "-k", ":", stdin=b"\n".join([b"a:1", b"no separator", too_long, too_large, b"d:4"]))
    assert (outcome.code, outcome.rows) == (1, [[name, "2", "3"]])
    assert outcome.err == "kafka-tools: 3 messages failed; the first is line 2: there is no key separator in it\n"
    read = done("consume_topic", name, "--from", "EARLIEST", "-l", "2", "--format", "csv")
    assert [row[3:] for row in csv_rows(read)[1:]] == [["a", "1"], ["d", "4"]]


def test_a_line_too_long_for_any_message_is_never_in_memory_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "MAX_LINE_BYTES", 8)
    source = io.BytesIO(b"a\n" + b"x" * 100 + b"\n1234567\n" + b"y" * 16)
    assert list(messages._lines(source)) == [b"a\n", b"x" * 8, b"1234567\n", b"y" * 8]


def test_a_file_that_cannot_be_read_is_a_mistake(make_topic: MakeTopic) -> None:
    assert "cannot be read: No such file" in failed(run("produce_topic", name_of(make_topic()), "-i", "/no/such"), 2)


# -- offsets of groups ------------------------------------------------------------------------------------------------


def test_the_lag_of_a_group_is_shown_with_thousands_and_a_total(make_topic: MakeTopic) -> None:
    topic = make_topic()
    fill(topic, *[b"x"] * 1234)
    name = name_of(topic)
    topic.get_simple_consumer("g-" + name, consumer_id=b"me", auto_start=False).commit_offsets([(topic.partitions[0], 0)])
    lag = done("print_consumer_lag", name, "g-" + name)
    assert lag.out.splitlines()[0].split() == [
        "Partition", "Lag", "Latest", "Offset", "Current", "Offset", "Consumer_ID", "Client_ID",
    ]  # fmt: skip
    assert lag.rows[0] == ["0", "1,234", "1234", "0", "me", os.uname().nodename]
    assert lag.out.endswith("\n\n Total lag: 1,234 messages.\n")
    found = done("print_consumer_lag", name, "g-" + name, "--format", "json").json
    assert (found["total_lag"], found["partitions_without_lag"], found["partitions"][0]["lag"]) == (1234, 0, 1234)
    assert csv_rows(done("print_consumer_lag", name, "g-" + name, "--format", "csv"))[1][:4] == ["0", "1234", "1234", "0"]


def test_where_nothing_is_committed_there_is_no_lag_rather_than_a_wrong_one(make_topic: MakeTopic, topic_name: str) -> None:
    topic, other = make_topic(2, "-a"), make_topic(1, "-b")
    fill(topic, b"x")
    other.get_simple_consumer(topic_name, auto_start=False).commit_offsets([(other.partitions[0], 0)])
    lag = done("print_consumer_lag", name_of(topic), topic_name)
    assert [row[1] for row in lag.rows[:2]] == ["-", "-"]
    assert " Total lag: - messages.\n 2 partitions without a lag" in lag.out
    assert done("print_consumer_lag", name_of(other), topic_name).out.endswith("\n\n Total lag: 0 messages.\n")


def test_a_group_that_does_not_exist_has_no_lag_and_that_is_no_success(make_topic: MakeTopic) -> None:
    name = name_of(make_topic())
    said = f"kafka-tools: group typo-{name} does not exist: it has no members and has committed nothing\n"
    outcome = run("print_consumer_lag", name, f"typo-{name}")
    assert (outcome.code, outcome.err) == (1, said)
    assert outcome.rows[0][:4] == ["0", "-", "0", "-"] and " Total lag: - messages." in outcome.out
    found = run("print_consumer_lag", name, f"typo-{name}", "--format", "json")
    assert (found.code, found.err, found.json["total_lag"]) == (1, said, None)
    assert found.json["partitions"][0]["lag"] is None


@pytest.mark.parametrize(
    ("place", "offset"),
    [("EARLIEST", 0), ("LATEST", 4), ("2026-01-01T13:30:00", 2), ("2030-01-01", 4), ("0", 0), ("3", 3), ("4", 4)],
)
def test_a_group_goes_on_where_it_is_reset_to(place: str, offset: int, make_topic: MakeTopic, client: KafkaClient) -> None:
    topic = make_topic()
    for hour in range(4):
        fill(topic, b"%d" % hour, timestamp=NOON_MS + hour * 3600_000)
    name = name_of(topic)
    assert done("reset_offsets", name, name, place).out == ""
    assert committed(client, name, topic) == {0: offset}
    with topic.get_simple_consumer(name, consumer_timeout_ms=1000) as consumer:
        assert [message.value for message in consumer] == [b"%d" % hour for hour in range(offset, 4)]


def test_a_reset_can_be_tried_out_and_be_of_some_partitions(make_topic: MakeTopic, client: KafkaClient) -> None:
    topic = make_topic(3)
    fill(topic, *[b"x"] * 9)
    name = name_of(topic)
    tried = run("reset_offsets", name, name, "LATEST", "--dry-run")
    assert (tried.code, tried.rows) == (0, [[str(number), "-", "3"] for number in range(3)])
    assert tried.err == f"kafka-tools: group {name} is new: without --dry-run this creates it\n"
    assert committed(client, name, topic) == {}
    changed = done("reset_offsets", name, name, "2", "--partitions", "2,0", "--format", "json").json
    assert changed == [{"partition": number, "current_offset": None, "new_offset": 2} for number in (0, 2)]
    assert committed(client, name, topic) == {0: 2, 2: 2}
    assert csv_rows(done("reset_offsets", name, name, "EARLIEST", "--partitions", "0", "--format", "csv"))[1] == ["0", "2", "0"]
    assert len(done("reset_offsets", name, name, "EARLIEST", "--dry-run").rows) == 3


def test_an_offset_that_a_partition_does_not_have_changes_nothing(make_topic: MakeTopic, client: KafkaClient) -> None:
    topic = make_topic(2)
    fill(topic, b"x")
    name = name_of(topic)
    assert "has offsets 0 to 0, and so not 2" in failed(run("reset_offsets", name, name, "2"))
    assert "has no partitions [5]" in failed(run("reset_offsets", name, name, "0", "--partitions", "5"))
    assert committed(client, name, topic) == {}


def test_programs_can_import_what_they_imported_from_the_tool(make_topic: MakeTopic, client: KafkaClient) -> None:
    topic = make_topic(2)
    fill(topic, *[b"x"] * 4)
    name = name_of(topic)
    topic.get_simple_consumer(name, consumer_id=b"me", auto_start=False).commit_offsets([(topic.partitions[0], 1)])
    lags = fetch_consumer_lag(client, topic, name.encode())
    assert lags == {0: (2, 1, "me", os.uname().nodename), 1: (2, -1, None, None)}
    assert {number: row.offset for number, row in fetch_offsets(client, topic, "earliest").items()} == {0: [0], 1: [0]}
    assert fetch_offsets(client, topic, "2030-01-01T00:00:00") == fetch_offsets(client, topic, "LATEST")
    assert fetch_offsets(client, topic, -2)[0].offset == [0]
    with pytest.raises(ValueError, match="neither EARLIEST nor LATEST"):
        fetch_offsets(client, topic, "yesterday")


# -- doctor -----------------------------------------------------------------------------------------------------------


def test_doctor_finds_nothing_wrong_with_a_healthy_broker(make_topic: MakeTopic) -> None:
    make_topic()
    outcome = done("doctor")
    assert not any(line.startswith(("PROBLEM", "WARNING")) for line in outcome.out.splitlines())
    (clocks,) = [row for row in done("doctor", "--format", "json").json if row["check"] == "clocks"]
    # one machine, one clock
    assert clocks["status"] == "ok" and "controller 1 is " in clocks["finding"]
    assert csv_rows(done("doctor", "--format", "csv"))[0] == ["check", "where", "status", "finding", "advice"]


def test_a_partition_whose_broker_is_down_is_found_and_the_others_can_still_be_looked_at(
    kafka3: KafkaCluster, topic_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_TOOLS_BROKER", kafka3.hosts)
    done("create_topic", topic_name, "-a", '{"0": [1], "1": [3]}')
    done("reset_offsets", topic_name, topic_name, "EARLIEST")
    kafka3.node(3).kill()
    try:
        until(lambda: done("desc_topic", topic_name).rows[1][:3] == ["1", "-", "[3]"], what="the partition losing its leader")
        # a busy machine may take another broker for dead for a moment, too, and a coordinator that moves knows no group at first
        lags = lambda: [row[1] for row in run("print_consumer_lag", topic_name, topic_name).rows[:2]]  # noqa: E731
        until(lambda: lags() == ["0", "-"], what="the lag of the partition that has a leader")
        outcome = run("doctor", "--format", "json")
        assert (outcome.code, outcome.err) == (1, "")
        found = {row["check"]: row for row in outcome.json if row["status"] == "PROBLEM"}
        assert f"{topic_name}/1" in found["leaders"]["finding"] and "start the brokers" in found["leaders"]["advice"]
        assert "[3]" in found["brokers"]["finding"]
        assert "Connection refused" in found["TCP"]["finding"] and found["TCP"]["where"] == kafka3.node(3).address
    finally:
        kafka3.node(3).restart()


# -- pipes and signals ------------------------------------------------------------------------------------------------


@pytest.fixture
def long_topic(make_topic: MakeTopic) -> str:
    """The name of a topic with more in it than a pipe holds."""
    topic = make_topic()
    fill(topic, *(b"%d " % number + b"x" * 1000 for number in range(2000)))
    return name_of(topic)


def test_who_reads_only_the_first_line_of_a_pipe_gets_it_and_no_complaint(long_topic: str) -> None:
    with process("consume_topic", long_topic, "--from", "EARLIEST", "-l", "0") as tool:
        assert tool.stdout is not None and tool.stderr is not None
        assert tool.stdout.readline().startswith(b"0 x")
        tool.stdout.close()
        assert (tool.wait(30), tool.stderr.read()) == (0, b"")


def test_what_nobody_read_from_a_pipe_is_not_committed(long_topic: str, client: KafkaClient) -> None:
    done("reset_offsets", long_topic, long_topic, "EARLIEST")
    with process("consume_topic", long_topic, "--group", long_topic, "-l", "0") as tool:
        assert tool.stdout is not None and tool.stderr is not None
        assert tool.stdout.readline().startswith(b"0 x")
        tool.stdout.close()
        assert (tool.wait(30), tool.stderr.read()) == (0, b"")
    assert committed(client, long_topic, client.topics[long_topic]) == {0: 0}


def test_what_a_full_disk_did_not_take_is_not_committed(long_topic: str, client: KafkaClient) -> None:
    done("reset_offsets", long_topic, long_topic, "EARLIEST")
    said = failed(run("consume_topic", long_topic, "--group", long_topic, "-o", "/dev/full", "-l", "0", *SOON))
    assert "No space left" in said
    assert committed(client, long_topic, client.topics[long_topic]) == {0: 0}


def test_a_disk_that_is_full_is_one_line(long_topic: str) -> None:
    with Path("/dev/full").open("wb") as full, process("print_topics", stdout=full) as tool:
        assert tool.stderr is not None
        assert (tool.wait(30), tool.stderr.read()) == (1, b"kafka-tools: [Errno 28] No space left on device\n")


@pytest.mark.parametrize(("closed", "code"), [(">&-", 0), ("2>&-", 1), (">&- 2>&-", 0), ("<&-", 2)])
def test_streams_that_the_shell_has_closed_are_put_up_with(closed: str, code: int, make_topic: MakeTopic) -> None:
    name = name_of(make_topic())
    line = {0: f"desc_topic {name}", 1: "desc_topic no-such-topic", 2: f"produce_topic {name}"}[code]
    shell = f'exec "$@" {line} {closed}'
    tool = subprocess.run(["sh", "-c", shell, "sh", *COMMAND], capture_output=True, timeout=60, check=False)
    said = b"kafka-tools: standard input is closed: give --infile FILE\n" if code == 2 else b""
    assert (tool.returncode, tool.stdout, tool.stderr) == (code, b"", said)


def interrupt(tool: subprocess.Popen[bytes]) -> bytes:
    """Send Ctrl-C, and return what is said on stderr by a run that ends with 130."""
    assert tool.stderr is not None
    tool.send_signal(signal.SIGINT)
    assert tool.wait(30) == 130
    return tool.stderr.read()


def test_ctrl_c_ends_consuming_at_once_and_commits_what_was_shown(make_topic: MakeTopic, client: KafkaClient) -> None:
    topic = make_topic()
    fill(topic, b"a", b"b")
    name = name_of(topic)
    done("reset_offsets", name, name, "EARLIEST")
    with process("consume_topic", name, "--group", name, "-l", "0") as tool:
        assert tool.stdout is not None
        assert [tool.stdout.readline() for _ in range(2)] == [b"a\n", b"b\n"]
        began = time.monotonic()
        assert interrupt(tool) == b""
        assert time.monotonic() - began < 10
    assert committed(client, name, topic) == {0: 2}


def test_ctrl_c_ends_producing_when_what_was_read_is_written_and_says_how_much_that_is(make_topic: MakeTopic) -> None:
    topic = make_topic()
    with process("produce_topic", name_of(topic), stdin=subprocess.PIPE) as tool:
        assert tool.stdin is not None
        tool.stdin.write(b"a\nb\n")
        tool.stdin.flush()
        until(lambda: topic.latest_available_offsets()[0].offset == [2], what="both messages in the topic")
        assert interrupt(tool) == b"kafka-tools: interrupted; 2 messages acknowledged\n"
