"""Reading manifests from files, folders and stdin (contract F-2)."""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from api.cli.errors import Misused
from api.cli.kinds import KINDS, Kind, title
from controller.strictyaml import Document, KeyPath, YAMLError, read_documents

SUFFIXES: Final = {".yaml", ".yml", ".json"}
SIZE_LIMIT: Final = 64 * 1024 * 1024
_SERVERS_OWN: Final = (
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "managedFields",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One object as somebody wants it: what is the server's own is left out, values are in their usual form."""

    kind: Kind
    name: str
    data: dict[str, Any]
    origin: str
    """`nodes.yaml:17`."""

    @property
    def title(self) -> str:
        """`node/build-01`."""
        return title(self.data)


def read(paths: list[str]) -> list[Manifest]:
    """Every manifest in the files, folders (recursively) and `-` for stdin.

    Raises Misused that names each problem by file, line and key. Nothing is returned unless all of it is right.
    """
    problems: list[str] = []
    manifests = [m for name, text in _texts(paths) for m in _manifests(name, text, problems)]
    seen: dict[str, str] = {}
    for manifest in manifests:
        first = seen.setdefault(manifest.title, manifest.origin)
        if first != manifest.origin:
            problems.append(f"{manifest.origin}: {manifest.title} is here twice, first at {first}")
    if problems:
        raise Misused("\n".join(problems))
    if not manifests:
        raise Misused(f"there is no manifest in {', '.join(paths)}")
    return manifests


def _texts(paths: list[str]) -> Iterator[tuple[str, bytes]]:
    for given in paths:
        if given == "-":
            yield "<stdin>", sys.stdin.buffer.read(SIZE_LIMIT + 1)
            continue
        path = Path(given)
        for file in _files_in(path) if path.is_dir() else [path]:
            try:
                yield str(file), file.read_bytes()
            except OSError as error:
                raise Misused(f"cannot read {file}: {error.strerror}") from None


def _files_in(folder: Path) -> list[Path]:
    """The manifests below the folder, in order; what is hidden (an editor's copies, `.git`) does not count."""
    found = (path for path in folder.rglob("*") if path.suffix in SUFFIXES and path.is_file())
    return sorted(path for path in found if not any(p.startswith(".") for p in path.relative_to(folder).parts))


def _manifests(file: str, text: bytes, problems: list[str]) -> Iterator[Manifest]:
    try:
        documents = read_documents(text, file=file, size_limit=SIZE_LIMIT, json=file.endswith(".json"))
    except YAMLError as error:
        problems.append(str(error))
        return
    for document in documents:
        for place, data in _objects(document):
            manifest = _checked(file, document, place, data, problems)
            if manifest is not None:
                yield manifest


def _objects(document: Document) -> Iterator[tuple[KeyPath, Any]]:
    """The objects in a document, lists unfolded; an empty document has none."""
    data = document.data
    if isinstance(data, dict) and str(data.get("kind", "")).endswith("List") and isinstance(data.get("items"), list):
        yield from (((("items", index)), item) for index, item in enumerate(data["items"]))
    elif data is not None:
        yield (), data


def _checked(file: str, document: Document, place: KeyPath, data: Any, problems: list[str]) -> Manifest | None:
    from api.cli.schema import check  # noqa: PLC0415 - the models take their time to load; most commands do without

    wanted = _without_nulls(_without_what_is_the_servers(data))
    resource, found = check(wanted)
    problems.extend(f"{file}:{document.line_of((*place, *inner))}: {message}" for inner, message in found)
    if resource is None:
        return None
    # Through the model and back, so that `60s` and `1m0s` are one value and not a difference for ever.
    usual: dict[str, Any] = json.loads(resource.model_dump_json(by_alias=True, exclude_unset=True))
    return Manifest(
        kind=next(kind for kind in KINDS if kind.name == wanted["kind"]),
        name=resource.name,
        data=usual,
        origin=f"{file}:{document.line_of(place)}",
    )


def _without_what_is_the_servers(data: Any) -> Any:
    """What `get -o yaml` shows can be edited and applied: the status and the server's metadata do not count."""
    if not isinstance(data, dict):
        return data
    wanted = {key: value for key, value in data.items() if key != "status"}
    if isinstance(metadata := wanted.get("metadata"), dict):
        wanted["metadata"] = {key: value for key, value in metadata.items() if key not in _SERVERS_OWN}
    return wanted


def _without_nulls(data: Any) -> Any:
    """Null in a manifest means that the field is not given, while in a merge patch it would mean removal."""
    if isinstance(data, dict):
        return {key: _without_nulls(value) for key, value in data.items() if value is not None}
    if isinstance(data, list):  # a null in a list is a mistake, and stays for the check
        return [_without_nulls(item) for item in data]
    return data
