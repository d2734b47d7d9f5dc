"""A folder of manifests, read as a whole: what it says, and what in it is wrong."""

import os
from dataclasses import dataclass
from pathlib import Path

from controller.manifests.parsing import Parsed, files_in, parse, without_repeats

Signature = tuple[tuple[str, int, int, int], ...]
"""Path, inode, size and time of change of every file: another one after any change, a swapped link included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a folder says. Unless `problems` is empty, more objects may be meant than are in `manifests`."""

    manifests: tuple[Parsed, ...]
    problems: tuple[str, ...]


class Directory:
    """The folder. Both methods block, and raise OSError where the folder cannot be read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def signature(self) -> Signature:
        """What tells whether anything has changed, without reading it."""
        return tuple(self._signed(file) for file in self._files())

    def read(self) -> Content:
        """Read every file. One that cannot be read is a problem, and the others count all the same."""
        problems: list[str] = []
        found = [manifest for file in self._files() for manifest in self._parsed(file, problems)]
        return Content(manifests=tuple(without_repeats(found, problems)), problems=tuple(problems))

    def _files(self) -> list[Path]:
        os.listdir(self.path)  # a search in a folder that is not there finds nothing, and says nothing
        return files_in(self.path)

    def _signed(self, file: Path) -> tuple[str, int, int, int]:
        try:
            stat = file.stat()
        except FileNotFoundError:  # gone between the search and now
            return str(file), 0, 0, 0
        return str(file), stat.st_ino, stat.st_size, stat.st_ctime_ns

    def _parsed(self, file: Path, problems: list[str]) -> list[Parsed]:
        name = str(file.relative_to(self.path))
        try:
            return list(parse(name, file.read_bytes(), problems))
        except OSError as error:
            problems.append(f"{name}: cannot be read: {error.strerror}")
            return []
