"""A context and an in-process caller, for tests of what stands before and beside the handlers."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.context import Context
from controller.contacts import Contacts
from controller.followers import Followers
from controller.metrics import Metrics
from controller.nodelog import NodeLog
from controller.runtime.clock import SystemClock
from controller.services.board import ServiceBoard
from controller.settings import Settings
from controller.store.open import open_store

SECRET = "a-secret-of-forty-random-characters-1234"
STATIC = "a-static-token-of-some-length"
AUTH_ON: dict[str, Any] = {"enabled": True, "jwt_secret": SECRET}


class StillClock(SystemClock):
    """A clock whose wall time stands where it is put."""

    def __init__(self, at: datetime | None = None) -> None:
        self.at = at or datetime(2026, 1, 13, 18, 17, tzinfo=UTC)

    def now(self) -> datetime:
        """The time that was set."""
        return self.at


def settings(**sections: Mapping[str, Any]) -> Settings:
    """Settings with these values, everything else as documented."""
    return Settings.model_validate(sections, strict=False)


async def make_context(clock: StillClock | SystemClock | None = None, **sections: Mapping[str, Any]) -> Context:
    """A context over a memory store, without controllers and without a broadcaster."""
    clock = clock or StillClock()
    store = open_store("memory", None, clock=clock)
    await store.start()
    return Context(
        settings=settings(**sections),
        store=store,
        clock=clock,
        services=ServiceBoard(SystemClock()),
        contacts=Contacts(),
        node_log=NodeLog(clock),
        followers=Followers(),
        metrics=Metrics(),
        broadcaster=cast("Any", None),
        controllers=cast("Any", None),
        version="0.0.0",
    )


@dataclass(frozen=True, slots=True)
class Answer:
    """What an ASGI application sent."""

    status: int
    headers: dict[str, str]
    body: bytes


async def ask(
    app: ASGIApp,
    method: str = "GET",
    target: str = "/api/v1/nodes",
    headers: Mapping[str, str] | list[tuple[str, str]] | None = None,
    *,
    client: tuple[str, int] | None = ("127.0.0.1", 50000),
    body: bytes = b"",
    kind: str = "http",
    scheme: str = "http",
) -> Answer:
    """Call an application once. Without a Host header of its own the request gets the server's."""
    given = list(headers.items() if isinstance(headers, Mapping) else headers or [])
    if not any(name.lower() == "host" for name, _ in given):
        given.append(("Host", "localhost:3001"))
    path, _, query = target.partition("?")
    scope: dict[str, Any] = {
        "type": kind,
        "method": method,
        "scheme": scheme,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "http_version": "1.1",
        "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in given],
        "client": client,
        "server": ("127.0.0.1", 3001),
        "extensions": {"websocket.http.response": {}},
    }
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"} if kind == "websocket" else {"type": "http.request", "body": body}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    start = sent[0]
    names = {k.decode().lower(): v.decode("latin-1") for k, v in start.get("headers", ())}
    return Answer(start.get("status", 101), names, b"".join(m.get("body", b"") for m in sent[1:]))


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that tells who was let in."""
    principal = scope["vendetta.principal"]
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        return
    name = principal.name if principal is not None else "nobody"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": name.encode()})
