"""Reading manifests from files, folders and stdin (contract F-2)."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from api.cli.errors import Misused
from api.cli.kinds import KINDS, Kind

if TYPE_CHECKING:
    from controller.manifests.parsing import Parsed

SIZE_LIMIT: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One object as somebody wants it: what is the server's own is left out, values are in their usual form."""

    kind: Kind
    name: str
    data: dict[str, Any]
    origin: str
    """`nodes.yaml:17`."""
    title: str
    """`node/build-01`."""


def read(paths: list[str], *, named: bool = True) -> list[Manifest]:
    """Every manifest in the files, folders (recursively) and `-` for stdin. `named`: each must have a name.

    Raises Misused that names each problem by file, line and key. Nothing is returned unless all of it is right.
    """
    from controller.manifests.parsing import parse, without_repeats  # noqa: PLC0415 - loads the models, which takes time

    problems: list[str] = []
    manifests = [m for name, text in _texts(paths) for m in parse(name, text, problems, named=named)]
    manifests = without_repeats(manifests, problems)
    if problems:
        raise Misused("\n".join(problems))
    if not manifests:
        raise Misused(f"there is no manifest in {', '.join(paths)}")
    return [_manifest(found) for found in manifests]


def _manifest(found: "Parsed") -> Manifest:
    kind = next(kind for kind in KINDS if kind.name == found.kind)
    return Manifest(kind=kind, name=found.name, data=found.data, origin=found.origin, title=found.title)


def _texts(paths: list[str]) -> Iterator[tuple[str, bytes]]:
    from controller.manifests.parsing import files_in  # noqa: PLC0415 - as above

    for given in paths:
        if given == "-":
            yield "<stdin>", sys.stdin.buffer.read(SIZE_LIMIT + 1)
            continue
        path = Path(given)
        for file in files_in(path) if path.is_dir() else [path]:
            try:
                with file.open("rb") as source:  # which may be a device, and have no end
                    text = source.read(SIZE_LIMIT + 1)
            except OSError as error:
                raise Misused(f"cannot read {file}: {error.strerror}") from None
            yield str(file), text
