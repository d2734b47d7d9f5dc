"""A session with an agent over HTTP: a request for each verb, and one that stays open for the ends of runs."""

import asyncio
import json
from contextlib import suppress
from typing import Any

import aiohttp

from transports.base import RunStatus, SessionInfo
from transports.errors import ConnectionLost, described
from transports.verbs import MESSAGE_LIMIT, RemoteSession, Start, Verb, checked, dump_verb, load_answer
from transports.wire import Malformed, load

_PATIENCE = 40.0
"""Seconds for an answer, beyond what the verb itself may wait."""
_SILENCE = 30.0
"""Seconds without even an empty line after which the agent is given up."""


class HTTPSession(RemoteSession):
    """Verbs are POSTed, and never a second time. The session ends with the stream of ends: that is how it notices."""

    def __init__(self, client: aiohttp.ClientSession, info: SessionInfo, ends: aiohttp.ClientResponse) -> None:
        super().__init__()
        self.info = info
        self._client = client
        self._following = asyncio.create_task(self._follow(ends), name="http-ends")

    @classmethod
    async def open(cls, client: aiohttp.ClientSession, info: SessionInfo) -> "HTTPSession":
        """A session once its stream of ends is open. Raises aiohttp's errors and OSError."""
        limit = aiohttp.ClientTimeout(total=None, sock_read=_SILENCE)
        ends = await client.get("/agent/v1/ends", timeout=limit, allow_redirects=False, raise_for_status=True)
        return cls(client, info, ends)

    async def _ask(self, verb: Verb) -> Any:
        limit = _PATIENCE + (verb.wait if isinstance(verb, Start) else 0.0)
        try:
            async with (
                asyncio.timeout(limit),
                self._client.post("/agent/v1/verbs", json=dump_verb(verb), allow_redirects=False) as response,
            ):
                return load_answer(verb, await read_json(response))
        except TimeoutError as exc:
            raise ConnectionLost(f"the agent did not answer {verb.verb} in {limit:.0f} s") from exc
        except (aiohttp.ClientError, OSError, Malformed) as exc:
            raise ConnectionLost(f"asking the agent to {verb.verb}: {described(exc)}") from exc

    async def _follow(self, ends: aiohttp.ClientResponse) -> None:
        try:
            with suppress(aiohttp.ClientError, OSError, Malformed):
                async for line in ends.content:
                    if line.strip():
                        self._ended(checked(load(RunStatus, _parsed(line))))
        finally:
            ends.close()
            self._over()
            await self._client.close()

    async def aclose(self) -> None:
        """Close the connections. Runs on the node go on."""
        self._following.cancel()
        await asyncio.wait((self._following,))


async def read_json(response: aiohttp.ClientResponse) -> Any:
    """The JSON value of a bounded answer. Raises Malformed, aiohttp's errors and OSError."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > 2 * MESSAGE_LIMIT:
            raise Malformed("an endless answer")
    return _parsed(bytes(body), response.status)


def _parsed(text: bytes, status: int = 200) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise Malformed(f"status {status} and no JSON: {text[:80]!r}") from None
