"""From what a command asks for to the script that its node runs (contract C-2)."""

from collections.abc import Callable, Mapping

from controller.resources.command import CommandSpec
from transports.script import Script, compose

Secret = Callable[[str], str]
"""The value behind a credential reference."""


def script_of(spec: CommandSpec, secret: Secret, given: Mapping[str, str] | None = None) -> Script:
    """The script and its input; `given` are variables that the command's own take precedence over.

    Raises ScriptInvalid (a ValueError) for what cannot be expressed as a script.
    """
    params = spec.params
    own = {n: v if isinstance(v, str) else secret(v.credential_ref) for n, v in params.env.items()}
    return compose(
        action=spec.action,
        argv=params.argv,
        env=dict(given or {}) | own,
        cwd=params.cwd,
        stdin=params.stdin.encode() if params.stdin is not None else b"",
        shell=params.shell,
        run_as=params.run_as,
    )
