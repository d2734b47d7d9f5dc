"""A second deliverer: starts runs that the server starts too, with the same id and digest, past the proxy."""

import asyncio
from contextlib import suppress

import httpx2

from controller.duration import SECOND
from controller.resources.command import CommandParams, CommandSpec
from controller.scripts import script_of
from controller.settings import OutputSettings
from hack.chaos.client import Client
from hack.chaos.machine import Machine
from hack.chaos.orders import Order
from transports.base import RunId, Session, StartRequest
from transports.errors import Conflict, TransportError
from transports.ssh.transport import SSHTransport

DELIVERIES = 2
PROBE_INTERVAL = 2.0


class Rival:
    """Has sessions of its own to every machine."""

    def __init__(self, client: Client) -> None:
        self.runs: set[str] = set()
        """The runs that it ever sent, of which no store may know."""
        self._client = client
        self._transport = SSHTransport(keepalive_interval=2)
        self._sessions: dict[str, Session] = {}

    async def deliver(self, order: Order, machine: Machine) -> int:
        """Start the order's run, twice at once, as the server does or will; how often the node took it."""
        request = await self._request(order, machine)
        if request is None:
            return 0
        self._client.journal.note("rival", id=order.id)
        self.runs.add(request.run)
        try:
            session = await self._session(machine)
        except TransportError:
            return 0
        starts = (session.start(request, wait=0.1) for _ in range(DELIVERIES))
        answers = await asyncio.gather(*starts, return_exceptions=True)
        if any(isinstance(answer, Conflict) for answer in answers):
            self._client.journal.note("odd", id=order.id, what="the rival's request has another digest")
        return sum(1 for answer in answers if not isinstance(answer, BaseException))

    async def _request(self, order: Order, machine: Machine) -> StartRequest | None:
        """The very request that the server makes of this order; None when nobody tells the command's uid."""
        try:
            answer = await self._client.http.get(f"/apis/vendetta.dev/v1/commands/{order.id}")
        except httpx2.TransportError:
            return None
        if not answer.is_success:
            return None
        asked = CommandParams.model_validate(order.params, strict=False)
        script = script_of(CommandSpec(node=machine.name, action=order.action, params=asked), lambda ref: ref)
        return StartRequest(
            run=RunId(answer.json()["metadata"]["uid"].replace("-", "") + ".1"),
            script=script.script,
            stdin=script.stdin,
            timeout=asked.timeout / SECOND,
            grace=asked.grace / SECOND,
            output_cap=OutputSettings().max_bytes,
        )

    async def _session(self, machine: Machine) -> Session:
        session = self._sessions.get(machine.name)
        if session is None or session.closed:
            session = await self._transport.connect(machine.endpoint(connect_timeout=5))
            self._sessions[machine.name] = session
        return session

    async def probe(self) -> None:
        """Ask each node how it is now and then, as a server does: that is what replaces a dead ticker."""
        while True:
            await asyncio.sleep(PROBE_INTERVAL)
            for session in [one for one in self._sessions.values() if not one.closed]:
                with suppress(TransportError, TimeoutError):
                    async with asyncio.timeout(PROBE_INTERVAL):
                        await session.probe()

    async def aclose(self) -> None:
        """Close the sessions."""
        for session in self._sessions.values():
            await session.aclose()
        await self._transport.aclose()
