"""Manifests out of texts and folders: what somebody wants, in its usual form, and what is wrong with it by line."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from controller.manifests.schema import check
from controller.resources.meta import Resource
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
class Parsed:
    """One object as somebody wants it: what is the server's own is left out, values are in their usual form."""

    model: type[Resource]
    name: str
    data: dict[str, Any]
    origin: str
    """`nodes.yaml:17`."""

    @property
    def kind(self) -> str:
        """`Node`."""
        return self.model.__name__

    @property
    def title(self) -> str:
        """`node/build-01`."""
        return f"{self.kind.lower()}/{self.name}"


def files_in(folder: Path) -> list[Path]:
    """The manifests below the folder, in order; what is hidden (an editor's copies, `.git`) does not count.

    Links to nowhere count: to read them is an error that somebody should hear of.
    """
    files = (path for path in folder.rglob("*") if path.suffix in SUFFIXES)
    found = (path for path in files if path.is_file() or not path.exists())
    return sorted(path for path in found if not any(p.startswith(".") for p in path.relative_to(folder).parts))


def parse(file: str, text: bytes, problems: list[str], *, named: bool = True) -> Iterator[Parsed]:
    """The manifests in a text, lists unfolded. What is wrong goes to `problems`, each with file and line.

    `named`: each must have a name.
    """
    try:
        documents = read_documents(text, file=file, size_limit=SIZE_LIMIT, json=file.endswith(".json"))
    except YAMLError as error:
        problems.append(str(error))
        return
    for document in documents:
        for place, data in _objects(document):
            manifest = _checked(file, document, place, data, problems, named=named)
            if manifest is not None:
                yield manifest


def without_repeats(manifests: list[Parsed], problems: list[str]) -> list[Parsed]:
    """The first manifest of each object; a second one is a problem. Without a name each is an object of its own."""
    first: dict[str, Parsed] = {}
    for manifest in manifests:
        known = first.setdefault(manifest.title if manifest.name else manifest.origin, manifest)
        if known is not manifest:
            problems.append(f"{manifest.origin}: {manifest.title} is here twice, first at {known.origin}")
    return list(first.values())


def _objects(document: Document) -> Iterator[tuple[KeyPath, Any]]:
    """The objects in a document, lists unfolded; an empty document has none."""
    data = document.data
    if isinstance(data, dict) and str(data.get("kind", "")).endswith("List") and isinstance(data.get("items"), list):
        yield from (((("items", index)), item) for index, item in enumerate(data["items"]))
    elif data is not None:
        yield (), data


def _checked(
    file: str, document: Document, place: KeyPath, data: Any, problems: list[str], *, named: bool
) -> Parsed | None:
    wanted = _without_nulls(_without_what_is_the_servers(data))
    resource, found = check(wanted, named=named)
    problems.extend(f"{file}:{document.line_of((*place, *inner))}: {message}" for inner, message in found)
    if resource is None:
        return None
    # Through the model and back, so that `60s` and `1m0s` are one value and not a difference for ever.
    usual: dict[str, Any] = json.loads(resource.model_dump_json(by_alias=True, exclude_unset=True))
    return Parsed(
        model=type(resource),
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
