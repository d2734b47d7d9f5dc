"""SSH servers that do what no sshd can be configured to do, in-process and on loopback only."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, Protocol

import asyncssh

Answer = Callable[["asyncssh.SSHServerProcess[bytes]"], Awaitable[None]]


class Visitors:
    """What one odd server saw of its clients."""

    def __init__(self) -> None:
        self.connections: list[asyncssh.SSHServerConnection] = []
        self.commands: list[str] = []
        self.passwords: list[str] = []


class _Host(asyncssh.SSHServer):
    def __init__(self, visitors: Visitors, options: dict[str, Any]) -> None:
        self._visitors = visitors
        self._options = options

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._visitors.connections.append(conn)
        if banner := self._options["banner"]:
            conn.send_auth_banner(banner)

    def begin_auth(self, username: str) -> bool:
        return self._options["password"] is not None

    def password_auth_supported(self) -> bool:
        return not self._options["only_interactive"]

    def validate_password(self, username: str, password: str) -> bool:
        self._visitors.passwords.append(password)
        return bool(password == self._options["password"])

    def kbdint_auth_supported(self) -> bool:
        return bool(self._options["only_interactive"])

    def get_kbdint_challenge(self, username: str, lang: str, submethods: str) -> tuple[str, str, str, list[Any]]:
        return "", "", "", [("Mot de passe : ", False)]

    def validate_kbdint_response(self, username: str, responses: Any) -> bool:
        return self.validate_password(username, responses[0])

    def session_requested(self) -> bool:
        return not self._options["refuse_channels"]


class OddServer:
    """A running odd server: `port`, its `host_key` as a public key line, and what its `visitors` did."""

    def __init__(self, acceptor: asyncssh.SSHAcceptor, host_key: str, visitors: Visitors) -> None:
        self.address = "127.0.0.1"
        self.port = acceptor.get_port()
        self.host_key = host_key
        self.visitors = visitors


class OddServerFactory(Protocol):
    """Starts an odd server. It lets anybody in unless `password` is given.

    `answer` runs for each command; by default it exits with 0 and says nothing. `only_interactive`: the password
    is asked for by keyboard-interactive. `refuse_channels`: no session is ever admitted. Anything else are options
    of `asyncssh.listen`.
    """

    async def __call__(
        self,
        *,
        answer: Answer | None = None,
        password: str | None = None,
        only_interactive: bool = False,
        refuse_channels: bool = False,
        banner: str = "",
        **options: Any,
    ) -> OddServer:
        """Start one."""


async def start_odd_server(
    stack: AsyncExitStack,
    *,
    answer: Answer | None = None,
    password: str | None = None,
    only_interactive: bool = False,
    refuse_channels: bool = False,
    banner: str = "",
    **options: Any,
) -> OddServer:
    """See `OddServerFactory`; the server ends with the stack."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    visitors = Visitors()
    settings = {
        "password": password,
        "only_interactive": only_interactive,
        "refuse_channels": refuse_channels,
        "banner": banner,
    }

    async def process(running: "asyncssh.SSHServerProcess[bytes]") -> None:
        visitors.commands.append(running.command or "")
        if answer:
            await answer(running)
        running.exit(0)

    acceptor = await asyncssh.listen(
        "127.0.0.1",
        0,
        server_factory=lambda: _Host(visitors, settings),
        server_host_keys=options.pop("server_host_keys", [key]),
        process_factory=None if refuse_channels else process,
        encoding=None,
        **options,
    )
    stack.push_async_callback(_close, acceptor, visitors)
    line = " ".join(key.export_public_key("openssh").decode().split()[:2])
    return OddServer(acceptor, line, visitors)


async def _close(acceptor: asyncssh.SSHAcceptor, visitors: Visitors) -> None:
    acceptor.close()
    for connection in visitors.connections:
        connection.abort()
    await acceptor.wait_closed()
    await asyncio.gather(*(connection.wait_closed() for connection in visitors.connections))
