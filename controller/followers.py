"""Who follows a command's output live: the controller fetches it more often for them than for nobody.

Kept in memory, as what it is: a follower is an open connection, to this server or to another one.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from controller.bulletin import Bulletin, Unread, Value
from controller.resources.command import Command

TOPIC: Final = "followers"


class Followers:
    """Followers by command uid."""

    def __init__(self, bulletin: Bulletin = Unread()) -> None:  # noqa: B008 - it has no state
        self._bulletin = bulletin
        self._count: Counter[str] = Counter()
        self._elsewhere: defaultdict[str, set[str]] = defaultdict(set)
        self.on_first: Callable[[str], None] = lambda name: None
        """Told the name of a command that is followed now and was not before."""
        bulletin.listen(TOPIC, self._heard)

    @contextmanager
    def following(self, command: Command) -> Iterator[None]:
        """While inside, the command is followed."""
        uid = command.uid
        self._count[uid] += 1
        if self._count[uid] == 1:
            self._bulletin.post(TOPIC, uid, {"name": command.name})
            self.on_first(command.name)
        try:
            yield
        finally:
            self._count[uid] -= 1
            if not self._count[uid]:
                del self._count[uid]
                self._bulletin.post(TOPIC, uid, None)

    def follow(self, command: Command) -> bool:
        """Whether anybody follows the command."""
        return command.uid in self._count or command.uid in self._elsewhere

    def _heard(self, uid: str, member: str, value: Value | None) -> None:
        """Somebody follows it at another server, or nobody does there any more."""
        match value:
            case {"name": str(name)}:
                self._elsewhere[uid].add(member)
                self.on_first(name)
            case _ if uid in self._elsewhere:
                self._elsewhere[uid].discard(member)
                if not self._elsewhere[uid]:
                    del self._elsewhere[uid]
            case _:
                pass
