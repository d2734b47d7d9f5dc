"""The SSH transport: a session is one connection, authenticated, checked and with a runner on it."""

from transports.base import Endpoint
from transports.runner.client import Flavour
from transports.ssh.connection import Connector
from transports.ssh.quickack import QuickAcks
from transports.ssh.session import SSHSession


class SSHTransport:
    """Implements `transports.base.Transport` over asyncssh.

    `keepalive_interval` (seconds): a connection that stays silent for four of them is given up. `max_channels`
    bounds the channels open at once on one connection; sshd's own default limit is 10. `runner` is the language of
    the runners on the nodes: by default perl where a node has it, else sh.
    """

    def __init__(self, *, keepalive_interval: float = 15.0, max_channels: int = 8, runner: Flavour = "auto") -> None:
        self._connector = Connector(keepalive_interval=keepalive_interval)
        self._max_channels = max_channels
        self._runner: Flavour = runner

    async def connect(self, endpoint: Endpoint) -> SSHSession:
        """One attempt. Takes at most `connect_timeout` for each hop, and once more to set up the runner.

        Raises `Unreachable` for what may pass by itself, `Refused` for what somebody has to change.
        """
        with QuickAcks() as acks:
            connection = await self._connector.open(endpoint, acks)
            return await SSHSession.open(
                connection,
                base_dir=endpoint.base_dir,
                timeout=endpoint.connect_timeout,
                max_channels=self._max_channels,
                runner=self._runner,
            )

    async def aclose(self) -> None:
        """Forget the parsed keys. Sessions are closed by whoever opened them."""
        self._connector.forget()
