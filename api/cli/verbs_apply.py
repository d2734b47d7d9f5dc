"""`apply`, `create` and `diff`: manifests in files, made true on the server."""

from collections.abc import Sequence
from typing import Annotated

import typer

from api.cli.apply import DryRun, carry_out, difference, params_of, plan
from api.cli.client import Client
from api.cli.errors import Misused
from api.cli.invocation import Invocation
from api.cli.kinds import title
from api.cli.manifests import read
from api.cli.output import Output, Shape, say, say_json, warn
from api.cli.report import Report
from api.cli.sets import Member, check_name, check_not_in_another, in_set, left_over
from api.escape import escape

Files = Annotated[
    list[str], typer.Option("--file", "-f", metavar="FILE", help="A file, a folder (recursively), or `-` for stdin.")
]
DryRunOption = Annotated[
    DryRun, typer.Option(metavar="WHERE", help="client: only compare; server: let it check; none.")
]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(apply)
    app.command()(create)
    app.command()(diff)


def apply(
    context: typer.Context,
    file: Files,
    dry_run: DryRunOption = "none",
    named_set: Annotated[
        str, typer.Option("--set", metavar="NAME", help="Put all of it into this set: the label vendetta.dev/set.")
    ] = "",
    prune: Annotated[
        bool, typer.Option("--prune", help="Then remove what is in the set and not in the files any more.")
    ] = False,
    output: Output = Shape.TEXT,
) -> int:
    """Make the server's objects what the manifests say.

    A field that is removed from a file is removed on the server; fields that others set stay. All manifests are
    checked before the first one is sent. With --prune, nothing is removed unless all of them could be applied.

    Examples: `vendetta apply -f nodes.yaml` · `vendetta apply -f fleet/ --set fleet --prune --dry-run=server` ·
    `… | vendetta apply -f -`
    """
    if prune and not named_set:
        raise Misused("--prune removes only what belongs to a named set: give --set NAME")
    manifests = read(file)
    if named_set:
        check_name(named_set)
        manifests = [in_set(manifest, named_set) for manifest in manifests]
    report = Report(dry_run, output)
    with context.ensure_object(Invocation).client() as client:
        for manifest in manifests:
            with report.of(f"{manifest.origin}: {manifest.title}"):
                change = plan(client, manifest)
                if named_set:
                    check_not_in_another(change.live, named_set)
                report.done(manifest.title, *carry_out(client, change, dry_run))
        if prune and report.failures:
            warn("vendetta: nothing is pruned, because not all of the manifests could be applied")
        elif prune:
            _prune(client, left_over(client, named_set, manifests), dry_run, report)
    return report.end()


def _prune(client: Client, members: Sequence[Member], dry_run: DryRun, report: Report) -> None:
    for member in members:
        with report.of(member.title):
            if dry_run != "client":
                client.delete(member.kind, member.name, uid=member.uid, **params_of(dry_run))
            report.done(member.title, "pruned", None)


def create(
    context: typer.Context,
    file: Files,
    dry_run: DryRunOption = "none",
    output: Output = Shape.TEXT,
) -> int:
    """Create the objects in the manifests; what exists already is an error, and stays as it is.

    A command needs no name, and with `metadata.generateName` any object gets one made for it.

    Examples: `vendetta create -f command.yaml` · `vendetta create -f node.yaml --dry-run=server`
    """
    report = Report(dry_run, output)
    with context.ensure_object(Invocation).client() as client:
        for manifest in read(file, named=False):
            with report.of(f"{manifest.origin}: {manifest.title.rstrip('/')}"):
                made = manifest.data
                if dry_run != "client":
                    made = client.create(manifest.kind, manifest.data, **params_of(dry_run))
                report.done(title(made), "created", made)
    return report.end()


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
