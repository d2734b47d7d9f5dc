"""Who owns which field of an object: what server-side apply is made of (Kubernetes, "Server-Side Apply").

fields.py     an object's fields as paths, and sets of them as `FieldsV1`
managers.py   what applying and updating do to an object and to its owners: pure functions

Lists are owned whole, maps and structs field by field. Nothing is tracked before the first server-side apply.
"""

from controller.ownership.fields import leaves
from controller.ownership.managers import (
    APPLY,
    BEFORE,
    UPDATE,
    FieldConflict,
    FieldConflicts,
    Owner,
    applied,
    owners_of,
    to_managed_fields,
    updated,
)

__all__ = [
    "APPLY",
    "BEFORE",
    "UPDATE",
    "FieldConflict",
    "FieldConflicts",
    "Owner",
    "applied",
    "leaves",
    "owners_of",
    "to_managed_fields",
    "updated",
]
