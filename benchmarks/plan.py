"""Which clients are compared at what, and by how much ours promises to be better: the table of bars."""

from __future__ import annotations

from typing import Any, NamedTuple, Optional

OURS = "pykafka"
RATE, P50 = "rate", "p50_us"


class Client(NamedTuple):
    """A client: what is imported, what a program that produces and consumes imports of it, and the module with its workloads.

    ``share`` is the part of the messages that it gets: rates are compared, not times, and slow clients would take long.
    """

    module: str
    classes: str
    package: str
    workloads: str
    share_of_produced: float
    share_of_consumed: float


CLIENTS = {
    OURS: Client("pykafka", "KafkaClient, Producer, SimpleConsumer", "pykafka", "pykafka", 1.0, 1.0),
    "kafka-python": Client("kafka", "KafkaProducer, KafkaConsumer", "kafka-python", "kafka_python", 0.04, 0.1),
    "aiokafka": Client("aiokafka", "AIOKafkaProducer, AIOKafkaConsumer", "aiokafka", "aiokafka", 0.1, 0.2),
    "confluent-kafka": Client("confluent_kafka", "Producer, Consumer", "confluent-kafka", "confluent", 1.0, 1.0),
}
RIVALS = [name for name in CLIENTS if name != OURS]


class Bar(NamedTuple):
    """What a ratio of ours to a rival's has to be: by the clock and, where that is asked for, by processor time as well."""

    wall: float
    cpu: Optional[float] = None


class Workload(NamedTuple):
    """Something to measure: ``kind`` is a function of each client's module, ``options`` are fields of its Job.

    ``filled`` names what a topic to consume holds (see filling.py), ``instant`` tells whether the instant broker can do it.
    """

    title: str
    kind: str
    count: int
    bars: tuple[Optional[Bar], Optional[Bar], Optional[Bar]]
    options: dict[str, Any] = {}  # noqa: RUF012  # nobody changes it
    unit: str = RATE
    filled: Optional[str] = None
    instant: bool = True

    @property
    def more_is_better(self) -> bool:
        """Return whether a bar is the least that a ratio has to be; otherwise it is the most."""
        return self.unit == RATE


CODECS = ("lz4", "zstd", "snappy", "gzip")
CODEC_BARS = (Bar(5), Bar(2), Bar(0.5))
WAITED_BARS = (Bar(8), Bar(3.5), Bar(0.8))
KEYED_BARS = (Bar(7), Bar(3.5), Bar(0.4))

#: The bars are in the order of RIVALS.
WORKLOADS: dict[str, Workload] = {
    "produce": Workload("produce()", "produce", 800000, (Bar(12), Bar(5), Bar(0.7, 1.0))),
    "produce_callback": Workload("produce(), a callback each", "produce_callback", 400000, WAITED_BARS),
    "produce_waited": Workload("produce(), each waited for", "produce_waited", 400000, WAITED_BARS),
    "produce_keyed": Workload("produce(), 4,096 keys", "produce", 500000, KEYED_BARS, {"keys": 4096}),
    "produce_distinct": Workload("produce(), every key another", "produce", 500000, KEYED_BARS, {"keys": 1000000}),
    "produce_1kb": Workload("produce(), 1 KB", "produce", 200000, (Bar(8), Bar(4), Bar(0.6)), {"value_bytes": 1024}),
    "produce_many": Workload("produce_many()", "produce_many", 2000000, (Bar(50), Bar(20), Bar(3))),
    "produce_headers": Workload("produce(), 3 headers", "produce", 300000, (Bar(5), Bar(2), Bar(0.3)), {"headers": True}),
    "consume_batch": Workload("consume_batch()", "consume_batch", 800000, (Bar(6), Bar(2), Bar(0.8)), filled="equal"),
    "consume_mixed": Workload(
        "consume_batch(), mixed sizes, keys, written over time",
        "consume_batch",
        800000,
        (Bar(4), Bar(1.3), Bar(0.6)),
        filled="mixed",
    ),
    "consume_one": Workload("for message in consumer", "consume_one", 800000, (Bar(6), Bar(4), Bar(1.3)), filled="equal"),
    "consume_group": Workload(
        "for message in balanced consumer, auto-commit",
        "consume_group",
        800000,
        (Bar(6), Bar(4), Bar(1.2)),
        filled="equal",
        instant=False,
    ),
    **{
        f"produce_{codec}": Workload(f"produce(), {codec}", "produce", 300000, CODEC_BARS, {"codec": codec}) for codec in CODECS
    },
    **{
        f"consume_{codec}": Workload(f"consume_batch(), {codec}", "consume_batch", 400000, CODEC_BARS, filled=codec)
        for codec in CODECS
    },
    "latency": Workload("produce and wait for the ack, p50", "latency", 1, (Bar(0.35), Bar(0.7), Bar(1.3)), unit=P50),
    "hop": Workload(
        "produced elsewhere to delivered here, p50", "hop", 1, (Bar(0.5), Bar(0.8), Bar(1.5)), unit=P50, instant=False
    ),
}


def bar_of(workload: str, rival: str) -> Optional[Bar]:
    """Return what the ratio of ours to a rival's has to be."""
    return WORKLOADS[workload].bars[RIVALS.index(rival)]


def count_for(workload: str, client: str, part: float = 1.0) -> int:
    """Return how many messages a client gets, ``part`` of the usual number in a quick run."""
    chosen, whose = WORKLOADS[workload], CLIENTS[client]
    share = whose.share_of_produced if chosen.filled is None else whose.share_of_consumed
    return max(1, int(chosen.count * share * part))
