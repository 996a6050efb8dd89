"""Real Kafka brokers for tests and the demo: jars by Maven, processes by Java, no Docker."""

from __future__ import annotations

from .cluster import KafkaCluster
from .jars import DEFAULT_VERSION, clients_jar, what_is_missing

__all__ = ["DEFAULT_VERSION", "KafkaCluster", "clients_jar", "what_is_missing"]
