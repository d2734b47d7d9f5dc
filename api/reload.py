"""SIGHUP: the configuration is read again. What can change under way does; what cannot is named in the log."""

import asyncio
import signal
from collections.abc import Callable
from typing import Any, Final

import structlog

from api.logs import configure as configure_logs
from controller.config import ConfigError, Loaded
from controller.config.keys import KEYS, Key, dotted
from controller.settings import Settings

log = structlog.get_logger(__name__)

Load = Callable[[], Loaded]
"""Read the configuration as the start did: the same file, flags and environment. Raises ConfigError."""

RELOADED: Final = frozenset(key for key in KEYS if key[0] == "logging")
"""What takes effect without a restart. The log file is opened again, too, as a log rotation wants it."""


class Reloader:
    """Knows the settings in force, and brings them up to date."""

    def __init__(self, settings: Settings, load: Load) -> None:
        self._settings, self._load = settings, load

    def listen(self) -> None:
        """Reload on SIGHUP, on the loop that is running."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self.reload)

    def reload(self) -> None:
        """Read the configuration again; one that is wrong changes nothing."""
        try:
            loaded = self._load()
            configure_logs(loaded.settings.logging)
        except (ConfigError, OSError) as error:
            problems = str(error).splitlines()
            log.error("the configuration is wrong: it stays as it was", problems=problems)  # noqa: TRY400 - our sentence
            return
        for warning in loaded.warnings:
            log.warning("configuration", warning=warning)
        changed = _changed(self._settings, loaded.settings)
        self._settings = self._settings.model_copy(update={"logging": loaded.settings.logging})
        log.info("configuration reloaded", changed=[dotted(key) for key in changed if key in RELOADED])
        if waiting := [dotted(key) for key in changed if key not in RELOADED]:
            log.warning("changes that take effect with the next start only", keys=waiting)


def _changed(old: Settings, new: Settings) -> list[Key]:
    return [key for key in KEYS if _value(old, key) != _value(new, key)]


def _value(settings: Settings, key: Key) -> Any:
    value: Any = settings
    for name in key:
        value = getattr(value, name)
    return value
