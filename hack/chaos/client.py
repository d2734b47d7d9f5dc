"""The HTTP side: sends orders until they are acknowledged, and writes down everything that the server says."""

import asyncio
from contextlib import suppress
from typing import Any

import httpx2

from hack.chaos.journal import Journal
from hack.chaos.orders import Order

ENDED = {"success", "error", "timeout", "cancelled", "unknown"}
REFUSED = 503, 500, 507, 429
"""Said loudly while the disk is full: nothing was accepted, so it is sent again."""
PAUSE = 0.15


class Client:
    """One for all orders. `history` holds the last status seen of each acknowledged one."""

    def __init__(self, url: str, journal: Journal, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        limits = httpx2.Limits(max_connections=100)
        self.http = httpx2.AsyncClient(base_url=url, trust_env=False, timeout=5, limits=limits, transport=transport)
        self.journal = journal
        self.history: dict[str, str] = {}
        self.refused = 0
        self.ends = 0
        """How often a command was seen to have ended that was not before."""

    async def send(self, order: Order, node: str) -> None:
        """POST it, under its id, until the server says that it has it."""
        self.journal.note("sent", node=node, **order.expected())
        while True:
            if await self.post(order, node):
                return
            await asyncio.sleep(PAUSE)

    async def post(self, order: Order, node: str) -> bool:
        """POST once; whether it was acknowledged."""
        body = {"type": "exec", "action": order.action, "params": order.params}
        url, key = f"/api/v1/nodes/{node}/commands", {"Idempotency-Key": order.id}
        try:
            answer = await self.http.post(url, params={"wait": "0"}, json=body, headers=key)
        except httpx2.TransportError:
            return False
        if answer.status_code in REFUSED:
            self.refused += 1
            return False
        if answer.status_code not in {200, 202}:
            self.journal.note("odd", id=order.id, what=f"POST answered {answer.status_code}: {answer.text[:300]}")
            return True
        self.journal.note("acknowledged", id=order.id, created=answer.json()["created"])
        self.history.setdefault(order.id, "")
        return True

    async def look(self, id_: str) -> str:
        """GET it; its status, or nothing when nobody answered. What is new is written down."""
        asked = self.journal.moment()
        try:
            answer = await self.http.get(f"/api/v1/commands/{id_}")
        except httpx2.TransportError:
            return ""
        if "Warning" in answer.headers:
            return ""  # said to be stale: the server cannot reach its database
        if answer.status_code == 404:
            self.journal.note("seen", id=id_, asked=asked, status="missing", reason="", via="get")
            return "missing"
        if not answer.is_success:
            return ""
        return self.saw(answer.json(), asked, "get")

    def saw(self, view: dict[str, Any], asked: int, via: str) -> str:
        """Write down what a command is said to be, unless that is what it was said to be before."""
        status, reason = view["status"], view["reason"]
        if (before := self.history.get(view["id"])) != f"{status}/{reason}":
            self.ends += status in ENDED and (before or "").partition("/")[0] not in ENDED
            self.history[view["id"]] = f"{status}/{reason}"
            exit_code = view.get("exit_code")
            self.journal.note(
                "seen", id=view["id"], asked=asked, status=status, reason=reason, exit_code=exit_code, via=via
            )
        return str(status)

    async def cancel(self, id_: str) -> None:
        """Ask once for its end; request or answer may get lost."""
        self.journal.note("cancelled", id=id_)
        with suppress(httpx2.TransportError):
            await self.http.post(f"/api/v1/commands/{id_}/cancel")

    async def record(self, id_: str) -> None:
        """What the server says of a command in the end, and all of its output."""
        answer = await self.http.get(f"/api/v1/commands/{id_}")
        if not answer.is_success:
            self.journal.note("final", id=id_, status="missing", reason=f"HTTP {answer.status_code}")
            return
        view = answer.json()
        logs = await self.http.get(f"/api/v1/commands/{id_}/logs", timeout=60)
        (self.journal.outputs / id_).write_bytes(logs.content)
        kept = (
            "status",
            "reason",
            "exit_code",
            "truncated",
            "output_bytes",
            "output_bytes_exact",
            "late",
            "attempts",
        )
        self.journal.note("final", id=id_, **{name: view.get(name) for name in kept})
