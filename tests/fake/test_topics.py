"""client.topics: a dict of what the cluster has, with bytes as keys and str at every door."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from pykafka import KafkaClient, Topic

from .broker import fake_broker

#: What dict has that needs no answer from the cluster.
HARMLESS = {
    *("__class__", "__class_getitem__", "__delattr__", "__dir__", "__doc__", "__format__", "__getattribute__", "__getstate__"),
    *("__hash__", "__init_subclass__", "__new__", "__setattr__", "__sizeof__", "__str__", "__subclasshook__", "fromkeys"),
    *("__reduce_ex__", "__ge__", "__gt__", "__le__", "__lt__"),  # the last four: dicts have no order
}


def test_no_method_of_dict_answers_for_the_empty_one_underneath() -> None:
    kind = type(fresh_topics())
    inherited = {name for name in dir(dict) if getattr(kind, name) is getattr(dict, name)}
    assert inherited <= HARMLESS
    assert "__eq__" not in inherited and "__ne__" not in inherited


def fresh_topics() -> Any:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        return client.topics


def test_topics_are_a_dict_and_read_like_one() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        topics = client.topics
        topic = topics["t"]
        assert isinstance(topics, dict)
        assert topics[b"t"] is topic and topics.get("t") is topic and topics.get("other") is None
        assert list(topics) == list(topics.keys()) == list(reversed(topics)) == [b"t"]
        assert list(topics.values()) == [topic] and list(topics.items()) == [(b"t", topic)]
        assert dict(topics) == {**topics} == topics.copy() == copy.copy(topics) == {b"t": topic}
        assert topics | {b"u": 1} == {b"t": topic, b"u": 1} and {b"u": 1} | topics == {b"u": 1, b"t": topic}
        assert topics == {b"t": topic} and not topics != {b"t": topic} and topics != {}  # noqa: SIM202  # both operators
        assert type(topics.copy()) is dict and bool(topics) and len(topics) == 1


CHANGES = {
    "item": lambda topics: topics.__setitem__(b"t", 1),
    "del": lambda topics: topics.__delitem__(b"t"),
    "pop": lambda topics: topics.pop(b"t"),
    "popitem": lambda topics: topics.popitem(),
    "setdefault": lambda topics: topics.setdefault(b"t", None),
    "update": lambda topics: topics.update({b"t": None}),
    "clear": lambda topics: topics.clear(),
    "|=": lambda topics: topics.__ior__({b"t": None}),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_topics_cannot_be_changed_by_hand_and_the_error_says_what_does(change: Any) -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        with pytest.raises(TypeError, match="create_topics"):
            change(client.topics)
        assert isinstance(client.topics["t"], Topic) and list(client.topics) == [b"t"]


def test_topics_are_not_pickled() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client, pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(client.topics)
