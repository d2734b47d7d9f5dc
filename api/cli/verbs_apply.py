"""`apply` and `diff`: manifests in files, made true on the server."""

from typing import Annotated

import typer

from api.cli.apply import DryRun, carry_out, difference, plan
from api.cli.errors import CLIError
from api.cli.invocation import Invocation
from api.cli.manifests import read
from api.cli.output import Output, Shape, say, say_json, warn
from api.escape import escape

Files = Annotated[
    list[str], typer.Option("--file", "-f", metavar="FILE", help="A file, a folder (recursively), or `-` for stdin.")
]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(apply)
    app.command()(diff)


def apply(
    context: typer.Context,
    file: Files,
    dry_run: Annotated[
        DryRun, typer.Option(metavar="WHERE", help="client: only compare; server: let it check; none.")
    ] = "none",
    output: Output = Shape.TEXT,
) -> int:
    """Make the server's objects what the manifests say.

    A field that is removed from a file is removed on the server; fields that others set stay. All manifests are
    checked before the first one is sent.

    Examples: `vendetta apply -f nodes.yaml` · `vendetta apply -f fleet/ --dry-run=client` · `… | vendetta apply -f -`
    """
    manifests = read(file)
    suffix = "" if dry_run == "none" else f" ({dry_run} dry run)"
    results, failures = [], 0
    with context.ensure_object(Invocation).client() as client:
        for manifest in manifests:
            try:
                word, obj = carry_out(client, plan(client, manifest), dry_run)
            except CLIError as error:
                if error.exit_code != 1:
                    raise
                failures += 1
                warn(f"vendetta: {manifest.origin}: {manifest.title}: {error}")
                continue
            results.append({"name": manifest.title, "result": word, "object": obj})
            if output is Shape.TEXT:
                say(escape(f"{manifest.title} {word}{suffix}"))
    if output is Shape.JSON:
        say_json(results)
    return 1 if failures else 0


def diff(
    context: typer.Context,
    file: Files,
    output: Output = Shape.TEXT,
) -> int:
    """Show what apply would change; the exit code is 1 when there is something.

    Example: `vendetta diff -f nodes.yaml`
    """
    manifests = read(file)
    with context.ensure_object(Invocation).client() as client:
        found = {manifest.title: difference(plan(client, manifest)) for manifest in manifests}
    different = {title: text for title, text in found.items() if text}
    if output is Shape.JSON:
        say_json(different)
    else:
        for text in different.values():
            say("\n".join(escape(line) for line in text.splitlines()))
    return 1 if different else 0
