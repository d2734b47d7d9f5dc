"""From what a command asks for to what a node executes: pure composition, nothing else.

A run is a script that the node executes with `sh FILE`, and bytes for its standard input (`StartRequest`).

    action alone           the action is the script
    + env, cwd             one line in front of it: change there, export these
    argv                   `exec 'program' 'argument'…`, no shell in between
    + shell or run_as      the script above becomes the head of the standard input, and what runs is a constant
                           loader in that shell, as that user, which reads exactly that head and evaluates it

Nothing but the program and arguments of an `argv`, which are a command line by nature, is ever put on a command
line, where every user of the node could read it. Nothing has to be readable by the other user.

Contract C-2 in short: the working directory is the login's home (with `run_as`, that user's home; `/` if they may
not enter it), `~` and `~/…` mean that home, other relative paths start there. `env` is set on top of the node's own
environment. A working directory that cannot be entered ends the run with exit code 126, a program that is not
found with 127. `shell` is one that understands POSIX syntax. `run_as` uses `sudo -n`, which must permit `shell`
(or /bin/sh). sudo's processes belong to another user: without root on the node a cancel may not reach them.
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]*\$?\Z")
_RESERVED = frozenset({"VENDETTA_RUN"})
_NOT_POSIX = frozenset({"csh", "tcsh", "fish", "nu", "elvish", "xonsh", "pwsh", "false", "nologin"})
_HOLDER = "_vendetta"
_END = "_vendetta_end"
_NEWLINE = '"$1"'
"""A newline inside a value is written so, for the line in front to stay one line."""


class ScriptInvalid(ValueError):
    """What was asked for cannot be expressed as a script; the message says which part and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """The two halves of a `StartRequest`."""

    script: bytes = field(repr=False)
    stdin: bytes = field(default=b"", repr=False)


def compose(
    *,
    action: str | None = None,
    argv: Sequence[str] | None = None,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    stdin: bytes = b"",
    shell: str | None = None,
    run_as: str | None = None,
) -> Script:
    """Compose a run; `argv` wins over `action`. Raises `ScriptInvalid`, whose message repeats no value of `env`."""
    elsewhere = run_as is not None or shell is not None
    prologue = _prologue(env or {}, cwd, loaded=elsewhere, other_user=run_as is not None)
    text = prologue + (_exec(argv) if argv is not None else _lines(action))
    if not elsewhere:
        return Script(script=_encode(text), stdin=stdin)
    head = _encode(text + _END)
    return Script(script=_loader(shell, run_as, len(head)), stdin=head + stdin)


def _lines(action: str | None) -> str:
    if action is None:
        raise ScriptInvalid("there is nothing to run: give an action or params.argv")
    _no_nul("action", action)
    return action if action.endswith("\n") else action + "\n"


def _exec(argv: Sequence[str]) -> str:
    if not argv or not argv[0]:
        raise ScriptInvalid("params.argv names no program")
    if argv[0].startswith("-"):
        raise ScriptInvalid(f"params.argv: {argv[0]!r} cannot be a program; write ./{argv[0]} if it is a file")
    for argument in argv:
        _no_nul("params.argv", argument)
    return f"exec {shlex.join(argv)}\n"


def _prologue(env: Mapping[str, str], cwd: str | None, *, loaded: bool, other_user: bool) -> str:
    """The one line in front, or nothing. `loaded`: the loader's variable has to go."""
    parts = [f"unset {_HOLDER}"] if loaded else []
    values = [cwd or "", *env.values()]
    if newlines := any("\n" in value for value in values):
        parts += ["set -- \"$(printf '\\nx')\"", 'set -- "${1%x}"']
    if cwd or other_user:
        parts.append(_enter(cwd))
    if env:
        parts.append("export " + " ".join(_assignment(name, value) for name, value in env.items()))
    if newlines:
        parts.append("set --")
    return "; ".join(parts) + "\n" if parts else ""


def _enter(cwd: str | None) -> str:
    if cwd is None:
        return 'cd -- "$HOME" 2>/dev/null || cd /'
    _no_nul("params.cwd", cwd)
    complaint = _quote(f"vendetta: cannot enter the working directory {cwd}")
    return f"cd -- {_directory(cwd)} || {{ printf '%s\\n' {complaint} >&2; exit 126; }}"


def _directory(cwd: str) -> str:
    """A path that `cd` takes literally: not `-`, not looked for in CDPATH, and `~` is the home."""
    if cwd == "~" or cwd.startswith("~/"):
        return '"$HOME"' + (_quote(cwd[1:]) if len(cwd) > 1 else "")
    return _quote(cwd if cwd.startswith("/") else f"./{cwd}")


def _assignment(name: str, value: str) -> str:
    if not _NAME.match(name):
        raise ScriptInvalid(f"params.env: {name!r} is no name for a variable; use letters, digits and underscores")
    if name in _RESERVED:
        raise ScriptInvalid(f"params.env: {name} is set by the runner and cannot be replaced")
    _no_nul(f"params.env: {name}", value)
    return f"{name}={_quote(value)}"


def _quote(text: str) -> str:
    return _NEWLINE.join(shlex.quote(line) if line else "" for line in text.split("\n")) or "''"


def _loader(shell: str | None, run_as: str | None, size: int) -> bytes:
    """A constant but for numbers and names: read `size` bytes of input, all of them or nothing, and run them.

    dd takes one byte at a time because nothing else is both exact on a pipe and everywhere; what follows belongs
    to the command. The mark at the end shows that the text is whole.
    """
    inner = (
        f"{_HOLDER}=$(dd bs=1 count={size} 2>/dev/null); "
        f'case ${_HOLDER} in *{_END}) eval "${{{_HOLDER}%{_END}}}";; '
        "*) echo 'vendetta: the script did not arrive whole' >&2; exit 126;; esac"
    )
    command = [_shell(shell), "-c", inner, "sh"]
    if run_as is not None:
        command = ["sudo", "-n", "-H", "-u", _user(run_as), "--", *command]
    return _encode(f"exec {shlex.join(command)}\n")


def _shell(shell: str | None) -> str:
    if shell is None:
        return "/bin/sh"
    _no_nul("params.shell", shell)
    name = shell.rpartition("/")[2]
    if not name or shell.startswith("-") or name in _NOT_POSIX:
        raise ScriptInvalid(
            f"params.shell: {shell!r} is no shell with POSIX syntax; use sh, bash, ksh, zsh or the like"
        )
    return shell


def _user(run_as: str) -> str:
    if not _USER.match(run_as):
        raise ScriptInvalid(f"params.run_as: {run_as!r} is no user name")
    return run_as


def _no_nul(what: str, text: str) -> None:
    if "\0" in text:
        raise ScriptInvalid(f"{what}: a NUL character cannot be passed to a program")


def _encode(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise ScriptInvalid("the command holds characters that are not valid Unicode (lone surrogates)") from None
