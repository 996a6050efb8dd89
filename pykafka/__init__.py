"""A Kafka client in pure Python, with the API of PyKafka.

>>> from pykafka import KafkaClient
>>> client = KafkaClient(hosts="127.0.0.1:9092")    # doctest: +SKIP
>>> with client.topics["my.topic"].get_producer() as producer:    # doctest: +SKIP
...     producer.produce(b"a message")

The classes are loaded when they are first asked for (PEP 562), so that ``import pykafka`` costs next to nothing.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from .balancedconsumer import BalancedConsumer
    from .broker import Broker
    from .client import KafkaClient
    from .cluster import Cluster
    from .connection import SslConfig
    from .managedbalancedconsumer import ManagedBalancedConsumer
    from .membershipprotocol import RangeProtocol, RoundRobinProtocol
    from .partition import Partition
    from .producer import Producer
    from .simpleconsumer import SimpleConsumer
    from .topic import Topic

__all__ = [
    "BalancedConsumer",
    "Broker",
    "Cluster",
    "KafkaClient",
    "ManagedBalancedConsumer",
    "Partition",
    "Producer",
    "RangeProtocol",
    "RoundRobinProtocol",
    "SimpleConsumer",
    "SslConfig",
    "Topic",
    "__version__",
]

#: Public name -> the module it lives in.
_HOMES = {
    "BalancedConsumer": "balancedconsumer",
    "Broker": "broker",
    "Cluster": "cluster",
    "KafkaClient": "client",
    "ManagedBalancedConsumer": "managedbalancedconsumer",
    "Partition": "partition",
    "Producer": "producer",
    "RangeProtocol": "membershipprotocol",
    "RoundRobinProtocol": "membershipprotocol",
    "SimpleConsumer": "simpleconsumer",
    "SslConfig": "connection",
    "Topic": "topic",
}
#: Modules that are attributes of the package without being imported by name, as they were in PyKafka.
_MODULES = {*_HOMES.values(), "common", "exceptions", "handlers", "partitioners", "protocol", "utils"}

logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = value  # the next time it is found without asking here
        return value
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, *_MODULES})
