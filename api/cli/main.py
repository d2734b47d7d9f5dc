"""The command `vendetta`: puts the verbs together and turns what they raise into a sentence and an exit code.

Exit codes (contract F-3): 0, 1 failed, 2 usage, 3 server unreachable or refused; `exec` has its own (F-4).
"""

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from api.cli import verbs_apply, verbs_coordination, verbs_get, verbs_node, verbs_run, verbs_token
from api.cli.errors import CLIError
from api.cli.invocation import Invocation, hoisted, split_tail
from api.cli.output import warn

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


@app.callback()
def _globals(
    context: typer.Context,
    server: Annotated[
        str | None, typer.Option(help="URL of the server; else VENDETTA_SERVER, the context, http://127.0.0.1:3001.")
    ] = None,
    token_file: Annotated[
        str | None, typer.Option(help="File with the token; else VENDETTA_TOKEN, the context.")
    ] = None,
    context_name: Annotated[
        str | None, typer.Option("--context", help="Name of a context in ~/.config/vendetta/contexts.yaml.")
    ] = None,
) -> None:
    invocation = context.ensure_object(Invocation)
    invocation.server, invocation.token_file, invocation.context = server, token_file, context_name


for module in (verbs_get, verbs_apply, verbs_run, verbs_node, verbs_token, verbs_coordination):
    module.register(app)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code."""
    before, tail = split_tail(sys.argv[1:] if arguments is None else arguments)
    invocation = Invocation(tail=tail)
    try:
        code = app(hoisted(before), prog_name="vendetta", standalone_mode=False, obj=invocation)
    except CLIError as error:
        for sentence in str(error).splitlines():
            warn(f"vendetta: {sentence}")
        return error.exit_code
    except typer.TyperException as error:
        return _usage(error)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:  # whoever read our output has enough of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code if isinstance(code, int) else 0


def _usage(error: typer.TyperException) -> int:
    """Tell a usage error in one line, with the way to the help."""
    context = getattr(error, "ctx", None)
    path = getattr(context, "command_path", "vendetta")
    if type(error).__name__ == "NoArgsIsHelpError":
        return error.exit_code
    warn(f"vendetta: {error.format_message()}")
    warn(f"Try `{path} --help`.")
    return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
