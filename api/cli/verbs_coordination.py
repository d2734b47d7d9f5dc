"""`coordination config | start | status` (contract F-1), and `version`."""

import os
import sys
import tempfile
from functools import partial
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli.answers import json_of
from api.cli.client import Client
from api.cli.errors import CLIError, Failed, Unreachable
from api.cli.invocation import Invocation
from api.cli.output import Output, Shape, say, say_json, warn
from api.escape import escape

UNHEALTHY, NO_ANSWER = 1, 2


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    coordination = typer.Typer(
        help="The server itself: its configuration, starting it, its health.", no_args_is_help=True
    )
    coordination.command()(config)
    coordination.command()(start)
    coordination.command()(status)
    app.add_typer(coordination, name="coordination")
    app.command()(version)


def config(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write to this file, mode 0600.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")] = False,
) -> None:
    """Print a configuration with every key and its default, and with fresh random secrets.

    Examples: `vendetta coordination config` · `vendetta coordination config -o coordination.yaml`
    """
    from controller.config import default_config, render_config  # noqa: PLC0415 - loads the models, see manifests

    text = render_config(default_config())
    if output is None:
        sys.stdout.write(text)
        return
    try:
        _write(output, text, force=force)
    except FileExistsError:
        raise Failed(f"{output} exists already: --force overwrites it") from None
    except OSError as error:
        raise Failed(f"cannot write {output}: {error.strerror}") from None
    warn(f"wrote {output} (mode 0600). Its two secrets are random, made for this file.")


def _write(path: Path, text: str, *, force: bool) -> None:
    """Write a private file; one that is there is replaced as a whole or not at all."""
    if not force:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        return
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as fresh:  # made with mode 0600
        fresh.write(text)
    Path(fresh.name).replace(path)


def start(
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Configuration file; else the usual places are searched.")
    ] = None,
    host: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(metavar="PORT", help="Port to listen on; 0 takes a free one.")] = None,
    role: Annotated[
        str | None,
        typer.Option(metavar="ROLE", help="all, api or controller: what it does beside others."),
    ] = None,
    log_level: Annotated[str | None, typer.Option(metavar="LEVEL", help="debug, info, warn or error.")] = None,
    log_format: Annotated[str | None, typer.Option(metavar="FORMAT", help="json or text.")] = None,
) -> int:
    """Run the server in the foreground until it gets SIGTERM or SIGINT; SIGHUP has it read its configuration again.

    Exit code 1: the configuration is wrong, 2: the command line is.

    Examples: `vendetta coordination start` · `vendetta coordination start --config coordination.yaml --port 8080`
    """
    from controller.config import ConfigError, load  # noqa: PLC0415 - loads the models, see manifests

    flags = {
        "server.host": host,
        "server.port": port,
        "server.role": role,
        "logging.level": log_level,
        "logging.format": log_format,
    }
    again = partial(load, config, flags=flags)
    try:
        loaded = again()
    except ConfigError as error:
        raise Failed(str(error)) from None
    from api.server import StartError, run  # noqa: PLC0415 - the whole server, which only this verb needs

    try:
        return run(loaded, again)
    except StartError as error:
        raise Failed(str(error)) from None


def status(context: typer.Context, output: Output = Shape.TEXT) -> int:
    """Show the server's health. Exit code 0: healthy, 1: unhealthy, 2: unreachable.

    Examples: `vendetta coordination status` · `vendetta coordination status -o json --server http://10.0.0.2:3001`
    """
    url = context.ensure_object(Invocation).connection().url
    try:
        with context.ensure_object(Invocation).client() as client:
            health = _health(client)
    except CLIError as error:
        if output is Shape.JSON:
            say_json({"status": "unreachable", "server": url, "error": str(error)})
        else:
            warn(f"vendetta: {error}")
        return NO_ANSWER
    if output is Shape.JSON:
        say_json(health)
    else:
        _say_health(url, health)
    return 0 if health.get("status") == "healthy" else UNHEALTHY


def _health(client: Client) -> dict[str, Any]:
    response = client.request("GET", "/health")
    if response.status_code == 503:  # unhealthy, and the body says why
        try:
            return dict(response.json())
        except (ValueError, TypeError):
            raise Unreachable(f"the server at {client.url} answered 503") from None
    return json_of(response, client.url)


def _say_health(url: str, health: dict[str, Any]) -> None:
    say(escape(f"{health.get('status', 'unknown')}: {url}, version {health.get('version', '?')}"))
    say(escape(f"nodes: {health.get('active_nodes', '?')} of {health.get('total_nodes', '?')} active"))
    known = {"status", "version", "active_nodes", "total_nodes", "timestamp"}
    for key in sorted(set(health) - known):
        say(escape(f"{key}: {health[key]}"))


def program_version() -> str:
    """The version of this program."""
    try:
        return installed_version("vendetta")
    except PackageNotFoundError:
        return "0+checkout"


def version(output: Output = Shape.TEXT) -> None:
    """Show the version of this program.

    Example: `vendetta version -o json`
    """
    found = program_version()
    if output is Shape.JSON:
        say_json({"version": found, "python": sys.version.split()[0]})
    else:
        say(f"vendetta {found}")
