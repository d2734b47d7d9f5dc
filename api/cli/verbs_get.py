"""`get`, `describe`, `delete`: looking at objects, and removing them."""

import sys
import time
from typing import Annotated

import typer

from api.cli.apply import DryRun, params_of
from api.cli.client import Client
from api.cli.completion import kinds_and_names, listed
from api.cli.describe import described
from api.cli.errors import CLIError, Expired, Misused, NotFound
from api.cli.interrupt import insistent
from api.cli.invocation import Invocation
from api.cli.kinds import COMMANDS, KINDS, SERVICES, Kind, kind_and_names, name_of, title
from api.cli.manifests import read
from api.cli.output import (
    Format,
    Output,
    Shape,
    Table,
    json_text,
    say,
    say_json,
    show_list,
    show_one,
    warn,
    yaml_text,
)
from api.cli.services import named, services
from api.cli.tables import Object, in_order
from api.escape import escape

Selector = Annotated[
    str, typer.Option("--selector", "-l", metavar="SELECTOR", help="Label selector: `env=dev,tier in (a,b)`.")
]
Words = Annotated[
    list[str],
    typer.Argument(metavar="KIND [NAME]…", help="nodes | commands, and names.", autocompletion=kinds_and_names),
]
Listed = Annotated[
    list[str],
    typer.Argument(metavar="KIND [NAME]…", help="nodes | commands | services, and names.", autocompletion=listed),
]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(get)
    app.command()(describe)
    app.command()(delete)


def get(
    context: typer.Context,
    what: Listed,
    selector: Selector = "",
    output: Annotated[
        Format, typer.Option("--output", "-o", metavar="FORMAT", help="table, wide, json, yaml or name.")
    ] = Format.TABLE,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on and show every change.")] = False,
    field_selector: Annotated[
        str, typer.Option(metavar="SELECTOR", help="Field selector: `spec.node=a,status.phase!=success`.")
    ] = "",
) -> None:
    """List nodes, commands or services, or show the ones named. Services are chosen by the labels of their nodes.

    Examples: `vendetta get nodes -l env=dev -o wide` · `vendetta get node build-01 -o yaml` ·
    `vendetta get commands -w` · `vendetta get commands --field-selector spec.node=build-01,status.phase=error` ·
    `vendetta get services -l env=dev -o wide`
    """
    if (wanted := named(what)) is not None:
        if field_selector:
            raise Misused("services are chosen by name, or with -l by the labels of their nodes")
        _get_services(context, wanted, selector, output, watch=watch)
        return
    kind, names = kind_and_names(what, (*KINDS, SERVICES))
    if names and (selector or field_selector):
        raise Misused("give names or a selector, not both")
    query = _query(selector) | ({"fieldSelector": field_selector} if field_selector else {})
    with context.ensure_object(Invocation).client() as client:
        if watch:
            with insistent():
                _watch(client, kind, names, query, output)
        elif len(names) == 1:
            show_one(client.get(kind, names[0]), kind, output)
        elif names:
            show_list([client.get(kind, name) for name in names], kind, output)
        else:
            show_list(in_order(client.list(kind, **query)["items"]), kind, output)


def _get_services(context: typer.Context, names: list[str], selector: str, output: Format, *, watch: bool) -> None:
    if watch:
        raise Misused("services are not watched so: follow /ws?types=service_updated")
    with context.ensure_object(Invocation).client() as client:
        show_list(services(client, names, _query(selector)), SERVICES, output)


def _watch(client: Client, kind: Kind, names: list[str], query: dict[str, str], form: Format) -> None:
    """List, then show each change; a broken watch goes on where it was, an outdated one lists again."""
    table = Table(kind, wide=form is Format.WIDE)
    version = ""
    while True:
        if not version:
            listed = client.list(kind, **query)
            version = listed["metadata"]["resourceVersion"]
            here = [o for o in in_order(listed["items"]) if not names or name_of(o) in names]
            _show_change(here, form, table)
        try:
            for event, obj in client.watch(kind, version, query=query):
                version = obj["metadata"]["resourceVersion"]
                if event != "BOOKMARK" and (not names or name_of(obj) in names):
                    _show_change([obj], form, table)
        except Expired:
            version = ""
        time.sleep(0.2)  # a server that ends each watch at once is not asked without a pause


def _query(selector: str) -> dict[str, str]:
    return {"labelSelector": selector} if selector else {}


def _show_change(items: list[Object], form: Format, table: Table) -> None:
    if form in {Format.TABLE, Format.WIDE}:
        table.show(items)
        return
    for item in items:
        if form is Format.JSON:
            say(json_text(item))  # one line each, for programs that read lines
        elif form is Format.YAML:
            say("---\n" + yaml_text(item).rstrip("\n"))
        else:
            say(escape(title(item)))


def describe(
    context: typer.Context,
    what: Words,
    selector: Selector = "",
    output: Output = Shape.TEXT,
) -> None:
    """Show everything about nodes or commands, for people; of a command its timeline, too.

    Examples: `vendetta describe node build-01` · `vendetta describe command cmd_123456_build-01`
    """
    kind, names = kind_and_names(what)
    with context.ensure_object(Invocation).client() as client:
        items = [client.get(kind, name) for name in names] or in_order(client.list(kind, **_query(selector))["items"])
        if output is Shape.JSON:
            say_json(items)
            return
        for number, item in enumerate(items):
            timeline = client.timeline(name_of(item)) if kind is COMMANDS else None
            sys.stdout.write(("\n" if number else "") + described(item, timeline) + "\n")
    if not items:
        warn(f"no {kind.plural} found")


def delete(
    context: typer.Context,
    what: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KIND NAME…]", help="What to remove.", autocompletion=kinds_and_names),
    ] = None,
    file: Annotated[
        list[str] | None, typer.Option("--file", "-f", metavar="FILE", help="Manifests: a file, a folder, `-`.")
    ] = None,
    ignore_not_found: Annotated[
        bool, typer.Option("--ignore-not-found", help="It is fine when it is gone already.")
    ] = False,
    dry_run: Annotated[
        DryRun, typer.Option(metavar="WHERE", help="client: only look if it is there; server: let it check; none.")
    ] = "none",
    output: Output = Shape.TEXT,
) -> None:
    """Remove nodes or commands: those named, or those in manifests.

    Examples: `vendetta delete node build-01` · `vendetta delete -f nodes/ --dry-run=server`
    """
    if bool(what) == bool(file):
        raise Misused("give KIND NAME… or -f FILE")
    if file:
        targets = [(manifest.kind, manifest.name) for manifest in read(file)]
    else:
        kind, names = kind_and_names(what or [])
        if not names:
            raise Misused(f"name the {kind.plural} to remove")
        targets = [(kind, name) for name in names]
    with context.ensure_object(Invocation).client() as client:
        _delete_each(client, targets, output, dry_run, ignore_not_found=ignore_not_found)


def _delete_each(
    client: Client, targets: list[tuple[Kind, str]], shape: Shape, dry_run: DryRun, *, ignore_not_found: bool
) -> None:
    """Remove all that can be removed; what cannot is told, and the first such error ends the command."""
    failure: CLIError | None = None
    gone: list[str] = []
    for kind, name in targets:
        try:
            if dry_run == "client":
                client.get(kind, name)
            else:
                client.delete(kind, name, **params_of(dry_run))
        except NotFound as error:
            failure = failure if ignore_not_found else failure or error
            continue
        gone.append(f"{kind.singular}/{name}")
        if shape is Shape.TEXT:
            say(escape(f"{gone[-1]} deleted" + ("" if dry_run == "none" else f" ({dry_run} dry run)")))
    if shape is Shape.JSON:
        say_json({"deleted": gone})
    if failure is not None:
        raise failure
