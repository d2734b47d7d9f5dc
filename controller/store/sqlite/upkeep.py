"""Dropping what is no longer needed, in bites so small that no write waits long for one."""

import sqlite3
from collections.abc import Sequence
from datetime import datetime, timedelta

from controller.store.sqlite.load import read_compacted
from controller.store.sqlite.rows import to_stamp
from controller.store.sqlite.transaction import transaction

_ROWS = 500
_BYTES = 4 << 20
_ROW = _BYTES // _ROWS
"""What a row of output counts at least: many small ones are work too."""


class Upkeep:
    """Old history and the output of deleted commands. Belongs to the writer's thread."""

    def __init__(self, connection: sqlite3.Connection, *, limit: int, age: timedelta) -> None:
        self._connection = connection
        self._limit = limit
        self._age = age
        self.compacted = read_compacted(connection)
        self._oldest = self._first_stamp()
        self.output_to_forget = True
        """Whether a command with output may have been deleted. At the start nobody knows."""

    def compact(self, newest: int, now: datetime) -> bool:
        """Drop one bite of history that is too much or too old. Returns whether anything was dropped."""
        cutoff = to_stamp(now - self._age)
        floor = newest - self._limit
        if self._oldest is None:
            self._oldest = self._first_stamp()
        if self.compacted >= floor and (self._oldest is None or self._oldest >= cutoff):
            return False
        upto = self._end_of_bite(floor, cutoff)
        with transaction(self._connection):
            self._connection.execute("DELETE FROM history WHERE revision <= ?", (upto,))
            self._connection.execute("UPDATE meta SET value = ? WHERE key = 'compacted'", (upto,))
        self.compacted = upto
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

    def _end_of_bite(self, floor: int, cutoff: int) -> int:
        """The last revision of the longest run, from the oldest on, that may go."""
        upto = self.compacted
        for revision, at in self._connection.execute(
            "SELECT revision, at FROM history ORDER BY revision LIMIT ?", (_ROWS,)
        ).fetchall():
            if revision > floor and at >= cutoff:
                break
            upto = revision
        return upto

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
