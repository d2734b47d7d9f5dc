"""Who shares the work: the servers on one store, as each of them sees it.

A view has a generation. Every join, every leave and every expulsion makes a new one, which each server is told twice:

    unsettled   stop what is not yours under it; your return says that you have
    settled     every server has stopped; take what is yours

So two servers never work on one thing, as long as both are alive. One that is not can be told nothing: it is expelled
once its time is over, nothing that it writes from then on is stored, and it finds out by its own clock before that.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol
from uuid import NAMESPACE_URL, uuid4, uuid5


@dataclass(frozen=True, slots=True)
class View:
    """Who shares the work, as of a generation."""

    generation: int
    """Grows; 0 is the view of a server that has no place."""
    live: frozenset[str]
    """The ids of the members that take shares. What a server owns follows from the part that stays: see `Ids`."""
    settled: bool
    """Whether every one of them has stopped what this view takes from it."""


LOST: Final = View(0, frozenset(), settled=False)
"""This server has no place among the members: it works on nothing, and nothing that it writes is stored."""


class Ids:
    """Draws a server's ids: another one at each join, of which the part before the dot stays the server's.

    So it does for one that is started again in the same `place`, and gets back the nodes that it had.
    """

    def __init__(self, place: str = "") -> None:
        self._server = uuid5(NAMESPACE_URL, place) if place else uuid4()

    def next(self) -> str:
        """The id for one more join."""
        return f"{self._server}.{uuid4().hex}"


def server_of(member: str) -> str:
    """Which server a member is. It is two members only while one of them is about to be missed."""
    return member.partition(".")[0]


OnView = Callable[[View], Awaitable[None]]


class Membership(Protocol):
    """This server's place among the members."""

    @property
    def me(self) -> str:
        """This incarnation's id. Each time that the server joins it has another one."""

    async def run(self, on_view: OnView) -> None:
        """Join, stay, and leave when cancelled. One call in all; it ends by being cancelled only.

        `on_view` is told each view, one at a time, unsettled and then settled; one that is outdated by then is passed
        over. It is told LOST when the place is lost; then this server joins again, as another one, and tries to for
        ever. Leaving tells the others that nothing is left to stop: cancel this when that is so.
        """

    def view(self) -> View:
        """What was told last, or LOST from the moment in which the place is lost."""


class Alone:
    """The membership of the one server on a store that no others can share."""

    def __init__(self, *, takes_shares: bool) -> None:
        self._me = Ids().next()
        self._live = frozenset({self._me} if takes_shares else ())
        self._view = LOST

    @property
    def me(self) -> str:
        """This server's id."""
        return self._me

    async def run(self, on_view: OnView) -> None:
        """Tell the one view that there is; it is settled at once."""
        for settled in (False, True):
            self._view = View(1, self._live, settled)
            await on_view(self._view)
        await asyncio.Event().wait()

    def view(self) -> View:
        """What was told last."""
        return self._view
