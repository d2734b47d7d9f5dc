"""Server-side apply of one manager's wish to an object, whichever way the wish came in."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, TypeVar

from controller.admission.ownership import bounded, owners_before, stamp, tree_of
from controller.ownership import applied, to_managed_fields
from controller.resources.meta import API_VERSION, Resource

R = TypeVar("R", bound=Resource)

OWNED: Final = ("labels", "annotations", "finalizers", "ownerReferences")
"""What of the metadata can be applied."""


def wish_in(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What of a manifest can be applied; what is null is not wished for."""
    metadata, spec = manifest.get("metadata"), manifest.get("spec")
    given = metadata if isinstance(metadata, dict) else {}
    owned = {key: given[key] for key in OWNED if given.get(key) is not None}
    return {"metadata": owned, "spec": {} if spec is None else spec}


def apply_wish(
    old: R | None,
    wish: dict[str, Any],
    *,
    manager: str,
    force: bool,
    now: datetime,
    build: Callable[[dict[str, Any]], R],
) -> R:
    """The object as it becomes, with its owners: for a caller with `applies`.

    `build` makes an object of `{"metadata": …, "spec": …}`, checked. Raises FieldConflicts unless forced, Invalid for
    one manager too many, and what `build` raises.
    """
    live = tree_of(old) if old is not None else {"metadata": {}, "spec": {}}
    owners = owners_before(old, now) if old is not None else ()
    tree, owners = applied(
        live,
        wish,
        owners,
        manager=manager,
        force=force,
        time=stamp(now),
        normal=lambda whole: tree_of(build(whole)),
    )
    obj = build(tree)
    metadata = obj.metadata.model_copy(
        update={"managed_fields": to_managed_fields(bounded(owners), API_VERSION), "resource_version": ""}
    )
    return obj.model_copy(update={"metadata": metadata})
