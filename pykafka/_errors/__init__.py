"""The exception tree (tree.py) and one class per error code of the protocol (codes.py); users import pykafka.exceptions."""
