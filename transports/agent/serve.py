"""`vendetta agent serve`: wait for the server on a port, over HTTP or HTTPS."""

import argparse
import asyncio
import logging
import signal
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import uvicorn

from transports.agent.http import Application
from transports.agent.local import LocalNode
from transports.agent.options import TOKEN, agent_version, is_loopback, secret

log = logging.getLogger(__name__)

GRACE = 3
"""Seconds that requests under way may take once it stops."""


class _Server(uvicorn.Server):
    """uvicorn's server, without its own signals."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them to `serve`."""
        yield


async def serve(options: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT. Raises ValueError for options that would leave the node open, OSError."""
    token = _checked(options)
    node = LocalNode(base_dir=options.base_dir)
    application = Application(node, token=token, version=agent_version())
    server = _Server(_config(application, options))

    def stop() -> None:
        server.should_exit = True
        application.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    log.info("serving on %s port %s", options.host, options.port)
    try:
        await server.serve()
    finally:
        await node.aclose()
    return 0


def _checked(options: argparse.Namespace) -> str:
    """The token, if nothing speaks against serving with it like this."""
    token = secret(options.token_file, TOKEN)
    if not token:
        raise ValueError(
            f"there is no token, and whoever reaches the port could run commands: give --token-file, or set {TOKEN}"
        )
    if bool(options.tls_cert) != bool(options.tls_key):
        raise ValueError("--tls-cert and --tls-key belong together")
    for path in filter(None, (options.tls_cert, options.tls_key, options.client_ca)):
        path.read_bytes()  # its error names the file; that of the TLS library does not
    if not options.tls_cert and not options.insecure and not is_loopback(options.host):
        raise ValueError(
            f"on {options.host} the token and all commands would travel in plain HTTP: give --tls-cert and "
            "--tls-key, or --insecure on a network that you trust"
        )
    return token


def _config(application: Application, options: argparse.Namespace) -> uvicorn.Config:
    return uvicorn.Config(
        cast("Any", application),
        host=options.host,
        port=options.port,
        loop="asyncio",
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=GRACE,
        ssl_certfile=options.tls_cert,
        ssl_keyfile=options.tls_key,
        ssl_ca_certs=str(options.client_ca) if options.client_ca else None,
        ssl_cert_reqs=ssl.CERT_REQUIRED if options.client_ca else ssl.CERT_NONE,
    )
