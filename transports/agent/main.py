"""The agent's command line: `serve` for the http transport, `connect` for the websocket transport.

Only the standard library, uvicorn and websockets: it is small enough for any node.
"""

import argparse
import asyncio
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

from transports.agent.options import TOKEN, agent_version
from transports.agent.state import StateError

PORT: Final = 3002
SERVE_HELP: Final = """examples:
  vendetta agent serve --token-file /etc/vendetta/agent-token
  vendetta agent serve --host 0.0.0.0 --tls-cert node.pem --tls-key node.key --token-file token
"""
CONNECT_HELP: Final = """examples:
  vendetta agent connect https://vendetta.example:3001 --join-token-file join
  vendetta agent connect http://127.0.0.1:3001 --id laptop-7 --label env=dev --capability docker
"""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run until SIGTERM or SIGINT. Exit code 0 then, 1 for what must be changed first, 2 for wrong options."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    try:
        sys.exit(asyncio.run(options.run(options)))
    except OSError as error:
        sys.exit(f"vendetta agent: {f'{error.filename}: {error.strerror}' if error.filename else error}")
    except (StateError, ValueError) as error:
        sys.exit(f"vendetta agent: {error}")


async def _serve(options: argparse.Namespace) -> int:
    from transports.agent.serve import serve  # noqa: PLC0415 - each command does without the other's libraries

    return await serve(options)


async def _connect(options: argparse.Namespace) -> int:
    from transports.agent.connect import connect  # noqa: PLC0415 - likewise

    return await connect(options)


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="vendetta agent", description="The node's side of nodes without SSH.")
    parser.add_argument("--version", action="version", version=agent_version())
    commands = parser.add_subparsers(required=True, metavar="serve | connect")
    serve = commands.add_parser("serve", help="wait for the server", epilog=SERVE_HELP, formatter_class=raw)
    serve.set_defaults(run=_serve)
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    serve.add_argument("--port", type=int, default=PORT, help="port to listen on (default: %(default)s)")
    serve.add_argument("--token-file", type=Path, help=f"file with the token that callers show (or set {TOKEN})")
    serve.add_argument("--tls-cert", type=Path, help="certificate chain, PEM")
    serve.add_argument("--tls-key", type=Path, help="its private key, PEM")
    serve.add_argument("--client-ca", type=Path, help="admit only callers with a certificate of this authority, too")
    serve.add_argument("--insecure", action="store_true", help="permit plain HTTP on an address that is not loopback")
    connect = commands.add_parser("connect", help="dial the server", epilog=CONNECT_HELP, formatter_class=raw)
    connect.set_defaults(run=_connect)
    connect.add_argument("server", help="http(s)://host:port of the server")
    connect.add_argument("--id", help="the node's id (default: the host's name at the first start)")
    connect.add_argument("--token-file", type=Path, help=f"file with the node's token (or set {TOKEN})")
    connect.add_argument("--join-token-file", type=Path, help="file with a join token (or set VENDETTA_JOIN_TOKEN)")
    connect.add_argument("--label", action="append", default=[], metavar="KEY=VALUE", help="a label; may be repeated")
    connect.add_argument("--capability", action="append", default=[], metavar="NAME", help="may be repeated")
    connect.add_argument("--provider", default="", help="what kind of machine this is")
    connect.add_argument("--ca", help="trust this authority for the server's certificate, PEM")
    connect.add_argument("--state", type=Path, help="folder for the id and the token")
    connect.add_argument("--insecure", action="store_true", help="permit plain HTTP to a server off loopback")
    for command in (serve, connect):
        command.add_argument("--base-dir", default=".vendetta", help="folder for runs, below the home (%(default)s)")
    return parser
