"""A Kafka client in pure Python, with the API of PyKafka.

>>> from pykafka import KafkaClient
>>> client = KafkaClient(hosts="127.0.0.1:9092")    # doctest: +SKIP
>>> with client.topics["my.topic"].get_producer() as producer:    # doctest: +SKIP
...     producer.produce(b"a message")
"""

from __future__ import annotations

import logging

from ._version import __version__
from .broker import Broker
from .client import KafkaClient
from .cluster import Cluster
from .connection import SslConfig
from .partition import Partition
from .producer import Producer
from .simpleconsumer import SimpleConsumer
from .topic import Topic

__all__ = [
    "Broker",
    "Cluster",
    "KafkaClient",
    "Partition",
    "Producer",
    "SimpleConsumer",
    "SslConfig",
    "Topic",
    "__version__",
]

logging.getLogger(__name__).addHandler(logging.NullHandler())
