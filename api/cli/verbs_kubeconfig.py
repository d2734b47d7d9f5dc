"""`kubeconfig`: how kubectl finds this server."""

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from api.cli.connection import Connection
from api.cli.errors import Misused
from api.cli.invocation import Invocation
from api.cli.output import say, warn
from controller.strictyaml import write_document


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(kubeconfig)


def kubeconfig(
    context: typer.Context,
    name: Annotated[str, typer.Option(metavar="NAME", help="What the cluster, user and context are called.")] = (
        "vendetta"
    ),
    certificate_authority: Annotated[
        Path | None,
        typer.Option("--certificate-authority", metavar="FILE", help="Certificates that vouch for the server."),
    ] = None,
) -> None:
    """Print a kubeconfig for the server, and for the token if there is one: it is a secret then.

    Examples: `vendetta kubeconfig > kubeconfig` · `kubectl --kubeconfig kubeconfig get nodes`
    """
    connection = context.ensure_object(Invocation).connection()
    if certificate_authority is not None and not certificate_authority.is_file():
        raise Misused(f"there is no file {certificate_authority}")
    if connection.token and urlsplit(connection.url).scheme == "http":
        warn("vendetta: kubectl sends a token over https only: put a proxy that speaks TLS in front of the server")
    say(write_document(config_of(connection, name, certificate_authority)).rstrip("\n"))


def config_of(connection: Connection, name: str, authority: Path | None) -> dict[str, Any]:
    """The kubeconfig."""
    cluster = {"server": connection.url}
    if authority is not None:
        cluster["certificate-authority"] = str(authority.resolve())
    user = {"token": connection.token} if connection.token else {}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }
