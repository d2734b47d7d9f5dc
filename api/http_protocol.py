"""HTTP/1.1 as uvicorn's httptools protocol speaks it, with the bounds that it lacks (contract A-4).

httptools takes headers without end and waits for them for ever. Here a request's headers are bounded (431), its body
is (413, as soon as it is known: at once where the length is declared), and so is the time from its first byte to
its last (408). A connection that says nothing is closed. See `docs/designs/http-limits.md`.

Deadlines cost a request no timer: the server looks at all connections twice a second (`Server.on_tick`).
"""

import asyncio
import logging
from typing import Any, Final, cast

from starlette.types import Scope
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.http11 import Request

from api.errors import APIError, render
from api.limits import Limits
from api.stream.sse import LANE

NEVER: Final = float("inf")
LINGER: Final = 1.0
"""Seconds that a refused client's bytes are still read and dropped: closing at once would reset the connection, and
the reset would overtake the answer."""
_LINGER_BYTES: Final = 8 * 1024 * 1024


class LimitedConfig(Config):
    """uvicorn's configuration, and the limits beside it: the protocol is given nothing else."""

    limits: Limits


class BoundedHTTPProtocol(HttpToolsProtocol):
    """One connection. `deadline` is when it is closed unless the request has arrived in full by then."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._limits = cast("LimitedConfig", config).limits
        self.deadline = NEVER
        self._reading_headers = True
        self._handed_over = False
        self._head_bytes = 0
        self._body_bytes = 0
        self._idle_bytes = 0
        self._progress = False
        self._refusal: APIError | None = None
        self._lingering = False
        self._dropped = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock: a connection that says nothing is none."""
        super().connection_made(transport)
        self.deadline = self.loop.time() + self._limits.read_timeout

    def data_received(self, data: bytes) -> None:
        """Parse, and look whether that was too much."""
        if self._lingering:
            self._drop(len(data))
            return
        if self._reading_headers:
            if not self._head_bytes:
                self.deadline = self.loop.time() + self._limits.read_timeout
            self._head_bytes += len(data)
        self._progress = False
        super().data_received(data)
        if self._refusal is None and not self._lingering:
            self._check(len(data))
        if self._refusal is not None:
            self._refuse(self._refusal)

    def _check(self, received: int) -> None:
        """Bound what no callback has seen: unfinished headers, and what goes on around a body and is no body."""
        if self._reading_headers:
            if self._head_bytes > self._limits.header_bytes:
                self._refusal = _too_large_headers()
            return
        self._idle_bytes = 0 if self._progress else self._idle_bytes + received
        if self._idle_bytes > self._limits.header_bytes:
            self._refusal = APIError(400, "BadRequest", "chunk extensions or trailers without end")

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self.scope[LANE] = self  # type: ignore[typeddict-unknown-key]
        self._reading_headers = True
        self._handed_over = False
        self._body_bytes = self._idle_bytes = 0
        if self.deadline == NEVER:  # a pipelined request, in one piece with the one before
            self.deadline = self.loop.time() + self._limits.read_timeout

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header. Trailers come here too: what the door has not seen never becomes a header."""
        if self._reading_headers:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Hand the request to the application, unless it is refused."""
        self._reading_headers = False
        if self._head_bytes > self._limits.header_bytes and self._size() > self._limits.header_bytes:
            self._refusal = _too_large_headers()
        elif self._declared() > self._limits.body_bytes:
            self._refusal = _too_large_body(self._limits.body_bytes)
        self._head_bytes = 0
        if self._refusal is None:
            super().on_headers_complete()
            self._handed_over = True
        else:
            self.scope.setdefault("path", self.url.partition(b"?")[0].decode("latin-1"))

    def _size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _declared(self) -> int:
        """The length that the headers declare. The parser has refused what is no number, or two of them."""
        for name, value in self.headers:
            if name == b"content-length":
                return int(value) if value.isdigit() else 0
        return 0

    def on_body(self, body: bytes) -> None:
        """Pass on a piece of the body, as long as it is not too much."""
        if self._refusal is not None:
            return
        self._progress = True
        self._body_bytes += len(body)
        if self._body_bytes > self._limits.body_bytes:
            self._refusal = _too_large_body(self._limits.body_bytes)
            return
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Stop the clock: the rest is the application's."""
        if self._refusal is not None:
            return
        self.deadline = NEVER
        self._reading_headers = True
        self._head_bytes = 0
        super().on_message_complete()

    def check_deadline(self, now: float) -> None:
        """Close the connection if it is too slow. Called by the server for every connection, often."""
        if now < self.deadline or self.transport.is_closing():
            return
        if self.flow.read_paused:
            # It is we who do not read: the application is busy with what came before.
            self.deadline = now + self._limits.read_timeout
        elif self._reading_headers and not self._head_bytes:
            self.deadline = NEVER
            self.transport.close()
        else:
            self.deadline = NEVER
            self._refuse(APIError(408, "Timeout", "the request did not arrive in time"))

    def _refuse(self, error: APIError) -> None:
        """Answer with an error, drop what still comes for a moment, and close."""
        if self._lingering:
            return
        self._lingering = True
        self.deadline = NEVER
        self._unset_keepalive_if_required()
        cycle: RequestResponseCycle | None = self.cycle
        busy = cycle is not None and not cycle.response_complete
        if cycle is not None and busy:
            # The application hears that the client has gone, and nothing it says goes out any more.
            cycle.disconnected = True
            cycle.message_event.set()
        if (cycle is not None and busy and cycle.response_started) or self.pipeline:
            self.transport.close()
            return
        if busy or not self._handed_over:  # else it has had its answer, before its body was through
            self._answer(error)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.resume_reading()
        self.loop.call_later(LINGER, self._end)

    def _answer(self, error: APIError) -> None:
        scope: Scope | None = cast("Scope | None", self.scope)
        response = render(error, scope if scope is not None else {})
        head = [STATUS_LINE[error.status]]
        for name, value in (*self.server_state.default_headers, *response.raw_headers, (b"connection", b"close")):
            head += [name, b": ", value, b"\r\n"]
        self.transport.write(b"".join([*head, b"\r\n", bytes(response.body)]))

    def _drop(self, received: int) -> None:
        self._dropped += received
        if self._dropped > _LINGER_BYTES:
            self._end()

    def _end(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()

    def handle_websocket_upgrade(self) -> None:
        """Turn into a WebSocket, unless the handshake itself was too much."""
        if self._refusal is None:
            super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, or HTTP that two servers might read differently, in the one shape of errors."""
        if self._refusal is None:
            self._refusal = APIError(400, "BadRequest", "this is not a valid HTTP request")

    def abort(self) -> None:
        """Cut the connection at once, with whatever waits to be written."""
        self.transport.abort()

    def lane_open(self) -> bool:
        """Whether bytes of a stream would go out at once."""
        return not self.flow.write_paused and not self.transport.is_closing()

    def write_framed(self, chunk: bytes) -> None:
        """Write a chunk of the response under way."""
        self.transport.write(chunk)

    def shutdown(self) -> None:
        """Stop: an idle connection closes, a busy one after its response."""
        if self._lingering:
            self._end()
        else:
            super().shutdown()


class QuietWebSocketProtocol(WebSocketsSansIOProtocol):
    """WebSockets without a word in the log: uvicorn would write the query, and with it a ticket, into it."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.logger = logging.getLogger("vendetta.websocket")
        self.logger.setLevel(logging.WARNING)
        self.conn.logger = self.logger
        self.conn.debug = False

    def handle_connect(self, event: Request) -> None:
        """Take a handshake. The application starts after this, and finds how to cut the connection."""
        super().handle_connect(event)
        if not self.close_sent:
            self.scope[LANE] = self  # type: ignore[typeddict-unknown-key]

    async def send(self, message: Any) -> None:
        """Send it. A refusal ends a handshake, too: uvicorn would log one as an error, at any stranger's wish."""
        await super().send(message)
        self.handshake_complete = self.handshake_complete or self.close_sent

    def abort(self) -> None:
        """Cut the connection at once."""
        self.transport.abort()

    def lane_open(self) -> bool:
        """There is none: frames are made where the extensions are known."""
        return False

    def write_framed(self, chunk: bytes) -> None:
        """Never called."""
        raise NotImplementedError


def _too_large_headers() -> APIError:
    return APIError(431, "RequestHeaderFieldsTooLarge", "the request's headers are too large: at most 64 KiB")


def _too_large_body(limit: int) -> APIError:
    return APIError(413, "RequestEntityTooLarge", f"the request's body is too large: at most {limit} bytes")
