"""`token create`: tokens made offline, with the secret of the server's configuration (contract E-5)."""

import getpass
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from api.auth.principal import Role
from api.cli.errors import Failed, Misused
from api.cli.output import Output, Shape, say, say_json, warn
from controller.duration import SECOND, format_duration, parse_duration

_UID: Final = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NAME: Final = re.compile("[A-Za-z0-9][A-Za-z0-9._-]*")
_TO_GET_A_UID: Final = "`vendetta get node {name} -o json` shows it as metadata.uid"


def register(app: typer.Typer) -> None:
    """Add the verb."""
    token = typer.Typer(help="Tokens for callers of the server.", no_args_is_help=True)
    token.command()(create)
    app.add_typer(token, name="token")


def create(
    role: Annotated[
        Role, typer.Option(metavar="ROLE", help="What its bearer may do: viewer, operator, admin or node.")
    ],
    subject: Annotated[
        str, typer.Option("--sub", metavar="NAME", help="Whom the token stands for; else your login.")
    ] = "",
    node: Annotated[str | None, typer.Option(metavar="UID", help="The node's uid, for role node.")] = None,
    expiry: Annotated[
        str, typer.Option(metavar="DURATION", help="Lifetime such as 90m; else auth.token_expiry.")
    ] = "",
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="The server's configuration file.")] = None,
    output: Output = Shape.TEXT,
) -> None:
    """Make a token, without asking the server: whoever can read its secret may do that.

    Exit code 1: the configuration is wrong, 2: the command line is.

    Examples: `vendetta token create --role operator --sub ci --expiry 12h` ·
    `vendetta token create --role node --node "$(vendetta get node build-01 -o json | jq -r .metadata.uid)"`
    """
    _check_node(role, node)
    from api.auth.tokens import mint  # noqa: PLC0415 - the JWT library loads slowly, and only this needs it
    from controller.config import ConfigError, load  # noqa: PLC0415 - loads the models, likewise
    from controller.settings import PUBLISHED_AUTH_TOKEN, PUBLISHED_JWT_SECRET  # noqa: PLC0415 - likewise

    try:
        settings = load(config).settings
    except ConfigError as error:
        raise Failed(str(error)) from None
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


def _check_node(role: Role, node: str | None) -> None:
    """A node's token is bound to the one node, by what no later node of that name will have."""
    if role is not Role.NODE:
        if node is not None:
            raise Misused("--node is for --role node only")
        return
    if node is None:
        raise Misused(f"--role node needs --node UID; {_TO_GET_A_UID.format(name='NAME')}")
    if not _UID.fullmatch(node):
        name = node if _NAME.fullmatch(node) else "NAME"
        raise Misused(f"--node {node!r} is not a uid; {_TO_GET_A_UID.format(name=name)}")


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
