"""A broker that answers at once, so that only the client is measured: ``python -m benchmarks.instant [--nodes 3]``.

It is no broker: it looks at none of the records it is given but for their number, forgets them, and is done. What is produced to
a topic whose name begins with "kept" it keeps, and a consumer gets that over and over again, with rising offsets: the log has no
end, and what another client has written stays as it was written. kafka-python, aiokafka and librdkafka are content with it.
"""

from __future__ import annotations

import argparse
import bisect
import collections
import contextlib
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from pykafka.protocol import messages  # noqa: E402  # found through the path above
from pykafka.protocol.api import API_VERSIONS, decode_request, encode_response, response_of  # noqa: E402  # likewise

KEPT = "kept"
#: What a partition with anything in it says its end is.
ENDLESS = 1 << 50
DEFAULT_PARTITIONS = 4
#: Request -> the newest version offered: from the next one on topics have ids in place of names.
CAPS = {"Produce": 12, "Fetch": 12, "Metadata": 9, "CreateTopics": 6, "DeleteTopics": 5, "FindCoordinator": 3}
UNKNOWN_TOPIC, UNSUPPORTED_VERSION = 3, 35
#: Of a v2 record batch: where the number of its records stands.
COUNT_AT = slice(57, 61)


class Log:
    """One partition: the offset of its end, and its batches with where they began, if they are kept."""

    def __init__(self, keeps: bool) -> None:
        self.end, self.keeps = 0, keeps
        self.bases: list[int] = []
        self.batches: list[bytes] = []

    def append(self, batch: memoryview) -> int:
        """Return the offset of the first record of a batch."""
        base = self.end
        if self.keeps:
            self.bases.append(base)
            self.batches.append(bytes(batch[8:]))
        self.end += int.from_bytes(batch[COUNT_AT], "big")
        return base

    def read(self, offset: int, limit: int) -> bytes:
        """Return the batches from ``offset`` on, at least one and about ``limit`` bytes of them."""
        found: list[bytes] = []
        size = 0
        turn, at = divmod(offset, self.end)
        number = bisect.bisect_right(self.bases, at) - 1
        while not found or size + len(self.batches[number]) <= limit:
            # the checksum does not cover the offset
            found += struct.pack(">q", turn * self.end + self.bases[number]), self.batches[number]
            size += 8 + len(self.batches[number])
            number += 1
            if number == len(self.batches):
                turn, number = turn + 1, 0
        return b"".join(found)


class InstantBroker:
    """``nodes`` brokers in one process, with whatever topics somebody asks for; the first one listens at ``port``."""

    def __init__(self, port: int = 0, nodes: int = 1) -> None:
        requests = (kind for name, kind in vars(messages).items() if name.endswith("Request"))
        self._kinds = {kind.NAME: kind for kind in requests if hasattr(self, kind.NAME)}
        self._topics: dict[str, list[Log]] = {}
        #: number of a fetch session -> what is read in it
        self._sessions: dict[int, dict[tuple[str, int], Any]] = {}
        self._lock = threading.Lock()
        self._listeners = [socket.create_server(("127.0.0.1", port if not number else 0)) for number in range(nodes)]
        self.ports = [listener.getsockname()[1] for listener in self._listeners]
        for listener in self._listeners:
            threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def _logs(self, topic: str, partitions: int = DEFAULT_PARTITIONS) -> list[Log]:
        with self._lock:
            if topic not in self._topics:
                self._topics[topic] = [Log(topic.startswith(KEPT)) for _ in range(partitions)]
            return self._topics[topic]

    # -- the answers, by the name of what is asked --------------------------------------------------------------------

    def ApiVersions(self, request: Any, cls: Any, version: int) -> Any:  # noqa: N802
        """Offer what there is a method for."""
        rows = [
            cls.ApiVersion(api_key=kind.KEY, min_version=kind.MIN_VERSION, max_version=CAPS.get(name, kind.MAX_VERSION))
            for name, kind in self._kinds.items()
        ]
        return cls(api_keys=rows, error_code=UNSUPPORTED_VERSION if request is None else 0)

    def Metadata(self, request: Any, cls: Any, version: int) -> Any:  # noqa: N802
        """Have any topic that is asked for."""
        names = list(self._topics) if request.topics is None else [topic.name for topic in request.topics]
        brokers = [
            cls.MetadataResponseBroker(node_id=number, host="127.0.0.1", port=port) for number, port in enumerate(self.ports, 1)
        ]
        topics = [
            cls.MetadataResponseTopic(
                name=name, partitions=[self._partition(cls, number) for number in range(len(self._logs(name)))]
            )
            for name in names
        ]
        return cls(brokers=brokers, cluster_id="instant", controller_id=1, topics=topics)

    def _partition(self, cls: Any, number: int) -> Any:
        leader = number % len(self.ports) + 1
        return cls.MetadataResponsePartition(
            partition_index=number, leader_id=leader, leader_epoch=0, replica_nodes=[leader], isr_nodes=[leader]
        )

    def CreateTopics(self, request: Any, cls: Any, version: int) -> Any:  # noqa: N802
        """Create topics of any size."""
        for topic in request.topics:
            self._logs(topic.name, topic.num_partitions)
        return cls(topics=[cls.CreatableTopicResult(name=topic.name, error_message=None) for topic in request.topics])

    def DeleteTopics(self, request: Any, cls: Any, version: int) -> Any:  # noqa: N802
        """Forget topics."""
        with self._lock:
            known = {name: self._topics.pop(name, None) for name in request.topic_names}
        results = [
            cls.DeletableTopicResult(name=name, error_code=UNKNOWN_TOPIC if logs is None else 0) for name, logs in known.items()
        ]
        return cls(responses=results)

    def InitProducerId(self, request: Any, cls: Any, version: int) -> Any:  # noqa: N802
        """Take everybody for the same producer, whose sequence nobody checks."""
        return cls(producer_id=1, producer_epoch=0)

    def FindCoordinator(self, request: Any, cls: Any, version: int) -> Any:  # noqa: N802
        """Coordinate every group: librdkafka asks for the coordinator although it assigns its partitions itself."""
        return cls(node_id=1, host="127.0.0.1", port=self.ports[0])

    def ListOffsets(self, request: Any, cls: Any, version: int) -> Any:  # noqa: N802
        """Say that every log begins at 0, and that those with anything in them have no end."""
        return cls(
            topics=[
                cls.ListOffsetsTopicResponse(
                    name=topic.name,
                    partitions=[
                        cls.ListOffsetsPartitionResponse(
                            partition_index=part.partition_index,
                            offset=0 if part.timestamp == -2 else _end(self._logs(topic.name)[part.partition_index]),
                        )
                        for part in topic.partitions
                    ],
                )
                for topic in request.topics
            ]
        )

    def Produce(self, request: Any, cls: Any, version: int) -> Any:  # noqa: N802
        """Take everything."""
        return cls(
            responses=[
                cls.TopicProduceResponse(
                    name=topic.name,
                    partition_responses=[
                        cls.PartitionProduceResponse(
                            index=part.index, base_offset=self._logs(topic.name)[part.index].append(memoryview(part.records))
                        )
                        for part in topic.partition_data
                    ],
                )
                for topic in request.topic_data
            ]
        )

    def Fetch(self, request: Any, cls: Any, version: int) -> Any:  # noqa: N802
        """Give what was kept; whoever asks for nothing else waits as long as he said he would."""
        session, wanted = self._wanted(request)
        left, topics = request.max_bytes, collections.defaultdict(list)
        for (topic, number), part in wanted.items():
            log = self._logs(topic)[number]
            given = log.read(part.fetch_offset, min(part.partition_max_bytes, left)) if log.batches and left > 0 else b""
            left -= len(given)
            # in a session there is no word of those without news
            if given or request.session_epoch <= 0:
                topics[topic].append(
                    cls.PartitionData(
                        partition_index=number,
                        high_watermark=_end(log),
                        last_stable_offset=_end(log),
                        log_start_offset=0,
                        aborted_transactions=[],
                        records=memoryview(given),
                    )
                )
        if left == request.max_bytes:
            time.sleep(request.max_wait_ms / 1000)
        rows = [cls.FetchableTopicResponse(topic=topic, partitions=parts) for topic, parts in topics.items()]
        return cls(session_id=session, responses=rows)

    def _wanted(self, request: Any) -> tuple[int, dict[tuple[str, int], Any]]:
        """Return the session's number, 0 for none, and everything to be read: what is listed or, in a session, listed ever."""
        session = request.session_id
        if request.session_epoch <= 0:
            session = len(self._sessions) + 1 if request.session_epoch == 0 else 0
            self._sessions[session] = {}
        wanted = self._sessions[session]
        wanted.update({(topic.topic, part.partition): part for topic in request.topics for part in topic.partitions})
        for topic in request.forgotten_topics_data:
            for number in topic.partitions:
                wanted.pop((topic.topic, number), None)
        return session, wanted

    # -- the wire -----------------------------------------------------------------------------------------------------

    def _accept(self, listener: socket.socket) -> None:
        while True:
            conn, _address = listener.accept()
            conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(conn,), daemon=True).start()

    def _serve(self, conn: socket.socket) -> None:
        with conn, contextlib.suppress(ConnectionError):
            while True:
                head = conn.recv(4, socket.MSG_WAITALL)
                if len(head) < 4:
                    return
                frame = bytearray(struct.unpack(">i", head)[0])
                conn.recv_into(frame, flags=socket.MSG_WAITALL)
                answer = self._answer(memoryview(frame))
                if answer is not None:
                    conn.sendall(answer)

    def _answer(self, frame: memoryview) -> Optional[bytes]:
        """Return the frame to send back; None for a produce request that wants none."""
        key, version, correlation_id = struct.unpack_from(">hhi", frame)
        if key == API_VERSIONS and version > self._kinds["ApiVersions"].MAX_VERSION:
            # in the layout of v0, which everybody can read
            cls, version = response_of(self._kinds["ApiVersions"]), 0
            response = self.ApiVersions(None, cls, version)
        else:
            request, version, correlation_id, _client = decode_request(frame)
            response = getattr(self, request.NAME)(request, response_of(type(request)), version)
            if request.NAME == "Produce" and request.acks == 0:
                return None
        chunks = encode_response(response, version, correlation_id)
        return b"".join([struct.pack(">i", sum(map(len, chunks))), *chunks])


def _end(log: Log) -> int:
    return ENDLESS if log.batches else log.end


@contextlib.contextmanager
def instant_broker(nodes: int = 1) -> Iterator[str]:
    """Yield the ``hosts`` of brokers that run in a process of their own."""
    command = [sys.executable, "-m", "benchmarks.instant", "--nodes", str(nodes)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def main() -> None:
    """Start the brokers, print where they are, and go on until somebody ends the process."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instant", description=__doc__)
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    broker = InstantBroker(options.port, options.nodes)
    print(",".join(f"127.0.0.1:{port}" for port in broker.ports), flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
