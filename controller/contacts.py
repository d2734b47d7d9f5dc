"""When each node was last heard of: the live value of `last_seen`.

Kept in memory so that a fleet's heartbeats cost no writes, and told to the other servers; the node reconciler copies
it into the status with other changes, or once in a while.
"""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Final

from controller.bulletin import Bulletin, Unread, Value

TOPIC: Final = "contacts"


class Contacts:
    """Last contact by node uid. Only real contact counts: a probe answered, a heartbeat, a registration."""

    def __init__(self, bulletin: Bulletin = Unread()) -> None:  # noqa: B008 - it has no state
        self._bulletin = bulletin
        self._last: dict[str, datetime] = {}
        self.version = 0
        """Counts the contacts: what was derived from them holds while it stands."""
        bulletin.listen(TOPIC, self._heard)

    def touch(self, uid: str, at: datetime) -> None:
        """Record a contact; it never moves backwards."""
        if self._note(uid, at):
            self._bulletin.post(TOPIC, uid, {"at": at.timestamp()})

    def last(self, uid: str, stored: datetime | None = None) -> datetime | None:
        """The newest contact known, given what the status says."""
        live = self._last.get(uid)
        if live is None or (stored is not None and stored > live):
            return stored
        return live

    def forget(self, uid: str) -> None:
        """Drop a node that is gone."""
        if self._last.pop(uid, None) is not None:
            self._bulletin.post(TOPIC, uid, None)

    def prune(self, present: Collection[str]) -> None:
        """Drop all nodes but these: another server's word of one may come when it is gone."""
        for uid in self._last.keys() - set(present):
            self.forget(uid)

    def _note(self, uid: str, at: datetime) -> bool:
        known = self._last.get(uid)
        if known is not None and at <= known:
            return False
        self._last[uid] = at
        self.version += 1
        return True

    def _heard(self, uid: str, member: str, value: Value | None) -> None:
        """Another server was in contact. Who is gone takes nothing back: the contact was there."""
        del member
        match value:
            case {"at": int(at) | float(at)}:
                self._note(uid, datetime.fromtimestamp(at, UTC))
            case _:
                pass
