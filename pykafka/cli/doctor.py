"""``kafka-tools doctor``: walks from DNS to the copies of partitions; says what is right, what is wrong, what to change."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator
from typing import NamedTuple, Optional, TextIO

from ..broker import Broker
from ..client import KafkaClient
from ..config import parse_hosts
from ..connection import SslConfig
from ..exceptions import KafkaException, NoBrokersAvailableError
from ..quorum import controller_time
from . import probes
from .errors import one_line
from .formats import Column, Report, counted, text, write
from .settings import Settings
from .topics import require_topic

log = logging.getLogger(__name__)

OK, INFO, WARNING, PROBLEM = "ok", "info", "WARNING", "PROBLEM"
#: A certificate that ends within so many days is worth a warning.
SOON_DAYS = 14
#: A clock that is off by more than so many milliseconds is worth a warning.
CLOCK_LIMIT_MS = 1000
#: The first request opens a connection, which blurs what is measured.
CLOCK_TRIES = 3
#: How far ahead of this machine's clock (milliseconds) the time of a message must be to mean anything.
AHEAD_MS = 60_000
#: So many topics are looked at for messages from the future.
CLOCK_TOPICS = 50
#: So many names are listed in one line.
MOST_NAMES = 5


class Finding(NamedTuple):
    """One line: what was looked at, where, how it is, and what to change."""

    check: str
    where: str
    status: str
    finding: str
    advice: str = ""


def run(settings: Settings, out: TextIO) -> int:
    """Print what was found, as a table line by line; return 1 when there is a problem, else 0."""
    findings = []
    for found in examine(settings):
        # hosts and errors are brokers' words
        finding = Finding(*map(text, found))
        findings.append(finding)
        if settings.format == "table":
            advice = f" -> {finding.advice}" if finding.advice else ""
            print(f"{finding.status:8}{finding.check} {finding.where}: {finding.finding}{advice}", file=out, flush=True)
    if settings.format != "table":
        columns = [Column(key, key.capitalize()) for key in Finding._fields]
        write(Report(columns, findings), settings.format, out)
    return int(any(finding.status == PROBLEM for finding in findings))


def examine(settings: Settings) -> Iterator[Finding]:
    """Yield findings as they are made."""
    walk = Walk(settings)
    client: Optional[KafkaClient] = None
    seeds = parse_hosts(settings.broker)
    try:
        for host, port in seeds:
            yield from walk.reach(host, port)
            if not walk.reached:
                continue
            fresh = yield from walk.talk(host, port)
            if client is None:
                client = fresh
            elif fresh is not None:
                fresh.close()
        if client is not None:
            yield from walk.cluster(client, seeds)
        else:
            yield Finding("cluster", settings.broker, PROBLEM, "no broker could be asked about the cluster", "see above")
    finally:
        if client is not None:
            client.close()


class Walk:
    """The steps, each of which yields its findings."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._tls: Optional[SslConfig] = settings.ssl_config()
        self._timeout_s = settings.socket_timeout_ms / 1000.0
        #: whether the last :meth:`reach` got as far as a connection (with TLS, a trusted one)
        self.reached = False

    # -- one address --------------------------------------------------------------------------------------------------

    def reach(self, host: str, port: int) -> Iterator[Finding]:
        """Look the host up, connect, and shake hands if TLS is wanted."""
        self.reached = False
        where = _spelled(host, port)
        try:
            addresses = probes.look_up(host, port)
        except OSError as error:
            advice = "check the name; if it is right, DNS or /etc/hosts of this machine must know it"
            yield Finding("DNS", host, PROBLEM, f"cannot be resolved: {error.strerror or error}", advice)
            return
        yield Finding("DNS", host, OK, "is " + ", ".join(dict.fromkeys(str(address[0]) for _family, address in addresses)))
        try:
            connection = probes.connect(addresses, self._timeout_s)
        except TimeoutError as error:
            advice = "check the address; if it is right, the machine is down or a firewall drops packets to it"
            yield Finding("TCP", where, PROBLEM, f"nobody answers: {error}", advice)
            return
        except OSError as error:
            advice = "check the port, and that the broker runs and listens on this address (its listeners setting)"
            yield Finding("TCP", where, PROBLEM, f"cannot be connected to: {error}", advice)
            return
        besides = f" (but {'; '.join(connection.failed)})" if connection.failed else ""
        yield Finding("TCP", where, OK, f"{connection.ip} answers in {connection.took_ms:.0f} ms{besides}")
        with connection.sock:
            if self._tls is None:
                self.reached = True
            else:
                yield self._shake_hands(connection, host, port, self._tls)

    def _shake_hands(self, connection: probes.Connection, host: str, port: int, tls: SslConfig) -> Finding:
        where = _spelled(host, port)
        try:
            shown = probes.handshake(connection.sock, host, tls)
        except (OSError, ValueError) as error:
            return Finding("TLS", where, PROBLEM, *self._why_no_tls(error, host, port))
        self.reached = True
        names = ", ".join(shown.names) or "nobody by name"
        if shown.days_left < SOON_DAYS:
            days = f"the certificate ends in {shown.days_left:.0f} days"
            return Finding("TLS", where, WARNING, days, "give the broker a new certificate")
        return Finding("TLS", where, OK, f"{shown.tls_version}, the certificate is trusted and is for {names}")

    def _why_no_tls(self, error: Exception, host: str, port: int) -> tuple[str, str]:
        """Return (what is wrong, what to change) when a handshake failed."""
        if isinstance(error, OSError) and probes.is_wrong_name(error):
            advice = "connect by a name that is in the certificate, or have one made for this name, or --ssl-no-check-hostname"
            return f"the certificate is for another host: {probes.verification_reason(error)}", advice
        if isinstance(error, OSError) and probes.is_verification_error(error):
            advice = "give --ssl-cafile the authority that signed the broker's certificate"
            return f"the certificate is not trusted: {probes.verification_reason(error)}", advice
        if probes.is_about_our_certificate(error) and self._tls is not None:
            return _about_our_certificate(self._tls)
        if self._answers_in_plaintext(host, port):
            return "this port speaks plaintext, not TLS", "leave the --ssl flags (and settings) out, or use the TLS port"
        return (
            f"the handshake failed: {one_line(error)}",
            "check that this is a TLS port, and the broker's ssl.enabled.protocols",
        )

    def _answers_in_plaintext(self, host: str, port: int) -> bool:
        try:
            KafkaClient(_spelled(host, port), socket_timeout_ms=self._settings.socket_timeout_ms).close()
        except KafkaException:
            return False
        return True

    def talk(self, host: str, port: int) -> Generator[Finding, None, Optional[KafkaClient]]:
        """Speak Kafka; the value of the generator is a client of this address, or None."""
        where = _spelled(host, port)
        try:
            client = self._settings.connect(where)
        except NoBrokersAvailableError as error:
            yield Finding("protocol", where, PROBLEM, *self._why_no_answer(_reason(error, where), host, port))
            return None
        yield Finding("protocol", where, OK, "ApiVersions and Metadata were answered")
        return client

    def _why_no_answer(self, reason: str, host: str, port: int) -> tuple[str, str]:
        if self._tls is None and probes.speaks_tls(host, port, self._timeout_s):
            return (
                "this port speaks TLS and was spoken to in plaintext",
                "give --ssl-cafile FILE (or --ssl), or use the plaintext port",
            )
        if self._tls is not None and probes.refuses_our_certificate(host, port, self._tls, self._timeout_s):
            return _about_our_certificate(self._tls)
        return reason, "check that a Kafka broker listens here, and that it asks for no SASL, which this version lacks"

    # -- the cluster --------------------------------------------------------------------------------------------------

    def cluster(self, client: KafkaClient, seeds: list[tuple[str, int]]) -> Iterator[Finding]:
        """Look at every broker where it says that it is, and at the partitions."""
        try:
            client.update_cluster()
        except KafkaException as error:
            yield Finding("metadata", "cluster", PROBLEM, one_line(error), "see whether a broker has just gone down")
            return
        brokers = [broker for _id, broker in sorted(client.brokers.items())]
        controller = client.cluster.controller_broker
        number = counted(len(brokers), "broker")
        known = "no controller" if controller is None else f"controller {controller.id}"
        advice = "" if controller is not None else "topics cannot be created or deleted now: look at the controllers' logs"
        yield Finding("metadata", "cluster", OK if controller is not None else WARNING, f"{number}, {known}", advice)
        for broker in brokers:
            yield from self._advertised(broker, seeds)
        yield from _partitions(client)
        yield _clocks(client)

    def _advertised(self, broker: Broker, seeds: list[tuple[str, int]]) -> Iterator[Finding]:
        host, port = broker.host.decode(), broker.port
        where = f"broker {broker.id} at {_spelled(host, port)}"
        if probes.is_only_local(host) and not any(probes.is_only_local(seed) for seed, _port in seeds):
            yield Finding(
                "advertised", where, PROBLEM, "it tells clients an address that means their own machine",
                f"set advertised.listeners of broker {broker.id} to a name that clients can resolve and reach",
            )  # fmt: skip
            return
        if (host, port) not in seeds:
            steps = list(self.reach(host, port))
            bad = [step for step in steps if step.status == PROBLEM]
            for step in bad:
                advice = f"set advertised.listeners of broker {broker.id} to what clients can reach, or: {step.advice}"
                yield Finding("advertised", where, PROBLEM, f"{step.check}: {step.finding}", advice)
            if bad:
                return
        try:
            broker.connect(attempts=1)
        except KafkaException as error:
            yield Finding("advertised", where, PROBLEM, *self._why_no_answer(one_line(error), host, port))
        else:
            yield Finding("advertised", where, OK, "can be reached and answers")


def _about_our_certificate(tls: SslConfig) -> tuple[str, str]:
    """Return (what is wrong, what to change) when a broker did not take the certificate of this side."""
    if tls.certfile is None:
        return "the broker asks for a certificate of yours", "give --ssl-certfile FILE (and --ssl-keyfile)"
    advice = "give --ssl-certfile one that an authority in the broker's ssl.truststore signed, and that has not ended"
    return "the broker does not accept your certificate", advice


def _partitions(client: KafkaClient) -> Iterator[Finding]:
    """Yield what is wrong with leaders and copies; one line each, however many partitions it is about."""
    total = 0
    leaderless: list[str] = []
    behind: list[str] = []
    away: set[int] = set()
    names = sorted(client.topics)
    for name in names:
        topic = client.topics.get(name)
        for number, partition in sorted(topic.partitions.items()) if topic is not None else ():
            total += 1
            shown = f"{text(name)}/{number}"
            if partition.leader is None:
                leaderless.append(shown)
            elif set(partition.isr_ids) < set(partition.replica_ids):
                behind.append(shown)
            away |= set(partition.replica_ids) - set(client.brokers)
    if away:
        found = f"brokers {sorted(away)} hold copies but are not in the cluster"
        yield Finding("brokers", "cluster", PROBLEM, found, "start them, or look at their logs")
    if leaderless:
        found = f"{len(leaderless)} of {counted(total, 'partition')} cannot be read or written: {_some(leaderless)}"
        yield Finding("leaders", "cluster", PROBLEM, found, "start the brokers that hold their copies")
    else:
        yield Finding("leaders", "cluster", OK, f"{counted(total, 'partition')} in {counted(len(names), 'topic')}, each has one")
    if behind:
        found = f"{len(behind)} of {counted(total, 'partition')} with copies that are missing or behind: {_some(behind)}"
        yield Finding("copies", "cluster", WARNING, found, "see that all brokers run and have disk and network to keep up")
    elif not leaderless:
        yield Finding("copies", "cluster", OK, "all are in sync")


def _clocks(client: KafkaClient) -> Finding:
    """Compare this machine's clock with the cluster's, or say what can be known of it by reading alone."""
    try:
        measured = [_difference(client) for _ in range(CLOCK_TRIES)]
    except KafkaException as error:
        log.debug("no controller tells its time: %s", error)
        return _clocks_by_messages(client)
    known = [difference for difference in measured if difference is not None]
    if not known:
        return _clocks_by_messages(client)
    # the quickest answer is the most exact one
    found = min(known, key=lambda difference: difference.within_ms)
    by = f"{abs(found.ahead_ms):,.0f} ms {'ahead of' if found.ahead_ms > 0 else 'behind'} this machine"
    shown = f"controller {found.controller_id} is {by}, within {found.within_ms:,.0f} ms"
    if abs(found.ahead_ms) - found.within_ms > CLOCK_LIMIT_MS:
        advice = "compare the clocks (NTP) of this machine and the brokers: retention and look-ups by time go by them"
        return Finding("clocks", "cluster", WARNING, shown, advice)
    return Finding("clocks", "cluster", OK, shown)


class Difference(NamedTuple):
    """How far a controller's clock is ahead of ours, and how far off that may be."""

    controller_id: int
    ahead_ms: float
    within_ms: float


def _difference(client: KafkaClient) -> Optional[Difference]:
    before = probes.now_ms()
    found = controller_time(client.cluster)
    after = probes.now_ms()
    if found is None:
        return None
    # it was read some time between the two; to a millisecond
    return Difference(found.controller_id, found.time_ms - (before + after) / 2, (after - before) / 2 + 1)


def _clocks_by_messages(client: KafkaClient) -> Finding:
    """Say whether messages are from the future: with ZooKeeper nothing tells a broker's time, but messages have times."""
    ahead: list[str] = []
    soon_ms = int(probes.now_ms()) + AHEAD_MS
    # internal topics first: the times in __consumer_offsets are the brokers' own
    names = sorted(client.topics, key=lambda name: (not name.startswith(b"__"), name))[:CLOCK_TOPICS]
    try:
        for name in names:
            topic = require_topic(client, name.decode())
            later = topic.fetch_offset_limits(soon_ms)
            ends = topic.latest_available_offsets()
            if any(later[number].offset < ends[number].offset for number in later if number in ends):
                ahead.append(text(name))
    except KafkaException as error:
        return Finding("clocks", "cluster", INFO, f"cannot be known: {one_line(error)}")
    if ahead:
        found = f"messages from the future, by this machine's clock, in {_some(ahead)}"
        advice = "compare the clocks (NTP) of this machine, the brokers and the producers"
        return Finding("clocks", "cluster", WARNING, found, advice)
    found = f"this cluster tells nobody its time; no message in {counted(len(names), 'topic')} is from the future"
    return Finding("clocks", "cluster", INFO, found)


def _some(names: list[str]) -> str:
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _reason(error: NoBrokersAvailableError, where: str) -> str:
    """Return why the one address that was tried did not answer."""
    return one_line(error).split(f"{where}: ", 1)[-1]


def _spelled(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
