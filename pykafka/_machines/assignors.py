"""Who reads what: how the leader of a group shares partitions out among its members; pure.

``range`` and ``roundrobin`` give exactly what Java's assignors give, so that members of other clients may be in the group
and lead it in turn. ``sticky`` and ``cooperative-sticky`` promise a balance that moves as little as possible; any client
may have its own way to one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Optional

from ..common import TopicPartition


class MemberSubscription(NamedTuple):
    """What a member wants to read, and what it reads already: ``owned`` as of ``generation``, -1 when it does not say."""

    topics: tuple[str, ...]
    owned: tuple[TopicPartition, ...] = ()
    generation: int = -1
    instance_id: Optional[str] = None
    rack: Optional[str] = None


Members = Mapping[str, MemberSubscription]
#: Topic -> partition numbers.
Partitions = Mapping[str, Sequence[int]]
#: Member id -> what it reads.
Shares = dict[str, list[TopicPartition]]
Assign = Callable[[Members, Partitions], Shares]


def in_order(members: Members) -> list[str]:
    """Return the member ids in the order in which they are served: static members by their instance ids, then the others."""
    return sorted(members, key=lambda member: (members[member].instance_id is None, members[member].instance_id or "", member))


def _subscribers(members: Members) -> dict[str, list[str]]:
    """Return topic -> the members that want it, in order."""
    topics: dict[str, list[str]] = {}
    for member in in_order(members):
        for topic in dict.fromkeys(members[member].topics):
            topics.setdefault(topic, []).append(member)
    return topics


def assign_range(members: Members, partitions: Partitions) -> Shares:
    """Return runs of each topic's partitions: the first members have one more when they do not divide evenly."""
    shares: Shares = {member: [] for member in members}
    for topic, subscribers in sorted(_subscribers(members).items()):
        numbers = sorted(partitions.get(topic, ()))
        each, extra = divmod(len(numbers), len(subscribers))
        at = 0
        for place, member in enumerate(subscribers):
            size = each + (place < extra)
            shares[member] += [TopicPartition(topic, number) for number in numbers[at : at + size]]
            at += size
    return shares


def assign_roundrobin(members: Members, partitions: Partitions) -> Shares:
    """Return all partitions of all topics dealt out one by one, passing over members that do not want the topic."""
    shares: Shares = {member: [] for member in members}
    order = in_order(members)
    wanted = {member: set(members[member].topics) for member in order}
    turn = 0
    for topic in sorted(_subscribers(members)):
        for number in sorted(partitions.get(topic, ())):
            while topic not in wanted[order[turn % len(order)]]:
                turn += 1
            shares[order[turn % len(order)]].append(TopicPartition(topic, number))
            turn += 1
    return shares


def claims(members: Members) -> dict[TopicPartition, set[str]]:
    """Return who says to read what, as of the newest generation in which anybody says so: whoever is behind has lost it."""
    newest: dict[TopicPartition, int] = {}
    claimed: dict[TopicPartition, set[str]] = {}
    for member, subscription in members.items():
        generation = max(-1, subscription.generation)  # any client may say anything
        for tp in subscription.owned:
            if generation > newest.get(tp, -2):
                newest[tp] = generation
                claimed[tp] = set()
            if generation == newest[tp]:
                claimed[tp].add(member)
    return claimed


def assign_sticky(members: Members, partitions: Partitions) -> Shares:
    """Return a balanced assignment in which as few partitions as possible have another reader than before."""
    subscribers = _subscribers(members)
    there = {topic: set(partitions.get(topic, ())) for topic in subscribers}
    before = {
        tp: owner
        for tp, claimants in claims(members).items()
        # two cannot both be right, and neither is to be trusted
        for owner in (claimants if len(claimants) == 1 else ())
        if tp.partition in there.get(tp.topic, ()) and owner in subscribers[tp.topic]
    }
    everything = [TopicPartition(topic, number) for topic in sorted(there) for number in sorted(there[topic])]
    if len({tuple(sorted(set(subscription.topics))) for subscription in members.values()}) <= 1:
        return _balance_alike(in_order(members), everything, before)
    return _balance_unlike(members, subscribers, everything, before)


def _balance_alike(order: list[str], everything: list[TopicPartition], before: Mapping[TopicPartition, str]) -> Shares:
    """Share out among members that all want the same: those with most keep the odd ones."""
    shares: Shares = {member: [] for member in order}
    if not order:
        return shares
    for tp in everything:
        if tp in before:
            shares[before[tp]].append(tp)
    each, extra = divmod(len(everything), len(order))
    by_size = sorted(order, key=lambda member: -len(shares[member]))
    quota = {member: each + (place < extra) for place, member in enumerate(by_size)}
    kept = {tp for member in order for tp in shares[member][: quota[member]]}
    shares = {member: shares[member][: quota[member]] for member in order}
    free = [tp for tp in everything if tp not in kept]
    short = deque(member for member in order if len(shares[member]) < quota[member])
    for tp in free:
        # one after the other, so that the partitions of a topic go to different members
        member = short.popleft()
        shares[member].append(tp)
        if len(shares[member]) < quota[member]:
            short.append(member)
    return {member: sorted(share) for member, share in shares.items()}


def _balance_unlike(
    members: Members, subscribers: Mapping[str, list[str]], everything: list[TopicPartition], before: Mapping[TopicPartition, str]
) -> Shares:
    """Share out among members that want different topics: move a partition as long as that makes it more even."""
    owner = dict(before)
    load = dict.fromkeys(members, 0)
    for member in owner.values():
        load[member] += 1
    # those that few can take first: the others can make up for them
    by_choice = sorted(everything, key=lambda tp: (len(subscribers[tp.topic]), tp))
    moved = True
    while moved:
        moved = False
        for tp in by_choice:
            least = min(subscribers[tp.topic], key=load.__getitem__)
            has = owner.get(tp)
            # each move lowers the sum of the squares, so there is an end to it
            if has is None or load[has] > load[least] + 1:
                if has is not None:
                    load[has] -= 1
                load[least] += 1
                owner[tp] = least
                moved = True
    shares: Shares = {member: [] for member in members}
    for tp in everything:
        shares[owner[tp]].append(tp)
    return shares


def assign_cooperatively(members: Members, partitions: Partitions) -> Shares:
    """Return the sticky assignment without what somebody else still reads: that is free in the next rebalance (KIP-429)."""
    claimed = claims(members)
    return {
        member: [tp for tp in share if claimed.get(tp, set()) <= {member}]
        for member, share in assign_sticky(members, partitions).items()
    }


class Assignor(NamedTuple):
    """A way to share out. ``cooperative``: members keep what they have while it is decided anew."""

    name: str
    assign: Assign
    cooperative: bool = False
    #: whether a member's subscription says what it has: older clients of the group count on it being left out otherwise
    says_owned: bool = False


RANGE = Assignor("range", assign_range)
ROUNDROBIN = Assignor("roundrobin", assign_roundrobin)
STICKY = Assignor("sticky", assign_sticky, says_owned=True)
COOPERATIVE_STICKY = Assignor("cooperative-sticky", assign_cooperatively, cooperative=True, says_owned=True)
ASSIGNORS = {one.name: one for one in (RANGE, ROUNDROBIN, STICKY, COOPERATIVE_STICKY)}
