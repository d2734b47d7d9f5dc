"""The bounds on what a connection may send and how long it may take (contract A-4)."""

from dataclasses import dataclass
from typing import Final, Self

from controller.duration import SECOND
from controller.settings import Settings

MAX_HEADER_BYTES: Final = 64 * 1024
MAX_BODY_BYTES: Final = 4 * 1024 * 1024
MAX_JSON_DEPTH: Final = 64
MOST_VALUES: Final = 20_000
"""Of all maps and lists in a body together: to tell which of a million fields nobody knows takes a minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Seconds and bytes."""

    read_timeout: float
    """From the first byte of a request to the last of its body; and for a new connection to say something."""
    idle_timeout: float
    """Between two requests."""
    ping_period: float
    """Of WebSockets; a peer silent for two of them is dropped."""
    header_bytes: int = MAX_HEADER_BYTES
    body_bytes: int = MAX_BODY_BYTES

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """What the settings say."""
        return cls(
            read_timeout=settings.server.read_timeout / SECOND,
            idle_timeout=settings.server.idle_timeout / SECOND,
            ping_period=settings.websocket.ping_period / SECOND,
        )
