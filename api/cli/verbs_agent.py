"""`vendetta agent`: another program, which loads nothing of this one, so that it stays small."""

import os
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

import typer

NAME: Final = "agent"


def register(app: typer.Typer) -> None:
    """Show it among the verbs. Its arguments are its own: `hand_over` gets them before anybody looks at them."""
    app.command(NAME, help="Make this machine a node without SSH: `agent serve`, `agent connect`.")(lambda: None)


def hand_over(arguments: Sequence[str]) -> NoReturn:
    """Become the agent."""
    os.execv(sys.executable, [sys.executable, "-m", "transports.agent", *arguments])  # noqa: S606 - no shell is wanted
