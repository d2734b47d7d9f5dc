"""A TCP proxy between a client and a node, or a database, that can be told to misbehave."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def in_background(target: int | str) -> Iterator[int]:
    """Its port, for a program that has no loop to run one in."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    proxy = asyncio.run_coroutine_threadsafe(Proxy(target).start(), loop).result(10)
    try:
        yield proxy.port
    finally:
        asyncio.run_coroutine_threadsafe(proxy.aclose(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


class Proxy:
    """Listens on a loopback port and passes everything on to another, or to a socket's path, until told otherwise.

    stall()       nothing passes any more in either direction, but the connections stay: a black hole
    resume()      what was held back passes, and all the rest
    cut()         every connection ends at once
    half_close()  the node hears the end of every connection; what it still says passes
    delay         seconds that each piece waits before it is passed on
    """

    def __init__(self, target: int | str) -> None:
        self.address = "127.0.0.1"
        self.port = 0
        self.delay = 0.0
        self.accepted = 0
        self._target = target
        self._open = asyncio.Event()
        self._open.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._to_node: set[asyncio.StreamWriter] = set()
        self._half_closed: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> "Proxy":
        """Begin to listen."""
        self._server = await asyncio.start_server(self._accept, self.address, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        try:
            node_reader, node_writer = await self._connect()
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, node_writer}
        self._to_node.add(node_writer)
        for source, sink in ((reader, node_writer), (node_reader, writer)):
            task = asyncio.create_task(self._pump(source, sink), name="proxy pump")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._target, str):
            return await asyncio.open_unix_connection(self._target)
        return await asyncio.open_connection(self.address, self._target)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await source.read(65536):
                await asyncio.sleep(self.delay)
                await self._open.wait()
                if sink not in self._half_closed:
                    sink.write(data)
                    await sink.drain()
        await self._open.wait()
        sink.close()

    def stall(self) -> None:
        """Become a black hole."""
        self._open.clear()

    def resume(self) -> None:
        """Pass everything again."""
        self._open.set()

    def cut(self) -> None:
        """Reset every connection that is open now."""
        for writer in self._writers:
            writer.transport.abort()
        self._forget()

    def half_close(self) -> None:
        """Shut down the direction to the node on every connection that is open now."""
        for writer in self._to_node - self._half_closed:
            if not writer.is_closing():
                writer.write_eof()
        self._half_closed |= self._to_node

    def _forget(self) -> None:
        for writers in (self._writers, self._to_node, self._half_closed):
            writers.clear()

    async def aclose(self) -> None:
        """Stop listening and end everything."""
        if self._server:
            self._server.close()
        self.cut()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
