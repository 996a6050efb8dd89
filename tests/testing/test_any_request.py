"""Whatever is in a request, and whatever is left of one, a fake broker answers or hangs up, and serves the next client."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from pykafka.exceptions import EncodeError
from pykafka.protocol.api import encode_request
from pykafka.protocol.schema import REQUESTS, Field, Struct
from pykafka.testing import FakeCluster

from .peer import Peer, batch, metadata, peer_of

COUNT = 1500
#: Ten and more of them are waited for in vain.
PATIENCE_S = 0.3
STRINGS = ["t", "g", "", "a b", "\u00e9", "x" * 300, "consumer", "range"]
BYTES = [b"", b"\0\0", b"\0\0\0\0\0\1\0\1t\xff\xff\xff\xff", b"?" * 20]
RECORDS = [None, b"", b"?" * 70, batch(b"a"), batch(b"a")[:-1]]


class Filler:
    """Makes requests with any values in them, among them names and ids that are there."""

    def __init__(self, seed: int, topic_id: bytes) -> None:
        self.random = random.Random(seed)
        self._ids = [bytes(16), topic_id, b"?" * 16]

    def request(self, cls: Any, version: int) -> bytes:
        """Return a request, of which some bytes may be wrong."""
        message = self._struct(cls, version)
        if hasattr(message, "max_wait_ms"):
            message.max_wait_ms = 0
        frame = bytearray(b"".join(encode_request(message, version, 1, "any")))
        if self.random.random() < 0.3:
            for _ in range(self.random.choice([1, 2, 5])):
                # the API and its version stay
                frame[self.random.randrange(4, len(frame))] = self.random.randrange(256)
        return bytes(frame)

    def _struct(self, cls: type[Struct], version: int) -> Any:
        made = cls()
        for name, field in cls.FIELDS.items():
            if field.is_nullable(version) and self.random.random() < 0.15:
                setattr(made, name, None)
            elif field.kind == "struct" or self.random.random() < 0.8:
                setattr(made, name, self._value(field, version))
        return made

    def _value(self, field: Field, version: int) -> Any:
        kind = field.kind
        if kind == "struct":
            assert field.struct is not None
            return self._struct(field.struct, version)
        if kind == "array":
            assert field.item is not None
            return [self._value(field.item, version) for _ in range(self.random.choice([0, 1, 1, 2]))]
        if kind in ("string", "bytes", "records", "uuid", "boolean"):
            choices: list[Any] = {
                "string": STRINGS, "bytes": BYTES, "records": RECORDS, "uuid": self._ids, "boolean": [True, False],
            }[kind]  # fmt: skip
            return self.random.choice(choices)
        bits = int(kind.lstrip("uint"))
        low, high = (0, 2**bits - 1) if kind.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        return min(max(self.random.choice([0, 1, -1, 2, 5, low, high, self.random.randint(low, high)]), low), high)


def impatient(hosts: str) -> Peer:
    """Return a connection that waits a moment for answers: to some requests there is none before something happens."""
    peer = Peer(hosts)
    peer.socket.settimeout(PATIENCE_S)
    return peer


def exchange(peer: Peer, frame: bytes, address: str, became: Counter[str]) -> Peer:
    """Send a request and note what became of it; return the connection to go on by, a new one where that has ended."""
    try:
        peer.send_frame(frame)
        peer.receive_frame()
        became["answered"] += 1
    except (EOFError, OSError) as error:
        became[type(error).__name__] += 1
        peer.close()
        return impatient(address)
    return peer


@pytest.mark.parametrize("seed", [1, 2])
def test_no_request_is_too_much(seed: int) -> None:
    became: Counter[str] = Counter()
    with FakeCluster(topics={"t": 2}) as kafka:
        with peer_of(kafka.hosts) as peer:
            fill = Filler(seed, peer.ask(metadata("t")).topics[0].topic_id)
        peer = impatient(kafka.hosts)
        for _ in range(COUNT):
            key = fill.random.choice(list(peer.ranges))
            low, high = peer.ranges[key]
            try:
                frame = fill.request(REQUESTS[key], fill.random.randint(low, high))
            except EncodeError:
                continue
            peer = exchange(peer, frame, kafka.hosts, became)
        peer.close()
        # hanging up on what is malformed is noted, too; what failed in here is not among it
        assert [said for said in kafka.complaints if "Traceback" in said] == []
        kafka.complaints.clear()
        with peer_of(kafka.hosts) as peer:
            assert len(peer.ask(metadata()).brokers) == 1
    assert became["answered"] > COUNT / 2 and became["EOFError"] > 50
