"""PyKafka's names, keywords, order and defaults: what user code written for it relies on."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from typing import Any, Callable

import pytest

import pykafka
from pykafka import balancedconsumer, config, exceptions, managedbalancedconsumer, membershipprotocol
from pykafka.broker import Broker
from pykafka.cli import kafka_tools
from pykafka.client import KafkaClient
from pykafka.cluster import Cluster, TopicDict
from pykafka.common import CompressionType, OffsetType
from pykafka.connection import BrokerConnection, SslConfig
from pykafka.exceptions import ERROR_CODES
from pykafka.handlers import Handler, RequestHandler, ResponseFuture, ThreadingHandler
from pykafka.membershipprotocol import GroupMembershipProtocol, RangeProtocol, RoundRobinProtocol
from pykafka.partition import Partition
from pykafka.partitioners import GroupHashingPartitioner, HashingPartitioner, RandomPartitioner
from pykafka.producer import Producer
from pykafka.protocol import CreateTopicRequest, Message, legacy
from pykafka.simpleconsumer import SimpleConsumer
from pykafka.topic import Topic
from pykafka.utils import compat, compression, deserialize_utf8, error_handlers, msg_protocol_version, serialize_utf8
from pykafka.utils.socket import recvall_into
from pykafka.utils.struct_helpers import unpack_from

from .fake.broker import fake_broker


def parameters(function: Callable[..., Any]) -> str:
    """Return the parameters of a function or class as they are written, without annotations and ``self``."""
    shown = inspect.signature(function)
    kept = [one.replace(annotation=inspect.Parameter.empty) for name, one in shown.parameters.items() if name != "self"]
    return str(shown.replace(parameters=kept, return_annotation=inspect.Signature.empty))[1:-1]


OF_ALL_CONSUMERS = (
    "fetch_message_max_bytes=1048576, num_consumer_fetchers=1, auto_commit_enable=False, auto_commit_interval_ms=60000,"
    " queued_max_messages=2000, fetch_min_bytes=1, fetch_error_backoff_ms=500, fetch_wait_max_ms=100,"
    " offsets_channel_backoff_ms=1000, offsets_commit_max_retries=5, auto_offset_reset=-2, consumer_timeout_ms=-1,"
)
OF_BALANCED = f"topic, cluster, consumer_group, {OF_ALL_CONSUMERS} rebalance_max_retries=5, rebalance_backoff_ms=2000,"
OURS = (
    "isolation_level='read_committed', fetch_max_bytes=52428800, fetch_memory_bytes=67108864, max_decompressed_bytes=134217728,"
    " client_rack=''"
)
OF_GROUPS = (
    "session_timeout_ms=30000, max_poll_interval_ms=300000, group_instance_id=None, group_protocol='auto',"
    " on_assign=None, on_revoke=None, on_lost=None"
)
AT_THE_END = f"membership_protocol={RangeProtocol!r}, deserializer=None, reset_offset_on_fetch=True, *, {OURS}"

#: Class or function -> its parameters. What is behind a lone * is ours; before it, PyKafka's own order and defaults.
SIGNATURES: dict[Callable[..., Any], str] = {
    KafkaClient: (
        "hosts='127.0.0.1:9092', zookeeper_hosts=None, socket_timeout_ms=30000, offsets_channel_socket_timeout_ms=10000,"
        " use_greenlets=False, exclude_internal_topics=True, source_address='', ssl_config=None, broker_version='0.9.0', *,"
        " client_id='pykafka', sasl_config=None, metadata_max_age_ms=300000, reconnect_backoff_ms=50,"
        " reconnect_backoff_max_ms=1000, max_response_bytes=104857600, **unknown"
    ),
    Cluster: (
        "hosts, handler=None, socket_timeout_ms=30000, offsets_channel_socket_timeout_ms=10000, exclude_internal_topics=True,"
        " source_address='', zookeeper_hosts=None, ssl_config=None, broker_version='0.9.0', **more"
    ),
    Broker: (
        "id_, host, port, handler, socket_timeout_ms, offsets_channel_socket_timeout_ms, buffer_size=1048576, source_host='',"
        " source_port=0, ssl_config=None, broker_version='0.9.0', api_versions=None"
    ),
    Broker.from_metadata: (
        "metadata, handler, socket_timeout_ms, offsets_channel_socket_timeout_ms, buffer_size=65536, source_host='',"
        " source_port=0, ssl_config=None, broker_version='0.9.0', api_versions=None"
    ),
    Partition: "topic, id_, leader, replicas, isr",
    # max_retries, required_acks and linger_ms are changed on purpose
    Producer: (
        "cluster, topic, partitioner=None, compression=0, max_retries=None, retry_backoff_ms=100, required_acks=-1,"
        " ack_timeout_ms=10000, max_queued_messages=100000, min_queued_messages=70000, linger_ms=5, queue_empty_timeout_ms=0,"
        " block_on_queue_full=True, max_request_size=1000012, sync=False, delivery_reports=False, pending_timeout_ms=5000,"
        " auto_start=True, serializer=None, *, delivery_timeout_ms=120000, max_queued_bytes=67108864, **unknown"
    ),
    SimpleConsumer: (
        f"topic, cluster, consumer_group=None, partitions=None, {OF_ALL_CONSUMERS} auto_start=True, reset_offset_on_start=False,"
        f" compacted_topic=False, generation_id=-1, consumer_id=b'', deserializer=None, reset_offset_on_fetch=True, *, {OURS},"
        " **unknown"
    ),
    balancedconsumer.BalancedConsumer: (
        f"{OF_BALANCED} zookeeper_connection_timeout_ms=6000, zookeeper_connect=None, zookeeper_hosts='127.0.0.1:2181',"
        " zookeeper=None, auto_start=True, reset_offset_on_start=False, post_rebalance_callback=None, use_rdkafka=False,"
        f" compacted_topic=False, {AT_THE_END}, heartbeat_interval_ms=3000, {OF_GROUPS}, **unknown"
    ),
    managedbalancedconsumer.ManagedBalancedConsumer: (
        f"{OF_BALANCED} heartbeat_interval_ms=3000, auto_start=True, reset_offset_on_start=False, post_rebalance_callback=None,"
        f" use_rdkafka=False, compacted_topic=True, {AT_THE_END}, {OF_GROUPS}, **unknown"
    ),
    Message: (
        "value, partition_key=None, compression_type=0, offset=-1, partition_id=-1, produce_attempt=0, protocol_version=0,"
        " timestamp=None, delivery_report_q=None"
    ),
    SslConfig: "cafile, certfile=None, keyfile=None, password=None, *, check_hostname=True",
    CreateTopicRequest: "topic_name, num_partitions=-1, replication_factor=-1, replica_assignment=(), config_entries=()",
    legacy.OffsetPartitionResponse: "offset, err",
    GroupMembershipProtocol: "protocol_type, protocol_name, metadata, decide_partitions",
    HashingPartitioner: "hash_func=None",
    RandomPartitioner: "",
    GroupHashingPartitioner: "hash_func, group_size=1",
    BrokerConnection: ("host, port, handler, buffer_size=1048576, source_host='', source_port=0, ssl_config=None"),
    ResponseFuture: "handler",
    RequestHandler: "handler, connection",
    legacy.PartitionFetchRequest: "topic, partition, offset, max_bytes=1048576",
    legacy.FetchRequest: "partition_requests=(), timeout=1000, min_bytes=1024, api_version=0",
    legacy.FetchPartitionResponse: "max_offset, messages, err",
    legacy.ProduceRequest: "compression_type=0, required_acks=1, timeout=10000, broker_version='0.9.0'",
    legacy.ProducePartitionResponse: "err, offset",
    legacy.PartitionOffsetRequest: "topic_name, partition_id, offsets_before, max_offsets",
    legacy.ListOffsetRequest: "partition_requests",
    legacy.PartitionOffsetCommitRequest: "topic_name, partition_id, offset, timestamp, metadata",
    legacy.OffsetCommitRequest: "consumer_group, consumer_group_generation_id, consumer_id, partition_requests=()",
    legacy.OffsetCommitPartitionResponse: "err",
    legacy.PartitionOffsetFetchRequest: "topic_name, partition_id",
    legacy.OffsetFetchRequest: "consumer_group, partition_requests=()",
    legacy.OffsetFetchPartitionResponse: "offset, metadata, err",
    legacy.MetadataRequest: "topics=None, allow_topic_autocreation=True",
    legacy.BrokerMetadata: "id, host, port",
    legacy.TopicMetadata: "name, partitions, err",
    legacy.PartitionMetadata: "id, leader, replicas, isr, err",
    legacy.ApiVersionsSpec: "key, min, max",
    legacy.GroupCoordinatorRequest: "consumer_group",
    # user_data was the text "testuserdata", and topic_names "dummytopic"
    legacy.ConsumerGroupProtocolMetadata: "version=0, topic_names=None, user_data=b''",
    legacy.MemberAssignment: "partition_assignment, version=1, user_data=None",
    legacy.JoinGroupRequest: "group_id, member_id, topic_name, membership_protocol, session_timeout=30000",
    legacy.SyncGroupRequest: "group_id, generation_id, member_id, group_assignment=()",
    legacy.HeartbeatRequest: "group_id, generation_id, member_id",
    legacy.LeaveGroupRequest: "group_id, member_id",
    legacy.ListGroupsRequest: "",
    legacy.DescribeGroupsRequest: "group_ids",
    legacy.GroupListing: "group_id, protocol_type",
    legacy.GroupMember: "member_id, client_id, client_host, member_metadata, member_assignment",
    legacy.DescribeGroupResponse: "error_code, group_id, state, protocol_type, protocol, members",
    membershipprotocol.decide_partitions_range: "participants, partitions, consumer_id",
    membershipprotocol.decide_partitions_roundrobin: "participants, partitions, consumer_id",
    compression.encode_gzip: "buff",
    compression.decode_gzip: "buff, max_size=134217728",
    compression.encode_snappy: "buff, xerial_compatible=False, xerial_blocksize=32768",
    compression.decode_snappy: "buff, max_size=134217728",
    compression.encode_lz4: "buff",
    compression.decode_lz4: "buff, max_size=134217728",
    compression.encode_lz4_old_kafka: "buff",
    compression.decode_lz4_old_kafka: "buff, max_size=134217728",
    error_handlers.handle_partition_responses: (
        "error_handlers, parts_by_error=None, success_handler=None, response=None, partitions_by_id=None"
    ),
    error_handlers.build_parts_by_error: "response, partitions_by_id",
    error_handlers.raise_error: "error, info=''",
    error_handlers.valid_int: "param, allow_zero=False, allow_negative=False",
    recvall_into: "socket, bytea, size",
    unpack_from: "fmt, buff, offset=0",
    msg_protocol_version: "broker_version",
    serialize_utf8: "value, partition_key",
    kafka_tools.fetch_offsets: "client, topic, offset",
    kafka_tools.fetch_consumer_lag: "client, topic, consumer_group",
    deserialize_utf8: "value, partition_key",
}

BALANCED_MEMBERS: dict[str, Any] = {
    "topic": None,
    "partitions": None,
    "held_offsets": None,
    "_partitions": None,
    "start": "",
    "stop": "",
    "consume": "block=True, unblock_event=None",
    "consume_batch": "max_messages=500, timeout_ms=None",
    "batches": "max_messages=500, timeout_ms=None",
    "commit_offsets": "partition_offsets=None",
    "reset_offsets": "partition_offsets=None",
    "fetch_offsets": "",
    "__iter__": "",
    "__enter__": "",
    "__exit__": "*exc_info",
    "_raise_worker_exceptions": "",
}
#: Class -> method -> its parameters; None stands for a property.
MEMBERS: dict[type, dict[str, Any]] = {
    KafkaClient: {"brokers": None, "topics": None, "update_cluster": "", "close": "", "__enter__": "", "__exit__": "*exc_info"},
    Cluster: {
        "brokers": None,
        "topics": None,
        "handler": None,
        "controller_broker": None,
        "update": "",
        "fetch_api_versions": "",
        "get_group_coordinator": "consumer_group",
        "get_offset_manager": "consumer_group",
        "get_managed_group_descriptions": "",
    },
    TopicDict: {"__getitem__": "key", "__contains__": "key", "__iter__": "", "__len__": "", "get": "key, default=None"},
    Broker: {
        "id": None,
        "host": None,
        "port": None,
        "connected": None,
        "offsets_channel_connected": None,
        "handler": None,
        "offsets_channel_handler": None,
        "connect": "attempts=3",
        "connect_offsets_channel": "attempts=3",
        "fetch_messages": "partition_requests, timeout=30000, min_bytes=1",
        "produce_messages": "produce_request",
        "request_offset_limits": "partition_requests",
        "request_metadata": "topics=None",
        "commit_consumer_group_offsets": "consumer_group, consumer_group_generation_id, consumer_id, preqs",
        "fetch_consumer_group_offsets": "consumer_group, preqs",
        "join_group": "connection_id, consumer_group, member_id, topic_name, membership_protocol",
        "leave_group": "connection_id, consumer_group, member_id",
        "sync_group": "connection_id, consumer_group, generation_id, member_id, group_assignment",
        "heartbeat": "connection_id, consumer_group, generation_id, member_id",
        "list_groups": "",
        "describe_groups": "group_ids",
        "create_topics": "topic_reqs, timeout=0",
        "delete_topics": "topics, timeout=0",
        "fetch_api_versions": "",
    },
    Topic: {
        "name": None,
        "partitions": None,
        "get_producer": "use_rdkafka=False, **kwargs",
        "get_sync_producer": "**kwargs",
        "get_simple_consumer": "consumer_group=None, use_rdkafka=False, **kwargs",
        "get_balanced_consumer": "consumer_group, managed=False, **kwargs",
        "fetch_offset_limits": "offsets_before, max_offsets=1",
        "earliest_available_offsets": "",
        "latest_available_offsets": "",
        "update": "metadata",
    },
    Partition: {
        "id": None,
        "leader": None,
        "replicas": None,
        "isr": None,
        "topic": None,
        "fetch_offset_limit": "offsets_before, max_offsets=1",
        "latest_available_offset": "",
        "earliest_available_offset": "",
        "update": "brokers, metadata",
    },
    Producer: {
        "start": "",
        "stop": "",
        "produce": "message, partition_key=None, timestamp=None, *, headers=None, on_delivery=None",
        "produce_many": "values, partition_key=None, timestamp=None",
        "flush": "timeout=None",
        "get_delivery_report": "block=True, timeout=None",
        "__enter__": "",
        "__exit__": "*exc_info",
        "_raise_worker_exceptions": "",
    },
    SimpleConsumer: {
        "topic": None,
        "partitions": None,
        "held_offsets": None,
        "_partitions": None,
        "start": "",
        "stop": "",
        "consume": "block=True, unblock_event=None",
        "consume_batch": "max_messages=500, timeout_ms=None",
        "batches": "max_messages=500, timeout_ms=None",
        "commit_offsets": "partition_offsets=None",
        "fetch_offsets": "",
        "reset_offsets": "partition_offsets=None",
        "seek": "partition, offset",
        "position": "partition",
        "pause": "partitions",
        "resume": "partitions",
        "fetch": "",
        "cleanup": "",
        "__iter__": "",
        "__enter__": "",
        "__exit__": "*exc_info",
    },
    balancedconsumer.BalancedConsumer: BALANCED_MEMBERS,
    managedbalancedconsumer.ManagedBalancedConsumer: BALANCED_MEMBERS,
    legacy.ConsumerGroupProtocolMetadata: {"get_bytes": "", "from_bytestring": "buff", "__len__": ""},
    legacy.MemberAssignment: {"get_bytes": "", "from_bytestring": "buff", "__len__": ""},
    Message: {"partition": None, "partition_id": None, "topic": None, "timestamp_dt": None, "set_timestamp": "timestamp"},
    BrokerConnection: {
        "connected": None,
        "connect": "timeout_ms, attempts=1",
        "disconnect": "",
        "reconnect": "",
        "request": "request",
        "response": "",
    },
    ResponseFuture: {
        "set_response": "response",
        "set_error": "error",
        "get": "response_cls=None, timeout=None, **kwargs",
    },
    RequestHandler: {"request": "request, has_response=True", "start": "", "stop": ""},
    legacy.FetchRequest: {"add_request": "partition_request", "get_bytes": "", "__len__": ""},
    legacy.ProduceRequest: {
        "add_message": "message, topic_name, partition_id",
        "messages": None,
        "message_count": "",
        "get_bytes": "",
        "__len__": "",
    },
    Handler: {"spawn": "target, *args, **kwargs"},
    SslConfig: {"wrap_socket": "sock, server_hostname=None, **options"},
    ThreadingHandler: {"sleep": "seconds=0", "spawn": "target, *args, name=None, **kwargs", "RLock": ""},
}

#: Code -> PyKafka's name for it.
CODES = {
    -1: "UnknownError", 1: "OffsetOutOfRangeError", 2: "InvalidMessageError", 3: "UnknownTopicOrPartition",
    4: "InvalidMessageSize", 5: "LeaderNotAvailable", 6: "NotLeaderForPartition", 7: "RequestTimedOut",
    10: "MessageSizeTooLarge", 12: "OffsetMetadataTooLarge", 14: "GroupLoadInProgress", 15: "GroupCoordinatorNotAvailable",
    16: "NotCoordinatorForGroup", 17: "InvalidTopic", 22: "IllegalGeneration", 23: "InconsistentGroupProtocol",
    25: "UnknownMemberId", 26: "InvalidSessionTimeout", 27: "RebalanceInProgress", 29: "TopicAuthorizationFailed",
    30: "GroupAuthorizationFailed",
}  # fmt: skip
OTHER_EXCEPTIONS = (
    "NoBrokersAvailableError", "LeaderNotFoundError", "SocketDisconnectedError", "ProduceFailureError",
    "ConsumerStoppedException", "NoMessagesConsumedError", "MessageSetDecodeFailure", "ProducerQueueFullError",
    "ProducerStoppedException", "OffsetRequestFailedError", "PartitionOwnedError", "RdKafkaException", "RdKafkaStoppedException",
    "ProtocolClientError",
)  # fmt: skip


@pytest.mark.parametrize("thing", SIGNATURES, ids=lambda thing: thing.__qualname__)
def test_a_signature_has_pykafkas_names_order_and_defaults(thing: Callable[..., Any]) -> None:
    assert parameters(thing) == SIGNATURES[thing]


@pytest.mark.parametrize(("cls", "name"), [(cls, name) for cls, names in MEMBERS.items() for name in names])
def test_a_member_has_pykafkas_names_order_and_defaults(cls: type, name: str) -> None:
    member = inspect.getattr_static(cls, name)
    if MEMBERS[cls][name] is None:
        assert isinstance(member, property)
    else:
        assert parameters(getattr(cls, name)) == MEMBERS[cls][name]


TABLES = {
    KafkaClient: config.CLIENT,
    Producer: config.PRODUCER,
    SimpleConsumer: config.CONSUMER,
    balancedconsumer.BalancedConsumer: config.BALANCED,
    managedbalancedconsumer.ManagedBalancedConsumer: config.MANAGED,
}


@pytest.mark.parametrize("cls", TABLES)
def test_signature_and_table_of_options_agree(cls: type) -> None:
    declared = [one for one in inspect.signature(cls).parameters.values() if one.name not in ("cluster", "topic", "unknown")]
    # what has to be given has no default
    options = {one.name: None if one.default is one.empty else one.default for one in declared}
    assert options == {name: option.default for name, option in TABLES[cls].items()}


def test_everything_pykafka_exports_is_there() -> None:
    names = {
        "Broker", "SimpleConsumer", "Cluster", "Partition", "Producer", "Topic", "SslConfig", "KafkaClient",
        "BalancedConsumer", "ManagedBalancedConsumer", "RangeProtocol", "RoundRobinProtocol", "__version__",
    }  # fmt: skip
    assert set(pykafka.__all__) == names
    assert all(getattr(pykafka, name) is not None for name in names)
    assert balancedconsumer.OffsetType is OffsetType


def test_what_pykafka_code_imports_to_run_on_python_2_too_is_there() -> None:
    names = ("get_bytes", "get_string", "iteritems", "itervalues", "iterkeys", "range", "buffer", "Queue", "Empty", "Semaphore")
    assert all(hasattr(compat, name) for name in names) and compat.PY3


@pytest.mark.parametrize("name", legacy.__all__)
def test_a_hand_made_request_or_response_is_found_in_protocol(name: str) -> None:
    assert getattr(pykafka.protocol, name) is getattr(legacy, name)


def test_protocol_has_nothing_else() -> None:
    for name in ("Nonsense", "nonsense", "_Nonsense"):
        with pytest.raises(AttributeError, match=f"has no attribute '{name}'"):
            getattr(pykafka.protocol, name)


def test_constants_have_the_values_of_the_protocol() -> None:
    assert (OffsetType.EARLIEST, OffsetType.LATEST) == (-2, -1)
    kinds = CompressionType
    assert (kinds.NONE, kinds.GZIP, kinds.SNAPPY, kinds.LZ4, kinds.ZSTD) == (0, 1, 2, 3, 4)
    assert RangeProtocol[:2] == (b"consumer", b"range") and RoundRobinProtocol[:2] == (b"consumer", b"roundrobin")


@pytest.mark.parametrize("code", CODES)
def test_an_error_code_keeps_pykafkas_name(code: int) -> None:
    cls = ERROR_CODES[code]
    assert cls is getattr(exceptions, CODES[code])
    assert issubclass(cls, exceptions.ProtocolClientError) and code == cls.ERROR_CODE


def test_the_tree_of_exceptions_is_pykafkas() -> None:
    for name in OTHER_EXCEPTIONS:
        assert issubclass(getattr(exceptions, name), exceptions.KafkaException)
    assert issubclass(exceptions.RdKafkaStoppedException, exceptions.RdKafkaException)
    assert issubclass(exceptions.UnicodeException, Exception)
    assert not issubclass(exceptions.UnicodeException, exceptions.KafkaException)


#: Module -> names that were never documented there, and that people import from there all the same.
BY_WAY_OF = {
    "balancedconsumer": "BalancedConsumer OffsetType",
    "client": "Broker Cluster KafkaClient ThreadingHandler",
    "cluster": "Broker Cluster Topic TopicDict",
    "producer": "CompressionType Message Producer ProducerQueueFullError RandomPartitioner",
    "protocol": "CreateTopicRequest Message",
    "simpleconsumer": "ConsumerStoppedException Message OffsetType OwnedPartition SimpleConsumer",
    "topic": "OffsetType Partition Producer SimpleConsumer Topic",
    "test.kafka_instance": "KafkaConnection KafkaInstance",
    "test.utils": "KafkaConnection KafkaInstance get_cluster stop_cluster",
}


@pytest.mark.parametrize("module", BY_WAY_OF)
def test_a_name_can_be_imported_from_where_people_found_it(module: str) -> None:
    found = importlib.import_module(f"pykafka.{module}")
    assert [name for name in BY_WAY_OF[module].split() if not hasattr(found, name)] == []


def test_a_star_brings_the_exceptions_and_nothing_else() -> None:
    names: dict[str, Any] = {}
    exec("from pykafka.exceptions import *", names)  # noqa: S102  # a star is not allowed in a function
    del names["__builtins__"]
    assert names.pop("ERROR_CODES") is ERROR_CODES
    assert {*OTHER_EXCEPTIONS, *CODES.values(), "KafkaException", "UnicodeException"} <= set(names)
    assert all(issubclass(cls, Exception) for cls in names.values())


def test_a_star_brings_the_requests_and_responses_too() -> None:
    names: dict[str, Any] = {}
    exec("from pykafka.protocol import *", names)  # noqa: S102  # a star is not allowed in a function
    assert {"CreateTopicRequest", "Message", *legacy.__all__} == set(names) - {"__builtins__"}


# -- what later versions complete -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def client() -> Iterator[KafkaClient]:
    """A client of a scripted broker."""
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        yield client


def test_a_broker_is_connected_to_when_asked(client: KafkaClient) -> None:
    broker = client.brokers[1]
    broker.connect()
    assert broker.connected and broker.offsets_channel_connected
    broker.connect_offsets_channel(attempts=1)
    with pytest.raises(ValueError, match="attempts must be from 1 to 1000, not 0"):
        broker.connect(attempts=0)


def test_a_broker_that_cannot_be_connected_to_says_so() -> None:
    with fake_broker() as fake, KafkaClient(fake.hosts, reconnect_backoff_ms=1, socket_timeout_ms=5000) as client:
        broker = client.brokers[1]
        fake.close()
        with pytest.raises(exceptions.SocketDisconnectedError):
            broker.connect(attempts=2)


def test_the_offset_manager_is_the_group_coordinator_under_its_older_name(client: KafkaClient) -> None:
    with pytest.warns(DeprecationWarning, match="get_group_coordinator"):
        broker = client.cluster.get_offset_manager("g")
    assert broker.id == client.cluster.get_group_coordinator("g").id


def test_zookeeper_beside_hosts_is_ignored_with_a_warning() -> None:
    with fake_broker() as fake, pytest.warns(DeprecationWarning, match="zookeeper_hosts is ignored"):
        KafkaClient(fake.hosts, zookeeper_hosts="zk:2181").close()


def test_zookeeper_alone_is_refused_together_with_everything_else() -> None:
    with pytest.raises(exceptions.KafkaConfigError) as caught:
        KafkaClient(zookeeper_hosts="zk:2181", source_address="x:y", client_idd="me")
    text = str(caught.value)
    assert text.startswith("KafkaClient got 3 bad options")
    assert "write KafkaClient(hosts=" in text and "source_address='x:y'" in text and "did you mean client_id?" in text
