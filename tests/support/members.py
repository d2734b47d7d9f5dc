"""Several members in one process: the membership and the bulletin of servers that share a store, in virtual time.

They keep the promises of `controller.membership` and `controller.bulletin`, and are as late as those may be.
"""

import asyncio
import random
from collections import defaultdict
from contextlib import suppress

from controller.bulletin import Heard, Value
from controller.membership import LOST, OnView, View

LONGEST = 2.0
"""Seconds until a post is heard, at most."""


class Assembly:
    """All members, and who of them has stopped what the present generation takes from it."""

    def __init__(self, seed: int = 7) -> None:
        self.rng = random.Random(seed)
        self.generation = 0
        self.servers = 0
        self.live: dict[str, Member] = {}
        self.changed = asyncio.Event()

    def turn(self) -> None:
        """Something has changed that members look at."""
        self.changed.set()
        self.changed = asyncio.Event()

    def enter(self, member: "Member") -> None:
        """It joins, as another one each time."""
        member.joins += 1
        member.me, member.seen = f"{member.server}.{member.joins}", 0
        self.live[member.me] = member
        self.generation += 1
        self.turn()

    def leave(self, member: "Member") -> None:
        """It leaves, or is expelled."""
        if self.live.pop(member.me, None) is not None:
            self.generation += 1
            self.turn()

    def view(self) -> View:
        """As it is now."""
        settled = all(member.seen == self.generation for member in self.live.values())
        return View(self.generation, frozenset(self.live), settled)


class Member:
    """One server's place. `asleep` is set while the server is stopped, as by SIGSTOP."""

    def __init__(self, assembly: Assembly) -> None:
        self._assembly = assembly
        assembly.servers += 1
        self.server, self.joins = f"server-{assembly.servers}", 0
        self.me = f"{self.server}.0"
        self.seen = 0
        self._told = LOST
        self.awake = asyncio.Event()
        self.awake.set()

    async def run(self, on_view: OnView) -> None:
        """Join, stay, leave when cancelled; join again when expelled."""
        try:
            while True:
                self._assembly.enter(self)
                await self._stay(on_view)
                self._told = LOST
                await on_view(LOST)
        finally:
            self._assembly.leave(self)

    def view(self) -> View:
        """What was told last; LOST from the moment of an expulsion."""
        return self._told if self.me in self._assembly.live else LOST

    async def _stay(self, on_view: OnView) -> None:
        while self.me in self._assembly.live:
            await self.awake.wait()
            changed, view = self._assembly.changed, self._assembly.view()
            if view.generation != self.seen:
                self._told = View(view.generation, view.live, settled=False)
                await on_view(self._told)
                self.seen = view.generation
                self._assembly.turn()
            elif view.settled and not self._told.settled:
                self._told = view
                await on_view(view)
            else:
                await changed.wait()
            await asyncio.sleep(self._assembly.rng.uniform(0, 0.1))


class Board:
    """What all members have posted, heard by the others some time later."""

    def __init__(self, assembly: Assembly) -> None:
        self.assembly = assembly
        self.listeners: dict[tuple[MemberBoard, str], Heard] = {}
        self.posts: defaultdict[str, dict[tuple[str, str], Value]] = defaultdict(dict)

    def drop(self, member: str) -> None:
        """The member is gone, and what it has posted with it."""
        for topic, posts in self.posts.items():
            for key, by in [at for at in posts if at[1] == member]:
                del posts[key, by]
                self.spread(topic, key, by)

    def spread(self, topic: str, key: str, by: str) -> None:
        """Let all others hear of what is there under a key, when they do."""
        for (board, about), heard in self.listeners.items():
            if about == topic and board.member.me != by:
                later = self.assembly.rng.uniform(0.1, LONGEST)
                asyncio.get_running_loop().call_later(later, self._tell, heard, topic, key, by)

    def _tell(self, heard: Heard, topic: str, key: str, by: str) -> None:
        heard(key, by, self.posts[topic].get((key, by)))


class MemberBoard:
    """The bulletin as one member has it."""

    def __init__(self, board: Board, member: Member) -> None:
        self._board = board
        self.member = member

    def post(self, topic: str, key: str, value: Value | None) -> None:
        """Let the others know."""
        by = self.member.me
        if value is None:
            with suppress(KeyError):
                del self._board.posts[topic][key, by]
        else:
            self._board.posts[topic][key, by] = value
        self._board.spread(topic, key, by)

    def listen(self, topic: str, heard: Heard) -> None:
        """Hear what others post, and have posted."""
        self._board.listeners[self, topic] = heard
        for (key, by), value in self._board.posts[topic].items():
            if by != self.member.me:
                asyncio.get_running_loop().call_later(LONGEST, heard, key, by, value)
