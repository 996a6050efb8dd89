"""Members of the classic protocol as requests over sockets, who say what a coordinator of their group understands."""

from __future__ import annotations

import re
import time
from typing import Any, Optional

from pykafka.protocol import messages as m
from pykafka.protocol.api import decode_data, encode_data

from .group_requests import GroupComparer, beat, commit, consumer, join, leave, sync
from .peer import Peer

JOIN, SYNC, BEAT = 9, 5, 4
REBALANCE_IN_PROGRESS = 27
#: Behind all ids that brokers make, so that it is the last when runs of partitions are given out by ids.
NEW = "~new"
#: What brokers add to, or give as, the id of a member: a UUID in the usual writing, or in base 64.
_MADE = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?<![\w.-])[\w-]{22}(?![\w.-])")


def subscription(*topics: str, version: int = 1, owned: Optional[dict[str, list[int]]] = None, **fields: Any) -> bytes:
    """Return what a member wants to read, and what it has of it, as classic members say it."""
    row = m.ConsumerProtocolSubscription.TopicPartition
    rows = [row(topic=topic, partitions=numbers) for topic, numbers in (owned or {}).items()]
    return encode_data(m.ConsumerProtocolSubscription(topics=list(topics), owned_partitions=rows, **fields), version)


def assignment(version: int = 1, user_data: Optional[bytes] = None, **partitions: list[int]) -> bytes:
    """Return what a leader gives a member to read."""
    row = m.ConsumerProtocolAssignment.TopicPartition
    rows = [row(topic=topic, partitions=numbers) for topic, numbers in partitions.items()]
    return encode_data(m.ConsumerProtocolAssignment(assigned_partitions=rows, user_data=user_data), version)


def share(answer: Any) -> Any:
    """Return what SyncGroup gives a member, by topic."""
    data, version, _end = decode_data(m.ConsumerProtocolAssignment, answer.assignment)
    return version, data.user_data, sorted((row.topic, sorted(row.partitions)) for row in data.assigned_partitions)


class Classic:
    """A member of the classic protocol; each of its verbs returns the answer."""

    def __init__(self, peer: Peer, group: str, *topics: str, instance_id: Optional[str] = None, **fields: Any) -> None:
        self.peer, self.group = peer, group
        self.topics = topics or (group,)
        self.member_id, self.generation, self.leader = "", -1, ""
        self._who = {"group_instance_id": instance_id}
        self._fields = {"protocols": "range", **fields}

    def wishes(self, owned: Any = None, **fields: Any) -> Any:
        """Return its request to join."""
        data = subscription(*self.topics, owned=owned)
        return join(self.group, self.member_id, **{"metadata": data, **self._who, **self._fields, **fields})

    def join(self, **fields: Any) -> Any:
        """Join, twice if it is told to."""
        return self.joined(self.peer.ask(self.wishes(**fields), JOIN), **fields)

    def joined(self, answer: Any, **fields: Any) -> Any:
        """Note what it was answered."""
        if answer.error_code == 79:
            self.member_id = answer.member_id
            answer = self.peer.ask(self.wishes(**fields), JOIN)
        if answer.error_code == 0:
            self.member_id, self.generation, self.leader = answer.member_id, answer.generation_id, answer.leader
        return answer

    def send_join(self, **fields: Any) -> None:
        """Begin to join; :meth:`end_join` returns the answer."""
        self.peer.send(self.wishes(**fields), JOIN)

    def end_join(self) -> Any:
        """Return what it is answered when all are there."""
        return self.joined(self.peer.receive(self.wishes(), JOIN))

    def named(self, generation: Optional[int] = None, **fields: Any) -> dict[str, Any]:
        """Return who it says that it is."""
        generation = self.generation if generation is None else generation
        return {"member_id": self.member_id, "generation": generation, **self._who, **fields}

    def sync(self, shares: Optional[dict[str, bytes]] = None, version: int = SYNC, **fields: Any) -> Any:
        """Ask for what it is to read, or say so as the leader."""
        named = {"protocol_type": "consumer", "protocol_name": "range", **self.named(**fields)}
        return self.peer.ask(sync(self.group, named.pop("member_id"), named.pop("generation"), shares, **named), version)

    def beat(self, **fields: Any) -> Any:
        """Say that it is there."""
        named = self.named(**fields)
        return self.peer.ask(beat(self.group, named.pop("member_id"), named.pop("generation"), **named), BEAT)

    def beat_until(self, error: int = REBALANCE_IN_PROGRESS) -> Any:
        """Say that it is there until that is answered."""
        deadline = time.monotonic() + 10
        while True:
            answer = self.beat()
            if answer.error_code == error:
                return answer
            assert time.monotonic() < deadline, f"still {answer.error_code}, not {error}"
            time.sleep(0.02)

    def commit(self, topic: str, *rows: Any, version: int = 9, **fields: Any) -> Any:
        """Commit."""
        named = self.named(**fields)
        named["generation_id_or_member_epoch"] = named.pop("generation")
        return self.peer.ask(commit(self.group, topic, *rows, **named), version)

    def leave(self) -> Any:
        """Leave the group."""
        return self.peer.ask(leave(self.group, (self.member_id, self._who["group_instance_id"])))


class MixedComparer(GroupComparer):
    """Has ids of members wherever they stand, and what is assigned in an order that nobody promises."""

    def plain(self, value: Any, name: str = "") -> Any:
        if isinstance(value, str):
            return _MADE.sub(lambda found: f"{self._id('made', found[0])}", value)
        if name == "partitions" and isinstance(value, list) and all(isinstance(one, int) for one in value):
            return sorted(value)
        if name == "members" and isinstance(value, list):
            # those seen before in the order in which they were, then the others as brokers have them
            value = sorted(value, key=lambda row: (self._rank(row.member_id), row.member_id))
        return super().plain(value, name)

    def _rank(self, member_id: str) -> int:
        found = _MADE.search(member_id)
        known = list(self._ids)
        return known.index(("made", found[0])) if found and ("made", found[0]) in known else len(known)


def alone(peer: Peer, group: str, partitions: int = 2, **fields: Any) -> Classic:
    """Return the only member of a classic group, which reads all of the group's topic."""
    member = Classic(peer, group, **fields)
    assert member.join().error_code == 0
    shares = {member.member_id: assignment(**{topic: list(range(partitions)) for topic in member.topics})}
    assert member.sync(shares, protocol_name=None, protocol_type=None, version=4).error_code == 0
    return member


def pair(peer: Peer, other: Peer, group: str, *shares: bytes, **fields: Any) -> tuple[Classic, Classic]:
    """Return the two members of a classic group; the first one leads, and gives out these shares."""
    first, second = alone(peer, group, **fields), Classic(other, group, **fields)
    second.member_id = other.ask(second.wishes(), 9).member_id
    second.send_join()
    first.beat_until()
    assert first.join().leader == first.member_id
    assert second.end_join().error_code == 0
    leader = first
    # in the order in which runs of partitions are given out
    first, second = sorted((first, second), key=lambda member: member.member_id)
    given = dict(zip((first.member_id, second.member_id), shares))
    for member in sorted((first, second), key=lambda member: member is not leader):
        assert member.sync(given, protocol_name=None, protocol_type=None, version=4).error_code == 0
    return first, second


def gone(member: Classic) -> Any:
    """Return what a member is answered that is put out by and by, although it says that it is there."""
    return member.beat_until(25)


def newer(group: str, epoch: int = 0, who: str = NEW, **fields: Any) -> Any:
    """Return a heartbeat of a member of the newer protocol, who wants the group's topic when it joins."""
    wanted = {"subscribed_topic_names": [group], "server_assignor": "range"} if epoch == 0 else {}
    return consumer(group, who, epoch, **{**wanted, **fields})
