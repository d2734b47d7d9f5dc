"""`store copy | backup | restore`: everything that a server knows, into another database or a file, and back."""

import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from api.cli.errors import Failed
from api.cli.output import Output, Shape, say, say_json, warn

if TYPE_CHECKING:
    from api.storage import Report, Told

_EVERY: Final = 0.5
"""Seconds between two words about the progress."""

From = Annotated[
    str, typer.Option("--from", metavar="DSN", help="The store to read: a file of SQLite, or postgresql://….")
]
To = Annotated[str, typer.Option("--to", metavar="DSN", help="An empty store to fill, likewise.")]
FILE_HELP: Final = "The backup's file, such as fleet.gz."


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    store = typer.Typer(help="The server's store: copy it, back it up, restore it.", no_args_is_help=True)
    store.command()(copy)
    store.command()(backup)
    store.command()(restore)
    app.add_typer(store, name="store")


def copy(source: From, target: To, output: Output = Shape.TEXT) -> None:
    """Copy a store into an empty one, from SQLite to PostgreSQL for example, and verify what was written.

    Ids and revisions stay: clients of the event stream go on where they were. Stop the servers of the source first,
    or what they store meanwhile is missing. Exit code 1: it could not be done, and the target is as it was.

    Examples: `vendetta store copy --from vendetta.db --to postgresql://vendetta@db.example.com/vendetta` ·
    `vendetta store copy --from vendetta.db --to copy.db -o json`
    """
    from api import storage  # noqa: PLC0415 - the store, which only these verbs need

    report = _done(lambda told: storage.copy(source, target, told))
    if report.live:
        warn("vendetta: a server uses the source: what it stores from now on is not in the copy")
    _show(report, output, f"copied to {'the database' if '://' in target else target}")


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help=FILE_HELP)], source: From, output: Output = Shape.TEXT
) -> None:
    """Write a store as it is at one moment into a new file, mode 0600, while its servers go on.

    There are secrets in it: whatever commands have printed, and what they were given. Exit code 1: it could not be
    done, and there is no file.

    Examples: `vendetta store backup --from vendetta.db fleet.gz` ·
    `vendetta store backup --from postgresql://vendetta@db.example.com/vendetta "fleet-$(date +%F).gz"`
    """
    from api import storage  # noqa: PLC0415 - the store, which only these verbs need

    _show(_done(lambda told: storage.backup(source, file, told)), output, f"wrote {file} (mode 0600)")


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help=FILE_HELP)], target: To, output: Output = Shape.TEXT
) -> None:
    """Fill an empty store from a backup, and verify what was written.

    Exit code 1: it could not be done, and the target is as it was.

    Examples: `vendetta store restore fleet.gz --to vendetta.db` ·
    `vendetta store restore fleet.gz --to "postgresql://vendetta@db.example.com/vendetta?schema=second"`
    """
    from api import storage  # noqa: PLC0415 - the store, which only these verbs need

    _show(_done(lambda told: storage.restore(file, target, told)), output, f"restored {file}")


def _done(work: "Callable[[Told], Report]") -> "Report":
    """Do it, with a line of progress where somebody watches."""
    from api.storage import StorageError  # noqa: PLC0415 - likewise

    progress = _Progress()
    try:
        return work(progress.tell)
    except StorageError as error:
        raise Failed(str(error)) from None
    finally:
        progress.end()


def _show(report: "Report", output: Shape, done: str) -> None:
    if output is Shape.JSON:
        say_json(asdict(report))
        return
    say(f"{done}: revision {report.revision} of {report.uid}")
    say(
        f"{report.objects} objects, {report.changes} changes, "
        f"{report.output_bytes} bytes of output of {report.outputs} commands"
    )
    say(f"sha256 {report.sha256}, verified")


class _Progress:
    """One line on a terminal, written over and over; nothing anywhere else."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()
        self._next = time.monotonic() + _EVERY
        self._width = 0

    def tell(self, phase: str, count: str) -> None:
        """So far it has got."""
        if self._shown and time.monotonic() >= self._next:
            self._next = time.monotonic() + _EVERY
            text = f"{phase}: {count}"
            sys.stderr.write(f"\r{text:{self._width}}")
            sys.stderr.flush()
            self._width = len(text)

    def end(self) -> None:
        """Take the line away."""
        if self._width:
            sys.stderr.write(f"\r{'':{self._width}}\r")
