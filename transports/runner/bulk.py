"""Large scripts and large output travel on short-lived channels of their own, as raw bytes.

Bounded: no more than a few of these are open at once, and each has a time limit.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from transports.base import Output, StartRequest
from transports.errors import ConnectionLost, NodeStorageFull, StartRefused, UnsupportedShell
from transports.runner.channel import Channel, OpenChannel
from transports.runner.frames import sanitised
from transports.runner.loader import command, greeting, load, send
from transports.runner.node import bulk

_PATIENCE = 60.0
"""Seconds for one transfer, beyond which its channel counts as broken."""


class Bulk:
    """Opens at most `channels` channels at a time. `directory` is where the node keeps its runs."""

    def __init__(self, open_channel: OpenChannel, *, shell: str, directory: str, channels: int) -> None:
        self._open = open_channel
        self._command = command(shell)
        self._directory = directory
        self._free = asyncio.Semaphore(channels)

    async def stage(self, request: StartRequest, delivery: str) -> None:
        """Put script and input in place for `delivery`. They are whole there, or not there.

        Raises `NodeStorageFull` or `StartRefused`; nothing was claimed then.
        """
        own = f"{self._directory}/{request.run}.{delivery}"
        async with self._channel("delivering a large script") as channel:
            sizes = {"nc": len(request.script), "ni": len(request.stdin)}
            nonce = await send(channel, bulk(), io="take", own=own, **sizes)
            await channel.write(request.script + request.stdin)
            await channel.write_eof()
            words = (await greeting(channel, nonce)).words
        if words == "nospace":
            raise NodeStorageFull(f"delivering run {request.run}: no space on the node for its script and input")
        if words != "ok":
            raise StartRefused(f"delivering run {request.run}: the node answered {sanitised(words.encode())}")

    async def fetch(self, own: str, *, stdout: tuple[int, int], stderr: tuple[int, int]) -> Output:
        """Read (offset, count) of both streams of the delivery `own`: exactly that, or what is left of it."""
        async with self._channel("reading output") as channel:
            spans = {"off_o": stdout[0], "max_o": stdout[1], "off_e": stderr[0], "max_e": stderr[1]}
            hello = await load(channel, bulk(), io="fetch", own=f"{self._directory}/{own}", **spans)
            _, n, m = hello.words.split(" ")
            data = await _exactly(channel, hello.rest, int(n) + int(m))
        return Output(stdout=data[: int(n)], stderr=data[int(n) :])

    @asynccontextmanager
    async def _channel(self, what: str) -> AsyncIterator[Channel]:
        try:
            async with asyncio.timeout(_PATIENCE), self._free:
                channel = await self._open(self._command)
                try:
                    yield channel
                finally:
                    await channel.aclose()
        # The login's shell was fine a moment ago, or there would be no runner: this channel alone has failed.
        except (TimeoutError, OSError, EOFError, ValueError, UnsupportedShell) as e:
            raise ConnectionLost(f"{what}: the channel broke or took over {_PATIENCE:.0f} s") from e


async def _exactly(channel: Channel, data: bytes, count: int) -> bytes:
    chunks, have = [data], len(data)
    while have < count:
        if not (chunk := await channel.read(min(count - have, 1 << 18))):
            raise EOFError
        chunks.append(chunk)
        have += len(chunk)
    return b"".join(chunks)[:count]
