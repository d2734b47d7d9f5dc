"""How shell text gets to run on a node: one constant command, the text over its input, a greeting in its output.

The command is safe under any login shell (sh, bash, tcsh, fish, zsh, mksh, yash): it is one single-quoted word
without anything that those would look into. The input's first line sets variables, among them the length of the
program, which comes next; what follows is up to that. A shell's `read` takes byte by byte, so dd takes the program:
a block that is no longer than what is left, again until all is there.
Login files may print whatever they like before the greeting; a nonce tells it from that noise.
"""

import re
import secrets
import shlex
from contextlib import suppress
from dataclasses import dataclass

from transports.errors import ConnectionLost, NodeStorageFull, TransportError, UnsupportedShell
from transports.runner.channel import Channel
from transports.runner.frames import sanitised
from transports.runner.node import Program

_SHELL = re.compile(r"/[A-Za-z0-9._/+-]{1,200}")
_NOISE = 256 * 1024
_GREETING = 8 * 1024

_PROBLEMS = {
    "noproc": "the node has no usable /proc, which the runner needs",
    "tool": "the node lacks a tool that the runner needs",
    "base": "the base directory on the node cannot be used",
}


_LOADER = (
    'read -r v_1 && eval "$v_1" && v_2= && while [ ${#v_2} -lt $v_long ]; do '
    'v_x=$(dd bs=$((v_long - ${#v_2})) count=1 2>/dev/null) && [ -n "$v_x" ] && v_2=$v_2$v_x || exit 1; done && '
    'v_2=$(printf %b "$v_2") && eval "$v_2"'
)


class PerlFailed(UnsupportedShell):
    """The node has a perl, which did not start, or did not take the runner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Greeting:
    """What the program said when it came up, and the bytes that followed."""

    words: str
    rest: bytes


def command(shell: str) -> str:
    """The command to execute on the node. Raises `ValueError` unless `shell` is an absolute, plain path."""
    if not _SHELL.fullmatch(shell):
        raise ValueError(f"not an absolute path of a shell: {shell!r}")
    return f"exec {shell} -c '{_LOADER}' vendetta"


def new_nonce() -> str:
    """64 random bits in hex: names one delivery, one runner, one greeting."""
    return secrets.token_hex(8)


async def load(channel: Channel, program: Program, more: bytes = b"", /, **variables: str | int) -> Greeting:
    """Send the program with its variables (as `v_<name>`) and wait for its greeting. The caller bounds the time.

    `more` is for the program to read.

    Raises `UnsupportedShell` when something else comes and then the end, or too much of it, `NodeStorageFull`
    when the node says so.
    """
    return await greeting(channel, await send(channel, program, more, **variables))


async def send(channel: Channel, program: Program, more: bytes = b"", /, **variables: str | int) -> str:
    """Send the program with its variables. Answers the nonce that its greeting will bear."""
    nonce = new_nonce()
    values = {"hello": nonce, "long": len(program.encoded), **variables}
    first = " ".join(f"v_{name}={shlex.quote(str(value))}" for name, value in values.items())
    if "\n" in first or "\0" in first:
        raise ValueError("a value for the node holds a line break")
    data = first.encode("utf-8", "surrogateescape") + b"\n" + program.encoded + more
    # A login that did not want to listen may still say why: that tells more than the broken pipe.
    with suppress(ConnectionLost, OSError):
        await channel.write(data)
    return nonce


async def greeting(channel: Channel, nonce: str) -> Greeting:
    """Find the greeting in what the login prints."""
    words, rest = await _find(channel, nonce, b"\n")
    if words == "perl":
        try:
            words, rest = await _find(channel, nonce, b"\n" + rest)
        except UnsupportedShell as e:
            raise PerlFailed(f"starting the runner: the node's perl does not start: {e}") from e
    _raise_problem(words)
    return Greeting(words=words, rest=rest)


async def _find(channel: Channel, nonce: str, got: bytes) -> tuple[str, bytes]:
    """The words of the first line that bears the nonce, and what followed it."""
    mark = b"\nVND1 %s " % nonce.encode()
    while (at := got.find(mark)) < 0 or (end := got.find(b"\n", at + len(mark))) < 0:
        if len(got) > _NOISE or (at >= 0 and len(got) - at > _GREETING):
            raise UnsupportedShell(_unsupported("did not answer", got))
        data = await channel.read(65536)
        if not data:
            raise UnsupportedShell(_unsupported("ended", got))
        got += data
    return got[at + len(mark) : end].decode("utf-8", "surrogateescape"), got[end + 1 :]


def _unsupported(what: str, got: bytes) -> str:
    said = f"; it said {sanitised(got.strip())}" if got.strip() else " and said nothing"
    return f"starting the runner: the login's shell {what}{said}. It must run POSIX sh commands."


def _raise_problem(words: str) -> None:
    kind, _, rest = words.partition(" ")
    if kind != "err":
        return
    code, _, text = rest.partition(" ")
    detail = sanitised(text.encode("utf-8", "replace"))
    if code == "nospace":
        raise NodeStorageFull(f"starting the runner: no space for its files in {detail}")
    if code == "perl":
        raise PerlFailed(f"starting the runner: the node's perl does not take it: {detail}")
    if code in _PROBLEMS:
        raise UnsupportedShell(f"starting the runner: {_PROBLEMS[code]}: {detail}")
    raise TransportError(f"starting the runner: {sanitised(words.encode('utf-8', 'replace'))}")
