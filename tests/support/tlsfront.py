"""What people put in front of the server for TLS: a proxy that ends it, with a certificate of its own."""

import asyncio
import ssl
import threading
from pathlib import Path
from typing import Self

from tests.support.certificates import Certificate

ADDRESS = "127.0.0.1"


class TLSFront:
    """Listens on a loopback port and passes what it decrypts on to `port`. `certificate` vouches for it."""

    def __init__(self, folder: Path, port: int) -> None:
        made = Certificate.make(folder, "ca", address=ADDRESS)
        self.certificate = made.path
        self._key = made.key_path
        self._target = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.port = 0

    @property
    def url(self) -> str:
        """Where it is."""
        return f"https://{ADDRESS}:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        self.port = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _listen(self) -> int:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self._key)
        server = await asyncio.start_server(self._accept, ADDRESS, 0, ssl=context)
        return int(server.sockets[0].getsockname()[1])

    async def _stop(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, out = await asyncio.open_connection(ADDRESS, self._target)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_pass(reader, out))
                tasks.create_task(_pass(there, writer))
        finally:
            out.close()
            writer.close()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on until one side has no more."""
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
