"""The command `vendetta`: puts the verbs together and turns what they raise into a sentence and an exit code.

Exit codes (contract F-3): 0, 1 failed, 2 usage, 3 server unreachable or refused; `exec` has its own (F-4).
"""

import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.main import get_command

from api.cli import (
    verbs_agent,
    verbs_apply,
    verbs_coordination,
    verbs_edit,
    verbs_explain,
    verbs_get,
    verbs_kubeconfig,
    verbs_node,
    verbs_run,
    verbs_store,
    verbs_token,
    verbs_wait,
)
from api.cli.errors import CLIError
from api.cli.invocation import GLOBAL_OPTIONS, Invocation, hoisted, split_tail
from api.cli.output import say, warn
from api.cli.plainhelp import make_plain

INTERRUPTED = 130

app = typer.Typer(
    name="vendetta",
    help="Manage fleets of machines over plain SSH.",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _tell_version(wanted: bool) -> None:
    if wanted:
        say(f"vendetta {verbs_coordination.program_version()}")
        raise typer.Exit


@app.callback()
def _globals(
    context: typer.Context,
    server: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="URL of the server; else VENDETTA_SERVER, the context, http://127.0.0.1:3001."
        ),
    ] = None,
    token_file: Annotated[
        str | None, typer.Option(metavar="FILE", help="File with the token; else VENDETTA_TOKEN, the context.")
    ] = None,
    context_name: Annotated[
        str | None,
        typer.Option("--context", metavar="NAME", help="Name of a context in ~/.config/vendetta/contexts.yaml."),
    ] = None,
    _version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_tell_version, help="Show the version of this program."),
    ] = False,
) -> None:
    invocation = context.ensure_object(Invocation)
    invocation.server, invocation.token_file, invocation.context = server, token_file, context_name


for module in (
    verbs_get,
    verbs_explain,
    verbs_apply,
    verbs_edit,
    verbs_wait,
    verbs_run,
    verbs_node,
    verbs_token,
    verbs_kubeconfig,
    verbs_coordination,
    verbs_store,
    verbs_agent,
):
    module.register(app)
make_plain(app)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    if given[:1] == [verbs_agent.NAME]:
        verbs_agent.hand_over(given[1:])
    before, tail = split_tail(given)
    invocation = Invocation(tail=tail)
    words = hoisted(before)
    try:
        code = app(words, prog_name="vendetta", standalone_mode=False, obj=invocation)
    except CLIError as error:
        for sentence in str(error).splitlines():
            warn(f"vendetta: {sentence}")
        return error.exit_code
    except typer.TyperException as error:
        return _usage(error, words, invocation)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:  # whoever read our output has enough of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code if isinstance(code, int) else 0


def _usage(error: typer.TyperException, words: Sequence[str], invocation: Invocation) -> int:
    """Tell a usage error in one line, with the way to the help."""
    if type(error).__name__ == "NoArgsIsHelpError":
        return error.exit_code
    message = error.format_message().replace("Value error, ", "").replace("Input should be", "it must be")
    message = message.partition(", unable to parse")[0]
    path = _path_of(words)
    hint = ""
    if path == "vendetta exec" and invocation.tail is None:
        hint = "The command to run goes after `--`: vendetta exec NODE -- ARGV…. "
    warn(f"vendetta: {message}")
    warn(f"{hint}Try `{path} --help`.")
    return error.exit_code


def _path_of(words: Sequence[str]) -> str:
    """The verb that was called, as far as there is one: `vendetta token create`. Not every error knows it."""
    path, command, waiting = ["vendetta"], get_command(app), list(words)
    while waiting and (verbs := _verbs_of(command)):
        word = waiting.pop(0)
        if word in GLOBAL_OPTIONS and waiting:
            waiting.pop(0)
        elif word in verbs:
            path.append(word)
            command = verbs[word]
        elif not word.startswith("-"):
            break
    return " ".join(path)


def _verbs_of(command: Any) -> dict[str, Any]:
    return getattr(command, "commands", {})


if __name__ == "__main__":
    sys.exit(main())
