"""The transport `local`: nodes that are the machine which the server runs on.

All that a transport needs is a way to start a program on the node and to exchange bytes with it. The runner's client
does the rest, with every guarantee. Replace the command line below by `docker exec -i NAME /bin/sh -c …`, and nodes
are containers.
"""

import os
from pathlib import Path

from transports.base import Endpoint
from transports.errors import ConnectionLost, TransportError, Unreachable
from transports.runner.client import Runner
from transports.runner.pipes import Children, PipeChannel


class LocalTransport:
    """Implements `transports.base.Transport`. The server gives a plugin no settings: it has defaults for all."""

    def __init__(self, *, home: Path | None = None) -> None:
        self._home = home or Path.home()
        self._children = Children()

    async def connect(self, endpoint: Endpoint) -> Runner:
        """A session. Raises `Unreachable` for what may pass by itself, `Refused` for what somebody has to change."""
        try:
            return await Runner.launch(self._open, base_dir=endpoint.base_dir, timeout=endpoint.connect_timeout)
        except ConnectionLost as error:
            raise Unreachable(str(error)) from error

    async def aclose(self) -> None:
        """Nothing is held here."""

    async def _open(self, command: str) -> PipeChannel:
        environment = {**os.environ, "HOME": str(self._home)}
        try:
            return await self._children.open(["/bin/sh", "-c", command], home=self._home, environment=environment)
        except OSError as error:
            raise TransportError(f"cannot start a shell in {self._home}: {error.strerror}") from error
