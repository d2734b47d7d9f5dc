"""The configuration is read again when its files change, and on SIGHUP.

What can change under way does; what cannot is named in the log. A mounted ConfigMap or Secret changes by a link that
leads elsewhere: so the files are looked at where their names lead, over and over.
"""

import asyncio
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import structlog

from api.logs import configure as configure_logs
from controller.config import ConfigError, Loaded
from controller.config.keys import KEYS, Key, dotted
from controller.metrics import Metrics
from controller.settings import Settings

log = structlog.get_logger(__name__)

Load = Callable[[], Loaded]
"""Read the configuration as the start did: the same file, flags and environment. Raises ConfigError."""
Signature = tuple[tuple[int, int, int] | None, ...]
"""Inode, size and time of change of each file: another one after any change, a swapped link included."""

RELOADED: Final = frozenset(key for key in KEYS if key[0] == "logging")
"""What takes effect without a restart. The log file is opened again, too, as a log rotation wants it."""
PERIOD: Final = 1.0
"""Seconds between two looks at the files."""


class Reloader:
    """Knows the settings in force, and brings them up to date."""

    def __init__(self, loaded: Loaded, load: Load, metrics: Metrics) -> None:
        self._settings, self._files, self._load, self._metrics = loaded.settings, loaded.files, load, metrics
        self._read = self._seen = signature_of(self._files)
        self._account(good=True)

    def listen(self) -> None:
        """Reload on SIGHUP, on the loop that is running."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self.reload)

    async def watch(self) -> None:
        """Reload whenever a file has changed, until cancelled."""
        while True:
            await asyncio.sleep(PERIOD)
            if self.has_changed(await asyncio.to_thread(signature_of, self._files)):
                self.reload()

    def has_changed(self, signature: Signature) -> bool:
        """Whether the files are others than those read last, and stand still: who writes may not be ready."""
        steady, self._seen = signature == self._seen, signature
        return steady and signature != self._read

    def reload(self) -> None:
        """Read the configuration again; one that is wrong changes nothing."""
        self._read = signature_of(self._files)
        try:
            loaded = self._load()
            configure_logs(loaded.settings.logging)
        except (ConfigError, OSError) as error:
            problems = str(error).splitlines()
            log.error("the configuration is wrong: it stays as it was", problems=problems)  # noqa: TRY400 - our sentence
            self._account(good=False)
            return
        self._account(good=True)
        for warning in loaded.warnings:
            log.warning("configuration", warning=warning)
        changed = _changed(self._settings, loaded.settings)
        self._settings = self._settings.model_copy(update={"logging": loaded.settings.logging})
        log.info("configuration reloaded", changed=[dotted(key) for key in changed if key in RELOADED])
        if waiting := [dotted(key) for key in changed if key not in RELOADED]:
            log.warning("changes that take effect with the next start only", keys=waiting)

    def _account(self, *, good: bool) -> None:
        self._metrics.config_good.set(good)
        if good:
            self._metrics.config_read.set_to_current_time()


def signature_of(files: Sequence[Path]) -> Signature:
    """What tells whether anything has changed, without reading it."""
    return tuple(_signed(file) for file in files)


def _signed(file: Path) -> tuple[int, int, int] | None:
    try:
        stat = file.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _changed(old: Settings, new: Settings) -> list[Key]:
    return [key for key in KEYS if _value(old, key) != _value(new, key)]


def _value(settings: Settings, key: Key) -> Any:
    value: Any = settings
    for name in key:
        value = getattr(value, name)
    return value
