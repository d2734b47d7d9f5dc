"""One call of the CLI: what was said before and after the verb, and the way to the server."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from api.cli.client import Client
from api.cli.connection import Connection, resolve

GLOBAL_OPTIONS: Final = ("--server", "--token-file", "--context")
_TAKE_ANY_TEXT: Final = ("--shell", "--cwd", "--env")


@dataclass(slots=True, kw_only=True)
class Invocation:
    """Filled by the global options; `tail` is what follows `--`, None when there is no `--`."""

    server: str | None = None
    token_file: str | None = None
    context: str | None = None
    tail: tuple[str, ...] | None = None
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def connection(self) -> Connection:
        """Whom to talk to. Raises Misused."""
        return resolve(server=self.server, token_file=self.token_file, context=self.context, environ=self.environ)

    def client(self) -> Client:
        """A client for that server."""
        return Client(self.connection())


def split_tail(arguments: Sequence[str]) -> tuple[list[str], tuple[str, ...] | None]:
    """What is before the first `--`, and what is after it: the tail is nobody's options but the remote program's."""
    if "--" not in arguments:
        return list(arguments), None
    at = list(arguments).index("--")
    return list(arguments[:at]), tuple(arguments[at + 1 :])


def hoisted(arguments: Sequence[str]) -> list[str]:
    """The global options moved to the front, where the parser wants them: people write them anywhere."""
    front: list[str] = []
    rest: list[str] = []
    waiting = list(arguments)
    while waiting:
        word = waiting.pop(0)
        after_text_option = bool(rest) and rest[-1] in _TAKE_ANY_TEXT
        if after_text_option or word.partition("=")[0] not in GLOBAL_OPTIONS:
            rest.append(word)
        else:
            front.append(word)
            if "=" not in word and waiting:
                front.append(waiting.pop(0))
    return front + rest
