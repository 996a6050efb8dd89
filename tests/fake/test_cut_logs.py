"""A log that was cut: a leader was elected that had not got everything, and has other messages at offsets that we have read."""

from __future__ import annotations

from typing import Any

from pykafka import KafkaClient

from .broker import fake_broker
from .test_offsets import committed
from .test_offsets import fetched as found_committed
from .test_produce_and_fetch import fetched, stored


def of_epoch(epoch: int, batch: bytes) -> bytes:
    """Return a batch as a leader of that epoch has taken it."""
    return batch[:12] + epoch.to_bytes(4, "big") + batch[16:]


def test_a_consumer_goes_on_where_its_idea_of_the_log_and_the_leaders_part_ways_and_says_so(caplog: Any) -> None:
    cut = [True]

    def fetch(request: Any, version: int) -> Any:
        (row,) = request.topics[0].partitions
        if row.fetch_offset == 0:
            return fetched(of_epoch(4, stored(0, [b"a%d" % number for number in range(10)])))
        if row.fetch_offset == 10 and cut:
            # the batch before was read under a leader's epoch, which is told with the next fetch
            assert row.last_fetched_epoch == 4 and version >= 12
            cut.clear()
            answer = fetched(b"")
            agreed = answer.responses[0].partitions[0].diverging_epoch
            agreed.epoch, agreed.end_offset = 0, 6
            return answer
        if row.fetch_offset == 6:
            return fetched(stored(6, [b"b%d" % number for number in range(6, 12)]))
        return None

    with fake_broker() as broker:
        broker.scripts["Fetch"] = fetch
        broker.scripts["OffsetFetch"] = lambda request, version: found_committed(0)
        broker.scripts["OffsetCommit"] = lambda request, version: committed()
        with KafkaClient(broker.hosts) as client:
            consumer = client.topics["t"].get_simple_consumer("g", consumer_timeout_ms=1000)
            got = [message.value for message in consumer]
            assert got == [b"a%d" % number for number in range(10)] + [b"b%d" % number for number in range(6, 12)]
            assert consumer.held_offsets == {0: 11}
            consumer.stop()
    (said,) = [record.getMessage() for record in caplog.records if "was cut" in record.getMessage()]
    assert "from offset 6 to 9 is not in the log any more" in said
