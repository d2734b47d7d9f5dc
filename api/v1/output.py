"""Handler of `/api/v1/commands/{id}/logs`: output as raw bytes, or as tagged chunks (contract C-11)."""

import base64
import re
from collections.abc import AsyncIterator
from contextlib import nullcontext
from typing import Final, cast

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from api.auth.revocation import still_counts
from api.context import Context
from api.errors import bad_request
from api.messages import admission_of, context_of
from api.parameters import flag, number, text
from api.routing import principal_of
from api.streaming import Streaming
from api.v1.views import LogChunkView
from api.waiting import first_of
from controller.resources.command import Command
from controller.resources.types import rfc3339
from controller.store.base import Chunk, Expired, Stream

RAW, NDJSON, EVENTS = "application/octet-stream", "application/x-ndjson", "text/event-stream"
_HEADERS: Final = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no", "Vary": "Accept"}
_ID: Final = re.compile("[0-9]{1,16}")
_PIECE: Final = 256 * 1024
_PATIENCE: Final = 1.0
"""Seconds after which a follower looks again without having been woken, at its token, too."""


async def get_logs(request: Request) -> Response:
    """The output from `offset` in the chosen view; with `follow`, until the command or the token has ended.

    As Server-Sent Events each chunk has an id, the offset after it: `Last-Event-ID` goes on from there, and once
    there is nothing more to come the answer is 204, at which a browser stops asking.
    """
    command = admission_of(request).commands.get(request.path_params["id"])
    chosen = text(request, "stream")
    stream = None if chosen in {None, "all"} else cast("Stream", chosen)
    media, offset, follow = _negotiate(request), number(request, "offset"), flag(request, "follow")
    seen = _last_seen(request)
    if seen is not None and media == EVENTS:
        offset = seen
        if _ended(context_of(request), command) and offset >= _size(request, command, stream):
            return Response(status_code=204, headers=_HEADERS)
    chunks = _chunks(request, command, stream, offset, follow=follow)
    return Streaming(request, _encoded(chunks, stream, media), media, _HEADERS)


def _negotiate(request: Request) -> str:
    """The form asked for by name; raw bytes for everybody else."""
    accept = request.headers.get("accept", "")
    named = {part.split(";", 1)[0].strip().lower() for part in accept.split(",")}
    return next((media for media in (NDJSON, EVENTS) if media in named), RAW)


def _last_seen(request: Request) -> int | None:
    """The offset that the client has come to: the id of the last chunk that it was given. Raises APIError (400)."""
    given = request.headers.get("last-event-id")
    if not given:
        return None
    if not _ID.fullmatch(given):
        raise bad_request("Last-Event-ID: the id of a chunk of this output is a number of bytes")
    return int(given)


def _size(request: Request, command: Command, stream: Stream | None) -> int:
    out, err = context_of(request).store.output_sizes(command.uid)
    return out + err if stream is None else out if stream == "stdout" else err


async def _encoded(chunks: AsyncIterator[Chunk], stream: Stream | None, media: str) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        if media == RAW:
            yield chunk.data
        elif media == NDJSON:
            yield to_json(_view(chunk)) + b"\n"
        else:
            yield b"id: %d\ndata: %b\n\n" % (_after(chunk, stream), to_json(_view(chunk)))


def _after(chunk: Chunk, stream: Stream | None) -> int:
    """The offset after a chunk, in the chosen view."""
    return (chunk.position if stream is None else chunk.offset) + len(chunk.data)


def _view(chunk: Chunk) -> LogChunkView:
    view: LogChunkView = {
        "stream": chunk.stream,
        "offset": chunk.offset,
        "position": chunk.position,
        "time": rfc3339(chunk.at),
    }
    try:
        view["data"] = chunk.data.decode()
    except UnicodeDecodeError:
        view["base64"] = base64.b64encode(chunk.data).decode()
    return view


async def _chunks(
    request: Request, command: Command, stream: Stream | None, offset: int, *, follow: bool
) -> AsyncIterator[Chunk]:
    """Chunks in order. Whether the command has ended is asked before reading, so that nothing is missed."""
    context = context_of(request)
    store = context.store
    with context.followers.following(command) if follow else nullcontext():
        while True:
            ended = _ended(context, command)
            seen = sum(store.output_sizes(command.uid))
            while chunks := await store.read_output(command.uid, stream=stream, offset=offset, limit=_PIECE):
                if follow and not _caller_counts(request):
                    return
                for chunk in chunks:
                    yield chunk
                    offset = _after(chunk, stream)
            if ended or not follow or context.stopping.is_set() or not _caller_counts(request):
                return
            await _news(context, command, seen)


def _caller_counts(request: Request) -> bool:
    context = context_of(request)
    return still_counts(principal_of(request.scope), context.store, context.clock.now())


def _ended(context: Context, command: Command) -> bool:
    now = context.store.get("Command", command.name)
    return not isinstance(now, Command) or now.uid != command.uid or now.ended


async def _news(context: Context, command: Command, seen: int) -> None:
    """Return when there is more output, when the command has changed, or when the server stops."""
    store = context.store
    try:
        async with store.watch(frozenset({"Command"}), name=command.name, since=store.revision()) as watch:
            if _ended(context, command):
                return
            await first_of(
                store.wait_output(command.uid, position=seen, timeout=_PATIENCE),
                watch.batch(1),
                context.stopping.wait(),
                timeout=_PATIENCE,
            )
    except Expired:
        return
