"""`apply`, `diff` and `delete -f`: making the server's objects what the files say (contract F-2)."""

import copy
import difflib
import json
from dataclasses import dataclass
from typing import Any, Final, Literal

from api.cli.client import Client
from api.cli.errors import NotFound
from api.cli.manifests import Manifest
from api.cli.merge import merged, three_way
from api.cli.tables import Object
from controller.strictyaml import write_document

LAST_APPLIED: Final = "vendetta.dev/last-applied-configuration"
DryRun = Literal["none", "client", "server"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What applying a manifest comes to: `live` None means creating; an empty patch means that nothing is to do."""

    manifest: Manifest
    wanted: Object
    live: Object | None
    patch: Object

    @property
    def result(self) -> Object:
        """The object as it would be."""
        return self.wanted if self.live is None else dict(merged(self.live, self.patch))


def plan(client: Client, manifest: Manifest) -> Change:
    """Compare one manifest with the server's object."""
    wanted = annotated(manifest.data)
    try:
        live = client.get(manifest.kind, manifest.name)
    except NotFound:
        return Change(manifest=manifest, wanted=wanted, live=None, patch=wanted)
    wanted["metadata"].setdefault("labels", {})  # so that of the labels only the file's own can be removed
    return Change(manifest=manifest, wanted=wanted, live=live, patch=_patch(wanted, live))


def annotated(data: Object) -> Object:
    """The object with a note of what was applied, for the next time."""
    wanted = copy.deepcopy(data)
    wanted["metadata"].setdefault("annotations", {}).pop(LAST_APPLIED, None)
    note = json.dumps(wanted, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    wanted["metadata"]["annotations"][LAST_APPLIED] = note
    return wanted


def _patch(wanted: Object, live: Object) -> Object:
    """The merge patch, empty when only the note's wording would change."""
    patch = three_way(_last_applied(live), wanted, live)
    if patch == {"metadata": {"annotations": {LAST_APPLIED: _note(wanted)}}} and _note(live) is not None:
        same = _without_note(json.loads(_note(wanted) or "{}")) == _without_note(_last_applied(live))
        return {} if same else patch
    return patch


def _note(obj: Object) -> str | None:
    note = (obj.get("metadata", {}).get("annotations") or {}).get(LAST_APPLIED)
    return note if isinstance(note, str) else None


def _last_applied(live: Object) -> Object:
    """What was applied last; nothing, where that is not known. The identity of an object never leaves it."""
    try:
        last: Any = json.loads(_note(live) or "{}")
    except ValueError:
        return {}
    return last if isinstance(last, dict) else {}


def _without_note(obj: Object) -> Object:
    clean = copy.deepcopy(obj)
    (clean.get("metadata", {}).get("annotations") or {}).pop(LAST_APPLIED, None)
    return clean


def carry_out(client: Client, change: Change, dry_run: DryRun) -> tuple[str, Object]:
    """Do it. Returns `created`, `configured` or `unchanged`, and the object."""
    manifest, params = change.manifest, params_of(dry_run)
    if change.live is None:
        made = change.wanted if dry_run == "client" else client.create(manifest.kind, change.wanted, **params)
        return "created", made
    if not change.patch:
        return "unchanged", change.live
    if dry_run == "client":
        return "configured", change.result
    after = client.patch(manifest.kind, manifest.name, change.patch, **params)
    same = dry_run == "none" and _version(after) == _version(change.live)  # a rehearsal's version says nothing
    return ("unchanged" if same else "configured"), after


def params_of(dry_run: DryRun) -> dict[str, str]:
    """How the server is told to store nothing."""
    return {"dryRun": "All"} if dry_run == "server" else {}


def _version(obj: Object) -> str:
    return str(obj.get("metadata", {}).get("resourceVersion", ""))


def difference(change: Change) -> str:
    """A unified diff between the server's object and the one that applying would make; empty: none."""
    before = "" if change.live is None else write_document(_comparable(change.live))
    after = write_document(_comparable(change.result))
    name = change.manifest.title
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), f"live/{name}", f"file/{name}", lineterm="")
    return "\n".join(lines)


def _comparable(obj: Object) -> Object:
    """What somebody can wish for: no status, no versions, no note; keys in one order."""
    clean = _without_note({key: value for key, value in obj.items() if key != "status"})
    metadata = clean.get("metadata", {})
    kept = {key: metadata[key] for key in ("name", "labels", "annotations") if metadata.get(key)}
    ordered: Object = json.loads(json.dumps({**clean, "metadata": kept}, sort_keys=True))
    return ordered
