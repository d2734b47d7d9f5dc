"""What servers on one store tell each other without storing it: observations that are worth nothing tomorrow.

A post is never a change: it has no revision, is in no history, and wakes no watch.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"
"""What a post is made of."""

Value: TypeAlias = Mapping[str, JSON]

Heard = Callable[[str, str, Value | None], None]
"""Called with a key, the id of the member that posted, and what it has posted: None when it was taken down."""


class Bulletin(Protocol):
    """A board that every server may post to and reads all of. What a member has posted goes when the member does."""

    def post(self, topic: str, key: str, value: Value | None) -> None:
        """Let the others know; None takes it down. Of several posts under one key the last one counts.

        Posts are sent together, once a second, and all of them again when they may have got lost. A server without a
        place among the members posts once it has one. Raises TypeError or ValueError for what is no JSON.
        """

    def listen(self, topic: str, heard: Heard) -> None:
        """Have `heard` called with whatever others post, and at first with all that they have posted.

        It hears of each key at least once, the newest last, and of every one that is gone.
        """


class Unread:
    """The bulletin of a server that is alone: nobody reads it, and there is nothing to hear."""

    def post(self, topic: str, key: str, value: Value | None) -> None:
        """Tell nobody."""

    def listen(self, topic: str, heard: Heard) -> None:
        """Hear nothing."""
