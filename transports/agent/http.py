"""What the agent serves over HTTP: one small ASGI application, without any framework.

    GET  /health              whether the runner comes up; for everybody
    GET  /agent/v1/node       who answers: boot id, runner, install id
    POST /agent/v1/verbs      one verb of the run protocol, as in `transports.verbs`
    GET  /agent/v1/ends       runs that end, a line of JSON each, as they do; an empty line now and then
    POST /api/v1/execute      run a command and answer when it has ended (see `transports.agent.execute`)

All but the first need `Authorization: Bearer <the agent's token>`.
"""

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from transports.agent.execute import execute
from transports.agent.local import LocalNode
from transports.base import RunStatus
from transports.errors import TransportError
from transports.verbs import MESSAGE_LIMIT, dump_answer, dump_error, load_verb
from transports.wire import Malformed, dump

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

HEARTBEAT: Final = 10.0
"""Seconds between two empty lines in a stream of ends."""
BACKLOG: Final = 1000
"""Ends that wait for a follower; it misses further ones, and finds them by asking."""


class Refusal(Exception):
    """A request that is answered with that status and sentence."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Application:
    """The ASGI application. `stopping` ends its streams."""

    def __init__(self, node: LocalNode, *, token: str, version: str) -> None:
        self._node = node
        self._token = token.encode()
        self._version = version
        self._followers: set[asyncio.Queue[RunStatus | None]] = set()
        node.on_end = self._ended
        self._routes: dict[tuple[str, str], Callable[[bytes, Message], Awaitable[tuple[int, Any]]]] = {
            ("GET", "/agent/v1/node"): self._who,
            ("POST", "/agent/v1/verbs"): self._verb,
            ("POST", "/api/v1/execute"): self._execute,
        }

    def stop(self) -> None:
        """End the streams."""
        for queue in self._followers:
            queue.put_nowait(None)

    def _ended(self, status: RunStatus) -> None:
        for queue in self._followers:
            if queue.qsize() < BACKLOG:
                queue.put_nowait(status)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            raise RuntimeError(f"nothing here speaks {scope['type']}")
        try:
            await self._serve(scope, receive, send)
        except Refusal as refusal:
            challenge = [(b"www-authenticate", b'Bearer realm="vendetta agent"')] if refusal.status == 401 else []
            await _answer(send, refusal.status, _error(str(refusal)), challenge)

    async def _serve(self, scope: Message, receive: Receive, send: Send) -> None:
        method, path = scope["method"], scope["path"]
        if path == "/health":
            await _answer(send, *await self._health())
            return
        self._admit(scope["headers"])
        if (method, path) == ("GET", "/agent/v1/ends"):
            await self._ends(receive, send)
            return
        handler = self._routes.get((method, path))
        if handler is None:
            known = any(path == other for _, other in self._routes)
            raise Refusal(405 if known else 404, f"there is no {method} {path} here")
        body = await _body(receive)
        try:
            await _answer(send, *await handler(body, scope))
        except (Malformed, ValueError) as error:
            raise Refusal(400, str(error)) from error
        except TransportError as error:
            await _answer(send, 422, dump_error(error))

    def _admit(self, headers: list[tuple[bytes, bytes]]) -> None:
        given = [value for name, value in headers if name == b"authorization"]
        scheme, _, token = (given[0] if len(given) == 1 else b"").partition(b" ")
        if scheme.lower() != b"bearer" or not hmac.compare_digest(token.strip(), self._token):
            raise Refusal(401, "this needs the agent's token: Authorization: Bearer …")

    async def _health(self) -> tuple[int, Any]:
        try:
            await self._node.info()
        except (TransportError, OSError) as error:
            return 503, {"status": "unhealthy", "version": self._version, "message": str(error)}
        return 200, {"status": "healthy", "version": self._version}

    async def _who(self, _body: bytes, _scope: Message) -> tuple[int, Any]:
        return 200, {"info": dump(await self._node.info()), "version": self._version}

    async def _verb(self, body: bytes, _scope: Message) -> tuple[int, Any]:
        return 200, dump_answer(await self._node.perform(load_verb(_json(body))))

    async def _execute(self, body: bytes, scope: Message) -> tuple[int, Any]:
        keys = [value.decode("latin-1") for name, value in scope["headers"] if name == b"idempotency-key"]
        return 200, await execute(self._node, _json(body), key=keys[0] if keys else None)

    async def _ends(self, receive: Receive, send: Send) -> None:
        queue: asyncio.Queue[RunStatus | None] = asyncio.Queue()
        self._followers.add(queue)
        gone = asyncio.create_task(_until_gone(receive, queue), name="follower")
        try:
            headers = [(b"content-type", b"application/x-ndjson"), (b"cache-control", b"no-store")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b"\n", "more_body": True})
            while True:
                try:
                    status = await asyncio.wait_for(queue.get(), HEARTBEAT)
                except TimeoutError:
                    await send({"type": "http.response.body", "body": b"\n", "more_body": True})
                    continue
                if status is None:
                    break
                line = json.dumps(dump(status)).encode() + b"\n"
                await send({"type": "http.response.body", "body": line, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            self._followers.discard(queue)
            gone.cancel()


async def _until_gone(receive: Receive, queue: "asyncio.Queue[RunStatus | None]") -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    queue.put_nowait(None)


async def _body(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refusal(400, "the request ended early")
        body += message.get("body", b"")
        if len(body) > MESSAGE_LIMIT:
            raise Refusal(413, f"a request is at most {MESSAGE_LIMIT} bytes")
        if not message.get("more_body"):
            return bytes(body)


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise Refusal(400, "the body is not JSON") from None


def _error(message: str) -> dict[str, Any]:
    return {"error": {"reason": "Refused", "message": message}}


async def _answer(send: Send, status: int, value: Any, more: list[tuple[bytes, bytes]] | None = None) -> None:
    body = json.dumps(value).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *(more or [])]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
