"""Who follows a command's output live: the controller fetches it more often for them than for nobody.

Kept in memory, as what it is: a follower is an open connection.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from controller.resources.command import Command


class Followers:
    """Followers by command uid."""

    def __init__(self) -> None:
        self._count: Counter[str] = Counter()
        self.on_first: Callable[[str], None] = lambda name: None
        """Told the name of a command that is followed now and was not before."""

    @contextmanager
    def following(self, command: Command) -> Iterator[None]:
        """While inside, the command is followed."""
        uid = command.uid
        self._count[uid] += 1
        if self._count[uid] == 1:
            self.on_first(command.name)
        try:
            yield
        finally:
            self._count[uid] -= 1
            if not self._count[uid]:
                del self._count[uid]

    def follow(self, command: Command) -> bool:
        """Whether anybody follows the command."""
        return command.uid in self._count
