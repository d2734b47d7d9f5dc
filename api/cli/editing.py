"""Editing an object: as a manifest, in somebody's editor, and back as a patch of what was changed (F-2)."""

import os
import shlex
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from api.cli.apply import LAST_APPLIED
from api.cli.client import Client
from api.cli.errors import CLIError, Conflict, Failed, Misused
from api.cli.kinds import Kind
from api.cli.manifests import Manifest, read
from api.cli.merge import three_way
from api.cli.output import yaml_text
from api.cli.tables import Object

_KEPT: Final = ("name", "labels", "annotations", "finalizers", "ownerReferences")
_ATTEMPTS: Final = 5
_HEAD: Final = """\
# Lines that begin with # are left out. Save an empty file, or the same one, to change nothing.
"""


class Editor:
    """The program that VISUAL or EDITOR names, else vi, and a file of its own for it."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._line = environ.get("VISUAL") or environ.get("EDITOR") or "vi"

    def edited(self, path: Path) -> str:
        """What is in the file once the editor is closed. Raises Failed, and Misused where there is no such editor."""
        try:
            done = subprocess.run([*shlex.split(self._line), str(path)], check=False)  # noqa: S603 - their own editor
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise Misused(f"cannot start the editor {self._line!r} (set VISUAL or EDITOR): {why}") from None
        if done.returncode:
            raise Failed(f"the editor {self._line!r} ended with code {done.returncode}: nothing is changed")
        return path.read_text(encoding="utf-8", errors="replace")


class Edit:
    """One object in an editor, until it is stored, nothing was changed, or the same mistake was saved twice."""

    def __init__(self, client: Client, kind: Kind, name: str, editor: Editor) -> None:
        self._client, self._kind, self._name, self._editor = client, kind, name, editor

    def run(self) -> Object | None:
        """The object as it is stored; None when nothing was changed. Raises CLIError."""
        shown = yaml_text(_shown(self._client.get(self._kind, self._name)))
        descriptor, file = tempfile.mkstemp(prefix=f"vendetta-{self._kind.singular}-", suffix=".yaml")
        os.close(descriptor)
        path = Path(file)
        path.write_text(shown, encoding="utf-8")
        before = self._manifest(path)
        last, problem = shown, ""
        while True:
            path.write_text(_HEAD + _commented(problem) + last, encoding="utf-8")
            text = _without_comments(self._editor.edited(path))
            if not text.strip() or text == (last if problem else shown):
                break
            try:
                stored = self._store(before, self._manifest(path))
            except CLIError as error:
                if error.exit_code not in {Failed.exit_code, Misused.exit_code}:
                    raise
                last, problem = text, str(error)
                continue
            path.unlink()
            return stored
        if problem:
            path.write_text(last, encoding="utf-8")
            raise Failed(f"{problem}\nnothing is changed; what was written is in {path}")
        path.unlink()
        return None

    def _manifest(self, path: Path) -> Manifest:
        """The object in the file. Raises Misused."""
        found = read([str(path)])
        if len(found) != 1 or (found[0].kind, found[0].name) != (self._kind, self._name):
            raise Misused(f"the file must hold {self._kind.singular}/{self._name} and nothing else")
        return found[0]

    def _store(self, before: Manifest, after: Manifest) -> Object:
        """Change what was changed in the editor, and nothing that somebody else has changed meanwhile."""
        patch = three_way(before.data, after.data, before.data)
        for _ in range(_ATTEMPTS):
            live = self._client.get(self._kind, self._name)
            if clash := _clash(patch, before.data, _shown(live)):
                raise Failed(f"{clash} has been changed by somebody else meanwhile")
            version = {
                "metadata": {**patch.get("metadata", {}), "resourceVersion": live["metadata"]["resourceVersion"]}
            }
            try:
                return self._client.patch(self._kind, self._name, {**patch, **version})
            except Conflict:
                continue
        raise Failed(f"{self._kind.singular}/{self._name} is being changed by too many others at once: try again")


def _shown(obj: Object) -> Object:
    """What of an object is somebody's to change."""
    metadata = {key: obj["metadata"][key] for key in _KEPT if obj["metadata"].get(key)}
    if "annotations" in metadata:
        metadata["annotations"] = {k: v for k, v in metadata["annotations"].items() if k != LAST_APPLIED}
    return {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": metadata, "spec": obj.get("spec", {})}


def _clash(patch: Any, before: Any, live: Any, path: str = "") -> str:
    """The first field that the patch changes and that is not any more what it was."""
    for key, value in patch.items():
        was, is_ = (where.get(key) if isinstance(where, dict) else None for where in (before, live))
        if isinstance(value, dict) and isinstance(was, dict):
            if found := _clash(value, was, is_, f"{path}{key}."):
                return found
        elif was != is_:
            return f"{path}{key}"
    return ""


def _commented(problem: str) -> str:
    return "".join(f"# {line}\n" for line in ["", *problem.splitlines(), ""]) if problem else ""


def _without_comments(text: str) -> str:
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#"))
