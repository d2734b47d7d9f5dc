"""`wait`: until objects are as they should be."""

import time
from typing import Annotated, Final

import typer

from api.cli.errors import Failed, Misused
from api.cli.goals import goal_of
from api.cli.invocation import Invocation
from api.cli.kinds import NODES, kind_and_names
from api.cli.output import Output, Shape, say, say_json
from api.cli.verbs_get import Selector, Words
from api.cli.waiting import Waiting
from api.escape import escape
from controller.duration import SECOND, parse_duration

_SHOWN: Final = 5
"""Objects that a timeout tells about."""


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(wait)


def wait(
    context: typer.Context,
    what: Words,
    wanted: Annotated[
        str,
        typer.Option(
            "--for",
            metavar="GOAL",
            help="condition=TYPE[=STATUS], jsonpath={.PATH}[=VALUE], or delete; by default a node's Ready, a "
            "command's Complete.",
        ),
    ] = "",
    selector: Selector = "",
    timeout: Annotated[str, typer.Option(metavar="DURATION", help="How long at most: 30s, 5m.")] = "30s",
    output: Output = Shape.TEXT,
) -> None:
    """Wait until nodes or commands are as they should be: those named, or those that a selector picks.

    What does not exist yet is waited for, too, and so is a server that restarts. The exit code is 1 when the time
    is up.

    Examples: `vendetta wait node/build-01 --for condition=Ready` ·
    `vendetta wait nodes -l env=dev --for condition=Ready --timeout 5m` ·
    `vendetta wait command/job-1 --for 'jsonpath={.status.phase}=success'` · `vendetta wait node/old --for delete`
    """
    kind, names = kind_and_names(what)
    if bool(names) == bool(selector):
        raise Misused("give names or a selector")
    goal = goal_of(wanted or ("condition=Ready" if kind is NODES else "condition=Complete"))
    deadline, met = time.monotonic() + _seconds(timeout), list[str]()

    def tell(name: str) -> None:
        met.append(f"{kind.singular}/{name}")
        if output is Shape.TEXT:
            say(escape(f"{met[-1]} {'deleted' if wanted == 'delete' else 'condition met'}"))

    with context.ensure_object(Invocation).client() as client:
        waiting = Waiting(client, kind, names, selector, goal, tell)
        missing = waiting.until(deadline)
        nothing = not missing and not met and wanted != "delete"
    if output is Shape.JSON:
        say_json({"met": met, "missing": [f"{kind.singular}/{name}" for name in missing]})
    if nothing:
        raise Failed(f"timed out after {timeout}: no {kind.plural} match {selector!r}")
    if missing:
        told = [f"{kind.singular}/{name}: {goal.told(obj)}" for name, obj in list(missing.items())[:_SHOWN]]
        more = [f"and {len(missing) - _SHOWN} more"] if len(missing) > _SHOWN else []
        raise Failed("\n".join([f"timed out after {timeout}", *told, *more]))


def _seconds(text: str) -> float:
    try:
        return parse_duration(text) / SECOND
    except ValueError as error:
        raise Misused(f"--timeout: {error}") from None
