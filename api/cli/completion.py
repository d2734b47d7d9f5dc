"""What Tab completes: kinds, and the names that the server knows. Where it does not tell at once, nothing."""

from collections.abc import Sequence
from typing import Final

import httpx2
import typer

from api.cli.answers import headers_of, json_of
from api.cli.client import path_of
from api.cli.connection import resolve
from api.cli.errors import CLIError, Misused
from api.cli.kinds import COMMANDS, KINDS, NODES, SERVICES, Kind, kind_named, name_of

PATIENCE: Final = 2.0
"""Seconds that somebody who has pressed Tab is kept waiting."""
_MOST: Final = 1000
_NAMES_ONLY: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


def kinds_and_names(context: typer.Context, incomplete: str) -> list[str]:
    """A kind, and then names of that kind."""
    return _kinds_and_names(context, incomplete, KINDS)


def listed(context: typer.Context, incomplete: str) -> list[str]:
    """The same, with services among the kinds."""
    return _kinds_and_names(context, incomplete, (*KINDS, SERVICES))


def node_names(context: typer.Context, incomplete: str) -> list[str]:
    """Names of nodes."""
    return _names(context, NODES, incomplete)


def command_names(context: typer.Context, incomplete: str) -> list[str]:
    """Names of commands."""
    return _names(context, COMMANDS, incomplete)


def _kinds_and_names(context: typer.Context, incomplete: str, kinds: Sequence[Kind]) -> list[str]:
    words = context.params.get("what")
    if not words:
        return [kind.plural for kind in kinds if kind.plural.startswith(incomplete)]
    try:
        return _names(context, kind_named(words[0]), incomplete)
    except Misused:
        return []


def _names(context: typer.Context, kind: Kind, incomplete: str) -> list[str]:
    """Names that begin like that and are not on the command line yet."""
    given = {word for value in context.params.values() if isinstance(value, list | tuple) for word in value}
    try:
        known = _known(context, kind)
    except (CLIError, httpx2.HTTPError, httpx2.InvalidURL):
        return []
    return [name for name in known if name.startswith(incomplete) and name not in given]


def _known(context: typer.Context, kind: Kind) -> list[str]:
    options = context.find_root().params
    connection = resolve(
        server=options.get("server"), token_file=options.get("token_file"), context=options.get("context_name")
    )
    answer = httpx2.get(
        f"{connection.url}{path_of(kind)}",
        params={"limit": str(_MOST)},
        headers={**headers_of(connection), "Accept": _NAMES_ONLY},
        timeout=PATIENCE,
        trust_env=False,
    )
    return [name_of(item) for item in json_of(answer, connection.url).get("items") or []]
