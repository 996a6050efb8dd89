"""Members of three clients come, go and are put out, in groups of both protocols; each message is read, and shares are fair."""

from __future__ import annotations

import time
from typing import Any

from pykafka import KafkaClient

from ..real.test_mixed_groups import NEWER, Confluent, KafkaPython, Ours, Play, Player
from ..support import until
from .stage import Stage, put_out

SECONDS = 30.0
MOST_MEMBERS = 4
#: What the members of a classic group may be, and what of the newer protocol.
CLASSIC: list[Any] = [Ours, Ours, Confluent, KafkaPython]
OF_NEWER: list[Any] = [Ours, Ours, Confluent]
#: The same where a group may have both at once. librdkafka tells its user of an error when the group goes over while it joins,
#: and gives up for good when it was put out of a group that has become a classic one.
CLASSIC_MIXED: list[Any] = [Ours, Ours, KafkaPython]
NEWER_MIXED: list[Any] = [Ours]


class Story:
    """A group and who is in it by now."""

    def __init__(self, stage: Stage, play: Play) -> None:
        self._random, self._fake, self._play = stage.random, stage.fake, play
        sharing = self._random.choice(["range", "cooperative-sticky"])
        # what kafka-python's cooperative leader writes into a share no broker would take over
        self._protocols = self._random.choice([[sharing], [NEWER], ["range", NEWER]])
        # what kafka-python has lost it goes on to claim, and does not give up: nobody reads it (docs/design.md, "Non-obvious")
        self._spared = ("kafka-python-",) if self._protocols == ["cooperative-sticky"] else ()
        self._is_mixed = len(self._protocols) > 1
        self._kinds = {NEWER: NEWER_MIXED, "range": CLASSIC_MIXED} if self._is_mixed else {NEWER: OF_NEWER, sharing: CLASSIC}
        self._here: list[Player] = []
        self.told = [" and ".join(self._protocols)]

    def step(self) -> None:
        """Have one thing happen."""
        acts: list[Any] = [self.write]
        if len(self._here) < MOST_MEMBERS:
            acts += [self.enter, self.enter]
        if len(self._here) > 1:
            acts.append(self.leave)
        if self._fake is not None and self._here:
            acts += [self.move, self.put_out]
        self._random.choice(acts)()
        # often the next thing happens in the middle of the rebalance
        if self._random.random() < 0.5:
            self.rest()

    def enter(self) -> None:
        """Have somebody join."""
        sharing = self._random.choice(self._protocols)
        kind = self._random.choice(self._kinds[sharing])
        self.told.append(f"+{kind.__name__}/{sharing}")
        self._here.append(self._play.enter(kind, sharing))

    def leave(self) -> None:
        """Have somebody leave."""
        player = self._here.pop(self._random.randrange(len(self._here)))
        self.told.append(f"-{type(player).__name__}")
        player.leave()

    def write(self) -> None:
        """Write messages, and wait until they are read."""
        if not self._here:
            self.enter()
        self.told.append("write")
        self._play.write()

    def move(self) -> None:
        """Have another broker look after the group."""
        if self._is_mixed:
            # a group that has just become a classic one has not written that it shares out anew, and after that it never does;
            # who was put out of it does not know that yet, and shares still look fair
            self.rest()
            until(lambda: len(self._fake.members(self._play.name)) == len(self._here), what="seats for all")  # type: ignore[union-attr]
        self.told.append("move")
        self._fake.move_coordinator(self._play.name, self._random.choice([1, 2, 3]))  # type: ignore[union-attr]

    def put_out(self) -> None:
        """Put somebody out of the group who does not expect it."""
        self.told.append("put out")
        assert self._fake is not None
        put_out(self._fake, self._play.name, self._spared)

    def rest(self) -> None:
        """Wait until shares are fair."""
        self._play.until_shared(*self._here) if self._here else None

    def end(self) -> None:
        """Have everybody leave but one, who reads the rest."""
        if not self._here:
            self.enter()
        while len(self._here) > 1:
            self.leave()
        self.rest()
        self._play.write()
        self._here.pop().leave()


def play(stage: Stage) -> str:
    """Tell the story; return what happened."""
    topic = stage.new_topic(partitions=1) + "-group"
    with KafkaClient(stage.hosts) as client, Play(stage, client, topic) as group:  # type: ignore[arg-type]  # it has hosts
        story = Story(stage, group)
        ends = time.monotonic() + SECONDS * stage.length
        try:
            while time.monotonic() < ends:
                story.step()
            story.end()
        except BaseException:
            print("so far:", *story.told, flush=True)
            for player in group.everybody:
                print(type(player).__name__, player.sharing, sorted(player.share), player.error)
            stage.print_requests("JoinGroup", "SyncGroup", "LeaveGroup", "ConsumerGroupHeartbeat", "FindCoordinator")
            raise
        group.check_committed()
    return " ".join(story.told)
