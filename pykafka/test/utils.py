"""PyKafka's door to a Kafka cluster for tests."""

from __future__ import annotations

import os
from typing import Union

from .kafka_instance import KafkaConnection, KafkaInstance

#: Tests of PyKafka's users make topics with two replicas.
NODES = 3


def get_cluster() -> Union[KafkaConnection, KafkaInstance]:
    """Return a cluster to test with: one that runs, or else one of three nodes that is started.

    Environment variables say which: ``BROKERS`` (``host:port``, comma-separated) names one that runs; without it,
    ``KAFKA_BIN`` is the folder of a Kafka distribution (3.3 or newer) that is started. Call :func:`stop_cluster` in the end.

    :raises RuntimeError: when neither is set, or Kafka does not start, with the end of its log
    """
    brokers, folder = os.environ.get("BROKERS"), os.environ.get("KAFKA_BIN")
    if brokers:
        return KafkaConnection(folder, brokers, os.environ.get("ZOOKEEPER"), os.environ.get("BROKERS_SSL"))
    if folder:
        return KafkaInstance(NODES, bin_dir=folder)
    raise RuntimeError(
        "get_cluster() needs a Kafka: set the environment variable BROKERS to the host:port of one that runs, or KAFKA_BIN to"
        " the folder of a Kafka distribution to start"
    )


def stop_cluster(cluster: Union[KafkaConnection, KafkaInstance]) -> None:
    """End a cluster that :func:`get_cluster` started; of one that ran before, delete the topics that were made through it."""
    if isinstance(cluster, KafkaInstance):
        cluster.terminate()
    else:
        cluster.flush()
