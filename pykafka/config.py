"""Every option in one table per class: name, kind, default, range, meaning. Checking, help and docs come from the rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Callable, NamedTuple, Optional, Union

from .common import CompressionType, OffsetType, brief
from .exceptions import BadNameError, KafkaConfigError, UnicodeException
from .membershipprotocol import RangeProtocol, check_membership_protocol
from .utils.arguments import MAX_INT32 as MAX_INT32
from .utils.arguments import to_name as to_name

#: The length of a string goes out as int16.
MAX_STRING_BYTES = 32767

Check = Callable[[Any], Any]


class Option(NamedTuple):
    """One option. ``check`` returns the value to use; it raises ValueError, or UnicodeException, with what would be right."""

    name: str
    default: Any
    check: Check
    allowed: str
    doc: str


def parse_hosts(hosts: Union[str, bytes, Any]) -> list[tuple[str, int]]:
    """Return (host, port) of every ``host:port`` in a comma-separated list; what follows a ``/`` in an item is dropped.

    IPv6 addresses are written in brackets: ``[::1]:9092``. Nothing is resolved here.

    :raises ValueError: naming every item that is not right and what to write
    """
    if isinstance(hosts, bytes):
        hosts = hosts.decode("utf-8", "replace")
    if not isinstance(hosts, str):
        join = "; join them with commas: ','.join(hosts)" if isinstance(hosts, (list, tuple, set)) else ""
        raise ValueError(f"must be a str like 'kafka-1:9092,kafka-2:9092'{join}")
    found: list[tuple[str, int]] = []
    problems: list[str] = []
    for item in (part.strip() for part in hosts.split(",")):
        if not item:
            continue
        try:
            found.append(_split_host(item))
        except ValueError as problem:
            problems.append(f"{item!r}: {problem}")
    if problems or not found:
        raise ValueError("; ".join(problems or ["is empty: write at least one 'kafka:9092'"]))
    return list(dict.fromkeys(found))


def _split_host(item: str) -> tuple[str, int]:
    if "://" in item:
        raise ValueError("no scheme belongs here, write 'kafka:9092'")
    item = item.split("/", 1)[0]
    host, colon, port = item.rpartition(":")
    if item.startswith("["):
        host, closed, port = item[1:].partition("]")
        if not closed or not _is_ipv6(host) or port[:1] not in ("", ":"):
            raise ValueError("brackets are for an IPv6 address and have the port behind them: write '[::1]:9092'")
        colon, port = port[:1], port[1:]
    elif ":" in host:
        raise ValueError(f"write an IPv6 address in brackets, '[{item}]:9092'")
    if not colon:
        raise ValueError(f"missing port, write '{item}:9092'")
    if not host:
        raise ValueError(f"missing host, write 'localhost:{port}'")
    if not 0 < _port(port) < 65536:
        raise ValueError(f"the port must be a number from 1 to 65535, not {port!r}")
    return host, int(port)


def _is_ipv6(text: str) -> bool:
    import ipaddress  # only those who write such an address pay for it

    try:
        return ipaddress.ip_address(text).version == 6
    except ValueError:
        return False


def _port(text: str) -> int:
    """Return the number in ``text``; -1 when it is none, or has more digits than any port."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 5 else -1


def parse_source(address: Union[str, bytes, Any]) -> Optional[tuple[str, int]]:
    """Return (host, port) to bind outgoing connections to, port 0 for any; None when ``address`` is empty.

    :raises ValueError: saying what to write
    """
    if isinstance(address, bytes):
        address = address.decode("utf-8", "replace")
    if not isinstance(address, str):
        raise ValueError("must be a str like '10.0.0.7' or '10.0.0.7:5000'")
    if not address:
        return None
    host, colon, port = address.rpartition(":")
    # an IPv6 address without a port has colons of its own
    if not colon or address.endswith("]") or (":" in host and _is_ipv6(address)):
        host, port = address, "0"
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not bare or (":" in bare and not _is_ipv6(bare)) or not 0 <= _port(port) < 65536:
        raise ValueError("write 'host' or 'host:port', with a port from 0 to 65535 and an IPv6 address in brackets")
    return bare, int(port)


def checked_pattern(pattern: Any) -> Optional[str]:
    """Return a regular expression for names of topics, or None.

    :raises TypeError: when it is no str
    :raises ValueError: when it is no regular expression, empty, or longer than what can be sent
    """
    if pattern is None:
        return None
    if not isinstance(pattern, str):
        raise TypeError(f"pattern must be a str with a regular expression, not {brief(pattern)}")
    if not 0 < len(pattern) <= MAX_STRING_BYTES:
        raise ValueError(f"pattern must have 1 to {MAX_STRING_BYTES} characters, not {len(pattern)}")
    import re  # only needed by those who have one

    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"pattern={brief(pattern)} is no regular expression: {error}") from None
    return pattern


def require_names(names: Iterable[Any], what: str) -> list[bytes]:
    """Return the names in a list as bytes; ``what`` is the argument that it was given as.

    :raises TypeError: for what is no list, above all a single name, or a name that is neither str nor bytes
    :raises UnicodeException: for a name that is not ASCII
    """
    if isinstance(names, (str, bytes)) or not isinstance(names, Iterable):
        raise TypeError(f"{what} must be a list of names, not {brief(names)}")
    return [to_name(name, f"{what}[{number}]") for number, name in enumerate(names)]


def _integer(low: int, high: int = MAX_INT32, unit: str = "") -> tuple[Check, str]:
    allowed = f"an integer from {low} to {high}" + (f" ({unit})" if unit else "")

    def check(value: Any) -> int:
        # bool is an int to Python, but never what was meant here
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value // 1:
            raise ValueError(f"must be {allowed}")
        if not low <= value <= high:
            raise ValueError(f"must be {allowed}")
        return int(value)

    return check, allowed


def _optional(row: tuple[Check, str]) -> tuple[Check, str]:
    inner, allowed = row

    def check(value: Any) -> Any:
        return None if value is None else inner(value)

    return check, f"{allowed}, or None"


def _boolean() -> tuple[Check, str]:
    def check(value: Any) -> bool:
        # 1 and 0 mean the same everywhere; "False", from a file of settings, would be true
        if not isinstance(value, int) or value not in (False, True):
            raise ValueError("must be True or False")
        return bool(value)

    return check, "True or False"


def _one_of(*members: Any, names: str = "") -> tuple[Check, str]:
    allowed = names or "one of " + ", ".join(repr(member) for member in members)

    def check(value: Any) -> Any:
        for member in members:
            # 1.0 and True equal 1, but are not what goes on the wire
            if value == member and isinstance(value, type(member)) and not isinstance(value, bool):
                return member
        raise ValueError(f"must be {allowed}")

    return check, allowed


def _callable() -> tuple[Check, str]:
    def check(value: Any) -> Any:
        if value is not None and not callable(value):
            raise ValueError("must be callable, or None")
        return value

    return check, "a callable, or None"


def _text() -> tuple[Check, str]:
    def check(value: Any) -> str:
        if isinstance(value, bytes):
            value = value.decode("utf-8", "surrogateescape")
        if not isinstance(value, str):
            raise ValueError("must be a str")
        try:
            size = len(value.encode())
        except UnicodeEncodeError:
            raise ValueError("must be text that UTF-8 can hold") from None
        if size > MAX_STRING_BYTES:
            raise ValueError(f"must have at most {MAX_STRING_BYTES} bytes, not {size}")
        return value

    return check, "a str"


def _version() -> tuple[Check, str]:
    text, _allowed = _text()

    def check(value: Any) -> Any:
        if not text(value).split(".")[0].isdecimal():
            raise ValueError("must be a version like '2.8.1'")
        return value

    return check, "a version like '2.8.1'"


def _label() -> tuple[Check, str]:
    allowed = "a str or bytes of ASCII characters"

    def check(value: Any) -> bytes:
        try:
            return to_name(value, "it")
        except TypeError:
            raise ValueError(f"must be {allowed}") from None

    return check, allowed


def _name() -> tuple[Check, str]:
    allowed = f"a str or bytes of 1 to {MAX_STRING_BYTES} ASCII characters"

    def check(value: Any) -> bytes:
        try:
            name = to_name(value, "it")
        except TypeError:
            raise ValueError(f"must be {allowed}") from None
        if not 0 < len(name) <= MAX_STRING_BYTES:
            raise ValueError(f"must be {allowed}")
        return name

    return check, allowed


def _name_or_nothing() -> tuple[Check, str]:
    inner, allowed = _name()

    def check(value: Any) -> Optional[bytes]:
        # settings often have an empty string for nothing, and PyKafka took it for that
        return None if value is None or value in ("", b"") else inner(value)

    return check, f"{allowed}, or None"


def _host() -> tuple[Check, str]:
    text, _allowed = _text()
    allowed = "a host name or address, as str or bytes"

    def check(value: Any) -> str:
        host: str = text(value)
        if not host or not host.isprintable() or any(char in host for char in " /,"):
            raise ValueError(f"must be {allowed}")
        return host

    return check, allowed


def _sharing() -> tuple[Check, str]:
    def check(value: Any) -> Any:
        several = value if isinstance(value, (list, tuple)) and not hasattr(value, "protocol_name") else [value]
        if not several:
            raise ValueError("must not be empty")
        try:
            for one in several:
                check_membership_protocol(one, "it")
        except TypeError as error:
            raise ValueError(str(error)) from None
        return value

    return check, "a GroupMembershipProtocol, or a list of them, the best first"


def _any() -> tuple[Check, str]:
    return (lambda value: value), "anything"


def tls_context_maker(config: Any) -> Optional[Callable[[], Any]]:
    """Return what gives the ssl.SSLContext of ``config``; None when ``config`` wants to wrap sockets by itself.

    An SslConfig and an SSLContext make contexts, which take the handshake in steps. Anything else only has PyKafka's
    wrap_socket(sock), and so has a subclass of SslConfig that overrides it.
    """
    if callable(getattr(config, "context", None)):
        by_class = [cls for cls in type(config).__mro__ if "context" in vars(cls) or "wrap_socket" in vars(cls)]
        overridden = bool(by_class) and "context" not in vars(by_class[0])
        return None if overridden else config.context
    # by what it has, not by its class: gevent's patching puts another class in the place of ssl.SSLContext
    return (lambda: config) if hasattr(config, "wrap_bio") else None


def _tls() -> tuple[Check, str]:
    allowed = "an SslConfig, an ssl.SSLContext, an object with wrap_socket(sock), or None"

    def check(value: Any) -> Any:
        if value is None:
            return value
        if isinstance(value, type):
            raise ValueError(f"must be {allowed}, not a class: make an object of it")
        make_context = tls_context_maker(value)
        if make_context is not None:
            _check_context(make_context)
        elif not callable(getattr(value, "wrap_socket", None)):
            raise ValueError(f"must be {allowed}")
        return value

    return check, allowed


def _check_context(make_context: Callable[[], Any]) -> None:
    """Have files that are missing or wrong named now, not at the first connection."""
    try:
        context = make_context()
    except KafkaConfigError:
        raise
    except Exception as error:
        raise ValueError(f"its context() failed: {brief(error)}") from error
    if not callable(getattr(context, "wrap_socket", None)):
        raise ValueError(f"its context() must return an ssl.SSLContext, not {brief(context)}")


def _none(instead: str) -> tuple[Check, str]:
    def check(value: Any) -> None:
        if value is not None:
            raise ValueError(instead)

    return check, "None"


def _table(*rows: tuple[str, Any, tuple[Check, str], str]) -> dict[str, Option]:
    return {name: Option(name, default, check[0], check[1], doc) for name, default, check, doc in rows}


_MS = "milliseconds"
#: Options that may hold passwords: errors end up in logs.
_SECRET = {"sasl_config", "ssl_config"}
_NO_ZOOKEEPER = "Kafka has no ZooKeeper any more; write KafkaClient(hosts='kafka-1:9092,kafka-2:9092') instead"
_OFFSETS = _one_of(OffsetType.EARLIEST, OffsetType.LATEST, names="OffsetType.EARLIEST or OffsetType.LATEST")

CLIENT = _table(
    ("hosts", "127.0.0.1:9092", (parse_hosts, "host:port,host:port"), "Some brokers; the others are found through them."),
    ("zookeeper_hosts", None, _none(_NO_ZOOKEEPER), "Retired: brokers are found through hosts."),
    ("socket_timeout_ms", 30000, _integer(1, unit=_MS), "How long connecting, or one request, may take."),
    ("offsets_channel_socket_timeout_ms", 10000, _integer(1, unit=_MS), "The same for committing and fetching offsets."),
    ("use_greenlets", False, _boolean(), "Check that gevent has patched the standard library; ``handler`` is gevent's."),
    ("exclude_internal_topics", True, _boolean(), "Hide topics whose names start with two underscores."),
    ("source_address", "", (parse_source, "host or host:port"), "What outgoing connections are made from."),
    ("ssl_config", None, _tls(), "TLS settings; plaintext when None."),
    ("broker_version", "0.9.0", _version(), "Accepted and ignored: versions are negotiated per connection."),
    ("client_id", "pykafka", _text(), "The name that brokers log and apply quotas to."),
    ("sasl_config", None, _none("SASL is not in this version yet: leave it out"), "Room for SASL."),
    ("metadata_max_age_ms", 300000, _integer(1, unit=_MS), "How old metadata of topics in use may get."),
    ("reconnect_backoff_ms", 50, _integer(1, unit=_MS), "The pause before connecting again; doubles while it fails."),
    ("reconnect_backoff_max_ms", 1000, _integer(1, unit=_MS), "The longest such pause."),
    ("max_response_bytes", 104857600, _integer(1024, unit="bytes"), "Larger answers are refused before memory is spent."),
)

#: A broker or connection that is made by hand.
BROKER = _table(
    ("id_", -1, _integer(-MAX_INT32 - 1), "The broker's number in the cluster; -1 when it is not known."),
    ("host", "127.0.0.1", _host(), "The name or address to connect to."),
    ("port", 9092, _integer(1, 65535), "The port to connect to."),
    ("socket_timeout_ms", 30000, _integer(1, unit=_MS), "How long connecting, or one request, may take."),
    ("offsets_channel_socket_timeout_ms", 10000, _integer(1, unit=_MS), "The same for committing and fetching offsets."),
    ("buffer_size", 1048576, _integer(1, unit="bytes"), "Accepted and without effect: buffers grow as needed."),
    ("source_host", "", _text(), "What connections are made from; empty for any address."),
    ("source_port", 0, _integer(0, 65535), "The port they are made from; 0 for any."),
    ("ssl_config", None, _tls(), "TLS settings; plaintext when None."),
    ("broker_version", "0.9.0", _version(), "Accepted and ignored: versions are negotiated per connection."),
)

PRODUCER = _table(
    ("partitioner", None, _callable(), "callable(partitions, key) -> Partition; None deals them out in turn."),
    ("compression", CompressionType.NONE, _one_of(0, 1, 2, 3, 4, names="a CompressionType (0 to 4)"), "The codec."),
    ("max_retries", None, _optional(_integer(0)), "Most retries of one batch; None: until delivery_timeout_ms."),
    ("retry_backoff_ms", 100, _integer(1, unit=_MS), "The pause before a retry."),
    ("required_acks", -1, _one_of(0, 1, -1), "-1: all in-sync replicas, idempotent; 1: the leader; 0: nobody."),
    ("ack_timeout_ms", 10000, _integer(1, unit=_MS), "How long the broker may wait for replicas."),
    ("max_queued_messages", 100000, _integer(1), "How many messages may wait or be under way."),
    ("min_queued_messages", 70000, _integer(0), "Accepted and without effect: linger_ms decides."),
    ("linger_ms", 5, _integer(0, unit=_MS), "How long a message may wait for company in its batch."),
    ("queue_empty_timeout_ms", 0, _integer(-1, unit=_MS), "Accepted and without effect."),
    ("block_on_queue_full", True, _boolean(), "Wait for room, or raise ProducerQueueFullError."),
    ("max_request_size", 1000012, _integer(1024, unit="bytes"), "The largest batch and message (value, key and headers)."),
    ("sync", False, _boolean(), "produce() waits for the acknowledgement and raises what went wrong."),
    ("delivery_reports", False, _boolean(), "Keep (message, error) of every message for get_delivery_report()."),
    ("pending_timeout_ms", 5000, _integer(-1, unit=_MS), "How long a sync produce() and stop() wait; -1: for ever."),
    ("auto_start", True, _boolean(), "Start in the constructor."),
    ("serializer", None, _callable(), "f(value, key) -> (value, key), both bytes or None."),
    ("delivery_timeout_ms", 120000, _integer(1, unit=_MS), "How long a message may take from queue to outcome."),
    ("max_queued_bytes", 67108864, _integer(1024, unit="bytes"), "How much memory queued messages may hold."),
)

CONSUMER = _table(
    ("consumer_group", None, _name_or_nothing(), "The group that offsets are committed for; None: they are not committed."),
    ("partitions", None, _any(), "The partitions to read; None: all of the topic."),
    ("fetch_message_max_bytes", 1048576, _integer(1, unit="bytes"), "How much is fetched of a partition at a time."),
    ("num_consumer_fetchers", 1, _integer(1), "Accepted and without effect: one thread fetches from all brokers."),
    ("auto_commit_enable", False, _boolean(), "Commit what was delivered, in the background and on stop()."),
    ("auto_commit_interval_ms", 60000, _integer(1, unit=_MS), "How often."),
    ("queued_max_messages", 2000, _integer(1), "A partition with this many messages waiting is not fetched."),
    ("fetch_min_bytes", 1, _integer(1, unit="bytes"), "How much there must be before the broker answers."),
    ("fetch_error_backoff_ms", 500, _integer(0, unit=_MS), "From 50 ms on the pause after failed fetches doubles up to this."),
    ("fetch_wait_max_ms", 100, _integer(0, unit=_MS), "How long the broker may wait for fetch_min_bytes."),
    ("offsets_channel_backoff_ms", 1000, _integer(1, unit=_MS), "The longest pause between tries to fetch or commit offsets."),
    ("offsets_commit_max_retries", 5, _integer(0), "Passing errors are put up with for so many growing pauses; 0: none."),
    ("auto_offset_reset", OffsetType.EARLIEST, _OFFSETS, "Where to start when there is no (valid) committed offset."),
    ("consumer_timeout_ms", -1, _integer(-MAX_INT32, unit=_MS), "consume() returns None after this long; <= 0: never."),
    ("auto_start", True, _boolean(), "Start in the constructor."),
    ("reset_offset_on_start", False, _boolean(), "Start at auto_offset_reset whatever is committed."),
    ("compacted_topic", False, _boolean(), "Accepted and without effect: gaps in offsets are always fine."),
    ("generation_id", -1, _any(), "Accepted and ignored."),
    ("consumer_id", b"", _label(), "Stored with every commit, for people to see."),
    ("deserializer", None, _callable(), "f(value, key) -> (value, key), run by consume()."),
    ("reset_offset_on_fetch", True, _boolean(), "Whether fetch_offsets() moves the positions."),
    ("isolation_level", "read_committed", _one_of("read_committed", "read_uncommitted"), "What of transactions is seen."),
    ("fetch_max_bytes", 52428800, _integer(1, unit="bytes"), "The largest answer to one fetch."),
    ("fetch_memory_bytes", 67108864, _integer(1, unit="bytes"), "How much memory fetched messages may take until you take them."),
    ("max_decompressed_bytes", 134217728, _integer(1024, unit="bytes"), "What a batch may inflate to (128 a message at least)."),
    ("client_rack", "", _text(), "Where this consumer is: brokers may have it read from a copy nearby (KIP-392)."),
)

#: What PyKafka's balanced consumers did not have.
_GROUP = _table(
    (
        "session_timeout_ms",
        30000,
        _integer(1, unit=_MS),
        "Classic protocol: who shows no life for so long loses its partitions. With KIP-848 others get them after the brokers'"
        " group.consumer.session.timeout.ms (45 s) instead; this one, if it is shorter, only has the member itself stop reading.",
    ),
    ("max_poll_interval_ms", 300000, _integer(0, unit=_MS), "Who takes no message for so long leaves the group; 0: never."),
    ("group_instance_id", None, _name_or_nothing(), "The name of a static member: it comes back to what it had (KIP-345)."),
    (
        "group_protocol",
        "auto",
        _one_of("auto", "classic", "consumer"),
        "Kafka's group protocol; auto: the newer one (KIP-848) where brokers and the group's members have it.",
    ),
    ("on_assign", None, _callable(), "f(consumer, partitions), before anything of new partitions is delivered."),
    (
        "on_revoke",
        None,
        _callable(),
        "f(consumer, partitions), before they are given up, also by a static member's stop(): the time to commit by hand.",
    ),
    ("on_lost", None, _callable(), "f(consumer, partitions), when they are somebody else's already."),
)
_HEARTBEAT = _table(
    (
        "heartbeat_interval_ms",
        3000,
        _integer(1, unit=_MS),
        "How often to show life; well below session_timeout_ms. With KIP-848 the coordinator says how often.",
    ),
)

#: Options of a SimpleConsumer that a balanced consumer sets itself.
_SET_BY_GROUP = ("consumer_group", "partitions", "generation_id", "consumer_id")
_NO_MORE = "Accepted and ignored: there is no ZooKeeper any more."

MANAGED = {
    **_table(("consumer_group", None, _name(), "The group whose members share the partitions, and commit offsets.")),
    **{name: option for name, option in CONSUMER.items() if name not in _SET_BY_GROUP},
    **_table(
        (
            "rebalance_max_retries",
            5,
            _integer(0),
            "Accepted and without effect: start() raises when it has not joined after max_poll_interval_ms and 10 s; later on"
            " joining is tried again for ever.",
        ),
        ("rebalance_backoff_ms", 2000, _integer(1, unit=_MS), "The longest pause before joining is tried again; from 100 ms on."),
        (
            "post_rebalance_callback",
            None,
            _callable(),
            "f(consumer, old, new), both dicts of partition id -> offset last consumed; of (topic, id) -> it in consumers that"
            " client.get_balanced_consumer() has made. May return None, or what reset_offsets() is to be given: a dict with such"
            " keys, or with Partition objects, or [(Partition, offset)].",
        ),
        ("use_rdkafka", False, _boolean(), "True is an ImportError: no C library is needed."),
        ("compacted_topic", True, _boolean(), CONSUMER["compacted_topic"].doc),
        (
            "membership_protocol",
            RangeProtocol,
            _sharing(),
            "How partitions are shared out; all members have to know it. With KIP-848 the coordinator does it, by its assignor"
            " range for RangeProtocol and uniform for the other three.",
        ),
    ),
    **_HEARTBEAT,
    **_GROUP,
}

#: The same under PyKafka's other name, with what its ZooKeeper needed.
BALANCED = {
    **MANAGED,
    **_table(
        ("compacted_topic", False, _boolean(), CONSUMER["compacted_topic"].doc),
        ("zookeeper_connection_timeout_ms", 6000, _any(), _NO_MORE),
        ("zookeeper_connect", None, _any(), _NO_MORE),
        ("zookeeper_hosts", "127.0.0.1:2181", _any(), _NO_MORE),
        ("zookeeper", None, _any(), _NO_MORE),
    ),
}


def check_options(owner: str, table: Mapping[str, Option], given: Mapping[str, object]) -> dict[str, Any]:
    """Return every option of ``table``: the given ones checked, the others at their defaults.

    What was not given is checked too: a default may have to be parsed.

    :raises KafkaConfigError: listing all bad options at once: unknown names (with the nearest known one) and bad values
    :raises BadNameError: a KafkaConfigError and UnicodeException, when one of them is a name that is not ASCII
    """
    values: dict[str, Any] = {}
    problems: list[str] = []
    kind = KafkaConfigError
    for name, value in {**{row.name: row.default for row in table.values()}, **given}.items():
        option = table.get(name)
        if option is None:
            problems.append(f"{name}: unknown option{_did_you_mean(name, table)}")
            continue
        try:
            values[name] = option.check(value)
        except (ValueError, OverflowError, UnicodeException) as error:
            problems.append(f"{name}={_shown(name, value)}: {error}")
            kind = BadNameError if isinstance(error, UnicodeException) else kind
    if problems:
        plural = "option" if len(problems) == 1 else "options"
        raise kind("\n  ".join([f"{owner} got {len(problems)} bad {plural}", *problems]))
    return values


def _shown(name: str, value: object) -> str:
    if name in _SECRET and value is not None:
        return f"<{type(value).__name__}>"
    shown = repr(value)
    return shown if len(shown) <= 80 else shown[:77] + "..."


def _did_you_mean(name: str, table: Mapping[str, Option]) -> str:
    import difflib  # only needed on the way to an error

    close = difflib.get_close_matches(name, table, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def describe(table: Mapping[str, Option]) -> list[tuple[str, str, str, str]]:
    """Return (name, default, allowed, meaning) per option, for the documentation."""
    return [(option.name, repr(option.default), option.allowed, option.doc) for option in table.values()]
