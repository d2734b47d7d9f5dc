"""`explain`: what there is to write into a manifest."""

from typing import Annotated

import typer

from api.cli.answers import json_of
from api.cli.explain import Explainer, data_of, text_of
from api.cli.invocation import Invocation
from api.cli.kinds import API, kind_named
from api.cli.output import Output, Shape, say, say_json
from api.escape import escape


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(explain)


def explain(
    context: typer.Context,
    what: Annotated[str, typer.Argument(metavar="KIND[.FIELD]…", help="node, command, node.spec.transport, …")],
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="All fields below, by name and type.")] = False,
    output: Output = Shape.TEXT,
) -> None:
    """Tell what the fields of a kind are for, as the server describes them.

    Examples: `vendetta explain node` · `vendetta explain node.spec.transport` ·
    `vendetta explain command.spec --recursive`
    """
    word, *path = what.split(".")
    kind = kind_named(word)
    with context.ensure_object(Invocation).client() as client:
        explainer = Explainer(json_of(client.request("GET", f"/openapi/v3{API}"), client.url), kind.name)
    field = explainer.at([name for name in path if name])
    if output is Shape.JSON:
        say_json(data_of(explainer, field, recursive=recursive))
    else:
        for line in text_of(explainer, field, recursive=recursive).splitlines():
            say(escape(line))
