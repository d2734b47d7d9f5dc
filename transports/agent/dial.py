"""Dialling in: one WebSocket to the server, kept up for ever; the server asks over it, this side answers.

What happened while there was no connection is not lost: runs and their output lie in the node's files, and the server
asks for them when it is back. Reconnects are spread out by full jitter: a fleet does not come back all at once.
"""

import asyncio
import json
import logging
import random
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from transports.agent.local import LocalNode
from transports.base import RunStatus
from transports.errors import TransportError, described
from transports.verbs import MESSAGE_LIMIT, dump_answer, dump_error, load_verb
from transports.websocket.messages import Answered, Asked, Ended, Heartbeat, Hello, decode, encode
from transports.wire import Malformed

log = logging.getLogger(__name__)

HEARTBEAT: Final = 15.0
FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 30.0
LASTING: Final = 10.0
"""Seconds after which a connection counts as one that worked."""
AT_ONCE: Final = 64
"""Verbs under way at a time; further ones wait in the connection."""


class Dialler:
    """Keeps the way to the server open. `headers` is asked anew for each attempt; `rng` spreads them."""

    def __init__(
        self,
        node: LocalNode,
        url: str,
        *,
        headers: Callable[[], Mapping[str, str]],
        version: str,
        tls: ssl.SSLContext | None,
        rng: random.Random,
    ) -> None:
        self._node = node
        self._url = url
        self._headers = headers
        self._version = version
        self._tls = tls
        self._rng = rng
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def run(self) -> None:
        """Dial, serve, and dial again, until cancelled."""
        failures = 0
        while True:
            began = asyncio.get_running_loop().time()
            why = await self._attempt()
            lasted = asyncio.get_running_loop().time() - began
            failures = 1 if lasted >= LASTING else failures + 1
            pause = self._rng.uniform(0, min(LONGEST_PAUSE, FIRST_PAUSE * 2**failures))
            log.warning("%s; trying again in %.1f s", why, pause)
            await asyncio.sleep(pause)

    async def _attempt(self) -> str:
        """One connection, from its beginning to its end. Says why it ended."""
        try:
            async with connect(
                self._url,
                additional_headers=self._headers(),
                ssl=self._tls,
                compression=None,
                max_size=MESSAGE_LIMIT,
                open_timeout=10,
                close_timeout=2,
                ping_interval=HEARTBEAT,
                ping_timeout=2 * HEARTBEAT,
                proxy=None,
            ) as socket:
                return await self._serve(socket)
        except InvalidStatus as error:
            return _refused(error)
        except (OSError, TimeoutError, ConnectionClosed, InvalidHandshake, InvalidURI, TransportError) as error:
            return f"cannot reach the server at {self._url}: {described(error)}"

    async def _serve(self, socket: ClientConnection) -> str:
        info = await self._node.info()
        await socket.send(encode(Hello(info=info, version=self._version, heartbeat=HEARTBEAT)))
        log.info("connected to %s", self._url)
        ends: asyncio.Queue[RunStatus] = asyncio.Queue()
        self._node.on_end = ends.put_nowait
        async with asyncio.TaskGroup() as group:
            background = [group.create_task(_beat(socket)), group.create_task(_tell_ends(socket, ends))]
            with suppress(ConnectionClosed):
                async for frame in socket:
                    await self._slots.acquire()
                    answering = group.create_task(self._answer(socket, frame))
                    answering.add_done_callback(lambda _: self._slots.release())
            for task in background:
                task.cancel()
        return f"the connection to the server ended: {socket.close_reason or socket.close_code}"

    async def _answer(self, socket: ClientConnection, frame: str | bytes) -> None:
        try:
            asked = _asked(frame)
        except Malformed as error:
            await socket.close(1007, f"the server makes no sense: {error}"[:120])
            return
        try:
            body = dump_answer(await self._node.perform(load_verb(asked.body)))
        except TransportError as error:
            body = dump_error(error)
        except ValueError as error:
            body = dump_error(TransportError(str(error)))
        with suppress(ConnectionClosed):
            await socket.send(encode(Answered(id=asked.id, body=body)))


def _asked(frame: str | bytes) -> Asked:
    message = decode(frame if isinstance(frame, str) else frame.decode(errors="replace"))
    if not isinstance(message, Asked):
        raise Malformed(f"{message.type} comes from agents only")
    return message


async def _beat(socket: ClientConnection) -> None:
    while True:
        await asyncio.sleep(HEARTBEAT)
        with suppress(ConnectionClosed):
            await socket.send(encode(Heartbeat()))


async def _tell_ends(socket: ClientConnection, ends: "asyncio.Queue[RunStatus]") -> None:
    while True:
        status = await ends.get()
        with suppress(ConnectionClosed):
            await socket.send(encode(Ended(status=status)))


def _refused(error: InvalidStatus) -> str:
    try:
        said = json.loads(error.response.body or b"{}")["error"]["message"]
    except (ValueError, KeyError, TypeError):
        said = error.response.reason_phrase
    return f"the server refused the connection with {error.response.status_code}: {said}"
