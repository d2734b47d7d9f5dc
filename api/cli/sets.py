"""Named sets: what was applied together, so that what has left the files since can be found and removed (F-2).

A set is a label on the objects in it. An object is in one set at most: it is not taken out of another one's hands.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from api.cli.client import Client
from api.cli.errors import Failed, Misused
from api.cli.kinds import COMMANDS, NODES, Kind, name_of
from api.cli.manifests import Manifest
from api.cli.tables import Object

SET: Final = "vendetta.dev/set"
_ORDER: Final = (COMMANDS, NODES)
"""Removing a node decides about the commands on it: they go first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """An object of a set, as the server has it."""

    kind: Kind
    name: str
    uid: str

    @property
    def title(self) -> str:
        """`node/build-01`."""
        return f"{self.kind.singular}/{self.name}"


def check_name(name: str) -> None:
    """Whether a set can be called that. Raises Misused."""
    from controller.resources.meta import label_value  # noqa: PLC0415 - loads the models, which takes time

    try:
        label_value(name)
    except ValueError as error:
        raise Misused(f"--set: {error}") from None


def in_set(manifest: Manifest, name: str) -> Manifest:
    """The manifest of an object in that set. Raises Misused where the file says otherwise."""
    data = copy.deepcopy(manifest.data)
    labels = data["metadata"].setdefault("labels", {})
    if labels.setdefault(SET, name) != name:
        raise Misused(f"{manifest.origin}: {manifest.title} has the label {SET}={labels[SET]}, and --set is {name}")
    return replace(manifest, data=data)


def check_not_in_another(live: Object | None, name: str) -> None:
    """Raises Failed for an object that belongs to another set."""
    other = ((live or {}).get("metadata", {}).get("labels") or {}).get(SET, name)
    if other != name:
        raise Failed(f"it belongs to the set {other!r}: remove its label {SET} first, or apply it with --set {other}")


def left_over(client: Client, name: str, applied: Sequence[Manifest]) -> list[Member]:
    """What is in the set on the server and not among the manifests, in the order to remove it in."""
    kept = {manifest.title for manifest in applied}
    return [member for kind in _ORDER for member in _members(client, kind, name) if member.title not in kept]


def _members(client: Client, kind: Kind, name: str) -> Iterator[Member]:
    for obj in client.list(kind, labelSelector=f"{SET}={name}")["items"]:
        yield Member(kind=kind, name=name_of(obj), uid=str(obj["metadata"].get("uid", "")))
