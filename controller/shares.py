"""Which of the servers on a store works on what: decided purely, from who is alive and where agents have dialled in.

Each node, and each job that one server does for all, belongs to the live member that weighs most for its name
(rendezvous hashing): when a member comes or goes, only what is its own moves, and a server that joins again has what
it had. A node whose agent has dialled in belongs to the member that it reached (`controller.pins`).

A view that is not settled takes away and gives nothing: until it is, a member has only what is its own under the last
settled view and under all views since.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial
from hashlib import blake2b
from typing import Final

from controller.membership import LOST, Membership, View, server_of
from controller.pins import Pins

Members = frozenset[str]

MOST_REMEMBERED: Final = 100_000
_JOB: Final = "\0job:"
"""No node's name begins with that."""


class Shares:
    """What is this server's, at this moment. Asked before everything that is done to a node."""

    def __init__(self, membership: Membership, pins: Pins) -> None:
        self._membership = membership
        self._pins = pins
        self._views: tuple[Members, ...] = (LOST.live,)
        self._owned: dict[str, bool] = {}
        self._since: dict[str, datetime] = {}

    def tell(self, view: View) -> None:
        """That is the view from now on."""
        if view.settled or not view.live:
            self._views = (view.live,)
        elif view.live not in self._views:
            self._views = (*self._views, view.live)
        self._owned.clear()
        self._pins.turn(self._membership.me, view.live)

    @property
    def live(self) -> Members:
        """The members that take shares, as far as this server knows; none when it has no place."""
        return self._views[-1] if self._membership.view().live else LOST.live

    def mine(self, node: str) -> bool:
        """Whether this server works on the node of that name, be it there or gone."""
        if not self._membership.view().live:
            return False
        return self._pins.decide(node, hashed=self._is_owned(node), views=self._views)

    def mine_single(self, job: str) -> bool:
        """Whether this server does a job that one does for all."""
        return bool(self.live) and self._is_owned(_JOB + job)

    def hold(self, nodes: Iterable[str], now: datetime) -> None:
        """Those are the nodes that this server works on."""
        self._since = {node: self._since.get(node, now) for node in nodes}

    def since(self, node: str, default: datetime) -> datetime:
        """When this server began to work on the node: it judges nobody by what was before."""
        return self._since.get(node, default)

    def _is_owned(self, key: str) -> bool:
        """By its name, under all views. Remembered: that is asked of each node several times a second."""
        owned = self._owned.get(key)
        if owned is None:
            if len(self._owned) >= MOST_REMEMBERED:
                self._owned.clear()
            me = self._membership.me
            owned = self._owned[key] = all(owner_of(key, members) == me for members in self._views)
        return owned


def owner_of(key: str, members: Members) -> str | None:
    """The member that weighs most for a key."""
    return max(members, key=partial(_weight, key), default=None)


def _weight(key: str, member: str) -> tuple[bytes, str]:
    return blake2b(f"{server_of(member)}\0{key}".encode(), digest_size=8).digest(), member


Mine = Callable[[str], bool]
"""Whether this server works on the node of that name."""
