"""`edit`: an object in somebody's own editor."""

from typing import Annotated

import typer

from api.cli.completion import kinds_and_names
from api.cli.editing import Edit, Editor
from api.cli.errors import Misused
from api.cli.invocation import Invocation
from api.cli.kinds import kind_and_names
from api.cli.output import Output, Shape, say, say_json
from api.escape import escape


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(edit)


def edit(
    context: typer.Context,
    what: Annotated[
        list[str],
        typer.Argument(metavar="KIND NAME", help="nodes | commands, and one name.", autocompletion=kinds_and_names),
    ],
    output: Output = Shape.TEXT,
) -> None:
    """Open a node or a command in the editor that VISUAL or EDITOR names, and store what was changed.

    The file is checked when the editor is closed, and opened again with what is wrong with it.

    Examples: `vendetta edit node build-01` · `EDITOR='code --wait' vendetta edit node/build-01`
    """
    kind, names = kind_and_names(what)
    if len(names) != 1:
        raise Misused("name one object")
    invocation = context.ensure_object(Invocation)
    with invocation.client() as client:
        stored = Edit(client, kind, names[0], Editor(invocation.environ)).run()
    if output is Shape.JSON:
        say_json(stored)
    else:
        say(escape(f"{kind.singular}/{names[0]} {'unchanged' if stored is None else 'edited'}"))
