"""The asynchronous client of `exec` and `logs`: one command's life, seen from here.

A lost connection is not the end of a command, so everything after its creation goes on asking for a while.
"""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final, Self
from urllib.parse import quote

import httpx2

from api.cli.answers import checked, headers_of, json_of, no_contact
from api.cli.client import MERGE_PATCH, path_of
from api.cli.connection import Connection
from api.cli.errors import Conflict, Failed, Refused, Unreachable
from api.cli.kinds import COMMANDS
from api.cli.lines import Lines
from api.cli.outcome import has_ended
from api.cli.tables import Object

_TIMEOUT: Final = httpx2.Timeout(30, connect=5)
_STREAM_TIMEOUT: Final = httpx2.Timeout(60, connect=5)
PATIENCE: Final = 60.0
"""Seconds for which a server that was there may be away."""
_PAUSE: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Output as it came: which stream, and bytes."""

    stream: str
    data: bytes


class Remote:
    """Commands on one server, to be used as an asynchronous context manager. Every method raises CLIError."""

    def __init__(self, connection: Connection, *, connections: int = 100) -> None:
        self.url = connection.url
        self._heard_at = time.monotonic()
        self._http = httpx2.AsyncClient(
            base_url=connection.url,
            headers=headers_of(connection),
            timeout=_TIMEOUT,
            limits=httpx2.Limits(max_connections=connections + 20, max_keepalive_connections=connections),
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def create(self, command: Object) -> Object:
        """Send a command. Its name is ours, so sending it again after a broken connection cannot run it twice."""
        sent = False
        while True:
            try:
                return json_of(await self._send("POST", path_of(COMMANDS), command, "application/json"), self.url)
            except Conflict:
                if not sent:
                    raise
                return await self.get(command["metadata"]["name"])
            except httpx2.HTTPError as error:
                sent = sent or not isinstance(error, httpx2.ConnectError)
                if not sent or self._given_up():
                    raise no_contact(error, self.url) from None
            await asyncio.sleep(_PAUSE)

    async def _send(self, method: str, path: str, body: Object, kind: str) -> httpx2.Response:
        return await self._http.request(
            method, path, content=json.dumps(body).encode(), headers={"Content-Type": kind}
        )

    async def get(self, name: str, *, patiently: bool = False) -> Object:
        """The command as it is now; `patiently`: also when the server comes back only in a while."""
        while True:
            try:
                answer = await self._http.get(path_of(COMMANDS, name))
            except (httpx2.HTTPError, httpx2.InvalidURL) as error:
                if not patiently or self._given_up():
                    raise no_contact(error, self.url) from None
                await asyncio.sleep(_PAUSE)
                continue
            self._heard_at = time.monotonic()
            return json_of(answer, self.url)

    async def cancel(self, name: str) -> Object:
        """Ask for it to be cancelled."""
        try:
            answer = await self._send("PATCH", path_of(COMMANDS, name), {"spec": {"cancel": True}}, MERGE_PATCH)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise no_contact(error, self.url) from None
        return json_of(answer, self.url)

    async def follow(self, name: str, *, stream: str = "all", offset: int = 0) -> AsyncIterator[Piece]:
        """The output from `offset`, live, until the command has ended and all of it is here."""
        while True:
            try:
                async for piece in self._pieces(name, stream=stream, offset=offset, follow=True):
                    offset += len(piece.data)
                    yield piece
                if has_ended(await self.get(name)):
                    # What came between the end of that stream and the end of the command.
                    async for piece in self._pieces(name, stream=stream, offset=offset, follow=False):
                        offset += len(piece.data)
                        yield piece
                    return
            except httpx2.ReadTimeout:
                pass  # a command may well be silent for long
            except Refused:
                raise
            except Unreachable as error:
                if self._given_up():
                    raise Unreachable(f"{error}; the command goes on: `vendetta logs -f {name}` shows it") from None
            await asyncio.sleep(_PAUSE)

    async def output(self, name: str, *, stream: str, offset: int) -> AsyncIterator[Piece]:
        """The output that there is by now."""
        async for piece in self._pieces(name, stream=stream, offset=offset, follow=False):
            yield piece

    async def _pieces(self, name: str, *, stream: str, offset: int, follow: bool) -> AsyncIterator[Piece]:
        """Pieces in order; together they are the view's bytes from `offset`. ReadTimeout passes."""
        path = f"/api/v1/commands/{quote(name, safe='')}/logs"
        params = {"stream": stream, "offset": str(offset)} | ({"follow": "1"} if follow else {})
        headers = {"Accept": "application/x-ndjson"}
        try:
            async with self._http.stream(
                "GET", path, params=params, headers=headers, timeout=_STREAM_TIMEOUT
            ) as answer:
                if not answer.is_success:
                    await answer.aread()
                checked(answer, self.url)
                async for line in self._lines(answer):
                    yield _piece(line)
        except httpx2.ReadTimeout:
            raise
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise no_contact(error, self.url) from None

    async def _lines(self, answer: httpx2.Response) -> AsyncIterator[bytes]:
        lines = Lines()
        self._heard_at = time.monotonic()
        async for data in answer.aiter_bytes():
            self._heard_at = time.monotonic()
            for line in lines.feed(data):
                yield line

    def _given_up(self) -> bool:
        """Whether the server has been away for too long."""
        return time.monotonic() - self._heard_at > PATIENCE


def _piece(line: bytes) -> Piece:
    """One chunk: text in `data`, or bytes that are not text in `base64`."""
    try:
        chunk: dict[str, Any] = json.loads(line)
        encoded = chunk.get("base64")
        data = base64.b64decode(encoded) if encoded is not None else str(chunk["data"]).encode()
        return Piece(stream=str(chunk["stream"]), data=data)
    except (ValueError, KeyError, TypeError):
        raise Failed("the server's log stream is not what it should be: is it of another version?") from None
