"""Watches what the server says about commands: the event stream, and looking again at what had ended."""

import asyncio
import json
import random
from collections.abc import AsyncIterator

import httpx2

from hack.chaos.client import ENDED, Client

GLANCES = 20
"""Looks a second at commands that were seen before."""


async def follow_events(client: Client) -> None:
    """Every `command_result`, resumed with Last-Event-ID after each loss."""
    last = ""
    while True:
        try:
            headers = {"Last-Event-ID": last} if last else {}
            async with client.http.stream("GET", "/ws", headers=headers, timeout=None) as stream:
                async for id_, event in _events(stream):
                    last = id_ or last
                    _note(client, event)
        except httpx2.TransportError:
            pass
        await asyncio.sleep(0.1)


async def _events(stream: httpx2.Response) -> AsyncIterator[tuple[str, dict[str, object]]]:
    """Whole frames only: the last one may be torn."""
    held = b""
    async for piece in stream.aiter_bytes():
        *frames, held = (held + piece).split(b"\n\n")
        for frame in frames:
            fields = dict(line.split(b": ", 1) for line in frame.split(b"\n") if b": " in line)
            if b"data" in fields:
                yield fields.get(b"id", b"").decode(), json.loads(fields[b"data"])


def _note(client: Client, event: dict[str, object]) -> None:
    data = event["data"]
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
