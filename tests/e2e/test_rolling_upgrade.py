"""Two versions on one database, servers replaced one by one while commands flow, and back again (contract A-6).

The next version is this one with what a next version would bring: a migration that adds a table.
"""

import asyncio
import shutil
import threading
from collections import Counter
from pathlib import Path

import httpx2
import pytest

from controller.store.postgres.database import Database
from tests.e2e.conftest import MakeServer
from tests.support.nodes import SshdNode
from tests.support.postgres import fresh_dsn
from tests.support.server import ROOT, Server
from tests.support.waiting import wait_for

pytestmark = pytest.mark.sshd

NEXT = ROOT / "tests" / "contract" / "store" / "data" / "next-version.sql"


@pytest.fixture
def next_version(tmp_path: Path) -> Path:
    """Its checkout."""
    place = tmp_path / "next"
    for package in ("api", "controller", "transports"):
        shutil.copytree(ROOT / package, place / package, ignore=shutil.ignore_patterns("__pycache__"))
    schema = place / "controller" / "store" / "schema" / "postgres"
    newest = max(int(file.name[:3]) for file in schema.glob("*.sql"))
    shutil.copy(NEXT, schema / f"{newest + 1:03}_next.sql")
    return place


async def migrations(dsn: str) -> int:
    """How many were applied."""
    database = Database.of(dsn)
    connection = await database.connect()
    count: int = await connection.fetchval(f'SELECT count(*) FROM "{database.schema}".migrations')
    await connection.close()
    return count


class Traffic:
    """Commands through whichever server answers, one after another, from several senders."""

    def __init__(self, servers: list[Server]) -> None:
        self.servers = servers
        self.accepted: list[str] = []
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._send, args=(n,)) for n in range(3)]

    def __enter__(self) -> "Traffic":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(60)

    def _send(self, sender: int) -> None:
        number = 0
        with httpx2.Client(trust_env=False, timeout=10) as http:
            while not self._over.is_set():
                id_, number = f"c{sender}-{number}", number + 1
                while not self._post(http, number, id_) and not self._over.is_set():
                    number += 1

    def _post(self, http: httpx2.Client, number: int, id_: str) -> bool:
        url = f"{self.servers[number % len(self.servers)].url}/api/v1/nodes/node/commands"
        body = {"type": "exec", "action": f"echo {id_} >>$HOME/runs"}
        try:
            answer = http.post(url, params={"wait": "5s"}, json=body, headers={"Idempotency-Key": id_})
        except httpx2.TransportError:
            return False
        if answer.is_success:
            self.accepted.append(id_)
        return answer.is_success


@pytest.fixture
def dsn() -> str:
    """The database."""
    return fresh_dsn()


@pytest.fixture
def servers(make_server: MakeServer, ssh_node: SshdNode, dsn: str) -> list[Server]:
    """Two of this version, which know the node."""
    made = [make_server(registry={"provider": "postgres", "dsn": dsn, "lease_duration": "4s"}) for _ in range(2)]
    for server in made:
        server.credential("key", ssh_node)
        server.start()
    made[0].register("node", ssh_node)
    return made


def test_servers_are_replaced_one_by_one(
    servers: list[Server], next_version: Path, ssh_node: SshdNode, dsn: str
) -> None:
    """Forth, and back: this version starts on what the next one has made of the schema."""
    before = asyncio.run(migrations(dsn))
    with Traffic(servers) as traffic:
        for code in (next_version, ROOT):
            for server in servers:
                sent = len(traffic.accepted)
                wait_for(lambda: len(traffic.accepted) > sent + 5)  # noqa: B023 - called at once
                assert server.stop() == 0, server.log.read_text()
                server.code = code
                server.start()
        sent = len(traffic.accepted)
        wait_for(lambda: len(traffic.accepted) > sent + 5)
    assert asyncio.run(migrations(dsn)) == before + 1
    for id_ in traffic.accepted:
        found = servers[0].ended(id_)
        assert found["status"] == "success", found
    runs = Counter((ssh_node.home / "runs").read_text().split())
    assert runs.keys() >= set(traffic.accepted)
    assert set(runs.values()) == {1}
