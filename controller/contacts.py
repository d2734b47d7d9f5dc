"""When each node was last heard of: the live value of `last_seen`.

Kept in memory so that a fleet's heartbeats cost no writes; the node reconciler copies it into the status with
other changes, or once in a while.
"""

from datetime import datetime


class Contacts:
    """Last contact by node uid. Only real contact counts: a probe answered, a heartbeat, a registration."""

    def __init__(self) -> None:
        self._last: dict[str, datetime] = {}
        self.version = 0
        """Counts the contacts: what was derived from them holds while it stands."""

    def touch(self, uid: str, at: datetime) -> None:
        """Record a contact; it never moves backwards."""
        known = self._last.get(uid)
        if known is None or at > known:
            self._last[uid] = at
            self.version += 1

    def last(self, uid: str, stored: datetime | None = None) -> datetime | None:
        """The newest contact known, given what the status says."""
        live = self._last.get(uid)
        if live is None or (stored is not None and stored > live):
            return stored
        return live

    def forget(self, uid: str) -> None:
        """Drop a node that is gone."""
        self._last.pop(uid, None)
