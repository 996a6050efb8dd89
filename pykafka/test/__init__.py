"""Kafka for the tests of programs that use pykafka: a cluster that runs already, or one started from a distribution."""
