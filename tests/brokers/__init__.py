"""Real Kafka brokers for tests and the demo: jars by Maven, processes by Java, no Docker."""

from __future__ import annotations

from .cluster import KafkaCluster
from .jars import DEFAULT_VERSION, VERSIONS, clients_jar, what_is_missing
from .settings import version_tuple

__all__ = ["DEFAULT_VERSION", "VERSIONS", "KafkaCluster", "clients_jar", "version_tuple", "what_is_missing"]
