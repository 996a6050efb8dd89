"""What the members of a consumer group tell each other, in PyKafka's shape: subscriptions, assignments, ways of sharing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Optional, Union

from ..common import brief
from ..exceptions import ProtocolError
from ..utils.arguments import MAX_INT16, MAX_INT32, to_name, to_text_name, whole_number
from .api import decode_data, encode_data
from .messages import ConsumerProtocolAssignment, ConsumerProtocolSubscription
from .schema import Data

#: The protocol type of those who share out topics' partitions.
CONSUMER = "consumer"
#: User data of null, which PyKafka 2.8 left out at the end of an assignment.
_NO_USER_DATA = b"\xff\xff\xff\xff"

Topics = Iterable[tuple[Union[str, bytes], Iterable[int]]]


class Undecoded(bytes):
    """Metadata, or an assignment, of members that are no consumers, as it came; who looks for topics in it finds none."""

    __slots__ = ()

    @property
    def topic_names(self) -> list[bytes]:
        """Return nothing: what is wanted is not known."""
        return []

    @property
    def partition_assignment(self) -> list[tuple[bytes, list[int]]]:
        """Return nothing: what is assigned is not known."""
        return []

    def __repr__(self) -> str:
        return f"<Undecoded {brief(bytes(self))}>"


class _Encodable:
    """What is as long as its bytes, and true."""

    def __len__(self) -> int:
        return len(self.get_bytes())

    def __bool__(self) -> bool:
        # without this a mere "if metadata:" would encode it
        return True

    def get_bytes(self) -> bytearray:
        """Return what goes into a request."""
        raise NotImplementedError


class ConsumerGroupProtocolMetadata(_Encodable):
    """What a member tells the leader of its group: the topics it wants. Names are bytes.

    :param version: of the layout, 0 to 3; beyond that there is nothing in it that is known here
    :param user_data: for the way of sharing, None for nothing
    :raises TypeError: and ValueError or UnicodeException, naming what is not right
    """

    def __init__(
        self, version: int = 0, topic_names: Optional[Iterable[Union[str, bytes]]] = None, user_data: Optional[bytes] = b""
    ) -> None:
        # a name by itself is iterable too: a wish for topics of one letter
        if topic_names is not None and (isinstance(topic_names, (str, bytes)) or not isinstance(topic_names, Iterable)):
            raise TypeError(f"topic_names must be a list of names, not {brief(topic_names)}")
        self.version = whole_number("version", version, 0, MAX_INT16)
        self.topic_names = [to_name(name, f"topic_names[{number}]") for number, name in enumerate(topic_names or ())]
        self.user_data = _user_data(user_data)

    def __repr__(self) -> str:
        return f"<ConsumerGroupProtocolMetadata v{self.version} topic_names={self.topic_names}>"

    def get_bytes(self) -> bytearray:
        """Return what goes into a JoinGroup request.

        :raises EncodeError: for a field that was set to what does not fit
        """
        topics = [to_text_name(name, "topic_names").decode() for name in self.topic_names]
        data = ConsumerProtocolSubscription(topics=topics, user_data=self.user_data)
        return bytearray(encode_data(data, min(self.version, ConsumerProtocolSubscription.MAX_VERSION)))

    @classmethod
    def from_bytestring(cls, buff: Any) -> ConsumerGroupProtocolMetadata:
        """Return what was in a JoinGroup request; of nothing at all, a member that wants no topics.

        :raises ProtocolError: for anything else
        """
        metadata = cls()
        if len(buff):
            data, metadata.version = _read(ConsumerProtocolSubscription, buff)
            metadata.topic_names = [name.encode() for name in data.topics]
            metadata.user_data = data.user_data
        return metadata


class MemberAssignment(_Encodable):
    """What a member is to read. Names are bytes.

    :param partition_assignment: pairs of a topic's name and its partitions' numbers
    :param user_data: for the way of sharing, None for nothing
    :raises TypeError: and ValueError or UnicodeException, naming what is not right
    """

    def __init__(self, partition_assignment: Topics, version: int = 1, user_data: Optional[bytes] = None) -> None:
        self.version = whole_number("version", version, 0, MAX_INT16)
        self.partition_assignment = _topics(partition_assignment)
        self.user_data = _user_data(user_data)

    def __repr__(self) -> str:
        return f"<MemberAssignment v{self.version} {self.partition_assignment}>"

    def get_bytes(self) -> bytearray:
        """Return what goes into a SyncGroup request.

        :raises EncodeError: for a field that was set to what does not fit
        """
        row = ConsumerProtocolAssignment.TopicPartition
        names = [(to_text_name(topic, "partition_assignment").decode(), ids) for topic, ids in self.partition_assignment]
        rows = [row(topic=topic, partitions=list(ids)) for topic, ids in names]
        data = ConsumerProtocolAssignment(assigned_partitions=rows, user_data=self.user_data)
        return bytearray(encode_data(data, min(self.version, ConsumerProtocolAssignment.MAX_VERSION)))

    @classmethod
    def from_bytestring(cls, buff: Any) -> MemberAssignment:
        """Return what was in a SyncGroup request, or its answer; of nothing at all, an assignment of nothing.

        :raises ProtocolError: for anything else
        """
        assignment = cls(())
        if len(buff):
            data, assignment.version = _read(ConsumerProtocolAssignment, buff)
            assignment.partition_assignment = [(row.topic.encode(), row.partitions) for row in data.assigned_partitions]
            assignment.user_data = data.user_data
        return assignment


Metadata = Union[ConsumerGroupProtocolMetadata, Undecoded]
Assignment = Union[MemberAssignment, Undecoded]


def decode_metadata(field: Any, protocol_type: Optional[str]) -> Metadata:
    """Return what a member told its leader; its bytes where nobody can tell what they mean."""
    try:
        if protocol_type in (CONSUMER, None):
            return ConsumerGroupProtocolMetadata.from_bytestring(field)
    except ProtocolError:
        pass  # it is for the leader to say that it cannot be read; all others only look
    return Undecoded(field)


def decode_assignment(field: Any, protocol_type: Optional[str]) -> Assignment:
    """Return what a member is to read; its bytes where nobody can tell what they mean."""
    try:
        if protocol_type in (CONSUMER, None):
            return MemberAssignment.from_bytestring(field)
    except ProtocolError:
        pass
    return Undecoded(field)


def as_field(given: Any, what: str) -> bytes:
    """Return what goes into a ``bytes`` field: what ``get_bytes()`` of an object returns, or bytes as they are.

    :raises TypeError: for anything else
    """
    made = given.get_bytes() if callable(getattr(given, "get_bytes", None)) else given
    if not isinstance(made, (bytes, bytearray)):
        raise TypeError(f"{what} must be bytes, or have get_bytes(), not {brief(given)}")
    return bytes(made)


def check_membership_protocol(given: Any, what: str = "membership_protocol") -> None:
    """Return if ``given`` is a way of sharing: what :class:`pykafka.membershipprotocol.GroupMembershipProtocol` has.

    :raises TypeError: and ValueError or UnicodeException, naming the field that is not right
    """
    try:
        names, metadata, decide = (given.protocol_type, given.protocol_name), given.metadata, given.decide_partitions
    except AttributeError:
        raise TypeError(
            f"{what} must be a GroupMembershipProtocol like RangeProtocol or RoundRobinProtocol, not {brief(given)}"
        ) from None
    for field, name in zip(("protocol_type", "protocol_name"), names):
        if not to_name(name, f"{what}.{field}"):
            raise ValueError(f"{what}.{field} must have at least one character")
    as_field(metadata, f"{what}.metadata")
    if not callable(decide):
        raise TypeError(f"{what}.decide_partitions must be callable, not {brief(decide)}")


def metadata_for(protocol: Any, topic: bytes) -> bytes:
    """Return what a member that wants ``topic`` tells the leader.

    The protocol's own metadata stays as it is: it is shared by all the consumers of a program. Its topics count if this is
    one of them.
    """
    metadata = protocol.metadata
    if isinstance(metadata, ConsumerGroupProtocolMetadata) and topic not in metadata.topic_names:
        metadata = ConsumerGroupProtocolMetadata(metadata.version, [topic], metadata.user_data)
    return as_field(metadata, "membership_protocol.metadata")


def _read(cls: type[Data], buff: Any) -> tuple[Any, int]:
    try:
        data, version, _end = decode_data(cls, buff)
    except ProtocolError:
        # PyKafka 2.8 ended an assignment before its user data
        whole = bytes(buff) + _NO_USER_DATA
        data, version, end = decode_data(cls, whole)
        if end != len(whole) or data.user_data is not None:
            raise
    return data, version


def _topics(given: Any) -> list[tuple[bytes, list[int]]]:
    if isinstance(given, (str, bytes, Mapping)) or not isinstance(given, Iterable):
        raise TypeError(f"partition_assignment must be pairs of a topic and its partitions, not {brief(given)}")
    found = []
    for number, pair in enumerate(given):
        what = f"partition_assignment[{number}]"
        if not isinstance(pair, (tuple, list)) or len(pair) != 2 or isinstance(pair[1], (str, bytes)):
            raise TypeError(f"{what} must be a pair of a topic and its partitions, not {brief(pair)}")
        if not isinstance(pair[1], Iterable):
            raise TypeError(f"{what} must have a list of partitions, not {brief(pair[1])}")
        found.append((to_name(pair[0], what), [whole_number(what, one, 0, MAX_INT32) for one in pair[1]]))
    return found


def _user_data(given: Any) -> Optional[bytes]:
    if given is not None and not isinstance(given, (bytes, bytearray)):
        raise TypeError(f"user_data must be bytes or None, not {brief(given)}")
    return given if given is None else bytes(given)


def group_names(given: Any, what: str = "group_ids") -> list[bytes]:
    """Return the names of groups, which may be anybody's.

    :raises TypeError: for what is no list, above all a single name, or a name that is neither str nor bytes
    :raises UnicodeException: for a name that is not UTF-8
    """
    if isinstance(given, (str, bytes, Mapping)) or not isinstance(given, Iterable):
        raise TypeError(f"{what} must be a list of names, not {brief(given)}")
    return [to_text_name(name, f"{what}[{number}]") for number, name in enumerate(given)]
