"""The API in-process on a memory store, and a stand-in for the controller that ends commands."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

import httpx2 as httpx
from starlette.types import ASGIApp, Receive, Scope, Send

from api.app import build_app
from api.auth.principal import Principal, Role
from api.context import Context
from controller.announce import announce
from controller.contacts import Contacts
from controller.followers import Followers
from controller.metrics import Metrics
from controller.nodelog import NodeLog
from controller.outcome import ended
from controller.resources.command import Command, CommandPhase
from controller.runtime.clock import SystemClock
from controller.services.board import ServiceBoard
from controller.settings import Settings
from controller.store.base import Append, Store, Update
from controller.store.open import open_store

ADMIN = Principal(name="root", role=Role.ADMIN, local=True)


class Door:
    """Lets everybody in as one principal, as the real door does after having looked at the caller."""

    def __init__(self, app: ASGIApp, principal: Principal | None) -> None:
        self.app, self.principal = app, principal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Go on in."""
        scope["vendetta.principal"] = self.principal
        await self.app(scope, receive, send)


@dataclass(frozen=True, slots=True, kw_only=True)
class API:
    """A running API: its parts, and a client in the role of an admin."""

    context: Context
    client: httpx.AsyncClient
    app: ASGIApp

    @property
    def store(self) -> Store:
        """The store behind it."""
        return self.context.store

    def as_(self, principal: Principal | None) -> httpx.AsyncClient:
        """A client in another role."""
        return _client(Door(self.app, principal))

    async def node(self, name: str = "node-1", /, **fields: Any) -> dict[str, Any]:
        """A registered node."""
        response = await self.client.post("/api/v1/nodes", json={"id": name, **fields})
        assert response.status_code == 200, response.text
        return cast("dict[str, Any]", response.json())

    async def command(self, node: str = "node-1", /, **fields: Any) -> dict[str, Any]:
        """A command that was accepted, and not waited for."""
        response = await self.client.post(f"/api/v1/nodes/{node}/commands?wait=0", json={"action": "true", **fields})
        assert response.status_code == 202, response.text
        return cast("dict[str, Any]", response.json())

    async def end(
        self, name: str, *, output: bytes = b"", phase: CommandPhase = "success", exit_code: int = 0
    ) -> Command:
        """End a command as the controller does."""
        command = self.store.get("Command", name)
        assert isinstance(command, Command)
        now = self.context.clock.now()
        reason = {"success": "Completed", "error": "NonZeroExit"}.get(phase, "Cancelled")
        status = ended(command.status, phase=phase, reason=reason, message="", certainty="confirmed", now=now)
        status = status.model_copy(
            update={
                "output": output.decode(errors="replace"),
                "output_bytes": len(output),
                "exit_code": exit_code,
                "duration": 100_000_000,
                "started": now,
            }
        )
        append = Append(command_uid=command.uid, stream="stdout", offset=0, data=output, at=now)
        writes = [append] if output else []
        stored = await self.store.write(*writes, Update(obj=command.model_copy(update={"status": status})))
        assert isinstance(stored[-1], Command)
        return stored[-1]


def _client(app: ASGIApp) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=cast("Any", app))
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:3001")


@asynccontextmanager
async def running(settings: Settings | None = None, store: Store | None = None) -> AsyncIterator[API]:
    """An API with these settings, on a store that was started already or on one in memory."""
    clock = SystemClock()
    ours = open_store("memory", None, clock=clock, announce=announce) if store is None else None
    if ours is not None:
        await ours.start()
    context = Context(
        settings=settings or Settings(),
        store=store or cast("Store", ours),
        clock=clock,
        contacts=Contacts(),
        services=ServiceBoard(clock),
        node_log=NodeLog(clock),
        followers=Followers(),
        metrics=Metrics(),
        broadcaster=cast("Any", None),
        controllers=cast("Any", None),
        version="1.0.0",
    )
    app = build_app(context)
    async with _client(Door(app, ADMIN)) as client:
        yield API(context=context, client=client, app=app)
    if ours is not None:
        await ours.aclose()
