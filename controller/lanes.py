"""Each node's lane: its commands that have not ended, in the order in which they were accepted.

The first `limit` of a lane may be under way; the next one moves up when one of them ends. This makes the order and
the concurrency of a node a fact that can be looked up, not a race.
"""

from bisect import bisect_left, insort
from collections import defaultdict
from datetime import datetime

from controller.resources.command import Command

Place = tuple[datetime, str]


class Lanes:
    """Commands by node, kept up to date by the informer."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lanes: defaultdict[str, list[Place]] = defaultdict(list)
        self._place: dict[str, tuple[str, Place]] = {}
        self._forced: set[str] = set()
        self._names: dict[str, str] = {}
        self._unsettled: defaultdict[str, set[str]] = defaultdict(set)

    def update(self, command: Command, *, there: bool) -> str | None:
        """Take note of a command; returns the name of the one that moves up because this one has ended."""
        self._note_unsettled(command, there=there)
        if there and not command.ended:
            self._enter(command)
            return None
        return self._leave(command)

    def admitted(self, command: Command, *, cordoned: bool = False) -> bool:
        """Whether the command is among those of its node that may be under way.

        While the node is cordoned, those that are not forced stand aside: they take nobody's place.
        """
        entry = self._place.get(command.name)
        if entry is None:
            return True
        node, place = entry
        ahead = bisect_left(self._lanes[node], place)
        if cordoned:
            ahead = sum(1 for _, name in self._lanes[node][:ahead] if name in self._forced)
        return ahead < self._limit

    def knows(self, command: Command) -> bool:
        """Whether the command is in a lane already."""
        return command.name in self._place

    def nodes(self) -> set[str]:
        """The names of nodes with commands that have not ended, or whose outcome is unknown."""
        return {*self._lanes, *self._unsettled}

    def front(self, node: str) -> list[str]:
        """The names of a node's commands that may be under way, cordoned or not."""
        lane = [name for _, name in self._lanes.get(node, ())]
        forced = [name for name in lane[self._limit :] if name in self._forced]
        return lane[: self._limit] + forced[: self._limit]

    def unsettled(self, node: str) -> list[str]:
        """The names of a node's commands whose outcome is unknown so far."""
        return sorted(self._unsettled.get(node, ()))

    def name_of(self, uid: str) -> str | None:
        """The name of the unfinished command with that uid (32 hex digits)."""
        return self._names.get(uid)

    def _enter(self, command: Command) -> None:
        if command.name in self._place:
            return
        at = command.status.queued or command.metadata.creation_timestamp
        if at is None:
            return
        place = (at, command.name)
        insort(self._lanes[command.spec.node], place)
        self._place[command.name] = (command.spec.node, place)
        self._names[command.uid.replace("-", "")] = command.name
        if command.spec.params.force:
            self._forced.add(command.name)

    def _leave(self, command: Command) -> str | None:
        self._names.pop(command.uid.replace("-", ""), None)
        self._forced.discard(command.name)
        entry = self._place.pop(command.name, None)
        if entry is None:
            return None
        node, place = entry
        lane = self._lanes[node]
        index = bisect_left(lane, place)
        del lane[index]
        if not lane:
            del self._lanes[node]
            return None
        return lane[self._limit - 1][1] if index < self._limit <= len(lane) else None

    def _note_unsettled(self, command: Command, *, there: bool) -> None:
        waiting = self._unsettled[command.spec.node]
        if there and command.status.phase == "unknown":
            waiting.add(command.name)
        else:
            waiting.discard(command.name)
        if not waiting:
            del self._unsettled[command.spec.node]
