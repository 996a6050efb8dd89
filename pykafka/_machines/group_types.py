"""What a refusal means that is about the type of a group: classic, or of the newer protocol (KIP-848); pure."""

from __future__ import annotations

GROUP_ID_NOT_FOUND, INCONSISTENT_GROUP_PROTOCOL = 69, 23

#: (request, error code) -> what has happened and what helps; the code's own name says neither.
_MEANINGS: dict[tuple[str, int], str] = {
    ("ConsumerGroupHeartbeat", GROUP_ID_NOT_FOUND): (
        "group {group} is there, but it is of another type and has live members: most likely a classic group that its coordinator"
        " does not take over for the newer protocol. For that group.consumer.migration.policy of the brokers has to be upgrade or"
        " bidirectional, and all members have to use ways of sharing that come with Kafka. Stop the other members first, or use"
        " group_protocol='classic', or 'auto', which takes the protocol that the group has"
    ),
    ("JoinGroup", INCONSISTENT_GROUP_PROTOCOL): (
        "either the members of group {group} share by none of the ways that this one offers, which are {offers}: see"
        " membership_protocol; or the group is of another type and has live members, which its coordinator does not take classic"
        " members into: use group_protocol='consumer', or 'auto', which takes the protocol that the group has, or stop them first"
        " (group.consumer.migration.policy of the brokers says what they take over)"
    ),
}


def meaning(api: str, code: int, group: str, offers: str) -> str:
    """Return what a refusal says of the group's type, in words; empty where it is about something else."""
    return _MEANINGS.get((api, code), "").format(group=group, offers=offers)
