"""What several measurements stand on: one sshd, and a server that knows it as `bench`."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.keys import make_key_pair
from tests.support.nodes import Farm, SshdNode
from tests.support.server import Server


@asynccontextmanager
async def server_and_node() -> AsyncIterator[tuple[Server, SshdNode]]:
    """Both running, in a folder of their own; they end with the block."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "farm").mkdir()
        (root / "server").mkdir()
        farm = Farm(root / "farm", make_key_pair(root / "key"))
        server = Server(root / "server", logging={"level": "warning"})
        try:
            node = await farm.sshd()
            await asyncio.to_thread(server.start)
            server.register("bench", node)
            yield server, node
        finally:
            server.close()
            farm.close()
