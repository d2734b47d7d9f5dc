"""Ours as people use it: a server process, SQLite, the controller, SSH, and a client that POSTs commands.

A POST is answered with the command's stored result. The CPU is that of the server process, all of it.
"""

import asyncio
import itertools
import json
import time
from pathlib import Path

from hack.bench.ssh.bare import main
from hack.bench.ssh.work import Job, Result, Target, cpu_of, timed
from tests.support.server import Server


class Client:
    """One kept connection. The leanest that works: it shares two cores with what is measured."""

    def __init__(self, host: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.host, self.reader, self.writer = host, reader, writer

    @classmethod
    async def to(cls, server: Server) -> "Client":
        return cls(f"127.0.0.1:{server.port}", *await asyncio.open_connection("127.0.0.1", server.port))

    async def post(self, path: str, body: bytes) -> bytes:
        head = f"POST {path} HTTP/1.1\r\nHost: {self.host}\r\nContent-Type: application/json\r\n"
        self.writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        lines = (await self.reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
        (length,) = [int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:")]
        return await self.reader.readexactly(length)

    async def echo(self, node: str, token: str) -> None:
        body = json.dumps({"type": "exec", "action": f"echo {token}", "params": {}}).encode()
        answer = json.loads(await self.post(f"/api/v1/nodes/{node}/commands", body))
        assert (answer.get("status"), answer.get("output")) == ("success", token), answer

    def close(self) -> None:
        self.writer.close()


def launch(asked: Job) -> Server:
    """A server that knows the targets, each of them ready."""
    folder = Path(asked.folder)
    folder.mkdir()
    server = Server(folder, logging={"level": "warning"}, transports={"ssh": {"base_dir": asked.base}})
    server.start()
    (server.credentials / "key").write_bytes(Path(asked.targets[0].key).read_bytes())
    (server.credentials / "key").chmod(0o600)
    for i, target in enumerate(asked.targets):
        register(server, f"n{i}", target)
    return server


def register(server: Server, name: str, target: Target) -> None:
    transport = {
        "type": "ssh",
        "address": target.address,
        "port": target.port,
        "user": target.user,
        "credential_ref": "key",
        "host_keys": [target.host_key],
    }
    body = {"id": name, "provider": "ssh", "address": target.address, "transport": transport}
    assert server.http.post("/api/v1/nodes", json=body).status_code == 200
    deadline = time.monotonic() + 30
    while server.http.get(f"/api/v1/nodes/{name}").json()["status"] != "active":
        assert time.monotonic() < deadline, server.log.read_text()
        time.sleep(0.02)


async def rate(asked: Job) -> Result:
    """As many as go, `width` POSTs under way for each node."""
    server = await asyncio.to_thread(launch, asked)
    assert server.process is not None
    try:
        nodes = [f"n{i}" for i in range(len(asked.targets))]
        lanes = [
            (await Client.to(server), n, asked.tokens[i :: asked.width]) for n in nodes for i in range(asked.width)
        ]
        await asyncio.gather(*(client.echo(node, "warm") for client, node, _ in lanes))

        async def lane(client: Client, node: str, tokens: list[str]) -> None:
            for token in tokens:
                await client.echo(node, token)

        used, began = cpu_of(server.process.pid), time.perf_counter()
        await asyncio.gather(*itertools.starmap(lane, lanes))
        took = time.perf_counter() - began
        for client, _, _ in lanes:
            client.close()
        return Result(count=asked.count * len(nodes), seconds=took, cpu=cpu_of(server.process.pid) - used)
    finally:
        server.stop()
        server.close()


async def latency(asked: Job) -> Result:
    """One POST at a time to one node. All of them are connected before: ten logins take these cores for a second."""
    server = await asyncio.to_thread(launch, asked)
    assert server.process is not None
    try:
        client = await Client.to(server)
        for i in range(len(asked.targets)):
            await client.echo(f"n{i}", "warm")
        for _ in range(10):
            await client.echo("n0", "warm")
        result, used, began = Result(count=asked.count), cpu_of(server.process.pid), time.perf_counter()
        for token in asked.tokens:
            with timed(result.times):
                await client.echo("n0", token)
        result.seconds, result.cpu = time.perf_counter() - began, cpu_of(server.process.pid) - used
        client.close()
        return result
    finally:
        server.stop()
        server.close()


if __name__ == "__main__":
    main(rate=rate, latency=latency)
