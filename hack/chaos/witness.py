"""Watches what the server says about commands: the event stream, and looking again at what had ended."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpx2

from hack.chaos.client import ENDED, Client

GLANCES = 20
"""Looks a second at commands that were seen before."""
REPLAY = 30.0
"""Seconds within which a server tells again what it has told."""


class Audience:
    """Follows the event stream and is never told twice. `first` and `last` are the ids of what it has heard."""

    def __init__(self, client: Client, silence: float | None = None) -> None:
        self.first = self.last = ""
        self._client = client
        self._timeout = httpx2.Timeout(5, read=silence)

    async def follow(self) -> None:
        """Every event, resumed with Last-Event-ID after each loss, and after `silence` seconds without a sound."""
        while True:
            with suppress(httpx2.TransportError):
                async with self._listening(self._client.http, "/ws", self.last) as events:
                    async for id_, event in events:
                        self.last = id_ or self.last
                        self.first = self.first or self.last
                        _note(self._client, event, id_)
            await asyncio.sleep(0.1)

    async def replay(self, url: str) -> None:
        """All that it should have heard, as that server tells it to somebody who asks now."""
        with suppress(TimeoutError):
            async with (
                asyncio.timeout(REPLAY),
                httpx2.AsyncClient(trust_env=False) as http,
                self._listening(http, f"{url}/ws", self.first) as events,
            ):
                async for id_, _ in events:
                    self._client.journal.note("replayed", event=id_, by=url)
                    if id_ == self.last:
                        return

    @asynccontextmanager
    async def _listening(
        self, http: httpx2.AsyncClient, url: str, since: str
    ) -> AsyncIterator[AsyncIterator[tuple[str, dict[str, object]]]]:
        headers = {"Last-Event-ID": since} if since else {}
        async with http.stream("GET", url, headers=headers, timeout=self._timeout) as stream:
            yield _events(stream)


async def _events(stream: httpx2.Response) -> AsyncIterator[tuple[str, dict[str, object]]]:
    """Whole frames only: the last one may be torn."""
    held = b""
    async for piece in stream.aiter_bytes():
        *frames, held = (held + piece).split(b"\n\n")
        for frame in frames:
            fields = dict(line.split(b": ", 1) for line in frame.split(b"\n") if b": " in line)
            if b"data" in fields:
                yield fields.get(b"id", b"").decode(), json.loads(fields[b"data"])


def _note(client: Client, event: dict[str, object], id_: str) -> None:
    data = event["data"]
    if event["type"] != "initial_state":
        client.journal.note("told", event=id_, kind=event["type"])
    if event["type"] == "command_result" and isinstance(data, dict):
        facts = {"id": data["id"], "status": data["status"], "reason": data["reason"]}
        client.journal.note("event", exit_code=data.get("exit_code"), late=bool(data.get("late")), **facts)


async def look_again(client: Client, rng: random.Random) -> None:
    """An end that was told stays told, whatever dies meanwhile."""
    while True:
        await asyncio.sleep(1 / GLANCES)
        if client.history:
            await client.look(rng.choice(list(client.history)))


def unfinished(client: Client) -> list[str]:
    """Acknowledged, and not seen to have ended."""
    return [id_ for id_, seen in client.history.items() if seen.partition("/")[0] not in ENDED]
