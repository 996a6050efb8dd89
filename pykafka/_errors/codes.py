"""One class per error code of the protocol: number, whether trying again can help, what to refresh first, and a sentence.

The numbers are Kafka's; codes that PyKafka named keep its names. A sentence completes "the broker refused ...".
"""

from __future__ import annotations

import functools
from typing import Any

from .tree import ProtocolClientError


class UnknownError(ProtocolClientError, code=-1):
    """The broker failed in a way it has no code for: its own log tells more."""

class OffsetOutOfRangeError(ProtocolClientError, code=1):
    """The offset is not (or no longer) in the log: retention removed it, or it was never written."""

class InvalidMessageError(ProtocolClientError, code=2, retriable=True):
    """The record batch failed the broker's checksum or structure checks."""

class UnknownTopicOrPartition(ProtocolClientError, code=3, retriable=True, refresh="metadata"):
    """No such topic or partition on this broker: check the name, or wait for its creation to spread."""

class InvalidMessageSize(ProtocolClientError, code=4):
    """The fetch size is invalid."""

class LeaderNotAvailable(ProtocolClientError, code=5, retriable=True, refresh="metadata"):
    """The partition has no leader at the moment: an election is under way or its replicas are down."""

class NotLeaderForPartition(ProtocolClientError, code=6, retriable=True, refresh="metadata"):
    """This broker does not lead the partition (any more): metadata is refreshed."""

class RequestTimedOut(ProtocolClientError, code=7, retriable=True):
    """The broker ran out of time: whether it did what was asked is not known."""

class BrokerNotAvailable(ProtocolClientError, code=8):
    """The broker is not available."""

class ReplicaNotAvailable(ProtocolClientError, code=9, retriable=True, refresh="metadata"):
    """The replica is not available on this broker."""

class MessageSizeTooLarge(ProtocolClientError, code=10):
    """The batch is larger than the topic's max.message.bytes allows: send less at a time or raise it."""

class StaleControllerEpoch(ProtocolClientError, code=11):
    """The controller has been replaced."""

class OffsetMetadataTooLarge(ProtocolClientError, code=12):
    """The metadata string of an offset commit is too long (offset.metadata.max.bytes)."""

class Network(ProtocolClientError, code=13, retriable=True, refresh="metadata"):
    """The connection between brokers failed."""

class GroupLoadInProgress(ProtocolClientError, code=14, retriable=True):
    """The group coordinator is still loading its offsets: asking again shortly works."""

class GroupCoordinatorNotAvailable(ProtocolClientError, code=15, retriable=True, refresh="coordinator"):
    """The group has no coordinator yet: asking again shortly works."""

class NotCoordinatorForGroup(ProtocolClientError, code=16, retriable=True, refresh="coordinator"):
    """This broker does not coordinate the group (any more)."""

class InvalidTopic(ProtocolClientError, code=17):
    """The topic's name is not legal, or the topic is internal."""

class RecordListTooLarge(ProtocolClientError, code=18):
    """The records of one request are more than the broker takes (segment size)."""

class NotEnoughReplicas(ProtocolClientError, code=19, retriable=True):
    """Fewer in-sync replicas than min.insync.replicas: nothing was written; bring replicas back."""

class NotEnoughReplicasAfterAppend(ProtocolClientError, code=20, retriable=True):
    """Written by the leader, but too few replicas were in sync to acknowledge it."""

class InvalidRequiredAcks(ProtocolClientError, code=21):
    """Required_acks has a value the broker refuses."""

class IllegalGeneration(ProtocolClientError, code=22):
    """The group has moved on to another generation: this member's membership is out of date."""

class InconsistentGroupProtocol(ProtocolClientError, code=23):
    """The members of the group share no common assignment protocol."""

class InvalidGroupId(ProtocolClientError, code=24):
    """The group's name is not legal."""

class UnknownMemberId(ProtocolClientError, code=25):
    """The coordinator does not know this member: it was removed, or the group has other, live members."""

class InvalidSessionTimeout(ProtocolClientError, code=26):
    """The session timeout is outside group.min/max.session.timeout.ms of the broker."""

class RebalanceInProgress(ProtocolClientError, code=27):
    """The group is rebalancing: rejoin before committing."""

class InvalidCommitOffsetSize(ProtocolClientError, code=28):
    """The commit's size is not legal."""

class TopicAuthorizationFailed(ProtocolClientError, code=29):
    """This user may not do that to the topic: ask for the ACL."""

class GroupAuthorizationFailed(ProtocolClientError, code=30):
    """This user may not use the group: ask for the ACL."""

class ClusterAuthorizationFailed(ProtocolClientError, code=31):
    """This user may not do that to the cluster: ask for the ACL (IDEMPOTENT_WRITE on old brokers)."""

class InvalidTimestamp(ProtocolClientError, code=32):
    """A record's timestamp is outside what the topic allows."""

class UnsupportedSaslMechanism(ProtocolClientError, code=33):
    """The broker offers no such SASL mechanism on this listener."""

class IllegalSaslState(ProtocolClientError, code=34):
    """The SASL exchange is in the wrong state for this request."""

class UnsupportedVersion(ProtocolClientError, code=35):
    """The broker does not speak this version of the request."""

class TopicAlreadyExists(ProtocolClientError, code=36):
    """A topic of this name exists already."""

class InvalidPartitions(ProtocolClientError, code=37):
    """The number of partitions is not legal."""

class InvalidReplicationFactor(ProtocolClientError, code=38):
    """The replication factor is not legal: more than there are brokers?."""

class InvalidReplicaAssignment(ProtocolClientError, code=39):
    """The replica assignment is not legal."""

class InvalidConfig(ProtocolClientError, code=40):
    """A configuration entry is not legal."""

class NotController(ProtocolClientError, code=41, retriable=True):
    """This broker is not the controller (any more)."""

class InvalidRequest(ProtocolClientError, code=42):
    """The request is malformed or asks for the impossible."""

class UnsupportedForMessageFormat(ProtocolClientError, code=43):
    """The topic keeps messages in a format before Kafka 0.11's: raise message.format.version, or give required_acks=1."""

class PolicyViolation(ProtocolClientError, code=44):
    """A policy of the cluster forbids it."""

class OutOfOrderSequenceNumber(ProtocolClientError, code=45):
    """A sequence number is missing before this batch: an earlier one did not arrive."""

class DuplicateSequenceNumber(ProtocolClientError, code=46):
    """The batch was written by an earlier attempt."""

class InvalidProducerEpoch(ProtocolClientError, code=47):
    """A newer producer with this id is at work."""

class InvalidTxnState(ProtocolClientError, code=48):
    """The transaction is in the wrong state for that."""

class InvalidProducerIdMapping(ProtocolClientError, code=49):
    """The producer id does not belong to the transactional id."""

class InvalidTransactionTimeout(ProtocolClientError, code=50):
    """The transaction timeout is more than the broker allows."""

class ConcurrentTransactions(ProtocolClientError, code=51, retriable=True):
    """Another transaction of this producer is still being finished."""

class TransactionCoordinatorFenced(ProtocolClientError, code=52):
    """Transaction coordinator fenced (between brokers)."""

class TransactionalIdAuthorizationFailed(ProtocolClientError, code=53):
    """This user may not use the transactional id: ask for the ACL."""

class SecurityDisabled(ProtocolClientError, code=54):
    """The broker has no security features switched on."""

class OperationNotAttempted(ProtocolClientError, code=55):
    """Not attempted because another part of the request failed."""

class KafkaStorageError(ProtocolClientError, code=56, retriable=True, refresh="metadata"):
    """The broker's disk failed."""

class LogDirNotFound(ProtocolClientError, code=57):
    """Log dir not found."""

class SaslAuthenticationFailed(ProtocolClientError, code=58):
    """The credentials were refused."""

class UnknownProducerId(ProtocolClientError, code=59):
    """The broker knows nothing of this producer: what it wrote is gone from the log."""

class ReassignmentInProgress(ProtocolClientError, code=60):
    """Reassignment in progress."""

class DelegationTokenAuthDisabled(ProtocolClientError, code=61):
    """Delegation token auth disabled."""

class DelegationTokenNotFound(ProtocolClientError, code=62):
    """Delegation token not found."""

class DelegationTokenOwnerMismatch(ProtocolClientError, code=63):
    """Delegation token owner mismatch."""

class DelegationTokenRequestNotAllowed(ProtocolClientError, code=64):
    """Delegation token request not allowed."""

class DelegationTokenAuthorizationFailed(ProtocolClientError, code=65):
    """Delegation token authorization failed."""

class DelegationTokenExpired(ProtocolClientError, code=66):
    """Delegation token expired."""

class InvalidPrincipalType(ProtocolClientError, code=67):
    """Invalid principal type."""

class NonEmptyGroup(ProtocolClientError, code=68):
    """The group has live members."""

class GroupIdNotFound(ProtocolClientError, code=69):
    """There is no such group, or it is of another type than asked for."""

class FetchSessionIdNotFound(ProtocolClientError, code=70, retriable=True):
    """Fetch session id not found."""

class InvalidFetchSessionEpoch(ProtocolClientError, code=71, retriable=True):
    """Invalid fetch session epoch."""

class ListenerNotFound(ProtocolClientError, code=72, retriable=True, refresh="metadata"):
    """Listener not found."""

class TopicDeletionDisabled(ProtocolClientError, code=73):
    """Topic deletion disabled."""

class FencedLeaderEpoch(ProtocolClientError, code=74, retriable=True, refresh="metadata"):
    """Our leader epoch is out of date."""

class UnknownLeaderEpoch(ProtocolClientError, code=75, retriable=True, refresh="metadata"):
    """Our leader epoch is newer than the broker's: it will catch up."""

class UnsupportedCompressionType(ProtocolClientError, code=76):
    """The codec is not allowed at this version, or by this topic."""

class StaleBrokerEpoch(ProtocolClientError, code=77):
    """Stale broker epoch (between brokers)."""

class OffsetNotAvailable(ProtocolClientError, code=78, retriable=True):
    """The leader has just been elected and does not know its end offset yet."""

class MemberIdRequired(ProtocolClientError, code=79):
    """Join again with the member id that came with this answer."""

class PreferredLeaderNotAvailable(ProtocolClientError, code=80, retriable=True, refresh="metadata"):
    """Preferred leader not available."""

class GroupMaxSizeReached(ProtocolClientError, code=81):
    """Group max size reached."""

class FencedInstanceId(ProtocolClientError, code=82):
    """Another member took over this group_instance_id."""

class EligibleLeadersNotAvailable(ProtocolClientError, code=83, retriable=True, refresh="metadata"):
    """Eligible leaders not available."""

class ElectionNotNeeded(ProtocolClientError, code=84, retriable=True, refresh="metadata"):
    """Election not needed."""

class NoReassignmentInProgress(ProtocolClientError, code=85):
    """No reassignment in progress."""

class GroupSubscribedToTopic(ProtocolClientError, code=86):
    """Group subscribed to topic."""

class InvalidRecord(ProtocolClientError, code=87):
    """A record was refused: the details say which and why."""

class UnstableOffsetCommit(ProtocolClientError, code=88, retriable=True):
    """Offsets of an open transaction are not decided yet."""

class ThrottlingQuotaExceeded(ProtocolClientError, code=89, retriable=True):
    """A quota was exceeded."""

class ProducerFenced(ProtocolClientError, code=90):
    """A newer producer with the same transactional id has taken over."""

class ResourceNotFound(ProtocolClientError, code=91):
    """Resource not found."""

class DuplicateResource(ProtocolClientError, code=92):
    """Duplicate resource."""

class UnacceptableCredential(ProtocolClientError, code=93):
    """Unacceptable credential."""

class InconsistentVoterSet(ProtocolClientError, code=94):
    """Inconsistent voter set."""

class InvalidUpdateVersion(ProtocolClientError, code=95):
    """Invalid update version."""

class FeatureUpdateFailed(ProtocolClientError, code=96):
    """Feature update failed."""

class PrincipalDeserializationFailure(ProtocolClientError, code=97):
    """Principal deserialization failure (between brokers)."""

class SnapshotNotFound(ProtocolClientError, code=98):
    """Snapshot not found (between brokers)."""

class PositionOutOfRange(ProtocolClientError, code=99):
    """Position out of range (between brokers)."""

class UnknownTopicId(ProtocolClientError, code=100, retriable=True, refresh="metadata"):
    """The topic id is unknown: the topic may have been deleted and created again."""

class DuplicateBrokerRegistration(ProtocolClientError, code=101):
    """Duplicate broker registration (between brokers)."""

class BrokerIdNotRegistered(ProtocolClientError, code=102):
    """Broker id not registered (between brokers)."""

class InconsistentTopicId(ProtocolClientError, code=103, retriable=True, refresh="metadata"):
    """The topic's id has changed: it was deleted and created again."""

class InconsistentClusterId(ProtocolClientError, code=104):
    """These brokers belong to another cluster."""

class TransactionalIdNotFound(ProtocolClientError, code=105):
    """Transactional id not found."""

class FetchSessionTopicId(ProtocolClientError, code=106, retriable=True):
    """Fetch session topic id error."""

class IneligibleReplica(ProtocolClientError, code=107):
    """Ineligible replica (between brokers)."""

class NewLeaderElected(ProtocolClientError, code=108):
    """New leader elected (between brokers)."""

class OffsetMovedToTieredStorage(ProtocolClientError, code=109):
    """Offset moved to tiered storage (between brokers)."""

class FencedMemberEpoch(ProtocolClientError, code=110):
    """Fenced member epoch."""

class UnreleasedInstanceId(ProtocolClientError, code=111):
    """Unreleased instance id."""

class UnsupportedAssignor(ProtocolClientError, code=112):
    """Unsupported assignor."""

class StaleMemberEpoch(ProtocolClientError, code=113):
    """The member's epoch is not the coordinator's any more: its next heartbeat tells it the new one."""

class MismatchedEndpointType(ProtocolClientError, code=114):
    """Mismatched endpoint type."""

class UnsupportedEndpointType(ProtocolClientError, code=115):
    """Unsupported endpoint type."""

class UnknownControllerId(ProtocolClientError, code=116):
    """Unknown controller id."""

class UnknownSubscriptionId(ProtocolClientError, code=117):
    """Unknown subscription id."""

class TelemetryTooLarge(ProtocolClientError, code=118):
    """Telemetry too large."""

class InvalidRegistration(ProtocolClientError, code=119):
    """Invalid registration (between brokers)."""

class TransactionAbortable(ProtocolClientError, code=120):
    """Transaction abortable."""

class InvalidRecordState(ProtocolClientError, code=121):
    """Invalid record state."""

class ShareSessionNotFound(ProtocolClientError, code=122, retriable=True):
    """Share session not found."""

class InvalidShareSessionEpoch(ProtocolClientError, code=123, retriable=True):
    """Invalid share session epoch."""

class FencedStateEpoch(ProtocolClientError, code=124):
    """Fenced state epoch (between brokers)."""

class InvalidVoterKey(ProtocolClientError, code=125):
    """Invalid voter key."""

class DuplicateVoter(ProtocolClientError, code=126):
    """Duplicate voter."""

class VoterNotFound(ProtocolClientError, code=127):
    """Voter not found."""

class InvalidRegularExpression(ProtocolClientError, code=128):
    """Invalid regular expression."""

class RebootstrapRequired(ProtocolClientError, code=129):
    """The broker asks to start again from the bootstrap servers."""

class StreamsInvalidTopology(ProtocolClientError, code=130):
    """Streams invalid topology."""

class StreamsInvalidTopologyEpoch(ProtocolClientError, code=131):
    """Streams invalid topology epoch."""

class StreamsTopologyFenced(ProtocolClientError, code=132):
    """Streams topology fenced."""

class ShareSessionLimitReached(ProtocolClientError, code=133, retriable=True):
    """Share session limit reached."""

class _ErrorCodes(dict[int, type[ProtocolClientError]]):
    """Error code -> exception class. ``[code]`` of one that is not known, and not in it, is an UnknownError of that number."""

    def __missing__(self, code: int) -> type[ProtocolClientError]:
        if not isinstance(code, int):
            raise KeyError(code)
        return _unknown(code)


@functools.lru_cache(maxsize=64)
def _unknown(number: int) -> type[ProtocolClientError]:
    class Unknown(UnknownError):
        ERROR_CODE = number
        hint = f"error code {number}, which this version of pykafka does not know"

        def __reduce__(self) -> tuple[Any, ...]:
            rebuild, (_cls, args, state) = super().__reduce__()
            return rebuild, (UnknownError, args, state)

    Unknown.__name__ = Unknown.__qualname__ = UnknownError.__name__
    Unknown.__module__ = UnknownError.__module__
    return Unknown


#: Error code -> exception class.
ERROR_CODES: dict[int, type[ProtocolClientError]] = _ErrorCodes(
    (cls.ERROR_CODE, cls)
    for cls in list(globals().values())
    if isinstance(cls, type) and issubclass(cls, ProtocolClientError) and cls is not ProtocolClientError
)

__all__ = [
    "ERROR_CODES",
    "BrokerIdNotRegistered",
    "BrokerNotAvailable",
    "ClusterAuthorizationFailed",
    "ConcurrentTransactions",
    "DelegationTokenAuthDisabled",
    "DelegationTokenAuthorizationFailed",
    "DelegationTokenExpired",
    "DelegationTokenNotFound",
    "DelegationTokenOwnerMismatch",
    "DelegationTokenRequestNotAllowed",
    "DuplicateBrokerRegistration",
    "DuplicateResource",
    "DuplicateSequenceNumber",
    "DuplicateVoter",
    "ElectionNotNeeded",
    "EligibleLeadersNotAvailable",
    "FeatureUpdateFailed",
    "FencedInstanceId",
    "FencedLeaderEpoch",
    "FencedMemberEpoch",
    "FencedStateEpoch",
    "FetchSessionIdNotFound",
    "FetchSessionTopicId",
    "GroupAuthorizationFailed",
    "GroupCoordinatorNotAvailable",
    "GroupIdNotFound",
    "GroupLoadInProgress",
    "GroupMaxSizeReached",
    "GroupSubscribedToTopic",
    "IllegalGeneration",
    "IllegalSaslState",
    "InconsistentClusterId",
    "InconsistentGroupProtocol",
    "InconsistentTopicId",
    "InconsistentVoterSet",
    "IneligibleReplica",
    "InvalidCommitOffsetSize",
    "InvalidConfig",
    "InvalidFetchSessionEpoch",
    "InvalidGroupId",
    "InvalidMessageError",
    "InvalidMessageSize",
    "InvalidPartitions",
    "InvalidPrincipalType",
    "InvalidProducerEpoch",
    "InvalidProducerIdMapping",
    "InvalidRecord",
    "InvalidRecordState",
    "InvalidRegistration",
    "InvalidRegularExpression",
    "InvalidReplicaAssignment",
    "InvalidReplicationFactor",
    "InvalidRequest",
    "InvalidRequiredAcks",
    "InvalidSessionTimeout",
    "InvalidShareSessionEpoch",
    "InvalidTimestamp",
    "InvalidTopic",
    "InvalidTransactionTimeout",
    "InvalidTxnState",
    "InvalidUpdateVersion",
    "InvalidVoterKey",
    "KafkaStorageError",
    "LeaderNotAvailable",
    "ListenerNotFound",
    "LogDirNotFound",
    "MemberIdRequired",
    "MessageSizeTooLarge",
    "MismatchedEndpointType",
    "Network",
    "NewLeaderElected",
    "NoReassignmentInProgress",
    "NonEmptyGroup",
    "NotController",
    "NotCoordinatorForGroup",
    "NotEnoughReplicas",
    "NotEnoughReplicasAfterAppend",
    "NotLeaderForPartition",
    "OffsetMetadataTooLarge",
    "OffsetMovedToTieredStorage",
    "OffsetNotAvailable",
    "OffsetOutOfRangeError",
    "OperationNotAttempted",
    "OutOfOrderSequenceNumber",
    "PolicyViolation",
    "PositionOutOfRange",
    "PreferredLeaderNotAvailable",
    "PrincipalDeserializationFailure",
    "ProducerFenced",
    "ReassignmentInProgress",
    "RebalanceInProgress",
    "RebootstrapRequired",
    "RecordListTooLarge",
    "ReplicaNotAvailable",
    "RequestTimedOut",
    "ResourceNotFound",
    "SaslAuthenticationFailed",
    "SecurityDisabled",
    "ShareSessionLimitReached",
    "ShareSessionNotFound",
    "SnapshotNotFound",
    "StaleBrokerEpoch",
    "StaleControllerEpoch",
    "StaleMemberEpoch",
    "StreamsInvalidTopology",
    "StreamsInvalidTopologyEpoch",
    "StreamsTopologyFenced",
    "TelemetryTooLarge",
    "ThrottlingQuotaExceeded",
    "TopicAlreadyExists",
    "TopicAuthorizationFailed",
    "TopicDeletionDisabled",
    "TransactionAbortable",
    "TransactionCoordinatorFenced",
    "TransactionalIdAuthorizationFailed",
    "TransactionalIdNotFound",
    "UnacceptableCredential",
    "UnknownControllerId",
    "UnknownError",
    "UnknownLeaderEpoch",
    "UnknownMemberId",
    "UnknownProducerId",
    "UnknownSubscriptionId",
    "UnknownTopicId",
    "UnknownTopicOrPartition",
    "UnreleasedInstanceId",
    "UnstableOffsetCommit",
    "UnsupportedAssignor",
    "UnsupportedCompressionType",
    "UnsupportedEndpointType",
    "UnsupportedForMessageFormat",
    "UnsupportedSaslMechanism",
    "UnsupportedVersion",
    "VoterNotFound",
]
