"""A log file that is rotated by size, and whose old parts go by number and by age (contract A-10)."""

import logging
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

_STAMP = "%Y-%m-%dT%H-%M-%S.%f"


def _now() -> datetime:
    return datetime.now(UTC)


class RotatingFile(logging.Handler):
    """Appends to `path`. Before a record would take it past `max_bytes`, the file is renamed to `name-TIME.log`.

    Of the renamed ones the newest `max_backups` stay (0: all), none longer than `max_age_days` (0: for ever). Files
    are made with mode 0600. A record is never split, so one that is longer than `max_bytes` gets a file of its own.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        max_bytes: int,
        max_backups: int,
        max_age_days: int,
        now: Callable[[], datetime] = _now,
    ) -> None:
        super().__init__()
        self._path = Path(path)
        self._max_bytes = max_bytes
        self._max_backups = max_backups
        self._max_age = timedelta(days=max_age_days)
        self._now = now
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._open()
        self._remove_old()

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; a full disk or a vanished folder is told on stderr by `handleError`, never raised."""
        try:
            line = self.format(record).encode("utf-8", "backslashreplace") + b"\n"
            if self._size and self._size + len(line) > self._max_bytes:
                self._rotate()
            self._file.write(line)
            self._size += len(line)
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()

    def _open(self) -> BinaryIO:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(descriptor).st_size
        return os.fdopen(descriptor, "ab", buffering=0)

    def _rotate(self) -> None:
        backup = self._path.with_name(f"{self._path.stem}-{self._now().strftime(_STAMP)}{self._path.suffix}")
        self._path.rename(backup)
        full, self._file = self._file, self._open()
        full.close()
        self._remove_old()

    def _remove_old(self) -> None:
        backups = sorted(self._backups(), reverse=True)
        for number, (made, path) in enumerate(backups):
            too_many = self._max_backups and number >= self._max_backups
            too_old = self._max_age and self._now() - made > self._max_age
            if too_many or too_old:
                path.unlink(missing_ok=True)

    def _backups(self) -> list[tuple[datetime, Path]]:
        """The renamed files with the time in their names; other files in the folder are none of ours."""
        stamp = r"(\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{6})"
        pattern = re.compile(re.escape(f"{self._path.stem}-") + stamp + re.escape(self._path.suffix))
        found = ((pattern.fullmatch(path.name), path) for path in self._path.parent.iterdir())
        return [(datetime.strptime(m[1], _STAMP).replace(tzinfo=UTC), path) for m, path in found if m]
