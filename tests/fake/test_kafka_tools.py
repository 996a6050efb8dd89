"""kafka-tools against brokers that misbehave: one line that says what is wrong, the right exit code, never a traceback."""

from __future__ import annotations

import re
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pykafka.cli import doctor, probes
from pykafka.protocol.api import response_of
from pykafka.protocol.messages import (
    CreateTopicsResponse,
    DescribeGroupsResponse,
    DescribeQuorumRequest,
    DescribeQuorumResponse,
    ListGroupsResponse,
    ListOffsetsResponse,
)
from pykafka.protocol.messages.quorum import ReplicaState

from ..tools import Outcome, failed, run
from .broker import DROP, FakeBroker, fake_broker, rude_peer
from .scripts import leaderless, refused, with_metadata
from .test_connecting import closed_port
from .test_tls import CA, FILES, serving

NOWHERE = "no-such-host.invalid"
FORGED = "\x1b[2Jevil\nok      leaders cluster: all fine"


@pytest.fixture(autouse=True)
def settings_of_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no file of settings but one that a test writes."""
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def broker() -> Iterator[FakeBroker]:
    with fake_broker(partitions=2) as broker:
        yield telling_time(broker)


def telling_time(broker: FakeBroker, off_ms: float = 0) -> FakeBroker:
    """Have the broker tell what its clock says, which is so much ahead of ours."""
    broker.scripts["DescribeQuorum"] = lambda request, version: quorum(probes.now_ms() + off_ms)
    return broker


def examined(hosts: str, *flags: str) -> tuple[Outcome, dict[str, list[Any]]]:
    """Return what doctor did, and its findings by the name of the check."""
    outcome = run("-b", hosts, "--socket-timeout-ms", "2000", "--format", "json", *flags, "doctor")
    assert outcome.err == ""
    found: dict[str, list[Any]] = {}
    for row in outcome.json:
        found.setdefault(row["check"], []).append(row)
    return outcome, found


def problems(hosts: str, *flags: str) -> dict[str, str]:
    """Return the problems that doctor finds: check -> finding and advice. There is one at least, and its exit code is 1."""
    outcome, found = examined(hosts, *flags)
    assert outcome.code == 1
    bad = {check: row for check, rows in found.items() for row in rows if row["status"] == "PROBLEM"}
    assert bad and all(row["advice"] for row in bad.values())
    return {check: f"{row['finding']} -> {row['advice']}" for check, row in bad.items()}


# -- commands ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "print_topics", "desc_topic t", "print_offsets t LATEST", "create_topic t", "delete_topic t", "consume_topic t",
        "produce_topic t", "print_groups", "describe_group g", "print_managed_consumer_groups t", "print_consumer_lag t g",
        "reset_offsets t g EARLIEST",
    ],
)  # fmt: skip
def test_without_a_broker_every_command_says_so_in_one_line(line: str) -> None:
    said = failed(run("-b", f"127.0.0.1:{closed_port()}", "--socket-timeout-ms", "1000", *line.split()))
    assert "refused" in said and "doctor" in said


@pytest.mark.parametrize("form", ["table", "json", "csv"])
def test_no_words_of_others_can_forge_lines_of_doctor(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "examine", lambda settings: [doctor.Finding("TLS", FORGED, "ok", FORGED, FORGED)])
    outcome = run("--format", form, "doctor")
    assert outcome.code == 0 and outcome.out.count("evil") == 3
    assert "\x1b" not in outcome.out and "\\u001b" not in outcome.out
    assert not any(line.startswith("ok      leaders") for line in outcome.out.splitlines())


@pytest.mark.parametrize(
    "line",
    [
        "desc_topic tt", "print_offsets tt LATEST", "delete_topic tt", "consume_topic tt", "produce_topic tt",
        "print_managed_consumer_groups tt", "print_consumer_lag tt g", "reset_offsets tt g EARLIEST",
    ],
)  # fmt: skip
def test_a_topic_that_does_not_exist_is_never_created_and_the_nearest_name_is_told(line: str, broker: FakeBroker) -> None:
    said = failed(run("-b", broker.hosts, *line.split()))
    assert said == "kafka-tools: topic tt does not exist; did you mean t?\n"
    assert not any(request.allow_auto_topic_creation for request in broker.seen("Metadata"))


def test_what_a_broker_refuses_is_told_in_its_own_words(broker: FakeBroker) -> None:
    def policy(request: Any, version: int) -> Any:
        row = CreateTopicsResponse.CreatableTopicResult(name="new", error_code=44, error_message="no topics\non Fridays")
        return CreateTopicsResponse(topics=[row])

    broker.scripts["CreateTopics"] = policy
    said = failed(run("-b", broker.hosts, "create_topic", "new"))
    assert "PolicyViolation (44)" in said and "no topics" in said and "Fridays" in said


def test_a_broker_that_hangs_up_on_a_request_is_an_error_and_no_traceback(broker: FakeBroker) -> None:
    broker.scripts["DeleteTopics"] = lambda request, version: DROP
    assert "closed the connection" in failed(run("-b", broker.hosts, "--socket-timeout-ms", "1000", "delete_topic", "t"))


def test_debug_shows_where_an_error_came_from_and_what_the_client_logged(broker: FakeBroker) -> None:
    plain = run("-b", broker.hosts, "desc_topic", "tt")
    debug = run("-b", broker.hosts, "--debug", "desc_topic", "tt")
    assert plain.code == debug.code == 1 and debug.out == ""
    assert "Traceback" in debug.err and debug.err.endswith(plain.err)


def test_partitions_without_a_leader_are_shown_and_the_others_have_their_offsets(broker: FakeBroker) -> None:
    with_metadata(broker, lambda answer: setattr(answer.topics[0].partitions[1], "leader_id", -1))
    broker.scripts["OffsetFetch"] = committed({0: 0, 1: 5})
    assert run("-b", broker.hosts, "desc_topic", "t").rows == [["0", "1", "[1]", "[1]"], ["1", "-", "[1]", "[1]"]]
    assert run("-b", broker.hosts, "print_offsets", "t", "EARLIEST").rows == [["0", "0"], ["1", "-"]]
    lag = run("-b", broker.hosts, "print_consumer_lag", "t", "g")
    assert (lag.code, lag.rows[:2]) == (0, [["0", "0", "0", "0", "-", "-"], ["1", "-", "-", "5", "-", "-"]])
    assert "Total lag: 0 messages.\n 1 partition without a lag" in lag.out


@pytest.mark.parametrize("line", ["reset_offsets t g EARLIEST", "consume_topic t --from EARLIEST"])
def test_what_cannot_be_done_to_every_partition_is_not_begun(line: str, broker: FakeBroker) -> None:
    with_metadata(broker, lambda answer: setattr(answer.topics[0].partitions[1], "leader_id", -1))
    said = failed(run("-b", broker.hosts, "--socket-timeout-ms", "500", *line.split()))
    assert "t/1 has no leader" in said and "doctor tells more" in said
    assert broker.seen("OffsetCommit") == broker.seen("Fetch") == []


def committed(offsets: dict[int, int], metadata: str = "") -> Any:
    """Return a script that answers OffsetFetch with these offsets of topic t."""

    def answer(request: Any, version: int) -> Any:
        reply: Any = response_of(type(request))
        rows = [
            reply.OffsetFetchResponsePartitions(partition_index=number, committed_offset=offset, metadata=metadata)
            for number, offset in offsets.items()
        ]
        topics = [reply.OffsetFetchResponseTopics(name="t", partitions=rows)]
        return reply(groups=[reply.OffsetFetchResponseGroup(group_id="g", topics=topics)])

    return answer


@pytest.mark.parametrize(
    ("metadata", "consumer_id", "hostname"),
    [
        ('{"consumer_id": "c-1", "hostname": "web-1"}', "c-1", "web-1"),
        ("kafka-tools", "-", "-"),
        ("[1]", "-", "-"),
        ('{"consumer_id": null}', "-", "-"),
        ("[" * 30000, "-", "-"),
        ("", "-", "-"),
    ],
)
def test_whatever_another_client_stored_with_its_commit_the_lag_is_shown(
    metadata: str, consumer_id: str, hostname: str, broker: FakeBroker
) -> None:
    broker.scripts["OffsetFetch"] = committed({0: 0, 1: 0}, metadata)
    outcome = run("-b", broker.hosts, "print_consumer_lag", "t", "g")
    assert outcome.code == 0
    assert outcome.rows[0] == ["0", "0", "0", "0", consumer_id, hostname]


def test_lines_that_are_not_written_are_counted_and_the_first_is_named(broker: FakeBroker) -> None:
    broker.partitions, broker.scripts["Produce"] = 1, refused
    outcome = run("-b", broker.hosts, "produce_topic", "t", stdin=b"one\n\ntwo")
    assert outcome.code == 1
    assert outcome.rows == [["t", "0", "3"]]
    assert outcome.err.startswith("kafka-tools: 3 messages failed; the first is line 1: TopicAuthorizationFailed (29)")
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize("command", ["print_groups", "describe_group g", "print_managed_consumer_groups t"])
@pytest.mark.parametrize("api", ["ListGroups", "DescribeGroups"])
def test_groups_that_may_not_be_looked_at_are_one_line(api: str, command: str, broker: FakeBroker) -> None:
    listed = ListGroupsResponse.ListedGroup(group_id="g", protocol_type="consumer")
    refused = DescribeGroupsResponse.DescribedGroup(group_id="g", error_code=30)
    broker.scripts["ListGroups"] = lambda request, version: ListGroupsResponse(
        error_code=30 if api == "ListGroups" else 0, groups=[listed]
    )
    broker.scripts["DescribeGroups"] = lambda request, version: DescribeGroupsResponse(groups=[refused])
    broker.scripts["OffsetFetch"] = committed({0: 0})
    outcome = run("-b", broker.hosts, *command.split())
    if (api, command) == ("DescribeGroups", "print_groups"):
        # what the list tells is worth more than nothing
        assert (outcome.code, outcome.rows[0][0]) == (0, "g")
    else:
        assert outcome.code == 1 and "GroupAuthorizationFailed (30)" in outcome.err and outcome.err.count("\n") == 1


# -- doctor -----------------------------------------------------------------------------------------------------------


def test_a_healthy_broker_is_all_ok(broker: FakeBroker) -> None:
    outcome, found = examined(broker.hosts)
    assert outcome.code == 0
    assert set(found) == {"DNS", "TCP", "protocol", "metadata", "advertised", "leaders", "copies", "clocks"}
    assert {row["status"] for rows in found.values() for row in rows} <= {"ok", "info"}


def test_its_findings_are_a_line_each_as_they_are_made(broker: FakeBroker) -> None:
    outcome = run("-b", broker.hosts, "doctor")
    assert outcome.out.splitlines()[1].startswith(f"ok      TCP {broker.hosts}: 127.0.0.1 answers in ")


def test_a_port_nobody_listens_on_is_a_problem_of_tcp() -> None:
    found = problems(f"127.0.0.1:{closed_port()}")
    assert set(found) == {"TCP", "cluster"}
    assert "Connection refused" in found["TCP"] and "listeners" in found["TCP"]


def test_a_name_that_does_not_resolve_is_a_problem_of_dns() -> None:
    found = problems(f"{NOWHERE}:9092")
    assert set(found) == {"DNS", "cluster"}
    assert "cannot be resolved" in found["DNS"] and "/etc/hosts" in found["DNS"]


def test_one_seed_that_is_wrong_is_told_and_the_others_are_used(broker: FakeBroker) -> None:
    found = problems(f"127.0.0.1:{closed_port()},{broker.hosts}")
    assert set(found) == {"TCP"}


def test_a_peer_that_is_no_broker_is_a_problem_of_the_protocol() -> None:
    with rude_peer(b"HTTP/1.1 400 Bad Request\r\n\r\n") as peer:
        found = problems(peer)
    assert set(found) == {"protocol", "cluster"}
    assert "HTTP" in found["protocol"]


@pytest.mark.parametrize(
    ("host", "words"),
    [(NOWHERE, "DNS: cannot be resolved"), ("127.0.0.1", "TCP: cannot be connected to"), ("0.0.0.0", "their own machine")],
)
def test_an_address_that_clients_cannot_use_is_a_problem_of_what_the_broker_advertises(
    host: str, words: str, broker: FakeBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = closed_port()

    def advertise(answer: Any) -> None:
        answer.brokers[0].host, answer.brokers[0].port = host, port

    with_metadata(broker, advertise)
    if host == "0.0.0.0":
        # as seen from another machine, where the broker has a name
        monkeypatch.setattr(probes, "is_only_local", lambda name: name == "0.0.0.0")
    found = problems(broker.hosts)
    assert set(found) == {"advertised"}
    assert words in found["advertised"] and "advertised.listeners of broker 1" in found["advertised"]


def test_plaintext_to_a_tls_port_is_told_with_the_flag_to_give() -> None:
    with fake_broker(tls=serving()) as broker:
        found = problems(broker.hosts)
    assert found["protocol"].startswith("this port speaks TLS") and "--ssl-cafile" in found["protocol"]


def test_tls_to_a_plaintext_port_is_told_with_the_flag_to_leave_out(broker: FakeBroker) -> None:
    found = problems(broker.hosts, "--ssl-cafile", CA)
    assert found["TLS"].startswith("this port speaks plaintext") and "--ssl" in found["TLS"]


def test_a_certificate_of_an_unknown_authority_is_told() -> None:
    with fake_broker(tls=serving()) as broker:
        found = problems(broker.hosts, "--ssl-cafile", str(FILES / "stranger.pem"))
    assert "not trusted" in found["TLS"] and "--ssl-cafile" in found["TLS"]


def test_a_certificate_for_another_host_is_told_unless_that_is_accepted() -> None:
    with fake_broker(tls=serving("elsewhere")) as broker:
        found = problems(broker.hosts, "--ssl-cafile", CA)
        assert "for another host" in found["TLS"] and "--ssl-no-check-hostname" in found["TLS"]
        assert examined(telling_time(broker).hosts, "--ssl-cafile", CA, "--ssl-no-check-hostname")[0].code == 0


def test_a_broker_that_asks_for_a_certificate_is_told() -> None:
    with fake_broker(tls=serving(ask=True)) as broker:
        telling_time(broker)
        found = problems(broker.hosts, "--ssl-cafile", CA)
        assert found["protocol"].startswith("the broker asks for a certificate of yours -> give --ssl-certfile")
        outcome, healthy = examined(broker.hosts, "--ssl-cafile", CA, "--ssl-certfile", str(FILES / "broker.pem"))
    assert outcome.code == 0
    assert "trusted" in healthy["TLS"][0]["finding"] and "127.0.0.1" in healthy["TLS"][0]["finding"]


def test_a_broker_that_does_not_trust_our_certificate_is_told() -> None:
    context = serving()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(FILES / "stranger.pem")
    with fake_broker(tls=context) as broker:
        found = problems(broker.hosts, "--ssl-cafile", CA, "--ssl-certfile", str(FILES / "broker.pem"))
    assert found["protocol"].startswith("the broker does not accept your certificate -> give --ssl-certfile one that")


def test_a_certificate_that_ends_soon_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "_days_left", lambda certificate: 3.0)
    with fake_broker(tls=serving()) as broker:
        outcome, found = examined(telling_time(broker).hosts, "--ssl-cafile", CA)
    assert outcome.code == 0
    assert (found["TLS"][0]["status"], found["TLS"][0]["finding"]) == ("WARNING", "the certificate ends in 3 days")


def test_partitions_without_a_leader_are_a_problem(broker: FakeBroker) -> None:
    leaderless(broker)
    found = problems(broker.hosts)
    assert set(found) == {"leaders"}
    assert "2 of 2 partitions cannot be read or written: t/0, t/1" in found["leaders"]


def test_copies_behind_are_a_warning_and_brokers_away_a_problem(broker: FakeBroker) -> None:
    with_metadata(broker, lambda answer: setattr(answer.topics[0].partitions[0], "replica_nodes", [1, 2]))
    _outcome, found = examined(broker.hosts)
    assert found["copies"][0]["status"] == "WARNING" and "1 of 2 partitions" in found["copies"][0]["finding"]
    assert set(problems(broker.hosts)) == {"brokers"}


def test_a_cluster_without_a_controller_is_a_warning(broker: FakeBroker) -> None:
    with_metadata(broker, lambda answer: setattr(answer, "controller_id", -1))
    outcome, found = examined(broker.hosts)
    assert (outcome.code, found["metadata"][0]["status"]) == (0, "WARNING")


def quorum(time_ms: float) -> Any:
    """Return the answer of a controller whose clock says ``time_ms``, beside a follower that knows nothing."""
    voters = [
        ReplicaState(replica_id=2, last_caught_up_timestamp=5),
        ReplicaState(replica_id=1, last_caught_up_timestamp=int(time_ms)),
    ]
    part = DescribeQuorumResponse.PartitionData(partition_index=0, leader_id=1, current_voters=voters)
    return DescribeQuorumResponse(topics=[DescribeQuorumResponse.TopicData(topic_name="__cluster_metadata", partitions=[part])])


@pytest.mark.parametrize(
    ("off_ms", "status", "words"),
    [
        (0, "ok", "controller 1 is "),
        (90_000, "WARNING", "ms ahead of this machine"),
        (-90_000, "WARNING", "ms behind this machine"),
    ],
)
def test_the_clock_of_the_controller_is_compared_with_this_machine(
    off_ms: int, status: str, words: str, broker: FakeBroker
) -> None:
    telling_time(broker, off_ms)
    _outcome, found = examined(broker.hosts)
    (clocks,) = found["clocks"]
    assert clocks["status"] == status and words in clocks["finding"]
    if off_ms:
        told = int(re.sub(r"\D", "", clocks["finding"].split(" is ")[1].split(" ms ")[0]))
        assert abs(told - 90_000) < 2000


@pytest.mark.parametrize("how", ["may not be asked", "before 3.3", "with ZooKeeper"])
def test_where_no_controller_tells_its_time_messages_from_the_future_are_looked_for(how: str, broker: FakeBroker) -> None:
    answer = DescribeQuorumResponse(error_code=31) if how == "may not be asked" else quorum(-1)
    broker.scripts["DescribeQuorum"] = lambda request, version: answer
    if how == "with ZooKeeper":
        broker.scripts["ApiVersions"] = lambda request, version: without(DescribeQuorumRequest, broker.versions(request, version))
    _outcome, found = examined(broker.hosts)
    assert (found["clocks"][0]["status"], "no message in 1 topic is" in found["clocks"][0]["finding"]) == ("info", True)

    def from_the_future(request: Any, version: int) -> Any:
        rows = [
            ListOffsetsResponse.ListOffsetsPartitionResponse(
                partition_index=part.partition_index, offset=9 if part.timestamp == -1 else 5
            )
            for part in request.topics[0].partitions
        ]
        return ListOffsetsResponse(topics=[ListOffsetsResponse.ListOffsetsTopicResponse(name="t", partitions=rows)])

    broker.scripts["ListOffsets"] = from_the_future
    _outcome, found = examined(broker.hosts)
    assert found["clocks"][0]["status"] == "WARNING" and "from the future" in found["clocks"][0]["finding"]


def without(api: Any, answer: Any) -> Any:
    """Return an answer to ApiVersions without one API."""
    answer.api_keys = [row for row in answer.api_keys if row.api_key != api.KEY]
    return answer


def test_a_file_of_tls_that_is_wrong_is_a_mistake_and_not_a_finding() -> None:
    said = failed(run("-b", "127.0.0.1:1", "--ssl-cafile", "/no/such.pem", "doctor"), code=2)
    assert "/no/such.pem" in said


# -- probes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost", True), ("LOCALHOST.", True), ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("0.0.0.0", True),
        ("::", True), ("10.0.0.1", False), ("kafka-1", False), ("localhost.example", False),
    ],
)  # fmt: skip
def test_addresses_that_mean_every_machine_itself_are_known(host: str, local: bool) -> None:
    assert probes.is_only_local(host) is local


def test_tls_is_told_from_plaintext_without_trusting_anybody(broker: FakeBroker) -> None:
    assert not probes.speaks_tls("127.0.0.1", broker.port, 1.0)
    with fake_broker(tls=serving(ask=True)) as secured:
        assert probes.speaks_tls("127.0.0.1", secured.port, 1.0)
    assert not probes.speaks_tls("127.0.0.1", closed_port(), 1.0)


def test_a_silent_address_is_told_from_one_that_refuses() -> None:
    with socket.socket() as full, pytest.raises(TimeoutError, match="no answer"):
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        try:
            probes.connect(probes.look_up(*full.getsockname()), 0.3)
        finally:
            for one in waiting:
                one.close()


def test_what_is_no_host_name_is_an_error_of_the_lookup() -> None:
    with pytest.raises(OSError, match="not a host name"):
        probes.look_up("a" * 70, 9092)


def test_names_of_a_certificate_are_its_dns_names_and_addresses() -> None:
    shown = {"subjectAltName": (("DNS", "kafka-1"), ("IP Address", "127.0.0.1"), ("email", "x@y"))}
    assert probes.names_in(shown) == ["kafka-1", "127.0.0.1"]
    assert probes._days_left({"notAfter": ssl_time(-1)}) < 0 < probes._days_left({"notAfter": ssl_time(3)}) < 4
    assert probes._days_left({}) == float("inf")


def ssl_time(days: float) -> str:
    """Return a time so many days from now as certificates have it."""
    return time.strftime("%b %d %H:%M:%S %Y GMT", time.gmtime(time.time() + days * 86400))
