"""The Cluster: brokers, topics and the I/O engine behind them."""

from __future__ import annotations

import logging
import warnings
import weakref
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Optional, Union

from ._engine.engine import Engine
from ._engine.lane import ConnectionSettings
from ._engine.roster import Roster
from ._engine.waiting import Deadline, refuse_on_io_thread
from ._errors.context import asking_about, during
from ._machines.metadata import BrokerInfo
from ._version import __version__
from .broker import Broker
from .config import CLIENT, check_options, to_name
from .exceptions import KafkaException, OperationTimedOut, ProduceFailureError, UnicodeException, error_for
from .group_requests import describe_all_groups
from .handlers import checked_handler
from .topic import Topic

if TYPE_CHECKING:
    from ._engine.producing import ProducerCore
    from .groupconsumer import GroupConsumer
    from .producer import Producer
    from .protocol import ApiVersionsSpec, DescribeGroupResponse
    from .simpleconsumer import SimpleConsumer

log = logging.getLogger(__name__)

#: A topic being created is waited for at most this long (seconds): by then it is there, or nobody creates it.
CREATION_TIMEOUT_S = 5.0
CREATION_PAUSE_S = 0.1
#: Seconds that close() waits for the threads to end.
CLOSE_TIMEOUT_S = 5.0
#: Seconds that close() waits for what producers that nobody holds any more have queued, all of them together.
LEFT_BEHIND_TIMEOUT_S = 5.0
UNKNOWN_TOPIC = 3


if TYPE_CHECKING:
    _DictThatAsks = dict[bytes, Topic]
else:

    class _DictThatAsks(Mapping, dict):
        # a Mapping first: none of dict's own methods, which look into an empty one, may answer (decision 009)
        __slots__ = ()


class TopicDict(_DictThatAsks):
    """The topics of the cluster by name: a read-only dict with bytes as keys that also takes str at every door.

    ``topics[name]`` asks the brokers for a topic that is not known, which creates it where they are set up to do so.
    Nothing else here ever creates a topic. A Topic that nobody holds is forgotten and made anew when asked for.
    What would change a dict raises TypeError; ``copy()`` and ``|`` give an ordinary dict of the topics of the moment.
    """

    def __init__(self, cluster: Cluster, exclude_internal_topics: bool) -> None:
        self._cluster = cluster
        self._exclude_internal = exclude_internal_topics
        self._made: weakref.WeakValueDictionary[bytes, Topic] = weakref.WeakValueDictionary()

    def __repr__(self) -> str:
        return f"<TopicDict {', '.join(name.decode() for name in self)}>"

    def _hidden(self, name: bytes) -> bool:
        return self._exclude_internal and name.startswith(b"__")

    def __getitem__(self, key: Union[str, bytes]) -> Topic:
        """Return the topic, having it created if need be.

        :raises KeyError: for an internal topic while those are hidden
        :raises UnicodeException: for a name that is not ASCII
        :raises UnknownTopicOrPartition: when there is no such topic and nobody creates it
        """
        name = to_name(key, "topic")
        if self._hidden(name):
            raise KeyError(f"{name.decode()} is an internal topic: make the client with exclude_internal_topics=False")
        topic = self._made.get(name)
        if topic is not None:
            return topic
        if not name:
            raise ValueError("a topic's name must have at least one character")
        self._cluster.require_topic(name.decode())
        return self._made.setdefault(name, Topic(self._cluster, name))

    def __contains__(self, key: object) -> bool:
        """Return whether the topic exists (and is not hidden), asking the brokers when it is not known."""
        if not isinstance(key, (str, bytes)):
            raise TypeError(f"a topic's name must be str or bytes, not {type(key).__name__}")
        try:
            name = to_name(key, "topic")
        except UnicodeException:
            return False
        return not self._hidden(name) and self._cluster.topic_exists(name.decode())

    def get(self, key: Any, default: Any = None) -> Any:
        """Return the topic if it exists, else ``default``; never creates one."""
        return self[key] if key in self else default  # noqa: SIM401  # this is what the suggestion would call

    def __iter__(self) -> Iterator[bytes]:
        infos = self._cluster.engine.view.topics.values()
        names = [info.name.encode() for info in infos if info.partitions]
        return iter([name for name in names if not self._hidden(name)])

    def __reversed__(self) -> Iterator[bytes]:
        return reversed(list(self))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def copy(self) -> dict[bytes, Topic]:
        """Return an ordinary dict of the topics that there are now."""
        return dict(self.items())

    __copy__ = copy

    def __or__(self, other: Any) -> Any:
        return self.copy() | other

    def __ror__(self, other: Any) -> Any:
        return other | self.copy()

    def __reduce__(self) -> Any:
        raise TypeError("topics belong to a connected client and cannot be pickled: pickle list(client.topics), their names")

    def _refuse(self, *_args: Any, **_kwargs: Any) -> Any:
        raise TypeError(
            "client.topics cannot be changed by hand: Broker.create_topics() and delete_topics() change the cluster, and"
            " dict(client.topics) is a dict of your own"
        )

    __setitem__ = __delitem__ = __ior__ = pop = popitem = setdefault = update = clear = _refuse


class Cluster:
    """What a client knows of the cluster, and its connections to it. Made by KafkaClient.

    :raises NoBrokersAvailableError: when no host can be reached, listing each with its own reason
    """

    def __init__(
        self,
        hosts: str,
        handler: Optional[Any] = None,
        socket_timeout_ms: int = 30000,
        offsets_channel_socket_timeout_ms: int = 10000,
        exclude_internal_topics: bool = True,
        source_address: str = "",
        zookeeper_hosts: Optional[str] = None,
        ssl_config: Optional[Any] = None,
        broker_version: str = "0.9.0",
        **more: Any,
    ) -> None:
        given = {name: value for name, value in dict(locals()).items() if name in CLIENT}
        options = check_options("KafkaClient", CLIENT, {**given, **more})
        self._seeds = options["hosts"]
        self._handler = checked_handler(handler)
        self.socket_timeout_s = options["socket_timeout_ms"] / 1000.0
        self.offsets_timeout_s = options["offsets_channel_socket_timeout_ms"] / 1000.0
        self.engine = Engine(connection_settings(options), self._seeds, options["metadata_max_age_ms"] / 1000.0)
        self._brokers: dict[BrokerInfo, Broker] = {}
        self._topics = TopicDict(self, options["exclude_internal_topics"])
        self._users: Roster[Any] = Roster()
        #: set before the users are looked through that are to be stopped
        self._closing = False
        self._finalizer = weakref.finalize(self, _drop, self.engine)
        # at exit the producers are flushed first, and the threads are daemons
        self._finalizer.atexit = False
        try:
            self.engine.bootstrap(Deadline(self.socket_timeout_s), None)
        except BaseException:
            self.engine.close(CLOSE_TIMEOUT_S)
            self._finalizer.detach()
            raise
        #: not what the engine says: when this is asked, that may have been told already to end by itself
        self._open = True

    def __del__(self) -> None:
        if getattr(self, "_open", False) and not self.engine.loop.forked:
            who = ",".join(f"{host}:{port}" for host, port in self._seeds)
            warnings.warn(
                f"the client of {who} was never closed: use a with block, or close()", ResourceWarning, source=self, stacklevel=2
            )

    def __repr__(self) -> str:
        return f"<Cluster {self.engine.view.cluster_id} brokers={len(self.engine.view.brokers)}>"

    def __reduce__(self) -> Any:
        raise TypeError(
            "a client, and what is made from it, cannot be pickled or sent to another process: make a KafkaClient in each process"
        )

    # -- what there is ------------------------------------------------------------------------------------------------

    @property
    def brokers(self) -> dict[int, Broker]:
        """Return the brokers by id, as last seen."""
        infos = self.engine.view.brokers
        made = {info: self._brokers.get(info) or Broker.of(self, info) for info in infos.values()}
        self._brokers = made
        return {info.id: broker for info, broker in made.items()}

    @property
    def topics(self) -> TopicDict:
        """Return the topics by name."""
        return self._topics

    @property
    def handler(self) -> Any:
        """Return PyKafka's concurrency handler: ``Event``, ``Lock``, ``sleep`` and ``spawn``."""
        return self._handler

    @property
    def controller_broker(self) -> Optional[Broker]:
        """Return the broker to put changes of the cluster to; None when it is not known."""
        return self.brokers.get(self.engine.view.controller_id)

    def update(self) -> None:
        """Ask for the present state of all brokers and topics.

        :raises KafkaException: when no broker answers within ``socket_timeout_ms``
        """
        self.engine.update(None, Deadline(self.socket_timeout_s))

    def fetch_api_versions(self) -> dict[int, ApiVersionsSpec]:
        """Return API key -> (key, min, max): the versions that one of the brokers speaks."""
        return next(iter(self.brokers.values())).fetch_api_versions().api_versions

    def get_group_coordinator(self, consumer_group: Union[str, bytes]) -> Broker:
        """Return the broker that coordinates a group, asking afresh.

        :raises KafkaException: when there is none within ``socket_timeout_ms``
        """
        group = to_name(consumer_group, "consumer_group").decode()
        if not group:
            raise ValueError("consumer_group must have at least one character")
        self.engine.forget_coordinator(group)
        with during(f"looking for the coordinator of group {group}", group=group):
            info = self.engine.coordinator(group, Deadline(self.socket_timeout_s))
        return self.brokers.get(info.id) or Broker.of(self, info)

    def get_offset_manager(self, consumer_group: Union[str, bytes]) -> Broker:
        """Return the broker that coordinates a group: PyKafka's older name of :meth:`get_group_coordinator`."""
        warnings.warn("get_offset_manager() is called get_group_coordinator() now", DeprecationWarning, stacklevel=2)
        return self.get_group_coordinator(consumer_group)

    def get_managed_group_descriptions(self) -> dict[bytes, DescribeGroupResponse]:
        """Return name -> description of every group in the cluster, asking all brokers at once.

        What consumers want and have is ``members[id].member_metadata.topic_names`` and
        ``members[id].member_assignment.partition_assignment``; what members of other kinds say (Connect's, say) is kept as
        bytes. Groups of share consumers and streams have their state and no members. Each has an ``error_code``.

        :raises KafkaException: what one of the brokers answered or did not answer, naming it
        """
        self.engine.update([], Deadline(self.socket_timeout_s))  # who is gone need not be asked: others have its groups
        return describe_all_groups(self.brokers.values())

    # -- topics -------------------------------------------------------------------------------------------------------

    def _known(self, name: str) -> bool:
        info = self.engine.view.topics.get(name)
        return info is not None and bool(info.partitions)

    def topic_exists(self, name: str) -> bool:
        """Return whether there is such a topic, asking the brokers when it is not known; creates none."""
        if not self._known(name):
            with asking_about([name]):
                self.engine.update([name], Deadline(self.socket_timeout_s))
        return self._known(name)

    def require_topic(self, name: str) -> None:
        """Return once the topic is known; asking for it creates it where the brokers are set up to do so.

        :raises UnknownTopicOrPartition: when it does not appear within five seconds
        """
        deadline = Deadline(min(CREATION_TIMEOUT_S, self.socket_timeout_s))
        while not self._known(name):
            with asking_about([name]):
                view = self.engine.update([name], Deadline(self.socket_timeout_s), auto_create=True)
            if self._known(name):
                return
            info = view.topics.get(name)
            code = info.error_code if info is not None and info.error_code else UNKNOWN_TOPIC
            error = error_for(code, api="Metadata", topic=name, detail="it does not exist and was not created by asking for it")
            if not error.retriable or deadline.passed:
                raise error
            self.engine.pause(CREATION_PAUSE_S)

    # -- the end ------------------------------------------------------------------------------------------------------

    def require_open(self) -> None:
        """Do nothing: the I/O thread refuses what comes after :meth:`close`."""

    def track(self, user: Union[Producer, SimpleConsumer, GroupConsumer]) -> None:
        """Have ``user`` stopped when the client is closed; called when nothing is begun yet.

        :raises KafkaException: when the client is closed, or being closed: nobody would stop it any more
        """
        self._users.add(user)
        if self._closing:  # in this order: who closes either finds it among the users or has set this before
            raise KafkaException("this client was closed: make a new KafkaClient")

    def close(self) -> None:
        """Stop every producer (sending what is queued) and consumer, and close all connections. Twice is harmless.

        :raises Exception: the first error of a producer or consumer that could not finish, most often a KafkaException; all
            the others are stopped nevertheless
        """
        refuse_on_io_thread("closing a client")
        self._closing = True
        try:
            self._close()
        finally:
            self._closing = self.engine.closed  # else Ctrl-C came in between: what is not stopped goes on, and more may begin

    def _close(self) -> None:
        first: Optional[Exception] = None
        for finish in [*(user.stop for user in self._users.present()), self._finish_left_behind]:
            try:
                finish()
            except Exception as error:  # also of a user's callback, which stop() raises
                log.warning("closing the client goes on after: %s", error)
                first = first or error
        self._open = False
        self.engine.close(CLOSE_TIMEOUT_S)
        # it holds the engine: a collector would find that only in a second round, once it has called this in the first
        self._finalizer.detach()
        if first is not None:
            raise first

    def _finish_left_behind(self) -> None:
        """Send what was queued in producers that nobody holds any more, so that no stop() was called for it."""
        if self.engine.loop.stopped or self.engine.loop.forked:
            return
        deadline = Deadline(LEFT_BEHIND_TIMEOUT_S)
        lost = sum(_finish_core(core, deadline) for core in self.engine.producer_cores())
        if lost:
            raise ProduceFailureError(
                f"{lost} messages of producers that nobody held any more were not acknowledged when the client was closed;"
                " some may have been written. Keep the producer and stop() it"
            )


def _finish_core(core: ProducerCore, deadline: Deadline) -> int:
    """Flush and close the core of a producer that is gone; return how many messages were still undecided."""
    try:
        core.flush(deadline)
    except OperationTimedOut as error:
        log.debug("a producer nobody holds any more could not be flushed in time: %s", error)
    return core.close(Deadline(CLOSE_TIMEOUT_S))


def _drop(engine: Engine) -> None:
    """Close the engine of a client that nobody holds any more, once no producer has anything to send."""
    engine.abandon_when_idle()


def connection_settings(options: Mapping[str, Any]) -> ConnectionSettings:
    """Return how to connect, by the options of a client."""
    timeout_s = options["socket_timeout_ms"] / 1000.0
    return ConnectionSettings(
        client_id=options["client_id"],
        software_version=__version__,
        request_timeout_s=timeout_s,
        setup_timeout_s=timeout_s,
        backoff_s=options["reconnect_backoff_ms"] / 1000.0,
        backoff_max_s=options["reconnect_backoff_max_ms"] / 1000.0,
        max_response_bytes=options["max_response_bytes"],
        source=options["source_address"],
        tls=options["ssl_config"],
    )
