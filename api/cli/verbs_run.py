"""`exec`, `logs`, `cancel`: running something on nodes."""

import asyncio
import getpass
import os
import re
import sys
from typing import Annotated, Any, Final, Literal

import typer

from api.cli.completion import command_names, node_names
from api.cli.connection import Connection
from api.cli.errors import CLIError, Failed, Misused
from api.cli.execute import execute, final_code, send_only, tell_ends
from api.cli.grouping import Grouped
from api.cli.invocation import Invocation
from api.cli.kinds import COMMANDS, NODES, name_in, name_of
from api.cli.outcome import has_ended
from api.cli.output import Output, Shape, json_text, say, say_json, warn
from api.cli.remote import Remote
from api.cli.screen import Nothing, Prefixed, Screen, Through
from api.escape import escape
from controller.duration import parse_duration

ANYTHING_ELSE = 255
_VARIABLE: Final = re.compile("[A-Za-z_][A-Za-z0-9_]{0,127}")


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command("exec")(exec_)
    app.command()(logs)
    app.command()(cancel)


def exec_(
    context: typer.Context,
    nodes: Annotated[
        list[str] | None, typer.Argument(metavar="NODE… -- ARGV…", help="Names of nodes.", autocompletion=node_names)
    ] = None,
    selector: Annotated[
        str, typer.Option("--selector", "-l", metavar="SELECTOR", help="Run on every node with these labels.")
    ] = "",
    shell: Annotated[
        str | None, typer.Option(metavar="LINE", help="A line for the node's `sh`, in place of -- ARGV….")
    ] = None,
    timeout: Annotated[
        str, typer.Option(metavar="DURATION", help="Limit of the execution, such as 90s; else 5m.")
    ] = "",
    delivery_timeout: Annotated[
        str, typer.Option(metavar="DURATION", help="How long to wait for the node; else 10m.")
    ] = "",
    cwd: Annotated[str, typer.Option(metavar="FOLDER", help="Where it runs; else the login's home.")] = "",
    env: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[=VALUE]", help="A variable; without a value, the one it has here."),
    ] = None,
    stdin: Annotated[
        bool, typer.Option("--stdin", help="Read standard input to its end and give it to the command.")
    ] = False,
    run_as: Annotated[str, typer.Option(metavar="LOGIN", help="Another user, by `sudo -n`; for admins.")] = "",
    user: Annotated[str, typer.Option(metavar="NAME", help="On whose behalf, for the audit; else your login.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Also on a cordoned node.")] = False,
    group: Annotated[
        bool, typer.Option("--group", "-g", help="Of many nodes: show equal outputs once, when all have ended.")
    ] = False,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Print the commands' ids and wait for nothing.")
    ] = False,
    output: Output = Shape.TEXT,
) -> int:
    """Run a command on nodes, show its output live, and exit with its exit code.

    One node: its own code; 124 timeout; 128+n ended by signal n; 130 interrupted; 255 everything else.
    Many nodes: 0 all succeeded, 1 some failed, 4 some unreachable, 130 interrupted.
    Ctrl-C asks whether to cancel what runs.

    Examples: `vendetta exec build-01 -- uname -a` · `vendetta exec build-01 --shell 'df -h | sort'` ·
    `vendetta exec -l env=dev --timeout 30s -- systemctl is-active nginx` · `vendetta exec a b --stdin -- sh < x.sh` ·
    `vendetta exec -l env=dev --group -- uname -r`
    """
    invocation = context.ensure_object(Invocation)
    spec = _spec(invocation.tail, shell, user)
    params: dict[str, Any] = {
        "timeout": _duration("--timeout", timeout),
        "deliveryTimeout": _duration("--delivery-timeout", delivery_timeout),
        "cwd": cwd,
        "env": _variables(env or [], invocation),
        "runAs": run_as,
        "force": force,
        "argv": list(invocation.tail or ()),
        "stdin": _standard_input() if stdin else None,
    }
    spec["params"] = {key: value for key, value in params.items() if value not in ("", None, False, {}, [])}
    if group and (detach or output is Shape.JSON):
        raise Misused("--group shows outputs: it goes neither with --detach nor with -o json")
    if bool(nodes) == bool(selector):
        raise Misused("name nodes, or pick them with -l: vendetta exec NODE… -- ARGV…")
    named = list(dict.fromkeys(name_in(NODES, word) for word in nodes or ()))
    many = bool(selector) or len(named) > 1
    screen = _screen(output, many=many, group=group)
    try:
        names = named or _picked(invocation, selector)
        return asyncio.run(_run(invocation.connection(), names, spec, output, screen, many=many, detach=detach))
    except Misused:
        raise
    except CLIError as error:
        if many:
            raise
        warn(f"vendetta: {error}")
        return ANYTHING_ELSE


def _screen(shape: Shape, *, many: bool, group: bool) -> Screen:
    if shape is Shape.JSON:
        return Nothing()
    if not many:
        return Through()
    return Grouped() if group else Prefixed()


async def _run(
    connection: Connection,
    nodes: list[str],
    spec: dict[str, Any],
    shape: Shape,
    screen: Screen,
    *,
    many: bool,
    detach: bool,
) -> int:
    interrupted = False
    async with Remote(connection) as remote:
        if detach:
            runs = await send_only(remote, nodes, spec)
        else:
            runs, interrupted = await execute(remote, nodes, spec, screen)
            screen.end()
    for run in runs:
        if shape is Shape.JSON and run.sent:
            say(json_text(run.command))
        elif detach and run.sent:
            say(escape(f"command/{run.name}"))
        if detach and run.error is not None:
            warn(f"vendetta: {run.node}: {run.error}")
    if detach:
        return final_code(runs, many=many, interrupted=False) if any(run.error for run in runs) else 0
    tell_ends(runs)
    return final_code(runs, many=many, interrupted=interrupted)


def _spec(tail: tuple[str, ...] | None, shell: str | None, user: str) -> dict[str, Any]:
    """Who asks, and the line for the shell, if that is what was asked for."""
    if bool(tail) == bool(shell):
        raise Misused("give the command after `--`, or a line with --shell, and not both")
    if tail and not tail[0]:
        raise Misused("the first word after `--` is the program, and it is empty")
    return {"user": user or _login()} | ({"action": shell} if shell else {})


def _picked(invocation: Invocation, selector: str) -> list[str]:
    with invocation.client() as client:
        names = [name_of(node) for node in client.list(NODES, labelSelector=selector)["items"]]
    if not names:
        raise Failed(f"no node has the labels {selector!r}")
    return names


def _duration(option: str, text: str) -> str:
    if text:
        try:
            parse_duration(text)
        except ValueError as error:
            raise Misused(f"{option}: {error}") from None
    return text


def _variables(given: list[str], invocation: Invocation) -> dict[str, str]:
    variables: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not _VARIABLE.fullmatch(name) or name.startswith("VENDETTA_"):
            why = "such names are the server's own" if name.startswith("VENDETTA_") else "use A-Z, a-z, 0-9 and _"
            raise Misused(f"--env {name}: that is no name for a variable: {why}")
        if not equals and name not in invocation.environ:
            raise Misused(f"--env {name}: there is no such variable here; write {name}=VALUE")
        variables[name] = value if equals else invocation.environ[name]
    return variables


def _standard_input() -> str:
    try:
        text = sys.stdin.buffer.read().decode()
    except UnicodeDecodeError:
        raise Misused("--stdin: what came is not UTF-8 text; bytes have to go another way") from None
    if "\x00" in text:
        raise Misused("--stdin: a NUL character is not allowed; bytes have to go another way")
    return text


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user id without a name, as in a container
        return str(os.getuid())


def logs(
    context: typer.Context,
    command: Annotated[str, typer.Argument(metavar="ID", help="The command's id.", autocompletion=command_names)],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the command has ended.")] = False,
    stream: Annotated[
        Literal["all", "stdout", "stderr"], typer.Option(metavar="STREAM", help="all, stdout or stderr.")
    ] = "all",
    offset: Annotated[int, typer.Option(min=0, metavar="BYTES", help="Bytes to leave out at the beginning.")] = 0,
    output: Output = Shape.TEXT,
) -> None:
    """Show a command's output, all of it, on stdout.

    Example: `vendetta logs -f cmd_123456_build-01`
    """
    name = name_in(COMMANDS, command)
    connection = context.ensure_object(Invocation).connection()
    asyncio.run(_logs(connection, name, follow, stream, offset, output))


async def _logs(connection: Connection, name: str, follow: bool, stream: str, offset: int, shape: Shape) -> None:
    async with Remote(connection) as remote:
        await remote.get(name)  # a server that is not there, or no such command, is told at once
        read = remote.follow if follow else remote.output
        async for piece in read(name, stream=stream, offset=offset):
            if shape is Shape.JSON:
                text = piece.data.decode(errors="replace")
                say(json_text({"stream": piece.stream, "data": text}))
            else:
                sys.stdout.buffer.write(piece.data)
                sys.stdout.buffer.flush()


def cancel(
    context: typer.Context,
    commands: Annotated[
        list[str], typer.Argument(metavar="ID…", help="Ids of commands.", autocompletion=command_names)
    ],
    output: Output = Shape.TEXT,
) -> None:
    """Cancel commands: the whole process tree on the node gets TERM, and after a grace KILL.

    Example: `vendetta cancel cmd_123456_build-01`
    """
    with context.ensure_object(Invocation).client() as client:
        changed = []
        for name in [name_in(COMMANDS, word) for word in commands]:
            changed.append(client.patch(COMMANDS, name, {"spec": {"cancel": True}}))
            if output is Shape.TEXT:
                phase = changed[-1].get("status", {}).get("phase", "unknown")
                word = f"is over already ({phase})" if has_ended(changed[-1]) else "is being cancelled"
                say(escape(f"command/{name} {word}"))
    if output is Shape.JSON:
        say_json(changed)
