"""Deletion in two steps: an object with finalizers is marked, and goes when the last of them is taken away."""

from datetime import datetime
from typing import TypeVar

from controller.admission.errors import Invalid, Problem
from controller.resources.meta import ObjectMeta, Resource

R = TypeVar("R", bound=Resource)


def marked(obj: R, now: datetime) -> R:
    """The object with its deletion asked for; the first time counts."""
    if obj.metadata.deletion_timestamp is not None:
        return obj
    stamp = {"deletion_timestamp": now.replace(microsecond=0)}
    return obj.model_copy(update={"metadata": obj.metadata.model_copy(update=stamp)})


def released(obj: Resource) -> bool:
    """Whether its deletion was asked for and nobody holds it back any more."""
    return obj.metadata.deletion_timestamp is not None and not obj.metadata.finalizers


def check_finalizers(old: ObjectMeta, new: ObjectMeta) -> None:
    """Nobody joins those who hold back an object that is being deleted. Raises Invalid."""
    added = set(new.finalizers) - set(old.finalizers)
    if old.deletion_timestamp is not None and added:
        message = f"no new finalizers while the object is being deleted: {sorted(added)[0]}"
        raise Invalid("the object is not valid", Problem(field="metadata.finalizers", message=message))
