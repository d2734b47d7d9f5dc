"""The transports of this server: each built once, when the first node asks for it, with its settings."""

from typing import Any

from controller.duration import SECOND
from controller.settings import TransportSettings
from transports import registry
from transports.base import Transport
from transports.ssh.known_hosts import KnownHosts
from transports.websocket.hub import Hub


class Installed:
    """Transports by name, built on demand."""

    def __init__(self, settings: TransportSettings) -> None:
        self._settings = settings
        self._built: dict[str, Transport] = {}
        self.hub = Hub()
        self.known_hosts = KnownHosts(settings.known_hosts)

    def __call__(self, name: str) -> Transport:
        """The transport of that name. Raises LookupError for one that is not installed."""
        if name not in self._built:
            self._built[name] = registry.load(name)(**self._options(name))
        return self._built[name]

    async def aclose(self) -> None:
        """Release what the transports hold."""
        await self.hub.aclose()
        for transport in self._built.values():
            await transport.aclose()

    def _options(self, name: str) -> dict[str, Any]:
        if name == "websocket":
            return {"hub": self.hub}
        if name != "ssh":
            return {}
        ssh = self._settings.ssh
        return {"keepalive_interval": ssh.keepalive_interval / SECOND, "max_channels": ssh.max_channels}
