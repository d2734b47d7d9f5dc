"""`token create`: tokens made offline, with the secret of the server's configuration (contract E-5)."""

import getpass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from api.auth.principal import Role
from api.cli.errors import Failed, Misused
from api.cli.output import Shape, say, say_json, warn
from controller.config import ConfigError, load
from controller.duration import SECOND, format_duration, parse_duration
from controller.settings import PUBLISHED_AUTH_TOKEN, PUBLISHED_JWT_SECRET


def register(app: typer.Typer) -> None:
    """Add the verb."""
    token = typer.Typer(help="Tokens for callers of the server.", no_args_is_help=True)
    token.command()(create)
    app.add_typer(token, name="token")


def create(
    role: Annotated[Role, typer.Option(help="What the token's bearer may do.")],
    subject: Annotated[str, typer.Option("--sub", help="Whom the token stands for; else your login.")] = "",
    node: Annotated[str | None, typer.Option(help="The node's uid, for role node.")] = None,
    expiry: Annotated[str, typer.Option(help="Lifetime such as 90m; else auth.token_expiry.")] = "",
    config: Annotated[Path | None, typer.Option(help="The server's configuration file.")] = None,
    output: Annotated[Shape, typer.Option("--output", "-o", help="For people, or for programs.")] = Shape.TEXT,
) -> None:
    """Make a token, without asking the server: whoever can read its secret may do that.

    Examples: `vendetta token create --role operator --sub ci --expiry 12h` ·
    `vendetta token create --role node --node "$(vendetta get node build-01 -o json | jq -r .metadata.uid)"`
    """
    from api.auth.tokens import mint  # noqa: PLC0415 - the JWT library loads slowly, and only this needs it

    try:
        settings = load(config).settings
    except ConfigError as error:
        raise Misused(str(error)) from None
    secret = settings.auth.jwt_secret.get_secret_value()
    if secret in {PUBLISHED_JWT_SECRET, PUBLISHED_AUTH_TOKEN}:
        raise Failed("auth.jwt_secret is the published default, which signs nothing that counts: see --config")
    lifetime = _lifetime(expiry) if expiry else settings.auth.token_expiry
    now = datetime.now(UTC)
    try:
        token = mint(
            secret,
            subject=subject or node or _login(),
            role=role,
            node=node,
            expiry_seconds=lifetime // SECOND,
            now=now,
        )
    except ValueError as error:
        raise Misused(str(error)) from None
    if not settings.auth.enabled:
        warn("vendetta: auth.enabled is false in this configuration: the server will not look at the token")
    if output is Shape.JSON:
        say_json({"token": token, "role": role.value, "expires_in": format_duration(lifetime)})
    else:
        say(token)


def _lifetime(text: str) -> int:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise Misused(f"--expiry: {error}") from None


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user id without a name, as in a container
        return "cli"
