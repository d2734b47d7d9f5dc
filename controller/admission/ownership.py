"""What of an object's metadata is a caller's, and keeping `metadata.managedFields` true, whoever writes."""

from datetime import datetime
from typing import Any, Final, TypeVar

from controller.admission.caller import Caller
from controller.admission.deletion import check_finalizers
from controller.admission.errors import Invalid, Problem
from controller.ownership import BEFORE, UPDATE, Owner, leaves, owners_of, to_managed_fields, updated
from controller.resources.meta import ObjectMeta, Resource
from controller.resources.types import rfc3339

R = TypeVar("R", bound=Resource)

ManagedFields = tuple[dict[str, Any], ...]

_TRACKED: Final = {"labels", "annotations", "finalizers", "owner_references"}
UNNAMED: Final = "vendetta"
"""The manager of changes by programs that give no name."""
LONGEST_MANAGER: Final = 128
_MOST_OWNERS: Final = 256
_MOST_PATHS: Final = 10_000
RESET: Final[ManagedFields] = ({},)
"""What a client writes into managedFields to end the tracking (Kubernetes, "Clearing managedFields")."""


def wish_of(old: ObjectMeta, asked: ObjectMeta) -> ObjectMeta:
    """`old` with what is a caller's of the metadata. Raises Invalid."""
    check_finalizers(old, asked)
    return old.model_copy(update={name: getattr(asked, name) for name in _TRACKED})


def tree_of(obj: Resource) -> dict[str, Any]:
    """What of an object can be owned: its wish, as JSON."""
    return {
        "metadata": obj.metadata.model_dump(mode="json", by_alias=True, exclude_defaults=True, include=_TRACKED),
        "spec": _spec(obj, exclude_none=True),
    }


def given_of(obj: Resource) -> dict[str, Any]:
    """The same without what is left at its default."""
    return {**tree_of(obj), "spec": _spec(obj, exclude_defaults=True)}


def owners_before(obj: Resource, now: datetime) -> tuple[Owner, ...]:
    """The owners of an object that is about to be applied: of one that nobody tracked, all belongs to `BEFORE`."""
    known = obj.metadata.managed_fields
    if known:
        return owners_of(known)
    paths = frozenset(leaves(given_of(obj)))
    return (Owner(manager=BEFORE, operation=UPDATE, time=stamp(now), paths=paths),)


def tracked(old: R, new: R, asked: ManagedFields, caller: Caller, now: datetime) -> R:
    """`new` with its owners brought up to date. `asked` is what the caller says of them: who applies has worked them
    out, and who writes something else than what is there sets them by hand.
    """
    known = old.metadata.managed_fields
    if caller.applies:
        return _with(new, asked)
    if asked == RESET:
        return _with(new, ())
    if asked and asked != known:
        return _with(new, to_managed_fields(_sane(asked), new.api_version))
    if not known:
        return new
    manager = caller.manager or UNNAMED
    owners = updated(tree_of(old), tree_of(new), owners_of(known), manager=manager, time=stamp(now))
    return _with(new, to_managed_fields(owners, new.api_version))


def begun(new: R, asked: ManagedFields, caller: Caller, now: datetime) -> R:
    """A new object with its first owner, where that has a name."""
    if caller.applies:
        return _with(new, asked)
    if not caller.manager:
        return new
    owner = Owner(manager=caller.manager, operation=UPDATE, time=stamp(now), paths=frozenset(leaves(given_of(new))))
    return _with(new, to_managed_fields((owner,), new.api_version))


def stamp(now: datetime) -> str:
    """The time as managedFields has it: in whole seconds."""
    return rfc3339(now.replace(microsecond=0))


def _sane(asked: ManagedFields) -> tuple[Owner, ...]:
    """The owners that somebody has written by hand. Raises Invalid."""
    if not all(_is_named(entry.get("manager", "")) and _is_time(entry.get("time", "")) for entry in asked):
        raise _not_valid(f"manager is a name of at most {LONGEST_MANAGER} characters, and time is RFC 3339")
    return bounded(owners_of(asked))


def bounded(owners: tuple[Owner, ...]) -> tuple[Owner, ...]:
    """The owners, if there are not too many. Raises Invalid."""
    if len(owners) > _MOST_OWNERS or sum(len(owner.paths) for owner in owners) > _MOST_PATHS:
        raise _not_valid("too many managers, or fields of theirs: take some out of metadata.managedFields")
    return owners


def _is_named(manager: Any) -> bool:
    return isinstance(manager, str) and len(manager) <= LONGEST_MANAGER


def _is_time(time: Any) -> bool:
    try:
        return not time or (isinstance(time, str) and datetime.fromisoformat(time) is not None)
    except ValueError:
        return False


def _not_valid(message: str) -> Invalid:
    return Invalid("the object is not valid", Problem(field="metadata.managedFields", message=message))


def _with(obj: R, managed_fields: ManagedFields) -> R:
    if obj.metadata.managed_fields == managed_fields:
        return obj
    return obj.model_copy(update={"metadata": obj.metadata.model_copy(update={"managed_fields": managed_fields})})


def _spec(obj: Resource, **how: bool) -> dict[str, Any]:
    spec = getattr(obj, "spec", None)
    dumped: dict[str, Any] = spec.model_dump(mode="json", by_alias=True, **how) if spec is not None else {}
    return dumped
