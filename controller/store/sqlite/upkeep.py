"""Dropping what is no longer needed, in bites so small that no write waits long for one."""

import sqlite3
from collections.abc import Sequence
from datetime import datetime

from controller.store.history import HistoryLimits
from controller.store.sqlite.load import read_compacted
from controller.store.sqlite.rows import to_stamp
from controller.store.sqlite.transaction import transaction

_ROWS = 500
_BYTES = 4 << 20
_ROW = _BYTES // _ROWS
"""What a row of output counts at least: many small ones are work too."""


class Upkeep:
    """Old history and the output of deleted commands. Belongs to the writer's thread."""

    def __init__(self, connection: sqlite3.Connection, limits: HistoryLimits) -> None:
        self._connection = connection
        self._limits = limits
        self.compacted = read_compacted(connection)
        (self._size,) = connection.execute("SELECT coalesce(sum(length(body)), 0) FROM history").fetchone()
        self._oldest = self._first_stamp()
        self.output_to_forget = True
        """Whether a command with output may have been deleted. At the start nobody knows."""

    def grown(self, size: int) -> None:
        """Take note of so many bytes of history more."""
        self._size += size

    def compact(self, newest: int, now: datetime) -> bool:
        """Drop one bite of history that is too much or too old. Returns whether anything was dropped."""
        cutoff = to_stamp(now - self._limits.age)
        floor = newest - self._limits.changes
        if self._oldest is None:
            self._oldest = self._first_stamp()
        fits = self.compacted >= floor and self._size <= self._limits.size
        if fits and (self._oldest is None or self._oldest >= cutoff):
            return False
        upto, size = self._end_of_bite(floor, cutoff)
        with transaction(self._connection):
            self._connection.execute("DELETE FROM history WHERE revision <= ?", (upto,))
            self._connection.execute("UPDATE meta SET value = ? WHERE key = 'compacted'", (upto,))
        self.compacted = upto
        self._size -= size
        self._oldest = self._first_stamp()
        return True

    def forget_output(self) -> bool:
        """Drop one bite of deleted commands' output. Returns whether there was any."""
        if not self.output_to_forget:
            return False
        logs = self._connection.execute("SELECT id FROM logs WHERE command IS NULL LIMIT ?", (_ROWS,)).fetchall()
        self.output_to_forget = bool(logs)
        if logs:
            with transaction(self._connection):
                self._forget([log for (log,) in logs])
        return self.output_to_forget

    def _forget(self, logs: Sequence[int]) -> None:
        """As many as are a bite, the last one perhaps in part."""
        left = _BYTES
        for log in logs:
            upto, size = self._end_of_output_bite(log, left)
            self._connection.execute("DELETE FROM output WHERE log = ? AND position <= ?", (log, upto))
            left -= size
            if left <= 0:
                return
            self._connection.execute("DELETE FROM logs WHERE id = ?", (log,))

    def _first_stamp(self) -> int | None:
        row = self._connection.execute("SELECT at FROM history ORDER BY revision LIMIT 1").fetchone()
        return None if row is None else int(row[0])

    def _end_of_bite(self, floor: int, cutoff: int) -> tuple[int, int]:
        """The last revision of the longest run, from the oldest on, that may go, and how large the run is."""
        upto, size = self.compacted, 0
        for revision, at, length in self._connection.execute(
            "SELECT revision, at, length(body) FROM history ORDER BY revision LIMIT ?", (_ROWS,)
        ).fetchall():
            fits = self._size - size <= self._limits.size
            if size >= _BYTES or (revision > floor and at >= cutoff and fits):
                break
            upto = revision
            size += length
        return upto, size

    def _end_of_output_bite(self, log: int, left: int) -> tuple[int, int]:
        """The position of the last chunk of a bite, and how much that is: less than `left` when that is all."""
        upto, size = -1, 0
        rows = self._connection.execute(
            "SELECT position, max(length(data), ?) FROM output WHERE log = ? ORDER BY position", (_ROW, log)
        )
        for position, length in rows:
            upto = position
            size += length
            if size >= left:
                break
        rows.close()
        return upto, size
