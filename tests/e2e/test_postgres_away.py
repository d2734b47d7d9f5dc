"""A database that is away for a while: what is known can be read, and says how old it is (contract A-6, D-3)."""

from collections.abc import Iterator

import httpx2
import pytest

from tests.e2e.conftest import MakeServer
from tests.support.postgres import OwnServer
from tests.support.server import Server
from tests.support.waiting import wait_for

READS = (
    "/api/v1/nodes",
    "/api/v1/nodes/node-1",
    "/apis/vendetta.dev/v1/nodes",
    "/apis/vendetta.dev/v1/nodes/node-1",
)


@pytest.fixture
def database() -> Iterator[OwnServer]:
    """A PostgreSQL that may be stopped."""
    database = OwnServer()
    yield database
    database.close()


def register(server: Server, name: str) -> httpx2.Response:
    """Write something."""
    return server.http.post("/api/v1/nodes", json={"id": name, "provider": "none"})


def test_reads_go_on_while_the_database_is_away(make_server: MakeServer, database: OwnServer) -> None:
    """On both faces, with their age; what is not known may be there. Writes are refused until it is back.

    It is away for longer than the server's place among the others is good for: the server joins again.
    """
    server = make_server(registry={"provider": "postgres", "dsn": database.url, "lease_duration": "3s"}).start()
    assert register(server, "node-1").is_success
    for path in READS:
        wait_for(lambda: "Age" not in server.http.get(path).headers)  # noqa: B023 - called at once

    database.stop()
    wait_for(lambda: "Age" in server.http.get("/api/v1/nodes").headers)
    for path in READS:
        old = server.http.get(path)
        assert old.is_success
        assert "node-1" in old.text
        assert int(old.headers["Age"]) >= 2
        assert old.headers["Warning"] == '110 - "Response is Stale"'
    for path in ("/api/v1/nodes/node-2", "/apis/vendetta.dev/v1/nodes/node-2"):
        missing = server.http.get(path)
        assert (missing.status_code, missing.headers["Retry-After"]) == (503, "2")

    refused = register(server, "node-2")
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "2")
    assert "Age" not in refused.headers
    assert server.http.get("/livez").text == "ok"
    ready = server.http.get("/readyz")
    assert ready.status_code == 503
    assert "what it shows is " in ready.text

    wait_for(lambda: "this server has lost its place" in server.log.read_text())
    database.start()
    wait_for(server.is_ready)
    wait_for(lambda: "Age" not in server.http.get("/api/v1/nodes").headers)
    assert register(server, "node-2").is_success
