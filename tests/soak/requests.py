"""A fake broker is sent whatever radamsa makes of requests: it answers or hangs up, and serves the next client."""

from __future__ import annotations

import time
from collections import Counter

import confluent_kafka

from pykafka.exceptions import EncodeError
from pykafka.protocol.schema import REQUESTS

from ..testing.peer import metadata, peer_of
from ..testing.test_any_request import Filler, exchange, impatient
from .proxy import mangled
from .stage import Stage

SECONDS = 20.0
#: How many requests there are between two looks at whether other clients are served.
PER_LOOK = 300


def play(stage: Stage) -> str:
    """Tell the story; return what happened."""
    assert stage.fake is not None
    stage.fake.create_topic("t", 2)
    became: Counter[str] = Counter()
    with peer_of(stage.hosts.split(",")[0]) as first:
        fill = Filler(stage.seed, first.ask(metadata("t")).topics[0].topic_id)
        ranges = dict(first.ranges)
    ends = time.monotonic() + SECONDS * stage.length
    looks = 0
    while time.monotonic() < ends:
        with peer_of(stage.random.choice(stage.hosts.split(","))):
            _send_many(stage, fill, ranges, became)
        check_others_are_served(stage, looks)
        looks += 1
    assert [said for said in stage.fake.complaints if "Traceback" in said] == []
    stage.fake.complaints.clear()
    assert became["answered"] > 0
    return f"{dict(became)}, {looks} looks"


def _send_many(stage: Stage, fill: Filler, ranges: dict[int, tuple[int, int]], became: Counter[str]) -> None:
    address = stage.random.choice(stage.hosts.split(","))
    peer = impatient(address)
    for _ in range(PER_LOOK):
        key = stage.random.choice(sorted(ranges))
        try:
            frame = fill.request(REQUESTS[key], stage.random.randint(*ranges[key]))
        except EncodeError:
            continue
        if stage.random.random() < 0.5:
            frame = mangled(frame, stage.random)
        peer = exchange(peer, frame, address, became)
    peer.close()


def check_others_are_served(stage: Stage, number: int) -> None:
    """Fail unless confluent-kafka writes and reads."""
    assert stage.fake is not None
    for broker in (1, 2, 3):
        stage.fake.start_broker(broker)
    topic = f"other-{number}"
    stage.fake.create_topic(topic, 1)
    settings = {"bootstrap.servers": stage.hosts, "log_level": 0}
    producer = confluent_kafka.Producer({**settings, "enable.idempotence": True})
    for count in range(10):
        producer.produce(topic, b"%d" % count)
    assert producer.flush(30) == 0, "librdkafka waits for its outcomes"
    assert [row.value for row in stage.stored(topic)[0]] == [b"%d" % count for count in range(10)]
