"""What a verb has done to many objects, line by line or at once as JSON. One that fails does not keep the rest."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from api.cli.apply import DryRun
from api.cli.errors import CLIError
from api.cli.output import Shape, say, say_json, warn
from api.cli.tables import Object
from api.escape import escape


class Report:
    """The objects so far."""

    def __init__(self, dry_run: DryRun, shape: Shape) -> None:
        self._suffix = "" if dry_run == "none" else f" ({dry_run} dry run)"
        self._shape = shape
        self._results: list[dict[str, Any]] = []
        self.failures = 0

    @contextmanager
    def of(self, subject: str) -> Iterator[None]:
        """What is done about one object: an error of its own is told, one that concerns all passes."""
        try:
            yield
        except CLIError as error:
            if error.exit_code != 1:
                raise
            self.failures += 1
            warn(f"vendetta: {subject}: {error}")

    def done(self, title: str, word: str, obj: Object | None) -> None:
        """The object is `created`, `configured`, `unchanged` or `pruned`."""
        self._results.append({"name": title, "result": word} | ({} if obj is None else {"object": obj}))
        if self._shape is Shape.TEXT:
            say(escape(f"{title} {word}{self._suffix}"))

    def end(self) -> int:
        """The exit code."""
        if self._shape is Shape.JSON:
            say_json(self._results)
        return 1 if self.failures else 0
