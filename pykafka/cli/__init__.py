"""The command line tool ``kafka-tools``; nothing in pykafka imports it."""
